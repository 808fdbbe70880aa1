"""Facts taken apart, and how right and wrong ones are counted."""

import pytest

from worldsim.captions.facts import EventFact, SceneFacts, Surface, Thing, ViewFacts
from worldsim.captions.statements import Score, scores_by_group, statements

SCENE = SceneFacts("DoomRooms", "rooms and corridors", rooms=7, walls=(Surface("red"),), things=(Thing("cone"),))
VIEW = ViewFacts(
    Surface("crimson", "bricks"),
    Surface("blue"),
    light="dim",
    doors=("red", "red", "blue"),
    things=(Thing("orb", "green", 2, "left", True), Thing("monster", near=False)),
)


def test_each_word_that_may_be_wrong_by_itself_is_a_statement_by_its_canonical_name():
    assert statements(SCENE, VIEW, (EventFact("door_opens", "red", "door"), EventFact("damage"))) == {
        ("world", "DoomRooms"),
        ("setting", "rooms and corridors with coloured walls"),
        ("wall", "colour", "red"),
        ("wall", "pattern", "brick"),
        ("floor", "colour", "blue"),
        ("light", "dim"),
        ("door", "red", "2"),
        ("door", "blue", "1"),
        ("thing", "green", "ball"),
        ("count", "green", "ball", "2"),
        ("place", "green", "ball", "left"),
        ("near", "green", "ball", "near"),
        ("thing", "", "monster"),
        ("count", "", "monster", "1"),
        ("near", "", "monster", "far"),
        ("event", "door_opens", "red", ""),
        ("event", "damage", "", ""),
    }


def test_of_the_map_only_world_and_setting_are_said_and_nothing_of_nothing():
    assert {s[0] for s in statements(SCENE, ViewFacts())} == {"world", "setting"}
    assert statements(SceneFacts(""), ViewFacts()) == frozenset()


def test_a_score_counts_right_wrong_and_missing():
    score = Score.of([("light", "dim"), ("light", "dark"), ("world", "Table")], [("light", "dim"), ("world", "Scene")])
    assert score == Score(1, 2, 1)
    assert (score.precision, score.recall) == (1 / 3, 1 / 2)
    assert score.f1 == pytest.approx(2 / (3 + 2))
    assert (score + score).f1 == score.f1
    assert Score().f1 == Score().precision == Score().recall == 1
    assert Score.of([("light", "dim")], []).f1 == 0


def test_the_groups_together_are_the_whole():
    said, true = statements(SCENE, VIEW), statements(SCENE, ViewFacts(Surface("red", "stripe"), light="dark"))
    groups = scores_by_group(said, true)
    assert sum(groups.values(), Score()) == Score.of(said, true)
    assert groups["wall"] == Score(1, 1, 1) and groups["light"] == Score(0, 1, 1) and groups["world"] == Score(1, 0, 0)
