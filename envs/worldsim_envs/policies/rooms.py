"""Explorer of DoomRooms: walks through the passages of the map to random points and does there what there is
to do."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Mapping
from typing import Any

import numpy as np

from worldsim.worlds import COLLECTIBLES
from worldsim_envs.policies.scripted import (
    ATTACK,
    BACKWARD,
    FORWARD,
    NOOP,
    SMALL_TURNS,
    STRAFES,
    TURNS,
    USE,
    Point,
    Script,
    Scripted,
)

DOOR_STEPS = 8
"""Steps in which a door opens far enough to walk through."""
DOOR_REACH = 1.9
"""Metres from the middle of a door at which it is used: the engine's reach is 64 units, two metres."""
AT_DOORS = 0.35
"""Share of the episodes, in maps with doors, that begin before one."""


class RoomsExplorer(Scripted):
    """Visits rooms (the less visited the likelier), collects, pushes, shoots, opens doors, looks back and
    around.

    It likes the goal of the episode, if there is one, better than other collectibles, so that goals are
    reached.
    """

    def __init__(self) -> None:
        super().__init__()
        self.visits: Counter[int] = Counter()
        self._door: tuple[Point, Point] | None = None
        """The door that it begins before: its middle, and a point behind it."""

    def start(self, world: Any, rng: np.random.Generator) -> tuple[float, float, float] | None:
        """Now and then before a door, which is rare in what is seen of a map otherwise: a pose (x, y, yaw), else
        None."""
        doors = [passage for passage in world.layout.passages if passage.door]
        if not doors or rng.random() >= AT_DOORS:
            return None
        passage = doors[int(rng.integers(len(doors)))]
        toward, back = int(rng.integers(2)) * 180.0 + (0.0 if passage.axis == "x" else 90.0), rng.uniform(1.3, 2.6)
        (x, y), (dx, dy) = passage.centre, (np.cos(np.radians(toward)), np.sin(np.radians(toward)))
        self._door = (x, y), (float(x + 2 * dx), float(y + 2 * dy))
        aside = float(rng.uniform(-0.3, 0.3))
        yaw = float(toward + rng.uniform(-10, 10)) % 360
        return float(x - back * dx - aside * dy), float(y - back * dy + aside * dx), yaw

    def script(self) -> Script:
        if self._door is not None and self.distance(self._door[0]) < 3:  # the pose may have been refused
            yield from self.use_door(*self._door)
        skills = {
            self.visit: 0.14, self.collect: 0.28, self.push: 0.08, self.open_door: 0.18, self.glance: 0.08,
            self.spin: 0.05, self.strafe: 0.07, self.there_and_back: 0.06, self.shoot: 0.05, self.fiddle: 0.05,
        }  # fmt: skip
        names, weights = list(skills), np.array(list(skills.values()))
        while True:
            room = self.world.layout.room_at(*self.position)
            if room is not None:
                self.visits[room] += 1
            yield from names[int(self.rng.choice(len(names), p=weights / weights.sum()))]()
            yield NOOP if self.chance(0.3) else SMALL_TURNS[int(self.rng.integers(2))]

    # Skills

    def visit(self) -> Script:
        """Walks to a random point of a random room."""
        rooms = len(self.world.layout.rooms)
        weights = np.array([1.0 / (1 + self.visits[i]) for i in range(rooms)])
        room = int(self.rng.choice(rooms, p=weights / weights.sum()))
        yield from self.travel(self.free_point(room))

    def collect(self) -> Script:
        """Walks to a collectible: the goal's, if there is one, else one of the nearest."""
        things = self.objects(*COLLECTIBLES)
        wanted = [t for t in things if self.world.goal == f"collect the {t['colour']} {t['class']}"]
        things = wanted if wanted and self.chance(0.7) else things[:4]
        if not things:
            yield from self.visit()
            return
        thing = things[int(self.rng.integers(len(things)))]
        yield from self.travel(spot(thing), near=0.7)

    def push(self) -> Script:
        """Walks into a near box and on, so that it is pushed."""
        boxes = [box for box in self.objects("box")[:3] if self.distance(spot(box)) < 9 or self.chance(0.1)]
        if not boxes:
            return
        box = boxes[int(self.rng.integers(len(boxes)))]
        yield from self.travel(spot(box), near=1.8)
        if self.distance(spot(box)) < 3:
            yield from self.face(spot(box))
            yield from self.hold(FORWARD, 4, 10)
            if self.chance(0.5):
                yield from self.hold(BACKWARD, 2, 5)

    def open_door(self) -> Script:
        """Walks to the nearest door of this room, or of all where it has none, and uses it, open or closed."""
        doors = [passage for passage in self.world.layout.passages if passage.door]
        if not doors:
            return
        here = self.world.layout.room_at(*self.position)
        passage = min(doors, key=lambda p: (here not in p.rooms, self.distance(p.centre)))
        room = here if here in passage.rooms else passage.rooms[int(self.rng.integers(2))]
        entry, leave = self.mouths(passage, room)
        if here != room:
            yield from self.travel(entry, near=1.0)
        yield from self.cross_room(room, entry, near=0.6)
        yield from self.use_door(passage.centre, leave)

    def use_door(self, door: Point, behind: Point) -> Script:
        """Goes up to a door that is straight ahead and uses it, if it can be reached; waits or looks away and back, and
        goes to the point ``behind`` it, uses it again, or waits until it has closed."""
        for _ in range(12):  # it may stand deep in a corridor
            if self.distance(door) < DOOR_REACH:
                break
            yield from self.face(behind, within=5)
            yield FORWARD
        yield from self.face(behind, within=5)
        yield from self.hold(NOOP, 0, 2)  # it slides on
        if self.distance(door) >= DOOR_REACH:
            return
        yield USE
        then = self.rng.random()
        if then < 0.3:
            yield from self.hold(NOOP, 0, DOOR_STEPS)
            yield from self.glance(2, 9)
        else:
            yield from self.hold(NOOP, DOOR_STEPS - 1, DOOR_STEPS + 2)
        if then < 0.6:
            yield from self.walk_to(behind, near=0.5, blocked=self.obstacle)
        elif then < 0.8:
            yield USE
            yield from self.hold(NOOP, 2, DOOR_STEPS)
        elif then < 0.9:
            yield from self.hold(BACKWARD, 1, 5)
            yield from self.hold(NOOP, 40, 60)

    def shoot(self) -> Script:
        """Faces something visible (or, now and then, nothing) and attacks one to three times."""
        seen = [thing for thing in self.info["truth"]["objects"] if thing["visible"] and thing["class"] in TARGETS]
        if seen and self.chance(0.8):
            yield from self.face(spot(seen[int(self.rng.integers(len(seen)))]), within=4)
        for _ in range(int(self.rng.integers(1, 4))):
            yield ATTACK
            yield from self.hold(NOOP, 0, 4)

    def strafe(self) -> Script:
        """Strafes to one side and, half of the time, back by as many steps."""
        side, steps = int(self.rng.integers(2)), int(self.rng.integers(2, 9))
        for _ in range(steps):
            yield STRAFES[side]
        if self.chance(0.5):
            for _ in range(steps):
                yield STRAFES[1 - side]

    def there_and_back(self) -> Script:
        """Walks ahead and back, backwards or after turning round."""
        steps = int(self.rng.integers(3, 10))
        for _ in range(steps):
            yield FORWARD
        if self.chance(0.5):
            for _ in range(steps):
                yield BACKWARD
        else:
            turn = TURNS[int(self.rng.integers(2))]
            for _ in range(13):  # 182 degrees
                yield turn
            for _ in range(steps):
                yield FORWARD

    def fiddle(self) -> Script:
        """Stands, backs up, uses, or turns by small steps."""
        action = int(self.rng.choice([NOOP, BACKWARD, USE, *SMALL_TURNS, *SMALL_TURNS]))
        yield from self.hold(action, 1, 6)

    # Ways

    def travel(self, target: Point, near: float = 0.6) -> Script:
        """Walks to ``target`` through the passages, and round pillars; looks back now and then on the way."""
        here = self.world.layout.room_at(*self.position)
        there = self.world.layout.room_at(*target)
        if here is None or there is None:  # in a passage: to a room first
            here = self.nearest_room()
            yield from self.walk_to(self.middle(here), near=1.5, blocked=self.obstacle)
            there = here if there is None else there
        room = here
        for number in self.route(here, there):
            passage = self.world.layout.passages[number]
            entry, leave = self.mouths(passage, room)
            yield from self.cross_room(room, entry, near=0.4)
            if self.chance(0.1):
                yield from self.glance(5, 13)
            yield from self.walk_to(leave, near=0.5, blocked=self.obstacle)
            room = passage.rooms[1] if room == passage.rooms[0] else passage.rooms[0]
            if self.world.layout.room_at(*self.position) != room:
                return
            self.visits[room] += 1
        yield from self.cross_room(room, target, near)

    def cross_room(self, room: int, target: Point, near: float = 0.6) -> Script:
        """Walks to a point of the same room, by a free point from where pillars do not stand in the way."""
        pillars = self.world.layout.rooms[room].pillars
        if not clear(self.position, target, pillars):
            for _ in range(30):
                detour = self.free_point(room)
                if clear(self.position, detour, pillars) and clear(detour, target, pillars):
                    yield from self.walk_to(detour, blocked=self.obstacle)
                    break
        yield from self.walk_to(target, near, blocked=self.obstacle)

    def obstacle(self) -> Script:
        """Opens the door ahead, if there is one within reach, else steps aside."""
        doors = [p.centre for p in self.world.layout.passages if p.door]
        if any(self.distance(door) < 2.2 and abs(self.bearing(door)) < 60 for door in doors):
            yield USE
            if self.chance(0.3):
                yield from self.hold(BACKWARD, 1, 3)
            yield from self.hold(NOOP, DOOR_STEPS - 2, DOOR_STEPS)
            return
        if self.chance(0.5):
            yield from self.hold(BACKWARD, 1, 3)
        yield from self.hold(STRAFES[int(self.rng.integers(2))], 2, 5)

    def route(self, here: int, there: int) -> list[int]:
        """Passages of a shortest way between two rooms."""
        passages = self.world.layout.passages
        came: dict[int, tuple[int, int]] = {}
        seen, queue = {here}, deque([here])
        while queue:
            room = queue.popleft()
            for number in self.rng.permutation(len(passages)):
                if room in passages[number].rooms:
                    a, b = passages[number].rooms
                    other = b if room == a else a
                    if other not in seen:
                        seen.add(other)
                        came[other] = (room, int(number))
                        queue.append(other)
        way: list[int] = []
        while there != here and there in came:
            there, number = came[there]
            way.append(number)
        return way[::-1]

    def mouths(self, passage: Any, room: int) -> tuple[Point, Point]:
        """Points before the passage in ``room`` and behind it, on a lane beside its middle line."""
        x0, y0, x1, y1 = passage.rect
        along = passage.axis == "x"
        slack = max(0.0, (y1 - y0 if along else x1 - x0) / 2 - 0.9)
        lane = ((y0 + y1) / 2 if along else (x0 + x1) / 2) + float(self.rng.uniform(-slack, slack))
        ends = (x0 - 0.9, x1 + 0.9) if along else (y0 - 0.9, y1 + 0.9)
        points = [(end, lane) if along else (lane, end) for end in ends]
        nearer = self.world.layout.room_at(*points[0]) == room
        return (points[0], points[1]) if nearer else (points[1], points[0])

    def free_point(self, room: int) -> Point:
        """A random point of a room, a metre off its walls and pillars."""
        place = self.world.layout.rooms[room]
        x0, y0, x1, y1 = place.rect
        for _ in range(50):
            x, y = float(self.rng.uniform(x0 + 1, x1 - 1)), float(self.rng.uniform(y0 + 1, y1 - 1))
            if place.holds(x, y, 0.9):
                return x, y
        return self.middle(room)

    def middle(self, room: int) -> Point:
        x0, y0, x1, y1 = self.world.layout.rooms[room].rect
        return (x0 + x1) / 2, (y0 + y1) / 2

    def nearest_room(self) -> int:
        """The room whose rectangle is nearest."""
        x, y = self.position
        gaps = []
        for room in self.world.layout.rooms:
            x0, y0, x1, y1 = room.rect
            gaps.append(np.hypot(max(x0 - x, 0, x - x1), max(y0 - y, 0, y - y1)))
        return int(np.argmin(gaps))


TARGETS = (*COLLECTIBLES, "box", "cone", "barrel")


def spot(thing: Mapping[str, Any]) -> Point:
    x, y = thing["position"][:2]
    return float(x), float(y)


def clear(a: Point, b: Point, pillars: tuple[tuple[float, float, float, float], ...], margin: float = 0.7) -> bool:
    """Whether the straight way from ``a`` to ``b`` keeps ``margin`` metres off all pillars."""
    way = np.linspace(a, b, 24)
    for x0, y0, x1, y1 in pillars:
        inside = (way[:, 0] > x0 - margin) & (way[:, 0] < x1 + margin)
        if (inside & (way[:, 1] > y0 - margin) & (way[:, 1] < y1 + margin)).any():
            return False
    return True
