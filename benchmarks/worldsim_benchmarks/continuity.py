"""The second gate of every probe: does the first generated block continue the context that was given?

A simulator that makes a fine world of its own passes every test of consistency; it has not continued the one that it
was shown. The first generated block must be more like the true next block than all of ``RIVALS`` true rollouts of
other maps under the same actions are. Likeness is the normalised correlation of the blocks with each channel's mean
taken off: a constant picture correlates with nothing, whereas its squared error and its SSIM beat other worlds.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

RIVALS = 20
"""Rollouts of other maps that the first block is measured against; none of them is the candidate's own map."""


def likeness(a: np.ndarray, b: np.ndarray, bottom: int = 0) -> float:
    """Normalised correlation in [-1, 1] of two blocks uint8 ``(k, H, W, 3)``, mean over their frames, without the
    ``bottom`` rows; a constant picture counts 0."""
    if a.shape != b.shape:
        raise ValueError(f"pictures of shapes {a.shape} and {b.shape} cannot be compared")
    return float((unit(a, bottom) * unit(b, bottom)).sum() / len(a))


@dataclass(frozen=True)
class Sequel:
    """What the first block of an episode is measured against: the true next block, and those of other maps (``rivals``,
    uint8 ``(k, H, W, 3)`` each). Their likeness is worked out once, for all candidates of the episode."""

    truth: np.ndarray
    rivals: Sequence[np.ndarray]
    bottom: int = 0

    def __post_init__(self) -> None:
        if not len(self.rivals):
            raise ValueError(f"continuity needs the next block of other maps (as a rule {RIVALS}), got none")

    @cached_property
    def _bars(self) -> tuple[float, ...]:
        return tuple(likeness(rival, self.truth, self.bottom) for rival in self.rivals)

    def continued_by(self, block: np.ndarray, without: int | None = None) -> bool:
        """Whether ``block`` (uint8 ``(k, H, W, 3)``) is more like the true next block than each of the rivals is, but
        for the one at the place ``without``."""
        return likeness(block, self.truth, self.bottom) > max(b for i, b in enumerate(self._bars) if i != without)


def continues(block: np.ndarray, truth: np.ndarray, rivals: Sequence[np.ndarray], bottom: int = 0) -> bool:
    """Whether ``block`` (uint8 ``(k, H, W, 3)``) is more like the true next block than each of the ``rivals`` is."""
    return Sequel(truth, rivals, bottom).continued_by(block)


def unit(frames: np.ndarray, bottom: int = 0) -> np.ndarray:
    """float32 ``(N, P)``: uint8 pictures ``(N, H, W, 3)`` without their ``bottom`` rows, each channel's mean taken off,
    at length 1: the dot product of two is their normalised correlation (0 for constant pictures)."""
    cut = frames[:, : frames.shape[1] - bottom].astype(np.float32)
    flat = (cut - cut.mean((1, 2), keepdims=True)).reshape(len(frames), -1)
    length = np.linalg.norm(flat, axis=1, keepdims=True)
    return flat / np.where(length > 1e-3, length, np.inf)
