"""Deeds on the table: paint, push, strike, collide, bite, shatter, switch, plant, fall.

The camera stands still, so what is asked is whether the deed has its effect, where, and whether that lasts. The hand is
left out of every mask. Things that roll by themselves and things that slide are avoided (except where falling is the
question): what they do is not the deed's effect. Metres; a step of the hand is about 0.12.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import pairwise, product

import numpy as np

from worldsim_benchmarks.probes.detect import differs
from worldsim_benchmarks.probes.plan import LEAST, Check, Deed, Plan, hidden_change, look, whole
from worldsim_benchmarks.truth import Pose, Reference, Rollout

WORLD = "worldsim/Table-v0"
CONTEXT = ("noop",) * 6
DIRECTIONS = {
    "strafe_right": (1, 0, 0.0), "strafe_left": (-1, 0, 180.0), "forward": (0, 1, 90.0), "backward": (0, -1, 270.0),
}  # fmt: skip
"""Action -> direction of the hand, and where it then faces."""
BACK = {"strafe_right": "strafe_left", "strafe_left": "strafe_right", "forward": "backward", "backward": "forward"}
ASIDE = {"strafe_right": "forward", "strafe_left": "forward", "forward": "strafe_right", "backward": "strafe_right"}
WAIT = 8
"""Steps that are waited after a deed."""
STILL = 0.02
"""m/s and metres under which a thing counts as at rest, or as not moved."""
HAND = 0.045
STRUCK, HIT = 0.15, 0.06
"""Metres that a thing must be moved by a strike, and by a struck one that hits it."""
MOVABLE = ("disc", "box", "apple")


def still(stage: Reference) -> bool:
    """Whether nothing moves, and nothing will by itself."""
    if stage.objects("ball"):
        return False
    return all(np.hypot(*o["velocity"][:2]) < STILL for o in stage.truth["objects"])


def moved(acted: Rollout, step: int, other: Rollout, number: int) -> float:
    """Metres between a thing's places in two rollouts after ``step`` steps; infinite where one lacks it."""
    a, b = acted.object(step, number), other.object(step, number)
    return float(np.hypot(*(a["position"] - b["position"])[:2])) if a and b else np.inf


def untouched(take: Rollout) -> bool:
    """Whether everything lies at the end where it lay at first."""
    first, last = take.truths[0]["objects"], {o["id"]: o for o in take.truths[-1]["objects"]}
    return all(o["id"] in last and np.hypot(*(o["position"] - last[o["id"]]["position"])[:2]) < STILL for o in first)


def hand(take: Rollout) -> tuple[int, ...]:
    return (int(take.truths[0]["hand"]["id"]),)


def start(stage: Reference, map_seed: int, pose: Pose, context: Sequence[str] = CONTEXT) -> bool:
    """Puts the hand to a free pose and plays the context; whether all is at rest then."""
    if not stage.reset(map_seed, pose):
        return False
    stage.do(*context)
    return still(stage)


def both(
    stage: Reference, map_seed: int, pose: Pose, acted: Sequence[str], twin: Sequence[str]
) -> tuple[Rollout, Rollout]:
    """The deed and its twin as rollouts, context included."""
    return (
        stage.play((*CONTEXT, *acted), map_seed, len(CONTEXT), pose),
        stage.play((*CONTEXT, *twin), map_seed, len(CONTEXT), pose),
    )


def gone_on(stage: Reference, names: Sequence[str]) -> Rollout:
    """The rollout of these actions after the context that ``start`` has played."""
    stage.do(*names)
    return stage.played(len(CONTEXT), (*CONTEXT, *names))


def breaks(take: Rollout) -> bool:
    """Whether glass breaks."""
    return any(e["kind"] == "shatter" for events in take.events for e in events)


def filled(names: Sequence[str], length: int) -> tuple[str, ...]:
    """The actions and then noops, ``length`` in all."""
    return (*names, *("noop",) * (length - len(names)))


def before_things(
    stage: Reference, map_seed: int, kinds: Sequence[str], gaps: Sequence[float], sides: Sequence[float] = (0.0,)
) -> Iterator[tuple[int, str, Pose]]:
    """Things of these kinds at rest with poses in front of them: (id, action towards it, pose). ``gaps`` are distances
    to the middle of the thing, ``sides`` are offsets across."""
    stage.reset(map_seed)
    stage.do(*CONTEXT)
    if not still(stage):
        return
    things = [o for o in stage.objects(*kinds) if o["visible"]]
    for thing, (action, (dx, dy, facing)), gap, side in product(things, DIRECTIONS.items(), gaps, sides):
        x, y = thing["position"][:2]
        yield thing["id"], action, (float(x - dx * gap - dy * side), float(y - dy * gap + dx * side), facing)


# the deeds


def paint(stage: Reference, map_seed: int) -> Plan | None:
    """Brush, a stroke of four steps, hand, away. The twin does the same with the hand."""
    for action, x, y in product(("strafe_right", "strafe_left"), (0.2, 0.3, 0.7, 0.8), (0.2, 0.4, 0.6, 0.8)):
        if (x > 0.5) == (action == "strafe_right") or not start(stage, map_seed, (x, y, DIRECTIONS[action][2])):
            continue
        away = "forward" if y < 0.5 else "backward"
        done = filled(("next_item", *(action,) * 4, "next_item", *(away,) * 2), 8 + WAIT)
        twin = tuple("noop" if name == "next_item" else name for name in done)
        takes = both(stage, map_seed, (x, y, DIRECTIONS[action][2]), done, twin)
        if all(untouched(take) for take in takes):
            plan = whole(*takes, 8, ignored=hand(takes[0]))
            if plan is not None:
                return plan
    return None


def push(stage: Reference, map_seed: int) -> Plan | None:
    """Three steps through a thing and back. The twin makes its steps aside."""
    for number, action, pose in before_things(stage, map_seed, MOVABLE, (0.14, 0.17)):
        if not start(stage, map_seed, pose):
            continue
        done = filled((action,) * 3 + (BACK[action],) * 3, 6 + WAIT)
        twin = filled((ASIDE[action],) * 3 + (BACK[ASIDE[action]],) * 3, 6 + WAIT)
        acted, other = both(stage, map_seed, pose, done, twin)
        if untouched(other) and moved(acted, len(acted.names), other, number) > 0.1:
            plan = whole(acted, other, 6, ignored=hand(acted))
            if plan is not None:
                return plan
    return None


def strike(stage: Reference, map_seed: int) -> Plan | None:
    """A strike at a thing, which slides, bounces, and comes to rest. The twin strikes the other way."""
    for number, action, pose in before_things(stage, map_seed, MOVABLE, (0.26,)):
        takes = struck(stage, map_seed, action, pose, {number: STRUCK})
        if takes is not None and moved(takes[0], len(takes[0].names), takes[1], number) > STRUCK:
            plan = whole(*takes, 2, ignored=hand(takes[0]), only=(number,))
            if plan is not None:
                return plan
    return None


def struck(
    stage: Reference, map_seed: int, action: str, pose: Pose, far: Mapping[int, float]
) -> tuple[Rollout, Rollout] | None:
    """The rollouts of a step and a strike in that direction, and of the same the other way; None where the latter moves
    things, glass breaks, or none of the things in ``far`` (by id) is moved so many metres."""
    if not start(stage, map_seed, pose):
        return None
    acted = gone_on(stage, filled((action, "attack"), 2 + WAIT))
    gone = (displaced(acted, number) > least - STILL for number, least in far.items())
    if breaks(acted) or not any(gone):
        return None  # the other way need not be played
    twin = filled((BACK[action], "attack"), 2 + WAIT)
    other = stage.play((*CONTEXT, *twin), map_seed, len(CONTEXT), pose)
    return (acted, other) if untouched(other) and not breaks(other) else None


def displaced(take: Rollout, number: int) -> float:
    """Metres between a thing's places at the reset and at the end; infinite where it is gone."""
    first, last = take.object(0, number), take.object(len(take.names), number)
    return float(np.hypot(*(last["position"] - first["position"])[:2])) if first and last else np.inf


def collisions(stage: Reference, map_seed: int) -> Iterator[tuple[tuple[Rollout, Rollout], tuple[int, int]]]:
    """Strikes at a thing that hits a second one, which the hand never meets: deed and twin, the ids of both."""
    for number, action, pose in before_things(stage, map_seed, MOVABLE, (0.26,), (0.0, 0.03, -0.03)):
        dx, dy, _ = DIRECTIONS[action]
        places = {o["id"]: o["position"][:2] for o in stage.first_objects(*MOVABLE) if o["visible"]}
        gaps = {k: p - places[number] for k, p in places.items() if k != number}
        ahead = [k for k, g in gaps.items() if 0.1 < g @ (dx, dy) < 0.5 and abs(g @ (-dy, dx)) < 0.1]
        takes = struck(stage, map_seed, action, pose, dict.fromkeys(ahead, HIT)) if ahead else None
        if takes is None:
            continue
        for second in ahead:
            if HIT < moved(takes[0], len(takes[0].names), takes[1], second) < np.inf:
                yield takes, (number, second)


def collide(stage: Reference, map_seed: int) -> Plan | None:
    """A strike at a thing that hits a second one: does the second go where it should?"""
    for takes, (_, second) in collisions(stage, map_seed):
        plan = whole(*takes, 2 + WAIT // 2, ignored=hand(takes[0]), only=(second,))
        if plan is not None:
            return plan
    return None


def bite(stage: Reference, map_seed: int) -> Plan | None:
    """Three bites, each of which must stay, and none come early. The twin only stands there."""
    names = filled(("use", *("noop",) * 3) * 3, 12 + WAIT // 2)
    for number, _, pose in before_things(stage, map_seed, ("apple",), (0.18, 0.2)):
        if not start(stage, map_seed, pose):
            continue
        acted, twin = both(stage, map_seed, pose, names, filled((), len(names)))
        last = acted.object(len(acted.names), number)
        bites = sum(e["kind"] == "bite" for events in acted.events for e in events)
        if last is None or bites != 3 or last["left"] >= 1:
            continue
        looks = [look(acted, twin, step, hand(acted), (number,)) for step in (4, 8, 12)]
        early = [
            Check(a.step, b.mask & differs(a.done, b.done), b.done, a.done, shown=False) for a, b in pairwise(looks)
        ]
        if min(int(c.mask.sum()) for c in (*looks, *early)) >= LEAST // 2:
            return whole(acted, twin, 1, (*looks, *early), hand(acted), (number,), LEAST // 2)
    return None


def shatter(stage: Reference, map_seed: int) -> Plan | None:
    """A strike that breaks a pane: it is gone from where it stood. The twin touches it slowly, which it withstands."""
    for number, action, pose in before_things(stage, map_seed, ("pane",), (0.2,)):
        pane = next(o for o in stage.first_objects("pane") if o["id"] == number)
        along_x = abs((pane["angle"] + 45) % 180 - 45) < 10
        if along_x == (DIRECTIONS[action][1] == 0) or not start(stage, map_seed, pose):
            continue
        acted, twin = both(
            stage, map_seed, pose,
            filled(("attack", *(BACK[action],) * 2), 3 + WAIT), filled((action, *(BACK[action],) * 2), 3 + WAIT),
        )  # fmt: skip
        end = len(acted.names)
        if acted.object(end, number) is not None or twin.object(end, number) is None:
            continue
        plan = whole(acted, twin, 3, ignored=hand(acted), only=(number,))
        plan = None if plan is None else _where_empty(plan, number)
        if plan is not None:
            return plan
    return None


def _where_empty(plan: Plan, number: int) -> Plan | None:
    """The plan judged only where the twin shows the whole pane and the deed the bare table: the places of the pieces
    are chance."""

    def bare(check: Check) -> Check:
        at = plan.prefix + check.step
        return replace(check, mask=check.mask & (plan.acted.labels(at) == -1) & (plan.twin.labels(at) == number))

    gate, last = bare(plan.gates[0]), bare(plan.checks[0])
    if min(int(gate.mask.sum()), int(last.mask.sum())) < LEAST // 2:
        return None
    curve = tuple(c for c in map(bare, plan.curve) if c.mask.any())
    return replace(plan, gates=(gate,), checks=(last,), curve=curve)


def switch(stage: Reference, map_seed: int) -> Plan | None:
    """The lamp off and, six steps later, on again: once is a change, twice is none."""
    names = filled(("use", *("noop",) * 5, "use"), 7 + WAIT // 2)
    for _, _, pose in before_things(stage, map_seed, ("switch",), (0.12,)):
        if not start(stage, map_seed, pose):
            continue
        acted, twin = both(stage, map_seed, pose, names, filled((), len(names)))
        if sum(e["kind"].startswith("switch") for events in acted.events for e in events) != 2:
            continue
        looks = [look(acted, twin, step) for step in range(1, 7)]
        if looks[0].mask.mean() < 0.2:
            continue
        again = hidden_change(replace(looks[-1], step=len(names)))
        return Plan(acted, twin, (looks[0],), (looks[-1], again), tuple(looks))
    return None


def plant(stage: Reference, map_seed: int) -> Plan | None:
    """A seed in the ground, and six seconds: it has grown. The twin plants none."""
    length = 32
    for x, y in product((0.25, 0.5, 0.75), (0.25, 0.5, 0.75)):
        if not start(stage, map_seed, (x, y, 0.0)):
            continue
        away = ("forward" if y < 0.5 else "backward",) * 2
        takes = both(stage, map_seed, (x, y, 0.0), filled(("place", *away), length), filled(("noop", *away), length))
        if not all(untouched(take) or take is takes[0] for take in takes):
            continue
        plan = whole(*takes, 3, ignored=hand(takes[0]), least=3)
        if plan is None or plan.checks[0].mask.sum() < LEAST:
            continue
        seed, grown_up = plan.gates[0], plan.checks[0]
        growth = replace(grown_up, undone=seed.done, mask=grown_up.mask & differs(grown_up.done, seed.done))
        return replace(plan, checks=(grown_up, growth)) if growth.mask.sum() >= LEAST else None
    return None


def fall(stage: Reference, map_seed: int) -> Plan | None:
    """On a tilted table things slide down: they must be where the truth has them, not where the context left them."""
    context, length = ("noop",) * 2, 6
    stage.reset(map_seed)
    if stage.objects("ball", "occluder"):
        return None
    stage.do(*context, *("noop",) * length)
    take = stage.played(len(context))
    begun = {o["id"]: o for o in take.truths[len(context)]["objects"]}
    fell = [
        o["id"] for o in take.truths[-1]["objects"]
        if o["id"] in begun and begun[o["id"]]["position"][1] - o["position"][1] > 0.1
    ]  # fmt: skip
    if not fell:
        return None
    before = take.frame(len(context))
    looks = [
        Check(step, differs(take.frame(len(context) + step), before), take.frame(len(context) + step), before)
        for step in range(1, length + 1)
    ]
    if min(int(c.mask.sum()) for c in looks[1:]) < LEAST:
        return None
    return Plan(take, take, (looks[1],), (looks[-1],), tuple(looks[1:]), beside=False)


DEEDS = (
    Deed("paint", WORLD, "the stroke is there eight steps later; without a brush there is none",
                ("next_item", *DIRECTIONS), paint),
    Deed("push", WORLD, "the pushed thing lies where the truth has it; after steps aside it lies where it lay",
                tuple(DIRECTIONS), push),
    Deed("strike", WORLD, "the struck thing comes to rest where the truth has it; struck away from, it stays",
                ("attack", *DIRECTIONS), strike),
    Deed("collide", WORLD, "what the struck thing hits comes to rest where the truth has it",
                ("attack", *DIRECTIONS), collide),
    Deed("bite", WORLD, "each of three bites is gone from the apple when bitten, not before, and stays gone; "
         "unbitten it is whole",
                ("use",), bite),
    Deed("shatter", WORLD, "a pane struck at 2.2 m/s is gone from where it stood, and stays so; one touched at "
                "0.6 m/s stands", ("attack", *DIRECTIONS), shatter),
    Deed("switch", WORLD, "one toggle darkens the table, a second one undoes it; without there is no change",
                ("use",), switch),
    Deed("plant", WORLD, "a seed is there at once, and a grown plant six seconds later; unsown there is none",
                ("place", *DIRECTIONS), plant),
    Deed("fall", WORLD, "what slides down the tilted table is where the truth has it after 1.2 seconds",
                ("noop",), fall),
)  # fmt: skip
