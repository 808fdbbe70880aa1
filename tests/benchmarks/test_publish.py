"""Published results: made from runs of the painted cylinder, checked, and refused once anything was changed; and those
that the project ships."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from probes import session, suite
from worldsim_benchmarks import publish as publishing
from worldsim_benchmarks.defects import BROKEN
from worldsim_benchmarks.presets import PRESETS
from worldsim_benchmarks.publish import BOARD, INDEX, publish, sha256, verify
from worldsim_benchmarks.records import Folder
from worldsim_benchmarks.runner import RESULT, ROWS, run
from worldsim_benchmarks.suites.session import CandidateSpec
from worldsim_benchmarks.suites.surprise import MUTANTS as SURPRISED

from worldsim.cli import main
from worldsim.model.starter import Starter
from worldsim.model.weights import WorldSimulator

SHIPPED = Path(__file__).parents[2] / "benchmarks" / "results"
PAGE_OF_RESULTS = Path(__file__).parents[2] / "docs" / "results.md"


def quiet(_: str) -> None:
    """Nothing is printed."""


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """A run of the perfect model, and one of a mutant alone."""
    out = tmp_path_factory.mktemp("runs")
    asked = session(out / "model")
    half = CandidateSpec("toy/Model-v0", {"gain": 0.5}, lanes=3, world_keyword="")
    broken = replace(session(out / "broken"), candidates={"half": half})
    return [run(suite("pan_90"), s, quiet).path for s in (asked, broken)]


@pytest.fixture(scope="module")
def published(runs: list[Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("published")
    publish(runs, out, weights="0123456789ab")
    return out


def test_what_is_published_is_rows_results_page_and_an_index_of_them(published: Path, runs: list[Path]) -> None:
    index = verify(published)
    assert [e["folder"] for e in index["runs"]] == ["consistency-Panorama", "consistency-Panorama-mutants"]
    model, mutants = index["runs"]
    assert (model["maps"], model["samples"], model["candidates"]) == (3, 1, ["model"])
    assert model["weights"] == {"model": "0123456789ab"} and mutants["weights"] == {}
    assert (published / "consistency-Panorama" / ROWS).read_bytes() == (runs[0] / ROWS).read_bytes()
    board = json.loads((published / BOARD).read_text())["lines"]
    assert {line["name"]: line["headline"] for line in board if line["env"] == "toy/Model-v0"} == {
        "model": 1.0,
        "half": 0.0,
    }
    kept = {str(p.relative_to(published)) for p in published.rglob("*") if p.is_file()}
    named = {f"{e['folder']}/{f}" for e in index["runs"] for f in e["files"]}
    assert kept == named | {INDEX, *index["files"]}


def test_what_is_printed_says_how_much_was_asked(published: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main.main(["bench", "publish", "--out", str(published)]) == 0
    said = capsys.readouterr().out.splitlines()
    assert "consistency, Panorama-v0, tasks: 1, maps: 3: model 1.00 [1.00, 1.00]" in said


@pytest.mark.parametrize(
    ("suite_name", "preset", "tasks", "name"),
    [
        ("consistency", "quick", ("next_room_and_back",), "consistency-DoomRooms-more"),
        ("consistency", "quick", ("next_room_and_back", "pan_90"), "consistency-DoomRooms"),
        ("consistency", "default", ("next_room_and_back",), "consistency-DoomRooms"),
        ("memory", "quick", ("still_128", "walk_64"), "memory-DoomRooms-more"),
    ],
)
def test_what_is_left_out_stands_beside_what_is_asked(
    suite_name: str, preset: str, tasks: tuple[str, ...], name: str, tmp_path: Path
) -> None:
    config = {"world": "worldsim/DoomRooms-v0", "preset": vars(PRESETS[preset]), "tasks": tasks,
              "candidates": {"model": {"env": "x"}}}  # fmt: skip
    Folder.create(tmp_path / "run", suite_name, config)
    (tmp_path / "run" / "summary.json").write_text("{}")
    assert publishing._entry(tmp_path / "run", "")[0] == name


def test_weights_that_a_run_says_itself_count(runs: list[Path], tmp_path: Path) -> None:
    asked = session(tmp_path / "run")
    told = replace(asked, candidates={"model": replace(asked.main, version="cafe")})
    own = run(suite("pan_90"), told, quiet).path
    assert publish([own], tmp_path / "out", weights="0123456789ab")["runs"][0]["weights"] == {"model": "cafe"}


def changed_score(out: Path) -> str:
    path = out / "consistency-Panorama" / RESULT
    path.write_text(path.read_text().replace('"value": 1.0', '"value": 0.9', 1))
    return "its SHA-256 differs"


def changed_rows_and_index(out: Path) -> str:
    """One who also mends the index is found out by the digest over the rows."""
    path = out / "consistency-Panorama" / ROWS
    path.write_text(path.read_text().replace('"score": 0.0', '"score": 1.0', 1))
    index = json.loads((out / INDEX).read_text())
    index["runs"][0]["files"][ROWS] = sha256(path)
    (out / INDEX).write_text(json.dumps(index))
    return "was changed after it was written"


def changed_board_and_index(out: Path) -> str:
    path = out / BOARD
    path.write_text(path.read_text().replace('"headline": 0.0', '"headline": 0.5', 1))
    index = json.loads((out / INDEX).read_text())
    index["files"][BOARD] = sha256(path)
    (out / INDEX).write_text(json.dumps(index))
    return "is not what the rows give"


def lost_file(out: Path) -> str:
    (out / "consistency-Panorama-mutants" / RESULT).unlink()
    return "was published and is missing"


def newer(out: Path) -> str:
    index = json.loads((out / INDEX).read_text())
    (out / INDEX).write_text(json.dumps({**index, "schema": 99}))
    return "update worldsim"


@pytest.mark.parametrize("fault", [changed_score, changed_rows_and_index, changed_board_and_index, lost_file, newer])
def test_whatever_was_changed_is_refused(published: Path, tmp_path: Path, fault: Callable[[Path], str]) -> None:
    out = tmp_path / "copy"
    shutil.copytree(published, out)
    reason = fault(out)
    with pytest.raises(ValueError, match=reason):
        verify(out)


def test_publishing_again_replaces_what_was_there(published: Path, runs: list[Path], tmp_path: Path) -> None:
    out = tmp_path / "copy"
    shutil.copytree(published, out)
    (out / "note.txt").write_text("of someone else")
    publish(runs[1:], out)
    assert sorted(p.name for p in out.iterdir() if p.is_dir()) == ["consistency-Panorama-mutants"]
    assert [e["folder"] for e in verify(out)["runs"]] == ["consistency-Panorama-mutants"]
    assert (out / "note.txt").exists()


def test_two_runs_of_one_kind_and_a_page_that_is_too_large(
    runs: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ValueError, match="are both runs of consistency-Panorama; give one of them"):
        publish([runs[0], runs[0]], tmp_path)
    with pytest.raises(ValueError, match="holds no published results"):
        verify(tmp_path)
    monkeypatch.setattr(publishing, "LARGEST", 1000)
    assert list(publish(runs[:1], tmp_path)["files"]) == [BOARD]


# what the project ships


@pytest.fixture(scope="module")
def shipped() -> dict[str, Any]:
    return verify(SHIPPED)


def test_the_shipped_results_hold(shipped: dict[str, Any]) -> None:
    suites = {(e["suite"], e["folder"].endswith("-mutants")) for e in shipped["runs"]}
    assert {(s, m) for s in ("consistency", "permanence", "interaction") for m in (False, True)} <= suites
    broken = {*BROKEN, *SURPRISED}
    for entry in shipped["runs"]:
        if entry["folder"].endswith("-mutants"):
            assert set(entry["candidates"]) - {"true"} <= broken, entry["folder"]


def test_the_shipped_results_are_of_the_shipped_weights_or_said_to_be_older(shipped: dict[str, Any]) -> None:
    """Before its solvers were fitted the starter drew first pictures alike; what it completes must be of now."""
    text, model = PAGE_OF_RESULTS.read_text(), WorldSimulator.from_pretrained()
    assert model.starter is not None
    config = model.starter.config
    older = replace(config, revealer=None, complete_solver=None, redraw_solver=None)
    unsolved = f"{model.digest}+{Starter(older, model.starter.net).digest}"
    ours = [model.digest, f"{model.digest}+{model.starter.digest}"]  # without the starter, and with it
    assert {v for e in shipped["runs"] for v in e["weights"].values()}
    for entry in shipped["runs"]:
        accepted = [*ours, *([] if entry["world"] in config.completes else [unsolved])]
        for digest in entry["weights"].values():
            assert f"`{digest}`" in text
            assert digest in accepted or f"older weights `{digest}`" in text


def test_truth_is_above_and_floors_are_at_the_bottom_of_the_shipped_leaderboard(shipped: dict[str, Any]) -> None:
    lines = json.loads((SHIPPED / BOARD).read_text())["lines"]
    assert all(line["headline"] >= 0.95 for line in lines if line["name"] == "true")
    assert all(line["headline"] <= 0.05 for line in lines if line["name"] in ("frozen", "grey", "other"))
