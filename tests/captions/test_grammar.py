"""Wording: canonical captions to the letter, variety of paraphrases, bounds, errors."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from worldsim.captions import lexicon as lex
from worldsim.captions.facts import EVENT_KINDS, EventFact, SceneFacts, Surface, Thing, ViewFacts
from worldsim.captions.grammar import (
    BARE_EVENT_WORDS,
    EVENT_WORDS,
    event_caption,
    prompt_text,
    scene_caption,
    view_caption,
)
from worldsim.captions.styles import STYLES, stated_scene, stated_view
from worldsim.captions.vocabulary import FIRST_WORD, MAX_TOKENS, VOCABULARY
from worldsim.worlds import COLOURS, SHAPES, WORLDS

SCENE = SceneFacts(
    "DoomRooms",
    "",
    7,
    (Surface("red", "brick"), Surface("blue", "stripe")),
    (Thing("ball", "red", 2), Thing("box", "orange"), Thing("cone", "green", 13)),
)
VIEW = ViewFacts(
    Surface("red", "brick"),
    Surface("blue", "check"),
    Surface("white"),
    "dim",
    ("red", "blue", "red"),
    (Thing("ball", "green", 2, "left", True), Thing("monster", "", 1, "right", False)),
)
EVENTS = (EventFact("door_opens", "red"), EventFact("pick_up", "red", "ball"), EventFact("damage"))


def test_canonical_captions() -> None:
    setting = "rooms and corridors with coloured walls"
    assert scene_caption(SCENE, "short", None) == setting
    assert scene_caption(SCENE, "medium", None) == (
        f"{setting}. seven rooms. the map has red brick and blue striped walls"
    )
    assert scene_caption(SCENE, "descriptive", None) == (
        f"{setting}. seven rooms. the map has red brick and blue striped walls. "
        "the map holds two red balls, an orange box and 13 green cones"
    )
    assert view_caption(VIEW, "short", None) == "red walls and a blue floor, two green balls"
    assert view_caption(VIEW, "medium", None) == (
        "red brick walls and a blue checked floor, it is dim, two green balls on the left and a monster on the right"
    )
    assert view_caption(VIEW, "descriptive", None) == (
        "red brick walls, a blue checked floor and a white ceiling, it is dim, two red doors, a blue door, "
        "two green balls nearby on the left and a monster far away on the right"
    )
    assert event_caption(EVENTS, "short", None) == "a red door opens. you pick up a red ball. you are hurt"


def test_nothing_known_is_no_text() -> None:
    for style in STYLES:
        assert scene_caption(SceneFacts(""), style, None) == ""
        assert view_caption(ViewFacts(), style, np.random.default_rng(0)) == ""
        assert event_caption((), style, np.random.default_rng(0)) == ""


def test_prompt_text_prefixes_the_title() -> None:
    assert prompt_text(WORLDS["DoomBasic"], "a room") == "Doom basic: a room"
    assert prompt_text(WORLDS["DoomBasic"], "") == "Doom basic"


def test_equal_generators_word_alike_and_paraphrases_are_many() -> None:
    views = {view_caption(VIEW, "descriptive", np.random.default_rng(seed)) for seed in range(200)}
    assert len(views) > 180
    assert len({scene_caption(SCENE, "descriptive", np.random.default_rng(seed)) for seed in range(200)}) > 100
    assert len({event_caption(EVENTS, "short", np.random.default_rng(seed)) for seed in range(200)}) > 100
    a, b = (view_caption(VIEW, "descriptive", np.random.default_rng(3)) for _ in range(2))
    assert a == b


def longest_facts() -> tuple[SceneFacts, ViewFacts, tuple[EventFact, ...]]:
    """As much as facts can hold, in the longest words."""
    wordy = [shape for shape, words in lex.SHAPES.items() if " " in words[0]]
    things = tuple(
        Thing(shape, "red", 99, place, near) for shape in wordy for place in lex.PLACES for near in lex.DISTANCES
    )
    walls = tuple(Surface(colour, "brick") for colour in lex.COLOURS)
    setting = max(lex.SETTINGS, key=lambda name: max(len(words.split()) for words in lex.SETTINGS[name]))
    scene = SceneFacts("DoomHealthGathering", setting, 99, walls, things)
    view = ViewFacts(walls[0], walls[1], walls[2], "dim", ("red", "red", "blue", "blue", "green"), things)
    events = tuple(EventFact(kind, "red", wordy[0]) for kind in ("heal", "damage", "goal", "destroy", "hit"))
    return scene, view, events


def test_longest_captions_stay_below_the_limit() -> None:
    scene, view, events = longest_facts()
    for world in WORLDS.values():
        for seed in range(300):
            rng = np.random.default_rng(seed)
            for text in (
                prompt_text(world, scene_caption(scene, "descriptive", rng)),
                view_caption(view, "descriptive", rng),
                event_caption(events, "descriptive", rng),
            ):
                assert len(VOCABULARY.encode(text)) <= MAX_TOKENS, text


def test_every_word_that_can_be_written_is_in_the_vocabulary(maker: Any) -> None:
    written = [
        wording
        for table in (lex.COLOURS, lex.PATTERNS, lex.SHAPES, lex.LIGHTS)
        for ws in table.values()
        for wording in ws
    ]
    written += [wording for table in (lex.PLACES, lex.SETTINGS) for ws in table.values() for wording in ws]
    written += [wording for ws in lex.DISTANCES.values() for wording in ws]
    written += [t.replace("{a}", "") for ws in (*EVENT_WORDS.values(), *BARE_EVENT_WORDS.values()) for t in ws]
    written += [*lex.LOOSE_COLOURS, *(lex.number(n) for n in range(lex.MAX_COUNT + 1))]
    written += [text for spec in WORLDS.values() for text in (spec.title, spec.prompt, *spec.goals)]
    for seed in range(60):
        scene, view, events = maker.facts()
        rng = np.random.default_rng(seed)
        written += [scene_caption(scene, "descriptive", rng), view_caption(view, "descriptive", rng)]
        written += [event_caption(events, "descriptive", rng)]
    for text in written:
        assert all(token >= FIRST_WORD for token in VOCABULARY.encode(text)), text


def test_the_lexicon_knows_the_worlds_and_reads_each_wording_one_way() -> None:
    assert set(COLOURS) <= set(lex.COLOURS)
    assert set(SHAPES) <= set(lex.SHAPES)
    assert {spec.prompt for spec in WORLDS.values()} <= set(lex.SETTINGS)
    assert set(EVENT_WORDS) == set(EVENT_KINDS)
    owner: dict[str, str] = {}
    tables = (lex.COLOURS, lex.PATTERNS, lex.SHAPES, lex.LIGHTS, lex.PLACES, lex.SETTINGS, lex.DISTANCES)
    for table in tables:
        for name, wordings in table.items():
            for wording in wordings:
                assert owner.setdefault(wording, f"{name}") == f"{name}", wording
    assert not set(owner) & set(lex.LOOSE_COLOURS)


def test_synonyms_are_accepted_as_facts_and_equal_things_are_counted() -> None:
    view = ViewFacts(Surface("crimson", "bricks"), things=(Thing("crate", "gray"), Thing("box", "grey", 2)))
    stated = stated_view(view, "descriptive")
    assert stated.wall == Surface("red", "brick")
    assert stated.things == (Thing("box", "grey", 3),)


@pytest.mark.parametrize(
    ("facts", "message"),
    [
        (ViewFacts(Surface("infrared")), "colour 'infrared'"),
        (ViewFacts(Surface("red", "velvet")), "pattern 'velvet'"),
        (ViewFacts(things=(Thing("dragon"),)), "shape 'dragon'"),
        (ViewFacts(things=(Thing("ball", place="above"),)), "place 'above'"),
        (ViewFacts(things=(Thing("ball", count=0),)), "count must be 1 to 99"),
        (ViewFacts(things=(Thing(""),)), "needs a shape"),
        (ViewFacts(light="blinding"), "light 'blinding'"),
    ],
)
def test_facts_without_words_are_refused(facts: ViewFacts, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        view_caption(facts, "descriptive", None)


def test_other_wrong_arguments_are_refused() -> None:
    with pytest.raises(ValueError, match="style 'long' is unknown; accepted are short, medium, descriptive"):
        scene_caption(SCENE, "long", None)
    with pytest.raises(ValueError, match="setting 'a spaceship'"):
        stated_scene(SceneFacts("DoomRooms", "a spaceship"), "short")
    with pytest.raises(ValueError, match="number of rooms"):
        stated_scene(SceneFacts("DoomRooms", rooms=-1), "medium")
    with pytest.raises(ValueError, match="event kind 'explode' is unknown; accepted are door_opens"):
        event_caption((EventFact("explode"),), "short", None)
