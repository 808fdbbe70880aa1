"""Headline and gate rates of a probe suite, from the rows that its episodes left.

Samples of one map are averaged before anything else, and the headline is the mean over tasks per map, so that
intervals are over maps. What is paired (a candidate below the truth) is subtracted per task and map, unclipped.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from worldsim_benchmarks.records import Row
from worldsim_benchmarks.statistics import Interval, cluster_mean
from worldsim_benchmarks.suites.suite import CandidateScore, TaskScore


def score_tasks(rows: Sequence[Row]) -> dict[str, CandidateScore]:
    """The score of each candidate among the rows (those of ``Outcome.row``)."""
    return {name: _candidate([r for r in rows if r["candidate"] == name]) for name in _names(rows, "candidate")}


def per_map(rows: Sequence[Row], candidate: str, task: str | None = None) -> dict[int, float]:
    """map seed -> gate x correct of a candidate: mean over samples, then over tasks (or of one task)."""
    by_task: dict[int, dict[str, list[float]]] = {}
    for row in rows:
        if row["candidate"] == candidate and task in (None, row["task"]):
            by_task.setdefault(row["map_seed"], {}).setdefault(row["task"], []).append(row["score"])
    return {seed: float(np.mean([np.mean(v) for v in tasks.values()])) for seed, tasks in sorted(by_task.items())}


def difference(
    rows: Sequence[Row], above: str, below: str, task: str | None = None, confidence: float = 0.95
) -> Interval:
    """``above`` minus ``below``, paired over the maps that both have."""
    a, b = per_map(rows, above, task), per_map(rows, below, task)
    seeds = sorted(a.keys() & b.keys())
    return cluster_mean([a[s] - b[s] for s in seeds], seeds, confidence)


def _candidate(rows: Sequence[Row]) -> CandidateScore:
    name = rows[0]["candidate"]
    whole = per_map(rows, name)
    return CandidateScore(
        cluster_mean(list(whole.values()), list(whole)),
        {task: _task([r for r in rows if r["task"] == task]) for task in _names(rows, "task")},
    )


def _task(rows: Sequence[Row]) -> TaskScore:
    seeds = [r["map_seed"] for r in rows]
    passed = [r for r in rows if r["moved"] and r["continued"] and not r["failed"]]
    return TaskScore(
        score=cluster_mean([r["score"] for r in rows], seeds),
        moved=cluster_mean([float(r["moved"]) for r in rows], seeds),
        continued=cluster_mean([float(r["continued"]) for r in rows], seeds),
        given=cluster_mean([float(r["correct"]) for r in passed], [r["map_seed"] for r in passed]),
        failed=sum(bool(r["failed"]) for r in rows),
    )


def _names(rows: Sequence[Row], key: str) -> list[str]:
    return list(dict.fromkeys(r[key] for r in rows))
