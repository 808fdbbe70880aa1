"""Does the picture move as true depth says? Observed flow against the flow of known points under the known motion.

Known-pose epipolar error alone is exactly 0 for a frozen video, since a point that stays lies on its own epipolar line;
it is paired here with the *parallax ratio*, the observed flow projected on the expected one: 1 is right, 0 is frozen,
-1 runs the other way. Flow is dense inverse search (Kroeger et al. 2016, as in OpenCV) on frames upsampled by four,
where small pictures have enough pixels to match. Plain walls have no flow that could be seen, so only those pixels are
asked on whose true frames the estimator finds what true depth says: that is its calibration. Cameras are OpenCV's
(``geometry.py``); flow is in pixels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from scipy.stats import spearmanr

from worldsim_benchmarks.geometry import View, world_points

SCALE = 4
LEAST = 0.5
"""Pixels of expected flow below which a pixel tells nothing of the motion."""
AGREES = 0.3
"""A pixel is asked where the flow of the true frames is within this part of the expected one (and half a pixel)."""
ASKED = 0.05
"""Share of such pixels from which on a step is asked."""
STANDS = 0.1
"""Pixels of mean flow under which a picture does not move."""
SPREAD = 1.5
"""Ratio of the farthest to the nearest asked pixels (95th to 5th percentile) from which on their order is asked."""
SAMPSON_WIDTH = 256.0
"""Epipolar errors are given in pixels of a picture of this width."""


@dataclass(frozen=True)
class Parallax:
    """Over the asked steps of a clip: ``ratio`` and the median known-pose Sampson error ``sampson`` (pixels of a
    256-wide picture), NaN where no step could be asked; ``asked`` steps; ``heading``, the median of
    ``heading_error`` (degrees, 180 for a failure); ``order``, the mean of ``depth_order`` over the steps in which near
    and far are told apart (NaN without any)."""

    ratio: float
    sampson: float
    asked: int
    heading: float = float("nan")
    order: float = float("nan")


def expected_flow(before: View, after: View) -> np.ndarray:
    """float ``(H, W, 2)``: where each pixel's point goes from one camera to the next; NaN where it is unknown or lands
    outside the picture or behind the camera."""
    height, width = before.depth.shape
    local = (world_points(before) - after.c2w[:3, 3]) @ after.c2w[:3, :3]
    known = np.isfinite(before.depth) & (local[..., 2] > 0.05)
    z = np.where(known, local[..., 2], 1.0)
    u = local[..., 0] / z * after.K[0, 0] + after.K[0, 2]
    v = local[..., 1] / z * after.K[1, 1] + after.K[1, 2]
    inside = known & (u >= 0) & (u < width) & (v >= 0) & (v < height)
    columns, rows = np.meshgrid(np.arange(width) + 0.5, np.arange(height) + 0.5)
    return np.where(inside[..., None], np.stack([u - columns, v - rows], -1), np.nan)


def observed_flow(before: np.ndarray, after: np.ndarray) -> np.ndarray:
    """float32 ``(H, W, 2)`` between two uint8 ``(H, W, 3)``."""
    height, width = before.shape[:2]
    grey = [
        cv2.resize(cv2.cvtColor(f, cv2.COLOR_RGB2GRAY), None, fx=SCALE, fy=SCALE, interpolation=cv2.INTER_CUBIC)
        for f in (before, after)
    ]
    flow = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM).calc(grey[0], grey[1], None)  # type: ignore[call-overload]
    return cv2.resize(flow, (width, height), interpolation=cv2.INTER_AREA) / SCALE


def sampson(flow: np.ndarray, before: View, after: View) -> np.ndarray:
    """float ``(H, W)``: Sampson distance of each pixel and where its flow leads, under the known motion (Hartley and
    Zisserman, eq. 11.9), in pixels of a 256-wide picture."""
    height, width = flow.shape[:2]
    moved = np.linalg.inv(after.c2w) @ before.c2w
    t = moved[:3, 3]
    cross = np.array([[0, -t[2], t[1]], [t[2], 0, -t[0]], [-t[1], t[0], 0]])
    F = np.linalg.inv(after.K).T @ cross @ moved[:3, :3] @ np.linalg.inv(before.K)
    columns, rows = np.meshgrid(np.arange(width) + 0.5, np.arange(height) + 0.5)
    x = np.stack([columns, rows, np.ones_like(rows)], -1)
    y = x + np.concatenate([flow, np.zeros((height, width, 1))], -1)
    Fx, Fy = x @ F.T, y @ F
    gradient = Fx[..., 0] ** 2 + Fx[..., 1] ** 2 + Fy[..., 0] ** 2 + Fy[..., 1] ** 2
    return np.abs((y * Fx).sum(-1)) / np.sqrt(np.maximum(gradient, 1e-12)) * SAMPSON_WIDTH / width


def heading_error(flow: np.ndarray, pixels: np.ndarray, before: View, after: View) -> float:
    """Degrees between where the camera is seen to go and where it goes, for a known rotation: the direction that all
    ``pixels`` of the flow ``(H, W, 2)`` agree on best, which is where the picture expands from (the focus of expansion,
    or far outside of the picture where one steps aside). 180 where the picture does not move."""
    moved = np.linalg.inv(after.c2w) @ before.c2w
    x, y = _pairs(flow, pixels)
    if np.hypot(*(y - x)[:, :2].T).mean() < STANDS:
        return 180.0
    turned = x @ np.linalg.inv(before.K).T @ moved[:3, :3].T
    seen = y @ np.linalg.inv(after.K).T
    normals = np.cross(turned, seen)  # each lies across the plane of its two rays, and so across the way
    way = np.linalg.eigh(normals.T @ normals)[1][:, 0]
    shift = seen[:, :2] - turned[:, :2] / turned[:, 2:]
    sense = float((shift * (way[:2] - way[2] * turned[:, :2] / turned[:, 2:])).sum())
    true = moved[:3, 3] / np.linalg.norm(moved[:3, 3])
    return float(np.degrees(np.arccos(np.clip((1 if sense > 0 else -1) * way @ true, -1, 1))))


def depth_order(flow: np.ndarray, expected: np.ndarray, pixels: np.ndarray, before: View, after: View) -> float:
    """Rank correlation of nearness (over depth) and of nearness by parallax, the observed flow along the expected one
    over what a point a metre off would have, the known turn taken off both: 1 where near things move most, 0 where all
    move alike. NaN where all pixels are about as far."""
    first = before.depth[pixels]
    if np.percentile(first, 95) < SPREAD * np.percentile(first, 5):
        return float("nan")
    x, _ = _pairs(flow, pixels)
    moved = np.linalg.inv(after.c2w) @ before.c2w
    rays = x @ np.linalg.inv(before.K).T @ moved[:3, :3].T
    turned = rays @ after.K.T
    turn = turned[:, :2] / turned[:, 2:] - x[:, :2]
    far = first * rays[:, 2] + moved[2, 3]  # in the second view: that is what parallax goes by
    seen, true = flow[pixels] - turn, expected[pixels] - turn
    nearness = (seen * true).sum(-1) / np.maximum((true**2).sum(-1) * far, 1e-9)
    nearness = nearness.round(6)  # what is equal but for rounding is tied
    return float(spearmanr(nearness, (1 / far).round(6)).statistic) if np.ptp(nearness) else 0.0


def _pairs(flow: np.ndarray, pixels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Homogeneous points ``(N, 3)`` of the pixels, and where the flow takes them."""
    rows, columns = np.nonzero(pixels)
    x = np.stack([columns + 0.5, rows + 0.5, np.ones(len(rows))], -1)
    return x, x + np.concatenate([flow[rows, columns], np.zeros((len(rows), 1))], -1)


@dataclass(frozen=True)
class Question:
    """A step t -> t + 1 that can be asked: its expected flow ``(H, W, 2)``, the pixels, both cameras, and the flow that
    is ``observed`` between the true ``frames`` uint8 ``(2, H, W, 3)``."""

    t: int
    flow: np.ndarray
    pixels: np.ndarray
    before: View
    after: View
    frames: np.ndarray
    observed: np.ndarray


def questions(truth: np.ndarray, views: Sequence[View], steps: Sequence[int], bottom: int = 0) -> list[Question]:
    """Those ``steps`` of true frames ``(T + 1, H, W, 3)`` and cameras whose motion can be seen: where a wall stopped
    the camera, or fills the picture, nothing is asked."""
    out = []
    for t in steps:
        flow = expected_flow(views[t], views[t + 1])
        size = np.hypot(flow[..., 0], flow[..., 1])
        observed = observed_flow(truth[t], truth[t + 1])
        gap = observed - flow
        with np.errstate(invalid="ignore"):
            pixels = (size >= LEAST) & (np.hypot(gap[..., 0], gap[..., 1]) <= AGREES * size + LEAST)
        if bottom:
            pixels[-bottom:] = False
        if pixels.mean() >= ASKED:
            out.append(Question(t, flow, pixels, views[t], views[t + 1], truth[t : t + 2], observed))
    return out


@dataclass(frozen=True)
class Step:
    """What is seen of a step t: the flow ``along`` the expected one and the ``expected`` one squared, means over the
    asked pixels; the median Sampson error; ``heading_error`` and ``depth_order``."""

    t: int
    along: float
    expected: float
    sampson: float
    heading: float
    order: float


def seen_steps(frames: np.ndarray, asked: Sequence[Question]) -> list[Step]:
    """The motion of a clip ``(T + 1, H, W, 3)`` in the steps that are asked."""
    out = []
    still: tuple[np.ndarray, np.ndarray] | None = None  # a picture that stays, and the flow between it and itself
    for q in asked:
        truth, used, pair = q.flow, q.pixels, frames[q.t : q.t + 2]
        stays = np.array_equal(pair[0], pair[1])
        if np.array_equal(pair, q.frames):
            flow = q.observed
        elif stays and still is not None and np.array_equal(pair[0], still[0]):
            flow = still[1]
        else:
            flow = observed_flow(pair[0], pair[1])
            still = (pair[0], flow) if stays else still
        out.append(
            Step(
                q.t,
                float((flow[used] * truth[used]).sum()) / used.sum(),
                float((truth[used] ** 2).sum()) / used.sum(),
                float(np.median(sampson(flow, q.before, q.after)[used])),
                heading_error(flow, used, q.before, q.after),
                depth_order(flow, truth, used, q.before, q.after),
            )
        )
    return out


def summed(steps: Sequence[Step]) -> Parallax:
    """The steps of a clip as one; NaN where there is none."""
    if not steps:
        return Parallax(float("nan"), float("nan"), 0)
    told = [step.order for step in steps if np.isfinite(step.order)]
    return Parallax(
        sum(step.along for step in steps) / sum(step.expected for step in steps),
        float(np.median([step.sampson for step in steps])),
        len(steps),
        float(np.median([step.heading for step in steps])),
        float(np.mean(told)) if told else float("nan"),
    )
