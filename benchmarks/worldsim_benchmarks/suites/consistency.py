"""Suite A, 3-D consistency: is the space that a simulator shows one space, seen from where the actions say?

Twin rollouts: the true world and the candidate go on from the same context under the same script. Rotation is read
from the pictures, walking is held against true depth, and what comes back into view is matched with the place that it
was (``consistency_judge.py`` has the criteria, ``consistency_scripts.py`` the scripts). Pose and content are measured
apart throughout, because pixel measures on a revisit measure the pose.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from worldsim_benchmarks import floors
from worldsim_benchmarks.candidates import Context, ReplayCandidate
from worldsim_benchmarks.guard import Guarded
from worldsim_benchmarks.pictures import Clip
from worldsim_benchmarks.records import Row
from worldsim_benchmarks.statistics import cluster_mean
from worldsim_benchmarks.suites.consistency_judge import (
    LEAST_DETAIL,
    MAX_COLOUR,
    MAX_POSE_DEGREES,
    MAX_SAMPSON,
    MAX_STRAY,
    RATIO,
    Asked,
)
from worldsim_benchmarks.suites.consistency_scripts import PLANS, choose
from worldsim_benchmarks.suites.rivals import Rivals
from worldsim_benchmarks.suites.scoring import score_tasks
from worldsim_benchmarks.suites.session import Session
from worldsim_benchmarks.suites.suite import Rate, Result, SuiteScore
from worldsim_benchmarks.suites.twins import first_found
from worldsim_benchmarks.tasks import Episode, Outcome, Task
from worldsim_benchmarks.truth import Reference

ROOMS = ("worldsim/DoomRooms-v0",)
SCENE = ("worldsim/Scene-v0",)
HEADING = f"the heading never strays by more than {MAX_STRAY:.0f} degrees"
PLACE = (
    "the last picture matches the true place better than all other maps do, "
    f"at most {MAX_POSE_DEGREES:.0f} degrees off, colours within {MAX_COLOUR:.0f} grey levels"
)
DEPTH = f"flow is {RATIO[0]} to {RATIO[1]} of what true depth says, epipolar error at most {MAX_SAMPSON:.0f} px of 256"
OWN = (
    "the last picture matches the candidate's own of half a turn better than all other maps do, "
    f"with at least {LEAST_DETAIL} of the detail of the plainest true picture"
)
SIDE = "and better than the other sides of the scene"
CRITERIA: dict[str, tuple[str, tuple[str, ...]]] = {
    "turn_360": (f"{HEADING}; {PLACE}", ROOMS),
    "turn_540": (f"{HEADING}; {OWN}",
                 ROOMS),
    "pan_45": (f"{HEADING}; {PLACE}", ROOMS),
    "pan_90": (f"{HEADING}; {PLACE}", ROOMS),
    "pan_180": (f"{HEADING}; {PLACE}", ROOMS),
    "strafe_and_back": (f"{DEPTH}; {PLACE}", ROOMS),
    "forward_and_back": (f"{DEPTH}; {PLACE}", ROOMS),
    "leave_and_return": (f"{DEPTH}; {PLACE}", ROOMS),
    "next_room_and_back": (f"{DEPTH}, far off too; {PLACE}", ROOMS),
    "door_and_back": (f"{DEPTH}, far off too; {PLACE}", ROOMS),
    "four_rooms_round": (f"{DEPTH}, far off too; {PLACE}", ROOMS),
    "orbit_and_back": (f"{DEPTH}; {PLACE}; {SIDE}", SCENE),
    "orbit_360": (f"{DEPTH}; {PLACE}; {SIDE}", SCENE),
}  # fmt: skip
"""Task -> its criterion in words and the worlds that can be asked."""
READ = {
    "heading_degrees": "walks, degrees between the focus of expansion and the true one",
    "depth_order": "walks, rank correlation of nearness by parallax and by true depth",
}
"""Measure -> how its mean is printed."""


def _tasks(criteria: Mapping[str, tuple[str, tuple[str, ...]]]) -> tuple[Task, ...]:
    return tuple(Task(name, words, worlds, PLANS[name].actions) for name, (words, worlds) in criteria.items())


@dataclass(frozen=True)
class Consistency:
    """The suite; ``tasks`` can be cut down for worlds of one's own."""

    name: str = "consistency"
    tasks: tuple[Task, ...] = _tasks(CRITERIA)
    mutants: Mapping[str, tuple[str, ...]] = field(
        default_factory=lambda: {
            "gain_0.8": ("turn_360", "orbit_360"), "mirrored": ("pan_90", "orbit_and_back"),
            "delayed": ("pan_90", "orbit_and_back"), "teleport": ("pan_180", "orbit_360"),
            "amnesic": ("turn_360", "orbit_360"), "colour_drift": ("turn_360", "orbit_360"),
        }
    )  # fmt: skip

    def episodes(self, session: Session) -> list[Episode]:
        return [
            Episode(task.name, seed, sample)
            for task in self.tasks
            if session.world in task.worlds
            and (not session.preset.brief or not PLANS[task.name].thorough or task.name in session.named)
            for seed in session.map_seeds
            for sample in range(session.preset.samples)
        ]

    def run(self, session: Session, missing: Sequence[Episode]) -> Iterator[Result]:
        lanes = {n: session.guarded(n, session.preset.seeds) for n in session.candidates}
        again = None if "true" in lanes else ReplayCandidate(session.world, session.frame_size)
        try:
            with session.reference() as reference, Rivals(session) as rivals:
                for task in dict.fromkeys(e.task for e in missing):
                    asked = [e for e in missing if e.task == task]
                    for guarded in lanes.values():
                        guarded.anew()
                    for i in range(0, len(asked), session.main.lanes):
                        part = asked[i : i + session.main.lanes]
                        yield from self._batch(session, reference, part, rivals, lanes, again)
        finally:
            for guarded in lanes.values():
                guarded.close()
            if again is not None:
                again.close()

    def _batch(
        self,
        session: Session,
        reference: Reference,
        episodes: Sequence[Episode],
        rivals: Rivals,
        lanes: Mapping[str, Guarded],
        again: ReplayCandidate | None,
    ) -> Iterator[Result]:
        maps = {seed: _ask(session, reference, e, rivals) for seed, e in {e.map_seed: e for e in episodes}.items()}
        asked = [maps[e.map_seed] for e in episodes]
        contexts = [Context.of(a.truth) for a in asked]
        actions = [a.truth.actions for a in asked]
        seeds = [session.seed_of(list(PLANS).index(e.task), e.map_seed, e.sample) for e in episodes]
        outcomes: list[list[Outcome]] = [_floors(session, a, e, rivals) for a, e in zip(asked, episodes)]
        clips: list[Clip | None] = [None] * len(asked)
        for position, (name, guarded) in enumerate(lanes.items()):
            made, reasons = guarded.go_on(contexts, actions, seeds)
            for i, (a, blocks, why) in enumerate(zip(asked, made.blocks, reasons)):
                outcomes[i].append(a.judge(name, blocks, failed=why))
                if position == 0:
                    clips[i] = _clip(episodes[i], a, blocks)
                    controlled = session.controlled(episodes[i].map_seed) and not why
                    coded = guarded.reconstruct(a.truth.blocks[a.truth.prefix :]) if controlled else None
                    if coded is not None:
                        outcomes[i].append(a.judge("codec", coded))
        some = [i for i, e in enumerate(episodes) if again is not None and session.controlled(e.map_seed)]
        if again is not None and some:
            made = again.go_on([contexts[i] for i in some], [actions[i] for i in some], [seeds[i] for i in some])
            for i, blocks in zip(some, made.blocks):
                outcomes[i].append(asked[i].judge("true", blocks))
        for episode, found, clip in zip(episodes, outcomes, clips):
            yield Result(episode, tuple(found), clip)

    def score(self, rows: Sequence[Row]) -> SuiteScore:
        return SuiteScore(score_tasks(rows), rates=tuple(readings(rows)))


def _ask(session: Session, reference: Reference, episode: Episode, rivals: Rivals) -> Asked:
    """The true rollout of the variant that suits the map (or on the first map of the episode's block that has such a
    way), and what other maps show under the same actions."""
    plan = PLANS[episode.task]
    walked = plan.walked
    if walked is not None:
        truth = first_found(lambda seed: walked(reference, seed), episode.map_seed, session.world, episode.task)
    else:
        truth = choose(
            plan,
            episode.map_seed,
            lambda actions: reference.play((*plan.prefix, *actions), episode.map_seed, len(plan.prefix)),
        )
    return Asked(plan, truth, rivals.of(truth.names, truth.prefix, keep=plan.walked is None), session.bottom)


def _floors(session: Session, asked: Asked, episode: Episode, rivals: Rivals) -> list[Outcome]:
    """``frozen``, ``grey``, and one of the other maps as if it were the candidate, judged against the rest."""
    out = [asked.judge(name, blocks) for name, blocks in floors.still(asked.truth).items()]
    if not session.controlled(episode.map_seed):
        return out
    other = rivals.other(episode.map_seed, asked.truth.names, asked.truth.prefix)
    return [*out, asked.judge("other", other.blocks[other.prefix :], rivals.place(episode.map_seed))]


def readings(rows: Sequence[Row]) -> Iterator[Rate]:
    """What is read of walks beside the criterion, per candidate: means over maps."""
    for name in dict.fromkeys(r["candidate"] for r in rows):
        for key, what in READ.items():
            found = [(float(r["measures"][key]), r["map_seed"]) for r in rows
                     if r["candidate"] == name and r["measures"].get(key) is not None]  # fmt: skip
            found = [(value, seed) for value, seed in found if np.isfinite(value)]
            if found:
                yield Rate(f"{name}: {what}", cluster_mean([v for v, _ in found], [seed for _, seed in found]))


def _clip(episode: Episode, asked: Asked, blocks: np.ndarray) -> Clip:
    label = f"{episode.task}, map {asked.truth.map_seed}"
    return Clip(label, True, asked.truth.future, blocks[:, -1], np.full(len(blocks), np.nan))
