"""The parser reads back every caption of the grammar, and free prompts as far as they are understood."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import pytest

from worldsim.captions.facts import CUT, EventFact, SceneFacts, Surface, Thing, ViewFacts
from worldsim.captions.grammar import event_caption, happening_caption, prompt_text, scene_caption, view_caption
from worldsim.captions.parse import find_world, parse_prompt
from worldsim.captions.styles import STYLES, stated_events, stated_scene, stated_view
from worldsim.captions.vocabulary import MAX_TOKENS, VOCABULARY
from worldsim.worlds import WORLDS


def unordered(facts: Any) -> Any:
    """Facts with their lists as multisets: paraphrases name them in any order."""
    if isinstance(facts, SceneFacts):
        return facts.world, facts.setting, facts.rooms, Counter(facts.walls), Counter(facts.things)
    if isinstance(facts, ViewFacts):
        rest = (facts.wall, facts.floor, facts.ceiling, facts.light)
        return *rest, Counter(facts.doors), Counter(facts.things)
    return Counter(facts)


@pytest.mark.parametrize("style", STYLES)
def test_canonical_captions_are_read_back_exactly(maker: Any, style: str) -> None:
    for _ in range(60):
        scene, view, events = maker.facts()
        parsed = parse_prompt(prompt_text(WORLDS[scene.world], scene_caption(scene, style, None)))
        assert parsed.scene == stated_scene(scene, style)
        assert parsed.world == scene.world
        for caption, got, stated in (
            (view_caption(view, style, None), lambda p: p.view, stated_view(view, style)),
            (event_caption(events, style, None), lambda p: p.events, stated_events(events, style)),
        ):
            if caption:
                parsed = parse_prompt(caption)
                assert got(parsed) == stated, caption
                assert parsed.unknown == ()


@pytest.mark.parametrize("style", STYLES)
def test_paraphrases_state_the_same_facts_and_no_others(maker: Any, style: str) -> None:
    for seed in range(100):
        rng = np.random.default_rng(seed)
        scene, view, events = maker.facts()
        parsed = parse_prompt(prompt_text(WORLDS[scene.world], scene_caption(scene, style, rng)))
        assert unordered(parsed.scene) == unordered(stated_scene(scene, style))
        assert (parsed.view, parsed.events, parsed.unknown) == (ViewFacts(), (), ())
        if text := view_caption(view, style, rng):
            parsed = parse_prompt(text)
            assert unordered(parsed.view) == unordered(stated_view(view, style)), text
            assert (parsed.scene, parsed.events, parsed.unknown) == (SceneFacts(""), (), ()), text
        if text := event_caption(events, style, rng):
            parsed = parse_prompt(text)
            assert unordered(parsed.events) == unordered(stated_events(events, style)), text
            assert (parsed.scene, parsed.view, parsed.unknown) == (SceneFacts(""), ViewFacts(), ()), text


@pytest.mark.parametrize("style", STYLES)
def test_a_cut_is_told_with_its_view_and_read_back_to_both(maker: Any, style: str) -> None:
    for seed in range(100):
        rng = np.random.default_rng(seed)
        _, view, _ = maker.facts()
        text = happening_caption(view, (EventFact(CUT),), style, rng)
        assert len(VOCABULARY.encode(text)) <= MAX_TOKENS
        parsed = parse_prompt(text)
        assert (unordered(parsed.view), parsed.events) == (unordered(stated_view(view, style)), (EventFact(CUT),)), text
        assert (parsed.scene, parsed.unknown) == (SceneFacts(""), ()), text
        assert parse_prompt(parsed.understood) == parsed


def test_a_prompt_cuts_to_what_it_says_and_what_happens_is_told_after() -> None:
    parsed = parse_prompt("Cut to a dark room with red walls; a blue door opens")
    assert parsed.event_text == "cut to red walls, it is dark. a blue door opens"
    assert [event.kind for event in parsed.events] == [CUT, "door_opens"]
    assert parse_prompt("cut to").event_text == "cut to something"
    assert parse_prompt("the grass is cut").events == ()


def test_what_was_understood_is_itself_a_prompt_that_says_the_same(maker: Any) -> None:
    for seed in range(60):
        scene, view, events = maker.facts()
        rng = np.random.default_rng(seed)
        texts = [prompt_text(WORLDS[scene.world], scene_caption(scene, "descriptive", rng))]
        texts += [view_caption(view, "descriptive", rng), event_caption(events, "descriptive", rng)]
        first = parse_prompt(". ".join(text for text in texts if text))
        again = parse_prompt(first.understood)
        assert again == first


@pytest.mark.parametrize(
    ("text", "world"),
    [
        ("doom take cover", "DoomTakeCover"),
        ("DoomBasic", "DoomBasic"),
        ("worldsim/DoomBasic-v0", "DoomBasic"),
        ("I'd like health gathering, please", "DoomHealthGathering"),
        ("Doom my way home: a maze", "DoomMyWayHome"),
        ("doom_my_way_home", "DoomMyWayHome"),
        ("doom with purple walls", "DoomRooms"),
        ("monsters throw fireballs across a room", "DoomTakeCover"),
        ("doom basic, not doom rooms", "DoomBasic"),
        ("a room with red walls", None),
        ("basic red walls", None),
        ("doomsday", None),
    ],
)
def test_worlds_are_found_by_id_title_part_and_setting(text: str, world: str | None) -> None:
    assert parse_prompt(text).world == world


def test_every_default_prompt_names_its_world() -> None:
    for spec in WORLDS.values():
        parsed = parse_prompt(spec.prompt)
        assert (parsed.world, parsed.unknown) == (spec.name, ())
        assert parsed.view == ViewFacts()


RED, BLUE = Surface("red"), Surface("blue")


@pytest.mark.parametrize(
    ("text", "view", "unknown"),
    [
        ("a room with red brick walls and a blue floor", ViewFacts(Surface("red", "brick"), BLUE), ()),
        ("RED walls!!", ViewFacts(RED), ()),
        (
            "two green balls on the left, dark",
            ViewFacts(light="dark", things=(Thing("ball", "green", 2, "left"),)),
            (),
        ),
        ("crimson walls; an azure floor", ViewFacts(RED, BLUE), ()),
        ("maroon walls and a navy ceiling", ViewFacts(RED, ceiling=BLUE), ()),
        ("walls are red, floor blue", ViewFacts(RED, BLUE), ()),
        ("walls: red; floor: blue", ViewFacts(RED, BLUE), ()),
        ("blue walls and floor", ViewFacts(BLUE, BLUE), ()),
        ("blue walls and the floor", ViewFacts(BLUE), ()),
        ("a blue floor and walls of brick", ViewFacts(Surface("", "brick"), BLUE), ()),
        ("a red-walled room", ViewFacts(RED), ()),
        ("the room is blue", ViewFacts(BLUE), ()),
        ("a hallway lit dimly, walls with a brick pattern", ViewFacts(Surface("", "brick"), light="dim"), ()),
        ("walls of red brick", ViewFacts(Surface("red", "brick")), ()),
        ("a red room", ViewFacts(RED), ()),
        ("a floor with blue stripes", ViewFacts(floor=Surface("blue", "stripe")), ()),
        ("a blue floor with white stripes", ViewFacts(floor=Surface("blue", "stripe")), ("white",)),
        ("dark blue walls", ViewFacts(BLUE), ("dark",)),
        ("a dimly lit room", ViewFacts(light="dim"), ()),
        ("3 red doors", ViewFacts(doors=("red",) * 3), ()),
        ("a wooden box", ViewFacts(things=(Thing("box"),)), ("wooden",)),
        ("no doors and red walls", ViewFacts(RED), ("no doors",)),
        ("a red dragon and blue walls", ViewFacts(BLUE), ("red", "dragon")),
        ("red shiny walls", ViewFacts(RED), ("shiny",)),
        ("on the left, a red ball", ViewFacts(things=(Thing("ball", "red", 1, "left"),)), ()),
        ("the ball is red", ViewFacts(things=(Thing("ball", "red"),)), ()),
        ("a grey crate far away ahead", ViewFacts(things=(Thing("box", "grey", 1, "ahead", False),)), ()),
        ("blorp 🐉", ViewFacts(), ("blorp", "🐉")),
        ("?!", ViewFacts(), ()),
    ],
)
def test_free_prompts(text: str, view: ViewFacts, unknown: tuple[str, ...]) -> None:
    parsed = parse_prompt(text)
    assert parsed.view == view
    assert parsed.unknown == unknown
    assert parsed.scene == SceneFacts("")


def test_swapped_colours_are_different_facts() -> None:
    here, there = parse_prompt("red walls and a blue floor"), parse_prompt("blue walls and a red floor")
    assert (here.view.wall, here.view.floor) == (there.view.floor, there.view.wall) == (RED, BLUE)


def test_two_wall_colours_are_the_palette_and_the_first_is_seen() -> None:
    for text in ("red and blue walls", "the walls are red and blue"):
        parsed = parse_prompt(text)
        assert parsed.scene.walls == (RED, BLUE)
        assert parsed.view.wall == RED


def test_map_wide_facts_are_scene_and_the_rest_is_view_and_event() -> None:
    parsed = parse_prompt(
        "doom rooms with seven rooms, red walls throughout. A green floor; the blue door opens and you push a box"
    )
    assert parsed.scene.rooms == 7
    assert parsed.scene.walls == (RED,)
    assert parsed.view == ViewFacts(floor=Surface("green"))
    assert parsed.events == (EventFact("door_opens", "blue"), EventFact("push", "", "box"))
    assert parsed.scene_text == (
        "rooms and corridors with coloured walls. seven rooms. the map has red walls"
    )  # a named world's setting is stated, as in every caption of it
    assert parsed.view_text == "a green floor"
    assert parsed.event_text == "a blue door opens. you push a box"
    assert parsed.understood == f"Doom rooms: {parsed.scene_text}. a green floor. {parsed.event_text}"


def test_more_than_a_caption_can_state_is_reported() -> None:
    parsed = parse_prompt("a ball, a cone, a box, a red diamond and a pillar")
    assert [thing.shape for thing in parsed.view.things] == ["ball", "cone", "box"]
    assert parsed.unknown == ("red diamond", "pillar")


def test_default_world_is_assumed_where_none_is_named() -> None:
    assert parse_prompt("red walls", default_world="DoomBasic").world == "DoomBasic"
    assert parse_prompt("doom rooms, red walls", default_world="DoomBasic").world == "DoomRooms"
    with pytest.raises(ValueError, match="unknown world 'Nowhere'"):
        parse_prompt("red walls", default_world="Nowhere")


@pytest.mark.parametrize("text", ["", "  \n", None, 5, b"red walls", ["red walls"]])
def test_what_is_no_text_is_refused(text: Any) -> None:
    with pytest.raises(ValueError, match="prompt"):
        parse_prompt(text)


def test_too_long_a_part_is_refused_and_the_limit_named() -> None:
    with pytest.raises(ValueError, match=f"has {MAX_TOKENS + 1} tokens.*limit is {MAX_TOKENS} tokens"):
        parse_prompt("red " * MAX_TOKENS + "walls")
    assert parse_prompt("red " * (MAX_TOKENS - 1) + "walls").view.wall == RED
    with pytest.raises(ValueError, match="has 20000 tokens"):
        parse_prompt("red " * 20_000)


def test_no_text_raises_anything_but_a_value_error() -> None:
    rng = np.random.default_rng(0)
    pieces = [
        "red",
        "walls",
        "the",
        "of",
        "left",
        ",",
        ".",
        "and",
        "no",
        "two",
        "0",
        "100",
        "door",
        "opens",
        "is",
    ]
    pieces += [
        "map",
        "ball",
        "room",
        "rooms",
        "dark",
        "light",
        "nearby",
        "doom",
        "zzz",
        "'",
        "é",
        "-",
        "seven",
        "with",
    ]
    for _ in range(400):
        text = " ".join(pieces[int(i)] for i in rng.integers(len(pieces), size=int(rng.integers(1, 20))))
        parsed = parse_prompt(text)
        if parsed.understood:
            assert parse_prompt(parsed.understood).understood == parsed.understood, text


def test_find_world_takes_the_name_out() -> None:
    name, rest = find_world("Doom take cover: red walls")
    assert name == "DoomTakeCover"
    assert rest.replace(",", " ").split() == ["red", "walls"]
