"""Which frames are given and which are to be generated: the one mechanism behind every generation task.

A task is a noise ceiling ``m`` per latent frame: 0 = given, 1 = generate, between = edit strength. In training the
same idea appears as patterns of signal levels, drawn so that every task of the sampler has been seen: one level for
the whole clip, an independent level per frame (diffusion forcing), or frames given clean beside noisy ones.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from worldsim.diffusion import flow

CAUSAL, FULL = 0, 1
"""Modes of time attention. A given frame that lies after a generated one needs ``FULL``."""


@dataclass(frozen=True)
class LevelMix:
    """Shares of the training patterns; what is left of 1 goes to masks of given frames.

    In the independent pattern a share of the frames, drawn per clip, is nearly clean (noise up to ``context_noise``),
    since that is what the context of a rollout looks like; of the other frames the share ``blind`` is pure noise, which
    is where only context and action tell what comes. ``following`` is the same under causal attention, but every noisy
    frame but the first follows a nearly clean one, as a rollout's next frame does; of the independent pattern's noisy
    frames one in three does. ``full_attention`` is the share of the other clips in that mode.
    """

    shared: float = 0.2
    independent: float = 0.45
    full_attention: float = 0.3
    context_noise: float = 0.2
    blind: float = 0.0
    following: float = 0.0

    def __post_init__(self) -> None:
        shares = self.shared + self.independent + self.following
        if shares > 1:
            raise ValueError(f"shares of level patterns add up to {shares}, more than 1")


def draw_levels(
    batch: int, frames: int, mix: LevelMix, generator: torch.Generator, tokens: int = flow.BASE_TOKENS
) -> tuple[torch.Tensor, torch.Tensor]:
    """Signal levels ``tau`` float32 ``(batch, frames)`` and attention modes int64 ``(batch,)`` for training clips.

    Patterns whose given frames come after generated ones are drawn for full attention only.
    """
    kind = torch.rand(batch, generator=generator)
    mode = (torch.rand(batch, generator=generator) < mix.full_attention).long()
    mode = torch.where(kind >= 1 - mix.following, CAUSAL, mode)
    noisy, nearly = _frame_levels(batch, frames, mix, generator)
    clean = torch.rand(batch, frames, generator=generator) < torch.rand(batch, 1, generator=generator)
    spaced = clean.clone()
    for t in range(1, frames):
        spaced[:, t] |= ~spaced[:, t - 1]
    shared = torch.rand(batch, 1, generator=generator).expand(batch, frames)
    tau = torch.where(clean, nearly, noisy)
    tau = torch.where((kind < mix.shared)[:, None], shared, tau)
    masked = _mask_patterns(batch, frames, mode, mix, generator)
    tau = torch.where((kind >= mix.shared + mix.independent)[:, None], masked, tau)
    tau = torch.where((kind >= 1 - mix.following)[:, None], torch.where(spaced, nearly, noisy), tau)
    return flow.shift(tau, tokens), mode


def draw_levels_of(
    wanted: torch.Tensor, mix: LevelMix, generator: torch.Generator, tokens: int = flow.BASE_TOKENS
) -> torch.Tensor:
    """Signal levels ``tau`` like ``wanted`` bool ``(batch, frames)``: noisy where a frame is wanted, nearly clean
    elsewhere."""
    noisy, nearly = _frame_levels(wanted.shape[0], wanted.shape[1], mix, generator)
    return flow.shift(torch.where(wanted, noisy, nearly), tokens)


def _frame_levels(
    batch: int, frames: int, mix: LevelMix, generator: torch.Generator
) -> tuple[torch.Tensor, torch.Tensor]:
    """Levels ``(batch, frames)`` of frames that are to be predicted, some of them pure noise, and of context frames."""
    noisy = torch.rand(batch, frames, generator=generator)
    noisy = torch.where(torch.rand(batch, frames, generator=generator) < mix.blind, 0.0, noisy)
    nearly = 1 - mix.context_noise * torch.rand(batch, frames, generator=generator)
    return noisy, nearly


def _mask_patterns(
    batch: int, frames: int, mode: torch.Tensor, mix: LevelMix, generator: torch.Generator
) -> torch.Tensor:
    """Given frames (clean up to a little context noise) beside wanted ones at one shared level per clip."""
    index = torch.arange(frames)
    pattern = torch.randint(0, 6, (batch,), generator=generator)
    head = torch.randint(1, max(frames, 2), (batch,), generator=generator)[:, None]
    share = 0.1 + 0.8 * torch.rand(batch, 1, generator=generator)
    scattered = torch.rand(batch, frames, generator=generator) < share
    first = index[None] < head
    given_by_pattern = torch.stack(
        [
            first,  # extend forward
            (index == 0).expand(batch, frames),  # animate an image
            index[None] >= frames - head,  # extend backward
            (index[None] < head // 2 + 1) | (index[None] >= frames - head // 2 - 1),  # connect
            scattered,
            (index % 2 == 0).expand(batch, frames),  # every other
        ]
    )
    pattern = torch.where((mode == CAUSAL) & (pattern >= 2), pattern % 2, pattern)
    given = given_by_pattern[pattern, torch.arange(batch)]
    wanted = torch.rand(batch, 1, generator=generator).expand(batch, frames)
    context = 1 - mix.context_noise * torch.rand(batch, 1, generator=generator)
    return torch.where(given, context.expand(batch, frames), wanted)
