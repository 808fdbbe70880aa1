"""Which samples share a pack: first-fit-decreasing under a budget, and no sample is ever split.

A pack (NaViT, Dehghani et al. 2023) holds samples of any sizes and durations, an image being a video of one frame. Its
cost is that of its tokens, which every projection sees, and of the squares of its sequence lengths, which attention
sees; the budget caps both. Packing the longest first leaves little room unused (Johnson 1973).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from worldsim.model.conditioning import Controls, TextTokens

# B samples, T latent frames, C latent channels, H W latent grid


Past = tuple[torch.Tensor, torch.Tensor]
"""Latents ``(B, T, C, H, W)`` that come to stand at each frame and that the next ones follow, and their levels ``(B,
T)``."""


@dataclass(frozen=True)
class Samples:
    """Samples of one size and one duration, as ``WorldModel.forward`` takes them; every frame is real.

    Noisy latents ``z (B, T, C, H, W)`` at ``tau (B, T)``, times ``seconds (B, T)``, attention ``mode (B,)``, step sizes
    ``step_size (B, T)`` (None: 0), and the ``past`` that frames follow (None: ``z`` at ``tau``).
    """

    z: torch.Tensor
    tau: torch.Tensor
    controls: Controls
    text: TextTokens
    seconds: torch.Tensor
    mode: torch.Tensor
    step_size: torch.Tensor | None = None
    past: Past | None = None


@dataclass(frozen=True)
class Shape:
    """What one sample costs: ``frames`` latent frames of ``tokens`` tokens each, registers included."""

    frames: int
    tokens: int

    @property
    def length(self) -> int:
        """Tokens of the whole sample."""
        return self.frames * self.tokens

    @property
    def squares(self) -> int:
        """Sum of the squared lengths of its sequences: each frame in space, each token's place along time."""
        return self.frames * self.tokens**2 + self.tokens * self.frames**2


@dataclass(frozen=True)
class Budget:
    """The most of a pack: ``tokens``, and ``squares`` of sequence lengths (0: no cap)."""

    tokens: int
    squares: int = 0

    def holds(self, tokens: int, squares: int) -> bool:
        return tokens <= self.tokens and (not self.squares or squares <= self.squares)

    def check(self, shape: Shape) -> None:
        """Raises ``ValueError`` for a sample that no pack can hold."""
        if not self.holds(shape.length, shape.squares):
            raise ValueError(_too_large(shape, self))


def pack(shapes: Sequence[Shape], budget: Budget) -> list[list[int]]:
    """Packs as lists of sample numbers: the longest sample first, each into the first pack that has room for it.

    Raises ``ValueError`` for a sample that no pack can hold.
    """
    packs: list[list[int]] = []
    used: list[tuple[int, int]] = []
    for number in sorted(range(len(shapes)), key=lambda i: -shapes[i].length):
        length, squares = shapes[number].length, shapes[number].squares
        budget.check(shapes[number])
        room = (i for i, (tokens, square) in enumerate(used) if budget.holds(tokens + length, square + squares))
        at = next(room, len(packs))
        if at == len(packs):
            packs.append([])
            used.append((0, 0))
        packs[at].append(number)
        used[at] = used[at][0] + length, used[at][1] + squares
    return packs


def _too_large(shape: Shape, budget: Budget) -> str:
    sample = f"a sample of {shape.frames} frames of {shape.tokens} tokens"
    if shape.length > budget.tokens:
        return (
            f"{sample} has {shape.length} tokens, more than the {budget.tokens} of a pack, and is never split: "
            "raise pack.tokens, or draw shorter clips or smaller frames"
        )
    return (
        f"{sample} has {shape.squares} squares of sequence lengths, more than the {budget.squares} of a pack, and is "
        "never split: raise pack.squares (0 for no cap), or draw shorter clips or smaller frames"
    )
