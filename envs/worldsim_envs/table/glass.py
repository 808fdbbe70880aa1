"""How a pane of glass falls to pieces: quadrilaterals of uneven width that tile it, so that no mass is lost."""

from __future__ import annotations

import numpy as np


def area(outline: np.ndarray) -> float:
    """Area of a simple polygon ``(N, 2)``, by the shoelace formula."""
    x, y = outline.T
    return float(abs(np.dot(x, np.roll(y, -1)) - np.dot(y, np.roll(x, -1))) / 2)


def pieces(outline: np.ndarray, rng: np.random.Generator) -> list[np.ndarray]:
    """Outlines ``(4, 2)`` of the five to seven pieces of an upright rectangle."""
    left, low = outline.min(0)
    right, high = outline.max(0)
    count = int(rng.integers(5, 8))
    steps = np.arange(1, count) / count
    spread = 0.35 / count
    upper, lower = (np.clip(steps + rng.uniform(-spread, spread, count - 1), 0.02, 0.98) for _ in range(2))
    tops = left + (right - left) * np.concatenate([[0.0], np.sort(upper), [1.0]])
    bottoms = left + (right - left) * np.concatenate([[0.0], np.sort(lower), [1.0]])
    return [
        np.array([(bottoms[i], low), (bottoms[i + 1], low), (tops[i + 1], high), (tops[i], high)]) for i in range(count)
    ]
