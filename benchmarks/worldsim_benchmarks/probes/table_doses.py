"""Strengths on the table: how long a stroke is. Those of things that move are in ``table_speeds``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import numpy as np

from worldsim_benchmarks.probes import table
from worldsim_benchmarks.probes.detect import grown
from worldsim_benchmarks.probes.dose import Dose, extent, like
from worldsim_benchmarks.probes.plan import BLOCK, LEAST, Deed, Plan, look
from worldsim_benchmarks.truth import Reference, Rollout

T = TypeVar("T")
STROKES = (1, 2, 3, 4, 5, 6)
"""Steps of a stroke: 0.1 to 0.7 m."""
STROKE_LENGTH = 14
"""Steps of a plan."""
EXACT = 0.1
"""Part by which a stroke may be too long or too short: less than one lost step of six."""
BRUSH = 0.06
"""Metres by which a stroke is longer than the way of the brush: its width."""
LANE = 0.05
"""Metres to both sides of a stroke in which it is looked for."""


def of_block(map_seed: int, levels: Sequence[T]) -> T:
    """The level that the episode of a map is asked: all maps of its block the same."""
    return levels[map_seed // BLOCK % len(levels)]


def stroke_length(stage: Reference, map_seed: int) -> Plan | None:
    """Brush, a stroke of so many steps, hand, away. The twin does the same with the hand."""
    steps = of_block(map_seed, STROKES)
    stage.reset(map_seed)
    stage.do(*table.CONTEXT)
    if not table.still(stage):
        return None
    bare = np.isin(stage.truth["labels"], (-1, stage.truth["hand"]["id"]))
    for action in ("strafe_right", "strafe_left"):
        sign, _, facing = table.DIRECTIONS[action]
        for y in (0.2, 0.35, 0.5, 0.65, 0.8):
            x = 0.5 - sign * 0.38
            if not bare[_lane(len(bare), y)][:, 4:-4].all() or not table.start(stage, map_seed, (x, y, facing)):
                continue
            away = ("forward" if y < 0.5 else "backward",) * 3
            done = table.filled(("next_item", *(action,) * steps, "next_item", *away), STROKE_LENGTH)
            twin = tuple("noop" if name == "next_item" else name for name in done)
            acted, other = table.both(stage, map_seed, (x, y, facing), done, twin)
            plan = _stroke(acted, other, steps, y) if table.untouched(acted) and table.untouched(other) else None
            if plan is not None:
                return plan
    return None


def _stroke(acted: Rollout, twin: Rollout, steps: int, y: float) -> Plan | None:
    at, end = acted.prefix, len(acted.names)
    start, stop = (acted.truths[at + s]["hand"]["position"] for s in (1, 1 + steps))
    change = look(acted, twin, end - at, table.hand(acted))
    height = acted.first.shape[0]
    rows = _lane(height, y)
    bare = ~grown(np.isin(acted.labels(end), table.hand(acted)) | np.isin(twin.labels(end), table.hand(twin)))
    region = bare & (acted.labels(end) == -1) & rows[:, None]
    colour = np.median(acted.frame(end)[change.mask], 0) if change.mask.any() else np.zeros(3)
    if change.mask.sum() < LEAST or not region[rows][:, 4:-4].all():
        return None  # something lies in the lane

    def read(blocks: np.ndarray) -> float:
        painted = like(blocks[-1, -1], colour, twin.frame(end), region)
        return max(extent(painted, 0, 2) / height - BRUSH, 0.0)

    dose = Dose(float(np.hypot(*(stop - start))), "m", read, 2.5 / height, EXACT)
    return Plan(acted, twin, (change,), (), (change,), dose=dose)


def _lane(height: int, y: float) -> np.ndarray:
    """bool ``(height,)``: rows of the picture in which a stroke at ``y`` is looked for."""
    return np.asarray(np.abs((np.arange(height) + 0.5) / height - (1 - y)) <= LANE)


DEEDS = (
    Deed(
        "stroke_length", table.WORLD, "a stroke of one to six steps is as long as it should be, to a tenth and 4 cm",
        ("next_item", *table.DIRECTIONS), stroke_length, thorough=True,
    ),
)  # fmt: skip
