"""Votes and places on pictures whose answer is drawn by hand."""

from __future__ import annotations

import numpy as np
import pytest
from worldsim_benchmarks.probes import detect

SIZE = 32


def ground() -> np.ndarray:
    """A picture with structure everywhere, so that shifts can be told apart."""
    return np.random.default_rng(0).integers(60, 120, (SIZE, SIZE, 3), dtype=np.uint8)


def with_square(x: int = 10, y: int = 12, colour: tuple[int, int, int] = (220, 30, 30)) -> np.ndarray:
    picture = ground()
    picture[y : y + 6, x : x + 6] = colour
    return picture


def test_the_true_difference_is_the_square() -> None:
    mask = detect.differs(with_square(), ground())
    assert mask.sum() == 36
    assert mask[12:18, 10:16].all()


def test_each_truth_wins_its_own_vote_and_grey_splits() -> None:
    done, undone = with_square(), ground()
    mask = detect.differs(done, undone)
    assert detect.nearer(done, done, undone, mask) == 1.0
    assert detect.nearer(undone, done, undone, mask) == 0.0
    half = ((done.astype(int) + undone) // 2).astype(np.uint8)
    assert detect.departs(half, done, undone, mask) < 1.0
    assert np.isnan(detect.nearer(done, done, undone, np.zeros_like(mask)))


def test_a_tie_counts_half() -> None:
    this, that = np.full((4, 4, 3), 0, np.uint8), np.full((4, 4, 3), 200, np.uint8)
    assert detect.nearer(np.full((4, 4, 3), 100, np.uint8), this, that, np.ones((4, 4), bool)) == 0.5


def test_blur_keeps_the_vote() -> None:
    import cv2

    done, undone = with_square(), ground()
    mask = detect.differs(done, undone)
    blurred = cv2.GaussianBlur(done, (0, 0), 1.0)
    assert detect.nearer(blurred, done, undone, mask) >= 0.75


def test_what_left_in_any_direction_has_departed() -> None:
    done, undone = with_square(), ground()
    mask = detect.differs(done, undone)
    elsewhere = with_square(colour=(30, 30, 230))
    assert detect.departs(elsewhere, done, undone, mask) == 1.0
    assert detect.departs(undone, done, undone, mask) == 0.0


@pytest.mark.parametrize("shift", [(-3, 0), (2, 1), (0, -1)])
def test_a_shifted_picture_is_registered_outside_of_the_change(shift: tuple[int, int]) -> None:
    done, undone = with_square(), ground()
    mask = detect.differs(done, undone)
    moved = detect.shifted(undone, *shift)
    back = detect.registered(moved, done, ~detect.grown(mask, 3))
    inner = (slice(4, -4), slice(4, -4))
    assert np.array_equal(back[inner], undone[inner])
    assert detect.nearer(back, done, undone, mask) == 0.0


def test_the_place_without_the_thing_is_the_ground_again() -> None:
    plain = np.full((SIZE, SIZE, 3), 90, np.uint8)
    picture = plain.copy()
    picture[12:18, 10:16] = (220, 30, 30)
    assert np.abs(detect.without(picture, detect.differs(picture, plain)).astype(int) - 90).max() <= 3


def test_another_hue_is_another_colour_of_the_same_brightness() -> None:
    picture = with_square()
    mask = detect.differs(picture, ground())
    turned = detect.recoloured(picture, mask, 120)
    assert np.array_equal(turned[~mask], picture[~mask])
    assert tuple(turned[14, 12].argsort()) != tuple(picture[14, 12].argsort())
    assert turned[14, 12].max() == picture[14, 12].max()
    assert detect.saturation(picture, mask) == pytest.approx(190 / 255)
