"""Free running: candidate and truth go on from the same context under the same actions; how long do they
agree?

Measured on the observation at the end of each step, on pixels co-visible with the context. The value at
horizon h is the mean over the steps in (h/2, h]. Scripts that stay where the context tells what is to be
seen count for the verdict; free exploration is reported beside them. H* is the last horizon, from 1 on
without a gap, at which the candidate's SSIM is above every floor with 95 % confidence.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from worldsim_benchmarks import floors
from worldsim_benchmarks.candidates import Candidate, Context, ReplayCandidate
from worldsim_benchmarks.measures import Scores, compare
from worldsim_benchmarks.pictures import Clip
from worldsim_benchmarks.presets import horizons
from worldsim_benchmarks.records import Row, floats
from worldsim_benchmarks.scripts import Script, shuffled, twin_scripts
from worldsim_benchmarks.statistics import cluster_mean, cluster_ratio, interquartile_mean
from worldsim_benchmarks.suites.session import Session
from worldsim_benchmarks.truth import Rollout

PART = "free"
CEILING_SEEDS = 4
"""Seeds on which the second true run is made: enough to show whether the world repeats itself; and, in a brief run,
true frames go through the codec."""
SWAPPED = "turn_and_back"
"""The script of a brief run that the candidate is asked under the wrong actions too."""


def run(session: Session) -> tuple[list[Row], list[Clip]]:
    """Rows of all candidates, ceilings and floors, and clips of the first candidate for the sheets."""
    scripts = twin_scripts(session.preset.horizon)
    others = shuffled(scripts)
    candidates = {n: session.open(n, session.preset.seeds) for n in session.candidates}
    again = ReplayCandidate(session.world, session.frame_size)
    rows: list[Row] = []
    clips: list[Clip] = []
    brief = session.brief(PART)
    with session.reference() as reference:
        for index, script in enumerate(scripts):
            if brief and (script.thorough or not script.known):  # of what is explored nobody judges how near it is
                continue
            names = (*script.prefix, *script.actions)
            truth = [reference.play(names, seed, len(script.prefix)) for seed in session.map_seeds]
            masks = [rollout.masks(session.bottom) for rollout in truth]
            rows += _floor_rows(session, script, truth, masks)
            rows += _second_run(again, script, truth[:CEILING_SEEDS], masks)
            for position, (name, candidate) in enumerate(candidates.items()):
                made = _candidate_rows(session, name, candidate, index, script, script.actions, truth, masks)
                rows += made[0]
                if position == 0:
                    clips += made[1]
                    rows += _codec_rows(candidate, script, truth[:CEILING_SEEDS] if brief else truth, masks)
                    if not session.main.is_replay and (not brief or script.name == SWAPPED):
                        wrong = others[script.name]
                        shuffle = _candidate_rows(
                            session, "action_shuffled", candidate, index, script, wrong, truth, masks
                        )
                        rows += shuffle[0]
    for opened in (again, *candidates.values()):
        opened.close()
    return rows, clips


def _row(name: str, script: Script, rollout: Rollout, mask: np.ndarray, scores: Scores, sample: int = 0) -> Row:
    return {
        "candidate": name, "script": script.name, "family": script.family, "known": script.known,
        "map_seed": rollout.map_seed, "sample": sample, "ssim": scores.ssim, "psnr": scores.psnr,
        "mask": mask.mean((1, 2)),
    }  # fmt: skip


def _candidate_rows(
    session: Session,
    name: str,
    candidate: Candidate,
    index: int,
    script: Script,
    actions: tuple[str, ...],
    truth: Sequence[Rollout],
    masks: Sequence[np.ndarray],
) -> tuple[list[Row], list[Clip]]:
    contexts = [Context.of(rollout) for rollout in truth]
    rows, clips = [], []
    for sample in range(session.preset.samples):
        seeds = session.episode_seeds(len(truth), 1, index, sample)
        made = candidate.go_on(contexts, [actions] * len(truth), seeds)
        for rollout, mask, frames in zip(truth, masks, made.frames):
            scores = compare(frames, rollout.future, mask)
            rows.append(_row(name, script, rollout, mask, scores, sample))
            if sample == 0:
                clips.append(
                    Clip(
                        f"{script.name}, map {rollout.map_seed}",
                        script.known,
                        rollout.future,
                        frames,
                        scores.ssim,
                    )
                )
    return rows, clips


def _codec_rows(
    candidate: Candidate, script: Script, truth: Sequence[Rollout], masks: Sequence[np.ndarray]
) -> list[Row]:
    rows = []
    for rollout, mask in zip(truth, masks):
        coded = candidate.reconstruct(rollout.blocks[rollout.prefix :])
        if coded is None:
            return []
        rows.append(_row("codec", script, rollout, mask, compare(coded[:, -1], rollout.future, mask)))
    return rows


def _second_run(
    again: ReplayCandidate, script: Script, truth: Sequence[Rollout], masks: Sequence[np.ndarray]
) -> list[Row]:
    made = again.go_on([Context.of(r) for r in truth], [script.actions] * len(truth), [0] * len(truth))
    return [
        {**_row("true_again", script, r, m, compare(f, r.future, m)), "equal": bool((f == r.future).all())}
        for r, m, f in zip(truth, masks, made.frames)
    ]


def _floor_rows(session: Session, script: Script, truth: Sequence[Rollout], masks: Sequence[np.ndarray]) -> list[Row]:
    rows = []
    for i, (rollout, mask) in enumerate(zip(truth, masks)):
        for name, frames in (("frozen", floors.frozen(rollout)), ("grey", floors.grey(rollout))):
            rows.append(_row(name, script, rollout, mask, compare(frames, rollout.future, mask)))
        rivals = floors.others(truth, i, session.preset.others)
        scores = [compare(other.future, rollout.future, mask) for other in rivals]
        mean = Scores(*(np.mean([getattr(s, k) for s in scores], 0) for k in ("ssim", "psnr")))
        rows.append(_row("other", script, rollout, mask, mean))
    return rows


# Summary


def octave(values: np.ndarray, horizon: int) -> float:
    """Mean over the steps in (horizon/2, horizon], NaN where none of them could be compared."""
    steps = values[horizon // 2 : horizon]
    return float(np.nanmean(steps)) if np.isfinite(steps).any() else float("nan")


def table_of(rows: Sequence[Row], measure: str) -> dict[str, dict[tuple[str, int], np.ndarray]]:
    """candidate -> (script, map seed) -> float ``(T,)``: mean over samples."""
    gathered: dict[str, dict[tuple[str, int], list[np.ndarray]]] = {}
    for row in rows:
        key = (row["script"], row["map_seed"])
        gathered.setdefault(row["candidate"], {}).setdefault(key, []).append(floats(row[measure]))
    return {n: {k: np.mean(v, 0) for k, v in by_key.items()} for n, by_key in gathered.items()}


def summarise(rows: Sequence[Row], candidate: str = "model") -> dict[str, Any]:
    """Curves, paired differences, skill and H* of each group of scripts, for one candidate."""
    groups: dict[str, list[Row]] = {"known": [r for r in rows if r["known"]]}
    for script in dict.fromkeys(r["script"] for r in rows):
        groups[script] = [r for r in rows if r["script"] == script]
    repeats = [r["equal"] for r in rows if r["candidate"] == "true_again"]
    return {
        "world_repeats_exactly": bool(repeats) and all(repeats),
        "groups": {name: _group(part, candidate) for name, part in groups.items()},
    }


def _group(rows: Sequence[Row], candidate: str) -> dict[str, Any]:
    ssim, psnr = table_of(rows, "ssim"), table_of(rows, "psnr")
    steps = len(rows[0]["ssim"])
    masks = {(r["script"], r["map_seed"]): floats(r["mask"]) for r in rows}
    out: dict[str, Any] = {"curves": {}, "above": {}, "mask": {}, "horizons": list(horizons(steps))}
    for name in ssim:
        keys = list(ssim[name])
        seeds = [k[1] for k in keys]
        out["curves"][name] = {
            measure: {
                h: cluster_mean([octave(by_key[name][k], h) for k in keys], seeds).as_dict() for h in horizons(steps)
            }
            for measure, by_key in (("ssim", ssim), ("psnr", psnr))
        }
        means = [float(np.nanmean(v)) for v in ssim[name].values() if np.isfinite(v).any()]
        out["curves"][name]["ssim_iqm"] = interquartile_mean(means)
    for h in horizons(steps):
        out["mask"][h] = float(np.mean([octave(m, h) for m in masks.values()]))
        out["above"][h] = _above(ssim, candidate, h)
    out["h_star"] = h_star(out["above"])
    return out


def _above(ssim: dict[str, dict[tuple[str, int], np.ndarray]], candidate: str, horizon: int) -> dict[str, Any]:
    """Unclipped paired differences to each floor, and the skill over the best floor, at one horizon."""
    if candidate not in ssim:
        return {}
    keys = list(ssim[candidate])
    seeds = [k[1] for k in keys]

    def values(name: str) -> np.ndarray:
        return np.array([octave(ssim[name][k], horizon) if k in ssim[name] else np.nan for k in keys])

    x = values(candidate)
    present = [f for f in floors.FLOORS if f in ssim]
    differences = {f: cluster_mean(x - values(f), seeds) for f in present}
    whole = [f for f in present if all(k in ssim[f] for k in keys)]  # means over other scripts say nothing
    best = max(whole, key=lambda f: _mean(values(f)))
    ceiling = values("codec") if "codec" in ssim else np.where(np.isfinite(x), 1.0, np.nan)
    skill = cluster_ratio(x - values(best), np.where(np.isfinite(x), ceiling - values(best), np.nan), seeds)
    return {
        "differences": {f: d.as_dict() for f, d in differences.items()},
        "best_floor": best,
        "skill": skill.as_dict(),
        "above_all_floors": all(d.low > 0 for d in differences.values()),
    }


def _mean(values: np.ndarray) -> float:
    return float(np.nanmean(values)) if np.isfinite(values).any() else -np.inf


def h_star(above: dict[int, dict[str, Any]]) -> int:
    """The last horizon up to which the candidate is above all floors; 0 if it never is."""
    last = 0
    for horizon, verdict in above.items():
        if not verdict or not verdict["above_all_floors"]:
            break
        last = horizon
    return last
