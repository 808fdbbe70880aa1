"""Free places in a rectangle, for worlds that lay out things by chance."""

from __future__ import annotations

import numpy as np

TRIES = 60


class FreePlaces:
    """Places drawn one after another in the rectangle from ``low`` to ``high`` (x, y), each ``gap`` from the others."""

    def __init__(
        self, rng: np.random.Generator, low: tuple[float, float], high: tuple[float, float], gap: float
    ) -> None:
        self.rng, self.low, self.high, self.gap = rng, np.array(low), np.array(high), gap
        self.taken: list[tuple[float, float, float]] = []

    def place(self, radius: float) -> tuple[float, float]:
        """A point with ``radius`` free around it where there is one; else the freest of those that were tried."""
        edge = radius + self.gap
        best, room = (0.0, 0.0), -np.inf
        for _ in range(TRIES):
            x, y = (float(v) for v in self.rng.uniform(self.low + edge, self.high - edge))
            free = min((np.hypot(x - a, y - b) - r for a, b, r in self.taken), default=np.inf) - radius
            if free > room:
                best, room = (x, y), float(free)
            if free > self.gap:
                break
        self.taken.append((*best, radius))
        return best
