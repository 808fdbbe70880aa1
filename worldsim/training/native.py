"""Samples of native sizes and durations, drawn from latents of several sizes: what packs are made of.

A batch without packs is one tensor, so its clips have one size and one length. Here each size has an arena of its own,
and a batch is a list of groups, each of clips of one size and one duration that are real to their last frame: nothing
is cropped, resized or filled up (NaViT, Dehghani et al. 2023). Worlds of one and of four frames per step share groups,
since a step is a latent in either; single images are samples of one frame.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from worldsim.model.packing import Budget
from worldsim.training.clips import ClipConfig, Clips
from worldsim.training.latents import LatentStore
from worldsim.training.sampling import ClipSampler, draw_worlds

Size = tuple[int, int]
"""Rows and columns of latent cells."""


@dataclass(frozen=True)
class PackConfig:
    """Training on packs of samples of native sizes: on where ``tokens`` is above 0.

    ``tokens`` is the most of a pack, ``squares`` the most of its squared sequence lengths (0: no cap); a batch takes as
    many packs as it fills. Clips have one of the ``durations``, in latents, instead of ``clips.length``, or are the
    whole of a shorter episode.
    """

    tokens: int = 0
    squares: int = 0
    durations: tuple[int, ...] = (6, 12, 24, 48)

    def __post_init__(self) -> None:
        if self.tokens < 0 or self.squares < 0:
            raise ValueError(f"pack.tokens={self.tokens} and pack.squares={self.squares}: accepted is 0 or more")
        if not self.durations or min(self.durations) < 2:
            raise ValueError(
                f"pack.durations={self.durations}: at least one is needed, each of 2 latents or more (single images "
                "are `singles`)"
            )

    @property
    def budget(self) -> Budget:
        return Budget(self.tokens, self.squares)


class NativeSampler:
    """Draws groups of clips from a store of latents of several sizes, which may grow.

    Worlds have their shares, as in ``ClipSampler``; the sizes of a world have the shares of its latents.
    """

    def __init__(
        self, store: LatentStore, clips: ClipConfig, durations: Sequence[int], device: torch.device | None = None
    ) -> None:
        self.store, self.config, self.durations, self.device = store, clips, durations, device
        self._taken = 0
        self._samplers: dict[Size, ClipSampler] = {}
        self._latents: dict[str, dict[Size, int]] = {}

    @property
    def sizes(self) -> list[Size]:
        """Of the latents that the store holds now. Raises ``ValueError`` for an empty store."""
        for episode in self.store.episodes[self._taken :]:
            size = (int(episode.z.shape[2]), int(episode.z.shape[3]))
            if size not in self._samplers:
                self._samplers[size] = ClipSampler(LatentStore(), self.config, self.device)
            self._samplers[size].store.episodes.append(episode)
            held = self._latents.setdefault(episode.world, {})
            held[size] = held.get(size, 0) + len(episode) + 1
            self._taken += 1
        if not self._samplers:
            raise ValueError("there are no latents to draw from: the store is empty")
        return sorted(self._samplers)

    def clips(self, batch: int, rng: np.random.Generator) -> list[Clips]:
        """``batch`` clips, in groups of one size and one duration."""
        sizes, worlds = self.sizes, sorted(self._latents)
        drawn = self.config.draw_worlds(worlds, batch, rng)
        lengths = np.array(self.durations)[rng.integers(len(self.durations), size=batch)]
        found = []
        for size, rows in self._by_size(drawn, sizes, rng):
            for length in np.unique(lengths[rows]):
                chosen = [drawn[i] for i in rows if lengths[i] == length]
                found += self._samplers[size].whole_clips(chosen, int(length), rng)
        return found

    def singles(self, batch: int, rng: np.random.Generator) -> list[Clips]:
        """``batch`` one-frame samples, in groups of one size, drawn more from worlds of many scenes."""
        sizes = self.sizes
        scenes: dict[str, set[str]] = {}
        for size in sizes:
            for world, captions in self._samplers[size].scenes.items():
                scenes.setdefault(world, set()).update(captions)
        drawn = draw_worlds(scenes, batch, rng)
        return [
            self._samplers[size].singles_of([drawn[i] for i in rows], rng)
            for size, rows in self._by_size(drawn, sizes, rng)
        ]

    def _by_size(
        self, worlds: Sequence[str], sizes: Sequence[Size], rng: np.random.Generator
    ) -> Iterator[tuple[Size, np.ndarray]]:
        """The places of ``worlds`` that each size is drawn for."""
        draw, chosen = rng.random(len(worlds)), np.zeros(len(worlds), np.int64)
        for i, world in enumerate(worlds):
            shares = np.cumsum([self._latents[world].get(size, 0) for size in sizes])
            chosen[i] = np.searchsorted(shares, draw[i] * shares[-1], side="right")
        for number, size in enumerate(sizes):
            rows = np.flatnonzero(chosen == number)
            if len(rows):
                yield size, rows
