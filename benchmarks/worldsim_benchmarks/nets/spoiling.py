"""What pictures of a learned world look like that true ones do not: soft, noisy, of slightly other colours.

Nets are trained on frames spoiled at random, so that what they tell is of the scene and not of its sharpness. One fixed
blur is kept for their published accuracy. No candidate's codec is among them, since a net that had learned one would
read that candidate better than others. Frames that belong together lie behind each other in the last axis, S x S x
(F * C).
"""

from __future__ import annotations

import cv2
import numpy as np

SIZE = 64
"""Rows of the pictures whose blur is meant by the numbers below."""
SOFT = (0.4, 1.6)
"""Standard deviation of the random blur in pixels, least and greatest."""
NOISE = 10.0
"""Greatest standard deviation of the random noise, in grey levels."""
BLURRED = 1.2
"""Standard deviation of the fixed blur in pixels."""


def blurred(frames: np.ndarray) -> np.ndarray:
    """Each of the frames uint8 ``(..., H, W, C)`` under the fixed blur."""
    sigma = BLURRED * frames.shape[-3] / SIZE
    flat = frames.reshape(-1, *frames.shape[-3:])
    return np.stack([cv2.GaussianBlur(f, (0, 0), sigma) for f in flat]).reshape(frames.shape)


def spoiled(frames_SSC: np.ndarray, channels: int, rng: np.random.Generator) -> np.ndarray:
    """The frames of one sample, float32 in grey levels, with the same random colours; half of the time each with blur
    and with noise. ``channels`` are those of one frame, the innermost."""
    count = frames_SSC.shape[-1] // channels
    gain = np.tile(rng.uniform(0.8, 1.2, channels) * rng.uniform(0.8, 1.15), count).astype(np.float32)
    shown = frames_SSC * gain + np.tile(rng.uniform(-15, 15, channels), count).astype(np.float32)
    if rng.random() < 0.5:
        soft = cv2.GaussianBlur(shown, (0, 0), rng.uniform(*SOFT) * len(shown) / SIZE)
        shown = np.asarray(soft, np.float32).reshape(frames_SSC.shape)
    if rng.random() < 0.5:
        shown = shown + rng.standard_normal(shown.shape, np.float32) * np.float32(rng.uniform(0, NOISE))
    return np.asarray(shown, np.float32)
