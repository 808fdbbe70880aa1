"""Camera motion read from pictures alone: yaw from turns, zoom from walking, for what a candidate has
generated.

A turn on the spot moves the picture by the homography K R K^-1 whatever the depth, so the yaw between two
frames is found by warping one by every angle of a grid and taking the best correlation with the other (then
a parabola through the peak). It needs neither key points nor a scene that the truth knows, hence works on
what the candidate invents. ``yaw_by_features`` is the usual way (SIFT on frames upsampled by 4) and is kept
as the cross-check; both are calibrated on true frames by every run. A weak or ambiguous peak is a failed
estimate: NaN, and counted. ``Turning`` is the one rule for turns that are commanded: what the estimator cannot tell of
the true frames is asked of nobody, and any other failure counts as no motion.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from itertools import pairwise

import cv2
import numpy as np

from worldsim_benchmarks.geometry import vertex, wrapped

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


YAW_GRID = Grid(13.5, 0.5)
"""For every second video frame: a turn of 14 degrees a step is 3.5 degrees a frame."""
ZOOM_GRID = Grid(0.36, 0.02)
PAIRS_PER_STEP = 2
"""Yaw is read between every second video frame of a block of four: 7 degrees of a turn of 14."""
TRUSTED = 2.0
"""Degrees by which the estimate from true frames may miss the true turn of a pair; on a wall that repeats itself it is
sure and wrong."""
LEAST_TURN = 0.1
"""Degrees of a step from which on the camera counts as turning."""


@dataclass(frozen=True)
class Warps:
    """Homographies in OpenCV's pixel convention, and the pixels that each fills (1, others 0): ``valid`` float32
    ``(A, H, W, 3)``, alike in all channels, as pictures are multiplied by it; ``weights`` float64 ``(A, H * W)``;
    ``counts`` how many they are, float64 ``(A,)``."""

    homographies: np.ndarray
    valid: np.ndarray
    weights: np.ndarray
    counts: np.ndarray

    @classmethod
    def of(cls, homographies: np.ndarray, size: tuple[int, int]) -> Warps:
        shift = np.array([[1, 0, -0.5], [0, 1, -0.5], [0, 0, 1]])  # OpenCV counts centres from 0, K from 0.5
        moved = shift @ homographies @ np.linalg.inv(shift)
        ones = np.ones(size, np.float32)
        filled = np.stack([cv2.warpPerspective(ones, H, size[::-1]) > 0.999 for H in moved])
        valid = np.repeat(filled[..., None], 3, -1).astype(np.float32)
        weights = filled.reshape(len(filled), -1).astype(float)
        return cls(moved, valid, weights, weights.sum(1))


@lru_cache(maxsize=16)
def _yaw_warps(K_flat: tuple[float, ...], size: tuple[int, int], grid: Grid) -> Warps:
    K = np.array(K_flat).reshape(3, 3)
    out = []
    for angle in np.radians(grid.values):
        # camera axes are x right, y down, z forward: turning left by `angle` moves the picture to the right
        c, s = np.cos(angle), np.sin(angle)
        out.append(K @ np.array([[c, 0, s], [0, 1, 0], [-s, 0, c]]) @ np.linalg.inv(K))
    return Warps.of(np.stack(out), size)


@lru_cache(maxsize=16)
def _zoom_warps(K_flat: tuple[float, ...], size: tuple[int, int], grid: Grid) -> Warps:
    cx, cy = K_flat[2], K_flat[5]
    scales = np.exp(grid.values)
    return Warps.of(np.stack([np.array([[s, 0, cx * (1 - s)], [0, s, cy * (1 - s)], [0, 0, 1]]) for s in scales]), size)


@dataclass(frozen=True)
class _Target:
    """A picture float32 ``(H, W, 3)`` of whole grey levels, each channel's mean taken off: ``flat`` float32
    ``(H * W * 3,)``, and ``table`` float64 ``(H * W, 4)`` with the sum of all channels' squares beside them."""

    flat: np.ndarray
    table: np.ndarray

    @classmethod
    def of(cls, picture: np.ndarray) -> _Target:
        table = np.empty((picture.shape[0] * picture.shape[1], 4))
        centred = table[:, :3]
        np.subtract(picture.reshape(-1, 3), np.array(cv2.sumElems(picture)[:3]) / len(table), out=centred)
        red, green, blue = (centred**2).T
        np.add(red + green, blue, out=table[:, 3])
        return cls(centred.astype(np.float32).ravel(), table)


def _correlations(before: np.ndarray, after: _Target, warps: Warps, which: np.ndarray | slice) -> np.ndarray:
    """Normalised correlation of ``after`` with ``before`` under some warps, over the pixels that both show.

    Each colour channel has its own mean, so that a picture in one colour does not match itself everywhere. Warp by
    warp, since arrays of one picture stay in the processor's cache; and a sum over pixels is a product, which numpy
    hands to BLAS.
    """
    size, one = before.shape[1::-1], np.ones(before.shape[0] * before.shape[1], np.float32)
    count = warps.counts[which]
    # per warp, the sums of each channel over the pixels that it fills, and that of all squares
    sums = warps.weights[which] @ after.table
    energy_b = np.maximum(sums[:, 3] - (sums[:, :3] ** 2).sum(1) / count, 0.0)
    energy_a, common = np.zeros(len(count)), np.zeros(len(count))
    for i, (valid, homography) in enumerate(zip(warps.valid[which], warps.homographies[which])):
        a_HWC = cv2.warpPerspective(before, homography, size)
        a_HWC *= valid
        red, green, blue = ((one @ a_HWC.reshape(-1, 3)) / count[i]).tolist()
        a_HWC -= cv2.multiply(valid, (red, green, blue, 0.0))  # type: ignore[call-overload]
        flat_a = a_HWC.ravel()
        energy_a[i], common[i] = flat_a @ flat_a, flat_a @ after.flat  # a's means are gone, so b's add nothing
    return common / np.maximum(np.sqrt(energy_a * energy_b), 1e-3)


def _search(before: np.ndarray, after: np.ndarray, warps: Warps, values: np.ndarray) -> tuple[float, float]:
    """The best of all warps: every third first, then those around the best of them."""
    source = cv2.GaussianBlur(before, (0, 0), 0.6).astype(np.float32)
    target = _Target.of(cv2.GaussianBlur(after, (0, 0), 0.6).astype(np.float32))
    scores = np.full(len(values), -1.0)
    coarse = slice(len(values) // 2 % 3, None, 3)  # the middle, no motion, is among them
    scores[coarse] = _correlations(source, target, warps, coarse)
    best = int(scores.argmax())
    near = np.array([i for i in range(best - 3, best + 4) if 0 <= i < len(values) and scores[i] == -1.0])
    scores[near] = _correlations(source, target, warps, near)
    return _peak(values, scores)


def _peak(values: np.ndarray, scores: np.ndarray) -> tuple[float, float]:
    """Sub-step maximum by a parabola; NaN where the best lies on the border or is weak."""
    i = int(scores.argmax())
    if scores[i] < MIN_CORRELATION or i in (0, len(values) - 1):
        return float("nan"), float(scores[i])
    shift = vertex(*scores[i - 1 : i + 2])
    return float(values[i] + shift * (values[1] - values[0])), float(scores[i])


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
    warps = _yaw_warps(tuple(np.ravel(K)), before.shape[:2], grid)
    return _search(before, after, warps, grid.values)


def zoom_between(
    before: np.ndarray, after: np.ndarray, K: np.ndarray, grid: Grid = ZOOM_GRID, bottom: int = 0
) -> tuple[float, float]:
    """Log of the scale (positive: the picture grows, as when walking forward) and the correlation of the
    match."""
    before, after = _crop(before, bottom), _crop(after, bottom)
    warps = _zoom_warps(tuple(np.ravel(K)), before.shape[:2], grid)
    return _search(before, after, warps, grid.values)


def chained(
    estimate: Callable[..., tuple[float, float]], frames_THWC: np.ndarray, K: np.ndarray, bottom: int = 0
) -> float:
    """Sum of ``estimate`` (``yaw_between`` or ``zoom_between``) over consecutive frames; NaN if one
    failed."""
    return float(np.sum([estimate(a, b, K, bottom=bottom)[0] for a, b in pairwise(frames_THWC)]))


def growth(frames_THWC: Sequence[np.ndarray], K: np.ndarray, bottom: int = 0) -> float:
    """Sum of ``zoom_between`` over consecutive frames, where an estimate that fails counts as no zoom."""
    return float(np.nansum([zoom_between(a, b, K, bottom=bottom)[0] for a, b in pairwise(frames_THWC)]))


def yaw_by_features(before: np.ndarray, after: np.ndarray, K: np.ndarray, bottom: int = 0, scale: int = 4) -> float:
    """Yaw in degrees by SIFT on frames upsampled by ``scale``; NaN with fewer than 6 agreeing matches.

    Every match of a pure rotation gives the same difference of azimuths, so the median and those within 1.5
    degrees of it decide.
    """
    sift = cv2.SIFT.create()
    found = []
    for frame in (before, after):
        grey = cv2.cvtColor(_crop(frame, bottom), cv2.COLOR_RGB2GRAY)
        found.append(
            sift.detectAndCompute(cv2.resize(grey, None, fx=scale, fy=scale, interpolation=cv2.INTER_CUBIC), None)
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


@dataclass(frozen=True)
class Turned:
    """What was seen of a commanded turn, in degrees for each pair of frames: the ``true`` yaw, and the yaw ``seen`` (0
    where the estimate ``failed``, the true one where nothing is ``asked``)."""

    true: np.ndarray
    seen: np.ndarray
    asked: np.ndarray
    failed: np.ndarray

    @property
    def share(self) -> float:
        """Rotation seen over true rotation on the asked pairs, a turn there and back counted both times; NaN without
        any."""
        whole = float(np.abs(self.true[self.asked]).sum())
        return float((self.seen * np.sign(self.true))[self.asked].sum()) / whole if whole else float("nan")

    @property
    def error(self) -> float:
        """Mean error of an asked pair in degrees; NaN without any."""
        return float(np.abs(self.seen - self.true)[self.asked].mean()) if self.asked.any() else float("nan")

    @property
    def stray(self) -> np.ndarray:
        """float ``(P,)``: the heading seen so far minus the true one."""
        return np.cumsum(self.seen - self.true)


@dataclass(frozen=True)
class Turning:
    """A true clip in which the camera turns on the spot: ``before`` uint8 ``(H, W, 3)``, ``blocks`` uint8
    ``(T, k, H, W, 3)``, ``turned`` float ``(T,)`` degrees of each step, ``K`` and the ``bottom`` rows left out.

    A pair of frames is asked where the true frames' own estimate is within ``TRUSTED`` degrees of the true turn.
    """

    before: np.ndarray
    blocks: np.ndarray
    turned: np.ndarray
    K: np.ndarray
    bottom: int = 0

    @cached_property
    def true_pairs(self) -> np.ndarray:
        """float ``(PAIRS_PER_STEP * T,)``: yaw as it is read from the true frames, NaN where it cannot be."""
        return self._pairs(self.before, self.blocks)

    @property
    def true(self) -> np.ndarray:
        """float ``(PAIRS_PER_STEP * T,)``: the true yaw of each pair."""
        return np.repeat(self.turned, PAIRS_PER_STEP) / PAIRS_PER_STEP

    @cached_property
    def asked(self) -> np.ndarray:
        """bool ``(PAIRS_PER_STEP * T,)``."""
        with np.errstate(invalid="ignore"):
            trusted = np.abs(self.true_pairs - self.true) <= TRUSTED
        return trusted & (np.abs(self.true) >= LEAST_TURN / PAIRS_PER_STEP)

    def of(self, before: np.ndarray, blocks: np.ndarray) -> Turned:
        """What a candidate's ``blocks`` show, which follow its frame ``before``."""
        same = np.array_equal(before, self.before) and np.array_equal(blocks, self.blocks)  # a second true run
        got = self.true_pairs if same else self._pairs(before, blocks)
        failed = self.asked & np.isnan(got)
        return Turned(self.true, np.where(self.asked, np.nan_to_num(got), self.true), self.asked, failed)

    def _pairs(self, before: np.ndarray, blocks: np.ndarray) -> np.ndarray:
        """Yaw of each pair of frames of the turning steps; 0 in the others."""
        out = np.zeros((len(blocks), PAIRS_PER_STEP))
        marks = np.linspace(0, blocks.shape[1], PAIRS_PER_STEP + 1).round().astype(int)
        for t, block in enumerate(blocks):
            frames = [before, *block]
            if abs(self.turned[t]) >= LEAST_TURN:
                out[t] = [self._yaw(frames[a], frames[b]) for a, b in pairwise(marks)]
            before = block[-1]
        return out.ravel()

    def _yaw(self, before: np.ndarray, after: np.ndarray) -> float:
        return 0.0 if np.array_equal(before, after) else yaw_between(before, after, self.K, bottom=self.bottom)[0]


def turned_by(yaw: np.ndarray) -> np.ndarray:
    """float ``(T,)``: degrees between ``T + 1`` headings, each in [-180, 180)."""
    return np.asarray(wrapped(np.diff(yaw)))
