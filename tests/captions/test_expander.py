"""The expander keeps what was said, fills the rest as the training maps would, and finds the world."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from scipy.stats import chisquare

from worldsim.captions import lexicon as lex
from worldsim.captions.expander import BareExpander, Expansion, GrammarExpander
from worldsim.captions.facts import SceneFacts, Surface, Thing, ViewFacts
from worldsim.captions.filling import FEWEST, Absent, agrees, complete, draw_like
from worldsim.captions.grammar import event_caption, prompt_text, scene_caption, view_caption
from worldsim.captions.parse import parse_prompt
from worldsim.captions.samples import FOLDER, SAMPLES, Moment, captions_of, draw_captions, samples, write_samples
from worldsim.captions.vocabulary import MAX_TOKENS, VOCABULARY, split_words
from worldsim.engines import missing
from worldsim.worlds import DOOM_WORLDS, WORLDS

EXPANDER = GrammarExpander()


def expand(prompt: str, seed: int = 0, world: str | None = None) -> Expansion:
    return EXPANDER.expand(prompt, seed, world)


def holds_list(full: Sequence[Any], said: Sequence[Any]) -> bool:
    """Whether each of ``said`` is one of its own in ``full``, equal wherever it states something, with its count."""
    left = list(full)
    for item in sorted(said, key=lambda item: str(item).count("''")):  # the most specific first
        count = getattr(item, "count", None)
        found = [other for other in left if agrees(item, other) and getattr(other, "count", None) == count]
        if not found:
            return False
        left.remove(found[0])
    return True


def assert_holds(full: Expansion, scene: SceneFacts, view: ViewFacts) -> None:
    """``full`` states all that ``scene`` and ``view`` state."""
    assert scene.setting in ("", full.scene.setting)
    assert scene.rooms in (0, full.scene.rooms)
    assert holds_list(full.scene.walls, scene.walls)
    assert holds_list(full.scene.things, scene.things)
    assert all(agrees(getattr(view, slot), getattr(full.view, slot)) for slot in ("wall", "floor", "ceiling"))
    assert view.light in ("", full.view.light)
    assert not view.doors or full.view.doors == view.doors
    assert holds_list(full.view.things, view.things)


def partial(maker: Any, world: str) -> tuple[SceneFacts, ViewFacts, str]:
    """Some facts about ``world``, half of them such as it shows, with gaps, and the prompt that states them."""
    scene, view, events = maker.facts()
    if maker.rng.random() < 0.5:
        true = maker.one(samples(world))
        scene, view = true.scene, true.view
        view = replace(view, wall=Surface(view.wall.colour), things=tuple(Thing(t.shape) for t in view.things[:1]))
    gaps = {name: getattr(ViewFacts(), name) for name in vars(view) if maker.rng.random() < 0.4}
    view = replace(view, **gaps)
    gaps = {name: getattr(SceneFacts(""), name) for name in ("rooms", "walls", "things") if maker.rng.random() < 0.4}
    scene = replace(scene, world=world, **gaps)
    texts = (
        prompt_text(WORLDS[world], scene_caption(scene, "descriptive", maker.rng)),
        view_caption(view, "descriptive", maker.rng),
        event_caption(events[: maker.rng.integers(2)], "descriptive", maker.rng),
    )
    return scene, view, ". ".join(text for text in texts if text)


@pytest.mark.parametrize("world", WORLDS)
def test_all_that_was_said_survives_and_the_text_reads_back_exactly(maker: Any, world: str) -> None:
    for seed in range(80):
        _, _, prompt = partial(maker, world)
        said = parse_prompt(prompt)
        full = expand(prompt, seed)
        assert (full.world.name, full.chosen_by) == (world, "name")
        assert_holds(full, said.scene, said.view)
        assert full.events == said.events
        read = parse_prompt(full.text)
        assert (read.scene, read.view, read.events) == (full.scene, full.view, full.events), full.text
        assert (read.world, read.unknown) == (world, full.kept)


@pytest.mark.parametrize("world", WORLDS)
def test_an_expansion_has_no_word_that_the_text_encoder_does_not_know(maker: Any, world: str) -> None:
    for seed in range(40):
        full = expand(partial(maker, world)[2] + ". a snowy mountain, a dragon and a qwertz", seed)
        parts = (prompt_text(full.world, full.scene_text), full.view_text, full.event_text)
        for text in parts:
            assert all(word in VOCABULARY for word in split_words(text)), text
            assert split_words(VOCABULARY.decode(VOCABULARY.encode(text))) == split_words(text)
            assert len(VOCABULARY.encode(text)) <= MAX_TOKENS


def test_equal_seeds_give_equal_expansions_and_others_differ_only_in_what_was_open() -> None:
    prompt = "doom rooms: red brick walls and a blue floor"
    made = [expand(prompt, seed) for seed in range(20)]
    assert made == [GrammarExpander().expand(prompt, seed) for seed in range(20)]
    assert len({full.text for full in made}) > 10
    assert {full.view.wall for full in made} == {Surface("red", "brick")}
    assert {full.view.floor.colour for full in made} == {"blue"}
    assert len({full.view.ceiling for full in made}) > 5 and len({full.view.light for full in made}) == 3


@cache
def many(prompt: str) -> tuple[Expansion, ...]:
    """Expansions of ``prompt`` by 600 seeds."""
    return tuple(expand(prompt, seed) for seed in range(600))


SLOTS = {
    "rooms": lambda moment: moment.scene.rooms,
    "light": lambda moment: moment.view.light,
    "floor": lambda moment: moment.view.floor.colour,
    "wall": lambda moment: moment.view.wall.pattern,
    "things": lambda moment: len(moment.view.things),
    "setting": lambda moment: moment.scene.setting,
}


def assert_same_distribution(values: Sequence[Any], of: Sequence[Any]) -> None:
    """Chi-square of ``values`` against the frequencies in ``of``; values that are rare there count as one."""
    true = Counter(of)
    assert set(values) <= set(true)
    expected = {value: count * len(values) / len(of) for value, count in true.items()}
    common = [value for value, count in expected.items() if count >= 5]
    got = Counter(values)
    rows = [(got[value], expected[value]) for value in common]
    rest = len(values) - sum(n for n, _ in rows), len(values) - sum(n for _, n in rows)
    rows += [rest] if rest[1] >= 5 else []
    if len(rows) > 1:
        total = sum(n for n, _ in rows)
        scale = total / sum(n for _, n in rows)
        assert chisquare([n for n, _ in rows], [n * scale for _, n in rows]).pvalue > 1e-3, (got, expected)


@pytest.mark.parametrize("slot", SLOTS)
@pytest.mark.parametrize("world", ["DoomRooms", "DoomHealthGathering", "Table", "Scene"])
def test_open_slots_follow_the_training_distribution(world: str, slot: str) -> None:
    value = SLOTS[slot]
    assert_same_distribution(
        [value(full) for full in many(WORLDS[world].env_id)], [value(moment) for moment in samples(world)]
    )


def test_open_slots_follow_it_given_what_was_said() -> None:
    made = many("doom rooms: red walls")
    red = [moment for moment in samples("DoomRooms") if moment.view.wall.colour == "red"]
    assert len(red) >= FEWEST
    for value in (lambda m: m.view.wall.pattern, lambda m: "red" in {w.colour for w in m.scene.walls}):
        assert_same_distribution([value(full) for full in made], [value(moment) for moment in red])


@pytest.mark.parametrize("world", WORLDS)
def test_a_whole_caption_is_left_as_it_is(world: str) -> None:
    for n, (_, scene, view) in enumerate(captions_of(world)[:40]):
        full = expand(f"{prompt_text(WORLDS[world], scene)}. {view}", seed=n)
        said = parse_prompt(f"{scene}. {view}", world)
        assert full.scene_text == scene
        assert_holds(full, said.scene, said.view)


@pytest.mark.parametrize("world", WORLDS)
def test_samples_are_the_training_maps_in_captions_that_read_back_exactly(world: str) -> None:
    assert len(samples(world)) == SAMPLES
    for _, scene, view in captions_of(world):
        parsed = parse_prompt(f"{scene}. {view}", world)
        assert (parsed.scene_text, parsed.view_text, parsed.unknown) == (scene, view, ())


@pytest.mark.parametrize("world", WORLDS)
def test_samples_are_what_the_true_world_says(world: str) -> None:
    if lacking := missing(WORLDS[world]):
        pytest.skip(f"not installed: {', '.join(lacking)}")
    stored = [(scene, view) for _, scene, view in captions_of(world)]
    drawn = draw_captions(WORLDS[world], 2)  # a map of Crafter takes half a second
    assert drawn[0] == stored[0] and drawn[1] in stored[:2]


@pytest.mark.slow
def test_a_file_of_samples_is_written_as_it_ships(tmp_path: Path) -> None:
    pytest.importorskip("vizdoom")
    written = write_samples(WORLDS["DoomBasic"], tmp_path)
    assert written.read_bytes() == (FOLDER / "DoomBasic.txt").read_bytes()


@pytest.mark.parametrize(
    ("prompt", "world", "chosen_by"),
    [
        *((spec.env_id, spec.name, "name") for spec in WORLDS.values()),
        *((f"{spec.title}: something", spec.name, "name") for spec in WORLDS.values()),
        *((f"{spec.prompt}, please", spec.name, "name") for spec in WORLDS.values()),
        *((f"a dark {word}", world, "name") for world, words in lex.WORLD_SYNONYMS.items() for word in words),
        ("labyrinth, not doom basic", "DoomBasic", "name"),
        ("two cows by a tree", "Crafter", "words"),
        ("a red disc on a table", "Table", "words"),
        ("a blue cylinder", "Scene", "words"),
        ("fireballs", "DoomTakeCover", "words"),
        ("panelled walls", "DoomMyWayHome", "words"),
        ("red walls", "DoomRooms", "default"),
        ("a red ball", "DoomRooms", "default"),
        ("a teapot", "DoomRooms", "default"),
    ],
)
def test_the_world_is_found_by_name_synonym_or_words(prompt: str, world: str, chosen_by: str) -> None:
    full = expand(prompt)
    assert (full.world.name, full.chosen_by, full.scene.world) == (world, chosen_by, world)


def test_words_point_only_to_the_worlds_given_and_an_argument_overrules_them() -> None:
    of_doom = GrammarExpander(DOOM_WORLDS)
    assert of_doom.expand("two cows by a tree", 0).world.name == "DoomRooms"
    assert of_doom.expand("Crafter: two cows", 0).world.name == "Crafter"
    full = expand("doom take cover, red walls", world="worldsim/DoomBasic-v0")
    assert (full.world.name, full.chosen_by) == ("DoomBasic", "argument")
    assert full.scene.setting == WORLDS["DoomBasic"].prompt and full.view.wall.colour == "red"
    assert full.notes == ("the prompt means Doom take cover, and Doom basic was asked for",)


def test_no_synonym_stands_within_a_wording_of_the_grammar() -> None:
    wordings = [*(w for words in lex.SETTINGS.values() for w in words), *(w for s in lex.SHAPES.values() for w in s)]
    for world, synonyms in lex.WORLD_SYNONYMS.items():
        assert world in WORLDS
        for synonym in synonyms:
            assert not any(f" {synonym} " in f" {wording} " for wording in wordings), synonym
    assert set(lex.WORLD_SYNONYMS) == set(WORLDS)


def test_it_says_what_was_understood_added_kept_and_left_out() -> None:
    full = expand("doom rooms: red walls, a snowy mountain, seven rooms, a dragon", seed=3)
    assert "seven rooms" in full.understood and "red walls" in full.understood
    assert "seven rooms" not in full.filled and any("floor" in phrase for phrase in full.filled)
    assert full.kept == ("mountain",) and full.scene_text.endswith(". mountain")
    assert full.unknown == ("snowy", "dragon")
    whole = parse_prompt(". ".join(full.filled))
    assert (whole.view.floor, whole.view.ceiling, whole.scene.things) == (
        full.view.floor, full.view.ceiling, full.scene.things,
    )  # fmt: skip


def test_kept_words_take_no_more_room_than_there_is() -> None:
    words = "mountain river valley cliff beach bridge tower castle boat rope village island road"
    known = [word for word in words.split() if word in VOCABULARY]
    full = expand("doom rooms: " + ", ".join(known))
    assert 0 < len(full.kept) < len(known) and full.kept + full.unknown == tuple(known)
    assert len(VOCABULARY.encode(prompt_text(full.world, full.scene_text))) <= MAX_TOKENS


def test_what_a_prompt_rules_out_is_not_added() -> None:
    for seed in range(40):
        full = expand("doom rooms: no doors, without balls, no ceiling", seed)
        assert not full.view.doors and full.view.ceiling == Surface()
        assert all(thing.shape != "ball" for thing in (*full.scene.things, *full.view.things))
        assert full.unknown == ("no doors", "without balls", "no ceiling")
    stripped = Absent(slots=frozenset({"wall"})).strip(samples("DoomRooms")[0])
    assert stripped.view.wall == Surface() and stripped.scene.walls == ()


@pytest.mark.parametrize(
    ("prompt", "seed", "world", "message"),
    [
        ("", 0, None, "the prompt is empty"),
        (None, 0, None, "a prompt must be a str"),
        ("red walls " * MAX_TOKENS, 0, None, f"the limit is {MAX_TOKENS} tokens for each part"),
        ("red walls", 0, "DoomRoom", "unknown world 'DoomRoom'"),
        ("red walls", -1, None, "seed=-1; expected an integer of at least 0"),
        ("red walls", 0.5, None, "seed=0.5"),
        ("red walls", True, None, "seed=True"),
    ],
)
def test_what_cannot_be_expanded_is_refused(prompt: Any, seed: Any, world: str | None, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        expand(prompt, seed, world)


BALL = Thing("ball", "red", 1, "left", True)


@pytest.mark.parametrize(
    ("said", "other", "full"),
    [
        (ViewFacts(), ViewFacts(Surface("red", "brick"), light="dim"), ViewFacts(Surface("red", "brick"), light="dim")),
        (ViewFacts(Surface("red")), ViewFacts(Surface("red", "brick")), ViewFacts(Surface("red", "brick"))),
        (ViewFacts(Surface("red")), ViewFacts(Surface("blue", "brick")), ViewFacts(Surface("red"))),
        (ViewFacts(doors=("red",)), ViewFacts(doors=("blue", "red")), ViewFacts(doors=("red",))),
        (ViewFacts(things=(Thing("ball", count=3),)), ViewFacts(things=(BALL,)), ViewFacts(
            things=(replace(BALL, count=3),))),
        (ViewFacts(things=(Thing("ball"), BALL)), ViewFacts(things=(BALL,)), ViewFacts(things=(Thing("ball"), BALL))),
        (ViewFacts(things=(Thing("box"),)), ViewFacts(things=(BALL,)), ViewFacts(things=(Thing("box"),))),
    ],
)  # fmt: skip
def test_open_halves_are_filled_only_by_what_agrees(said: ViewFacts, other: ViewFacts, full: ViewFacts) -> None:
    scene = SceneFacts("DoomRooms")
    assert complete(Moment(scene, said), Moment(scene, other)) == Moment(scene, full)


def test_a_statement_that_too_few_starts_agree_with_narrows_nothing(maker: Any) -> None:
    starts = samples("DoomRooms")
    rare = Moment(SceneFacts("DoomRooms"), ViewFacts(Surface("pink"), light="dim"))
    drawn = [draw_like(rare, starts, maker.rng) for _ in range(50)]
    assert {moment.view.light for moment in drawn} == {"dim"} and len(set(drawn)) > 30


@pytest.mark.parametrize("world", list(WORLDS))
def test_a_bare_name_is_filled_and_what_says_more_is_left_alone(world: str) -> None:
    expander, title = BareExpander(), WORLDS[world].title
    for seed, bare in enumerate((title, WORLDS[world].prompt)):
        assert expander.expand(bare, seed) == GrammarExpander().expand(bare, seed)
    for said in ("red walls", "it is dark", "two balls", "a dragon", "no doors", "purple fog", "a door opens"):
        found, read = expander.expand(f"{title}: {said}", 1), parse_prompt(f"{title}: {said}")
        assert (found.scene_text, found.view_text, found.event_text) == (
            read.scene_text, read.view_text, read.event_text,
        )  # fmt: skip
        assert found.world.name == world and found.filled == found.kept == () and found.unknown == read.unknown
