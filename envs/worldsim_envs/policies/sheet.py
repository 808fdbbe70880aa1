"""A contact sheet of a world under its scripted explorer: ``python -m worldsim_envs.policies.sheet WORLD OUT.png``."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import gymnasium as gym
import numpy as np
import tyro
from PIL import Image

from worldsim.registration import register_environments
from worldsim.worlds import world_named
from worldsim_envs.policies import make_policy


@dataclass(frozen=True)
class Sheet:
    """A row for each map seed, a column for each ``every``-th step."""

    world: Annotated[str, tyro.conf.Positional]
    out: Annotated[Path, tyro.conf.Positional]
    rows: int = 5
    columns: int = 11
    every: int = 6
    enlarge: int = 2


def sheet(options: Sheet) -> np.ndarray:
    """uint8 picture ``(rows * H * enlarge, columns * W * enlarge, 3)``; an ended episode repeats its last frame."""
    register_environments()
    env = gym.make(world_named(options.world).env_id, disable_env_checker=True)
    spec, rows = world_named(options.world), []
    for seed in range(options.rows):
        obs, info = env.reset(seed=seed)
        policy, rng, over = make_policy("explorer", spec), np.random.default_rng(seed), False
        frames = [obs]
        for step in range(1, options.every * (options.columns - 1) + 1):
            if not over:
                obs, _, terminated, truncated, info = env.step(policy.act(env, obs, info, rng))
                over = terminated or truncated
            if step % options.every == 0:
                frames.append(obs)
        rows.append(np.concatenate(frames, axis=1))
    env.close()
    return np.concatenate(rows).repeat(options.enlarge, 0).repeat(options.enlarge, 1)


if __name__ == "__main__":
    chosen = tyro.cli(Sheet, prog="python -m worldsim_envs.policies.sheet")
    Image.fromarray(sheet(chosen)).save(chosen.out)
