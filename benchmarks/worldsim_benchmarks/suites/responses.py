"""Dose-response lines from the rows of a run: recovered strength regressed on the true one, over maps."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from worldsim_benchmarks.records import Row
from worldsim_benchmarks.statistics import cluster_mean, cluster_statistic
from worldsim_benchmarks.suites.suite import Curve, Response

BINS = 6


def slope(points: np.ndarray) -> float:
    """Least-squares slope of ``(n, 2)`` points (true, recovered), with an intercept; NaN where all doses are equal."""
    x, y = points.T - points.mean(0)[:, None]
    spread = float(x @ x)
    return float(x @ y) / spread if spread > 1e-12 else float("nan")


def r_squared(points: np.ndarray) -> float:
    """Squared correlation; 0 for a constant answer, NaN where all doses are equal."""
    x, y = points.T - points.mean(0)[:, None]
    if x @ x <= 1e-12:
        return float("nan")
    return float((x @ y) ** 2 / ((x @ x) * (y @ y))) if y @ y > 1e-12 else 0.0


def doses(rows: Sequence[Row], task: str, candidate: str) -> tuple[np.ndarray, list[int]]:
    """Points ``(n, 2)`` and their map seeds; episodes in which nothing was produced have none."""
    found = [r for r in rows if r["task"] == task and r["candidate"] == candidate and "dose" in r["measures"]]
    points = [(r["measures"]["dose"], r["measures"]["recovered"]) for r in found]
    return np.array(points, float).reshape(-1, 2), [r["map_seed"] for r in found]


def responses(rows: Sequence[Row]) -> tuple[Response, ...]:
    """The lines of all candidates on all tasks that have doses."""
    out = []
    for task in _swept(rows):
        for candidate in dict.fromkeys(r["candidate"] for r in rows):
            points, seeds = doses(rows, task, candidate)
            if len(points) > 2:
                lines = (cluster_statistic(f, points, seeds) for f in (slope, r_squared))
                out.append(Response(task, candidate, *lines))
    return tuple(out)


def curves(rows: Sequence[Row]) -> Iterator[Curve]:
    """Per task: the recovered strength against the true one, means over maps of like doses."""
    for task in _swept(rows):
        every = np.sort(np.concatenate([doses(rows, task, c)[0][:, 0] for c in {r["candidate"] for r in rows}]))
        edges = np.unique(np.quantile(every, np.linspace(0, 1, BINS + 1)[1:-1]))
        lines: dict[str, list[tuple[float, float, float, float]]] = {}
        for candidate in dict.fromkeys(r["candidate"] for r in rows):
            points, seeds = doses(rows, task, candidate)
            place = np.searchsorted(edges, points[:, 0], side="right")
            for i in range(len(edges) + 1):
                at = np.flatnonzero(place == i)
                if len(at):
                    mean = cluster_mean(points[at, 1], [seeds[j] for j in at])
                    x = float(points[at, 0].mean())
                    lines.setdefault(candidate, []).append((x, mean.value, mean.low, mean.high))
        yield Curve(f"{task}: dose and response", "true strength", "recovered strength", lines)


def _swept(rows: Sequence[Row]) -> list[str]:
    return list(dict.fromkeys(r["task"] for r in rows if "dose" in r["measures"]))
