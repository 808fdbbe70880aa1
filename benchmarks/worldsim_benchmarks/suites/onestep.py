"""One step ahead of true context: the picture, against the codec and the last frame; and does the action
matter?

The candidate is given the last eight true blocks and the true action, and makes one step. Compared on
pixels co-visible with that context, on steps that moved the picture. The second question is asked on the
patches whose true change exceeds the median: error with another step's action over error with the true one
(1 = blind to actions). Where the environment offers ``surprise``, the same ratio of its losses stands
beside it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from worldsim_benchmarks.candidates import Candidate, Context, EnvCandidate
from worldsim_benchmarks.measures import compare, moved, patch_error, psnr
from worldsim_benchmarks.records import Row, floats
from worldsim_benchmarks.scripts import twin_scripts
from worldsim_benchmarks.statistics import cluster_mean, cluster_ratio, cluster_statistic
from worldsim_benchmarks.suites.session import Session
from worldsim_benchmarks.truth import Rollout

PART = "onestep"
CONTEXT = 8
PATCH = 16
EXPLORE_WEIGHT = 3
"""Free exploration shows most of a world, so it gives this many times as many steps as another script (of a brief run
each gives one)."""


@dataclass(frozen=True)
class Moment:
    """Step ``t`` of a rollout: the candidate knows blocks t - CONTEXT to t - 1."""

    script: str
    rollout: Rollout
    t: int
    wrong: str

    @property
    def context(self) -> Context:
        return Context.of(self.rollout, self.t, self.t - CONTEXT)

    @property
    def truth(self) -> np.ndarray:
        return self.rollout.blocks[self.t, -1]

    @property
    def last(self) -> np.ndarray:
        return self.rollout.frames[self.t]


def moments(session: Session) -> list[Moment]:
    """Steps of every script on every map; each with an action of another step as the wrong one."""
    rng = np.random.default_rng(session.seed)
    out = []
    with session.reference() as reference:
        for script in twin_scripts(32):
            if session.brief(PART) and script.thorough:
                continue
            often = session.preset.one_step * (EXPLORE_WEIGHT if script.family == "explore" else 1)
            count = 1 if session.brief(PART) else often
            names = (*script.prefix, *script.actions)
            for seed in session.map_seeds:
                rollout = reference.play(names, seed, len(script.prefix))
                times = rng.choice(np.arange(CONTEXT, rollout.length), count, replace=False)
                for t in sorted(int(t) for t in times):
                    different = [n for n in names if n != names[t]]
                    out.append(Moment(script.name, rollout, t, str(rng.choice(different))))
    return out


def run(session: Session) -> list[Row]:
    """One row per moment and candidate (``model``, ``codec``, ``copy_last``)."""
    chosen = moments(session)
    candidate = session.main.open(session.world, session.frame_size)
    contexts = [m.context for m in chosen]
    seeds = session.episode_seeds(len(chosen), 2)
    made = candidate.go_on(contexts, [(m.rollout.names[m.t],) for m in chosen], seeds).frames[:, 0]
    wrong = candidate.go_on(contexts, [(m.wrong,) for m in chosen], seeds).frames[:, 0]
    rows: list[Row] = []
    for i, m in enumerate(chosen):
        mask = m.rollout.masks(session.bottom, start=m.t, seen_from=m.t - CONTEXT + 1)[0]
        pictures = {"model": made[i], "copy_last": m.last}
        coded = candidate.reconstruct(m.rollout.blocks[m.t][None])
        whole = {name: psnr(picture, m.truth) for name, picture in pictures.items()}
        if coded is not None:
            pictures["codec"] = coded[0, -1]
            whole["codec"] = psnr(coded[0], m.rollout.blocks[m.t])  # all frames of the block
        change = patch_error(m.last, m.truth, PATCH)
        lively = change > np.median(change)
        shared = {
            "script": m.script, "map_seed": m.rollout.map_seed, "t": m.t, "action": m.rollout.names[m.t],
            "moved": moved(m.last, m.truth), "mask": float(mask.mean()),
        }  # fmt: skip
        for name, picture in pictures.items():
            scores = compare(picture[None], m.truth[None], mask[None])
            row = {**shared, "candidate": name, "ssim": scores.ssim[0], "psnr": scores.psnr[0]}
            rows.append({**row, "psnr_whole": whole[name]})
        errors = [float(patch_error(f[i], m.truth, PATCH)[lively].sum()) for f in (made, wrong)]
        row = {**shared, "candidate": "actions", "wrong": m.wrong}
        rows.append({**row, "error": errors[0], "error_wrong": errors[1]})
    rows += _surprise_rows(session, candidate, chosen)
    candidate.close()
    return [{"candidate": "latent", "moved": False, "numbers": latent_numbers(session)}, *rows]


def latent_numbers(session: Session) -> int | None:
    """Numbers of a latent per step, by the environment's latent observation; None where it has none."""
    if session.main.is_replay:
        return None
    spec = replace(session.main, lanes=1)
    try:
        single = spec.open(session.world, session.frame_size, obs_type="latent")
    except TypeError:  # the environment has no such argument
        return None
    assert isinstance(single, EnvCandidate)
    space = single.env.observation_space
    single.close()
    return int(np.prod(space.shape))


def _surprise_rows(session: Session, candidate: Candidate, chosen: Sequence[Moment]) -> list[Row]:
    """Losses with true and wrong actions by the optional ``surprise``, one moment per map."""
    rows: list[Row] = []
    for moment in {m.rollout.map_seed: m for m in chosen if moved(m.last, m.truth)}.values():
        frames = moment.rollout.video(moment.t - CONTEXT, moment.t + 1)
        names = moment.rollout.names[moment.t - CONTEXT : moment.t]
        acted = [(*names, last) for last in (moment.rollout.names[moment.t], moment.wrong)]
        found = candidate.surprises([frames] * 2, acted, session.seed, 4, len(names))
        if found is None:
            return []
        losses = [float(loss) for loss in found[:, -1]]
        rows.append(
            {
                "candidate": "surprise", "map_seed": moment.rollout.map_seed, "script": moment.script,
                "t": moment.t, "moved": True, "error": losses[0], "error_wrong": losses[1],
            }
        )  # fmt: skip
    return rows


def summarise(rows: Sequence[Row]) -> dict[str, Any]:
    """Medians over moving steps, the gap to the codec, and the ratios with wrong over true actions."""
    moving = [r for r in rows if r["moved"]]
    out: dict[str, Any] = {"steps": len({(r["script"], r["map_seed"], r["t"]) for r in moving})}
    codec = [r for r in rows if r["candidate"] == "codec"]
    if codec:
        out["codec_all"] = cluster_mean([r["psnr_whole"] for r in codec], [r["map_seed"] for r in codec]).as_dict()
    numbers = next((r["numbers"] for r in rows if r["candidate"] == "latent"), None)
    if numbers:
        out["latent_numbers"] = numbers
    for name in ("model", "codec", "copy_last"):
        part = [r for r in moving if r["candidate"] == name and r["psnr"] is not None]
        for measure in ("ssim", "psnr", "psnr_whole"):
            if part:
                values = floats([r[measure] for r in part])
                median = cluster_statistic(lambda v: float(np.median(v)), values, [r["map_seed"] for r in part])
                out.setdefault(name, {})[measure] = median.as_dict()
    for name, label in (("actions", "sampled_action_ratio"), ("surprise", "loss_action_ratio")):
        part = [r for r in moving if r["candidate"] == name]
        if part:
            ratio = cluster_ratio(
                [r["error_wrong"] for r in part], [r["error"] for r in part], [r["map_seed"] for r in part]
            )
            out[label] = ratio.as_dict()
    if "codec" in out:
        out["db_below_codec"] = out["codec"]["psnr"]["value"] - out["model"]["psnr"]["value"]
    out["db_above_copy_last"] = out["model"]["psnr"]["value"] - out["copy_last"]["psnr"]["value"]
    return out
