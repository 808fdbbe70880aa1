"""The doctor: each finding says what is wrong and what to do about it."""

from __future__ import annotations

import pytest

from worldsim import engines
from worldsim.cli import doctor
from worldsim.cli.main import main
from worldsim.engines import missing
from worldsim.worlds import WORLDS


def test_installed_packages_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", "--quick"]) == 0
    out = capsys.readouterr().out
    for name in (*doctor.BASE, "[doom]", "[rl]", "[play]"):
        assert name in out


def test_what_is_missing_comes_with_its_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    absent = {"av", "vizdoom", "uvicorn"}
    monkeypatch.setattr(doctor, "installed", lambda name: None if name in absent else "1.0")
    found = {finding.what: finding for finding in doctor.packages()}
    assert found["av"].mark == doctor.BROKEN and "pip install" in found["av"].advice
    assert found["[doom]"].mark == doctor.ABSENT and '"worldsim-gym[doom]"' in found["[doom]"].advice
    assert found["[play]"].found == "starlette 1.0, websockets 1.0; without uvicorn"
    assert found["[rl]"].mark == doctor.OK


def test_missing_programs_come_with_the_line_that_installs_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.setattr(engines, "GAMES", "/nowhere")
    finding = doctor.programs(WORLDS["Blocks"])
    assert (finding.mark, finding.found) == (doctor.ABSENT, "without minetest, Xvfb")
    assert finding.advice == "apt-get install minetest xvfb (for worldsim/Blocks-v0)"


@pytest.mark.parametrize("have", [None, "0.4.4"])
def test_minerl_is_optional(have: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "installed", lambda name: have)
    finding = doctor.minerl()
    assert finding.mark == (doctor.OK if have else doctor.ABSENT)
    assert "worldsim_envs.minerl" in finding.found if have else "docs/minecraft.md" in finding.advice


@pytest.mark.parametrize("both", [True, False])
def test_two_builds_of_opencv_are_warned_of(both: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "installed", lambda name: "5.0" if both or name != "opencv-python" else None)
    warned = [finding.what for finding in doctor.packages() if finding.mark == doctor.WARNING]
    assert warned == (["opencv-python"] if both else [])


def test_a_check_that_fails_is_a_finding_and_the_exit_code() -> None:
    def check() -> doctor.Finding:
        raise RuntimeError("no such\ndevice")

    finding = doctor.attempt("torch", check)
    assert (finding.mark, finding.what, finding.found) == (
        doctor.BROKEN,
        "torch",
        "RuntimeError: no such device",
    )


def test_a_broken_base_ends_with_code_one(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(doctor, "installed", lambda name: None if name == "torch" else "1.0")
    assert main(["doctor", "--quick"]) == 1
    assert "Broken: torch" in capsys.readouterr().out


def test_codec_and_arithmetic_work_here() -> None:
    assert doctor.video_codec().mark == doctor.OK
    assert "bf16" in doctor.torch_speed().found


@pytest.mark.slow
@pytest.mark.parametrize("world", ["DoomRooms", "Table", "Crafter", "Blocks"])
def test_true_worlds_work_here(world: str) -> None:
    if lacking := missing(WORLDS[world]):
        pytest.skip(f"not installed: {', '.join(lacking)}")
    assert doctor.true_world(WORLDS[world]).mark == doctor.OK
