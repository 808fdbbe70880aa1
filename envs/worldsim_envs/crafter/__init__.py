"""Crafter (Hafner 2021), a 2-D world of survival in the style of Minecraft, behind the contract of the true worlds.

``game`` makes the engine repeatable bit for bit, ``world`` makes an environment of it.
"""

from __future__ import annotations

from worldsim_envs.crafter.world import CrafterEnv

__all__ = ["CrafterEnv"]
