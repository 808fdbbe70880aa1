"""Words facts: one canonical caption, and many paraphrases of it.

Each part of the text (scene, view, event) is worded from typed facts in one of three styles. ``stated_scene`` and
``stated_view`` say which facts a style states (short ones few, descriptive ones all, up to a bound that keeps every
caption below the text encoder's limit), and the caption says these and nothing else, so that the parser of
``worldsim.captions.parse`` gets exactly them back. With a generator the wording, the order and the sentence structure
vary: a text encoder that is trained from scratch must not depend on one phrasing. Following DALL-E 3 and Sora, the
same facts are captioned at several lengths, since users write short prompts.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TypeVar

import numpy as np

from worldsim.captions import lexicon as lex
from worldsim.captions.facts import EVENT_KINDS, EventFact, SceneFacts, Surface, Thing, ViewFacts
from worldsim.worlds import WorldSpec

T = TypeVar("T")

STYLES: tuple[str, ...] = ("short", "medium", "descriptive")
MAX_PALETTE = {"short": 0, "medium": 3, "descriptive": 3}
MAX_MAP_THINGS = {"short": 0, "medium": 0, "descriptive": 5}
MAX_SEEN_THINGS = {"short": 1, "medium": 2, "descriptive": 3}
MAX_DOORS = 2  # groups of doors of one colour in a view
MAX_EVENTS = 4


class _Wording:
    """Choices of a caption: the first option without a generator, a random one with it."""

    def __init__(self, rng: np.random.Generator | None) -> None:
        self.rng = rng

    def pick(self, options: Sequence[T]) -> T:
        return options[0] if self.rng is None else options[int(self.rng.integers(len(options)))]

    def rarely(self, usual: T, options: Sequence[T]) -> T:
        """``usual``, or in one of four paraphrases one of ``options``."""
        return self.pick(options) if self.rng is not None and self.rng.random() < 0.25 else usual

    def order(self, items: Sequence[T]) -> list[T]:
        return list(items) if self.rng is None else [items[i] for i in self.rng.permutation(len(items))]

    def join(self, items: Sequence[str]) -> str:
        """ "a, b and c", or "a, b, c"."""
        if len(items) < 2:
            return "".join(items)
        return ", ".join(items[:-1]) + self.pick((" and ", ", ", " and ")) + items[-1]

    def colour(self, colour: str) -> str:
        return self.rarely(colour, lex.COLOURS[colour]) if colour else ""

    def surface(self, surface: Surface) -> str:
        """ "red brick", as adjectives."""
        pattern = surface.pattern
        canonical = lex.PATTERNS[pattern][0] if pattern else ""
        adjective = self.rarely(canonical, lex.WRITTEN_PATTERNS.get(pattern, (canonical,)))
        return f"{self.colour(surface.colour)} {adjective}".strip()

    def noun(self, shape: str, count: int) -> str:
        canonical = lex.SHAPES[shape][0]
        singular = self.rarely(canonical, lex.WRITTEN_SHAPES.get(shape, (canonical,)))
        return singular if count == 1 else lex.plural(singular)

    def counted(self, count: int, phrase: str) -> str:
        """ "an orange ball", "two red balls"."""
        if count > 1:
            return f"{lex.number(count)} {phrase}"
        return f"{self.rarely(_article(phrase), ('one',))} {phrase}"

    def thing(self, thing: Thing) -> str:
        """ "two green balls nearby on the left"."""
        phrase = f"{self.colour(thing.colour)} {self.noun(thing.shape, thing.count)}".strip()
        where = [] if thing.near is None else [self.pick(lex.WRITTEN_DISTANCES[thing.near])]
        where += [self.pick(lex.WRITTEN_PLACES[thing.place])] if thing.place else []
        return " ".join([self.counted(thing.count, phrase), *self.order(where)])


def _article(phrase: str) -> str:
    return "an" if phrase[0] in "aeiou" else "a"


def check_style(style: str) -> None:
    """Raises ``ValueError`` where ``style`` is none of ``STYLES``."""
    if style not in STYLES:
        raise ValueError(f"caption style {style!r} is unknown; accepted are {', '.join(STYLES)}")


def _merged(things: Sequence[Thing]) -> tuple[Thing, ...]:
    """Canonical names, equal things counted together, in order of first mention."""
    counts: Counter[Thing] = Counter()
    for thing in things:
        if thing.count < 1:
            raise ValueError(f"a thing's count must be 1 or more, got {thing}")
        if not thing.shape:
            raise ValueError(f"a thing needs a shape, got {thing}")
        name = Thing(
            lex.known("shape", thing.shape), lex.known("colour", thing.colour), 1,
            lex.known("place", thing.place), None if thing.near is None else bool(thing.near),
        )  # fmt: skip
        counts[name] += thing.count
    return tuple(replace(thing, count=count) for thing, count in counts.items())


def _named(surface: Surface) -> Surface:
    return Surface(lex.known("colour", surface.colour), lex.known("pattern", surface.pattern))


def stated_scene(facts: SceneFacts, style: str) -> SceneFacts:
    """The facts that a scene caption of ``style`` states, by their canonical names.

    Short: the setting. Medium: also the number of rooms and up to three wall surfaces. Descriptive: also up to five
    kinds of things in the map, without their places. Raises ``ValueError`` for an unknown style or word.
    """
    check_style(style)
    if facts.rooms < 0:
        raise ValueError(f"the number of rooms must be 0 (not known) or more, got {facts.rooms}")
    walls = tuple(dict.fromkeys(_named(wall) for wall in facts.walls if wall != Surface()))
    things = _merged([replace(thing, place="", near=None) for thing in facts.things])
    return SceneFacts(
        world=facts.world,
        setting=lex.known("setting", facts.setting),
        rooms=0 if style == "short" else facts.rooms,
        walls=walls[: MAX_PALETTE[style]],
        things=things[: MAX_MAP_THINGS[style]],
    )


def stated_view(facts: ViewFacts, style: str) -> ViewFacts:
    """The facts that a view caption of ``style`` states, by their canonical names.

    Short: wall and floor colour (their pattern too where no colour is known) and one thing without its place. Medium:
    wall, floor, light and up to two things with place. Descriptive: everything, up to two colours of doors and three
    kinds of things. Raises ``ValueError`` for an unknown style or word.
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
    unknown = [event.kind for event in events if event.kind not in EVENT_KINDS]
    if unknown:
        raise ValueError(f"event kind {unknown[0]!r} is unknown; accepted are {', '.join(EVENT_KINDS)}")
    named = (
        EventFact(
            event.kind,
            lex.known("colour", event.colour),
            "" if event.kind.startswith("door_") else lex.known("shape", event.shape),
        )
        for event in events
    )
    return tuple(dict.fromkeys(named))[:MAX_EVENTS]


def scene_caption(facts: SceneFacts, style: str, rng: np.random.Generator | None = None) -> str:
    """Scene text without the world's name, at most 50 tokens; ``prompt_text`` prefixes the name."""
    stated, words = stated_scene(facts, style), _Wording(rng)
    sentences = [words.pick(lex.SETTINGS[stated.setting])] if stated.setting else []
    if stated.rooms:
        rooms = f"{lex.number(stated.rooms)} {'room' if stated.rooms == 1 else 'rooms'}"
        sentences.append(words.pick(("{}", "there are {}", "the map has {}")).format(rooms))
    if stated.walls:
        palette = words.join([words.surface(wall) for wall in words.order(stated.walls)])
        template = words.pick(
            (
                "the map has {} walls",
                "{} walls throughout",
                "all over the map are {} walls",
                "throughout, {} walls",
            )
        )
        sentences.append(template.format(palette))
    if stated.things:
        listed = words.join([words.thing(thing) for thing in words.order(stated.things)])
        template = words.pick(
            (
                "the map holds {}",
                "somewhere in the map: {}",
                "hidden in the map: {}",
                "{} somewhere in the map",
            )
        )
        sentences.append(template.format(listed))
    return ". ".join(sentences[:1] + words.order(sentences[1:]))


def view_caption(facts: ViewFacts, style: str, rng: np.random.Generator | None = None) -> str:
    """View text, at most 60 tokens; "" where nothing is known."""
    stated, words = stated_view(facts, style), _Wording(rng)
    room: list[str] = []
    if stated.wall != Surface():
        room.append(_wall(stated.wall, words))
    for name, surface in (("floor", stated.floor), ("ceiling", stated.ceiling)):
        if surface != Surface():
            adjectives = words.surface(surface)
            room.append(
                words.pick((f"{_article(adjectives)} {adjectives} {name}", f"the {name} is {adjectives}"))
            )
    room = words.order(room)
    if stated.light:
        light = words.rarely(stated.light, lex.LIGHTS[stated.light][:3])
        room.append(words.pick((f"{stated.light} light", f"it is {light}", f"{light}")))
    groups = Counter(stated.doors)
    seen = [
        words.counted(n, f"{words.colour(c)} {'door' if n == 1 else 'doors'}".strip())
        for c, n in groups.items()
    ]
    seen = words.order([*seen, *(words.thing(thing) for thing in stated.things)])
    sentences = [words.join(room)] if room else []
    if seen:
        sentences.append(words.pick(("{}", "{}", "you see {}", "in sight: {}")).format(words.join(seen)))
    return words.pick((", ", ". ")).join(words.order(sentences))


def _wall(wall: Surface, words: _Wording) -> str:
    adjectives = words.surface(wall)
    options = [f"{adjectives} walls", f"the walls are {adjectives}", f"{adjectives} walls"]
    if wall.pattern in lex.PATTERN_NOUNS:
        options.append(
            f"walls of {words.colour(wall.colour)} {lex.PATTERN_NOUNS[wall.pattern]}".replace("  ", " ")
        )
    return words.pick(options)


EVENT_WORDS: dict[str, tuple[str, ...]] = {
    "door_opens": ("{a} opens", "{a} slides open", "{a} is opening"),
    "door_closes": ("{a} closes", "{a} slides shut", "{a} is closing"),
    "pick_up": ("you pick up {a}", "{a} is picked up", "you collect {a}", "you take {a}"),
    "push": ("you push {a}", "{a} is pushed", "you shove {a}"),
    "shoot": ("you shoot at {a}", "you fire at {a}"),
    "hit": ("you hit {a}", "{a} is hit"),
    "destroy": ("{a} is destroyed", "you destroy {a}", "{a} breaks apart"),
    "damage": ("you are hurt by {a}", "you take damage from {a}"),
    "heal": ("you are healed by {a}", "you regain health from {a}"),
    "death": ("you are killed by {a}", "you die from {a}"),
    "goal": ("you reach the goal with {a}", "the goal is reached with {a}"),
}
"""Wordings with an object; ``{a}`` is a noun phrase."""

BARE_EVENT_WORDS: dict[str, tuple[str, ...]] = {
    "pick_up": ("you pick something up", "something is picked up"),
    "push": ("you push something", "something is pushed"),
    "shoot": ("you shoot", "you fire"),
    "hit": ("you hit something", "something is hit"),
    "destroy": ("something is destroyed", "something breaks apart"),
    "damage": ("you are hurt", "you take damage", "you lose health"),
    "heal": ("you are healed", "you regain health"),
    "death": ("you die", "you are killed"),
    "goal": ("you reach the goal", "the goal is reached"),
}
"""Wordings of events without an object."""


def event_caption(events: Sequence[EventFact], style: str, rng: np.random.Generator | None = None) -> str:
    """Event text, at most 60 tokens; "" for no events."""
    words = _Wording(rng)
    return words.pick((". ", "; ", ", then ")).join(_event(e, words) for e in stated_events(events, style))


def _event(event: EventFact, words: _Wording) -> str:
    if not event.colour and not event.shape and event.kind in BARE_EVENT_WORDS:
        return words.pick(BARE_EVENT_WORDS[event.kind])
    if event.kind.startswith("door_"):
        noun = "door"
    else:
        noun = words.noun(event.shape, 1) if event.shape else "thing"
    phrase = f"{words.colour(event.colour)} {noun}".strip()
    article: Callable[[str], str] = words.pick((_article, lambda _: "the"))
    return words.pick(EVENT_WORDS[event.kind]).format(a=f"{article(phrase)} {phrase}")


def prompt_text(world: WorldSpec, scene: str) -> str:
    """The scene part as the model reads it: the world's title, then the scene text ("Doom rooms: a maze ...")."""
    return f"{world.title}: {scene}" if scene else world.title
