"""Reads recordings: whole episodes, or clips out of them without decoding the rest.

Opening checks that every file of the index is there with its size, and takes up episodes that were finished
but not indexed when a writer was killed; reading compares checksums page by page. A damaged file is named in
the error.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from worldsim.recording.columns import IMAGE, blocks_of, episode_arrays
from worldsim.recording.episode import Episode, check_clip
from worldsim.recording.images import decode_png
from worldsim.recording.info import Info
from worldsim.recording.store import (
    Entry,
    RecordingError,
    data_path,
    read_index,
    size_and_sum,
    unindexed,
    video_path,
)


@dataclass(frozen=True)
class Broken:
    """A data file after the last whole episode that is not whole."""

    path: Path
    reason: str


def load_entries(folder: Path) -> tuple[list[Entry], int, Broken | None]:
    """All whole episodes, how many of them the index knows, and the broken data file after the last, if there
    is one."""
    entries = read_index(folder)
    indexed = len(entries)
    while True:
        first_row = entries[-1].first_row + entries[-1].length if entries else 0
        try:
            entry = unindexed(folder, len(entries), first_row)
        except RecordingError as error:
            return entries, indexed, Broken(folder / data_path(len(entries)), str(error))
        if entry is None:
            return entries, indexed, None
        entries.append(entry)


class Recording:
    """A recording opened for reading; use ``Recording.open``. ``entries`` is the index, one entry per
    episode."""

    def __init__(self, folder: Path, info: Info, entries: list[Entry]) -> None:
        self.folder = folder
        self.info = info
        self.entries = entries

    @classmethod
    def open(cls, folder: str | os.PathLike[str], verify: bool = False) -> Recording:
        """Opens ``folder``. With ``verify`` all checksums are compared now, and not when a file is read.

        Raises ``FileNotFoundError`` where there is no recording and ``RecordingError`` naming a damaged file.
        """
        path = Path(folder)
        info = Info.read(path)
        entries, _, _ = load_entries(path)
        recording = cls(path, info, entries)
        recording._check_files(sums=verify)
        return recording

    def __len__(self) -> int:
        """Episodes in the recording."""
        return len(self.entries)

    @property
    def steps(self) -> int:
        """Steps in all episodes together."""
        return sum(entry.steps for entry in self.entries)

    @property
    def frame_size(self) -> tuple[int, int]:
        return self.info.frame_size

    def find(
        self,
        world: str | None = None,
        split: str | None = None,
        policy: str | None = None,
        goal: str | None = None,
    ) -> list[int]:
        """Numbers of the episodes that match all of the given properties."""
        wanted = {"world": world, "split": split, "policy": policy, "goal": goal}
        given = {name: value for name, value in wanted.items() if value is not None}
        return [e.episode_index for e in self.entries if all(getattr(e, n) == v for n, v in given.items())]

    def episodes(
        self,
        world: str | None = None,
        split: str | None = None,
        policy: str | None = None,
        goal: str | None = None,
    ) -> Iterator[Episode]:
        """The matching episodes, one after another."""
        for number in self.find(world, split, policy, goal):
            yield self.episode(number)

    def episode(self, number: int) -> Episode:
        """Episode ``number``, whole. Raises ``IndexError`` for a number that there is not."""
        return self.clip(number, 0, self._entry(number).steps)

    def clip(self, number: int, start: int, length: int) -> Episode:
        """Steps ``start`` to ``start + length - 1`` of an episode; its ``first`` is observation ``start``.

        Reads and decodes only the frames around the clip. Raises ``IndexError`` where it reaches past the
        episode.
        """
        entry = self._entry(number)
        check_clip(start, length, entry.steps)
        k = entry.frames_per_step
        rows = slice(k * start, k * (start + length) + 1)
        path = self.folder / data_path(number)
        try:
            table = _read_rows(path, rows, entry.length)
            if self.info.with_images:
                images = table.column(IMAGE).combine_chunks().field("bytes").to_pylist()
                frames = decode_png(images, self.frame_size)
            else:
                from worldsim.recording.video import decode_video

                frames = decode_video(self.folder / video_path(number), rows, entry.fps, self.frame_size)
            arrays = episode_arrays(table, k)
            return Episode(**_named(entry), **arrays, first=frames[0], blocks=blocks_of(frames[1:], k))
        except RecordingError:
            raise
        except (pa.ArrowException, OSError, KeyError, ValueError) as error:
            raise RecordingError(f"{path} is damaged or not of this recording: {error}") from error

    def columns(self, number: int, names: list[str] | None = None) -> pa.Table:
        """Columns of the data file of an episode as they are stored, a row for each frame; None: all of them.

        Raises ``RecordingError`` where the file is damaged or lacks a column.
        """
        entry = self._entry(number)
        path = self.folder / data_path(number)
        try:
            table = _read_rows(path, slice(0, entry.length), entry.length, names)
        except (pa.ArrowException, OSError) as error:
            raise RecordingError(f"{path} is damaged or not of this recording: {error}") from error
        lacking = [name for name in names or () if name not in table.column_names]
        if lacking:
            raise RecordingError(f"{path} has no column {', '.join(lacking)}")
        return table

    def texts(self, number: int) -> tuple[list[str], list[str]]:
        """View and event texts of an episode, ``T + 1`` each, read without its frames."""
        texts = self.columns(number, ["view", "event"])
        seen = slice(0, None, self._entry(number).frames_per_step)
        return texts.column("view").to_pylist()[seen], texts.column("event").to_pylist()[seen]

    def verify(self) -> None:
        """Compares the checksums of all files. Raises ``RecordingError`` naming the first that differs."""
        self._check_files(sums=True)

    def size_on_disk(self) -> int:
        """Bytes of all data and video files."""
        return sum(size for entry in self.entries for size, _ in entry.files.values())

    def _entry(self, number: int) -> Entry:
        if not 0 <= number < len(self.entries):
            raise IndexError(f"there is no episode {number}: {self.folder} holds {len(self.entries)}, counted from 0")
        return self.entries[number]

    def _check_files(self, sums: bool) -> None:
        for entry in self.entries:
            for name, (size, total) in entry.files.items():
                path = self.folder / name
                if name not in (data_path(entry.episode_index), video_path(entry.episode_index)):
                    raise RecordingError(
                        f"the index of {self.folder} names {name!r}, which is no file of episode {entry.episode_index}"
                    )
                if not path.exists():
                    raise RecordingError(f"{path} is missing (episode {entry.episode_index} of the index)")
                if path.stat().st_size != size:
                    raise RecordingError(f"{path} is damaged: it has {path.stat().st_size} bytes, not {size}")
                if sums and size_and_sum(path) != [size, total]:
                    raise RecordingError(f"{path} is damaged: its checksum is not that of the index")


def _read_rows(path: Path, rows: slice, length: int, columns: list[str] | None = None) -> pa.Table:
    """The given rows of a data file, from only those row groups that hold them."""
    file = pq.ParquetFile(path, page_checksum_verification=True)
    if file.metadata.num_rows != length:
        raise RecordingError(f"{path} holds {file.metadata.num_rows} rows, not {length}")
    sizes = [file.metadata.row_group(i).num_rows for i in range(file.metadata.num_row_groups)]
    ends = np.cumsum(sizes)
    first = int(np.searchsorted(ends, rows.start, side="right"))
    last = int(np.searchsorted(ends, rows.stop - 1, side="right"))
    offset = int(ends[first]) - sizes[first]
    table = file.read_row_groups(list(range(first, last + 1)), columns, use_threads=False)
    return table.slice(rows.start - offset, rows.stop - rows.start)


def _named(entry: Entry) -> dict[str, Any]:
    names = ("world", "map_seed", "split", "goal", "policy", "scene", "frames_per_step", "fps")
    return {name: getattr(entry, name) for name in names}
