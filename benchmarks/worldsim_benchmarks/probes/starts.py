"""What a start shows, and who reads it: the colours of walls and floor, and of the things on the left and on the right.

Truth is what the world says of its own reset frame (``env.unwrapped.facts()``: the scene's, the view's and the events'
facts). Generated frames have no facts, so they are read: walls and floor by the classifier of ``colours.py``, fitted on
true starts of training maps; things by hue keys, which need no fitting: so many pixels of a hue in the left or right
third of the picture. Both are rated on validation maps, and a colour that is not read there well enough is not asked.
A picture of nothing but the named colour would be read right, so a start must also have detail. Frames are uint8
``(H, W, 3)``.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np

from worldsim_benchmarks.colours import ColourDetector
from worldsim_benchmarks.measures import frame_statistics
from worldsim_benchmarks.truth import VAL_SEEDS, Reference

SURFACES = ("wall", "floor")
SIDES = ("left", "right")
HUES = {"red": 2, "orange": 14, "yellow": 24, "green": 65, "cyan": 92, "blue": 115, "purple": 141}
"""Middle of each key in OpenCV's hue (half degrees). White, grey, black, brown and pink have none."""
REACH = 10
SATURATED, LIT = 110, 60
PIXELS = 8
"""Pixels (of 64x64) of a hue that make a thing."""
LIKE = {"brown": ("orange",), "pink": ("red",)}
"""Surfaces whose hue is that of a key beside the one of their own name."""
FITTED, RATED = 900, 200
"""Starts of training maps that the classifiers are fitted on, and of validation maps that all readers are rated on."""
GOOD, FALSE = 0.9, 0.05
"""A colour is asked if at least ``GOOD`` of its true starts are read right, and things of it are seen in at most
``FALSE`` of the starts without."""

PLAINEST, LEAST_DETAIL = 5, 0.5
"""A start has detail if it has at least half of that of the true start at the fifth percentile."""

Answer = Mapping[str, str]
"""Slot (``wall``, ``floor``, ``left`` or ``right``) -> colour."""


@dataclass(frozen=True)
class Start:
    """A true start: its frame, the colours of its surfaces ("" where the world names none), and (shape, colour, side)
    of the things that it names, a side being "" where it names none."""

    map_seed: int
    frame: np.ndarray
    wall: str
    floor: str
    things: tuple[tuple[str, str, str], ...]
    dark: bool

    def has(self, slot: str, colour: str) -> bool:
        """Whether the start shows that colour there."""
        if slot in SURFACES:
            return bool(getattr(self, slot) == colour)
        return any(c == colour and side == slot for _, c, side in self.things)

    def colours(self, side: str) -> list[tuple[str, str]]:
        """(shape, colour) of single things on that side whose hue no surface has and no other side shows."""
        elsewhere = {c for _, c, at in self.things if at != side}
        return [
            (shape, c)
            for shape, c, at in self.things
            if at == side and c in HUES and c not in self.hidden and c not in elsewhere
        ]

    @property
    def hidden(self) -> set[str]:
        """Colours of things that the surfaces have too, so that they cannot be told from these."""
        surfaces = (self.wall, self.floor)
        return {*surfaces, *(c for surface in surfaces for c in LIKE.get(surface, ()))}

    def lacks(self, slot: str, colour: str) -> bool:
        """Whether the start surely does not show that colour there."""
        if slot in SURFACES:
            return bool(getattr(self, slot)) and not self.has(slot, colour)
        return colour not in self.hidden and all(c != colour for _, c, _ in self.things)


def true_starts(reference: Reference, seeds: Iterable[int]) -> Iterator[Start]:
    """Starts of these maps; ``ValueError`` for a world that tells no facts of itself."""
    facts = getattr(reference.env.unwrapped, "facts", None)
    if facts is None:
        raise ValueError(f"{reference.world} has no env.unwrapped.facts(), which say what a start shows")
    for seed in seeds:
        frame = reference.play((), seed).first
        yield start_of(seed, frame, facts()[1])


def start_of(seed: int, frame: np.ndarray, view: Any) -> Start:
    """The start that the facts of a view describe."""
    things = tuple((t.shape, t.colour, t.place) for t in view.things)
    return Start(seed, frame, view.wall.colour, view.floor.colour, things, view.light == "dark")


def hue_pixels(frame: np.ndarray, side: str) -> dict[str, float]:
    """Pixels of each hue in the left or right third, in pixels of a picture of 64x64."""
    height, width = frame.shape[:2]
    third = frame[:, : width // 3] if side == "left" else frame[:, -(width // 3) :]
    hue, saturation, value = (c.astype(int) for c in cv2.split(cv2.cvtColor(third, cv2.COLOR_RGB2HSV)))
    gaps = np.stack([np.minimum(abs(hue - h), 180 - abs(hue - h)) for h in HUES.values()])
    shown = (saturation > SATURATED) & (value > LIT) & (gaps.min(0) < REACH)
    counts = np.bincount(gaps.argmin(0)[shown], minlength=len(HUES)) * (64 * 64 / (height * width))
    return dict(zip(HUES, counts.tolist()))


def seen(frame: np.ndarray, side: str, colour: str) -> bool:
    """Whether a thing of that hue is on that side, and more of it than on the other."""
    here, there = (hue_pixels(frame, at)[colour] for at in (side, SIDES[1 - SIDES.index(side)]))
    return here >= PIXELS and here > there


@dataclass(frozen=True)
class Rating:
    """How well a slot's colours are read on validation maps: ``hits`` of ``total`` right, ``false`` of ``without``
    read where they are not (things only)."""

    hits: int
    total: int
    false: int = 0
    without: int = 0


@dataclass(frozen=True)
class Reader:
    """Reads starts of one world. ``asked`` are the colours that may be asked of each slot, ``ratings`` their figures
    (of these colours alone), ``detail`` is the mean gradient that a start must have."""

    detectors: Mapping[str, ColourDetector]
    asked: Mapping[str, tuple[str, ...]]
    ratings: Mapping[str, Rating]
    detail: float

    def detailed(self, frame: np.ndarray) -> bool:
        """Whether the picture has the detail of a start."""
        return float(frame_statistics(frame)[0]) >= self.detail

    def shows(self, frame: np.ndarray, answer: Answer) -> bool:
        """Whether the picture is read to show all of an answer."""
        return all(self._shows(frame, slot, colour) for slot, colour in answer.items())

    def _shows(self, frame: np.ndarray, slot: str, colour: str) -> bool:
        return self.detectors[slot](frame) == colour if slot in SURFACES else seen(frame, slot, colour)

    @classmethod
    def fit(cls, fitted: Sequence[Start], rated: Sequence[Start]) -> Reader:
        """Fits on the first starts and rates on the second; a slot with fewer than two colours is not read."""
        detectors: dict[str, ColourDetector] = {}
        asked: dict[str, tuple[str, ...]] = {}
        ratings: dict[str, Rating] = {}
        for slot in SURFACES:
            named = [s for s in fitted if getattr(s, slot)]
            if len({getattr(s, slot) for s in named}) < 2:
                continue
            detector = ColourDetector.fit([s.frame for s in named], [getattr(s, slot) for s in named])
            names = [getattr(s, slot) for s in rated]
            good = detector.told_apart([s.frame for s in rated], names, GOOD)
            kept = [s for s, name in zip(rated, names) if name in good]
            detectors[slot], asked[slot] = detector, good
            ratings[slot] = Rating(*detector.accuracy([s.frame for s in kept], [getattr(s, slot) for s in kept]))
        for side in SIDES:
            by_colour = {colour: _rated_hue(rated, side, colour) for colour in HUES}
            keep = {c: r for c, r in by_colour.items() if r.total and r.hits >= GOOD * r.total}
            keep = {c: r for c, r in keep.items() if r.false <= FALSE * r.without}
            asked[side] = tuple(keep)
            ratings[side] = Rating(*(sum(getattr(r, n) for r in keep.values()) for n in Rating.__annotations__))
        plainest = np.percentile([frame_statistics(s.frame)[0] for s in rated], PLAINEST)
        return cls(detectors, asked, ratings, LEAST_DETAIL * float(plainest))


def _rated_hue(starts: Sequence[Start], side: str, colour: str) -> Rating:
    lit = [s for s in starts if not s.dark]
    has = [seen(s.frame, side, colour) for s in lit if any(c == colour for _, c in s.colours(side))]
    lacks = [seen(s.frame, side, colour) for s in lit if s.lacks(side, colour)]
    return Rating(sum(has), len(has), sum(lacks), len(lacks))


def read_world(reference: Reference, fitted: int = FITTED, rated: int = RATED) -> Reader:
    """The reader of a true world: fitted on its first training maps, rated on its first validation maps."""
    return Reader.fit(
        list(true_starts(reference, range(fitted))),
        list(true_starts(reference, range(VAL_SEEDS[0], VAL_SEEDS[0] + rated))),
    )
