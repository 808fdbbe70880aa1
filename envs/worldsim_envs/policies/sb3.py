"""Saved Stable-Baselines3 agents as data collectors.

Such an archive holds a pickle: loading one runs code of whoever wrote it. Load only archives of your own.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from worldsim.worlds import WorldSpec


class SB3Policy:
    """Plays an archive saved by PPO, A2C or DQN that was trained on frames (``obs_type="rgb"``).

    The actions may be the world's (``actions="world"``) or all 32; stacked frames are kept here. Actions are
    sampled, with chance drawn from ``rng`` alone. Raises ``FileNotFoundError`` for a missing archive and
    ``ValueError`` for one whose spaces do not fit the world.
    """

    def __init__(self, path: str, spec: WorldSpec) -> None:
        self.path = path
        self.model = load_archive(path)
        count = int(getattr(self.model.action_space, "n", 0))
        tables = {len(spec.world_actions): spec.world_actions, 32: np.arange(32)}
        if count not in tables:
            raise ValueError(
                f"{path} chooses among {count} actions; {spec.name} takes {len(spec.world_actions)} "
                "(actions='world') or 32 (actions='keyboard')"
            )
        self.ids = tables[count]
        self.frames: deque[np.ndarray] = deque()

    def act(self, env: Any, obs: np.ndarray, info: Mapping[str, Any], rng: np.random.Generator) -> int:
        import torch

        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(int(rng.integers(2**31)))
            action, _ = self.model.predict(self._stacked(obs), deterministic=False)
        return int(self.ids[int(action)])

    def _stacked(self, obs: np.ndarray) -> np.ndarray:
        """The last frames as the agent was trained on them: ``(H, W, 3n)`` or, channels first, ``(3n, H,
        W)``."""
        shape = self.model.observation_space.shape
        first = shape[0] % 3 == 0 and shape[1:] == obs.shape[:2]
        if not first and (shape[:2] != obs.shape[:2] or shape[2] % 3):
            raise ValueError(f"{self.path} takes observations {shape}, the world gives {obs.shape}")
        count = (shape[0] if first else shape[2]) // 3
        if not self.frames:
            self.frames = deque([np.zeros_like(obs)] * (count - 1), maxlen=count)
        self.frames.append(obs)
        stacked = np.concatenate(self.frames, axis=-1)
        return np.ascontiguousarray(stacked.transpose(2, 0, 1)) if first else stacked


@lru_cache(maxsize=4)
def load_archive(path: str) -> Any:
    """The agent of an archive, by the first of PPO, A2C and DQN that can load it."""
    if not Path(path).is_file():
        raise FileNotFoundError(f"there is no saved agent {path}")
    try:
        from stable_baselines3 import A2C, DQN, PPO
    except ImportError as error:
        raise ImportError(
            "saved agents need Stable-Baselines3, which is not installed; add it with: pip install 'worldsim-gym[rl]'"
        ) from error
    import torch

    torch.set_num_threads(1)
    reasons = []
    for algorithm in (PPO, A2C, DQN):
        try:
            return algorithm.load(path, device="cpu")
        except (ValueError, KeyError, TypeError, AttributeError, AssertionError, RuntimeError) as error:
            reasons.append(f"{algorithm.__name__}: {error}")
    raise ValueError(f"{path} is no archive of PPO, A2C or DQN ({'; '.join(reasons)})"[:400])
