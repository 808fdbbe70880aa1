"""The plan of a DoomRooms map in metres: rooms, passages, pillars, things, and what can be seen from a point.

Metres are 32 map units; x points east, y north, yaw runs anticlockwise from +x. Rectangles are (x0, y0, x1,
y1)."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from worldsim.captions.facts import Surface, Thing
from worldsim_envs.things import inventory

UNITS_PER_METRE = 32.0
Rect = tuple[float, float, float, float]
RAYS = 24


def light_name(light: int) -> str:
    """Name of a light level (0 to 255)."""
    return "dark" if light < 132 else "dim" if light < 204 else "bright"


@dataclass(frozen=True)
class Room:
    """A room: its rectangle, surfaces, light level (0 to 255) and ceiling height in metres."""

    rect: Rect
    wall: Surface
    floor: Surface
    ceiling: Surface
    light: int
    height: float
    pillars: tuple[Rect, ...] = ()

    def holds(self, x: float, y: float, margin: float = 0.0) -> bool:
        """Whether (x, y) lies in the room, ``margin`` metres away from its walls and pillars."""
        return inside(self.rect, x, y, -margin) and not any(inside(p, x, y, margin) for p in self.pillars)


@dataclass(frozen=True)
class Passage:
    """A corridor between two rooms (indices into ``MapLayout.rooms``), along ``x`` or ``y``.

    ``door`` tells whether a door stands in it, at ``door_rect``, of colour ``colour``.
    """

    rooms: tuple[int, int]
    rect: Rect
    axis: str
    wall: Surface
    floor: Surface
    ceiling: Surface
    light: int
    door: bool = False
    colour: str = ""
    door_rect: Rect | None = None

    @property
    def centre(self) -> tuple[float, float]:
        x0, y0, x1, y1 = self.door_rect or self.rect
        return (x0 + x1) / 2, (y0 + y1) / 2


@dataclass(frozen=True)
class Placed:
    """A thing as the map spawns it, in metres."""

    shape: str
    colour: str
    x: float
    y: float
    room: int


@dataclass(frozen=True)
class MapLayout:
    """A whole map. ``start`` is x, y in metres and yaw in whole degrees."""

    seed: int
    rooms: tuple[Room, ...]
    passages: tuple[Passage, ...]
    things: tuple[Placed, ...]
    start: tuple[float, float, float]

    def room_at(self, x: float, y: float) -> int | None:
        """Index of the room that holds (x, y), None in a passage or outside."""
        return next((i for i, room in enumerate(self.rooms) if inside(room.rect, x, y, 0.0)), None)

    def is_floor(self, x: float, y: float) -> bool:
        """Whether (x, y) lies in a room or passage and not in a pillar."""
        return any(room.holds(x, y) for room in self.rooms) or any(inside(p.rect, x, y) for p in self.passages)

    def common_walls(self, n: int = 2) -> tuple[Surface, ...]:
        """The wall surfaces of the most wall, longest first."""
        lengths: Counter[Surface] = Counter()
        for room in self.rooms:
            x0, y0, x1, y1 = room.rect
            lengths[room.wall] += round(32 * (x1 - x0 + y1 - y0))
        return tuple(surface for surface, _ in lengths.most_common(n))

    def inventory(self) -> tuple[Thing, ...]:
        """All things of the map, counted by kind, in the order in which the map names them."""
        return inventory((thing.shape, thing.colour) for thing in self.things)

    def look(
        self, x: float, y: float, yaw: float, field_of_view: float, open_doors: frozenset[int]
    ) -> tuple[Room | Passage, tuple[str, ...]]:
        """The room or passage whose walls fill most of the view, and the colours of closed doors in sight.

        Rays are cast in the plane, so heights do not count.
        """
        angles = np.radians(yaw + field_of_view * (0.5 - (np.arange(RAYS) + 0.5) / RAYS))
        owners = _first_hits(np.array([x, y]), angles, *self._segments(open_doors))
        counts = Counter(owners.tolist())
        spaces: tuple[Room | Passage, ...] = (*self.rooms, *self.passages)
        doors = {self.passages[o - len(spaces)].colour for o in counts if o >= len(spaces) and counts[o] > 1}
        seen = {o: n for o, n in counts.items() if 0 <= o < len(spaces)}
        here = next((i for i, space in enumerate(spaces) if inside(space.rect, x, y)), 0)
        most = max(seen, key=lambda o: (seen[o] + 0.5 * (o == here), -o)) if seen else here
        return spaces[most], tuple(sorted(doors))

    def _segments(self, open_doors: frozenset[int]) -> tuple[np.ndarray, np.ndarray]:
        solid, solid_owner, doors, door_owner = self._walls
        spaces = len(self.rooms) + len(self.passages)
        closed = [i for i, owner in enumerate(door_owner) if owner - spaces not in open_doors]
        if not closed:
            return solid, solid_owner
        return np.concatenate([solid, doors[closed]]), np.concatenate([solid_owner, door_owner[closed]])

    @cached_property
    def _walls(self) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Wall and door segments ``(S, 4)`` with owners: rooms, then passages, then doors by passage."""
        solid: list[tuple[float, float, float, float]] = []
        owner: list[int] = []
        for i, room in enumerate(self.rooms):
            gaps = [p.rect for p in self.passages if i in p.rooms]
            for edge in _edges(room.rect):
                pieces = _subtract(edge, gaps)
                solid += pieces
                owner += [i] * len(pieces)
            for pillar in room.pillars:
                solid += _edges(pillar)
                owner += [i] * 4
        doors, door_owner = [], []
        for i, passage in enumerate(self.passages):
            sides = _edges(passage.rect)
            walls = sides[1::2] if passage.axis == "x" else sides[0::2]
            solid += walls
            owner += [len(self.rooms) + i] * 2
            if passage.door_rect is not None:
                ends = _edges(passage.door_rect)
                doors += ends[0::2] if passage.axis == "x" else ends[1::2]
                door_owner += [len(self.rooms) + len(self.passages) + i] * 2
        return (
            np.array(solid, float).reshape(-1, 4),
            np.array(owner, int),
            np.array(doors, float).reshape(-1, 4),
            np.array(door_owner, int),
        )


def inside(rect: Rect, x: float, y: float, margin: float = 0.0) -> bool:
    """Whether (x, y) lies in ``rect`` grown by ``margin``."""
    x0, y0, x1, y1 = rect
    return x0 - margin <= x <= x1 + margin and y0 - margin <= y <= y1 + margin


def _edges(rect: Rect) -> list[tuple[float, float, float, float]]:
    """West, north, east, south edge as (ax, ay, bx, by)."""
    x0, y0, x1, y1 = rect
    return [(x0, y0, x0, y1), (x0, y1, x1, y1), (x1, y0, x1, y1), (x0, y0, x1, y0)]


def _subtract(edge: tuple[float, float, float, float], gaps: list[Rect]) -> list[tuple[float, float, float, float]]:
    """The pieces of an axis-parallel edge that no passage opens."""
    ax, ay, bx, by = edge
    along = 1 if ax == bx else 0
    fixed = edge[1 - along]
    pieces = [(edge[along], edge[along + 2])]
    for gap in gaps:
        if fixed not in (gap[1 - along], gap[3 - along]):
            continue
        low, high = gap[along], gap[along + 2]
        pieces = [
            piece
            for start, end in pieces
            for piece in ((start, min(end, low)), (max(start, high), end))
            if piece[1] > piece[0]
        ]
    return [(ax, s, bx, e) if along else (s, ay, e, by) for s, e in pieces]


def _first_hits(origin: np.ndarray, angles: np.ndarray, segments: np.ndarray, owners: np.ndarray) -> np.ndarray:
    """Owner of the nearest segment along each angle, -2 where a ray meets none."""
    direction_R2 = np.stack([np.cos(angles), np.sin(angles)], 1)
    a_S2, along_S2 = segments[:, :2], segments[:, 2:] - segments[:, :2]
    to_S2 = a_S2 - origin
    # origin + t * direction = a + u * along, by Cramer's rule
    cross_RS = direction_R2[:, :1] * along_S2[:, 1] - direction_R2[:, 1:] * along_S2[:, 0]
    with np.errstate(divide="ignore", invalid="ignore"):
        t_RS = (to_S2[:, 0] * along_S2[:, 1] - to_S2[:, 1] * along_S2[:, 0]) / cross_RS
        u_RS = (to_S2[:, 0] * direction_R2[:, 1:] - to_S2[:, 1] * direction_R2[:, :1]) / cross_RS
    hit_RS = (t_RS > 1e-6) & (u_RS >= -1e-9) & (u_RS <= 1 + 1e-9)
    nearest_R = np.where(hit_RS, t_RS, np.inf).argmin(1)
    return np.where(hit_RS.any(1), owners[nearest_R], -2)
