"""Intervals on cases whose answer is known."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats
from worldsim_benchmarks import statistics as st


def test_the_mean_interval_covers_at_about_its_confidence() -> None:
    """Clusters with a shared effect: the cluster bootstrap covers, a bootstrap over rows would not."""
    rng = np.random.default_rng(0)
    hits = naive = 0
    for _ in range(200):
        effect = rng.normal(size=30)
        values = (effect[:, None] + 0.1 * rng.normal(size=(30, 10))).ravel()
        clusters = np.repeat(np.arange(30), 10)
        interval = st.cluster_mean(values, clusters)
        hits += interval.low <= 0 <= interval.high
        row = st.cluster_mean(values, np.arange(300))
        naive += row.low <= 0 <= row.high
    assert 0.88 <= hits / 200 <= 0.99
    assert naive / 200 < 0.6


@pytest.mark.parametrize("confidence", [0.95, 0.999, 1 - 0.001 / 9])
def test_the_ends_of_an_interval_are_drawn_and_not_the_extremes_of_the_draw(confidence: float) -> None:
    """Twenty maps of which one failed: the share drawn is binomial, so its quantiles are known."""
    count = st.resamples(confidence)
    assert count >= 4000
    assert count * (1 - confidence) / 2 >= st.IN_TAIL
    low = st.cluster_mean([0.0] + [1.0] * 19, range(20), confidence).low
    exact = 1 - stats.binom(20, 1 / 20).ppf((1 + confidence) / 2) / 20
    assert low == pytest.approx(exact, abs=1e-9)


def test_missing_rows_are_left_out_and_nothing_is_clipped() -> None:
    interval = st.cluster_mean([1.0, -3.0, np.nan], [0, 1, 2])
    assert (interval.value, interval.n, interval.clusters) == (-1.0, 2, 2)
    assert np.isnan(st.cluster_mean([np.nan], [0]).value)


def test_a_slope_through_the_origin_is_a_ratio_of_sums() -> None:
    x = np.array([1.0, 2.0, 3.0, -4.0])
    interval = st.cluster_ratio(x * 0.8 * x, x * x, [0, 0, 1, 1])
    assert interval.value == pytest.approx(0.8)
    assert interval.low == pytest.approx(0.8)
    assert interval.high == pytest.approx(0.8)


def test_the_wilson_interval_is_the_known_one() -> None:
    interval = st.proportion(8, 10)
    assert (round(interval.low, 3), round(interval.high, 3)) == (0.490, 0.943)


def test_the_interquartile_mean_ignores_the_tails() -> None:
    assert st.interquartile_mean([0, 1, 2, 1000]) == 1.5


@pytest.mark.parametrize(
    ("scores", "labels", "expected"),
    [
        ([0.1, 0.4, 0.35, 0.8], [False, False, True, True], 0.75),
        ([1, 2, 3, 4], [False, False, True, True], 1.0),
        ([5, 5, 5, 5], [False, True, False, True], 0.5),
        ([np.nan, 1, 0], [True, False, False], 0.0),
        ([np.nan, 1, 2], [False, True, True], 0.0),
    ],
)
def test_auroc_of_known_cases(scores: list[float], labels: list[bool], expected: float) -> None:
    assert st.auroc(scores, labels) == pytest.approx(expected)


def test_auroc_without_one_of_the_classes_is_not_defined() -> None:
    assert np.isnan(st.auroc([1, 2], [True, True]))


def test_calibration_error_counts_every_bin_by_its_weight() -> None:
    # 0.9 is right half of the time (gap 0.4), 0.05 is right always (gap 0.05)
    assert st.calibration_error([0.9, 0.9, 0.05, 0.05], [True, False, False, False]) == pytest.approx(0.225)
    # the two quiet rows stand for eight: the loud bin weighs a fifth
    weighted = st.calibration_error([0.9, 0.9, 0.05, 0.05], [True, False, False, False], [1, 1, 4, 4])
    assert weighted == pytest.approx(0.4 * 0.2 + 0.05 * 0.8)
