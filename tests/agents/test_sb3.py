"""The adapter against SB3's DummyVecEnv on a true world, and what a batched environment must translate."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.vector import AutoresetMode
from gymnasium.wrappers import TimeLimit

pytest.importorskip("stable_baselines3")

from stable_baselines3.common.vec_env import DummyVecEnv
from worldsim_agents.sb3 import SB3VecEnv, lane_info
from worldsim_envs.vector import TrueVectorEnv

import worldsim  # noqa: F401  (registers the worlds)

LANES = 3


def same(a: Any, b: Any, where: str = "info") -> None:
    """Raises where two infos differ in keys, types, shapes or bits."""
    if isinstance(a, dict):
        assert isinstance(b, dict) and sorted(a) == sorted(b), f"{where}: {sorted(a)} is not {sorted(b)}"
        for key in a:
            same(a[key], b[key], f"{where}.{key}")
    elif isinstance(a, list | tuple):
        assert type(a) is type(b) and len(a) == len(b), where
        for i, (x, y) in enumerate(zip(a, b)):
            same(x, y, f"{where}[{i}]")
    elif isinstance(a, np.ndarray):
        assert isinstance(b, np.ndarray) and a.dtype == b.dtype, where
        np.testing.assert_array_equal(a, b, err_msg=where)
    else:
        assert type(a) is type(b) and (a == b or (a != a and b != b)), f"{where}: {a!r} is not {b!r}"


def padded(info: dict[str, Any]) -> dict[str, Any]:
    """A single world's reset info with its frame repeated, as in a vector environment."""
    return {**info, "frames": np.repeat(info["frames"], 4, axis=0)}


@pytest.fixture(scope="module")
def doom_pair() -> Any:
    pytest.importorskip("vizdoom")

    def make() -> gym.Env:
        # Half of the episodes reach the limit of 12 steps, the other half end with a shot before.
        return gym.make("worldsim/DoomBasic-v0", actions="world", time_limit=12, render_mode="rgb_array")

    ours = SB3VecEnv(TrueVectorEnv([make] * LANES, autoreset_mode=AutoresetMode.SAME_STEP))
    theirs = DummyVecEnv([make] * LANES)
    yield ours, theirs
    ours.close()
    theirs.close()


def test_equals_dummy_vec_env_bit_for_bit(doom_pair: Any) -> None:
    ours, theirs = doom_pair
    assert ours.observation_space == theirs.observation_space and ours.action_space == theirs.action_space
    assert ours.seed(5) == theirs.seed(5)
    same(ours.reset(), theirs.reset(), "obs")
    rng = np.random.default_rng(0)
    ends = {"terminated": 0, "truncated": 0}
    for _ in range(300):
        actions = rng.choice(4, LANES, p=[0.1, 0.3, 0.3, 0.3])
        (obs, reward, done, infos), expected = ours.step(actions), theirs.step(actions)
        same(obs, expected[0], "obs")
        same(reward, expected[1], "reward")
        same(done, expected[2], "done")
        same(infos, expected[3])
        for i in np.flatnonzero(done):
            ends["truncated" if infos[i]["TimeLimit.truncated"] else "terminated"] += 1
            assert not np.array_equal(infos[i]["terminal_observation"], obs[i])
            same(ours.reset_infos[i], padded(theirs.reset_infos[i]), "reset_info")
    assert min(ends.values()) >= 5, f"the test must meet both kinds of end: {ends}"


def test_attributes_and_methods_are_those_of_the_lanes(doom_pair: Any) -> None:
    ours, theirs = doom_pair
    assert ours.get_attr("split") == theirs.get_attr("split") == ["train"] * LANES
    assert len(ours.get_attr("map_seed", [0, 2])) == 2 and len(set(ours.get_attr("map_seed"))) == LANES
    for env in (ours, theirs):
        env.set_attr("mark", [1, 2], indices=1)
        assert env.get_attr("mark", 1) == [[1, 2]], "a list is one value here, not one value per lane"
        assert not env.has_attr("unheard_of")
        assert [set(c) for c in env.env_method("caption", style="short", indices=[0, 1])] == [
            {"scene", "view", "event"}
        ] * 2
        assert env.env_is_wrapped(TimeLimit) == [False] * LANES
        assert env.env_is_wrapped(gym.wrappers.OrderEnforcing, [1]) == [True]
    same(list(ours.get_images()), list(theirs.get_images()), "images")
    same(ours.render(), theirs.render(), "render")


def test_seeds_and_options_count_once(doom_pair: Any) -> None:
    ours, _ = doom_pair
    ours.seed(9)
    ours.set_options({"map_seed": 77})
    ours.reset()
    assert ours.get_attr("map_seed") == [77] * LANES
    ours.seed(9)
    first = ours.reset()
    seeds = ours.get_attr("map_seed")
    assert len(set(seeds)) == LANES
    ours.reset()
    assert ours.get_attr("map_seed") != seeds, "a seed holds for one reset"
    ours.seed(9)
    same(ours.reset(), first, "obs")
    ours.set_options([{"map_seed": 1}, {"map_seed": 2}, {}])
    with pytest.raises(ValueError, match="one options dict"):
        ours.reset()
    ours.set_options()


class Batched(gym.vector.VectorEnv):
    """Two counting lanes behind one object; each ends when its counter reaches 3, lane 1 by its time
    limit."""

    render_mode = None
    colour = "red"

    def __init__(self, mode: AutoresetMode = AutoresetMode.SAME_STEP) -> None:
        self.num_envs = 2
        self.metadata = {"autoreset_mode": mode}
        self.single_observation_space = gym.spaces.Box(-9, 99, (1,), np.float32)
        self.single_action_space = gym.spaces.Discrete(2)
        self.prompts = ["", ""]

    def reset(self, *, seed: Any = None, options: Any = None) -> Any:
        self.seed_given, self.options_given = seed, options
        self.count = np.array([0, 1])
        return self._obs(), {"goal": ["a", "b"], "model": "0123456789ab", "n_frames": np.array([1, 1])}

    def step(self, actions: np.ndarray) -> Any:
        self.count = self.count + 1
        done, obs = self.count == 3, self._obs()
        info: dict[str, Any] = {"goal": ["a", "b"], "model": "0123456789ab", "n_frames": np.array([4, 4])}
        if done.any():
            final = {**info, "n_frames": np.array([2, 2])}
            info |= {"final_obs": obs.copy(), "_final_obs": done, "final_info": final, "_final_info": done}
            info["n_frames"] = np.where(done, 1, 4)
            self.count = np.where(done, 0, self.count)
        lane_1 = np.array([False, True])
        return self._obs(), np.full(2, 0.1), done & ~lane_1, done & lane_1, info

    def set_prompt(self, text: str, lanes: list[int] | None = None) -> str:
        for i in range(2) if lanes is None else lanes:
            self.prompts[i] = text
        return text

    def rest(self) -> int:
        return 5

    def _obs(self) -> np.ndarray:
        return self.count[:, None].astype(np.float32)


def test_batched_environment_ends_are_translated() -> None:
    env = SB3VecEnv(Batched())
    env.seed(3)
    env.set_options({"prompt": ["x", "y"]})
    assert env.reset().tolist() == [[0], [1]]
    batched = env.env
    assert isinstance(batched, Batched) and batched.seed_given == 3
    assert batched.options_given == {"prompt": ["x", "y"]}
    assert env.reset_infos[1] == {"goal": "b", "model": "0123456789ab", "n_frames": 1}
    env.step(np.zeros(2, int))
    obs, reward, done, infos = env.step(np.zeros(2, int))
    assert reward.dtype == np.float32 and obs.tolist() == [[2], [0]] and done.tolist() == [False, True]
    assert infos[0] == {"goal": "a", "model": "0123456789ab", "n_frames": 4, "TimeLimit.truncated": False}
    assert infos[1].pop("terminal_observation").tolist() == [3]
    assert infos[1] == {"goal": "b", "model": "0123456789ab", "n_frames": 2, "TimeLimit.truncated": True}
    assert env.reset_infos[1]["n_frames"] == 1
    obs, _, done, infos = env.step(np.zeros(2, int))
    assert done.tolist() == [True, False] and infos[0]["TimeLimit.truncated"] is False


def test_batched_environment_attributes() -> None:
    env = SB3VecEnv(Batched())
    assert env.get_attr("colour") == ["red", "red"] and env.get_attr("colour", 1) == ["red"]
    assert env.env_method("rest") == [5, 5]
    assert env.env_method("set_prompt", "snow", indices=[1]) == ["snow"]
    assert env.get_attr("prompts")[0] == ["", "snow"]
    env.set_attr("colour", "blue")
    assert env.get_attr("colour") == ["blue"] * 2
    with pytest.raises(ValueError, match="all 2 lanes"):
        env.set_attr("colour", "red", indices=[0])
    with pytest.raises(ValueError, match="'rest' cannot be called for lanes"):
        env.env_method("rest", indices=0)
    assert env.env_is_wrapped(TimeLimit) == [False, False]


@pytest.mark.parametrize("mode", [AutoresetMode.NEXT_STEP, AutoresetMode.DISABLED])
def test_other_autoreset_modes_are_refused(mode: AutoresetMode) -> None:
    with pytest.raises(ValueError, match="SAME_STEP"):
        SB3VecEnv(Batched(mode))


def test_lane_info_leaves_out_what_the_mask_excludes() -> None:
    infos = {
        "a": np.array([1, 2]), "_a": np.array([True, False]),
        "d": {"x": np.array([0.5, 0.0]), "_x": np.array([True, False])}, "_d": np.array([True, False]),
        "frames": np.zeros((2, 4, 2, 2, 3), np.uint8),
    }  # fmt: skip
    assert {k: v for k, v in lane_info(infos, 0, 2).items() if k != "frames"} == {"a": 1, "d": {"x": 0.5}}
    assert list(lane_info(infos, 1, 2)) == ["frames"] and lane_info(infos, 1, 2)["frames"].shape == (
        4,
        2,
        2,
        3,
    )
