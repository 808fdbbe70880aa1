"""Deeds and looks in DoomRooms: a door is opened, a thing is picked up, things are left behind and looked at again.

A pose in front of a thing is found by trying: the world refuses what is no free floor, and its object ids say whether
the thing is seen whole and not too near. Metres and degrees; a turn is 14 degrees a step, a picture 73.7 degrees wide.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from itertools import product

import numpy as np

from worldsim_benchmarks.probes.detect import differs
from worldsim_benchmarks.probes.plan import LEAST, Check, Deed, Plan, look
from worldsim_benchmarks.probes.presence import pixels, seen_again, whole_in_view
from worldsim_benchmarks.scripts import LOOK_AROUND
from worldsim_benchmarks.truth import Pose, Reference, Rollout

WORLD = "worldsim/DoomRooms-v0"
CONTEXT = LOOK_AROUND
THINGS = ("ball", "diamond", "box", "cone")
PICKED = ("ball", "diamond")
ASIDE = 14.0
"""Degrees that a thing to be remembered stands off the middle, so that its mirrored place is another one."""
AWAY = 6
"""Turns that take all that was seen out of the picture: 84 degrees."""
FORTH = 7
"""Steps that lead over a thing three metres ahead."""


def poses_before(
    stage: Reference, map_seed: int, kinds: Sequence[str], gaps: Sequence[float], aside: float = 0.0
) -> Iterator[tuple[int, Pose]]:
    """Poses that look ``aside`` degrees past a thing of these kinds, from four sides: (id, pose)."""
    stage.reset(map_seed)
    things = stage.objects(*kinds)
    for thing, gap, side in product(things, gaps, range(0, 360, 90)):
        x, y = thing["position"][:2]
        yaw = (side + 180 + aside) % 360
        yield thing["id"], pose(x + gap * np.cos(np.radians(side)), y + gap * np.sin(np.radians(side)), yaw)


def pose(x: float, y: float, yaw: float) -> Pose:
    """The pose where the engine puts the player, on whole map units of 1/32 m: plans keep it as it will be reported."""
    return round(float(x) * 32) / 32, round(float(y) * 32) / 32, float(yaw)


def left_and_seen(
    stage: Reference,
    map_seed: int,
    names: Sequence[str],
    on_the_way: tuple[int, Callable[[Rollout, int], bool]] = (0, lambda take, number: True),
) -> Iterator[tuple[int, Rollout]]:
    """Rollouts of actions that look away and back, each from before a thing that was seen whole from the last step of
    the context, and is seen whole at their end: (id, rollout). ``on_the_way`` is how many actions are played before
    ``(rollout, id)`` is looked at, and what says no to what need not be played to its end."""
    at, (half, able) = len(CONTEXT), on_the_way
    for number, place in poses_before(stage, map_seed, THINGS, (3.0, 4.0), ASIDE):
        if not stage.reset(map_seed, place) or not whole_in_view(stage.truth["labels"], number):
            continue
        stage.do(*CONTEXT)
        if stage.over or not whole_in_view(stage.truth["labels"], number):
            continue
        stage.do(*names[:half])
        if not able(stage.played(at), number):
            continue
        stage.do(*names[half:])
        take = stage.played(at, (*CONTEXT, *names))
        if take.length == len(take.names) and whole_in_view(take.labels(len(take.names)), number):
            yield number, take


def look_away(stage: Reference, map_seed: int, wait: int, least: int = 1) -> Plan | None:
    """A turn away from at least ``least`` things, ``wait`` steps, and back."""
    names = (*("turn_left",) * AWAY, *("noop",) * wait, *("turn_right",) * AWAY)
    at = len(CONTEXT)
    for number, take in left_and_seen(stage, map_seed, names):
        # only things that were seen whole from the last step of the context, and are seen there again
        seen = [
            o["id"] for o in take.truths[at]["objects"]
            if o["class"] in THINGS and all(whole_in_view(take.labels(s), o["id"]) for s in (at, len(take.names)))
        ]  # fmt: skip
        if len(seen) < least or pixels(take, at + AWAY, number).any():
            continue
        checks = seen_again(take, len(names), seen if least > 1 else [number])
        if checks:
            return Plan(take, take, (), checks, (checks[0],), turn=(0, AWAY), beside=False)
    return None


def look_away_after(wait: int, least: int = 1) -> Deed:
    """The look away of ``wait`` steps as a deed."""
    name = f"look_away_{wait}" if least == 1 else f"look_away_{least}_things"
    what = "the thing is" if least == 1 else f"each of {least} or more things is"
    return Deed(
        name, WORLD,
        f"after {wait} steps out of sight {what} at its place, in its colour, and not at the mirrored place too",
        ("turn_left", "turn_right", "noop"), lambda stage, seed: look_away(stage, seed, wait, least),
    )  # fmt: skip


def pick_up(stage: Reference, map_seed: int) -> Plan | None:
    """Over a thing and back, a turn away and back: it is gone. The twin stops short of it and steps back as far."""
    turns = (*("turn_left",) * AWAY, *("turn_right",) * AWAY)
    for number, place in poses_before(stage, map_seed, PICKED, (3.0,)):
        if not stage.reset(map_seed, place) or not whole_in_view(stage.truth["labels"], number):
            continue
        forth = FORTH
        acts = (*("forward",) * forth, *("backward",) * forth)
        acted = stage.play((*CONTEXT, *acts, *turns), map_seed, len(CONTEXT), place)
        short = (*("forward",) * 2, *("noop",) * (forth - 2), *("backward",) * 2, *("noop",) * (forth - 2))
        twin = stage.play((*CONTEXT, *short, *turns), map_seed, len(CONTEXT), place)
        end, at = len(acted.names), len(CONTEXT)
        if acted.object(end, number) is not None or twin.object(end, number) is None:
            continue
        if not whole_in_view(twin.labels(end), number) or apart(acted, end, twin, end) > 0.15:
            continue
        steps = (2 * forth, end - at)
        looks = [look(acted, twin, step, only=(number,)) for step in steps]
        if min(int(c.mask.sum()) for c in looks) >= LEAST:
            return Plan(acted, twin, (looks[0],), (looks[1],), tuple(looks), turn=(2 * forth, 2 * forth + AWAY))
    return None


def apart(a: Rollout, at: int, b: Rollout, then: int) -> float:
    """Metres between the camera of one take after ``at`` steps and that of another after ``then``."""
    places = [np.asarray(t.truths[step]["camera"]["c2w"])[:3, 3] for t, step in ((a, at), (b, then))]
    return float(np.linalg.norm(places[0] - places[1]))


# doors


def before_doors(stage: Reference, map_seed: int) -> Iterator[Pose]:
    """Poses 1.3 m before the map's doors, from both sides, looking at them. The map's plan tells where its doors are:
    ``env.unwrapped.layout``, which DoomRooms documents."""
    stage.reset(map_seed)
    for passage in stage.env.unwrapped.layout.passages:  # type: ignore[attr-defined]
        if not passage.door:
            continue
        x, y = passage.centre
        dx, dy = (1.0, 0.0) if passage.axis == "x" else (0.0, 1.0)
        for sign in (-1, 1):
            yaw = float(np.degrees(np.arctan2(-sign * dy, -sign * dx)) % 360)
            yield pose(x + sign * 1.55 * dx, y + sign * 1.55 * dy, yaw)


OPENING = 8
"""Steps until a used door stands open; it has closed again after 59."""
CLOSED = 62


def _opened(
    stage: Reference, map_seed: int, place: Pose, acted: Sequence[str], twin: Sequence[str]
) -> tuple[Rollout, Rollout] | None:
    if not stage.reset(map_seed, place):
        return None
    takes = [stage.play((*CONTEXT, *names), map_seed, len(CONTEXT), place) for names in (acted, twin)]
    opens = any(e["kind"] == "door_opens" for events in takes[0].events for e in events)
    return (takes[0], takes[1]) if opens else None


def _gone(check: Check) -> Check:
    return replace(check, departure=True)


def door(stage: Reference, map_seed: int) -> Plan | None:
    """A door is opened by use, looked away from, and still open. The twin does not use it."""
    turns = (*("turn_left",) * AWAY, *("turn_right",) * AWAY)
    acted = ("use", *("noop",) * (OPENING - 1), *turns)
    for place in before_doors(stage, map_seed):
        takes = _opened(stage, map_seed, place, acted, ("noop", *acted[1:]))
        if takes is None:
            continue
        looks = [_gone(look(*takes, step)) for step in (OPENING, len(acted))]
        if min(int(c.mask.sum()) for c in looks) >= 10 * LEAST:
            return Plan(*takes, (looks[0],), (looks[1],), tuple(looks), turn=(OPENING, OPENING + AWAY))
    return None


def door_closes(stage: Reference, map_seed: int) -> Plan | None:
    """A door is opened and looked away from until it has closed by itself: the look back must show it closed, as it was
    before. What stands still while it is not seen shows it open."""
    wait = CLOSED - OPENING - 2 * AWAY
    # looking about while it opens, so that a world which stands still when nothing is commanded opens it too
    opening = ("use", *("turn_left_small", "turn_right_small") * ((OPENING - 2) // 2), "noop")
    names = (*opening, *("turn_left",) * AWAY, *("noop",) * wait, *("turn_right",) * AWAY)
    for place in before_doors(stage, map_seed):
        takes = _opened(stage, map_seed, place, names, ("noop", *names[1:]))
        if takes is None or not any(e["kind"] == "door_closes" for events in takes[0].events for e in events):
            continue
        take, at = takes[0], len(CONTEXT)
        opened = _gone(look(*takes, OPENING))
        closed = Check(len(names), opened.mask, take.frame(at + len(names)), opened.done)
        if opened.mask.sum() >= 10 * LEAST and not differs(closed.done, opened.undone)[opened.mask].mean() > 0.1:
            return Plan(take, take, (opened,), (closed,), (closed,), turn=(OPENING, OPENING + AWAY), beside=False)
    return None


DEEDS = (
    Deed("pick_up", WORLD, "a thing that was walked over is gone after a look away; one that was not is there",
                ("forward", "backward", "turn_left", "turn_right"), pick_up),
    Deed("door", WORLD, "a door that was used stands open after a look away; one that was not is closed",
                ("use", "turn_left", "turn_right"), door),
)  # fmt: skip
LOOKS = (
    *(look_away_after(wait) for wait in (1, 2, 4, 8, 16)),
    look_away_after(4, 2),
    Deed("door_closes", WORLD, "a door that was left open is closed at the look back, after its four seconds",
                ("use", "turn_left", "turn_right"), door_closes),
)  # fmt: skip
