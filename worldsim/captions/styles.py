"""Says which facts a caption of each style states.

Following DALL-E 3 and Sora, the same moment is captioned at several lengths, since users write short prompts:
short captions state few facts, descriptive ones all, up to a bound that keeps every caption below the limit
of the text encoder. A caption states exactly these facts, by their canonical names, so they are also what a
parser must get back.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from worldsim.captions import lexicon as lex
from worldsim.captions.facts import CUT, EVENT_KINDS, EventFact, SceneFacts, Surface, Thing, ViewFacts
from worldsim.worlds import WORLDS

STYLES: tuple[str, ...] = ("short", "medium", "descriptive")
MAX_PALETTE = {"short": 0, "medium": 3, "descriptive": 3}
MAX_MAP_THINGS = {"short": 0, "medium": 0, "descriptive": 4}
MAX_SEEN_THINGS = {"short": 1, "medium": 2, "descriptive": 3}
MAX_DOORS = 2  # groups of doors of one colour in a view
MAX_EVENTS = 4


def check_style(style: str) -> None:
    """Raises ``ValueError`` where ``style`` is none of ``STYLES``."""
    if style not in STYLES:
        raise ValueError(f"caption style {style!r} is unknown; accepted are {', '.join(STYLES)}")


def _merged(things: Sequence[Thing]) -> tuple[Thing, ...]:
    """Canonical names, equal things counted together, in order of first mention."""
    counts: Counter[Thing] = Counter()
    for thing in things:
        if not 1 <= thing.count <= lex.MAX_COUNT:
            raise ValueError(f"a thing's count must be 1 to {lex.MAX_COUNT}, got {thing}")
        if not thing.shape:
            raise ValueError(f"a thing needs a shape, got {thing}")
        name = Thing(
            lex.known("shape", thing.shape), lex.known("colour", thing.colour), 1,
            lex.known("place", thing.place), None if thing.near is None else bool(thing.near),
        )  # fmt: skip
        counts[name] += thing.count
    return tuple(replace(thing, count=min(count, lex.MAX_COUNT)) for thing, count in counts.items())


def _named(surface: Surface) -> Surface:
    return Surface(lex.known("colour", surface.colour), lex.known("pattern", surface.pattern))


def stated_scene(facts: SceneFacts, style: str) -> SceneFacts:
    """The facts that a scene caption of ``style`` states, by their canonical names.

    Short: the setting, which is the world's default prompt where none is given. Medium: also the number of
    rooms and up to three wall surfaces. Descriptive: also up to four kinds of things in the map, without
    their places. Raises ``ValueError`` for an unknown style or word.
    """
    check_style(style)
    if not 0 <= facts.rooms <= lex.MAX_COUNT:
        raise ValueError(f"the number of rooms must be 0 (not known) to {lex.MAX_COUNT}, got {facts.rooms}")
    walls = tuple(dict.fromkeys(_named(wall) for wall in facts.walls if wall != Surface()))
    things = _merged([replace(thing, place="", near=None) for thing in facts.things])
    setting = facts.setting or (WORLDS[facts.world].prompt if facts.world in WORLDS else "")
    return SceneFacts(
        world=facts.world,
        setting=lex.known("setting", setting),
        rooms=0 if style == "short" else facts.rooms,
        walls=walls[: MAX_PALETTE[style]],
        things=things[: MAX_MAP_THINGS[style]],
    )


def stated_view(facts: ViewFacts, style: str) -> ViewFacts:
    """The facts that a view caption of ``style`` states, by their canonical names.

    Short: wall and floor colour (their pattern too where no colour is known) and one thing without its place.
    Medium: wall, floor, light and up to two things with place. Descriptive: everything, up to two colours of
    doors and three kinds of things. Raises ``ValueError`` for an unknown style or word.
    """
    check_style(style)
    wall, floor, ceiling = _named(facts.wall), _named(facts.floor), _named(facts.ceiling)
    light = lex.known("light", facts.light)
    groups = Counter(lex.known("colour", colour) for colour in facts.doors)
    doors = tuple(colour for colour, count in list(groups.items())[:MAX_DOORS] for _ in range(count))
    if style == "descriptive":
        return ViewFacts(wall, floor, ceiling, light, doors, _merged(facts.things)[: MAX_SEEN_THINGS[style]])
    if style == "medium":
        things = _merged([replace(thing, near=None) for thing in facts.things])
        return ViewFacts(wall, floor, light=light, things=things[: MAX_SEEN_THINGS[style]])
    things = _merged([replace(thing, near=None, place="") for thing in facts.things])
    return ViewFacts(_brief(wall), _brief(floor), things=things[: MAX_SEEN_THINGS[style]])


def _brief(surface: Surface) -> Surface:
    return Surface(surface.colour) if surface.colour else surface


def stated_events(events: Sequence[EventFact], style: str) -> tuple[EventFact, ...]:
    """The events that an event caption states (equal in all styles): the first four, without repetitions."""
    check_style(style)
    unknown = [event.kind for event in events if event.kind not in (*EVENT_KINDS, CUT)]
    if unknown:
        raise ValueError(f"event kind {unknown[0]!r} is unknown; accepted are {', '.join(EVENT_KINDS)}")
    named = (
        EventFact(
            event.kind,
            lex.known("colour", event.colour),
            "" if event.kind.startswith("door_") or event.shape == "thing" else lex.known("shape", event.shape),
        )
        for event in events
    )
    return tuple(dict.fromkeys(named))[:MAX_EVENTS]
