"""Strengths that are swept: read from pictures, judged, and regressed, on cases whose answer is known."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from worldsim_benchmarks.candidates import Context, ReplayCandidate
from worldsim_benchmarks.presets import PRESETS
from worldsim_benchmarks.probes import table, table_collisions, table_doses, table_speeds
from worldsim_benchmarks.probes.dose import Dose, extent, like, middle
from worldsim_benchmarks.probes.judge import Made, judged
from worldsim_benchmarks.records import Row
from worldsim_benchmarks.report import probe_lines
from worldsim_benchmarks.suites import responses, twins
from worldsim_benchmarks.suites.registry import suite_named
from worldsim_benchmarks.suites.session import CandidateSpec, Session
from worldsim_benchmarks.truth import Reference

import worldsim

assert worldsim.__version__
RIVALS = tuple(np.random.default_rng(0).integers(0, 256, (2, 4, 64, 64, 3), dtype=np.uint8))
(STROKE,) = table_doses.DEEDS
PUSH, HIT, FALL = table_speeds.DEEDS
(BLOW,) = table_collisions.DEEDS


def rows(candidate: str, slope: float, offset: float = 0.0) -> list[Row]:
    """One map per dose."""
    return [
        {"task": "stroke_length", "map_seed": i, "sample": 0, "candidate": candidate, "score": 1.0, "moved": True,
         "continued": True, "correct": True, "failed": "",
         "measures": {"dose": d, "recovered": slope * d + offset, "curve": []}}
        for i, d in enumerate((0.1, 0.2, 0.3, 0.4, 0.5, 0.6))
    ]  # fmt: skip


def test_a_line_is_recovered_whatever_its_offset() -> None:
    found = {
        r.candidate: r
        for r in responses.responses([*rows("true", 1.0), *rows("weak", 0.5, 0.2), *rows("deaf", 0.0, 0.3)])
    }
    assert [found[n].slope.value for n in ("true", "weak", "deaf")] == pytest.approx([1.0, 0.5, 0.0])
    assert [found[n].r_squared.value for n in ("true", "weak", "deaf")] == pytest.approx([1.0, 1.0, 0.0])
    assert found["weak"].slope.low == pytest.approx(0.5)


def test_scatter_lowers_r_squared_and_not_the_slope() -> None:
    points = np.array([[0.0, 1.0], [0.0, -1.0], [2.0, 3.0], [2.0, 1.0]])
    assert responses.slope(points) == pytest.approx(1.0)
    assert responses.r_squared(points) == pytest.approx(0.5)
    assert np.isnan(responses.slope(np.array([[1.0, 1.0], [1.0, 2.0]])))


def test_the_curve_is_the_mean_of_like_doses() -> None:
    (curve,) = responses.curves([*rows("true", 1.0), *rows("model", 0.5)])
    assert [x for x, *_ in curve.lines["model"]] == pytest.approx([0.1, 0.2, 0.3, 0.4, 0.5, 0.6])
    assert [y for _, y, *_ in curve.lines["model"]] == pytest.approx([0.05, 0.1, 0.15, 0.2, 0.25, 0.3])


def test_the_suite_tells_the_lines_and_the_table_prints_them() -> None:
    score = suite_named("interaction").score(rows("model", 0.5))
    assert [r.task for r in score.responses] == ["stroke_length"]
    plain = {"slope": {"value": 0.5, "low": 0.4, "high": 0.6}, "r_squared": {"value": 1.0, "low": 1.0, "high": 1.0}}
    result = {
        "score": {"candidates": {}, "responses": [{"task": "stroke_length", "candidate": "model", **plain}]},
        "config": {"candidates": {}},
    }
    (line,) = probe_lines(result)
    assert (line.what, line.value) == (
        "model: stroke_length, response to dose", "slope 0.50 [0.40, 0.60], R^2 1.00 [1.00, 1.00]",
    )  # fmt: skip


def test_a_strength_is_right_to_a_quarter_and_the_twin_shows_none() -> None:
    dose = Dose(0.4, "m", lambda blocks: 0.0, 0.04)
    assert [dose.holds(r, True) for r in (0.25, 0.27, 0.4, 0.53, 0.55)] == [False, True, True, True, False]
    assert [dose.holds(r, False) for r in (0.0, 0.13, 0.15)] == [True, True, False]


def test_pictures_are_read_by_colour_against_what_was_there() -> None:
    background = np.full((20, 20, 3), 90, np.uint8)
    frame = background.copy()
    frame[4:8, 5:15] = (200, 30, 30)
    frame[12:15, 2:4] = (20, 20, 200)  # another colour
    mask = like(frame, np.array([210.0, 40, 30]), background, np.ones((20, 20), bool))
    assert (extent(mask, 0, 2), extent(mask, 1, 2)) == (10, 4)
    assert middle(mask) == pytest.approx([9.5, 5.5])
    assert middle(np.zeros((20, 20), bool)) is None


def test_quick_runs_leave_swept_strengths_out(tmp_path: Path) -> None:
    suite = suite_named("interaction")
    asked = {
        name: {e.task for e in suite.episodes(Session(table.WORLD, {"true": CandidateSpec("true")}, preset, tmp_path))}
        for name, preset in PRESETS.items()
    }
    swept = {"stroke_length", "push_speed", "hit_distance", "fall_rate", "momentum"}
    assert swept <= asked["default"] == asked["publish"]
    assert asked["default"] - asked["quick"] == swept


@pytest.fixture(scope="module")
def stage() -> Iterator[Reference]:
    pytest.importorskip("pymunk")
    opened = Reference(table.WORLD, depth=False, labels=True)
    yield opened
    opened.close()


@pytest.mark.parametrize("deed", [STROKE, PUSH, HIT, BLOW], ids=lambda d: d.name)
def test_the_true_strength_is_read_from_the_true_picture(deed: table_doses.Deed, stage: Reference) -> None:
    plan = twins.planned(deed, stage, 2_000_000)
    assert plan.dose is not None
    truth = Made.of(plan.acted, plan.twin)
    found = judged("true", plan, truth, RIVALS, 0)
    assert found.score == 1.0
    assert found.measures["recovered"] == pytest.approx(plan.dose.true, abs=max(plan.dose.slack, 0.1 * plan.dose.true))
    assert found.measures["recovered_twin"] == pytest.approx(0.0, abs=plan.dose.slack)
    still = np.broadcast_to(plan.acted.frame(plan.prefix), truth.acted.shape)
    assert judged("frozen", plan, Made(still, still), RIVALS, 0).score == 0.0
    assert not judged("does it always", plan, replace(truth, twin=truth.acted), RIVALS, 0).correct


@pytest.mark.parametrize("episode", [2_000_001, 2_000_002])
def test_each_way_to_push_is_planned_and_read_right(episode: int, stage: Reference) -> None:
    """By one step, and by two; the hand draws back from the place that the thing left."""
    plan = twins.planned(PUSH, stage, episode)
    assert plan.dose is not None
    pushes = table_doses.of_block(plan.acted.map_seed, table_speeds.WAYS)[0]
    action = plan.acted.actions[0]
    assert plan.acted.actions[: 2 * pushes] == (action,) * pushes + (table.BACK[action],) * pushes
    assert judged("true", plan, Made.of(plan.acted, plan.twin), RIVALS, 0).score == 1.0


def test_half_a_stroke_is_half_the_dose(stage: Reference) -> None:
    plan = twins.planned(STROKE, stage, 2_000_000)
    assert plan.dose is not None
    (change,) = plan.curve
    blocks = plan.acted.blocks[plan.prefix :].copy()
    columns = np.flatnonzero(change.mask.any(0))
    cut = np.arange(64) >= np.median(columns)
    blocks[-1, -1][:, cut] = change.undone[:, cut]
    whole, half = (plan.dose.read(b) for b in (plan.acted.blocks[plan.prefix :], blocks))
    assert half + table_doses.BRUSH == pytest.approx((whole + table_doses.BRUSH) / 2, abs=2 / 64)


@pytest.mark.slow
def test_no_fall_is_asked_where_something_else_has_the_colour_of_what_falls(
    stage: Reference, monkeypatch: pytest.MonkeyPatch
) -> None:
    for misread in (2_000_469, 2_002_819):
        plan = table_speeds.fall_rate(stage, misread)
        assert (
            plan is None or plan.dose is None or plan.dose.holds(plan.dose.read(plan.acted.blocks[plan.prefix :]), True)
        )
    monkeypatch.setattr(table_speeds, "ASTRAY", np.inf)
    found = table_speeds.fall_rate(stage, 2_000_469)
    assert found is not None and found.dose is not None
    assert not found.dose.holds(found.dose.read(found.acted.blocks[found.prefix :]), True)


def test_the_rate_of_a_fall_is_read_from_the_true_picture_and_from_one_that_falls_slower(stage: Reference) -> None:
    plan = twins.planned(FALL, stage, 2_000_000)
    assert plan.dose is not None
    truth = Made.of(plan.acted, plan.twin)
    found = judged("true", plan, truth, RIVALS, 0)
    assert found.score == 1.0
    assert found.measures["recovered"] == pytest.approx(plan.dose.true, abs=plan.dose.slack)
    assert "recovered_twin" not in found.measures
    still = np.broadcast_to(plan.acted.frame(plan.prefix), truth.acted.shape)
    assert judged("frozen", plan, Made(still, still), RIVALS, 0).score == 0.0
    slow = ReplayCandidate(table.WORLD, mutant="wrong_gravity")
    blocks = slow.go_on([Context.of(plan.acted)], [plan.acted.actions], [3]).blocks[0]
    slow.close()
    assert plan.dose.read(blocks) < plan.dose.true - plan.dose.slack
    assert not judged("wrong_gravity", plan, Made(blocks, blocks), RIVALS, 0).correct


@pytest.mark.parametrize("deed", [HIT, BLOW], ids=lambda d: d.name)
def test_what_passes_through_hands_nothing_over(deed: table_doses.Deed, stage: Reference) -> None:
    plan = twins.planned(deed, stage, 2_000_000)
    assert plan.dose is not None
    broken = ReplayCandidate(table.WORLD, mutant="ghost_collision")
    blocks = broken.go_on([Context.of(plan.acted)], [plan.acted.actions], [3]).blocks[0]
    broken.close()
    assert plan.dose.read(blocks) == pytest.approx(0.0, abs=plan.dose.slack)
