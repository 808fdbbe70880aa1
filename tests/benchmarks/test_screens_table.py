"""What the table's panel hides: the truth is right, and each way to get it wrong is seen."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
from worldsim_benchmarks.candidates import Context, ReplayCandidate
from worldsim_benchmarks.defects import VanishingBehind
from worldsim_benchmarks.probes import table, table_screens
from worldsim_benchmarks.probes.judge import Made, judged
from worldsim_benchmarks.probes.plan import Plan
from worldsim_benchmarks.suites import twins
from worldsim_benchmarks.tasks import Outcome
from worldsim_benchmarks.truth import Reference

import worldsim

pytest.importorskip("pymunk")
assert worldsim.__version__
RIVALS = tuple(np.random.default_rng(0).integers(0, 256, (2, 4, 64, 64, 3), dtype=np.uint8))
PASSES, BEHIND = table_screens.LOOKS


@pytest.fixture(scope="module")
def stage() -> Iterator[Reference]:
    opened = Reference(table.WORLD, depth=False, labels=True)
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def passes(stage: Reference) -> Plan:
    return twins.planned(PASSES, stage, 2_000_000)


@pytest.fixture(scope="module")
def behind(stage: Reference) -> Plan:
    return twins.planned(BEHIND, stage, 2_000_000)


def outcome(plan: Plan, blocks: np.ndarray) -> Outcome:
    return judged("made", plan, Made(blocks, blocks), RIVALS, 0)


def played(plan: Plan, mutant: str | None = None) -> np.ndarray:
    candidate = ReplayCandidate(table.WORLD, mutant=mutant)
    blocks = candidate.go_on([Context.of(plan.acted)], [plan.acted.actions], [3]).blocks[0]
    candidate.close()
    return blocks


@pytest.mark.parametrize("name", ["passes", "behind"])
def test_the_truth_is_right_and_a_frozen_picture_never_hid_the_thing(name: str, request: pytest.FixtureRequest) -> None:
    plan: Plan = request.getfixturevalue(name)
    truth = plan.acted.blocks[plan.prefix :]
    assert np.array_equal(played(plan), truth)
    assert outcome(plan, truth).score == 1.0
    still = outcome(plan, np.broadcast_to(plan.acted.frame(plan.prefix), truth.shape))
    assert (still.moved, still.score) == (False, 0.0)


@pytest.mark.parametrize("mutant", ["vanish_behind_occluder", "vanish"])
def test_what_vanished_behind_the_panel_is_missed(passes: Plan, mutant: str) -> None:
    found = outcome(passes, played(passes, mutant))
    assert (found.moved, found.continued, found.correct) == (True, True, False)


def test_a_second_copy_where_the_panel_was_is_a_false_alarm(passes: Plan) -> None:
    (double,) = (c for c in passes.checks if not c.shown)
    blocks = passes.acted.blocks[passes.prefix :].copy()
    blocks[-1, -1][double.mask] = double.done[double.mask]
    found = outcome(passes, blocks)
    assert found.moved
    assert not found.correct


def test_what_comes_out_too_early_too_late_or_not_at_all_is_wrong(behind: Plan) -> None:
    truth = behind.acted.blocks[behind.prefix :]
    early, late = truth.copy(), truth.copy()
    early[:-1], late[1:] = truth[1:], truth[:-1]
    assert not outcome(behind, early).correct
    assert not outcome(behind, late).correct
    stuck = truth.copy()
    stuck[behind.gates[0].step :] = truth[behind.gates[0].step - 1]
    found = outcome(behind, stuck)
    assert found.moved
    assert not found.correct


def test_on_a_table_of_felt_the_thing_does_not_come_out_as_it_should(behind: Plan) -> None:
    assert not outcome(behind, played(behind, "wrong_friction")).correct


def test_one_thing_may_not_be_in_two_places(behind: Plan) -> None:
    copies = [c for c in behind.checks if not c.shown and c.step == behind.checks[1].step]
    assert copies
    for copy in copies:
        blocks = behind.acted.blocks[behind.prefix :].copy()
        blocks[copy.step - 1, -1][copy.mask] = copy.done[copy.mask]
        assert not outcome(behind, blocks).correct


def test_plans_of_a_task_are_of_equal_length(passes: Plan, behind: Plan) -> None:
    assert passes.length == table_screens.PASS
    assert behind.length == table_screens.THROUGH


def test_only_what_something_hides_vanishes() -> None:
    """Two things that are not seen: one stands in the picture, one left it."""
    truth = {
        "camera": {"K": np.array([[64.0, 0, 32], [0, 64.0, 32], [0, 0, 1]]), "c2w": np.eye(4)},
        "labels": np.zeros((64, 64), np.int32),
        "objects": [
            {"id": 1, "position": np.array([0.0, 0.0, 2.0])},
            {"id": 2, "position": np.array([3.0, 0.0, 2.0])},
            {"id": 3, "position": np.array([0.0, 0.0, -2.0])},
            {"id": 4, "position": np.array([0.5, 0.5, 2.0])},
        ],
    }
    mutant = object.__new__(VanishingBehind)
    assert mutant.missed({1, 2, 3}, truth) == {1}


def test_a_thing_that_is_seen_in_part_is_not_asked(passes: Plan) -> None:
    """A look counts only where the thing was whole before, so that all of it could be known."""
    number = int(np.unique(passes.acted.labels(len(passes.acted.names))[passes.checks[0].mask])[-1])
    cut = passes.acted.labels(passes.prefix).copy()
    rows, columns = np.nonzero(cut == number)
    cut[rows, columns] = np.where(columns > np.median(columns), -1, number)
    truths = list(passes.acted.truths)
    truths[passes.prefix] = {**truths[passes.prefix], "labels": cut}
    (panel,) = (o["id"] for o in truths[0]["objects"] if o["class"] == "occluder")
    assert table_screens._passed(passes.acted, number, panel) is not None
    assert table_screens._passed(replace(passes.acted, truths=tuple(truths)), number, panel) is None
