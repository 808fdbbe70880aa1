"""Momentum and energy of collisions, from the rows of a run: what a candidate's lose beyond the truth's, per episode.

What the tracker itself gets wrong is in the lines of ``true`` and ``codec``: their collisions are the world's, read off
pictures as the candidate's are.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from worldsim_benchmarks.records import Row, floats
from worldsim_benchmarks.statistics import cluster_mean
from worldsim_benchmarks.suites.suite import Rate

MEASURE, TRUE = "collision", "true_collision"
WORDS = {
    "momentum_residual": "collisions, share of the momentum missing beyond the truth's",
    "energy_kept": "collisions, share of the energy kept beyond the truth's",
    "contact": "collisions, video frames late",
    "nearest": "collisions, metres between the middles beyond the truth's",
}
"""What is compared -> how it is printed."""


def balances(rows: Sequence[Row]) -> Iterator[Rate]:
    """Per candidate: how many of the collisions are seen at all, and of those the differences from the truth's."""
    tasks = {r["task"] for r in rows if MEASURE in r["measures"]}
    asked = [r for r in rows if r["task"] in tasks]
    for name in dict.fromkeys(r["candidate"] for r in asked):
        own = [r for r in asked if r["candidate"] == name]
        found = {key: _gaps([r for r in own if MEASURE in r["measures"]], key) for key in WORDS}
        seen = [r["measures"].get(MEASURE, {}).get("contact") is not None for r in own]
        yield Rate(f"{name}: collisions seen", cluster_mean([float(s) for s in seen], [r["map_seed"] for r in own]))
        for key, gaps in found.items():
            if gaps:
                yield Rate(f"{name}: {WORDS[key]}", cluster_mean([g for g, _ in gaps], [seed for _, seed in gaps]))


def _gaps(rows: Sequence[Row], key: str) -> list[tuple[float, int]]:
    """The differences from the truth where there is one, with their map seeds."""
    pairs = [(floats([r["measures"][m][key] for m in (MEASURE, TRUE)]), r["map_seed"]) for r in rows]
    return [(float(seen - true), seed) for (seen, true), seed in pairs if np.isfinite(seen)]
