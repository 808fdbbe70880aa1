"""Plays and compares episodes of true worlds."""

import numpy as np
import pytest
from worldsim_envs.base import TrueWorld

from worldsim.engines import install_command, missing
from worldsim.worlds import WORLDS


def needs(world: str) -> None:
    """Skips the test where the world's engine is not installed, or cannot draw."""
    if lacking := missing(WORLDS[world]):
        pytest.skip(f"{', '.join(lacking)} not installed: {install_command(WORLDS[world])}")
    if world == "Scene":
        from worldsim_envs.scene.rendering import SceneRenderer

        try:
            SceneRenderer(16, 16).close()
        except RuntimeError as error:
            pytest.skip(str(error))


def play(env: TrueWorld, seed: int, options: dict | None = None, steps: int = 25, rng_seed: int = 0) -> list:
    """Every frame, reward and flag of an episode under random actions of the world."""
    rng = np.random.default_rng(rng_seed)
    _, info = env.reset(seed=seed, options=options)
    record = [(info["frames"], 0.0, False, info["caption"])]
    for _ in range(steps):
        action = np.int64(rng.choice(env.spec_world.world_actions))
        _, reward, terminated, truncated, info = env.step(action)
        record.append((info["frames"], reward, terminated, info["caption"]))
        if terminated or truncated:
            break
    return record


def assert_equal(a: list, b: list) -> None:
    assert len(a) == len(b)
    for (frames_a, *rest_a), (frames_b, *rest_b) in zip(a, b):
        np.testing.assert_array_equal(frames_a, frames_b)
        assert rest_a == rest_b
