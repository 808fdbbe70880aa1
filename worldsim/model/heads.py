"""Reward and termination, read from the register tokens of a latent frame.

Reward is a two-hot distribution over symlog-spaced bins (Hafner et al. 2023, DreamerV3, eqs. 8-10), so that one head
covers a living reward of 0.0004 and a kill worth 101; termination is one logit. Both are conditioned on the goal text,
on the action through the frame's conditioning vector, and on a world embedding that is never dropped.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn

from worldsim.constants import constant

REWARD_BINS = 65
_LIMIT = 6.0  # symlog of about 400


def symlog(x: torch.Tensor) -> torch.Tensor:
    return x.sign() * x.abs().log1p()


def symexp(x: torch.Tensor) -> torch.Tensor:
    return x.sign() * x.abs().expm1()


@constant
def bin_values(device: torch.device | None = None) -> torch.Tensor:
    """Reward that each bin stands for, float32 ``(REWARD_BINS,)``, evenly spaced in symlog."""
    return symexp(torch.linspace(-_LIMIT, _LIMIT, REWARD_BINS, device=device))


def two_hot(reward: torch.Tensor) -> torch.Tensor:
    """Distribution over the bins ``(..., REWARD_BINS)`` with mean ``reward``, on the two bins beside it."""
    values = bin_values(reward.device)
    reward = reward.float().clamp(values[0], values[-1])
    above = torch.searchsorted(values, reward.contiguous()).clamp(1, REWARD_BINS - 1)
    low, high = values[above - 1], values[above]
    share = ((reward - low) / (high - low)).clamp(0, 1)
    return F.one_hot(above - 1, REWARD_BINS) * (1 - share)[..., None] + F.one_hot(above, REWARD_BINS) * share[..., None]


def cross_entropies(
    reward_logits: torch.Tensor, done_logits: torch.Tensor, reward: torch.Tensor, done: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Of logits ``(..., REWARD_BINS)`` and ``(...)`` against what was paid and whether it ended, ``(...)`` each."""
    paid = -(two_hot(reward) * reward_logits.float().log_softmax(-1)).sum(-1)
    return paid, F.binary_cross_entropy_with_logits(done_logits.float(), done.float(), reduction="none")


def expected_reward(logits: torch.Tensor) -> torch.Tensor:
    """Mean reward of logits ``(..., REWARD_BINS)``."""
    return logits.float().softmax(-1) @ bin_values(logits.device)


class Heads(nn.Module):
    """``registers (B, T, R, D)``, frame conditioning, goal and world vectors to reward logits and a done logit."""

    def __init__(self, width: int, registers: int) -> None:
        super().__init__()
        self.hidden = nn.Linear(registers * width, width)
        self.context = nn.Linear(width, width, bias=False)
        self.mix = nn.Sequential(nn.SiLU(), nn.Linear(width, width), nn.SiLU())
        self.reward = nn.Linear(width, REWARD_BINS)
        self.done = nn.Linear(width, 1)
        nn.init.zeros_(self.reward.weight)
        nn.init.zeros_(self.done.weight)

    def forward(self, registers_BTRD: torch.Tensor, context_BTD: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        x = self.mix(self.hidden(registers_BTRD.flatten(2)) + self.context(context_BTD))
        return self.reward(x), self.done(x)[..., 0]
