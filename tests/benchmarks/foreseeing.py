"""A model of the painted cylinder that offers ``surprise``, perfect or with a fault."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
from panorama import NAMES, SIZE, TURNS, drawn, view


class Foreseeing(gym.Env[np.ndarray, np.int64]):
    """Expects the cylinder of the first picture, turned as commanded. ``fault``: "deaf" expects no turn, "crash" and
    "nan" fail on the second episode's map, "none" offers nothing."""

    action_meanings = NAMES
    action_space = gym.spaces.Discrete(len(NAMES))
    observation_space = gym.spaces.Box(0, 255, (SIZE, SIZE, 3), np.uint8)

    def __init__(self, fault: str = "") -> None:
        self.fault = fault
        if fault == "none":
            self.surprise = None

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        assert options is not None
        return options["init_frames"][-1].copy(), {}

    def step(self, action: np.int64) -> Any:
        frames = np.zeros((4, SIZE, SIZE, 3), np.uint8)
        return frames[-1], 0.0, False, False, {"frames": frames}

    def surprise(self, frames: np.ndarray, actions: np.ndarray, prompt: str, seed: int, n_noise: int) -> np.ndarray:  # type: ignore[no-redef]
        assert (prompt, n_noise) == ("", 1)  # of a brief run
        seeds = range(2_000_000, 2_001_000, 400)
        (found,) = (s for s in seeds if np.array_equal(view(s, 0.0), frames[0]))
        if found == 2_000_400 and self.fault == "crash":
            raise RuntimeError("the second map is too much")
        if found == 2_000_400 and self.fault == "nan":
            return np.full(len(actions), np.nan)
        yaw, losses = 0.0, []
        for i, action in enumerate(actions):
            yaw += 0.0 if self.fault == "deaf" else TURNS.get(NAMES[action], 0.0)
            losses.append(float(((frames[4 * i + 4].astype(float) - drawn(found, round(yaw, 3))) ** 2).mean()))
        return np.array(losses, np.float32)


def register() -> None:
    """Adds it to Gymnasium's registry."""
    if "toy/Foreseeing-v0" not in gym.registry:
        gym.register("toy/Foreseeing-v0", entry_point=Foreseeing, disable_env_checker=True)
