"""Layouts of groups of samples of different sizes and durations: packed end to end, or padded to the largest.

``Packed`` is how NaViT trains (Dehghani et al. 2023): tokens of all samples in one row, on which norms, projections and
MLPs run once for all, and attention between the bounds of each sequence. AdaLN parameters are made per frame and
repeated for its tokens. ``Padded`` is what it replaces, a dense batch as large as the largest sample of each kind with
what is missing masked; both give every sample what it gets alone, and the one is there to measure and test the other.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from einops import rearrange, repeat

from worldsim.model.attention import Rotation, SpaceAttention, TextKV, TimeAttention, projected, rotate, time_mask
from worldsim.model.packed_attention import Band, bounds, packed_attention

# B samples, T latent frames, N tokens of a frame (registers included), M text tokens, D width, H heads, E head width,
# L tokens of a pack


@dataclass(frozen=True)
class Extent:
    """A group as a layout sees it: ``tokens`` of each frame with their ``rotation (tokens, E)``, ``seconds (B, T)``
    and attention modes ``mode (B,)``."""

    tokens: int
    rotation: Rotation
    seconds: torch.Tensor
    mode: torch.Tensor

    @property
    def samples(self) -> int:
        return self.seconds.shape[0]

    @property
    def frames(self) -> int:
        return self.seconds.shape[1]


class Packed:
    """Tokens of all groups end to end, ``(L, D)``, frame by frame; ``backend`` is that of ``packed_attention``."""

    def __init__(self, groups: Sequence[Extent], window: int, backend: str = "grouped") -> None:
        self.groups, self.backend = groups, backend
        self._frames = [g.samples * g.frames for g in groups]
        self._lengths = [f * g.tokens for f, g in zip(self._frames, groups)]
        self._of_frames = [g.tokens for f, g in zip(self._frames, groups) for _ in range(f)]
        self._clips = bounds([g.frames for g in groups for _ in range(g.samples * g.tokens)])
        modes = torch.cat([g.mode.repeat_interleave(g.tokens) for g in groups]).cpu()
        self._band = Band(window, modes == 1)
        turned = [(g.rotation, f) for g, f in zip(groups, self._frames)]
        cos, sin = (torch.cat([repeat(r[i], "n e -> (f n) 1 e", f=f) for r, f in turned]) for i in (0, 1))
        self._rotation = cos, sin

    def join(self, tokens: Sequence[torch.Tensor]) -> torch.Tensor:
        return torch.cat([rearrange(x, "b t n d -> (b t n) d") for x in tokens])

    def join_frames(self, frames: Sequence[torch.Tensor]) -> torch.Tensor:
        return torch.cat([rearrange(x, "b t d -> (b t) d") for x in frames])[None]

    def split(self, x: torch.Tensor) -> list[torch.Tensor]:
        return [
            rearrange(part, "(b t n) d -> b t n d", t=g.frames, n=g.tokens)
            for part, g in zip(x.split(self._lengths), self.groups)
        ]

    def spread(self, frames: torch.Tensor) -> torch.Tensor:
        parts = frames.flatten(1, 3).split(self._frames, dim=1)
        return torch.cat([repeat(x, "s f d -> s (f n) d", n=g.tokens) for x, g in zip(parts, self.groups)], dim=1)

    def space(self, attention: SpaceAttention, x: torch.Tensor, text: Sequence[TextKV]) -> torch.Tensor:
        q, k, v = projected(attention, x)
        words = text[0][0].shape[-2]
        y = packed_attention(
            rotate(q, self._rotation),
            self._with_text(rotate(k, self._rotation), [k for k, _ in text]),
            self._with_text(v, [v for _, v in text]),
            bounds(self._of_frames),
            bounds([n + words for n in self._of_frames]),
            backend=self.backend,
        )
        return attention.out(rearrange(y, "l h e -> l (h e)"))

    def _with_text(self, x_LHE: torch.Tensor, text: Sequence[torch.Tensor]) -> torch.Tensor:
        """The tokens of every frame, followed by its text tokens ``(B, T, H, M, E)``."""
        found = []
        for part, words, group in zip(x_LHE.split(self._lengths), text, self.groups):
            frames = rearrange(part, "(f n) h e -> f n h e", n=group.tokens)
            joined = torch.cat([frames, rearrange(words, "b t h m e -> (b t) m h e")], dim=1)
            found.append(joined.flatten(0, 1))
        return torch.cat(found)

    def time(self, attention: TimeAttention, x: torch.Tensor) -> torch.Tensor:
        by_place = torch.cat([rearrange(part, "b t n d -> (b n t) d") for part in self.split(x)])
        q, k, v = projected(attention, by_place)
        rotation = self._along_time(attention, q.dtype)
        y = packed_attention(
            rotate(q, rotation), rotate(k, rotation), v, self._clips, band=self._band, backend=self.backend
        )
        out = attention.out(rearrange(y, "l h e -> l (h e)"))
        return torch.cat(
            [
                rearrange(part, "(b n t) d -> (b t n) d", n=g.tokens, t=g.frames)
                for part, g in zip(out.split(self._lengths), self.groups)
            ]
        )

    def _along_time(self, attention: TimeAttention, dtype: torch.dtype) -> Rotation:
        turned = [(attention.rotation(g.seconds, dtype), g.tokens) for g in self.groups]
        cos, sin = (torch.cat([repeat(r[i], "b 1 1 t e -> (b n t) 1 e", n=n) for r, n in turned]) for i in (0, 1))
        return cos, sin


class Padded:
    """All samples as one dense batch ``(B, T, N, D)`` of the longest duration and the largest frame; what a sample has
    not is zero and is seen by none."""

    def __init__(self, groups: Sequence[Extent], window: int) -> None:
        self.groups = groups
        self._frames, self._tokens = max(g.frames for g in groups), max(g.tokens for g in groups)
        device = groups[0].seconds.device
        self._seconds = torch.cat([F.pad(g.seconds, (0, self._frames - g.frames)) for g in groups])
        held = torch.cat([torch.full((g.samples,), g.frames, device=device) for g in groups])
        valid = torch.arange(self._frames, device=device) < held[:, None]
        sees = time_mask(self._frames, window, torch.cat([g.mode for g in groups]))
        self._mask = sees & (valid[:, None] | torch.eye(self._frames, dtype=torch.bool, device=device))
        sizes = torch.cat([torch.full((g.samples,), g.tokens, device=device) for g in groups])
        self._real = torch.arange(self._tokens, device=device) < sizes[:, None]
        cos, sin = (
            torch.cat(
                [
                    F.pad(g.rotation[i], (0, 0, 0, self._tokens - g.tokens))[None].expand(g.samples, -1, -1)
                    for g in groups
                ]
            )[:, None, None]
            for i in (0, 1)
        )
        self._rotation = cos, sin

    def join(self, tokens: Sequence[torch.Tensor]) -> torch.Tensor:
        return torch.cat(
            [
                F.pad(x, (0, 0, 0, self._tokens - g.tokens, 0, self._frames - g.frames))
                for x, g in zip(tokens, self.groups)
            ]
        )

    def join_frames(self, frames: Sequence[torch.Tensor]) -> torch.Tensor:
        return torch.cat([F.pad(x, (0, 0, 0, self._frames - x.shape[1])) for x in frames])

    def split(self, x: torch.Tensor) -> list[torch.Tensor]:
        parts = x.split([g.samples for g in self.groups])
        return [part[:, : g.frames, : g.tokens] for part, g in zip(parts, self.groups)]

    def spread(self, frames: torch.Tensor) -> torch.Tensor:
        return frames

    def space(self, attention: SpaceAttention, x: torch.Tensor, text: Sequence[TextKV]) -> torch.Tensor:
        k, v = (
            torch.cat([F.pad(kv[i], (0, 0) * 3 + (0, self._frames - kv[i].shape[1])) for kv in text]) for i in (0, 1)
        )
        mask = F.pad(self._real, (0, k.shape[-2]), value=True)
        return attention(x, self._rotation, (k, v), mask[:, None, None, None])

    def time(self, attention: TimeAttention, x: torch.Tensor) -> torch.Tensor:
        return attention(x, self._seconds, self._mask)
