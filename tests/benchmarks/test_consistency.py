"""Suite A on the painted cylinder: a perfect model, models and worlds with one fault each, and the floors."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from probes import WORLD, session, suite
from worldsim_benchmarks import proof
from worldsim_benchmarks.continuity import Sequel
from worldsim_benchmarks.pictures import Clip
from worldsim_benchmarks.records import Row
from worldsim_benchmarks.revisit import Place
from worldsim_benchmarks.scripts import LOOK_AROUND
from worldsim_benchmarks.suites.consistency_judge import Asked
from worldsim_benchmarks.suites.consistency_scripts import PLANS, SPIN, choose
from worldsim_benchmarks.suites.rivals import Rivals
from worldsim_benchmarks.suites.session import CandidateSpec, Session
from worldsim_benchmarks.truth import Reference

TASKS = ("turn_360", "turn_540", "pan_90")


def measured(run: Session, *tasks: str) -> dict[tuple[str, str], list[Row]]:
    """(candidate, task) -> rows."""
    out: dict[tuple[str, str], list[Row]] = {}
    asked = suite(*tasks)
    for result in asked.run(run, asked.episodes(run)):
        for outcome in result.outcomes:
            out.setdefault((outcome.candidate, result.episode.task), []).append(outcome.row(result.episode))
    return out


@pytest.fixture(scope="module")
def perfect(tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[str, str], list[Row]]:
    return measured(session(tmp_path_factory.mktemp("perfect")), *TASKS)


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("name", ["model", "true", "codec"])
def test_a_perfect_model_and_the_ceilings_are_right(
    perfect: dict[tuple[str, str], list[Row]], name: str, task: str
) -> None:
    assert [r["score"] for r in perfect[name, task]] == [1.0, 1.0, 1.0]
    for row in perfect[name, task]:
        assert row["measures"]["rotation"] == pytest.approx(1.0, abs=0.02)
        assert row["measures"]["stray"] < 4


@pytest.mark.parametrize("task", TASKS)
def test_floors_score_nothing_and_fail_where_they_must(perfect: dict[tuple[str, str], list[Row]], task: str) -> None:
    for row in perfect["frozen", task]:
        assert (row["score"], row["moved"], row["measures"]["rotation"]) == (0.0, False, 0.0)
    for row in perfect["grey", task]:
        assert (row["score"], row["moved"], row["continued"]) == (0.0, False, False)
    for row in perfect["other", task]:
        assert (row["score"], row["moved"], row["continued"]) == (0.0, True, False)


def test_a_brief_run_shows_other_codec_and_a_second_truth_on_three_maps(tmp_path: Path) -> None:
    run = session(tmp_path)
    more = replace(run, preset=replace(run.preset, seeds=4))
    for asked, maps in ((more, 3), (replace(more, preset=replace(more.preset, doses=True)), 4)):
        shown = {name: len(rows) for (name, _), rows in measured(asked, "pan_45").items()}
        assert shown == dict.fromkeys(("model", "frozen", "grey"), 4) | dict.fromkeys(("true", "other", "codec"), maps)


def test_frozen_shows_the_right_place_and_is_still_refused(perfect: dict[tuple[str, str], list[Row]]) -> None:
    """What a naive revisit measure would call perfect."""
    for row in perfect["frozen", "pan_90"]:
        assert row["measures"]["match"] == pytest.approx(1.0, abs=1e-3)
        assert row["measures"]["content"] > 0
        assert row["score"] == 0.0


def test_a_model_that_turns_too_little_strays_by_what_is_missing(tmp_path: Path) -> None:
    rows = measured(session(tmp_path, gain=0.8), "turn_360")["model", "turn_360"]
    for row in rows:
        assert (row["moved"], row["continued"], row["correct"]) == (True, True, False)
        assert row["measures"]["rotation"] == pytest.approx(0.8, abs=0.02)
        assert row["measures"]["closure"] == pytest.approx(-0.2 * 360.5, abs=4)


def test_a_model_of_another_world_is_self_consistent_and_does_not_continue(tmp_path: Path) -> None:
    rows = measured(session(tmp_path, forget=True), "turn_540")["model", "turn_540"]
    assert all(r["correct"] and r["moved"] for r in rows)
    assert not any(r["continued"] for r in rows)


def test_a_haze_that_is_like_itself_is_no_memory(tmp_path: Path) -> None:
    plan, run = PLANS["turn_540"], session(tmp_path)
    names = (*LOOK_AROUND, *plan.variants[0])
    truth = Reference(WORLD, (48, 48)).play(names, 2_000_000, len(LOOK_AROUND))
    with Rivals(run) as rivals:
        asked = Asked(plan, truth, rivals.of(names, truth.prefix), 0)
    blocks = truth.blocks[truth.prefix :]
    haze = np.stack([[cv2.GaussianBlur(frame, (0, 0), 9.0) for frame in block] for block in blocks])
    sharp, blurred = asked.judge("sharp", blocks), asked.judge("haze", haze)
    assert blurred.measures["own_content"] > 0
    assert blurred.measures["detail"] < 0.5 < 1.0 <= sharp.measures["detail"]
    assert (sharp.correct, blurred.correct) == (True, False)


@pytest.mark.slow
def test_the_mutants_are_caught_by_the_tasks_that_are_meant_to(tmp_path: Path) -> None:
    asked = suite("turn_360", "pan_90", "pan_180")
    mutants = Session(
        WORLD, {n: CandidateSpec(n) for n in ("true", *asked.mutants)}, session(tmp_path).preset, tmp_path,
        frame_size=(48, 48), bottom=0,
    )  # fmt: skip
    lines, holds = proof.prove(asked, mutants, say=lambda _: None)
    assert holds, [line for line in lines if not line.ok]
    assert sum("caught by" in line.what for line in lines) == 6


def test_a_world_that_is_right_is_not_flagged(perfect: dict[tuple[str, str], list[Row]]) -> None:
    rows = [r for part in perfect.values() for r in part]
    alike = [*rows, *({**r, "candidate": m} for r in rows if r["candidate"] == "true" for m in suite().mutants)]
    lines = proof.judge(suite(*TASKS), alike)
    assert next(line.ok for line in lines if line.what == "episodes in which nothing was produced")
    broken = [{**r, "failed": "it broke"} if r["candidate"] == "mirrored" else r for r in alike]
    assert not next(line.ok for line in proof.judge(suite(*TASKS), broken) if "nothing was produced" in line.what)

    def flagging(some: list[Row]) -> str:
        return next(line.value for line in proof.judge(suite(*TASKS), some) if "flag a true run" in line.what)

    assert flagging(alike) == "0"
    assert flagging([{**r, "score": 0.0} if r["task"] == "pan_90" else r for r in alike]) == "1"
    verdicts = {line.what.partition(":")[0]: line.ok for line in lines if "caught by" in line.what}
    assert verdicts == {"gain_0.8": False, "mirrored": False, "delayed": False, "amnesic": False, "colour_drift": False}


def test_rows_do_not_depend_on_which_episodes_are_run(
    perfect: dict[tuple[str, str], list[Row]], tmp_path: Path
) -> None:
    run, asked = session(tmp_path), suite("pan_90")
    alone = next(iter(asked.run(run, asked.episodes(run)[1:2])))
    (model,) = (o for o in alone.outcomes if o.candidate == "model")
    assert model.row(alone.episode) == perfect["model", "pan_90"][1]
    assert isinstance(alone.clip, Clip)
    assert alone.clip.made.shape == alone.clip.truth.shape == (12, 48, 48, 3)


def test_a_place_is_the_true_frames_near_a_pose() -> None:
    reference = Reference(WORLD, (48, 48))
    rollout = reference.play((*LOOK_AROUND, *SPIN), 2_000_000, len(LOOK_AROUND))
    place = Place.of(rollout, len(rollout.names))
    assert np.abs(place.yaw).max() <= 21
    assert place.distance.max() == 0
    others = np.stack([reference.play(rollout.names, s).frames[-1] for s in (2_000_001, 2_000_002)])
    exact = place.match(rollout.frames[-1], others)
    assert (exact.yaw_error, exact.colour_error) == (0.0, 0.0)
    assert exact.best == pytest.approx(1.0, abs=1e-5)
    before = place.match(rollout.frames[-4], others)  # three small turns earlier
    assert before.yaw_error == pytest.approx(10.5, abs=1.8)
    assert place.match(others[0], others).content <= 1e-6


def test_pans_take_turns_and_walks_ask_the_truth() -> None:
    played: list[tuple[str, ...]] = []
    reference = Reference(WORLD, (48, 48))

    def play(actions: tuple[str, ...]) -> object:
        played.append(actions)
        return reference.play((*LOOK_AROUND, *actions), 2_000_000, len(LOOK_AROUND))

    assert choose(PLANS["pan_45"], 2_000_000, play).actions[0] == "turn_left"  # type: ignore[arg-type]
    choose(PLANS["pan_45"], 2_000_001, play)  # type: ignore[arg-type]
    assert [a[0] for a in played] == ["turn_left", "turn_right"]
    far = choose(replace(PLANS["pan_45"], choose=lambda r: -np.unwrap(r.yaw, period=360)[11]), 2_000_000, play)  # type: ignore[arg-type]
    assert far.actions[0] == "turn_right"


def test_one_rival_plays_other_and_is_held_against_the_rest(tmp_path: Path) -> None:
    run, names = session(tmp_path), (*LOOK_AROUND, "turn_left", "turn_left")
    with Rivals(run) as rivals:
        every = rivals.of(names, len(LOOK_AROUND))
        assert rivals.of(names, len(LOOK_AROUND)) is every  # played once
        other = rivals.other(2_000_003, names, len(LOOK_AROUND))
        place = rivals.place(2_000_003)
    assert [r.map_seed for r in every] == run.rival_seeds
    assert other.map_seed == run.rival_seeds[place] == run.rival_seeds[3]
    assert np.array_equal(every[place].block, other.blocks[-2])
    assert np.array_equal(every[place].last, other.frames[-1])
    sequel = Sequel(other.blocks[-2], [r.block for r in every])
    assert not sequel.continued_by(other.blocks[-2]) and sequel.continued_by(other.blocks[-2], without=place)
