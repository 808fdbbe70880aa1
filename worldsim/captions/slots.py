"""What a captioner can say, as slots that hold one of a few values each: facts to numbers, and back.

A classifier needs a closed list of answers. It is read off the facts of the training data: which worlds there are,
which colours walls have, which kinds of things are seen, which events happen. The list is kept with the weights, so a
captioner says only what it was taught. Each slot's value 0 is "nothing": how a captioner is silent about what it does
not see.

Three families of slots: *choices* (world, setting, colours and patterns of surfaces, light) hold one word; *kinds*
(red ball; red door) hold a count, a place and a distance; *events* happen or do not.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from worldsim.captions import lexicon as lex
from worldsim.captions.facts import EventFact, SceneFacts, Surface, Thing, ViewFacts
from worldsim.captions.styles import stated_events

# N moments, S choices, K kinds, E events, V values of the largest choice

Facts = tuple[SceneFacts, ViewFacts, tuple[EventFact, ...]]

CHOICES: tuple[str, ...] = (
    "world", "setting", "wall colour", "wall pattern", "floor colour", "floor pattern", "ceiling colour",
    "ceiling pattern", "light",
)  # fmt: skip
MOST = 12
"""Largest count of a kind; more are counted as so many."""
PLACES: tuple[str, ...] = ("", *lex.PLACES)
DISTANCES: tuple[bool | None, ...] = (None, *lex.DISTANCES)
DOOR = "door"
"""The shape that doors have among the kinds: captions speak of them apart from things."""
SEPARATOR = "|"


@dataclass(frozen=True)
class Answers:
    """Values of the slots in N moments: ``choices`` int64 ``(N, S)``; ``counts``, ``places`` and ``distances`` int64
    ``(N, K)``, the latter 0 where a count is 0; ``events`` bool ``(N, E)``."""

    choices: np.ndarray
    counts: np.ndarray
    places: np.ndarray
    distances: np.ndarray
    events: np.ndarray

    def __getitem__(self, rows: np.ndarray | slice) -> Answers:
        parts = (self.choices, self.counts, self.places, self.distances, self.events)
        return Answers(*(part[rows] for part in parts))

    def __len__(self) -> int:
        return len(self.choices)

    def silenced(self, known: np.ndarray) -> Answers:
        """The same with nothing said of moments where ``known (N,)`` is false."""
        kept = known[:, None]
        return Answers(
            self.choices * kept, self.counts * kept, self.places * kept, self.distances * kept, self.events & kept
        )


@dataclass(frozen=True)
class Slots:
    """The closed lists: ``choices`` of "slot|value", ``kinds`` of "colour|shape", ``events`` of "kind|colour|shape", in
    an order that weights depend on; ``palettes`` are the worlds whose scenes name the walls of their maps.

    Raises ``ValueError`` for an entry of another form.
    """

    choices: tuple[str, ...]
    kinds: tuple[str, ...]
    events: tuple[str, ...]
    palettes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for name, parts in (("choices", 2), ("kinds", 2), ("events", 3)):
            for entry in getattr(self, name):
                if not isinstance(entry, str) or len(entry.split(SEPARATOR)) != parts:
                    raise ValueError(f"{name} holds {entry!r}; expected {parts} words with {SEPARATOR} between them")
        unknown = {entry.split(SEPARATOR)[0] for entry in self.choices} - set(CHOICES)
        if unknown:
            raise ValueError(f"choices name the slots {sorted(unknown)}; accepted are {', '.join(CHOICES)}")

    @classmethod
    def of(cls, facts: Iterable[Facts], at_least: int = 1) -> Slots:
        """The slots that ``facts`` need, without what occurs in fewer than ``at_least`` of them."""
        seen: Counter[tuple[str, str]] = Counter()
        palettes = set()
        for scene, view, events in facts:
            if scene.walls:
                palettes.add(scene.world)
            words = _words(scene, view)
            seen.update(("choices", f"{slot}{SEPARATOR}{word}") for slot, word in zip(CHOICES, words) if word)
            seen.update(("kinds", SEPARATOR.join(kind)) for kind in _kinds(view))
            seen.update(("events", name) for name in _events(events))
        lists: dict[str, list[str]] = {"choices": [], "kinds": [], "events": []}
        for (family, entry), count in sorted(seen.items()):
            if count >= at_least:
                lists[family].append(entry)
        return cls(**{family: tuple(entries) for family, entries in lists.items()}, palettes=tuple(sorted(palettes)))

    @cached_property
    def values(self) -> tuple[tuple[str, ...], ...]:
        """Words of each of ``CHOICES``, "" first."""
        entries = [entry.split(SEPARATOR) for entry in self.choices]
        return tuple(("", *(word for slot, word in entries if slot == name)) for name in CHOICES)

    @cached_property
    def kind_names(self) -> tuple[tuple[str, str], ...]:
        """(colour, shape) of each kind."""
        return tuple((colour, shape) for colour, shape in (entry.split(SEPARATOR) for entry in self.kinds))

    @cached_property
    def event_facts(self) -> tuple[EventFact, ...]:
        named = (entry.split(SEPARATOR) for entry in self.events)
        return tuple(EventFact(kind, colour, shape) for kind, colour, shape in named)

    def answers(self, facts: Sequence[Facts]) -> Answers:
        """The values that ``facts`` have; a word that no slot knows is "nothing"."""
        n, kinds = len(facts), {name: i for i, name in enumerate(self.kind_names)}
        events = {name: i for i, name in enumerate(self.events)}
        values = [{word: i for i, word in enumerate(words)} for words in self.values]
        counts, places, distances = (np.zeros((n, len(self.kinds)), np.int64) for _ in range(3))
        found = Answers(
            np.zeros((n, len(CHOICES)), np.int64), counts, places, distances, np.zeros((n, len(self.events)), bool)
        )
        for row, (scene, view, happened) in enumerate(facts):
            found.choices[row] = [known.get(word, 0) for known, word in zip(values, _words(scene, view))]
            for name, (count, place, near) in _kinds(view).items():
                if name in kinds:
                    at = row, kinds[name]
                    found.counts[at] = min(count, MOST)
                    found.places[at], found.distances[at] = PLACES.index(place), DISTANCES.index(near)
            found.events[row, [events[name] for name in _events(happened) if name in events]] = True
        return found

    def facts(self, answers: Answers, row: int, sure: np.ndarray | None = None) -> Facts:
        """The facts of moment ``row``. ``sure (K,)`` orders things, the surest first: captions cut from the end."""
        word = {slot: words[answers.choices[row, i]] for i, (slot, words) in enumerate(zip(CHOICES, self.values))}
        seen = np.flatnonzero(answers.counts[row])
        if sure is not None:
            seen = seen[np.argsort(-sure[seen], kind="stable")]
        doors: list[str] = []
        things = []
        for kind in seen:
            (colour, shape), count = self.kind_names[kind], int(answers.counts[row, kind])
            if shape == DOOR:
                doors += [colour] * count
                continue
            place, near = PLACES[answers.places[row, kind]], DISTANCES[answers.distances[row, kind]]
            things.append(Thing(shape, colour, count, place, near))
        wall, floor, ceiling = (
            Surface(word[f"{name} colour"], word[f"{name} pattern"]) for name in ("wall", "floor", "ceiling")
        )
        view = ViewFacts(wall, floor, ceiling, word["light"], tuple(doors), tuple(things))
        events = tuple(self.event_facts[i] for i in np.flatnonzero(answers.events[row]))
        return SceneFacts(word["world"], word["setting"]), view, events


def mirrored(answers: Answers) -> Answers:
    """The answers to the same moments seen in a mirror: left is right."""
    swap = np.array([PLACES.index({"left": "right", "right": "left"}.get(place, place)) for place in PLACES])
    return replace(answers, places=swap[answers.places])


def _words(scene: SceneFacts, view: ViewFacts) -> list[str]:
    """The word of each of ``CHOICES``, by its canonical name."""
    words = [scene.world, lex.known("setting", scene.setting)]
    for surface in (view.wall, view.floor, view.ceiling):
        words += [lex.known("colour", surface.colour), lex.known("pattern", surface.pattern)]
    return [*words, lex.known("light", view.light)]


def _kinds(view: ViewFacts) -> dict[tuple[str, str], tuple[int, str, bool | None]]:
    """Count, place and distance of each kind in sight, which several groups of things share as one."""
    found: dict[tuple[str, str], tuple[int, str, bool | None]] = {}
    for colour, count in Counter(view.doors).items():
        found[lex.known("colour", colour), DOOR] = (count, "", None)
    for thing in view.things:
        name = (lex.known("colour", thing.colour), lex.known("shape", thing.shape))
        count, place, near = thing.count, lex.known("place", thing.place), thing.near
        if name in found:
            before = found[name]
            place = place if place == before[1] else ""
            count, near = count + before[0], near if near == before[2] else near or before[2]
        found[name] = (count, place, near)
    return found


def _events(events: Sequence[EventFact]) -> list[str]:
    """The entries of what captions say of ``events``."""
    return [SEPARATOR.join((event.kind, event.colour, event.shape)) for event in stated_events(events, "descriptive")]
