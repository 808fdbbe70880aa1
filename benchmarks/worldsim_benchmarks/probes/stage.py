"""A true world in which deeds are planned: played step by step, with its truth and object ids at hand.

Planning looks at ``info["truth"]`` alone (objects, hand, labels), so any world that tells as much can be asked. What
was played is kept as ``Take``: the actions, every block, and the truth after each step. A plan found here is a list of
action names; truth, candidates and floors then play it blindly.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import gymnasium as gym
import numpy as np

Pose = tuple[float, float, float]


@dataclass(frozen=True)
class Take:
    """What was played from a reset on, T steps. ``first`` uint8 ``(H, W, 3)``; ``blocks`` T arrays uint8
    ``(k, H, W, 3)``; ``truths`` T+1 dicts (``info["truth"]`` of the reset and of each step); ``events`` of each
    step."""

    map_seed: int
    pose: Pose | None
    goal: str
    first: np.ndarray
    names: tuple[str, ...]
    blocks: tuple[np.ndarray, ...]
    truths: tuple[dict[str, Any], ...]
    events: tuple[tuple[dict[str, Any], ...], ...]

    def frame(self, step: int) -> np.ndarray:
        """The observation after ``step`` steps, uint8 ``(H, W, 3)``."""
        return self.first if step == 0 else self.blocks[step - 1][-1]

    def labels(self, step: int) -> np.ndarray:
        """int32 ``(H, W)``: object ids after ``step`` steps."""
        return np.asarray(self.truths[step]["labels"])

    def object(self, step: int, number: int) -> dict[str, Any] | None:
        """The object of that id after ``step`` steps, None where it is no more."""
        return next((o for o in self.truths[step]["objects"] if o["id"] == number), None)

    def video(self, start: int, stop: int) -> np.ndarray:
        """uint8 ``((stop - start) * k, H, W, 3)``."""
        return np.concatenate(self.blocks[start:stop])


class Stage:
    """One true world, opened with labels. ``kwargs`` go to its constructor."""

    def __init__(self, world: str, frame_size: tuple[int, int] = (64, 64), **kwargs: Any) -> None:
        self.world = world
        self.env: gym.Env[Any, Any] = gym.make(
            world, split="test", frame_size=frame_size, truth=("labels",), disable_env_checker=True, **kwargs
        )
        self.ids = {name: i for i, name in enumerate(self.env.unwrapped.action_meanings)}  # type: ignore[attr-defined]
        self._key: tuple[int, Pose | None, str] = (0, None, "")
        self._first = np.zeros((*frame_size, 3), np.uint8)
        self._names: list[str] = []
        self._blocks: list[np.ndarray] = []
        self._truths: list[dict[str, Any]] = []
        self._events: list[tuple[dict[str, Any], ...]] = []
        self.over = False

    def reset(self, map_seed: int, pose: Pose | None = None, goal: str = "") -> bool:
        """Starts anew; False where the world refuses the pose as no free place."""
        options: dict[str, Any] = {"map_seed": map_seed, "goal": goal}
        if pose is not None:
            options["pose"] = pose
        try:
            observation, info = self.env.reset(seed=map_seed, options=options)
        except ValueError:
            if pose is None:
                raise
            return False
        self._key, self._first, self.over = (map_seed, pose, goal), np.array(observation), False
        self._names, self._blocks, self._events = [], [], []
        self._truths = [info["truth"]]
        return True

    def do(self, *names: str) -> None:
        """Plays the named actions; nothing more once the episode has ended."""
        for name in names:
            if self.over:
                return
            _, _, terminated, truncated, info = self.env.step(np.int64(self.ids[name]))
            self.over = terminated or truncated
            self._names.append(name)
            self._blocks.append(info["frames"])
            self._truths.append(info["truth"])
            self._events.append(tuple(info["events"]))

    @property
    def steps(self) -> int:
        """Steps since the reset."""
        return len(self._names)

    @property
    def truth(self) -> dict[str, Any]:
        """``info["truth"]`` of now."""
        return self._truths[-1]

    @property
    def events(self) -> tuple[dict[str, Any], ...]:
        """Events of the last step."""
        return self._events[-1] if self._events else ()

    def objects(self, *kinds: str) -> list[dict[str, Any]]:
        """Objects of these classes now, in the world's order."""
        return [o for o in self.truth["objects"] if o["class"] in kinds]

    def first_objects(self, *kinds: str) -> list[dict[str, Any]]:
        """The same at the reset."""
        return [o for o in self._truths[0]["objects"] if o["class"] in kinds]

    def take(self) -> Take:
        """What has been played since the reset."""
        seed, pose, goal = self._key
        return Take(
            seed, pose, goal, self._first, tuple(self._names), tuple(self._blocks), tuple(self._truths),
            tuple(self._events),
        )  # fmt: skip

    def play(self, map_seed: int, pose: Pose | None, names: Sequence[str], goal: str = "") -> Take:
        """A take of these actions from a reset; ``ValueError`` where the pose is refused."""
        if not self.reset(map_seed, pose, goal):
            raise ValueError(f"{self.world} refuses the pose {pose} on map {map_seed}")
        self.do(*names)
        return self.take()

    def close(self) -> None:
        self.env.close()
