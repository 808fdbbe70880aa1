"""``SoraWorldEnv``, one world: Gymnasium's and Stable-Baselines3's checkers, starts, flags, prompts,
state."""

from __future__ import annotations

import json
import math
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium.utils.env_checker import check_env
from worldsim_envs.sora import SoraWorldEnv, SoraWorldVectorEnv
from worldsim_envs.sora import lanes as lanes_module
from worldsim_envs.sora.serving import Serving, named

import worldsim  # noqa: F401  (registers the environments)
from worldsim.model import packaged
from worldsim.model.debug import debug_simulator
from worldsim.model.weights import WorldSimulator

INFO = {"frames", "n_frames", "goal", "prompt", "hallucination", "invalid", "model"}


@pytest.fixture(scope="module")
def simulator() -> WorldSimulator:
    return debug_simulator(termination=0.001)


@pytest.fixture(scope="module")
def folder(simulator: WorldSimulator, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return simulator.save_pretrained(tmp_path_factory.mktemp("models") / "tiny")


def make(simulator: WorldSimulator, **given: Any) -> SoraWorldEnv:
    return SoraWorldEnv(**{"model": simulator, "denoising_steps": 2, **given})


def play(env: SoraWorldEnv, actions: list[int], seed: int = 1, **options: Any) -> list[np.ndarray]:
    observations = [env.reset(seed=seed, options=options or None)[0]]
    return observations + [env.step(np.int64(a))[0] for a in actions]


@pytest.mark.parametrize("given", [{}, {"obs_type": "latent"}, {"prompt": "red walls", "time_limit": 2}])
def test_gymnasium_s_checker_passes(folder: Path, given: dict[str, Any]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        shared = {"model": str(folder), "denoising_steps": 2, "render_mode": "rgb_array"}
        env = gym.make("SoraWorld-v0", disable_env_checker=True, **shared, **given)
        warnings.filterwarnings("ignore", message=".*minimum value is -infinity|.*maximum value is infinity")
        warnings.filterwarnings("ignore", message=".*lower bound is -inf|.*upper bound is inf|.*unbounded")
        check_env(env.unwrapped)


@pytest.mark.parametrize("obs_type", ["rgb", "latent"])
def test_stable_baselines_checker_passes(simulator: WorldSimulator, obs_type: str) -> None:
    checker = pytest.importorskip("stable_baselines3.common.env_checker")
    checker.check_env(make(simulator, obs_type=obs_type, world="DoomTakeCover", actions="world"))


def test_both_ways_to_make_it(folder: Path) -> None:
    for name in ("SoraWorld-v0", "worldsim:SoraWorld-v0"):
        env = gym.make(name, model=str(folder))
        assert isinstance(env.unwrapped, SoraWorldEnv)
        assert json.loads(env.spec.to_json())["kwargs"]["model"] == str(folder)  # type: ignore[union-attr]


def test_reset_and_step_return_what_the_conventions_say(simulator: WorldSimulator) -> None:
    env = make(simulator, render_mode="rgb_array")
    observation, info = env.reset(seed=3)
    assert set(info) == INFO
    assert info["frames"].shape == (1, 64, 64, 3) and info["n_frames"] == 1
    assert np.array_equal(observation, info["frames"][-1])
    assert info["model"] == simulator.digest == env.metadata["model"]
    assert env.metadata["render_fps"] == 35 / 4
    observation, reward, terminated, truncated, info = env.step(np.int64(1))
    assert set(info) == INFO
    assert info["frames"].shape == (4, 64, 64, 3) and info["n_frames"] == 4
    assert np.array_equal(observation, info["frames"][-1]) and np.array_equal(env.render(), observation)
    assert isinstance(reward, float) and (terminated, truncated) == (False, False)
    assert info["hallucination"] > 0 and info["invalid"] is False
    assert env.last_step_seconds > 0 and env.action_meanings[10] == "attack"
    assert env.last_predictions["reward_distribution"].sum() == pytest.approx(1, abs=1e-3)


def test_a_bank_start_shows_its_frame_and_seeds_choose_it(simulator: WorldSimulator) -> None:
    env, bank = make(simulator), simulator.bank
    assert bank is not None
    shown = {env.reset(seed=seed)[0].tobytes() for seed in range(12)}
    assert shown == {frame.tobytes() for frame in bank.frames["DoomRooms"]}


def test_equal_seeds_repeat_and_resets_without_a_seed_go_on(simulator: WorldSimulator) -> None:
    env, other = make(simulator), make(simulator)
    for a, b in zip(play(env, [1, 5, 9]), play(other, [1, 5, 9])):
        assert np.array_equal(a, b)
    first, second = env.reset()[1]["frames"], other.reset()[1]["frames"]
    assert np.array_equal(first, second)
    assert not np.array_equal(play(env, [1])[1], play(env, [1], seed=2)[1])


def test_an_action_that_the_world_does_not_read_is_noop(simulator: WorldSimulator) -> None:
    jump, noop = play(make(simulator), [11]), play(make(simulator), [0])
    assert np.array_equal(jump[1], noop[1])
    assert not np.array_equal(noop[1], play(make(simulator), [1])[1])


def test_the_world_s_own_actions_are_the_same_ids_fewer(simulator: WorldSimulator) -> None:
    few = make(simulator, world="DoomBasic", actions="world")
    full = make(simulator, world="DoomBasic")
    assert few.action_meanings == ("noop", "strafe_left", "strafe_right", "attack")
    assert np.array_equal(play(few, [3])[1], play(full, [10])[1])


def test_held_keys_and_camera_are_the_action_that_they_make(simulator: WorldSimulator) -> None:
    env, other = make(simulator), make(simulator)
    env.reset(seed=1)
    other.reset(seed=1)
    assert np.array_equal(env.step(np.int64(13))[0], other.step_controls(1, (14.0, 0.0))[0])
    with pytest.raises(ValueError, match="two finite angles"):
        other.step_controls(1, (float("nan"), 0.0))


@pytest.mark.parametrize("action", [32, -1, 1.5, np.array([1]), "1", None])
def test_wrong_actions_are_refused_and_change_nothing(simulator: WorldSimulator, action: Any) -> None:
    env, same = make(simulator), make(simulator)
    env.reset(seed=1)
    same.reset(seed=1)
    with pytest.raises(ValueError, match=r"Discrete\(32\)"):
        env.step(action)
    assert np.array_equal(env.step(np.int64(1))[0], same.step(np.int64(1))[0])


def test_the_time_limit_truncates_and_the_episode_is_over(simulator: WorldSimulator) -> None:
    env = make(simulator, time_limit=2)
    with pytest.raises(RuntimeError, match="call reset"):
        env.step(np.int64(0))
    env.reset(seed=1)
    assert env.step(np.int64(0))[2:4] == (False, False)
    assert env.step(np.int64(0))[2:4] == (False, True)
    with pytest.raises(gym.error.ResetNeeded, match="call reset"):
        env.step(np.int64(0))
    env.reset(seed=1, options={"start": "prompt"})
    assert make(simulator, world="DoomBasic")._lanes.config.time_limit is None
    basic = make(simulator, world="DoomBasic", denoising_steps=1)
    basic.reset(seed=1)
    assert int(basic._lanes._limit[0]) == 75


def test_termination_is_drawn_from_its_probability() -> None:
    env = make(debug_simulator(termination=0.4), time_limit=60)
    lengths, chances = [], []
    for seed in range(12):
        env.reset(seed=seed)
        for t in range(60):
            _, _, terminated, truncated, _ = env.step(np.int64(1))
            chances.append(float(env.last_predictions["termination"][0]))
            if terminated:
                assert not truncated
                lengths.append(t + 1)
                break
    assert len(lengths) == 12
    assert 0.5 < sum(chances) / len(lengths) < 2  # expected terminations over those seen


def test_hallucination_truncates_where_asked(simulator: WorldSimulator) -> None:
    env = make(simulator, truncate_on=1e-6)
    env.reset(seed=1)
    assert env.step(np.int64(0))[2:4] == (False, True)
    env = make(simulator, denoising_steps=1)
    env.reset(seed=1)
    assert math.isnan(env.step(np.int64(0))[4]["hallucination"])


def test_a_world_that_stops_being_finite_is_truncated_with_its_last_frame(simulator: WorldSimulator) -> None:
    env = make(simulator)
    env.reset(seed=1)
    last = env.step(np.int64(1))[0]
    with torch.inference_mode():
        env._lanes.predictor._ring.past.fill_(float("nan"))  # type: ignore[attr-defined]
    observation, reward, terminated, truncated, info = env.step(np.int64(1))
    assert np.array_equal(observation, last) and np.array_equal(info["frames"], np.stack([last] * 4))
    assert (reward, terminated, truncated) == (0.0, False, True)
    assert info["invalid"] is True and info["n_frames"] == 1 and info["hallucination"] > 1e38
    env.reset(seed=1)
    assert np.array_equal(env.step(np.int64(1))[0], last)


def test_frames_and_actions_can_be_given(simulator: WorldSimulator) -> None:
    env = make(simulator)
    video = np.random.default_rng(0).integers(0, 256, (9, 64, 64, 3)).astype(np.uint8)
    observation, _ = env.reset(seed=1, options={"init_frames": video, "init_actions": np.array([1, 5])})
    assert np.array_equal(observation, video[-1])
    env.reset(seed=1, options={"init_frames": video[1:], "init_actions": [1, 5]})
    for frames, actions in (
        (video, [1]),
        (video[:4], None),
        (video.astype(float), [1, 5]),
        (video[:, :32], [1, 5]),
    ):
        with pytest.raises(ValueError, match="frames"):
            env.reset(seed=1, options={"init_frames": frames, "init_actions": actions})


def test_prompts_while_it_runs(simulator: WorldSimulator) -> None:
    def after(**prompt: Any) -> tuple[np.ndarray, str]:
        env = make(simulator)
        env.reset(seed=1)
        if prompt:
            env.set_prompt(**prompt)
        observation, *_, info = env.step(np.int64(1))
        return observation, info["prompt"]

    plain, said = after()
    for prompt in ({"text": "dark blue walls"}, {"text": "a red door opens", "kind": "event", "steps": 2}):
        assert not np.array_equal(after(**prompt)[0], plain)
    assert "blue" in after(text="dark blue walls")[1] and "blue" not in said
    env = make(simulator)
    with pytest.raises(RuntimeError, match="call reset"):
        env.set_prompt("red walls")
    env.reset(seed=1)
    for wrong in (
        {"text": ""},
        {"text": "red walls", "kind": "view"},
        {"text": "x", "kind": "event", "steps": 0},
    ):
        with pytest.raises(ValueError):
            env.set_prompt(**wrong)  # type: ignore[arg-type]


def test_goals_change_the_reward_and_not_the_picture(simulator: WorldSimulator) -> None:
    env = make(simulator)
    assert "collect the red ball" in env.goals
    outcomes = []
    for goal in ("", "collect the red ball"):
        _, info = env.reset(seed=1, options={"goal": goal})
        assert info["goal"] == goal
        outcomes.append(env.step(np.int64(1)))
    assert np.array_equal(outcomes[0][0], outcomes[1][0]) and outcomes[0][1] != outcomes[1][1]


def test_a_prompt_may_choose_another_world_at_reset(simulator: WorldSimulator) -> None:
    env = make(simulator)
    assert env.reset(seed=1)[1]["prompt"].startswith("Doom rooms")
    _, info = env.reset(seed=1, options={"prompt": "doom basic"})
    assert info["prompt"].startswith("Doom basic") and env.spec_world.name == "DoomBasic"
    assert env.goals == ("",)


def test_worlds_that_the_model_was_not_trained_on_are_refused(simulator: WorldSimulator) -> None:
    knows_two = WorldSimulator.create(replace(simulator.config, worlds=("DoomRooms", "DoomBasic")), bank=simulator.bank)
    with pytest.raises(
        ValueError, match=r"Table-v0'.*simulates .*DoomRooms-v0, worldsim/DoomBasic-v0; model='worlds' does$"
    ):
        SoraWorldEnv(world="worldsim/Table-v0", model=knows_two)
    env = SoraWorldEnv(model=knows_two)
    env.reset(seed=0)
    with pytest.raises(ValueError, match="none of the worlds that this model simulates"):
        env.reset(seed=0, options={"prompt": "physics table: a red disc"})


def test_a_saved_state_goes_on_elsewhere(simulator: WorldSimulator) -> None:
    env, other = make(simulator, time_limit=6), make(simulator, time_limit=6)
    play(env, [1, 5, 9])
    state = env.get_state()
    expected = [env.step(np.int64(a)) for a in (1, 6, 1)]
    other.set_state(state)
    for (obs, reward, *flags, info), a in zip(expected, (1, 6, 1)):
        now_obs, now_reward, *now_flags, now_info = other.step(np.int64(a))
        assert np.abs(obs.astype(int) - now_obs).max() <= 2
        assert now_reward == pytest.approx(reward, rel=0.05, abs=0.05)
        assert now_flags == flags and now_info["prompt"] == info["prompt"]
    assert np.array_equal(env.reset()[0], other.reset()[0])


def test_latent_observations_are_the_latents_of_the_frames(simulator: WorldSimulator) -> None:
    env = make(simulator, obs_type="latent")
    observation, info = env.reset(seed=1)
    assert observation.shape == (4, 16, 16) and observation.dtype == np.float32
    expected = simulator.codec.encode(torch.from_numpy(info["frames"][None]))[0].numpy()
    assert np.abs(observation - expected).max() < 0.1


def test_reconstruct_keeps_the_shape_it_was_given(simulator: WorldSimulator) -> None:
    env = make(simulator)
    frames = np.random.default_rng(0).integers(0, 256, (8, 64, 64, 3)).astype(np.uint8)
    blocks = env.reconstruct(frames)
    assert blocks.shape == frames.shape and blocks.dtype == np.uint8
    assert np.array_equal(env.reconstruct(frames.reshape(2, 4, 64, 64, 3)).reshape(frames.shape), blocks)
    assert env.reconstruct(frames[:1]).shape == (1, 64, 64, 3)
    with pytest.raises(ValueError, match="6 frames; expected 1, or a multiple of 4"):
        env.reconstruct(frames[:6])


def test_other_frame_sizes_are_multiples_of_the_stride(simulator: WorldSimulator) -> None:
    env = make(simulator, frame_size=(32, 80))
    observation, _ = env.reset(seed=1)
    assert observation.shape == (32, 80, 3) and env.step(np.int64(1))[0].shape == (32, 80, 3)
    with pytest.raises(ValueError, match="multiples of 16"):
        make(simulator, frame_size=(60, 64))


def test_without_weights_the_error_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packaged, "PACKAGED", tmp_path)
    with pytest.raises(FileNotFoundError, match=r"no model 'worlds'.*Pass the folder of a model, or train one"):
        gym.make("SoraWorld-v0")


def test_without_a_model_prompts_choose_one_that_simulates_their_worlds(
    simulator: WorldSimulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(packaged, "PACKAGED", tmp_path)
    for name, worlds in {"worlds": ("DoomRooms", "DoomBasic"), "many": ("DoomRooms", "Table")}.items():
        config = replace(simulator.config, worlds=worlds, context_noise=0.1 if name == "worlds" else 0.2)
        WorldSimulator.create(config, bank=simulator.bank).save_pretrained(tmp_path / name)

    def worlds_of(**given: Any) -> tuple[str, ...]:
        return SoraWorldVectorEnv(2, **given)._lanes.simulator.config.worlds

    assert worlds_of() == worlds_of(prompt="doom basic") == ("DoomRooms", "DoomBasic")
    assert worlds_of(prompt="physics table: a red disc") == ("DoomRooms", "Table")
    assert worlds_of(prompt=["doom rooms", "physics table"]) == ("DoomRooms", "Table")
    with pytest.raises(ValueError, match="DoomBasic-v0' and 'worldsim/Table-v0': no model of the package"):
        worlds_of(prompt=["doom basic", "physics table"])
    with pytest.raises(ValueError, match=r"none of the worlds.*DoomBasic; model='many' does"):
        SoraWorldEnv().reset(seed=0, options={"prompt": "physics table: a red disc"})


def test_environments_of_one_process_share_their_weights(folder: Path) -> None:
    first, second = SoraWorldEnv(model=folder), SoraWorldEnv(model=str(folder))
    assert first._lanes.simulator is second._lanes.simulator
    assert lanes_module.load_simulator(folder) is first._lanes.simulator


def test_an_untrained_model_is_the_same_but_for_its_network(folder: Path) -> None:
    trained, fresh = lanes_module.load_simulator(folder), lanes_module.load_simulator(f"untrained:{folder}")
    assert fresh.config == trained.config and fresh.bank is trained.bank
    assert fresh.codec is trained.codec
    assert fresh.digest == lanes_module.load_simulator(f"untrained:{folder}").digest != trained.digest


def test_surprise_takes_the_environment_s_actions(simulator: WorldSimulator) -> None:
    frames = np.random.default_rng(0).integers(0, 256, (9, 64, 64, 3)).astype(np.uint8)
    full, few = make(simulator, world="DoomBasic"), make(simulator, world="DoomBasic", actions="world")
    losses = full.surprise(frames, np.array([2, 10]), "", 3, 2)
    assert losses.shape == (2,) and losses.dtype == np.float32
    assert np.array_equal(losses, full.surprise(frames, np.array([3, 10]), "", 3, 2)) is False
    both = full.surprises([frames, frames], [[2, 10], [3, 10]], "", 3, 2)  # type: ignore[list-item]
    assert both.shape == (2, 2) and both.dtype == np.float32
    np.testing.assert_allclose(both[0], losses, rtol=1e-4)
    assert full.action_meanings[3] == few.action_meanings[1]
    assert np.array_equal(full.surprise(frames, [3, 10], seed=3), few.surprise(frames, [1, 3], seed=3))  # type: ignore[arg-type]


def test_a_model_is_named_with_the_memory_that_it_is_to_have(tmp_path: Path) -> None:
    folder = debug_simulator(memory=True).save_pretrained(tmp_path / "tiny")
    kinds = {}
    for name in (str(folder), f"{folder}?memory=panorama", f"{folder}?memory=window"):
        env = make(name, model=name)  # type: ignore[arg-type]
        kinds[env.unwrapped._lanes.predictor.memory] = env._lanes.simulator.digest  # type: ignore[attr-defined]
    assert list(kinds) == ["places", "panorama", "window"] and len(set(kinds.values())) == 1
    with pytest.raises(ValueError, match="memory='elephant'; this model can serve 'window', 'panorama', 'places'"):
        SoraWorldEnv(model=f"{folder}?memory=elephant")


@pytest.mark.parametrize(
    ("name", "model", "memory", "window"),
    [
        ("worlds", "worlds", None, None),
        ("?memory=window", None, "window", None),
        ("runs/a?window=8", "runs/a", None, 8),
        ("untrained:worlds?window=4&memory=panorama", "untrained:worlds", "panorama", 4),
        ("?memory=places&window=24", None, "places", 24),
    ],
)
def test_a_name_says_how_the_model_is_served(name: str, model: str | None, memory: str | None, window: int | None):
    assert named(name) == (model, Serving(memory, window))


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("worlds?windows=8", "memory=KIND, window=LATENTS and imagine=yes or no can be said once, joined by &"),
        ("worlds?window=8&window=4", "can be said once"),
        ("worlds?window=eight", "window='eight' is no whole number of latents"),
        ("worlds?window=-1", "window='-1' is no whole number"),
        ("worlds?imagine=maybe", "imagine='maybe'; accepted are yes and no"),
    ],
)
def test_what_is_no_way_to_serve_a_model_is_refused(name: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        named(name)


def test_an_environment_is_served_with_the_window_of_its_name(folder: Path) -> None:
    env = SoraWorldEnv(model=f"{folder}?window=3", world="DoomBasic", frame_size=(32, 32))
    assert env._lanes.predictor.window == 3  # type: ignore[attr-defined]
    with pytest.raises(ValueError, match="window=99: this model was trained on 6 latents; accepted are 1 to 6"):
        SoraWorldEnv(model=f"{folder}?window=99", world="DoomBasic")
