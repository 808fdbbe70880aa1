"""The memory suite: for how long is what was left still there, with ever more going on meanwhile?

Suite B asks whether things last; this one draws the curve on which a model's memory ends. Each way to be away
(``probes.doom_recall``) is asked for up to 128 steps, five times the attention window of the models that this was
written for: one that remembers its window alone falls off a cliff there. The half-life of a curve is where it has
fallen to half of its value after one step of standing still, which all ways share as their first point.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np

from worldsim_benchmarks.probes.doom_recall import RECALLS, WAYS
from worldsim_benchmarks.records import Row
from worldsim_benchmarks.statistics import Interval, cluster_mean
from worldsim_benchmarks.suites import twins
from worldsim_benchmarks.suites.permanence import half_life
from worldsim_benchmarks.suites.suite import CEILINGS, FLOORS, MODEL, Curve

MUTANTS = {
    "vanish": ("still_16",),
    "swap_identity": ("still_4",),
    "duplicate": ("walk_16",),
    "forgetful": ("still_64", "still_32"),
}
"""Mutant -> the tasks that are meant to catch it, of which the first that is asked must."""
FIRST = "still_1"
RESAMPLES = 1000


def tasks_of(way: str) -> dict[str, int]:
    """The tasks of a way's curve with their steps; standing still for one step comes first in all."""
    return {FIRST: 1} | {f"{way}_{steps}": steps for steps in WAYS[way][1]}


def curves(rows: Sequence[Row]) -> Iterator[Curve]:
    """The score against the steps away, one curve for each way, and the model's hits without its false alarms."""
    candidates = list(dict.fromkeys(r["candidate"] for r in rows))
    measured = [name for name in candidates if name not in (*FLOORS, *CEILINGS)]
    for way, (_, _, what) in WAYS.items():
        lines = {}
        for name in candidates:
            points = [(steps, _mean(rows, name, task)) for task, steps in tasks_of(way).items()]
            lines[name] = [(float(x), y.value, y.low, y.high) for x, y in points if y.n]
        if any(lines.values()):
            longest = max(int(x) for points in lines.values() for x, *_ in points)
            told = "; ".join(f"{name} {said(half_life_of(rows, name, way), longest)}" for name in measured)
            title = f"{way}: the thing is there again" + (f" (half-life in steps: {told})" if told else "")
            yield Curve(title, f"steps {what}", "gate x correct", lines)
    own = [r for r in rows if r["candidate"] == MODEL]
    for title, y, value in (
        (f"hits minus false alarms of the {MODEL}", "gate x (hit - false alarm)", _net),
        (f"where the {MODEL} shows the thing", "pixels off, gates passed", _offset),
    ):
        read = {}
        for way in WAYS:
            points = [(steps, _mean(own, MODEL, task, value)) for task, steps in tasks_of(way).items()]
            read[way] = [(float(x), v.value, v.low, v.high) for x, v in points if v.n]
        if any(read.values()):
            yield Curve(title, "steps away", y, read)


def half_life_of(rows: Sequence[Row], candidate: str, way: str) -> Interval:
    """Steps after which a candidate's curve of one way has fallen to half of its first value, with the 95 % interval of
    a bootstrap over maps; infinite where it has not within what was asked. ``n`` is 0 where it was not run."""
    tasks = tasks_of(way)
    own = [r for r in rows if r["candidate"] == candidate and r["task"] in tasks]
    seeds = sorted({r["map_seed"] for r in own})
    asked = [t for t in tasks if any(r["task"] == t for r in own)]
    if not seeds or len(asked) < 2:
        return Interval(float("nan"), float("nan"), float("nan"), 0, 0)
    table = np.full((len(seeds), len(asked)), np.nan)
    for i, seed in enumerate(seeds):
        for j, task in enumerate(asked):
            found = [r["score"] for r in own if r["map_seed"] == seed and r["task"] == task]
            table[i, j] = np.mean(found) if found else np.nan
    steps = [float(tasks[t]) for t in asked]

    def half(chosen: np.ndarray) -> float:
        return half_life(list(zip(steps, np.nanmean(table[chosen], axis=0).tolist())))

    rng = np.random.default_rng(0)
    drawn = np.array([half(rng.integers(len(seeds), size=len(seeds))) for _ in range(RESAMPLES)])
    drawn = drawn[~np.isnan(drawn)]  # resamples without any success have no half-life
    low, high = np.quantile(drawn, (0.025, 0.975), method="nearest") if len(drawn) else (np.nan, np.nan)
    return Interval(half(np.arange(len(seeds))), float(low), float(high), len(own), len(seeds))


def said(half: Interval, longest: int) -> str:
    """A half-life in words, where ``longest`` steps were the most that was asked."""
    if np.isnan(half.value):
        return "none, since nothing is there after one step"
    value, low, high = (
        f"{x:.0f}" if np.isfinite(x) else f"beyond {longest}" for x in (half.value, half.low, half.high)
    )
    return value if low == high else f"{value} [{low}, {high}]"


def _score(row: Row) -> float:
    return float(row["score"])


def _passed(row: Row) -> bool:
    return bool(row["moved"] and row["continued"] and not row["failed"])


def _net(row: Row) -> float:
    measures = row["measures"]
    return float(measures["hit"] - measures["false_alarm"]) if _passed(row) else 0.0


def _offset(row: Row) -> float:
    return float(row["measures"]["offset"]) if _passed(row) else float("nan")


def _mean(rows: Sequence[Row], candidate: str, task: str, value: Callable[[Row], float] = _score) -> Interval:
    """Mean over the rows of a candidate's task, in which rows of NaN do not count."""
    own = [r for r in rows if r["candidate"] == candidate and r["task"] == task]
    return cluster_mean([value(r) for r in own], [r["map_seed"] for r in own])


MEMORY = twins.TwinSuite("memory", RECALLS, MUTANTS, curves)
