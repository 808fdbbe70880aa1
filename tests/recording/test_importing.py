"""``worldsim import``: from foreign layouts to a recording that opens; resumed where it was stopped; faults named."""

from __future__ import annotations

import json
import re
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from minecraft_data import draw_deeds, expect_told_by_pictures, vpt_lines, write_minerl, write_vpt

from worldsim.cli.importing import import_all
from worldsim.cli.main import main
from worldsim.recording.minerl import read_minerl
from worldsim.recording.reader import Recording
from worldsim.recording.vpt import find_vpt, read_vpt
from worldsim.recording.writer import RecordingWriter


def same(a: Any, b: Any) -> bool:
    return all(np.array_equal(getattr(a, f.name), getattr(b, f.name), equal_nan=f.name == "pose") for f in fields(a))


@pytest.fixture
def minerl(tmp_path: Path) -> Path:
    root = tmp_path / "minerl"
    for number, environment in enumerate(("MineRLTreechop-v0", "MineRLNavigate-v0")):
        for name in ("v4_a", "v4_b"):
            write_minerl(root, draw_deeds(21 + number, number), environment=environment, name=name)
    return root


@pytest.fixture
def vpt(tmp_path: Path) -> Path:
    """Recordings a to d; those but a are cut by a menu into two episodes."""
    folder = tmp_path / "vpt"
    for number, name in enumerate("abcd"):
        deeds = draw_deeds(30, number)
        lines = [line | {"isGuiOpen": number > 0 and i == 13} for i, line in enumerate(vpt_lines(deeds))]
        write_vpt(folder, deeds, name=name, lines=lines)
    return folder


def test_minerl_becomes_a_recording(minerl: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "set"
    assert main(["import", "minerl", str(minerl), "--out", str(out), "--split", "val"]) == 0
    assert "complete: 4 recordings, 4 episodes, 24 steps" in capsys.readouterr().out
    recording = Recording.open(out, verify=True)
    assert recording.find(world="Minecraft", split="val", policy="human") == [0, 1, 2, 3]
    assert recording.find(goal="navigate") == [0, 1] and recording.find(goal="treechop") == [2, 3]
    wanted = [read_minerl(minerl / f"MineRL{e}-v0/v4_{n}", split="val") for e in ("Navigate", "Treechop") for n in "ab"]
    assert all(same(a, b) for a, b in zip(recording.episodes(), wanted, strict=True))
    for episode in recording.episodes():
        expect_told_by_pictures(episode)
    (run,) = [json.loads(line) for line in (out / "meta/runs.jsonl").read_text().splitlines()]
    assert run["argv"][:2] == ["minerl", str(minerl)] and run["settings"]["split"] == "val"


def test_vpt_becomes_a_recording(vpt: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "set"
    assert main(["import", "vpt", str(vpt), "--out", str(out), "--size", "16", "32", "--limit", "2"]) == 0
    assert "complete: 2 recordings, 3 episodes" in capsys.readouterr().out
    recording = Recording.open(out, verify=True)
    assert recording.frame_size == (16, 32)
    wanted = [episode for name in "ab" for episode in read_vpt(vpt / f"{name}.mp4", (16, 32))]
    assert all(same(a, b) for a, b in zip(recording.episodes(), wanted, strict=True))
    assert main(["import", "vpt", str(vpt), "--out", str(tmp_path / "kept"), "--menus", "keep"]) == 0
    assert [entry.steps for entry in Recording.open(tmp_path / "kept").entries] == [8] * 4


def test_the_result_can_be_inspected(vpt: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "set"
    write_vpt(vpt, [0] * 12 + [1] * 4, name="e")
    main(["import", "vpt", str(vpt), "--out", str(out)])
    assert main(["inspect", str(out), "--verify", "--sheet", str(tmp_path / "sheet.png")]) == 0
    printed = capsys.readouterr().out
    actions = np.concatenate([episode.actions for episode in Recording.open(out).episodes()])
    for name, action in (("noop", 0), ("forward", 1), (r"\(none of these\)", -2)):
        assert re.search(rf"^{name} +{np.mean(actions == action):.1%}$", printed, re.M) and (actions == action).any()
    assert "8 episodes" in printed and "all checksums are right" in printed and "scene: Minecraft" in printed
    assert (tmp_path / "sheet.png").exists()


def test_large_frames_are_stored_as_video(vpt: Path, tmp_path: Path) -> None:
    write_vpt(tmp_path / "large", draw_deeds(8), size=(180, 320))
    out = tmp_path / "set"
    assert main(["import", "vpt", str(tmp_path / "large"), "--out", str(out), "--size", "144", "256"]) == 0
    recording = Recording.open(out, verify=True)
    assert not recording.info.with_images and recording.frame_size == (144, 256)
    expect_told_by_pictures(recording.episode(0))


@pytest.mark.parametrize("killed_after", range(8))
def test_a_killed_import_goes_on_within_the_source(
    vpt: Path, tmp_path: Path, killed_after: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    once, twice = tmp_path / "once", tmp_path / "twice"
    command = ["import", "vpt", str(vpt), "--size", "16", "16", "--out"]
    main([*command, str(once)])
    whole = RecordingWriter.write

    def write(writer: RecordingWriter, episode: Any) -> Any:
        if len(writer) == killed_after:
            raise KeyboardInterrupt
        return whole(writer, episode)

    with monkeypatch.context() as patched:
        patched.setattr(RecordingWriter, "write", write)
        assert main([*command, str(twice)]) == (130 if killed_after < 7 else 0)
    assert main([*command, str(twice), "--resume"]) == 0
    pairs = zip(Recording.open(once).episodes(), Recording.open(twice, verify=True).episodes(), strict=True)
    assert all(same(a, b) for a, b in pairs)


def test_one_recording_may_hold_both_sources(minerl: Path, vpt: Path, tmp_path: Path, capsys: Any) -> None:
    command = ["--out", str(tmp_path / "set")]
    assert main(["import", "minerl", str(minerl), *command, "--environments", "MineRLTreechop-v0"]) == 0
    assert main(["import", "vpt", str(vpt), *command]) == 2
    assert "holds 2 episodes already; add --resume" in capsys.readouterr().err
    for _ in range(2):
        assert main(["import", "vpt", str(vpt), *command, "--resume"]) == 0
        assert [entry.goal for entry in Recording.open(tmp_path / "set").entries] == ["treechop"] * 2 + [""] * 7
    assert main(["import", "vpt", str(vpt), *command, "--resume", "--size", "32", "32", "--skip-broken"]) == 0
    assert main(["import", "minerl", str(minerl), *command, "--resume", "--size", "32", "32", "--skip-broken"]) == 2
    assert "holds frames of 64x64 at 20 fps; this episode (Minecraft) has 32x32" in capsys.readouterr().err


def test_a_broken_source_ends_the_import_or_is_passed_over_until_it_is_repaired(
    vpt: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, lines = tmp_path / "set", (vpt / "b.jsonl").read_text()
    (vpt / "b.jsonl").write_text(lines.replace('"dx": 0.0', '"dx": NaN', 1))
    command = ["import", "vpt", str(vpt), "--out", str(out)]
    assert main(command) == 2
    failed = capsys.readouterr().err
    assert failed.startswith("worldsim import: ") and f"{vpt}/b.jsonl, line " in failed and failed.count("\n") == 1
    assert len(Recording.open(out, verify=True)) == 1
    assert main([*command, "--resume", "--skip-broken"]) == 0
    printed = capsys.readouterr()
    assert "5 episodes" not in printed.out and "4 episodes" in printed.out and "passed over 1 that are" in printed.out
    assert f"broken: {vpt}/b.jsonl, line" in printed.err
    (vpt / "b.jsonl").write_text(lines)
    assert main([*command, "--resume"]) == 0
    assert "2 episodes" in capsys.readouterr().out and len(Recording.open(out)) == 7
    assert main([*command, "--resume"]) == 0 and len(Recording.open(out)) == 7


def test_a_stopped_import_ends_after_the_source_under_way(vpt: Path, tmp_path: Path) -> None:
    answers = iter([False, False, True])
    with RecordingWriter(tmp_path / "set") as writer:
        counts = import_all(writer, find_vpt(vpt), read_vpt, stopped=lambda: next(answers))
    assert (counts.sources, counts.episodes) == (2, 3) == (2, len(Recording.open(tmp_path / "set")))


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["minerl", "{empty}"], "VERSION is missing"),
        (["vpt", "{empty}"], "holds no recording"),
        (["vpt", "{empty}/nowhere"], "is not a folder"),
        (["vpt", "{empty}", "--size", "0", "64"], "must be at least 1"),
        (["vpt", "{empty}", "--limit", "0"], "must be at least 1"),
    ],
)
def test_what_cannot_be_imported_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], complaint: str
) -> None:
    (tmp_path / "empty").mkdir()
    given = [argument.format(empty=tmp_path / "empty") for argument in arguments]
    assert main(["import", *given, "--out", str(tmp_path / "set")]) == 2
    error = capsys.readouterr().err
    assert complaint in error and error.count("\n") == 1 and not (tmp_path / "set").exists()
