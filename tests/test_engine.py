"""The rollout engine: its ring equals the full history, lanes are independent, states continue exactly."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from copy import copy
from dataclasses import replace
from typing import Any, Literal
from unittest.mock import patch

import numpy as np
import pytest
import torch

from worldsim.actions import ACTION_ID, KEY_BIT, multi_hot
from worldsim.diffusion import flow, noise, sampler
from worldsim.engine import STATE_VERSION, RolloutEngine
from worldsim.lane_text import TextMemory
from worldsim.model.attention import TextKV
from worldsim.model.conditioning import ACTED, FIRST, NO_VIEW, Controls, TextTokens
from worldsim.model.debug import debug_simulator
from worldsim.model.memory import larger
from worldsim.model.weights import WorldSimulator
from worldsim.predictor import Block, LaneStart, LaneText
from worldsim.screen import Memory
from worldsim.worlds import WORLDS, WorldSpec

ROOMS, COVER = WORLDS["DoomRooms"], WORLDS["DoomTakeCover"]
TEXT = LaneText("Doom rooms: a maze of rooms", "a red brick wall", "")


@pytest.fixture(scope="module")
def simulator() -> WorldSimulator:
    return debug_simulator()


@pytest.fixture(scope="module", params=[False, True], ids=["plain", "memory"])
def any_simulator(request: pytest.FixtureRequest) -> WorldSimulator:
    return debug_simulator(memory=request.param)


def engine(simulator: WorldSimulator, lanes: int = 1, **kwargs: Any) -> RolloutEngine:
    return RolloutEngine(simulator, lanes, device="cpu", **{"dtype": torch.float32, "denoising_steps": 2, **kwargs})


def picture(seed: int, frames: int = 1) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (frames, 64, 64, 3)).astype(np.uint8)


def start(seed: int, spec: WorldSpec = ROOMS, text: LaneText = TEXT) -> LaneStart:
    return LaneStart(spec, seed, text, picture(seed))


def controls(spec: WorldSpec, actions: Sequence[int]) -> tuple[torch.Tensor, torch.Tensor]:
    ids = list(actions)
    return torch.from_numpy(multi_hot(spec.table.keys[ids])), torch.from_numpy(spec.table.camera[ids])


def run(engine: RolloutEngine, actions: Sequence[Sequence[int]], spec: WorldSpec = ROOMS) -> list[Block]:
    return [engine.step(*controls(spec, row)) for row in actions]


def plan(steps: int, lanes: int, seed: int = 0) -> list[list[int]]:
    return np.random.default_rng(seed).choice(ROOMS.reads, (steps, lanes)).tolist()


def differ(a: Block, b: Block, row_a: int | None = None, row_b: int | None = None) -> float:
    """Greatest difference of latents, between whole blocks or two rows."""
    x = a.latent if row_a is None else a.latent[row_a]
    y = b.latent if row_b is None else b.latent[row_b]
    return float((x - y).abs().max())


class Uncached:
    """The same rollout without a cache: every evaluation runs the whole history through
    ``WorldModel.forward``, under the band of ``window`` latents (None: the model's). ``expects``: without noise, and
    each frame that was expected stays a pass over nothing in the history, which the next ones follow as it turned
    out."""

    def __init__(
        self,
        simulator: WorldSimulator,
        seed: int,
        context_noise: float,
        steps: int,
        video: np.ndarray,
        actions: Sequence[int] = (),
        window: int | None = None,
        expects: bool = False,
    ) -> None:
        self.simulator, self.world, self.steps, self.expects = simulator, copy(simulator.world), steps, expects
        self.world.config = replace(self.world.config, window=window or self.world.config.window)
        self.seed, self.tau = torch.tensor([seed]), 1 - context_noise
        first = len(video) - 4 * len(actions)
        blocks = [video[:1]] * first + [video[i : i + 4] for i in range(first, len(video), 4)]
        latents = [simulator.codec.encode(torch.from_numpy(block)[None]) for block in blocks]
        self.contexts = [self.noised(z, j, "context_start") for j, z in enumerate(latents)]
        moves = [controls(ROOMS, [a]) for a in actions]
        self.keys = [torch.zeros(1, 32)] * first + [keys for keys, _ in moves]
        self.camera = [torch.zeros(1, 2)] * first + [camera for _, camera in moves]
        self.known = [FIRST] * first + [ACTED] * len(actions)
        self.events = [""] * len(blocks)
        self.ages = [NO_VIEW] * (len(blocks) - 1) + [0]
        self.t = 0

    def noised(self, latent: torch.Tensor, step: int, use: str) -> torch.Tensor:
        eps = noise.gaussian(self.seed, torch.tensor([step]), use, latent.shape[1:])
        return flow.add_noise(latent[:, None], eps[:, None], torch.tensor([[self.tau]]))[:, 0]

    def text(self) -> TextTokens:
        events = torch.stack([self.world.encode_text([e], "event") for e in self.events], 1)
        return TextTokens(
            self.world.encode_text([TEXT.scene], "scene"), self.world.encode_text([TEXT.view], "view"),
            torch.tensor([self.ages]), events, self.world.encode_text([TEXT.goal], "goal")[:, 0],
            torch.tensor([ROOMS.index]),
        )  # fmt: skip

    @torch.inference_mode()
    def step(self, action: int, event: str) -> tuple[torch.Tensor, torch.Tensor]:
        keys, camera = controls(ROOMS, [action])
        self.keys.append(keys)
        self.camera.append(camera)
        self.known.append(ACTED)
        self.events.append(event)
        self.ages.append(self.ages[-1] + 1)
        self.t += 1
        frames, text = len(self.events), self.text()
        given = Controls(torch.stack(self.keys, 1), torch.stack(self.camera, 1), torch.tensor([self.known]))
        seconds = torch.arange(frames)[None] * ROOMS.step_seconds

        def forward(z: torch.Tensor, tau: float):
            clip = torch.stack([*self.contexts, z], 1)
            levels = torch.tensor([[*[self.tau] * (frames - 1), tau]])
            mode = torch.zeros(1, dtype=torch.int64)
            if not self.expects:
                return self.world(clip, levels, given, text, seconds, mode)
            blind = torch.arange(frames)[None] >= frames - self.t
            return self.world(clip, levels.masked_fill(blind, 0.0), given, text, seconds, mode, past=(clip, levels))

        if self.expects:
            seen = forward(torch.zeros_like(self.contexts[0]), 0.0)
            latent = seen.x[:, -1].clamp(-4, 4)
            self.contexts.append(self.noised(latent, self.t, "context"))
            return latent, seen.reward[:, -1]
        eps = noise.gaussian(self.seed, torch.tensor([self.t]), "latent", self.contexts[0].shape[1:])
        drawn = sampler.sample(lambda z, tau, _: forward(z[:, 0], float(tau[0, 0])).x[:, -1:], eps[:, None], self.steps)
        latent = drawn.x[:, 0].clamp(-4, 4)
        context = self.noised(latent, self.t, "context")
        reward = forward(context, self.tau).reward[:, -1]
        self.contexts.append(context)
        return latent, reward


@pytest.mark.parametrize("window", [None, 4, 1])
def test_the_ring_equals_the_full_history_past_the_first_eviction(
    simulator: WorldSimulator, window: int | None
) -> None:
    steps = simulator.config.world.window + 5
    cached = engine(simulator, denoising_steps=3, context_noise=0.15, window=window)
    cached.begin([0], [start(11)])
    plain = Uncached(simulator, 11, 0.15, 3, picture(11), window=window)
    for t, (action,) in enumerate(plan(steps, 1)):
        if t == 3:
            cached.set_text([0], ["a red door opens"], "event", 2)
        block = cached.step(*controls(ROOMS, [action]))
        latent, reward = plain.step(action, "a red door opens" if t in (3, 4) else "")
        assert float((block.latent - latent).abs().max()) < 1e-4, f"step {t}"
        assert float((block.reward_distribution - reward.softmax(-1)).abs().max()) < 1e-4, f"step {t}"


def test_an_engine_that_keeps_its_expectations_equals_one_pass_over_the_whole_history() -> None:
    simulator = debug_simulator()
    steps = simulator.config.world.window + 5
    cached = engine(simulator, context_noise=0.15, temperature=0.0, cache_mode="reuse")
    video, given = picture(11, 1 + 4 * 3), [1, 5, 2]
    cached.begin([0], [LaneStart(ROOMS, 11, TEXT, video, np.array(given))])
    plain = Uncached(simulator, 11, 0.15, 1, video, given, expects=True)
    for t, (action,) in enumerate(plan(steps, 1)):
        block = cached.step(*controls(ROOMS, [action]))
        latent, reward = plain.step(action, "")
        assert float((block.latent - latent).abs().max()) < 1e-4, f"step {t}"
        assert float((block.reward_distribution - reward.softmax(-1)).abs().max()) < 1e-4, f"step {t}"


@pytest.mark.parametrize("cache_mode", ["renoise", "reuse"])
def test_a_lane_of_a_batch_equals_the_lane_alone(any_simulator: WorldSimulator, cache_mode: str) -> None:
    actions = plan(9, 3)
    together = engine(any_simulator, 3, cache_mode=cache_mode)
    together.begin([0, 1, 2], [start(1), start(2, COVER), start(3)])
    blocks = run(together, actions)
    for lane, spec in enumerate((ROOMS, COVER, ROOMS)):
        alone = engine(any_simulator, cache_mode=cache_mode)
        alone.begin([0], [start(lane + 1, spec)])
        for t, block in enumerate(run(alone, [[row[lane]] for row in actions])):
            assert differ(blocks[t], block, lane, 0) < 1e-4
            assert blocks[t].terminated[lane] == block.terminated[0]


def test_lanes_begun_at_other_times_equal_lanes_alone(any_simulator: WorldSimulator) -> None:
    actions = plan(12, 2)
    together = engine(any_simulator, 2)
    together.begin([0, 1], [start(1), start(2)])
    blocks = run(together, actions[:5])
    together.begin([1], [start(7)])
    blocks += run(together, actions[5:])
    first, second = engine(any_simulator), engine(any_simulator)
    first.begin([0], [start(1)])
    second.begin([0], [start(7)])
    for t, block in enumerate(run(first, [[row[0]] for row in actions])):
        assert differ(blocks[t], block, 0, 0) < 1e-4
    for t, block in enumerate(run(second, [[row[1]] for row in actions[5:]])):
        assert differ(blocks[5 + t], block, 1, 0) < 1e-4


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_equal_seeds_give_equal_frames_and_others_do_not(any_simulator: WorldSimulator, dtype: torch.dtype) -> None:
    blocks = []
    for seed in (4, 4, 5):
        rollout = engine(any_simulator, dtype=dtype)
        rollout.begin([0], [replace(start(1), seed=seed)])
        blocks.append(run(rollout, plan(4, 1))[-1])
    assert torch.equal(blocks[0].frames, blocks[1].frames)
    assert torch.equal(blocks[0].reward, blocks[1].reward)
    assert not torch.equal(blocks[0].frames, blocks[2].frames)


def test_actions_text_goal_and_world_reach_the_prediction(simulator: WorldSimulator) -> None:
    def after(action: str = "forward", text: LaneText = TEXT, spec: WorldSpec = ROOMS, event: str = "") -> Block:
        rollout = engine(simulator)
        rollout.begin([0], [replace(start(1, spec), text=text)])
        if event:
            rollout.set_text([0], [event], "event", 4)
        return run(rollout, [[ACTION_ID[action]]], spec)[0]

    base = after()
    assert differ(base, after(action="turn_left")) > 1e-3
    assert differ(base, after(text=replace(TEXT, scene="Doom rooms: a hall"))) > 1e-4
    assert differ(base, after(text=replace(TEXT, view="a blue wall"))) > 1e-4
    assert differ(base, after(event="a red door opens")) > 1e-4
    goal = after(text=replace(TEXT, goal="collect the red ball"))
    assert differ(base, goal) == 0 and not torch.equal(base.reward, goal.reward)
    assert not torch.equal(base.reward, after(spec=COVER).reward)


def test_text_is_read_anew_whenever_it_changes_and_not_before(simulator: WorldSimulator) -> None:
    rollout = engine(simulator, 2)
    read = rollout.world.read_text
    calls: list[TextTokens] = []

    def counted(text: TextTokens) -> list[TextKV]:
        calls.append(text)
        return read(text)

    def stepped(steps: int) -> int:
        """How often all lanes' text is read anew in so many steps, each of which reads what is so."""
        before = len(calls)
        for row in plan(steps, 2):
            rollout.step(*controls(ROOMS, row))
            text = rollout._text.tokens()
            for kept, fresh in zip(text.read or [], read(text), strict=True):
                assert torch.equal(kept[0], fresh[0]) and torch.equal(kept[1], fresh[1])
        return sum(len(text.goal) == 2 for text in calls[before:])

    bare = LaneText("Doom rooms: a maze of rooms")
    with patch.object(rollout.world, "read_text", counted):
        rollout.begin([0, 1], [start(1, text=bare), start(2, text=bare)])
        assert stepped(4) == 1
        rollout.set_text([1], ["a red door opens"], "event", 2)
        assert stepped(6) == 3  # of the event, of the same after a step, of nothing again
        rollout.begin([0], [start(3, text=bare)])
        assert stepped(3) == 1
        rollout.set_text([0], ["a blue wall"], "view")
        assert stepped(5) == 6  # a view grows older, with each step
        state = rollout.get_state(0)
        rollout.begin([0, 1], [start(1, text=bare), start(2, text=bare)])
        rollout.set_state(1, state)
        assert stepped(3) == 4


def test_a_long_event_ends_though_another_lane_is_shown_a_view_meanwhile(simulator: WorldSimulator) -> None:
    memory = TextMemory(simulator.world, 2, torch.device("cpu"))
    memory.begin([0, 1], [LaneText("Doom rooms"), LaneText("Doom rooms")], [0, 0])
    calm = memory.event.clone()
    memory.set([0], ["a red door opens"], "event", 600)
    memory.set([1], ["a blue wall"], "view", 1)
    for _ in range(599):
        memory.advance()
    assert not torch.equal(memory.event, calm) and memory.event_left.tolist() == [1, 0]
    memory.advance()
    assert torch.equal(memory.event, calm) and memory.age.tolist() == [-1, 525]


def test_an_event_reverts_and_a_scene_clears_the_view(simulator: WorldSimulator) -> None:
    rollout = engine(simulator)
    rollout.begin([0], [start(1)])
    memory = rollout._text
    calm = memory.event.clone()
    rollout.set_text([0], ["a red door opens"], "event", 2)
    run(rollout, plan(1, 1))
    assert not torch.equal(memory.event, calm)
    run(rollout, plan(1, 1))
    assert torch.equal(memory.event, calm)
    assert int(memory.age[0]) == 3  # the reset frame had age 0, the next latent has 3
    rollout.set_text([0], ["Doom rooms: a hall"], "scene")
    assert int(memory.age[0]) == -1
    rollout.set_text([0], ["a blue wall"], "view")
    assert int(memory.age[0]) == 0
    with pytest.raises(ValueError, match="kind='mood'"):
        rollout.set_text([0], ["x"], "mood")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="at least one step"):
        rollout.set_text([0], ["a door opens"], "event", 0)


@pytest.mark.parametrize(
    ("blocks", "first", "window"), [(3, 1, None), (3, 0, None), (9, 1, None), (9, 0, None), (5, 0, 3)]
)
def test_given_frames_fill_the_ring_as_the_full_history(
    simulator: WorldSimulator, blocks: int, first: int, window: int | None
) -> None:
    """Prefixes from a reset frame on or from the middle, shorter and longer than the window."""
    video, actions = picture(1, first + 4 * blocks), [a for (a,) in plan(blocks, 1)]
    cached = engine(simulator, context_noise=0.15, window=window)
    shown = cached.begin([0], [LaneStart(ROOMS, 5, TEXT, video, np.array(actions))])
    assert torch.equal(shown.frames[0], torch.from_numpy(video[-1:]).expand(4, -1, -1, -1))
    plain = Uncached(simulator, 5, 0.15, 2, video, actions, window)
    for action in (1, 5):
        block = cached.step(*controls(ROOMS, [action]))
        assert float((block.latent - plain.step(action, "")[0]).abs().max()) < 1e-4


@pytest.mark.parametrize(
    ("frames", "actions", "message"),
    [
        (picture(0, 3), np.zeros(1, np.int64), "takes 5 or 4 frames"),
        (picture(0, 4), np.zeros(0, np.int64), "takes 1 frames"),
        (picture(0, 1)[:, :32], np.zeros(0, np.int64), r"expected uint8 \(F, 64, 64, 3\)"),
        (picture(0, 1).astype(np.float32), np.zeros(0, np.int64), "start frames are float32"),
        (None, np.zeros(2, np.int64), "without the frames"),
    ],
)
def test_wrong_starts_are_refused_and_change_nothing(
    simulator: WorldSimulator, frames: np.ndarray | None, actions: np.ndarray, message: str
) -> None:
    rollout, same = engine(simulator, 2), engine(simulator, 2)
    for e in (rollout, same):
        e.begin([0, 1], [start(1), start(2)])
    with pytest.raises(ValueError, match=message):
        rollout.begin([0, 1], [start(3), LaneStart(ROOMS, 1, TEXT, frames, actions)])
    assert differ(run(rollout, plan(1, 2))[0], run(same, plan(1, 2))[0]) == 0


def test_a_text_start_follows_its_text_and_its_seed(any_simulator: WorldSimulator) -> None:
    def begun(seed: int, scene: str) -> Block:
        return engine(any_simulator, 2).begin([1], [LaneStart(ROOMS, seed, LaneText(scene))])

    first, again = begun(1, "Doom rooms: a hall"), begun(1, "Doom rooms: a hall")
    assert torch.equal(first.frames, again.frames) and first.frames.shape == (1, 4, 64, 64, 3)
    assert torch.equal(first.frames[:, :1].expand(-1, 4, -1, -1, -1), first.frames)
    assert differ(first, begun(2, "Doom rooms: a hall")) > 0.01
    assert differ(first, begun(1, "Doom rooms: a maze")) > 1e-4
    assert float(first.hallucination) > 0


@pytest.mark.parametrize("offset", [0, 4])
def test_a_restored_lane_goes_on_as_if_uninterrupted(any_simulator: WorldSimulator, offset: int) -> None:
    actions = plan(14, 1)
    rollout = engine(any_simulator, 2)
    rollout.begin([0, 1], [start(1), start(2)])
    run(rollout, [[a, 0] for (a,) in actions[:7]])
    rollout.set_text([0], ["a red door opens"], "event", 3)
    run(rollout, [[a, 0] for (a,) in actions[7:8]])
    state = rollout.get_state(0)
    expected = run(rollout, [[a, 0] for (a,) in actions[8:]])
    other = engine(any_simulator, 3)
    other.begin([0, 1, 2], [start(8), start(9), start(10)])
    run(other, plan(offset, 3))
    other.set_state(2, state)
    for block, (a,) in zip(expected, actions[8:]):
        now = run(other, [[0, 0, a]])[0]
        assert differ(block, now, 0, 2) < 1e-4
        assert float((block.reward[0] - now.reward[2]).abs()) < 1e-2


def test_a_state_restored_in_place_is_exact(any_simulator: WorldSimulator) -> None:
    rollout = engine(any_simulator)
    rollout.begin([0], [start(1)])
    run(rollout, plan(8, 1))
    state = rollout.get_state(0)
    slot = rollout._ring.slot
    expected = run(rollout, plan(3, 1, seed=1))
    rollout._ring.slot = slot
    rollout.set_state(0, state)
    assert all(torch.equal(a.frames, b.frames) for a, b in zip(expected, run(rollout, plan(3, 1, seed=1))))


def test_a_state_of_another_model_or_size_is_refused(simulator: WorldSimulator) -> None:
    rollout = engine(simulator)
    with pytest.raises(ValueError, match="lane 0 has not begun"):
        rollout.get_state(0)
    rollout.begin([0], [start(1)])
    state = rollout.get_state(0)
    with pytest.raises(ValueError, match=f"takes version {STATE_VERSION} of model {simulator.digest}"):
        rollout.set_state(0, {**state, "digest": "0" * 12})
    with pytest.raises(ValueError, match="another size"):
        engine(simulator, frame_size=(32, 64)).set_state(0, state)


def test_a_lane_that_is_not_finite_is_reported_alone_and_recovers(any_simulator: WorldSimulator) -> None:
    actions = plan(3, 2)
    rollout, healthy = engine(any_simulator, 2), engine(any_simulator, 2)
    for e in (rollout, healthy):
        e.begin([0, 1], [start(1), start(2)])
    with torch.inference_mode():
        rollout._ring.past[1] = float("nan")
    for row in actions:
        block, expected = rollout.step(*controls(ROOMS, row)), healthy.step(*controls(ROOMS, row))
        assert block.valid.tolist() == [True, False]
        assert torch.equal(block.frames[0], expected.frames[0])
        for tensor in (block.latent, block.reward, block.termination, block.hallucination):
            assert bool(torch.isfinite(tensor).all())
        assert not block.terminated[1]
    rollout.begin([1], [start(2)])
    assert run(rollout, actions[:1])[0].valid.all()


def test_hallucination_needs_two_denoising_steps(simulator: WorldSimulator) -> None:
    for steps, known in ((1, False), (2, True), (4, True)):
        rollout = engine(simulator, denoising_steps=steps)
        rollout.begin([0], [start(1)])
        value = float(run(rollout, plan(1, 1))[0].hallucination)
        assert np.isnan(value) != known and (not known or value > 0)


def test_sampled_rewards_agree_with_their_distribution(simulator: WorldSimulator) -> None:
    lanes = 96
    rollout = engine(simulator, lanes, reward="sample", denoising_steps=1)
    rollout.begin(range(lanes), [replace(start(1), seed=seed) for seed in range(lanes)])
    block = run(rollout, [[1] * lanes])[0]
    mean = block.reward_distribution.mean(0)
    values = rollout.reward_values
    counts = torch.stack([(block.reward - v).abs() < 1e-5 for v in values]).float().mean(1)
    assert float((counts - mean).abs().max()) < 0.15
    share = float(block.terminated.float().mean())
    assert abs(share - float(block.termination.mean())) < 0.05


def test_frames_of_other_sizes_and_worlds_of_single_frames(simulator: WorldSimulator) -> None:
    rollout = engine(simulator, 2, frame_size=(32, 96))
    turn_based = replace(ROOMS, frames_per_step=1, fps=5.0)
    frames = np.zeros((1, 32, 96, 3), np.uint8)
    rollout.begin([0, 1], [LaneStart(ROOMS, 1, TEXT, frames), LaneStart(turn_based, 1, TEXT, frames)])
    block = run(rollout, plan(1, 2))[0]
    assert block.frames.shape == (2, 4, 32, 96, 3) and block.latent.shape == (2, 4, 8, 24)
    assert not torch.equal(block.frames[0, 0], block.frames[0, 3])
    assert torch.equal(block.frames[1, 0], block.frames[1, 3])


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"lanes": 0}, "at least one lane"),
        ({"denoising_steps": 0}, "denoising_steps=0"),
        ({"context_noise": 1.0}, "0 to below 1"),
        ({"temperature": 1.5}, "temperature=1.5; accepted is 0 to 1"),
        ({"cache_mode": "none"}, "'renoise' and 'reuse'"),
        ({"reward": "best"}, "'expected' and 'sample'"),
        ({"frame_size": (60, 64)}, "multiples of 16"),
        ({"window": 0}, "window=0: this model was trained on 6 latents; accepted are 1 to 6"),
        ({"window": 7}, "window=7: this model was trained on 6 latents"),
    ],
)
def test_wrong_arguments_are_refused(simulator: WorldSimulator, wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        RolloutEngine(simulator, **wrong)


def test_a_cold_engine_draws_nothing(simulator: WorldSimulator) -> None:
    """At temperature 0 and without context noise a step is a function of the past: seeds no longer matter."""

    def latents(**kwargs: Any) -> torch.Tensor:
        rollout = engine(simulator, 2, context_noise=0.0, **kwargs)
        rollout.begin([0, 1], [replace(start(1), seed=seed) for seed in (5, 6)])
        return rollout.step(*controls(ROOMS, [1, 1])).latent

    cold, warm = latents(temperature=0.0), latents()
    assert torch.allclose(cold[0], cold[1], atol=1e-5)
    assert not torch.allclose(warm[0], warm[1], atol=1e-2)


def test_step_sizes_are_named_only_where_they_were_trained() -> None:
    plain, shortcut = (engine(debug_simulator(shortcut=s)) for s in (False, True))
    assert all(plain._step_size(1, k) is None for k in (1, 2, 4, 8))
    sizes = {k: shortcut._step_size(1, k) for k in (1, 2, 3, 4, 8, 16)}
    named = {k: None if size is None else int(size[0, 0]) for k, size in sizes.items()}
    assert named == {1: 3, 2: 2, 3: None, 4: 1, 8: 0, 16: None}


def test_reconstruction_is_the_codec_alone(simulator: WorldSimulator) -> None:
    frames = torch.from_numpy(picture(1, 8)).reshape(2, 4, 64, 64, 3)
    out = engine(simulator).reconstruct(frames)
    expected = simulator.codec.decode(simulator.codec.encode(frames), 4)
    assert out.dtype == torch.uint8 and torch.equal(out, expected)


def test_surprise_judges_each_block_by_its_past_and_its_action(simulator: WorldSimulator) -> None:
    video, actions = picture(1, 1 + 4 * 3), np.array([1, 5, 1])
    rollout = engine(simulator)
    rollout.begin([0], [start(1)])

    def judged(video: np.ndarray, actions: np.ndarray, noises: int = 2) -> torch.Tensor:
        return rollout.surprise(LaneStart(ROOMS, 5, LaneText(TEXT.scene), video, actions), noises)

    base = judged(video, actions)
    assert base.shape == (3,) and bool((base > 0).all()) and torch.equal(base, judged(video, actions))
    other_action = judged(video, np.array([1, 5, 6]))
    assert torch.equal(other_action[:2], base[:2]) and other_action[2] != base[2]
    other_end = video.copy()
    other_end[-4:] = 0
    assert torch.equal(judged(other_end, actions)[:2], base[:2])
    middle = judged(video[1:], actions)
    assert middle.shape == (3,) and not torch.equal(middle, base)
    untouched = engine(simulator)
    untouched.begin([0], [start(1)])
    assert differ(run(rollout, plan(1, 1))[0], run(untouched, plan(1, 1))[0]) == 0
    with pytest.raises(ValueError, match="given frames"):
        rollout.surprise(LaneStart(ROOMS, 5))


def test_films_that_are_judged_together_surprise_as_each_alone(simulator: WorldSimulator) -> None:
    rollout = engine(simulator)
    text = LaneText(TEXT.scene)
    films = [LaneStart(ROOMS, 5, text, picture(i, 9), np.array([i, 3])) for i in range(3)]
    together, alone = rollout.surprises(films, 2), torch.stack([rollout.surprise(film, 2) for film in films])
    assert together.shape == (3, 2) and together.dtype == torch.float32
    torch.testing.assert_close(together, alone, rtol=1e-4, atol=1e-6)
    assert torch.equal(rollout.surprises(films[:1], 2)[0], alone[0])
    late = rollout.surprises(films, 2, first=1)
    assert late[:, 0].isnan().all() and torch.equal(late[:, 1], together[:, 1])
    for first in (-1, 2):
        with pytest.raises(ValueError, match=f"first={first} of 2 blocks"):
            rollout.surprises(films, 2, first=first)
    twice = rollout.surprises([films[0], films[1], films[0]], 2)
    assert torch.equal(twice[0], twice[2])
    with pytest.raises(ValueError, match="given frames"):
        rollout.surprises([])
    with pytest.raises(ValueError, match="9 start frames with 1 actions"):
        rollout.surprises([*films, replace(films[0], actions=np.array([1]))])
    short = LaneStart(ROOMS, 5, text, picture(0, 5), np.array([1]))
    with pytest.raises(ValueError, match="one world and length"):
        rollout.surprises([*films, short], 2)


def test_films_that_begin_alike_are_judged_as_one_until_they_part(
    simulator: WorldSimulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    rollout, stories, lanes = engine(simulator), (picture(0, 13), picture(1, 13)), list[int]()
    denoise = rollout._denoise

    def counted(z: torch.Tensor, *more: Any) -> torch.Tensor:
        lanes.append(len(z))
        return denoise(z, *more)

    monkeypatch.setattr(rollout, "_denoise", counted)
    crossed = [np.concatenate([past[:9], ending[9:]]) for past in stories for ending in stories]
    films = [LaneStart(ROOMS, 5, LaneText(TEXT.scene), frames, np.array([1, 5, 1])) for frames in crossed]
    together = rollout.surprises(films, 2)
    assert lanes == [4, 4, 8]  # two pasts under two draws of noise, then four films
    assert torch.equal(together[0, :2], together[1, :2]) and together[0, 2] != together[1, 2]
    alone = torch.stack([rollout.surprise(film, 2) for film in films])
    torch.testing.assert_close(together, alone, rtol=1e-4, atol=1e-6)
    other = replace(films[1], actions=np.array([2, 5, 1]))  # another command first: another film from there on
    lanes.clear()
    rollout.surprises([films[0], other], 1)
    assert lanes == [2, 2, 2]


def test_surprise_is_the_error_of_the_first_prediction(simulator: WorldSimulator) -> None:
    """Against the uncached network: pure noise at the newest latent, the noised true past before it."""
    video, actions = picture(1, 1 + 4 * 2), [1, 5]
    plain = Uncached(simulator, 5, 0.15, 1, video[:5], actions[:1])
    plain.ages = [-1, -2]  # no view at all, in the past and now
    text = LaneText(TEXT.scene, TEXT.view)
    rollout = engine(simulator, context_noise=0.15)
    plain.t = 1  # the second block is the third latent of the prefix
    x, _ = plain.step(actions[1], "")
    latent = simulator.codec.encode(torch.from_numpy(video[None, 5:]))
    judged = rollout.surprise(LaneStart(ROOMS, 5, text, video, np.array(actions)))
    bounded = float((x - latent).square().mean())
    assert float(judged[1]) == pytest.approx(bounded, rel=0.05)  # the rollout clamps what it predicts


def test_a_memory_shows_the_last_frame_and_remembers_what_it_shows() -> None:
    """The frame that a lane begins with is seen a step later, and the latent that goes on is that of what is shown."""
    simulator = debug_simulator(memory=True)
    latents = []
    for first in (picture(1), picture(2)):
        rollout = engine(simulator, context_noise=0.0)
        rollout.begin([0], [replace(start(1), frames=picture(1))])
        with torch.inference_mode():
            assert rollout.pictures.screen is not None
            rollout.pictures.screen.canvas[:] = larger((torch.from_numpy(first) / 127.5 - 1).permute(0, 3, 1, 2))
        block = run(rollout, [[1]])[0]
        again = simulator.codec.encode(block.frames).clamp(-4, 4)
        assert float((again - block.latent).abs().max()) < 0.05  # frames are rounded to 8 bits
        assert torch.equal(rollout._ring.past[:, 0], block.latent)
        latents.append(block.latent)
    assert float((latents[0] - latents[1]).abs().max()) > 0.05


def test_worlds_of_one_frame_per_step_are_remembered_as_images() -> None:
    simulator = debug_simulator(memory=True)
    crafter = WORLDS["Crafter"]
    mixed = engine(simulator, 2)
    mixed.begin([0, 1], [start(1), start(2, crafter)])
    block = run(mixed, [[0, 0]])[0]
    assert torch.equal(block.frames[1], block.frames[1, :1].expand(4, -1, -1, -1))
    image = simulator.codec.encode(block.frames[1:, -1:]).clamp(-4, 4)
    assert float((image - block.latent[1:]).abs().max()) < 0.05
    alone = engine(simulator)
    alone.begin([0], [start(2, crafter)])
    assert differ(block, run(alone, [[0]], crafter)[0], 1, 0) < 1e-4


def test_without_noise_more_passes_change_nothing_but_how_sure_the_model_says_it_is() -> None:
    simulator = debug_simulator()
    blocks = []
    for steps in (1, 4):
        rollout = engine(simulator, denoising_steps=steps, temperature=0.0)
        rollout.begin([0], [start(1)])
        blocks.append(run(rollout, plan(3, 1)))
    for one, four in zip(*blocks):
        assert differ(one, four) < 1e-4
        assert torch.isnan(one.hallucination).all() and torch.isfinite(four.hallucination).all()


@pytest.mark.parametrize(
    "temperature, cache_mode, steps, bare, read",
    [
        (0.0, "renoise", 4, 1, 1),
        (0.0, "renoise", 1, 1, 1),
        (0.0, "reuse", 4, 0, 1),
        (0.0, "reuse", 1, 0, 1),
        (1.0, "renoise", 4, 4, 1),
        (1.0, "reuse", 4, 0, 4),
    ],
)
def test_a_step_makes_no_pass_that_changes_nothing(
    temperature: float, cache_mode: Literal["renoise", "reuse"], steps: int, bare: int, read: int
) -> None:
    """``bare`` passes have no heads, ``read`` ones do."""
    rollout = engine(debug_simulator(), denoising_steps=steps, temperature=temperature, cache_mode=cache_mode)
    rollout.begin([0], [start(1)])
    made = {"bare": 0, "read": 0}

    def counted(name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def run_it(*args: Any) -> Any:
            made[name] += 1
            return call(*args)

        return run_it

    rollout._denoise, rollout._network = counted("bare", rollout._denoise), counted("read", rollout._network)
    block = run(rollout, plan(1, 1))[0]
    assert made == {"bare": bare, "read": read}
    assert bool(torch.isnan(block.hallucination).all()) == (steps == 1)


def test_given_frames_are_remembered_without_a_prediction() -> None:
    rollout = engine(debug_simulator())
    made = list[str]()
    for name in ("_denoise", "_network", "_registers"):
        call = getattr(rollout, name)
        setattr(rollout, name, lambda *args, name=name, call=call: (made.append(name), call(*args))[1])
    rollout.begin([0], [start(1)])
    assert made == ["_registers"]


@pytest.mark.parametrize("memory", [False, True])
def test_an_engine_of_one_pass_says_how_far_what_it_shows_is_from_what_it_expected(memory: bool) -> None:
    simulator = debug_simulator(memory=memory)
    expected: list[torch.Tensor] = []
    rollout = engine(simulator, temperature=0.0, cache_mode="reuse", context_noise=0.0)
    rollout.begin([0], [start(1)])
    network = rollout._network

    def listened(*args: Any) -> Any:
        read = network(*args)
        expected.append(read.x[:, 0].clamp(-4, 4))
        return read

    rollout._network = listened
    block = run(rollout, [[1]])[0]
    shown = simulator.codec.encode(block.frames).clamp(-4, 4)  # frames are rounded to 8 bits
    apart = float((shown - expected[0]).square().mean().sqrt()) / simulator.config.hallucination_reference
    assert float(block.hallucination) == pytest.approx(apart, rel=0.02) and apart > 0.1
    assert torch.equal(rollout._ring.past[:, 0], expected[0]) != memory


def test_how_far_a_lane_is_from_what_it_expected_is_its_own() -> None:
    """A carried world, a drawn one and one of a frame per step, side by side and each alone."""
    made = debug_simulator(memory=True)
    config = replace(made.config, drawn=("DoomTakeCover",))
    simulator = WorldSimulator(config, made.codec, made.world, made.bank, made.player, made.referee)
    options = {"temperature": 0.0, "cache_mode": "reuse"}
    specs = [ROOMS, COVER, WORLDS["Crafter"]]
    together = engine(simulator, 3, **options)
    together.begin([0, 1, 2], [start(i, spec) for i, spec in enumerate(specs)])
    beside = run(together, [[0, 0, 0]] * 2)
    for i, spec in enumerate(specs):
        alone = engine(simulator, **options)
        alone.begin([0], [start(i, spec)])
        for both, one in zip(beside, run(alone, [[0]] * 2, spec)):
            assert float(both.hallucination[i]) == pytest.approx(float(one.hallucination), rel=1e-3)
            assert float(one.hallucination) > 0


def test_the_engine_takes_the_cache_mode_of_its_model() -> None:
    simulator = debug_simulator()
    config = replace(simulator.config, cache_mode="reuse")
    kept = WorldSimulator(config, simulator.codec, simulator.world, simulator.bank, simulator.player, simulator.referee)
    blind = {"temperature": 0.0}
    assert engine(kept, **blind).cache_mode == "reuse"
    assert engine(kept, cache_mode="renoise", **blind).cache_mode == "renoise"
    assert engine(kept, temperature=0.5).cache_mode == "renoise"  # what it has not learned
    assert engine(simulator, **blind).cache_mode == "renoise" and kept.digest != simulator.digest
    with pytest.raises(ValueError, match="cache_mode='twice'"):
        replace(simulator.config, cache_mode="twice")


def recalling_simulator() -> WorldSimulator:
    """Its decoder fetches every pixel from outside of the last frame, which only a panorama can answer; one step
    forward is a metre ahead, one backward a metre back, at once."""
    made = debug_simulator(memory=True)
    simulator = WorldSimulator.create(replace(made.config, worlds=("DoomRooms", "Table")))
    simulator.codec.load_state_dict(made.codec.state_dict())
    memory = simulator.codec.memory
    assert memory is not None
    with torch.no_grad():
        for parameter in memory.parameters():
            parameter.zero_()
        memory.flow.rest.bias.fill_(100.0)
        memory.out.bias[:16] = -100.0  # the memory alone would draw everything
        for unit, (key, metres) in enumerate((("forward", 1.0), ("backward", -1.0))):
            memory.flow.travel[0].weight[unit, KEY_BIT[key]] = 10.0
            memory.flow.travel[2].weight[2, unit] = metres / 40
    return simulator


def mirrored_ramps() -> np.ndarray:
    """A picture of which every part is different: uint8 ``(64, 64, 3)``."""
    across = np.linspace(0, 255, 64)[None, :, None].repeat(64, 0)
    return np.concatenate([across, across[::-1, ::-1], np.full_like(across, 90)], axis=2).astype(np.uint8)


def is_shown(rollout: RolloutEngine, frame: np.ndarray, lane: int = 0) -> bool:
    """Whether the right half of a lane's picture, away from its rim, is that of ``frame``."""
    assert rollout.pictures.screen is not None
    wanted = larger(torch.from_numpy(frame).permute(2, 0, 1)[None] / 127.5 - 1)
    return float((wanted - rollout.pictures.screen.canvas[lane])[..., 32:96, 32:].abs().mean()) < 0.03


@pytest.mark.parametrize(
    "name, memory, returns",
    [
        ("DoomRooms", "places", True),
        ("DoomRooms", "panorama", True),
        ("DoomRooms", "window", False),
        ("Table", "places", False),
    ],
)
def test_what_a_turn_moved_out_of_view_is_there_when_it_comes_back(name: str, memory: Memory, returns: bool) -> None:
    frame = mirrored_ramps()
    rollout = engine(recalling_simulator(), context_noise=0.0, memory=memory)
    rollout.begin([0], [LaneStart(WORLDS[name], 0, frames=frame[None])])
    for turn in (14.0, 14.0, -14.0, -14.0):
        rollout.step(torch.zeros(1, 32), torch.tensor([[turn, 0.0]]))
        if turn == 14.0:
            state = rollout.get_state(0)
            rollout.begin([0], [LaneStart(WORLDS[name], 1, frames=frame[None, ::-1].copy())])
            rollout.set_state(0, state)
    assert is_shown(rollout, frame) == returns


def test_lanes_that_all_begin_anew_give_the_same_to_the_bit(simulator: WorldSimulator) -> None:
    """Wherever the ring stood before, in float32, where a sum in another order is another number."""
    rollout, made = engine(simulator, 2), list[list[np.ndarray]]()
    for _ in range(2):
        rollout.begin([0, 1], [start(1), start(2)])
        blocks = [rollout.step(*controls(ROOMS, [i % 3, 1])) for i in range(5)]
        made.append([x.numpy().copy() for b in blocks for x in (b.latent, b.reward, b.frames)])
    assert all((a == b).all() for a, b in zip(*made, strict=True))


@pytest.mark.parametrize("memory, returns", [("places", True), ("panorama", False), ("window", False)])
def test_one_who_walks_away_and_comes_back_finds_what_was_there(memory: Memory, returns: bool) -> None:
    """Six metres off with one's back to it, and home; half of it in another lane of another engine. Who has no body
    goes a metre at a step from the first on."""
    frame, free = mirrored_ramps(), replace(ROOMS, body=0.0)
    simulator = recalling_simulator()
    first, second = (engine(simulator, lanes, context_noise=0.0, memory=memory) for lanes in (1, 2))
    first.begin([0], [LaneStart(free, 0, frames=frame[None])])
    still = torch.zeros(1, 32)
    keys = {name: still.clone() for name in ("forward", "backward")}
    for name, key in keys.items():
        key[:, KEY_BIT[name]] = 1.0
    there, straight = torch.tensor([[180.0, 0.0]]), torch.zeros(1, 2)
    first.step(still, there)
    for _ in range(6):
        first.step(keys["forward"], straight)
    second.begin([0, 1], [LaneStart(free, 1, frames=picture(3)), LaneStart(free, 2, frames=picture(4))])
    second.set_state(1, first.get_state(0))
    for _ in range(6):
        second.step(keys["backward"].expand(2, -1), straight.expand(2, -1))
    assert not is_shown(second, frame, 1)
    second.step(still.expand(2, -1), there.expand(2, -1))
    assert is_shown(second, frame, 1) == returns
    assert second.pictures.screen is not None
    if memory == "places":
        assert second.pictures.screen.panorama is not None
        assert torch.allclose(second.pictures.screen.panorama.place[1], torch.zeros(3), atol=1e-3)


def test_a_memory_that_a_model_cannot_serve_and_a_state_of_another_are_refused() -> None:
    with pytest.raises(ValueError, match="memory='places'; this model can serve 'window'"):
        engine(debug_simulator(), memory="places")
    simulator = debug_simulator(memory=True)
    near, far = engine(simulator, memory="window"), engine(simulator)
    assert far.memory == "places"
    near.begin([0], [start(1)])
    far.begin([0], [start(1)])
    with pytest.raises(ValueError, match="memory='window'; this one's is 'places'"):
        far.set_state(0, near.get_state(0))


def test_a_shorter_window_sees_what_it_holds_and_no_further(simulator: WorldSimulator) -> None:
    """Two pasts that differ in their first frame alone: told apart only while its latent is held."""

    def last_step(window: int, steps: int) -> list[torch.Tensor]:
        found = []
        for shade in (0, 200):
            frames = np.concatenate([np.full((1, 64, 64, 3), shade, np.uint8), picture(3, 4 * steps)])
            rollout = engine(simulator, context_noise=0.0, temperature=0.0, window=window)
            rollout.begin([0], [LaneStart(ROOMS, 1, TEXT, frames, np.zeros(steps, np.int64))])
            found.append(rollout.step(*controls(ROOMS, [1])).latent)
        return found

    assert torch.equal(*last_step(2, 4))
    assert not torch.equal(*last_step(6, 4))


def test_a_state_goes_to_an_engine_of_the_same_window_alone(simulator: WorldSimulator) -> None:
    short, same, whole = engine(simulator, window=3), engine(simulator, window=3), engine(simulator)
    short.begin([0], [start(1)])
    run(short, plan(5, 1))
    state = short.get_state(0)
    expected = run(short, plan(2, 1, seed=1))
    with pytest.raises(ValueError, match="window=3; this one's is 6"):
        whole.set_state(0, state)
    with pytest.raises(ValueError, match="cache_mode='renoise'; this one's is 'reuse'"):
        engine(simulator, window=3, cache_mode="reuse").set_state(0, state)
    same.set_state(0, state)
    assert all(differ(a, b) < 1e-4 for a, b in zip(expected, run(same, plan(2, 1, seed=1))))


def test_what_a_lane_shows_is_its_own_however_the_others_begin() -> None:
    """Lanes of a model with a memory, with different pasts, one begun anew, each beside a lane alone."""
    simulator = debug_simulator(memory=True)
    turns = plan(6, 2, seed=4)
    long = replace(start(2), frames=picture(2, 9), actions=np.array([5, 6]))
    pair, alone = engine(simulator, 2), [engine(simulator), engine(simulator)]
    pair.begin([0, 1], [start(1), long])
    for rollout, begun in zip(alone, (start(1), long)):
        rollout.begin([0], [begun])
    for step, row in enumerate(turns):
        if step == 3:
            pair.begin([1], [start(7)])
            alone[1].begin([0], [start(7)])
        block = run(pair, [row])[0]
        for lane in (0, 1):
            single = run(alone[lane], [[row[lane]]])[0]
            assert differ(block, single, lane, 0) < 1e-3
            assert (block.frames[lane].int() - single.frames[0].int()).abs().float().mean() < 0.05


def test_in_a_drawn_world_nothing_is_carried_whatever_stands_in_the_lanes_beside() -> None:
    """A drawn lane goes on from what it predicts, as in a model without a memory, alone and beside a carried lane,
    whose picture is still its own; a state that goes to another lane stays drawn."""
    made = debug_simulator(memory=True)
    drawing = made.with_drawn(("DoomTakeCover",))
    assert drawing.digest != made.digest
    cover = WORLDS["DoomTakeCover"]
    begun = [start(1), start(2, cover)]
    pair, alone, carried = engine(drawing, 2), engine(drawing), engine(made)
    pair.begin([0, 1], begun)
    alone.begin([0], begun[1:])
    carried.begin([0], begun[:1])
    other = engine(drawing, 2)
    other.begin([0, 1], [start(5, cover), start(6)])
    for step in range(4):
        block, single, beside = run(pair, [[1, 3]])[0], run(alone, [[3]], cover)[0], run(carried, [[1]])[0]
        assert differ(block, single, 1, 0) < 1e-3 and differ(block, beside, 0, 0) < 1e-3
        drawn = drawing.codec.decode(single.latent, 4)
        assert (drawn.int() - single.frames.int()).abs().max() <= 1
        if step == 1:
            other.set_state(1, pair.get_state(1))
    run(other, [[1, 3]])
    assert differ(run(other, [[1, 3]])[0], block, 1, 1) < 1e-3
    own = engine(made)
    own.begin([0], begun[1:])
    assert differ(run(own, [[3]] * 4, cover)[-1], single, 0, 0) > 0.05
    with pytest.raises(ValueError, match="Mars is none of the worlds"):
        replace(made.config, drawn=("Mars",))
