"""The kernel distance against what it must be for features that are known."""

import numpy as np
import pytest

from worldsim.studies.kernel import kernel_distance

RNG = np.random.default_rng(0)
NORMAL = RNG.normal(size=(60, 8))


def test_pictures_are_at_no_distance_from_themselves():
    found = kernel_distance(NORMAL, NORMAL, range(60))
    assert max(map(abs, (found.value, found.low, found.high))) < 1e-12


def test_two_constant_pictures_have_the_kernels_own_distance():
    a, b = np.full((6, 4), 1.0), np.full((6, 4), 2.0)
    aa, ab, bb = (1 + 1) ** 3, (2 + 1) ** 3, (4 + 1) ** 3  # (a.b / D + 1)^3
    assert kernel_distance(a, b, range(6)).value == pytest.approx(aa + bb - 2 * ab)


def test_it_is_zero_on_average_where_both_are_drawn_alike_and_grows_with_a_shift():
    alike = [kernel_distance(*RNG.normal(size=(2, 20, 8)), range(20)).value for _ in range(400)]
    assert abs(np.mean(alike)) < 3 * np.std(alike) / np.sqrt(400)
    assert min(alike) < 0
    others = RNG.normal(size=(60, 8))
    shifted = [kernel_distance(NORMAL, others + shift, range(60)).value for shift in (0.5, 1.0, 2.0)]
    assert 0 < shifted[0] < shifted[1] < shifted[2]


def test_the_interval_is_over_maps():
    drawn = NORMAL + RNG.normal(size=8)
    once = kernel_distance(NORMAL, drawn, range(60))
    copies = kernel_distance(np.repeat(NORMAL, 2, 0), np.repeat(drawn, 2, 0), np.repeat(range(60), 2))
    assert copies.high - copies.low == pytest.approx(once.high - once.low, rel=0.2)
    assert once.low < once.value < once.high
    assert np.isnan(kernel_distance(NORMAL, drawn, [7] * 60).low)


def test_intervals_hold_what_is_true_as_often_as_they_say():
    # x ~ N(0, 1) and y ~ N(1, 1): E k(x, x') = 1 + 3, E k(y, y') = 1 + 3 + 3 * 4 + 16, E k(x, y) = 1 + 3 * 2
    x, y = RNG.normal(size=(2, 300, 25, 1))
    found = [kernel_distance(a, b + 1, range(25)) for a, b in zip(x, y)]
    assert np.mean([f.value for f in found]) == pytest.approx(4 + 32 - 2 * 7, rel=0.15)
    assert 0.8 < np.mean([f.low < 22 < f.high for f in found]) < 0.99


def test_features_must_fit():
    with pytest.raises(ValueError, match=r"features \(60, 8\) and \(60, 4\) of 60 moments"):
        kernel_distance(NORMAL, NORMAL[:, :4], range(60))
    with pytest.raises(ValueError, match="1 moments: a distance needs two or more"):
        kernel_distance(NORMAL[:1], NORMAL[:1], [0])
