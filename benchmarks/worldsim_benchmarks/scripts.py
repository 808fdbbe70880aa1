"""Action scripts by name: what the true world and the candidate are both made to do.

Every script starts with a *prefix* played in the true world, whose frames are the candidate's context, and
goes on with *actions* played in both. The prefix of the there-and-back and in-room scripts looks left and
right, so that much of what comes can be known. Scripts do not depend on the world's seed: thus the true
rollout of another seed under the same actions (the floor ``other``) costs nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

LOOK_AROUND = ("turn_left",) * 2 + ("turn_right",) * 4 + ("turn_left",) * 2
STROLL = ("forward",) * 3 + ("turn_left",) * 2 + ("forward",) * 2 + ("turn_right",)

OPPOSITE = {
    "forward": "backward",
    "turn_left": "turn_right",
    "strafe_left": "strafe_right",
    "turn_left_small": "turn_right_small",
    "forward+turn_left": "forward+turn_right",
}
OPPOSITE |= {b: a for a, b in OPPOSITE.items()}
TURNS = {"turn_left": 1, "turn_right": -1}


@dataclass(frozen=True)
class Script:
    """``family`` is ``there_and_back``, ``in_room``, ``explore`` or ``control``; both parts are action
    names. ``thorough`` scripts are left out of quick runs."""

    name: str
    family: str
    prefix: tuple[str, ...]
    actions: tuple[str, ...]
    thorough: bool = False

    @property
    def known(self) -> bool:
        """Whether the script stays where the context tells what is to be seen."""
        return self.family in ("there_and_back", "in_room")


def cycle(pattern: Sequence[str], steps: int) -> tuple[str, ...]:
    """The pattern repeated to ``steps`` actions."""
    return tuple(pattern[i % len(pattern)] for i in range(steps))


def there_and_back(action: str, away: int, steps: int) -> tuple[str, ...]:
    """``away`` times the action, back, as far the other way, back, and so on."""
    back = OPPOSITE[action]
    return cycle((action,) * away + (back,) * (2 * away) + (action,) * away, steps)


def in_room(steps: int, seed: int, reach: int = 3, turn: int = 3) -> tuple[str, ...]:
    """A random walk that stays near its start: at most ``reach`` steps away on each axis, ``turn`` turns
    from the first heading (the bookkeeping assumes free space; a wall only shortens a walk)."""
    rng = np.random.default_rng(seed)
    axes = (
        ("forward", "backward", reach),
        ("strafe_left", "strafe_right", reach),
        ("turn_left", "turn_right", turn),
    )
    at = [0, 0, 0]
    out: list[str] = []
    while len(out) < steps:
        if rng.random() < 0.1:
            out.append("noop")
            continue
        axis = int(rng.choice(3, p=(0.35, 0.2, 0.45)))
        plus, minus, limit = axes[axis]
        direction = int(rng.choice((1, -1)))
        for _ in range(int(rng.integers(1, 4))):
            if abs(at[axis] + direction) > limit:
                break
            at[axis] += direction
            out.append(plus if direction > 0 else minus)
    return tuple(out[:steps])


def explore(steps: int, seed: int) -> tuple[str, ...]:
    """A random walk that goes places: runs forward, turns at random, tries doors, sometimes backs out of a
    corner."""
    rng = np.random.default_rng(seed)
    out: list[str] = []
    while len(out) < steps:
        side = "left" if rng.random() < 0.5 else "right"
        kind = rng.random()
        if kind < 0.45:
            out += ["forward"] * int(rng.integers(2, 7))
        elif kind < 0.75:
            out += [f"turn_{side}"] * int(rng.integers(1, 7))
        elif kind < 0.9:
            out += [f"forward+turn_{side}"] * int(rng.integers(1, 4))
        elif kind < 0.96:
            out += ["use", "noop", "forward"]
        else:
            out += ["backward"] * int(rng.integers(1, 3)) + [f"turn_{side}"] * int(rng.integers(4, 9))
    return tuple(out[:steps])


def twin_scripts(steps: int) -> tuple[Script, ...]:
    """The scripts of the free-running comparison, ``steps`` actions each.

    Neighbours in the list differ in family or in kind: ``action_shuffled`` gives each the actions of the
    next.
    """
    return (
        Script("turn_and_back", "there_and_back", LOOK_AROUND, there_and_back("turn_left", 3, steps)),
        Script("in_room_0", "in_room", LOOK_AROUND, in_room(steps, seed=11), True),
        Script("turn_far_and_back", "there_and_back", LOOK_AROUND, there_and_back("turn_right", 8, steps), True),
        Script("forward_and_back", "there_and_back", LOOK_AROUND, there_and_back("forward", 4, steps)),
        Script("strafe_and_back", "there_and_back", LOOK_AROUND, there_and_back("strafe_left", 3, steps), True),
        Script("in_room_1", "in_room", LOOK_AROUND, in_room(steps, seed=12), True),
        Script("explore", "explore", STROLL, explore(steps, seed=13)),
    )


def control_scripts(steps: int = 8) -> tuple[Script, ...]:
    """One command held: what does the picture do? From the look-around context."""
    commands = ("turn_left", "turn_right", "turn_left_small", "turn_right_small", "forward", "backward",
                "strafe_left", "strafe_right", "noop")  # fmt: skip
    return tuple(Script(f"hold_{c}", "control", LOOK_AROUND, (c,) * steps) for c in commands)


TURN_DEGREES = {"turn_left": 14.0, "turn_right": -14.0, "turn_left_small": 3.5, "turn_right_small": -3.5}
"""Commanded yaw per step of the conventions' worlds, in degrees; left is positive."""


def shuffled(scripts: Sequence[Script]) -> dict[str, tuple[str, ...]]:
    """Actions that ``action_shuffled`` plays for each script: those of the next in the list."""
    return {s.name: scripts[(i + 1) % len(scripts)].actions for i, s in enumerate(scripts)}
