"""Facts as single statements, which can be counted as right, wrong or missing.

A captioner is as good as what it says is true and what is true it says: the F1 score over statements, the harmonic mean
of precision and recall. A record of facts is taken apart so that each word of a caption that could be wrong by itself
is one statement: "two red balls on the left" says that there are red balls, that they are two, and that they are on the
left. What a record leaves open ("" or None) is no statement.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from worldsim.captions import lexicon as lex
from worldsim.captions.facts import EventFact, SceneFacts, Surface, ViewFacts
from worldsim.captions.styles import stated_events

Statement = tuple[str, ...]
"""The group that it is of, one of ``GROUPS``, then what is said."""

GROUPS: tuple[str, ...] = (
    "world", "setting", "wall", "floor", "ceiling", "light", "door", "thing", "count", "place", "near", "event",
)  # fmt: skip


def statements(scene: SceneFacts, view: ViewFacts, events: Sequence[EventFact] = ()) -> frozenset[Statement]:
    """What the facts of a moment say, by canonical names, as far as a clip of it can show it.

    Of the scene these are its world and setting: rooms, walls and things of the whole map are out of a clip's sight.
    """
    said: set[Statement] = {("world", scene.world), ("setting", lex.known("setting", scene.setting))}
    for name in ("wall", "floor", "ceiling"):
        said |= _of_surface(name, getattr(view, name))
    said.add(("light", lex.known("light", view.light)))
    doors = [lex.known("colour", colour) for colour in view.doors]
    said |= {("door", colour, str(doors.count(colour))) for colour in doors}
    for thing in view.things:
        kind = (lex.known("colour", thing.colour), lex.known("shape", thing.shape))
        said |= {("thing", *kind), ("count", *kind, str(thing.count))}
        if thing.place:
            said.add(("place", *kind, lex.known("place", thing.place)))
        if thing.near is not None:
            said.add(("near", *kind, "near" if thing.near else "far"))
    said |= {("event", e.kind, e.colour, e.shape) for e in stated_events(events, "descriptive")}
    return frozenset(statement for statement in said if any(statement[1:]))


def _of_surface(name: str, surface: Surface) -> set[Statement]:
    colour, pattern = lex.known("colour", surface.colour), lex.known("pattern", surface.pattern)
    return {(name, kind, value) for kind, value in (("colour", colour), ("pattern", pattern)) if value}


@dataclass(frozen=True)
class Score:
    """Statements that were made and true, made and false, and true but not made."""

    right: int = 0
    wrong: int = 0
    missing: int = 0

    @classmethod
    def of(cls, said: Iterable[Statement], true: Iterable[Statement]) -> Score:
        said, true = set(said), set(true)
        return cls(len(said & true), len(said - true), len(true - said))

    def __add__(self, other: Score) -> Score:
        return Score(self.right + other.right, self.wrong + other.wrong, self.missing + other.missing)

    @property
    def precision(self) -> float:
        """Share of what was said that is true; 1 where nothing was said."""
        made = self.right + self.wrong
        return self.right / made if made else 1.0

    @property
    def recall(self) -> float:
        """Share of what is true that was said; 1 where there was nothing to say."""
        true = self.right + self.missing
        return self.right / true if true else 1.0

    @property
    def f1(self) -> float:
        """Harmonic mean of precision and recall; 1 where there was nothing to say and nothing was said."""
        counted = 2 * self.right + self.wrong + self.missing
        return 2 * self.right / counted if counted else 1.0


def scores_by_group(said: Iterable[Statement], true: Iterable[Statement]) -> dict[str, Score]:
    """The score of one moment's statements in every group."""
    said, true = list(said), list(true)
    return {group: Score.of((s for s in said if s[0] == group), (s for s in true if s[0] == group)) for group in GROUPS}
