"""Policies that collect data: random, scripted explorers, and saved Stable-Baselines3 agents."""

from __future__ import annotations

from worldsim.worlds import WorldSpec
from worldsim_envs.policies.base import Policy, WithNoise
from worldsim_envs.policies.random import RandomPolicy

__all__ = ["Policy", "RandomPolicy", "WithNoise", "make_policy"]


def make_policy(name: str, spec: WorldSpec, noise: float = 0.0) -> Policy:
    """A fresh policy for one episode of the world ``spec``.

    ``name`` is ``random``, ``explorer`` or ``sb3=PATH`` (a saved Stable-Baselines3 archive). With probability
    ``noise`` per step a random action is taken in its place. Raises ``ValueError`` for another name.
    """
    policy = _make(name, spec)
    return WithNoise(policy, spec.world_actions, noise) if noise else policy


def _make(name: str, spec: WorldSpec) -> Policy:
    if name == "random":
        return RandomPolicy(spec)
    raise ValueError(f"unknown policy {name!r}: accepted are 'random', 'explorer' and 'sb3=PATH'")
