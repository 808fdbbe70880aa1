"""Facts of an episode as word ids."""

import numpy as np
import pytest

from worldsim.captions.facts import EventFact, SceneFacts, Surface, ViewFacts
from worldsim.captions.styles import STYLES
from worldsim.captions.vocabulary import MAX_TOKENS, VOCABULARY, word_rows
from worldsim.recording.facts_json import facts_to_json
from worldsim.recording.words import WORDINGS, word_episode

SCENE = SceneFacts("DoomRooms", walls=(Surface("red", "brick"),))
FACTS = [
    facts_to_json(SCENE, ViewFacts(wall=Surface("blue", "stripe")), (EventFact("damage"),) if t == 2 else ())
    for t in range(5)
]


def test_scene_views_and_events_are_worded_from_the_facts():
    words = word_episode("DoomRooms", FACTS, 7)
    assert words.scene.shape == (len(STYLES) * WORDINGS, MAX_TOKENS) and words.view.shape == (5, MAX_TOKENS)
    for row in words.scene:
        text = VOCABULARY.decode(row[row != 0])
        assert "red" in text and "doom" in text
    for row in words.view:
        text = VOCABULARY.decode(row[row != 0])
        assert "blue" in text or "azure" in text
    assert [bool(text) for text in words.event] == [False, False, True, False, False]


def test_equal_episodes_get_equal_words_and_others_other_wordings():
    first, again, other = (word_episode("DoomRooms", FACTS, seed) for seed in (7, 7, 8))
    assert np.array_equal(first.scene, again.scene) and np.array_equal(first.view, again.view)
    assert first.plain == other.plain
    assert not np.array_equal(first.scene, other.scene) or not np.array_equal(first.view, other.view)


def test_words_of_one_style_are_as_many_and_of_no_other():
    view = ViewFacts(Surface("blue"), light="dim")  # which a short caption does not tell
    facts = [facts_to_json(SCENE, view)] * 20
    every, short = word_episode("DoomRooms", facts, 7), word_episode("DoomRooms", facts, 7, ("short",))
    assert short.scene.shape == every.scene.shape and short.plain == every.plain

    def telling(words, word):
        return [word in VOCABULARY.decode(row[row != 0]) for row in words]

    assert any(telling(every.view, "dim")) and not any(telling(short.view, "dim"))
    assert any(telling(every.scene, "brick")) and not any(telling(short.scene, "brick"))


def test_moments_without_facts_have_a_scene_of_their_world_and_no_event():
    words = word_episode("DoomRooms", ["", ""], 0)
    assert words.event == ("", "")


def test_a_text_that_is_too_long_is_refused():
    with pytest.raises(ValueError, match="at most 64 are taken"):
        word_rows(["wall " * 65])
