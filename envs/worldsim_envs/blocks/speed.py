"""How fast the block world steps and resets here: ``python -m worldsim_envs.blocks.speed``."""

from __future__ import annotations

import os

import numpy as np

from worldsim_envs.blocks import BlocksEnv

MAPS, STEPS = 3, 40


def measure() -> str:
    """Steps per second under random actions, and seconds of the first and of later resets, over ``MAPS`` maps."""
    env = BlocksEnv(actions="world")
    rng = np.random.default_rng(0)
    resets, steps = [], 0.0
    for seed in range(MAPS):
        env.reset(seed=seed)
        resets.append(env.last_step_seconds)
        for _ in range(STEPS):
            env.step(rng.integers(len(env.action_meanings)))
            steps += env.last_step_seconds
    env.close()
    rate = MAPS * STEPS / steps
    return (
        f"{rate:.1f} steps/s ({4 * rate:.0f} frames/s, {rate / 5:.1f} x real time), first reset {resets[0]:.1f} s, "
        f"later ones {np.mean(resets[1:]):.1f} s; load average {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores"
    )


if __name__ == "__main__":
    print(measure())
