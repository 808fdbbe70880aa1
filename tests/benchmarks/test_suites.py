"""The parts of the fidelity suite on a world that is known: a perfect model, and models with one fault
each."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from panorama import NAMES
from worldsim_benchmarks import selfcheck
from worldsim_benchmarks.candidates import Context, EnvCandidate
from worldsim_benchmarks.presets import Preset
from worldsim_benchmarks.records import Folder, Row, plain
from worldsim_benchmarks.report import fidelity_lines, table
from worldsim_benchmarks.suites import control, events, fidelity, free, minute, onestep
from worldsim_benchmarks.suites.session import CandidateSpec, Session
from worldsim_benchmarks.truth import Reference

SMALL = Preset(
    seeds=3,
    horizon=4,
    samples=1,
    others=2,
    one_step=1,
    hold=2,
    episodes=3,
    negatives=4,
    prompts=2,
    minutes=2,
    true_minutes=3,
)


def session(out: Path, **kwargs: Any) -> Session:
    """The toy model as candidate; ``kwargs`` break it."""
    spec = CandidateSpec("toy/Model-v0", kwargs, lanes=2, world_keyword="")
    return Session(
        "toy/Panorama-v0", {"model": spec}, SMALL, out, frame_size=(48, 48), bottom=0,
        event_worlds=("toy/Panorama-v0",),
    )  # fmt: skip


def test_a_perfect_model_is_above_every_floor_to_the_end(tmp_path: Path) -> None:
    rows = plain(free.run(session(tmp_path))[0])
    summary = free.summarise(rows)
    known = summary["groups"]["known"]
    assert summary["world_repeats_exactly"]
    assert known["h_star"] == 4
    assert known["curves"]["model"]["ssim"][4]["value"] > 0.98
    assert known["curves"]["codec"]["ssim"][4]["value"] > 0.9
    assert set(known["above"][4]["differences"]) == {"frozen", "grey", "other", "action_shuffled"}
    assert 0.9 < known["above"][4]["skill"]["value"] < 1.3


def test_another_world_in_the_right_motion_is_not_above_the_floors(tmp_path: Path) -> None:
    rows = plain(free.run(session(tmp_path, forget=True))[0])
    assert free.summarise(rows)["groups"]["known"]["h_star"] == 0


@pytest.mark.parametrize("gain", [1.0, 0.5, -1.0])
def test_the_yaw_slope_is_the_gain(tmp_path: Path, gain: float) -> None:
    made = control.summarise(plain(control.run(session(tmp_path, gain=gain))))
    assert made["model"]["yaw_slope"]["value"] == pytest.approx(gain, abs=0.03)
    assert made["truth"]["yaw_slope"]["value"] == pytest.approx(1.0, abs=0.03)
    assert made["model"]["noop_change"]["value"] < 1.0


def test_one_step_of_a_perfect_model_and_its_dependence_on_actions(tmp_path: Path) -> None:
    summary = onestep.summarise(plain(onestep.run(session(tmp_path))))
    assert summary["model"]["psnr"]["value"] > summary["copy_last"]["psnr"]["value"] + 6
    assert summary["sampled_action_ratio"]["value"] > 5
    assert summary["codec_all"]["value"] > 45  # it drops the lowest bit


def test_a_model_blind_to_actions_has_a_ratio_of_one(tmp_path: Path) -> None:
    summary = onestep.summarise(plain(onestep.run(session(tmp_path, gain=0.0))))
    assert summary["sampled_action_ratio"]["value"] == pytest.approx(1.0, abs=0.02)
    assert summary["db_above_copy_last"] < 1.0


def test_reward_and_termination_are_rated_from_the_predictions(tmp_path: Path) -> None:
    rows = plain(events.run(replace(session(tmp_path), seed=1)))
    rating = events.summarise(rows)["toy/Panorama-v0"]
    assert rating["reward_up"]["auroc"]["value"] == 1.0
    assert rating["termination"]["positives"] >= 1
    assert rating["termination"]["auroc"]["value"] == 1.0
    # 0.2 where nothing is paid and 0.9 where it is: the error is between 0.1 and 0.2
    assert 0.1 <= rating["reward_up"]["calibration_error"] <= 0.2
    assert not rating["termination"]["rated"]


def test_one_minute_of_the_same_world_is_inside_and_dark_pictures_are_not(tmp_path: Path) -> None:
    rows = plain(minute.run(session(tmp_path), steps=100)[0])
    truth = [r for r in rows if r["candidate"] == "truth"]
    dark = [{**r, "candidate": "dark", "segments": (0.3 * np.array(r["segments"])).tolist()} for r in truth]
    verdicts = minute.summarise([*rows, *dark])["candidates"]
    assert verdicts["truth"]["share_of_rollout_segments_inside"] > 0.6
    assert not verdicts["dark"]["all_inside"]


def test_seconds_of_a_minute_are_told_from_true_ones_where_they_are_others() -> None:
    rng = np.random.default_rng(0)

    def row(name: str, seed: int, shift: float = 0.0) -> Row:
        seconds = {"1": rng.normal(size=4).tolist(), "60": (rng.normal(size=4) + shift).tolist()}
        return {"candidate": name, "map_seed": seed, "segments": [[1.0] * 6], "seconds": seconds}

    true, late = [row("truth", i) for i in range(30)], [row("late", i, 3.0) for i in range(12)]
    few = [{**r, "candidate": "few"} for r in late[:9]]
    verdicts = minute.summarise([*true, *late, *few])["candidates"]
    told = verdicts["late"]["told_apart"]
    assert told["60"]["value"] > 0.95 and told["60"]["low"] > 0.8
    assert told["1"]["low"] < 0.5 < told["1"]["high"]
    assert verdicts["few"]["told_apart"] == verdicts["truth"]["told_apart"] == {}
    lines = fidelity_lines(
        {"config": {"frame_size": (64, 64)}, "parts": {"minute": {"candidates": {"late": verdicts["late"]}}}}
    )
    (line,) = (x for x in lines if x.what == "late told from the truth at 60 s, AUROC of a classifier")
    assert line.value.startswith(("0.9", "1.0"))


def test_a_brief_run_asks_less_of_each_part_and_no_minute(tmp_path: Path) -> None:
    whole = replace(session(tmp_path), preset=replace(SMALL, horizon=2))
    run = replace(whole, preset=replace(whole.preset, doses=False))
    assert set(fidelity.usual(whole)) - set(fidelity.usual(run)) == {"minute"}
    rows = free.run(run)[0]
    scripts = {r["script"] for r in rows if r["candidate"] == "model"}
    assert scripts == {"turn_and_back", "forward_and_back"}
    assert {r["script"] for r in rows if r["candidate"] == "action_shuffled"} == {"turn_and_back"}
    key = ("candidate", "script", "map_seed")
    every = {tuple(r[k] for k in key): r["ssim"].tolist() for r in free.run(whole)[0]}
    assert all(every[tuple(r[k] for k in key)] == r["ssim"].tolist() for r in rows)  # what is asked is asked alike
    steps = {(r["script"], r["map_seed"], r["t"]) for r in onestep.run(run) if r["candidate"] == "model"}
    assert len(steps) == 3 * 3 and {script for script, *_ in steps} == scripts | {"explore"}
    asked = {(r["action"], r["map_seed"]) for r in control.run(run) if r["candidate"] == "model"}
    assert {seed for action, seed in asked if action == "turn_left"} == {2_000_000, 2_000_002}
    assert {seed for action, seed in asked if action == "turn_right"} == {2_000_001}
    assert {r["map_seed"] for r in events.run(run)} <= {2_002_000, 2_002_001, 2_002_002}
    named = replace(run, named=("control",))  # in full, and other parts as before
    assert {(r["action"], r["map_seed"]) for r in control.run(named) if r["candidate"] == "model"} > asked
    assert len(onestep.run(named)) == len(onestep.run(run))
    fidelity.begin(replace(run, out=tmp_path / "brief"), ("control",))
    with pytest.raises(ValueError, match="config"):  # rows of both are not mixed
        fidelity.begin(replace(named, out=tmp_path / "brief"), ("control",))


def test_candidates_get_batches_of_their_lanes_in_the_given_order() -> None:
    """Five episodes on two lanes, contexts of two lengths: each comes back at its own place."""
    reference = Reference("toy/Panorama-v0", (48, 48))
    rollouts = [
        reference.play(("turn_left",) * n + ("turn_right",), 2_000_000 + n % 3, prefix=n) for n in (1, 2, 1, 2, 2)
    ]
    candidate = EnvCandidate("toy/Model-v0", lanes=2)
    made = candidate.go_on([Context.of(r) for r in rollouts], [r.actions for r in rollouts], list(range(5)))
    assert made.blocks.shape == (5, 1, 4, 48, 48, 3)
    for rollout, frames in zip(rollouts, made.frames):
        assert np.abs(frames[0].astype(int) - rollout.future[0]).mean() < 1.0
    assert made.predictions["reward_distribution"].shape == (5, 1, 2)


def test_an_action_that_the_world_has_not_is_named() -> None:
    with pytest.raises(ValueError, match=r"no action fly; it has noop, forward"):
        Reference("toy/Panorama-v0", (48, 48)).play(("fly",), 2_000_000)


def test_after_an_end_the_last_frame_stays() -> None:
    reference = Reference("toy/Panorama-v0", (48, 48))
    rollout = reference.play(("use", "use", "use", "turn_left", "turn_left"), 2_000_000)
    assert rollout.length == 3
    assert rollout.terminated.tolist() == [False, False, True, False, False]
    assert np.array_equal(rollout.frames[5], rollout.frames[3])
    candidate = EnvCandidate("toy/Model-v0", lanes=1)
    start = reference.play(("noop",), 2_000_000, prefix=1)
    made = candidate.go_on([Context.of(start)], [rollout.names], [0])
    assert made.terminated.sum() == 1
    assert np.array_equal(made.frames[0, 4], made.frames[0, 2])


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Folder:
    """A run of four parts."""
    run = session(tmp_path_factory.mktemp("run"))
    return fidelity.run(run, ("free", "onestep", "control", "events"), say=lambda _: None)


def test_a_saved_run_is_scored_without_the_model(finished: Folder) -> None:
    summary = plain(fidelity.score(Folder(finished.path)))
    printed = table(fidelity_lines(summary))
    for line in (
        "yaw slope",
        "H*, last horizon above all floors",
        "dB below the codec",
        "AUROC of termination",
    ):
        assert line in printed
    assert (finished.path / "curves.png").stat().st_size > 10_000
    assert (finished.path / "worst.png").stat().st_size > 5_000
    header = finished.header()
    assert header["run"]["cores"] >= 1
    assert header["config"]["map_seeds"] == [2_000_000, 2_000_002]


def test_the_same_seed_gives_the_same_rows(finished: Folder, tmp_path: Path) -> None:
    again = fidelity.run(session(tmp_path), ("free", "events"), say=lambda _: None)
    for part in ("free", "events"):
        assert again.read(part) == finished.read(part)


def test_a_run_continues_and_a_folder_of_another_run_is_refused(finished: Folder) -> None:
    said: list[str] = []
    run = session(finished.path)
    fidelity.run(run, ("free",), say=said.append)
    assert said == ["free: already there"]
    with pytest.raises(ValueError, match="another configuration"):
        fidelity.run(replace(run, seed=5), ("free",))
    with pytest.raises(ValueError, match="unknown part speed"):
        fidelity.run(run, ("speed",))


def test_damaged_and_newer_folders_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"header\.json is missing"):
        Folder(tmp_path).header()
    folder = Folder.create(tmp_path, "fidelity", {})
    folder.write("free", [{"a": float("nan"), "b": np.float32(1.5)}])
    assert folder.read("free") == [{"a": None, "b": 1.5}]
    path = tmp_path / "rows" / "free.jsonl"
    path.write_text(path.read_text()[:-4])
    with pytest.raises(ValueError, match="damaged"):
        folder.read("free")
    header = json.loads((tmp_path / "header.json").read_text())
    (tmp_path / "header.json").write_text(json.dumps({**header, "schema": 99}))
    with pytest.raises(ValueError, match="update worldsim"):
        folder.header()


def test_the_toy_names_its_actions_as_the_scripts_do() -> None:
    from worldsim_benchmarks.scripts import control_scripts, twin_scripts

    used = {n for s in (*twin_scripts(64), *control_scripts()) for n in (*s.prefix, *s.actions)}
    assert used <= set(NAMES)


@pytest.mark.slow
def test_selfcheck_holds_on_the_toy_world(tmp_path: Path) -> None:
    preset = replace(SMALL, seeds=8, horizon=8, hold=6)
    run = selfcheck.session_for("toy/Panorama-v0", preset, tmp_path)
    rows = plain(free.run(replace(run, frame_size=(48, 48), bottom=0))[0])
    gaps = selfcheck.below_truth(rows)
    assert {"mirrored", "gain_0.8", "delayed", "colour_drift", "blur", "frozen", "grey", "other"} <= set(gaps)
    assert all(gap.low > 0 for gap in gaps.values()), {k: str(v) for k, v in gaps.items()}


def test_step_by_step_is_the_same_as_a_whole_script() -> None:
    reference = Reference("toy/Panorama-v0", (48, 48))
    names = ("turn_left", "use", "use", "use", "turn_left")
    whole = reference.play(names, 2_000_000, prefix=1)
    assert reference.reset(2_000_000)
    reference.do("turn_left")
    assert reference.truth["camera"]["yaw"] == whole.yaw[1]
    reference.do(*names[1:])
    assert reference.over
    stepped = reference.played(1)
    assert stepped.names == names[:4]  # what was done, without what came after the end
    assert np.array_equal(stepped.blocks, whole.blocks[:4])
    assert (stepped.length, whole.length, len(whole.truths)) == (4, 4, 6)
    assert np.array_equal(whole.frame(5), whole.frame(4))
