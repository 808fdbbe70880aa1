"""One layer of the world model, and the layout that says how the tokens of frames lie and whom they see.

A layer's norms, MLP and modulations treat tokens one by one; only its two attentions must know which frame, which
sample and which size a token belongs to. That knowledge is the layout's, so that one layer serves a batch of equal
clips, one new frame against a ring, and a pack of samples of many sizes (``layouts``).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import nn

from worldsim.model.attention import RMSNorm, Rotation, SpaceAttention, TextKV, TimeAttention

# B worlds, T latent frames, N patch tokens of a frame, R registers, D width; a group: samples of one size and duration

AlongTime = Callable[[TimeAttention, torch.Tensor], torch.Tensor]
"""Runs a layer's time attention on its tokens: over the whole clip, or one frame against the layer's cache."""


def modulation(width: int, outputs: int, rank: int) -> nn.Linear | nn.Sequential:
    """What makes modulations ``(..., outputs)`` of frame vectors ``(..., width)``, nothing at first: one matrix, or the
    product of two of ``rank``, where that is above 0 (AdaLN-LoRA, as in Cosmos, NVIDIA 2025)."""
    last = nn.Linear(rank or width, outputs)
    nn.init.zeros_(last.weight)
    nn.init.zeros_(last.bias)
    return nn.Sequential(nn.Linear(width, rank, bias=False), last) if rank else last


class Layout(Protocol):
    """Tokens of one or more groups ``(B, T, N + R, D)`` as one tensor, what belongs to frames as ``(..., b, t, D)``."""

    def join(self, tokens: Sequence[torch.Tensor]) -> torch.Tensor:
        """One tensor of the tokens of all groups."""

    def join_frames(self, frames: Sequence[torch.Tensor]) -> torch.Tensor:
        """One tensor ``(b, t, D)`` of what belongs to the frames ``(B, T, D)`` of all groups."""

    def split(self, x: torch.Tensor) -> list[torch.Tensor]:
        """The tokens of each group again."""

    def spread(self, frames: torch.Tensor) -> torch.Tensor:
        """Values of frames ``(S, b, t, 1, D)`` as something that fits to tokens, ``(S, ...)``."""

    def space(self, attention: SpaceAttention, x: torch.Tensor, text: Sequence[TextKV]) -> torch.Tensor:
        """Attention inside each frame, which sees its text, one for each group."""

    def time(self, attention: TimeAttention, x: torch.Tensor) -> torch.Tensor:
        """Attention along time."""


@dataclass(frozen=True)
class Dense:
    """The layout of one group: its tokens as they are."""

    rotation: Rotation
    along_time: AlongTime

    def join(self, tokens: Sequence[torch.Tensor]) -> torch.Tensor:
        (only,) = tokens
        return only

    def join_frames(self, frames: Sequence[torch.Tensor]) -> torch.Tensor:
        (only,) = frames
        return only

    def split(self, x: torch.Tensor) -> list[torch.Tensor]:
        return [x]

    def spread(self, frames: torch.Tensor) -> torch.Tensor:
        return frames

    def space(self, attention: SpaceAttention, x: torch.Tensor, text: Sequence[TextKV]) -> torch.Tensor:
        return attention(x, self.rotation, text[0])

    def time(self, attention: TimeAttention, x: torch.Tensor) -> torch.Tensor:
        return self.along_time(attention, x)


class Layer(nn.Module):
    """Space attention, time attention where ``with_time``, and an MLP, the first and last modulated by the frame."""

    def __init__(self, width: int, heads: int, mlp_width: int, with_time: bool) -> None:
        super().__init__()
        self.space_norm = RMSNorm(width, eps=1e-6, elementwise_affine=False)
        self.space = SpaceAttention(width, heads)
        self.time_norm = RMSNorm(width, eps=1e-6) if with_time else None
        self.time = TimeAttention(width, heads) if with_time else None
        self.mlp_norm = RMSNorm(width, eps=1e-6, elementwise_affine=False)
        self.mlp_in = nn.Linear(width, 2 * mlp_width, bias=False)
        self.mlp_out = nn.Linear(mlp_width, width)
        self.bias = nn.Parameter(torch.zeros(6, width))
        nn.init.zeros_(self.mlp_out.weight)
        nn.init.zeros_(self.mlp_out.bias)

    def forward(self, x: torch.Tensor, shared: torch.Tensor, layout: Layout, text: Sequence[TextKV]) -> torch.Tensor:
        """``x`` tokens as ``layout`` joins them; ``shared (6, b, t, 1, D)`` are the frames' modulations before this
        layer's own bias; ``text`` of each group."""
        modulations = layout.spread(shared + self.bias[:, None, None, None])
        shift_1, scale_1, gate_1, shift_2, scale_2, gate_2 = modulations
        y = torch.addcmul(shift_1, self.space_norm(x), 1 + scale_1)
        x = x + (1 + gate_1) * layout.space(self.space, y, text)
        if self.time is not None and self.time_norm is not None:
            x = x + layout.time(self.time, self.time_norm(x))
        y = torch.addcmul(shift_2, self.mlp_norm(x), 1 + scale_2)
        return x + (1 + gate_2) * self._mlp(y)

    def _mlp(self, x: torch.Tensor) -> torch.Tensor:
        gate, value = self.mlp_in(x).chunk(2, dim=-1)
        return self.mlp_out(F.silu(gate) * value)  # SwiGLU (Shazeer 2020)
