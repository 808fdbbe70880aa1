"""What the scene's screen hides: the truth is right, and each way to get it wrong is seen."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from worldsim_benchmarks.candidates import Context, ReplayCandidate
from worldsim_benchmarks.probes import scene_screens
from worldsim_benchmarks.probes.judge import Made, judged
from worldsim_benchmarks.probes.plan import Plan
from worldsim_benchmarks.tasks import Outcome
from worldsim_benchmarks.truth import Reference

import worldsim

pytest.importorskip("mujoco")
assert worldsim.__version__
RIVALS = tuple(np.random.default_rng(0).integers(0, 256, (2, 4, 64, 64, 3), dtype=np.uint8))
(BEHIND,) = scene_screens.LOOKS
MAP = 2_000_415
"""A test map on which a thing can be pushed through behind the screen."""


@pytest.fixture(scope="module")
def stage() -> Iterator[Reference]:
    opened = Reference(scene_screens.WORLD, depth=False, labels=True)
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def plan(stage: Reference) -> Plan:
    found = BEHIND.plan(stage, MAP)
    assert found is not None
    return found


def outcome(plan: Plan, blocks: np.ndarray) -> Outcome:
    return judged("made", plan, Made(blocks, blocks), RIVALS, 0)


def truth_of(plan: Plan) -> np.ndarray:
    return plan.acted.blocks[plan.prefix :]


def played(plan: Plan, mutant: str | None = None) -> np.ndarray:
    candidate = ReplayCandidate(scene_screens.WORLD, mutant=mutant)
    blocks = candidate.go_on([Context.of(plan.acted)], [plan.acted.actions], [3]).blocks[0]
    candidate.close()
    return blocks


def test_a_thing_goes_behind_and_comes_out_on_the_other_side(plan: Plan) -> None:
    assert plan.length == scene_screens.THROUGH
    yaw = plan.acted.yaw
    assert np.all(yaw == yaw[0])
    (screen,) = (o["id"] for o in plan.acted.truths[0]["objects"] if o["class"] == "occluder")
    rows = [np.nonzero(plan.acted.labels(s) == screen)[1].mean() for s in (plan.prefix, len(plan.acted.names))]
    assert abs(rows[0] - rows[1]) < 1  # the screen stood still
    gate, (first, second, early, left, *_) = plan.gates[0], plan.checks
    assert 0 < gate.step < early.step + 1 == first.step < second.step == left.step <= plan.length
    sides = [np.nonzero(check.mask)[1].mean() - rows[0] for check in (gate, second)]
    assert sides[0] * sides[1] < 0


def test_the_truth_is_right_whatever_its_balls_do_and_a_frozen_picture_never_hid_the_thing(plan: Plan) -> None:
    assert any(o["class"] == "ball" for o in plan.acted.truths[0]["objects"])
    again = played(plan)  # the balls are kicked otherwise
    assert not np.array_equal(again, truth_of(plan))
    assert [outcome(plan, blocks).score for blocks in (truth_of(plan), again)] == [1.0, 1.0]
    still = outcome(plan, np.broadcast_to(plan.acted.frame(plan.prefix), truth_of(plan).shape))
    assert (still.moved, still.score) == (False, 0.0)


@pytest.mark.parametrize("mutant", ["vanish_behind_occluder", "swap_identity"])
def test_what_vanished_or_changed_behind_the_screen_is_wrong(plan: Plan, mutant: str) -> None:
    found = outcome(plan, played(plan, mutant))
    assert (found.moved, found.continued, found.correct) == (True, True, False)


def test_what_comes_out_too_early_too_late_or_not_at_all_is_wrong(plan: Plan) -> None:
    truth = truth_of(plan)
    early, late, stuck = truth.copy(), truth.copy(), truth.copy()
    early[:-1], late[1:] = truth[1:], truth[:-1]
    stuck[plan.gates[0].step :] = truth[plan.gates[0].step - 1]
    for wrong in (early, late, stuck):
        assert not outcome(plan, wrong).correct
    assert outcome(plan, stuck).moved


def test_one_thing_may_not_be_in_two_places(plan: Plan) -> None:
    copies = [c for c in plan.checks if not c.shown and c.step == plan.checks[1].step and c is not plan.checks[3]]
    assert copies
    for copy in copies:
        blocks = truth_of(plan).copy()
        blocks[copy.step - 1, -1][copy.mask] = copy.done[copy.mask]
        assert not outcome(plan, blocks).correct


def test_a_line_through_the_screen_is_hidden_and_one_past_it_is_not() -> None:
    screen = {"rotation": np.eye(3), "position": np.array([0.0, 0.0, 0.3])}
    eye = np.array([0.0, -2.0, 1.0])
    assert scene_screens._hides(screen, eye, np.array([0.2, 0.3, 0.1]))
    assert not scene_screens._hides(screen, eye, np.array([0.2, -0.3, 0.1]))  # before the screen
    assert not scene_screens._hides(screen, eye, np.array([0.6, 0.3, 0.1]))  # beside it
    assert not scene_screens._hides(screen, eye, np.array([0.0, 3.0, 1.0]))  # over it
