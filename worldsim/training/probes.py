"""What is logged about a world model from the first thousand steps on: does it follow actions, does it beat copying?

All on held-out clips, for the next latent given a clean context, at signal level 0 (nothing but the context to go by)
and over the tokens whose true change exceeds the median: the mean squared error with true actions, with actions
shuffled among clips of the same world, and of copying the last latent; the same sampled with K = 4, at full noise and
at the temperature whose error is least; errors per level.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import torch

from worldsim.diffusion import flow, sampler
from worldsim.model.conditioning import ACTED, Controls
from worldsim.model.transformer import WorldModel, step_size_index
from worldsim.training.arena import Arena
from worldsim.training.clips import ClipConfig, Clips, assemble
from worldsim.training.latents import LatentEpisode
from worldsim.training.objective import Draw, masked_mean, predict
from worldsim.worlds import WORLDS

LEVELS = (0.0, 0.25, 0.5, 0.75, 0.9)
TEMPERATURES = (0.0, 0.5, 1.0)


def clips_of(episodes: Sequence[LatentEpisode], config: ClipConfig, length: int, count: int) -> Clips:
    """``count`` clips of held-out ``episodes``, ``length`` latents long and in turns of the episodes, the same ones
    every time: all frames valid, text and actions kept. Raises ``ValueError`` for an episode that is shorter."""
    rng = np.random.default_rng(0)
    config = replace(config, length=length, drop_text=0.0, drop_action=0.0)
    arena = Arena(episodes[0].z.shape[1:])
    for episode in episodes:
        if len(episode) + 1 < length:
            raise ValueError(
                f"a held-out episode of {episode.world} has {len(episode)} steps; clips of {length} latents need "
                f"{length - 1}: give longer ones, or shorter clips"
            )
        arena.add(episode)
    numbers = np.arange(count) % len(arena)
    starts = rng.integers(0, arena.lengths.rows.numpy()[numbers] + 1 - length)
    return assemble(arena, numbers, starts, config, rng)


def probe(
    model: WorldModel,
    clips: Clips,
    generator: torch.Generator,
    shortcut: bool = False,
    shown: Callable[[torch.Tensor], torch.Tensor] | None = None,
) -> dict[str, float]:
    """Metrics of one held-out batch of equal-length clips whose last frame is valid and acted.

    ``temperature`` is the one of ``TEMPERATURES`` that samples with the least error (``tempered_mse``), and
    ``hallucination`` the RMS change of the prediction between the last two of four denoising steps at it (at 0, where
    there is one, between it and a pass over what it found, or ``shown`` of it, the latents of the pictures of latents
    ``(B, C, h, w)``), the scale of what the environment reports under this name.
    ``shortcut``: samples name their step size, as the environment's do.
    """
    z, device = clips.z, clips.z.device
    eps = torch.randn(z.shape, generator=generator).to(device)
    order = _shuffle_within_worlds(clips.words.world.cpu(), generator).to(device)
    moving = _changed_tokens(z, model.config.patch)
    text = clips.words.encode(model)

    def last_error(x: torch.Tensor) -> torch.Tensor:
        return masked_mean((x[:, -1] - z[:, -1]).square(), moving)

    def predicted(seen: torch.Tensor, level: float, controls: Controls, size: int = 0) -> torch.Tensor:
        tau = torch.ones(z.shape[:2], device=device)
        tau[:, -1] = level
        sizes = torch.full_like(tau, size).long()
        draw = Draw(tau, torch.zeros(len(z), dtype=torch.int64, device=device), eps, sizes)
        changed = replace(clips, controls=controls)
        return predict(model, changed, text, flow.add_noise(seen, eps, tau), draw).x

    def at_level(level: float, controls: Controls) -> torch.Tensor:
        return last_error(predicted(z, level, controls))

    plain = predicted(z, 0.0, clips.controls)
    misled = predicted(z, 0.0, _last_action_from(clips.controls, order))
    true, wrong = last_error(plain), last_error(misled)
    copied = masked_mean((z[:, -2] - z[:, -1]).square(), moving)

    def denoise(noisy: torch.Tensor, tau: torch.Tensor, steps: int) -> torch.Tensor:
        size = torch.full_like(tau, (step_size_index(steps) if shortcut else None) or 0).long()
        draw = Draw(tau, torch.zeros(len(z), dtype=torch.int64, device=device), eps, size)
        return predict(model, clips, text, noisy, draw).x

    tokens = (z.shape[3] // model.config.patch) * (z.shape[4] // model.config.patch)
    ceiling = torch.zeros(z.shape[:2], device=device)
    ceiling[:, -1] = 1
    drawn = {t: sampler.sample(denoise, t * eps, 4, z, ceiling, tokens) for t in TEMPERATURES}
    found = predicted(z, 0.0, clips.controls, step_size_index(1) or 0) if shortcut else plain
    errors = {t: last_error(sample.x if t else found) for t, sample in drawn.items()}  # at 0 one pass is all there is
    best = min(TEMPERATURES, key=lambda t: errors[t].item())
    sampled, tempered = errors[1.0], errors[best]
    change = drawn[best].change[:, -1]
    if shown is not None:
        change = (shown(found[:, -1].float()) - found[:, -1]).square().mean((1, 2, 3)).sqrt()
    elif not best:
        again = predicted(torch.cat([z[:, :-1], found[:, -1:].to(z.dtype)], dim=1), LEVELS[-1], clips.controls)
        change = (again - found)[:, -1].square().mean((1, 2, 3)).sqrt()
    metrics: dict[str, torch.Tensor | float] = {
        "next_mse": true, "shuffled_over_true": wrong / true, "over_copy_last": true / copied,
        "sampled_mse": sampled, "sampled_over_copy_last": sampled / copied, "temperature": best,
        "tempered_mse": tempered, "tempered_over_copy_last": tempered / copied,
        "hallucination": change.mean(),
    }  # fmt: skip
    metrics |= {f"mse_at_{level}": at_level(level, clips.controls) for level in LEVELS[1:]}
    metrics |= _of_each_world(clips, plain, misled, model.config.patch)
    return {name: float(value) for name, value in metrics.items()}


def _of_each_world(clips: Clips, plain: torch.Tensor, misled: torch.Tensor, patch: int) -> dict[str, torch.Tensor]:
    """``next_mse``, ``shuffled_over_true``, ``over_copy_last`` of each of several worlds, over its moving tokens."""
    worlds, found = clips.words.world, dict[str, torch.Tensor]()
    names = {spec.index: spec.name for spec in WORLDS.values()}
    for world in worlds.unique().tolist() if len(worlds.unique()) > 1 else []:
        rows = worlds == world
        z = clips.z[rows]
        moving, target = _changed_tokens(z, patch), z[:, -1]
        error, wrong, copied = (
            masked_mean((x - target).square(), moving) for x in (plain[rows, -1], misled[rows, -1], z[:, -2])
        )
        of = f"_of_{names.get(world, world)}"
        found |= {
            "next_mse" + of: error,
            "shuffled_over_true" + of: wrong / error,
            "over_copy_last" + of: error / copied,
        }
    return found


def next_errors(model: WorldModel, clips: Clips) -> dict[str, float]:
    """``next_mse`` and ``over_copy_last`` of ``probe`` alone, for the sizes beside a run's first."""
    error, copied = next_and_copied(model, clips)
    return {"next_mse": float(error), "over_copy_last": float(error / copied)}


def next_and_copied(model: WorldModel, clips: Clips) -> tuple[torch.Tensor, torch.Tensor]:
    """The error of the next latent, and that of the last one in its place, as in ``probe``."""
    z, moving = clips.z, _changed_tokens(clips.z, model.config.patch)
    tau = torch.ones(z.shape[:2], device=z.device)
    tau[:, -1] = 0
    draw = Draw(tau, torch.zeros_like(tau[:, 0]).long(), torch.zeros_like(z), torch.zeros_like(tau).long())
    x = predict(model, clips, clips.words.encode(model), flow.add_noise(z, draw.eps, tau), draw).x
    error = masked_mean((x[:, -1] - z[:, -1]).square(), moving)
    return error, masked_mean((z[:, -2] - z[:, -1]).square(), moving)


def _changed_tokens(z: torch.Tensor, patch: int) -> torch.Tensor:
    """``(B, 1, h, w)`` mask of the tokens of the last frame whose change exceeds the batch's median."""
    change = (z[:, -1] - z[:, -2]).square().mean(1, keepdim=True)
    token = torch.nn.functional.avg_pool2d(change, patch)
    token = torch.nn.functional.interpolate(token, scale_factor=patch)
    return (token > token.median()).float().expand(-1, z.shape[2], -1, -1)


def _shuffle_within_worlds(worlds: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    order = torch.arange(len(worlds))
    for world in worlds.unique():
        members = torch.nonzero(worlds == world)[:, 0]
        members = members[torch.randperm(len(members), generator=generator)]
        order[members] = members.roll(1)  # a cycle: no clip keeps its own
    return order


def _last_action_from(controls: Controls, order: torch.Tensor) -> Controls:
    keys, camera, known = controls.keys.clone(), controls.camera.clone(), controls.known.clone()
    keys[:, -1], camera[:, -1] = controls.keys[order, -1], controls.camera[order, -1]
    known[:, -1] = ACTED
    return Controls(keys, camera, known)
