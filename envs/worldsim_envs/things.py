"""Things as captions count them: what a map holds, and what is seen at one moment and on which side."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from worldsim.captions.facts import Thing
from worldsim.captions.lexicon import MAX_COUNT


@dataclass(frozen=True)
class Sighting:
    """One thing in sight; ``across`` is its place in the picture, 0 (left) to 1; ``near`` is None if unknown."""

    shape: str
    colour: str
    across: float
    near: bool | None = None

    @property
    def side(self) -> str:
        """The third of the picture."""
        return "left" if self.across < 1 / 3 else "right" if self.across > 2 / 3 else "ahead"


def inventory(kinds: Iterable[tuple[str, str]]) -> tuple[Thing, ...]:
    """Things of (shape, colour), equal ones counted, in order of first mention."""
    return tuple(Thing(shape, colour, count) for (shape, colour), count in Counter(kinds).items())


def seen_things(sightings: Iterable[Sighting]) -> tuple[Thing, ...]:
    """Things in order of first mention, equal ones counted: with a side where all are on one, and near if any is."""
    kinds: dict[tuple[str, str], list[Sighting]] = {}
    for sighting in sightings:
        kinds.setdefault((sighting.shape, sighting.colour), []).append(sighting)
    things = []
    for (shape, colour), group in kinds.items():
        sides = {sighting.side for sighting in group}
        near = None if group[0].near is None else any(sighting.near for sighting in group)
        things.append(Thing(shape, colour, min(len(group), MAX_COUNT), sides.pop() if len(sides) == 1 else "", near))
    return tuple(things)
