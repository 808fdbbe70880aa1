"""What a score says, in words: above the floors or not, how far from the truth, and what fails where.

Written by rules from a sealed result, so that equal numbers read alike. The cause of a low task is what most of its
episodes fail first: nothing produced, motion, continuity, then the criterion itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from worldsim_benchmarks.records import Row
from worldsim_benchmarks.suites.scoring import difference, per_map
from worldsim_benchmarks.suites.suite import FLOORS, MODEL

READ_AS = {"surprise": "is the share of pairs told right minus the share told wrong, chance being 0"}
"""How the headline of a suite reads that is no share of what is right."""


def verdict(result: dict[str, Any], rows: Sequence[Row], candidate: str = MODEL) -> str:
    """Two to four sentences about one candidate of a sealed result."""
    scores = result["score"]["candidates"]
    if candidate not in scores:
        return f"This run has no rows of {candidate}."
    headline = scores[candidate]["headline"]
    floors = [f for f in FLOORS if f in scores]
    gaps = {f: difference(rows, candidate, f) for f in floors}
    below = [f for f, gap in gaps.items() if not gap.low > 0]
    read_as = READ_AS.get(result["suite"], "of what was asked is right")
    said = [f"{headline['value']:.0%} {read_as} (95 % interval {_span(headline)})"]
    if floors and not below:
        said[0] += f", above every floor ({', '.join(floors)})."
    elif floors:
        said[0] += f", which is not above {' and '.join(below)} with 95 % confidence."
    else:
        said[0] += "."
    if "true" in scores:
        said.append(f"The true world scores {scores['true']['headline']['value']:.0%} through the same pipeline.")
    tasks = scores[candidate]["tasks"]
    ranked = sorted(tasks, key=lambda t: tasks[t]["score"]["value"])
    best, worst = ranked[-1], ranked[0]
    if len(ranked) > 1 and tasks[best]["score"]["value"] > tasks[worst]["score"]["value"]:
        said.append(f"Best at {best} ({tasks[best]['score']['value']:.0%}).")
    if tasks[worst]["score"]["value"] < 1:
        why = "" if result["suite"] in READ_AS else f": {cause(rows, worst, candidate)}"
        said.append(f"Worst at {worst} ({tasks[worst]['score']['value']:.0%}){why}.")
    failed = sum(t["failed"] for t in tasks.values())
    if failed:
        said.append(f"It produced nothing in {failed} episodes, which count 0.")
    if len(per_map(rows, candidate)) < 50:
        said.append("A run on so few maps is a smoke test; quote numbers from --n default.")
    return " ".join(said)


def cause(rows: Sequence[Row], task: str, candidate: str = MODEL) -> str:
    """What the episodes of a task that score 0 fail first, most of them."""
    lost = [r for r in rows if r["candidate"] == candidate and r["task"] == task and not r["score"]]
    counts = {
        "nothing was produced": sum(bool(r["failed"]) for r in lost),
        "the commanded motion is not executed": sum(not r["failed"] and not r["moved"] for r in lost),
        "the given context is not continued": sum(r["moved"] and not r["continued"] for r in lost),
        "the motion and the context are right, the criterion is not met": sum(
            r["moved"] and r["continued"] for r in lost
        ),
    }
    reason = max(counts, key=lambda k: counts[k])
    return f"{reason} ({counts[reason]} of {len(lost)} lost episodes)"


def _span(interval: dict[str, Any]) -> str:
    return f"{interval['low']:.0%} to {interval['high']:.0%}"
