"""Does the prompt select the world? Starts from nothing but a world's name, told apart by a classifier.

The candidate is told no world by its constructor. Each episode has two starts with the same noise, of the session's
world and of another one; both must be that of the world whose name was given. A name says nothing of the moment that a
start shows, so pictures are read by what knows moments of play of each world: the net that ships (``nets.worlds``), or,
where a world is asked that it does not know, a classifier (``probes.which``) that is fitted on the spot. As with facts,
true starts are shown beside from the first map of the episode's block on which the reader is right.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from worldsim_benchmarks.guard import Guarded
from worldsim_benchmarks.nets.shipped import world_net
from worldsim_benchmarks.nets.worlds import Reader, moments, rate, total
from worldsim_benchmarks.offers import TITLES
from worldsim_benchmarks.pictures import Clip
from worldsim_benchmarks.probes.which import WorldReader
from worldsim_benchmarks.suites.session import Session
from worldsim_benchmarks.suites.suite import Result
from worldsim_benchmarks.suites.twins import AT_ONCE, block, nothing
from worldsim_benchmarks.tasks import Episode, Outcome
from worldsim_benchmarks.truth import VAL_SEEDS

WORLD = "world"
FITTED, RATED = 60, 12
"""Maps of each world that a classifier is fitted on where no net is shipped, and that it is rated on."""

Frames = Sequence[np.ndarray | str]


def judge() -> str:
    """What reads the starts, for the criterion: runs that are read by something else cannot be compared."""
    net = world_net()
    return "a classifier that is fitted" if net is None else f"the net {net.digest}"


def reader_of(session: Session, worlds: Sequence[str]) -> tuple[Reader, dict[str, list[int]]]:
    """What tells these worlds apart, with its hits and total on validation maps, sharp and blurred."""
    shipped = world_net()
    if shipped is not None and set(worlds) <= set(shipped.worlds):
        read, rated = shipped.among(worlds), total(shipped.rated[w] for w in worlds)
    else:
        fitted = {w: _moments(session, w, range(FITTED)) for w in worlds}
        read = WorldReader.fit([f for w in worlds for f in fitted[w]], [w for w in worlds for _ in fitted[w]])
        held = range(VAL_SEEDS[0], VAL_SEEDS[0] + RATED)
        rated = total(rate(read, w, _moments(session, w, held)) for w in worlds)
    return read, {WORLD: [*rated["true"], 0, 0], f"{WORLD}, blurred": [*rated["blurred"], 0, 0]}


def _moments(session: Session, world: str, seeds: Sequence[int]) -> list[np.ndarray]:
    with session.reference(world, depth=False) as reference:
        return moments(reference, seeds)


def true_starts(session: Session, reader: Reader, world: str, episodes: Sequence[Episode]) -> dict[Episode, np.ndarray]:
    """For each episode a true start that the classifier knows, from the first map of its block that has one."""
    found: dict[Episode, np.ndarray] = {}
    with session.reference(world, depth=False) as reference:
        for episode in episodes:
            starts = (reference.play((), seed).first for seed in block(episode.map_seed))
            start = next((start for start in starts if reader(start) == world), None)
            if start is None:
                raise nothing(episode.map_seed, world, WORLD)
            found[episode] = start
    return found


def run(
    worlds: Sequence[str], session: Session, guards: Mapping[str, Guarded], missing: Sequence[Episode]
) -> Iterator[Result]:
    """Runs the episodes; ``guards`` are candidates that were told no world, ``worlds`` those that they know."""
    reader, ratings = reader_of(session, worlds)
    rating = {"reader": ratings}
    others = [w for w in worlds if w != session.world]
    for at in range(0, len(missing), AT_ONCE):
        batch = missing[at : at + AT_ONCE]
        pairs = [(session.world, others[(e.map_seed + e.sample) % len(others)]) for e in batch]
        seeds = [session.seed_of(9, e.map_seed, e.sample) for e in batch]
        asked = {w: [e for e, pair in zip(batch, pairs) if w in pair] for w in worlds}
        true = {w: true_starts(session, reader, w, of) for w, of in asked.items() if of}
        truth = [[true[w][e] for w in pair] for e, pair in zip(batch, pairs)]
        shape = truth[0][0].shape
        texts = [[TITLES[p[arm]] for p in pairs] for arm in (0, 1)]
        made = {name: list(zip(*(guard.starts(t, shape, seeds) for t in texts))) for name, guard in guards.items()}
        for i, episode in enumerate(batch):
            grey = np.full_like(truth[i][0], np.uint8(truth[i][0].mean()))
            shown: dict[str, Frames] = {name: starts[i] for name, starts in made.items()}
            shown |= {"grey": [grey, grey], "other": [truth[i][0]] * 2, "true": truth[i]}
            yield Result(
                episode,
                tuple(judged(n, reader, pairs[i], f, rating if n == "true" else {}) for n, f in shown.items()),
                _clip(pairs[i], truth[i], next((starts[i] for starts in made.values()), [])),
            )


def judged(name: str, reader: Reader, pair: tuple[str, str], frames: Frames, more: Mapping[str, object]) -> Outcome:
    """The outcome of a start of each of two worlds; a str is the reason why there is none."""
    failed = next((f for f in frames if isinstance(f, str)), "")
    if failed:
        return Outcome(name, False, False, False, failed=failed)
    seen = [reader(np.asarray(f)) for f in frames]
    right = [s == world for s, world in zip(seen, pair)]
    return Outcome(name, True, True, all(right), {"seen": seen, "prompted": right[0], "second": right[1], **more})


def _clip(pair: tuple[str, str], truth: Sequence[np.ndarray], frames: Frames) -> Clip | None:
    pictures = [f for f in frames if not isinstance(f, str)]
    if len(pictures) != 2:
        return None
    return Clip(" / ".join(TITLES[w] for w in pair), True, np.stack(truth), np.stack(pictures), np.full(2, np.nan))
