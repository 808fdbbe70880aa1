"""Which colour are the walls? A detector for pictures, fitted on true frames whose answer is known.

Features: the share of each of eight hues (weighted by saturation and brightness) and of white and dark
pixels, in five bands from ceiling to floor, root-normalised. Classifier: multinomial logistic regression
(L-BFGS). It is fitted on validation maps and its accuracy on test maps, as they are and through the
candidate's codec, is published beside every number that it gives.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from worldsim_benchmarks import logistic

HUES = 16
BANDS = 5


def features(frame: np.ndarray) -> np.ndarray:
    """float ``(BANDS * (HUES + 2) + 1,)`` of a uint8 ``(H, W, 3)``."""
    hsv = cv2.cvtColor(frame, cv2.COLOR_RGB2HSV).astype(np.float32)
    hue = (hsv[..., 0] / 180 * HUES).astype(int).clip(0, HUES - 1)
    saturation, value = hsv[..., 1] / 255, hsv[..., 2] / 255
    out = []
    for rows in np.array_split(np.arange(len(frame)), BANDS):
        h, s, v = hue[rows].ravel(), saturation[rows].ravel(), value[rows].ravel()
        coloured = np.bincount(h, s * np.sqrt(v), HUES)
        band = np.concatenate([coloured, [((1 - s) * v).sum(), ((1 - v) ** 2).sum()]])
        out.append(np.sqrt(band / max(band.sum(), 1e-6)))
    return np.concatenate([*out, [1.0]])


@dataclass(frozen=True)
class ColourDetector:
    """``classes`` are colour names; ``weights`` float ``(features, classes)``."""

    classes: tuple[str, ...]
    weights: np.ndarray

    @classmethod
    def fit(cls, frames: Sequence[np.ndarray], names: Sequence[str], penalty: float = 3e-4) -> ColourDetector:
        """Fits the classifier; ``ValueError`` with fewer than two colours."""
        classes = tuple(sorted(set(names)))
        if len(classes) < 2:
            raise ValueError(f"a colour detector needs frames of at least two colours, got {classes}")
        x = np.stack([features(f) for f in frames])
        y = np.array([classes.index(n) for n in names])
        return cls(classes, logistic.fit(x, y, len(classes), penalty))

    def __call__(self, frame: np.ndarray) -> str:
        """The colour's name."""
        return self.classes[int((features(frame) @ self.weights).argmax())]

    def told_apart(self, frames: Sequence[np.ndarray], names: Sequence[str], share: float) -> tuple[str, ...]:
        """Colours of which at least ``share`` of the frames are named right (and of which there are
        frames)."""
        right = [self(f) == n for f, n in zip(frames, names)]
        of = {c: [ok for ok, n in zip(right, names) if n == c] for c in self.classes}
        return tuple(c for c, oks in of.items() if oks and np.mean(oks) >= share)

    def accuracy(self, frames: Sequence[np.ndarray], names: Sequence[str]) -> tuple[int, int]:
        """Hits and total."""
        return sum(self(f) == n for f, n in zip(frames, names)), len(names)
