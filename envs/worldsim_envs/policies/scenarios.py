"""Explorers of the stock scenarios. Each draws a character per episode, so that recordings hold good play,
bad play and what follows from both: deaths as well as survival, misses as well as hits."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from worldsim_envs.policies.floorplan import Floorplan
from worldsim_envs.policies.scripted import ATTACK, CURVES, FORWARD, NOOP, STRAFES, Point, Script, Scripted


@lru_cache(maxsize=4)
def stock_floorplan(name: str) -> Floorplan:
    """Floorplan of a scenario that ships with ViZDoom."""
    import vizdoom

    return Floorplan.of_wad(Path(vizdoom.__file__).parent / "scenarios" / f"{name}.wad")


class Wanderer(Scripted):
    """Walks to random reachable points of a stock map along free ways, looks back and around on the way."""

    scenario: str

    @property
    def plan(self) -> Floorplan:
        return stock_floorplan(self.scenario)

    def travel(self, target: Point, near: float = 0.7) -> Script:
        for point in self.plan.way(self.position, target, self.rng):
            yield from self.walk_to(point, near=near if point == target else 1.1)
            if self.chance(0.04):
                yield from self.glance()
            if self.distance(point) > 3:  # pushed aside or stuck: plan again later
                return

    def wander(self) -> Script:
        """To a random point, or a few steps of something else."""
        if self.chance(0.8):
            yield from self.travel(self.plan.random_point(self.position, self.rng))
        elif self.chance(0.4):
            yield from self.glance()
        elif self.chance(0.5):
            yield from self.spin()
        elif self.chance(0.5):
            yield from self.hold(CURVES[int(self.rng.integers(2))], 3, 12)
        else:
            yield from self.hold(int(self.rng.choice([NOOP, FORWARD])), 2, 8)


class MyWayHomeExplorer(Wanderer):
    """Wanders through the maze; in half of the episodes it walks to the vest after a while."""

    scenario = "my_way_home"

    def script(self) -> Script:
        errands = int(self.rng.integers(1, 12)) if self.chance(0.5) else None
        while True:
            yield from self.wander()
            if errands is not None:
                errands -= 1
                vests = self.objects("GreenArmor")
                if errands <= 0 and vests:
                    x, y = vests[0]["position"][:2]
                    yield from self.travel((float(x), float(y)), near=0.4)


class HealthGatheringExplorer(Wanderer):
    """Walks to medkits that it sees; careless ones (a third of the episodes) mostly wander, and die."""

    scenario = "health_gathering"

    def script(self) -> Script:
        care = float(self.rng.choice([0.15, 0.6, 0.95]))
        while True:
            medkits = [kit for kit in self.objects("Medikit") if kit["visible"]][:3]
            if medkits and self.chance(care):
                kit = medkits[0] if self.chance(0.7) else medkits[int(self.rng.integers(len(medkits)))]
                x, y = kit["position"][:2]
                yield from self.walk_to((float(x), float(y)), near=0.4)
            elif self.chance(care):
                yield from self.spin_until_seen()
            else:
                yield from self.wander()

    def spin_until_seen(self) -> Script:
        """Walks a curve until a medkit comes into view."""
        curve = CURVES[int(self.rng.integers(2))]
        for _ in range(int(self.rng.integers(4, 20))):
            yield curve if self.chance(0.8) else FORWARD
            if any(kit["visible"] for kit in self.objects("Medikit")):
                return


class TakeCoverExplorer(Scripted):
    """Strafes for a while and switches, or dodges fireballs, or walks into their way, by the episode's
    character."""

    def script(self) -> Script:
        dodge = float(self.rng.choice([0.0, 0.5, 0.95]))
        seek = 0.5 if self.chance(0.25) else 0.0
        side = int(self.rng.integers(2))
        while True:
            threat = self.threat()
            if threat is not None and self.chance(seek):
                yield from self.hold(STRAFES[0] if threat > 0 else STRAFES[1], 1, 3)
            elif threat is not None and self.chance(dodge):
                side = int(threat > 0)  # away from where it will pass
                if self.blocked(side):
                    side = 1 - side
                yield from self.hold(STRAFES[side], 1, 3)
            elif self.chance(0.25):
                yield from self.hold(NOOP, 1, 6)
            else:
                if self.chance(0.5) or self.blocked(side):
                    side = 1 - side
                was = self.position
                for _ in range(int(self.rng.integers(2, 13))):
                    yield STRAFES[side]
                    if self.distance(was) < 0.05:
                        break
                    was = self.position

    def threat(self) -> float | None:
        """Metres to the left (negative: right) at which the next fireball will pass, None where none comes
        near."""
        x, y = self.position
        passing = []
        for ball in self.objects("DoomImpBall"):
            (bx, by), (vx, vy) = ball["position"][:2], ball["velocity"][:2]
            speed_in = -np.sign(bx - x) * vx
            if speed_in > 0.5:
                seconds = abs(bx - x) / speed_in
                offset = by + vy * seconds - y
                if seconds < 2 and abs(offset) < 1.5:
                    passing.append((seconds, float(offset)))
        facing = 1.0 if np.cos(np.radians(self.yaw)) > 0 else -1.0
        return facing * min(passing)[1] if passing else None

    def blocked(self, side: int) -> bool:
        """Whether the wall at that side is within a metre."""
        left = 1.0 if np.cos(np.radians(self.yaw)) > 0 else -1.0
        y = self.position[1] + (left if side == 0 else -left)
        low, high = stock_floorplan("take_cover").bounds(self.position[0])
        return not low + 0.5 < y < high - 0.5


class BasicExplorer(Scripted):
    """Strafes until the monster is ahead and shoots; sloppy ones shoot beside it, or stroll first."""

    def script(self) -> Script:
        skill = float(self.rng.choice([0.2, 0.7, 1.0]))
        for _ in range(int(self.rng.integers(0, 4))):
            yield from self.hold(STRAFES[int(self.rng.integers(2))], 1, 10)
        while True:
            target = self.target()
            if target is None or not self.chance(skill):
                yield from self.hold(int(self.rng.choice([NOOP, ATTACK, *STRAFES])), 1, 5)
            elif abs(self.bearing(target["position"])) < 2.5:
                yield ATTACK
                yield from self.hold(NOOP, 1, 3)
            else:
                yield STRAFES[0] if self.bearing(target["position"]) > 0 else STRAFES[1]

    def target(self) -> Mapping[str, Any] | None:
        monsters = [thing for thing in self.info["truth"]["objects"] if thing["class"] not in HARMLESS]
        return monsters[0] if monsters else None


HARMLESS = ("DoomPlayer", "BulletPuff", "Blood", "player", "puff")
