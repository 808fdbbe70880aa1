"""Camera motion read from pictures alone: yaw from turns, zoom from walking, for what a candidate has
generated.

A turn on the spot moves the picture by the homography K R K^-1 whatever the depth, so the yaw between two
frames is found by warping one by every angle of a grid and taking the best correlation with the other (then
a parabola through the peak). It needs neither key points nor a scene that the truth knows, hence works on
what the candidate invents. ``yaw_by_features`` is the usual way (SIFT on frames upsampled by 4) and is kept
as the cross-check; both are calibrated on true frames by every run. A weak or ambiguous peak is a failed
estimate: NaN, and counted.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise

import cv2
import numpy as np

MIN_CORRELATION = 0.6
"""Peaks below this normalised correlation are failures."""


@dataclass(frozen=True)
class Grid:
    """Angles (degrees) or log-scales that are tried: ``-limit`` to ``limit`` in steps of ``step``."""

    limit: float
    step: float

    @property
    def values(self) -> np.ndarray:
        count = round(self.limit / self.step)
        return np.arange(-count, count + 1) * self.step


YAW_GRID = Grid(9.0, 0.5)
"""For consecutive video frames: a turn of 14 degrees a step is 3.5 degrees a frame."""
ZOOM_GRID = Grid(0.6, 0.025)


@lru_cache(maxsize=16)
def _yaw_maps(key: tuple[float, ...], grid: Grid) -> np.ndarray:
    K = np.array(key).reshape(3, 3)
    homographies = []
    for angle in np.radians(grid.values):
        # camera axes are x right, y down, z forward: turning left by `angle` moves the picture to the right
        c, s = np.cos(angle), np.sin(angle)
        rotation = np.array([[c, 0, s], [0, 1, 0], [-s, 0, c]])
        homographies.append(K @ rotation @ np.linalg.inv(K))
    return np.stack(homographies)


@lru_cache(maxsize=16)
def _zoom_maps(key: tuple[float, ...], grid: Grid) -> np.ndarray:
    cx, cy = key[2], key[5]
    scales = np.exp(grid.values)
    return np.stack([np.array([[s, 0, cx * (1 - s)], [0, s, cy * (1 - s)], [0, 0, 1]]) for s in scales])


def _correlations(before: np.ndarray, after: np.ndarray, homographies: np.ndarray) -> np.ndarray:
    """Normalised correlation of ``after`` with ``before`` warped by each homography, over the pixels that
    both show."""
    height, width = before.shape[:2]
    half = np.array([[1, 0, -0.5], [0, 1, -0.5], [0, 0, 1]])  # OpenCV counts pixel centres from 0, K from 0.5
    back = np.linalg.inv(half)
    source = cv2.GaussianBlur(before, (0, 0), 0.6).astype(np.float32)
    target = cv2.GaussianBlur(after, (0, 0), 0.6).astype(np.float32)
    ones = np.ones((height, width), np.float32)
    out = np.empty(len(homographies))
    for i, homography in enumerate(homographies):
        H = half @ homography @ back
        warped = cv2.warpPerspective(source, H, (width, height))
        valid = cv2.warpPerspective(ones, H, (width, height)) > 0.999
        if valid.mean() < 0.2:
            out[i] = -1.0
            continue
        a, b = warped[valid], target[valid]
        a, b = a - a.mean(0), b - b.mean(0)
        out[i] = (a * b).sum() / max(np.sqrt((a * a).sum() * (b * b).sum()), 1e-3)
    return out


def _peak(values: np.ndarray, scores: np.ndarray) -> tuple[float, float]:
    """Sub-step maximum by a parabola; NaN where the best lies on the border or is weak."""
    i = int(scores.argmax())
    if scores[i] < MIN_CORRELATION or i in (0, len(values) - 1):
        return float("nan"), float(scores[i])
    left, middle, right = scores[i - 1 : i + 2]
    bend = left - 2 * middle + right
    shift = 0.5 * (left - right) / bend if bend < 0 else 0.0
    return float(values[i] + shift * (values[1] - values[0])), float(middle)


def _crop(frame: np.ndarray, bottom: int) -> np.ndarray:
    return frame[: frame.shape[0] - bottom] if bottom else frame


def yaw_between(
    before: np.ndarray, after: np.ndarray, K: np.ndarray, grid: Grid = YAW_GRID, bottom: int = 0
) -> tuple[float, float]:
    """Yaw in degrees (left positive) from one uint8 ``(H, W, 3)`` to the next, and the correlation of the
    match.

    NaN where the estimate failed. ``bottom`` rows (a status bar) are left out.
    """
    before, after = _crop(before, bottom), _crop(after, bottom)
    homographies = _yaw_maps(tuple(np.ravel(K)), grid)
    return _peak(grid.values, _correlations(before, after, homographies))


def zoom_between(
    before: np.ndarray, after: np.ndarray, K: np.ndarray, grid: Grid = ZOOM_GRID, bottom: int = 0
) -> tuple[float, float]:
    """Log of the scale (positive: the picture grows, as when walking forward) and the correlation of the
    match."""
    before, after = _crop(before, bottom), _crop(after, bottom)
    homographies = _zoom_maps(tuple(np.ravel(K)), grid)
    return _peak(grid.values, _correlations(before, after, homographies))


def chained_yaw(
    frames_THWC: np.ndarray, K: np.ndarray, grid: Grid = YAW_GRID, bottom: int = 0
) -> tuple[float, int]:
    """Sum of the yaws of consecutive frames (degrees), and how many of them failed; NaN if any did."""
    yaws = [yaw_between(a, b, K, grid, bottom)[0] for a, b in pairwise(frames_THWC)]
    return float(np.sum(yaws)), int(np.isnan(yaws).sum())


def yaw_by_features(
    before: np.ndarray, after: np.ndarray, K: np.ndarray, bottom: int = 0, scale: int = 4
) -> float:
    """Yaw in degrees by SIFT on frames upsampled by ``scale``; NaN with fewer than 6 agreeing matches.

    Every match of a pure rotation gives the same difference of azimuths, so the median and those within 1.5
    degrees of it decide.
    """
    sift = cv2.SIFT.create()  # type: ignore[attr-defined]
    found = []
    for frame in (before, after):
        grey = cv2.cvtColor(_crop(frame, bottom), cv2.COLOR_RGB2GRAY)
        found.append(
            sift.detectAndCompute(
                cv2.resize(grey, None, fx=scale, fy=scale, interpolation=cv2.INTER_CUBIC), None
            )
        )
    (points_a, code_a), (points_b, code_b) = found
    if code_a is None or code_b is None or len(points_a) < 2 or len(points_b) < 2:
        return float("nan")
    pairs = cv2.BFMatcher(cv2.NORM_L2).knnMatch(code_a, code_b, k=2)
    good = [m for m, n in (p for p in pairs if len(p) == 2) if m.distance < 0.75 * n.distance]
    if len(good) < 6:
        return float("nan")

    def azimuth(x: np.ndarray) -> np.ndarray:
        return np.degrees(np.arctan2((x + 0.5) / scale - K[0, 2], K[0, 0]))

    a = azimuth(np.array([points_a[m.queryIdx].pt[0] for m in good]))
    b = azimuth(np.array([points_b[m.trainIdx].pt[0] for m in good]))
    turned = b - a  # what is seen moves to the right when the camera turns left
    agree = np.abs(turned - np.median(turned)) < 1.5
    return float(turned[agree].mean()) if agree.sum() >= 6 else float("nan")
