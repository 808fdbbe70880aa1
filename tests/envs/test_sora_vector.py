"""``SoraWorldVectorEnv``: the vector checker in every mode, and what is particular to many lanes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium.vector import AutoresetMode
from gymnasium.vector.utils import batch_space
from worldsim_envs.checker import Tolerance, check_vector_env
from worldsim_envs.sora import SoraWorldEnv, SoraWorldVectorEnv

import worldsim  # noqa: F401  (registers the environments)
from worldsim.model.debug import debug_simulator
from worldsim.model.weights import WorldSimulator

LEARNED = Tolerance(obs=2, reward=0.05)


@pytest.fixture(scope="module")
def simulator() -> WorldSimulator:
    return debug_simulator(termination=0.001)


def make(simulator: WorldSimulator, num_envs: int = 3, **given: Any) -> SoraWorldVectorEnv:
    return SoraWorldVectorEnv(num_envs, **{"model": simulator, "denoising_steps": 2, **given})


def frames_of(count: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (count, 64, 64, 3)).astype(np.uint8)


@pytest.mark.parametrize(
    ("mode", "given"),
    [
        (AutoresetMode.NEXT_STEP, {}),
        (AutoresetMode.SAME_STEP, {"world": "DoomTakeCover", "actions": "world"}),
        (AutoresetMode.DISABLED, {"prompt": "red walls"}),
        (AutoresetMode.SAME_STEP, {"obs_type": "latent"}),
    ],
)
def test_the_vector_checker_passes(simulator: WorldSimulator, mode: AutoresetMode, given: dict[str, Any]) -> None:
    given = {"model": simulator, "denoising_steps": 2, "time_limit": 6, **given}
    check_vector_env(
        lambda n, m: SoraWorldVectorEnv(n, autoreset_mode=m, **given),
        make_single=lambda: SoraWorldEnv(**given),
        modes=[mode],
        tolerance=Tolerance(obs=0.1, reward=0.05) if "obs_type" in given else LEARNED,
        max_steps=8,
        info_shapes={"frames": (4, 64, 64, 3), "n_frames": (), "prompt": (), "hallucination": ()},
    )


def test_the_three_modes_agree_with_each_other(simulator: WorldSimulator) -> None:
    check_vector_env(
        lambda n, m: SoraWorldVectorEnv(n, model=simulator, denoising_steps=1, time_limit=3, autoreset_mode=m),
        num_envs=2,
        steps=2,
        tolerance=LEARNED,
        max_steps=5,
    )


def test_make_vec_gives_the_batched_environment(simulator: WorldSimulator, tmp_path: Path) -> None:
    folder = simulator.save_pretrained(tmp_path / "tiny")
    env = gym.make_vec("SoraWorld-v0", num_envs=2, model=str(folder))
    assert isinstance(env, SoraWorldVectorEnv)
    assert env.metadata["autoreset_mode"] is AutoresetMode.NEXT_STEP is env.autoreset_mode
    assert env.metadata["model"] == simulator.digest
    env = gym.make_vec("SoraWorld-v0", num_envs=2, model=str(folder), autoreset_mode="SameStep", max_episode_steps=1)
    assert env.metadata["autoreset_mode"] is AutoresetMode.SAME_STEP
    env.reset(seed=0)
    *_, truncated, info = env.step(np.zeros(2, np.int64))
    assert truncated.all() and info["_final_obs"].all()


def test_the_first_of_two_limits_truncates(simulator: WorldSimulator) -> None:
    for given in ({"time_limit": 2, "max_episode_steps": 5}, {"time_limit": 5, "max_episode_steps": 2}):
        env = make(simulator, **given)
        env.reset(seed=0)
        flags = [env.step(np.zeros(3, np.int64))[3].tolist() for _ in range(3)]
        assert flags == [[False] * 3, [True] * 3, [False] * 3]


def test_batched_spaces_take_no_memory(simulator: WorldSimulator) -> None:
    env = make(simulator, 64)
    space = env.observation_space
    assert space == batch_space(env.single_observation_space, 64)
    assert isinstance(space, gym.spaces.Box)
    assert space.low.strides == space.high.strides == (0, 0, 0, 0)
    assert space.contains(space.sample()) and not space.contains(space.sample()[:3])
    assert "64" in repr(space)


def test_info_shows_every_lane_with_its_mask(simulator: WorldSimulator) -> None:
    env = make(simulator, prompt=["red walls", None, "doom basic"], start=["prompt", "bank", "prompt"])
    _, info = env.reset(seed=0)
    keys = {"frames", "n_frames", "goal", "prompt", "hallucination", "invalid", "model"}
    assert set(info) == keys | {f"_{key}" for key in keys}
    assert info["frames"].shape == (3, 4, 64, 64, 3) and info["n_frames"].tolist() == [1, 1, 1]
    assert (info["frames"] == info["frames"][:, :1]).all()
    assert info["prompt"][0].startswith("Doom rooms") and info["prompt"][2].startswith("Doom basic")
    _, info = env.reset(seed=0, options={"reset_mask": np.array([True, False, False]), "prompt": "blue walls"})
    assert info["_prompt"].tolist() == [True, False, False]
    assert "blue" in info["prompt"][0] and "blue" not in info["prompt"][2]


def test_lanes_of_different_worlds_equal_single_environments(simulator: WorldSimulator) -> None:
    prompts = ["doom rooms, red walls", "doom basic", "doom take cover"]
    env = make(simulator, prompt=prompts)
    env.reset(seed=5)
    actions = np.array([5, 10, 3])
    outcomes = [env.step(actions) for _ in range(3)]
    for lane, prompt in enumerate(prompts):
        single = SoraWorldEnv(model=simulator, denoising_steps=2, prompt=prompt)
        single.reset(seed=5 + lane)
        for obs, *_ in outcomes:
            expected, *_ = single.step(actions[lane])
            assert np.abs(obs[lane].astype(int) - expected).max() <= 2


def test_given_frames_goals_and_seeds_by_lane(simulator: WorldSimulator) -> None:
    env = make(simulator, 2)
    videos = np.stack([frames_of(5, seed) for seed in (1, 2)])
    options = {
        "init_frames": videos,
        "init_actions": np.array([[1], [5]]),
        "goal": ["", "collect the red ball"],
    }
    obs, info = env.reset(seed=[7, 9], options=options)
    assert np.array_equal(obs, videos[:, -1]) and info["goal"].tolist() == ["", "collect the red ball"]
    first = env.step(np.array([1, 1]))[0]
    single = SoraWorldEnv(model=simulator, denoising_steps=2)
    single.reset(seed=9, options={"init_frames": videos[1], "init_actions": [5], "goal": "collect the red ball"})
    assert np.abs(first[1].astype(int) - single.step(np.int64(1))[0]).max() <= 2
    with pytest.raises(ValueError, match="3 seeds for 2 lanes"):
        env.reset(seed=[1, 2, 3])


def test_a_reset_that_is_refused_leaves_the_lanes_running(simulator: WorldSimulator) -> None:
    env, same = make(simulator, 2), make(simulator, 2)
    for e in (env, same):
        e.reset(seed=0)
    with pytest.raises(ValueError, match="goal='win'"):
        env.reset(seed=0, options={"goal": ["", "win"]})
    assert np.array_equal(env.step(np.array([1, 5]))[0], same.step(np.array([1, 5]))[0])


def test_prompts_for_some_lanes_leave_the_others(simulator: WorldSimulator) -> None:
    env, same = make(simulator), make(simulator)
    for e in (env, same):
        e.reset(seed=0)
    env.set_prompt(["dark blue walls", "green walls"], lanes=[0, 2])
    env.set_prompt("a red door opens", kind="event", steps=2, lanes=[2])
    changed, plain = env.step(np.zeros(3, np.int64)), same.step(np.zeros(3, np.int64))
    differs = [not np.array_equal(a, b) for a, b in zip(changed[0], plain[0])]
    assert differs == [True, False, True]
    assert ["blue" in p for p in changed[4]["prompt"]] == [True, False, False]
    for wrong in ([3], [0, 0], []):
        with pytest.raises(ValueError, match="different numbers from 0 to 2"):
            env.set_prompt("red walls", lanes=wrong)


def test_a_lane_that_stops_being_finite_ends_alone(simulator: WorldSimulator) -> None:
    env, same = make(simulator, autoreset_mode="SameStep"), make(simulator, autoreset_mode="SameStep")
    for e in (env, same):
        e.reset(seed=0)
        e.step(np.zeros(3, np.int64))
    with torch.inference_mode():
        env._lanes.predictor._ring.past[1] = float("nan")  # type: ignore[attr-defined]
    obs, reward, terminated, truncated, info = env.step(np.ones(3, np.int64))
    expected = same.step(np.ones(3, np.int64))
    assert truncated.tolist() == [False, True, False] and not terminated.any()
    assert info["final_info"]["invalid"].tolist() == [False, True, False] and not info["invalid"].any()
    assert np.isfinite(reward).all() and np.isfinite(info["hallucination"]).all()
    assert np.array_equal(obs[[0, 2]], expected[0][[0, 2]])
    assert not env.step(np.ones(3, np.int64))[4]["invalid"].any()


def test_the_torch_path_is_the_numpy_path(simulator: WorldSimulator) -> None:
    env, torch_env = (make(simulator, time_limit=2, autoreset_mode="SameStep") for _ in range(2))
    obs, info = env.reset(seed=0)
    obs_t, info_t = torch_env.reset_torch(seed=0)
    assert np.array_equal(obs, obs_t.numpy()) and np.array_equal(info["frames"], info_t["frames"].numpy())
    for _ in range(3):
        step = env.step(np.array([1, 5, 9]))
        step_t = torch_env.step_torch(torch.tensor([1, 5, 9]))
        for a, b in zip(step[:4], step_t[:4]):
            assert np.array_equal(a, b.numpy())
        for key, value in step_t[4].items():
            assert np.array_equal(step[4][key], value.numpy()), key
        assert ("final_obs" in step[4]) == ("final_obs" in step_t[4])
    for wrong in (torch.tensor([1.0, 2.0, 3.0]), torch.tensor([1, 2]), torch.tensor([1, 2, 32])):
        with pytest.raises(ValueError):
            torch_env.step_torch(wrong)


def test_a_state_moves_between_lanes_and_environments(simulator: WorldSimulator) -> None:
    env, other = make(simulator, time_limit=5), make(simulator, 2, time_limit=5)
    env.reset(seed=0)
    for _ in range(3):
        env.step(np.array([1, 5, 9]))
    state = env.get_state(1)
    expected = [env.step(np.array([1, 5, 9])) for _ in range(2)]
    other.reset(seed=40)
    other.step(np.zeros(2, np.int64))
    other.set_state(0, state)
    for obs, _, _, truncated, info in expected:
        now, _, _, now_truncated, now_info = other.step(np.array([5, 0]))
        assert np.abs(obs[1].astype(int) - now[0]).max() <= 2
        assert truncated[1] == now_truncated[0] and info["prompt"][1] == now_info["prompt"][0]
    with pytest.raises(ValueError, match="lanes 0 to 1"):
        other.get_state(2)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"num_envs": 0}, "num_envs=0"),
        ({"autoreset_mode": "Later"}, "accepted are 'NextStep', 'SameStep', 'Disabled'"),
        ({"max_episode_steps": 0}, "max_episode_steps=0"),
        ({"prompt": ["red walls"]}, "a list of 3 str"),
    ],
)
def test_wrong_arguments_are_refused(simulator: WorldSimulator, given: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make(simulator, **given)


def test_ended_lanes_must_be_reset_where_autoreset_is_disabled(simulator: WorldSimulator) -> None:
    env = make(simulator, time_limit=1, autoreset_mode=AutoresetMode.DISABLED)
    with pytest.raises(RuntimeError, match="call reset"):
        env.step(np.zeros(3, np.int64))
    env.reset(seed=0)
    env.step(np.zeros(3, np.int64))
    with pytest.raises(gym.error.ResetNeeded, match=r"lanes \[0, 1, 2\] have ended"):
        env.step(np.zeros(3, np.int64))
    env.reset(options={"reset_mask": np.array([True, True, False])})
    with pytest.raises(gym.error.ResetNeeded, match=r"lanes \[2\]"):
        env.step(np.zeros(3, np.int64))


def test_render_shows_every_lane(simulator: WorldSimulator) -> None:
    env = make(simulator, 2, render_mode="rgb_array", obs_type="latent")
    _, info = env.reset(seed=0)
    pictures = env.render()
    assert pictures is not None and len(pictures) == 2
    assert np.array_equal(np.stack(pictures), info["frames"][:, -1])
