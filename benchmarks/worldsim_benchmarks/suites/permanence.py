"""Suite B: is a thing that is out of sight still there, itself, once, and at its place?

Each task is a look in a true world, planned there on a test map: away from a thing for k steps and back, at a door
that closes by itself, at what a screen hides while the camera stands still. A look has no deed that could be left out,
so it has no twin; its false alarms are counted in the same picture, at a place that never held the thing. The plans
stand in ``probes``.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise

from worldsim_benchmarks.probes import doom, scene_screens, table_screens
from worldsim_benchmarks.records import Row
from worldsim_benchmarks.suites import twins
from worldsim_benchmarks.suites.scoring import score_tasks
from worldsim_benchmarks.suites.suite import MODEL, Curve

MEMORY = "look_away_"
MUTANTS = {
    "vanish": ("look_away_4",),
    "vanish_behind_occluder": ("panel_passes", "behind_screen"),
    "swap_identity": ("look_away_2_things", "panel_passes", "behind_screen"),
    "wrong_friction": ("behind_panel",),
    "duplicate": ("look_away_8",),
    "idle_frozen": ("door_closes",),
}
"""Mutant -> the tasks that are meant to catch it, one for each world."""


def memory(rows: Sequence[Row]) -> Iterator[Curve]:
    """The score against the number of steps that the thing was out of sight for."""
    waits = {t: int(t.removeprefix(MEMORY)) for t in {r["task"] for r in rows} if t.removeprefix(MEMORY).isdigit()}
    lines: dict[str, list[tuple[float, float, float, float]]] = {}
    for candidate, score in score_tasks([r for r in rows if r["task"] in waits]).items():
        for task, wait in sorted(waits.items(), key=lambda item: item[1]):
            if task in score.tasks:
                found = score.tasks[task].score
                lines.setdefault(candidate, []).append((float(wait), found.value, found.low, found.high))
    if lines:
        half = half_life([(x, y) for x, y, _, _ in lines.get(MODEL, ())])
        title = "memory: a thing that was left is there again"
        title += "" if MODEL not in lines else f" (half-life of the {MODEL}: {half:.1f} steps)"
        yield Curve(title, "steps out of sight", "gate x correct", lines)


def half_life(points: Sequence[tuple[float, float]]) -> float:
    """Steps out of sight at which a memory curve ``(wait, score)`` has fallen to half of its first score, interpolated
    linearly; infinite where it has not, NaN where it starts at 0."""
    if not points or points[0][1] <= 0:
        return float("nan")
    half = points[0][1] / 2
    for (x0, y0), (x1, y1) in pairwise(points):
        if y1 <= half:
            return x0 + (y0 - half) / (y0 - y1) * (x1 - x0)
    return float("inf")


PERMANENCE = twins.TwinSuite("permanence", (*doom.LOOKS, *table_screens.LOOKS, *scene_screens.LOOKS), MUTANTS, memory)
