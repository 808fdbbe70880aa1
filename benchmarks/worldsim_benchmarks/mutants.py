"""True worlds with one defect each: a benchmark that does not rank them below the truth proves nothing.

A mutant is an ordinary Gymnasium wrapper of a true world. Its defect is off until ``active`` is set, so
that the context is the true one. More of them come with the suites that are meant to catch them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import cv2
import gymnasium as gym
import numpy as np

from worldsim_benchmarks.geometry import wrapped
from worldsim_benchmarks.scripts import OPPOSITE


class Mutant(gym.Wrapper[np.ndarray, np.int64, np.ndarray, np.int64]):
    """Base: ``alter`` changes the action's name, ``paint`` the frames (uint8 ``(F, H, W, 3)``), while
    ``active``."""

    def __init__(self, env: gym.Env[np.ndarray, np.int64]) -> None:
        super().__init__(env)
        self.names = tuple(env.unwrapped.action_meanings)  # type: ignore[attr-defined]
        self.active = False
        self.age = 0

    def alter(self, name: str) -> str:
        return name

    def paint(self, frames: np.ndarray) -> np.ndarray:
        return frames

    def reset(self, **kwargs: Any) -> tuple[np.ndarray, dict[str, Any]]:
        self.active, self.age = False, 0
        return self.env.reset(**kwargs)

    def step(self, action: np.int64) -> tuple[np.ndarray, Any, bool, bool, dict[str, Any]]:
        if not self.active:
            return self.env.step(action)
        self.age += 1
        index = self.names.index(self.alter(self.names[int(action)]))
        _, reward, terminated, truncated, info = self.env.step(np.int64(index))
        frames = self.paint(info["frames"])
        return frames[-1].copy(), reward, terminated, truncated, {**info, "frames": frames}


class Mirrored(Mutant):
    """Left is right."""

    def alter(self, name: str) -> str:
        return OPPOSITE[name] if "left" in name or "right" in name else name


class Gain(Mutant):
    """Every fifth command of a kind is lost: moves and turns are executed at 0.8 of what was commanded."""

    gain = 0.8

    def reset(self, **kwargs: Any) -> tuple[np.ndarray, dict[str, Any]]:
        self.owed: dict[str, float] = {}
        return super().reset(**kwargs)

    def alter(self, name: str) -> str:
        owed = self.owed.get(name, 0.5) + self.gain
        self.owed[name] = owed - (owed >= 1)
        return name if owed >= 1 else "noop"


class Delayed(Mutant):
    """Every command is executed one step late."""

    def reset(self, **kwargs: Any) -> tuple[np.ndarray, dict[str, Any]]:
        self.held = "noop"
        return super().reset(**kwargs)

    def alter(self, name: str) -> str:
        name, self.held = self.held, name
        return name


class Drifting(Mutant):
    """The picture slowly turns red: one grey level per step."""

    def paint(self, frames: np.ndarray) -> np.ndarray:
        shift = np.array([self.age, 0, -self.age], np.int16)
        return np.clip(frames.astype(np.int16) + shift, 0, 255).astype(np.uint8)


class Teleporting(Mutant):
    """In the middle of its third step the camera is moved: a quarter of a turn and some metres, in no time."""

    at = 3
    hidden = ("turn_left",) * 7 + ("forward",) * 4

    def alter(self, name: str) -> str:
        if self.age == self.at:
            for moved in self.hidden:
                self.env.step(np.int64(self.names.index(moved)))
        return name


class Amnesic(Mutant):
    """What leaves the view is drawn anew: directions that were out of sight come back as those of another map.

    A twin of the world plays the same actions on another map, from where that begins. A direction (in degrees, from the
    camera) that left the picture since the context is shown from the twin ever after, column by column.
    """

    other_map = 77
    """Distance of the twin's map seed."""

    def __init__(self, env: gym.Env[np.ndarray, np.int64]) -> None:
        super().__init__(env)
        if env.spec is None:
            raise ValueError("amnesic needs an environment made by gym.make, of which it makes a twin")
        self.twin = gym.make(env.spec)

    def reset(self, **kwargs: Any) -> tuple[np.ndarray, dict[str, Any]]:
        observation, info = super().reset(**kwargs)
        options = dict(kwargs.get("options") or {})
        options["map_seed"] = options.get("map_seed", kwargs.get("seed") or 0) + self.other_map
        options.pop("pose", None)  # there may be a wall on the other map
        _, self.twin_info = self.twin.reset(seed=kwargs.get("seed"), options=options)
        self.yaw = float(info["truth"]["camera"]["yaw"])
        self.shown, self.lost = np.zeros(360, bool), np.zeros(360, bool)
        return observation, info

    def step(self, action: np.int64) -> tuple[np.ndarray, Any, bool, bool, dict[str, Any]]:
        self.twin_info = self.twin.step(action)[4]
        observation, reward, terminated, truncated, info = super().step(action)
        before, self.yaw = self.yaw, float(info["truth"]["camera"]["yaw"])
        if not self.active:
            return observation, reward, terminated, truncated, info
        turned = wrapped(self.yaw - before)
        K, k = info["truth"]["camera"]["K"], len(info["frames"])
        columns = np.degrees(np.arctan((np.arange(observation.shape[1]) + 0.5 - K[0, 2]) / K[0, 0]))
        frames = info["frames"].copy()
        for i in range(k):
            directions = np.floor(before + turned * (i + 1) / k - columns).astype(int) % 360
            visible = np.zeros(360, bool)
            visible[directions] = True
            visible |= np.roll(visible, 1) & np.roll(visible, -1)  # columns of wide angle skip a degree
            self.lost |= self.shown & ~visible
            self.shown |= visible
            gone = self.lost[directions]
            frames[i][:, gone] = self.twin_info["frames"][i][:, gone]
        return frames[-1].copy(), reward, terminated, truncated, {**info, "frames": frames}

    def close(self) -> None:
        self.twin.close()
        super().close()


class Blurred(Mutant):
    """The truth without detail (Gaussian, 1.5 pixels): an oracle that only fidelity must catch."""

    def paint(self, frames: np.ndarray) -> np.ndarray:
        return np.stack([cv2.GaussianBlur(frame, (0, 0), 1.5) for frame in frames])


MUTANTS: dict[str, Callable[[gym.Env[np.ndarray, np.int64]], Mutant]] = {
    "mirrored": Mirrored,
    "gain_0.8": Gain,
    "delayed": Delayed,
    "colour_drift": Drifting,
    "teleport": Teleporting,
    "amnesic": Amnesic,
    "blur": Blurred,
}
