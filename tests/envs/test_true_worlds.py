"""The contract that every true world keeps: spaces, seeds, blocks, info, options."""

from __future__ import annotations

import warnings
from collections.abc import Iterator

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env
from true_episodes import assert_equal, needs, play
from worldsim_envs.base import TrueWorld

import worldsim  # noqa: F401  (registers the worlds)
from worldsim.captions.facts import EVENT_KINDS
from worldsim.worlds import WORLDS

INFO_KEYS = {"frames", "n_frames", "goal", "truth", "caption", "events"}


def make(name: str, **kwargs: object) -> TrueWorld:
    needs(name)
    env = gym.make(f"worldsim/{name}-v0", disable_env_checker=True, **kwargs).unwrapped
    assert isinstance(env, TrueWorld)
    return env


@pytest.fixture(scope="module", params=WORLDS)
def world(request: pytest.FixtureRequest) -> Iterator[TrueWorld]:
    env = make(request.param)
    yield env
    env.close()


@pytest.mark.parametrize("name", WORLDS)
def test_gymnasiums_checker_finds_nothing(name: str) -> None:
    needs(name)
    env = gym.make(f"worldsim/{name}-v0", disable_env_checker=True, render_mode="rgb_array")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_env(env.unwrapped)
    env.close()


@pytest.mark.parametrize("name", WORLDS)
def test_stable_baselines_checker_finds_nothing(name: str) -> None:
    sb3 = pytest.importorskip("stable_baselines3.common.env_checker")
    env = make(name, actions="world")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        sb3.check_env(env, warn=True)
    env.close()


def test_blocks_and_info_after_reset_and_step(world: TrueWorld) -> None:
    obs, info = world.reset(seed=1)
    assert set(info) == INFO_KEYS
    assert info["frames"].shape == (1, 64, 64, 3) and info["n_frames"] == 1
    np.testing.assert_array_equal(info["frames"][0], obs)
    obs, reward, *_, info = world.step(np.int64(0))
    assert set(info) == INFO_KEYS
    assert info["frames"].shape == (4, 64, 64, 3) and info["frames"].dtype == np.uint8
    assert info["n_frames"] == world.spec_world.frames_per_step and isinstance(reward, float)
    np.testing.assert_array_equal(info["frames"][-1], obs)
    assert set(info["caption"]) == {"scene", "view", "event"} and info["caption"]["scene"]
    assert all(event["kind"] in EVENT_KINDS for event in info["events"])
    assert set(info["truth"]["camera"]) == {"K", "c2w", "yaw", "pitch"}


@pytest.mark.parametrize("size", [(64, 64), (48, 96), (96, 64)])
@pytest.mark.parametrize("name", [name for name, spec in WORLDS.items() if spec.lens])
def test_the_lens_of_a_world_is_that_of_its_camera(name: str, size: tuple[int, int]) -> None:
    """What the panorama of a learned world relies on: the view, and turns at the camera's place."""
    world, spec = make(name, frame_size=size), WORLDS[name]
    before = world.reset(seed=3)[1]["truth"]["camera"]
    assert spec.lens and spec.lens.reach(*size) == pytest.approx(size[1] / 2 / before["K"][0, 0], abs=1e-6)
    for action in (a for a in spec.reads if spec.table.camera[a, 0] and not spec.table.keys[a]):
        after = world.step(np.int64(action))[4]["truth"]["camera"]
        turned = (after["yaw"] - before["yaw"] + 180) % 360 - 180
        assert turned == pytest.approx(spec.table.camera[action, 0], abs=0.1)
        np.testing.assert_allclose(after["c2w"][:3, 3], before["c2w"][:3, 3], atol=0.05)
        before = after
    world.close()


def test_arrays_are_fresh(world: TrueWorld) -> None:
    """What was returned may be overwritten: neither the running world nor what it returns later knows."""
    world.reset(seed=1)
    world.step(np.int64(1))
    *_, expected = world.step(np.int64(0))
    obs, info = world.reset(seed=1)
    spoil(obs, info)
    spoil(*world.step(np.int64(1))[::4])
    *_, again = world.step(np.int64(0))
    np.testing.assert_array_equal(again["frames"], expected["frames"])
    assert str(again["truth"]) == str(expected["truth"])


def spoil(obs: np.ndarray, info: object) -> None:
    """Overwrites every array in what a world returned."""
    obs[:] = 77
    for value in info.values() if isinstance(info, dict) else info if isinstance(info, list) else ():
        if isinstance(value, np.ndarray):
            value[:] = 77
        spoil(obs, value)


def test_equal_seeds_give_equal_episodes_whatever_ran_before(world: TrueWorld) -> None:
    other = make(world.spec_world.name)
    play(other, 77, {"dynamics_seed": 5}, steps=7)
    play(other, 78, steps=3)
    assert_equal(play(world, 4), play(other, 4))
    other.close()


def test_an_explicit_map_seed_of_another_split_is_taken(world: TrueWorld) -> None:
    first, _ = world.reset(seed=3, options={"map_seed": 2_000_005})
    assert world.map_seed == 2_000_005
    second, _ = world.reset(seed=8, options={"map_seed": 2_000_005})
    np.testing.assert_array_equal(first, second)


def test_actions_that_are_not_read_are_noop(world: TrueWorld) -> None:
    unread = [i for i in range(32) if i not in world.spec_world.reads]
    world.reset(seed=2)
    *_, expected = world.step(np.int64(0))
    for action in unread[:3] + unread[-2:]:
        world.reset(seed=2)
        *_, info = world.step(np.int64(action))
        np.testing.assert_array_equal(info["frames"], expected["frames"])
