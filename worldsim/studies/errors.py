"""How wrong a model is on held-out episodes, one by one, with the same clips and the same noise for all models.

Two errors of each episode: the loss that the model was trained with, on clips of the training's length, and the error
of the next latent given a clean context (``training/probes.py``), beside that of copying the last one. Where two models
are asked the same, their difference is theirs, and rows of the same episode are paired.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch

from worldsim.model.transformer import WorldModel
from worldsim.training.configs import WorldTrainConfig
from worldsim.training.latents import LatentEpisode
from worldsim.training.objective import draw_flow, flow_loss
from worldsim.training.probes import clips_of, next_and_copied


@dataclass(frozen=True)
class EpisodeErrors:
    """Of one held-out episode: ``loss`` as in training, ``next_mse`` of the next latent over the tokens that change
    most, ``copied`` the same of the last latent in its place. ``size`` is H x W of the latents."""

    world: str
    map_seed: int
    size: tuple[int, int]
    loss: float
    next_mse: float
    copied: float


@torch.no_grad()
def episode_errors(
    model: WorldModel, episodes: Sequence[LatentEpisode], config: WorldTrainConfig, count: int
) -> Iterator[EpisodeErrors]:
    """Errors of ``model`` on ``count`` clips of each of ``episodes``, in float32, where the model lies.

    Raises ``ValueError`` for an episode that is shorter than a clip of ``config.clips.length`` latents.
    """
    device, patch = next(model.parameters()).device, model.config.patch
    window = min(model.config.window, config.clips.length - 1)
    for number, episode in enumerate(episodes):
        generator = torch.Generator().manual_seed(number)
        clips = clips_of([episode], config.clips, config.clips.length, count).to(device)
        eps = torch.randn(clips.z.shape, generator=generator).to(device)
        loss, _ = flow_loss(model, clips, draw_flow(clips, eps, config, patch, generator), config)
        error, copied = next_and_copied(model, clips_of([episode], config.clips, window + 1, count).to(device))
        size = (int(episode.z.shape[2]), int(episode.z.shape[3]))
        yield EpisodeErrors(episode.world, episode.map_seed, size, float(loss), float(error), float(copied))
