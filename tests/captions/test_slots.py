"""Facts to slots and back."""

from dataclasses import replace

import numpy as np
import pytest

from worldsim.captions.facts import EventFact, SceneFacts, Surface, Thing, ViewFacts
from worldsim.captions.samples import samples
from worldsim.captions.slots import MOST, Answers, Slots, mirrored
from worldsim.captions.statements import statements
from worldsim.worlds import WORLDS

ROOM = (
    SceneFacts("DoomRooms", "rooms and corridors with coloured walls", walls=(Surface("red"),)),
    ViewFacts(
        Surface("red", "brick"), Surface("blue"), Surface("white", "plain"), "dim", ("red", "red"),
        (Thing("ball", "green", 2, "left", True), Thing("lamp", near=False)),
    ),
    (EventFact("push", "red", "box"), EventFact("damage")),
)  # fmt: skip
TABLE = (
    SceneFacts("Table", "coloured things on a table"),
    ViewFacts(light="bright", things=(Thing("ball", "green", 1, "right"), Thing("plant", "", 20))),
    (),
)


@pytest.fixture
def slots() -> Slots:
    return Slots.of([ROOM, TABLE])


def test_what_the_slots_were_made_of_comes_back(slots):
    answers = slots.answers([ROOM, TABLE])
    for row, (scene, view, events) in enumerate((ROOM, TABLE)):
        back = slots.facts(answers, row)
        things = tuple(replace(thing, count=min(thing.count, MOST)) for thing in view.things)
        assert statements(*back) == statements(scene, replace(view, things=things), events)
    assert slots.palettes == ("DoomRooms",)
    assert slots.values[0] == ("", "DoomRooms", "Table")


@pytest.mark.parametrize("world", WORLDS)
def test_slots_hold_everything_that_the_starts_of_a_world_say(world):
    starts = [(moment.scene, moment.view, ()) for moment in samples(world)[:100]]
    slots = Slots.of(starts)
    answers = slots.answers(starts)
    for row, start in enumerate(starts):
        assert statements(*slots.facts(answers, row)) == statements(*start)


def test_what_is_rare_is_no_answer_and_what_is_unknown_is_silence():
    slots = Slots.of([ROOM, ROOM, TABLE], at_least=2)
    assert slots.values[0] == ("", "DoomRooms")
    answers = slots.answers([TABLE])
    assert answers.choices[0, 0] == 0 and answers.counts.sum() == slots.facts(answers, 0)[1].things[0].count == 1
    assert not answers.events.any() and len(slots.event_facts) == 2


def test_several_groups_of_a_kind_are_one(slots):
    groups = (Thing("ball", "green", 1, "left"), Thing("ball", "green", 2, "right"))
    answers = slots.answers([(ROOM[0], ViewFacts(things=groups), ())])
    assert slots.facts(answers, 0)[1].things == (Thing("ball", "green", 3),)


def test_things_come_in_the_order_of_certainty(slots):
    answers = slots.answers([ROOM])
    sure = np.array([shape == "lamp" for _, shape in slots.kind_names], float)
    assert [thing.shape for thing in slots.facts(answers, 0, sure)[1].things] == ["lamp", "ball"]
    assert [thing.shape for thing in slots.facts(answers, 0, -sure)[1].things] == ["ball", "lamp"]


def test_in_a_mirror_left_is_right(slots):
    swapped = slots.facts(mirrored(slots.answers([ROOM])), 0)[1]
    assert {thing.place for thing in swapped.things if thing.shape == "ball"} == {"right"}
    twice = mirrored(mirrored(slots.answers([ROOM])))
    assert statements(*slots.facts(twice, 0)) == statements(*ROOM)


def test_silenced_moments_say_nothing_and_the_others_all(slots):
    answers = slots.answers([ROOM, TABLE]).silenced(np.array([False, True]))
    assert statements(*slots.facts(answers, 0)) == frozenset()
    kept, whole = answers[1:], slots.answers([TABLE])
    assert isinstance(kept, Answers) and all(np.array_equal(getattr(kept, n), getattr(whole, n)) for n in vars(whole))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"kinds": ("red ball",)}, r"kinds holds 'red ball'; expected 2 words with \|"),
        ({"choices": ("roof|red",)}, r"choices name the slots \['roof'\]; accepted are world"),
        ({"events": (3,)}, "events holds 3"),
    ],
)
def test_lists_of_another_form_are_refused(slots, change, message):
    with pytest.raises(ValueError, match=message):
        replace(slots, **change)
