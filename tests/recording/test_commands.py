import json
import os
import re
import signal
import subprocess
import sys
from dataclasses import fields
from pathlib import Path

import cv2
import numpy as np
import pytest
from paint_world import expect_aligned

from worldsim.cli import collect, inspect, main
from worldsim.recording.reader import Recording

PAINT = ["--worlds", "paint_world:Paint-v0", "--policies", "random", "--workers", "0"]


def same(a, b) -> bool:
    return all(np.array_equal(getattr(a, f.name), getattr(b, f.name), equal_nan=f.name == "pose") for f in fields(a))


def test_collect_writes_what_was_asked_for(tmp_path, capsys):
    out = tmp_path / "set"
    arguments = ["--out", str(out), *PAINT, "--episodes", "3", "--frame-size", "32", "48", "--split", "val"]
    assert collect.main(arguments) == 0
    recording = Recording.open(out, verify=True)
    assert len(recording) == 3 and recording.frame_size == (32, 48) and recording.find(split="val") == [0, 1, 2]
    for episode in recording.episodes():
        expect_aligned(episode)
    assert re.search(rf"complete: 3 episodes, {recording.steps} steps", capsys.readouterr().out)
    (run,) = [json.loads(line) for line in (out / "meta/runs.jsonl").read_text().splitlines()]
    assert run["argv"] == arguments and run["settings"]["frame_size"] == [32, 48] and "numpy" in run["versions"]


def test_a_resumed_recording_equals_one_made_at_once(tmp_path):
    once, twice = tmp_path / "once", tmp_path / "twice"
    collect.main(["--out", str(once), *PAINT, "--episodes", "5"])
    collect.main(["--out", str(twice), *PAINT, "--episodes", "2"])
    with pytest.raises(ValueError, match=r"holds 2 episodes already; add --resume"):
        collect.main(["--out", str(twice), *PAINT, "--episodes", "5"])
    collect.main(["--out", str(twice), *PAINT, "--episodes", "5", "--resume"])
    pairs = zip(Recording.open(once).episodes(), Recording.open(twice).episodes(), strict=True)
    assert all(same(a, b) for a, b in pairs)


def test_steps_are_counted_over_the_whole_folder(tmp_path):
    collect.main(["--out", str(tmp_path / "a"), *PAINT, "--steps", "40"])
    before = Recording.open(tmp_path / "a").steps
    assert before >= 40
    collect.main(["--out", str(tmp_path / "a"), *PAINT, "--steps", "40", "--resume"])
    assert Recording.open(tmp_path / "a").steps == before
    collect.main(["--out", str(tmp_path / "a"), *PAINT, "--steps", str(before + 1), "--resume"])
    assert Recording.open(tmp_path / "a").steps > before


def test_wrong_settings_are_one_line_for_people(tmp_path, capsys):
    assert main.main(["collect", "--out", str(tmp_path / "x"), "--split", "test"]) == 2
    assert "'test' cannot be recorded" in capsys.readouterr().err
    assert main.main(["collect", "--out", str(tmp_path / "x"), "--worlds", "DoomRoms"]) == 2
    assert "unknown world 'DoomRoms'" in capsys.readouterr().err
    assert main.main(["inspect", str(tmp_path / "nothing")]) == 2
    assert "is not a folder" in capsys.readouterr().err


@pytest.mark.parametrize("workers", ["0", "2"])
def test_sigterm_finishes_the_episodes_under_way(tmp_path, workers):
    out = tmp_path / "set"
    command = [sys.executable, "-m", "worldsim.cli.main", "collect", "--out", str(out), *PAINT[:-1], workers]
    env = {**os.environ, "PYTHONPATH": str(Path(__file__).parent)}
    run = subprocess.Popen(
        [*command, "--episodes", "100000"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=env
    )
    while not list(out.glob("data/*/file-004.parquet")):
        assert run.poll() is None, run.communicate()
    run.send_signal(signal.SIGTERM)
    printed, _ = run.communicate(timeout=60)
    assert run.returncode == 0
    recording = Recording.open(out, verify=True)
    assert f"stopped; go on with --resume: {len(recording)} episodes" in printed
    for episode in recording.episodes():
        expect_aligned(episode)
        assert episode.terminated[-1]
    assert not list(out.rglob("*.tmp"))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    out = tmp_path_factory.mktemp("recording") / "set"
    collect.main(["--out", str(out), *PAINT, "--episodes", "4"])
    return out


def test_inspect_prints_what_is_there(folder, capsys):
    assert inspect.main([str(folder), "--verify"]) == 0
    printed = capsys.readouterr().out
    recording = Recording.open(folder)
    assert f"4 episodes, {recording.steps} steps" in printed and "frames 64x64 as PNG" in printed
    assert re.search(rf"^Paint +4 +{recording.steps} +\d+ +100% +0%", printed, re.M)
    assert re.search(r"^random +4 ", printed, re.M)
    forward = sum(entry.action_counts[1] for entry in recording.entries) / recording.steps
    assert re.search(rf"^forward +{forward:.1%}".replace(".", r"\."), printed, re.M)
    assert "scene: canvas" in printed and "view:  view" in printed and re.search(r"^ +\d+ action \d", printed, re.M)
    assert "all checksums are right" in printed


def test_inspect_writes_a_sheet(folder, tmp_path):
    assert inspect.main([str(folder), "--sheet", str(tmp_path / "sheet.png"), "--episodes", "1", "3"]) == 0
    picture = cv2.imread(str(tmp_path / "sheet.png"))[..., ::-1]
    assert picture.shape[1] == 8 * (128 + 6) + 6
    first = Recording.open(folder).episode(1).observations[0].repeat(2, 0).repeat(2, 1)
    np.testing.assert_array_equal(picture[30:158, 6:134], first)
