"""Flow against depth on a textured wall that stands square to the camera: the exact flow is f * t / d."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from worldsim_benchmarks.geometry import View
from worldsim_benchmarks.parallax import expected_flow, parallax, questions, sampson

SIZE, FOCAL, DEPTH = 64, 48.0, 4.0


def camera(x: float, z: float = 0.0) -> View:
    """At x metres to the right and z ahead, looking along z at a wall ``DEPTH`` from the origin."""
    c2w = np.eye(4)
    c2w[0, 3], c2w[2, 3] = x, z
    K = np.array([[FOCAL, 0, SIZE / 2], [0, FOCAL, SIZE / 2], [0, 0, 1]])
    return View(K, c2w, np.full((SIZE, SIZE), DEPTH - z))


def wall(x: float) -> np.ndarray:
    """What it shows: the texture moved by f * x / d pixels to the left."""
    noise = np.random.default_rng(0).integers(0, 256, (16, 48, 3), dtype=np.uint8)
    texture = cv2.resize(noise, (192, 64), interpolation=cv2.INTER_CUBIC)
    shift = np.array([[1, 0, -64 - FOCAL * x / DEPTH], [0, 1, 0]], np.float64)
    return cv2.warpAffine(texture, shift, (SIZE, SIZE))


WAY = (0.0, 0.25, 0.5, 0.75)
VIEWS = [camera(x) for x in WAY]
TRUE = np.stack([wall(x) for x in WAY])


def test_expected_flow_is_that_of_a_wall() -> None:
    flow = expected_flow(camera(0.0), camera(0.25))
    inside = np.isfinite(flow[..., 0])
    assert np.allclose(flow[inside], (-FOCAL * 0.25 / DEPTH, 0.0))
    assert (~inside).sum() == 3 * SIZE  # three columns leave the picture
    ahead = expected_flow(camera(0.0), camera(0.0, 1.0))
    assert np.allclose(ahead[SIZE // 2, SIZE // 2 + 8], ((8.5 * DEPTH / 3) - 8.5, 0.5 * DEPTH / 3 - 0.5))


@pytest.mark.parametrize(
    ("way", "ratio"), [(WAY, 1.0), ((0.0,) * 4, 0.0), (tuple(-x for x in WAY), -1.0), ((0, 0.125, 0.25, 0.375), 0.5)]
)
def test_the_ratio_is_the_part_of_the_motion_that_is_seen(way: tuple[float, ...], ratio: float) -> None:
    asked = questions(TRUE, VIEWS, range(3))
    assert [q.t for q in asked] == [0, 1, 2]
    found = parallax(np.stack([wall(x) for x in way]), asked)
    assert found.ratio == pytest.approx(ratio, abs=0.05)
    assert found.asked == 3
    assert found.sampson < 0.5  # all of them stay on the epipolar lines: it cannot tell them apart


def test_motion_across_the_epipolar_lines_is_seen_in_pixels() -> None:
    up = np.zeros((SIZE, SIZE, 2))
    up[..., 1] = -2.0
    error = sampson(up, camera(0.0), camera(0.25))
    assert np.allclose(error, 2.0 / np.sqrt(2) * 256 / SIZE)


def test_what_cannot_be_seen_is_not_asked() -> None:
    plain = np.full_like(TRUE, 90)
    assert questions(plain, VIEWS, range(3)) == []
    assert questions(TRUE, [VIEWS[0]] * 4, range(3)) == []  # a wall stopped the camera
    nothing = parallax(TRUE, [])
    assert nothing.asked == 0
    assert np.isnan(nothing.ratio)
