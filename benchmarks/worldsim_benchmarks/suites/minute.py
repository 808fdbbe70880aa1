"""One minute of free running (525 steps): does the picture stay sharp and in the colours of the world?

No reference is possible after so long, so the statistics of each five-second segment are set against those
of five-second segments of true episodes: the candidate's median over rollouts must lie between their 5th
and 95th percentiles. And a classifier is asked to tell seconds of the candidate's from true ones, at ages of 1, 10
and 60 seconds (``discriminator.py``).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from worldsim_benchmarks.candidates import Context
from worldsim_benchmarks.discriminator import features, told_apart
from worldsim_benchmarks.measures import FRAME_STATISTICS, segment_statistics
from worldsim_benchmarks.pictures import Clip
from worldsim_benchmarks.records import Row, floats
from worldsim_benchmarks.scripts import STROLL, explore
from worldsim_benchmarks.statistics import Interval
from worldsim_benchmarks.suites.session import Session
from worldsim_benchmarks.truth import Rollout

PART = "minute"
STEPS = 525
SEGMENT = 44
"""Steps of five seconds: 4 frames at 35 per second."""
SECOND = 9
"""Steps of a second."""
AGES = {1: 9, 10: 88, 60: 517}
"""Age in seconds -> steps after the context at which the second that a classifier is shown ends."""
SHOWN = (8, 64, 128, 256, 384, 524)


def run(session: Session, steps: int = STEPS) -> tuple[list[Row], list[Clip]]:
    """One row per rollout with the statistics of each segment (T / 44, 6) and the features of the seconds at ``AGES``;
    truths first."""
    preset = session.preset
    rows: list[Row] = []
    rollouts = []
    with session.reference(depth=False) as reference:
        for i, seed in enumerate(session.map_seeds[: max(preset.true_minutes, preset.minutes)]):
            # actions differ from map to map: a wall must not stop all of them alike
            names = (*STROLL, *explore(steps - len(STROLL), seed=100 + i))
            rollouts.append(reference.play(names, seed, len(STROLL)))
            rows.append(_row("truth", rollouts[-1], rollouts[-1].blocks[:, -1]))
    clips: list[Clip] = []
    chosen = rollouts[: preset.minutes]
    for position, name in enumerate(session.candidates):
        candidate = session.open(name, len(chosen))
        made = candidate.go_on(
            [Context.of(r) for r in chosen], [r.actions for r in chosen],
            session.episode_seeds(len(chosen), 4),
        )  # fmt: skip
        for rollout, frames in zip(chosen, made.frames):
            whole = np.concatenate([rollout.blocks[: rollout.prefix, -1], frames])
            rows.append(_row(name, rollout, whole))
            if position == 0:
                shown = [t - rollout.prefix for t in SHOWN if rollout.prefix <= t < len(whole)]
                label = f"map {rollout.map_seed}, steps {SHOWN}"
                blank = np.full(len(shown), np.nan)
                clips.append(Clip(label, False, rollout.future[shown], frames[shown], blank))
        candidate.close()
    return rows, clips


def _row(name: str, rollout: Rollout, frames: np.ndarray) -> Row:
    """What is kept of observations uint8 ``(T, H, W, 3)``, context included."""
    seconds = {age: frames[rollout.prefix + end - SECOND : rollout.prefix + end] for age, end in AGES.items()}
    return {
        "candidate": name, "map_seed": rollout.map_seed, "segments": _segments(frames),
        "seconds": {str(age): features(f) for age, f in seconds.items() if len(f) == SECOND},
    }  # fmt: skip


def _segments(frames: np.ndarray) -> list[np.ndarray]:
    """Statistics of each whole segment (of the one there is, where it is shorter); every second frame is
    read."""
    starts = range(0, max(1, len(frames) - SEGMENT + 1), SEGMENT)
    return [segment_statistics(frames[s : s + SEGMENT : 2]) for s in starts]


def summarise(rows: Sequence[Row]) -> dict[str, Any]:
    """Per candidate: share of (segment, statistic) inside the true range, and the last segment's verdicts."""
    truth = np.concatenate([_array(r) for r in rows if r["candidate"] == "truth"])
    low, high = np.percentile(truth, [5, 95], axis=0)
    out: dict[str, Any] = {
        "truth_5_95": {n: [float(a), float(b)] for n, a, b in zip(FRAME_STATISTICS, low, high)},
        "true_segments": len(truth),
        "candidates": {},
    }
    for name in dict.fromkeys(r["candidate"] for r in rows):
        values = np.stack([_array(r) for r in rows if r["candidate"] == name])
        median = np.median(values, 0)
        inside = (median >= low) & (median <= high)
        out["candidates"][name] = {
            "rollouts": len(values),
            "median_by_segment": {n: median[:, i] for i, n in enumerate(FRAME_STATISTICS)},
            "inside": {n: bool(inside[:, i].all()) for i, n in enumerate(FRAME_STATISTICS)},
            "all_inside": bool(inside.all()),
            "share_of_rollout_segments_inside": float(((values >= low) & (values <= high)).mean()),
            "told_apart": {age: told.as_dict() for age, told in _told(rows, name).items()},
        }
    return out


def _told(rows: Sequence[Row], name: str) -> dict[str, Interval]:
    """age in seconds -> how well a classifier tells a candidate's seconds from true ones; those that can be asked."""
    out = {}
    for age in map(str, AGES):
        clips = {
            kind: [(floats(r["seconds"][age]), r["map_seed"]) for r in rows
                   if r["candidate"] == kind and age in r.get("seconds", {})]
            for kind in ("truth", name)
        }  # fmt: skip
        if name != "truth" and all(clips.values()):
            (true, true_maps), (made, made_maps) = (zip(*clips[kind]) for kind in ("truth", name))
            told = told_apart(np.stack(true), np.stack(made), true_maps, made_maps)
            if np.isfinite(told.value):
                out[age] = told
    return out


def _array(row: Row) -> np.ndarray:
    return np.stack([floats(s) for s in row["segments"]])
