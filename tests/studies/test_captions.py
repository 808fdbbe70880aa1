"""Models that were taught with captions of different styles, asked to draw held-out moments."""

import json
from dataclasses import replace

import numpy as np
import pytest

from worldsim.captions.facts import Surface, Thing, ViewFacts
from worldsim.captions.parse import parse_prompt
from worldsim.captions.vocabulary import VOCABULARY
from worldsim.cli.study import captions_lines, main
from worldsim.model.debug import debug_simulator
from worldsim.recording.facts_json import facts_to_json, read_facts
from worldsim.studies.captions import TAUGHT, Drawn, Findings, draw, moments_of, prompted, strangers, taught
from worldsim.studies.kernel import Distance

VIEW = ViewFacts(
    Surface("red", "brick"),
    Surface("blue"),
    Surface("white"),
    "dim",
    things=(Thing("ball", "green", 2, "left"), Thing("box", "orange")),
)


def told(material):
    """The material with one view for all moments."""

    def facts(lines):
        return [facts_to_json(read_facts(line)[0], VIEW) for line in lines]

    store = replace(
        material.store,
        episodes=[replace(e, facts=facts(e.facts), given_words=None) for e in material.store.episodes],
    )
    return replace(material, store=store, held_out=tuple(replace(e, facts=facts(e.facts)) for e in material.held_out))


def test_each_model_is_taught_in_its_own_styles_with_as_many_wordings(material):
    stated = {}
    for name, styles in TAUGHT.items():
        worded = [episode.words for episode in taught(told(material), styles).store.episodes]
        assert {words.scene.shape for words in worded} == {(6, 64)}
        views = [parse_prompt(VOCABULARY.decode(row[row != 0])).view for words in worded for row in words.view]
        stated[name] = {len(view.things) for view in views}, {bool(view.ceiling.colour) for view in views}
    assert stated == {"short": ({1}, {False}), "descriptive": ({2}, {True}), "mixed": ({1, 2}, {False, True})}


def test_a_prompt_names_what_its_style_states(material):
    place = (told(material).held_out[0], 3)
    short, descriptive = prompted(place, "short"), prompted(place, "descriptive")
    assert short == {
        ("wall", "colour", "red"),
        ("floor", "colour", "blue"),
        ("thing", "green", "ball"),
        ("count", "green", "ball", "2"),
    }
    assert short < descriptive
    assert ("place", "green", "ball", "left") in descriptive and ("thing", "orange", "box") in descriptive


def test_moments_are_spread_over_the_episodes(material):
    places = moments_of(material.held_out, 4)
    assert [(episode.world, episode.map_seed, t) for episode, t in places] == [
        (episode.world, episode.map_seed, 12) for episode in material.held_out
    ]
    assert len({(id(episode), t) for episode, t in moments_of(material.held_out, 100)}) == 100
    with pytest.raises(ValueError, match="101 moments: there are 100 held-out ones"):
        moments_of(material.held_out, 101)


def test_a_stranger_is_the_next_moment_of_another_map():
    assert strangers((5, 5, 7, 5)) == [2, 2, 3, 2]
    with pytest.raises(ValueError, match="all 2 moments are of one map"):
        strangers((5, 5))


def test_pictures_follow_the_prompt_alone(material):
    model = debug_simulator(bank=False)
    places = moments_of(told(material).held_out, 4)
    short, again, descriptive = (draw(model, places, style) for style in ("short", "short", "descriptive"))
    assert short.shape == (4, 32, 32, 3) and np.array_equal(short, again)
    assert not np.array_equal(short, descriptive)
    blank = [(replace(e, first=0 * e.first, blocks=0 * e.blocks), t) for e, t in places]
    assert np.array_equal(draw(model, blank, "short"), short)


def test_the_table_counts_facts_over_all_moments():
    drawn = Drawn("short", "descriptive", (1, 2), (3, 1), (1, 1), (4, 4), Distance(0.5, 0.25, 0.75))
    lines = captions_lines(Findings([drawn], Distance(0.0, 0.0, 0.0), Distance(9.0, 8.0, 10.0)))
    assert [(line.what, line.value) for line in lines] == [
        ("true pictures through the codec: kernel distance", "0.000 [0.000, 0.000]"),
        ("grey pictures: kernel distance", "9.000 [8.000, 10.000]"),
        ("taught short, asked descriptive: facts found", "0.500 [0.250, 0.750], by chance 0.250, of 8"),
        ("taught short, asked descriptive: kernel distance", "0.500 [0.250, 0.750]"),
    ]


@pytest.mark.slow
def test_the_command_trains_three_models_of_a_true_world_and_prints_what_they_draw(tmp_path, capsys):
    options = ["captions", "--preset", "smoke", "--out", str(tmp_path), "--moments", "6", "--train.optim.steps", "2"]
    options += [
        "--train.probe-clips",
        "4",
        "--source.steps",
        "60",
        "--source.max-steps",
        "20",
        "--source.held-out",
        "3",
    ]
    options += ["--source.workers", "0"]
    assert main(options) == 0
    printed = capsys.readouterr().out
    rows = json.loads((tmp_path / "captions.json").read_text())["rows"]
    assert [(row["taught"], row["asked"]) for row in rows] == [
        (name, style) for name in TAUGHT for style in ("short", "descriptive")
    ]
    for row in rows:
        assert f"taught {row['taught']}, asked {row['asked']}: facts found" in printed
        assert all(0 <= found <= named for found, named in zip(row["found"], row["named"]))
        assert row["distance"]["value"] > 0.01  # nothing is learned in two steps
    assert any(row["named"] for row in rows)
    assert all(json.loads((tmp_path / name / "trained.json").read_text())["steps"] == 2 for name in TAUGHT)
