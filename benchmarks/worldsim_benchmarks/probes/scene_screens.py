"""What the scene's screen hides while the camera stands still: a thing that is pushed through behind it.

The camera may be put to any side of the scene, so the side is chosen from which a push across the view leads a thing
out of sight and out again. Balls roll by themselves, so a plan must hold however they are kicked. Metres, and degrees
of yaw.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np

from worldsim_benchmarks.probes.hiding import SHIFTS, came_out, passage
from worldsim_benchmarks.probes.plan import Deed, Plan
from worldsim_benchmarks.probes.presence import moved_by, pixels
from worldsim_benchmarks.truth import Pose, Reference, Rollout

WORLD = "worldsim/Scene-v0"
CONTEXT = ("noop",) * 4
MOVABLE = ("cube", "cylinder")
SIDES = {"strafe_right": 1, "strafe_left": -1}
YAWS = range(0, 360, 10)
SCREEN = (0.42, 0.3)
"""Half the width and half the height of the screen."""
BODY = 0.11
"""Half the width of a small thing; whether a larger one is hidden whole is seen when it is played."""
BESIDE = 0.18
"""From the middle of a thing to the screen that it passes."""
HEAVIEST = 4.0
"""kg that the pusher moves easily."""
STEP = 0.14
"""What a push moves in a step."""
RUN_UPS = (0.2, 0.24, 0.28, 0.31)
"""From the pusher to the middle of the thing that it is about to push: the first that is free."""
THROUGH = 18
"""Steps of a push through behind the screen, waiting included: plans of a task are of equal length."""
PUSHES = range(4, 13)
"""Steps after which a push may have led a thing out of sight and out again."""
ON = 3
"""Steps that it is then pushed on, so that it comes out whole and its speed can be seen."""
BOUND = 1.04
"""How far from the middle of the floor a thing may be pushed."""
CLEAR = 0.32
"""Between the middles of things that shall not meet."""
KICKS = (1, 2, 3)
"""Seeds of other kicks of the balls under which a plan must hold."""
FURTHER = 2.0
"""Pixels (at 64 rows) between the two looks at a thing that came out."""
TRIES = 6
"""Ways that are played on one map."""


@dataclass(frozen=True)
class Way:
    """A push, seen from ``yaw``, that should lead a thing through behind the screen: ``pushes`` steps, of which the
    first leads up to it."""

    number: int
    action: str
    yaw: float
    middle: np.ndarray
    along: np.ndarray
    pushes: int


def behind_screen(stage: Reference, map_seed: int) -> Plan | None:
    """A push leads a thing behind the screen, and out on the other side."""
    stage.reset(map_seed)
    screens = stage.objects("occluder")
    if not screens:
        return None
    for _, way in zip(range(TRIES), list(_ways(stage, screens[0]))):
        if any(stage.reset(map_seed, _before(way, run_up)) for run_up in RUN_UPS):
            waits = THROUGH - way.pushes
            stage.do(*CONTEXT, *(way.action,) * way.pushes, *("noop",) * waits)
            plan = _emerged(stage.played(len(CONTEXT)), way.number, screens[0]["id"])
            if plan is not None and _whatever_rolls(stage, plan):
                return plan
    return None


def _before(way: Way, run_up: float) -> Pose:
    x, y = way.middle[:2] - run_up * way.along[:2]
    return float(x), float(y), way.yaw


def _ways(stage: Reference, screen: dict[str, Any]) -> Iterator[Way]:
    """Pushes across the view that start in view, are hidden whole by the screen, end in view, and meet nothing."""
    camera = stage.truth["camera"]
    eye, yaw = np.asarray(camera["c2w"])[:3, 3], float(camera["yaw"])
    places = {o["id"]: np.asarray(o["position"]) for o in stage.truth["objects"] if o["id"] != screen["id"]}
    light = [o for o in stage.objects(*MOVABLE) if o["mass"] < HEAVIEST]
    for thing, to, (action, side) in product(light, YAWS, SIDES.items()):
        turn, facing = np.radians(to - yaw), np.radians(to)
        seen_from = np.array([[np.cos(turn), -np.sin(turn), 0], [np.sin(turn), np.cos(turn), 0], [0, 0, 1]]) @ eye
        along = side * np.array([np.sin(facing), -np.cos(facing), 0.0])
        path = [places[thing["id"]] + k * STEP * along for k in range(PUSHES[-1] + 1)]
        if not any(_hides(screen, seen_from, p) for p in path):
            continue  # what hides a thing whole hides its middle
        others = [p for number, p in places.items() if number != thing["id"]]
        free = [_free(p, others, screen) for p in path]
        covered = [_covered(seen_from, p, along, screen) for p in path]
        hidden = [k for k, c in enumerate(covered) if c == 1]
        out = [k for k in PUSHES if hidden and k > hidden[-1] and max(covered[k - 1 : k + 1]) == 0]
        if covered[0] == 0 and out and all(free[: out[0] + 1]):
            yield Way(thing["id"], action, float(to), places[thing["id"]], along, out[0] + ON + 1)


def _free(place: np.ndarray, others: Sequence[np.ndarray], screen: dict[str, Any]) -> bool:
    """Whether a thing can be there without meeting the rim, another thing or the screen."""
    local = np.asarray(screen["rotation"]).T @ (place - np.asarray(screen["position"]))
    beside = np.hypot(max(abs(local[0]) - SCREEN[0], 0), local[1]) > BESIDE
    apart = all(np.hypot(*(place - other)[:2]) > CLEAR for other in others)
    return bool(beside and apart and np.abs(place[:2]).max() < BOUND)


def _covered(eye: np.ndarray, place: np.ndarray, along: np.ndarray, screen: dict[str, Any]) -> float:
    """Share of a thing's outermost points that the screen hides from ``eye``."""
    up = np.array([0.0, 0.0, BODY])
    corners = [place + across * BODY * along + high * up for across, high in product((-1, 1), (-0.6, 1))]
    return float(np.mean([_hides(screen, eye, corner) for corner in corners]))


def _hides(screen: dict[str, Any], eye: np.ndarray, point: np.ndarray) -> bool:
    """Whether the line from ``eye`` to ``point`` goes through the screen."""
    turn, middle = np.asarray(screen["rotation"]).T, np.asarray(screen["position"])
    a, b = turn @ (eye - middle), turn @ (point - middle)
    if a[1] * b[1] >= 0:
        return False
    met = a + a[1] / (a[1] - b[1]) * (b - a)
    return bool(abs(met[0]) < SCREEN[0] and abs(met[2]) < SCREEN[1])


def _emerged(take: Rollout, number: int, screen: int) -> Plan | None:
    """The plan of a push that did what it should; None where it did not."""
    passed = passage(take, number)
    if passed is None:
        return None
    at, scale = take.prefix, take.first.shape[0] / 64
    places = {s: _middle(take, at + s, number) for s in passed.out}
    first = places[passed.out[0]]
    second = next((s for s, p in places.items() if np.hypot(*(p - first)) > FURTHER * scale), None)
    if second is None:
        return None
    beyond = first[0] - _middle(take, at, screen)[0]
    went_in = _middle(take, at, number)[0] - _middle(take, at, screen)[0]
    if beyond * went_in >= 0:
        return None
    return came_out(take, number, passed, second, (moved_by(-2 * round(beyond), 0), *SHIFTS), margin=1)


def _whatever_rolls(stage: Reference, plan: Plan) -> bool:
    """Whether the true world passes whatever its balls do, which nobody can foresee."""
    take = plan.acted
    if not stage.first_objects("ball"):
        return True
    others = [stage.play(take.names, take.map_seed, take.prefix, take.pose, dynamics=seed) for seed in KICKS]
    return all(
        look.holds(other.frame(take.prefix + look.step), True)
        for other in others
        for look in (*plan.gates, *plan.checks)
    )


def _middle(take: Rollout, step: int, number: int) -> np.ndarray:
    """Column and row of the middle of a thing's pixels after ``step`` steps."""
    rows, columns = np.nonzero(pixels(take, step, number))
    return np.array([columns.mean(), rows.mean()])


LOOKS = (
    Deed(
        "behind_screen", WORLD,
        "a thing that is pushed through behind the screen comes out at the far side, where the truth has it at two "
        "observations, not before, in its colour, and on that side alone",
        (*SIDES, "noop"), behind_screen,
    ),
)  # fmt: skip
