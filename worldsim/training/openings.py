"""Moments of episodes as single frames and what is said of them: what a starter learns from.

A few moments of every episode say as much of its map as all of them, so every so many moments are taken, and of each
world up to a number. A moment's scene comes in one of its wordings, drawn by chance, its view in one style. Beside the
picture stands what was seen of it, in worlds with a lens, by one who has just turned this way: a part.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from worldsim.model.codec import Codec, to_pixels
from worldsim.model.panorama import Panorama
from worldsim.model.starter import seen_of
from worldsim.passes import native_autocast
from worldsim.recording.episode import Episode
from worldsim.recording.words import word_episode
from worldsim.training.columns import Columns
from worldsim.training.latents import encode_frames
from worldsim.training.pool import Feeder
from worldsim.training.transfer import send
from worldsim.worlds import WORLDS

# M moments, C h w latent, L words, H W frame

FORMAT = 2
"""Of what is kept of moments: since 2 what was seen of them."""
AWAY = (5.0, 72.0)
"""Degrees that a turn leads away from where something was seen: a view of 73.7 degrees shares nothing with one farther
off."""
BEYOND = (20.0, 90.0)
"""Degrees to the other side at which something was seen too, in some of the moments."""
BOTH_SIDES = 0.3
CHUNK = 512
"""Moments that are encoded together."""


@dataclass(frozen=True)
class Openings(Columns):
    """Image latents ``z (M, C, h, w)`` in half precision, word ids ``scene (M, L)`` and ``view (M, L)`` int16, the
    index of the ``world (M,)``, and what was ``seen (M, C + 1, h, w)`` of each as ``Starter.complete`` is shown it,
    zeros in worlds without a lens."""

    z: torch.Tensor
    scene: torch.Tensor
    view: torch.Tensor
    world: torch.Tensor
    seen: torch.Tensor

    def partly_seen(self, worlds: torch.Tensor) -> torch.Tensor:
        """Where moments are of ``worlds`` (their indices), and something was seen, ``(M,)``."""
        return torch.isin(self.world, worlds) & (self.seen[:, -1] > 0).flatten(1).any(1)


@dataclass(frozen=True)
class Glances:
    """Moments before they are encoded: uint8 ``frames (M, H, W, 3)`` and the words of ``Openings``, of one world."""

    world: str
    frames: np.ndarray
    scene: np.ndarray
    view: np.ndarray

    def __len__(self) -> int:
        return len(self.frames)


def read_openings(episodes: Iterable[Episode], codec: Codec, every: int, most: int, seed: int) -> Openings:
    """Every ``every``-th moment of the episodes, from one drawn for each episode on and its reset frame besides; of a
    world about ``most`` at most. Raises ``ValueError`` where there is no moment with facts, or frames are of several
    sizes."""
    found = list(_encoded(_glances(episodes, every, most, seed), codec, seed))
    if not found:
        raise ValueError(
            "there is nothing to learn starts from: no episode of the source, or none of those held out, has facts"
        )
    return _joined(found)


def _joined(found: list[Openings]) -> Openings:
    if len(sizes := sorted({tuple(part.z.shape[2:]) for part in found})) > 1:
        raise ValueError(f"latents of several sizes, {sizes} cells: a starter is trained on frames of one size")
    return Openings.joined(found)


class Arriving:
    """Moments of episodes that a ``feeder`` brings while training goes on: as ``read_openings`` takes them, but as many
    as come."""

    def __init__(self, feeder: Feeder, codec: Codec, every: int, seed: int) -> None:
        self.feeder, self.codec, self.every, self.seed = feeder, codec, every, seed
        self._waiting: list[Glances] = []
        self._episodes = self._chunks = 0

    def __call__(self, least: int = CHUNK) -> Openings | None:
        """What has come since, encoded, once it is ``least`` moments; else None. Raises the source's error."""
        self.feeder.check()
        for episode in self.feeder.take(1000):
            if all(episode.facts):
                rng = np.random.default_rng([self.seed, self._episodes])
                self._waiting.append(glances_of(episode, self.every, rng))
            self._episodes += 1
        if sum(map(len, self._waiting)) < least:
            return None
        waiting, self._waiting = self._waiting, []
        self._chunks += 1
        return _joined(list(_encoded(waiting, self.codec, self.seed + self._chunks)))


def _glances(episodes: Iterable[Episode], every: int, most: int, seed: int) -> Iterator[Glances]:
    held: Counter[str] = Counter()
    for number, episode in enumerate(episodes):
        if held[episode.world] >= most or not all(episode.facts):
            continue
        held[episode.world] += len(glance := glances_of(episode, every, np.random.default_rng([seed, number])))
        yield glance


def _encoded(glances: Iterable[Glances], codec: Codec, seed: int) -> Iterator[Openings]:
    """In chunks of one size, in their order."""
    waiting, number = list[Glances](), 0
    for glance in glances:
        full = sum(map(len, waiting)) >= CHUNK
        if waiting and (full or glance.frames.shape[1:] != waiting[0].frames.shape[1:]):
            yield encode_glances(waiting, codec, np.random.default_rng([seed, number, 1]))
            waiting, number = [], number + 1
        waiting.append(glance)
    if waiting:
        yield encode_glances(waiting, codec, np.random.default_rng([seed, number, 1]))


def glances_of(episode: Episode, every: int, rng: np.random.Generator) -> Glances:
    """The moments that are taken of an episode."""
    moments = np.arange(rng.integers(every), len(episode) + 1, every)
    moments = np.union1d(moments, [0])
    words = episode.words or word_episode(episode.world, episode.facts, episode.map_seed)
    scenes = words.scene[rng.integers(len(words.scene), size=len(moments))]
    return Glances(episode.world, episode.observations[moments], scenes, words.view[moments])


def encode_glances(glances: list[Glances], codec: Codec, rng: np.random.Generator) -> Openings:
    """The moments of ``glances``, frames of one size, on the CPU."""
    frames = np.concatenate([glance.frames for glance in glances])
    worlds = [name for glance in glances for name in [glance.world] * len(glance)]
    return Openings(
        encode_frames(frames[:, None], codec).cpu(),
        torch.from_numpy(np.concatenate([glance.scene for glance in glances])),
        torch.from_numpy(np.concatenate([glance.view for glance in glances])),
        torch.tensor([WORLDS[name].index for name in worlds]),
        _partly_seen(frames, worlds, codec, rng),
    )


@torch.no_grad()
def _partly_seen(frames: np.ndarray, worlds: Sequence[str], codec: Codec, rng: np.random.Generator) -> torch.Tensor:
    """What ``Starter.complete`` is shown of uint8 ``frames (M, H, W, 3)``, half precision, on the CPU: in worlds with a
    lens what is left of them on a panorama that has seen other headings of the same place, elsewhere nothing."""
    device, size = codec.latent_mean.device, (frames.shape[1], frames.shape[2])
    seen = torch.zeros(len(frames), codec.config.latent_channels + 1, *(n // codec.config.stride for n in size))
    lenses = {i: lens for i, name in enumerate(worlds) if (lens := WORLDS[name].lens) is not None}
    turning, headings, most = list(lenses), _headings(len(frames), rng), 64 if device.type == "cpu" else CHUNK
    for rows in (turning[i : i + most] for i in range(0, len(turning), most)):
        pictures = to_pixels(send(torch.from_numpy(frames[rows]), device)).permute(0, 3, 1, 2)
        reach = torch.tensor([lenses[row].reach(*size) for row in rows], device=device)
        view = _turned(pictures, reach, send(headings[:, rows], device))
        with native_autocast(device):
            seen[rows] = seen_of(view, codec).float().cpu()
    return seen.half()


def _turned(pictures: torch.Tensor, reach: torch.Tensor, headings: torch.Tensor) -> torch.Tensor:
    """Views ``(M, 4, H, W)`` of panoramas that were seen at ``headings (S, M)``, at heading 0, where all of
    ``pictures`` is."""
    size = pictures.shape[2], pictures.shape[3]
    was, whole = Panorama(reach, *size), Panorama(reach, *size)
    for heading in headings:
        was.heading = heading % 360
        was.show(pictures)
    was.heading = torch.zeros_like(reach)
    whole.show(pictures)
    return torch.cat([whole.view()[:, :3], was.view()[:, 3:]], dim=1)


def _headings(moments: int, rng: np.random.Generator) -> torch.Tensor:
    """Degrees ``(2, M)`` at which one who turned has looked: to one side, in some of the moments to the other too."""
    side = rng.choice([-1, 1], moments)
    away, beyond = side * rng.uniform(*AWAY, moments), -side * rng.uniform(*BEYOND, moments)
    return torch.from_numpy(np.stack([away, np.where(rng.random(moments) < BOTH_SIDES, beyond, away)])).float()
