"""Captions written into a recording: every other column stays, and a kill at any moment loses nothing."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from worldsim.recording import recaption, store
from worldsim.recording.episode import Episode
from worldsim.recording.generate import GenerateConfig, generate_episodes
from worldsim.recording.reader import Recording
from worldsim.recording.recaption import Captions, has_captions, uncaptioned, write_captions
from worldsim.recording.store import RecordingError, data_path
from worldsim.recording.writer import RecordingWriter

SAID = ("scene", "view", "event", "facts")


def nameless(seed: int, length: int = 12) -> Episode:
    """An episode of the painted world of which nothing is said."""
    plan = GenerateConfig(
        worlds="paint_world:Paint-v0",
        policies="random",
        workers=0,
        episodes=1,
        seed=seed,
        env_options={"length": length},
    )  # fmt: skip
    (episode,) = generate_episodes(plan)
    empty = [""] * (len(episode) + 1)
    return Episode(**{**vars(episode), "scene": "", "views": empty, "events": empty, "facts": empty, "words": None})


def captions(recording: Recording, number: int) -> Captions:
    steps = recording.entries[number].steps
    texts = [f"{number} at {t}" for t in range(steps + 1)]
    events = ["event" if t == 3 else "" for t in range(steps + 1)]
    return Captions(f"scene {number}", texts, events, [f"facts {t}" for t in range(steps + 1)])


@pytest.fixture
def folder(tmp_path) -> Path:
    with RecordingWriter(tmp_path / "set") as writer:
        for seed in range(4):
            writer.write(nameless(seed))
    return tmp_path / "set"


def columns(folder: Path, number: int) -> dict[str, list]:
    return pq.read_table(folder / data_path(number)).to_pydict()


def is_captioned(folder: Path, number: int) -> bool:
    """Whether all of an episode's captions are the new ones (True) or none (False)."""
    recording = Recording.open(folder, verify=True)
    entry, (views, events) = recording.entries[number], recording.texts(number)
    wanted = captions(recording, number)
    said = (entry.scene, views, events, entry.captioned_by)
    assert said in [(wanted.scene, wanted.views, wanted.events, "me"), ("", [""] * 13, [""] * 13, "")]
    return bool(entry.scene)


def test_only_the_captions_change(folder):
    before = [columns(folder, number) for number in range(4)]
    entries = [vars(entry).copy() for entry in Recording.open(folder).entries]
    assert write_captions(folder, [1, 3], captions, "me") == 2
    recording = Recording.open(folder, verify=True)
    for number in range(4):
        after, new = columns(folder, number), captions(recording, number)
        for name in set(after) - set(SAID):
            np.testing.assert_equal(after[name], before[number][name])
        if number in (1, 3):
            assert after["scene"] == [new.scene] * len(after["scene"])
            assert [after[name][::4] for name in ("view", "event", "facts")] == [new.views, new.events, new.facts]
            assert set(after["view"][1::4] + after["event"][2::4] + after["facts"][3::4]) == {""}
            assert recording.entries[number].notable == sorted({*entries[number]["notable"], 2})
        else:
            np.testing.assert_equal(after, before[number])
        changed = {name for name, value in vars(recording.entries[number]).items() if value != entries[number][name]}
        assert changed - {"notable"} == ({"scene", "captioned_by", "files"} if number in (1, 3) else set())
    schemas = [pq.read_schema(folder / data_path(number)) for number in range(2)]
    assert schemas[0].equals(schemas[1]) and schemas[0].metadata.keys() == schemas[1].metadata.keys()
    with RecordingWriter(folder) as writer:
        writer.write(nameless(9))
    assert len(Recording.open(folder, verify=True)) == 5


def test_whose_captions_may_be_replaced(folder):
    plan = GenerateConfig(worlds="paint_world:Paint-v0", policies="random", workers=0, episodes=1)
    (truth,) = generate_episodes(plan)
    with RecordingWriter(folder) as writer:
        writer.write(truth)
    assert has_captions(Recording.open(folder), 4) and not has_captions(Recording.open(folder), 0)
    assert uncaptioned(Recording.open(folder), "me") == [0, 1, 2, 3]
    write_captions(folder, [0], captions, "me")
    write_captions(folder, [1], captions, "another")
    assert uncaptioned(Recording.open(folder), "me") == [1, 2, 3]
    assert uncaptioned(Recording.open(folder), "me", replace_truth=True) == [1, 2, 3, 4]


def test_what_fails_leaves_what_was_done(folder):
    def failing(recording, number):
        if number == 2:
            raise RuntimeError("the light went out")
        return captions(recording, number)

    with pytest.raises(RuntimeError, match="the light went out"):
        write_captions(folder, range(4), failing, "me")
    assert [is_captioned(folder, number) for number in range(4)] == [True, True, False, False]
    stop = iter([False, True])
    assert write_captions(folder, [2, 3], captions, "me", lambda: next(stop)) == 1
    assert [is_captioned(folder, number) for number in range(4)] == [True, True, True, False]
    with pytest.raises(ValueError, match="episode 3 has 13 observations, and not as many captions"):
        write_captions(folder, [3], lambda *_: Captions("", [], [], []), "me")
    assert not is_captioned(folder, 3)


def test_a_damaged_recording_is_left_alone(folder):
    path = folder / data_path(2)
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 0xFF
    path.write_bytes(data)
    index = (folder / store.index_path(0)).read_bytes()
    with pytest.raises(RecordingError, match=r"file-002.parquet is damaged"):
        write_captions(folder, [0], captions, "me")
    assert (folder / store.index_path(0)).read_bytes() == index
    data[len(data) // 2] ^= 0xFF
    path.write_bytes(data)
    with RecordingWriter(folder), pytest.raises(RecordingError, match="another process"):
        write_captions(folder, [0], captions, "me")


@pytest.mark.parametrize("point", ["index", "data", "renamed", "end"])
def test_a_stop_between_any_two_files_leaves_a_whole_recording(folder, monkeypatch, point):
    class Killed(BaseException):
        pass

    def killed(*_):
        raise Killed

    def nothing(*_):
        pass

    data = recaption.write_durably
    if point == "index":  # the index is gone, and nothing was replaced
        monkeypatch.setattr(recaption, "_rewritten", killed)
    elif point == "data":  # the second data file was about to appear
        monkeypatch.setattr(
            recaption,
            "write_durably",
            lambda path, content: killed() if "file-001" in path.name else data(path, content),
        )
    elif point == "renamed":  # it has appeared, and its entry is not known yet
        monkeypatch.setattr(recaption, "size_and_sum", lambda path: killed() if "file-001" in path.name else [0, 0])
    # what is done on the way out would not be done by a process that is killed
    monkeypatch.setattr(recaption, "write_index", killed if point == "end" else nothing)
    with pytest.raises(Killed):
        write_captions(folder, range(4), captions, "me")
    monkeypatch.undo()
    done = {"index": 0, "data": 1, "renamed": 2, "end": 4}[point]
    assert not (folder / store.index_path(0)).exists()
    assert [is_captioned(folder, number) for number in range(4)] == [number < done for number in range(4)]
    left = uncaptioned(Recording.open(folder), "me")
    assert left == list(range(done, 4)) and write_captions(folder, left, captions, "me") == len(left)
    assert all(is_captioned(folder, number) for number in range(4))


KILLED = """
import sys
sys.path[:0] = {path!r}
from test_recaption import captions
from worldsim.recording.recaption import write_captions
def told(recording, number):
    print(number, flush=True)
    return captions(recording, number)
write_captions({folder!r}, range(4), told, "me")
"""


@pytest.mark.parametrize("after", [0.0, 0.003, 0.01, 0.03])
def test_a_killed_process_loses_nothing(folder, after):
    before = [columns(folder, number) for number in range(4)]
    code = KILLED.format(path=[str(Path(__file__).parent)], folder=str(folder))
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, env=os.environ)
    process.stdout.readline()
    time.sleep(after)
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stdout.close()
    done = [is_captioned(folder, number) for number in range(4)]
    assert done == sorted(done, reverse=True)
    for number, old in enumerate(before):
        new = columns(folder, number)
        for name in set(old) - set(SAID if done[number] else ()):
            np.testing.assert_equal(new[name], old[name])
    write_captions(folder, uncaptioned(Recording.open(folder), "me"), captions, "me")
    assert all(is_captioned(folder, number) for number in range(4))
    assert not list(folder.rglob("*.tmp"))
