"""What is small and moves by itself: a convolutional correction of each predicted latent, cell by cell.

A token stands for 16 x 16 pixels and predicts them through the transformer's width; where a fireball, a ball or a hand
is, to the cell, is told by the last two latents and the action, and moved by convolutions over the cells more exactly
than by shares of maps that a whole world has in common. The correction starts at nothing.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import nn

from worldsim.model.convolutions import Conv
from worldsim.model.motion import places

# B frames, C latent channels, h w latent cells, A numbers that describe an action

CONDITION = 64
"""Width of what modulates the blocks: action and world."""


@dataclass(frozen=True)
class RefinerConfig:
    """``width`` channels per cell, ``depth`` residual blocks."""

    width: int = 64
    depth: int = 3

    def __post_init__(self) -> None:
        if self.width < 1 or self.depth < 1:
            raise ValueError(f"width={self.width}, depth={self.depth}: both are at least 1")


class Refiner(nn.Module):
    """Corrects estimates of latents of ``channels`` channels, of steps that ``action`` numbers describe, in one of
    ``worlds`` worlds."""

    def __init__(self, config: RefinerConfig, channels: int, action: int, worlds: int) -> None:
        super().__init__()
        self.config = config
        self.action_in = nn.Linear(action, CONDITION)
        self.world = nn.Embedding(worlds, CONDITION)
        nn.init.normal_(self.world.weight, std=0.1)
        self.condition = nn.Linear(CONDITION, CONDITION)
        self.cells_in = Conv(3 * channels + 2, config.width, 5)
        self.layers = nn.ModuleList(_Block(config.width) for _ in range(config.depth))
        self.out = Conv(config.width, channels, 3)
        nn.init.zeros_(self.out.weight)

    def forward(
        self, estimate: torch.Tensor, past: torch.Tensor, action: torch.Tensor, world: torch.Tensor
    ) -> torch.Tensor:
        """float32 ``(B, C, h, w)``: what is to be added to ``estimate (B, C, h, w)``.

        ``past (B, 2, C, h, w)`` are the latents before it, the latest first, zeros where there is none; ``action (B,
        A)`` describes the action that leads to it, ``world (B,)`` is the index of each world.
        """
        dtype = self.out.weight.dtype
        c = F.silu(self.condition(F.silu(self.action_in(action.to(dtype)) + self.world(world))))
        last, before = past.float().unbind(1)
        place = torch.stack(places(estimate.shape[2], estimate.shape[3], estimate.device)).expand(
            len(estimate), -1, -1, -1
        )
        seen = torch.cat([estimate.float(), last - estimate, before - last, place], dim=1).to(dtype)
        x = self.cells_in(seen.contiguous(memory_format=torch.channels_last))
        for layer in self.layers:
            x = layer(x, c)
        return self.out(F.silu(x)).float()


class _Block(nn.Module):
    """A residual block whose input is scaled and shifted by channel."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.modulation = nn.Linear(CONDITION, 2 * width)
        self.first = Conv(width, width, 3)
        self.second = Conv(width, width, 3)
        nn.init.zeros_(self.second.weight)

    def forward(self, x: torch.Tensor, c: torch.Tensor) -> torch.Tensor:
        scale, shift = self.modulation(c)[:, :, None, None].chunk(2, dim=1)
        return self.second(F.silu(self.first(F.silu(torch.addcmul(shift, x, 1 + scale))))).add_(x)
