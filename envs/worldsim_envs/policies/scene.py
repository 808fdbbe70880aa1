"""The explorer of the scene: pushes bodies about, slides the screen, and goes round with the camera and back."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from worldsim.actions import ACTION_ID
from worldsim_envs.policies.scripted import NOOP, TURNS, Point, Script, Scripted
from worldsim_envs.scene.layout import HALF, PUSHER_RADIUS

AHEAD, BACK, LEFT, RIGHT = (ACTION_ID[n] for n in ("forward", "backward", "strafe_left", "strafe_right"))
TILTS = (ACTION_ID["look_up"], ACTION_ID["look_down"])
STRIKE = ACTION_ID["attack"]
STEP = 0.14
"""Metres that the pusher moves in a step."""


class SceneExplorer(Scripted):
    """Pushes, strikes, slides the screen, circles and tilts the camera, rests."""

    @property
    def position(self) -> Point:
        x, y = self.info["truth"]["pusher"]["position"][:2]
        return float(x), float(y)

    def script(self) -> Script:
        deeds = (self.push, self.strike, self.slide, self.circle, self.glance, self.tilt, self.wander)
        weights = np.array([0.36, 0.08, 0.12, 0.16, 0.12, 0.08, 0.08])
        while True:
            yield from deeds[int(self.rng.choice(len(deeds), p=weights / weights.sum()))]()
            if self.chance(0.3):
                yield from self.hold(NOOP, 1, 4)

    # deeds ----------------------------------------------------------------------------------------------------------

    def push(self) -> Script:
        """From behind a body through it, to a place or to the target."""
        bodies = self.objects("cube", "ball", "cylinder")
        body = bodies[int(self.rng.integers(len(bodies)))]
        place = np.array(body["position"][:2])
        target = self.world.layout.target
        aim = np.array(target if target and self.chance(0.5) else self.somewhere())
        along = (aim - place) / max(float(np.hypot(*(aim - place))), 1e-6)
        yield from self.go(tuple(place - along * 0.3))
        yield from self.go(tuple(aim - along * 0.1))

    def strike(self) -> Script:
        """Turns the camera so that a body lies ahead of the pusher, and strikes."""
        bodies = self.objects("cube", "ball", "cylinder")
        yield from self.face(bodies[0]["position"], within=14.0, patience=14)
        yield STRIKE
        yield from self.hold(NOOP, 0, 3)

    def slide(self) -> Script:
        """Pushes the screen along itself, from one of its ends."""
        screens = self.objects("occluder")
        if not screens:
            return
        middle = np.array(screens[0]["position"][:2])
        along = np.array(screens[0]["rotation"])[:2, 0] * (1 if self.chance(0.5) else -1)
        yield from self.go(tuple(middle - along * 0.6))
        yield from self.go(tuple(middle + along * 0.2))

    def circle(self) -> Script:
        yield from self.hold(TURNS[int(self.rng.integers(2))], 2, 14)

    def tilt(self) -> Script:
        yield from self.hold(TILTS[int(self.rng.integers(2))], 1, 4)

    def wander(self) -> Script:
        yield from self.go(self.somewhere())

    # skills ---------------------------------------------------------------------------------------------------------

    def somewhere(self) -> Point:
        x, y = self.rng.uniform(-HALF + PUSHER_RADIUS, HALF - PUSHER_RADIUS, 2)
        return float(x), float(y)

    def go(self, point: tuple[float, ...], near: float = STEP / 2, patience: int = 24) -> Iterator[int]:
        """Towards ``point`` in steps ahead, back and aside as the camera sees them."""
        first = int(self.rng.integers(2))
        for _ in range(patience):
            yaw = np.radians(self.yaw)
            x, y = np.array(point[:2]) - self.position
            gap = (x * np.cos(yaw) + y * np.sin(yaw), -x * np.sin(yaw) + y * np.cos(yaw))  # ahead, to the left
            if max(map(abs, gap)) <= near:
                return
            axis = first if abs(gap[first]) > near else 1 - first
            yield ((BACK, AHEAD) if axis == 0 else (RIGHT, LEFT))[int(gap[axis] > 0)]
