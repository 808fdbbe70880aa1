"""The video compression network: a block of 4 frames, or a single image, to one latent frame and back.

Each block stands alone. A causal chain through time would give the first latent of a clip another meaning than the
others and break clips that start in the middle; a block of its own can be read in any order. Images have a stem and a
head of their own round the same trunk, so that they live in the same latent space. Only 2-D convolutions on
space-to-depth are used, without normalisation layers, whose statistics would tie a picture's colours to its size:
any height and width that are multiples of ``stride`` work. In the spirit of TAESD (Bohan 2023).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import nn

# B batch, K frames of a block, C latent channels; images are B K H W 3 outside, B (K 3) H W inside


@dataclass(frozen=True)
class CodecConfig:
    """``block_frames`` k frames become one latent of ``latent_channels`` at 1/8 of the size; widths are the channels
    at 1/4 and 1/8 of the size, depths the residual blocks there."""

    block_frames: int = 4
    latent_channels: int = 16
    fine_width: int = 96
    coarse_width: int = 160
    fine_depth: int = 2
    coarse_depth: int = 2
    decoder_fine_depth: int = 3

    @property
    def stride(self) -> int:
        """Pixels per latent cell along each side."""
        return 8


class _Residual(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(width, width, 3, padding=1)
        self.second = nn.Conv2d(width, width, 3, padding=1)
        nn.init.zeros_(self.second.weight)
        assert self.second.bias is not None
        nn.init.zeros_(self.second.bias)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.second(F.silu(self.first(F.silu(x))))


def _stack(width: int, depth: int) -> nn.Sequential:
    return nn.Sequential(*(_Residual(width) for _ in range(depth)))


class Codec(nn.Module):
    """Encoder and decoder with the statistics that normalise latents to zero mean and unit variance per channel."""

    latent_mean: torch.Tensor
    latent_std: torch.Tensor

    def __init__(self, config: CodecConfig) -> None:
        super().__init__()
        self.config = config
        fine, coarse, c = config.fine_width, config.coarse_width, config.latent_channels
        pixels = {1: 3 * 16, config.block_frames: 3 * 16 * config.block_frames}
        self.stems = nn.ModuleDict({str(k): nn.Conv2d(n, fine, 3, padding=1) for k, n in pixels.items()})
        self.encode_fine = _stack(fine, config.fine_depth)
        self.down = nn.Conv2d(fine, coarse, 2, stride=2)
        self.encode_coarse = _stack(coarse, config.coarse_depth)
        self.to_latent = nn.Conv2d(coarse, c, 1)
        self.from_latent = nn.Conv2d(c, coarse, 3, padding=1)
        self.decode_coarse = _stack(coarse, config.coarse_depth)
        self.up = nn.Conv2d(coarse, 4 * fine, 1)
        self.decode_fine = _stack(fine, config.decoder_fine_depth)
        self.heads = nn.ModuleDict({str(k): nn.Conv2d(fine, n, 3, padding=1) for k, n in pixels.items()})
        self.register_buffer("latent_mean", torch.zeros(c))
        self.register_buffer("latent_std", torch.ones(c))

    def check_size(self, height: int, width: int) -> None:
        """Raises ``ValueError`` unless both sides are multiples of the stride."""
        stride = self.config.stride
        if height % stride or width % stride or height < stride or width < stride:
            raise ValueError(f"frame size {height}x{width} (H x W): both sides must be multiples of {stride}")

    def encode_pixels(self, x_BKHWC: torch.Tensor) -> torch.Tensor:
        """Latents before normalisation, ``(B, C, H/8, W/8)``, of pixels in [-1, 1]."""
        k, h, w = x_BKHWC.shape[1:4]
        if str(k) not in self.stems:
            raise ValueError(f"a block holds {k} frames; accepted are {sorted(int(n) for n in self.stems)}")
        self.check_size(h, w)
        x = rearrange(x_BKHWC, "b k (h p) (w q) c -> b (k c p q) h w", p=4, q=4)
        x = self.stems[str(k)](x.contiguous(memory_format=torch.channels_last))
        return self.to_latent(F.silu(self.encode_coarse(self.down(self.encode_fine(x)))))

    def decode_pixels(self, z_BCHW: torch.Tensor, frames: int) -> torch.Tensor:
        """Pixels ``(B, frames, H, W, 3)``, about [-1, 1] and not clamped, of latents before normalisation."""
        x = self.decode_coarse(self.from_latent(z_BCHW.contiguous(memory_format=torch.channels_last)))
        x = self.decode_fine(F.pixel_shuffle(self.up(F.silu(x)), 2))
        x = self.heads[str(frames)](F.silu(x))
        return rearrange(x, "b (k c p q) h w -> b k (h p) (w q) c", k=frames, p=4, q=4)

    def normalise(self, z_BCHW: torch.Tensor) -> torch.Tensor:
        return (z_BCHW - self.latent_mean[:, None, None]) / self.latent_std[:, None, None]

    def denormalise(self, z_BCHW: torch.Tensor) -> torch.Tensor:
        return z_BCHW * self.latent_std[:, None, None] + self.latent_mean[:, None, None]

    def encode(self, frames: torch.Tensor) -> torch.Tensor:
        """Normalised float32 latents ``(B, C, H/8, W/8)`` of uint8 frames ``(B, k or 1, H, W, 3)``."""
        x = to_pixels(frames).to(self.to_latent.weight.dtype)
        return self.normalise(self.encode_pixels(x).float())

    def decode(self, z_BCHW: torch.Tensor, frames: int) -> torch.Tensor:
        """uint8 frames ``(B, frames, H, W, 3)`` of normalised latents; ``frames`` is k, or 1 for an image."""
        z = self.denormalise(z_BCHW.float()).to(self.to_latent.weight.dtype)
        return to_uint8(self.decode_pixels(z, frames))


def to_pixels(frames: torch.Tensor) -> torch.Tensor:
    """float32 in [-1, 1] of uint8 frames."""
    return frames.float() / 127.5 - 1


def to_uint8(pixels: torch.Tensor) -> torch.Tensor:
    """uint8 frames of pixels, clamped to [-1, 1] and rounded."""
    return ((pixels.float().clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8)
