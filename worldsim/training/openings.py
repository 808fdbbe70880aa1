"""Moments of episodes as single frames and what is said of them: what a starter learns from.

A few moments of every episode say as much of its map as all of them, so every so many moments are taken, and of each
world up to a number. A moment's scene comes in one of its wordings, drawn by chance, its view in one style.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import torch

from worldsim.model.codec import Codec
from worldsim.recording.episode import Episode
from worldsim.recording.words import word_episode
from worldsim.training.columns import Columns
from worldsim.training.latents import encode_frames
from worldsim.worlds import WORLDS

# M moments, C h w latent, L words


@dataclass(frozen=True)
class Openings(Columns):
    """Image latents ``z (M, C, h, w)`` in half precision, word ids ``scene (M, L)`` and ``view (M, L)`` int16, the
    index of the ``world (M,)``."""

    z: torch.Tensor
    scene: torch.Tensor
    view: torch.Tensor
    world: torch.Tensor


def read_openings(episodes: Iterable[Episode], codec: Codec, every: int, most: int, seed: int) -> Openings:
    """Every ``every``-th moment of the episodes, from one drawn for each episode on and its reset frame besides; of a
    world about ``most`` at most. Raises ``ValueError`` where there is no moment with facts, or frames are of several
    sizes."""
    found: list[Openings] = []
    held: Counter[str] = Counter()
    for number, episode in enumerate(episodes):
        if held[episode.world] >= most or not all(episode.facts):
            continue
        found.append(_opening(episode, codec, every, np.random.default_rng([seed, number])))
        held[episode.world] += len(found[-1])
    if not found:
        raise ValueError(
            "there is nothing to learn starts from: no episode of the source, or none of those held out, has facts"
        )
    if len(sizes := sorted({tuple(part.z.shape[2:]) for part in found})) > 1:
        raise ValueError(f"latents of several sizes, {sizes} cells: a starter is trained on frames of one size")
    return Openings.joined(found)


def _opening(episode: Episode, codec: Codec, every: int, rng: np.random.Generator) -> Openings:
    moments = np.arange(rng.integers(every), len(episode) + 1, every)
    moments = np.union1d(moments, [0])
    z = encode_frames(episode.observations[moments][:, None], codec).cpu()
    words = episode.words or word_episode(episode.world, episode.facts, episode.map_seed)
    scenes = words.scene[rng.integers(len(words.scene), size=len(moments))]
    return Openings(
        z, torch.from_numpy(scenes), torch.from_numpy(words.view[moments]),
        torch.full((len(moments),), WORLDS[episode.world].index),
    )  # fmt: skip
