"""Registers every environment of the project with Gymnasium, as string entry points that import nothing heavy.

No step limit is registered: ``time_limit`` is the world's own and applied inside, single and vector alike.
Registering twice is harmless, since ``gym.make("worldsim:SoraWorld-v0")`` imports the package again.
"""

from __future__ import annotations

import gymnasium as gym

from worldsim.worlds import WORLDS

SORA_WORLD = "SoraWorld-v0"


def register_environments() -> None:
    """Adds the learned environment and the true worlds to Gymnasium's registry, where they are not in it yet."""
    if SORA_WORLD not in gym.registry:
        gym.register(
            id=SORA_WORLD,
            entry_point="worldsim_envs.sora:SoraWorldEnv",
            vector_entry_point="worldsim_envs.sora:SoraWorldVectorEnv",
        )
    for spec in WORLDS.values():
        if spec.env_id not in gym.registry:
            gym.register(
                id=spec.env_id,
                entry_point=f"worldsim_envs.{spec.package}:{spec.name}Env",
                vector_entry_point=f"worldsim_envs.vector:{spec.name}Vector",
            )
