"""Looks in DoomRooms: what comes back is judged right, what vanished, changed its colour or doubled is not."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from worldsim_benchmarks.probes import detect, doom
from worldsim_benchmarks.probes.judge import Made, judged
from worldsim_benchmarks.probes.plan import Plan
from worldsim_benchmarks.suites import twins
from worldsim_benchmarks.suites.permanence import half_life
from worldsim_benchmarks.truth import Reference

import worldsim

pytest.importorskip("vizdoom")
assert worldsim.__version__
RIVALS = tuple(np.random.default_rng(0).integers(0, 256, (2, 4, 64, 64, 3), dtype=np.uint8))


@pytest.fixture(scope="module")
def stage() -> Iterator[Reference]:
    opened = Reference(doom.WORLD, depth=False, labels=True)
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def look(stage: Reference) -> Plan:
    """A look at a thing that has a colour and a free mirrored place."""
    for seed in range(2_000_000, 2_000_040):
        plan = doom.look_away(stage, seed, 2)
        if plan is not None and len(plan.checks) == 4:
            return plan
    raise AssertionError("no map shows such a thing")


def retouched(plan: Plan, frame: np.ndarray) -> Made:
    """The truth with another last picture."""
    blocks = plan.acted.blocks[plan.prefix :].copy()
    blocks[-1, -1] = frame
    return Made(blocks, blocks)


def test_the_truth_turns_and_is_right(look: Plan) -> None:
    outcome = judged("true", look, retouched(look, look.acted.frame(len(look.acted.names))), RIVALS, 3)
    assert outcome.score == 1.0
    assert outcome.measures["turned"] == pytest.approx(1.0, abs=0.05)


@pytest.mark.parametrize("fault", range(4), ids=["vanished", "hue_120", "hue_240", "doubled"])
def test_each_fault_is_seen(look: Plan, fault: int) -> None:
    check = look.checks[fault]
    wrong = check.done if not check.shown else check.undone
    assert not judged("wrong", look, retouched(look, wrong), RIVALS, 3).correct


def test_a_frozen_picture_never_turned(look: Plan) -> None:
    blocks = np.broadcast_to(look.acted.frame(look.prefix), look.acted.blocks[look.prefix :].shape)
    outcome = judged("frozen", look, Made(blocks, blocks), RIVALS, 3)
    assert outcome.correct  # it shows the thing all the time, which is why presence alone says nothing
    assert not outcome.moved


def test_a_small_error_of_the_heading_is_forgiven(look: Plan) -> None:
    off = detect.shifted(look.acted.frame(len(look.acted.names)), 2, 0)
    assert judged("off", look, retouched(look, off), RIVALS, 3).correct


def test_a_thing_that_was_taken_is_gone_and_its_twin_is_not(stage: Reference) -> None:
    plan = twins.planned(next(d for d in doom.DEEDS if d.name == "pick_up"), stage, 2_000_000)
    truth = Made.of(plan.acted, plan.twin)
    assert judged("true", plan, truth, RIVALS, 3).score == 1.0
    assert not judged("never taken", plan, Made(truth.twin, truth.twin), RIVALS, 3).correct


def test_half_life_of_known_curves() -> None:
    assert half_life([(1, 1.0), (2, 0.75), (4, 0.25)]) == pytest.approx(3.0)
    assert half_life([(1, 1.0), (2, 0.9)]) == float("inf")
    assert np.isnan(half_life([(1, 0.0)]))
