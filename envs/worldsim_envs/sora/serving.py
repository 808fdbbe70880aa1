"""How a model is served, said with its name: ``"worlds?memory=window&window=8"``.

What a lane keeps of what it saw is no property of the weights, and the environment's signature is fixed; so it follows
the name as the query of an address does. So does whatever makes the environment: ``gymnasium.make``, agents, and the
benchmarks that measure one. ``worldsim bench play`` and ``worldsim bench packing`` read the weights themselves and take
a plain name or folder.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl

if TYPE_CHECKING:
    from worldsim.model.weights import WorldSimulator

_QUERY = re.compile(r"(.*)\?([^?/]*=[^?/]*)")


@dataclass(frozen=True)
class Serving:
    """``memory``: what is kept of what is out of view; ``window``: latents that attention along time sees. None is the
    model's own. ``imagine``: what nobody has seen is imagined. What a model cannot serve is refused by
    ``RolloutEngine``, which documents all three."""

    memory: str | None = None
    window: int | None = None
    imagine: bool = True


def named(model: str | Path | WorldSimulator | None) -> tuple[str | Path | WorldSimulator | None, Serving]:
    """``"MODEL?memory=KIND&window=W&imagine=no"`` as model and serving, in any order, each alone too; anything else
    as it is.

    ``"?window=W"`` alone is of the packaged model, which is None. ``ValueError`` for what is no such option, is said
    twice, or is no whole number where one is needed.
    """
    found = _QUERY.fullmatch(model) if isinstance(model, str) else None
    if found is None:
        return model, Serving()
    given = parse_qsl(found[2], keep_blank_values=True)
    options = dict(given)
    unknown = sorted(set(options) - {"memory", "window", "imagine"})
    if unknown or len(options) < len(given):
        raise ValueError(
            f"model={model!r}: after the ? each of memory=KIND, window=LATENTS and imagine=yes or no can be said once, "
            "joined by &"
        )
    window = options.get("window")
    if window is not None and not window.isdecimal():
        raise ValueError(f"model={model!r}: window={window!r} is no whole number of latents")
    if (imagine := options.get("imagine", "yes")) not in ("yes", "no"):
        raise ValueError(f"model={model!r}: imagine={imagine!r}; accepted are yes and no")
    return found[1] or None, Serving(options.get("memory"), None if window is None else int(window), imagine == "yes")
