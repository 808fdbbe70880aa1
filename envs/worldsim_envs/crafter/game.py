"""Crafter's engine, made repeatable.

The engine keeps the creatures of a region in a Python set and draws from it by position. A set of objects is ordered by
their addresses in memory, so that equal seeds part ways after a few hundred steps. Here regions keep the order of
entry. To draw a map takes the engine a second and more, so the last ones are kept as they begin: whoever tries poses or
actions on a map begins it many times.
"""

from __future__ import annotations

import pickle
from collections import defaultdict
from collections.abc import Iterator
from functools import lru_cache
from typing import Any

import crafter
import numpy as np
from crafter import constants, engine, objects

AREA = (64, 64)
"""Tiles of the map, across and down."""
CREATURES: dict[type, str] = {
    objects.Cow: "cow", objects.Zombie: "zombie", objects.Skeleton: "skeleton", objects.Arrow: "arrow",
    objects.Plant: "plant",
}  # fmt: skip
"""Classes of things that are not part of the ground, with their names in the lexicon."""
KEPT = 64
"""Maps that are kept as they begin, some 50 kB each."""


class _InOrder:
    """The part of a set's interface that the engine uses, in the order of entry."""

    def __init__(self) -> None:
        self._members: dict[Any, None] = {}

    def add(self, member: Any) -> None:
        self._members[member] = None

    def remove(self, member: Any) -> None:
        del self._members[member]

    def __iter__(self) -> Iterator[Any]:
        return iter(list(self._members))


class _OrderedWorld(engine.World):
    def reset(self, seed: int | None = None) -> None:
        super().reset(seed)
        self._chunks: dict[Any, _InOrder] = defaultdict(_InOrder)


class CrafterGame(crafter.Env):
    """One map: ``begin`` it, then ``step`` it with the engine's own action numbers.

    ``frame_size`` is (H, W): a tile is a ninth of the shorter side, and longer sides show more tiles.
    """

    def __init__(self, frame_size: tuple[int, int]) -> None:
        height, width = frame_size
        self.unit = min(height, width) // 9
        self.view = (width // self.unit, height // self.unit)
        self.border = ((width - self.view[0] * self.unit) // 2, (height - self.view[1] * self.unit) // 2)
        """Pixels left of and above the first tile."""
        self._frame_size = frame_size
        # the engine would stretch tiles to fill a size that they do not divide
        size = (self.view[0] * self.unit, self.view[1] * self.unit)
        super().__init__(area=AREA, view=self.view, size=size, length=None, seed=0)
        self._world.__class__ = _OrderedWorld

    def begin(
        self, map_seed: int, tile: tuple[int, int] | None = None, facing: tuple[int, int] = (0, 1)
    ) -> np.ndarray | None:
        """The first frame, uint8 ``(H, W, 3)``. The player stands in the middle of the map and looks down, or on the
        ``tile`` that is given and looks in the direction ``facing``; None where nobody can stand there."""
        self._numbered = 0
        world, self._player = pickle.loads(_beginning(map_seed))
        self._world.__dict__.update(world.__dict__)  # what draws the picture holds on to this world
        for thing in self._world.objects:
            thing.world = self._world
        self._step, self._last_health = 0, self._player.health
        self._unlocked: set[str] = set()
        if tile is not None and tile != tuple(self._player.pos):
            if not self._player.is_free(tile, constants.walkable):  # the engine lets a player walk into lava
                return None
            self._world.move(self._player, tile)
        self._player.facing = facing
        return self.framed(self.render())

    def framed(self, picture: np.ndarray) -> np.ndarray:
        """The engine's picture in the middle of a black frame, uint8 ``(H, W, 3)``."""
        frame = np.zeros((*self._frame_size, 3), np.uint8)
        left, above = self.border
        frame[above : above + picture.shape[0], left : left + picture.shape[1]] = picture
        return frame

    def reseed(self, seed: int) -> None:
        """Draws anew what happens by chance, from now on."""
        self._world.random.seed(seed)

    @property
    def player(self) -> objects.Player:
        return self._player

    @property
    def daylight(self) -> float:
        """0 (night) to 1."""
        return float(self._world.daylight)

    def creatures(self) -> list[tuple[int, str, Any]]:
        """Number (from 1, in order of appearance), name and object of everything that stands on the ground."""
        found = []
        for thing in self._world.objects:
            if type(thing) in CREATURES:
                if not hasattr(thing, "number"):
                    self._numbered += 1
                    thing.number = self._numbered
                found.append((thing.number, CREATURES[type(thing)], thing))
        return found

    @property
    def ground_shown(self) -> tuple[int, int]:
        """Tiles of ground that a frame shows, across and down; the inventory takes the rows below."""
        return int(self._local_view._grid[0]), int(self._local_view._grid[1])

    def ground(self) -> np.ndarray:
        """Materials of all tiles, str ``(64, 64)``, at ``[x, y]`` with y down the picture."""
        names = np.array([name or "" for name in self._world._mat_names.values()])
        return names[self._world._mat_map]

    def tile(self, x: int, y: int) -> tuple[str | None, Any]:
        """Material and object of a tile; None outside of the map."""
        return self._world[x, y]

    def seen_tiles(self) -> Iterator[tuple[int, int]]:
        """Tiles of the map that the frame shows, row by row."""
        across, down = self.ground_shown
        left, top = self.player.pos - np.array([across, down]) // 2
        for y in range(top, top + down):
            for x in range(left, left + across):
                if 0 <= x < AREA[0] and 0 <= y < AREA[1]:
                    yield int(x), int(y)

    def materials_near(self) -> set[str]:
        """Materials of the eight tiles around the player and of its own."""
        materials, _ = self._world.nearby(self.player.pos, 1)
        return set(materials)


@lru_cache(maxsize=KEPT)
def _beginning(map_seed: int) -> bytes:
    """The engine's world and player after its own reset, pickled; they depend on nothing but the seed."""
    game = CrafterGame((64, 64))
    game._seed, game._episode = map_seed, 0
    game.reset()
    return pickle.dumps((game._world, game._player))
