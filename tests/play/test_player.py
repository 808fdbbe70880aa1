"""A player opens worlds only when it must, and keeps count of its episode."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from worldsim.actions import ACTION_ID
from worldsim.bank import BankStart, StartFacts
from worldsim.nearest import Nearest
from worldsim.play.player import Player
from worldsim.play.protocol import Prompt, Start

DREAM = Start("dream", None, "", 5)


def test_an_episode_is_counted(short_opener: Any) -> None:
    player = Player(short_opener)
    assert not player.playing
    first = player.start(DREAM)
    assert first.header["step"] == 0 and first.header["seed"] == 5 and len(first.frames) == 1
    assert player.playing and player.step_seconds == pytest.approx(0.01)
    shown = [player.step(["KeyW", "ArrowLeft"]) for _ in range(3)]
    assert [s.header["step"] for s in shown] == [1, 2, 3]
    assert [s.header["total"] for s in shown] == [0.5, 1.0, 1.5]
    assert [s.header["truncated"] for s in shown] == [False, False, True]
    assert shown[0].header["action"] == "forward+turn_left" and shown[0].header["fps"] == 400
    assert short_opener.worlds[0].taken == [ACTION_ID["forward+turn_left"]] * 3
    assert not player.playing
    player.start(DREAM)
    assert player.playing


def test_a_world_is_opened_anew_only_if_it_is_another(opener: Any) -> None:
    player = Player(opener)
    player.start(DREAM)
    player.start(Start("dream", None, "blue walls", None))
    assert opener.opened == [("dream", None)]
    player.start(Start("true", "DoomBasic", "", None))
    assert opener.opened == [("dream", None), ("true", "DoomBasic")]
    assert [world.closed for world in opener.worlds] == [True, False]
    player.close()
    player.close()
    assert opener.worlds[1].closed and not player.playing


def test_a_seed_is_drawn_and_told(opener: Any) -> None:
    player = Player(opener)
    seeds = {player.start(Start("dream", None, "", None)).header["seed"] for _ in range(3)}
    assert len(seeds) == 3


def test_prompts_reach_the_world(opener: Any) -> None:
    player = Player(opener)
    with pytest.raises(ValueError, match="no world is open"):
        player.set_prompt(Prompt("a door opens", "event"))
    shown = player.start(Start("dream", None, "red walls", None))
    assert shown.header["prompt"] == "red walls" and shown.header["nearest"] == ""
    frame = np.zeros((32, 32, 3), np.uint8)
    opener.worlds[0].nearest = Nearest(BankStart(frame, StartFacts(0, "", "a room", "a red wall")), 1, 2)
    assert player.step(["KeyW"]).header["nearest"] == "agrees on 1 of 2"
    player.set_prompt(Prompt("a door opens", "event"))
    assert opener.worlds[0].last_prompt == ("a door opens", "event")


def test_the_true_world_takes_no_prompt(opener: Any) -> None:
    with pytest.raises(ValueError, match="true world takes no prompt"):
        Player(opener).start(Start("true", "DoomRooms", "red walls", None))
