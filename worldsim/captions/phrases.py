"""Reads words as items: the longest known phrase at each position becomes one item with a kind and a value.

The table of phrases is built from the lexicon and the grammar's own templates, so that whatever the grammar
writes is read, plus wordings that only people use. What no table knows stays an item of kind ``unknown``.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from string import punctuation
from typing import Any

from worldsim.captions import lexicon as lex
from worldsim.captions.facts import CUT
from worldsim.captions.grammar import BARE_EVENT_WORDS, CUT_WORDS, EVENT_WORDS
from worldsim.captions.vocabulary import split_words

MODIFIERS = frozenset({"colour", "pattern"})
HEADS = frozenset({"surface", "door", "shape", "room"})
BREAKS = frozenset({"and", "comma"})


@dataclass(frozen=True)
class Item:
    """A phrase that was read: its kind, its value, and the text it stands for."""

    kind: str
    value: Any
    text: str


_FILLERS = (
    "a an the this that these it its is are was be being there here with of in on at to from by for into "
    "has have had holds hold contains contain made painted coloured colored built light lights lighting "
    "lit you i we me your my see look looks looking seen sight view visible find found hidden can may "
    "should which where who while as all please show make create give want would like let us scene "
    "picture image video world game something player whose walled pattern patterned texture textured "
    "standing stands lies lie sits colour color also plus very "
)
_ROOMS = "room rooms chamber chambers hall halls hallway hallways corridor corridors"
_MARKS = "map throughout everywhere somewhere"
_SURFACES = {"wall": "wall walls", "floor": "floor floors ground", "ceiling": "ceiling ceilings roof"}
_COUNTS = {"couple": 2, "pair": 2, "both": 2, "some": 3, "few": 3, "several": 3, "many": 5, "lots": 5}
_LIGHT_AS_SAID = {
    "dark": ("pitch dark", "pitch black", "lights off", "no light", "very dark"),
    "dim": ("dimly", "low light", "badly lit", "half lit", "twilight"),
    "bright": ("brightly", "lights on", "very bright", "full of light"),
}
_PEOPLE_SAY: dict[str, tuple[str, ...]] = {
    "door_opens": ("open the", "is opened", "opened", "gets opened"),
    "door_closes": ("close the", "shuts", "is closed", "is shut"),
    "pick_up": (
        "pick up",
        "picks up",
        "picking up",
        "is collected",
        "is taken",
        "you get",
        "player takes",
        "you grab",
    ),
    "push": ("pushes", "push the", "is shoved", "player pushes"),
    "shoot": ("you are shooting", "player shoots", "player fires", "shoots"),
    "hit": ("is shot", "hits", "gets hit"),
    "destroy": ("dies", "is killed", "explodes", "blows up", "you kill", "is broken", "breaks"),
    "damage": ("player is hurt", "player takes damage", "you are hit", "you are damaged", "you get hurt"),
    "heal": ("player is healed", "you heal", "you gain health", "you get health"),
    "death": ("player dies", "you are dead", "player is killed", "you get killed"),
    "goal": ("player reaches the goal", "you win", "goal reached"),
    "paint": ("player paints", "paints", "is painted", "draws"),
    "bite": ("player bites", "bites", "bite into", "take a bite"),
    "eat": ("player eats", "eats", "eat"),
    "shatter": ("shattered", "breaks to pieces", "smash", "falls to pieces"),
    "switch_on": ("lights up", "is turned on"),
    "switch_off": ("goes out", "is turned off"),
    "plant": ("player plants", "is planted"),
    "sprout": ("grows", "is growing"),
    "slide": ("player slides", "is slid"),
    "place": ("player places", "is placed"),
    "craft": ("player makes", "player crafts", "crafts"),
    "dig": ("player digs", "digs", "dig", "is dug out"),
}


@cache
def _table() -> dict[tuple[str, ...], tuple[str, Any]]:
    table: dict[tuple[str, ...], tuple[str, Any]] = {}

    def add(kind: str, value: Any, *phrases: str) -> None:
        for phrase in phrases:
            table[tuple(split_words(phrase))] = (kind, value)

    add("filler", None, *_FILLERS.split())
    add("room", None, *_ROOMS.split())
    add("mark", None, *_MARKS.split(), "all over", "in total")
    add("stop", None, *".;!?", "then", "and then")
    add("filler", None, ":", "-")
    add("comma", None, *",()/\"'")
    add("and", None, "and", "&", "+")
    add("negation", None, "no", "without", "not", "without any")
    for surface, nouns in _SURFACES.items():
        add("surface", surface, *nouns.split())
    add("door", False, "door", "gate")
    add("door", True, "doors", "gates")
    for count, word in enumerate(lex.NUMBERS):
        add("number", count, word)
    for word, count in _COUNTS.items():
        add("number", count, word, f"{word} of")
    for kind, names in (
        ("colour", lex.COLOURS),
        ("pattern", lex.PATTERNS),
        ("light", lex.LIGHTS),
        ("place", lex.PLACES),
    ):
        for name, wordings in names.items():
            add(kind, name, name, *wordings)
    for light, said in _LIGHT_AS_SAID.items():
        add("light", light, *said)
    for wording, name in lex.LOOSE_COLOURS.items():
        add("colour", name, wording)
    for near, wordings in lex.DISTANCES.items():
        add("near", near, *wordings)
    for shape, wordings in lex.SHAPES.items():
        plurals = {lex.plural(word) for word in wordings if lex.plural(word) != word}
        for word in wordings:
            add("shape", (shape, word in plurals), word)
    for setting, wordings in lex.SETTINGS.items():
        add("setting", setting, *wordings, *(w.removeprefix("a ").removeprefix("one ") for w in wordings))
    for kind in BARE_EVENT_WORDS | EVENT_WORDS:
        written = (*BARE_EVENT_WORDS.get(kind, ()), *(t.replace("{a}", "") for t in EVENT_WORDS[kind]))
        add("event", kind, *written, *_PEOPLE_SAY[kind])
    add("event", CUT, CUT_WORDS)
    return table


@cache
def _longest() -> int:
    return max(len(phrase) for phrase in _table())


def read_items(words: Sequence[str]) -> Iterator[Item]:
    """The items of a list of words, longest phrase first."""
    table, at = _table(), 0
    while at < len(words):
        for length in range(min(_longest(), len(words) - at), 0, -1):
            found = table.get(tuple(words[at : at + length]))
            if found:
                yield Item(*found, " ".join(words[at : at + length]))
                at += length
                break
        else:
            word = words[at]
            if word.isdecimal() and word.isascii() and 1 <= int(word) <= lex.MAX_COUNT:
                yield Item("number", int(word), word)
            else:
                yield Item("comma" if word in punctuation else "unknown", None, word)
            at += 1
