"""The world model: a spacetime transformer that predicts clean latents, rewards and terminations.

A latent frame is cut into patches, one token each, joined by register tokens. Every layer attends inside the frame
(where text tokens are seen too) and every second layer also along time, per token position. One vector per frame,
the sum of signal level, step size, action, attention mode, modulates all layers (DiT, Peebles and Xie 2023, with one
shared AdaLN projection and a bias per layer). The previous latent enters each token through its 3x3 neighbourhood of
patches, so that motion of a patch or so per step needs no search. The output is preconditioned as in EDM (Karras et
al. 2022, table 1): the network supplies only what the noisy latent cannot. What stays or moves is carried over from the
previous latent by a mixture of learned convolutions, whose shares each token predicts for its cells (in the spirit of
dynamic filters, De Brabandere et al. 2016; Finn et al. 2016): a turn is nearly one linear map everywhere, and a network
of this size cannot copy exactly through its own width. Small kernels over the noisy latent, predicted likewise, weigh
what it tells against what the past tells, and average out its noise where the picture is smooth. And where nothing
moves, a gate per cell keeps what was there: sums of many maps never add up to exactly that. A refiner, where there is
one, corrects the outcome by convolutions over the cells.

``forward`` takes whole clips, ``together`` clips of many sizes in one pack, ``step`` one new frame against a ring of
keys and values; tests hold them equal.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import nn

from worldsim.actions import NUM_KEYS
from worldsim.model import features
from worldsim.model.attention import (
    RMSNorm,
    TextKV,
    TimeAttention,
    TimeCache,
    frequencies,
    picture_angles,
    time_mask,
    turning,
)
from worldsim.model.carry import all_moves, linear_estimate, mixed, neighbours
from worldsim.model.conditioning import ACTED, Controls, TextTokens
from worldsim.model.frames import Noisy, Prediction, Prepared, PreparedStep
from worldsim.model.heads import Heads
from worldsim.model.layers import Dense, Layer, Layout, modulation
from worldsim.model.layouts import Extent, Packed, Padded
from worldsim.model.packing import Past, Samples
from worldsim.model.refiner import Refiner, RefinerConfig
from worldsim.model.text import TextConfig, TextEncoder, tokenise

# B worlds, T latent frames, C latent channels, H W latent grid, N patch tokens of a frame, R registers, M text tokens,
# D width, W window

OWN = 5
"""Rows and columns of the noisy latent's own cells that a cell is made of."""
PAST = 2
"""Latents before a frame that enter it by themselves, beside what attention along time brings."""
SELDOM = -2.0
"""Logit of the gate at first: an eighth of the previous latent, so that a model without it can go on with it."""
STEP_SIZES = 4
"""Step-size embeddings: index i is d = 2**i / 8; 0 serves the plain flow at any level."""


@dataclass(frozen=True)
class WorldModelConfig:
    """Sizes of the transformer. ``window`` is in latents, ``patch`` in latent cells, ``pixel_stride`` in pixels.

    ``moves`` is the number of learned convolutions over the previous latent, ``motion`` their rows and columns, both
    odd: a turn of 14 degrees moves the picture by about four cells. ``stays``: each cell can keep the previous latent.
    ``refiner``: sizes of what corrects the outcome, None without it. ``modulation_rank``: frame vectors modulate
    through as many numbers, 0 for all of the width.
    """

    latent_channels: int = 4
    pixel_stride: int = 4
    patch: int = 4
    motion: tuple[int, ...] = (5, 11)
    moves: int = 32
    stays: bool = True
    width: int = 256
    heads: int = 8
    depth: int = 4
    mlp_width: int = 640
    time_every: int = 2
    window: int = 24
    registers: int = 2
    worlds: int = 16
    text: TextConfig = field(default_factory=TextConfig)
    refiner: RefinerConfig | None = field(default_factory=RefinerConfig)
    modulation_rank: int = 0

    def __post_init__(self) -> None:
        if self.width % self.heads or (self.width // self.heads) % 4:
            raise ValueError(f"width {self.width} over {self.heads} heads: the head width must be a multiple of 4")
        if len(self.motion) != 2 or any(n < 1 or n % 2 == 0 for n in self.motion):
            raise ValueError(f"motion={self.motion}: two odd numbers are accepted, rows and columns of latent cells")
        if self.moves < 1:
            raise ValueError(f"moves={self.moves}: at least one is needed")
        if not 0 <= self.modulation_rank < self.width:
            raise ValueError(f"modulation_rank={self.modulation_rank}: accepted are 0 (whole) to below {self.width}")

    def check_begin(self, begin: WorldModelConfig) -> None:
        """Raises ``ValueError`` where a model of this configuration cannot go on with weights of ``begin``'s.

        It may have another window, which no weight depends on, and a gate or a refiner where that one has none.
        """
        ours, theirs = asdict(self), asdict(begin)
        free = {"window"} | ({"stays"} if self.stays else set()) | ({"refiner"} if begin.refiner is None else set())
        if wrong := [name for name in ours if name not in free and ours[name] != theirs[name]]:
            told = "; ".join(f"{name} {theirs[name]!r}, this run has {ours[name]!r}" for name in wrong)
            raise ValueError(f"the model to go on from has {told}: give the run the same (--train.world...)")


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
        self.modulation = modulation(d, 6 * d, config.modulation_rank)
        for table in (self.step_size, self.mode, self.known, self.world):
            nn.init.normal_(table.weight, std=0.1)
        self.layers = nn.ModuleList(
            Layer(d, config.heads, config.mlp_width, (i + 1) % config.time_every == 0 or i == config.depth - 1)
            for i in range(config.depth)
        )
        self.final_norm = RMSNorm(d, eps=1e-6, elementwise_affine=False)
        self.final_modulation = modulation(d, 2 * d, config.modulation_rank)
        self.patch_out = nn.Linear(d, patch_size)
        c, (rows, columns) = config.latent_channels, config.motion
        self.moves = nn.Conv2d(c, config.moves * c, (rows, columns), bias=False)
        self.taps = (config.moves, OWN * OWN)
        self.motion_out = nn.Linear(d, config.patch**2 * sum(self.taps))
        self.stays_out = nn.Linear(d, config.patch**2) if config.stays else None
        for module in (self.patch_out, self.motion_out, self.stays_out):
            if module is not None:
                nn.init.zeros_(module.weight)
                nn.init.zeros_(module.bias)
        if self.stays_out is not None:
            nn.init.constant_(self.stays_out.bias, SELDOM)
        self.heads = Heads(d, config.registers)
        self.refiner = None if config.refiner is None else Refiner(config.refiner, c, d, config.worlds)
        head_width = d // config.heads
        self.register_buffer("space_spectrum", frequencies(head_width // 4, 24.0, 2048.0), persistent=False)

    space_spectrum: torch.Tensor

    @property
    def stride(self) -> int:
        """Pixels per token along each side: frame sizes are multiples of it."""
        return self.config.pixel_stride * self.config.patch

    @property
    def _stack(self) -> list[Layer]:
        return [layer for layer in self.layers if isinstance(layer, Layer)]

    @property
    def _time_attentions(self) -> list[TimeAttention]:
        return [layer.time for layer in self._stack if layer.time is not None]

    def take_over(self, begin: WorldModel) -> None:
        """The weights of ``begin``; where it has no gate or no refiner, this model's stay as they are.

        Raises ``ValueError`` where ``begin`` has other sizes, or one of these and this model none.
        """
        self.config.check_begin(begin.config)
        own = {name: value for name, value in self.state_dict().items() if name.startswith(("stays_out.", "refiner."))}
        self.load_state_dict(own | begin.state_dict())

    # text -----------------------------------------------------------------------------------------------------------

    def encode_text(self, texts: Sequence[str], part: str) -> torch.Tensor:
        """Read-out tokens ``(B, M, D)`` of texts of one part (``scene``, ``view``, ``event`` or ``goal``)."""
        return self.text(tokenise(texts).to(self.registers.device), part)

    def read_text(self, text: TextTokens) -> list[TextKV]:
        """What the layers' attentions read of ``text``: keys and values for each."""
        words = self._text_tokens(text)
        return [layer.space.read_text(words) for layer in self._stack]

    def _text_tokens(self, text: TextTokens) -> torch.Tensor:
        """``(B, T, M, D)``: scene, view marked with its age, event."""
        age = text.view_age.clamp(min=0)
        aged = (text.view_age >= 0)[..., None].to(self.registers.dtype) * self.view_age_in(
            features.age(age, self.registers.dtype)
        )
        b, t = text.view_age.shape
        scene = text.scene[:, None].expand(b, t, -1, -1)
        view = text.view[:, None] + aged[:, :, None]
        return torch.cat([scene, view, text.event], dim=2)

    # conditioning ---------------------------------------------------------------------------------------------------

    def action(self, controls: Controls) -> torch.Tensor:
        """What describes the action of every frame, ``(B, T, D)``."""
        dtype = self.registers.dtype
        acted = (controls.known == ACTED)[..., None].to(dtype)
        camera = features.camera(controls.camera).to(dtype)
        return acted * (self.keys_in(controls.keys.to(dtype)) + self.camera_in(camera)) + self.known(controls.known)

    def context(self, controls: Controls, goal: torch.Tensor, world: torch.Tensor) -> torch.Tensor:
        """What conditions the heads at every frame, ``(B, T, D)``: action, ``goal (B, D)`` and index of the ``world
        (B,)``."""
        return self.action(controls) + self._purpose(goal, world)

    def _purpose(self, goal: torch.Tensor, world: torch.Tensor) -> torch.Tensor:
        return (goal + self.world(world))[:, None]

    def _prepare(
        self,
        past: torch.Tensor,
        past_tau: torch.Tensor,
        controls: Controls,
        text: TextTokens,
        mode: torch.Tensor,
    ) -> Prepared:
        """Everything about the frames that does not depend on their noisy latents; the arguments as in ``forward``,
        and the latents ``past (B, T, P, C, H, W)`` before each frame, the latest first, at levels ``past_tau (B, T,
        P)``, -1 where there is none."""
        b, _, _, _, h, w = past.shape
        p, dtype = self.config.patch, self.registers.dtype
        past = linear_estimate(past.flatten(0, 1).float(), past_tau.flatten(0, 1).clamp(min=0)).view_as(past)
        previous = past[:, :, 0]
        action = self.action(controls)
        vector = self.previous_level_in(features.level(past_tau[..., 0]).to(dtype)) + action + self.mode(mode)[:, None]
        grid = rearrange(previous.to(dtype), "b t c (h p) (w q) -> (b t) (c p q) h w", p=p, q=p)
        around = rearrange(F.unfold(grid, 3, padding=1), "(b t) k n -> b t n k", b=b)
        stem = self.previous_in(around) + self.place_in(features.place(h // p, w // p, past.device).to(dtype))
        return Prepared(
            vector=vector,
            stem=stem,
            past=past,
            moved=all_moves(previous, self.moves.weight),
            rotation=turning(self._space_angles(h // p, w // p), dtype),
            text=self.read_text(text) if text.read is None else text.read,
            heads=action + self._purpose(text.goal, text.world),
            action=action,
            world=text.world,
        )

    def _space_angles(self, height: int, width: int) -> torch.Tensor:
        """Rotation angles ``(N + R, E/2)`` from patch midpoints in pixels; registers are not rotated."""
        angles = picture_angles(height, width, self.stride, self.space_spectrum)
        return torch.cat([angles, angles.new_zeros(self.config.registers, angles.shape[-1])])

    # prediction -----------------------------------------------------------------------------------------------------

    def _predict(self, groups: Sequence[Noisy], layout: Layout) -> list[tuple[torch.Tensor, torch.Tensor]]:
        """Of each group, clean latents like its ``z`` and what the registers ``(B, T, R, D)`` hold.

        Convolutions and kernels run over the pictures of a group, the layers over the tokens of all at once.
        """
        return [self._picture(*found, group) for found, group in zip(self._layered(groups, layout), groups)]

    def _layered(
        self, groups: Sequence[Noisy], layout: Layout
    ) -> Iterator[tuple[torch.Tensor, torch.Tensor, torch.Tensor | None]]:
        """Of each group, the tokens ``(B, T, N + R, D)`` that leave the layers, the vectors of its frames, and the
        linear estimate of what is noisy."""
        frames = [self._frame_vectors(group) for group in groups]
        estimates = [None if group.z is None else linear_estimate(group.z.float(), group.tau) for group in groups]
        x = layout.join([self._tokens(e, group.prepared.stem) for e, group in zip(estimates, groups)])
        shared = rearrange(self.modulation(layout.join_frames(frames)), "b t (s d) -> s b t 1 d", s=6)
        for i, layer in enumerate(self._stack):
            x = layer(x, shared, layout, [group.prepared.text[i] for group in groups])
        return zip(layout.split(x), frames, estimates)

    def _frame_vectors(self, group: Noisy) -> torch.Tensor:
        """What modulates the tokens of each frame, ``(B, T, D)``."""
        step_size = group.step_size
        if step_size is None:
            step_size = torch.zeros(group.tau.shape, dtype=torch.int64, device=group.tau.device)
        level = self.level_in(features.level(group.tau).to(self.registers.dtype))
        return F.silu(level + self.step_size(step_size) + group.prepared.vector)

    def _tokens(self, estimate: torch.Tensor | None, stem: torch.Tensor) -> torch.Tensor:
        """Tokens ``(B, T, N + R, D)`` that enter the layers."""
        p, (b, t) = self.config.patch, stem.shape[:2]
        if estimate is None:
            known = self.patch_in.bias  # what it makes of zeros
        else:
            cells = estimate.to(self.registers.dtype)
            known = self.patch_in(rearrange(cells, "b t c (h p) (w q) -> b t (h w) (c p q)", p=p, q=p))
        return torch.cat([known + stem, self.registers.expand(b, t, -1, -1)], dim=2)

    def _picture(
        self, x: torch.Tensor, c: torch.Tensor, estimate: torch.Tensor | None, group: Noisy
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Clean latents and registers of the tokens ``x (B, T, N + R, D)`` that left the layers."""
        previous = group.prepared.past[:, :, 0]
        p, n, h, tau = self.config.patch, group.prepared.stem.shape[2], previous.shape[3], group.tau
        shift, scale = self.final_modulation(c)[:, :, None].chunk(2, dim=-1)
        tokens = self.final_norm(x[:, :, :n]) * (1 + scale) + shift
        out = rearrange(self.patch_out(tokens), "b t (h w) (c p q) -> b t c (h p) (w q)", h=h // p, p=p, q=p)
        shares = rearrange(self.motion_out(tokens), "b t (h w) (p q k) -> (b t) k (h p) (w q)", h=h // p, p=p, q=p)
        moving, own = shares.float().split(self.taps, dim=1)
        kept = mixed(group.prepared.moved, moving)
        if estimate is not None:
            kept = kept + mixed(neighbours(estimate, OWN), own)
        x_hat = out + kept.view_as(previous)
        level = tau[..., None, None, None].float()
        if estimate is not None:
            x_hat = estimate + (1 - level) * (level.square() + (1 - level).square()).rsqrt() * x_hat
        if self.stays_out is not None:
            logits = rearrange(self.stays_out(tokens), "b t (h w) (p q) -> b t 1 (h p) (w q)", h=h // p, p=p, q=p)
            x_hat = torch.lerp(x_hat, previous, (1 - level) * logits.float().sigmoid())
        if self.refiner is not None:
            x_hat = x_hat + (1 - level) * self._refined(self.refiner, x_hat, group.prepared)
        return x_hat, x[:, :, n:]

    def _refined(self, refiner: Refiner, x: torch.Tensor, prepared: Prepared) -> torch.Tensor:
        """What is to be added to estimates ``x (B, T, C, H, W)``."""
        (b, t), action = x.shape[:2], prepared.action
        world = prepared.world[:, None].expand(b, t).flatten()
        return refiner(x.flatten(0, 1), prepared.past.flatten(0, 1), action.flatten(0, 1), world).view_as(x)

    def _with_heads(self, found: tuple[torch.Tensor, torch.Tensor], prepared: Prepared) -> Prediction:
        x, registers = found
        reward, done = self.heads(registers, prepared.heads)
        return Prediction(x, reward.float(), done.float(), registers, prepared.heads)

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
        past: Past | None = None,
    ) -> Prediction:
        """Clean predictions for whole clips.

        ``z`` noisy latents ``(B, T, C, H, W)`` at signal levels ``tau (B, T)``; ``seconds (B, T)`` times of the
        frames on any common origin; ``mode (B,)`` 0 causal or 1 full; ``step_size (B, T)`` indices of ``STEP_SIZES``;
        frames that are not ``valid (B, T)`` are seen by no other frame; each frame follows the latents of ``past``
        (None: ``z`` and ``tau`` themselves).
        """
        mask = time_mask(z.shape[1], self.config.window, mode)
        if valid is not None:
            mask = mask & (valid[:, None] | torch.eye(z.shape[1], dtype=torch.bool, device=z.device))
        clips = Noisy(z, tau, step_size, self._prepare_clips(past or (z, tau), controls, text, mode))
        layout = Dense(clips.prepared.rotation, lambda time, y: time(y, seconds, mask))
        return self._with_heads(self._predict([clips], layout)[0], clips.prepared)

    def together(self, groups: Sequence[Samples], layout: type[Packed] | type[Padded] = Packed) -> list[Prediction]:
        """Clean predictions for samples of many sizes and durations at once, as ``forward`` makes them of each group:
        packed end to end or, to compare with, padded to the largest."""
        noisy = [
            Noisy(g.z, g.tau, g.step_size, self._prepare_clips(g.past or (g.z, g.tau), g.controls, g.text, g.mode))
            for g in groups
        ]
        tokens = [n.prepared.stem.shape[2] + self.config.registers for n in noisy]
        extents = [Extent(count, n.prepared.rotation, g.seconds, g.mode) for count, n, g in zip(tokens, noisy, groups)]
        found = self._predict(noisy, layout(extents, self.config.window))
        return [self._with_heads(f, n.prepared) for f, n in zip(found, noisy)]

    def _prepare_clips(self, past: Past, controls: Controls, text: TextTokens, mode: torch.Tensor) -> Prepared:
        z, tau = past
        t = z.shape[1]
        earlier, levels = F.pad(z, (0,) * 6 + (PAST, 0)), F.pad(tau, (PAST, 0), value=-1.0)
        before = torch.stack([earlier[:, PAST - i : PAST - i + t] for i in range(1, PAST + 1)], dim=2)
        before_tau = torch.stack([levels[:, PAST - i : PAST - i + t] for i in range(1, PAST + 1)], dim=2)
        return self._prepare(before, before_tau, controls, text, mode)

    def prepare_step(
        self,
        past: torch.Tensor,
        past_tau: torch.Tensor,
        controls: Controls,
        text: TextTokens,
        caches: Sequence[TimeCache],
        slot: int,
        ages: torch.Tensor,
        mask: torch.Tensor,
    ) -> PreparedStep:
        """What the passes over one new frame share, in causal mode against ring caches, one per time layer.

        ``past (B, P, C, H, W)`` and ``past_tau (B, P)`` are the latents before it, with the context noise, the latest
        first, and their levels (zeros and -1 where there is none); controls and text have T = 1; ``ages (B, W)`` are
        seconds before the new frame (0 at ``slot``), ``mask (B, W)`` is True for slots that may be seen, ``slot``
        included.
        """
        mode = torch.zeros(len(past), dtype=torch.int64, device=past.device)
        for cache, attention in zip(caches, self._time_attentions):
            attention.age(cache, ages)
        prepared = self._prepare(past[:, None], past_tau[:, None], controls, text, mode)
        return PreparedStep(prepared, caches, slot, mask)

    def step(
        self,
        z: torch.Tensor | None,
        tau: torch.Tensor,
        prepared: PreparedStep,
        step_size: torch.Tensor | None = None,
    ) -> Prediction:
        """One pass over a new frame ``z (B, C, H, W)`` at ``tau (B,)``; writes its keys and values to the slot. ``z``
        is None where nothing is known of it, ``tau`` 0 then.

        The prediction has T = 1. Passes of one frame (denoising steps, the context pass) share what was prepared.
        """
        return self._with_heads(self._newest(z, tau, prepared, step_size), prepared.frame)

    def denoise(
        self,
        z: torch.Tensor | None,
        tau: torch.Tensor,
        prepared: PreparedStep,
        step_size: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """``step`` without the heads: the clean latent ``(B, 1, C, H, W)`` alone."""
        return self._newest(z, tau, prepared, step_size)[0]

    def remember(self, z: torch.Tensor, tau: torch.Tensor, prepared: PreparedStep) -> torch.Tensor:
        """``step`` of a latent that is given, of which nothing need be predicted: what the registers ``(B, 1, R, D)``
        hold."""
        newest, layout = self._new_frame(z, tau, prepared, None)
        tokens = next(self._layered([newest], layout))[0]
        return tokens[:, :, newest.prepared.stem.shape[2] :]

    def _newest(
        self, z: torch.Tensor | None, tau: torch.Tensor, prepared: PreparedStep, step_size: torch.Tensor | None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        newest, layout = self._new_frame(z, tau, prepared, step_size)
        return self._predict([newest], layout)[0]

    def _new_frame(
        self, z: torch.Tensor | None, tau: torch.Tensor, prepared: PreparedStep, step_size: torch.Tensor | None
    ) -> tuple[Noisy, Dense]:
        """A new frame as a group, and a layout in which it sees the ring."""
        remaining = iter(prepared.caches)

        def along_time(time: TimeAttention, y: torch.Tensor) -> torch.Tensor:
            return time.step(y[:, 0], next(remaining), prepared.slot, prepared.mask)[:, None]

        newest = Noisy(None if z is None else z[:, None], tau[:, None], step_size, prepared.frame)
        return newest, Dense(prepared.frame.rotation, along_time)

    def empty_caches(
        self, lanes: int, tokens: int, window: int, dtype: torch.dtype, device: torch.device
    ) -> list[TimeCache]:
        """Ring caches of ``window`` latents for ``lanes`` worlds of ``tokens`` patch tokens per frame, one per time
        layer."""
        c = self.config
        return [
            TimeCache.empty(lanes, c.heads, tokens + c.registers, window, c.width // c.heads, dtype, device)
            for _ in self._time_attentions
        ]


def step_size_index(steps: int) -> int | None:
    """Index of the step size ``1 / steps`` among ``STEP_SIZES``; None where there is none."""
    index = STEP_SIZES - 1 - (steps - 1).bit_length()
    return index if index >= 0 and 2 ** (STEP_SIZES - 1 - index) == steps else None


def tiny_config(config: WorldModelConfig | None = None) -> WorldModelConfig:
    """A configuration small enough for tests: the same parts, two layers of 32."""
    return replace(
        config or WorldModelConfig(),
        width=32, heads=2, depth=2, mlp_width=48, window=6, text=TextConfig(width=32, depth=1, heads=2),
        refiner=RefinerConfig(width=16, depth=1),
    )  # fmt: skip
