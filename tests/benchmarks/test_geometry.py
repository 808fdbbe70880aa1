"""Co-visibility where it can be worked out by hand: a wall, a turn, something in front."""

from __future__ import annotations

import numpy as np
import pytest
from worldsim_benchmarks.geometry import View, co_visible, world_points

SIZE = 64
K = np.array([[32.0, 0, 32], [0, 32.0, 32], [0, 0, 1]])  # 90 degrees wide


def camera(x: float = 0.0, yaw: float = 0.0) -> np.ndarray:
    """Looks along +y of the world at yaw 0, turning left with yaw; x to the right."""
    a = np.radians(yaw)
    c2w = np.eye(4)
    c2w[:3, 0] = (np.cos(a), np.sin(a), 0)
    c2w[:3, 1] = (0, 0, -1)
    c2w[:3, 2] = (-np.sin(a), np.cos(a), 0)
    c2w[0, 3] = x
    return c2w


def wall(x: float = 0.0, distance: float = 4.0) -> View:
    return View(K, camera(x), np.full((SIZE, SIZE), distance))


def test_points_of_a_wall_lie_on_it() -> None:
    points = world_points(wall(x=1.0))
    assert np.allclose(points[..., 1], 4.0)
    assert points[0, 0, 0] == pytest.approx(1.0 - 31.5 / 32 * 4)
    assert points[0, 0, 2] == pytest.approx(31.5 / 32 * 4)  # the upper row is high up


def test_a_picture_is_visible_in_itself() -> None:
    assert co_visible(wall(), [wall()]).all()
    assert not co_visible(wall(), [wall()], bottom=3)[-3:].any()


def test_a_step_aside_leaves_a_strip_unseen() -> None:
    """At 4 m the picture is 8 m wide: after 2 m to the right a quarter of it is new, on the right."""
    mask = co_visible(wall(x=2.0), [wall(x=0.0)])
    assert mask[:, :48].all()
    assert not mask[:, 48:].any()


def test_what_is_hidden_behind_something_near_is_not_seen() -> None:
    """The context camera had a pillar over its left half at 1 m; the wall behind it is unknown."""
    depth = np.full((SIZE, SIZE), 4.0)
    depth[:, :32] = 1.0
    mask = co_visible(wall(), [View(K, camera(), depth)])
    assert not mask[:, :31].any()
    assert mask[:, 33:].all()


def test_turned_away_nothing_is_seen_and_turned_back_all() -> None:
    away = View(K, camera(yaw=180.0), np.full((SIZE, SIZE), 4.0))
    assert not co_visible(away, [wall()]).any()
    assert co_visible(wall(), [away, wall()]).all()


def test_unknown_depth_is_not_co_visible() -> None:
    depth = np.full((SIZE, SIZE), 4.0)
    depth[:10] = np.inf
    mask = co_visible(View(K, camera(), depth), [wall()])
    assert not mask[:10].any()
    assert mask[10:].all()
