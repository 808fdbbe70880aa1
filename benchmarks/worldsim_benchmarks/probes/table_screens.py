"""What the table's panel hides: a thing over which it is slid, and a thing that is pushed through behind it.

The camera stands still, so the gate is the thing's own change: where it lay it is not seen while it is hidden. A thing
at rest must be there again, itself, and not also at another place that the panel had covered. A thing that moves must
come out at the far side when and as fast as the truth has it: at two observations its pixels are at the true places, a
step before they are not there yet, and on the near side there is none. Metres.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import product
from typing import Any

import numpy as np

from worldsim_benchmarks.probes import table
from worldsim_benchmarks.probes.hiding import SHIFTS, came_out, gone, passage
from worldsim_benchmarks.probes.plan import LEAST, Deed, Plan
from worldsim_benchmarks.probes.presence import moved_by, pixels, seen_again, whole_in_view
from worldsim_benchmarks.truth import Pose, Reference, Rollout

RAIL = 0.085
"""Height of the rail on which the panel's handle runs."""
BEFORE_HANDLE = 0.092
"""Distance of the hand from the handle that it is about to push."""
LANE = 0.2
"""Metres from the panel's middle line within which a thing that slides along is covered whole."""
ROOM = 0.3
"""Metres from the panel's middle to the rim, so that a thing can come out whole."""
RUN_UPS = (0.15, 0.17, 0.19, 0.21, 0.23)
"""Metres from the hand to the middle of the thing that it is about to push."""
PUSHES = (2, 3, 4, 5, 7)
"""Steps of the push; what is pushed further than under the panel comes out with the hand behind it."""
COVERED = 0.15
"""Share of its pixels up to which a thing that slides through counts as hidden."""
FURTHER = 0.03
"""Metres between the two looks at a thing that came out."""
PASS = 16
"""Steps of a pass of the panel: plans of a task are of equal length."""
THROUGH = 12
"""Steps of a push through behind it."""
HIDDEN = 4
"""Steps that the panel rests on the thing."""


def panel_passes(stage: Reference, map_seed: int) -> Plan | None:
    """The panel is slid over a thing at rest, stands over it, and is slid on."""
    stage.reset(map_seed)
    panels = stage.objects("occluder")
    if not panels:
        return None
    x = float(panels[0]["position"][0])
    for action, sign in (("strafe_right", 1), ("strafe_left", -1)):
        pose = (x - sign * BEFORE_HANDLE, RAIL, table.DIRECTIONS[action][2])
        if not table.start(stage, map_seed, pose):
            continue
        at = stage.played(len(table.CONTEXT))
        whole = [o["id"] for o in stage.objects(*table.MOVABLE) if whole_in_view(at.labels(at.prefix), o["id"])]
        for number in whole:
            take = _slid_over(stage, map_seed, pose, action, number)
            plan = None if take is None else _passed(take, number, panels[0]["id"])
            if plan is not None:
                return plan
    return None


def _slid_over(stage: Reference, map_seed: int, pose: Pose, action: str, number: int) -> Rollout | None:
    """The pass, with the hand taken away in the end; None where the thing is not hidden whole or not seen again."""
    table.start(stage, map_seed, pose)
    if not _pushed_until(stage, action, lambda: not _pixels_now(stage, number).any()):
        return None
    stage.do(*("noop",) * HIDDEN)
    if _pixels_now(stage, number).any() or not _pushed_until(
        stage, action, lambda: whole_in_view(stage.truth["labels"], number)
    ):
        return None
    taken = stage.played(len(table.CONTEXT))
    stage.do(*("noop",) * (PASS - len(taken.actions)))
    return stage.played(len(table.CONTEXT))


def _pushed_until(stage: Reference, action: str, done: Callable[[], bool]) -> bool:
    """Pushes on until ``done``; whether it came to that."""
    for _ in range(PASS // 2 - HIDDEN // 2):
        if done():
            return True
        stage.do(action)
    return bool(done())


def _pixels_now(stage: Reference, number: int) -> np.ndarray:
    return np.asarray(stage.truth["labels"] == number)


def _passed(take: Rollout, number: int, panel: int) -> Plan | None:
    at, end = take.prefix, len(take.names)
    before, after = take.object(at, number), take.object(end, number)
    if before is None or after is None or np.hypot(*(before["position"] - after["position"])[:2]) > table.STILL:
        return None
    counts = [int(pixels(take, step, number).sum()) for step in (at, end)]
    if not whole_in_view(take.labels(end), number) or min(counts) < 0.9 * max(counts):  # covered in part
        return None
    hidden = next(s for s in range(at, end + 1) if not pixels(take, s, number).any()) + HIDDEN - at
    swept = np.any([pixels(take, s, panel) for s in range(at, end)], 0)
    gate = gone(take, hidden, number)
    checks = seen_again(take, end - at, [number], SHIFTS, swept)
    if not any(not c.shown for c in checks) or gate.mask.sum() < LEAST:
        return None
    return Plan(take, take, (gate,), checks, (checks[0],), beside=False)


def behind_panel(stage: Reference, map_seed: int) -> Plan | None:
    """A push sends a thing under the panel; it comes out on the other side."""
    stage.reset(map_seed)
    panels = stage.objects("occluder")
    for thing, action in [] if not panels or stage.objects("ball") else list(_lanes(stage, panels[0]["position"])):
        dx, _, facing = table.DIRECTIONS[action]
        for run_up, pushes in product(RUN_UPS, PUSHES):
            pose = (float(thing["position"][0] - dx * run_up), float(thing["position"][1]), facing)
            if not table.start(stage, map_seed, pose):
                break
            stage.do(*(action,) * pushes, table.BACK[action], *("noop",) * (THROUGH - pushes - 1))
            plan = _came_out(stage.played(len(table.CONTEXT)), thing["id"], panels[0]["id"], dx)
            if plan is not None:
                return plan
    return None


def _lanes(stage: Reference, panel: np.ndarray) -> Iterator[tuple[dict[str, Any], str]]:
    """Things with the action that would push them under the panel and out at the other side."""
    width = stage.frame_size[1] / stage.frame_size[0]
    for thing, action in product(stage.objects(*table.MOVABLE), ("strafe_right", "strafe_left")):
        sign, (x, y) = table.DIRECTIONS[action][0], thing["position"][:2]
        room = width - panel[0] if sign > 0 else panel[0]
        near = 0.19 < sign * (panel[0] - x) < 0.65 and abs(y - panel[1]) < LANE and room > ROOM
        if near:
            yield thing, action


def _came_out(take: Rollout, number: int, panel: int, sign: int) -> Plan | None:
    """The plan with two looks at the thing beyond the panel; None where it was not hidden, or did not come
    out whole onto bare ground, or something else moved."""
    at, passed = take.prefix, passage(take, number, COVERED)
    if passed is None:
        return None
    first = passed.out[0]
    second = next((s for s in passed.out if _apart(take, at + first, at + s, number) > FURTHER), None)
    place, edge = take.object(at + first, number), take.object(at, panel)
    if second is None or place is None or edge is None:
        return None
    beyond = float(place["position"][0] - edge["position"][0])
    if sign * beyond < 0:
        return None
    near = moved_by(-2 * round(beyond * take.first.shape[0]), 0)
    return came_out(take, number, passed, second, (near, *SHIFTS))


def _apart(take: Rollout, a: int, b: int, number: int) -> float:
    """Metres between a thing's places at two steps."""
    one, other = take.object(a, number), take.object(b, number)
    return float(np.hypot(*(one["position"] - other["position"])[:2])) if one and other else np.inf


LOOKS = (
    Deed(
        "panel_passes", table.WORLD,
        "a thing over which the panel was slid is at its place when that has passed, in its colour, and not at another "
        "place that it covered too",
        ("strafe_left", "strafe_right", "noop"), panel_passes,
    ),
    Deed(
        "behind_panel", table.WORLD,
        "a thing that slides under the panel comes out at the far side, where the truth has it at two observations, "
        "not before, in its colour, and on that side alone",
        ("strafe_left", "strafe_right", "attack", "noop"), behind_panel,
    ),
)  # fmt: skip
