"""How things move on the table: off the hand, off a collision, down a slope.

The true strength is the world's own state, the recovered one is read off the picture: the middle of the pixels that are
like the thing, at two steps or more. How far a thing slides that another one hit is what that handed over, its energy
over friction: it depends on both masses, on the restitution and on the friction, which differ from map to map, so that
the line over maps is a dose-response of them all. Metres, seconds, pixels.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from worldsim_benchmarks.probes import table
from worldsim_benchmarks.probes.detect import differs, grown, without
from worldsim_benchmarks.probes.dose import Dose, like, middle
from worldsim_benchmarks.probes.plan import LEAST, Check, Deed, Plan, look
from worldsim_benchmarks.probes.presence import pixels, whole_in_view
from worldsim_benchmarks.probes.table_doses import of_block
from worldsim_benchmarks.truth import Reference, Rollout

PUSHED = 8
"""Steps of a plan in which a thing leaves the hand."""
NEAR, AFAR = (0.14, 0.17, 0.2), (0.26, 0.2)
"""Metres to the middle of a thing from where a hand pushes it, and from where it goes a step and strikes."""
Way = tuple[int, tuple[str, ...], tuple[float, ...]]
WAYS: tuple[Way, ...] = ((1, (), NEAR), (2, (), NEAR), (1, ("attack",), AFAR))
"""Steps towards a thing, what is done then, and from where."""
STEP = 0.2
"""Seconds of a step."""
SLOWER = 0.35
"""m/s that friction can take from a thing in a step; what loses more has met something."""
LANE = 0.11
"""Metres to both sides of a thing's way in which it is looked for."""
FALLING = 6
"""Steps of a plan in which a thing slides down."""
LOOKED = (1, 2, 3, 4)
"""Steps after the context at which it is looked for."""
EVEN = 0.06
"""m/s^2 by which the true rate may differ between steps of a thing that slides freely."""
ASTRAY = 0.5
"""Pixels by which the middle of what is tracked may lie beside the thing's own."""
SHALLOW = 0.3
"""m/s^2 from which on a rate is asked."""
Tracked = Callable[[np.ndarray], "list[np.ndarray] | None"]
"""From blocks after the context, places (column, row) of a thing at the steps that are looked at; None where lost."""


def push_speed(stage: Reference, map_seed: int) -> Plan | None:
    """A thing is pushed or struck and leaves the hand, which draws back. The twin makes its steps aside."""
    pushes, blows, gaps = of_block(map_seed, WAYS)
    for number, action, pose in table.before_things(stage, map_seed, table.MOVABLE, gaps):
        if not table.start(stage, map_seed, pose):
            continue
        done = (*(action,) * pushes, *blows, *(table.BACK[action],) * pushes)
        acted = table.gone_on(stage, table.filled(done, PUSHED))
        along = np.array(table.DIRECTIONS[action][:2])
        free = [step for step in range(1, PUSHED) if _slides(acted, number, along, step)]
        if not free or table.breaks(acted):
            continue
        side = table.ASIDE[action]
        aside = table.filled((*(side,) * (pushes + len(blows)), *(table.BACK[side],) * pushes), PUSHED)
        twin = stage.play((*table.CONTEXT, *aside), map_seed, len(table.CONTEXT), pose)
        plans = (_leaving(acted, twin, number, along, step) for step in free if table.untouched(twin))
        plan = next((plan for plan in plans if plan is not None), None)
        if plan is not None:
            return plan
    return None


def _slides(acted: Rollout, number: int, along: np.ndarray, step: int) -> bool:
    """Whether a thing slides freely, off the hand, between ``step`` and the next."""
    at = acted.prefix
    things = [acted.object(at + s, number) for s in (step, step + 1)]
    if things[0] is None or things[1] is None:
        return False
    hands = [acted.truths[at + s]["hand"]["position"] for s in (step, step + 1)]
    places, speeds = ([np.asarray(t[key])[:2] for t in things if t] for key in ("position", "velocity"))
    moved = places[1] - places[0]
    leaves = (moved @ along) > ((hands[1] - hands[0]) @ along) + 0.02
    free = speeds[1] @ along > 0.1 and 0 <= (speeds[0] - speeds[1]) @ along < SLOWER
    return bool(leaves and free and abs(moved @ along[::-1]) <= 0.02 and moved @ along >= 0.06)


def _leaving(acted: Rollout, twin: Rollout, number: int, along: np.ndarray, step: int) -> Plan | None:
    """The plan that reads the speed between ``step`` and the next, in which the thing slides freely."""
    at, scale = acted.prefix, acted.first.shape[0]
    states = [acted.object(at + s, number) for s in (step, step + 1)]
    places = [np.asarray(state["position"])[:2] for state in states if state]
    moved = places[1] - places[0]
    steps, (background, bare) = (step, step + 1), _background(acted)
    if not all(bare[pixels(acted, at + s, number)].all() for s in (0, *steps)):
        return None
    track = _tracked(acted, number, steps, background, 0 if along[0] else 1)
    change = look(acted, twin, step + 1, table.hand(acted), (number,))
    if track is None or change.mask.sum() < LEAST:
        return None

    def read(blocks: np.ndarray) -> float:
        seen = track(blocks)
        if seen is None:
            return 0.0  # what is not found has no speed
        return float((seen[1] - seen[0]) @ (along * (1, -1))) / scale / STEP

    dose = Dose(float(moved @ along) / STEP, "m/s", read, 1.0 / scale / STEP)
    return Plan(acted, twin, (change,), (), (change,), dose=dose) if _read_right(dose, acted, twin) else None


def _read_right(dose: Dose, acted: Rollout, twin: Rollout) -> bool:
    """Whether the true pictures are read right: two things of one colour may be mistaken for each other."""
    done, undone = (take.blocks[take.prefix :] for take in (acted, twin))
    return dose.holds(dose.read(done), True) and dose.holds(dose.read(undone), False)


def hit_distance(stage: Reference, map_seed: int) -> Plan | None:
    """A thing is struck and hits a second one, which slides off and stops. The twin strikes the other way."""
    for takes, (_, second) in table.collisions(stage, map_seed):
        plan = _driven(*takes, second)
        if plan is not None:
            return plan
    return None


def _driven(acted: Rollout, twin: Rollout, number: int) -> Plan | None:
    """The plan that reads how far the thing lies from where it lay."""
    at, end, scale = acted.prefix, len(acted.names), acted.first.shape[0]
    before, after = acted.object(at, number), acted.object(end, number)
    start, own = pixels(acted, at, number), pixels(acted, end, number)
    if before is None or after is None or not _bare(acted, own, number):
        return None
    others = (acted.labels(end) > 0) & ~own
    change = look(acted, twin, end - at, table.hand(acted), (number,))
    if own.sum() < 0.95 * start.sum() or (grown(own) & others).any() or change.mask.sum() < LEAST:
        return None
    moved = (after["position"] - before["position"])[:2]
    distance = float(np.hypot(*moved))
    way = moved / distance * (1, -1)  # of pictures: rows go down
    begun = np.argwhere(start).mean(0)[::-1]
    rows, columns = np.indices(start.shape)
    aside = np.abs((columns - begun[0]) * way[1] - (rows - begun[1]) * way[0])
    region = (aside <= LANE * scale) & ~grown(others, 1)

    labels, bare = acted.labels(at), without(acted.frame(at), acted.labels(at) > 0)
    colour, *rest = (acted.frame(at)[labels == n].mean(0) for n in (number, *(set(labels[labels > 0]) - {number})))

    def read(blocks: np.ndarray) -> float:
        frame = blocks[-1, -1]
        mask = like(frame, colour, bare, region)
        for other in rest:  # the hand and the thing that was struck lie in the lane too
            mask &= like(frame, colour, np.broadcast_to(other, frame.shape), region)
        seen = middle(mask)
        return 0.0 if seen is None else float((seen - begun) @ way) / scale

    dose = Dose(distance, "m", read, 1.5 / scale)
    return Plan(acted, twin, (change,), (), (change,), dose=dose) if _read_right(dose, acted, twin) else None


def fall_rate(stage: Reference, map_seed: int) -> Plan | None:
    """On a tilted table a thing slides down freely: how fast does it gather speed? There is nothing to leave out."""
    context = ("noop",) * 2
    stage.reset(map_seed)
    if stage.objects("ball", "occluder"):
        return None
    stage.do(*context, *("noop",) * FALLING)
    take = stage.played(len(context))
    at = take.prefix
    for thing in (o["id"] for o in take.truths[at]["objects"] if o["class"] in table.MOVABLE):
        states = [take.object(at + s, thing) for s in LOOKED]
        speeds = np.array([o["velocity"][1] for o in states if o])
        rates = -np.diff(speeds) / STEP
        if len(speeds) < len(LOOKED) or rates.min() < SHALLOW or np.ptp(rates) > EVEN:
            continue
        plan = _falling(take, thing, float(rates.mean()))
        if plan is not None:
            return plan
    return None


def _falling(take: Rollout, number: int, rate: float) -> Plan | None:
    at, scale = take.prefix, take.first.shape[0]
    background, bare = _background(take)
    if not whole_in_view(take.labels(at), number) or not all(bare[pixels(take, at + s, number)].all() for s in LOOKED):
        return None
    track = _tracked(take, number, LOOKED, background, 1)
    done, undone = take.frame(at + 2), take.frame(at)
    change = Check(2, pixels(take, at + 2, number) & differs(done, undone), done, undone)
    if track is None or change.mask.sum() < LEAST:
        return None

    def read(blocks: np.ndarray) -> float:
        seen = track(blocks)
        if seen is None:
            return 0.0
        rows = np.array([place[1] for place in seen]) / scale
        return float(2 * np.polyfit(STEP * np.array(LOOKED), rows, 2)[0])

    dose = Dose(rate, "m/s^2", read, 0.2 / scale / STEP**2)
    return Plan(take, take, (change,), (), (change,), beside=False, dose=dose)


def _background(take: Rollout) -> tuple[np.ndarray, np.ndarray]:
    """uint8 ``(H, W, 3)``: the table without things and hand, put together from all steps; and bool ``(H, W)``: where
    that is so. What is always covered has no background that a thing could be told from."""
    background, bare = take.frame(take.prefix).copy(), np.zeros(take.first.shape[:2], bool)
    for s in range(len(take.names) + 1):
        empty = ~grown(take.labels(s) > 0, 1)
        background[empty], bare = take.frame(s)[empty], bare | empty
    return background, bare


def _tracked(take: Rollout, number: int, steps: Sequence[int], background: np.ndarray, axis: int) -> Tracked | None:
    """A tracker of a thing that moves along the columns (``axis`` 0) or rows (1), by its colour at the end of the
    context; None where at one of the steps something covers it or lies beside it, which would move its middle, or where
    it is found ``ASTRAY`` pixels from where it is, since something else has its colour."""
    at, scale, shape = take.prefix, take.first.shape[0], take.first.shape[:2]
    mask = pixels(take, at, number)
    first = take.object(at + steps[0], number)
    if first is None or not mask.any():
        return None
    colour = take.frame(at)[mask].mean(0)
    x, y = first["position"][:2]
    across = np.abs((np.indices(shape) + 0.5) / scale - np.array([1 - y, x])[:, None, None])[axis]
    regions = []
    for s in steps:
        labels = take.labels(at + s)
        own = labels == number
        others = (labels > 0) & ~own
        if own.sum() < 0.95 * mask.sum() or (grown(own) & others).any():
            return None
        regions.append((across <= LANE) & ~grown(others, 1))
        found, is_at = middle(like(take.frame(at + s), colour, background, regions[-1])), middle(own)
        if found is None or is_at is None or np.hypot(*(found - is_at)) > ASTRAY:
            return None

    def track(blocks: np.ndarray) -> list[np.ndarray] | None:
        seen = [middle(like(blocks[s - 1, -1], colour, background, r)) for s, r in zip(steps, regions)]
        return None if any(place is None for place in seen) else [place for place in seen if place is not None]

    return track


def _bare(take: Rollout, where: np.ndarray, number: int) -> bool:
    """Whether nothing else was seen there at the end of the context."""
    before = take.labels(take.prefix)[where]
    return bool(((before <= 0) | (before == number)).all())


DEEDS = (
    Deed(
        "push_speed", table.WORLD,
        "what is pushed or struck slides off as fast as it should, to a quarter and 0.08 m/s",
        ("attack", *table.DIRECTIONS), push_speed, thorough=True,
    ),
    Deed(
        "hit_distance", table.WORLD,
        "what a struck thing hits slides as far as it should, to a quarter and 2 cm",
        ("attack", *table.DIRECTIONS), hit_distance, thorough=True,
    ),
    Deed(
        "fall_rate", table.WORLD,
        "a thing on the tilted table gathers speed as fast as it should, to a quarter and 0.08 m/s^2",
        ("noop",), fall_rate, thorough=True,
    ),
)  # fmt: skip
