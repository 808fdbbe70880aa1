"""What the consistency suite commands: turns, pans, walks there and back, and a walk out of the context and home.

A wall or a plain corner makes some scripts say nothing on some maps, so walks have variants (left or right, forward or
backward, four ways out), and the true world alone decides which one a map is asked. Pans take turns by map seed. Turns
of 14 degrees and small ones of 3.5 make 360.5 degrees, the nearest to a whole turn that these worlds can do.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from worldsim_benchmarks.scripts import LOOK_AROUND, OPPOSITE
from worldsim_benchmarks.truth import Rollout

SPIN = ("turn_left",) * 25 + ("turn_left_small",) * 3
HALF_SPIN = ("turn_left",) * 13
SEEN_AT_END = 0.5
"""Share of the last picture that the context must have shown, so that a walk home can be judged."""
OUT_OF_SIGHT = 0.2
"""On the way some picture must show less than this share of the context: the context was left."""


@dataclass(frozen=True)
class Plan:
    """A task's script: ``variants`` of the actions after the prefix, and ``choose``, which gives the truth of one
    variant a number; the best is asked (None: variants take turns by map seed). ``kind`` says what is measured:
    ``turn`` (yaw from pictures), ``walk`` (parallax) or ``both``. ``returns``: the last picture shows what the context
    showed. ``remembers``: it shows what the candidate itself showed earlier. ``alike``: the scene
    looks alike from other sides (a square floor does every quarter of a turn), so that the last picture must also match
    its place better than the other sides."""

    kind: str
    variants: tuple[tuple[str, ...], ...]
    choose: Callable[[Rollout], float] | None = None
    prefix: tuple[str, ...] = LOOK_AROUND
    returns: bool = True
    remembers: bool = False
    alike: bool = False


def _there_and_back(action: str, steps: int) -> tuple[str, ...]:
    return (action,) * steps + (OPPOSITE[action],) * steps


def _sides(action: str, steps: int) -> tuple[tuple[str, ...], ...]:
    return _there_and_back(action, steps), _there_and_back(OPPOSITE[action], steps)


def _leave(first: int, steps: int = 5) -> tuple[str, ...]:
    """Turns ``first`` times to the left, walks, turns round, walks back, turns on to the first heading."""
    walk = ("forward",) * steps
    return ("turn_left",) * first + walk + ("turn_left",) * 13 + walk + ("turn_left",) * (13 - first)


def by_way(rollout: Rollout) -> float:
    """Metres between the turning point and the start of the script."""
    positions = np.array([v.c2w[:3, 3] for v in rollout.views[rollout.prefix :]])
    return float(np.linalg.norm(positions - positions[0], axis=1).max())


def by_return(rollout: Rollout) -> float:
    """Metres walked, where the context was left and is seen again at the end; less than 0 elsewhere."""
    shares = rollout.masks(bottom=0).mean((1, 2))
    if shares[-1] < SEEN_AT_END or shares.min() > OUT_OF_SIGHT:
        return float(shares[-1]) - 1.0
    return by_way(rollout)


PLANS: dict[str, Plan] = {
    "turn_360": Plan("turn", (SPIN,)),
    "turn_540": Plan("turn", (SPIN + HALF_SPIN,), returns=False, remembers=True),
    "pan_45": Plan("turn", _sides("turn_left", 3)),
    "pan_90": Plan("turn", _sides("turn_left", 6)),
    "pan_180": Plan("turn", _sides("turn_left", 13)),
    "strafe_and_back": Plan("walk", _sides("strafe_left", 3), by_way),
    "forward_and_back": Plan("walk", _sides("forward", 4), by_way),
    "leave_and_return": Plan("both", tuple(_leave(n) for n in (0, 4, 9, 13)), by_return),
    "orbit_and_back": Plan("walk", _sides("turn_left", 6), alike=True),
    "orbit_360": Plan("walk", (SPIN, tuple(OPPOSITE[a] for a in SPIN)), alike=True),
}


def choose(plan: Plan, map_seed: int, play: Callable[[tuple[str, ...]], Rollout]) -> Rollout:
    """The true rollout of the variant that a map is asked; ``play`` makes that of given actions."""
    if plan.choose is None:
        return play(plan.variants[map_seed % len(plan.variants)])
    return max((play(v) for v in plan.variants), key=plan.choose)
