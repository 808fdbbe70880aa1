"""Starts from text alone: are the named facts found in them, and where they are named?

Each episode has two texts that differ in what is asked, and a candidate draws a start from each with the same noise
(and one from the world's name alone). What is blind to the text draws the same picture twice and fails by construction;
what draws a haze of the right colour fails the gate.
True starts of both kinds are shown beside, from the first maps of the episode's block on which they exist; what the
reader misreads there is not asked of anyone, and how often it does is told by its ratings.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from worldsim_benchmarks.guard import Guarded
from worldsim_benchmarks.offers import TITLES
from worldsim_benchmarks.pictures import Clip
from worldsim_benchmarks.probes.cues import a as article
from worldsim_benchmarks.probes.starts import SIDES, SURFACES, Answer, Reader, Start, read_world, true_starts
from worldsim_benchmarks.suites.session import Session
from worldsim_benchmarks.suites.suite import Result
from worldsim_benchmarks.suites.twins import AT_ONCE, block, nothing
from worldsim_benchmarks.tasks import Episode, Outcome
from worldsim_benchmarks.truth import Reference

ROOMS, HOME, TABLE, SCENE = (f"worldsim/{n}-v0" for n in ("DoomRooms", "DoomMyWayHome", "Table", "Scene"))
VALUES = 4
"""An attribute of fewer colours that can be read is too easily guessed to be asked."""


@dataclass(frozen=True)
class Question:
    """``slots`` are what the two texts differ in: one slot with another colour, or two whose colours are exchanged."""

    name: str
    slots: tuple[str, ...]
    criterion: str
    worlds: tuple[str, ...]


NAMED = "the named colour is found in the start, and not in that of the other text"
BOUND = "both texts, with the two colours exchanged, give their own start"
QUESTIONS = (
    Question("wall", ("wall",), f"walls: {NAMED}", (ROOMS, HOME, TABLE, SCENE)),
    Question("floor", ("floor",), f"floor: {NAMED}", (ROOMS, TABLE, SCENE)),
    Question("thing", ("left",), f"thing on the left: {NAMED}", (TABLE, SCENE)),
    Question("bind_surfaces", SURFACES, f"walls and floor: {BOUND}", (ROOMS, TABLE, SCENE)),
    Question("bind_things", SIDES, f"things left and right: {BOUND}", (TABLE, SCENE)),
)


@dataclass(frozen=True)
class Pair:
    """Two texts, what each start must show, and a true start of each."""

    map_seed: int
    texts: tuple[str, str]
    answers: tuple[Answer, Answer]
    truth: tuple[np.ndarray, np.ndarray]


def wording(wall: str, floor: str, things: Mapping[str, tuple[str, str]]) -> str:
    """ "red walls and a blue floor, a green disc on the left"; ``things`` maps sides to (shape, colour)."""
    named = [f"{article(f'{colour} {shape}')} on the {side}" for side, (shape, colour) in things.items()]
    return ", ".join([f"{wall} walls and {article(floor)} floor", *([" and ".join(named)] if named else [])])


def paired(question: Question, reader: Reader, starts: Iterable[Start]) -> Pair | None:
    """The first two starts that can be asked; None where there are none."""
    seen: list[Start] = []
    for start in starts:
        if start.dark or not (start.wall and start.floor):
            continue
        for one in seen:
            pair = (_exchanged if len(question.slots) == 2 else _differing)(question, reader, one, start)
            if pair is not None and judged("true", reader, pair, [*pair.truth, pair.truth[0]]).correct:
                return pair
        seen.append(start)
    return None


def _options(start: Start, slot: str, reader: Reader) -> list[tuple[str, str]]:
    """(shape, colour) that may be asked of a slot."""
    found = [("", getattr(start, slot))] if slot in SURFACES else start.colours(slot)
    return [(shape, colour) for shape, colour in found if colour in reader.asked[slot]]


def _differing(question: Question, reader: Reader, one: Start, two: Start) -> Pair | None:
    (slot,) = question.slots
    for shape, this in _options(one, slot, reader):
        for _, that in _options(two, slot, reader):
            # told apart in both directions, and nameable before the first one's surfaces
            if this == that or not two.lacks(slot, this) or not one.lacks(slot, that):
                continue
            texts = [
                wording(**{"wall": one.wall, "floor": one.floor, slot: colour}, things={})
                if slot in SURFACES
                else wording(one.wall, one.floor, {slot: (shape, colour)})
                for colour in (this, that)
            ]
            return Pair(one.map_seed, (texts[0], texts[1]), ({slot: this}, {slot: that}), (one.frame, two.frame))
    return None


def _exchanged(question: Question, reader: Reader, one: Start, two: Start) -> Pair | None:
    first, second = question.slots
    for shape, this in _options(one, first, reader):
        for _, that in _options(one, second, reader):
            crossed = (that in {c for _, c in _options(two, first, reader)}) and (
                this in {c for _, c in _options(two, second, reader)}
            )
            if this == that or not crossed or not {this, that} <= {*reader.asked[first]} & {*reader.asked[second]}:
                continue
            if first in SURFACES:
                texts = (wording(this, that, {}), wording(that, this, {}))
            else:
                sides = [{first: (shape, x), second: (shape, y)} for x, y in ((this, that), (that, this))]
                texts = (wording(one.wall, one.floor, sides[0]), wording(one.wall, one.floor, sides[1]))
            answers = ({first: this, second: that}, {first: that, second: this})
            return Pair(one.map_seed, texts, answers, (one.frame, two.frame))
    return None


def judged(
    name: str, reader: Reader, pair: Pair, frames: Sequence[np.ndarray | str], more: Mapping[str, Any] | None = None
) -> Outcome:
    """The outcome of starts from the first text, from the second, and from the world's name alone; a str is the reason
    why there is none. Both starts must have detail (the gate ``continued``). Two of two right is asked of exchanged
    colours, else the first right and not in the second."""
    failed = next((f for f in frames if isinstance(f, str)), "")
    if failed:
        return Outcome(name, False, False, False, failed=failed)
    binds = len(pair.answers[0]) == 2
    pictures = [np.asarray(f) for f in frames]
    shown = [reader.shows(picture, pair.answers[0]) for picture in pictures]
    second = reader.shows(pictures[1], pair.answers[1])
    correct = shown[0] and (second if binds else not shown[1])
    measures = {"map": pair.map_seed, "prompted": shown[0], "swapped": shown[1], "empty": shown[2], "second": second}
    detailed = all(reader.detailed(picture) for picture in pictures[:2])
    return Outcome(name, True, detailed, correct, {**measures, **(more or {})})


def run(
    questions: Sequence[Question], session: Session, guards: Mapping[str, Guarded], missing: Sequence[Episode]
) -> Iterator[Result]:
    """Runs the episodes of these questions, each as soon as its batch is whole."""
    todo = {q.name: [e for e in missing if e.task == q.name] for q in questions}
    if not any(todo.values()):
        return
    with session.reference(depth=False) as reference:
        reader = read_world(reference)
        for index, question in enumerate(questions):
            for guard in guards.values():
                guard.anew()
            if todo[question.name] and len(question.slots) == 1:
                _enough(question, reader, session.world)
            for at in range(0, len(todo[question.name]), AT_ONCE):
                yield from _batch(
                    question, index, session, guards, reader, reference, todo[question.name][at : at + AT_ONCE]
                )


def _enough(question: Question, reader: Reader, world: str) -> None:
    asked = reader.asked[question.slots[0]]
    if len(asked) < VALUES:
        raise RuntimeError(
            f"{world}: only {len(asked)} colours of {question.name} ({', '.join(asked)}) are read well enough on true "
            f"starts; {VALUES} are needed to ask for them"
        )


def _batch(
    question: Question,
    index: int,
    session: Session,
    guards: Mapping[str, Guarded],
    reader: Reader,
    reference: Reference,
    batch: Sequence[Episode],
) -> Iterator[Result]:
    pairs, strangers = [], []
    for episode in batch:
        starts = true_starts(reference, block(episode.map_seed))
        strangers.append(next(starts).frame)
        pair = paired(question, reader, starts)
        if pair is None:
            raise nothing(episode.map_seed, session.world, question.name)
        pairs.append(pair)
    seeds = [session.seed_of(8, index, e.map_seed, e.sample) for e in batch]
    texts = [
        [p.texts[0] for p in pairs],
        [p.texts[1] for p in pairs],
        [TITLES.get(session.world, session.world)] * len(pairs),
    ]
    shape = pairs[0].truth[0].shape
    made = {name: list(zip(*(guard.starts(t, shape, seeds) for t in texts))) for name, guard in guards.items()}
    rating = {slot: list(vars(reader.ratings[slot]).values()) for slot in question.slots}
    for i, (episode, pair) in enumerate(zip(batch, pairs)):
        stranger, grey = strangers[i], np.full(shape, np.uint8(pair.truth[0].mean()))
        outcomes = [judged(name, reader, pair, starts[i]) for name, starts in made.items()]
        outcomes += [
            judged("grey", reader, pair, [grey] * 3),
            judged("other", reader, pair, [stranger] * 3),
            judged("true", reader, pair, [*pair.truth, stranger], {"reader": rating}),
        ]
        coded = _coded(guards, [*pair.truth, stranger])
        if coded is not None:
            outcomes.append(judged("codec", reader, pair, coded))
        first = next((starts[i] for starts in made.values()), None)
        yield Result(episode, tuple(outcomes), _clip(pair, stranger, first))


def _coded(guards: Mapping[str, Guarded], frames: Sequence[np.ndarray]) -> list[np.ndarray] | None:
    """True starts through the first candidate's codec, where it offers one."""
    if not guards:
        return None
    coded = [next(iter(guards.values())).reconstruct(frame[None, None]) for frame in frames]
    return None if any(c is None for c in coded) else [c[0, 0] for c in coded if c is not None]


def _clip(pair: Pair, stranger: np.ndarray, frames: Sequence[np.ndarray | str] | None) -> Clip | None:
    pictures = [f for f in frames or () if not isinstance(f, str)]
    if len(pictures) != 3:
        return None
    label = f"{pair.texts[0]} / {pair.texts[1]} / the world's name alone"
    return Clip(label, True, np.stack([*pair.truth, stranger]), np.stack(pictures), np.full(3, np.nan))
