"""How much faster a training step is on packs than on padded batches of the same samples, which give the same loss.

The samples are skewed as those of joint training are: mostly 64x64, some wide, tall and large frames, clips of several
durations, two single images for each clip. Three competitors run in turns: everything packed; everything padded to the
longest clip of the largest frame; and clips and images padded apart, as good as padding gets without sorting. Their
content does not matter for speed, so latents are noise and texts those of an empty room.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from statistics import median
from typing import Any

import numpy as np
import torch

from worldsim.captions.facts import SceneFacts, ViewFacts
from worldsim.model.layouts import Packed, Padded
from worldsim.model.transformer import WorldModel
from worldsim.recording.facts_json import facts_to_json
from worldsim.training.configs import WorldTrainConfig
from worldsim.training.latents import LatentEpisode, LatentStore
from worldsim.training.native import NativeSampler, PackConfig
from worldsim.training.objective import Part, draw_flow, parts_of
from worldsim.training.packs import packed_loss, shape_of

SHARES = {(64, 64): 6, (64, 128): 1, (128, 64): 1, (96, 128): 1, (128, 96): 1, (128, 128): 1}
"""Episodes of each size, H x W in pixels."""
DURATIONS = (6, 12, 24)
TOLERANCE = 1e-4
"""Of losses in float32, relative."""


@dataclass(frozen=True)
class Comparison:
    """``seconds`` of each round by competitor, ``losses`` in float32, and ``tokens`` that each computes."""

    seconds: dict[str, list[float]]
    losses: dict[str, float]
    tokens: dict[str, int]

    def times(self, name: str) -> float:
        """How many times as long ``name`` takes as packing: the median over the rounds."""
        return median(other / packed for other, packed in zip(self.seconds[name], self.seconds["packed"]))

    @property
    def equal(self) -> bool:
        """Whether all losses are the same."""
        first = self.losses["packed"]
        return all(abs(loss - first) <= TOLERANCE * abs(first) for loss in self.losses.values())


def skewed_store(model: WorldModel, shares: dict[tuple[int, int], int], steps: int = 40, seed: int = 0) -> LatentStore:
    """Episodes of noise, ``shares`` of each size."""
    generator, config = torch.Generator().manual_seed(seed), model.config
    facts = [facts_to_json(SceneFacts(world="DoomRooms"), ViewFacts(), ())] * (steps + 1)
    store = LatentStore()
    for height, width in (size for size, count in shares.items() for _ in range(count)):
        shape = (config.latent_channels, height // config.pixel_stride, width // config.pixel_stride)
        z = torch.randn(steps + 1, *shape, generator=generator).half()
        store.episodes.append(
            LatentEpisode(
                "DoomRooms", "", len(store.episodes), z, z[::6], np.arange(0, steps + 1, 6, dtype=np.int32),
                np.zeros(steps, np.uint32), np.zeros((steps, 2), np.float32), np.zeros(steps, np.float32),
                np.zeros(steps, bool), facts,
            )
        )  # fmt: skip
    return store


def compare(
    model: WorldModel, clips: int = 4, singles: int = 8, rounds: int = 3, bf16: bool = True, seed: int = 0
) -> Comparison:
    """Times a forward and backward pass over ``clips`` and ``singles`` drawn with ``seed``, ``rounds`` times in turns.

    ``bf16``: timed under autocast, as training runs; the losses are compared in float32.
    """
    config = WorldTrainConfig(world=model.config, pack=PackConfig(tokens=10**9, durations=DURATIONS))
    store = skewed_store(model, SHARES)
    sampler = NativeSampler(store, replace(config.clips, rare=0.0), DURATIONS)
    rng, generator = np.random.default_rng(seed), torch.Generator().manual_seed(seed)
    patch = model.config.patch

    def drawn(groups: list[Any]) -> list[Part]:
        noise = [torch.randn(g.z.shape, generator=generator) for g in groups]
        draws = [draw_flow(g, eps, config, patch, generator) for g, eps in zip(groups, noise)]
        return parts_of(list(zip(groups, draws)), config, patch)

    moving, still = drawn(sampler.clips(clips, rng)), drawn(sampler.singles(singles, rng))

    def apart(autocast: Callable[[], AbstractContextManager[Any]]) -> torch.Tensor:
        loss, _ = packed_loss(model, moving, [], config, autocast, Padded)
        return loss + config.singles_weight * packed_loss(model, still, [], config, autocast, Padded)[0]

    steps: dict[str, Callable[[Callable[[], AbstractContextManager[Any]]], torch.Tensor]] = {
        "packed": lambda autocast: packed_loss(model, moving, still, config, autocast, Packed)[0],
        "padded": lambda autocast: packed_loss(model, moving, still, config, autocast, Padded)[0],
        "padded, images apart": apart,
    }
    with torch.no_grad():
        losses = {name: float(step(nullcontext)) for name, step in steps.items()}
    seconds: dict[str, list[float]] = {name: [] for name in steps}
    for number in range(rounds + 1):
        for name, step in steps.items():
            model.zero_grad(set_to_none=True)
            begun = time.perf_counter()
            step(lambda: torch.autocast("cpu", torch.bfloat16, enabled=bf16)).backward()
            if number:  # the first round warms up
                seconds[name].append(time.perf_counter() - begun)
    model.zero_grad(set_to_none=True)
    return Comparison(seconds, losses, _tokens(model, moving, still))


def _tokens(model: WorldModel, moving: list[Part], still: list[Part]) -> dict[str, int]:
    """Tokens, registers included, that each competitor computes."""

    def padded(parts: list[Part]) -> int:
        shapes = [shape_of([p.clips.z.shape[i] for i in (1, 3, 4)], model) for p in parts]
        samples = sum(len(p.clips.z) for p in parts)
        return samples * max(s.frames for s in shapes) * max(s.tokens for s in shapes)

    return {
        "packed": sum(padded([part]) for part in [*moving, *still]),
        "padded": padded([*moving, *still]),
        "padded, images apart": padded(moving) + padded(still),
    }
