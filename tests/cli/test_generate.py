"""``worldsim generate``: what is written shows what was played, and what is printed says so."""

from __future__ import annotations

from pathlib import Path

import av
import pytest
from PIL import Image

from worldsim.cli.main import main
from worldsim.model.debug import debug_simulator


def test_a_prompt_becomes_a_video_and_a_sheet(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    debug_simulator(player=True, termination=1e-6).save_pretrained(tmp_path / "model")
    video, sheet = tmp_path / "x.mp4", tmp_path / "x.png"
    argv = ["generate", "Doom rooms with red walls", "--model", str(tmp_path / "model"), "--steps", "3"]
    assert main([*argv, "--out", str(tmp_path / "drawn.mp4")]) == 0
    assert "expanded" in capsys.readouterr().out
    assert main([*argv, "--start", "nearest", "--out", str(video), "--sheet", str(sheet)]) == 0
    with av.open(str(video)) as container:
        assert len(list(container.decode(video=0))) == 1 + 4 * 3
    assert Image.open(sheet).width > 4 * 128  # the start and three steps
    said = dict(line.split(maxsplit=1) for line in capsys.readouterr().out.splitlines())
    assert said["world"] == "worldsim/DoomRooms-v0, seed 0" and said["prompt"] == "Doom rooms with red walls"
    assert said["nearest"].startswith("Doom rooms: ") and said["played"] == "3 steps"
    assert said["nearest"].endswith("(agrees on 1 of 1)")
    assert sum(int(part.split()[-1]) for part in said["actions"].split(", ")) == 3


def test_what_cannot_be_done_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    debug_simulator().save_pretrained(tmp_path / "model")
    argv = ["generate", "Doom rooms", "--model", str(tmp_path / "model")]
    for options, says in (
        (["--out", str(tmp_path / "x.mp4")], "worldsim train player"),
        (["--out", str(tmp_path / "x.gif")], "written as .mp4"),
        (["--out", str(tmp_path / "x.mp4"), "--steps", "0"], "steps=0"),
    ):
        assert main([*argv, *options]) == 2
        assert says in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["model"]
