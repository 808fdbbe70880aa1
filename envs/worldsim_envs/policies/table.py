"""The explorer of the table: goes to things and does to them what can be done, and often comes back to look again."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from worldsim.actions import ACTION_ID
from worldsim_envs.policies.scripted import NOOP, Point, Script, Scripted
from worldsim_envs.table.layout import DEPTH, HAND_RADIUS, RIM

UP, DOWN, LEFT, RIGHT = (ACTION_ID[n] for n in ("forward", "backward", "strafe_left", "strafe_right"))
USE, STRIKE, PLANT, TOOL = (ACTION_ID[n] for n in ("use", "attack", "place", "next_item"))
STEP = 0.12
"""Metres that the hand moves in a step once it is under way."""


class TableExplorer(Scripted):
    """Pushes, bites, strikes, switches, paints, plants, slides the panel, and rests."""

    @property
    def position(self) -> Point:
        x, y = self.info["truth"]["hand"]["position"]
        return float(x), float(y)

    def script(self) -> Script:
        deeds = (self.push, self.bite, self.strike, self.switch, self.paint, self.sow, self.slide, self.wander)
        weights = np.array([0.28, 0.16, 0.14, 0.08, 0.12, 0.05, 0.09, 0.08])
        while True:
            yield from deeds[int(self.rng.choice(len(deeds), p=weights / weights.sum()))]()
            if self.chance(0.3):
                yield from self.hold(NOOP, 1, 4)

    # deeds ----------------------------------------------------------------------------------------------------------

    def push(self) -> Script:
        """From behind a thing through it, to a place or to the target."""
        things = self.objects("disc", "box", "apple", "ball")
        if not things:
            yield from self.wander()
            return
        thing = things[int(self.rng.integers(len(things)))]
        place = np.array(thing["position"][:2])
        targets = self.world.layout.target
        aim = np.array(targets if targets and self.chance(0.5) else self.somewhere())
        along = (aim - place) / max(float(np.hypot(*(aim - place))), 1e-6)
        yield from self.hand_only()
        yield from self.go(tuple(place - along * 0.2))
        yield from self.go(tuple(aim - along * 0.05))

    def bite(self) -> Script:
        yield from self.at_thing("apple", [USE] * int(self.rng.integers(1, 9)))

    def switch(self) -> Script:
        yield from self.at_thing("switch", [USE])

    def strike(self) -> Script:
        """Faces a pane, or any thing, and strikes at it."""
        things = self.objects("pane") or self.objects("disc", "box")
        if not things:
            return
        x, y = things[int(self.rng.integers(len(things)))]["position"][:2]
        yield from self.hand_only()
        side = int(self.rng.integers(4))
        dx, dy, action = ((-0.22, 0, RIGHT), (0.22, 0, LEFT), (0, -0.22, UP), (0, 0.22, DOWN))[side]
        yield from self.go((x + dx, y + dy))
        yield action
        yield STRIKE
        yield from self.hold(NOOP, 0, 3)

    def paint(self) -> Script:
        """A few strokes, more than half of them over the target where there is one."""
        target = self.world.layout.target
        if not self.info["truth"]["hand"]["brush"]:
            yield TOOL
        for _ in range(int(self.rng.integers(1, 4))):
            spot = self.somewhere()
            if target and self.chance(0.6):
                spot = tuple(np.array(target) + self.rng.uniform(-0.1, 0.1, 2))
            yield from self.go(spot)
        if self.chance(0.8):
            yield TOOL

    def sow(self) -> Script:
        yield from self.go(self.somewhere())
        yield PLANT

    def slide(self) -> Script:
        """Pushes the panel's handle along its rail, from a side that has room."""
        handle = self.world.table.handle
        if handle is None:
            return
        yield from self.hand_only()
        x, y = handle.body.position
        side = 1 if self.chance(0.5) else -1
        yield from self.go((x - side * 0.12, y + 0.1))
        yield from self.go((x - side * 0.12, y))
        yield from self.hold(RIGHT if side > 0 else LEFT, 2, 7)

    def wander(self) -> Script:
        yield from self.go(self.somewhere())

    # skills ---------------------------------------------------------------------------------------------------------

    def somewhere(self) -> Point:
        low = RIM + HAND_RADIUS
        return (
            float(self.rng.uniform(low, self.world.layout.width - low)),
            float(self.rng.uniform(low, DEPTH - low)),
        )

    def hand_only(self) -> Script:
        """Puts the brush away."""
        if self.info["truth"]["hand"]["brush"]:
            yield TOOL

    def at_thing(self, kind: str, deeds: list[int]) -> Script:
        """Goes beside a thing of ``kind`` and does ``deeds`` there."""
        things = self.objects(kind)
        if not things:
            return
        thing = things[int(self.rng.integers(len(things)))]
        yield from self.go(tuple(thing["position"][:2]), near=0.15)
        yield from deeds

    def go(self, point: tuple[float, ...], near: float = STEP / 2, patience: int = 22) -> Iterator[int]:
        """Towards ``point``, one axis after the other, until within ``near`` or out of patience."""
        first = int(self.rng.integers(2))
        for _ in range(patience):
            gap = np.array(point[:2]) - self.position
            if np.abs(gap).max() <= near:
                return
            axis = first if abs(gap[first]) > STEP / 2 else 1 - first
            yield ((LEFT, RIGHT) if axis == 0 else (DOWN, UP))[int(gap[axis] > 0)]
