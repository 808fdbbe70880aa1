"""What an action reader looks at: how the frames of the block before a step and of the one that it made match.

Not the pictures themselves: how well each neighbourhood of one frame matches another frame under every shift of a small
range, the correlation layer of FlowNet (Dosovitskiy et al., arXiv:1504.06852) on locally standardised brightness. A net
that is given raw frames has to find that product by itself; and matches are what colours and sharpness change least.
Shapes: N samples, eight frames (0 to 3 before, 4 to 7 made) of H x W; a sample is kept in 8 bits, ``(channels, grid,
grid)``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np

from worldsim_benchmarks.nets.spoiling import spoiled

PLAIN = 4.0
"""Grey levels of spread at which a neighbourhood counts half as much: noise on a plain wall is no pattern."""
LUMA = np.array([0.299, 0.587, 0.114], np.float32)
AROUND = 7
"""Rows and columns of a neighbourhood."""
KEPT, GIVEN = 64, 32
"""A match of 1 as it is kept in 8 bits, and what of that is 1 to a net."""


def constants() -> dict[str, Any]:
    """What a reader was trained with and no field of ``Motion`` says: a manifest holds it, and refuses another."""
    return {"plain": PLAIN, "luma": [round(float(w), 3) for w in LUMA], "around": AROUND, "kept": KEPT, "given": GIVEN}


def at_size(frame: np.ndarray, size: int) -> np.ndarray:
    """A frame uint8 ``(H, W, 3)`` at the size that a net sees."""
    if frame.shape[:2] == (size, size):
        return frame
    return np.asarray(cv2.resize(frame, (size, size), interpolation=cv2.INTER_AREA))


def _sample(chain: np.ndarray, frames: tuple[int, ...], size: int, rng: np.random.Generator | None) -> np.ndarray:
    """float32 ``(size, size, F * 3)`` in grey levels."""
    shown = np.concatenate([at_size(chain[f], size) for f in frames], -1).astype(np.float32)
    return shown if rng is None else spoiled(shown, 3, rng)


@dataclass(frozen=True)
class Motion:
    """Matches of ``pairs`` of frames in cells of 4 pixels (of ``size``), under shifts of up to ``wide`` pixels to the
    sides by up to ``high`` up and down; with ``cross``, up and down only straight. ``bottom`` is the share of the rows
    that a status bar takes."""

    pairs: tuple[tuple[int, int], ...] = ((1, 3), (3, 5), (5, 7), (3, 7))
    wide: int = 6
    high: int = 1
    cross: bool = False
    bottom: float = 0.0
    size: int = 32

    @property
    def shifts(self) -> list[tuple[int, int]]:
        """Right and down, in pixels."""
        every = [(dx, dy) for dy in range(-self.high, self.high + 1) for dx in range(-self.wide, self.wide + 1)]
        return [(dx, dy) for dx, dy in every if not self.cross or not dx or not dy]

    @property
    def channels(self) -> int:
        return len(self.pairs) * len(self.shifts)

    @property
    def grid(self) -> int:
        """Rows and columns of cells."""
        return self.size // 4

    def look(self, chains: np.ndarray, rng: np.random.Generator | None = None) -> np.ndarray:
        """uint8 ``(N, 8, H, W, 3)`` -> int8 ``(N, channels, grid, grid)``; of spoiled frames where ``rng`` is given."""
        frames = tuple(sorted({f for pair in self.pairs for f in pair}))
        each = [self._plain(_sample(chain, frames, self.size, rng), rng) for chain in chains]
        plain = dict(zip(frames, np.ascontiguousarray(np.moveaxis(np.stack(each), -1, 0))))
        made = [self._matches(plain[a], plain[b]) for a, b in self.pairs]
        return (np.concatenate(made, 1) * KEPT).round().clip(-127, 127).astype(np.int8)

    def _plain(self, shown: np.ndarray, rng: np.random.Generator | None) -> np.ndarray:
        """float32 ``(size, size, F)``: brightness, less the mean and over the spread of its neighbourhood."""
        weights = LUMA if rng is None else LUMA * rng.uniform(0.6, 1.4, 3).astype(np.float32)
        luma = shown.reshape(self.size, self.size, -1, 3) @ (weights / weights.sum())
        luma[self.size - round(self.bottom * self.size) :] = 0
        less = luma - cv2.blur(luma, (AROUND, AROUND))
        spread = np.sqrt(np.maximum(cv2.blur(less * less, (AROUND, AROUND)), 0))  # running sums end a hair below 0
        return np.asarray(less / (spread + PLAIN))

    def _matches(self, before: np.ndarray, after: np.ndarray) -> np.ndarray:
        """float32 ``(N, shifts, grid, grid)`` of two ``(N, size, size)``."""
        n, g, wide, high = len(before), self.grid, self.wide, self.high
        padded = np.pad(after, ((0, 0), (high, high), (wide, wide)))
        out = np.empty((n, len(self.shifts), g, g), np.float32)
        product = np.empty_like(before)
        for i, (dx, dy) in enumerate(self.shifts):
            moved = padded[:, high + dy : high + dy + self.size, wide + dx : wide + dx + self.size]
            rows = np.multiply(before, moved, out=product).reshape(n, g, 4, self.size)
            rows = rows[:, :, 0] + rows[:, :, 1] + rows[:, :, 2] + rows[:, :, 3]  # five times as fast as a mean
            out[:, i] = rows[..., 0::4] + rows[..., 1::4] + rows[..., 2::4] + rows[..., 3::4]
        return out / 16

    def inputs(self, kept: np.ndarray) -> np.ndarray:
        """What ``look`` gave, as float32 for a net."""
        return np.asarray(kept, np.float32) / GIVEN

    def mirrored(self, kept: np.ndarray) -> np.ndarray:
        """What ``look`` would give in a mirror, left and right changed over."""
        order = [self.shifts.index((-dx, dy)) for dx, dy in self.shifts]
        every = [p * len(order) + i for p in range(len(self.pairs)) for i in order]
        return kept[:, every, :, ::-1]

    @classmethod
    def told(cls, fields: dict[str, Any]) -> Motion:
        """As a manifest writes the fields."""
        return cls(**{**fields, "pairs": tuple((a, b) for a, b in fields["pairs"])})
