"""What the consistency suite commands: turns, pans, walks there and back, and a walk out of the context and home.

A wall or a plain corner makes some scripts say nothing on some maps, so walks have variants (left or right, forward or
backward, four ways out), and the true world alone decides which one a map is asked. Pans take turns by map seed. Ways
through rooms are planned on the map (``probes/doom_loops.py``). Turns of 14 degrees and small ones of 3.5 make 360.5
degrees, the nearest to a whole turn that these worlds can do.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np

from worldsim_benchmarks.geometry import co_visible
from worldsim_benchmarks.probes.doom_loops import next_room, way_round
from worldsim_benchmarks.scripts import LOOK_AROUND, OPPOSITE, TURN_DEGREES
from worldsim_benchmarks.truth import Reference, Rollout

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
    ``turn`` (yaw from pictures), ``walk`` (parallax), ``both``, or ``rooms`` (both, and parallax far off too).
    ``returns``: the last picture shows what the context showed. ``remembers``: it shows what the candidate itself
    showed earlier. ``alike``: the scene looks alike from other sides (a square floor does every quarter of a turn), so
    that the last picture must also match its place better than the other sides. ``walked`` makes the true rollout on a
    map of a script that depends on the map (None where it has no such way), from actions that ``variants`` lists.
    ``thorough`` scripts are left out of quick runs."""

    kind: str
    variants: tuple[tuple[str, ...], ...]
    choose: Callable[[Rollout], float] | None = None
    prefix: tuple[str, ...] = LOOK_AROUND
    returns: bool = True
    remembers: bool = False
    alike: bool = False
    walked: Callable[[Reference, int], Rollout | None] | None = None
    thorough: bool = False

    @property
    def actions(self) -> tuple[str, ...]:
        """All that are commanded, by name."""
        return tuple(sorted({name for variant in self.variants for name in (*self.prefix, *variant)}))


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
    context, later = rollout.views[: rollout.prefix + 1], rollout.views[rollout.prefix + 1 :]
    at_end = float(co_visible(later[-1], context).mean())
    if at_end < SEEN_AT_END or all(co_visible(view, context).mean() > OUT_OF_SIGHT for view in later):
        return at_end - 1.0
    return by_way(rollout)


WALKING = (("forward", "backward", "strafe_left", "strafe_right", *TURN_DEGREES, "use", "noop"),)
"""Actions of one who walks from point to point."""
PLANS: dict[str, Plan] = {  # a task's place is in the seeds of its episodes: new ones come last
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
    "next_room_and_back": Plan("rooms", WALKING, walked=partial(next_room, door=False, length=64), thorough=True),
    "door_and_back": Plan("rooms", WALKING, walked=partial(next_room, door=True, length=72), thorough=True),
    "four_rooms_round": Plan("rooms", WALKING, walked=partial(way_round, length=176), thorough=True),
}


def choose(plan: Plan, map_seed: int, play: Callable[[tuple[str, ...]], Rollout]) -> Rollout:
    """The true rollout of the variant that a map is asked; ``play`` makes that of given actions."""
    if plan.choose is None:
        return play(plan.variants[map_seed % len(plan.variants)])
    return max((play(v) for v in plan.variants), key=plan.choose)
