"""The action table is baked into weights: its ids, keys and camera motions are pinned here."""

from __future__ import annotations

import numpy as np
import pytest

from worldsim.actions import (
    ACTION_ID,
    ACTION_MEANINGS,
    KEY_BIT,
    KEYS,
    NUM_ACTIONS,
    NUM_KEYS,
    UNKNOWN_ACTION,
    ActionTable,
    Camera,
    camera_motion,
    check_actions,
    held_keys,
    multi_hot,
)

PINNED_TABLE = """
 0 noop               1 forward             2 backward            3 strafe_left       4 strafe_right
 5 turn_left          6 turn_right          7 look_up             8 look_down         9 use
10 attack            11 jump               12 place              13 forward+turn_left
14 forward+turn_right                      15 forward+jump       16 forward+attack   17 sneak
18 next_item         19 sleep              20 place_stone        21 place_table      22 place_furnace
23 place_plant       24 make_wood_pickaxe  25 make_stone_pickaxe 26 make_iron_pickaxe
27 make_wood_sword   28 make_stone_sword   29 make_iron_sword    30 turn_left_small  31 turn_right_small
"""


PINNED_KEYS = """
forward backward strafe_left strafe_right use attack jump place sneak next_item sleep
place_stone place_table place_furnace place_plant make_wood_pickaxe make_stone_pickaxe make_iron_pickaxe
make_wood_sword make_stone_sword make_iron_sword sprint drop inventory
"""


def test_ids_are_pinned() -> None:
    words = PINNED_TABLE.split()
    pinned = {name: int(number) for number, name in zip(words[::2], words[1::2])}
    assert pinned == ACTION_ID
    assert [ACTION_ID[name] for name in ACTION_MEANINGS] == list(range(32))
    assert NUM_ACTIONS == 32


def test_key_bits_are_pinned() -> None:
    assert list(KEYS) == PINNED_KEYS.split()
    assert [KEY_BIT[name] for name in KEYS] == list(range(24))
    assert NUM_KEYS == 32


@pytest.mark.parametrize(
    ("action", "keys", "motion"),
    [
        ("noop", [], (0, 0)),
        ("forward", ["forward"], (0, 0)),
        ("turn_left", [], (14, 0)),
        ("turn_right", [], (-14, 0)),
        ("turn_left_small", [], (3.5, 0)),
        ("turn_right_small", [], (-3.5, 0)),
        ("look_up", [], (0, 14)),
        ("look_down", [], (0, -14)),
        ("forward+turn_left", ["forward"], (14, 0)),
        ("forward+turn_right", ["forward"], (-14, 0)),
        ("forward+jump", ["forward", "jump"], (0, 0)),
        ("forward+attack", ["forward", "attack"], (0, 0)),
        ("make_iron_sword", ["make_iron_sword"], (0, 0)),
    ],
)
def test_controls_of_an_action(action: str, keys: list[str], motion: tuple[float, float]) -> None:
    assert held_keys(ACTION_ID[action]) == sum(1 << KEY_BIT[key] for key in keys)
    assert camera_motion(ACTION_ID[action], Camera()) == motion


def test_every_action_has_controls_of_its_own() -> None:
    table = ActionTable.build(range(NUM_ACTIONS), Camera())
    controls = {(int(table.keys[a]), *table.camera[a].tolist()) for a in range(NUM_ACTIONS)}
    assert len(controls) == NUM_ACTIONS


def test_an_unread_action_becomes_noop_before_keys_are_built() -> None:
    table = ActionTable.build([0, 1, 5], Camera(turn=10))
    assert table.canonical.tolist() == [i if i in (1, 5) else 0 for i in range(32)]
    unread = table.canonical == 0
    assert not table.keys[unread].any() and not table.camera[unread].any()
    assert table.camera[5].tolist() == [10, 0]


def test_multi_hot_holds_one_column_per_bit() -> None:
    masks = np.array([[held_keys(ACTION_ID["forward+jump"]), 1 << 31]], np.uint32)
    hot = multi_hot(masks)
    assert hot.shape == (1, 2, 32) and hot.dtype == np.float32
    assert np.flatnonzero(hot[0, 0]).tolist() == [KEY_BIT["forward"], KEY_BIT["jump"]]
    assert np.flatnonzero(hot[0, 1]).tolist() == [31]


@pytest.mark.parametrize("action", [-1, 4, 1.5, True, np.array([1]), "1", None, np.nan])
def test_actions_outside_the_space_are_refused_and_the_space_is_named(action: object) -> None:
    with pytest.raises(ValueError, match=r"Discrete\(4\)"):
        check_actions(action, 4, ())


def test_actions_inside_the_space_come_back_as_integers() -> None:
    checked = check_actions(np.array([0, 3], np.int32), 4, (2,))
    assert checked.dtype == np.int64 and checked.tolist() == [0, 3]
    assert int(check_actions(3, 4, ())) == 3
    with pytest.raises(ValueError, match=r"shape \(2,\)"):
        check_actions(np.array([0, 1, 2]), 4, (2,))


def test_ids_are_found_by_their_controls() -> None:
    table = ActionTable.build(range(NUM_ACTIONS), Camera())
    np.testing.assert_array_equal(table.matching(table.keys, table.camera), np.arange(NUM_ACTIONS))
    nearly = table.camera + np.float32(5e-4)
    np.testing.assert_array_equal(table.matching(table.keys, nearly), np.arange(NUM_ACTIONS))
    assert (table.matching(table.keys, table.camera + 1) == UNKNOWN_ACTION).all()
    assert (table.matching(table.keys | np.uint32(1 << KEY_BIT["sprint"]), table.camera) == UNKNOWN_ACTION).all()
    few = ActionTable.build((0, ACTION_ID["forward"]), Camera())
    assert few.matching(table.keys, table.camera)[:4].tolist() == [0, 1, UNKNOWN_ACTION, UNKNOWN_ACTION]
    assert few.matching(table.keys, table.camera).dtype == np.int16
