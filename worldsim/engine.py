"""The rollout engine: many independent lanes of a learned world, stepped together, one latent frame at a
time.

Each time-attention layer keeps a ring of the last W latents' keys and values, before their rotation. All
lanes write to the same slot, ``step mod W``; a mask says which slots belong to a lane's present episode, and
positions are ages, so lanes begin and end at different times inside tensors of fixed shape. A finished latent
enters the ring either re-noised to the context level by one more pass, which the heads are read from
(``cache_mode="renoise"``), or with the keys and values of the last denoising step (``"reuse"``, one pass
less). Randomness is counted (lane seed, step, use), so a lane's future depends neither on its neighbours nor
on how many there are.

Knows nothing of Gymnasium. Everything is torch on ``device``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from typing import Any, Literal

import numpy as np
import torch
from einops import repeat

from worldsim.diffusion import flow, noise, sampler
from worldsim.lane_text import LaneWords, TextMemory
from worldsim.model.heads import REWARD_BINS, bin_values, expected_reward
from worldsim.model.transformer import ACTED, NO_VIEW, STEP_SIZES, Controls, Prediction, TextTokens
from worldsim.model.weights import WorldSimulator
from worldsim.predictor import BLOCK_FRAMES, Block, LaneStart, LaneText, TextKind
from worldsim.ring import Ring
from worldsim.starts import check_start, first_controls, given_controls, given_latents
from worldsim.worlds import WORLDS, WorldSpec

# B lanes, M lanes that begin, K frames of a block, C h w latent, H W frame, W also window

CacheMode = Literal["renoise", "reuse"]
RewardMode = Literal["expected", "sample"]
START_STEPS, START_GUIDANCE = 16, 3.0
"""Denoising steps and text guidance of the first latent of a start from text."""
STATE_VERSION = 1


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


class RolloutEngine:
    """``lanes`` worlds of one model. Keeps the ``Predictor`` protocol, whose methods it documents.

    Args:
        model: the simulator; its weights are shared by all engines of one device and type, and never changed.
        lanes: number of independent worlds.
        device: a torch device, or ``"auto"``.
        denoising_steps: K, network evaluations per latent (and one more with ``cache_mode="renoise"``).
        context_noise: noise of context latents in [0, 1), None for the model's own.
        cache_mode: ``"renoise"`` or ``"reuse"``, see the module's docstring.
        frame_size: ``(H, W)`` in pixels, multiples of the model's stride.
        reward: ``"expected"`` value of the head's distribution, or a ``"sample"`` of it.
        dtype: type of the arithmetic, None for bfloat16 where the device has it.
        compile: compiles the network's step (GPU; the first steps are slow).
    """

    def __init__(
        self,
        model: WorldSimulator,
        lanes: int = 1,
        device: str | torch.device = "auto",
        denoising_steps: int = 4,
        context_noise: float | None = None,
        cache_mode: CacheMode = "renoise",
        frame_size: tuple[int, int] = (64, 64),
        reward: RewardMode = "expected",
        dtype: torch.dtype | None = None,
        compile: bool = False,
    ) -> None:
        config = model.config
        noise_level = config.context_noise if context_noise is None else float(context_noise)
        if lanes < 1:
            raise ValueError(f"lanes={lanes}; an engine has at least one lane")
        if denoising_steps < 1:
            raise ValueError(f"denoising_steps={denoising_steps}; at least one is needed")
        if not 0 <= noise_level < 1:
            raise ValueError(f"context_noise={noise_level}; accepted is 0 to below 1")
        if cache_mode not in ("renoise", "reuse"):
            raise ValueError(f"cache_mode={cache_mode!r}; accepted are 'renoise' and 'reuse'")
        if reward not in ("expected", "sample"):
            raise ValueError(f"reward={reward!r}; accepted are 'expected' and 'sample'")
        self.model, self.lanes, self.device = model, lanes, pick_device(device)
        self.dtype = dtype or compute_dtype(self.device)
        self.codec, self.world = model.modules(self.device, self.dtype)
        height, width = frame_size
        if min(frame_size) < 1 or height % self.world.stride or width % self.world.stride:
            raise ValueError(
                f"frame_size={frame_size}: height and width must be multiples of {self.world.stride} pixels"
            )
        self.frame_size = (int(height), int(width))
        pixels, patch = config.world.pixel_stride, config.world.patch
        self.latent_shape = (config.world.latent_channels, height // pixels, width // pixels)
        self.tokens = (height // pixels // patch) * (width // pixels // patch)
        self.denoising_steps, self.cache_mode, self.reward_mode = denoising_steps, cache_mode, reward
        self.context_tau = 1 - noise_level
        self._network: Callable[..., Prediction] = (
            torch.compile(self.world.step) if compile else self.world.step
        )
        self._allocate()

    @torch.inference_mode()
    def _allocate(self) -> None:
        b, device = self.lanes, self.device
        config = self.model.config
        self._ring = self._new_ring(b)
        self._seeds = torch.zeros(b, dtype=torch.int64, device=device)
        self._steps = torch.zeros(b, dtype=torch.int64, device=device)
        self._seconds = torch.ones(b, device=device)
        self._specs: list[WorldSpec | None] = [None] * b
        self._text = TextMemory(self.world, b, device)
        self._acted = torch.full((b, 1), ACTED, dtype=torch.int64, device=device)
        self._context_tau = torch.full((b,), self.context_tau, device=device)
        self.reward_values = bin_values(device)
        bounds = (config.latent_low, config.latent_high)
        self._range = [torch.tensor(x, device=device)[:, None, None] for x in bounds if x]

    def _new_ring(self, lanes: int, slot: int = 0) -> Ring:
        return Ring(self.world, lanes, self.tokens, self.latent_shape, self.dtype, self.device, slot)

    # what the environment calls

    @torch.inference_mode()
    def begin(self, lanes: Sequence[int], starts: Sequence[LaneStart]) -> Block:
        if len(lanes) != len(starts) or len(set(lanes)) != len(lanes):
            raise ValueError(f"{len(starts)} starts were given for lanes {list(lanes)}; give one for each")
        for start in starts:
            check_start(start, self.frame_size, self.model.config.world.worlds)
        self._text.begin(lanes, [s.text for s in starts], [s.world.index for s in starts])
        rows = torch.tensor(lanes, device=self.device)
        self._seeds[rows] = torch.tensor([s.seed for s in starts], device=self.device)
        self._steps[rows] = 0
        self._seconds[rows] = torch.tensor([s.world.step_seconds for s in starts], device=self.device)
        self._ring.clear(rows)
        groups: dict[tuple[int, ...], list[int]] = {}
        for i, (lane, start) in enumerate(zip(lanes, starts)):
            self._specs[lane] = start.world
            length = 0 if start.frames is None else len(start.frames)
            groups.setdefault((start.world.frames_per_step, length, len(start.actions)), []).append(i)
        pieces: list[tuple[list[int], Block]] = []
        for (_, length, _), members in groups.items():
            chosen = rows[torch.tensor(members, device=self.device)]
            begin = self._begin_from_frames if length else self._begin_from_text
            pieces.append((members, begin(chosen, [starts[i] for i in members])))
        return _joined(pieces)

    @torch.inference_mode()
    def step(self, keys: torch.Tensor, camera: torch.Tensor) -> Block:
        if keys.shape != (self.lanes, 32) or camera.shape != (self.lanes, 2):
            raise ValueError(
                f"keys {tuple(keys.shape)} and camera {tuple(camera.shape)}: expected ({self.lanes}, 32) and "
                f"({self.lanes}, 2)"
            )
        ring = self._ring
        ring.advance()
        self._steps += 1
        controls = Controls(keys.to(self.device)[:, None], camera.to(self.device)[:, None], self._acted)
        text, ages = self._text.tokens(), ring.ages(self._seconds)
        size = self._step_size(self.lanes, self.denoising_steps)
        last: list[Prediction] = []

        def denoise(z: torch.Tensor, tau: torch.Tensor, steps: int) -> torch.Tensor:
            last[:] = [self._evaluate(z[:, 0], tau[:, 0], ring, controls, text, ages, size)]
            return last[0].x

        start = noise.gaussian(self._seeds, self._steps, "latent", self.latent_shape)
        drawn = sampler.sample(denoise, start[:, None], self.denoising_steps, tokens=self.tokens)
        latent, finite = self._bounded(drawn.x[:, 0])
        eps = noise.gaussian(self._seeds, self._steps, "context", self.latent_shape)
        context = self._noised(latent, eps, self._context_tau)
        if self.cache_mode == "renoise":
            last[:] = [self._evaluate(context, self._context_tau, ring, controls, text, ages)]
        ring.previous, ring.previous_tau = context, self._context_tau.clone()
        self._text.advance()
        return self._block(latent, last[0], drawn.change[:, 0], finite)

    @torch.inference_mode()
    def set_text(self, lanes: Sequence[int], texts: Sequence[str], kind: TextKind, steps: int = 4) -> None:
        if len(lanes) != len(texts):
            raise ValueError(f"{len(texts)} texts were given for {len(lanes)} lanes")
        if any(self._specs[lane] is None for lane in lanes):
            raise ValueError(f"lanes {list(lanes)}: text can be set only in lanes that have begun")
        self._text.set(lanes, texts, kind, steps)

    @torch.inference_mode()
    def encode(self, frames: torch.Tensor) -> torch.Tensor:
        """Normalised latents float32 ``(B, C, h, w)`` of uint8 blocks ``(B, K, H, W, 3)``, K = 1 or 4."""
        return self.codec.encode(frames.to(self.device))

    @torch.inference_mode()
    def reconstruct(self, frames: torch.Tensor) -> torch.Tensor:
        return self.codec.decode(self.codec.encode(frames.to(self.device)), frames.shape[1])

    @torch.inference_mode()
    def surprise(self, start: LaneStart, n_noise: int = 1) -> torch.Tensor:
        """How badly the model foresees each given block: float32 ``(n,)``, n the actions of ``start``.

        The mean squared error, in normalised latents, of what is predicted from pure noise with the true past
        as context, averaged over ``n_noise`` draws (seeds from ``start.seed`` on). No lane is touched.
        """
        check_start(start, self.frame_size, self.model.config.world.worlds)
        if start.frames is None or n_noise < 1:
            raise ValueError("surprise needs given frames and at least one draw of noise")
        k, n, device = start.world.frames_per_step, len(start.actions), self.device
        memory = TextMemory(self.world, 1, device)
        memory.begin([0], [start.text], [start.world.index])
        text = memory.tokens(torch.zeros(n_noise, dtype=torch.int64, device=device))
        text = replace(text, view_age=torch.full_like(text.view_age, NO_VIEW))
        latents = given_latents(self.codec, torch.from_numpy(start.frames)[None].to(device), k, n)
        controls = given_controls([start] * n_noise, device)
        seeds = start.seed + torch.arange(n_noise, device=device)
        seconds = torch.full((n_noise,), start.world.step_seconds, device=device)
        ring, blind = self._new_ring(n_noise), torch.zeros(n_noise, device=device)
        errors = []
        for j, latent in enumerate(latents):
            ring.advance()
            eps = noise.gaussian(seeds, torch.full_like(seeds, j), "latent", self.latent_shape)
            x = self._evaluate(eps, blind, ring, controls.frame(j), text, ring.ages(seconds)).x[:, 0]
            errors.append((x - latent).square().mean())
            given = latent.expand(n_noise, -1, -1, -1)
            self._remember(ring, given, seeds, j, controls.frame(j), text, seconds)
        return torch.stack(errors)[len(latents) - n :].float()

    # state of one lane

    @torch.inference_mode()
    def get_state(self, lane: int) -> dict[str, Any]:
        spec = self._begun(lane)
        text = self._text
        return {
            "version": STATE_VERSION,
            "digest": self.model.digest,
            "world": spec.name,
            "seed": int(self._seeds[lane]),
            "step": int(self._steps[lane]),
            "words": asdict(text.words[lane]),
            "view_age": int(text.age[lane]),
            "event_left": int(text.event_left[lane]),
            "memory": self._ring.get_lane(lane),
        }

    @torch.inference_mode()
    def set_state(self, lane: int, state: dict[str, Any]) -> None:
        if state.get("version") != STATE_VERSION or state["digest"] != self.model.digest:
            raise ValueError(
                f"the state has version {state.get('version')} and is of model {state.get('digest')}; this "
                f"engine takes version {STATE_VERSION} of model {self.model.digest}"
            )
        self._ring.set_lane(lane, state["memory"])
        spec = WORLDS[state["world"]]
        self._specs[lane] = spec
        words = LaneWords(LaneText(**state["words"]["text"]), state["words"]["event"])
        self._text.begin([lane], [words.text], [spec.index])
        if state["event_left"]:
            self._text.set([lane], [words.event], "event", state["event_left"])
        self._text.words[lane] = words
        self._text.age[lane] = state["view_age"]
        self._seeds[lane], self._steps[lane] = state["seed"], state["step"]
        self._seconds[lane] = spec.step_seconds

    # how lanes begin

    def _begin_from_frames(self, rows: torch.Tensor, starts: Sequence[LaneStart]) -> Block:
        """Lanes whose starts have equally many frames and actions: every given latent goes through the
        network once."""
        k, n = starts[0].world.frames_per_step, len(starts[0].actions)
        frames = torch.from_numpy(np.stack([s.frames for s in starts])).to(self.device)  # type: ignore[misc]
        latents = given_latents(self.codec, frames, k, n)
        self._prefill(rows, latents, given_controls(starts, self.device))
        shown = repeat(frames[:, -1], "m h w c -> m k h w c", k=BLOCK_FRAMES).contiguous()
        return _first_block(shown, latents[-1])

    def _prefill(self, rows: torch.Tensor, latents: Sequence[torch.Tensor], controls: Controls) -> None:
        """Runs given latents through the network, the last of them into the present slot.

        The view text belongs to the last latent; those before it have none.
        """
        m, count = len(rows), len(latents)
        ring = self._new_ring(m, self._ring.slot - count)
        seeds, seconds = self._seeds[rows], self._seconds[rows]
        text = self._text.tokens(rows)
        before = replace(text, view_age=torch.full_like(text.view_age, NO_VIEW))
        for j, latent in enumerate(latents):
            ring.advance()
            said = text if j == count - 1 else before
            self._remember(ring, latent, seeds, j, controls.frame(j), said, seconds)
        self._ring.put(rows, ring)
        self._text.advance(rows)

    def _remember(
        self,
        ring: Ring,
        latent: torch.Tensor,
        seeds: torch.Tensor,
        number: int,
        controls: Controls,
        text: TextTokens,
        seconds: torch.Tensor,
    ) -> None:
        """Writes a given latent, the ``number``-th of its prefix, to the present slot of ``ring``."""
        tau = torch.full((len(latent),), self.context_tau, device=self.device)
        eps = noise.gaussian(seeds, torch.full_like(seeds, number), "context_start", self.latent_shape)
        context = self._noised(latent, eps, tau)
        self._evaluate(context, tau, ring, controls, text, ring.ages(seconds))
        ring.previous, ring.previous_tau = context, tau

    def _begin_from_text(self, rows: torch.Tensor, starts: Sequence[LaneStart]) -> Block:
        """First latents from text alone, with more denoising steps than a step has, and text guidance."""
        m = len(rows)
        text = self._text.tokens(rows)
        plain = self._text.unguided(text)
        ring, controls = self._new_ring(m), first_controls(m, self.device)
        ring.advance()
        ages = ring.ages(self._seconds[rows])

        def denoise(z: torch.Tensor, tau: torch.Tensor, steps: int) -> torch.Tensor:
            without, given = (
                self._evaluate(z[:, 0], tau[:, 0], ring, controls, words, ages).x for words in (plain, text)
            )
            return without + START_GUIDANCE * (given - without)

        seeds = self._seeds[rows]
        start = noise.gaussian(seeds, torch.zeros_like(seeds), "start", self.latent_shape)
        drawn = sampler.sample(denoise, start[:, None], START_STEPS, tokens=self.tokens)
        latent, finite = self._bounded(drawn.x[:, 0])
        self._prefill(rows, [latent], controls)
        image = self.codec.decode(latent, 1)[:, 0]
        block = _first_block(repeat(image, "m h w c -> m k h w c", k=BLOCK_FRAMES).contiguous(), latent)
        block.hallucination.copy_(self._relative(drawn.change[:, 0], finite))
        block.valid.copy_(finite)
        return block

    # parts of a step

    def _evaluate(
        self,
        z: torch.Tensor,
        tau: torch.Tensor,
        ring: Ring,
        controls: Controls,
        text: TextTokens,
        ages: torch.Tensor,
        step_size: torch.Tensor | None = None,
    ) -> Prediction:
        """One pass of the network over the newest latents ``z`` at ``tau``; writes the ring's slot."""
        return self._network(
            z, tau, ring.previous, ring.previous_tau, controls, text, ring.caches, ring.slot, ages, ring.held,
            step_size,
        )  # fmt: skip

    def _step_size(self, lanes: int, steps: int) -> torch.Tensor | None:
        """Indices of the step size 1/K where the model was trained to take it (``STEP_SIZES``: 2**i / 8)."""
        index = 3 - (steps - 1).bit_length()
        if not self.model.config.shortcut or 2 ** (3 - index) != steps or not 0 <= index < STEP_SIZES:
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

    def _relative(self, change: torch.Tensor, finite: torch.Tensor) -> torch.Tensor:
        return torch.where(finite, change / self.model.config.hallucination_reference, 0.0)

    def _block(
        self, latent: torch.Tensor, heads: Prediction, change: torch.Tensor, finite: torch.Tensor
    ) -> Block:
        logits, done = heads.reward[:, 0], heads.done[:, 0]
        finite = finite & torch.isfinite(logits).all(1) & torch.isfinite(done)
        distribution = torch.where(finite[:, None], logits.softmax(-1), 0.0)
        if self.reward_mode == "expected":
            reward = expected_reward(logits)
        else:
            drawn = noise.uniform(self._seeds, self._steps, "reward", (1,))
            chosen = (distribution.cumsum(-1) < drawn).sum(-1).clamp(max=len(self.reward_values) - 1)
            reward = self.reward_values[chosen]
        probability = torch.where(finite, done.sigmoid(), 0.0)
        drawn_end = noise.uniform(self._seeds, self._steps, "termination", (1,))[:, 0]
        return Block(
            self._decode(latent),
            latent,
            torch.where(finite, reward, 0.0),
            probability,
            drawn_end < probability,
            self._relative(change, finite),
            finite,
            distribution,
        )

    def _decode(self, latent: torch.Tensor) -> torch.Tensor:
        """uint8 ``(B, 4, H, W, 3)``; a world of one frame per step shows it four times."""
        single = [i for i, spec in enumerate(self._specs) if spec is not None and spec.frames_per_step == 1]
        if not single:
            return self.codec.decode(latent, BLOCK_FRAMES)
        if len(single) == self.lanes:
            image = self.codec.decode(latent, 1)[:, 0]
            return repeat(image, "b h w c -> b k h w c", k=BLOCK_FRAMES).contiguous()
        frames = self.codec.decode(latent, BLOCK_FRAMES)
        frames[single] = self.codec.decode(latent[single], 1).expand(-1, BLOCK_FRAMES, -1, -1, -1)
        return frames

    def _begun(self, lane: int) -> WorldSpec:
        if not 0 <= lane < self.lanes:
            raise ValueError(f"lane {lane}; this engine has lanes 0 to {self.lanes - 1}")
        spec = self._specs[lane]
        if spec is None:
            raise ValueError(f"lane {lane} has not begun")
        return spec


def _first_block(frames: torch.Tensor, latent: torch.Tensor, bins: int = REWARD_BINS) -> Block:
    m = len(latent)
    zero = torch.zeros(m, device=latent.device)
    no = torch.zeros(m, dtype=torch.bool, device=latent.device)
    return Block(
        frames, latent, zero, zero.clone(), no, zero.clone(), ~no, torch.zeros(m, bins, device=latent.device)
    )


def _joined(pieces: Sequence[tuple[list[int], Block]]) -> Block:
    """Blocks of groups of lanes as one, in the order of the lanes."""
    if len(pieces) == 1:
        return pieces[0][1]
    order = torch.tensor([i for members, _ in pieces for i in members]).argsort()
    columns = {
        name: torch.cat([getattr(block, name) for _, block in pieces])[order]
        for name in Block.__dataclass_fields__
    }
    return Block(**columns)
