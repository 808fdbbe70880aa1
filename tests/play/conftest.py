"""A small world that keeps the conventions of the learned environment; what each frame holds is known."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
import pytest

from worldsim.actions import ACTION_MEANINGS, NUM_ACTIONS


class StripeWorld(gym.Env[np.ndarray, np.int64]):
    """Frame i of a block is grey level 40 * i, with a red stripe in the column of the action's id.

    Ends after ``length`` steps. ``last_prompt`` is what ``set_prompt`` was given.
    """

    action_meanings = ACTION_MEANINGS
    metadata = {"render_modes": [], "render_fps": 100.0}

    def __init__(self, length: int = 1000) -> None:
        self.action_space = gym.spaces.Discrete(NUM_ACTIONS)
        self.observation_space = gym.spaces.Box(0, 255, (32, 32, 3), np.uint8)
        self.length = length
        self.taken: list[int] = []
        self.last_prompt: tuple[str, str] | None = None
        self.closed = False
        self._prompt = ""

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        super().reset(seed=seed)
        self._prompt = (options or {}).get("prompt", "an empty stage")
        if "impossible" in self._prompt:
            raise ValueError("the prompt 'impossible' names no world")
        self.taken.clear()
        return self._shown(np.zeros((1, 32, 32, 3), np.uint8), 1)

    def step(self, action: np.int64) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        self.taken.append(int(action))
        levels = (np.arange(4, dtype=np.uint8) * 40)[:, None, None, None]
        frames = np.broadcast_to(levels, (4, 32, 32, 3)).copy()
        frames[:, :, int(action)] = (255, 0, 0)
        obs, info = self._shown(frames, 4)
        return obs, 0.5, False, len(self.taken) >= self.length, info

    def set_prompt(self, text: str, kind: str = "scene", steps: int = 4) -> None:
        self.last_prompt = (text, kind)

    def close(self) -> None:
        self.closed = True

    def _shown(self, frames: np.ndarray, n: int) -> tuple[np.ndarray, dict[str, Any]]:
        info = {
            "frames": frames, "n_frames": n, "goal": "", "prompt": self._prompt, "invalid": False,
            "hallucination": float("nan"), "model": "0123456789ab",
        }  # fmt: skip
        return frames[-1], info


class Opener:
    """Opens stripe worlds and remembers them."""

    def __init__(self, **kwargs: Any) -> None:
        self.kwargs = kwargs
        self.opened: list[tuple[str, str | None]] = []
        self.worlds: list[StripeWorld] = []

    def __call__(self, source: str, world: str | None) -> gym.Env[Any, Any]:
        self.opened.append((source, world))
        self.worlds.append(StripeWorld(**self.kwargs))
        return self.worlds[-1]


@pytest.fixture
def opener() -> Opener:
    return Opener()


@pytest.fixture
def short_opener() -> Opener:
    return Opener(length=3)
