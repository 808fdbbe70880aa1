"""Dose-response: a deed of a given strength, and how strong it is in the picture.

One strength a map; over the maps the recovered strengths are regressed on the true ones (``suites/responses.py``). The
true strength comes from the world's state, the recovered one from the picture alone, so the line of the true world is
the calibration of the reading and not its definition. Metres, seconds, pixels.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from worldsim_benchmarks.probes.detect import differs, distance

WITHIN = 0.25
"""Part of the true strength by which the recovered one may differ, and that the twin may show at most, unless a deed
says otherwise."""


@dataclass(frozen=True)
class Dose:
    """``true`` strength in ``unit``; ``read`` gives that which blocks uint8 ``(L, k, H, W, 3)`` after the context show;
    ``slack``, in the same unit, is what a pixel or two of the reading are worth, and ``within`` the part of the true
    strength by which it may be off beside."""

    true: float
    unit: str
    read: Callable[[np.ndarray], float]
    slack: float
    within: float = WITHIN

    def holds(self, recovered: float, did: bool) -> bool:
        """Whether a deed (or its twin, where it was not done) shows the strength that it should."""
        return abs(recovered - (self.true if did else 0.0)) <= self.within * self.true + self.slack


def like(frame: np.ndarray, colour: np.ndarray, background: np.ndarray, region: np.ndarray) -> np.ndarray:
    """bool ``(H, W)``: pixels of the region that have visibly left the background and are nearer to ``colour`` (3,)."""
    nearer = distance(frame, np.broadcast_to(colour, frame.shape)) < distance(frame, background)
    return region & nearer & differs(frame, background)


def extent(mask: np.ndarray, axis: int, least: int) -> int:
    """Columns (``axis`` 0) or rows (1) in which the mask has at least ``least`` pixels."""
    return int((mask.sum(axis) >= least).sum())


def middle(mask: np.ndarray) -> np.ndarray | None:
    """Mean (column, row) of the mask; None where it has fewer than six pixels."""
    rows, columns = np.nonzero(mask)
    return None if len(rows) < 6 else np.array([columns.mean(), rows.mean()])
