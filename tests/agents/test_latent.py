"""Latents of a true world: the codec's own, lane by lane, whatever resets when."""

from __future__ import annotations

from collections.abc import Iterator

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium.vector import AutoresetMode

pytest.importorskip("vizdoom")

from worldsim_agents.latent import LatentObservation, LatentVectorObservation
from worldsim_envs.sora import SoraWorldVectorEnv
from worldsim_envs.vector import TrueVectorEnv

import worldsim  # noqa: F401  (registers the worlds)
from worldsim.model.weights import WorldSimulator

LANES = 3


def make_single() -> gym.Env:
    return gym.make("worldsim/DoomBasic-v0", actions="world", time_limit=4, disable_env_checker=True)


def make_vector(model: WorldSimulator, mode: AutoresetMode) -> LatentVectorObservation:
    return LatentVectorObservation(TrueVectorEnv([make_single] * LANES, autoreset_mode=mode), model, 4)


@pytest.fixture
def same_step(model: WorldSimulator) -> Iterator[LatentVectorObservation]:
    env = make_vector(model, AutoresetMode.SAME_STEP)
    yield env
    env.close()


def encoded(model: WorldSimulator, frames: np.ndarray) -> np.ndarray:
    """The codec's latent of one lane's frames, on its own."""
    with torch.inference_mode():
        return model.codec.encode(torch.from_numpy(frames[None].copy())).numpy()[0]


def close(a: np.ndarray, b: np.ndarray) -> None:
    np.testing.assert_allclose(a, b, atol=1e-5)


def test_single_environment(model: WorldSimulator) -> None:
    env = LatentObservation(make_single(), model)
    assert env.observation_space.shape == (8, 16, 16) and env.observation_space.dtype == np.float32
    latent, info = env.reset(seed=1)
    assert env.observation_space.contains(latent)
    close(latent, encoded(model, info["frames"]))
    latent, _, _, _, info = env.step(1)
    assert env.observation_space.contains(latent)
    close(latent, encoded(model, info["frames"]))
    env.close()


def test_equals_what_the_learned_environment_shows(model: WorldSimulator) -> None:
    true = LatentObservation(make_single(), model)
    dream = SoraWorldVectorEnv(2, model=model, world="DoomBasic", actions="world", obs_type="latent", device="cpu")
    assert dream.single_observation_space == true.observation_space
    latent, info = true.reset(seed=4)
    frames = np.repeat(info["frames"][None], 2, axis=0)
    dreamt, _ = dream.reset(seed=4, options={"init_frames": frames})
    # the engine may encode in half precision
    np.testing.assert_allclose(dreamt, np.repeat(latent[None], 2, axis=0), atol=0.05 * np.abs(latent).max())
    true.close()


def test_lanes_that_end_show_the_new_episode_and_keep_the_final_block(
    model: WorldSimulator, same_step: LatentVectorObservation
) -> None:
    latents, infos = same_step.reset(seed=3)
    assert latents.shape == same_step.observation_space.shape == (LANES, 8, 16, 16)
    for i in range(LANES):
        close(latents[i], encoded(model, infos["frames"][i, :1]))
    ended = 0
    for step in range(9):
        # one lane shoots at once and may end early, so that the lanes do not all end in the same step
        latents, _, terminated, truncated, infos = same_step.step(np.array([3, step % 3, 1]))
        done = terminated | truncated
        for i in range(LANES):
            if done[i]:
                ended += 1
                close(latents[i], encoded(model, infos["frames"][i, :1]))
                close(infos["final_obs"][i], encoded(model, infos["final_info"]["frames"][i]))
                assert infos["_final_obs"][i]
            else:
                close(latents[i], encoded(model, infos["frames"][i]))
    assert ended >= 2 * LANES


def test_all_lanes_are_encoded_in_one_batch(
    same_step: LatentVectorObservation, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes = []
    encode = same_step.encoder.codec.encode

    def counted(frames: torch.Tensor) -> torch.Tensor:
        sizes.append(tuple(frames.shape[:2]))
        return encode(frames)

    monkeypatch.setattr(same_step.encoder.codec, "encode", counted)
    same_step.reset(seed=0)
    for _ in range(4):
        same_step.step(np.zeros(LANES, int))
    assert sizes == [(LANES, 1), *[(LANES, 4)] * 4, (LANES, 1)], "four steps, and the reset of all lanes at the end"


def test_next_step_mode(model: WorldSimulator) -> None:
    env = make_vector(model, AutoresetMode.NEXT_STEP)
    env.reset(seed=0)
    for _ in range(4):
        latents, _, _, truncated, infos = env.step(np.zeros(LANES, int))
    assert truncated.all()
    close(latents[1], encoded(model, infos["frames"][1]))
    latents, _, _, _, infos = env.step(np.zeros(LANES, int))
    close(latents[1], encoded(model, infos["frames"][1, :1]))
    latents, _, _, _, infos = env.step(np.zeros(LANES, int))
    close(latents[1], encoded(model, infos["frames"][1]))
    env.close()


def test_masked_reset_touches_only_its_lanes(model: WorldSimulator) -> None:
    env = make_vector(model, AutoresetMode.DISABLED)
    env.reset(seed=0)
    before = env.step(np.full(LANES, 2))[0]
    mask = np.array([False, True, False])
    after, infos = env.reset(seed=9, options={"reset_mask": mask})
    np.testing.assert_array_equal(after[~mask], before[~mask])
    close(after[1], encoded(model, infos["frames"][1, :1]))
    env.close()


def test_frame_sizes_that_the_codec_cannot_take_are_refused(model: WorldSimulator) -> None:
    env = gym.make("worldsim/DoomBasic-v0", frame_size=(60, 64))
    with pytest.raises(ValueError, match="multiples of 8"):
        LatentObservation(env, model)
    with pytest.raises(ValueError, match=r"uint8 \(H, W, 3\)"):
        LatentObservation(gym.make("CartPole-v1"), model)
