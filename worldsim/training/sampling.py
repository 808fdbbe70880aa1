"""Which clips a batch holds: worlds in equal shares, rare events and resets more often than they come, single images.

The draws are made on the host, as numbers of episodes and of the latents that clips begin with; ``clips.assemble``
reads what they name from the arena, all at once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import torch

from worldsim.training.arena import Arena
from worldsim.training.clips import ClipConfig, Clips, assemble, assemble_images
from worldsim.training.latents import LatentStore
from worldsim.worlds import WORLDS


class ClipSampler:
    """Draws batches with equal shares of the worlds, whatever their shares of the data (``ClipConfig.shares`` weighs
    them otherwise), from a store that may grow.

    Longer episodes are drawn more, up to 150 steps. Single images, which text alone tells, are drawn more from worlds
    of many scenes: a world's share grows with the logarithm of the number of its different scene captions. ``device``
    is where the latents are kept and the batches are made.
    """

    def __init__(self, store: LatentStore, config: ClipConfig, device: torch.device | None = None) -> None:
        self.store, self.config, self.device = store, config, device
        self.arena: Arena | None = None
        self._indexed = 0
        self._numbers: dict[str, list[int]] = {}
        self._share: dict[str, list[int]] = {}
        self._rare: dict[str, list[tuple[int, int]]] = {}
        self._scenes: dict[str, set[str]] = {}

    def _index(self) -> Arena:
        """Takes up the episodes that came to the store."""
        for number in range(self._indexed, len(self.store.episodes)):
            episode = self.store.episodes[number]
            if self.arena is None:
                self.arena = Arena(episode.z.shape[1:], self.device)
            self.arena.add(episode)
            self._numbers.setdefault(episode.world, []).append(number)
            self._share.setdefault(episode.world, []).append(min(len(episode), 150))
            self._scenes.setdefault(episode.world, set()).add(episode.words.plain)
            living = WORLDS[episode.world].living_reward
            unusual = np.flatnonzero(episode.done | (np.abs(episode.reward - living) > 0.5))
            self._rare.setdefault(episode.world, []).extend((number, int(t)) for t in unusual)
            self._indexed += 1
        if self.arena is None:
            raise ValueError("there are no latents to draw from: the store is empty")
        return self.arena

    def clips(self, batch: int, rng: np.random.Generator) -> Clips:
        """``batch`` clips of ``config.length`` latents."""
        arena, worlds = self._index(), sorted(self._numbers)
        drawn = self.config.draw_worlds(worlds, batch, rng)
        numbers, starts = self._moments(drawn, self.config.length, rng)
        return assemble(arena, numbers, starts, self.config, rng)

    def whole_clips(self, worlds: Sequence[str], length: int, rng: np.random.Generator) -> list[Clips]:
        """Clips of ``worlds`` that are ``length`` latents long, or the whole of a shorter episode: batches of equal
        length, in which every frame is valid."""
        arena = self._index()
        numbers, starts = self._moments(worlds, length, rng)
        held = arena.lengths.rows.numpy()[numbers]
        lengths, starts = np.minimum(length, held), np.minimum(starts, np.maximum(held - length, 0))
        found = []
        for each in np.unique(lengths):
            rows = np.flatnonzero(lengths == each)
            config = replace(self.config, length=int(each))
            found.append(assemble(arena, numbers[rows], starts[rows], config, rng))
        return found

    def _moments(self, drawn: Sequence[str], length: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """Episodes of the worlds ``drawn`` and the latents that clips of ``length`` latents begin with."""
        arena, batch, worlds = self._index(), len(drawn), sorted(self._numbers)
        numbers = self._episodes(drawn, rng)
        last = np.maximum(arena.lengths.rows.numpy()[numbers] - length, 0)
        starts = np.where(rng.random(batch) < self.config.start, 0, rng.integers(0, last + 1))
        rare = [w for w in worlds if self._rare[w]]
        for row in np.flatnonzero(rng.random(batch) < self.config.rare) if rare else ():
            events = self._rare[rare[rng.integers(len(rare))]]
            numbers[row], step = events[rng.integers(len(events))]
            latest = min(step, int(arena.lengths.rows[numbers[row]]) - length // 2)
            starts[row] = rng.integers(max(0, step - length + 2), latest + 1) if latest > 0 else 0
        return numbers, starts

    def singles(self, batch: int, rng: np.random.Generator) -> Clips:
        """One-frame samples: image latents of single frames with the text of that moment."""
        self._index()
        return self.singles_of(draw_worlds(self.scenes, batch, rng), rng)

    @property
    def scenes(self) -> dict[str, set[str]]:
        """The different scene captions of each world."""
        self._index()
        return self._scenes

    def singles_of(self, worlds: Sequence[str], rng: np.random.Generator) -> Clips:
        """A one-frame sample of each of ``worlds``."""
        arena = self._index()
        numbers = self._episodes(worlds, rng)
        images = rng.integers(0, arena.image_counts.rows.numpy()[numbers])
        return assemble_images(arena, numbers, images, self.config, rng)

    def _episodes(self, worlds: Sequence[str], rng: np.random.Generator) -> np.ndarray:
        """An episode's number for each of ``worlds``."""
        draw, numbers, wanted = rng.random(len(worlds)), np.zeros(len(worlds), np.int64), np.array(worlds)
        for world in set(worlds):
            rows, shares = np.flatnonzero(wanted == world), np.cumsum(self._share[world])
            at = np.searchsorted(shares, draw[rows] * shares[-1], side="right")
            numbers[rows] = np.array(self._numbers[world])[at]
        return numbers


def draw_worlds(scenes: Mapping[str, set[str]], batch: int, rng: np.random.Generator) -> list[str]:
    """Worlds of single images, drawn more from those of many different ``scenes``."""
    worlds = sorted(scenes)
    weight = np.array([1 + np.log2(len(scenes[w])) for w in worlds])
    return [worlds[i] for i in rng.choice(len(worlds), size=batch, p=weight / weight.sum())]
