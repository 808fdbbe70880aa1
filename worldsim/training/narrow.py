"""A trained transformer made smaller: its modulations through fewer numbers.

The vector that modulates the tokens of a frame is a sum of a few embeddings (level, action, mode), and lies near a
space of far fewer dimensions than the network is wide. So the two matrices that make modulations of it, a twelfth of
the parameters, are each replaced by a product of two narrow ones that answers the vectors of true clips alike with the
least squared error, their bias unchanged (reduced-rank regression, Izenman 1975).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import nn

from worldsim.diffusion.conditions import LevelMix, draw_levels
from worldsim.model.transformer import STEP_SIZES, WorldModel
from worldsim.model.weights import WorldSimulator
from worldsim.recording.episode import Episode
from worldsim.training.clips import ClipConfig
from worldsim.training.latents import LatentStore, encode_episode
from worldsim.training.objective import Draw, predict
from worldsim.training.sampling import ClipSampler

# V vectors, D width, O outputs

_LEVELS = (LevelMix(), LevelMix(shared=0.0, independent=0.0, following=1.0, blind=0.5))
_NARROWED = ("modulation", "final_modulation")


def narrowed(
    simulator: WorldSimulator, rank: int, episodes: Iterable[Episode], batches: int = 16, batch: int = 8
) -> tuple[WorldSimulator, float]:
    """The simulator with modulations of ``rank``, and the share of their variance that is lost (of both matrices the
    larger, over the vectors that it was fitted to), from ``batches`` of clips of the ``episodes``, at levels as in
    training and as in stepping. Everything else stays.

    Raises ``ValueError`` for a rank that is not below the width, or a simulator that is narrow already.
    """
    world = simulator.world
    if world.config.modulation_rank:
        raise ValueError(f"the modulations are of rank {world.config.modulation_rank} already; take the whole model")
    if not 0 < rank < world.config.width:
        raise ValueError(f"rank={rank}: accepted is 1 to below the width {world.config.width}")
    vectors = _vectors(simulator, episodes, batches, batch)
    with torch.random.fork_rng(devices=[]):
        narrow = WorldModel(replace(world.config, modulation_rank=rank))
    state = {name: value for name, value in world.state_dict().items() if name.split(".")[0] not in _NARROWED}
    lost = []
    for name in _NARROWED:
        whole = getattr(world, name)
        first, second, share = _split(whole.weight, vectors, rank)
        state |= {f"{name}.0.weight": first, f"{name}.1.weight": second, f"{name}.1.bias": whole.bias}
        lost.append(share)
    narrow.load_state_dict(state)
    return simulator.with_world(narrow), max(lost)


def _split(weight: torch.Tensor, vectors: torch.Tensor, rank: int) -> tuple[torch.Tensor, torch.Tensor, float]:
    """``first (rank, D)`` and ``second (O, rank)`` whose product answers ``vectors (V, D)`` most as ``weight (O, D)``
    does, and the share of the answers' variance that is lost."""
    x, w = vectors.double(), weight.double()
    second_moment = x.T @ x / len(x)
    values, basis = torch.linalg.eigh(second_moment + 1e-9 * second_moment.trace() * torch.eye(len(second_moment)))
    root, inverse = (basis * power @ basis.T for power in (values.sqrt(), values.rsqrt()))
    u, s, v = torch.linalg.svd(w @ root, full_matrices=False)
    first, second = v[:rank] @ inverse, u[:, :rank] * s[:rank]
    answers = x @ w.T
    error = (x @ first.T @ second.T - answers).square().sum() / (answers - answers.mean(0)).square().sum()
    return first.float(), second.float(), float(error)


@torch.no_grad()
def _vectors(simulator: WorldSimulator, episodes: Iterable[Episode], batches: int, batch: int) -> torch.Tensor:
    """Frame vectors ``(V, D)`` of clips of ``episodes``."""
    world, seen = simulator.world, list[torch.Tensor]()
    store = LatentStore([encode_episode(episode, simulator.codec) for episode in episodes])
    sampler = ClipSampler(store, ClipConfig(length=2 * world.config.window))
    rng, generator = np.random.default_rng(0), torch.Generator().manual_seed(0)

    def keep(module: nn.Module, given: Sequence[torch.Tensor]) -> None:
        seen.append(given[0].float().flatten(0, -2))

    sizes = STEP_SIZES if simulator.config.shortcut else 1
    hook = world.modulation.register_forward_pre_hook(keep)
    try:
        for number in range(batches):
            clips = sampler.clips(batch, rng)
            count, frames = clips.z.shape[:2]
            tau, mode = draw_levels(count, frames, _LEVELS[number % len(_LEVELS)], generator)
            step_size = torch.randint(sizes, tau.shape, generator=generator)
            draw = Draw(tau, mode, torch.zeros_like(clips.z), step_size)
            predict(world, clips, clips.words.encode(world), clips.z, draw)
    finally:
        hook.remove()
    return torch.cat(seen)
