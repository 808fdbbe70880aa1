"""The policy protocol of data collection, and the wrapper that mixes noise actions into any policy."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np


class Policy(Protocol):
    """Chooses actions for one episode; a fresh policy is made for each.

    ``env`` is the world (policies look at ``env.unwrapped``, truth included: they make data, they are not
    measured), ``obs`` its last observation, uint8 ``(H, W, 3)``, ``info`` the last info, ``rng`` the only
    source of chance. The result is an id of the 32 keyboard actions.
    """

    def act(self, env: Any, obs: np.ndarray, info: Mapping[str, Any], rng: np.random.Generator) -> int: ...


class WithNoise:
    """Takes a uniformly drawn action that the world reads with probability ``p`` per step, else ``policy``'s,
    so that recordings cover every action in every situation."""

    def __init__(self, policy: Policy, actions: np.ndarray, p: float) -> None:
        self.policy, self.actions, self.p = policy, actions, p

    def act(self, env: Any, obs: np.ndarray, info: Mapping[str, Any], rng: np.random.Generator) -> int:
        action = self.policy.act(env, obs, info, rng)  # asked in any case: it may count steps
        return int(rng.choice(self.actions)) if rng.random() < self.p else action
