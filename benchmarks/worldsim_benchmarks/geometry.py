"""Which pixels of a true frame were seen in the context: reprojection with true depth and camera.

A candidate is judged only where it can know the answer. What lies behind a closed door is unknowable, and
there a grey picture beats a sharp possible world. A pixel is *co-visible* when its point in space,
projected into at least one context camera, lands inside that picture at the depth that was seen there.
Cameras are 3x3 ``K`` (pixels) and 4x4 ``c2w`` (OpenCV axes: x right, y down, z forward; metres); depth is
planar (along z).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

import cv2
import numpy as np


@dataclass(frozen=True)
class View:
    """A camera with what it saw: ``depth`` float ``(H, W)`` in metres (NaN or inf where unknown)."""

    K: np.ndarray
    c2w: np.ndarray
    depth: np.ndarray


def pixel_rays(height: int, width: int, K: np.ndarray) -> np.ndarray:
    """float ``(H, W, 3)``: camera rays with z = 1 through the pixel centres."""
    u, v = np.meshgrid(np.arange(width) + 0.5, np.arange(height) + 0.5)
    return np.stack([(u - K[0, 2]) / K[0, 0], (v - K[1, 2]) / K[1, 1], np.ones_like(u)], -1)


def world_points(view: View) -> np.ndarray:
    """float ``(H, W, 3)``: the point in space that each pixel shows (the camera itself where unknown)."""
    depth = np.where(np.isfinite(view.depth), view.depth, 0.0)
    points = pixel_rays(depth.shape[0], depth.shape[1], view.K) * depth[..., None]
    return points @ view.c2w[:3, :3].T + view.c2w[:3, 3]


def seen_in(points: np.ndarray, view: View, tolerance: float, relative: float) -> np.ndarray:
    """bool ``(...)``: which points in space ``(..., 3)`` the view shows, not hidden behind something nearer.

    Depths agree when they differ by at most ``tolerance`` metres plus ``relative`` times the depth, against
    any of the 3 x 3 pixels around the projection.
    """
    height, width = view.depth.shape
    local = (points - view.c2w[:3, 3]) @ view.c2w[:3, :3]
    z = local[..., 2]
    ahead = np.isfinite(z) & (z > 0.05)
    z_safe = np.where(ahead, z, 1.0)
    u = np.floor(np.where(ahead, local[..., 0] / z_safe * view.K[0, 0] + view.K[0, 2], -1)).astype(np.int64)
    v = np.floor(np.where(ahead, local[..., 1] / z_safe * view.K[1, 1] + view.K[1, 2], -1)).astype(np.int64)
    inside = ahead & (u >= 0) & (u < width) & (v >= 0) & (v < height)
    u, v = u.clip(0, width - 1), v.clip(0, height - 1)
    depth = np.where(np.isfinite(view.depth), view.depth, 0.0).astype(np.float32)
    kernel = np.ones((3, 3), np.uint8)
    nearest, farthest = cv2.erode(depth, kernel)[v, u], cv2.dilate(depth, kernel)[v, u]
    slack = tolerance + relative * z_safe
    return inside & (z_safe >= nearest - slack) & (z_safe <= farthest + slack)


def co_visible(
    view: View, context: Sequence[View], tolerance: float = 0.3, relative: float = 0.06, bottom: int = 0
) -> np.ndarray:
    """bool ``(H, W)``: pixels of ``view`` that at least one view of the context shows.

    The ``bottom`` rows of the picture are left out: a status bar is drawn over the scene there. Points
    further than the sensor's range (not finite) are not co-visible.
    """
    points, known = world_points(view), np.isfinite(view.depth)
    mask = np.zeros(view.depth.shape, bool)
    for other in context:
        rest = known & ~mask  # what one view shows need not be looked for in the others
        if not rest.any():
            break
        mask[rest] = seen_in(points[rest], other, tolerance, relative)
    if bottom:
        mask[-bottom:] = False
    return mask


Angle = TypeVar("Angle", float, np.ndarray)


def wrapped(degrees: Angle) -> Angle:
    """Angles, a number or an array, as the same from -180 up to 180 degrees."""
    return (degrees + 180) % 360 - 180


def vertex(left: float, middle: float, right: float) -> float:
    """Where the parabola through three evenly spaced values turns, in steps from the middle one; 0 for a line."""
    bend = left - 2 * middle + right
    return float(0.5 * (left - right) / bend) if bend else 0.0
