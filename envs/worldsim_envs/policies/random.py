"""Random actions, each held for a few steps, since single random steps cancel each other out and go
nowhere."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from worldsim.worlds import WorldSpec


class RandomPolicy:
    """Draws uniformly among the actions that the world reads and holds each for 1 to 8 steps."""

    def __init__(self, spec: WorldSpec, longest: int = 8) -> None:
        self.actions = spec.world_actions
        self.longest = longest
        self.action, self.left = 0, 0

    def act(self, env: Any, obs: np.ndarray, info: Mapping[str, Any], rng: np.random.Generator) -> int:
        if self.left == 0:
            self.action = int(rng.choice(self.actions))
            self.left = int(rng.integers(1, self.longest + 1))
        self.left -= 1
        return self.action
