"""The player: what it reads of the past, and that it never wants what its world does not read."""

from __future__ import annotations

import torch

from worldsim.actions import NUM_ACTIONS
from worldsim.model.conditioning import ACTED, FIRST, UNKNOWN, Controls
from worldsim.model.player import Player, PlayerConfig, past_actions, readable_actions
from worldsim.model.transformer import tiny_config
from worldsim.worlds import WORLDS


def test_past_actions_stand_newest_first_and_unknown_ones_are_zeros() -> None:
    keys = torch.zeros(1, 5, 32)
    keys[0, torch.arange(5), torch.arange(5)] = 1.0
    camera = torch.tensor([[[14.0, 0], [0, 0], [-14, 0], [0, 7], [3.5, 0]]])
    known = torch.tensor([[FIRST, ACTED, ACTED, UNKNOWN, ACTED]])
    past = past_actions(Controls(keys, camera, known), 3)
    assert past.shape == (1, 5, 3, 35)
    nothing = torch.zeros(35)
    one = torch.cat([torch.ones(1), keys[0, 1], torch.zeros(2)])
    two = torch.cat([torch.ones(1), keys[0, 2], torch.tensor([-1.0, 0])])
    four = torch.cat([torch.ones(1), keys[0, 4], torch.tensor([0.25, 0])])
    expected = {0: (nothing,) * 3, 1: (one, nothing, nothing), 2: (two, one, nothing), 3: (nothing, two, one)}
    for frame, rows in (expected | {4: (four, nothing, two)}).items():
        assert torch.equal(past[0, frame], torch.stack(rows)), frame


def test_only_actions_that_a_world_reads_are_readable() -> None:
    readable = readable_actions(16)
    for spec in WORLDS.values():
        assert set(readable[spec.index].nonzero()[:, 0].tolist()) == {0, *spec.reads}
    assert readable[15].nonzero()[:, 0].tolist() == [0]  # a row of no world


def test_logits_of_unreadable_actions_are_minus_infinity_whatever_is_read() -> None:
    torch.manual_seed(0)
    player = Player(PlayerConfig(width=8, past=2), tiny_config())
    torch.nn.init.normal_(player.action.weight, std=50.0)
    worlds = torch.tensor([spec.index for spec in WORLDS.values()])
    n = len(worlds)
    logits = player(torch.randn(n, 2, 32) * 100, torch.randn(n, 32), torch.randn(n, 2, 35), worlds)
    assert logits.shape == (n, NUM_ACTIONS)
    assert torch.equal(torch.isneginf(logits), ~readable_actions(16)[worlds])


def test_a_new_player_takes_all_readable_actions_alike() -> None:
    player = Player(PlayerConfig(width=8, past=2), tiny_config())
    world = torch.tensor([WORLDS["DoomTakeCover"].index])
    chances = player(torch.randn(1, 2, 32), torch.randn(1, 32), torch.zeros(1, 2, 35), world).softmax(-1)[0]
    assert torch.allclose(chances[chances > 0], torch.full((3,), 1 / 3))
