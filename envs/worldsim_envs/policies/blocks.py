"""The explorer of the block world: walks to things, digs, picks, builds, jumps up hills, looks about and back."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from worldsim.actions import ACTION_ID
from worldsim_envs.policies.scripted import ATTACK, FORWARD, NOOP, STRAFES, TURNS, Point, Script, Scripted, pick

BACK, JUMP, PLACE, SNEAK, NEXT = (ACTION_ID[n] for n in ("backward", "jump", "place", "sneak", "next_item"))
HOP, CHARGE = ACTION_ID["forward+jump"], ACTION_ID["forward+attack"]
LOOKS = (ACTION_ID["look_up"], ACTION_ID["look_down"])
TILT = 14.0
"""Degrees that a look turns the camera by."""
REACH = 3.5
"""Metres from which things are dug."""


class BlocksExplorer(Scripted):
    """Goes for what stands about, and wanders between."""

    def script(self) -> Script:
        deeds = (self.roam, self.fetch, self.dig_ground, self.build, self.glance, self.gaze, self.spin, self.aside)
        weights = np.array([0.3, 0.22, 0.1, 0.12, 0.09, 0.08, 0.05, 0.04])
        while True:
            yield from deeds[int(self.rng.choice(len(deeds), p=weights))]()
            yield from self.level()
            if self.chance(0.2):
                yield from self.hold(NOOP, 1, 3)

    # What it sees

    @property
    def pitch(self) -> float:
        return float(self.info["truth"]["camera"]["pitch"])

    @property
    def pointed(self) -> str:
        """Node that is looked at within reach, "" for none."""
        return str(self.info["truth"]["pointed"]["node"])

    # deeds ----------------------------------------------------------------------------------------------------------

    def roam(self) -> Script:
        """Some way in a new direction, up hills and round trees."""
        yield from self.hold(TURNS[int(self.rng.integers(2))], 0, 7)
        angle = np.radians(self.yaw)
        x, y = self.position
        way = float(self.rng.uniform(5, 20))
        yield from self.walk((x + way * np.cos(angle), y + way * np.sin(angle)), near=1.0)

    def fetch(self) -> Script:
        """To one of the nearest things, and digs or picks it."""
        things = self.objects("tree", "cactus", "flower", "coal", "iron ore", "lamp")[:5]
        if not things:
            yield from self.roam()
            return
        thing = things[int(self.rng.integers(len(things)))]
        place = tuple(thing["position"][:2])
        yield from self.walk((float(place[0]), float(place[1])), near=2.0)
        if self.distance(place) > REACH:
            return
        yield from self.face(place, within=8.0)
        yield from self.tilt_to(-14.0 if thing["class"] == "tree" else -42.0)
        yield from self.dig(int(self.rng.integers(2, 7)))

    def dig_ground(self) -> Script:
        """A hole or a step into what lies before the feet."""
        yield from self.tilt_to(float(self.rng.choice([-28.0, -42.0, -56.0])))
        for _ in range(int(self.rng.integers(1, 4))):
            yield from self.dig(3)
            if self.chance(0.4):
                yield CHARGE

    def build(self) -> Script:
        """Puts a few blocks before itself, often of another kind than before."""
        yield from self.hold(NEXT, 0, 2)
        yield from self.tilt_to(float(self.rng.choice([-28.0, -42.0])))
        for _ in range(int(self.rng.integers(1, 5))):
            yield PLACE
            yield pick(TURNS, self.rng.random() - 0.5) if self.chance(0.6) else BACK

    def gaze(self) -> Script:
        """Up to the sky or down to the feet, and back."""
        side, steps = int(self.rng.integers(2)), int(self.rng.integers(1, 5))
        for action in (LOOKS[side], LOOKS[1 - side]):
            for _ in range(steps):
                yield action
            yield from self.hold(NOOP, 0, 2)

    def aside(self) -> Script:
        yield from self.hold((*STRAFES, BACK, SNEAK, JUMP)[int(self.rng.integers(5))], 1, 5)

    # skills ---------------------------------------------------------------------------------------------------------

    def tilt_to(self, pitch: float) -> Script:
        for _ in range(8):
            if abs(self.pitch - pitch) <= TILT / 2:
                return
            yield pick(LOOKS, pitch - self.pitch)

    def level(self) -> Script:
        yield from self.tilt_to(0.0)

    def dig(self, most: int) -> Script:
        """Attacks while something is in reach, at most ``most`` times."""
        for _ in range(most):
            if not self.pointed:
                return
            yield ATTACK

    def walk(self, point: Point, near: float) -> Iterator[int]:
        """Straight to ``point``: jumps at what is in the way, digs through leaves, goes round what is too high."""
        stuck = 0
        for _ in range(8 + 2 * int(self.distance(point))):
            if self.distance(point) <= near:
                return
            error = self.bearing(point)
            if abs(error) > 10:
                yield pick(TURNS, error)
                continue
            before = self.distance(point)
            yield HOP if stuck or self.info["truth"]["player"]["in_water"] else FORWARD
            stuck = stuck + 1 if before - self.distance(point) < 0.25 else 0
            if stuck >= 3:
                if self.pointed in ("leaves", "pine_leaves", "cactus"):
                    yield from self.dig(2)
                else:
                    yield from self.hold(TURNS[int(self.rng.integers(2))], 3, 6)
                    yield from self.hold(HOP, 2, 4)
                    return
                stuck = 0
