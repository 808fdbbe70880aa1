"""``worldsim starts``: the sheet shows what environments begin with, a row for each prompt."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from worldsim_envs.sora.single import SoraWorldEnv

from worldsim.cli.main import main
from worldsim.model.debug import debug_simulator


def test_a_row_of_pictures_for_each_prompt(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = debug_simulator(starter=True).save_pretrained(tmp_path / "model")
    sheet = tmp_path / "starts.png"
    prompts = ["Doom rooms with red walls", "physics table: a blue disc"]
    assert main(["starts", *prompts, "--model", str(folder), "--count", "3", "--out", str(sheet)]) == 0
    said = capsys.readouterr().out.splitlines()
    assert said[0] == str(sheet) and "red walls" in said[1] and "blue disc" in said[2] and len(said) == 3
    picture = np.asarray(Image.open(sheet))
    env = SoraWorldEnv(model=folder, prompt=prompts[1])
    obs, _ = env.reset(seed=2)  # the second row's third, at twice its size
    shown = picture[6 + 152 : 6 + 152 + 128 : 2, 6 + 2 * 134 : 6 + 2 * 134 + 128 : 2]
    assert np.abs(shown.astype(int) - obs).max() <= 1


@pytest.mark.parametrize(
    ("argv", "says"),
    [([], "at least one prompt"), (["a room", "--count", "0"], "one picture"), (["a room", "--out", "x.gif"], ".png")],
)
def test_what_cannot_be_drawn_is_one_line(argv: list[str], says: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["starts", *argv]) == 2
    assert says in capsys.readouterr().err
