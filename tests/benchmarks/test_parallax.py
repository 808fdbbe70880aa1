"""Flow against depth on a textured wall that stands square to the camera: the exact flow is f * t / d."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from worldsim_benchmarks.geometry import View
from worldsim_benchmarks.parallax import (
    Parallax,
    Question,
    depth_order,
    expected_flow,
    heading_error,
    questions,
    sampson,
    seen_steps,
    summed,
)

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


def parallax(frames: np.ndarray, asked: list[Question]) -> Parallax:
    return summed(seen_steps(frames, asked))


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


def uneven(z: float, turned: float = 0.0, x: float = 0.0) -> View:
    """A camera at ``z`` metres ahead and ``x`` to the right, turned by so many degrees; what it sees first is 2 to 6
    metres off, farther from row to row."""
    view = camera(x, z)
    c, s = np.cos(np.radians(turned)), np.sin(np.radians(turned))
    c2w = view.c2w.copy()
    c2w[:3, :3] = np.array([[c, 0, s], [0, 1, 0], [-s, 0, c]])
    return View(view.K, c2w, np.broadcast_to(np.linspace(2, 6, SIZE)[:, None], (SIZE, SIZE)) + 0.0)


@pytest.mark.parametrize(("x", "z", "turned"), [(0.0, 0.3, 0.0), (0.0, -0.3, 0.0), (0.2, 0.0, 0.0), (0.1, 0.2, 5.0)])
def test_the_focus_of_expansion_is_where_the_camera_goes(x: float, z: float, turned: float) -> None:
    before, after = uneven(0.0), uneven(z, turned, x)
    flow = expected_flow(before, after)
    pixels = np.isfinite(flow[..., 0])
    assert heading_error(flow, pixels, before, after) == pytest.approx(0.0, abs=1e-3)
    noise = np.random.default_rng(0).normal(0, 0.3, flow.shape)
    assert heading_error(flow + noise, pixels, before, after) < 10
    assert heading_error(np.zeros_like(flow), pixels, before, after) == (
        180.0 if not turned else pytest.approx(90, abs=90)
    )
    if not turned:
        assert heading_error(-flow, pixels, before, after) == pytest.approx(180.0, abs=10)


def test_a_step_aside_is_told_from_a_step_ahead() -> None:
    before, ahead, aside = uneven(0.0), uneven(0.3), uneven(0.0, 0.0, 0.3)
    flow = expected_flow(before, aside)
    assert heading_error(flow, np.isfinite(flow[..., 0]), before, ahead) == pytest.approx(90.0, abs=1)


@pytest.mark.parametrize(("x", "z", "turned"), [(0.2, 0.0, 0.0), (0.2, 0.0, 6.0), (0.0, 0.3, 0.0), (0.0, -0.3, 3.0)])
def test_near_things_move_more_and_a_flat_picture_does_not_know(x: float, z: float, turned: float) -> None:
    before, after = uneven(0.0), uneven(z, turned, x)
    flow = expected_flow(before, after)
    pixels = np.isfinite(flow[..., 0])
    assert depth_order(flow, flow, pixels, before, after) == pytest.approx(1.0, abs=1e-3)
    wall_before = View(before.K, before.c2w, np.full((SIZE, SIZE), 4.0))
    flat = expected_flow(wall_before, after)  # all pixels move alike, as if everything were 4 metres off
    noise = np.random.default_rng(0).normal(0, 0.01, flat.shape)
    seen = np.where(np.isfinite(flat), flat, 0.0) + noise
    assert depth_order(seen, flow, pixels & np.isfinite(flat[..., 0]), before, after) == pytest.approx(0.0, abs=0.1)
    if not turned:
        assert depth_order(np.zeros_like(flow), flow, pixels, before, after) == 0.0
    assert np.isnan(depth_order(flow, flow, pixels, wall_before, after))


def test_a_clip_tells_its_heading() -> None:
    asked = questions(TRUE, VIEWS, range(3))
    true, back = parallax(TRUE, asked), parallax(np.stack([wall(-x) for x in WAY]), asked)
    assert true.heading < 10 and back.heading > 170
    assert np.isnan(true.order)  # the wall is as far everywhere
    assert parallax(np.repeat(TRUE[:1], 4, 0), asked).heading == 180.0
