"""Where each place of a frame was in the frame before: true motion of the picture, from depth and camera of a world.

Used to teach the pixel memory what moves where; a scene that stands still moves in the picture as its depth and the
camera say. What moves by itself is not covered.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

CELL = 4
"""Pixels between two places, along each side."""


def motion_field(before: Mapping[str, Any], after: Mapping[str, Any]) -> np.ndarray:
    """float16 ``(2, H/4, W/4)``: how far from each place of the frame after, in cells of 4 pixels, x first, the same
    point of the world lay in the frame before; NaN where it was not seen.

    ``before`` and ``after`` are the ``info["truth"]`` of two observations, with ``depth`` (along the optical axis, in
    metres) and ``camera`` (``K`` in pixels, ``c2w`` in OpenCV axes).
    """
    height, width = after["depth"].shape
    v, u = np.mgrid[CELL // 2 : height : CELL, CELL // 2 : width : CELL]
    here, there = after["camera"], before["camera"]
    depth = after["depth"][v, u].astype(np.float64)
    known = np.isfinite(depth)
    depth = np.where(known, depth, 1.0)
    rays = np.stack(
        [
            (u + 0.5 - here["K"][0, 2]) / here["K"][0, 0],
            (v + 0.5 - here["K"][1, 2]) / here["K"][1, 1],
            np.ones(u.shape),
        ],
        axis=-1,
    )
    points = (rays * depth[..., None]) @ here["c2w"][:3, :3].T + here["c2w"][:3, 3]
    local = (points - there["c2w"][:3, 3]) @ there["c2w"][:3, :3]
    z = local[..., 2]
    known &= z > 0.05
    z = np.where(known, z, 1.0)
    x = local[..., 0] / z * there["K"][0, 0] + there["K"][0, 2]
    y = local[..., 1] / z * there["K"][1, 1] + there["K"][1, 2]
    inside = known & (x >= 0) & (x < width) & (y >= 0) & (y < height)
    column, row = (np.where(inside, c, 0).astype(np.int64) for c in (x, y))
    nearest = _smallest_around(np.where(np.isfinite(before["depth"]), before["depth"], np.inf))[row, column]
    farthest = -_smallest_around(-np.where(np.isfinite(before["depth"]), before["depth"], -np.inf))[row, column]
    slack = 0.3 + 0.06 * z
    inside &= (z >= nearest - slack) & (z <= farthest + slack)
    field = np.stack([x - u - 0.5, y - v - 0.5]) / CELL
    return np.where(inside, field, np.nan).astype(np.float16)


def _smallest_around(depth: np.ndarray) -> np.ndarray:
    """Minimum over the 3x3 pixels around each pixel."""
    padded = np.pad(depth, 1, mode="edge")
    windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3))
    return windows.min((2, 3))
