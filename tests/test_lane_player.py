"""Proposed actions: seeded, independent of the batch, samples of the player's distribution, part of a lane's state."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from worldsim.engine import RolloutEngine
from worldsim.lane_player import LanePlayer
from worldsim.model.conditioning import ACTED, Controls
from worldsim.model.debug import debug_simulator
from worldsim.model.player import past_actions
from worldsim.model.weights import WorldSimulator
from worldsim.predictor import LaneStart, LaneText
from worldsim.worlds import WORLDS, WorldSpec

ROOMS, COVER, BASIC = WORLDS["DoomRooms"], WORLDS["DoomTakeCover"], WORLDS["DoomBasic"]


@pytest.fixture(scope="module")
def simulator() -> WorldSimulator:
    return debug_simulator(player=True)


def engine(simulator: WorldSimulator, lanes: int = 1, **options: Any) -> RolloutEngine:
    return RolloutEngine(simulator, lanes, device="cpu", dtype=torch.float32, denoising_steps=1, **options)


def start(seed: int, spec: WorldSpec = ROOMS, actions: tuple[int, ...] = ()) -> LaneStart:
    rng = np.random.default_rng(seed)
    frames = rng.integers(0, 256, (1 + 4 * len(actions), 64, 64, 3)).astype(np.uint8)
    return LaneStart(spec, seed, LaneText("Doom rooms: a maze"), frames, np.array(actions, np.int64))


def played(rollout: RolloutEngine, steps: int) -> torch.Tensor:
    """int64 ``(steps, B)``."""
    return torch.stack([rollout.play()[0] for _ in range(steps)])


def test_equal_seeds_play_alike_and_others_do_not(simulator: WorldSimulator) -> None:
    found = []
    for seed in (1, 1, 2):
        rollout = engine(simulator)
        rollout.begin([0], [LaneStart(ROOMS, seed, start(1).text, start(1).frames)])
        found.append(played(rollout, 12))
    assert torch.equal(found[0], found[1]) and not torch.equal(found[0], found[2])
    assert len(found[0].unique()) > 2


def test_to_propose_changes_nothing(simulator: WorldSimulator) -> None:
    rollout = engine(simulator, 2)
    rollout.begin([0, 1], [start(1), start(2, COVER)])
    for _ in range(3):
        first = rollout.propose()
        assert torch.equal(first, rollout.propose()) and torch.equal(first, rollout.play()[0])


@pytest.mark.parametrize("cache_mode", ["renoise", "reuse"])
def test_lanes_play_as_they_do_alone(simulator: WorldSimulator, cache_mode: str) -> None:
    starts = [start(1), start(2, COVER, (3, 4)), start(3, BASIC), LaneStart(ROOMS, 4, LaneText("Doom rooms"))]
    together = engine(simulator, 4, cache_mode=cache_mode)
    together.begin(range(4), starts)
    actions = played(together, 6)
    for lane, each in enumerate(starts):
        alone = engine(simulator, cache_mode=cache_mode)
        alone.begin([0], [each])
        assert torch.equal(played(alone, 6)[:, 0], actions[:, lane]), lane


def test_a_lane_that_begins_anew_leaves_the_play_of_others(simulator: WorldSimulator) -> None:
    undisturbed, rollout = engine(simulator, 2), engine(simulator, 2)
    for each in (undisturbed, rollout):
        each.begin([0, 1], [start(1), start(2)])
        played(each, 3)
    rollout.begin([1], [start(7)])
    again = engine(simulator)
    again.begin([0], [start(7)])
    actions = played(rollout, 4)
    assert torch.equal(actions[:, 0], played(undisturbed, 4)[:, 0])
    assert torch.equal(actions[:, 1], played(again, 4)[:, 0])


def test_actions_that_a_world_does_not_read_never_appear(simulator: WorldSimulator) -> None:
    rollout = engine(simulator, 3)
    rollout.begin(range(3), [start(1), start(2, COVER), start(3, BASIC)])
    actions = played(rollout, 40)
    for lane, spec in enumerate((ROOMS, COVER, BASIC)):
        assert set(actions[:, lane].tolist()) <= {0, *spec.reads}
    assert set(actions[:, 1].tolist()) == {0, 3, 4}


def test_proposals_are_samples_of_the_distribution(simulator: WorldSimulator) -> None:
    lanes = 6000
    assert simulator.player is not None
    many = LanePlayer(simulator.player, lanes, simulator.config.world, torch.device("cpu"))
    generator = torch.Generator().manual_seed(0)
    many.registers[:] = torch.randn(many.registers[:1].shape, generator=generator)
    world = torch.full((lanes,), ROOMS.index)
    ids = many.propose(world, torch.arange(lanes), torch.full((lanes,), 5))
    chances = many.logits(world)[0].softmax(-1)
    shares = torch.bincount(ids, minlength=32) / lanes
    assert float(torch.special.entr(chances).sum()) > 1
    deviation = (chances * (1 - chances) / lanes).sqrt()
    assert ((shares - chances).abs() <= 4 * deviation).all()


def test_the_past_of_a_lane_is_what_drove_it(simulator: WorldSimulator) -> None:
    rollout = engine(simulator)
    rollout.begin([0], [start(1, ROOMS, (1, 5))])
    given = [1, 5]
    for action in (6, 0):
        keys, camera = (table[ROOMS.index, [action]] for table in rollout._tables)
        rollout.step(keys, camera)
        given.append(action)
    keys, camera = (table[ROOMS.index, given][None] for table in rollout._tables)
    controls = Controls(keys, camera, torch.full((1, 4), ACTED))
    assert rollout._player is not None
    assert torch.equal(rollout._player.past, past_actions(controls, 3)[:, -1])


def test_a_saved_lane_plays_on_elsewhere(simulator: WorldSimulator) -> None:
    rollout = engine(simulator, 2)
    rollout.begin([0, 1], [start(1), start(2)])
    played(rollout, 3)
    state = rollout.get_state(1)
    expected = played(rollout, 4)[:, 1]
    other = engine(simulator, 3)
    other.begin(range(3), [start(5), start(6), start(8)])
    other.set_state(0, state)
    assert torch.equal(played(other, 4)[:, 0], expected)


def test_without_a_player_there_is_nothing_to_propose(simulator: WorldSimulator) -> None:
    plain = simulator.with_player(None)
    rollout = engine(plain)
    rollout.begin([0], [start(1)])
    with pytest.raises(ValueError, match=r"no player.*worldsim train player"):
        rollout.play()
    playing = engine(simulator)
    playing.begin([0], [start(1)])
    rollout.set_state(0, playing.get_state(0))  # who plays is of no concern to a rollout of given actions


def test_a_refused_state_leaves_the_lane_as_it_was(simulator: WorldSimulator) -> None:
    rollout, undisturbed, plain = engine(simulator), engine(simulator), engine(simulator.with_player(None))
    for each in (rollout, undisturbed):
        each.begin([0], [start(1)])
    plain.begin([0], [start(2)])
    with pytest.raises(ValueError, match="without a player"):
        rollout.set_state(0, plain.get_state(0))
    for _ in range(3):
        (ids, block), (other_ids, other) = rollout.play(), undisturbed.play()
        assert torch.equal(ids, other_ids) and torch.equal(block.frames, other.frames)


def test_a_player_changes_no_picture(simulator: WorldSimulator) -> None:
    rollouts = engine(simulator), engine(simulator.with_player(None))
    for rollout in rollouts:
        rollout.begin([0], [start(1)])
    for _ in range(3):
        ids, block = rollouts[0].play()
        keys, camera = (table[ROOMS.index, ids] for table in rollouts[1]._tables)
        assert torch.equal(rollouts[1].step(keys, camera).frames, block.frames)
