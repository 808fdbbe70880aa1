"""Is B worse than A? Two sealed runs of one suite, paired over maps: a gate for continuous integration.

Both must have been asked the same: schema, suite, world, maps, preset, seed and criteria. The headline of B fails where
its difference from A's lies below 0 with 95 % confidence; single tasks are tested with Holm's correction (Holm 1979),
since one of eight tasks would else fail by chance every third time.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from worldsim_benchmarks.report import Line
from worldsim_benchmarks.runner import load
from worldsim_benchmarks.statistics import Interval, cluster_mean, holm
from worldsim_benchmarks.suites.scoring import per_map
from worldsim_benchmarks.suites.suite import MODEL

SAME = ("world", "tasks", "preset", "map_seeds", "frame_size", "bottom", "seed")


@dataclass(frozen=True)
class Comparison:
    """``lines`` to print, and whether B holds against A."""

    lines: tuple[Line, ...]
    holds: bool


def compare(a: Path, b: Path, candidate: str = MODEL, confidence: float = 0.95) -> Comparison:
    """B minus A. ``ValueError`` for runs that cannot be compared or were changed."""
    (result_a, rows_a), (result_b, rows_b) = load(a), load(b)
    for key in ("schema", "suite"):
        if result_a[key] != result_b[key]:
            raise ValueError(f"{a} has {key} {result_a[key]}, {b} has {result_b[key]}: they cannot be compared")
    for key in SAME:
        if result_a["config"][key] != result_b["config"][key]:
            raise ValueError(
                f"{a} was run with {key} {result_a['config'][key]}, {b} with {result_b['config'][key]}: run one of "
                "them again as the other was"
            )
    tasks = list(dict.fromkeys(r["task"] for r in rows_a))
    for task in tasks:
        if result_a["tasks"][task] != result_b["tasks"][task]:
            raise ValueError(
                f"{task} was judged by other criteria: in {a} {result_a['tasks'][task]!r}, in {b} "
                f"{result_b['tasks'][task]!r}: run one of them again"
            )

    def gap(task: str | None, level: float) -> Interval:  # A minus B
        x, y = per_map(rows_a, candidate, task), per_map(rows_b, candidate, task)
        if not x or not y:
            raise ValueError(f"{a if not x else b} has no rows of {candidate!r}")
        seeds = sorted(x.keys() & y.keys())
        return cluster_mean([x[s] - y[s] for s in seeds], seeds, level)

    def told(task: str | None) -> str:
        return str(-gap(task, confidence))

    worse = holm(tasks, gap, confidence)
    lines = [Line("headline, B minus A", told(None), "not below 0", not gap(None, confidence).low > 0)]
    lines += [Line(f"{t}, B minus A", told(t), "not below 0 (Holm)", t not in worse) for t in tasks]
    return Comparison(tuple(lines), all(line.ok for line in lines))
