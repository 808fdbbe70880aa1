"""The world model: a spacetime transformer that predicts clean latents, rewards and terminations.

A latent frame is cut into patches, one token each, joined by register tokens. Every layer attends inside the frame
(where text tokens are seen too) and every second layer also along time, per token position. One vector per frame,
the sum of signal level, step size, action, attention mode, modulates all layers (DiT, Peebles and Xie 2023, with one
shared AdaLN projection and a bias per layer). The previous latent enters each token through its 3x3 neighbourhood of
patches, so that motion of a patch or so per step needs no search. The output is preconditioned as in EDM (Karras et
al. 2022, table 1): the network supplies only what the noisy latent cannot.

``forward`` takes whole clips, ``step`` one new frame against a ring of keys and values; a test holds them equal.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import nn

from worldsim.actions import NUM_KEYS
from worldsim.model.attention import RMSNorm, SpaceAttention, TimeAttention, TimeCache, frequencies, time_mask
from worldsim.model.heads import Heads
from worldsim.model.text import TextConfig, TextEncoder, tokenise

# B worlds, T latent frames, C latent channels, H W latent grid, N patch tokens of a frame, R registers, M text tokens,
# D width, W window

ACTED, FIRST, UNKNOWN = 0, 1, 2
"""What is known of the action behind a frame: it is given; there was none (reset frame); it was dropped."""
NO_VIEW = -1
"""View age of a frame that has no view text."""
STEP_SIZES = 4
"""Step-size embeddings: index i is d = 2**i / 8; 0 serves the plain flow at any level."""


@dataclass(frozen=True)
class WorldModelConfig:
    """Sizes of the transformer. ``window`` is in latents, ``patch`` in latent cells, ``pixel_stride`` in pixels."""

    latent_channels: int = 16
    pixel_stride: int = 8
    patch: int = 2
    width: int = 256
    heads: int = 8
    depth: int = 4
    mlp_width: int = 640
    time_every: int = 2
    window: int = 24
    registers: int = 2
    worlds: int = 16
    text: TextConfig = field(default_factory=TextConfig)

    def __post_init__(self) -> None:
        if self.width % self.heads or (self.width // self.heads) % 4:
            raise ValueError(f"width {self.width} over {self.heads} heads: the head width must be a multiple of 4")


@dataclass(frozen=True)
class Controls:
    """What drives each frame of a clip.

    ``keys`` float ``(B, T, 32)`` multi-hot, ``camera`` float ``(B, T, 2)`` degrees per step, ``known`` int64
    ``(B, T)`` one of ``ACTED, FIRST, UNKNOWN``. Entry t belongs to the action that *produced* frame t.
    """

    keys: torch.Tensor
    camera: torch.Tensor
    known: torch.Tensor

    def frame(self, t: int) -> Controls:
        return Controls(self.keys[:, t : t + 1], self.camera[:, t : t + 1], self.known[:, t : t + 1])


@dataclass(frozen=True)
class TextTokens:
    """Encoded text: ``scene (B, 4, D)``, ``view (B, 6, D)`` with ages int64 ``(B, T)`` in steps, ``event
    (B, T, 1, D)``, ``goal (B, D)`` and world index int64 ``(B,)`` (the last two reach the heads only)."""

    scene: torch.Tensor
    view: torch.Tensor
    view_age: torch.Tensor
    event: torch.Tensor
    goal: torch.Tensor
    world: torch.Tensor


@dataclass(frozen=True)
class Prediction:
    """``x`` clean latents ``(B, T, C, H, W)``, ``reward`` logits ``(B, T, bins)``, ``done`` logits ``(B, T)``."""

    x: torch.Tensor
    reward: torch.Tensor
    done: torch.Tensor


AlongTime = Callable[[TimeAttention, torch.Tensor], torch.Tensor]
"""Runs a layer's time attention on its tokens: over the whole clip, or one frame against the layer's cache."""


class _Layer(nn.Module):
    def __init__(self, config: WorldModelConfig, with_time: bool) -> None:
        super().__init__()
        d = config.width
        self.space_norm = RMSNorm(d, eps=1e-6, elementwise_affine=False)
        self.space = SpaceAttention(d, config.heads)
        self.time_norm = RMSNorm(d, eps=1e-6) if with_time else None
        self.time = TimeAttention(d, config.heads) if with_time else None
        self.mlp_norm = RMSNorm(d, eps=1e-6, elementwise_affine=False)
        self.mlp_in = nn.Linear(d, 2 * config.mlp_width, bias=False)
        self.mlp_out = nn.Linear(config.mlp_width, d)
        self.bias = nn.Parameter(torch.zeros(6, d))
        nn.init.zeros_(self.mlp_out.weight)
        nn.init.zeros_(self.mlp_out.bias)

    def forward(
        self, x: torch.Tensor, shared: torch.Tensor, angles: torch.Tensor, text: torch.Tensor, along_time: AlongTime
    ) -> torch.Tensor:
        """``x (B, T, N + R, D)``; ``shared (6, B, T, 1, D)`` are the modulations before this layer's own bias."""
        shift_1, scale_1, gate_1, shift_2, scale_2, gate_2 = (m + bias for m, bias in zip(shared, self.bias))
        y = self.space_norm(x) * (1 + scale_1) + shift_1
        x = x + (1 + gate_1) * self.space(y, angles, text)
        if self.time is not None and self.time_norm is not None:
            x = x + along_time(self.time, self.time_norm(x))
        y = self.mlp_norm(x) * (1 + scale_2) + shift_2
        return x + (1 + gate_2) * self._mlp(y)

    def _mlp(self, x: torch.Tensor) -> torch.Tensor:
        gate, value = self.mlp_in(x).chunk(2, dim=-1)
        return self.mlp_out(F.silu(gate) * value)  # SwiGLU (Shazeer 2020)


class WorldModel(nn.Module):
    """The transformer with its text encoder and heads; see the module's docstring."""

    def __init__(self, config: WorldModelConfig) -> None:
        super().__init__()
        self.config = config
        d, patch_size = config.width, config.latent_channels * config.patch**2
        self.patch_in = nn.Linear(patch_size, d)
        self.previous_in = nn.Linear(9 * patch_size, d)
        self.place_in = nn.Linear(32, d)
        self.registers = nn.Parameter(torch.randn(config.registers, d) * 0.2)
        self.level_in = nn.Sequential(nn.Linear(64, d), nn.SiLU(), nn.Linear(d, d))
        self.previous_level_in = nn.Linear(64, d)
        self.step_size = nn.Embedding(STEP_SIZES, d)
        self.mode = nn.Embedding(2, d)
        self.keys_in = nn.Linear(NUM_KEYS, d, bias=False)
        self.camera_in = nn.Sequential(nn.Linear(2 * 9, d), nn.SiLU(), nn.Linear(d, d))
        self.known = nn.Embedding(3, d)
        self.view_age_in = nn.Linear(16, d)
        self.text = TextEncoder(config.text, d)
        self.world = nn.Embedding(config.worlds, d)
        self.modulation = nn.Linear(d, 6 * d)
        nn.init.zeros_(self.modulation.weight)
        nn.init.zeros_(self.modulation.bias)
        for table in (self.step_size, self.mode, self.known, self.world):
            nn.init.normal_(table.weight, std=0.1)
        self.layers = nn.ModuleList(
            _Layer(config, with_time=(i + 1) % config.time_every == 0 or i == config.depth - 1)
            for i in range(config.depth)
        )
        self.final_norm = RMSNorm(d, eps=1e-6, elementwise_affine=False)
        self.final_modulation = nn.Linear(d, 2 * d)
        self.patch_out = nn.Linear(d, patch_size)
        for module in (self.final_modulation, self.patch_out):
            nn.init.zeros_(module.weight)
            nn.init.zeros_(module.bias)
        self.heads = Heads(d, config.registers)
        head_width = d // config.heads
        self.register_buffer("space_spectrum", frequencies(head_width // 4, 24.0, 2048.0), persistent=False)

    space_spectrum: torch.Tensor

    @property
    def stride(self) -> int:
        """Pixels per token along each side: frame sizes are multiples of it."""
        return self.config.pixel_stride * self.config.patch

    @property
    def time_layers(self) -> int:
        return sum(layer.time is not None for layer in self.layers)

    # text -----------------------------------------------------------------------------------------------------------

    def encode_text(self, texts: Sequence[str], part: str) -> torch.Tensor:
        """Read-out tokens ``(B, M, D)`` of texts of one part (``scene``, ``view``, ``event`` or ``goal``)."""
        return self.text(tokenise(texts).to(self.registers.device), part)

    def _text_tokens(self, text: TextTokens) -> torch.Tensor:
        """``(B, T, M, D)``: scene, view marked with its age, event."""
        age = text.view_age.clamp(min=0)
        aged = (text.view_age >= 0)[..., None].to(self.registers.dtype) * self.view_age_in(
            _fourier_age(age, self.registers.dtype)
        )
        b, t = text.view_age.shape
        scene = text.scene[:, None].expand(b, t, -1, -1)
        view = text.view[:, None] + aged[:, :, None]
        return torch.cat([scene, view, text.event], dim=2)

    # conditioning ---------------------------------------------------------------------------------------------------

    def _action(self, controls: Controls) -> torch.Tensor:
        dtype = self.registers.dtype
        acted = (controls.known == ACTED)[..., None].to(dtype)
        camera = _fourier_camera(controls.camera).to(dtype)
        return acted * (self.keys_in(controls.keys.to(dtype)) + self.camera_in(camera)) + self.known(controls.known)

    def _frame_vector(
        self,
        tau: torch.Tensor,
        previous_tau: torch.Tensor,
        step_size: torch.Tensor,
        action: torch.Tensor,
        mode: torch.Tensor,
    ) -> torch.Tensor:
        """``(B, T, D)``, the sum that modulates every layer. ``previous_tau`` is -1 where there is no previous."""
        dtype = self.registers.dtype
        c = self.level_in(_fourier_level(tau).to(dtype)) + self.previous_level_in(
            _fourier_level(previous_tau).to(dtype)
        )
        return F.silu(c + self.step_size(step_size) + action + self.mode(mode)[:, None])

    def _tokens(self, z: torch.Tensor, previous: torch.Tensor) -> torch.Tensor:
        """``(B, T, N + R, D)`` tokens of noisy latents, their previous latents and registers."""
        b, t, _, h, w = z.shape
        p, dtype = self.config.patch, self.registers.dtype
        x = self.patch_in(rearrange(z.to(dtype), "b t c (h p) (w q) -> b t (h w) (c p q)", p=p, q=p))
        grid = rearrange(previous.to(dtype), "b t c (h p) (w q) -> (b t) (c p q) h w", p=p, q=p)
        around = rearrange(F.unfold(grid, 3, padding=1), "(b t) k n -> b t n k", b=b)
        x = x + self.previous_in(around) + self.place_in(_fourier_place(h // p, w // p, z.device).to(dtype))
        return torch.cat([x, self.registers.expand(b, t, -1, -1)], dim=2)

    def _space_angles(self, height: int, width: int) -> torch.Tensor:
        """Rotation angles ``(N + R, E/2)`` from patch midpoints in pixels; registers are not rotated."""
        size = self.stride
        y = (torch.arange(height, device=self.registers.device) + 0.5) * size
        x = (torch.arange(width, device=self.registers.device) + 0.5) * size
        angle_y = (y[:, None] * self.space_spectrum)[:, None].expand(height, width, -1)
        angle_x = (x[:, None] * self.space_spectrum)[None].expand(height, width, -1)
        angles = torch.cat([angle_y, angle_x], dim=-1).flatten(0, 1)
        return torch.cat([angles, angles.new_zeros(self.config.registers, angles.shape[-1])])

    def _blocks(
        self, x: torch.Tensor, c: torch.Tensor, angles: torch.Tensor, text: torch.Tensor, along_time: AlongTime
    ) -> torch.Tensor:
        """All layers, under modulations from the frame vectors ``c (B, T, D)``."""
        shared = rearrange(self.modulation(c), "b t (s d) -> s b t 1 d", s=6)
        for layer in self.layers:
            x = layer(x, shared, angles, text, along_time)
        return x

    def _predict(
        self,
        x: torch.Tensor,
        c: torch.Tensor,
        z: torch.Tensor,
        tau: torch.Tensor,
        action: torch.Tensor,
        text: TextTokens,
    ) -> Prediction:
        n = x.shape[2] - self.config.registers
        p = self.config.patch
        shift, scale = self.final_modulation(c)[:, :, None].chunk(2, dim=-1)
        out = self.patch_out(self.final_norm(x[:, :, :n]) * (1 + scale) + shift)
        out = rearrange(out, "b t (h w) (c p q) -> b t c (h p) (w q)", h=z.shape[3] // p, p=p, q=p).float()
        level = tau[..., None, None, None].float()
        power = level.square() + (1 - level).square()
        x_hat = level / power * z.float() + (1 - level) * power.rsqrt() * out
        context = action + (text.goal + self.world(text.world))[:, None]
        reward, done = self.heads(x[:, :, n:], context)
        return Prediction(x_hat, reward.float(), done.float())

    # the two ways to run it -----------------------------------------------------------------------------------------

    def forward(
        self,
        z: torch.Tensor,
        tau: torch.Tensor,
        controls: Controls,
        text: TextTokens,
        seconds: torch.Tensor,
        mode: torch.Tensor,
        step_size: torch.Tensor | None = None,
        valid: torch.Tensor | None = None,
    ) -> Prediction:
        """Clean predictions for whole clips.

        ``z`` noisy latents ``(B, T, C, H, W)`` at signal levels ``tau (B, T)``; ``seconds (B, T)`` times of the
        frames on any common origin; ``mode (B,)`` 0 causal or 1 full; ``step_size (B, T)`` indices of ``STEP_SIZES``;
        frames that are not ``valid (B, T)`` are seen by no other frame.
        """
        b, t = tau.shape
        step_size = torch.zeros(b, t, dtype=torch.int64, device=z.device) if step_size is None else step_size
        previous = torch.cat([torch.zeros_like(z[:, :1]), z[:, :-1]], dim=1)
        previous_tau = torch.cat([torch.full_like(tau[:, :1], -1.0), tau[:, :-1]], dim=1)
        action = self._action(controls)
        c = self._frame_vector(tau, previous_tau, step_size, action, mode)
        mask = time_mask(t, self.config.window, mode)
        if valid is not None:
            mask = mask & (valid[:, None] | torch.eye(t, dtype=torch.bool, device=z.device))
        angles = self._space_angles(z.shape[3] // self.config.patch, z.shape[4] // self.config.patch)
        x = self._blocks(
            self._tokens(z, previous),
            c,
            angles,
            self._text_tokens(text),
            lambda time, y: time(y, seconds, mask),
        )
        return self._predict(x, c, z, tau, action, text)

    def step(
        self,
        z: torch.Tensor,
        tau: torch.Tensor,
        previous: torch.Tensor,
        previous_tau: torch.Tensor,
        controls: Controls,
        text: TextTokens,
        caches: Sequence[TimeCache],
        slot: int,
        ages: torch.Tensor,
        mask: torch.Tensor,
        step_size: torch.Tensor | None = None,
    ) -> Prediction:
        """One new frame in causal mode against ring caches, one per time layer; writes its keys and values to ``slot``.

        ``z (B, C, H, W)`` at ``tau (B,)``; ``previous`` and ``previous_tau`` are the latent before it *as the model saw
        it* and its level (zeros and -1 for a first frame); controls and text have T = 1; ``ages (B, W)`` in seconds
        and ``mask (B, W)`` as in ``TimeAttention.step``. The prediction has T = 1.
        """
        b = len(z)
        remaining = iter(caches)
        z, tau, previous, previous_tau = z[:, None], tau[:, None], previous[:, None], previous_tau[:, None]
        step_size = torch.zeros(b, 1, dtype=torch.int64, device=z.device) if step_size is None else step_size
        action = self._action(controls)
        mode = torch.zeros(b, dtype=torch.int64, device=z.device)
        c = self._frame_vector(tau, previous_tau, step_size, action, mode)
        angles = self._space_angles(z.shape[3] // self.config.patch, z.shape[4] // self.config.patch)
        x = self._blocks(
            self._tokens(z, previous),
            c,
            angles,
            self._text_tokens(text),
            lambda time, y: time.step(y[:, 0], next(remaining), slot, ages, mask)[:, None],
        )
        return self._predict(x, c, z, tau, action, text)

    def empty_caches(self, lanes: int, tokens: int, dtype: torch.dtype, device: torch.device) -> list[TimeCache]:
        """Ring caches for ``lanes`` worlds of ``tokens`` patch tokens per frame, one per time layer."""
        c = self.config
        return [
            TimeCache.empty(lanes, c.heads, tokens + c.registers, c.window, c.width // c.heads, dtype, device)
            for _ in range(self.time_layers)
        ]


def tiny_config(config: WorldModelConfig | None = None) -> WorldModelConfig:
    """A configuration small enough for tests: the same parts, two layers of 32."""
    return replace(
        config or WorldModelConfig(),
        width=32, heads=2, depth=2, mlp_width=48, window=6, text=TextConfig(width=32, depth=1, heads=2),
    )  # fmt: skip


def _waves(x: torch.Tensor, periods: torch.Tensor) -> torch.Tensor:
    angle = x[..., None].float() * (2 * torch.pi / periods)
    return torch.cat([angle.cos(), angle.sin()], dim=-1)


def _fourier_level(tau: torch.Tensor) -> torch.Tensor:
    """``(..., 64)`` features of signal levels in [-1, 1]."""
    return _waves(tau, torch.logspace(-1.3, 0.9, 32, device=tau.device))


def _fourier_camera(degrees: torch.Tensor) -> torch.Tensor:
    """``(..., 18)`` features of camera motion: the angles themselves, and waves for mouse motion of any size."""
    periods = torch.tensor([10.0, 30.0, 90.0, 360.0], device=degrees.device)
    waves = _waves(degrees, periods).flatten(-2)
    return torch.cat([degrees.float() / 15.0, waves], dim=-1)


def _fourier_age(age: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    """``(..., 16)`` features of a view's age in steps, finer for young views."""
    return _waves(age.float().log1p(), torch.logspace(-0.3, 1.3, 8, device=age.device)).to(dtype)


def _fourier_place(height: int, width: int, device: torch.device) -> torch.Tensor:
    """``(N, 32)`` features of patch midpoints as fractions of the frame: what is at the bottom stays at the bottom."""
    y = (torch.arange(height, device=device) + 0.5) / height
    x = (torch.arange(width, device=device) + 0.5) / width
    periods = torch.logspace(-0.9, 0.6, 8, device=device)
    waves_y = _waves(y, periods)[:, None].expand(height, width, -1)
    waves_x = _waves(x, periods)[None].expand(height, width, -1)
    return torch.cat([waves_y, waves_x], dim=-1).flatten(0, 1)
