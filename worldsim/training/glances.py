"""Moments of recorded episodes with their facts: what a captioner learns from.

A few moments of every episode say as much of its map as all of them, so each world gives a fixed number: first those at
which something happens, of which there are few, then others, spread evenly over its episodes. What facts say and the
picture does not show, a floor behind a wall that fills the view, cannot be learned and is not dropped either: it is
what teaches the captioner when not to be sure.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from worldsim.captioning.captioner import looks
from worldsim.captions.facts import CUT
from worldsim.captions.slots import Facts
from worldsim.recording.facts_json import read_facts
from worldsim.recording.glimpses import read_glimpses
from worldsim.recording.reader import Recording

EVENTFUL = 0.3
"""Largest share of an episode's moments that are taken because something happens."""


@dataclass(frozen=True)
class Glances:
    """``frames`` uint8 ``(N, 3, H, W, 3)``, ``facts`` and ``worlds`` of N moments."""

    frames: np.ndarray
    facts: tuple[Facts, ...]
    worlds: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.frames)


def read_glances(folders: Sequence[Path], split: str, per_world: int, seed: int) -> Glances:
    """Up to ``per_world`` moments with facts of every world in the recordings' episodes of ``split``.

    Equal arguments give equal moments. Raises ``ValueError`` where there are none, or frames of several sizes.
    """
    found = [part for _, part in sorted(_by_world(folders, split, per_world, seed))]
    if not found:
        raise ValueError(f"no episode of the {split} split with facts in {', '.join(map(str, folders)) or 'no folder'}")
    sizes = sorted({part.frames.shape[2:4] for part in found})
    if len(sizes) > 1:
        raise ValueError(f"the recordings look alike at no common size: {sizes}; record them at one size")
    return Glances(
        np.concatenate([part.frames for part in found]),
        tuple(facts for part in found for facts in part.facts),
        tuple(world for part in found for world in part.worlds),
    )


def _by_world(folders: Sequence[Path], split: str, per_world: int, seed: int) -> Iterator[tuple[str, Glances]]:
    recordings = [Recording.open(folder) for folder in folders]
    places = [(r, e.episode_index) for r in recordings for e in r.entries if e.split == split]
    worlds: dict[str, list[tuple[Recording, int]]] = {}
    for recording, number in places:
        worlds.setdefault(recording.entries[number].world, []).append((recording, number))
    for name, episodes in worlds.items():
        rng = np.random.default_rng([seed, len(episodes)])
        shares = _shares([recording.entries[number].steps + 1 for recording, number in episodes], per_world)
        parts = [_glance(*episode, share, rng) for episode, share in zip(episodes, shares) if share]
        frames = [frames for frames, _ in parts if len(frames)]
        if frames:
            facts = tuple(fact for _, facts in parts for fact in facts)
            yield name, Glances(np.concatenate(frames), facts, (name,) * len(facts))


def _shares(lengths: Iterable[int], total: int) -> list[int]:
    """How many of each episode's moments are taken: as evenly as their lengths allow, ``total`` together."""
    left, shares = total, {}
    ordered = sorted(enumerate(lengths), key=lambda item: item[1])
    for rank, (number, length) in enumerate(ordered):
        shares[number] = min(length, -(-left // (len(ordered) - rank)))
        left -= shares[number]
    return [shares[number] for number in range(len(ordered))]


def _glance(recording: Recording, number: int, count: int, rng: np.random.Generator) -> tuple[np.ndarray, list[Facts]]:
    """``count`` moments of an episode; those without facts, and cuts, are left out."""
    entry = recording.entries[number]
    eventful = np.array([t + 1 for t in entry.notable], np.int64)
    eventful = rng.permutation(eventful)[: int(EVENTFUL * count)]
    others = np.setdiff1d(np.arange(entry.steps + 1), eventful)
    chosen = np.sort(np.concatenate([eventful, rng.permutation(others)[: count - len(eventful)]]))
    frames, lines = read_glimpses(recording, number, chosen)
    told = [read_facts(line) for line in lines]
    # across a cut the frames of a moment are of two views
    known = [i for i, line in enumerate(lines) if line and all(event.kind != CUT for event in told[i][2])]
    shown = np.stack([looks(frames[i]) for i in known]) if known else frames[:0]
    return shown, [told[i] for i in known]
