"""Measures the Doom worlds: processor time per step and per reset, Python and engine together.

Processor time and not wall time, so that the figure holds on a busy machine: ``python -m
worldsim_envs.doom.speed``."""

from __future__ import annotations

import resource
import sys

import gymnasium as gym
import numpy as np

import worldsim  # noqa: F401  (registers the worlds)
from worldsim.worlds import WORLDS

STEPS = 600
RESETS = 50


def processor_seconds(name: str, steps: int, resets: int, truth: tuple[str, ...]) -> float:
    """Processor seconds of a run in an engine of its own, starting and ending it included."""
    before = _used()
    env = gym.make(WORLDS[name].env_id, truth=truth, disable_env_checker=True)
    rng = np.random.default_rng(0)
    env.reset(seed=0)
    for action in rng.choice(WORLDS[name].world_actions, steps):
        _, _, terminated, truncated, _ = env.step(action)
        if terminated or truncated:
            env.reset()
    for seed in range(resets):
        env.reset(seed=seed)
    env.close()
    return _used() - before


def _used() -> float:
    usages = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


def main() -> int:
    print(f"{'world':24}{'truth':16}{'ms/step':>9}{'steps/s per core':>18}{'ms/reset':>10}")
    for name in (name for name in WORLDS if name.startswith("Doom")):
        for truth in ((), ("depth", "labels")):
            start_up = processor_seconds(name, 0, 0, truth)
            step = (processor_seconds(name, STEPS, 0, truth) - start_up) / STEPS
            reset = (processor_seconds(name, 0, RESETS, truth) - start_up) / RESETS
            asked = "+".join(truth) or "-"
            print(f"{name:24}{asked:16}{1e3 * step:9.2f}{1 / step:18.0f}{1e3 * reset:10.1f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
