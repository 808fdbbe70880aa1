"""Draws a contact sheet of tables under the scripted explorer: ``python -m worldsim_envs.table.sheet OUT.png``."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from PIL import Image

from worldsim_envs.policies import make_policy
from worldsim_envs.table import TableEnv


def sheet(tables: int = 7, columns: int = 11, every: int = 12, enlarge: int = 2) -> np.ndarray:
    """uint8 picture: a row for each map seed, every ``every``-th step of its episode."""
    env = TableEnv()
    rows = []
    for seed in range(tables):
        obs, info = env.reset(seed=seed)
        policy, rng = make_policy("explorer", env.spec_world), np.random.default_rng(seed)
        frames = [obs]
        for step in range(1, every * (columns - 1) + 1):
            obs, *_, info = env.step(np.int64(policy.act(env, obs, info, rng)))
            if step % every == 0:
                frames.append(obs)
        rows.append(np.concatenate(frames, axis=1))
    return np.concatenate(rows).repeat(enlarge, 0).repeat(enlarge, 1)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: python -m worldsim_envs.table.sheet OUT.png")
    Image.fromarray(sheet()).save(Path(sys.argv[1]))
