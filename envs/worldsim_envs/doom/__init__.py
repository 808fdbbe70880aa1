"""True worlds on the Doom engine (ViZDoom; extra ``[doom]``)."""

try:
    import vizdoom  # noqa: F401
except ImportError as error:
    raise ImportError(
        "the Doom worlds need ViZDoom, which is not installed; add it with: pip install 'worldsim-gym[doom]'"
    ) from error

from worldsim_envs.doom.rooms import DoomRoomsEnv
from worldsim_envs.doom.scenarios import (
    DoomBasicEnv,
    DoomHealthGatheringEnv,
    DoomMyWayHomeEnv,
    DoomTakeCoverEnv,
)

__all__ = ["DoomBasicEnv", "DoomHealthGatheringEnv", "DoomMyWayHomeEnv", "DoomRoomsEnv", "DoomTakeCoverEnv"]
