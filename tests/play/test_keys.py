"""Held keys become the action a person expects, in worlds that read different actions."""

from __future__ import annotations

import pytest

from worldsim.actions import ACTION_MEANINGS
from worldsim.play.keys import CODES, PREFERENCE, HeldKeys, action_for
from worldsim.worlds import WORLDS


def read_by(world: str) -> list[str]:
    return [ACTION_MEANINGS[i] for i in WORLDS[world].reads]


@pytest.mark.parametrize(
    ("world", "held", "action"),
    [
        ("DoomRooms", [], "noop"),
        ("DoomRooms", ["KeyW"], "forward"),
        ("DoomRooms", ["ArrowUp"], "forward"),
        ("DoomRooms", ["KeyW", "ArrowLeft"], "forward+turn_left"),
        ("DoomRooms", ["KeyA"], "strafe_left"),
        ("DoomRooms", ["Comma"], "turn_left_small"),
        ("DoomRooms", ["KeyW", "KeyS"], "noop"),
        ("DoomRooms", ["KeyW", "KeyS", "ArrowRight"], "turn_right"),
        ("DoomRooms", ["Space"], "attack"),
        ("DoomRooms", ["Space", "KeyW"], "attack"),  # the rooms do not read forward+attack
        ("DoomRooms", ["KeyE", "KeyW"], "use"),
        ("DoomRooms", ["KeyX"], "noop"),  # no jumping here
        ("DoomRooms", ["F13"], "noop"),
        ("DoomTakeCover", ["ArrowLeft"], "strafe_left"),  # cannot turn: the arrow steps aside
        ("DoomTakeCover", ["KeyW"], "noop"),
        ("DoomHealthGathering", ["KeyA"], "turn_left"),  # cannot step aside: A turns
        ("DoomHealthGathering", ["KeyW", "KeyD"], "forward+turn_right"),
    ],
)
def test_held_keys_in_a_world(world: str, held: list[str], action: str) -> None:
    assert ACTION_MEANINGS[action_for(held, ACTION_MEANINGS, read_by(world))] == action


def test_keys_index_a_smaller_action_space_by_its_own_names() -> None:
    names = ["noop", "strafe_left", "strafe_right", "attack"]
    assert action_for(["Space"], names) == 3


def test_every_action_can_be_reached_by_keys() -> None:
    assert set(PREFERENCE) | {"noop"} == set(ACTION_MEANINGS) and len(PREFERENCE) == 31
    code_of = {control: code for code, control in CODES.items()}
    for name in PREFERENCE:
        held = [code_of[part] for part in name.split("+")]
        assert ACTION_MEANINGS[action_for(held, ACTION_MEANINGS)] == name


def test_a_tap_between_two_steps_counts_once() -> None:
    keys = HeldKeys()
    keys.update(["KeyE", "KeyW"])
    keys.update(["KeyW"])
    assert keys.take() == {"KeyE", "KeyW"}
    assert keys.take() == {"KeyW"}
    keys.update([])
    assert keys.take() == set()
