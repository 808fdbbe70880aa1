"""Yaw and zoom from pictures, against the heading at which a panorama was drawn."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from panorama import intrinsics, view
from worldsim_benchmarks.motion import Turning, chained, yaw_between, yaw_by_features, zoom_between


@pytest.mark.parametrize("turn", [-10.0, -3.5, -0.8, 0.0, 0.3, 7.0])
def test_yaw_is_read_to_a_fraction_of_a_degree(turn: float) -> None:
    """Left is positive, at any heading of any panorama."""
    for seed in range(4):
        yaw, correlation = yaw_between(view(seed, 40.0), view(seed, 40.0 + turn), intrinsics())
        assert yaw == pytest.approx(turn, abs=0.25)
        assert correlation > 0.95


def test_turns_add_up_over_a_chain() -> None:
    frames = np.stack([view(3, 3.5 * i) for i in range(25)])
    assert chained(yaw_between, frames, intrinsics()) == pytest.approx(84.0, abs=1.0)


def test_another_world_and_a_grey_one_are_failures() -> None:
    assert np.isnan(yaw_between(view(0, 0.0), view(99, 0.0), intrinsics())[0])
    grey = np.full_like(view(0, 0.0), 128)
    assert np.isnan(yaw_between(grey, grey, intrinsics())[0])


def test_a_turn_beyond_the_grid_is_a_failure_and_no_clipped_value() -> None:
    assert np.isnan(yaw_between(view(1, 0.0), view(1, 25.0), intrinsics())[0])


def test_zoom_is_the_log_of_the_scale() -> None:
    frame = view(2, 0.0)
    K = intrinsics()
    for scale in (0.85, 1.0, 1.2):
        matrix = np.array([[scale, 0, 24 * (1 - scale)], [0, scale, 24 * (1 - scale)]])
        grown = cv2.warpAffine(frame, matrix, (48, 48), borderMode=cv2.BORDER_REPLICATE)
        assert zoom_between(frame, grown, K)[0] == pytest.approx(np.log(scale), abs=0.02)


def test_the_status_bar_does_not_hold_the_picture_still() -> None:
    """A fixed bar in the lower rows would speak for no motion."""
    before, after = view(5, 0.0), view(5, 7.0)
    before[-6:], after[-6:] = (220, 30, 30), (220, 30, 30)
    assert yaw_between(before, after, intrinsics(), bottom=6)[0] == pytest.approx(7.0, abs=0.3)


def test_features_agree_with_correlation_where_there_are_features() -> None:
    rng = np.random.default_rng(0)
    tiles = np.kron(rng.integers(0, 256, (16, 16, 3), dtype=np.uint8), np.ones((4, 4, 1), np.uint8))
    K = np.array([[64.0, 0, 32], [0, 64.0, 32], [0, 0, 1]])
    angle = np.radians(6.0)
    R = np.array([[np.cos(angle), 0, np.sin(angle)], [0, 1, 0], [-np.sin(angle), 0, np.cos(angle)]])
    half = np.array([[1, 0, -0.5], [0, 1, -0.5], [0, 0, 1]])
    turned = cv2.warpPerspective(tiles, half @ K @ R @ np.linalg.inv(K) @ np.linalg.inv(half), (64, 64))
    assert yaw_by_features(tiles, turned, K) == pytest.approx(6.0, abs=0.5)
    assert yaw_between(tiles, turned, K)[0] == pytest.approx(6.0, abs=0.3)
    assert np.isnan(yaw_by_features(np.full_like(tiles, 90), turned, K))


def turn_of_four(seed: int = 4) -> Turning:
    """Four steps of 14 degrees to the left, four frames each."""
    blocks = np.stack([[view(seed, 14.0 * t + 3.5 * (i + 1)) for i in range(4)] for t in range(4)])
    return Turning(view(seed, 0.0), blocks, np.full(4, 14.0), intrinsics())


def test_a_true_turn_is_seen_whole_and_a_frozen_one_not_at_all() -> None:
    turning = turn_of_four()
    assert turning.asked.tolist() == [True] * 8
    seen = turning.of(turning.before, turning.blocks)
    assert seen.share == pytest.approx(1.0, abs=0.03)
    still = turning.of(turning.before, np.broadcast_to(turning.before, turning.blocks.shape))
    assert (still.share, still.failed.any()) == (0.0, False)
    assert still.stray[-1] == pytest.approx(-56.0)


def test_what_the_estimator_misses_in_the_truth_is_asked_of_nobody_and_all_else_is() -> None:
    turning = turn_of_four()
    fog = turning.blocks.copy()
    fog[1] = 128  # the truth looks at a plain wall there: no estimate with the pictures before and after
    asked = Turning(turning.before, fog, turning.turned, turning.K)
    assert asked.asked.tolist() == [True, True, False, False, False, True, True, True]
    assert asked.of(turning.before, fog).share == pytest.approx(1.0, abs=0.03)
    assert asked.of(turning.before, turning.blocks).failed.sum() == 0
    seen = turning.of(turning.before, fog)  # a candidate that shows the fog where the truth shows none
    # within the fog nothing moves, which is no failure of the estimate
    assert seen.failed.tolist() == [False, False, True, False, True, False, False, False]
    assert seen.share == pytest.approx(5 / 8, abs=0.03)


def test_a_sure_estimate_that_is_wrong_in_the_truth_is_not_asked() -> None:
    """A wall that repeats itself: the picture says another turn than the world."""
    turning = turn_of_four()
    told = Turning(turning.before, turning.blocks, np.array([14.0, 14.0, 20.0, 14.0]), turning.K)
    assert told.asked.tolist() == [True] * 4 + [False] * 2 + [True] * 2
