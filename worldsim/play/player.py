"""One person's world: opens the environment that was asked for, keeps its episode, steps it.

Blocking and single-threaded: the server runs each player in a worker thread of its own, where its environment
is made, stepped and closed.
"""

from __future__ import annotations

import secrets
import time
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import gymnasium as gym
import numpy as np

from worldsim.actions import ACTION_MEANINGS
from worldsim.play.keys import action_for
from worldsim.play.protocol import MAX_SEED, Prompt, Start
from worldsim.play.worlds import TRUE, action_names, open_world, spec_of, video_fps

Opener = Callable[[str, str | None], gym.Env[Any, Any]]
"""(source, world or None) -> environment."""


@dataclass(frozen=True)
class Shown:
    """Frames to show, uint8 ``(n, H, W, 3)``, and what stands beside them."""

    frames: np.ndarray
    header: dict[str, Any]


class Player:
    """Opens environments by ``opener`` (default: ``open_world``) and plays one episode at a time."""

    def __init__(self, opener: Opener = open_world) -> None:
        self._opener = opener
        self._env: gym.Env[Any, Any] | None = None
        self._opened: tuple[str, str | None] | None = None
        self._over = True
        self._step = 0
        self._total = 0.0
        self._seed = 0
        self._frames_per_step = 4
        self._seconds: deque[float] = deque(maxlen=20)

    @property
    def playing(self) -> bool:
        """Whether an episode is running, so that ``step`` may be called."""
        return self._env is not None and not self._over

    @property
    def step_seconds(self) -> float:
        """Real time that one step stands for."""
        return 1.0 / float(self._running().metadata.get("render_fps") or 10.0)

    def start(self, wish: Start) -> Shown:
        """Begins an episode; the environment is opened anew only if source or world change."""
        if wish.source == TRUE and wish.prompt:
            raise ValueError("the true world takes no prompt: choose the dream, or clear the prompt box")
        if self._env is None or self._opened != (wish.source, wish.world):
            self.close()
            self._env = self._opener(wish.source, wish.world)
            self._opened = (wish.source, wish.world)
        env = self._env
        self._seed = secrets.randbelow(MAX_SEED) if wish.seed is None else wish.seed
        asked = {"prompt": wish.prompt, "start": "prompt" if wish.drawn else "nearest"} if wish.prompt else None
        _, info = env.reset(seed=self._seed, options=asked)
        self._over, self._step, self._total = False, 0, 0.0
        self._seconds.clear()
        spec = spec_of(env)
        self._frames_per_step = spec.frames_per_step if spec else 4
        return self._shown(info, 0.0, "", False, False)

    def step(self, held: Iterable[str]) -> Shown:
        """Takes the action that the held keys mean."""
        env = self._running()
        names, spec = action_names(env), spec_of(env)
        reads = None if spec is None else [ACTION_MEANINGS[i] for i in spec.reads]
        action = action_for(held, names, reads)
        begun = time.perf_counter()
        _, reward, terminated, truncated, info = env.step(np.int64(action))
        self._seconds.append(time.perf_counter() - begun)
        self._over = bool(terminated or truncated)
        self._step += 1
        self._total += float(reward)
        return self._shown(info, float(reward), names[action], bool(terminated), bool(truncated))

    def set_prompt(self, wish: Prompt) -> None:
        """Changes the text of the running dream; ``ValueError`` where the environment takes none."""
        setter = getattr(self._running().unwrapped, "set_prompt", None)
        if setter is None:
            raise ValueError("the true world takes no prompt: choose the dream to change it by words")
        setter(wish.text, kind=wish.kind)

    def close(self) -> None:
        """Closes the environment; harmless when repeated."""
        env, self._env, self._opened, self._over = self._env, None, None, True
        if env is not None:
            env.close()

    def _running(self) -> gym.Env[Any, Any]:
        if self._env is None:
            raise ValueError("no world is open; start one first")
        return self._env

    def _shown(self, info: dict[str, Any], reward: float, action: str, terminated: bool, truncated: bool) -> Shown:
        n = int(info["n_frames"])
        text = info.get("prompt") or info.get("caption", {}).get("scene", "")
        near = getattr(self._running().unwrapped, "nearest", None)
        busy = sum(self._seconds)
        header = {
            "step": self._step,
            "n_frames": n,
            "fps": video_fps(self._running(), self._frames_per_step),
            "action": action,
            "reward": reward,
            "total": self._total,
            "terminated": terminated,
            "truncated": truncated,
            "invalid": bool(info.get("invalid", False)),
            "hallucination": float(info.get("hallucination", float("nan"))),
            "prompt": str(text),
            "nearest": near.agreement if near else "",
            "event": str(info.get("caption", {}).get("event", "")),
            "goal": str(info.get("goal", "")),
            "model": str(info.get("model", "")),
            "seed": self._seed,
            "steps_per_second": len(self._seconds) / busy if busy else 0.0,
        }
        return Shown(np.asarray(info["frames"])[:n], header)
