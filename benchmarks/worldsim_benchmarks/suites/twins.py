"""How the suites of permanence and interaction are run: plans become rollouts of every candidate, and rollouts rows.

Every episode has a block of test maps of its own and takes the first on which its deed can be planned; so all tasks
have all episodes, and which map is taken depends on nothing else. The true world is its own ceiling: it repeats
exactly. Floors come from the same plan: ``frozen`` and ``grey`` of the context, ``other`` from a further map under the
same actions. What a candidate makes of the deed and of its twin starts from the same context and the same seed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from worldsim_benchmarks.candidates import Context
from worldsim_benchmarks.guard import Guarded
from worldsim_benchmarks.pictures import Clip
from worldsim_benchmarks.probes.judge import Made, judged
from worldsim_benchmarks.probes.plan import Deed, Plan
from worldsim_benchmarks.probes.stage import Stage, Take
from worldsim_benchmarks.records import Row
from worldsim_benchmarks.suites.scoring import score_tasks
from worldsim_benchmarks.suites.session import Session
from worldsim_benchmarks.suites.suite import Curve, Result, SuiteScore
from worldsim_benchmarks.tasks import Episode, Task
from worldsim_benchmarks.truth import TEST_SEEDS

BLOCK = 400
"""Test maps that one episode may choose from."""
AT_ONCE = 48
"""Episodes that are planned, run and judged together."""
LABELS = ("labels",)


@dataclass(frozen=True)
class TwinSuite:
    """A ``suites.suite.Suite`` of deeds: ``mutants`` as there, ``curves`` draws the report's from the rows."""

    name: str
    deeds: tuple[Deed, ...]
    mutants: Mapping[str, str]
    curves: Callable[[Sequence[Row]], Iterable[Curve]]

    @property
    def tasks(self) -> tuple[Task, ...]:
        return tuple(Task(d.name, d.criterion, (d.world,), d.actions, LABELS) for d in self.deeds)

    def episodes(self, session: Session) -> list[Episode]:
        """Those of the deeds that belong to the session's world."""
        return [
            Episode(deed.name, seed, sample)
            for deed in self.deeds
            if deed.world == session.world
            for seed in session.map_seeds
            for sample in range(session.preset.samples)
        ]

    def run(self, session: Session, missing: Sequence[Episode]) -> Iterator[Result]:
        return run(self.deeds, session, missing)

    def score(self, rows: Sequence[Row]) -> SuiteScore:
        return SuiteScore(score_tasks(rows), tuple(self.curves(rows)))


def planned(deed: Deed, stage: Stage, map_seed: int) -> Plan:
    """The deed on the first map of the episode's block that has what it needs; ``RuntimeError`` where none has."""
    for candidate in block(map_seed):
        plan = deed.plan(stage, candidate)
        if plan is not None:
            return plan
    raise nothing(map_seed, deed.world, deed.name)


def block(map_seed: int) -> range:
    """The test maps that an episode may choose from, its own alone."""
    first = TEST_SEEDS[0] + (map_seed - TEST_SEEDS[0]) * BLOCK
    return range(first, first + BLOCK)


def nothing(map_seed: int, world: str, name: str) -> RuntimeError:
    """The error where no map of an episode's block can be asked."""
    maps = block(map_seed)
    return RuntimeError(f"no map from {maps[0]} to {maps[-1]} of {world} has what {name!r} needs")


def run(deeds: Sequence[Deed], session: Session, missing: Sequence[Episode]) -> Iterator[Result]:
    """Runs episodes of these deeds, task by task; each result as soon as its batch is whole."""
    stage = Stage(session.world, session.frame_size)
    strangers = Strangers(stage, session.rival_seeds)
    guards = {name: session.guarded(name, AT_ONCE) for name in session.candidates}
    try:
        for index, deed in enumerate(deeds):
            todo = [e for e in missing if e.task == deed.name]
            for start in range(0, len(todo), AT_ONCE):
                batch = todo[start : start + AT_ONCE]
                plans = [planned(deed, stage, e.map_seed) for e in batch]
                seeds = [session.seed_of(7, index, e.map_seed, e.sample) for e in batch]
                made = {name: continued(guard, plans, seeds) for name, guard in guards.items()}
                for i, (episode, plan) in enumerate(zip(batch, plans)):
                    own = {name: items[i] for name, items in made.items()}
                    yield _result(episode, plan, own, next(iter(guards.values())), strangers, session.bottom)
    finally:
        for guard in guards.values():
            guard.close()
        stage.close()


def _result(
    episode: Episode, plan: Plan, own: Mapping[str, Made], main: Guarded, strangers: Strangers, bottom: int
) -> Result:
    first = next(iter(own.values()))
    shown = {**own, **floors(plan, strangers, episode.map_seed)}
    shown.setdefault("true", Made.of_takes(plan, plan.acted, plan.twin))
    coded = None if first.failed else _coded(plan, main)
    if coded is not None:
        shown["codec"] = coded
    rivals = strangers.first_blocks(plan)
    outcomes = tuple(judged(name, plan, made, rivals, bottom) for name, made in shown.items())
    return Result(episode, outcomes, None if first.failed else _clip(episode, plan, first))


def context_of(plan: Plan) -> Context:
    """What a candidate is given."""
    take = plan.acted
    frames = np.concatenate([take.first[None], take.video(0, plan.prefix)])
    return Context(frames, take.names[: plan.prefix], take.map_seed, take.goal, take.pose)


def continued(guard: Guarded, plans: Sequence[Plan], seeds: Sequence[int]) -> list[Made]:
    """A candidate's deeds and twins of plans of equal length."""
    contexts = [context_of(plan) for plan in plans]
    acted, why = guard.go_on(contexts, [p.acted.names[p.prefix :] for p in plans], seeds)
    if not any(p.beside for p in plans):
        return [Made(a, a, reason) for a, reason in zip(acted.blocks, why)]
    twin, also = guard.go_on(contexts, [p.twin.names[p.prefix :] for p in plans], seeds)
    return [Made(a, t, w or v) for a, t, w, v in zip(acted.blocks, twin.blocks, why, also)]


def floors(plan: Plan, strangers: Strangers, map_seed: int) -> dict[str, Made]:
    """``frozen``, ``grey`` and ``other`` of a plan."""
    like = plan.acted.blocks[plan.prefix]
    last = plan.acted.frame(plan.prefix)
    level = np.uint8(context_of(plan).frames.mean().round())

    def constant(frame: np.ndarray) -> Made:
        blocks = np.broadcast_to(frame, (plan.length, *like.shape))
        return Made(blocks, blocks)

    acted, twin = (strangers.play(map_seed, take.names) for take in (plan.acted, plan.twin))
    return {
        "frozen": constant(last),
        "grey": constant(np.full_like(last, level)),
        "other": Made.of_takes(plan, acted, twin),
    }


def _coded(plan: Plan, guard: Guarded) -> Made | None:
    """The true frames through the candidate's codec, where it offers one."""
    truth = Made.of_takes(plan, plan.acted, plan.twin)
    acted = guard.reconstruct(truth.acted)
    twin = guard.reconstruct(truth.twin) if plan.beside else acted
    return None if acted is None or twin is None else Made(acted, twin)


def _clip(episode: Episode, plan: Plan, made: Made) -> Clip:
    truth = np.stack([b[-1] for b in plan.acted.blocks[plan.prefix :]])
    return Clip(
        f"{episode.task}, map {plan.acted.map_seed}", True, truth, made.acted[:, -1], np.full(len(truth), np.nan)
    )


@dataclass
class Strangers:
    """Other maps under the same actions: rivals for the gate of continuity, and the floor ``other``."""

    stage: Stage
    seeds: Sequence[int]

    def __post_init__(self) -> None:
        self._first: dict[tuple[str, ...], list[np.ndarray]] = {}

    def play(self, map_seed: int, names: Sequence[str]) -> Take:
        """The actions on a map that is not the episode's, from that map's own start; an early end repeats the last
        block."""
        stage = self.stage
        stage.reset(TEST_SEEDS[1] - 1000 - (map_seed - TEST_SEEDS[0]) % 1000)
        stage.do(*names)
        take = stage.take()
        rest = len(names) - len(take.names)
        still = np.repeat(take.blocks[-1][-1:], len(take.blocks[-1]), 0)
        return Take(
            take.map_seed, None, "", take.first, tuple(names), (*take.blocks, *[still] * rest), take.truths, take.events
        )

    def first_blocks(self, plan: Plan) -> list[np.ndarray]:
        """The first block after the context on each of the rival maps."""
        names = plan.acted.names[: plan.prefix + 1]
        if names not in self._first:
            blocks = []
            for seed in self.seeds:
                self.stage.reset(seed)
                self.stage.do(*names)
                blocks.append(self.stage.take().blocks[-1])
            self._first[names] = blocks
        return self._first[names]
