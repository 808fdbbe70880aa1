"""``worldsim bench``: what is printed for known rates, and what a user is told."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from worldsim.actions import ACTION_MEANINGS
from worldsim.baselines.predictor import UNetPredictor
from worldsim.cli import bench_play, bench_speed, main
from worldsim.cli.bench_options import candidate, session, variants, with_untrained
from worldsim.cli.bench_speed import Speed, contestants
from worldsim.model.debug import debug_simulator
from worldsim.model.prepacked import can_prepack
from worldsim.model.weights import WorldSimulator
from worldsim.passes import compute_dtype, pick_device
from worldsim.playing import generate
from worldsim.worlds import WORLDS


def row(name: str, batch: int, rounds: list[float]) -> dict[str, object]:
    rate = sorted(rounds)[len(rounds) // 2]
    return {
        "name": name, "batch": batch, "rounds": rounds, "steps_per_second": rate,
        "lane_steps_per_second": rate * batch,
    }  # fmt: skip


def test_ratios_are_taken_round_by_round_and_both_bars_must_hold() -> None:
    """A machine that is slow in one round is slow for both."""
    rows = [
        row("SoraWorld-v0 K=4", 1, [30.0, 3.0, 24.0]),
        row(bench_speed.BASELINE, 1, [5.0, 0.5, 4.0]),
        row("SoraWorld-v0 K=4", 16, [4.0, 4.0, 4.0]),
        row(bench_speed.BASELINE, 16, [0.4, 0.4, 0.4]),
    ]
    lines = bench_speed.speed_lines(rows, {"import_seconds": 0.1, "make_and_reset_seconds": 6.0, "peak_gib": 1.0})
    assert "6.0x the U-Net" in lines[0].value
    assert lines[0].ok is True
    assert "64.0 lane-steps/s, 10.0x the U-Net" in lines[2].value
    assert lines[2].ok is False
    assert [line.ok for line in lines[4:]] == [True, False, True]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["score", "/nowhere/at/all"], "holds no benchmark run"),
        (["speed", "--env-kwargs", "{model"], "is not JSON"),
        (["speed", "--env-kwargs", "[1]"], "no JSON object"),
        (["speed", "--beside", "window={x"], "--beside window= '{x' is not JSON"),
        (["fidelity", "--out", "x", "--world", "DoomPoker"], "unknown world 'DoomPoker'"),
        (["run", "--suite", "taste", "--out", "x"], "unknown suite 'taste'; accepted are consistency,"),
        (["run", "--suite", "consistency", "--out", "x", "--world", "DoomPoker"], "unknown world 'DoomPoker'"),
        (
            ["run", "--suite", "memory", "--out", "x", "--tasks", "still_3"],
            "unknown task 'still_3'; accepted are circle",
        ),
        (["run", "--suite", "memory", "--out", "x", "--beside", "window"], "--beside 'window': expected NAME=JSON"),
        (["selfcheck", "--suite", "taste", "--out", "x"], "unknown suite 'taste'"),
        (["selfcheck", "--out", "x", "--jobs", "0"], "--jobs 0: expected a number of at least 1"),
        (["selfcheck", "--out", "x", "--jobs", "2"], "fidelity is checked in one process; leave --jobs out"),
        (["selfcheck", "--out", "x", "--samples", "0"], "--samples 0: expected a number of at least 1"),
        (["selfcheck", "--out", "x", "--tasks", "door"], "--tasks door: fidelity has no tasks; leave --tasks out"),
        (
            ["selfcheck", "--suite", "interaction", "--out", "x", "--tasks", "paint"],
            "worldsim/DoomRooms-v0 is not asked paint by interaction; it is asked door, pick_up",
        ),
        (["publish", "--out", "/nowhere"], "holds no published results"),
        (["play", "--rollouts", "0"], "--rollouts 0"),
        (["play", "--world", "DoomPoker"], "unknown world 'DoomPoker'"),
        (["compare", "/nowhere/a", "/nowhere/b"], "holds no finished run"),
        (["report", "/nowhere/at/all"], "holds no benchmark run"),
    ],
)
def test_bad_input_is_one_line(arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main.main(["bench", *arguments]) == 2
    said = capsys.readouterr().err
    assert message in said
    assert said.count("\n") == 1


def test_score_refuses_a_run_of_another_suite(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from worldsim_benchmarks.records import Folder

    Folder.create(tmp_path, "speed", {})
    assert main.main(["bench", "score", str(tmp_path)]) == 2
    assert "holds a speed run" in capsys.readouterr().err


def test_a_model_folder_is_an_environment(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    spec = candidate(str(tmp_path), '{"denoising_steps": 2}', 8, "world")
    assert (spec.env, spec.lanes) == ("SoraWorld-v0", 8)
    assert spec.kwargs == {"model": str(tmp_path), "denoising_steps": 2}
    assert candidate("mirrored", "{}", 8, "world").is_replay
    assert candidate("worldsim:SoraWorld-v0", "{}", 8, "world").env == "SoraWorld-v0"
    with pytest.raises(ImportError, match="no_such_package"):
        candidate("no_such_package:Dream-v0", "{}", 8, "world")


def test_surprise_has_the_same_model_untrained_beside_it_where_the_environment_is_ours(tmp_path: Path) -> None:
    def models(env: str, kwargs: str) -> dict[str, object]:
        asked = with_untrained(session(candidate(env, kwargs, 1, "world"), "DoomRooms", "tiny", tmp_path, 0))
        return {name: spec.kwargs.get("model") for name, spec in asked.candidates.items()}

    assert models("SoraWorld-v0", "{}") == {"model": "worlds", "untrained": "untrained:worlds"}
    folder = str(debug_simulator().save_pretrained(tmp_path / "own"))
    assert models("SoraWorld-v0", f'{{"model": "{folder}"}}') == {"model": folder, "untrained": f"untrained:{folder}"}
    assert list(models("CartPole-v1", "{}")) == ["model"]
    ours = with_untrained(session(candidate("SoraWorld-v0", "{}", 1, "world"), "DoomRooms", "tiny", tmp_path, 0))
    assert ours.main.version != ours.candidates["untrained"].version


def test_a_model_that_is_begun_by_another_starter_is_another_candidate(tmp_path: Path) -> None:
    made = debug_simulator(starter=True)
    folders = [made.save_pretrained(tmp_path / "with"), made.with_starter(None).save_pretrained(tmp_path / "without")]
    specs = [candidate("SoraWorld-v0", f'{{"model": "{folder}"}}', 1, "world") for folder in folders]
    one, two = (session(spec, "DoomRooms", "tiny", tmp_path, 0).main.version for spec in specs)
    assert one == f"{two}+{made.starter.digest}" and two == made.digest  # type: ignore[union-attr]


def test_speed_sweeps_the_steps_of_ours_and_takes_others_as_they_are() -> None:
    def names(options: bench_speed.Speed) -> list[str]:
        spec = candidate(options.env, options.env_kwargs, 1, "")
        return [c.name for c in bench_speed.contestants(options, spec)]

    baselines = [bench_speed.BASELINE, bench_speed.PREPACKED]
    device = pick_device("auto")
    if not can_prepack(device, compute_dtype(device)):
        baselines.pop()
    assert names(bench_speed.Speed(denoising_steps=(4, 1))) == ["SoraWorld-v0 K=4", "SoraWorld-v0 K=1", *baselines]
    fixed = bench_speed.Speed(env_kwargs='{"denoising_steps": 2}', baseline=False)
    assert names(fixed) == ["SoraWorld-v0"]
    assert names(bench_speed.Speed(denoising_steps=(), env="CartPole-v1", baseline=False)) == ["CartPole-v1"]


def test_the_baseline_takes_bfloat16_only_where_it_is_native(monkeypatch: pytest.MonkeyPatch) -> None:
    taken = []

    class Noted(UNetPredictor):
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            taken.append(kwargs["bfloat16"])
            super().__init__(*args, **kwargs)

    monkeypatch.setattr("worldsim.baselines.predictor.UNetPredictor", Noted)
    monkeypatch.setattr("worldsim.passes.compute_dtype", lambda device: torch.float32)
    bench_speed.unet_stepper(1, torch.device("cpu"))()
    assert taken == [False]
    spec = candidate("SoraWorld-v0", '{"device": "cpu"}', 1, "")
    assert [c.name for c in bench_speed.contestants(bench_speed.Speed((1,), (1,)), spec)][1:] == [bench_speed.BASELINE]


def test_variants_are_the_same_environment_with_other_arguments() -> None:
    spec = candidate("SoraWorld-v0", '{"denoising_steps": 2}', 4, "world")
    found = variants(spec, ('window={"model": "?memory=window"}', "plain={}"))
    assert found["plain"] == spec
    assert found["window"].kwargs == {"denoising_steps": 2, "model": "?memory=window"} and found["window"].lanes == 4
    mine = candidate("SoraWorld-v0", '{"model": "runs/mine?memory=frames"}', 4, "world")
    own = variants(mine, ('window={"model": "?memory=window"}', 'short={"model": "?window=8"}'))
    assert own["window"].kwargs == {"model": "runs/mine?memory=window"}
    assert own["short"].kwargs == {"model": "runs/mine?window=8"}
    asked = session(spec, "DoomRooms", "quick", Path("runs"), 0, beside=('window={"model": "?memory=window"}',))
    assert list(asked.candidates) == ["model", "window"]
    shipped = WorldSimulator.from_pretrained()
    assert shipped.starter is not None
    assert {c.version for c in asked.candidates.values()} == {f"{shipped.digest}+{shipped.starter.digest}"}
    assert session(candidate("true", "{}", 4, "world"), "DoomRooms", "quick", Path("runs"), 0).main.version == ""
    names = [c.name for c in contestants(Speed(denoising_steps=(1,), beside=("plain={}",), baseline=False), spec)]
    assert names == ["SoraWorld-v0", "plain"]


def test_a_run_names_the_model_that_it_measures(tmp_path: Path) -> None:
    """In every world that it is asked, so that the same one is meant where it is told none."""

    def models(world: str, beside: tuple[str, ...] = (), events: tuple[str, ...] | None = None) -> list[object]:
        asked = session(candidate("SoraWorld-v0", "{}", 1, "world"), world, "tiny", tmp_path, 0, events, beside)
        assert all(spec.version for spec in asked.candidates.values())
        return [spec.kwargs["model"] for spec in asked.candidates.values()]

    assert models("DoomRooms") == ["worlds"]
    assert models("Table", ('window={"model": "?memory=window"}',)) == ["worlds", "worlds?memory=window"]
    assert models("DoomRooms", events=("Table",)) == ["worlds"]


def test_a_model_that_cannot_be_loaded_is_told_task_by_task(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("vizdoom")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "config.json").write_text("{}")
    options = ["--env", str(tmp_path / "mine"), "--suite", "memory", "fidelity", "--out", str(tmp_path / "out")]
    assert main.main(["bench", "run", "--jobs", "1", *options]) == 1
    memory, fidelity = capsys.readouterr().out.splitlines()
    assert memory.startswith("memory: cannot be run: SoraWorld-v0 cannot be made: WeightsError")
    assert fidelity.startswith("fidelity: cannot be run: SoraWorld-v0 cannot be made: WeightsError")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("text", ["window", "true={}", "model={}", "untrained={}", "copy_last={}", "={}"])
def test_variants_need_names_of_their_own(text: str) -> None:
    with pytest.raises(ValueError, match="expected NAME=JSON"):
        variants(candidate("SoraWorld-v0", "{}", 4, "world"), (text,))


def test_the_true_world_has_no_speed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main.main(["bench", "run", "--suite", "speed", "--env", "true", "--out", str(tmp_path)]) == 1
    assert "speed: cannot be run" in capsys.readouterr().out


def test_an_environment_that_lacks_what_a_suite_needs_is_told_and_nothing_is_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("vizdoom")
    options = ["--suite", "consistency", "--env", "CartPole-v1", "--out", str(tmp_path), "--jobs", "1"]
    assert main.main(["bench", "run", *options]) == 1
    said = capsys.readouterr().out
    assert said.startswith("consistency: cannot be run: CartPole-v1 cannot be made: TypeError")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("suites", "task", "whys"),
    [
        (
            ("memory", "text"),
            "event_shoot",
            ["memory: has no task event_shoot", "text: cannot be run: true is played on true maps: it takes no text"],
        ),
        (("text",), "event_shoot", ["text: cannot be run: true is played on true maps: it takes no text"]),
    ],
)
def test_a_task_that_is_not_run_says_why_and_other_suites_go_on(
    suites: tuple[str, ...], task: str, whys: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("vizdoom")
    options = ["--suite", *suites, "speed", "--env", "true", "--out", str(tmp_path), "--tasks", task, "--jobs", "1"]
    assert main.main(["bench", "run", *options]) == 1
    said = capsys.readouterr().out.splitlines()
    assert said == [*whys, "speed: cannot be run: it is asked of learned environments only"]


def test_rollouts_that_are_measured_are_those_that_are_generated() -> None:
    simulator = debug_simulator(player=True, termination=0.2)
    spec = WORLDS["DoomTakeCover"]
    rollouts = bench_play.dreamed(simulator, spec, bench_play.Play(rollouts=4, steps=5, seed=8))
    assert len({len(rollout.actions) for rollout in rollouts}) > 1  # some end before the others
    for i, rollout in enumerate(rollouts):
        alone = generate(spec.prompt, 5, spec.name, simulator, seed=8 + i)
        assert rollout.actions == tuple(ACTION_MEANINGS[a] for a in alone.actions)
        assert rollout.frames.shape == alone.frames.shape
        assert np.abs(rollout.frames.astype(int) - alone.frames).max() <= 2


def test_the_camera_of_a_world_is_that_of_its_lens() -> None:
    found = bench_play.camera_matrix(WORLDS["DoomRooms"], (64, 64))
    assert found is not None
    assert np.degrees(2 * np.arctan(32 / found[0, 0])) == pytest.approx(73.74, abs=0.01)
    assert bench_play.camera_matrix(WORLDS["Table"], (64, 64)) is None


def test_play_needs_a_player(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    debug_simulator().save_pretrained(tmp_path / "model")
    assert main.main(["bench", "play", "--model", str(tmp_path / "model")]) == 2
    assert "worldsim train player" in capsys.readouterr().err


@pytest.mark.slow
def test_play_is_measured_beside_true_play(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A model of noise plays nothing alike, and is told so."""
    debug_simulator(player=True).save_pretrained(tmp_path / "model")
    options = [
        "--model",
        str(tmp_path / "model"),
        "--rollouts",
        "2",
        "--steps",
        "8",
        "--sheet",
        str(tmp_path / "s.png"),
    ]
    assert main.main(["bench", "play", *options]) == 1
    said = capsys.readouterr().out
    assert "2 rollouts, true play 2" in said and "NO" in said and (tmp_path / "s.png").is_file()


def test_nets_of_unknown_worlds_are_refused_and_untrained_ones_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main.main(["bench", "nets", "score", "--worlds", "Moon"]) == 2
    assert "no nets are known for Moon; accepted are DoomRooms, Table" in capsys.readouterr().err
    assert main.main(["bench", "nets", "score", "--worlds", "DoomRooms", "--weights", str(tmp_path)]) == 0
    assert (
        f"has no nets of this world; `worldsim bench nets train --out {tmp_path}` makes them" in capsys.readouterr().out
    )


@pytest.mark.slow
def test_a_selfcheck_is_the_same_in_one_process_and_in_two(tmp_path: Path) -> None:
    pytest.importorskip("vizdoom")
    asked = ["bench", "selfcheck", "--suite", "interaction", "--world", "DoomRooms", "--n", "tiny"]
    for jobs in ("1", "2"):
        assert main.main([*asked, "--jobs", jobs, "--out", str(tmp_path / jobs)]) in (0, 1)  # with three maps of truth
    assert (tmp_path / "1/rows.jsonl").read_text() == (tmp_path / "2/rows.jsonl").read_text()
    rows = [json.loads(line) for line in (tmp_path / "2/rows.jsonl").read_text().splitlines()]
    assert {row["candidate"] for row in rows} == {"true", "undo", "frozen", "grey", "other"}
    assert main.main([*asked, "--jobs", "1", "--tasks", "door", "--out", str(tmp_path / "door")]) in (0, 1)
    doors = [json.loads(line) for line in (tmp_path / "door/rows.jsonl").read_text().splitlines()]
    assert doors == [row for row in rows if row["task"] == "door"]
