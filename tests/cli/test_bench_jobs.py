"""Pieces in processes of their own: values, lines, what fails, and an end at Ctrl-C."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from pieces import died, process, refused, threads, told

from worldsim.cli.bench_jobs import Here, Piece, Workers

PIECES = [
    Piece("a", told, ("first", 2)),
    Piece("b", refused, ("not so",)),
    Piece("c", died),
    Piece("a", told, ("second", 1)),
    Piece("d", threads),
]


def test_a_piece_that_fails_or_dies_costs_nothing_but_itself_and_lines_come_whole_with_their_label() -> None:
    said: list[str] = []
    with Workers(2, said.append) as team:
        for piece in PIECES:
            team.add(piece)
        found = {id(ended.piece): ended for ended in team.ended()}
    values, failed = ([getattr(found[id(piece)], what) for piece in PIECES] for what in ("value", "failed"))
    assert values == [2, None, None, 1, ("1", 1)]
    assert failed == ["", "ValueError: not so", "its process ended with exit code 3", "", ""]
    assert sorted(said) == ["a: first 0", "a: first 1", "a: second 0"]


def test_pieces_may_follow_from_pieces_and_there_are_no_more_processes_than_jobs() -> None:
    values = []
    before = dict(os.environ)
    with Workers(1) as team:
        team.add(Piece("a", process))
        for ended in team.ended():
            values.append(ended.value)
            if len(values) < 3:
                team.add(Piece("a", process))
    assert len(set(values)) == 1 and values[0] != os.getpid()
    assert dict(os.environ) == before
    with pytest.raises(ProcessLookupError):
        os.kill(values[0], 0)


def test_what_a_user_can_put_right_goes_through_where_asked_and_tracebacks_where_the_variable_is_set(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("WORLDSIM_TRACEBACK", "1")
    with Workers(1, raises=True) as team:
        team.add(PIECES[1])
        with pytest.raises(ValueError, match="not so"):
            list(team.ended())
    assert capfd.readouterr().err.count("Traceback") == 1
    with Here() as here:
        here.add(PIECES[1])
        assert [e.failed for e in here.ended()] == ["ValueError: not so"]
    assert capfd.readouterr().err.count("Traceback") == 1


def test_an_idle_worker_that_dies_is_replaced() -> None:
    values = []
    with Workers(1) as team:
        team.add(Piece("a", process))
        for ended in team.ended():
            assert not ended.failed
            values.append(ended.value)
            if len(values) == 1:
                os.kill(values[0], signal.SIGKILL)
                time.sleep(0.5)
                team.add(Piece("a", process))
    assert len(set(values)) == 2


def test_pieces_of_a_lower_rank_are_begun_first() -> None:
    said: list[str] = []
    with Workers(1, said.append) as team:
        for label, rank in (("a", 1), ("b", 2), ("c", 0), ("d", 1)):
            team.add(Piece(label, told, ("here", 1), rank))
        list(team.ended())
    assert said == [f"{label}: here 0" for label in "cadb"]


def test_this_process_does_the_same(capsys: pytest.CaptureFixture[str]) -> None:
    pieces = [piece for piece in PIECES if piece.call is not died]
    with Here() as team:
        for piece in pieces:
            team.add(piece)
        found = list(team.ended())
    assert [(e.piece.label, e.failed) for e in found] == [("a", ""), ("b", "ValueError: not so"), ("a", ""), ("d", "")]
    assert [e.value for e in found][:3] == [2, None, 1]
    assert capsys.readouterr().out.startswith("first 0\nfirst 1")
    with Here(raises=True) as team:
        team.add(PIECES[1])
        with pytest.raises(ValueError, match="not so"):
            list(team.ended())


WAITING = """
import signal, sys
sys.path.insert(0, sys.argv[2])
from pieces import waited
from worldsim.cli.bench_jobs import Piece, Workers

if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background processes ignore it
    with Workers(2) as team:
        for name in ("one", "two"):
            team.add(Piece(name, waited, (sys.argv[1], name)))
        list(team.ended())
"""


def begun(folder: Path) -> subprocess.Popen[str]:
    """A parent whose two workers have begun to wait."""
    script = folder / "run.py"
    script.write_text(WAITING)
    parent = subprocess.Popen(
        [sys.executable, str(script), str(folder), str(Path(__file__).parent)],
        start_new_session=True, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    while len(list(folder.glob("* begun"))) < 2:
        assert parent.poll() is None
        time.sleep(0.05)
    return parent


def closed(folder: Path) -> list[str]:
    """Whose workers could close what they held."""
    return sorted(p.name for p in folder.glob("* closed"))


@pytest.mark.parametrize("group", [True, False], ids=["from the terminal", "to the parent alone"])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_parent_stops_its_workers(tmp_path: Path, group: bool, number: signal.Signals) -> None:
    parent = begun(tmp_path)
    (os.killpg if group else os.kill)(parent.pid, number)
    _, said = parent.communicate(timeout=60)
    if number == signal.SIGINT:
        assert parent.returncode != 0 and said.rstrip().endswith("KeyboardInterrupt")
    else:
        assert parent.returncode == 128 + signal.SIGTERM
    assert closed(tmp_path) == ["one closed", "two closed"]


def test_workers_end_when_their_parent_is_gone(tmp_path: Path) -> None:
    parent = begun(tmp_path)
    parent.kill()
    parent.communicate(timeout=60)  # workers hold its standard error: it ends with them
    assert closed(tmp_path) == ["one closed", "two closed"]
