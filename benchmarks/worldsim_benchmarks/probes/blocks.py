"""Deeds in the block world: a block of the ground is dug away, or one is put down, then looked away from and back.

The deed is done with the gaze on the ground before one's feet; the turn away and back is made with it level, as turns
are read from pictures there, and then the ground is looked at again. The world moves nothing by itself.
"""

from __future__ import annotations

import numpy as np

from worldsim_benchmarks.probes.detect import differs
from worldsim_benchmarks.probes.plan import LEAST, Check, Deed, Plan
from worldsim_benchmarks.scripts import LOOK_AROUND
from worldsim_benchmarks.truth import Reference

WORLD = "worldsim/Blocks-v0"
DIP = 3
"""Steps of the gaze down, 42 degrees: the ground is met 1.8 m ahead."""
AWAY = 6
"""Turns that take all that was seen out of the picture: 84 degrees."""
DOWN, UP = ("look_down",) * DIP, ("look_up",) * DIP
CONTEXT = (*LOOK_AROUND, *DOWN, *UP)
APART = 0.05
"""Metres that the two cameras may be apart at the end (a dug block may be the one that one stands on)."""


def on_the_ground(stage: Reference, map_seed: int, action: str, kind: str) -> Plan | None:
    """``action`` at the ground ahead of the map's own start, which makes a change of ``kind``. The twin does nothing in
    its place."""
    stage.reset(map_seed)
    if stage.truth["light"] != "bright" or stage.truth["pointed"]["node"]:
        return None  # little can be told by night, or with a tree before one's eyes
    work = DIP + 1
    rest = (*UP, *("turn_left",) * AWAY, *("turn_right",) * AWAY, *DOWN)
    acted, twin = (stage.play((*CONTEXT, *DOWN, first, *rest), map_seed, len(CONTEXT)) for first in (action, "noop"))
    changed = [[c["kind"] for t in take.truths[1:] for c in t["changes"]] for take in (acted, twin)]
    ends = [np.asarray(take.truths[-1]["camera"]["c2w"])[:3, 3] for take in (acted, twin)]
    if kind not in changed[0] or changed[1] or np.linalg.norm(ends[0] - ends[1]) > APART:
        return None
    at, length = acted.prefix, len(acted.actions)
    looks = []
    for step in (work, length):
        done, undone = acted.frame(at + step), twin.frame(at + step)
        looks.append(Check(step, differs(done, undone), done, undone))
    if min(int(look.mask.sum()) for look in looks) < 3 * LEAST:
        return None
    start = work + DIP
    return Plan(acted, twin, (looks[0],), (looks[1],), tuple(looks), turn=(start, start + AWAY))


def _deed(name: str, criterion: str, action: str, kind: str) -> Deed:
    actions = (action, "look_down", "look_up", "turn_left", "turn_right", "noop")
    return Deed(name, WORLD, criterion, actions, lambda s, seed: on_the_ground(s, seed, action, kind), truth=())


DEEDS = (
    _deed("dig", "ground that was dug away is gone after a look away; undug it is there", "attack", "dig"),
    _deed("place", "a block that was put down is there after a look away; else there is none", "place", "place"),
)
