"""Where one can walk in a stock map: its walls, read from the WAD, drawn into a grid, and shortest ways
through it.

The scenarios' maps are UDMF text (``TEXTMAP``) or the classic binary lumps; a wall is a line with one side
only or a blocking one. Distances are metres (32 map units), cells half a metre.
"""

from __future__ import annotations

import re
import struct
from collections import deque
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import cv2
import numpy as np

CELL = 0.5
RADIUS = 0.6
"""Metres that ways keep off walls; the player's half width is 0.5."""

Point = tuple[float, float]


@dataclass(frozen=True)
class Floorplan:
    """``room`` float ``(rows, columns)``: metres from the middle of each cell to the nearest wall; ``origin``
    the corner of cell (0, 0) in metres."""

    room: np.ndarray
    origin: Point

    @cached_property
    def free(self) -> np.ndarray:
        """bool ``(rows, columns)``: the cells in which the player fits."""
        return self.room > RADIUS

    @classmethod
    def of_wad(cls, path: Path) -> Floorplan:
        """Raises ``ValueError`` for a file that is no WAD with a map."""
        return cls.of_walls(read_walls(path))

    @classmethod
    def of_walls(cls, walls: np.ndarray) -> Floorplan:
        """The plan of walls float ``(n, 4)``: x, y of both ends in metres."""
        ends = walls.reshape(-1, 2)
        origin, fine = ends.min(0) - 1, 8  # pixels a metre of the drawing
        width, height = (np.ceil((ends.max(0) + 1 - origin) / CELL) * CELL * fine).astype(int)
        drawing = np.full((height, width), 255, np.uint8)
        for x0, y0, x1, y1 in np.round((walls.reshape(-1, 4) - np.tile(origin, 2)) * fine).astype(int).tolist():
            cv2.line(drawing, (x0, y0), (x1, y1), 0, 1)
        cv2.floodFill(drawing, None, (0, 0), 0)  # the outside
        room = cv2.distanceTransform(drawing, cv2.DIST_L2, 5) / fine
        step = int(CELL * fine)
        return cls(room[step // 2 :: step, step // 2 :: step], (float(origin[0]), float(origin[1])))

    def way(self, start: Point, target: Point, rng: np.random.Generator) -> list[Point]:
        """Corner points of a shortest way; only ``target`` where there is no way."""
        goal, here = self._cell(target), self._cell(start)
        distance = self._distances(goal)
        if not np.isfinite(distance[here]):
            return [target]
        cells = [here]
        while cells[-1] != goal and len(cells) < distance.size:
            steps = [c for c in self._neighbours(cells[-1]) if distance[c] < distance[cells[-1]]]
            if not steps:
                break
            cells.append(min(steps, key=lambda c: (distance[c], rng.random())))
        points = [self._point(c) for c in cells]
        return [*self._straightened(points), target]

    def random_point(self, start: Point, rng: np.random.Generator) -> Point:
        """A random point that can be reached from ``start``, off the walls where there is such a one."""
        reached = np.isfinite(self._distances(self._cell(start)))
        open_floor = reached & (self.room > 2 * RADIUS)
        reach = np.argwhere(open_floor if open_floor.any() else reached)
        row, column = reach[int(rng.integers(len(reach)))]
        return self._point((int(row), int(column)))

    def bounds(self, x: float) -> Point:
        """Least and greatest y of the free cells at ``x``."""
        column = int((x - self.origin[0]) / CELL)
        rows = np.flatnonzero(self.free[:, min(max(column, 0), self.free.shape[1] - 1)])
        low, high = (rows[0], rows[-1]) if len(rows) else (0, len(self.free) - 1)
        return self._point((int(low), 0))[1], self._point((int(high), 0))[1]

    def _cell(self, point: Point) -> tuple[int, int]:
        """The free cell nearest to a point."""
        row, column = (point[1] - self.origin[1]) / CELL - 0.5, (point[0] - self.origin[0]) / CELL - 0.5
        cells = np.argwhere(self.free)
        nearest = cells[np.abs(cells - (row, column)).sum(1).argmin()]
        return int(nearest[0]), int(nearest[1])

    def _point(self, cell: tuple[int, int]) -> Point:
        return self.origin[0] + (cell[1] + 0.5) * CELL, self.origin[1] + (cell[0] + 0.5) * CELL

    def _neighbours(self, cell: tuple[int, int]) -> list[tuple[int, int]]:
        row, column = cell
        near = ((row + 1, column), (row - 1, column), (row, column + 1), (row, column - 1))
        rows, columns = self.free.shape
        return [(r, c) for r, c in near if 0 <= r < rows and 0 <= c < columns and self.free[r, c]]

    def _distances(self, goal: tuple[int, int]) -> np.ndarray:
        """Steps from every cell to ``goal``, infinite where there is no way."""
        distance = np.full(self.free.shape, np.inf)
        distance[goal] = 0
        queue = deque([goal])
        while queue:
            cell = queue.popleft()
            for near in self._neighbours(cell):
                if not np.isfinite(distance[near]):
                    distance[near] = distance[cell] + 1
                    queue.append(near)
        return distance

    def _straightened(self, points: list[Point]) -> list[Point]:
        """The points at which a way must bend: in between, straight lines stay on free cells."""
        kept, here = [], 0
        while here < len(points) - 1:
            there = here + 1
            while there + 1 < len(points) and self._straight(points[here], points[there + 1]):
                there += 1
            kept.append(points[there])
            here = there
        return kept

    def _straight(self, a: Point, b: Point) -> bool:
        way = np.linspace(a, b, 2 + int(4 * np.hypot(b[0] - a[0], b[1] - a[1])))
        cells = ((way - self.origin) / CELL).astype(int)
        return bool(self.free[cells[:, 1], cells[:, 0]].all())


def read_walls(path: Path) -> np.ndarray:
    """Walls of the first map in a WAD: float ``(n, 4)``, x, y of both ends in metres."""
    data = path.read_bytes()
    magic, count, directory = struct.unpack_from("<4sii", data) if len(data) >= 12 else (b"", 0, 0)
    if magic not in (b"PWAD", b"IWAD"):
        raise ValueError(f"{path} is not a WAD")
    lumps: dict[str, bytes] = {}
    for i in range(count):
        offset, size, name = struct.unpack_from("<ii8s", data, directory + 16 * i)
        lumps.setdefault(name.rstrip(b"\0").decode("ascii"), data[offset : offset + size])
    if "TEXTMAP" in lumps:
        return _udmf_walls(lumps["TEXTMAP"].decode()) / 32
    if "LINEDEFS" not in lumps or "VERTEXES" not in lumps:
        raise ValueError(f"{path} holds no map")
    return _classic_walls(lumps) / 32


def _classic_walls(lumps: dict[str, bytes]) -> np.ndarray:
    corners = np.frombuffer(lumps["VERTEXES"], "<i2").reshape(-1, 2).astype(float)
    # of 16-bit fields Hexen's lines have 8 and Doom's 7; both end with the two sides
    hexen = "BEHAVIOR" in lumps
    fields = np.frombuffer(lumps["LINEDEFS"], "<u2").reshape(-1, 8 if hexen else 7)
    single = (fields[:, -1] == 0xFFFF) | (fields[:, 2] & 1 == 1)
    return np.concatenate([corners[fields[single, 0]], corners[fields[single, 1]]], axis=1)


def _udmf_walls(text: str) -> np.ndarray:
    def blocks(kind: str) -> list[dict[str, str]]:
        found = re.findall(rf"\b{kind}\b[^{{]*{{([^}}]*)}}", text)
        return [dict(re.findall(r"(\w+)\s*=\s*([^;]+);", block)) for block in found]

    corners = np.array([(float(v["x"]), float(v["y"])) for v in blocks("vertex")])
    lines = blocks("linedef")
    solid = [e for e in lines if "sideback" not in e or e.get("blocking", "").strip() == "true"]
    return np.array([[*corners[int(line["v1"])], *corners[int(line["v2"])]] for line in solid])
