"""Things as captions count them."""

from worldsim_envs.things import Sighting, inventory, seen_things

from worldsim.captions.facts import Thing
from worldsim.captions.lexicon import MAX_COUNT


def test_sides_are_thirds_of_the_picture():
    assert [Sighting("ball", "", across).side for across in (0.0, 0.33, 0.34, 0.66, 0.67, 1.0)] == [
        "left", "left", "ahead", "ahead", "right", "right",
    ]  # fmt: skip


def test_what_is_seen_is_counted_and_has_a_side_where_all_are_on_one():
    seen = seen_things(
        [
            Sighting("ball", "red", 0.1, False),
            Sighting("box", "blue", 0.9, False),
            Sighting("ball", "red", 0.2, True),
            Sighting("box", "blue", 0.5, False),
        ]
    )
    assert seen == (Thing("ball", "red", 2, "left", True), Thing("box", "blue", 2, "", False))
    assert seen_things([Sighting("ball", "red", 0.5)]) == (Thing("ball", "red", 1, "ahead", None),)


def test_no_count_is_beyond_words():
    (trees,) = seen_things([Sighting("tree", "", 0.5)] * (MAX_COUNT + 5))
    assert trees.count == MAX_COUNT


def test_an_inventory_counts_in_the_order_of_mention():
    assert inventory([("box", "red"), ("ball", ""), ("box", "red")]) == (Thing("box", "red", 2), Thing("ball", "", 1))
