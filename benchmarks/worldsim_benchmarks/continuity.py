"""The second gate of every probe: does the first generated block continue the context that was given?

A simulator that makes a fine world of its own passes every test of consistency; it has not continued the one that it
was shown. The first generated block must be more like the true next block than all of ``RIVALS`` true rollouts of
other maps under the same actions are. Likeness is the normalised correlation of the blocks with each channel's mean
taken off: a constant picture correlates with nothing, whereas its squared error and its SSIM beat other worlds.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

RIVALS = 20
"""Rollouts of other maps that the first block is measured against; none of them is the candidate's own map."""


def likeness(a: np.ndarray, b: np.ndarray, bottom: int = 0) -> float:
    """Normalised correlation in [-1, 1] of two uint8 ``(..., H, W, 3)``, without the ``bottom`` rows; 0 where one of
    them is constant."""
    if a.shape != b.shape:
        raise ValueError(f"pictures of shapes {a.shape} and {b.shape} cannot be compared")
    rows = slice(0, a.shape[-3] - bottom)
    x, y = (v[..., rows, :, :].reshape(-1, 3).astype(np.float64) for v in (a, b))
    x, y = x - x.mean(0), y - y.mean(0)
    energy = float(np.sqrt((x**2).sum() * (y**2).sum()))
    return float((x * y).sum()) / energy if energy > 1e-9 else 0.0


def continues(block: np.ndarray, truth: np.ndarray, rivals: Sequence[np.ndarray], bottom: int = 0) -> bool:
    """Whether ``block`` (uint8 ``(k, H, W, 3)``) is more like the true next block than each of the ``rivals`` is."""
    if not rivals:
        raise ValueError(f"continuity needs the next block of other maps (as a rule {RIVALS}), got none")
    return likeness(block, truth, bottom) > max(likeness(rival, truth, bottom) for rival in rivals)
