"""Words facts: one canonical caption, and many paraphrases of it.

Each part of the text (scene, view, event) is worded from the facts that its style states (``styles``), and
says these and nothing else, so that the parser of ``parse`` gets exactly them back. With a generator the
words, their order and the sentence structure vary: a text encoder that is trained from scratch must not
depend on one phrasing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import TypeVar

import numpy as np

from worldsim.captions import lexicon as lex
from worldsim.captions.facts import CUT, EventFact, SceneFacts, Surface, Thing, ViewFacts
from worldsim.captions.styles import stated_events, stated_scene, stated_view
from worldsim.worlds import WorldSpec

T = TypeVar("T")


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


def scene_caption(facts: SceneFacts, style: str, rng: np.random.Generator | None = None) -> str:
    """Scene text without the world's name, at most 50 tokens; ``prompt_text`` prefixes the name."""
    stated, words = stated_scene(facts, style), _Wording(rng)
    sentences = [words.pick(lex.SETTINGS[stated.setting])] if stated.setting else []
    if stated.rooms:
        rooms = f"{lex.number(stated.rooms)} {'room' if stated.rooms == 1 else 'rooms'}"
        there = "there is" if stated.rooms == 1 else "there are"
        sentences.append(words.pick(("", f"{there} ", "the map has ")) + rooms)
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
    """View text, at most 61 tokens; "" where nothing is known."""
    stated, words = stated_view(facts, style), _Wording(rng)
    surfaces = {"wall": stated.wall, "floor": stated.floor, "ceiling": stated.ceiling}
    named = words.order([(name, surface) for name, surface in surfaces.items() if surface != Surface()])
    light = words.rarely(stated.light, lex.LIGHTS[stated.light][:3]) if stated.light else ""
    sentences: list[str] = []
    in_room = words.pick((False, False, True))
    if named and in_room:
        room = words.pick((f"{light} room".strip(), f"you are in a {light} room".replace("  ", " ")))
        room = room if room.startswith("you") else f"{_article(room)} {room}"
        sentences.append(f"{room} with {words.join([_noun_phrase(*item, words) for item in named])}")
    else:
        if named:
            options = [words.pick((_noun_phrase, _noun_phrase, _clause)) for _ in named]
            sentences.append(words.join([word(*item, words) for word, item in zip(options, named)]))
        if light:
            sentences.append(words.pick((f"it is {light}", f"{stated.light} light", light)))
    groups = Counter(stated.doors)
    seen = [
        words.counted(count, f"{words.colour(colour)} {'door' if count == 1 else 'doors'}".strip())
        for colour, count in groups.items()
    ]
    seen = words.order([*seen, *(words.thing(thing) for thing in stated.things)])
    if seen:
        sentences.append(words.pick(("{}", "{}", "you see {}", "in sight: {}")).format(words.join(seen)))
    return words.pick((", ", ". ")).join(words.order(sentences))


def _noun_phrase(name: str, surface: Surface, words: _Wording) -> str:
    """ "red brick walls", "walls of red brick", "a blue floor"."""
    adjectives = words.surface(surface)
    if name != "wall":
        return f"{_article(adjectives)} {adjectives} {name}"
    options = [f"{adjectives} walls", f"{adjectives} walls"]
    if surface.pattern in lex.PATTERN_NOUNS:
        colour = f" {words.colour(surface.colour)}" if surface.colour else ""
        options.append(f"walls of{colour} {lex.PATTERN_NOUNS[surface.pattern]}")
    return words.pick(options)


def _clause(name: str, surface: Surface, words: _Wording) -> str:
    """ "the walls are red brick", "the floor is blue"."""
    return f"the {'walls are' if name == 'wall' else f'{name} is'} {words.surface(surface)}"


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
    "paint": ("you paint {a}", "you draw {a}"),
    "bite": ("you bite {a}", "you take a bite of {a}"),
    "eat": ("you eat {a}", "you eat up {a}"),
    "shatter": ("{a} shatters", "{a} breaks into pieces", "you shatter {a}"),
    "switch_on": ("you turn on {a}", "{a} is switched on"),
    "switch_off": ("you turn off {a}", "{a} is switched off"),
    "plant": ("you plant {a}", "{a} is put into the ground"),
    "sprout": ("{a} sprouts", "{a} is sprouting"),
    "slide": ("you slide {a}", "{a} slides over"),
    "place": ("you place {a}", "you put down {a}"),
    "craft": ("you craft {a}", "you make {a}"),
    "dig": ("you dig {a}", "you dig out {a}", "{a} is dug"),
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
    "paint": ("you paint something", "you draw something"),
    "bite": ("you bite something", "you take a bite of something"),
    "eat": ("you eat something", "you eat something up"),
    "shatter": ("something shatters", "something breaks into pieces"),
    "switch_on": ("you turn something on", "something is switched on"),
    "switch_off": ("you turn something off", "something is switched off"),
    "plant": ("you plant something", "something is put into the ground"),
    "sprout": ("something sprouts", "something is sprouting"),
    "slide": ("you slide something", "something slides over"),
    "place": ("you place something", "you put something down"),
    "craft": ("you craft something", "you make something"),
    "dig": ("you dig something", "you dig something out"),
}
"""Wordings of events without an object."""


CUT_WORDS = "cut to"


def event_caption(events: Sequence[EventFact], style: str, rng: np.random.Generator | None = None) -> str:
    """Event text, at most 60 tokens; "" for no events."""
    words = _Wording(rng)
    return words.pick((". ", "; ", ", then ")).join(_event(e, words) for e in stated_events(events, style))


def happening_caption(
    view: ViewFacts, events: Sequence[EventFact], style: str, rng: np.random.Generator | None = None
) -> str:
    """Event text of a moment that may follow a cut, which is told with the ``view`` that it shows."""
    if all(event.kind != CUT for event in events):
        return event_caption(events, style, rng)
    said = [cut_text(view_caption(view, style, rng)), event_caption([e for e in events if e.kind != CUT], style, rng)]
    return ". ".join(part for part in said if part)


def cut_text(view: str) -> str:
    """Event text of a cut to what ``view`` says ("cut to red walls"), at most 63 tokens."""
    return f"{CUT_WORDS} {view or 'something'}"


def _event(event: EventFact, words: _Wording) -> str:
    if event.kind == CUT:
        return cut_text("")
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
    """The scene part as the model reads it: the world's title, then the scene text ("Doom rooms: a maze
    ...")."""
    return f"{world.title}: {scene}" if scene else world.title


def whole_text(world: WorldSpec, scene: str, view: str = "", event: str = "") -> str:
    """The parts of a text in one line, as a user is shown them ("Doom rooms: a maze .... red walls")."""
    return ". ".join(part for part in (prompt_text(world, scene), view, event) if part)
