"""The demo: actions are read as they are written, and what is written shows what was walked."""

from __future__ import annotations

from pathlib import Path

import av
import gymnasium as gym
import numpy as np
import pytest
from PIL import Image

from worldsim.actions import ACTION_ID, ACTION_MEANINGS
from worldsim.cli import demo
from worldsim.cli.main import main


def frames_of(path: Path) -> np.ndarray:
    with av.open(str(path)) as container:
        return np.stack([frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)])


def test_actions_are_counted_names() -> None:
    ids = demo.parse_actions("forward*3, turn_left forward+turn_right*2", ACTION_MEANINGS)
    assert [ACTION_MEANINGS[i] for i in ids] == ["forward"] * 3 + ["turn_left"] + ["forward+turn_right"] * 2
    assert demo.parse_actions("attack", ["noop", "attack"]) == [1]
    assert all(demo.parse_actions(name, ACTION_MEANINGS) == [i] for name, i in ACTION_ID.items())


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("forwrd*3", "unknown action 'forwrd'.*turn_left"),
        ("forward*0", "count after"),
        ("forward*", "count after"),
        ("forward*-1", "count after"),
        ("  ", "empty"),
    ],
)
def test_bad_actions_are_refused(text: str, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        demo.parse_actions(text, ACTION_MEANINGS)


@pytest.mark.parametrize(
    ("argv", "says"),
    [
        (["--steps", "0"], "--steps 0"),
        (["--true", "--prompt", "red walls"], "takes neither --prompt nor --model"),
        (["--world", "Doom"], "unknown world 'Doom'"),
    ],
)
def test_bad_options_are_one_line(
    argv: list[str], says: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["demo", "--out", str(tmp_path / "out"), *argv]) == 2
    assert says in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_walk_through_the_true_world_is_what_the_video_shows(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("vizdoom")
    argv = [
        "demo",
        "--true",
        "--world",
        "DoomBasic",
        "--actions",
        "strafe_left*5 strafe_right*5",
        "--steps",
        "12",
    ]
    assert main([*argv, "--out", str(tmp_path), "--seed", "3"]) == 0
    out = capsys.readouterr().out
    assert "12 steps: " in out and "steps/s" in out and "Try next" in out and str(tmp_path / "rollout.mp4") in out

    env = gym.make("worldsim/DoomBasic-v0")
    obs, _ = env.reset(seed=3)
    video = frames_of(tmp_path / "rollout.mp4")
    assert video.shape == (1 + 12 * 4, 256, 256, 3)
    assert np.abs(video[0, 2::4, 2::4].astype(int) - obs).mean() < 6
    for step in range(12):
        obs, *_ = env.step(ACTION_ID["strafe_left" if step % 10 < 5 else "strafe_right"])
        assert np.abs(video[4 * step + 4, 2::4, 2::4].astype(int) - obs).mean() < 6, step
    env.close()
    with Image.open(tmp_path / "sheet.png") as sheet:
        assert sheet.width > 8 * 128 and sheet.height > 2 * 128
    assert sorted(p.name for p in tmp_path.iterdir()) == ["rollout.mp4", "sheet.png"]


@pytest.mark.slow
def test_the_learned_world_is_walked_by_default(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["demo", "--steps", "6", "--out", str(tmp_path)]) == 0
    assert "prompt   Doom rooms: " in capsys.readouterr().out  # whatever the caption of the start that the seed picks
    video = frames_of(tmp_path / "rollout.mp4")
    assert len(video) == 25 and video.std() > 5
