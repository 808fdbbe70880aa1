"""``worldsim bench``: what is printed for known rates, and what a user is told."""

from __future__ import annotations

from pathlib import Path

import pytest

from worldsim.cli import bench, main


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
        row(bench.BASELINE, 1, [5.0, 0.5, 4.0]),
        row("SoraWorld-v0 K=4", 16, [4.0, 4.0, 4.0]),
        row(bench.BASELINE, 16, [0.4, 0.4, 0.4]),
    ]
    lines = bench.speed_lines(rows, {"import_seconds": 0.1, "make_and_reset_seconds": 6.0, "peak_gib": 1.0})
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
        (["fidelity", "--out", "x", "--world", "DoomPoker"], "unknown world 'DoomPoker'"),
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
