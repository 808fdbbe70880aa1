"""Attention inside a latent frame and along time, with rotary positions in pixels and in seconds.

Coordinates are physical (midpoints of patches in pixels, ages in seconds), so that neither frame rate nor frame size
needs an embedding of its own and sizes never seen extrapolate (Su et al. 2021; physical units as in LTX-2). Queries
and keys are normalised before the rotation. Time attention runs per token position, under one of two masks: *causal*,
banded to the last W latents, or *full*. Stepping keeps a ring of keys **before** their rotation and rotates them at
read by their age, so that evicting a frame never moves the positions of the others.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import nn

# B worlds, T latent frames, N tokens of a frame, M text tokens of a frame, D width, H heads, E head width, W window


def attend(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, mask: torch.Tensor | None = None) -> torch.Tensor:
    """Softmax attention over ``(..., queries, E)`` and ``(..., keys, E)``; ``mask`` is True where a key may be seen.

    On a GPU the fused kernel; on a CPU two matrix products and a softmax, which are faster on sequences this short.
    """
    if q.is_cuda:
        return fused(q, k, v, mask)
    scores = q @ k.transpose(-1, -2) * (1 / math.sqrt(q.shape[-1]))
    if mask is not None:
        scores = scores.masked_fill(~mask, float("-inf"))
    return scores.softmax(-1) @ v


def fused(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, mask: torch.Tensor | None = None) -> torch.Tensor:
    """``attend`` by the fused kernels, which take four dimensions: two of five are laid together."""
    if q.ndim == 4:
        return F.scaled_dot_product_attention(q, k, v, attn_mask=mask)
    at = 0 if mask is None else 1  # a mask is the same for all of dimensions 1 and 2
    q_4, k_4, v_4 = (x.flatten(at, at + 1) for x in (q, k, v))
    joined = F.scaled_dot_product_attention(q_4, k_4, v_4, attn_mask=None if mask is None else mask[:, 0])
    return joined.unflatten(at, q.shape[at : at + 2])


def frequencies(count: int, shortest: float, longest: float) -> torch.Tensor:
    """``count`` angular frequencies whose periods run geometrically from ``shortest`` to ``longest``."""
    periods = torch.logspace(math.log10(shortest), math.log10(longest), count)
    return 2 * math.pi / periods


def picture_angles(height: int, width: int, stride: int, spectrum: torch.Tensor) -> torch.Tensor:
    """Rotation angles ``(N, E/2)`` of ``height`` x ``width`` patches of ``stride`` pixels, from their midpoints in
    pixels by the frequencies ``spectrum (E/4,)``: rows in the first half, columns in the second."""
    y, x = ((torch.arange(n, device=spectrum.device) + 0.5) * stride for n in (height, width))
    angle_y = (y[:, None] * spectrum)[:, None].expand(height, width, -1)
    angle_x = (x[:, None] * spectrum)[None].expand(height, width, -1)
    return torch.cat([angle_y, angle_x], dim=-1).flatten(0, 1)


Rotation = tuple[torch.Tensor, torch.Tensor]
"""Cosines and sines of rotary angles, each ``(..., E)``: of both halves of the channels, as ``turning`` gives them."""
TextKV = tuple[torch.Tensor, torch.Tensor]
"""Keys and values of text tokens in one layer, each ``(B, T, H, M, E)``."""


def rotate(x: torch.Tensor, rotation: Rotation) -> torch.Tensor:
    """Rotates pairs of channels of ``x (..., E)`` (RoPE)."""
    cos, sin = rotation
    first, second = x.chunk(2, dim=-1)
    swapped = torch.cat([second, first], dim=-1)  # whole rows are multiplied faster on a CPU than halves of them
    return torch.addcmul(x * cos, swapped, sin)


def turning(angle: torch.Tensor, dtype: torch.dtype) -> Rotation:
    """The rotation by ``angle (..., E/2)``."""
    cos, sin = angle.cos().to(dtype), angle.sin().to(dtype)
    return torch.cat([cos, cos], dim=-1), torch.cat([-sin, sin], dim=-1)


class RMSNorm(nn.RMSNorm):
    """``nn.RMSNorm`` whose gain follows the input's dtype, so that autocast keeps the fused kernel."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        gain = None if self.weight is None else self.weight.to(x.dtype)
        return F.rms_norm(x, self.normalized_shape, gain, self.eps)


class _QKNorm(nn.Module):
    """RMS norm of queries and keys over the head width, with a learned gain each (Dehghani et al. 2023)."""

    def __init__(self, head_width: int) -> None:
        super().__init__()
        self.q = RMSNorm(head_width, eps=1e-6)
        self.k = RMSNorm(head_width, eps=1e-6)


def projected(
    attention: SpaceAttention | TimeAttention, x_LD: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Normalised queries and keys, before their rotation, and values, ``(L, H, E)`` each, of tokens laid end to end."""
    q, k, v = rearrange(attention.qkv(x_LD), "l (s h e) -> s l h e", s=3, h=attention.heads)
    return attention.norm.q(q), attention.norm.k(k), v


class SpaceAttention(nn.Module):
    """Full attention among the tokens of one latent frame, which also see that frame's text tokens."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width, bias=False)
        self.text_kv = nn.Linear(width, 2 * width, bias=False)
        self.norm = _QKNorm(width // heads)
        self.out = nn.Linear(width, width)
        nn.init.zeros_(self.out.weight)
        nn.init.zeros_(self.out.bias)

    def read_text(self, text_BTMD: torch.Tensor) -> TextKV:
        """Keys and values of text tokens; they have no place, so they are not rotated."""
        k, v = rearrange(self.text_kv(text_BTMD), "b t m (s h e) -> s b t h m e", s=2, h=self.heads)
        return self.norm.k(k), v

    def forward(
        self, x_BTND: torch.Tensor, rotation: Rotation, text: TextKV, mask: torch.Tensor | None = None
    ) -> torch.Tensor:
        """``mask``, broadcastable to ``(B, T, H, N, N + M)``, is True for the keys that may be seen (None: all)."""
        q, k, v = rearrange(self.qkv(x_BTND), "b t n (s h e) -> s b t h n e", s=3, h=self.heads)
        k = torch.cat([rotate(self.norm.k(k), rotation), text[0]], dim=-2)
        y = attend(rotate(self.norm.q(q), rotation), k, torch.cat([v, text[1]], dim=-2), mask)
        return self.out(rearrange(y, "b t h n e -> b t n (h e)"))


@dataclass
class TimeCache:
    """Ring of keys and values of one time-attention layer: ``(B, H, N, W, E)`` each.

    ``k`` is kept unrotated; ``aged`` are the same keys rotated by their ages at the present step.

    Slot ``step mod W`` is the same for all lanes; which slots hold something of a lane's present episode is the
    engine's validity mask, and ages come with each call, so lanes may have been reset at different times.
    """

    k: torch.Tensor
    v: torch.Tensor
    aged: torch.Tensor

    @classmethod
    def empty(
        cls,
        lanes: int,
        heads: int,
        tokens: int,
        window: int,
        head_width: int,
        dtype: torch.dtype,
        device: torch.device,
    ) -> TimeCache:
        shape = (lanes, heads, tokens, window, head_width)
        return cls(*(torch.zeros(shape, dtype=dtype, device=device) for _ in range(3)))


class TimeAttention(nn.Module):
    """Attention along time, each token position on its own."""

    def __init__(self, width: int, heads: int, shortest_seconds: float = 0.2, longest_seconds: float = 60.0) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width, bias=False)
        self.norm = _QKNorm(width // heads)
        self.out = nn.Linear(width, width)
        nn.init.zeros_(self.out.weight)
        nn.init.zeros_(self.out.bias)
        spectrum = frequencies(width // heads // 2, shortest_seconds, longest_seconds)
        self.register_buffer("spectrum", spectrum, persistent=False)

    spectrum: torch.Tensor

    def _project(self, x_BTND: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        q, k, v = rearrange(self.qkv(x_BTND), "b t n (s h e) -> s b h n t e", s=3, h=self.heads)
        return self.norm.q(q), self.norm.k(k), v

    def forward(self, x_BTND: torch.Tensor, seconds_BT: torch.Tensor, mask_BTT: torch.Tensor) -> torch.Tensor:
        """A whole clip. ``seconds_BT`` are times on any common origin; ``mask_BTT[b, t, s]``: t may see s."""
        q, k, v = self._project(x_BTND)
        rotation = self.rotation(seconds_BT, q.dtype)
        y = attend(rotate(q, rotation), rotate(k, rotation), v, mask_BTT[:, None, None])
        return self.out(rearrange(y, "b h n t e -> b t n (h e)"))

    def rotation(self, seconds: torch.Tensor, dtype: torch.dtype) -> Rotation:
        """Of times ``(B, T)``: cosines and sines ``(B, 1, 1, T, E)``."""
        return turning((seconds[..., None] * self.spectrum)[:, None, None], dtype)

    def age(self, cache: TimeCache, ages_BW: torch.Tensor) -> None:
        """Rotates the ring's keys by their ages in seconds before the newest frame, once for all its passes."""
        cache.aged = rotate(cache.k, self.rotation(-ages_BW, cache.k.dtype))

    def step(self, x_BND: torch.Tensor, cache: TimeCache, slot: int, mask_BW: torch.Tensor) -> torch.Tensor:
        """The newest frame, of age 0, against the aged ring; its own keys and values are written to ``slot``.

        ``mask_BW`` is True for slots that may be seen, ``slot`` included.
        """
        q, k, v = self._project(x_BND[:, None])
        cache.k[:, :, :, slot] = cache.aged[:, :, :, slot] = k[:, :, :, 0]
        cache.v[:, :, :, slot] = v[:, :, :, 0]
        y = attend(q, cache.aged, cache.v, mask_BW[:, None, None, None])
        return self.out(rearrange(y, "b h n t e -> b t n (h e)"))[:, 0]


def time_mask(frames: int, window: int, mode_B: torch.Tensor) -> torch.Tensor:
    """bool ``(B, T, T)``: causal and banded to ``window`` latents where the mode is 0, everything where it is 1."""
    t = torch.arange(frames, device=mode_B.device)
    lag = t[:, None] - t[None, :]
    banded = (lag >= 0) & (lag < window)
    return banded[None] | (mode_B == 1)[:, None, None]
