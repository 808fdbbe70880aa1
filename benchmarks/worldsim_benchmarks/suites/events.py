"""Reward and termination: does the candidate know, one step ahead of true context, what is about to be paid
or to end?

True episodes are played; at every step with an event, and at a few quiet ones (which stand for all quiet
ones), the candidate gets the last eight true blocks and the true action, makes one step, and says how
likely a termination and each reward was (``env.unwrapped.last_predictions``: ``termination`` ``(N,)``,
``reward_distribution`` ``(N, R)`` over ``reward_values`` ``(R,)``). Without it the returned reward and flag
are scored. A reward event is a reward further from the world's usual one than a cut-short step explains;
steps that end the episode are left out of it. Where the world has goals, half of the walks to a collectible
have its goal and half another one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from worldsim_benchmarks.candidates import Context, Continuation, EnvCandidate
from worldsim_benchmarks.records import Row, floats
from worldsim_benchmarks.statistics import auroc, calibration_error, cluster_statistic
from worldsim_benchmarks.suites.session import Session
from worldsim_benchmarks.truth import Reference, Rollout, seeds_of_test_split

PART = "events"
CONTEXT = 8
MIN_POSITIVES = 50
KINDS = ("termination", "reward_up", "reward_down")


@dataclass(frozen=True)
class Moment:
    """Step ``t`` of a rollout; ``weight`` quiet steps are represented by it."""

    rollout: Rollout
    t: int
    weight: float

    @property
    def context(self) -> Context:
        return Context.of(self.rollout, self.t, max(0, self.t - CONTEXT))


def random_play(reference: Reference, seed: int, steps: int, goal: str = "") -> Rollout:
    """Random actions that the world reads, each held for one to four steps."""
    rng = np.random.default_rng(seed)
    readable = [n for n in reference.ids if n in _read_by(reference)]
    names: list[str] = []
    while len(names) < steps:
        names += [str(rng.choice(readable))] * int(rng.integers(1, 5))
    return reference.play(names[:steps], seed, goal=goal)


def _read_by(reference: Reference) -> set[str]:
    """Names of the actions that the world reads, where it says so; all of them otherwise."""
    spec = getattr(reference.env.unwrapped, "spec_world", None)
    if spec is None:
        return set(reference.ids)
    every = list(reference.ids)
    return {every[i] for i in spec.reads} | {"noop"}


def goal_walk(reference: Reference, seed: int, tries: int = 6) -> Rollout | None:
    """A walk to a collectible from nearby, which is the goal's in half of the cases; None where the map has
    no free floor to walk from."""
    rng = np.random.default_rng(seed)
    goals = {g.removeprefix("collect the "): g for g in getattr(reference.env.unwrapped, "goals", ()) if g}
    goal = goals[str(rng.choice(sorted(goals)))]
    _, info = reference.env.reset(seed=seed, options={"map_seed": seed, "goal": goal})
    things = [o for o in info["truth"]["objects"] if f"{o['colour']} {o['class']}" in goals]
    wanted = [o for o in things if goals[f"{o['colour']} {o['class']}"] == goal]
    unwanted = [o for o in things if goals[f"{o['colour']} {o['class']}"] != goal]
    targets = wanted if rng.random() < 0.5 else unwanted
    for _ in range(tries if targets else 0):
        x, y = targets[int(rng.integers(len(targets)))]["position"][:2]
        heading, distance = rng.uniform(0, 2 * np.pi), rng.uniform(1.5, 4.0)
        place = np.array([x - distance * np.cos(heading), y - distance * np.sin(heading)])
        px, py = np.round(place * 32) / 32  # map units, where worlds have them
        pose = (float(px), float(py), float(np.degrees(heading) % 360))
        try:
            return reference.play(("noop",) * 2 + ("forward",) * 12, seed, pose=pose, goal=goal)
        except ValueError:  # that place is not free floor
            continue
    return None


def episodes(session: Session, world: str) -> list[Rollout]:
    """True test episodes of one world: walks to collectibles where it has goals, random play elsewhere.

    ``preset.episodes`` of them, and up to three times as many while an event that does occur has too few
    positives; in a brief run one for each of its maps.
    """
    brief = session.brief(PART)
    count = session.preset.seeds if brief else session.preset.episodes
    out: list[Rollout] = []
    with session.reference(world, depth=False) as reference:
        spec = getattr(reference.env.unwrapped, "spec_world", None)
        steps = int(spec.time_limit) if spec is not None else 500
        walks = len(getattr(reference.env.unwrapped, "goals", ("",))) > 1
        for i, seed in enumerate(seeds_of_test_split(count if brief else 3 * count, offset=2000)):
            if i >= count and i % 10 == 0 and _enough(out, count):
                break
            rollout = goal_walk(reference, seed) if walks else random_play(reference, seed, steps)
            if rollout is not None:
                out.append(rollout)
    return out


def _enough(rollouts: Sequence[Rollout], count: int) -> bool:
    """Whether every kind of event that is not rare (one in five episodes) has its positives."""
    found = [labels(r, usual_reward(rollouts)) for r in rollouts]
    totals = [sum(int(f[kind].sum()) for f in found) for kind in KINDS]
    return bool(rollouts) and all(n >= min(MIN_POSITIVES + 5, count) or n < len(rollouts) / 5 for n in totals)


def usual_reward(rollouts: Sequence[Rollout]) -> float:
    """The most frequent reward of a step: what living pays."""
    rewards = np.concatenate([r.reward[: r.length] for r in rollouts]).round(6)
    values, counts = np.unique(rewards, return_counts=True)
    return float(values[counts.argmax()])


def tolerance(usual: float) -> float:
    """A step that is cut short pays up to the living reward less: that is no event."""
    return abs(usual) + 0.5


def labels(rollout: Rollout, usual: float) -> dict[str, np.ndarray]:
    """Which steps hold each kind of event, bool ``(T,)``."""
    gap = rollout.reward - usual
    return {
        "termination": rollout.terminated,
        "reward_up": gap > tolerance(usual),
        "reward_down": gap < -tolerance(usual),
    }


def moments(rollouts: Sequence[Rollout], usual: float, negatives: int, limit: int, seed: int) -> list[Moment]:
    """All steps with an event (at most ``limit`` of each kind) and ``negatives`` quiet ones of each
    rollout."""
    rng = np.random.default_rng(seed)
    out: list[Moment] = []
    taken = dict.fromkeys(KINDS, 0)
    for rollout in rollouts:
        kinds = labels(rollout, usual)
        # a full context, but for episodes too short for it
        possible = np.arange(CONTEXT if rollout.length > 3 * CONTEXT else 1, rollout.length)
        loud = np.any([kinds[k][possible] for k in KINDS], 0)
        for t in possible[loud]:
            here = [k for k in KINDS if kinds[k][t]]
            if min(taken[k] for k in here) < limit:
                out.append(Moment(rollout, int(t), 1.0))
            for kind in here:
                taken[kind] += 1
        quiet = possible[~loud]
        chosen = rng.choice(quiet, min(negatives, len(quiet)), replace=False)
        out += [Moment(rollout, int(t), len(quiet) / len(chosen)) for t in chosen]
    return out


def run(session: Session) -> list[Row]:
    """One row per moment, for every world of ``session.event_worlds``."""
    rows: list[Row] = []
    for index, world in enumerate(session.event_worlds):
        rollouts = episodes(session, world)
        usual = usual_reward(rollouts)
        chosen = moments(rollouts, usual, session.preset.negatives, session.preset.episodes, session.seed)
        candidate = session.main.open(world, session.frame_size)
        made = candidate.go_on(
            [m.context for m in chosen], [(m.rollout.names[m.t],) for m in chosen],
            session.episode_seeds(len(chosen), 6, index),
        )  # fmt: skip
        values = candidate.reward_values if isinstance(candidate, EnvCandidate) else None
        scores = _scores(made, usual, values)
        for i, m in enumerate(chosen):
            kinds = labels(m.rollout, usual)
            rows.append(
                {
                    "world": world, "map_seed": m.rollout.map_seed, "t": m.t, "weight": m.weight,
                    "usual": usual, "goal": m.rollout.goal, "reward": m.rollout.reward[m.t],
                    **{k: bool(kinds[k][m.t]) for k in KINDS},
                    **{f"p_{k}": scores[k][i] for k in KINDS}, "probabilities": values is not None,
                }
            )  # fmt: skip
        candidate.close()
    return rows


def _scores(made: Continuation, usual: float, values: np.ndarray | None) -> dict[str, np.ndarray]:
    """Probability (or score) of each kind of event at the one generated step, float ``(N,)``."""
    told = made.predictions
    termination = told["termination"][:, 0] if "termination" in told else made.terminated[:, 0].astype(float)
    if values is None or "reward_distribution" not in told:
        gap = made.reward[:, 0] - usual
        return {"termination": termination, "reward_up": gap, "reward_down": -gap}
    chances = told["reward_distribution"][:, 0]
    # halfway: the bins next to the usual reward are its own rounding
    far = 0.5 * tolerance(usual)
    return {
        "termination": termination,
        "reward_up": chances[:, values > usual + far].sum(1),
        "reward_down": chances[:, values < usual - far].sum(1),
    }


def summarise(rows: Sequence[Row]) -> dict[str, Any]:
    """AUROC and calibration of every kind in every world, rated only with at least 50 positives."""
    out: dict[str, Any] = {}
    for world in dict.fromkeys(r["world"] for r in rows):
        part = [r for r in rows if r["world"] == world]
        out[world] = {kind: _rating(part, kind) for kind in KINDS}
    return out


def _rating(rows: Sequence[Row], kind: str) -> dict[str, Any]:
    label = np.array([r[kind] for r in rows], bool)
    score = floats([r[f"p_{kind}"] for r in rows])
    positives = int(label.sum())
    rating: dict[str, Any] = {
        "positives": positives,
        "moments": len(rows),
        "rated": positives >= MIN_POSITIVES,
    }
    if not positives or positives == len(rows):
        return rating
    pairs = np.stack([score, label.astype(float)], 1)
    interval = cluster_statistic(
        lambda p: auroc(p[:, 0], p[:, 1] > 0.5), pairs, [r["map_seed"] for r in rows], resamples=200
    )
    rating["auroc"] = interval.as_dict()
    if rows[0]["probabilities"] or kind == "termination":
        rating["calibration_error"] = calibration_error(score, label, floats([r["weight"] for r in rows]))
    return rating
