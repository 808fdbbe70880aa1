"""A critic of short blocks of video: the adversary that keeps a decoder from drawing averages.

What a squared error asks of an unsure model is the mean of all that might be seen, and a rollout that feeds on means
ends in fog. A critic is taught to tell true blocks from drawn ones, and the decoder to pass for true, which a blurred
picture does not (Goodfellow et al. 2014; for one-pass video models that feed on their own frames, Lin et al. 2025).
The game is the relativistic one of pairs, each patch against the true one at its place (Jolicoeur-Martineau 2019; Huang
et al. 2024), and features on the way serve as a perceptual distance (Wang et al. 2018).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import nn
from torch.func import functional_call

# B batch, K frames of a block, C channels, H W size of a frame


@dataclass(frozen=True)
class Opinion:
    """``logits``, one map per scale, high for what looks true, and the ``features`` they are read from."""

    logits: tuple[torch.Tensor, ...]
    features: tuple[torch.Tensor, ...]


class _Scaled(nn.Module):
    """A convolution whose kernels are used at unit norm, so that the critic's slope stays bounded.

    Their own norm only sets how fast they turn: drawn as small as here, they do within a few hundred steps.
    """

    def __init__(self, inputs: int, outputs: int, size: int, stride: int = 1) -> None:
        super().__init__()
        self.stride, self.padding = stride, (size - 1) // 2
        self.weight = nn.Parameter(0.01 * torch.randn(outputs, inputs, size, size))
        self.bias = nn.Parameter(torch.zeros(outputs))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        norm = self.weight.flatten(1).norm(dim=1)[:, None, None, None]
        return F.conv2d(x, self.weight / norm.clamp(min=1e-4), self.bias, self.stride, self.padding)


class Critic(nn.Module):
    """Patches of blocks ``(B, K, H, W, 3)`` in [-1, 1]: opinions on patches of about 20 and of about 40 pixels."""

    def __init__(self, frames: int, width: int = 64) -> None:
        super().__init__()
        self.stem = _Scaled(frames * 12, width, 3)
        self.fine = _Scaled(width, 2 * width, 4, stride=2)
        self.middle = _Scaled(2 * width, 2 * width, 3)
        self.coarse = _Scaled(2 * width, 2 * width, 4, stride=2)
        self.deep = _Scaled(2 * width, 2 * width, 3)
        self.heads = nn.ModuleList(nn.Conv2d(2 * width, 1, 1) for _ in range(2))

    def forward(self, block: torch.Tensor) -> Opinion:
        x = rearrange(block, "b k (h p) (w q) c -> b (k c p q) h w", p=2, q=2)
        x = x.contiguous(memory_format=torch.channels_last)
        first = _kept(self.stem(x))
        fine = _kept(self.middle(_kept(self.fine(first))))
        coarse = _kept(self.deep(_kept(self.coarse(fine))))
        logits = tuple(head(x).float() for head, x in zip(self.heads, (fine, coarse)))
        return Opinion(logits, (first, fine, coarse))


def _kept(x: torch.Tensor) -> torch.Tensor:
    """Leaky rectifier that keeps the scale."""
    return F.leaky_relu(x, 0.2) * 1.4


def criticism(
    critic: Critic, drawn: torch.Tensor, true: torch.Tensor, veils: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """What the decoder loses to the critic, the distance of features, and what the critic loses: three scalars.

    ``drawn`` and ``true`` blocks are pairs. The first two have gradients for ``drawn`` alone, the last for the critic
    alone. ``veils`` is noise for two such batches, ``(2, B, K, H, W, 3)``: a critic that sees bare pictures looks at
    their last bits. The first veil covers both of a pair, where the decoder learns.
    """
    fixed: Mapping[str, torch.Tensor] = {name: p.detach() for name, p in critic.named_parameters()}
    seen_true = critic(true + veils[0])
    seen_drawn = critic(drawn.detach() + veils[1])
    of_drawn: Opinion = functional_call(critic, dict(fixed), (drawn + veils[0],))
    pairs = list(zip(of_drawn.logits, seen_true.logits))
    fooled = torch.stack([F.softplus(t.detach() - d).mean() for d, t in pairs]).mean()
    distances = [(d - t.detach()).float().abs().mean() for d, t in zip(of_drawn.features, seen_true.features)]
    caught = torch.stack([F.softplus(d - t).mean() for d, t in zip(seen_drawn.logits, seen_true.logits)]).mean()
    return fooled, torch.stack(distances).mean(), caught
