"""Writes recordings: every episode is durable when ``write`` returns, and a kill at any moment loses only the
current.

Order of an episode: video (where there is one), data file, index, totals. Opening an existing recording takes
the folder's lock, drops temporary files, takes up a data file that the index does not know yet, and appends.
"""

from __future__ import annotations

import fcntl
import json
import os
import warnings
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType

import numpy as np
import pyarrow as pa

from worldsim.recording.columns import episode_table, hugging_face_metadata
from worldsim.recording.episode import Episode
from worldsim.recording.images import encode_png
from worldsim.recording.info import Info
from worldsim.recording.reader import load_entries
from worldsim.recording.store import (
    ENTRY_KEY,
    Entry,
    RecordingError,
    data_path,
    entry_json,
    size_and_sum,
    table_bytes,
    video_path,
    write_durably,
    write_index,
)
from worldsim.worlds import WORLDS, split_of

ROW_GROUP = 128
"""Rows that are read together: 32 steps of a world with 4 frames per step."""


class RecordingWriter:
    """Appends episodes to the recording in ``folder``, which is created where it does not exist.

    Raises ``RecordingError`` where another process writes to the folder, where it holds something else, or
    where an episode does not fit (another frame size or rate, a test map).
    """

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        self.folder = Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        _refuse_foreign(self.folder)
        self._lock: int | None = _lock(self.folder)
        try:
            self.info: Info | None = None
            self.entries: list[Entry] = []
            for leftover in self.folder.rglob("*.tmp"):
                leftover.unlink()
            if (self.folder / "meta/info.json").exists():
                self.info = Info.read(self.folder)
                self._take_up()
            self.tasks = list(dict.fromkeys(entry.goal for entry in self.entries))
        except BaseException:
            self.close()
            raise

    def __len__(self) -> int:
        """Whole episodes in the folder."""
        return len(self.entries)

    def write(self, episode: Episode) -> Entry:
        """Stores an episode and returns its entry, once it is safe on the disk."""
        if self._lock is None:
            raise RecordingError(f"the writer of {self.folder} is closed")
        info = self._check(episode)
        number = len(self.entries)
        if self.info is None:
            info.write(self.folder, [])
            self.info = info
        if episode.goal not in self.tasks:
            self.tasks.append(episode.goal)
            _write_tasks(self.folder, self.tasks)
        first_row = self.entries[-1].first_row + self.entries[-1].length if self.entries else 0
        entry = _entry(episode, number, first_row, self.tasks.index(episode.goal))
        files: dict[str, list[int]] = {}
        if not info.with_images:
            from worldsim.recording.video import encode_video

            path = self.folder / video_path(number)
            encode_video(path, episode.video, episode.fps)
            files[video_path(number)] = size_and_sum(path)
        images = encode_png(episode.video) if info.with_images else None
        table = episode_table(episode, number, first_row, entry.task_index, images)
        data = data_file(table, entry, info.with_images)
        path = self.folder / data_path(number)
        write_durably(path, data)
        files[data_path(number)] = size_and_sum(path)
        entry.files.update(files)
        self.entries.append(entry)
        write_index(self.folder, self.entries, number)
        info.write(self.folder, self.entries)
        return entry

    def close(self) -> None:
        """Gives the folder free for another writer."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def __enter__(self) -> RecordingWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _take_up(self) -> None:
        """Reads the index, and adds data files that were finished but not indexed when the writer was
        killed."""
        assert self.info is not None
        self.entries, indexed, broken = load_entries(self.folder)
        if broken is not None:
            aside = broken.path.with_name(broken.path.name + ".broken")
            broken.path.rename(aside)
            warnings.warn(f"{broken.reason}; set aside as {aside.name}, recording goes on without it", stacklevel=3)
        for entry in self.entries[indexed:]:
            write_index(self.folder, self.entries, entry.episode_index)
        if self.entries:
            _write_tasks(self.folder, list(dict.fromkeys(entry.goal for entry in self.entries)))
            self.info.write(self.folder, self.entries)

    def _check(self, episode: Episode) -> Info:
        if episode.split == "test" or split_of(episode.map_seed) == "test":
            raise RecordingError(
                f"map seed {episode.map_seed} (split {episode.split!r}) is a test map: "
                "these are for measuring and never recorded"
            )
        info = Info(episode.frame_size, episode.fps)
        if self.info is not None and info != self.info:
            raise RecordingError(
                f"{self.folder} holds frames of {_size(self.info)}; this episode ({episode.world}) has "
                f"{_size(info)}: record it into a folder of its own"
            )
        return info


def data_file(table: pa.Table, entry: Entry, with_images: bool) -> pa.Buffer:
    """The data file of the rows of an episode, which repeats its entry."""
    metadata = {ENTRY_KEY: entry_json(entry), b"huggingface": hugging_face_metadata(with_images)}
    compression = dict.fromkeys(table.column_names, "zstd")
    compression |= {"observation.image.bytes": "none", "observation.image.path": "none"}
    return table_bytes(
        table.replace_schema_metadata(metadata),
        row_group_size=ROW_GROUP,
        compression=compression,
        use_dictionary=["goal", "scene", "view", "event", "facts"],
    )


def notable_steps(world: str, events: Sequence[str], reward: np.ndarray, terminated: np.ndarray) -> list[int]:
    """The steps of an episode that ``Entry.notable`` lists; ``events`` are of its T + 1 observations."""
    living = WORLDS[world].living_reward if world in WORLDS else 0.0
    said = np.array([bool(event) for event in events[1:]])
    return np.flatnonzero(said | (np.abs(reward - living) > 1e-6) | terminated).tolist()


def _entry(episode: Episode, number: int, first_row: int, task: int) -> Entry:
    known = episode.actions[episode.actions >= 0]
    return Entry(
        episode_index=number,
        world=episode.world,
        map_seed=episode.map_seed,
        split=episode.split,
        goal=episode.goal,
        policy=episode.policy,
        scene=episode.scene,
        steps=len(episode),
        frames_per_step=episode.frames_per_step,
        fps=episode.fps,
        length=episode.frames_per_step * len(episode) + 1,
        first_row=first_row,
        task_index=task,
        reward=float(episode.reward.sum()),
        terminated=bool(episode.terminated[-1]),
        truncated=bool(episode.truncated[-1]),
        action_counts=np.bincount(known, minlength=32).tolist(),
        notable=notable_steps(episode.world, episode.events, episode.reward, episode.terminated),
        cuts=int(episode.cuts.sum()),
    )


def _write_tasks(folder: Path, tasks: list[str]) -> None:
    """Goals and their numbers; the metadata makes pandas, and so LeRobot, take the goal as the index."""
    kinds = {"task_index": ("int64", "int64"), "task": ("unicode", "object")}
    columns = [
        {"name": name, "field_name": name, "pandas_type": kind, "numpy_type": stored, "metadata": None}
        for name, (kind, stored) in kinds.items()
    ]
    pandas = {"index_columns": ["task"], "column_indexes": [], "columns": columns, "pandas_version": "2.0.0"}
    numbers, texts = pa.array(range(len(tasks)), pa.int64()), pa.array(tasks, pa.string())
    table = pa.table({"task_index": numbers, "task": texts}, metadata={"pandas": json.dumps(pandas)})
    write_durably(folder / "meta/tasks.parquet", table_bytes(table))


def _size(info: Info) -> str:
    return f"{info.frame_size[0]}x{info.frame_size[1]} at {info.fps:g} fps"


def _refuse_foreign(folder: Path) -> None:
    others = [p.name for p in folder.iterdir() if p.name not in (".lock", "meta", "data", "videos")]
    if others and not (folder / "meta/info.json").exists():
        raise RecordingError(
            f"{folder} is not empty and not a recording (it holds {others[0]!r}); choose another folder"
        )


def _lock(folder: Path) -> int:
    """Takes the folder's lock, which the system gives free when the process ends, however it ends."""
    handle = os.open(folder / ".lock", os.O_RDWR | os.O_CREAT, 0o644)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        owner = os.read(handle, 32).decode(errors="replace").strip()
        os.close(handle)
        raise RecordingError(f"another process ({owner or 'unknown'}) is writing to {folder}") from error
    os.ftruncate(handle, 0)
    os.write(handle, f"pid {os.getpid()}\n".encode())
    return handle
