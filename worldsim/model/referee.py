"""The referee: reward and termination from where things stand in the picture that a step begins from.

The transformer's heads read its registers, which need not hold exactly where anything is: whether a shot hits is
decided by a few pixels. The latent of what a lane last showed holds them, and a step pays for what was there and what
was done (the reward model r(s, a) of any Markov decision process). So a small convolutional network looks at the last
shown latents beside the last actions, of which one is not enough: a shot leaves Doom's gun in the step after the one
that pulled the trigger, and the gun is not ready for some after that. What it says is added to the logits of the heads,
which it is told; where they said nothing, it stands alone, so that it can learn from recorded moments, which have
pictures and no rollout, as well.

It reads nothing of what the step draws. There a hit and a miss are one mean, while what was shown before is sharp: the
pixel memory keeps it so. Activations are pooled to a grid of fixed size, after convolutions that know their place in
the frame, so frames of any size can be read.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import nn

from worldsim.constants import constant
from worldsim.model.heads import REWARD_BINS
from worldsim.model.player import ACTION_NUMBERS
from worldsim.worlds import WORLDS

if TYPE_CHECKING:
    from worldsim.model.transformer import WorldModelConfig

# B lanes or moments, S latents that are seen, C h w latent, A last actions, P numbers of an action, R reward bins,
# D width of the world model

GRID = 4
"""Rows and columns of what is pooled."""
PLACE = 3
"""Channels of a cell's place in the frame."""


@dataclass(frozen=True)
class RefereeConfig:
    """``width`` channels of the convolutions, ``hidden`` of what mixes them; ``seen`` latents and ``past`` actions are
    read, the action of the step among them. ``worlds`` names those that it judges (none: all); elsewhere the heads'
    word stands. ``alone``: the heads are not heard where it judges."""

    width: int = 32
    hidden: int = 64
    seen: int = 2
    past: int = 6
    worlds: tuple[str, ...] = ()
    alone: bool = False

    def __post_init__(self) -> None:
        if min(self.width, self.hidden, self.seen, self.past) < 1:
            raise ValueError(f"{self}: every size of a referee is at least 1")
        if not set(self.worlds) <= set(WORLDS):
            raise ValueError(f"worlds={self.worlds} of a referee: accepted are {', '.join(WORLDS)}")

    def judges(self, worlds: int) -> torch.Tensor:
        """bool ``(worlds,)``: whether the world of each index is judged."""
        judged = torch.full((worlds,), not self.worlds)
        judged[[WORLDS[name].index for name in self.worlds]] = True
        return judged


class Referee(nn.Module):
    """Shown latents, last actions, and what the heads were told and said to logits of reward and termination. A fresh
    one that hears the heads leaves what they said as it is."""

    def __init__(self, config: RefereeConfig, world: WorldModelConfig) -> None:
        super().__init__()
        self.config = config
        width, hidden = config.width, config.hidden
        self.context = nn.Linear(world.width, hidden, bias=False)
        self.past = nn.Linear(config.past * ACTION_NUMBERS, hidden)
        self.said = nn.Linear(REWARD_BINS + 1, hidden, bias=False)
        self.gains = nn.Linear(hidden, 2 * width)
        self.cells = nn.Conv2d(config.seen * world.latent_channels + PLACE, width, 3, padding=1)
        self.around = nn.Conv2d(width, width, 3, padding=1, stride=2)
        self.further = nn.Conv2d(width, width, 3, padding=1)
        self.grid = nn.Linear(width * GRID**2, hidden)
        self.mix = nn.Linear(2 * hidden, hidden)
        self.reward = nn.Linear(hidden, REWARD_BINS)
        self.done = nn.Linear(hidden, 1)
        nn.init.normal_(self.past.weight, std=0.3)  # a few of its many inputs are ones, the others are zeros
        with torch.no_grad():
            self.context.weight.mul_(0.1)  # and what is always the same is not to drown them
        for last in (self.reward, self.done):
            nn.init.zeros_(last.weight)
            nn.init.zeros_(last.bias)

    def forward(
        self,
        shown_BSCHW: torch.Tensor,
        past_BAP: torch.Tensor,
        context_BD: torch.Tensor,
        reward_BR: torch.Tensor,
        done_B: torch.Tensor,
        heard_B: torch.Tensor | None = None,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Logits float32 ``(B, bins)`` and ``(B,)``. ``shown_BSCHW`` are normalised latents, first the one that the
        step begins from; ``past_BAP`` as of ``past_actions``, first the action of the step; ``context_BD`` as of
        ``Prediction``; ``reward_BR`` and ``done_B`` the logits of the heads, of which nothing is taken in rows that are
        not ``heard_B`` (None: all are)."""
        reward, done = reward_BR.float(), done_B.float()
        said = torch.cat([reward.softmax(-1), done.sigmoid()[:, None]], dim=1)
        if heard_B is not None:
            heard = heard_B[:, None].float()
            said, reward, done = said * heard, reward * heard, done * heard[:, 0]
        known = F.silu(self.context(context_BD.float()) + self.past(past_BAP.float().flatten(1)) + self.said(said))
        gain, shift = self.gains(known)[..., None, None].chunk(2, dim=1)
        seen = shown_BSCHW.float().flatten(1, 2)
        where = place(seen.shape[-2], seen.shape[-1], seen.device).expand(len(seen), -1, -1, -1)
        cells = self.cells(torch.cat([seen, where], dim=1))
        x = F.silu(self.around(F.silu(cells) * (1 + gain) + shift))
        x = F.adaptive_avg_pool2d(F.silu(self.further(x)), GRID).flatten(1)
        x = F.silu(self.mix(torch.cat([F.silu(self.grid(x)), known], dim=1)))
        return reward + self.reward(x), done + self.done(x)[:, 0]


@constant
def place(height: int, width: int, device: torch.device) -> torch.Tensor:
    """``(1, 3, height, width)``: of each cell, across and down from -1 to 1, and how near it is to the middle column,
    which is where a camera points."""
    y = ((torch.arange(height, device=device) + 0.5) / height * 2 - 1)[:, None].expand(height, width)
    x = ((torch.arange(width, device=device) + 0.5) / width * 2 - 1)[None].expand(height, width)
    return torch.stack([x, y, torch.exp(-((4 * x) ** 2))])[None]
