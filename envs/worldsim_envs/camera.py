"""Camera geometry that the 3-D worlds share."""

from __future__ import annotations

import numpy as np


def camera_to_world(x: float, y: float, z: float, yaw: float, pitch: float) -> np.ndarray:
    """c2w, float64 ``(4, 4)``, metres: OpenCV axes (x right, y down, z forward) to x east, y north, z up."""
    a, p = np.radians(yaw), np.radians(pitch)
    sin_a, cos_a, sin_p, cos_p = np.sin(a), np.cos(a), np.sin(p), np.cos(p)
    return np.array(
        [
            [sin_a, cos_a * sin_p, cos_a * cos_p, x],
            [-cos_a, sin_a * sin_p, sin_a * cos_p, y],
            [0.0, -cos_p, sin_p, z],
            [0.0, 0.0, 0.0, 1.0],
        ]
    )
