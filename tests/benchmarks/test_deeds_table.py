"""Deeds on the true table, where every answer is known exactly: planned, judged as done, undone, frozen and grey."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from deeds import NOISE, check_deed, continued
from worldsim_benchmarks.presets import PRESETS
from worldsim_benchmarks.probes import table
from worldsim_benchmarks.probes.judge import Made, judged
from worldsim_benchmarks.probes.plan import Plan
from worldsim_benchmarks.records import plain
from worldsim_benchmarks.suites import twins
from worldsim_benchmarks.suites.registry import suite_named
from worldsim_benchmarks.suites.session import CandidateSpec, Session
from worldsim_benchmarks.truth import Reference

import worldsim

pytest.importorskip("pymunk")
assert worldsim.__version__
BY_NAME = {deed.name: deed for deed in table.DEEDS}
FIRST = 2_000_000


@pytest.fixture(scope="module")
def stage() -> Iterator[Reference]:
    opened = Reference(table.WORLD, depth=False, labels=True)
    yield opened
    opened.close()


PLANS: dict[str, Plan] = {}


def plan_of(name: str, stage: Reference) -> Plan:
    if name not in PLANS:
        PLANS[name] = twins.planned(BY_NAME[name], stage, FIRST)
    return PLANS[name]


@pytest.mark.parametrize("name", BY_NAME)
def test_truth_is_right_and_what_ignores_actions_is_wrong(name: str, stage: Reference) -> None:
    check_deed(plan_of(name, stage))


def test_a_deed_that_reverts_is_executed_but_not_correct(stage: Reference) -> None:
    plan = plan_of("paint", stage)
    truth = Made.of(plan.acted, plan.twin)
    late = truth.acted.copy()
    late[-2:] = truth.twin[-2:]
    outcome = judged("reverts", plan, replace(truth, acted=late), NOISE, 0)
    assert outcome.moved
    assert not outcome.correct
    curve = dict(outcome.measures["curve"])
    assert curve[plan.length - 2] == 1.0
    assert curve[plan.length] == 0.0


def test_paint_elsewhere_is_collateral(stage: Reference) -> None:
    plan = plan_of("paint", stage)
    truth = Made.of(plan.acted, plan.twin)
    assert judged("true", plan, truth, NOISE, 0).measures["collateral"] == 0.0
    splashed = truth.acted.copy()
    splashed[:, :, 40:44, 40:44] = 255 - splashed[:, :, 40:44, 40:44]
    assert judged("splash", plan, replace(truth, acted=splashed), NOISE, 0).measures["collateral"] > 0


def test_equal_seeds_plan_and_play_alike(stage: Reference) -> None:
    first = plan_of("push", stage)
    again = twins.planned(BY_NAME["push"], stage, FIRST)
    assert again.acted.names == first.acted.names
    assert again.acted.pose == first.acted.pose
    assert all(np.array_equal(a, b) for a, b in zip(again.acted.blocks, first.acted.blocks))


@pytest.mark.parametrize(
    ("mutant", "name"),
    [("undo", "paint"), ("idle_frozen", "plant"), ("wrong_gravity", "fall"), ("ghost_collision", "collide")],
)
def test_a_mutant_is_caught_by_the_task_that_is_meant_for_it(mutant: str, name: str, stage: Reference) -> None:
    plan = plan_of(name, stage)
    assert judged("true", plan, continued(table.WORLD, "true", plan), NOISE, 0).score == 1.0
    assert judged(mutant, plan, continued(table.WORLD, mutant, plan), NOISE, 0).score == 0.0


def test_the_replayed_truth_starts_at_the_planned_pose(stage: Reference) -> None:
    plan = plan_of("push", stage)
    assert np.array_equal(continued(table.WORLD, "true", plan).acted, plan.acted.blocks[plan.prefix :])


def test_the_suite_gives_the_same_rows_twice_and_asks_only_its_world(tmp_path: Path) -> None:
    suite = suite_named("interaction")
    preset = replace(PRESETS["tiny"], seeds=1)
    session = Session(table.WORLD, {"true": CandidateSpec("true")}, preset, tmp_path)
    episodes = suite.episodes(session)
    assert {e.task for e in episodes} == set(BY_NAME)
    asked = [e for e in episodes if e.task == "switch"]
    first, again = ([o.row(r.episode) for r in suite.run(session, asked) for o in r.outcomes] for _ in range(2))
    assert plain(first) == plain(again)
    scores = {row["candidate"]: row["score"] for row in first}
    assert scores == {"true": 1.0, "frozen": 0.0, "grey": 0.0, "other": 0.0}
    curve = suite.score(plain(first)).curves[0]
    assert curve.lines["true"][-1][1] == 1.0
