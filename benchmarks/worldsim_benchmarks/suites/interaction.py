"""Suite C: does what is done have its effect, there and nowhere else, and does that last?

Each task is a deed in a true world, planned there on a test map, and its twin: the same motion without the deed. The
plans stand in ``probes``; here they become a suite with its curves.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from worldsim_benchmarks.probes import blocks, crafter, doom, table, table_collisions, table_doses, table_speeds
from worldsim_benchmarks.records import Row
from worldsim_benchmarks.statistics import cluster_mean
from worldsim_benchmarks.suites import twins
from worldsim_benchmarks.suites.collisions import balances
from worldsim_benchmarks.suites.suite import Curve

DEEDS = (
    *doom.DEEDS, *table.DEEDS, *table_doses.DEEDS, *table_speeds.DEEDS, *crafter.DEEDS, *blocks.DEEDS,
    *table_collisions.DEEDS,
)  # fmt: skip
"""A deed's place is in the seeds of its episodes: new ones come last."""
MUTANTS = {
    "undo": ("paint", "door", "fell", "dig"),
    "gain_0.8": ("stroke_length",),
    "idle_frozen": ("plant",),
    "ghost_collision": ("collide",),
    "wrong_restitution": ("collide",),
    "wrong_friction": ("push",),
    "wrong_gravity": ("fall",),
}
"""Mutant -> the tasks that are meant to catch it, one for each world."""


def persistence(rows: Sequence[Row]) -> Iterator[Curve]:
    """Per task: the share of the changed pixels that shows the deed, against the step after the context."""
    for task in dict.fromkeys(r["task"] for r in rows):
        lines: dict[str, list[tuple[float, float, float, float]]] = {}
        for candidate in dict.fromkeys(r["candidate"] for r in rows):
            found = [r for r in rows if r["task"] == task and r["candidate"] == candidate]
            points = [(s, v, r["map_seed"]) for r in found for s, v in r["measures"].get("curve", []) if v is not None]
            for step in sorted({s for s, _, _ in points}):
                at = [(v, seed) for s, v, seed in points if s == step]
                mean = cluster_mean([v for v, _ in at], [seed for _, seed in at])
                lines.setdefault(candidate, []).append((float(step), mean.value, mean.low, mean.high))
        yield Curve(f"{task}: how much of the deed shows", "step after the context", "share of its pixels", lines)


INTERACTION = twins.TwinSuite("interaction", DEEDS, MUTANTS, persistence, balances)
