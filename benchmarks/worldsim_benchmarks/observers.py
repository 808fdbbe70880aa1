"""Judges of films whose answer is known: an ideal observer, observers with one fault each, and the last picture.

An ideal observer of a quad knows its two true stories and nothing else. Before each block it looks which of them fit
what it has seen and was commanded, and expects what they show next, the mean where both fit; its surprise is the mean
squared error of that. Where nothing is wrong with it, it tells every pair right, so that a quad on which it fails is no
fair question. A fault takes away one thing that it knows. ``copy_last`` expects the last picture again: more change is
more surprise.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from worldsim_benchmarks.probes.quads import CROSSED, Film, Quad, Told, told
from worldsim_benchmarks.scripts import OPPOSITE

Judge = Callable[[Quad, Film], np.ndarray]
"""A film of a quad -> losses ``(n,)``."""


def copy_last(quad: Quad, film: Film) -> np.ndarray:
    """Mean squared difference of each block from the picture before it."""
    last = [film.frames[step * film.per_step].astype(float) for step in range(len(film.names))]
    return np.array([((film.block(step) - before) ** 2).mean() for step, before in enumerate(last)])


def answered(quad: Quad, judge: Judge) -> Told:
    """What a judge makes of the four films."""
    return told(quad, [judge(quad, quad.film(*parts)) for parts in CROSSED])


@dataclass(frozen=True)
class Observer:
    """``memory``: blocks of the past that it remembers (None: all); ``hears`` is what it makes of a command."""

    memory: int | None = None
    hears: Callable[[str], str] = str

    def __call__(self, quad: Quad, film: Film) -> np.ndarray:
        return np.array([self._loss(quad, film, step) for step in range(len(film.names))])

    def _loss(self, quad: Quad, film: Film, step: int) -> float:
        known = self._known(quad, film, step)
        return float(((film.block(step) - np.mean([story.block(step) for story in known], axis=0)) ** 2).mean())

    def _known(self, quad: Quad, film: Film, step: int) -> list[Film]:
        """The stories that may go on now: those that fit the pictures, and the command where it tells them apart."""
        begin = 0 if self.memory is None else max(0, step - self.memory)
        past = slice(begin * film.per_step, 1 + step * film.per_step)
        seen = [story for story in quad.stories if np.array_equal(story.frames[past], film.frames[past])]
        told = [story for story in seen if story.names[step] == self.hears(film.names[step])]
        return told or seen or list(quad.stories)


def _other_side(name: str) -> str:
    return OPPOSITE.get(name, name)


def _in_full(name: str) -> str:
    return name.removesuffix("_small")


IDEAL = Observer()
FAULTY: dict[str, Observer] = {
    "amnesiac": Observer(memory=2),
    "mirror_minded": Observer(hears=_other_side),
    "coarse_minded": Observer(hears=_in_full),
}
"""Judges with one fault: what was seen more than two steps ago is forgotten; left is heard as right, ahead as back;
small turns are heard as full ones."""
JUDGES: dict[str, Judge] = {"true": IDEAL, "copy_last": copy_last, **FAULTY}
"""All judges by name."""
