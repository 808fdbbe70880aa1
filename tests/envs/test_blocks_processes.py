"""The programs of the block world: out of reach of the network, stopped while nobody steps, never left behind."""

from __future__ import annotations

import contextlib
import gc
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import gymnasium as gym
import numpy as np
import pytest
from true_episodes import assert_equal, needs, play
from worldsim_envs.blocks import BlocksEnv
from worldsim_envs.blocks.game import GameError, _state
from worldsim_envs.blocks.processes import Keeper

import worldsim  # noqa: F401  (registers the worlds)
from worldsim.recording.reader import Recording

PATIENCE = 60.0
"""Seconds until what should end has ended; none of it takes one on an idle machine."""


def alive(pid: int) -> bool:
    """Whether a process runs or is stopped; what is dead and not yet waited for is not."""
    return _state(Path(f"/proc/{pid}")) not in "ZX"


def comes_true(condition: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + PATIENCE
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.05)
    return condition()


def of_folder(folder: str | Path) -> list[int]:
    """Numbers of the processes on whose command line ``folder`` stands: keeper, display and game."""
    pids = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            try:
                command = (entry / "cmdline").read_bytes()
            except OSError:
                continue
            if str(folder).encode() in command and alive(int(entry.name)):
                pids.append(int(entry.name))
    return pids


def folder_of(env: BlocksEnv) -> Path:
    keeper = env._game._keeper
    assert keeper is not None
    return keeper.folder


def all_gone(folder: Path) -> Callable[[], bool]:
    return lambda: not of_folder(folder) and not folder.exists()


def test_a_keeper_ends_what_it_started_and_removes_its_folder(tmp_path: Path) -> None:
    folder = tmp_path / "it's here"
    folder.mkdir()
    keeper = Keeper(folder)
    pids = [keeper.start(["sleep", "600"]), keeper.start(["sh", "-c", "echo $WORD; sleep 600"], WORD="a b'c")]
    assert all(map(alive, pids)) and comes_true(lambda: keeper.log() == "a b'c\n")
    os.kill(pids[0], signal.SIGSTOP)
    keeper.close()
    assert not any(map(alive, pids)) and not folder.exists()
    keeper.close()


def test_a_forked_child_does_not_keep_the_programs_alive(tmp_path: Path) -> None:
    (tmp_path / "own").mkdir()
    keeper = Keeper(tmp_path / "own")
    pid = keeper.start(["sleep", "600"])
    child = os.fork()
    if child == 0:
        time.sleep(60)
        os._exit(0)
    try:
        keeper._shell.stdin.close()  # type: ignore[union-attr]  # as the end of this process would
        assert comes_true(lambda: not alive(pid))
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)


def sockets(pids: Sequence[int]) -> set[str]:
    """Inodes of the sockets of processes."""
    found = set()
    for pid in pids:
        for entry in Path(f"/proc/{pid}/fd").iterdir():
            with contextlib.suppress(FileNotFoundError):  # closed since it was listed
                target = os.readlink(entry)
                if target.startswith("socket:"):
                    found.add(target[8:-1])
    return found


def open_to_others(inodes: set[str]) -> list[str]:
    """Local addresses, beyond loopback, of network sockets of this machine with these inodes."""
    loopback = ("0100007F", "00000000000000000000000001000000")
    addresses = []
    for table in ("tcp", "tcp6", "udp", "udp6"):
        for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]:
            fields = line.split()
            if fields[9] in inodes and fields[1].partition(":")[0] not in loopback:
                addresses.append(f"{table} {fields[1]}")
    return addresses


def test_no_port_is_open_to_the_network_and_nothing_is_left_after_close() -> None:
    needs("Blocks")
    env = BlocksEnv()
    env.reset(seed=0)
    folder = folder_of(env)
    pids = of_folder(folder)
    assert len(pids) == 3 and sockets(pids)
    assert open_to_others(sockets(pids)) == []
    log = (folder / "engine-log").read_text()
    assert "listening on 127.0.0.1:" in log and "listening on 0.0.0.0" not in log
    env.close()
    assert all_gone(folder)()
    env.close()


def test_the_check_of_ports_sees_an_open_one() -> None:
    import socket

    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as bound:
        bound.bind(("0.0.0.0", 0))
        assert len(open_to_others(sockets([os.getpid()]))) >= 1


def test_the_game_stands_still_between_steps() -> None:
    needs("Blocks")
    env = BlocksEnv()
    env.reset(seed=0)
    for _ in range(2):
        assert comes_true(lambda: _state(Path(f"/proc/{env._game._pid}")) == "T")
        env.step(np.int64(1))
    env.close()


def test_nothing_is_left_after_the_last_reference() -> None:
    needs("Blocks")
    env = BlocksEnv()
    env.reset(seed=0)
    folder = folder_of(env)
    del env
    gc.collect()
    assert comes_true(all_gone(folder))


def test_nothing_is_left_of_a_game_that_does_not_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    needs("Blocks")
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setattr("worldsim_envs.blocks.game.START_TIMEOUT", 0.0)
    env = BlocksEnv()
    with pytest.raises(GameError, match="did not start"):
        env.reset(seed=0)
    assert not of_folder(tmp_path) and not list(tmp_path.iterdir())


SCRIPT = """
import sys, time, gymnasium as gym, worldsim
env = gym.make("worldsim/Blocks-v0", disable_env_checker=True)
env.reset(seed=0)
print(env.unwrapped._game._keeper.folder, flush=True)
{then}
"""


@pytest.mark.parametrize("then", ["", "raise RuntimeError", "sys.stdin.read()"], ids=["end", "error", "kill"])
def test_nothing_is_left_when_the_interpreter_ends(then: str) -> None:
    needs("Blocks")
    process = subprocess.Popen(
        [sys.executable, "-c", SCRIPT.format(then=then)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
    )  # fmt: skip
    assert process.stdout is not None
    folder = Path(process.stdout.readline().strip())
    assert folder.name.startswith("worldsim-blocks-")
    if then.startswith("sys"):
        assert len(of_folder(folder)) == 3
        process.send_signal(signal.SIGKILL)
    process.communicate(timeout=60)
    assert comes_true(all_gone(folder))


@pytest.mark.slow
@pytest.mark.parametrize("workers", ["0", "2"])
def test_a_killed_collection_leaves_no_process_and_loses_no_whole_episode(tmp_path: Path, workers: str) -> None:
    needs("Blocks")
    out, temporary = tmp_path / "recording", tmp_path / "temporary"
    temporary.mkdir()
    command = [sys.executable, "-m", "worldsim.cli.main", "collect", "--worlds", "Blocks", "--out", str(out),
               "--episodes", "400", "--max-steps", "6", "--workers", workers]  # fmt: skip
    process = subprocess.Popen(command, env=os.environ | {"TMPDIR": str(temporary)}, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 200
    while len(list(out.glob("data/**/*.parquet"))) < 2:
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.1)
    running = of_folder(temporary)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert running and comes_true(lambda: not of_folder(temporary) and not list(temporary.glob("worldsim-blocks-*")))
    recording = Recording.open(out, verify=True)
    assert len(recording) >= 2 and {len(episode) for episode in recording.episodes()} == {6}


@pytest.mark.slow
def test_lanes_run_side_by_side_and_equal_single_worlds() -> None:
    needs("Blocks")
    envs = gym.make_vec("worldsim/Blocks-v0", num_envs=2, actions="world")
    single = BlocksEnv(actions="world")
    obs, _ = envs.reset(seed=[3, 4])
    recorded = [obs.copy()]
    for action in (1, 5, 13, 9):
        recorded.append(envs.step(np.array([action, action]))[0].copy())
    envs.close()
    for lane, seed in enumerate((3, 4)):
        frames = [single.reset(seed=seed)[0], *(single.step(np.int64(a))[0] for a in (1, 5, 13, 9))]
        for ours, theirs in zip(recorded, frames):
            assert np.abs(ours[lane].astype(int) - theirs).mean() < 0.5
    single.close()


@pytest.mark.slow
def test_episodes_repeat_in_a_fresh_game_and_after_others() -> None:
    needs("Blocks")
    first, second = BlocksEnv(), BlocksEnv()
    expected = play(first, 5, steps=20)
    play(second, 6, steps=3)
    assert_equal(play(second, 5, steps=20), expected)
    first.close()
    second.close()
