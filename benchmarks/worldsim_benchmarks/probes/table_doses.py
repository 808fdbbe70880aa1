"""Strengths on the table: how long a stroke is, how fast a thing leaves the hand."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from worldsim_benchmarks.probes import table
from worldsim_benchmarks.probes.detect import grown
from worldsim_benchmarks.probes.dose import Dose, extent, like, middle
from worldsim_benchmarks.probes.plan import BLOCK, LEAST, Deed, Plan, look
from worldsim_benchmarks.probes.presence import pixels
from worldsim_benchmarks.truth import Reference, Rollout

STROKES = (1, 2, 3, 4, 5, 6)
"""Steps of a stroke: 0.1 to 0.7 m."""
STROKE_LENGTH = 14
"""Steps of a plan."""
BRUSH = 0.06
"""Metres by which a stroke is longer than the way of the brush: its width."""
LANE = 0.05
"""Metres to both sides of a stroke in which it is looked for."""
PUSHED = 8
"""Steps of a plan in which a thing leaves the hand."""
STEP = 0.2
"""Seconds of a step."""
SLOWER = 0.35
"""m/s that friction can take from a thing in a step; what loses more has met something."""


def of_block(map_seed: int, levels: Sequence[int]) -> int:
    """The level that the episode of a map is asked: all maps of its block the same."""
    return levels[map_seed // BLOCK % len(levels)]


def stroke_length(stage: Reference, map_seed: int) -> Plan | None:
    """Brush, a stroke of so many steps, hand, away. The twin does the same with the hand."""
    steps = of_block(map_seed, STROKES)
    for action in ("strafe_right", "strafe_left"):
        sign, _, facing = table.DIRECTIONS[action]
        for y in (0.2, 0.35, 0.5, 0.65, 0.8):
            x = 0.5 - sign * 0.38
            if not table.start(stage, map_seed, (x, y, facing)):
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
    rows = np.abs((np.arange(height) + 0.5) / height - (1 - y)) <= LANE
    bare = ~grown(np.isin(acted.labels(end), table.hand(acted)) | np.isin(twin.labels(end), table.hand(twin)))
    region = bare & (acted.labels(end) == -1) & rows[:, None]
    colour = np.median(acted.frame(end)[change.mask], 0) if change.mask.any() else np.zeros(3)
    if change.mask.sum() < LEAST or not region[rows][:, 4:-4].all():
        return None  # something lies in the lane

    def read(blocks: np.ndarray) -> float:
        painted = like(blocks[-1, -1], colour, twin.frame(end), region)
        return max(extent(painted, 0, 2) / height - BRUSH, 0.0)

    dose = Dose(float(np.hypot(*(stop - start))), "m", read, 2.5 / height)
    return Plan(acted, twin, (change,), (), (change,), dose=dose)


def push_speed(stage: Reference, map_seed: int) -> Plan | None:
    """A thing is pushed or struck and leaves the hand. The twin makes its steps aside."""
    deed = of_block(map_seed, (0, 1, 2))
    for number, action, pose in table.before_things(stage, map_seed, table.MOVABLE, (0.14, 0.17, 0.2)):
        if not table.start(stage, map_seed, pose):
            continue
        done = ((action,), (action,) * 2, (action, "attack"))[deed]
        aside = table.ASIDE[action]
        takes = table.both(
            stage, map_seed, pose, table.filled(done, PUSHED),
            table.filled((aside,) * len(done), PUSHED),
        )  # fmt: skip
        if not table.untouched(takes[1]) or any(e["kind"] == "shatter" for events in takes[0].events for e in events):
            continue
        for step in range(1, PUSHED):
            plan = _leaving(*takes, number, np.array(table.DIRECTIONS[action][:2]), step)
            if plan is not None:
                return plan
    return None


def _leaving(acted: Rollout, twin: Rollout, number: int, along: np.ndarray, step: int) -> Plan | None:
    """The plan that reads the speed between ``step`` and the next, where the thing slides freely then."""
    at, scale = acted.prefix, acted.first.shape[0]
    things = [acted.object(at + s, number) for s in (step, step + 1)]
    if things[0] is None or things[1] is None:
        return None
    hands = [acted.truths[at + s]["hand"]["position"] for s in (step, step + 1)]
    places, speeds = ([np.asarray(t[key])[:2] for t in things if t] for key in ("position", "velocity"))
    moved = places[1] - places[0]
    leaves = (moved @ along) > ((hands[1] - hands[0]) @ along) + 0.02
    free = speeds[1] @ along > 0.1 and 0 <= (speeds[0] - speeds[1]) @ along < SLOWER
    if not leaves or not free or abs(moved @ along[::-1]) > 0.02 or moved @ along < 0.06:
        return None
    mask = pixels(acted, at, number)
    colour, background = acted.frame(at)[mask].mean(0), acted.frame(at).copy()
    start = grown(mask)
    if (acted.labels(len(acted.names))[start] > 0).any():
        return None  # the place that it left must be seen bare in the end
    background[start] = acted.frame(len(acted.names))[start]
    shape = acted.first.shape[:2]
    across = np.abs((np.indices(shape) + 0.5) / scale - np.array([1 - places[0][1], places[0][0]])[:, None, None])
    lane = across[0 if along[0] else 1] <= 0.11
    regions = []
    for s in (step, step + 1):
        labels = acted.labels(at + s)
        own = labels == number
        others = (labels > 0) & ~own
        if own.sum() < 0.95 * mask.sum() or (grown(own) & others).any() or not _bare(acted, own, number):
            return None  # the hand covers a part of it, which would move the middle of what is seen
        regions.append(lane & ~grown(others, 1))
    change = look(acted, twin, step + 1, table.hand(acted), (number,))
    if change.mask.sum() < LEAST:
        return None

    def read(blocks: np.ndarray) -> float:
        seen = [middle(like(blocks[s - 1, -1], colour, background, r)) for s, r in zip((step, step + 1), regions)]
        if seen[0] is None or seen[1] is None:
            return 0.0  # what is not found has no speed
        return float((seen[1] - seen[0]) @ (along * (1, -1))) / scale / STEP

    dose = Dose(float(moved @ along) / STEP, "m/s", read, 1.0 / scale / STEP)
    return Plan(acted, twin, (change,), (), (change,), dose=dose)


def _bare(take: Rollout, where: np.ndarray, number: int) -> bool:
    """Whether nothing else was seen there at the end of the context."""
    before = take.labels(take.prefix)[where]
    return bool(((before <= 0) | (before == number)).all())


DEEDS = (
    Deed(
        "stroke_length", table.WORLD, "a stroke of one to six steps is as long as it should be, to a quarter and 4 cm",
        ("next_item", *table.DIRECTIONS), stroke_length, thorough=True,
    ),
    Deed(
        "push_speed", table.WORLD,
        "what is pushed or struck slides off as fast as it should, to a quarter and 0.08 m/s",
        ("attack", *table.DIRECTIONS), push_speed, thorough=True,
    ),
)  # fmt: skip
