"""The starter's network: a small diffusion transformer that draws first frames from text alone.

A step of the world model has a past and needs no imagination: trained to expect, it draws a mean where it is unsure,
and of a first frame, where all is unsure, a mean is a plain surface. Here one frame is drawn from noise, in many steps,
by a network that does nothing else (as in DiT, Peebles and Xie 2023, with the layers of the world model). It sees every
word by itself, not a few tokens read out of the text, so that each colour stays with its surface.

The same network draws what a turn of the camera uncovers and nobody has seen (as in inpainting by diffusion, Saharia et
al. 2022): it is then shown the rest of the picture, of which a first frame has nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from einops import rearrange
from torch import nn

from worldsim.model import features
from worldsim.model.attention import (
    RMSNorm,
    SpaceAttention,
    TextKV,
    TimeAttention,
    frequencies,
    picture_angles,
    turning,
)
from worldsim.model.carry import linear_estimate
from worldsim.model.layers import Dense, Layer, modulation
from worldsim.model.text import TextConfig, WordEncoder

# B frames, L words of a part, M words of both parts, C channels, H W latent grid, N tokens, D width


@dataclass(frozen=True)
class StarterNetConfig:
    """Sizes of a starter; ``patch`` in latent cells, ``pixel_stride`` pixels of a cell, ``worlds`` rows of the world
    embedding. ``modulation_rank``: levels modulate through as many numbers; ``near``: words that a word is first read
    with, an odd number."""

    latent_channels: int = 4
    pixel_stride: int = 4
    patch: int = 2
    width: int = 160
    heads: int = 5
    depth: int = 4
    mlp_width: int = 400
    worlds: int = 16
    modulation_rank: int = 64
    near: int = 5
    text: TextConfig = field(default_factory=lambda: TextConfig(vocabulary=1600, width=96, depth=2, heads=3, tokens=()))

    def __post_init__(self) -> None:
        if self.width % self.heads or (self.width // self.heads) % 4:
            raise ValueError(f"width {self.width} over {self.heads} heads: the head width must be a multiple of 4")
        if self.near < 1 or self.near % 2 == 0:
            raise ValueError(f"near={self.near}: accepted is an odd number of words")

    @property
    def stride(self) -> int:
        """Pixels per token along each side."""
        return self.patch * self.pixel_stride


@dataclass(frozen=True)
class Told:
    """What frames are told: keys and values of the words in each layer, where there are words ``(B, M)``, and the
    vector ``(B, D)`` of the world."""

    words: Sequence[TextKV]
    mask: torch.Tensor
    vector: torch.Tensor


class StarterNet(nn.Module):
    """Noisy latents of single frames, their levels and texts to clean latents."""

    def __init__(self, config: StarterNetConfig) -> None:
        super().__init__()
        self.config = config
        d, patch_size = config.width, config.latent_channels * config.patch**2
        self.patch_in = nn.Linear(patch_size, d)
        self.seen_in = nn.Linear(patch_size + config.patch**2, d, bias=False)
        self.place_in = nn.Linear(32, d)
        self.level_in = nn.Sequential(nn.Linear(64, d), nn.SiLU(), nn.Linear(d, d))
        self.world = nn.Embedding(config.worlds, d)
        nn.init.normal_(self.world.weight, std=0.1)
        self.text = _Phrases(config.text, config.near)
        self.words_in = nn.Linear(config.text.width, d)
        self.modulation = modulation(d, 6 * d, config.modulation_rank)
        self.layers = nn.ModuleList(Layer(d, config.heads, config.mlp_width, False) for _ in range(config.depth))
        self.final_norm = RMSNorm(d, eps=1e-6, elementwise_affine=False)
        self.final_modulation = modulation(d, 2 * d, config.modulation_rank)
        self.patch_out = nn.Linear(d, patch_size)
        nn.init.zeros_(self.patch_out.weight)
        nn.init.zeros_(self.patch_out.bias)
        spectrum = frequencies(d // config.heads // 4, 1.5 * config.stride, 2048.0)
        self.register_buffer("spectrum", spectrum, persistent=False)

    spectrum: torch.Tensor

    def read(self, scene_BL: torch.Tensor, view_BL: torch.Tensor, world_B: torch.Tensor) -> Told:
        """Word ids of scenes and views (0 pads; a text may be empty) and indices of worlds, read once for all steps."""
        parts = [self.text.read(words, part) for words, part in ((scene_BL, "scene"), (view_BL, "view"))]
        words, mask = torch.cat([x for x, _ in parts], dim=1), torch.cat([mask for _, mask in parts], dim=1)
        tokens = self.words_in(words)[:, None]
        read = [layer.space.read_text(tokens) for layer in self.layers]  # type: ignore[union-attr, operator]
        return Told(read, mask, self.world(world_B))

    def forward(
        self, z_BCHW: torch.Tensor, tau_B: torch.Tensor, told: Told, seen_BCHW: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Clean latents float32 like ``z_BCHW`` at levels ``tau_B``, preconditioned as the world model's.

        ``seen_BCHW`` has one channel more: the latent of what was seen of the picture, and which share of each cell
        that is; None where nothing was.
        """
        p, (h, w), dtype = self.config.patch, z_BCHW.shape[2:], self.patch_in.weight.dtype
        if h % p or w % p:
            raise ValueError(f"latents of {h}x{w} cells: both must be multiples of the patch, {p}")
        estimate = linear_estimate(z_BCHW[:, None].float(), tau_B[:, None])[:, 0]
        x = self.patch_in(_tokens(estimate.to(dtype), p))
        x = x + self.place_in(features.place(h // p, w // p, z_BCHW.device).to(dtype))
        if seen_BCHW is not None:
            x = x + self.seen_in(_tokens(seen_BCHW.to(dtype), p))
        vector = (self.level_in(features.level(tau_B).to(dtype)) + told.vector)[:, None]
        shared = rearrange(self.modulation(vector), "b t (s d) -> s b t 1 d", s=6)
        layout = _AmongWords(
            turning(picture_angles(h // p, w // p, self.config.stride, self.spectrum), dtype),
            _no_time,
            _keys(told.mask, x.shape[2]),
        )
        for layer, words in zip(self.layers, told.words):
            x = layer(x, shared, layout, [words])
        shift, scale = self.final_modulation(vector)[:, :, None].chunk(2, dim=-1)
        out = self.patch_out(self.final_norm(x) * (1 + scale) + shift)
        out = rearrange(out, "b 1 (h w) (c p q) -> b c (h p) (w q)", h=h // p, p=p, q=p)
        level = tau_B[:, None, None, None].float()
        return estimate + (1 - level) * (level.square() + (1 - level).square()).rsqrt() * out


class _Phrases(WordEncoder):
    """Words that are read with their nearest neighbours first: "red" of "red brick walls" is of the walls, which
    attention by places alone takes long to learn."""

    def __init__(self, config: TextConfig, near: int) -> None:
        super().__init__(config)
        self.near = nn.Conv1d(config.width, config.width, near, padding=near // 2)
        nn.init.zeros_(self.near.bias)  # type: ignore[arg-type]

    def embed(self, words_BL: torch.Tensor) -> torch.Tensor:
        x = self.word(words_BL) * (words_BL != 0)[..., None]  # or padding would be read as words
        return x + self.near(x.transpose(1, 2)).transpose(1, 2)


@dataclass(frozen=True)
class _AmongWords(Dense):
    """The layout of single frames whose words are of different number: ``mask (B, 1, 1, 1, N + M)``."""

    mask: torch.Tensor

    def space(self, attention: SpaceAttention, x: torch.Tensor, text: Sequence[TextKV]) -> torch.Tensor:
        return attention(x, self.rotation, text[0], self.mask)


def _tokens(x: torch.Tensor, patch: int) -> torch.Tensor:
    """``(B, 1, N, C patch^2)`` of cells ``(B, C, H, W)``."""
    return rearrange(x, "b c (h p) (w q) -> b 1 (h w) (c p q)", p=patch, q=patch)


def _keys(words_BM: torch.Tensor, tokens: int) -> torch.Tensor:
    """Which keys may be seen: all tokens of the frame, and the words that there are."""
    frame = torch.ones(len(words_BM), tokens, dtype=torch.bool, device=words_BM.device)
    return torch.cat([frame, words_BM], dim=1)[:, None, None, None]


def _no_time(time: TimeAttention, x: torch.Tensor) -> torch.Tensor:
    raise AssertionError("a starter has no attention along time")
