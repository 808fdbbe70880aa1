"""worldsim: a learned world simulator that is a Gymnasium environment.

Importing this package registers the environments (``gym.make("SoraWorld-v0")``, ``gym.make("worldsim/DoomRooms-v0")``)
as string entry points and imports neither torch nor any world's engine; the names below load on first use.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from worldsim.registration import register_environments

if TYPE_CHECKING:
    from worldsim.engine import RolloutEngine
    from worldsim.model.packaged import list_models
    from worldsim.model.weights import WorldSimulator
    from worldsim.playing import generate

__version__ = "0.1.0"

_LAZY = {
    "RolloutEngine": "worldsim.engine",
    "WorldSimulator": "worldsim.model.weights",
    "generate": "worldsim.playing",
    "list_models": "worldsim.model.packaged",
}
__all__ = ["RolloutEngine", "WorldSimulator", "__version__", "generate", "list_models"]


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        return getattr(import_module(_LAZY[name]), name)
    raise AttributeError(f"module 'worldsim' has no attribute {name!r}")


register_environments()
