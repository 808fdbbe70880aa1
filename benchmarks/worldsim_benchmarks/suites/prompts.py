"""Starts from a prompt alone: do the walls have the colour that the prompt names?

Prompts name a wall and a floor colour, all pairs of different colours in turn. *Named* is the share of
first frames whose walls have the named colour; *swapped* is the same with the two colour words exchanged (a
model that ignores binding would show the first prompt's colour as often); *other* is the share that shows
the colour of another prompt (chance). The colour detector (``colours.py``) is fitted and rated on true
frames first.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import permutations
from typing import Any

import numpy as np

from worldsim_benchmarks.candidates import EnvCandidate
from worldsim_benchmarks.colours import ColourDetector
from worldsim_benchmarks.pictures import Clip
from worldsim_benchmarks.records import Row
from worldsim_benchmarks.statistics import proportion
from worldsim_benchmarks.suites.session import Session
from worldsim_benchmarks.truth import VAL_SEEDS, seeds_of_test_split

PART = "prompts"
WORDING = "the walls are {wall}, the floor is {floor}"
TOLD_APART = 0.85
"""Colours that the detector names less often than this on held-out true frames (grey stone, brown wood) are
not asked."""
FIT_FRAMES = 600
TEST_FRAMES = 150


def true_frames(session: Session, seeds: Sequence[int]) -> tuple[list[np.ndarray], list[str]]:
    """First frames whose wall colour the world names, by ``env.unwrapped.facts()``; empty where it has
    none."""
    frames, names = [], []
    with session.reference(depth=False) as reference:
        facts = getattr(reference.env.unwrapped, "facts", None)
        if facts is None:
            return [], []
        for seed in seeds:
            rollout = reference.play((), seed)
            colour = facts()[1].wall.colour
            if colour:
                frames.append(rollout.first)
                names.append(colour)
    return frames, names


def prompts(colours: Sequence[str], count: int, seed: int) -> list[tuple[str, str]]:
    """``count`` (wall, floor) colours, every pair as often as every other one."""
    pairs = list(permutations(colours, 2))
    rng = np.random.default_rng(seed)
    out: list[tuple[str, str]] = []
    while len(out) < count:
        out += [pairs[i] for i in rng.permutation(len(pairs))]
    return out[:count]


def run(session: Session) -> tuple[list[Row], list[Clip]]:
    """One row per prompt, and one for the detector; nothing for candidates without prompts or worlds
    without facts."""
    if session.main.is_replay:
        return [], []
    frames, names = true_frames(session, range(VAL_SEEDS[0], VAL_SEEDS[0] + FIT_FRAMES))
    if not frames:
        return [], []
    held = len(frames) // 5
    first = ColourDetector.fit(frames[held:], names[held:])
    asked_colours = first.told_apart(frames[:held], names[:held], TOLD_APART)
    if len(asked_colours) < 2:
        return [], []
    detector = ColourDetector.fit(frames, names)
    tests, answers = true_frames(session, seeds_of_test_split(TEST_FRAMES, offset=1000))
    kept = [i for i, name in enumerate(answers) if name in asked_colours]
    tests, answers = [tests[i] for i in kept], [answers[i] for i in kept]
    hits, total = detector.accuracy(tests, answers)
    candidate = session.main.open(session.world, session.frame_size)
    assert isinstance(candidate, EnvCandidate)
    calibration: Row = {"kind": "detector", "hits": hits, "total": total, "colours": list(asked_colours)}
    coded = [candidate.reconstruct(frame[None]) for frame in tests]
    if all(c is not None for c in coded):
        calibration["codec_hits"] = detector.accuracy([c[0] for c in coded if c is not None], answers)[0]
    count = session.preset.prompts // 2 if session.brief(PART) else session.preset.prompts
    asked = prompts(asked_colours, count, session.seed)
    rows, clips = [calibration], []
    seeds = session.episode_seeds(len(asked), 5)
    for kind in ("named", "swapped"):
        pairs = asked if kind == "named" else [(floor, wall) for wall, floor in asked]
        for at in range(0, len(pairs), candidate.lanes):
            group = pairs[at : at + candidate.lanes]
            texts = [WORDING.format(wall=wall, floor=floor) for wall, floor in group]
            pictures, _ = candidate.start({"prompt": texts}, seeds[at : at + len(group)])
            for (wall, floor), picture in zip(group, pictures):
                rows.append({"kind": kind, "wall": wall, "floor": floor, "seen": detector(picture)})
                label = f"{kind}: {wall} walls, {floor} floor; seen {rows[-1]['seen']}"
                clips.append(Clip(label, False, picture[None], picture[None], np.full(1, np.nan)))
    candidate.close()
    return rows, clips


def summarise(rows: Sequence[Row]) -> dict[str, Any]:
    """Shares with Wilson intervals; empty where nothing was asked."""
    if not rows:
        return {}
    calibration = rows[0]
    out: dict[str, Any] = {
        "detector_on_truth": proportion(calibration["hits"], calibration["total"]).as_dict(),
    }
    if "codec_hits" in calibration:
        out["detector_on_codec"] = proportion(calibration["codec_hits"], calibration["total"]).as_dict()
    named = [r for r in rows if r["kind"] == "named"]
    swapped = [r for r in rows if r["kind"] == "swapped"]
    out["named"] = proportion(sum(r["seen"] == r["wall"] for r in named), len(named)).as_dict()
    out["swapped"] = proportion(sum(r["seen"] == r["wall"] for r in swapped), len(swapped)).as_dict()
    out["floor_instead"] = proportion(
        sum(r["seen"] == r["floor"] for r in [*named, *swapped]), len(named) + len(swapped)
    ).as_dict()
    shifted = named[1:] + named[:1]
    out["other_prompt"] = proportion(sum(a["seen"] == b["wall"] for a, b in zip(named, shifted)), len(named)).as_dict()
    return out
