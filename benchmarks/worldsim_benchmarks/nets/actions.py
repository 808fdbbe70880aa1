"""Inverse dynamics: which command led from the frames before to the frames after?

The reader sees the second half of the block before a step and the block that the step made, and gives
probabilities over *classes* of commands: commands that pictures cannot tell (a use of nothing, standing still) are one
class. It abstains where the largest is below a threshold that was chosen on validation maps, such that 95 % of its
answers there, on true and on blurred frames, are right. That true play cannot be read without an error either is the
ceiling (a walk into a wall looks like standing still), so every number stands beside the truth's. Such a reading of
generated frames was proposed as a measure of controllability by Genie (Bruce et al., arXiv:2402.15391) and VPT's
inverse dynamics model is its pattern (Baker et al., arXiv:2206.11795). Shapes: N readings, k video frames, H x W.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from worldsim_benchmarks.nets.corpus import Corpus
from worldsim_benchmarks.nets.eyes import Motion
from worldsim_benchmarks.nets.net import Net, Shape, least_threshold, softmax
from worldsim_benchmarks.nets.spoiling import blurred
from worldsim_benchmarks.nets.training import fit

ACCURACY = 0.95
"""Share of answers on validation maps that are right, from the threshold on."""
PER_STEP = 4
"""Video frames of a step, as a reader wants them."""
SPOILED = 2
"""Spoiled copies of each sample of play that a reader learns from, beside the true one."""


def chains_of(before: np.ndarray, blocks: np.ndarray) -> np.ndarray:
    """Two blocks for each step: ``before`` uint8 ``(k, H, W, 3)`` or one frame ``(H, W, 3)``, then ``blocks``
    ``(T, k, H, W, 3)`` -> ``(T, 2k, H, W, 3)``."""
    if before.ndim == 3:
        before = np.repeat(before[None], blocks.shape[1], 0)
    return np.concatenate([np.concatenate([before[None], blocks[:-1]]), blocks], 1)


@dataclass(frozen=True)
class Reading:
    """``classes`` int ``(N,)`` the likeliest class, ``sure`` float ``(N,)`` its probability, ``answered`` bool
    ``(N,)``."""

    classes: np.ndarray
    sure: np.ndarray
    answered: np.ndarray

    @property
    def answers(self) -> np.ndarray:
        """int ``(N,)``: the class, or -1 where it abstains."""
        return np.where(self.answered, self.classes, -1)


@dataclass(frozen=True)
class ActionReader:
    """``classes`` names the classes; ``means`` maps each command that can be read to its class."""

    net: Net
    eyes: Motion
    classes: tuple[str, ...]
    means: dict[str, str]
    threshold: float

    @property
    def commands(self) -> tuple[str, ...]:
        """One command of each class, the first that means it."""
        return tuple(next(name for name, of in self.means.items() if of == c) for c in self.classes)

    def __call__(self, chains: np.ndarray) -> Reading:
        """Reads uint8 ``(N, 2k, H, W, 3)`` (``chains_of``)."""
        return self._reading(softmax(self.net(self.eyes.inputs(self.eyes.look(chains)))))

    def _reading(self, chances: np.ndarray) -> Reading:
        sure = chances.max(1)
        return Reading(chances.argmax(1), sure, sure >= self.threshold)

    def encode(self, names: Sequence[str] | np.ndarray) -> np.ndarray:
        """Classes of commands; ``ValueError`` for one that cannot be read."""
        unknown = sorted({n for n in names if n not in self.means})
        if unknown:
            raise ValueError(f"the reader knows no command {', '.join(unknown)}; it reads {', '.join(self.means)}")
        return np.array([self.classes.index(self.means[n]) for n in names])


def samples_of(corpus: Corpus) -> tuple[np.ndarray, np.ndarray]:
    """Episode and step ``(N, 2)`` and the command ``(N,)`` of every step of a corpus before its episode's end."""
    where = np.argwhere(corpus.alive)
    return where, corpus.names[corpus.alive]


def chains_at(corpus: Corpus, where: np.ndarray) -> np.ndarray:
    """uint8 ``(N, 2k, H, W, 3)`` of episodes and steps ``(N, 2)``."""
    k = corpus.blocks.shape[2]
    before = [np.repeat(corpus.first[e][None], k, 0) if t == 0 else corpus.blocks[e, t - 1] for e, t in where]
    return np.concatenate([np.stack(before), corpus.blocks[where[:, 0], where[:, 1]]], 1)


def looked(eyes: Motion, corpus: Corpus, where: np.ndarray, seed: int) -> np.ndarray:
    """int8 ``(1 + SPOILED, N, channels, grid, grid)``: what the eyes see of the steps, truly and spoiled."""
    rng = np.random.default_rng((seed, 20))
    out = np.empty(
        (1 + SPOILED, len(where), eyes.channels, eyes.grid, eyes.grid), eyes.look(chains_at(corpus, where[:1])).dtype
    )
    for i in range(0, len(where), 64):
        chains = chains_at(corpus, where[i : i + 64])
        for copy in range(1 + SPOILED):
            out[copy, i : i + 64] = eyes.look(chains, rng if copy else None)
    return out


def mirrored_name(name: str) -> str:
    """The command that does the same in a mirror."""
    if "left" in name:
        return name.replace("left", "right")
    return name.replace("right", "left")


def train(
    corpus: Corpus,
    val: Corpus,
    means: dict[str, str],
    eyes: Motion,
    convs: tuple[tuple[int, int, int], ...],
    hidden: int,
    steps: int,
    seed: int = 0,
) -> ActionReader:
    """A reader of the commands in ``means``, trained on ``corpus``, its threshold chosen on ``val``.

    ``ValueError`` where a map of ``corpus`` is not of the training split, or one of ``val`` not of validation's.
    """
    corpus.require("train")
    val.require("val")
    classes = tuple(dict.fromkeys(means.values()))
    where, names = samples_of(corpus)
    straight = np.array([classes.index(means[n]) for n in names])
    turned = np.array([classes.index(means[mirrored_name(n)]) for n in names])

    kept = looked(eyes, corpus, where, seed)

    def batch(index: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        x, flip = kept[rng.integers(len(kept), size=len(index)), index], rng.random(len(index)) < 0.5
        x[flip] = eyes.mirrored(x[flip])
        return eyes.inputs(x), np.where(flip, turned[index], straight[index])

    net = fit(Shape(eyes.channels, eyes.grid, convs, (hidden, len(classes))), batch, len(where), steps, seed)
    reader = ActionReader(net, eyes, classes, means, 0.0)
    at, told = samples_of(val)
    chains = chains_at(val, at)
    views = [reader(chains), reader(blurred(chains))]
    sure = np.concatenate([v.sure for v in views])
    right = np.concatenate([v.classes == reader.encode(told) for v in views])
    return ActionReader(net, eyes, classes, means, least_threshold(sure, right, ACCURACY))


def macro_f1(told: np.ndarray, read: np.ndarray, classes: int) -> float:
    """Mean over the classes that occur in ``told`` of their F1; -1 in ``read`` (abstained) is a miss of its class and
    a false alarm of none. NaN without readings."""
    found = []
    for c in range(classes):
        if not (told == c).any():
            continue
        hits = ((told == c) & (read == c)).sum()
        found.append(2 * hits / ((told == c).sum() + (read == c).sum()))
    return float(np.mean(found)) if found else float("nan")
