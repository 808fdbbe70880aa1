"""What is measured on pictures: SSIM and PSNR on a mask, sharpness and colours without a reference.

SSIM comes first and PSNR stands beside it, since PSNR prefers a grey picture to a sharp possible one: true
frames with a yaw error of 45 degrees score 20.4 dB and a constant grey frame 21.2. Both are taken on a mask
of pixels whose content the candidate can know (``geometry.py``). Shapes: T frames, H x W pixels, frames
uint8 RGB.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from skimage.metrics import structural_similarity

PSNR_CAP = 60.0
"""PSNR of equal pictures, in dB: an infinite one would not average."""
MIN_SHARE = 0.05
"""A frame of which less than this share is on the mask is not compared."""
FRAME_STATISTICS = ("sharpness", "red", "green", "blue", "contrast", "saturation")


def psnr(a: np.ndarray, b: np.ndarray, mask: np.ndarray | None = None) -> float:
    """PSNR in dB of two uint8 ``(..., H, W, 3)``, over the pixels of the bool mask ``(..., H, W)``; at most
    60."""
    squared = (a.astype(np.float32) - b.astype(np.float32)) ** 2
    error = float(squared.mean() if mask is None else squared[mask].mean())
    return min(PSNR_CAP, 10 * float(np.log10(255**2 / max(error, 1e-9))))


def ssim_map(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """float ``(H, W)``: SSIM of two uint8 ``(H, W, 3)`` around each pixel (7x7 windows), mean over the
    channels."""
    _, full = structural_similarity(a, b, channel_axis=-1, full=True, data_range=255)
    return full.mean(-1)


def ssim(a: np.ndarray, b: np.ndarray, mask: np.ndarray | None = None) -> float:
    """SSIM of two uint8 ``(H, W, 3)``, over the pixels of the bool mask ``(H, W)``."""
    full = ssim_map(a, b)
    return float(full.mean() if mask is None else full[mask].mean())


@dataclass(frozen=True)
class Scores:
    """Per-frame comparison with the truth, float ``(T,)`` each; NaN where the mask holds too little."""

    ssim: np.ndarray
    psnr: np.ndarray


def compare(frames_THWC: np.ndarray, truth_THWC: np.ndarray, mask_THW: np.ndarray) -> Scores:
    """Scores of each frame against the truth on its mask."""
    steps = len(truth_THWC)
    out = np.full((2, steps), np.nan)
    for t in range(steps):
        if mask_THW[t].mean() >= MIN_SHARE:
            out[0, t] = ssim(frames_THWC[t], truth_THWC[t], mask_THW[t])
            out[1, t] = psnr(frames_THWC[t], truth_THWC[t], mask_THW[t])
    return Scores(*out)


def moved(before: np.ndarray, after: np.ndarray, threshold: float = 4.0) -> bool:
    """Whether a true step moved the picture: mean absolute difference above ``threshold`` grey levels."""
    return float(np.abs(before.astype(np.int16) - after.astype(np.int16)).mean()) > threshold


def patch_error(a: np.ndarray, b: np.ndarray, patch: int = 16) -> np.ndarray:
    """float ``(H // patch, W // patch)``: mean squared error of two uint8 ``(H, W, 3)`` in each square
    patch."""
    squared = ((a.astype(np.float32) - b.astype(np.float32)) ** 2).mean(-1)
    rows, columns = squared.shape[0] // patch, squared.shape[1] // patch
    cut = squared[: rows * patch, : columns * patch].reshape(rows, patch, columns, patch)
    return cut.mean((1, 3))


def frame_statistics(frame: np.ndarray) -> np.ndarray:
    """float ``(6,)``, the ``FRAME_STATISTICS`` of a uint8 ``(H, W, 3)``, in grey levels.

    Sharpness is the mean gradient of the luma, contrast its standard deviation, saturation the mean of
    max(RGB) - min(RGB).
    """
    luma = cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY).astype(np.float32)
    gradient = np.hypot(cv2.Sobel(luma, cv2.CV_32F, 1, 0), cv2.Sobel(luma, cv2.CV_32F, 0, 1)) / 8
    colour = frame.reshape(-1, 3).astype(np.float32)
    saturation = (colour.max(1) - colour.min(1)).mean()
    return np.array([gradient.mean(), *colour.mean(0), luma.std(), saturation])


def segment_statistics(frames_THWC: np.ndarray) -> np.ndarray:
    """float ``(6,)``: mean of the ``frame_statistics`` over the frames of a segment."""
    return np.mean([frame_statistics(frame) for frame in frames_THWC], axis=0)
