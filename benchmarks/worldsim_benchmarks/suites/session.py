"""What the parts of a suite share: the true world, the candidates, how much is run, where pictures go."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from worldsim_benchmarks.candidates import Candidate, EnvCandidate, ReplayCandidate
from worldsim_benchmarks.continuity import RIVALS
from worldsim_benchmarks.defects import BROKEN
from worldsim_benchmarks.guard import Guarded
from worldsim_benchmarks.presets import Preset
from worldsim_benchmarks.truth import TEST_SEEDS, Reference, seeds_of_test_split

CONTROLS = 3
"""Maps of a brief run on which what costs much and differs little from map to map is asked beside a candidate."""


@dataclass(frozen=True)
class CandidateSpec:
    """How a candidate is made. ``env`` is a Gymnasium id, ``true``, or the name of a mutant.

    ``world_keyword`` is the constructor argument that tells a learned environment which true world to be
    ("" if it has none); ``kwargs`` are its other arguments. ``version`` names what exactly was measured (a digest of
    weights), for the record; "" where nobody says.
    """

    env: str
    kwargs: dict[str, Any] = field(default_factory=dict)
    lanes: int = 16
    world_keyword: str = "world"
    version: str = ""

    @property
    def is_replay(self) -> bool:
        return self.env == "true" or self.env in BROKEN

    def open(
        self, world: str, frame_size: tuple[int, int] = (64, 64), at_once: int | None = None, **more: Any
    ) -> Candidate:
        """The candidate for one true world, with no more lanes than the ``at_once`` episodes of a batch."""
        if self.is_replay:
            return ReplayCandidate(world, frame_size, None if self.env == "true" else self.env)
        named = {self.world_keyword: world} if self.world_keyword else {}
        lanes = self.lanes if at_once is None else max(1, min(self.lanes, at_once))
        return EnvCandidate(self.env, lanes, **named, **{**self.kwargs, **more})


@dataclass(frozen=True)
class Session:
    """One run. ``bottom`` rows of every picture are not compared (worlds draw a status bar there); ``named`` tasks and
    parts are asked even where the preset leaves them out, and in full."""

    world: str
    candidates: dict[str, CandidateSpec]
    preset: Preset
    out: Path
    frame_size: tuple[int, int] = (64, 64)
    bottom: int = 3
    seed: int = 0
    event_worlds: tuple[str, ...] = ()
    named: tuple[str, ...] = ()

    @property
    def map_seeds(self) -> list[int]:
        return seeds_of_test_split(self.preset.seeds)

    @property
    def rival_seeds(self) -> list[int]:
        """Maps of the floor ``other`` and of the continuity gate: the last ones of the test split, never a candidate's
        own."""
        low, high = TEST_SEEDS
        return seeds_of_test_split(RIVALS, high - low - RIVALS)

    def brief(self, part: str) -> bool:
        """Whether less is asked of a part of fidelity than on as many maps could be."""
        return self.preset.brief and part not in self.named

    def controlled(self, map_seed: int) -> bool:
        """Whether the floors and ceilings that take rollouts or passes of a network are asked on that map: on all maps
        but in a brief run of a learned environment."""
        return not self.preset.brief or self.main.is_replay or map_seed in self.map_seeds[:CONTROLS]

    @property
    def main(self) -> CandidateSpec:
        """The first candidate: the one that the pictures and the parts for learned environments are about."""
        return next(iter(self.candidates.values()))

    def open(self, name: str, at_once: int | None = None) -> Candidate:
        """One of the candidates in the session's world."""
        return self.candidates[name].open(self.world, self.frame_size, at_once)

    def at_once(self, most: int) -> int:
        """Episodes of a task that are run together, of at most so many."""
        return min(most, self.preset.seeds * self.preset.samples)

    def guarded(self, name: str, at_once: int | None = None) -> Guarded:
        """The same behind a guard, so that a crash costs episodes and not the run."""
        return Guarded(lambda: self.open(name, at_once))

    def episode_seeds(self, count: int, *key: int) -> list[int]:
        """One seed per episode of a batch, reproducible and different for each key."""
        return np.random.SeedSequence((self.seed, *key)).generate_state(count, np.uint32).astype(np.int64).tolist()

    def seed_of(self, *key: int) -> int:
        """The seed of one episode, whatever others are run beside it."""
        return self.episode_seeds(1, *key)[0]

    @contextmanager
    def reference(self, world: str | None = None, depth: bool = True, **kwargs: Any) -> Iterator[Reference]:
        reference = Reference(world or self.world, self.frame_size, depth=depth, **kwargs)
        try:
            yield reference
        finally:
            reference.close()
