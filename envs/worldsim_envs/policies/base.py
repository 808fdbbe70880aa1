"""The policy protocol of data collection, and the wrapper that mixes noise actions into any policy."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np


class Policy(Protocol):
    """Chooses actions for one episode; a fresh policy is made for each.

    ``env`` is the world (policies look at ``env.unwrapped``, truth included: they make data, they are not
    measured), ``obs`` its last observation, uint8 ``(H, W, 3)``, ``info`` the last info, ``rng`` the only
    source of chance. The result is an id of the 32 keyboard actions. A policy may also have a method ``start(world,
    rng)``, asked after the reset: the pose to begin the episode at instead, or None.
    """

    def act(self, env: Any, obs: np.ndarray, info: Mapping[str, Any], rng: np.random.Generator) -> int: ...


class WithNoise:
    """Takes a uniformly drawn action that the world reads with probability ``p`` per step, else ``policy``'s,
    so that recordings cover every action in every situation."""

    def __init__(self, policy: Policy, actions: np.ndarray, p: float) -> None:
        self.policy, self.actions, self.p = policy, actions, p

    def start(self, world: Any, rng: np.random.Generator) -> Any:
        return begin_at(self.policy, world, rng)

    def act(self, env: Any, obs: np.ndarray, info: Mapping[str, Any], rng: np.random.Generator) -> int:
        action = self.policy.act(env, obs, info, rng)  # asked in any case: it may count steps
        return int(rng.choice(self.actions)) if rng.random() < self.p else action


def begin_at(policy: Policy, world: Any, rng: np.random.Generator) -> tuple[float, float, float] | None:
    """The pose at which ``policy`` wants to begin an episode in ``world``, None where it has no wish."""
    start = getattr(policy, "start", None)
    return None if start is None else start(world, rng)
