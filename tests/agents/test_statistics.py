"""Bootstrap intervals where the answer is known."""

from __future__ import annotations

import numpy as np
import pytest
from worldsim_agents.statistics import difference, mean_return, transfer


def test_interval_has_the_width_of_the_normal_approximation() -> None:
    returns = np.random.default_rng(0).normal(50, 10, (1, 400))
    estimate = mean_return(returns)
    half = 1.96 * returns.std() / 20
    assert estimate.value == pytest.approx(returns.mean())
    assert estimate.high - estimate.value == pytest.approx(half, rel=0.1)
    assert estimate.value - estimate.low == pytest.approx(half, rel=0.1)


def test_training_seeds_keep_their_share() -> None:
    # Two seeds that never vary between episodes: other episodes cannot move the mean of the two.
    returns = np.repeat([[10.0], [30.0]], 20, axis=1)
    estimate = mean_return(returns)
    assert (estimate.value, estimate.low, estimate.high) == (20, 20, 20)


def test_difference_is_paired() -> None:
    # The agent is better by exactly 2 in every episode, while the episodes differ by hundreds.
    baseline = np.random.default_rng(1).normal(0, 300, (1, 50))
    estimate = difference(baseline + 2, baseline)
    assert estimate.low == pytest.approx(2) and estimate.high == pytest.approx(2)
    with pytest.raises(ValueError, match="play the same"):
        difference(baseline[:, :10], baseline)


def test_transfer_is_one_for_equals_and_undefined_where_truth_taught_nothing() -> None:
    rng = np.random.default_rng(2)
    random = rng.normal(0, 1, (1, 100))
    truth = random + 10
    half = transfer(random + 5, truth, random)
    assert half is not None and (half.low, half.value, half.high) == pytest.approx((0.5, 0.5, 0.5))
    assert transfer(random, truth, random).value == pytest.approx(0)  # type: ignore[union-attr]
    assert transfer(truth, random + rng.normal(0, 5, (1, 100)), random) is None
