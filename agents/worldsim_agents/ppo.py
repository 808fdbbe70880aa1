"""PPO (Schulman et al. 2017) from Stable-Baselines3, with one set of hyper-parameters for dream and truth.

Rewards of the worlds differ in scale (a shot costs 5 and a kill pays 101 in DoomBasic, a tic pays 1 in
DoomTakeCover), so they are divided by the running deviation of the return (``VecNormalize``), in both places
alike. The networks are small: what an agent sees is a few thousand numbers, and in the dream the budget is in
tens of thousands of steps. Everything is sized for one CPU core; ``docs/agents.md`` has the measurements.
"""

from __future__ import annotations

from dataclasses import dataclass

import gymnasium as gym
import torch
from stable_baselines3 import PPO
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor
from stable_baselines3.common.vec_env import VecEnv, VecNormalize
from torch import nn


@dataclass(frozen=True)
class PPOConfig:
    """Hyper-parameters of PPO. One update is made after every ``batch_steps`` steps of all lanes together,
    so that the number of lanes does not change the algorithm. ``stack`` is the number of observations that
    the policy sees at once: one shows no motion. ``entropy`` is the weight of the policy's entropy: at 0.003 an
    agent in the dream settles on one side before it has learned to look."""

    batch_steps: int = 1024
    minibatch: int = 256
    epochs: int = 8
    learning_rate: float = 1e-3
    gamma: float = 0.99
    gae_lambda: float = 0.95
    clip: float = 0.2
    entropy: float = 0.02
    features: int = 128
    stack: int = 4

    def __post_init__(self) -> None:
        if not self.entropy >= 0:
            raise ValueError(f"entropy={self.entropy}: a weight of 0 or more is accepted; 0.02 is the default")


class SmallFeatures(BaseFeaturesExtractor):
    """Convolutions over frames (uint8, scaled to [0, 1] by SB3, channels first) or over latents."""

    def __init__(self, observation_space: gym.Space, features_dim: int = 128) -> None:
        super().__init__(observation_space, features_dim)
        assert isinstance(observation_space, gym.spaces.Box)
        channels = observation_space.shape[0]
        if observation_space.dtype == "uint8":
            convolutions = [
                nn.Conv2d(channels, 16, 8, 4, 2), nn.ReLU(),
                nn.Conv2d(16, 32, 4, 2, 1), nn.ReLU(),
                nn.Conv2d(32, 32, 3, 2, 1), nn.ReLU(),
            ]  # fmt: skip
        else:
            convolutions = [
                nn.Conv2d(channels, 32, 3, 1, 1), nn.ReLU(),
                nn.Conv2d(32, 32, 3, 2, 1), nn.ReLU(),
            ]  # fmt: skip
        self.convolutions = nn.Sequential(*convolutions, nn.Flatten())
        with torch.no_grad():
            flat = self.convolutions(torch.zeros(1, *observation_space.shape)).shape[1]
        self.out = nn.Sequential(nn.Linear(flat, features_dim), nn.ReLU())

    def forward(self, observations: torch.Tensor) -> torch.Tensor:
        return self.out(self.convolutions(observations))


def make_ppo(config: PPOConfig, env: VecEnv, seed: int, device: str = "cpu") -> PPO:
    """A fresh PPO on ``env``, whose rewards it sees normalised. Raises ``ValueError`` where the lanes do not
    divide ``batch_steps``."""
    if config.batch_steps % env.num_envs:
        raise ValueError(
            f"{env.num_envs} lanes do not divide the {config.batch_steps} steps of an update; "
            "choose num_envs so that they do (a power of two)"
        )
    return PPO(
        "CnnPolicy",
        VecNormalize(env, norm_obs=False, norm_reward=True, gamma=config.gamma),
        n_steps=config.batch_steps // env.num_envs,
        batch_size=config.minibatch,
        n_epochs=config.epochs,
        learning_rate=config.learning_rate,
        gamma=config.gamma,
        gae_lambda=config.gae_lambda,
        clip_range=config.clip,
        ent_coef=config.entropy,
        policy_kwargs={
            "features_extractor_class": SmallFeatures,
            "features_extractor_kwargs": {"features_dim": config.features},
            "net_arch": [],
        },
        seed=seed,
        device=device,
    )
