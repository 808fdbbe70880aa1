"""Convolutions that codec and memory are built of, and pixels of latent cells as channels."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import nn

# B batch, K frames, C channels; images are B (K) C H W, at 1/4 of the size h w

CELL = 4
"""Pixels of a latent cell along each side."""


class Conv(nn.Module):
    """A convolution that keeps its kernels as one matrix, ``(out, rows * columns * in)``, which Muon can take."""

    def __init__(self, inputs: int, outputs: int, size: int, stride: int = 1) -> None:
        super().__init__()
        self.size, self.stride = size, stride
        self.padding = size // 2 if stride == 1 else 0
        bound = (size * size * inputs) ** -0.5
        self.weight = nn.Parameter(torch.empty(outputs, size * size * inputs).uniform_(-bound, bound))
        self.bias = nn.Parameter(torch.zeros(outputs))

    def kernels(self) -> torch.Tensor:
        """``(out, in, rows, columns)``."""
        return rearrange(self.weight, "o (p q i) -> o i p q", p=self.size, q=self.size)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return F.conv2d(x, self.kernels(), self.bias, self.stride, self.padding)


class Residual(nn.Module):
    """What it adds, in the type of its convolutions, is laid over the sum in place: less is written."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first = Conv(width, width, 3)
        self.second = Conv(width, width, 3)
        nn.init.zeros_(self.second.weight)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.second(F.silu(self.first(F.silu(x)), inplace=True)).add_(x)


def stack(width: int, depth: int) -> nn.Sequential:
    return nn.Sequential(*(Residual(width) for _ in range(depth)))


def pixels_of(x: torch.Tensor, frames: int) -> torch.Tensor:
    """float32 pixels ``(B, frames, 3, H, W)`` of a head's output at 1/4 of the size."""
    return rearrange(x.float(), "b (k c p q) h w -> b k c (h p) (w q)", k=frames, p=CELL, q=CELL)


def cells_of(image_BCHW: torch.Tensor) -> torch.Tensor:
    """Pixels of each cell as channels: ``(B, C * 16, h, w)``."""
    return rearrange(image_BCHW, "b c (h p) (w q) -> b (c p q) h w", p=CELL, q=CELL)
