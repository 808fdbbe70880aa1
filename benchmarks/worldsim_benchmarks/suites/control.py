"""Does the picture do what was commanded? One command is held, and the camera's motion is read from the
frames.

Turns: yaw per step against the commanded degrees; the slope is the gain (never aligned or rescaled).
Walking and strafing have no commanded size in pixels, so the candidate's zoom or apparent yaw is regressed
on the truth's under the same commands. ``noop``: how much the picture moves by itself. The same estimator
runs on true and on codec frames: that is its calibration. A failed estimate is counted, and a second slope
takes failures as no motion.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from worldsim_benchmarks.candidates import Context
from worldsim_benchmarks.motion import chained, turned_by, yaw_between, yaw_by_features, zoom_between
from worldsim_benchmarks.records import Row, floats
from worldsim_benchmarks.scripts import TURN_DEGREES, Script, control_scripts
from worldsim_benchmarks.statistics import cluster_mean, cluster_ratio, proportion
from worldsim_benchmarks.suites.session import Session
from worldsim_benchmarks.truth import Rollout

PART = "control"
ZOOMS = ("forward", "backward")
STRAFES = ("strafe_left", "strafe_right")
FEATURE_SEEDS = 4
"""Maps on which the feature-based estimator is run as well."""


def run(session: Session) -> list[Row]:
    """One row per script, map and candidate, with the motion of each step."""
    turns = 2 if session.brief(PART) else 1  # in a brief run maps take turns, so that each is asked left or right
    candidates = {n: session.open(n, -(-session.preset.seeds // turns)) for n in session.candidates}
    rows: list[Row] = []
    with session.reference() as reference:
        for index, script in enumerate(control_scripts(session.preset.hold)):
            names = (*script.prefix, *script.actions)
            asked = session.map_seeds[index % turns :: turns]
            truth = [reference.play(names, seed, len(script.prefix)) for seed in asked]
            for i, rollout in enumerate(truth):
                blocks = rollout.blocks[rollout.prefix :]
                rows.append(_row("truth", script, rollout, blocks, session.bottom, i < FEATURE_SEEDS))
            for position, (name, candidate) in enumerate(candidates.items()):
                made = candidate.go_on(
                    [Context.of(r) for r in truth], [script.actions] * len(truth),
                    session.episode_seeds(len(truth), 3, index),
                )  # fmt: skip
                for rollout, blocks in zip(truth, made.blocks):
                    rows.append(_row(name, script, rollout, blocks, session.bottom))
                for rollout in truth[: max(4, len(truth) // 3)] if position == 0 else ():
                    coded = candidate.reconstruct(rollout.blocks[rollout.prefix :])
                    if coded is not None:
                        rows.append(_row("codec", script, rollout, coded, session.bottom))
    for candidate in candidates.values():
        candidate.close()
    return rows


def _row(name: str, script: Script, rollout: Rollout, blocks: np.ndarray, bottom: int, features: bool = False) -> Row:
    """``blocks`` uint8 ``(T, k, H, W, 3)`` follow the last frame of the rollout's context."""
    action = script.actions[0]
    K = rollout.views[0].K
    ends = np.concatenate([rollout.frames[rollout.prefix][None], blocks[:, -1]])
    chains = [np.concatenate([ends[t][None], blocks[t]]) for t in range(len(blocks))]
    estimate = zoom_between if action in ZOOMS else yaw_between
    turned = turned_by(rollout.yaw[rollout.prefix :])
    row: Row = {
        "candidate": name, "action": action, "map_seed": rollout.map_seed, "true_yaw": turned,
        "motion": [chained(estimate, chain, K, bottom) for chain in chains],
        "change": [float(np.abs(a.astype(np.int16) - b).mean()) for a, b in pairwise(ends)],
    }  # fmt: skip
    if features and action in TURN_DEGREES:
        row["features"] = [yaw_by_features(a, b, K, bottom) for a, b in pairwise(ends)]
    return row


def summarise(rows: Sequence[Row]) -> dict[str, Any]:
    """Gains of every candidate, with the share of failed estimates."""
    truth = {(r["action"], r["map_seed"]): floats(r["motion"]) for r in rows if r["candidate"] == "truth"}
    return {
        name: _gains([r for r in rows if r["candidate"] == name], truth)
        for name in dict.fromkeys(r["candidate"] for r in rows)
    }


def _gains(rows: Sequence[Row], truth: dict[tuple[str, int], np.ndarray]) -> dict[str, Any]:
    turns = [r for r in rows if r["action"] in TURN_DEGREES]
    commanded = np.concatenate([np.full(len(r["motion"]), TURN_DEGREES[r["action"]]) for r in turns])
    seeds = np.concatenate([np.full(len(r["motion"]), r["map_seed"]) for r in turns])
    got = np.concatenate([floats(r["motion"]) for r in turns])
    failed = int(np.isnan(got).sum())
    out: dict[str, Any] = {
        "yaw_slope": _slope(got, commanded, seeds),
        "yaw_slope_failures_as_still": _slope(np.nan_to_num(got), commanded, seeds),
        "yaw_failures": proportion(failed, len(got)).as_dict(),
        "yaw_error_degrees": float(np.nanmedian(np.abs(got - commanded))) if failed < len(got) else None,
    }
    with_features = [r for r in turns if "features" in r]
    if with_features:
        found = np.concatenate([floats(r["features"]) for r in with_features])
        out["sift_failures"] = proportion(int(np.isnan(found).sum()), len(found)).as_dict()
    for label, actions in (("zoom_gain", ZOOMS), ("strafe_gain", STRAFES)):
        part = [r for r in rows if r["action"] in actions and (r["action"], r["map_seed"]) in truth]
        if not part:
            continue
        x = np.concatenate([floats(r["motion"]) for r in part])
        t = np.concatenate([truth[r["action"], r["map_seed"]] for r in part])
        out[label] = _slope(x, t, np.concatenate([np.full(len(r["motion"]), r["map_seed"]) for r in part]))
    still = [r for r in rows if r["action"] == "noop"]
    out["noop_change"] = cluster_mean(
        [float(np.mean(r["change"])) for r in still], [r["map_seed"] for r in still]
    ).as_dict()
    return out


def _slope(y: np.ndarray, x: np.ndarray, clusters: np.ndarray) -> dict[str, float | int]:
    """Least squares through the origin, with its interval over maps."""
    keep = np.isfinite(x) & np.isfinite(y)
    return cluster_ratio((x * y)[keep], (x * x)[keep], clusters[keep]).as_dict()
