"""Runs that are interrupted, crash, are changed afterwards, compared and reported, on the painted cylinder."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from probes import session, suite
from worldsim_benchmarks import page, requirements
from worldsim_benchmarks.comparison import compare
from worldsim_benchmarks.records import Folder
from worldsim_benchmarks.runner import RESULT, ROWS, load, run, seal
from worldsim_benchmarks.suites.consistency import Consistency
from worldsim_benchmarks.suites.session import Session
from worldsim_benchmarks.suites.suite import Result
from worldsim_benchmarks.tasks import Episode
from worldsim_benchmarks.verdict import cause, verdict

SUITE = suite("pan_90")


def quiet(_: str) -> None:
    """Nothing is printed."""


@dataclass(frozen=True)
class Interrupted(Consistency):
    """Ctrl-C after the second episode."""

    def run(self, session: Session, missing: Sequence[Episode]) -> Iterator[Result]:
        yield from list(super().run(session, missing))[:2]
        raise KeyboardInterrupt


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run of the perfect model."""
    return run(SUITE, session(tmp_path_factory.mktemp("good")), quiet).path


@pytest.fixture(scope="module")
def poor(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """And of one that turns by half."""
    return run(SUITE, session(tmp_path_factory.mktemp("poor"), gain=0.5), quiet).path


def measured(path: Path) -> tuple[dict[str, Any], str]:
    """What must be equal in two runs of one seed: the result but for its ``run`` block, and the rows."""
    result = json.loads((path / RESULT).read_text())
    return {k: v for k, v in result.items() if k != "run"}, (path / ROWS).read_text()


def test_an_interrupted_run_goes_on_and_ends_as_one_that_was_not(good: Path, tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        run(Interrupted(tasks=SUITE.tasks), session(tmp_path), quiet)
    saved = {p.name: p.stat().st_mtime_ns for p in (tmp_path / "rows").iterdir()}
    assert sorted(saved) == ["pan_90-2000000-0.jsonl", "pan_90-2000001-0.jsonl"]
    with pytest.raises(ValueError, match="holds no finished run"):
        load(tmp_path)
    with pytest.raises(ValueError, match="holds 2 of 3 episodes"):
        seal(Folder(tmp_path), SUITE)
    said: list[str] = []
    run(SUITE, session(tmp_path), said.append)
    assert said == ["consistency: 2 of 3 episodes are already there"]
    assert all((tmp_path / "rows" / name).stat().st_mtime_ns == when for name, when in saved.items())
    assert measured(tmp_path) == measured(good)


def test_a_folder_of_another_run_is_refused_and_so_is_a_world_that_can_be_asked_nothing(
    good: Path, tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match="another configuration"):
        run(SUITE, replace(session(good), seed=1), quiet)
    with pytest.raises(ValueError, match="consistency asks nothing of toy/Panorama-v0; it can be run on worldsim/"):
        run(Consistency(), session(tmp_path), quiet)


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        ("crash", "RuntimeError: the second map is too much"),
        ("nan", "frames are float32 with NaN; uint8 is needed"),
        ("short", "blocks of frames are (1, 48, 48, 3); the true world's are (4, 48, 48, 3)"),
        ("reward", "the reward is not finite"),
    ],
)
def test_a_fault_costs_its_episode_and_not_the_run(good: Path, tmp_path: Path, fault: str, reason: str) -> None:
    said: list[str] = []
    run(SUITE, session(tmp_path, "toy/Faulty-v0", fault=fault), said.append)
    result, rows = load(tmp_path)
    model = [r for r in rows if r["candidate"] == "model"]
    whole = fault in ("nan", "short")  # these pictures are ill in all lanes of the batch
    failed = ["", reason, ""] if not whole else [r["failed"] for r in model]
    assert [r["failed"] for r in model] == failed
    assert model[1]["failed"] == reason
    assert model[1]["score"] == 0.0
    assert any(reason in line and "pan_90-2000001-0" in line for line in said)
    if not whole:
        assert [r["score"] for r in model] == [1.0, 0.0, 1.0]
        assert result["score"]["candidates"]["model"]["headline"]["value"] == pytest.approx(2 / 3, abs=1e-5)
        assert [r for r in load(good)[1] if r["candidate"] == "model"][2] == model[2]
    assert "produced nothing in" in verdict(result, rows)


def test_a_codec_that_crashes_costs_its_ceiling_alone(
    good: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run(SUITE, session(tmp_path, "toy/Faulty-v0", fault="codec"), quiet)
    _, rows = load(tmp_path)
    assert rows == [r for r in load(good)[1] if r["candidate"] != "codec"]
    assert capsys.readouterr().out.count("reconstruct failed: RuntimeError: no codec after all") == 3


def test_a_folder_of_another_schema_is_not_continued(good: Path, tmp_path: Path) -> None:
    shutil.copytree(good, tmp_path, dirs_exist_ok=True)
    header = json.loads((tmp_path / "header.json").read_text())
    (tmp_path / "header.json").write_text(json.dumps({**header, "schema": 0}))
    with pytest.raises(ValueError, match="begun with schema 0, this version writes 1"):
        run(SUITE, session(tmp_path), quiet)


def test_a_run_that_was_changed_afterwards_is_refused(good: Path, tmp_path: Path) -> None:
    for i, (name, old, new) in enumerate([
        (ROWS, '"score": 0.0', '"score": 1.0'),
        (RESULT, '"seed": 0', '"seed": 1'),
        (RESULT, '"value": 1.0', '"value": 0.9'),
    ]):  # fmt: skip
        forged = tmp_path / str(i)
        shutil.copytree(good, forged)
        text = (forged / name).read_text()
        assert old in text
        (forged / name).write_text(text.replace(old, new, 1))
        with pytest.raises(ValueError, match="was changed after it was written"):
            compare(good, forged)
    (forged / ROWS).unlink()
    with pytest.raises(ValueError, match="is damaged"):
        compare(good, forged)


def test_comparison_is_paired_and_fails_the_worse(good: Path, poor: Path) -> None:
    worse = compare(good, poor)
    assert not worse.holds
    assert worse.lines[0].value == "-1.000 [-1.000, -1.000]"
    assert compare(poor, good).holds
    assert compare(good, good).lines[0].value == "0.000 [0.000, 0.000]"
    with pytest.raises(ValueError, match="has no rows of 'nobody'"):
        compare(good, good, "nobody")


def test_runs_that_were_asked_other_things_cannot_be_compared(good: Path, tmp_path: Path) -> None:
    run(SUITE, replace(session(tmp_path), preset=replace(session(tmp_path).preset, seeds=2)), quiet)
    with pytest.raises(ValueError, match="was run with preset"):
        compare(good, tmp_path)
    shutil.copy(good / RESULT, tmp_path / "kept.json")
    header = json.loads((tmp_path / "header.json").read_text())
    (tmp_path / "header.json").write_text(json.dumps({**header, "schema": 99}))
    with pytest.raises(ValueError, match="update worldsim"):
        compare(good, tmp_path)


def test_runs_that_were_judged_by_other_criteria_cannot_be_compared(good: Path, tmp_path: Path) -> None:
    task = replace(SUITE.tasks[0], criterion="something else")
    run(replace(SUITE, tasks=(task,)), session(tmp_path), quiet)
    with pytest.raises(ValueError, match=r"pan_90 was judged by other criteria: in .* 'something else'"):
        compare(good, tmp_path)


def test_the_report_holds_all_that_it_shows(good: Path, poor: Path, tmp_path: Path) -> None:
    board = page.write([good, poor], tmp_path)
    html = (tmp_path / "report.html").read_text()
    assert html.count('src="data:image/webp;base64,') == 4  # one task: a worst and a best clip of each run
    assert "http" not in html.replace("http-equiv", "")
    assert "100% of what was asked is right" in html
    assert "the motion and the context are right, the criterion is not met (3 of 3 lost episodes)" in html
    assert "moved: yes, continued: yes, correct: no" in html
    saved = json.loads((tmp_path / "leaderboard.json").read_text())["lines"]
    assert len(saved) == len(board) == 12  # model, two ceilings and three floors of each
    assert [b["headline"] for b in saved if b["name"] == "model"] == [1.0, 0.0]
    assert saved[0]["headline"] >= saved[-1]["headline"]
    with pytest.raises(ValueError, match="holds no benchmark run"):
        page.write([tmp_path / "nothing"], tmp_path)


def test_the_cause_is_the_first_gate_that_most_episodes_fail() -> None:
    base = {"candidate": "model", "task": "a", "failed": "", "correct": False, "score": 0.0}
    rows = [{**base, "moved": m, "continued": c} for m, c in ((False, False), (False, True), (True, False))]
    assert cause(rows, "a") == "the commanded motion is not executed (2 of 3 lost episodes)"


def test_what_an_environment_lacks_is_listed(tmp_path: Path) -> None:
    def lacks(env: str) -> list[str]:
        return requirements.missing_for([SUITE], session(tmp_path, env))["consistency"]["pan_90"]

    assert lacks("toy/Model-v0") == []
    assert lacks("toy/Nowhere-v0") == [
        "toy/Nowhere-v0 is no registered Gymnasium id (import the package that registers it)"
    ]
    strange = lacks("toy/Strange-v0")
    assert strange[0].startswith("toy/Strange-v0 observes Box(-1.0, 1.0, (7,), float32); Box(0, 255, (48, 48, 3)")
    assert strange[1].endswith("Discrete is needed")
    assert lacks("toy/Deaf-v0")[0].endswith("ValueError: unknown options ['init_actions', 'init_frames']")
    found = requirements.missing_for([SUITE, Consistency()], session(tmp_path))
    assert requirements.lines(found)[0].startswith("consistency: cannot be run: toy/Panorama-v0 cannot be asked this")


def test_a_world_is_opened_once_for_all_tasks_that_need_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[tuple[str, ...]] = []
    real = requirements.offered

    def counted(run: Session, buffers: tuple[str, ...]) -> requirements.Offered:
        opened.append(buffers)
        return real(run, buffers)

    monkeypatch.setattr(requirements, "offered", counted)
    found = requirements.missing_for([suite("pan_90", "turn_360", "turn_540")], session(tmp_path))
    assert list(found["consistency"].values()) == [[], [], []]
    assert opened == [("depth",)]
