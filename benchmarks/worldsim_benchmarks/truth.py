"""Rollouts in the true world, through the Gymnasium API: frames, cameras, depth, rewards, events.

A ``Rollout`` is all that the suites know of the truth. Its first ``prefix`` steps are the context that a
candidate is given, the rest is what the candidate must match.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import gymnasium as gym
import numpy as np

from worldsim_benchmarks.defects import BROKEN
from worldsim_benchmarks.geometry import View, co_visible
from worldsim_benchmarks.mutants import Mutant

TEST_SEEDS = (2_000_000, 2_100_000)
VAL_SEEDS = (1_000_000, 1_100_000)


def seeds_of_test_split(n: int, offset: int = 0) -> list[int]:
    """``n`` map seeds of the test split, from ``offset`` on."""
    low, high = TEST_SEEDS
    if not 0 <= offset <= offset + n <= high - low:
        raise ValueError(f"{n} seeds from offset {offset} leave the test split [{low}, {high})")
    return list(range(low + offset, low + offset + n))


@dataclass(frozen=True)
class Rollout:
    """One true episode of T steps (T of them commanded; after an early end the last frame is repeated).

    ``first`` uint8 ``(H, W, 3)``; ``blocks`` uint8 ``(T, k, H, W, 3)``; ``names`` the T commanded actions;
    ``reward`` float ``(T,)``; ``terminated`` bool ``(T,)``; ``views`` T+1 cameras with depth (empty without
    depth); ``yaw`` float ``(T+1,)`` in degrees; ``events`` a list of dicts per step; ``length`` the steps
    that really happened.
    """

    map_seed: int
    goal: str
    prefix: int
    first: np.ndarray
    blocks: np.ndarray
    names: tuple[str, ...]
    reward: np.ndarray
    terminated: np.ndarray
    views: tuple[View, ...]
    yaw: np.ndarray
    events: tuple[tuple[dict[str, Any], ...], ...]
    length: int

    @property
    def frames(self) -> np.ndarray:
        """uint8 ``(T+1, H, W, 3)``: the observations, from the reset on."""
        return np.concatenate([self.first[None], self.blocks[:, -1]])

    @property
    def future(self) -> np.ndarray:
        """uint8 ``(T - prefix, H, W, 3)``: the observations after the context."""
        return self.blocks[self.prefix :, -1]

    @property
    def actions(self) -> tuple[str, ...]:
        """The commands after the context."""
        return self.names[self.prefix :]

    def video(self, start: int, stop: int) -> np.ndarray:
        """uint8 ``((stop - start) * k, H, W, 3)``: all video frames of the blocks start..stop."""
        return np.concatenate(list(self.blocks[start:stop]))

    def masks(self, bottom: int, start: int | None = None, seen_from: int = 0) -> np.ndarray:
        """bool ``(T - start, H, W)``: pixels of each later observation that those from ``seen_from`` to
        ``start`` show (default: to the end of the prefix)."""
        start = self.prefix if start is None else start
        context = self.views[seen_from : start + 1]
        return np.stack([co_visible(view, context, bottom=bottom) for view in self.views[start + 1 :]])


class Reference:
    """A true world of one id, with a named mutant or none.

    Raises ``ValueError`` where the world offers neither ``info["frames"]`` nor action names.
    """

    def __init__(
        self,
        world: str,
        frame_size: tuple[int, int] = (64, 64),
        split: str = "test",
        depth: bool = True,
        mutant: str | None = None,
        labels: bool = False,
        **kwargs: Any,
    ) -> None:
        truth = (*(("depth",) if depth else ()), *(("labels",) if labels else ()))
        env = gym.make(world, split=split, frame_size=frame_size, truth=truth, disable_env_checker=True, **kwargs)
        self.world, self.frame_size, self.mutant = world, frame_size, mutant
        names = getattr(env.unwrapped, "action_meanings", None)
        if names is None:
            raise ValueError(f"{world} has no env.unwrapped.action_meanings, which scripts need to name their actions")
        self.ids = {name: i for i, name in enumerate(names)}
        self.env: gym.Env[Any, Any] = BROKEN[mutant](env) if mutant else env

    def play(
        self,
        names: Sequence[str],
        map_seed: int,
        prefix: int = 0,
        pose: tuple[float, float, float] | None = None,
        goal: str = "",
    ) -> Rollout:
        """Plays the named actions from a reset to ``map_seed``; a mutant's defect sets in after ``prefix``
        steps."""
        unknown = sorted({n for n in names if n not in self.ids})
        if unknown:
            raise ValueError(f"{self.world} has no action {', '.join(unknown)}; it has {', '.join(self.ids)}")
        options: dict[str, Any] = {"map_seed": map_seed, "goal": goal}
        if pose is not None:
            options["pose"] = pose
        observation, info = self.env.reset(seed=map_seed, options=options)
        blocks: list[np.ndarray] = []
        reward, terminated = np.zeros(len(names)), np.zeros(len(names), bool)
        views, yaw = [self._view(info)], [self._yaw(info)]
        events: list[tuple[dict[str, Any], ...]] = []
        length, over = len(names), False
        for t, name in enumerate(names):
            if not over:
                if isinstance(self.env, Mutant):
                    self.env.active = t >= prefix
                _, reward[t], terminated[t], truncated, info = self.env.step(np.int64(self.ids[name]))
                over = bool(terminated[t] or truncated)
                length = t + 1
                frames = info["frames"]
            else:
                frames = np.repeat(info["frames"][-1:], len(blocks[-1]), 0)
            blocks.append(frames)
            views.append(self._view(info))
            yaw.append(self._yaw(info))
            events.append(tuple(info.get("events", ())) if length == t + 1 else ())
        return Rollout(
            map_seed=map_seed, goal=goal, prefix=prefix, first=np.asarray(observation), names=tuple(names),
            blocks=np.stack(blocks) if blocks else np.zeros((0, 4, *np.shape(observation)), np.uint8),
            reward=reward, terminated=terminated, views=tuple(v for v in views if v is not None),
            yaw=np.array(yaw), events=tuple(events), length=length,
        )  # fmt: skip

    @staticmethod
    def _view(info: dict[str, Any]) -> View | None:
        truth = info.get("truth", {})
        if "depth" not in truth:
            return None
        return View(np.asarray(truth["camera"]["K"]), np.asarray(truth["camera"]["c2w"]), np.asarray(truth["depth"]))

    @staticmethod
    def _yaw(info: dict[str, Any]) -> float:
        return float(info.get("truth", {}).get("camera", {}).get("yaw", np.nan))

    def close(self) -> None:
        self.env.close()
