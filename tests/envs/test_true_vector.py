"""True worlds through ``gym.make_vec``: one shape of frames, the earlier of two limits, the vector checker."""

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.vector import AutoresetMode

import worldsim  # noqa: F401


def test_frames_have_one_shape_and_the_earlier_limit_truncates():
    envs = gym.make_vec(
        "worldsim/DoomBasic-v0", num_envs=2, max_episode_steps=3, autoreset_mode=AutoresetMode.SAME_STEP
    )
    try:
        _, info = envs.reset(seed=0)
        assert info["frames"].shape == (2, 4, 64, 64, 3)
        for step in range(3):
            _, _, terminated, truncated, info = envs.step(np.zeros(2, np.int64))
            assert info["frames"].shape == (2, 4, 64, 64, 3)
            assert truncated.tolist() == [step == 2] * 2
            assert not terminated.any()
    finally:
        envs.close()


def test_lanes_equal_single_worlds():
    envs = gym.make_vec("worldsim/DoomRooms-v0", num_envs=2, actions="world")
    singles = [gym.make("worldsim/DoomRooms-v0", actions="world", disable_env_checker=True) for _ in range(2)]
    try:
        obs, _ = envs.reset(seed=5)
        for lane, env in enumerate(singles):
            assert np.array_equal(obs[lane], env.reset(seed=5 + lane)[0])
        for action in (1, 5, 1):
            obs = envs.step(np.full(2, action))[0]
            for lane, env in enumerate(singles):
                assert np.array_equal(obs[lane], env.step(action)[0])
    finally:
        envs.close()
        for env in singles:
            env.close()


def test_no_lanes_are_refused():
    with pytest.raises(ValueError, match="at least one lane"):
        gym.make_vec("worldsim/DoomBasic-v0", num_envs=0)
