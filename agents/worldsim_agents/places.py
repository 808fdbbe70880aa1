"""Where an agent lives: a true world or the model's dream of it, as one kind of `VecEnv`.

Both places show the same observation space, read the same actions (``actions="world"``) and count the same
time limit, so that an agent, its hyper-parameters and the code that trains and evaluates it cannot tell them
apart. Nothing but this module knows which of them it is.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import gymnasium as gym
from gymnasium.vector import AutoresetMode, VectorEnv
from stable_baselines3.common.vec_env import VecEnv, VecFrameStack, VecMonitor

from worldsim.model.weights import WorldSimulator
from worldsim.worlds import world_named
from worldsim_agents.sb3 import SB3VecEnv

Kind = Literal["dream", "truth"]
Observation = Literal["rgb", "latent"]


@dataclass(frozen=True)
class Place:
    """One world, dreamt or true, and how it is seen.

    ``world`` is a registered true world, ``kind`` whether its engine or the model plays it. ``obs`` is the
    last frame (uint8 ``(H, W, 3)``) or the latent of the last block (float32 ``(C, h, w)``); ``stack`` of
    them are put together, the oldest first. ``model`` (a packaged name or a folder; None is the packaged
    one of the world) is needed in the dream, and for latents in truth. ``split`` counts in truth only: the dream
    starts from the model's bank. ``time_limit`` are the steps after which an episode is truncated (None: the
    world's own): a model is most exact near a true frame, so an agent may learn in short dreams and bootstrap
    beyond them, as Dreamer (Hafner et al. 2020) does. ``denoising_steps``, ``truncate_on`` and ``device`` count in
    the dream only.
    """

    world: str
    kind: Kind = "truth"
    obs: Observation = "rgb"
    stack: int = 1
    model: str | None = None
    split: str = "train"
    time_limit: int | None = None
    denoising_steps: int = 4
    truncate_on: float | None = None
    device: str = "auto"

    def make(self, num_envs: int) -> VecEnv:
        """``num_envs`` lanes that reset inside `step`; infos hold ``episode`` (return and length) at ends."""
        if num_envs < 1:
            raise ValueError(f"num_envs={num_envs}; an environment has at least one lane")
        vector = self._dream(num_envs) if self.kind == "dream" else self._truth(num_envs)
        env: VecEnv = VecMonitor(SB3VecEnv(vector))
        if self.stack > 1:
            env = VecFrameStack(env, self.stack, channels_order="last" if self.obs == "rgb" else "first")
        return env

    def _dream(self, num_envs: int) -> VectorEnv:
        return gym.make_vec(
            "SoraWorld-v0",
            num_envs=num_envs,
            world=world_named(self.world).env_id,
            model=self.model,
            actions="world",
            obs_type=self.obs,
            denoising_steps=self.denoising_steps,
            time_limit=self.time_limit,
            truncate_on=self.truncate_on,
            device=self.device,
            autoreset_mode=AutoresetMode.SAME_STEP.value,
        )

    def _truth(self, num_envs: int) -> VectorEnv:
        from worldsim_envs.vector import TrueVectorEnv

        spec = world_named(self.world)
        make: Callable[[], gym.Env] = lambda: gym.make(  # noqa: E731
            spec.env_id, actions="world", split=self.split, time_limit=self.time_limit, disable_env_checker=True
        )
        env: VectorEnv = TrueVectorEnv([make] * num_envs, autoreset_mode=AutoresetMode.SAME_STEP)
        if self.obs == "latent":
            from worldsim_agents.latent import LatentVectorObservation

            env = LatentVectorObservation(env, load_model(self.model, spec.name), spec.frames_per_step)
        return env


def load_model(model: str | None, world: str) -> WorldSimulator:
    """The model of that name or folder, or (None) the packaged one of ``world``, shared with the environments."""
    from worldsim_envs.sora.lanes import load_simulator

    return load_simulator(model, world_named(world).name)
