"""Seeded maps of DoomRooms: rooms of varying sizes on a grid, corridors, doors, pillars and things.

A map is a pure function of its seed (and of a goal, whose thing it is then sure to hold). It comes as a
``MapLayout`` in metres, from which facts and captions are read, and as a WAD for the engine: because we
write the map, we know it."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache
from typing import NamedTuple

from worldsim.captions.facts import Surface
from worldsim.worlds import COLLECTIBLES, COLOURS
from worldsim_envs.doom.layout import UNITS_PER_METRE, MapLayout, Passage, Placed, Rect, Room, inside
from worldsim_envs.doom.textures import PATTERNS, STOCK_FLATS, STOCK_WALLS, surface_lump
from worldsim_envs.doom.wad import PLAYER_START, STOCK_ACTORS, UdmfMap, clockwise, editor_number

PITCH = 512  # map units between the centres of neighbouring cells
HALF_MIN, HALF_MAX = 96, 232  # half extents of a room, so that passages are 48 to 320 units long
HEIGHTS = (96, 112, 128, 160)
LIGHTS = (96, 168, 240)
PASSAGE_HEIGHT = 88
PASSAGE_WIDTHS = (64, 80, 96)
DOOR_THICKNESS = 16
DOOR_SHARE = 0.45
STOCK_SHARE = 0.3
SOLID = ("box", "cone", "lamp")
DOORWAY_CLEAR = 2.0  # metres around a passage in which nothing solid stands, so that it stays open
APART = 1.5  # metres between things
TRIES = 400
SURFACE_DOOR_PATTERN = "stripe"

IntRect = tuple[int, int, int, int]


@lru_cache(maxsize=64)
def generate(seed: int, goal: str = "") -> MapLayout:
    """The map of ``seed``. With a goal ("collect the red ball") one collectible is of that kind."""
    rng = random.Random(seed)
    cells = _cells(rng)
    rects = {cell: _room_rect(rng, cell) for cell in cells}
    index = {cell: i for i, cell in enumerate(cells)}
    rooms = [_room(rng, rects[cell]) for cell in cells]
    passages = [
        _passage(rng, (index[a], index[b]), rects[a], rects[b], rooms[index[a]], rooms[index[b]])
        for a, b in _links(rng, cells)
    ]
    things = _things(rng, rooms, passages)
    if goal:
        colour, shape = goal.removeprefix("collect the ").split()
        if not any((t.shape, t.colour) == (shape, colour) for t in things):
            first = next(i for i, t in enumerate(things) if t.shape in COLLECTIBLES)
            things[first] = replace(things[first], shape=shape, colour=colour)
    spot = _free_spot(rng, rooms, [(t.x, t.y) for t in things])
    if spot is None:
        raise RuntimeError(f"map seed {seed} has no free floor to start from")
    x, y, _ = spot
    return MapLayout(seed, tuple(rooms), tuple(passages), tuple(things), (x, y, float(rng.randrange(360))))


def _cells(rng: random.Random) -> list[tuple[int, int]]:
    """A connected set of 3 to 7 cells of a grid."""
    count = rng.randint(3, 7)
    cells = [(0, 0)]
    while len(cells) < count:
        x, y = rng.choice(cells)
        dx, dy = rng.choice(((1, 0), (-1, 0), (0, 1), (0, -1)))
        if (x + dx, y + dy) not in cells and abs(x + dx) <= 1 and abs(y + dy) <= 1:
            cells.append((x + dx, y + dy))
    return cells


def _links(rng: random.Random, cells: list[tuple[int, int]]) -> list[tuple[tuple[int, int], tuple[int, int]]]:
    """Pairs of neighbours (west before east, south before north): a spanning tree and some loops."""
    pairs = [((x, y), (x + dx, y + dy)) for x, y in cells for dx, dy in ((1, 0), (0, 1)) if (x + dx, y + dy) in cells]
    rng.shuffle(pairs)
    group = {cell: i for i, cell in enumerate(cells)}
    links = []
    for a, b in pairs:
        if group[a] == group[b]:
            if rng.random() < 0.4:
                links.append((a, b))
            continue
        joined = group[b]
        group = {cell: group[a] if g == joined else g for cell, g in group.items()}
        links.append((a, b))
    return links


def _room_rect(rng: random.Random, cell: tuple[int, int]) -> IntRect:
    halves = [8 * rng.randint(HALF_MIN // 8, HALF_MAX // 8) for _ in range(4)]
    cx, cy = cell[0] * PITCH, cell[1] * PITCH
    return cx - halves[0], cy - halves[1], cx + halves[2], cy + halves[3]


def _surface(rng: random.Random, stock: tuple[Surface, ...], other_than: tuple[Surface, ...] = ()) -> Surface:
    """A surface of our own, or in three of ten one of Freedoom's; no colour of ``other_than``."""
    taken = {surface.colour for surface in other_than}
    if rng.random() < STOCK_SHARE:
        return rng.choice([surface for surface in stock if surface.colour not in taken])
    return Surface(rng.choice([c for c in COLOURS if c not in taken]), rng.choice(PATTERNS))


def _room(rng: random.Random, rect: IntRect) -> Room:
    wall = _surface(rng, STOCK_WALLS)
    floor = _surface(rng, STOCK_FLATS, (wall,))
    ceiling = _surface(rng, STOCK_FLATS, (wall, floor))
    x0, y0, x1, y1 = rect
    pillars = []
    if rng.random() < 0.5 and min(x1 - x0, y1 - y0) >= 256:
        size = rng.choice((32, 48))
        # off the axes of the room's passages, which all cross the middle of the cell
        px, py = rng.choice((x0 + 72, x1 - 72 - size)), rng.choice((y0 + 72, y1 - 72 - size))
        pillars.append(_metres((px, py, px + size, py + size)))
    return Room(
        _metres(rect),
        wall,
        floor,
        ceiling,
        rng.choice(LIGHTS),
        rng.choice(HEIGHTS) / UNITS_PER_METRE,
        tuple(pillars),
    )


def _passage(rng: random.Random, rooms: tuple[int, int], a: IntRect, b: IntRect, first: Room, second: Room) -> Passage:
    axis = "x" if a[2] < b[0] else "y"
    across = 1 if axis == "x" else 0
    width = rng.choice(PASSAGE_WIDTHS)
    low, high = max(a[across], b[across]) + 16, min(a[across + 2], b[across + 2]) - 16 - width
    start = 8 * rng.randint(-(-low // 8), high // 8)
    begin, end = (a[2], b[0]) if axis == "x" else (a[3], b[1])

    def rect(lo: int, hi: int) -> IntRect:
        return (lo, start, hi, start + width) if axis == "x" else (start, lo, start + width, hi)

    door = rng.random() < DOOR_SHARE
    colour = rng.choice([c for c in COLOURS if c != first.wall.colour])
    middle = (begin + end) // 2
    # a door stands near one of the two rooms, so that it is seen from there and not only in the corridor
    at = rng.choice((begin + 8, middle - DOOR_THICKNESS // 2, end - 8 - DOOR_THICKNESS))
    wall = _surface(rng, STOCK_WALLS)
    floor = _surface(rng, STOCK_FLATS, (wall,))
    return Passage(
        rooms,
        _metres(rect(begin, end)),
        axis,
        wall,
        floor,
        first.ceiling,
        (first.light + second.light) // 2,
        door,
        colour if door else "",
        _metres(rect(at, at + DOOR_THICKNESS)) if door else None,
    )


def _things(rng: random.Random, rooms: list[Room], passages: list[Passage]) -> list[Placed]:
    kinds = ["collectible"] * rng.randint(5, 10) + ["box"] * rng.randint(1, 3) + ["cone"] * rng.randint(1, 3)
    kinds += [kind for kind in STOCK_ACTORS for _ in range(rng.randint(0, 1))]
    doorways = [_grown(passage.rect, DOORWAY_CLEAR) for passage in passages]
    things: list[Placed] = []
    for kind in kinds:
        shape = rng.choice(COLLECTIBLES) if kind == "collectible" else kind
        colour = "" if kind in STOCK_ACTORS else rng.choice(COLOURS)
        kept_free = doorways if kind in SOLID else []
        spot = _free_spot(rng, rooms, [(t.x, t.y) for t in things], kept_free)
        if spot is not None:
            things.append(Placed(shape, colour, *spot))
    return things


def _free_spot(
    rng: random.Random, rooms: list[Room], taken: list[tuple[float, float]], kept_free: Sequence[Rect] = ()
) -> tuple[float, float, int] | None:
    """A point of a room, clear of walls, pillars, ``kept_free`` and of what stands there already, and the
    room's index; None where so many tries found none."""
    for _ in range(TRIES):
        room = rng.randrange(len(rooms))
        x0, y0, x1, y1 = rooms[room].rect
        x, y = (round(rng.uniform(lo + 1.25, hi - 1.25) * 32) / 32 for lo, hi in ((x0, x1), (y0, y1)))
        clear = all(abs(x - a) > APART or abs(y - b) > APART for a, b in taken)
        clear = clear and not any(inside(rect, x, y) for rect in kept_free)
        if clear and rooms[room].holds(x, y, 1.0):
            return x, y, room
    return None


def _grown(rect: Rect, by: float) -> Rect:
    x0, y0, x1, y1 = rect
    return x0 - by, y0 - by, x1 + by, y1 + by


class MapFile(NamedTuple):
    """A map as a WAD that the engine can open by name, and the sector number of each door by its passage."""

    wad: bytes
    doors: dict[int, int]


@lru_cache(maxsize=64)
def to_wad(layout: MapLayout) -> MapFile:
    """Writes the map for the engine."""
    udmf = UdmfMap()
    sectors = [
        udmf.sector(_flat(room.floor), _flat(room.ceiling), round(room.height * 32), room.light)
        for room in layout.rooms
    ]
    openings: list[list[Rect]] = [[] for _ in layout.rooms]
    doors = {}
    for i, passage in enumerate(layout.passages):
        door = _write_passage(udmf, layout, passage, sectors)
        if door is not None:
            doors[i] = door
        for end in passage.rooms:
            openings[end].append(passage.rect)
    for room, sector, gaps in zip(layout.rooms, sectors, openings):
        for a, b in clockwise(_units(room.rect)):
            for p, q in _pieces(a, b, [_units(gap) for gap in gaps]):
                udmf.wall(p, q, sector, _wall(room.wall))
        for pillar in room.pillars:
            for a, b in clockwise(_units(pillar)):
                udmf.wall(b, a, sector, _wall(room.wall))
    x, y, yaw = layout.start
    udmf.thing(x * 32, y * 32, PLAYER_START, round(yaw))
    for thing in layout.things:
        udmf.thing(thing.x * 32, thing.y * 32, editor_number(thing.colour, thing.shape))
    return MapFile(udmf.wad(), doors)


def _flat(surface: Surface) -> str:
    return surface_lump(surface, flat=True)


def _wall(surface: Surface) -> str:
    return surface_lump(surface, flat=False)


def _write_passage(udmf: UdmfMap, layout: MapLayout, passage: Passage, sectors: list[int]) -> int | None:
    """Corridor, door and corridor between two rooms, with their portals; returns the door's sector."""
    low, high = passage.rooms
    along = 0 if passage.axis == "x" else 1
    rect = _units(passage.rect)
    wall, floor = _wall(passage.wall), _flat(passage.floor)
    light, ceiling = passage.light, _flat(passage.ceiling)

    def corridor() -> tuple[int, str]:
        return udmf.sector(floor, ceiling, PASSAGE_HEIGHT, light), wall

    cuts = [rect[along], rect[along + 2]]
    parts = [corridor()]
    door = None
    if passage.door_rect is not None:
        door_units = _units(passage.door_rect)
        face = _wall(Surface(passage.colour, SURFACE_DOOR_PATTERN))
        door = (udmf.sector(floor, face, 0, light), face)
        cuts[1:1] = [door_units[along], door_units[along + 2]]
        parts += [door, corridor()]
    for (sector, texture), lo, hi in zip(parts, cuts, cuts[1:]):
        piece = list(rect)
        piece[along], piece[along + 2] = lo, hi
        edges = clockwise(piece)
        for a, b in edges[1::2] if passage.axis == "x" else edges[0::2]:
            udmf.wall(a, b, sector, wall if (sector, texture) == door else texture)
    rooms = [(sectors[low], _wall(layout.rooms[low].wall)), (sectors[high], _wall(layout.rooms[high].wall))]
    chain = [rooms[0], *parts, rooms[1]]
    for before, after, cut in zip(chain, chain[1:], cuts):
        # the line's right-hand side is the part before it: northwards lines have the east on their right
        if passage.axis == "x":
            a, b = (cut, rect[3]), (cut, rect[1])
        else:
            a, b = (rect[0], cut), (rect[2], cut)
        above_before = door[1] if door is not None and after == door else before[1]
        above_after = door[1] if door is not None and before == door else after[1]
        right, left = (before[0], above_before), (after[0], above_after)
        if before == door:  # a line is used from its right-hand side: the door must lie on its left
            a, b, right, left = b, a, left, right
        udmf.portal(a, b, right, left, door=door in (before, after))
    return None if door is None else door[0]


def _pieces(
    a: tuple[int, int], b: tuple[int, int], gaps: list[IntRect]
) -> list[tuple[tuple[int, int], tuple[int, int]]]:
    """What the gaps leave of the axis-parallel edge from ``a`` to ``b``, in its direction."""
    along = 1 if a[0] == b[0] else 0
    forwards = b[along] > a[along]
    fixed = a[1 - along]
    spans = [(min(a[along], b[along]), max(a[along], b[along]))]
    for gap in gaps:
        if fixed in (gap[1 - along], gap[3 - along]):
            spans = [
                part
                for lo, hi in spans
                for part in ((lo, min(hi, gap[along])), (max(lo, gap[along + 2]), hi))
                if part[1] > part[0]
            ]
    points = [((fixed, lo), (fixed, hi)) if along else ((lo, fixed), (hi, fixed)) for lo, hi in spans]
    return points if forwards else [(q, p) for p, q in points]


def _metres(rect: IntRect) -> Rect:
    x0, y0, x1, y1 = (v / UNITS_PER_METRE for v in rect)
    return x0, y0, x1, y1


def _units(rect: Rect) -> IntRect:
    x0, y0, x1, y1 = (round(v * UNITS_PER_METRE) for v in rect)
    return x0, y0, x1, y1
