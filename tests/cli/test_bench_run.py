"""``worldsim bench run`` in one process and in several: the same rows, and a suite that fails costs no other."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from pieces import refused
from worldsim_benchmarks.presets import PRESETS
from worldsim_benchmarks.records import Folder
from worldsim_benchmarks.runner import RESULT, ROWS, shared_out
from worldsim_benchmarks.suites import fidelity
from worldsim_benchmarks.suites.fidelity import fill
from worldsim_benchmarks.suites.registry import PROBES
from worldsim_benchmarks.suites.session import CandidateSpec, Session
from worldsim_benchmarks.suites.suite import Suite

from worldsim.cli import bench_run, bench_suites, main
from worldsim.cli.bench_jobs import cores
from worldsim.cli.bench_options import ROOMS

TASKS = ["paint", "switch"]


def run(out: Path, *options: str, env: str = "idle_frozen") -> int:
    """A small run of a broken table."""
    return main.main(["bench", "run", "--n", "tiny", "--env", env, "--world", "Table", "--out", str(out), *options])


def measured(path: Path) -> tuple[dict[str, Any], str, dict[str, bytes]]:
    """What must be equal in two runs of one seed: the result but for its ``run`` block, the rows, and the clips."""
    result = json.loads((path / RESULT).read_text())
    clips = {p.name: p.read_bytes() for p in (path / "clips").iterdir()}
    return {k: v for k, v in result.items() if k != "run"}, (path / ROWS).read_text(), clips


def quick(name: str, world: str = ROOMS, *named: str) -> tuple[Suite, Session]:
    """A suite and a quick session of a learned environment."""
    spec = CandidateSpec("SoraWorld-v0")
    return PROBES[name], Session(world, {"model": spec}, PRESETS["quick"], Path("nowhere"), named=named)


@pytest.mark.slow
def test_two_processes_leave_what_one_does_and_go_on_where_it_stopped(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("pymunk")
    options = ["--suite", "interaction", "--tasks", *TASKS]
    for jobs in (1, 2):
        assert run(tmp_path / str(jobs), *options, "--jobs", str(jobs)) == 0
    said = capsys.readouterr().out
    one, two = (tmp_path / str(jobs) / "interaction-Table" for jobs in (1, 2))
    assert measured(one) == measured(two)
    tables = said.split("interaction: can be run")
    assert len(tables) == 3 and tables[1].count("model: switch") == tables[2].count("model: switch") == 1
    assert tables[1].count("s of processor time") == 1
    gone = sorted((two / "rows").iterdir())[::2]
    for path in gone:
        path.unlink()
    assert run(tmp_path / "2", *options, "--jobs", "2") == 0
    assert f"interaction: {6 - len(gone)} of 6 episodes are already there" in capsys.readouterr().out
    assert measured(one) == measured(two)


@pytest.mark.slow
@pytest.mark.parametrize("jobs", ["1", "2"])
def test_a_suite_that_fails_is_named_and_the_others_are_there(
    jobs: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("pymunk")
    (tmp_path / "interaction-Table").mkdir()
    (tmp_path / "interaction-Table" / "rows").touch()  # where a folder must be
    options = ["--suite", "interaction", "permanence", "--tasks", "paint", "behind_panel", "--jobs", jobs]
    assert run(tmp_path, *options, env="true") == 1
    said = capsys.readouterr().out.splitlines()
    assert said[-1].startswith("interaction: failed: FileExistsError: ")
    assert sum("what was measured is in" in line for line in said) == 1
    assert (tmp_path / "permanence-Table" / RESULT).exists()
    assert not (tmp_path / "interaction-Table" / RESULT).exists()
    assert (
        run(tmp_path, "--suite", "permanence", "--seed", "1", env="true") == 2
    )  # alone, a user's error is told as ever


@pytest.mark.parametrize("jobs", ["1", "2"])
def test_an_error_of_a_single_suite_is_told_alike_by_one_process_and_by_several(
    jobs: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bench_run, "look", refused)
    assert run(tmp_path, "--suite", "interaction", "--jobs", jobs, env="true") == 2
    assert capsys.readouterr().err.startswith("worldsim bench: Chosen(name='interaction'")


def test_every_suite_but_speed_has_its_turn() -> None:
    assert sorted(bench_run.LONGEST_FIRST) == sorted([*PROBES, "fidelity", "control"])


def test_there_is_one_process_where_all_would_share_a_device(monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    found = []
    for available in (True, False):
        monkeypatch.setattr(torch.cuda, "is_available", lambda available=available: available)
        found.append(bench_run.by_default())
    assert found == [1, cores()]


@pytest.mark.parametrize("broken", ["fidelity", "control"])
def test_control_does_not_depend_on_fidelity_and_errors_are_those_of_the_suite_that_is_begun(
    broken: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, shown = [], []

    def begin(session: Session, parts: tuple[str, ...]) -> None:
        if session.out.name.startswith(broken):
            raise ValueError("holds a run of another configuration")
        begun.append(session.out.name)

    _, session = quick("memory")
    monkeypatch.setattr(fidelity, "begin", begin)
    monkeypatch.setattr(
        bench_run, "look", lambda c: bench_suites.Found((), replace(session, out=c.folder), ("control",))
    )
    monkeypatch.setattr(bench_suites, "work", lambda *_: 0.0)
    monkeypatch.setattr(bench_suites, "show", lambda folder: shown.append(folder.name))
    assert run(tmp_path, "--suite", "fidelity", "control", "--jobs", "1", env="true") == 1
    said = capsys.readouterr().out.splitlines()
    assert said[-1] == f"{broken}: failed: ValueError: holds a run of another configuration"
    other = "control-Table" if broken == "fidelity" else "fidelity-Table"
    assert begun == shown == [other] and sum("failed" in line for line in said) == 1


def test_jobs_are_counted_from_one(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(tmp_path, "--suite", "interaction", "--jobs", "0") == 2
    assert "--jobs 0: expected a number of processes of at least 1" in capsys.readouterr().err


@pytest.mark.parametrize("name", list(PROBES))
@pytest.mark.parametrize("hands", [1, 3, 100])
def test_lots_hold_every_episode_once_and_whole_tasks(name: str, hands: int) -> None:
    suite, session = quick(name)
    episodes = suite.episodes(session)
    lots = shared_out(suite, episodes, hands)
    assert sorted(e for lot in lots for e in lot) == sorted(episodes) and len(lots) <= hands
    tasks = [{e.task for e in lot} for lot in lots]
    assert sum(map(len, tasks)) == len(set().union(*tasks))
    if hands == 1:
        assert lots == [episodes]


def test_what_reads_text_is_fitted_in_one_lot() -> None:
    suite, session = quick("text")
    tasks = [sorted({e.task for e in lot}) for lot in shared_out(suite, suite.episodes(session), 8)]
    assert tasks == [["bind_surfaces", "floor", "wall"], ["world"], ["event_door_opens"]]


def test_quick_asks_no_more_than_32_steps_of_memory_but_what_is_named() -> None:
    def tasks(*named: str) -> list[str]:
        suite, session = quick("memory", ROOMS, *named)
        return list(dict.fromkeys(e.task for e in suite.episodes(session)))

    short = ["still_1", "still_16", "still_32", "walk_16", "walk_32"]
    assert tasks() == [*short, "circle_27"]
    assert set(tasks("still_128", "sway_32")) - set(tasks()) == {"still_128", "sway_32"}


def test_parts_are_taken_from_a_run_of_the_same_configuration(tmp_path: Path) -> None:
    _, session = quick("memory")
    one, two, other = (replace(session, out=tmp_path / name) for name in ("one", "two", "other"))
    for run, seed in ((one, 0), (two, 0), (other, 1)):
        fidelity.begin(replace(run, seed=seed), ("control",))
    Folder(one.out).write("control", [{"candidate": "truth", "motion": [1.5, None]}])
    said: list[str] = []
    fill(two, ("control",), said.append, beside=one.out)
    assert said == [f"control: as in {one.out}"] and Folder(two.out).read("control") == Folder(one.out).read("control")
    assert not fidelity._same(Folder(other.out), Folder(one.out))
    assert not fidelity._same(Folder(one.out), Folder(tmp_path / "none"))
