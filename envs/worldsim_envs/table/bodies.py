"""What lies on a running table: bodies that move, of which apples can be bitten, and plants that grow.

Each knows its footprint, the corners of all that is drawn of it: what is hidden is decided by that.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pymunk

BITE = 0.5
"""Radius of a bite over that of the apple."""
EATEN = 0.2
"""An apple is eaten up when less than this share of it is left."""
SPROUTS, GROWN = 40, 240
"""Frames until a seed shows leaves, and until it is fully grown."""
SEED_RADIUS = 0.016
STALK = 1.35
"""How far an apple's stalk and leaf reach, over its radius."""


@dataclass
class Moving:
    """A body on the table. ``outline`` are corners in body coordinates, None for discs of radius ``size``; ``bites``
    (x, y, radius) in body coordinates. ``shape`` is a name of the lexicon, or ``shard`` or ``hand``."""

    number: int
    shape: str
    colour: str
    body: pymunk.Body
    collider: pymunk.Shape
    size: float = 0.0
    outline: np.ndarray | None = None
    heavy: bool = False
    bites: list[tuple[float, float, float]] = field(default_factory=list)
    left: float = 1.0

    @property
    def mass(self) -> float:
        """kg."""
        return float(self.body.mass)

    @property
    def place(self) -> tuple[float, float]:
        """x and y in metres."""
        x, y = self.body.position
        return x, y

    @property
    def corners(self) -> np.ndarray:
        """Corners of the outline on the table, ``(N, 2)``."""
        assert self.outline is not None
        return np.array([self.body.local_to_world((float(x), float(y))) for x, y in self.outline])

    @property
    def footprint(self) -> np.ndarray:
        """``(N, 2)`` points whose box holds all that is drawn."""
        if self.outline is not None:
            return self.corners
        return _square(self.place, self.size * (STALK if self.shape == "apple" else 1.0))

    def bite(self, place: tuple[float, float]) -> None:
        """Takes a disc out of an apple, round its point that is nearest to ``place``, and that share of its mass."""
        rest = _GRID[_remaining(self.size, self.bites)] * self.size
        nearest = rest[np.hypot(*(rest - self.body.world_to_local(place)).T).argmin()]
        self.bites = [*self.bites, (float(nearest[0]), float(nearest[1]), BITE * self.size)]
        before, self.left = self.left, float(_remaining(self.size, self.bites).sum() / _INSIDE.sum())
        self.body.mass = max(self.body.mass * self.left / before, 1e-3)
        self.body.moment = pymunk.moment_for_circle(self.body.mass, 0, self.size)


@dataclass
class Plant:
    """A seed in the ground, ``age`` in frames."""

    number: int
    x: float
    y: float
    age: int = 0

    @property
    def growth(self) -> float:
        """0 for a seed, above 0 once it has sprouted, 1 when it is fully grown."""
        return float(np.clip((self.age - SPROUTS + 1) / (GROWN - SPROUTS + 1), 0, 1))

    @property
    def leaf(self) -> float:
        """Length of a leaf in metres, 0 for a seed."""
        return 0.03 + 0.06 * self.growth if self.growth else 0.0

    @property
    def footprint(self) -> np.ndarray:
        """``(N, 2)`` points whose box holds all that is drawn."""
        return _square((self.x, self.y), max(self.leaf, SEED_RADIUS))


def _square(place: tuple[float, float], half: float) -> np.ndarray:
    return np.array(place) + np.array([(-half, -half), (half, half)])


_GRID = np.stack(np.meshgrid(*[(np.arange(41) - 20) / 20] * 2), axis=-1)
_INSIDE = (_GRID**2).sum(-1) <= 1


def _remaining(size: float, bites: list[tuple[float, float, float]]) -> np.ndarray:
    """Which points of a grid of 41 x 41 over a disc of radius ``size`` bites have left."""
    left = _INSIDE.copy()
    for x, y, radius in bites:
        left &= ((_GRID * size - (x, y)) ** 2).sum(-1) > radius**2
    return left
