"""``worldsim expand`` prints an expansion, and the demo prints prompt and expansion."""

from __future__ import annotations

from pathlib import Path

import pytest

from worldsim.captions.expander import GrammarExpander
from worldsim.cli.main import main
from worldsim.model.debug import debug_simulator


def test_it_prints_what_the_expander_makes(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["expand", "red walls, a dragon, a mountain", "--seed", "3"]) == 0
    printed = capsys.readouterr().out
    full = GrammarExpander().expand("red walls, a dragon, a mountain", 3)
    rows = dict(line.split(maxsplit=1) for line in printed.splitlines() if not line.startswith("left out"))
    assert rows["prompt"] == full.prompt and rows["world"] == "worldsim/DoomRooms-v0 (the default)"
    assert rows["scene"] == f"Doom rooms: {full.scene_text}" and rows["view"] == full.view_text
    assert rows["understood"] == "red walls" and rows["kept"] == "mountain"
    assert "left out   dragon" in printed
    assert [line for line in printed.splitlines() if line.startswith("added")] == [
        f"added      {text}" for text in full.filled
    ]


def test_the_world_is_named_or_given(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["expand", "two cows"]) == 0
    assert "worldsim/Crafter-v0 (it has most of what" in capsys.readouterr().out
    assert main(["expand", "a labyrinth", "--world", "DoomRooms"]) == 0
    printed = capsys.readouterr().out
    assert "worldsim/DoomRooms-v0 (as asked)" in printed and "note       the prompt means Doom my way home" in printed


@pytest.mark.parametrize(
    ("argv", "says"),
    [
        (["red walls " * 64], "the limit is 64 tokens for each part"),
        ([""], "the prompt is empty"),
        (["red", "--world", "Doom"], "unknown world 'Doom'"),
        (["red", "--seed", "-1"], "seed=-1"),
        (["red", "--with", "endpoint"], "needs a url"),
        (["red", "--with", "endpoint", "--url", "http://127.0.0.1:9", "--model", "x"], "cannot be asked"),
        (["red", "--with", "transformers"], "needs --model"),
        (["red", "--model", "x"], "the grammar needs none"),
        (["red", "--url", "http://127.0.0.1"], "--url is for --with endpoint"),
    ],
)
def test_what_a_user_can_put_right_is_one_line(
    argv: list[str], says: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    for name in ("URL", "MODEL", "KEY"):
        monkeypatch.delenv(f"WORLDSIM_EXPANDER_{name}", raising=False)
    assert main(["expand", *argv]) == 2
    printed = capsys.readouterr()
    assert says in printed.err and len(printed.err.splitlines()) == 1 and not printed.out


def test_the_demo_expands_its_prompt_unless_told_not_to(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = debug_simulator().save_pretrained(tmp_path / "tiny")
    argv = ["demo", "--prompt", "red walls", "--steps", "1", "--model", str(folder), "--denoising-steps", "2"]
    assert main([*argv, "--start", "nearest", "--out", str(tmp_path / "near")]) == 0
    nearest = capsys.readouterr().out.split("nearest ")[1].splitlines()[0].strip()
    assert nearest.startswith("Doom rooms: ") and "expanded" not in nearest
    assert main([*argv, "--out", str(tmp_path / "on")]) == 0
    printed = capsys.readouterr().out
    assert "prompt   red walls\n" in printed and "ceiling" in printed.split("expanded ")[1].splitlines()[0]
    assert main([*argv, "--no-expand", "--out", str(tmp_path / "off")]) == 0
    printed = capsys.readouterr().out
    assert "prompt   Doom rooms: rooms and corridors with coloured walls. red walls\n" in printed
    assert "expanded" not in printed
