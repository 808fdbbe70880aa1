"""Pixel diffusion U-Net with EDM preconditioning: the world model of DIAMOND (Alonso et al., 2024,
arXiv:2405.12399).

The next frame is denoised in pixel space, conditioned on the last four frames (stacked to its channels) and
on the last four controls and the noise level (adaptive group normalisation). At 64x64 with four stages of
64 channels it has 4.4 million parameters, the published size. Preconditioning, the schedule and the Euler
solver are those of Karras et al. (2022, "Elucidating the design space", equations 5, 7 and table 1); three
Euler steps are DIAMOND's setting. Written from the papers; controls are our 32 keys and two camera angles
in place of an action id.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise

import torch
from einops import rearrange
from torch import Tensor, nn
from torch.nn import functional as F

# B batch, C channels, H W frame, S context frames, K numbers of a control, E width of the condition


@dataclass(frozen=True)
class UNetConfig:
    """``channels`` per stage, ``blocks`` residual blocks in each; noise levels and solver as in the paper."""

    channels: tuple[int, ...] = (64, 64, 64, 64)
    blocks: int = 2
    condition: int = 256
    context: int = 4
    controls: int = 34
    group: int = 32
    sigma_data: float = 0.5
    sigma_offset: float = 0.3
    sigma_min: float = 2e-3
    sigma_max: float = 5.0
    rho: float = 7.0
    log_sigma_mean: float = -0.4
    log_sigma_std: float = 1.2
    train_sigma_max: float = 20.0
    steps: int = 3


class AdaptiveNorm(nn.Module):
    """Group normalisation whose scale and shift are read from the condition."""

    def __init__(self, channels: int, config: UNetConfig) -> None:
        super().__init__()
        self.norm = nn.GroupNorm(max(1, channels // config.group), channels, affine=False)
        self.affine = nn.Linear(config.condition, 2 * channels)

    def forward(self, x_BCHW: Tensor, c_BE: Tensor) -> Tensor:
        scale, shift = self.affine(c_BE)[:, :, None, None].chunk(2, 1)
        return self.norm(x_BCHW) * (1 + scale) + shift


class SelfAttention(nn.Module):
    """Attention over the cells of the coarsest stage, 8 channels a head."""

    def __init__(self, channels: int, config: UNetConfig) -> None:
        super().__init__()
        self.heads = max(1, channels // 8)
        self.norm = nn.GroupNorm(max(1, channels // config.group), channels)
        self.qkv = nn.Conv2d(channels, 3 * channels, 1)
        self.out = nn.Conv2d(channels, channels, 1)
        nn.init.zeros_(self.out.weight)

    def forward(self, x_BCHW: Tensor) -> Tensor:
        height = x_BCHW.shape[2]
        qkv = rearrange(self.qkv(self.norm(x_BCHW)), "b (three n d) h w -> three b n (h w) d", three=3, n=self.heads)
        mixed = F.scaled_dot_product_attention(qkv[0], qkv[1], qkv[2])
        return x_BCHW + self.out(rearrange(mixed, "b n (h w) d -> b (n d) h w", h=height))


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions with adaptive norms; the second starts at zero."""

    def __init__(self, inside: int, outside: int, config: UNetConfig, attention: bool = False) -> None:
        super().__init__()
        self.skip = nn.Identity() if inside == outside else nn.Conv2d(inside, outside, 1)
        self.norm1, self.conv1 = AdaptiveNorm(inside, config), nn.Conv2d(inside, outside, 3, padding=1)
        self.norm2, self.conv2 = AdaptiveNorm(outside, config), nn.Conv2d(outside, outside, 3, padding=1)
        self.attention = SelfAttention(outside, config) if attention else nn.Identity()
        nn.init.zeros_(self.conv2.weight)

    def forward(self, x_BCHW: Tensor, c_BE: Tensor) -> Tensor:
        h = self.conv1(F.silu(self.norm1(x_BCHW, c_BE)))
        h = self.conv2(F.silu(self.norm2(h, c_BE)))
        return self.attention(self.skip(x_BCHW) + h)


class UNet(nn.Module):
    """Down, middle (with attention), up; each up stage reads every feature of its down stage."""

    def __init__(self, config: UNetConfig) -> None:
        super().__init__()
        widths = config.channels
        self.down, self.up = nn.ModuleList(), nn.ModuleList()
        self.shrink, self.grow = nn.ModuleList(), nn.ModuleList()
        for i, width in enumerate(widths):
            before = widths[max(0, i - 1)]
            sizes = [before] + [width] * config.blocks
            self.down.append(nn.ModuleList(ResidualBlock(a, width, config) for a in sizes[:-1]))
            # the up path reads, last first, the outputs of the blocks and the stage's input
            outs = [width] * config.blocks + [before]
            ins = [width + s for s in reversed(sizes)]
            self.up.append(nn.ModuleList(ResidualBlock(a, b, config) for a, b in zip(ins, outs)))
            if i:
                self.shrink.append(nn.Conv2d(before, before, 3, stride=2, padding=1))
                self.grow.append(nn.Conv2d(before, before, 3, padding=1))
        self.middle = nn.ModuleList(ResidualBlock(widths[-1], widths[-1], config, True) for _ in range(2))

    def forward(self, x_BCHW: Tensor, c_BE: Tensor) -> Tensor:
        kept: list[list[Tensor]] = []
        for i, stage in enumerate(self.down):
            x_BCHW = self.shrink[i - 1](x_BCHW) if i else x_BCHW
            features = [x_BCHW]
            for block in stage:  # type: ignore[attr-defined]
                x_BCHW = block(x_BCHW, c_BE)
                features.append(x_BCHW)
            kept.append(features)
        for block in self.middle:
            x_BCHW = block(x_BCHW, c_BE)
        for i in reversed(range(len(kept))):
            for block, feature in zip(self.up[i], reversed(kept[i])):  # type: ignore[call-overload]
                x_BCHW = block(torch.cat([x_BCHW, feature], 1), c_BE)
            if i:
                x_BCHW = self.grow[i - 1](F.interpolate(x_BCHW, scale_factor=2.0, mode="nearest"))
        return x_BCHW


class PixelUNet(nn.Module):
    """Denoiser of the next frame given four frames and four controls. Frames are float in [-1, 1]."""

    frequencies: Tensor

    def __init__(self, config: UNetConfig | None = None) -> None:
        super().__init__()
        self.config = config = config or UNetConfig()
        width = config.condition
        self.register_buffer("frequencies", torch.randn(width // 2, generator=torch.Generator().manual_seed(0)))
        self.control = nn.Linear(config.controls, width // config.context)
        self.condition = nn.Sequential(nn.Linear(width, width), nn.SiLU(), nn.Linear(width, width))
        self.stem = nn.Conv2d(3 * (config.context + 1), config.channels[0], 3, padding=1)
        self.unet = UNet(config)
        self.norm = nn.GroupNorm(max(1, config.channels[0] // config.group), config.channels[0])
        self.head = nn.Conv2d(config.channels[0], 3, 3, padding=1)
        nn.init.zeros_(self.head.weight)

    def forward(self, noisy_BCHW: Tensor, sigma_B: Tensor, context_BSCHW: Tensor, controls_BSK: Tensor) -> Tensor:
        """The clean frame, ``(B, 3, H, W)``, from one with noise of standard deviation ``sigma_B``."""
        data = self.config.sigma_data
        sigma_B = torch.sqrt(sigma_B**2 + (self.config.sigma_offset * data) ** 2)
        total = torch.sqrt(sigma_B**2 + data**2)
        c_in, c_skip, c_out = 1 / total, data**2 / total**2, sigma_B * data / total
        angles = 2 * math.pi * (sigma_B.log() / 4)[:, None] * self.frequencies
        noise_BE = torch.cat([angles.cos(), angles.sin()], -1)
        c_BE = self.condition(noise_BE + rearrange(self.control(controls_BSK), "b s e -> b (s e)"))
        past_BCHW = rearrange(context_BSCHW, "b s c h w -> b (s c) h w") / data
        x_BCHW = self.stem(torch.cat([past_BCHW, noisy_BCHW * c_in[:, None, None, None]], 1))
        x_BCHW = self.head(F.silu(self.norm(self.unet(x_BCHW, c_BE))))
        return c_skip[:, None, None, None] * noisy_BCHW + c_out[:, None, None, None] * x_BCHW

    def loss(
        self,
        target_BCHW: Tensor,
        context_BSCHW: Tensor,
        controls_BSK: Tensor,
        generator: torch.Generator | None = None,
    ) -> Tensor:
        """Denoising loss, weighted by 1 / c_out^2 as in EDM, at log-normal noise levels."""
        config = self.config
        batch, device = len(target_BCHW), target_BCHW.device
        log_sigma = torch.randn(batch, device=device, generator=generator) * config.log_sigma_std
        sigma_B = (log_sigma + config.log_sigma_mean).exp().clamp(config.sigma_min, config.train_sigma_max)
        noise = torch.randn(target_BCHW.shape, device=device, generator=generator)
        offset = torch.randn(batch, 3, 1, 1, device=device, generator=generator)
        noisy = target_BCHW + sigma_B[:, None, None, None] * noise + config.sigma_offset * config.sigma_data * offset
        clean = self(noisy, sigma_B, context_BSCHW, controls_BSK)
        variance = sigma_B**2 + (config.sigma_offset * config.sigma_data) ** 2
        weight = (variance + config.sigma_data**2) / (variance * config.sigma_data**2)
        return (weight * (clean - target_BCHW).square().mean((1, 2, 3))).mean()

    def sigmas(self) -> Tensor:
        """Noise levels of the solver, ``(steps + 1,)``, from ``sigma_max`` to 0."""
        c = self.config
        ramp = torch.linspace(0, 1, c.steps)
        high, low = c.sigma_max ** (1 / c.rho), c.sigma_min ** (1 / c.rho)
        return torch.cat([(high + ramp * (low - high)) ** c.rho, torch.zeros(1)])

    @torch.no_grad()
    def sample(self, noise_BCHW: Tensor, context_BSCHW: Tensor, controls_BSK: Tensor) -> Tensor:
        """The next frame in [-1, 1] by Euler steps, in the type of the standard normal noise ``(B, 3, H, W)``."""
        sigmas = self.sigmas().to(noise_BCHW)
        x_BCHW = noise_BCHW * sigmas[0]
        for now, then in pairwise(sigmas):
            clean = self(x_BCHW, now.expand(len(x_BCHW)), context_BSCHW, controls_BSK)
            # predictions are put on the grid of 8-bit colours, as DIAMOND does
            clean = (clean.clamp(-1, 1).add(1).div(2).mul(255).round().div(255)).mul(2).sub(1)
            x_BCHW = x_BCHW + (x_BCHW - clean) / now * (then - now)
        return x_BCHW.clamp(-1, 1)
