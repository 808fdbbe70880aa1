"""Detector: is a thing of this colour in view, and where? Read from one picture, without a true twin.

The exact detectors of the suites vote between two true pictures (``probes.detect``), so they need the truth of that
very view. This net needs none, which is what free play and invented rooms leave. It names, for each cell of 4x4 pixels,
the colour of the thing there or none, learned from the world's own buffer of object ids on training maps. A colour is
*in view* where the best cell's chance reaches one threshold, *not in view* where it stays below another, and in between
the net abstains; both are chosen on validation maps. Verdicts are left to the exact detectors; how often the two agree
is published with the net. Shapes: N pictures, C colours, h x w cells.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from worldsim_benchmarks.nets.corpus import Corpus
from worldsim_benchmarks.nets.eyes import at_size
from worldsim_benchmarks.nets.net import Net, Shape, least_threshold, softmax
from worldsim_benchmarks.nets.spoiling import SIZE, blurred, spoiled
from worldsim_benchmarks.nets.training import fit

CELL = 4
GREY, MIDDLE = 64, 2
"""Grey levels that are 1 to the net, and how many of those are 0 to it."""
LEAST_OF_CELL = 4
GREY, MIDDLE = 64, 2
"""Grey levels that are 1 to the net, and how many of those are 0 to it."""
"""Pixels of a cell that a thing must fill to be learned there."""
IN_VIEW = 12
"""Pixels of a colour from which on it counts as in view; with none it is not, and in between nothing is asked."""
PRECISION, MISSED = 0.95, 0.05
"""On validation maps: share of "in view" that is right, and share of what is in view that is told to be absent."""
AROUND = 2
"""Cells around the best one whose chances say where the thing is."""


@dataclass(frozen=True)
class Sightings:
    """``chance`` float ``(N, C)`` of the best cell, ``place`` float ``(N, C, 2)`` row and column in pixels of 64, and
    ``answers`` int ``(N, C)``: 1 in view, 0 not in view, -1 abstained."""

    chance: np.ndarray
    place: np.ndarray
    answers: np.ndarray


@dataclass(frozen=True)
class ThingDetector:
    """``palette`` names the colours; ``present`` and ``absent`` are the thresholds."""

    net: Net
    palette: tuple[str, ...]
    present: float
    absent: float

    def __call__(self, frames: np.ndarray) -> Sightings:
        """Looks at uint8 ``(N, H, W, 3)``."""
        looked = np.stack([at_size(frame, SIZE) for frame in frames])
        chances = softmax(self.net(_inputs(looked)))[:, 1:]
        flat = chances.reshape(*chances.shape[:2], -1)
        best = flat.max(-1)
        answers = np.where(best >= self.present, 1, np.where(best <= self.absent, 0, -1))
        return Sightings(best, _places(chances, flat.argmax(-1)), answers)


def _inputs(frames: np.ndarray) -> np.ndarray:
    return np.moveaxis(frames.astype(np.float32), -1, 1) / GREY - MIDDLE


def constants() -> dict[str, Any]:
    """What a detector was trained with: a manifest writes it down, and refuses another."""
    return {"size": SIZE, "cell": CELL, "grey": GREY, "middle": MIDDLE}


def _places(chances: np.ndarray, best: np.ndarray) -> np.ndarray:
    """float ``(N, C, 2)``: middle of the chances around the best cell, in pixels."""
    width = chances.shape[-1]
    rows, columns = np.indices(chances.shape[2:])
    near = (abs(rows - best[..., None, None] // width) <= AROUND) & (
        abs(columns - best[..., None, None] % width) <= AROUND
    )
    weight = chances * near
    middle = [(weight * axis).sum((2, 3)) / weight.sum((2, 3)) for axis in (rows, columns)]
    return (np.stack(middle, -1) + 0.5) * CELL


def cells_of(colours: np.ndarray, count: int) -> np.ndarray:
    """int64 ``(N, h, w)``: which of ``count`` colours (from 1) fills most of each cell, 0 where none fills
    ``LEAST_OF_CELL`` pixels. ``colours`` uint8 ``(N, H, W)``."""
    n, height, width = colours.shape
    cut = colours.reshape(n, height // CELL, CELL, width // CELL, CELL)
    filled = np.stack([(cut == c).sum((2, 4)) for c in range(1, count + 1)], 1)
    return np.where(filled.max(1) >= LEAST_OF_CELL, filled.argmax(1) + 1, 0).astype(np.int64)


def areas_of(colours: np.ndarray, count: int) -> np.ndarray:
    """int ``(N, C)``: pixels of each colour."""
    return np.stack([(colours == c).sum((1, 2)) for c in range(1, count + 1)], 1)


def views_of(corpus: Corpus) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Observations uint8 ``(N, H, W, 3)``, their colours uint8 ``(N, H, W)`` and maps ``(N,)``, of all steps before an
    episode's end."""
    maps = np.repeat(corpus.map_seeds[:, None], corpus.alive.shape[1], 1)
    return corpus.blocks[:, :, -1][corpus.alive], corpus.colours[corpus.alive], maps[corpus.alive]


def train(
    corpus: Corpus, val: Corpus, convs: tuple[tuple[int, int, int], ...], steps: int, seed: int = 0
) -> ThingDetector:
    """A detector of the corpus' palette; ``ValueError`` where a map is not of the training or validation split, or
    nothing shows a thing."""
    corpus.require("train")
    val.require("val")
    count = len(corpus.palette)
    frames, colours, _ = views_of(corpus)
    cells = cells_of(colours, count)
    showing = np.flatnonzero(cells.any((1, 2)))
    if not len(showing):
        raise ValueError(f"no map of {corpus.world} shows a thing of {', '.join(corpus.palette)}; play more maps")

    def batch(index: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        often = rng.random(len(index)) < 0.5  # random play seldom looks at a thing
        index = np.where(often, showing[index % len(showing)], index)
        x = np.stack([spoiled(frames[i].astype(np.float32), 3, rng) for i in index])
        y, flip = cells[index], rng.random(len(index)) < 0.5
        x[flip], y[flip] = x[flip][:, :, ::-1], y[flip][..., ::-1]
        return np.ascontiguousarray(_inputs(x)), y

    weights = np.array([1.0, *[2.0] * count])  # cells with a thing are rare
    net = fit(Shape(3, SIZE, (*convs, (1 + count, 1, 1)), ()), batch, len(frames), steps, seed, weights=weights)
    looks, truth, _ = views_of(val)
    areas = np.tile(areas_of(truth, count), (2, 1))
    chance = ThingDetector(net, corpus.palette, 1.0, 0.0)(np.concatenate([looks, blurred(looks)])).chance
    asked = (areas >= IN_VIEW) | (areas == 0)
    present = least_threshold(chance[asked], areas[asked] >= IN_VIEW, PRECISION)
    absent = min(float(np.quantile(chance[areas >= IN_VIEW], MISSED)), np.nextafter(present, 0))
    return ThingDetector(net, corpus.palette, present, absent)
