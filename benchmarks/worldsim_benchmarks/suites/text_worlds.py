"""Does the prompt select the world? Starts from nothing but a world's name, told apart by a classifier.

The candidate is told no world by its constructor. Each episode has two starts with the same noise, of the session's
world and of another one; both must be that of the world whose name was given. The classifier is that of ``colours.py``,
fitted on true starts of training maps and rated on validation maps.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from worldsim_benchmarks.colours import ColourDetector
from worldsim_benchmarks.guard import Guarded
from worldsim_benchmarks.offers import TITLES
from worldsim_benchmarks.pictures import Clip
from worldsim_benchmarks.suites.session import Session
from worldsim_benchmarks.suites.suite import Result
from worldsim_benchmarks.suites.twins import AT_ONCE, block
from worldsim_benchmarks.tasks import Episode, Outcome
from worldsim_benchmarks.truth import VAL_SEEDS

WORLD = "world"
RATED = 20
"""True starts of validation maps, per world, on which the classifier is rated; it is fitted on twice as many."""

Frames = Sequence[np.ndarray | str]


def starts_of(session: Session, world: str, seeds: Sequence[int]) -> list[np.ndarray]:
    """The true starts of these maps."""
    with session.reference(world, depth=False) as reference:
        return [reference.play((), seed).first for seed in seeds]


def classifier_of(session: Session, worlds: Sequence[str]) -> tuple[ColourDetector, int, int]:
    """The classifier of these worlds, with its hits and total on validation maps."""
    fitted = {w: starts_of(session, w, range(2 * RATED)) for w in worlds}
    rated = {w: starts_of(session, w, range(VAL_SEEDS[0], VAL_SEEDS[0] + RATED)) for w in worlds}
    classifier = ColourDetector.fit(*_flat(fitted))
    return classifier, *classifier.accuracy(*_flat(rated))


def _flat(frames: Mapping[str, list[np.ndarray]]) -> tuple[list[np.ndarray], list[str]]:
    return [f for each in frames.values() for f in each], [w for w, each in frames.items() for _ in each]


def run(
    worlds: Sequence[str], session: Session, guards: Mapping[str, Guarded], missing: Sequence[Episode]
) -> Iterator[Result]:
    """Runs the episodes; ``guards`` are candidates that were told no world, ``worlds`` those that they know."""
    classifier, hits, total = classifier_of(session, worlds)
    others = [w for w in worlds if w != session.world]
    seeds_of = {e.map_seed: block(e.map_seed)[0] for e in missing}
    true = {w: dict(zip(seeds_of, starts_of(session, w, list(seeds_of.values())))) for w in worlds}
    for at in range(0, len(missing), AT_ONCE):
        batch = missing[at : at + AT_ONCE]
        pairs = [(session.world, others[(e.map_seed + e.sample) % len(others)]) for e in batch]
        seeds = [session.seed_of(9, e.map_seed, e.sample) for e in batch]
        truth = [[true[w][e.map_seed] for w in p] for e, p in zip(batch, pairs)]
        shape = truth[0][0].shape
        texts = [[TITLES[p[arm]] for p in pairs] for arm in (0, 1)]
        made = {name: list(zip(*(guard.starts(t, shape, seeds) for t in texts))) for name, guard in guards.items()}
        for i, episode in enumerate(batch):
            grey = np.full_like(truth[i][0], np.uint8(truth[i][0].mean()))
            shown: dict[str, Frames] = {name: starts[i] for name, starts in made.items()}
            shown |= {"grey": [grey, grey], "other": [truth[i][0]] * 2, "true": truth[i]}
            reader = {"reader": {WORLD: [hits, total, 0, 0]}}
            yield Result(
                episode,
                tuple(judged(n, classifier, pairs[i], f, reader if n == "true" else {}) for n, f in shown.items()),
                _clip(pairs[i], truth[i], next((starts[i] for starts in made.values()), [])),
            )


def judged(
    name: str, classifier: ColourDetector, pair: tuple[str, str], frames: Frames, more: Mapping[str, object]
) -> Outcome:
    """The outcome of a start of each of two worlds; a str is the reason why there is none."""
    failed = next((f for f in frames if isinstance(f, str)), "")
    if failed:
        return Outcome(name, False, False, False, failed=failed)
    seen = [classifier(np.asarray(f)) for f in frames]
    right = [s == world for s, world in zip(seen, pair)]
    return Outcome(name, True, True, all(right), {"seen": seen, "prompted": right[0], "second": right[1], **more})


def _clip(pair: tuple[str, str], truth: Sequence[np.ndarray], frames: Frames) -> Clip | None:
    pictures = [f for f in frames if not isinstance(f, str)]
    if len(pictures) != 2:
        return None
    return Clip(" / ".join(TITLES[w] for w in pair), True, np.stack(truth), np.stack(pictures), np.full(2, np.nan))
