"""Films of DoomRooms in which things vanish, appear from nothing or change their colour, and doors open by themselves.

A thing is taken out of a true film, or its hue is turned, along the world's own object ids in *every* video frame. That
film shows a room as the world has them too, and the two are crossed while the thing is out of sight, or in the middle
of a turn that moves it through the picture. The world tells ids for the last frame of a block only; a full turn's four
frames are where four small turns end, so a second play in small turns tells the ids of all. A door needs no edit: it
was used or not, and looked away from.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import islice

import numpy as np

from worldsim_benchmarks.probes.detect import differs, recoloured, saturation, without
from worldsim_benchmarks.probes.doom import (
    ASIDE,
    AWAY,
    OPENING,
    THINGS,
    WORLD,
    before_doors,
    poses_before,
)
from worldsim_benchmarks.probes.plan import LEAST
from worldsim_benchmarks.probes.presence import COLOURED, whole_in_view
from worldsim_benchmarks.probes.quads import Film, Quad, Question
from worldsim_benchmarks.truth import Pose, Reference, Rollout

Edit = Callable[[np.ndarray, np.ndarray], np.ndarray]
SMALL = 4
"""Small turns that make a full one."""
ABOUT = ("turn_left", "turn_right", "turn_right", "turn_left")
"""The context: a look to both sides."""
PASSING = 4
"""Turns that lead a thing through the picture, from 28 degrees on one side to 28 on the other."""
STRAY = 0.02
"""Share of the pixels whose ids may differ between the two plays (small turns add 0.01 degrees each)."""
DOOR_AWAY = AWAY + 1
"""Turns that take an open door out of all four pictures of the last block."""
POSES = 24
"""Poses that are tried on a map."""


def recolour(frame: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """The thing in the opposite hue."""
    return recoloured(frame, mask, 180)


def finely(stage: Reference, take: Rollout) -> list[np.ndarray] | None:
    """Object ids int32 ``(H, W)`` of every video frame of a take of turns and waiting, from the reset on; None where
    the small turns lead elsewhere."""
    names = [n for name in take.names for n in ((f"{name}_small",) * SMALL if name != "noop" else (name,))]
    fine = stage.play(names, take.map_seed, 0, take.pose)
    ids, at = [fine.labels(0)], 0
    for step, name in enumerate(take.names, start=1):
        ids += [fine.labels(at + (i + 1 if name != "noop" else 1)) for i in range(SMALL)]
        at += SMALL if name != "noop" else 1
        if (ids[-1] != take.labels(step)).mean() > STRAY:
            return None
    return ids


def edited(film: Film, ids: list[np.ndarray], number: int, edit: Edit) -> Film:
    """The film with ``edit(frame, mask)`` made of one thing wherever it shows."""
    frames = film.frames.copy()
    for i, labels in enumerate(ids):
        if (labels == number).any():
            frames[i] = edit(frames[i], labels == number)
    return Film(frames, film.names)


def changed(
    stage: Reference, map_seed: int, names: tuple[str, ...], at: int, aside: float, hidden: bool, edit: Edit
) -> Quad | None:
    """A thing that is or is not edited, in a play from a pose that looks ``aside`` past it, crossed before block
    ``at``: where it is out of sight (``hidden``), or whole in view before and after."""
    for number, place in islice(poses_before(stage, map_seed, THINGS, (3.0, 4.0), aside), POSES):
        if not stage.reset(map_seed, place) or not whole_in_view(stage.truth["labels"], number):
            continue
        take = stage.play(names, map_seed, 0, place)
        mask = take.labels(0) == number
        if edit is recolour and saturation(take.first, mask) < COLOURED:
            continue
        if not hidden and not all(whole_in_view(take.labels(step), number) for step in (at, at + 1)):
            continue
        ids = finely(stage, take)
        if ids is None:
            continue
        film = Film.of(take)
        other = edited(film, ids, number, edit)
        quad = Quad((film, other), at, map_seed)
        if differs(film.frames[0], other.frames[0]).sum() < LEAST or quad.shows < 0 or (hidden and quad.seam):
            continue
        return quad
    return None


def passing(stage: Reference, map_seed: int, edit: Edit) -> Quad | None:
    """Turns that lead a thing through the picture; it changes in the middle of them."""
    names = (*ABOUT, *("turn_left",) * PASSING)
    return changed(stage, map_seed, names, len(ABOUT) + PASSING // 2, -2 * ASIDE, False, edit)


def away(stage: Reference, map_seed: int, edit: Edit) -> Quad | None:
    """A look away by 84 degrees and back; the thing changes while it is not seen."""
    names = (*ABOUT, *("turn_left",) * AWAY, *("turn_right",) * AWAY)
    return changed(stage, map_seed, names, len(ABOUT) + AWAY, ASIDE, True, edit)


def door(stage: Reference, map_seed: int) -> Quad | None:
    """A door that was used or not, looked away from and back at."""
    turns = (*("turn_left",) * DOOR_AWAY, *("turn_right",) * DOOR_AWAY)
    at = len(ABOUT) + OPENING + DOOR_AWAY

    def play(place: Pose, first: str) -> Rollout:
        return stage.play((*ABOUT, first, *("noop",) * (OPENING - 1), *turns), map_seed, 0, place)

    for place in before_doors(stage, map_seed):
        if not stage.reset(map_seed, place):
            continue
        used = play(place, "use")
        if not any(e["kind"] == "door_opens" for events in used.events for e in events):
            continue
        quad = Quad((Film.of(used), Film.of(play(place, "noop"))), at, map_seed)
        if quad.seam == 0 and quad.shows >= 0:
            return quad
    return None


_TURNS = ("turn_left", "turn_right")
VANISHING = (
    Question("vanish_in_view", (WORLD,), "a thing that vanishes, or appears, in the middle of the picture surprises",
             _TURNS, lambda stage, seed: passing(stage, seed, without)),
    Question("recolour_in_view", (WORLD,), "a thing that changes its hue in the middle of the picture surprises",
             _TURNS, lambda stage, seed: passing(stage, seed, recolour)),
    Question("vanish_away", (WORLD,), "a thing that vanishes, or appears, while looked away from surprises",
             _TURNS, lambda stage, seed: away(stage, seed, without)),
    Question("recolour_away", (WORLD,), "a thing that changes its hue while looked away from surprises",
             _TURNS, lambda stage, seed: away(stage, seed, recolour)),
    Question("door_away", (WORLD,), "a door that closes, or opens, while looked away from surprises",
             (*_TURNS, "use", "noop"), door),
)  # fmt: skip
