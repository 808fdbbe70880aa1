"""Ways to look away from a thing in DoomRooms and back: for longer and longer, and with ever more going on meanwhile.

To stand and stare at one wall is the easiest way to remember what is behind: nothing new comes in. So there are further
ways to be away for as long: the gaze wanders to and fro; one walks off and comes back; one turns round and round, past
the thing again and again; one walks off and looks all round there, which shows everything anew from another place. A
plan is taken only where the true world leads back to where it began, and only of things whose colour and mirrored place
can be asked about, so that every episode has its identity and its false alarm.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from worldsim_benchmarks.motion import growth
from worldsim_benchmarks.probes import doom
from worldsim_benchmarks.probes.detect import grown, nearer, recoloured, registered
from worldsim_benchmarks.probes.plan import Check, Deed, Plan
from worldsim_benchmarks.probes.presence import COLOURED, HUES, pixels, seen_again
from worldsim_benchmarks.truth import Reference, Rollout

LEFT, RIGHT = ("turn_left",) * doom.AWAY, ("turn_right",) * doom.AWAY
CIRCLE = (*("turn_left",) * 26, "turn_right_small")
"""A whole turn, to half a degree."""
SWAY = 7
"""Turns to and fro of a wandering gaze: from 84 degrees off the thing to 182."""
FORTH = 4
"""Steps forth of one who walks off, 2.6 metres, and as many back."""
SETTLE = 8
"""Steps until one who walked stands, within 7 cm."""
RETURNED = 0.15
"""Metres between the places of the look away and of the look back."""
GROWN = 0.15
"""Least log of the scale by which the picture must grow in the truth where one walks off: a step can be seen at all."""
FAR = 10
"""Pixels (of 64 rows) to each side in which a thing is searched, for its position error."""
EVERY = 2 + len(HUES)
"""Checks of a thing: it is there, in no other hue, and not at the mirrored place too."""
BACKGROUND = 200
"""Coloured pixels beside the thing from which on its surroundings are asked about."""


@dataclass(frozen=True)
class Away:
    """A way to be away for some steps: ``names`` are all actions from the look away to the look back, ``walk`` the
    steps from and to which one walks forward, and ``unseen`` whether the thing is out of view all the time."""

    names: tuple[str, ...]
    walk: tuple[int, int] | None = None
    unseen: bool = True


def still(steps: int) -> Away:
    """The gaze stands."""
    return Away((*LEFT, *("noop",) * steps, *RIGHT))


def sway(steps: int) -> Away:
    """The gaze wanders behind one's back."""
    wide = min(SWAY, steps // 2)
    round_trip = (*("turn_left",) * wide, *("turn_right",) * wide)
    trips = round_trip * (steps // len(round_trip))
    return Away((*LEFT, *trips, *("noop",) * (steps - len(trips)), *RIGHT))


def walk(steps: int) -> Away:
    """One walks a quarter of the steps, at most ``FORTH``, forth, as many back, and stands for the rest."""
    forth = min(FORTH, steps // 4)
    there = (*("forward",) * forth, *("backward",) * forth)
    names = (*LEFT, *there, *("noop",) * (steps - len(there)), *RIGHT)
    return Away(names, (doom.AWAY, doom.AWAY + forth))


def circle(steps: int) -> Away:
    """One turns round and round."""
    return Away(CIRCLE * (steps // len(CIRCLE)), unseen=False)


def tour(steps: int) -> Away:
    """One walks off, looks all round there, walks back, and stands for the rest."""
    there = (*("forward",) * FORTH, *("noop",) * SETTLE, *CIRCLE, *("backward",) * FORTH)
    names = (*LEFT, *there, *("noop",) * (steps - len(there)), *RIGHT)
    return Away(names, (doom.AWAY, doom.AWAY + FORTH), unseen=False)


WAYS: Mapping[str, tuple[Callable[[int], Away], tuple[int, ...], str]] = {
    "still": (still, (1, 2, 4, 8, 16, 32, 64, 128), "out of sight"),
    "sway": (sway, (32, 128), "of a wandering gaze"),
    "walk": (walk, (8, 16, 32, 64), "with a walk away and back"),
    "circle": (circle, (27, 108), "of turning round and round"),
    "tour": (tour, (64,), "with a walk, a look all round there, and the way back"),
}
"""Way -> how it is made, for how many steps it is asked, and what the steps are."""


THOROUGH, BETWEEN, LONG = ("sway",), (2, 4, 8), 32
"""Ways that quick runs leave out, steps that they leave out (``look_away`` of permanence asks them, but for the walk),
and steps beyond which they do not wait."""


def recall(stage: Reference, map_seed: int, away: Away) -> Plan | None:
    """A look away from a thing and back to it on that map; None where it cannot be asked there."""
    at = len(doom.CONTEXT)
    for number, take in doom.left_and_seen(stage, map_seed, away.names, _on_the_way(away)):
        end = len(take.names)
        hidden = range(at + doom.AWAY, end - doom.AWAY + 1) if away.unseen else (at + doom.AWAY,)
        if any(pixels(take, step, number).any() for step in hidden) or doom.apart(take, at, take, end) > RETURNED:
            continue
        checks = seen_again(take, len(away.names), [number])
        if len(checks) == EVERY:
            read = reader(take.frame(end), take.labels(end), checks)
            return Plan(
                take, take, (), checks, (checks[0],), turn=(0, doom.AWAY), beside=False, walk=away.walk, read=read
            )
    return None


def _on_the_way(away: Away) -> tuple[int, Callable[[Rollout, int], bool]]:
    """When it is known that a take will not do, and how. One who walks must see it, by the end of the walk; one who
    stands sees at the end what was seen before."""
    if away.walk is not None:
        at, walk = len(doom.CONTEXT), away.walk
        return walk[1], lambda take, number: not pixels(take, at + doom.AWAY, number).any() and _grows(take, at, walk)
    return 0, lambda take, number: len(seen_again(take, 0, [number])) == EVERY


def _grows(take: Rollout, at: int, steps: tuple[int, int]) -> bool:
    """Whether the picture visibly grows where one walks forward."""
    frames = [take.frame(at + step) for step in range(steps[0], steps[1] + 1)]
    return growth(frames, np.asarray(take.truths[0]["camera"]["K"]), bottom=3) >= GROWN


def reader(truth: np.ndarray, labels: np.ndarray, checks: Sequence[Check]) -> Callable[[np.ndarray], dict[str, object]]:
    """What is read off the last picture, at the look back, beside the criterion: ``hit`` and ``false_alarm`` (0 or 1),
    the ``offset`` in pixels of where the thing is found, and how much of the coloured ``background`` is nearer to its
    own hue than to others (NaN without any)."""
    there, double = checks[0], checks[-1]
    around = (labels == 0) & ~grown(there.mask, 3)
    around &= truth.max(-1).astype(int) - truth.min(-1) >= 255 * COLOURED
    around[-3:] = False  # a status bar
    hues = [recoloured(truth, around, degrees) for degrees in HUES]

    def read(blocks: np.ndarray) -> dict[str, object]:
        frame = blocks[-1, -1]
        met = registered(frame, truth, ~grown(there.mask, 3))
        enough = around.sum() >= BACKGROUND
        return {
            "hit": float(all(check.holds(met, True) for check in checks[:-1])),
            "false_alarm": float(not double.holds(met, True)),
            "offset": offset(frame, truth, there.mask),
            "background": min(nearer(met, truth, hue, around) for hue in hues) if enough else float("nan"),
        }

    return read


def offset(frame: np.ndarray, truth: np.ndarray, mask: np.ndarray) -> float:
    """Pixels from where the thing on ``mask`` is in ``truth`` to where its like is found in ``frame``, which is
    searched ``FAR`` pixels far to each side (as far as the picture goes)."""
    rows, columns = np.nonzero(mask)
    sides = np.arange(-FAR, FAR + 1)
    down, right = (m.ravel()[:, None] for m in np.meshgrid(sides, sides, indexing="ij"))
    found = frame[np.clip(rows + down, 0, frame.shape[0] - 1), np.clip(columns + right, 0, frame.shape[1] - 1)]
    gaps = np.linalg.norm(found.astype(np.float32) - truth[mask].astype(np.float32), axis=-1).mean(1)
    lengths = np.hypot(right, down).ravel()
    return float(lengths[np.lexsort((lengths, gaps))[0]])


def recall_after(name: str, steps: int) -> Deed:
    """The look away of that way and length as a deed."""
    make, _, what = WAYS[name]
    away = make(steps)
    return Deed(
        f"{name}_{steps}", doom.WORLD,
        f"after {steps} steps {what} the thing is at its place, in its colour, and not at the mirrored place too",
        tuple(dict.fromkeys(away.names)), lambda stage, seed: recall(stage, seed, away),
        thorough=name in THOROUGH or steps in BETWEEN or steps > LONG,
    )  # fmt: skip


RECALLS = tuple(recall_after(name, steps) for name, (_, counts, _) in WAYS.items() for steps in counts)
