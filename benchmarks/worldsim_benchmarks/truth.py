"""Rollouts in the true world, through the Gymnasium API: frames, cameras, depth, object ids, rewards, events.

A ``Rollout`` is all that the suites know of the truth. Its first ``prefix`` steps are the context that a
candidate is given, the rest is what the candidate must match. A ``Reference`` plays whole scripts, or step by step
where a deed is planned by looking at what the world tells of itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import gymnasium as gym
import numpy as np

from worldsim_benchmarks.defects import BROKEN
from worldsim_benchmarks.geometry import View, co_visible
from worldsim_benchmarks.mutants import Mutant

TEST_SEEDS = (2_000_000, 2_100_000)
VAL_SEEDS = (1_000_000, 1_100_000)
Pose = tuple[float, float, float]


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
    ``reward`` float ``(T,)``; ``terminated`` bool ``(T,)``; ``truths`` T+1 dicts, ``info["truth"]`` of the reset and of
    each step; ``events`` a list of dicts per step; ``length`` the steps that really happened; ``pose`` what the world
    was reset to, None for the map's own start; ``real`` how many of the k frames of a step the world draws (1 where it
    is turn-based), the rest repeat the last.
    """

    map_seed: int
    goal: str
    prefix: int
    first: np.ndarray
    blocks: np.ndarray
    names: tuple[str, ...]
    reward: np.ndarray
    terminated: np.ndarray
    truths: tuple[dict[str, Any], ...]
    events: tuple[tuple[dict[str, Any], ...], ...]
    length: int
    pose: Pose | None = None
    real: int = 4

    @cached_property
    def views(self) -> tuple[View, ...]:
        """T+1 cameras with depth; empty without depth."""
        return tuple(
            View(np.asarray(t["camera"]["K"]), np.asarray(t["camera"]["c2w"]), np.asarray(t["depth"]))
            for t in self.truths
            if "depth" in t
        )

    @cached_property
    def yaw(self) -> np.ndarray:
        """float ``(T+1,)`` in degrees; NaN where the world tells no camera."""
        return np.array([float(t.get("camera", {}).get("yaw", np.nan)) for t in self.truths])

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

    def frame(self, step: int) -> np.ndarray:
        """The observation after ``step`` steps, uint8 ``(H, W, 3)``."""
        return self.first if step == 0 else np.asarray(self.blocks[step - 1, -1])

    def labels(self, step: int) -> np.ndarray:
        """int32 ``(H, W)``: object ids after ``step`` steps."""
        return np.asarray(self.truths[step]["labels"])

    def object(self, step: int, number: int) -> dict[str, Any] | None:
        """The object of that id after ``step`` steps, None where it is no more."""
        return next((o for o in self.truths[step]["objects"] if o["id"] == number), None)

    def video(self, start: int, stop: int) -> np.ndarray:
        """uint8 ``((stop - start) * real, H, W, 3)``: all video frames of the blocks start..stop."""
        return np.concatenate(list(self.blocks[start:stop, : self.real]))

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
        self.reseeds = bool(getattr(env.unwrapped, "dynamics_later", False))
        self.env: gym.Env[Any, Any] = BROKEN[mutant](env) if mutant else env
        self._start: tuple[int, str, Pose | None] = (0, "", None)
        self._first = np.zeros((*frame_size, 3), np.uint8)
        self._names: list[str] = []
        self._blocks: list[np.ndarray] = []
        self._paid: list[tuple[float, bool]] = []
        self._truths: list[dict[str, Any]] = [{}]
        self._events: list[tuple[dict[str, Any], ...]] = []
        self.over = False
        self._real = 1

    # Whole scripts

    def play(
        self,
        names: Sequence[str],
        map_seed: int,
        prefix: int = 0,
        pose: Pose | None = None,
        goal: str = "",
        dynamics: int | None = None,
    ) -> Rollout:
        """Plays the named actions from a reset to ``map_seed``; a mutant's defect sets in after ``prefix`` steps, and
        so does the seed ``dynamics`` of what moves by itself, where the world can change it. ``ValueError`` for an
        action that the world has not, or a pose that it refuses."""
        unknown = sorted({n for n in names if n not in self.ids})
        if unknown:
            raise ValueError(f"{self.world} has no action {', '.join(unknown)}; it has {', '.join(self.ids)}")
        self._reset(map_seed, pose, goal, None if dynamics is None else (dynamics, prefix))
        self.do(*names[:prefix])
        if isinstance(self.env, Mutant):
            self.env.active = True
        self.do(*names[prefix:])
        return self.played(prefix, names)

    # Step by step

    def reset(self, map_seed: int, pose: Pose | None = None, goal: str = "") -> bool:
        """Starts anew; False where the world refuses the pose as no free place."""
        try:
            self._reset(map_seed, pose, goal)
        except ValueError:
            if pose is None:
                raise
            return False
        return True

    def _reset(self, map_seed: int, pose: Pose | None, goal: str, dynamics: tuple[int, int] | None = None) -> None:
        options: dict[str, Any] = {"map_seed": map_seed, "goal": goal}
        if dynamics is not None and self.reseeds:
            options["dynamics_seed"] = dynamics
        if pose is not None:
            options["pose"] = pose
        observation, info = self.env.reset(seed=map_seed, options=options)
        self._start, self._first, self.over = (map_seed, goal, pose), np.array(observation), False
        self._names, self._blocks, self._paid, self._events = [], [], [], []
        self._truths = [info.get("truth", {})]

    def do(self, *names: str) -> None:
        """Plays the named actions; nothing more once the episode has ended."""
        for name in names:
            if self.over:
                return
            _, reward, terminated, truncated, info = self.env.step(np.int64(self.ids[name]))
            self.over = bool(terminated or truncated)
            self._names.append(name)
            self._blocks.append(info["frames"])
            self._real = max(self._real, int(info.get("n_frames", len(info["frames"]))))
            self._paid.append((float(reward), bool(terminated)))
            self._truths.append(info.get("truth", {}))
            self._events.append(tuple(info.get("events", ())))

    def played(self, prefix: int, names: Sequence[str] | None = None) -> Rollout:
        """What was done since the reset, with ``prefix`` steps of it as context; up to the end of the commanded
        ``names`` the last frame is repeated."""
        names = self._names if names is None else names
        rest, (map_seed, goal, pose) = len(names) - len(self._names), self._start
        blocks = [*self._blocks]
        if rest and blocks:
            blocks += [np.repeat(blocks[-1][-1:], len(blocks[-1]), 0)] * rest
        paid = [*self._paid, *[(0.0, False)] * rest]
        return Rollout(
            map_seed=map_seed, goal=goal, prefix=prefix, first=self._first, names=tuple(names),
            blocks=np.stack(blocks) if blocks else np.zeros((0, 4, *self._first.shape), np.uint8),
            reward=np.array([r for r, _ in paid]), terminated=np.array([t for _, t in paid], bool),
            truths=(*self._truths, *[self._truths[-1]] * rest), events=(*self._events, *[()] * rest),
            length=len(self._names), pose=pose, real=self._real,
        )  # fmt: skip

    @property
    def steps(self) -> int:
        """Steps since the reset."""
        return len(self._names)

    @property
    def truth(self) -> dict[str, Any]:
        """``info["truth"]`` of now."""
        return self._truths[-1]

    def objects(self, *kinds: str) -> list[dict[str, Any]]:
        """Objects of these classes now, in the world's order."""
        return [o for o in self.truth["objects"] if o["class"] in kinds]

    def first_objects(self, *kinds: str) -> list[dict[str, Any]]:
        """The same at the reset."""
        return [o for o in self._truths[0]["objects"] if o["class"] in kinds]

    def close(self) -> None:
        self.env.close()
