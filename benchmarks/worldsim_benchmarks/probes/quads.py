"""Possible and impossible films, four at a time, so that no low-level difference between them can decide.

Two *true* stories of equal length agree at one moment: a thing that only one of them ever held is out of sight, or the
same start is followed by other commands. Each has a *past* (the pictures before that moment, and all commands) and an
*ending* (the pictures after it). Past and ending of one story make a possible film, crossed they make an impossible
one: the thing vanishes, or appears from nothing. Pasts and endings occur equally often in both kinds, so whoever judges
by the ending alone (more change, more detail, more surprise) or by the last picture alone is right exactly as often as
wrong. The design is that of IntPhys (Riochet et al., arXiv:1803.07616), whose quadruplets share their pictures too.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from worldsim_benchmarks.probes.detect import differs
from worldsim_benchmarks.probes.plan import LEAST
from worldsim_benchmarks.truth import Reference, Rollout

CROSSED = ((0, 0), (0, 1), (1, 0), (1, 1))
"""(past, ending) of the four films; equal ones are possible."""
EQUAL = 1e-6
"""Losses that differ by less than this share of the larger one are equal."""


@dataclass(frozen=True)
class Film:
    """``frames`` uint8 ``(1 + k*n, H, W, 3)`` from a reset on, and the n commands that are said to have produced the
    blocks."""

    frames: np.ndarray
    names: tuple[str, ...]

    @classmethod
    def of(cls, take: Rollout) -> Film:
        return cls(np.concatenate([take.first[None], take.video(0, len(take.names))]), take.names)

    @property
    def per_step(self) -> int:
        """Video frames of a block."""
        return (len(self.frames) - 1) // len(self.names)

    def block(self, step: int) -> np.ndarray:
        """uint8 ``(k, H, W, 3)``: what command ``step`` (from 0) led to."""
        return self.frames[1 + step * self.per_step : 1 + (step + 1) * self.per_step]


@dataclass(frozen=True)
class Quad:
    """Two true stories that may be crossed before block ``at``. ``ValueError`` for stories of other shapes."""

    stories: tuple[Film, Film]
    at: int
    map_seed: int

    def __post_init__(self) -> None:
        one, other = self.stories
        if one.frames.shape != other.frames.shape or len(one.names) != len(other.names):
            raise ValueError(f"stories of {one.frames.shape} and {other.frames.shape} frames cannot be crossed")

    def film(self, past: int, ending: int) -> Film:
        """The pictures of one story up to block ``at``, then those of the other, under the commands of the past."""
        before, after = self.stories[past], self.stories[ending]
        cut = 1 + self.at * before.per_step
        return Film(np.concatenate([before.frames[:cut], after.frames[cut:]]), before.names)

    @property
    def shows(self) -> int:
        """The first block at which the endings differ visibly (``LEAST`` pixels of its last picture); -1 for none."""
        one, other = self.stories
        for step in range(self.at, len(one.names)):
            if differs(one.block(step)[-1], other.block(step)[-1]).sum() >= LEAST:
                return step
        return -1

    @property
    def seam(self) -> int:
        """Pixels of the last block before the crossing that differ between the stories at all."""
        one, other = (story.block(self.at - 1).astype(int) for story in self.stories)
        return int((one != other).any(-1).sum())


@dataclass(frozen=True)
class Question:
    """What is asked of a world: when a judge is right, in words, the actions needed, and how a quad is found on a map
    (None where the map has none)."""

    name: str
    worlds: tuple[str, ...]
    criterion: str
    actions: tuple[str, ...]
    find: Callable[[Reference, int], Quad | None]


@dataclass(frozen=True)
class Told:
    """Which films of a quad surprised more. ``losses``: those of the four films in the order of ``CROSSED``, the mean
    over the blocks at which the ending shows. A *pair* is a possible and an impossible film that share either their
    past (``by_past``) or their ending (``by_ending``); each entry is 1 where the impossible one has the larger loss, -1
    where it has the smaller, 0 where they are equal."""

    losses: tuple[float, float, float, float]

    @property
    def by_past(self) -> tuple[int, int]:
        one, one_other, other_one, other = self.losses
        return _order(one, one_other), _order(other, other_one)

    @property
    def by_ending(self) -> tuple[int, int]:
        one, one_other, other_one, other = self.losses
        return _order(one, other_one), _order(other, one_other)

    @property
    def score(self) -> float:
        """Share of the four pairs told right minus share told wrong: 1 for all right, 0 for chance."""
        return float(np.mean([*self.by_past, *self.by_ending]))


def _order(possible: float, impossible: float) -> int:
    if abs(possible - impossible) <= EQUAL * max(abs(possible), abs(impossible)):
        return 0
    return 1 if possible < impossible else -1


def told(quad: Quad, losses: Sequence[np.ndarray]) -> Told:
    """From the losses ``(n,)`` of the four films, in the order of ``CROSSED``."""
    one, one_other, other_one, other = (float(np.mean(loss[quad.shows :])) for loss in losses)
    return Told((one, one_other, other_one, other))
