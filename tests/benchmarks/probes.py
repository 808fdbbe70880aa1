"""The consistency suite on the painted cylinder, and models of it that crash or return what is no picture."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
from panorama import PanoramaModel
from worldsim_benchmarks.presets import PRESETS
from worldsim_benchmarks.suites.consistency import Consistency
from worldsim_benchmarks.suites.session import CandidateSpec, Session

WORLD = "toy/Panorama-v0"
PRESET = replace(PRESETS["quick"], seeds=3)


def suite(*tasks: str) -> Consistency:
    """Those tasks, asked of the cylinder (which can only be turned)."""
    every = Consistency()
    return replace(every, tasks=tuple(replace(t, worlds=(WORLD,)) for t in every.tasks if t.name in tasks))


def session(out: Path, env: str = "toy/Model-v0", **kwargs: Any) -> Session:
    """One candidate, three maps."""
    spec = CandidateSpec(env, kwargs, lanes=3, world_keyword="")
    return Session(WORLD, {"model": spec}, PRESET, out, frame_size=(48, 48), bottom=0)


class Faulty(PanoramaModel):
    """Breaks on the second map: raises, gives float pictures with NaN in them, rewards of NaN, or blocks that are cut
    short (as those of all lanes then)."""

    def __init__(self, num_envs: int = 1, fault: str = "crash") -> None:
        super().__init__(num_envs)
        self.fault = fault

    def step(self, actions: np.ndarray) -> Any:
        observation, reward, over, cut, info = super().step(actions)
        ill = [lane for lane, seed in enumerate(self.seeds) if seed == 2_000_001]
        if ill and self.fault == "crash":
            raise RuntimeError("the second map is too much")
        if ill and self.fault == "nan":
            info = {"frames": info["frames"].astype(np.float32)}
            info["frames"][ill] = np.nan
        if ill and self.fault == "short":
            info = {"frames": info["frames"][:, -1:]}
        if ill and self.fault == "reward":
            reward = np.where(np.isin(np.arange(self.num_envs), ill), np.nan, reward)
        return observation, reward, over, cut, info

    def reconstruct(self, frames: np.ndarray) -> np.ndarray:
        if self.fault == "codec":
            raise RuntimeError("no codec after all")
        return super().reconstruct(frames)


class Strange(gym.Env[np.ndarray, np.ndarray]):
    """Names its actions, and has no space that is needed."""

    observation_space = gym.spaces.Box(-1, 1, (7,), np.float32)
    action_space = gym.spaces.Box(-1, 1, (2,), np.float32)
    action_meanings = ("noop",)


class Deaf(gym.Env[np.ndarray, np.int64]):
    """Has the spaces and cannot begin from given frames; knows no turns."""

    observation_space = gym.spaces.Box(0, 255, (48, 48, 3), np.uint8)
    action_space = gym.spaces.Discrete(2)
    action_meanings = ("noop", "forward")

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        if options:
            raise ValueError(f"unknown options {sorted(options)}")
        return np.zeros((48, 48, 3), np.uint8), {}


def register() -> None:
    """Adds them to Gymnasium's registry."""
    if "toy/Faulty-v0" not in gym.registry:
        gym.register("toy/Faulty-v0", vector_entry_point=Faulty)
        gym.register("toy/Strange-v0", entry_point=Strange)
        gym.register("toy/Deaf-v0", entry_point=Deaf)
