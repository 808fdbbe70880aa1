"""How far the nets can be believed: their accuracy on true, blurred and coded frames of test maps, and agreement with
exact detectors.

``views`` are the same corpus in several looks: ``true``, ``blurred`` by a fixed amount, and ``codec``, true frames
through a candidate's ``reconstruct``. Beside every accuracy stands the coverage, the share that was answered. The exact
detector of a thing is the vote of ``probes.detect``: its pixels, by the world's own ids, between the true picture and
the same with the thing filled in from around it. Both pictures of each thing are shown to net and vote.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from worldsim_benchmarks.nets.actions import ActionReader, chains_at, macro_f1, samples_of
from worldsim_benchmarks.nets.corpus import Corpus
from worldsim_benchmarks.nets.spoiling import blurred
from worldsim_benchmarks.nets.things import IN_VIEW, ThingDetector, areas_of, views_of
from worldsim_benchmarks.probes.detect import differs, nearer, without
from worldsim_benchmarks.probes.plan import LEAST, SHOWS
from worldsim_benchmarks.records import Row
from worldsim_benchmarks.statistics import cluster_mean, cluster_ratio, cluster_statistic

Look = Callable[[np.ndarray], np.ndarray]
"""uint8 blocks ``(B, k, H, W, 3)`` -> the same in another look."""
EVERY = 6
"""Every so many steps a picture is shown to both detectors: neighbours look alike."""


def looks(codec: Look | None = None) -> dict[str, Look]:
    """The looks by name; ``codec`` is a candidate's ``reconstruct`` where there is one."""
    found: dict[str, Look] = {"true": lambda blocks: blocks, "blurred": blurred}
    return found if codec is None else {**found, "codec": codec}


def rows_of(
    reader: ActionReader | None, detector: ThingDetector | None, corpus: Corpus, codec: Look | None = None
) -> dict[str, list[Row]]:
    """All numbers of the nets of one world on a corpus of test maps, by what was asked: a row for each look.

    ``ValueError`` where a map is not of the test split: nets know the others.
    """
    corpus.require("test")
    views = looks(codec)
    out: dict[str, list[Row]] = {}
    if reader is not None:
        out["actions"] = [of_reader(reader, seen_as(corpus, look), name) for name, look in views.items()]
    if detector is not None:
        out["things"] = [of_detector(detector, corpus, look, name) for name, look in views.items()]
        out["agreement"] = [agreement(detector, corpus, look, name) for name, look in views.items()]
    return out


def seen_as(corpus: Corpus, look: Look) -> Corpus:
    """The corpus in another look; the truth about it stays. In a world whose steps are one frame each, so is what is
    looked at."""
    k = corpus.blocks.shape[2]
    shown = 1 if (corpus.blocks == corpus.blocks[:, :, :1]).all() else k
    blocks = np.stack([look(b[:, :shown]) for b in corpus.blocks])
    return replace(
        corpus, first=look(corpus.first[:, None])[:, 0], blocks=blocks if shown == k else np.repeat(blocks, k, 2)
    )


def of_reader(reader: ActionReader, corpus: Corpus, name: str) -> Row:
    """Readings of a whole corpus in the look ``name``: F1, accuracy of the answers, coverage, F1 of each class."""
    where, names = samples_of(corpus)
    told = reader.encode(names)
    read = reader(chains_at(corpus, where)).answers
    maps = corpus.map_seeds[where[:, 0]]
    return {"look": name, **rated(told, read, maps, reader.classes)}


def rated(told: np.ndarray, read: np.ndarray, maps: np.ndarray, classes: tuple[str, ...]) -> dict[str, Any]:
    """F1, accuracy of the answers, coverage, with intervals over maps, and the F1 of each class."""
    count = len(classes)
    both = np.stack([told, read], 1)
    return {
        "f1": cluster_statistic(lambda r: macro_f1(r[:, 0], r[:, 1], count), both, maps).as_dict(),
        "accuracy": cluster_ratio((told == read).astype(float), (read >= 0).astype(float), maps).as_dict(),
        "coverage": cluster_mean((read >= 0).astype(float), maps).as_dict(),
        "classes": {
            name: macro_f1(np.where(told == c, 0, -2), np.where(read == c, 0, -1), 1)
            for c, name in enumerate(classes)
            if (told == c).any()
        },
    }


def of_detector(detector: ThingDetector, corpus: Corpus, look: Look, name: str) -> Row:
    """Answers about every colour in every observation of a corpus: accuracy and coverage (each of what is in view and
    of what is not), and the share of the places told that lie within two pixels of the thing."""
    frames, colours, maps = views_of(corpus)
    found = detector(look(frames[:, None])[:, 0])
    areas = areas_of(colours, len(detector.palette))
    there, absent = areas >= IN_VIEW, areas == 0
    wide = np.repeat(maps[:, None], len(detector.palette), 1)

    def share(right: np.ndarray, of: np.ndarray) -> dict[str, Any]:
        return cluster_ratio(right[of].astype(float), np.ones(int(of.sum())), wide[of]).as_dict()

    answered = found.answers >= 0
    right = np.array(
        [_within(colours[i] == 1 + c, found.place[i, c]) for i, c in np.argwhere(there & (found.answers == 1))]
    )
    return {
        "look": name,
        "hits": share(found.answers == 1, there & answered),
        "false_alarms": share(found.answers == 1, absent & answered),
        "precision": share(there, (there | absent) & (found.answers == 1)),
        "coverage_in_view": share(answered, there),
        "coverage_absent": share(answered, absent),
        "placed": cluster_mean(right.astype(float), wide[there & (found.answers == 1)]).as_dict(),
    }


def _within(mask: np.ndarray, place: np.ndarray, pixels: float = 2.0) -> bool:
    """Whether a place lies within two pixels of the mask (pixel centres count from 0.5)."""
    rows, columns = np.nonzero(mask)
    return bool(np.hypot(rows + 0.5 - place[0], columns + 0.5 - place[1]).min() <= pixels)


def agreement(detector: ThingDetector, corpus: Corpus, look: Look, name: str) -> Row:
    """How often net and vote say the same where both answer, on pictures of things of one colour and on the same
    pictures without them; each judged against what was done. Where no picture shows enough of a thing,
    ``pictures`` is 0 and there are no rates."""
    frames, colours, maps = views_of(corpus)
    shown, asked, votes = [], [], []
    for i in range(0, len(frames), EVERY):
        areas = areas_of(colours[i : i + 1], len(detector.palette))[0]
        for c in np.flatnonzero(areas >= 2 * IN_VIEW):
            mask = colours[i] == 1 + c
            empty = without(frames[i], mask)
            told = mask & differs(frames[i], empty)
            if told.sum() < LEAST:
                continue
            for there, picture in ((1, frames[i]), (0, empty)):
                seen = look(picture[None, None])[0, 0]
                shown.append(seen)
                asked.append((c, there, int(maps[i])))
                votes.append(nearer(seen, frames[i], empty, told))
    if not asked:
        return {"look": name, "pictures": 0}
    which, there, of = np.array(asked).T
    net = detector(np.stack(shown)).answers[np.arange(len(which)), which]
    share = np.array(votes)
    vote = np.where(share >= SHOWS, 1, np.where(share <= 1 - SHOWS, 0, -1))
    both = (net >= 0) & (vote >= 0)

    def rate(right: np.ndarray, answered: np.ndarray) -> dict[str, Any]:
        return cluster_ratio((right & answered).astype(float), answered.astype(float), of).as_dict()

    return {
        "look": name,
        "pictures": len(which),
        "agree": rate(net == vote, both),
        "both_answer": cluster_mean(both.astype(float), of).as_dict(),
        "net_right": rate(net == there, net >= 0),
        "vote_right": rate(vote == there, vote >= 0),
    }
