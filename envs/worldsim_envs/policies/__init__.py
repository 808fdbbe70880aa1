"""Policies that collect data: random, scripted explorers, and saved Stable-Baselines3 agents."""

from __future__ import annotations

from importlib import import_module

from worldsim.worlds import WorldSpec
from worldsim_envs.policies.base import Policy, WithNoise, begin_at
from worldsim_envs.policies.random import RandomPolicy

EXPLORERS: dict[str, tuple[str, str]] = {
    "DoomRooms": ("rooms", "RoomsExplorer"),
    "DoomTakeCover": ("scenarios", "TakeCoverExplorer"),
    "DoomHealthGathering": ("scenarios", "HealthGatheringExplorer"),
    "DoomMyWayHome": ("scenarios", "MyWayHomeExplorer"),
    "DoomBasic": ("scenarios", "BasicExplorer"),
    "Table": ("table", "TableExplorer"),
    "Crafter": ("crafter", "CrafterExplorer"),
    "Scene": ("scene", "SceneExplorer"),
    "Blocks": ("blocks", "BlocksExplorer"),
}
"""World -> module and class of its scripted explorer."""

__all__ = ["Policy", "RandomPolicy", "WithNoise", "begin_at", "make_policy"]


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
    if name == "explorer":
        if spec.name not in EXPLORERS:
            raise ValueError(f"there is no explorer for {spec.name}; there is one for {', '.join(EXPLORERS)}")
        module, explorer = EXPLORERS[spec.name]
        return getattr(import_module(f"worldsim_envs.policies.{module}"), explorer)()
    if name.startswith("sb3="):
        from worldsim_envs.policies.sb3 import SB3Policy

        return SB3Policy(name.removeprefix("sb3="), spec)
    raise ValueError(f"unknown policy {name!r}: accepted are 'random', 'explorer' and 'sb3=PATH'")
