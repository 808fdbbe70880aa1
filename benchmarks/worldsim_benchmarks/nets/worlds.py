"""Which world is a picture of? A small net that has seen random play of all of them.

A start that a prompt's name alone begins may show any moment of its world, a wall before one's nose among them, so the
net learns starts and what random play of training maps then shows, in which each command is held for some steps so that
it gets somewhere; each world equally often, and spoiled as generated pictures are (``spoiling``, and softer still). It
sees 32 rows and columns, on which a blur of a pixel or two hardly tells.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np

from worldsim_benchmarks.nets.corpus import seeds_of
from worldsim_benchmarks.nets.eyes import at_size
from worldsim_benchmarks.nets.net import Net, Shape
from worldsim_benchmarks.nets.spoiling import spoiled
from worldsim_benchmarks.nets.training import fit
from worldsim_benchmarks.truth import Reference

SIDE = 32
"""Rows and columns that the net sees."""
EVERY, MOMENTS = 8, 6
"""Of each map so many moments are taken: the start, and one after each so many steps of random play."""
HELD = 6
"""Most steps that a command of random play is held."""
SPOILED, SOFT, SOFTEST = 0.8, 0.3, 1.2
"""Shares of the pictures that training spoils, and blurs still more; the greatest deviation of that, in pixels."""
CROPPED, LEAST = 0.5, 0.7
"""Share of the pictures of which training shows a part, and the least side of a part of one."""
HAZY = 2.5
"""Standard deviation of the blur that ratings are made under too, in pixels of 64."""
CONVS = ((16, 5, 2), (32, 3, 2), (32, 3, 1))
HIDDEN, BATCHES = 64, 4000
SLOW = ("worldsim/Crafter-v0", "worldsim/Blocks-v0", "worldsim/Scene-v0")
"""Worlds whose starts take seconds each."""
MAPS, SLOW_MAPS = (240, 24), (60, 12)
"""Training and validation maps of each world, and of slow ones."""

Ratings = dict[str, dict[str, list[int]]]
"""World -> look ("true", "blurred", ...) -> pictures that were read right, and pictures."""
Reader = Callable[[np.ndarray], str]
"""A uint8 ``(H, W, 3)`` -> the world that it is of."""
Codec = Callable[[np.ndarray], np.ndarray]
"""uint8 blocks ``(B, 1, H, W, 3)`` -> the same, encoded and decoded."""


def constants() -> dict[str, Any]:
    """What a net was trained with that decides what it is shown."""
    return {"side": SIDE}


@dataclass(frozen=True)
class WorldNet:
    """Tells of a picture which of ``worlds`` it is of; ``rated`` is how well, on validation maps, and
    ``digest`` 12 hex digits over its file, where it has one."""

    net: Net
    worlds: tuple[str, ...]
    rated: Ratings
    digest: str = ""

    def among(self, worlds: Sequence[str]) -> Reader:
        """Reads a uint8 ``(H, W, 3)`` as that of ``worlds``, all of them known, which it is most like."""
        known = [self.worlds.index(w) for w in worlds]

        def read(frame: np.ndarray) -> str:
            return worlds[int(self.net(inputs([frame]))[0, known].argmax())]

        return read


def inputs(frames: Sequence[np.ndarray]) -> np.ndarray:
    """float32 ``(B, 3, SIDE, SIDE)`` in [-1, 1] of pictures ``(H, W, 3)`` in grey levels."""
    small = np.stack([at_size(f, SIDE) for f in frames]).astype(np.float32)
    return np.ascontiguousarray(np.moveaxis(small / 127.5 - 1, -1, 1))


def moments(reference: Reference, seeds: Sequence[int]) -> list[np.ndarray]:
    """The starts of these maps, and what random play of each then shows: uint8 ``(H, W, 3)``, ``MOMENTS`` of each.
    An episode that has ended shows its last frame on."""
    names, found, steps = list(reference.ids), [], EVERY * (MOMENTS - 1)
    for seed in seeds:
        rng = np.random.default_rng((seed, 21))
        drawn = np.repeat(rng.integers(len(names), size=steps), rng.integers(1, HELD + 1, size=steps))[:steps]
        played = reference.play([names[i] for i in drawn], seed)
        found += [played.first, *played.blocks[EVERY - 1 :: EVERY, -1]]
    return found


def maps_of(world: str, split: str) -> int:
    """How many maps of a split tell of a world."""
    many, few = SLOW_MAPS if world in SLOW else MAPS
    return many if split == "train" else few


def record(world: str, split: str, maps: int, seed: int = 0) -> list[np.ndarray]:
    """Moments of so many maps of a split, at 64x64."""
    reference = Reference(world, split=split, depth=False)
    try:
        return moments(reference, seeds_of(split, maps, seed))
    finally:
        reference.close()


def train(
    pictures: Mapping[str, Sequence[np.ndarray]], held_out: Mapping[str, Sequence[np.ndarray]], seed: int = 0
) -> WorldNet:
    """A net that tells the worlds of ``pictures`` apart, rated on those ``held_out``. ``ValueError`` with one world."""
    worlds = tuple(pictures)
    if len(worlds) < 2:
        raise ValueError(f"worlds are told apart from two on, got {', '.join(worlds) or 'none'}")
    small = [np.stack([at_size(f, SIDE) for f in pictures[w]]) for w in worlds]

    def batch(index: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        told = index % len(worlds)
        shown = [_seen(small[w][rng.integers(len(small[w]))], rng) for w in told]
        return inputs(shown), told

    net = fit(Shape(3, SIDE, CONVS, (HIDDEN, len(worlds))), batch, len(worlds) * 1000, BATCHES, seed)
    made = WorldNet(net, worlds, {})
    return WorldNet(net, worlds, {w: rate(made.among(worlds), w, held_out[w]) for w in worlds})


def _seen(picture: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A square picture as training shows it: a part of it and mirrored, each half of the time, and mostly spoiled."""
    if rng.random() < CROPPED:
        side = round(len(picture) * rng.uniform(LEAST, 1))
        y, x = rng.integers(len(picture) - side + 1, size=2)
        part = np.ascontiguousarray(picture[y : y + side, x : x + side])
        picture = np.asarray(cv2.resize(part, picture.shape[:2], interpolation=cv2.INTER_AREA))
    shown = np.ascontiguousarray(picture[:, ::-1] if rng.random() < 0.5 else picture).astype(np.float32)
    if rng.random() < SPOILED:
        shown = spoiled(shown, 3, rng)
    if rng.random() < SOFT:
        shown = np.asarray(cv2.GaussianBlur(shown, (0, 0), rng.uniform(0.3, SOFTEST)), np.float32)
    return np.clip(shown, 0, 255)


def rate(read: Reader, world: str, pictures: Sequence[np.ndarray], codec: Codec | None = None) -> dict[str, list[int]]:
    """How many of a world's pictures are read right, and how many there are, by look: true, blurred, and, where there
    is a ``codec``, coded."""
    looks = {"true": list(pictures), "blurred": [cv2.GaussianBlur(f, (0, 0), HAZY * len(f) / 64) for f in pictures]}
    if codec is not None:
        looks["codec"] = list(codec(np.stack(pictures)[:, None])[:, 0])
    return {look: [sum(read(f) == world for f in frames), len(frames)] for look, frames in looks.items()}


def total(ratings: Iterable[Mapping[str, Sequence[int]]]) -> dict[str, list[int]]:
    """The sum of what ``rate`` gives of several worlds."""
    found: dict[str, list[int]] = {}
    for looks in ratings:
        for look, (right, count) in looks.items():
            before = found.get(look, [0, 0])
            found[look] = [before[0] + right, before[1] + count]
    return found
