"""Episodes of several shots: two or three views of one untouched map, joined by cuts.

A cut is a new pose in the same map, which a world gives by starting it anew there. What was taken, pushed or opened
before would be back, so a recording could teach that cuts undo things. Hence the policy only looks and walks up to the
last cut, which comes early, and a cut is made only where nothing has changed: no event so far, no reward, and every
object where it was at the reset. Else the episode goes on without. After the last cut everything is played that the
policy does. Poses are places that were visited, so they can be reached, with a new heading.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from worldsim.actions import ACTION_MEANINGS

MOVES = ("noop", "forward", "backward", "strafe_", "turn_", "look_")
"""What the actions of an episode of several shots begin with."""
SHOT = (12, 48)
"""Fewest and most steps of a shot before a cut."""
TRIES = 30
MOVED = 0.01
"""Metres from which on an object is no longer where it was."""
OTHER_VIEW = (60.0, 3.0)
"""Degrees, or metres, by which the view after a cut is another one."""


def draw_cuts(index: int, seed: int, share: float) -> tuple[int, ...]:
    """The steps of episode ``index`` that are to be cuts: one or two in a ``share`` of the episodes. Drawn apart from
    what ``mixture.plan_episode`` draws."""
    rng = np.random.default_rng([seed, index, 2])
    if rng.random() >= share:
        return ()
    lengths = rng.integers(SHOT[0], SHOT[1] + 1, size=1 + int(rng.integers(2)))
    return tuple((np.cumsum(lengths) + np.arange(len(lengths))).tolist())


def only_moving(action: int) -> int:
    """The action where it looks or walks and does nothing else, else 0 (noop)."""
    return action if all(part.startswith(MOVES) for part in ACTION_MEANINGS[action].split("+")) else 0


def untouched(before: Mapping[str, Any], now: Mapping[str, Any]) -> bool:
    """Whether each object of ``before`` is in ``now`` (two ``info["truth"]``), the same and at its place."""
    there = {item["id"]: item for item in now.get("objects", ())}
    return len(there) == len(before.get("objects", ())) and all(
        item["id"] in there and _same(item, there[item["id"]]) for item in before.get("objects", ())
    )


def _same(a: Mapping[str, Any], b: Mapping[str, Any]) -> bool:
    moved = np.abs(np.asarray(a["position"], float) - np.asarray(b["position"], float)).max()
    return bool((a["class"], a["colour"]) == (b["class"], b["colour"]) and moved < MOVED)


def new_poses(visited: Sequence[Sequence[float]], rng: np.random.Generator) -> list[tuple[float, float, float]]:
    """Poses (x, y, yaw) to cut to, to be tried in turn: places of ``visited`` (x, y, z, yaw) whose view is another than
    that of the last."""
    x0, y0, _, yaw0 = visited[-1]
    found = []
    for _ in range(TRIES):
        x, y = visited[int(rng.integers(len(visited)))][:2]
        yaw = float(rng.uniform(0, 360))
        turned = abs((yaw - yaw0 + 180) % 360 - 180)
        if turned >= OTHER_VIEW[0] or np.hypot(x - x0, y - y0) >= OTHER_VIEW[1]:
            found.append((float(x), float(y), yaw))
    return found
