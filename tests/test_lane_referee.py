"""A referee in the engine: shown what lanes showed and what drove them, alone as in a batch, and it draws nothing."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from worldsim.control_tables import control_tables
from worldsim.engine import RolloutEngine
from worldsim.model.conditioning import ACTED, FIRST, Controls
from worldsim.model.debug import debug_simulator
from worldsim.model.frames import Prediction
from worldsim.model.player import past_actions
from worldsim.model.referee import Referee
from worldsim.model.weights import WorldSimulator
from worldsim.predictor import Block, LaneStart, LaneText
from worldsim.worlds import WORLDS, WorldSpec

ROOMS, COVER = WORLDS["DoomRooms"], WORLDS["DoomTakeCover"]


@pytest.fixture(scope="module")
def simulator() -> WorldSimulator:
    return debug_simulator(referee=True, memory=True)


def engine(simulator: WorldSimulator, lanes: int = 1, **options: Any) -> RolloutEngine:
    options = {"dtype": torch.float32, "denoising_steps": 1, **options}
    return RolloutEngine(simulator, lanes, device="cpu", **options)


def start(seed: int, spec: WorldSpec = ROOMS, actions: tuple[int, ...] = (), size: int = 64) -> LaneStart:
    rng = np.random.default_rng(seed)
    frames = rng.integers(0, 256, (1 + 4 * len(actions), size, 64, 3)).astype(np.uint8)
    return LaneStart(spec, seed, LaneText("Doom rooms: a maze"), frames, np.array(actions, np.int64))


def step(rollout: RolloutEngine, *actions: int) -> Block:
    keys, camera = control_tables()
    return rollout.step(keys[ROOMS.index, list(actions)], camera[ROOMS.index, list(actions)])


def test_it_sees_what_was_shown_and_done_before_the_step(simulator: WorldSimulator) -> None:
    """Rewards are those of the network over latents and actions that are put together here."""
    rollout = engine(simulator)
    plain = engine(simulator.with_referee(None))
    given = start(1, ROOMS, (1, 5))
    first = rollout.begin([0], [given]).latent
    plain.begin([0], [given])
    frames = torch.from_numpy(given.frames)  # type: ignore[arg-type]
    shown = [simulator.codec.encode(frames[None, 1:5]), simulator.codec.encode(frames[None, 5:9])]
    assert torch.allclose(shown[1], first, atol=1e-5)
    keys, camera = control_tables()
    done = [1, 5]
    heard: list[tuple[torch.Tensor, ...]] = []
    plain.world.heads.register_forward_pre_hook(lambda _, args: heard.append(args))
    for action in (6, 0, 1):
        block, without = step(rollout, action), step(plain, action)
        done.append(action)
        known = torch.tensor([[FIRST] + [ACTED] * len(done)])
        controls = Controls(keys[ROOMS.index, [0, *done]][None], camera[ROOMS.index, [0, *done]][None], known)
        said = plain.world.heads(*heard[-1])
        assert simulator.referee is not None
        reward, ended = simulator.referee(
            torch.stack(shown[::-1][:2], 1), past_actions(controls, 3)[:, -1], heard[-1][1][:, 0], said[0][:, 0],
            said[1][:, 0],
        )  # fmt: skip
        assert torch.allclose(block.reward_distribution, reward.softmax(-1), atol=1e-4)
        assert torch.allclose(block.termination, ended.sigmoid(), atol=1e-4)
        assert (block.termination - without.termination).abs() > 1e-4
        assert torch.equal(block.frames, without.frames) and torch.equal(block.latent, without.latent)
        shown.append(block.latent)


def test_a_start_without_history_looked_like_its_first_picture(simulator: WorldSimulator) -> None:
    rollout = engine(simulator)
    first = rollout.begin([0], [start(3)]).latent
    assert rollout.referee is not None
    assert torch.equal(rollout.referee.shown[0], first.expand(2, -1, -1, -1))
    assert not rollout.referee.past.any()


@pytest.mark.parametrize("cache_mode", ["renoise", "reuse"])
def test_lanes_are_judged_as_they_are_alone(simulator: WorldSimulator, cache_mode: str) -> None:
    starts = [start(1), start(2, COVER, (3, 4)), LaneStart(ROOMS, 4, LaneText("Doom rooms"))]
    together = engine(simulator, 3, cache_mode=cache_mode)
    together.begin(range(3), starts)
    blocks = [step(together, 1, 3, 5) for _ in range(4)]
    for lane, (each, action) in enumerate(zip(starts, (1, 3, 5))):
        alone = engine(simulator, cache_mode=cache_mode)
        alone.begin([0], [each])
        for block in blocks:
            own = step(alone, action)
            assert torch.allclose(own.reward_distribution[0], block.reward_distribution[lane], atol=1e-4)
            assert torch.allclose(own.termination[0], block.termination[lane], atol=1e-4)


def test_a_saved_lane_is_judged_on_elsewhere(simulator: WorldSimulator) -> None:
    rollout = engine(simulator, 2)
    rollout.begin([0, 1], [start(1), start(2)])
    for _ in range(3):
        step(rollout, 1, 5)
    state = rollout.get_state(1)
    expected = [step(rollout, 0, 6) for _ in range(2)]
    other = engine(simulator, 3)
    other.begin(range(3), [start(5), start(6), start(8)])
    other.set_state(0, state)
    for block in expected:
        own = step(other, 6, 0, 0)
        assert torch.allclose(own.reward_distribution[0], block.reward_distribution[1], atol=1e-4)
        assert torch.allclose(own.termination[0], block.termination[1], atol=1e-4)


def test_frames_of_other_sizes_are_judged(simulator: WorldSimulator) -> None:
    wide = engine(simulator, frame_size=(32, 64))
    wide.begin([0], [start(1, size=32)])
    plain = engine(simulator.with_referee(None), frame_size=(32, 64))
    plain.begin([0], [start(1, size=32)])
    a, b = step(wide, 1), step(plain, 1)
    assert a.valid.all() and (a.termination - b.termination).abs() > 1e-5


def test_worlds_that_it_does_not_judge_keep_the_word_of_the_heads(simulator: WorldSimulator) -> None:
    assert simulator.referee is not None
    config = replace(simulator.referee.config, worlds=("DoomTakeCover",))
    judge = Referee(config, simulator.config.world)
    judge.load_state_dict(simulator.referee.state_dict())
    starts = [start(1), start(2, COVER)]
    some, every, none = (engine(s, 2) for s in (simulator.with_referee(judge), simulator, simulator.with_referee(None)))
    blocks = []
    for rollout in (some, every, none):
        rollout.begin([0, 1], starts)
        blocks.append(step(rollout, 1, 3))
    found, judged, plain = blocks
    assert torch.equal(found.termination[0], plain.termination[0])
    assert torch.equal(found.termination[1], judged.termination[1])
    assert (judged.termination - plain.termination).abs().min() > 1e-4


def test_alone_it_does_not_hear_the_heads(simulator: WorldSimulator) -> None:
    assert simulator.referee is not None
    judge = Referee(replace(simulator.referee.config, alone=True), simulator.config.world)
    judge.load_state_dict(simulator.referee.state_dict())
    rollout = engine(simulator.with_referee(judge))
    rollout.begin([0], [start(1)])
    lanes = rollout.referee
    assert lanes is not None
    generator = torch.Generator().manual_seed(0)
    heads = [torch.randn(2, 1, n, generator=generator) for n in (65, 1)]
    said = [
        Prediction(torch.zeros(1), reward[None], done[None, :, 0], torch.zeros(1, 1, 2, 32), torch.ones(1, 1, 32))
        for reward, done in zip(*heads)
    ]
    state = lanes.get_lane(0)
    controls = Controls(torch.zeros(1, 1, 32), torch.zeros(1, 1, 2), torch.full((1, 1), ACTED))
    words = []
    for each in said:
        with torch.inference_mode():
            lanes.set_lane(0, state)
            words.append(lanes.step(controls, each, torch.zeros(1, 4, 16, 16), torch.tensor([ROOMS.index])))
    assert torch.equal(words[0].reward, words[1].reward) and torch.equal(words[0].done, words[1].done)


def test_where_it_judges_nothing_it_is_not_asked_but_watches_on() -> None:
    simulator = debug_simulator(referee=True)
    judge = Referee(replace(simulator.config.referee, worlds=("DoomTakeCover",)), simulator.config.world)
    torch.nn.init.normal_(judge.done.weight)
    simulator, plain = simulator.with_referee(judge), simulator.with_referee(None)
    rested, asked, unasked = engine(simulator, 2), engine(simulator, 2), engine(plain, 2)
    calls: list[object] = []
    rested.referee._referee.register_forward_pre_hook(lambda *_: calls.append(1))
    for rollout in (rested, asked, unasked):
        rollout.begin([0, 1], [start(1), start(2)])
    asked.referee.note([COVER.index])  # one that is asked all along
    for actions in ((1, 5), (2, 2)):
        blocks = [step(rollout, *actions) for rollout in (rested, asked, unasked)]
        assert torch.equal(blocks[0].reward, blocks[2].reward) and torch.equal(blocks[1].reward, blocks[2].reward)
    assert not calls and torch.equal(rested.referee.shown, asked.referee.shown)
    for rollout in (rested, asked, unasked):
        rollout.begin([1], [start(3, COVER)])
    ends = [step(rollout, 1, 1).termination for rollout in (rested, asked, unasked)]
    assert calls and torch.equal(ends[0], ends[1]) and ends[0][1] != ends[2][1]
    state = rested.get_state(1)
    rested.begin([1], [start(3)])
    calls.clear()
    step(rested, 1, 1)
    rested.set_state(1, state)
    assert not calls
    step(rested, 1, 1)
    assert calls
