"""The command table: lazy, complete, and errors that are one line for what a user can put right."""

from __future__ import annotations

import sys
from importlib import import_module
from types import ModuleType

import pytest

from worldsim.cli import main as cli


def run(capsys: pytest.CaptureFixture[str], *argv: str) -> tuple[int, str, str]:
    code = cli.main(list(argv))
    captured = capsys.readouterr()
    return code, captured.out, captured.err


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """A command ``try`` whose ``main`` a test sets."""
    module = ModuleType("worldsim_command_of_a_test")
    monkeypatch.setitem(sys.modules, module.__name__, module)
    monkeypatch.setitem(cli.COMMANDS, "try", (module.__name__, "for tests"))
    monkeypatch.delenv("WORLDSIM_TRACEBACK", raising=False)
    return module


def test_help_lists_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, "--help")
    assert code == 0
    for name, (_, help_line) in cli.COMMANDS.items():
        assert name in out and help_line in out


def test_no_command_prints_the_help_and_fails(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys)
    assert code == 2 and out.startswith("usage: worldsim")


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    import worldsim

    assert run(capsys, "--version") == (0, f"worldsim {worldsim.__version__}\n", "")


def test_an_unknown_command_is_named_with_the_known_ones(capsys: pytest.CaptureFixture[str]) -> None:
    code, _, err = run(capsys, "dem")
    assert code == 2 and "'dem'" in err and "demo" in err


@pytest.mark.parametrize("name", cli.COMMANDS)
def test_every_command_has_a_main_and_a_help(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert callable(import_module(cli.COMMANDS[name][0]).main)
    with pytest.raises(SystemExit) as ended:
        cli.main([name, "--help"])
    assert ended.value.code == 0
    assert f"usage: worldsim {name}" in " ".join(capsys.readouterr().out.split())


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (ValueError("size 65\nis no multiple of 16"), "worldsim try: size 65 is no multiple of 16"),
        (FileNotFoundError(2, "No such file or directory", "runs/x"), "No such file or directory: 'runs/x'"),
        (ModuleNotFoundError("No module named 'vizdoom'", name="vizdoom"), "'vizdoom' is not installed"),
        (ModuleNotFoundError("...", name="worldsim.nothing"), "no module 'worldsim.nothing'"),
        (ImportError(), "worldsim try: ImportError"),
    ],
)
def test_a_users_error_is_one_line(
    command: ModuleType, capsys: pytest.CaptureFixture[str], error: Exception, line: str
) -> None:
    def main(argv: list[str]) -> int:
        raise error

    command.main = main  # type: ignore[attr-defined]
    code, out, err = run(capsys, "try")
    assert code == 2 and out == "" and line in err and err.count("\n") == 1


def test_the_traceback_can_be_had(command: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    command.main = lambda argv: int("x")  # type: ignore[attr-defined]
    monkeypatch.setenv("WORLDSIM_TRACEBACK", "1")
    with pytest.raises(ValueError, match="invalid literal"):
        cli.main(["try"])


def test_our_own_faults_keep_their_traceback(command: ModuleType) -> None:
    command.main = lambda argv: {}["missing"]  # type: ignore[attr-defined]
    with pytest.raises(KeyError):
        cli.main(["try"])


def test_arguments_and_exit_code_pass_through(command: ModuleType) -> None:
    command.main = len  # type: ignore[attr-defined]
    assert cli.main(["try", "--a", "--b", "--c"]) == 3
