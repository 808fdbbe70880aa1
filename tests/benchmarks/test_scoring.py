"""Headlines, gates and corrections from rows whose answer can be counted by hand; continuity on plain pictures."""

from __future__ import annotations

import numpy as np
import pytest
from worldsim_benchmarks.continuity import continues, likeness
from worldsim_benchmarks.records import Row
from worldsim_benchmarks.statistics import Interval, cluster_mean, holm
from worldsim_benchmarks.suites.scoring import difference, per_map, score_tasks
from worldsim_benchmarks.tasks import Episode, Outcome


def rows(candidate: str, task: str, outcomes: str) -> list[Row]:
    """One map per letter: y right, n wrong, m not moved, c not continued, f failed."""
    return [
        Outcome(candidate, letter not in "mf", letter not in "cf", letter in "ymc", failed="it broke" * (letter == "f"))
        .row(Episode(task, 2_000_000 + i))
        for i, letter in enumerate(outcomes)
    ]  # fmt: skip


def test_gates_count_failures_as_nothing() -> None:
    score = score_tasks([*rows("model", "a", "yymc"), *rows("model", "b", "ynnf")])["model"]
    assert score.headline.value == pytest.approx((0.5 + 0.25) / 2)
    a, b = score.tasks["a"], score.tasks["b"]
    assert (a.score.value, a.moved.value, a.continued.value, a.given.value, a.failed) == (0.5, 0.75, 0.75, 1.0, 0)
    assert (b.score.value, b.given.value, b.failed) == (0.25, pytest.approx(1 / 3), 1)


def test_tasks_weigh_the_same_and_samples_are_averaged_first() -> None:
    both = [*rows("model", "a", "y"), *rows("model", "a", "n"), *rows("model", "b", "n")]
    assert per_map(both, "model") == {2_000_000: 0.25}
    assert per_map(both, "model", "a") == {2_000_000: 0.5}


def test_a_difference_is_paired() -> None:
    gap = difference([*rows("true", "a", "yyyy"), *rows("model", "a", "yynn")], "true", "model")
    assert gap.value == 0.5
    assert gap.low >= 0
    equal = difference([*rows("true", "a", "yn"), *rows("model", "a", "yn")], "true", "model")
    assert (equal.low, equal.high) == (0.0, 0.0)


def test_holm_leaves_less_to_each_further_hypothesis() -> None:
    asked: list[tuple[str, float]] = []

    def interval(name: str, level: float) -> Interval:
        asked.append((name, round(level, 6)))
        value = {"clear": 1.0, "middle": 0.5, "none": 0.0}[name]
        return Interval(value, value - 0.3, value + 0.3, 9, 9)

    found = holm(["none", "middle", "clear"], interval, 0.94)
    assert found == {"clear", "middle"}
    assert [a for a in asked if a[1] != 0.94] == [("clear", 0.98), ("middle", 0.97)]


def test_holm_is_not_stopped_by_what_is_equal_or_clearly_the_other_way() -> None:
    values = {"equal": [0.0] * 9, "better": [-1.0] * 9, "worse": [1.0] * 9, "unknown": []}

    def difference(name: str, level: float) -> Interval:
        return cluster_mean(values[name], range(len(values[name])), level)

    assert holm(list(values), difference) == {"worse"}


def test_grey_and_other_worlds_do_not_continue_a_context() -> None:
    rng = np.random.default_rng(0)
    truth, *others = rng.integers(0, 256, (5, 4, 16, 16, 3), dtype=np.uint8)
    assert likeness(truth, truth) == pytest.approx(1.0, abs=1e-6)
    assert likeness(np.full_like(truth, 90), truth) == 0.0
    assert continues(truth // 2 + 30, truth, others)
    assert not continues(others[0], truth, others)
    assert not continues(np.full_like(truth, 90), truth, [truth // 2])
    with pytest.raises(ValueError, match="needs the next block of other maps"):
        continues(truth, truth, [])
