"""Passes of the network over the lanes of a ring: what the rollout engine is made of.

One evaluation of the newest latent against what its lanes remember; a given latent written into their memory;
and what needs no lane of its own, the codec's round trip and the surprise at a given clip.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from einops import reduce

from worldsim.diffusion import flow, noise, sampler
from worldsim.diffusion.sampler import Sampled
from worldsim.lane_text import TextMemory
from worldsim.model.conditioning import NO_VIEW, Controls, TextTokens
from worldsim.model.transformer import Prediction, PreparedStep, step_size_index
from worldsim.model.weights import WorldSimulator
from worldsim.predictor import LaneStart
from worldsim.ring import Ring
from worldsim.starts import check_start, first_controls, given_controls, given_latents

# B lanes, M lanes that begin, K frames of a block, C h w latent, H W frame, W also window

START_STEPS, START_GUIDANCE, START_TEMPERATURE = 16, 3.0, 0.5
"""Denoising steps, text guidance and scale of the noise of the first latent of a start from text without a starter."""


def pick_device(device: str | torch.device) -> torch.device:
    """``"auto"`` is the first GPU where there is one, else the CPU."""
    if str(device) == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    return torch.device(device)


def compute_dtype(device: torch.device) -> torch.dtype:
    """bfloat16 where the device multiplies it natively, else float32."""
    if device.type == "cuda":
        return torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float32
    if device.type == "cpu":
        native = getattr(torch.cpu, "_is_avx512_bf16_supported", None)
        return torch.bfloat16 if native is not None and native() else torch.float32
    return torch.float32


def native_autocast(device: torch.device) -> torch.autocast:
    """Autocast to bfloat16 where the device multiplies it natively, nothing elsewhere: emulated, it is slower."""
    native = compute_dtype(device) == torch.bfloat16
    return torch.autocast(device.type, torch.bfloat16, enabled=native)


class Passes:
    """One model on one device for frames of one size: rings, passes over their lanes, and what needs no lane.

    ``_network`` is a pass over the newest latents of a ring, ``_denoise`` one without the heads, ``_registers`` one
    without a prediction; ``_remember`` writes given latents to it.
    """

    def __init__(
        self,
        model: WorldSimulator,
        device: str | torch.device,
        frame_size: tuple[int, int],
        context_noise: float | None,
        dtype: torch.dtype | None,
        compile: bool,
        window: int | None,
    ) -> None:
        config = model.config
        noise_level = config.context_noise if context_noise is None else float(context_noise)
        if not 0 <= noise_level < 1:
            raise ValueError(f"context_noise={noise_level}; accepted is 0 to below 1")
        self.model, self.device = model, pick_device(device)
        self.dtype = dtype or compute_dtype(self.device)
        self.codec, self.world = model.modules(self.device, self.dtype, prepacked=not compile)
        height, width = frame_size
        if min(frame_size) < 1 or height % self.world.stride or width % self.world.stride:
            raise ValueError(
                f"frame_size={frame_size}: height and width must be multiples of {self.world.stride} pixels"
            )
        self.window = config.world.window if window is None else window
        if not 1 <= self.window <= config.world.window:
            raise ValueError(
                f"window={window}: this model was trained on {config.world.window} latents; accepted are 1 to "
                f"{config.world.window}"
            )
        self.frame_size = (int(height), int(width))
        pixels, patch = config.world.pixel_stride, config.world.patch
        self.latent_shape = (config.world.latent_channels, height // pixels, width // pixels)
        self.tokens = (height // pixels // patch) * (width // pixels // patch)
        self.context_tau = 1 - noise_level
        bounds = (config.latent_low, config.latent_high)
        self._range = [torch.tensor(x, device=self.device)[:, None, None] for x in bounds if x]
        ready: Callable[..., Any] = torch.compile if compile else _as_it_is
        self._network: Callable[..., Prediction] = ready(self.world.step)
        self._denoise: Callable[..., torch.Tensor] = ready(self.world.denoise)
        self._registers: Callable[..., torch.Tensor] = ready(self.world.remember)

    def _new_ring(self, lanes: int, slot: int = 0) -> Ring:
        return Ring(self.world, lanes, self.tokens, self.window, self.latent_shape, self.dtype, self.device, slot)

    def _remember(
        self,
        ring: Ring,
        latent: torch.Tensor,
        seeds: torch.Tensor,
        number: int,
        prepared: PreparedStep,
    ) -> torch.Tensor:
        """Writes a given latent, the ``number``-th of its prefix, to the present slot of ``ring``, for which its passes
        are ``prepared``; what the registers ``(M, 1, R, D)`` hold of it."""
        tau = torch.full((len(latent),), self.context_tau, device=self.device)
        eps = noise.gaussian(seeds, torch.full_like(seeds, number), "context_start", self.latent_shape)
        context = self._noised(latent, eps, tau)
        registers = self._registers(context, tau, prepared)
        ring.remember(context, tau)
        return registers

    def _imagined(self, text: TextTokens, plain: TextTokens, seeds: torch.Tensor, seconds: torch.Tensor) -> Sampled:
        """First latents of lanes that are told ``text``, by the transformer itself: in more denoising steps than a step
        has, and guided away from ``plain``, which says nothing."""
        m = len(seeds)
        ring, controls = self._new_ring(m), first_controls(m, self.device)
        ring.advance()
        prepared = [self._prepare(ring, controls, words, seconds) for words in (plain, text)]

        def denoise(z: torch.Tensor, tau: torch.Tensor, steps: int) -> torch.Tensor:
            without, given = (self._denoise(z[:, 0], tau[:, 0], said) for said in prepared)
            return without + START_GUIDANCE * (given - without)

        start = START_TEMPERATURE * noise.gaussian(seeds, torch.zeros_like(seeds), "start", self.latent_shape)
        return sampler.sample(denoise, start[:, None], START_STEPS, tokens=self.tokens)

    def _prepare(self, ring: Ring, controls: Controls, text: TextTokens, seconds: torch.Tensor) -> PreparedStep:
        """What the passes over the newest latents of ``ring`` share."""
        return self.world.prepare_step(
            ring.past, ring.past_tau, controls, text, ring.caches, ring.slot, ring.ages(seconds), ring.held
        )

    def _step_size(self, lanes: int, steps: int) -> torch.Tensor | None:
        """Indices of the step size 1/K where the model was trained to take it."""
        index = step_size_index(steps)
        if not self.model.config.shortcut or index is None:
            return None
        return torch.full((lanes, 1), index, dtype=torch.int64, device=self.device)

    def _noised(self, latent: torch.Tensor, eps: torch.Tensor, tau: torch.Tensor) -> torch.Tensor:
        return flow.add_noise(latent[:, None], eps[:, None], tau[:, None])[:, 0]

    def _bounded(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """``x`` inside the range of training, and which rows are finite; the others become zeros."""
        finite = torch.isfinite(x).flatten(1).all(1)
        if self._range:
            x = x.clamp(*self._range)
        return torch.where(finite[:, None, None, None], x, 0.0), finite

    def _encoded_once(self, blocks: torch.Tensor) -> torch.Tensor:
        """As ``codec.encode``, of blocks some of which are equal."""
        kinds: dict[bytes, int] = {}
        kind = [kinds.setdefault(block.tobytes(), len(kinds)) for block in blocks.cpu().numpy()]
        return self.codec.encode(blocks[[kind.index(i) for i in range(len(kinds))]])[kind]

    @torch.inference_mode()
    def encode(self, frames: torch.Tensor) -> torch.Tensor:
        """Normalised latents float32 ``(B, C, h, w)`` of uint8 blocks ``(B, K, H, W, 3)``, K = 1 or 4."""
        return self.codec.encode(frames.to(self.device))

    @torch.inference_mode()
    def reconstruct(self, frames: torch.Tensor) -> torch.Tensor:
        return self.codec.decode(self.codec.encode(frames.to(self.device)), frames.shape[1])

    def surprise(self, start: LaneStart, n_noise: int = 1) -> torch.Tensor:
        """How badly the model foresees each given block: float32 ``(n,)``, n the actions of ``start``.

        The mean squared error, in normalised latents, of what is predicted from pure noise with the true past as
        context (which is seen, whatever the model's ``cache_mode``), averaged over ``n_noise`` draws (seeds from
        ``start.seed`` on). No lane is touched.
        """
        return self.surprises([start], n_noise)[0]

    @torch.inference_mode()
    def surprises(self, starts: Sequence[LaneStart], n_noise: int = 1, first: int = 0) -> torch.Tensor:
        """``surprise`` at several films at once, which takes half of the time of one after the other, and less where
        films begin alike: float32 ``(M, n)``, equal to it but for rounding. The films are of one world, and as long as
        each other. Blocks before ``first`` are only remembered: NaN."""
        for start in starts:
            check_start(start, self.frame_size, self.model.config.worlds)
        films = [start.frames for start in starts if start.frames is not None]
        if not starts or len(films) < len(starts) or n_noise < 1:
            raise ValueError("surprise needs given frames and at least one draw of noise")
        if not 0 <= first < len(starts[0].actions):
            raise ValueError(f"first={first} of {len(starts[0].actions)} blocks: accepted are 0 to one less than these")
        if len({(s.world.name, len(s.actions), f.shape) for s, f in zip(starts, films)}) > 1:
            raise ValueError("surprise at several films needs films of one world and length")
        world, n, m, device = starts[0].world, len(starts[0].actions), len(starts), self.device
        memory = TextMemory(self.world, m, device)
        memory.begin(range(m), [s.text for s in starts], [world.index] * m)
        frames = torch.from_numpy(np.stack(films)).to(device)
        latents = given_latents(self._encoded_once, frames, world.frames_per_step, n)
        ring, led, lanes = self._new_ring(m * n_noise), [*range(m)], [*range(m)]
        errors = torch.full((m, n), torch.nan, device=device)
        for j, latent in enumerate(latents):
            before, led = led, _led(starts, world.frames_per_step, j + 1 + n - len(latents))
            if j == 0 or lanes != sorted({*led}):  # films that are alike so far go on as one
                places, lanes = [lanes.index(before[film]) for film in sorted({*led})], sorted({*led})
                ring = ring.of(torch.tensor([p * n_noise + i for p in places for i in range(n_noise)], device=device))
                text = memory.tokens(torch.tensor(lanes, device=device).repeat_interleave(n_noise))
                text = replace(text, view_age=torch.full_like(text.view_age, NO_VIEW))
                text = replace(text, read=self.world.read_text(text))
                controls = given_controls([starts[film] for film in lanes for _ in range(n_noise)], device)
                seeds = torch.tensor([starts[film].seed + i for film in lanes for i in range(n_noise)], device=device)
                seconds = torch.full((len(seeds),), world.step_seconds, device=device)
            ring.advance()
            given = latent[lanes].repeat_interleave(n_noise, 0)
            prepared = self._prepare(ring, controls.frame(j), text, seconds)
            if j >= first + len(latents) - n:
                eps = noise.gaussian(seeds, torch.full_like(seeds, j), "latent", self.latent_shape)
                x = self._denoise(eps, torch.zeros_like(seconds), prepared)[:, 0]
                error = reduce((x - given).square(), "(m d) c h w -> m", "mean", d=n_noise)
                errors[:, j + n - len(latents)] = error[[lanes.index(film) for film in led]]
            self._remember(ring, given, seeds, j, prepared)
        return errors


def _led(starts: Sequence[LaneStart], k: int, n: int) -> list[int]:
    """For each film the first that is told the same and shows the same under the same ``n`` actions of ``k`` frames
    each, itself if there is no other."""
    if len(starts) == 1:
        return [0]
    alike = []
    for start in starts:
        assert start.frames is not None
        shown = start.frames[: len(start.frames) - k * (len(start.actions) - n)]
        alike.append((start.seed, start.text, np.asarray(start.actions[:n]).tobytes(), shown.tobytes()))
    return [alike.index(one) for one in alike]


def _as_it_is(network: Callable[..., Any]) -> Callable[..., Any]:
    return network
