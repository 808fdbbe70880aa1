"""How the suites of permanence and interaction are run: plans become rollouts of every candidate, and rollouts rows.

Every episode has a block of test maps of its own and takes the first on which its deed can be planned; so all tasks
have all episodes, and which map is taken depends on nothing else. The ceiling ``true`` is the plan's own rollout, so it
is equal to the truth; only in a self-check is it a second true run. Floors come from the same plan: ``frozen`` and
``grey`` of the context, ``other`` from a further map under the same actions. What a candidate makes of the deed and of
its twin starts from the same context and the same seed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from worldsim_benchmarks import floors
from worldsim_benchmarks.candidates import Context
from worldsim_benchmarks.continuity import Sequel
from worldsim_benchmarks.guard import Guarded
from worldsim_benchmarks.pictures import Clip
from worldsim_benchmarks.probes.judge import Made, Motions, judged
from worldsim_benchmarks.probes.plan import BLOCK, Deed, Plan
from worldsim_benchmarks.records import Row
from worldsim_benchmarks.suites import responses
from worldsim_benchmarks.suites.rivals import Rivals
from worldsim_benchmarks.suites.scoring import score_tasks
from worldsim_benchmarks.suites.session import Session
from worldsim_benchmarks.suites.suite import Curve, Rate, Result, SuiteScore
from worldsim_benchmarks.tasks import Episode, Task
from worldsim_benchmarks.truth import TEST_SEEDS, Reference, Rollout

T = TypeVar("T")
AT_ONCE = 48
"""Episodes that are planned, run and judged together."""


@dataclass(frozen=True)
class TwinSuite:
    """A ``suites.suite.Suite`` of deeds: ``mutants`` as there, ``curves`` draws the report's from the rows, ``rates``
    reads off what is printed beside the scores. Deeds that sweep a strength are asked where the preset says so."""

    name: str
    deeds: tuple[Deed, ...]
    mutants: Mapping[str, tuple[str, ...]]
    curves: Callable[[Sequence[Row]], Iterable[Curve]]
    rates: Callable[[Sequence[Row]], Iterable[Rate]] = lambda rows: ()

    @property
    def tasks(self) -> tuple[Task, ...]:
        return tuple(Task(d.name, d.criterion, (d.world,), d.actions, d.truth) for d in self.deeds)

    def episodes(self, session: Session) -> list[Episode]:
        """Those of the deeds that belong to the session's world."""
        return [
            Episode(deed.name, seed, sample)
            for deed in self.deeds
            if deed.world == session.world
            and (not session.preset.brief or not deed.thorough or deed.name in session.named)
            for seed in session.map_seeds
            for sample in range(session.preset.samples)
        ]

    def run(self, session: Session, missing: Sequence[Episode]) -> Iterator[Result]:
        return run(self.deeds, session, missing)

    def score(self, rows: Sequence[Row]) -> SuiteScore:
        curves = (*self.curves(rows), *responses.curves(rows))
        return SuiteScore(score_tasks(rows), curves, responses.responses(rows), tuple(self.rates(rows)))


def planned(deed: Deed, stage: Reference, map_seed: int) -> Plan:
    """The deed on the first map of the episode's block that has what it needs; ``RuntimeError`` where none has."""
    return first_found(lambda seed: deed.plan(stage, seed), map_seed, deed.world, deed.name)


def first_found(find: Callable[[int], T | None], map_seed: int, world: str, name: str) -> T:
    """What ``find`` makes of the first map of the episode's block of which it makes something; ``RuntimeError`` where
    that is none."""
    made = next((found for seed in block(map_seed) if (found := find(seed)) is not None), None)
    if made is None:
        raise nothing(map_seed, world, name)
    return made


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
    guards = {name: session.guarded(name, session.at_once(AT_ONCE)) for name in session.candidates}
    labels = any("labels" in deed.truth for deed in deeds if deed.world == session.world)
    try:
        with session.reference(depth=False, labels=labels) as stage, Rivals(session) as rivals:
            for index, deed in enumerate(deeds):
                todo = [e for e in missing if e.task == deed.name]
                for guard in guards.values():
                    guard.anew()
                for start in range(0, len(todo), AT_ONCE):
                    batch = todo[start : start + AT_ONCE]
                    plans = [planned(deed, stage, e.map_seed) for e in batch]
                    seeds = [session.seed_of(7, index, e.map_seed, e.sample) for e in batch]
                    made = {name: continued(guard, plans, seeds) for name, guard in guards.items()}
                    for i, (episode, plan) in enumerate(zip(batch, plans)):
                        own = {name: items[i] for name, items in made.items()}
                        yield _result(session, episode, plan, own, next(iter(guards.values())), rivals)
    finally:
        for guard in guards.values():
            guard.close()


def _result(
    session: Session, episode: Episode, plan: Plan, own: Mapping[str, Made], main: Guarded, rivals: Rivals
) -> Result:
    first, bottom, controlled = next(iter(own.values())), session.bottom, session.controlled(episode.map_seed)
    shown = {**own, **still_of(plan)}
    if controlled:
        shown["other"] = other_of(plan, rivals, episode.map_seed)
    shown.setdefault("true", Made.of(plan.acted, plan.twin))
    coded = _coded(plan, main) if controlled and not first.failed else None
    if coded is not None:
        shown["codec"] = coded
    blocks = [r.block for r in rivals.of(plan.acted.names[: plan.prefix + 1], plan.prefix)]
    motions, sequel = Motions(plan, bottom), Sequel(plan.acted.blocks[plan.prefix], blocks, bottom)
    other = {"other": rivals.place(episode.map_seed)}  # which is judged against the rest
    outcomes = tuple(
        judged(name, plan, made, blocks, bottom, motions, sequel, other.get(name)) for name, made in shown.items()
    )
    return Result(episode, outcomes, None if first.failed else _clip(episode, plan, first))


def continued(guard: Guarded, plans: Sequence[Plan], seeds: Sequence[int]) -> list[Made]:
    """A candidate's deeds and twins of plans of equal length."""
    contexts = [Context.of(plan.acted) for plan in plans]
    acted, why = guard.go_on(contexts, [p.acted.actions for p in plans], seeds)
    if not any(p.beside for p in plans):
        return [Made(a, a, reason) for a, reason in zip(acted.blocks, why)]
    twin, also = guard.go_on(contexts, [p.twin.actions for p in plans], seeds)
    return [Made(a, t, w or v) for a, t, w, v in zip(acted.blocks, twin.blocks, why, also)]


def still_of(plan: Plan) -> dict[str, Made]:
    """``frozen`` and ``grey`` of a plan."""
    return {name: Made(blocks, blocks) for name, blocks in floors.still(plan.acted).items()}


def other_of(plan: Plan, rivals: Rivals, map_seed: int) -> Made:
    """``other`` of a plan."""
    acted = rivals.other(map_seed, plan.acted.names, plan.prefix)
    same = plan.twin.names == plan.acted.names
    return Made.of(acted, acted if same else rivals.other(map_seed, plan.twin.names, plan.prefix))


def _coded(plan: Plan, guard: Guarded) -> Made | None:
    """The true frames through the candidate's codec, where it offers one; those that nothing looks at stay black."""
    steps = plan.seen
    acted = _reconstructed(plan.acted, guard, steps)
    twin = _reconstructed(plan.twin, guard, steps) if plan.beside else acted
    return None if acted is None or twin is None else Made(acted, twin)


def _reconstructed(take: Rollout, guard: Guarded, steps: Sequence[int]) -> np.ndarray | None:
    """The blocks after the context, those of these ``steps`` (from 1) coded; the codec sees frames that are real."""
    blocks = take.blocks[take.prefix :]
    at = np.array(steps) - 1
    coded = guard.reconstruct(blocks[at, : take.real])
    if coded is None:
        return None
    out = np.zeros_like(blocks)
    out[at] = np.pad(coded, [(0, 0), (0, blocks.shape[1] - take.real), *[(0, 0)] * 3], "edge")
    return out


def _clip(episode: Episode, plan: Plan, made: Made) -> Clip:
    truth = plan.acted.future
    return Clip(
        f"{episode.task}, map {plan.acted.map_seed}", True, truth, made.acted[:, -1], np.full(len(truth), np.nan)
    )
