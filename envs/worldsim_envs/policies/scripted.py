"""Policies written as scripts: generators that yield actions and look at the world's truth between them.

A script reads like what it does ("turn to the ball, walk there, look back") and is closed-loop: every skill
looks at the pose again after each action, so that a noise action thrown in does not derail it. Positions are
metres, angles degrees, anticlockwise from +x.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from worldsim.actions import ACTION_ID

NOOP, FORWARD, BACKWARD = 0, ACTION_ID["forward"], ACTION_ID["backward"]
STRAFES = (ACTION_ID["strafe_left"], ACTION_ID["strafe_right"])
TURNS = (ACTION_ID["turn_left"], ACTION_ID["turn_right"])
SMALL_TURNS = (ACTION_ID["turn_left_small"], ACTION_ID["turn_right_small"])
CURVES = (ACTION_ID["forward+turn_left"], ACTION_ID["forward+turn_right"])
USE, ATTACK = ACTION_ID["use"], ACTION_ID["attack"]

CURVE_RADIUS = 3.5
"""Metres: 0.87 a step at full speed, turned by 14 degrees."""

Script = Iterator[int]
Point = tuple[float, float]


class Scripted:
    """Base class: a subclass writes ``script``, an endless generator of action ids."""

    world: Any
    info: Mapping[str, Any]
    rng: np.random.Generator

    def __init__(self) -> None:
        self._running: Script | None = None
        self._was: Point | None = None
        self.velocity: Point = (0.0, 0.0)

    def act(self, env: Any, obs: np.ndarray, info: Mapping[str, Any], rng: np.random.Generator) -> int:
        self.world, self.info, self.rng = env.unwrapped, info, rng
        (x, y), (old_x, old_y) = self.position, self._was or self.position
        self.velocity, self._was = (x - old_x, y - old_y), (x, y)
        if self._running is None:
            self._running = self.script()
        return next(self._running)

    def script(self) -> Script:
        raise NotImplementedError

    # What it sees

    @property
    def position(self) -> Point:
        x, y = self.info["truth"]["camera"]["c2w"][:2, 3]
        return float(x), float(y)

    @property
    def yaw(self) -> float:
        return float(self.info["truth"]["camera"]["yaw"])

    def objects(self, *classes: str) -> list[Mapping[str, Any]]:
        """Objects of the given classes, nearest first."""
        found = [thing for thing in self.info["truth"]["objects"] if thing["class"] in classes]
        return sorted(found, key=lambda thing: self.distance(thing["position"]))

    def distance(self, point: Sequence[float]) -> float:
        x, y = self.position
        return float(np.hypot(point[0] - x, point[1] - y))

    @property
    def ahead(self) -> Point:
        """Where the player drifts to within about a step: it slides on for two metres when it stops
        walking."""
        (x, y), (dx, dy) = self.position, self.velocity
        return x + dx, y + dy

    def bearing(self, point: Sequence[float], seen_from: Point | None = None) -> float:
        """Degrees to turn left to face ``point`` (from another place than the own one), in (-180, 180]."""
        x, y = seen_from or self.position
        return wrapped(float(np.degrees(np.arctan2(point[1] - y, point[0] - x))) - self.yaw)

    def chance(self, probability: float) -> bool:
        return bool(self.rng.random() < probability)

    # Skills

    def hold(self, action: int, low: int, high: int) -> Script:
        """One action for ``low`` to ``high`` steps."""
        for _ in range(int(self.rng.integers(low, high + 1))):
            yield action

    def face(self, point: Sequence[float], within: float = 8.0, patience: int = 20) -> Script:
        """Turns in place until ``point`` is ahead."""
        for _ in range(patience):
            error = self.bearing(point)
            if abs(error) <= within:
                return
            yield pick(
                TURNS if abs(error) > 8 or SMALL_TURNS[0] not in self.world.spec_world.reads else SMALL_TURNS,
                error,
            )

    def walk_to(self, point: Point, near: float = 0.6, blocked: Callable[[], Script] | None = None) -> Iterator[int]:
        """Walks straight to ``point``; ``blocked`` says what to do against an obstacle. Gives up at the
        third."""
        obstacles, still = 0, 0
        for _ in range(12 + 3 * int(self.distance(point))):
            gone = np.hypot(point[0] - self.ahead[0], point[1] - self.ahead[1])
            if min(self.distance(point), float(gone)) <= near:
                return
            action = steer(self.bearing(point, self.ahead), self.distance(point))
            yield action
            still = still + 1 if action not in TURNS and np.hypot(*self.velocity) < 0.08 else 0
            if still >= 3:
                obstacles, still = obstacles + 1, 0
                if obstacles == 3:
                    return
                yield from blocked() if blocked is not None else self.back_off()

    def back_off(self) -> Script:
        """Away from an obstacle: a turn of 40 to 140 degrees to a random side and a few steps."""
        turn = pick(TURNS, self.rng.random() - 0.5)
        yield from self.hold(turn, 3, 10)
        yield from self.hold(FORWARD, 2, 5)

    def glance(self, low: int = 3, high: int = 13) -> Script:
        """Turns away and back by as many steps: what was in view must be there again."""
        side = int(self.rng.integers(2))
        steps = int(self.rng.integers(low, high + 1))
        for _ in range(steps):
            yield TURNS[side]
        yield from self.hold(NOOP, 0, 2)
        for _ in range(steps):
            yield TURNS[1 - side]

    def spin(self) -> Script:
        """A turn in place of up to a whole circle."""
        yield from self.hold(TURNS[int(self.rng.integers(2))], 4, 26)


def wrapped(degrees: float) -> float:
    """An angle in (-180, 180]."""
    return 180.0 - (180.0 - degrees) % 360.0


def pick(pair: Sequence[int], error: float) -> int:
    """The left or right action of a pair, by the sign of the angle to the left."""
    return pair[0] if error > 0 else pair[1]


def steer(error: float, distance: float) -> int:
    """The walking action for a target ``error`` degrees to the left: turn, walk a curve, or walk straight.

    At full speed a curve has a radius of ``CURVE_RADIUS``, so what lies inside of it is first faced.
    """
    if abs(error) <= 9:
        return FORWARD
    reachable = distance > 2 * CURVE_RADIUS * np.sin(np.radians(min(abs(error), 90)))
    return pick(CURVES if abs(error) < 60 and reachable else TURNS, error)
