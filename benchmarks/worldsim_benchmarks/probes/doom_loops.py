"""Ways through the rooms of a DoomRooms map that end where they began: to the next room and back, or round four rooms.

A way is walked once in the true world, step by step towards the next point of the map's plan
(``env.unwrapped.layout``, which DoomRooms documents), and what was commanded then is the script of the episode: nothing
moves by itself there, so the same commands walk it again. Who walks begins 2.2 m before a passage, which the context
shows, leaves by it, and in the end stands there again and looks at it again. Metres and degrees.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np

from worldsim_benchmarks.geometry import co_visible, wrapped
from worldsim_benchmarks.probes.doom import OPENING, pose
from worldsim_benchmarks.scripts import LOOK_AROUND
from worldsim_benchmarks.truth import Reference, Rollout

Point = tuple[float, float]
BEFORE = 2.2
"""Metres before the passage at which the way begins and ends."""
BEYOND = 1.0
"""Metres behind a passage to which it is walked through."""
NEAR = 0.45
"""Metres at which a point counts as reached: less than a step."""
ALIGNED = 7.5
"""Degrees off the next point up to which one walks on; a whole turn more would lead away from it."""
SLIDE = 1.2
"""Metres before the end of the way at which one stops walking, and slides on."""
STEPS_ASIDE = 5
"""Steps, each from a stand, that may be spent on the last metre."""
FACED = 2.0
"""Degrees to which the first heading is taken again."""
REACH = 1.9
"""Metres from the middle of a door at which it can be used."""
STUCK = 0.1
"""Metres of a step forward under which something is in the way, and of one without command under which one stands."""
HOME = 0.5
"""Metres from the start at which a way may end."""
SEEN, UNSEEN = 0.5, 0.1
"""Share of the last picture that the context must have shown, and of some picture far off that it may have."""
FARTHEST = 2 / 3
"""Part of the greatest distance from the start from which on one is far off."""
ROUND = 4
"""Rooms of a way round: rooms stand on a grid."""


@dataclass(frozen=True)
class Way:
    """``start``: where it begins; ``points``: what is walked to, one after the other, the start last."""

    start: tuple[float, float, float]
    points: tuple[Point, ...]


def next_room(stage: Reference, map_seed: int, door: bool, length: int) -> Rollout | None:
    """Through a passage (with a door or without one) into the next room, and back."""
    stage.reset(map_seed)
    layout = _layout(stage)
    for passage, side in product(layout.passages, (0, 1)):
        if passage.door is door:
            entry, leave = ends(passage, side)
            take = _walked(stage, map_seed, _way(entry, leave, [entry]), length)
            if take is not None:
                return take
    return None


def way_round(stage: Reference, map_seed: int, length: int) -> Rollout | None:
    """Round four rooms, into each by another passage than out of it; doors on the way are opened."""
    stage.reset(map_seed)
    layout = _layout(stage)
    for passages in circles([p.rooms for p in layout.passages], ROUND):
        points: list[Point] = []
        for number, side in passages:
            points += ends(layout.passages[number], side)
        take = _walked(stage, map_seed, _way(points[0], points[1], points[2:]), length)
        if take is not None:
            return take
    return None


def circles(links: Sequence[tuple[int, int]], rooms: int) -> Iterator[list[tuple[int, int]]]:
    """Closed ways through so many different rooms over links between them: (number of the link, 0 where it is walked
    from its first room to its second, else 1)."""

    def onward(way: list[tuple[int, int]], seen: list[int]) -> Iterator[list[tuple[int, int]]]:
        for number, pair in enumerate(links):
            if seen[-1] not in pair or any(number == n for n, _ in way):
                continue
            side = pair.index(seen[-1])
            there = pair[1 - side]
            if len(seen) == rooms and there == seen[0]:
                yield [*way, (number, side)]
            elif len(seen) < rooms and there not in seen:
                yield from onward([*way, (number, side)], [*seen, there])

    for room in sorted({room for pair in links for room in pair}):
        yield from onward([], [room])


def ends(passage: Any, side: int) -> tuple[Point, Point]:
    """Points before a passage, in its first room (``side`` 0) or its second, and behind it, on its middle line."""
    x0, y0, x1, y1 = passage.rect
    first, second = (
        ((x0 - BEYOND, (y0 + y1) / 2), (x1 + BEYOND, (y0 + y1) / 2)) if passage.axis == "x"
        else (((x0 + x1) / 2, y0 - BEYOND), ((x0 + x1) / 2, y1 + BEYOND))
    )  # fmt: skip
    return (first, second) if side == 0 else (second, first)


def _way(entry: Point, leave: Point, points: Sequence[Point]) -> Way:
    """The way that begins before ``entry``, looking at the passage."""
    out = np.array(entry) - np.array(leave)
    out /= np.linalg.norm(out)
    x, y = np.array(entry) + (BEFORE - BEYOND) * out
    start = pose(x, y, float(np.degrees(np.arctan2(-out[1], -out[0])) % 360))
    return Way(start, (leave, *points, start[:2]))


def _walked(stage: Reference, map_seed: int, way: Way, length: int) -> Rollout | None:
    """The rollout of a way, the look about its context and noops its end; None where it cannot be walked in ``length``
    steps, or does not lead out of sight and home."""
    if not stage.reset(map_seed, way.start):
        return None
    stage.do(*LOOK_AROUND)
    if not _follow(stage, way, length):
        return None
    at, spent = len(LOOK_AROUND), stage.steps - len(LOOK_AROUND)
    stage.do(*("noop",) * (length - spent))
    take = stage.played(at)
    places = np.array([view.c2w[:2, 3] for view in take.views])
    away = np.linalg.norm(places - places[0], axis=1)
    if stage.over or away[-1] > HOME:
        return None
    context, far = take.views[: at + 1], np.flatnonzero(away > FARTHEST * away.max())

    def seen(step: int) -> float:
        return float(co_visible(take.views[step], context).mean())

    home = seen(len(take.views) - 1) >= SEEN
    return take if home and any(seen(int(step)) <= UNSEEN for step in far[::3]) else None


def _follow(stage: Reference, way: Way, length: int) -> bool:
    """Walks the way; whether it was done in so many steps."""
    limit = stage.steps + length
    for i, point in enumerate(way.points):
        used = stuck = 0
        near = NEAR if i < len(way.points) - 1 else SLIDE
        while _gap(stage, point) > near:
            if stage.steps >= limit or stage.over or stuck > 2:
                return False
            turn = _turn(_bearing(stage, point), ALIGNED)
            if turn:
                stage.do(turn)
                continue
            opened = _open(stage)
            closed = [p.centre for n, p in enumerate(_layout(stage).passages) if p.door and n not in opened]
            if any(_gap(stage, door) < REACH and abs(_bearing(stage, door)) < 45 for door in closed):
                if used > 1:
                    return False
                stage.do("use", *("noop",) * (OPENING - 1))
                used += 1
                continue
            before = _place(stage)
            stage.do("forward")
            stuck = stuck + 1 if float(np.linalg.norm(_place(stage) - before)) < STUCK else 0
    for _ in range(STEPS_ASIDE):
        while turn := _turn(wrapped(way.start[2] - float(stage.truth["camera"]["yaw"])), FACED):
            if stage.steps >= limit or stage.over:
                return False
            stage.do(turn)
        while not stage.over and stage.steps < limit and _slides(stage):
            pass
        if _gap(stage, way.points[-1]) <= HOME:
            return stage.steps <= limit
        side = round(_bearing(stage, way.points[-1]) / 90) % 4
        stage.do(("forward", "strafe_left", "backward", "strafe_right")[side])
    return False


def _slides(stage: Reference) -> bool:
    """Waits for a step, and says whether one still slid in it."""
    before = _place(stage)
    stage.do("noop")
    return float(np.linalg.norm(_place(stage) - before)) > STUCK


def _turn(off: float, within: float) -> str:
    """The turn towards what is ``off`` degrees to the left; "" where that is near enough."""
    if abs(off) <= within:
        return ""
    return ("turn_left" if off > 0 else "turn_right") + ("_small" if abs(off) < 9 else "")


def _layout(stage: Reference) -> Any:
    return stage.env.unwrapped.layout  # type: ignore[attr-defined]


def _open(stage: Reference) -> frozenset[int]:
    return frozenset(stage.env.unwrapped.open_doors())  # type: ignore[attr-defined]


def _place(stage: Reference) -> np.ndarray:
    return np.asarray(stage.truth["camera"]["c2w"])[:2, 3]


def _gap(stage: Reference, point: Point) -> float:
    return float(np.linalg.norm(np.array(point) - _place(stage)))


def _bearing(stage: Reference, point: Point) -> float:
    """Degrees to the left at which a point lies."""
    x, y = np.array(point) - _place(stage)
    return wrapped(float(np.degrees(np.arctan2(y, x))) - float(stage.truth["camera"]["yaw"]))
