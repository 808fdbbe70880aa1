import json
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from paint_world import expect_aligned

from worldsim.recording import store
from worldsim.recording.episode import Episode
from worldsim.recording.generate import GenerateConfig, generate_episodes
from worldsim.recording.reader import Recording
from worldsim.recording.store import RecordingError
from worldsim.recording.writer import RecordingWriter

SETTINGS = {"worlds": "paint_world:Paint-v0", "policies": "random", "workers": 0}


def paint(episodes=3, **changes) -> list[Episode]:
    return list(generate_episodes(GenerateConfig(**{**SETTINGS, "episodes": episodes, **changes})))


def same(a: Episode, b: Episode) -> bool:
    nan = {"pose"}
    return all(np.array_equal(getattr(a, f.name), getattr(b, f.name), equal_nan=f.name in nan) for f in fields(Episode))


@pytest.fixture(scope="module")
def painted():
    return paint()


@pytest.fixture
def folder(tmp_path, painted):
    with RecordingWriter(tmp_path / "set") as writer:
        for episode in painted:
            writer.write(episode)
    return tmp_path / "set"


def test_what_is_read_is_what_was_written(folder, painted):
    recording = Recording.open(folder, verify=True)
    assert len(recording) == 3 and recording.steps == sum(map(len, painted))
    for number, episode in enumerate(painted):
        assert same(recording.episode(number), episode)
        expect_aligned(recording.episode(number))


def test_clips_equal_the_clips_of_the_whole_episode(folder, painted):
    recording = Recording.open(folder)
    for start, length in [(0, 1), (0, 4), (3, 2), (len(painted[0]) - 2, 2)]:
        clip = recording.clip(0, start, length)
        expect_aligned(clip)
        assert same(clip, painted[0].clip(start, length))
    with pytest.raises(IndexError, match="is not inside an episode"):
        recording.clip(0, len(painted[0]) - 1, 2)
    with pytest.raises(IndexError, match="there is no episode 3"):
        recording.episode(3)


def test_a_clip_reads_only_its_row_groups(tmp_path):
    long = paint(1, env_options={"length": 200})[0]
    assert len(long) == 200
    with RecordingWriter(tmp_path) as writer:
        writer.write(long)
    path = tmp_path / store.data_path(0)
    groups = pq.ParquetFile(path).metadata
    names = [groups.row_group(0).column(i).path_in_schema for i in range(groups.num_columns)]
    image = names.index("observation.image.bytes")
    broken = groups.row_group(groups.num_row_groups - 1).column(image).data_page_offset + 40
    data = bytearray(path.read_bytes())
    data[broken] ^= 0xFF
    path.write_bytes(data)
    recording = Recording.open(tmp_path)
    expect_aligned(recording.clip(0, 100, 8))
    with pytest.raises(RecordingError, match=r"file-000.parquet is damaged"):
        recording.episode(0)
    with pytest.raises(RecordingError, match=r"file-000.parquet is damaged: its checksum"):
        recording.verify()


def test_rows_are_one_per_video_frame_as_documented(folder, painted):
    table = pq.read_table(folder / store.data_path(0))
    steps, k = len(painted[0]), 4
    assert table.num_rows == k * steps + 1
    column = {name: table.column(name).to_pylist() for name in table.column_names}
    actions = painted[0].actions.tolist()
    assert column["action"] == [a for a in actions for _ in range(k)] + [-1]
    assert column["step"] == [t for t in range(steps) for _ in range(k)] + [steps]
    assert column["timestamp"] == pytest.approx([r / 20 for r in range(k * steps + 1)])
    assert column["reward"][k::k] == painted[0].reward.tolist()
    assert not any(column["reward"][r] for r in range(k * steps + 1) if r % k)
    assert column["n_frames"] == [1] + [n for _ in range(steps - 1) for n in (0, 0, 0, 4)] + [0, 0, 0, 2]
    assert column["terminated"] == [False] * (k * steps) + [True]
    info = json.loads((folder / "meta/info.json").read_text())
    assert set(info["features"]) == set(table.column_names)
    assert info["total_frames"] == sum(4 * len(e) + 1 for e in painted) and info["codebase_version"] == "v3.0"


def test_worlds_of_one_frame_per_step(tmp_path):
    episode = paint(1)[0]
    blocks = np.repeat(episode.blocks[:, :1], 4, axis=1)
    single = replace(episode, blocks=blocks, n_frames=np.ones(len(episode), np.int8), frames_per_step=1, fps=5.0)
    with RecordingWriter(tmp_path) as writer:
        writer.write(single)
    assert pq.read_table(tmp_path / store.data_path(0)).num_rows == len(single) + 1
    assert same(Recording.open(tmp_path).episode(0), single)


def test_find_and_index(folder, painted):
    recording = Recording.open(folder)
    goals = [e.goal for e in painted]
    assert recording.find(goal=goals[0]) == [i for i, g in enumerate(goals) if g == goals[0]]
    assert recording.find(world="DoomRooms") == [] and recording.find(split="train") == [0, 1, 2]
    entry = recording.entries[1]
    assert entry.notable == [t for t, a in enumerate(painted[1].actions) if a or t == len(painted[1]) - 1]
    assert entry.action_counts == np.bincount(painted[1].actions, minlength=32).tolist()
    assert [len(e) for e in recording.episodes()] == [len(e) for e in painted]


def test_appending_goes_on_where_it_ended(folder, painted):
    more = paint(2, first_episode=3)
    with RecordingWriter(folder) as writer:
        assert len(writer) == 3
        for episode in more:
            writer.write(episode)
    recording = Recording.open(folder, verify=True)
    assert all(same(a, b) for a, b in zip(recording.episodes(), [*painted, *more])) and len(recording) == 5
    rows = [(e.first_row, e.length) for e in recording.entries]
    assert [first for first, _ in rows] == np.cumsum([0] + [n for _, n in rows[:-1]]).tolist()


def test_the_index_spans_several_files(tmp_path, monkeypatch, painted):
    monkeypatch.setattr(store, "INDEX_FILE", 2)
    with RecordingWriter(tmp_path) as writer:
        for episode in [*painted, *painted]:
            writer.write(episode)
    assert len(list((tmp_path / "meta/episodes").rglob("*.parquet"))) == 3
    assert len(Recording.open(tmp_path)) == 6


def test_a_second_writer_is_refused(folder):
    with RecordingWriter(folder), pytest.raises(RecordingError, match=rf"pid {os.getpid()}.* is writing to"):
        RecordingWriter(folder)
    RecordingWriter(folder).close()


WRITE_FOR_EVER = """
import sys
from worldsim.recording.generate import GenerateConfig, generate_episodes
from worldsim.recording.writer import RecordingWriter
episodes = list(generate_episodes(GenerateConfig(worlds="paint_world:Paint-v0", policies="random", episodes=8,
                                                 workers=0, env_options={"length": 60})))
with RecordingWriter(sys.argv[1]) as writer:
    while True:
        print(writer.write(episodes[len(writer) % 8]).episode_index, flush=True)
"""


def test_sigkill_while_writing_loses_only_the_episode_under_way(tmp_path):
    env = {**os.environ, "PYTHONPATH": str(Path(__file__).parent)}
    writer = subprocess.Popen(
        [sys.executable, "-c", WRITE_FOR_EVER, str(tmp_path / "set")],
        stdout=subprocess.PIPE,
        text=True,
        env=env,
    )
    assert writer.stdout is not None
    expected = paint(8, env_options={"length": 60})
    for _ in range(3):
        writer.stdout.readline()
    time.sleep(0.043)
    writer.send_signal(signal.SIGKILL)
    reported = 3 + len(writer.stdout.read().splitlines())
    writer.wait()
    recording = Recording.open(tmp_path / "set", verify=True)
    assert reported <= len(recording) <= reported + 1
    assert all(same(e, expected[i % 8]) for i, e in enumerate(recording.episodes()))
    with RecordingWriter(tmp_path / "set") as again:
        assert len(again) >= reported
        again.write(expected[len(again) % 8])
    assert not list((tmp_path / "set").rglob("*.tmp"))
    assert len(Recording.open(tmp_path / "set", verify=True)) == len(again)


@pytest.mark.parametrize("point", ["before the index", "in the data file", "in the index"])
def test_a_kill_between_data_and_index_is_recovered(tmp_path, folder, painted, monkeypatch, point):
    extra = paint(1, first_episode=7)[0]

    def killed(*_):
        raise KeyboardInterrupt

    writer = RecordingWriter(folder)
    if point == "before the index":
        monkeypatch.setattr("worldsim.recording.writer.write_index", killed)
    else:
        name = store.data_path(3) if point == "in the data file" else store.index_path(3)
        whole = store.publish
        monkeypatch.setattr(
            store, "publish", lambda tmp, path: killed() if str(path).endswith(name) else whole(tmp, path)
        )
    with pytest.raises(KeyboardInterrupt):
        writer.write(extra)
    writer.close()
    monkeypatch.undo()
    whole_episodes = [*painted, *([] if point == "in the data file" else [extra])]
    assert all(same(a, b) for a, b in zip(Recording.open(folder).episodes(), whole_episodes, strict=True))
    with RecordingWriter(folder) as writer:
        writer.write(painted[0])
    read = Recording.open(folder, verify=True).episodes()
    assert all(same(a, b) for a, b in zip(read, [*whole_episodes, painted[0]], strict=True))


def test_the_index_is_rebuilt_from_the_data_files(folder, painted):
    shutil.rmtree(folder / "meta/episodes")
    with RecordingWriter(folder) as writer:
        assert len(writer) == 3
    assert all(same(a, b) for a, b in zip(Recording.open(folder, verify=True).episodes(), painted, strict=True))


def test_an_unindexed_damaged_file_is_set_aside(folder, painted):
    (folder / store.data_path(3)).write_bytes(b"PAR1 but not really")
    assert len(Recording.open(folder)) == 3
    with pytest.warns(UserWarning, match=r"file-003.parquet is damaged.*set aside"):
        writer = RecordingWriter(folder)
    writer.write(painted[0])
    writer.close()
    assert len(Recording.open(folder, verify=True)) == 4


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1000])


def garble(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 3 : len(data) // 3 + 50] = bytes(50)
    path.write_bytes(data)


@pytest.mark.parametrize(
    ("name", "harm", "message"),
    [
        (
            "data/chunk-000/file-001.parquet",
            truncate,
            r"file-001.parquet is damaged: it has \d+ bytes, not \d+",
        ),
        ("data/chunk-000/file-001.parquet", garble, r"file-001.parquet is damaged: its checksum"),
        ("data/chunk-000/file-001.parquet", Path.unlink, r"file-001.parquet is missing"),
        ("meta/episodes/chunk-000/file-000.parquet", truncate, r"file-000.parquet is not a readable index"),
        ("meta/info.json", lambda p: p.write_text('{"worldsim": {"form'), r"info.json is damaged"),
        (
            "meta/info.json",
            lambda p: p.write_text('{"fps": 30}'),
            r"info.json is of a dataset that worldsim did not",
        ),
        (
            "meta/info.json",
            lambda p: p.write_text(p.read_text().replace('n": 1', 'n": 9')),
            r"format version 9, newer",
        ),
        ("meta/info.json", Path.unlink, r"holds no recording"),
    ],
)
def test_damage_is_named(folder, name, harm, message):
    harm(folder / name)
    with pytest.raises((RecordingError, FileNotFoundError), match=message):
        Recording.open(folder, verify=True)


def test_a_data_file_of_another_recording_is_refused(folder, tmp_path):
    with RecordingWriter(tmp_path / "other") as writer:
        for episode in paint(3, seed=1):
            writer.write(episode)
    shutil.copy(tmp_path / "other" / store.data_path(2), folder / store.data_path(3))
    assert len(Recording.open(folder)) == 3
    with pytest.warns(UserWarning, match="holds episode 2, which does not continue"):
        RecordingWriter(folder).close()


def test_a_folder_of_something_else_is_refused(tmp_path):
    (tmp_path / "holiday.jpg").write_bytes(b"\xff\xd8")
    with pytest.raises(RecordingError, match=r"holiday.jpg"):
        RecordingWriter(tmp_path)
    with pytest.raises(FileNotFoundError, match="is not a folder"):
        Recording.open(tmp_path / "nowhere")


def test_episodes_that_do_not_fit_are_refused(folder, painted):
    with RecordingWriter(folder) as writer:
        with pytest.raises(RecordingError, match=r"64x64 at 20 fps; this episode \(Paint\) has 32x32 at 20 fps"):
            writer.write(paint(1, frame_size=(32, 32))[0])
        with pytest.raises(RecordingError, match="is a test map"):
            writer.write(replace(painted[0], map_seed=2_000_001))
        with pytest.raises(RecordingError, match="is a test map"):
            writer.write(replace(painted[0], split="test"))
    assert len(Recording.open(folder)) == 3


def test_large_frames_are_stored_as_video_and_stay_aligned(tmp_path):
    """Video is lossy, so the painted colours are compared and not every pixel; clips start between key
    frames."""
    episodes = [smooth(e) for e in paint(2, frame_size=(144, 160))]
    with RecordingWriter(tmp_path) as writer:
        for episode in episodes:
            writer.write(episode)
    recording = Recording.open(tmp_path, verify=True)
    for number, start in [(0, 0), (0, 1), (1, 2), (1, 4)]:
        clip, wanted = recording.clip(number, start, 3), episodes[number].clip(start, 3)
        assert np.abs(clip.blocks.astype(int) - wanted.blocks).mean() < 4
        assert np.abs(clip.first.astype(int) - wanted.first).mean() < 4
        assert same(replace(clip, first=wanted.first, blocks=wanted.blocks), wanted)
    path = tmp_path / store.video_path(1)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(RecordingError, match=r"file-001.mp4 is damaged"):
        Recording.open(tmp_path)
    with pytest.raises(RecordingError, match=r"file-001.mp4"):
        recording.episode(1)


def smooth(episode: Episode) -> Episode:
    """The episode with frames that video can keep: a grey that says step and frame, all over the picture."""
    blocks = np.empty_like(episode.blocks)
    for t in range(len(episode)):
        for j in range(4):
            blocks[t, j] = 10 + 7 * t + 1.7 * min(j, int(episode.n_frames[t]) - 1)
    return replace(episode, first=np.zeros_like(episode.first), blocks=blocks)
