"""Files of a recording: where they lie, how they are written so that a kill cannot break them, what the index
says.

The layout is that of LeRobot v3 (``meta/info.json``, ``meta/tasks.parquet``, ``meta/episodes``, ``data``,
``videos``), with one data file per episode. Every file appears whole or not at all (temporary file, fsync,
rename), the data before the index; each data file repeats its index entry, so that the index can be rebuilt.
"""

from __future__ import annotations

import json
import os
import zlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

FORMAT_VERSION = 1
CODEBASE_VERSION = "v3.0"
CHUNK = 1000
"""Files in one ``chunk-xxx`` folder."""
INDEX_FILE = 500
"""Episodes in one index file: the file that is rewritten when an episode ends stays small."""
ENTRY_KEY = b"worldsim.episode"


class RecordingError(ValueError):
    """A recording, or a file of it, cannot be used; the message names the file and says what to do."""


@dataclass(frozen=True)
class Entry:
    """What the index knows about an episode.

    ``steps`` is T, ``length`` the rows k*T + 1, ``first_row`` the first of them counted through the whole
    recording. ``notable`` are the steps with an event text, a reward other than the world's living reward, or
    a termination: what a sampler that must see rare events looks up. ``files`` are sizes and CRC-32 sums by
    path. ``captioned_by`` is the digest of the captioner that wrote the captions, "" where they are the world's own.
    """

    episode_index: int
    world: str
    map_seed: int
    split: str
    goal: str
    policy: str
    scene: str
    steps: int
    frames_per_step: int
    fps: float
    length: int
    first_row: int
    task_index: int
    reward: float
    terminated: bool
    truncated: bool
    action_counts: list[int]
    notable: list[int]
    files: dict[str, list[int]] = field(default_factory=dict)
    captioned_by: str = ""
    cuts: int = 0


_INDEX_SCHEMA = pa.schema(
    {
        "episode_index": pa.int64(),
        "tasks": pa.list_(pa.string()),
        "length": pa.int64(),
        "data/chunk_index": pa.int64(),
        "data/file_index": pa.int64(),
        "videos/observation.image/chunk_index": pa.int64(),
        "videos/observation.image/file_index": pa.int64(),
        "videos/observation.image/from_timestamp": pa.float64(),
        "videos/observation.image/to_timestamp": pa.float64(),
        "dataset_from_index": pa.int64(),
        "dataset_to_index": pa.int64(),
        "meta/episodes/chunk_index": pa.int64(),
        "meta/episodes/file_index": pa.int64(),
        "worldsim": pa.string(),
    }
)


def data_path(number: int) -> str:
    return f"data/chunk-{number // CHUNK:03d}/file-{number % CHUNK:03d}.parquet"


def video_path(number: int) -> str:
    return f"videos/observation.image/chunk-{number // CHUNK:03d}/file-{number % CHUNK:03d}.mp4"


def index_path(number: int) -> str:
    part = number // INDEX_FILE
    return f"meta/episodes/chunk-{part // CHUNK:03d}/file-{part % CHUNK:03d}.parquet"


def write_durably(path: Path, data: bytes | memoryview | pa.Buffer) -> None:
    """Puts ``data`` at ``path``, whole or not at all, and returns when it is on the disk."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(path.name + ".tmp")
    with temporary.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    publish(temporary, path)


def publish(temporary: Path, path: Path) -> None:
    """Renames a finished temporary file (already synced) and syncs the folder."""
    temporary.rename(path)
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Returns when the names in ``folder`` are on the disk as they are."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def size_and_sum(path: Path) -> list[int]:
    """Size in bytes and CRC-32 of a file."""
    size, total = 0, 0
    with path.open("rb") as file:
        while part := file.read(1 << 20):
            size, total = size + len(part), zlib.crc32(part, total)
    return [size, total]


def table_bytes(table: pa.Table, **options: Any) -> pa.Buffer:
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, write_page_checksum=True, **options)
    return sink.getvalue()


def write_index(folder: Path, entries: Sequence[Entry], number: int) -> None:
    """Writes the index file that holds episode ``number`` of ``entries``."""
    start = number // INDEX_FILE * INDEX_FILE
    rows = [_index_row(entry) for entry in entries[start : start + INDEX_FILE]]
    table = pa.Table.from_pylist(rows, schema=_INDEX_SCHEMA)
    write_durably(folder / index_path(number), table_bytes(table))


def read_index(folder: Path) -> list[Entry]:
    """All entries of the index files, in order. Raises ``RecordingError`` naming a file that cannot be
    read."""
    entries: list[Entry] = []
    while (path := folder / index_path(len(entries))).exists():
        try:
            rows = pq.ParquetFile(path, page_checksum_verification=True).read(["worldsim"])
            part = [entry_from_json(text) for text in rows.column("worldsim").to_pylist()]
        except (pa.ArrowException, OSError, KeyError, ValueError, TypeError) as error:
            raise RecordingError(
                f"{path} is not a readable index of episodes ({short(error)}); if the data files are whole, "
                f"delete {folder / 'meta/episodes'} and the index is rebuilt from them"
            ) from error
        if [entry.episode_index for entry in part] != list(range(len(entries), len(entries) + len(part))):
            raise RecordingError(f"{path} does not number its episodes from {len(entries)} on")
        entries += part
        if len(part) < INDEX_FILE:
            break
    return entries


def unindexed(folder: Path, number: int, first_row: int) -> Entry | None:
    """The entry of data file ``number`` where the writer was killed between data and index; None without such
    a file.

    Raises ``RecordingError`` where the file is not whole or does not continue the recording.
    """
    path = folder / data_path(number)
    if not path.exists():
        return None
    entry = entry_of_data_file(path)
    if entry.episode_index != number or entry.first_row != first_row:
        raise RecordingError(f"{path} holds episode {entry.episode_index}, which does not continue the recording")
    files = {data_path(number): size_and_sum(path)}
    if (folder / video_path(number)).exists():
        files[video_path(number)] = size_and_sum(folder / video_path(number))
    return entry_from_json(json.dumps({**asdict(entry), "files": files}))


def entry_of_data_file(path: Path) -> Entry:
    """The entry that a data file repeats, after all of its pages were read and their checksums compared."""
    try:
        file = pq.ParquetFile(path, page_checksum_verification=True)
        entry = entry_from_json((file.schema_arrow.metadata or {})[ENTRY_KEY].decode())
        rows = file.read().num_rows
    except (pa.ArrowException, OSError, KeyError, ValueError, TypeError) as error:
        raise RecordingError(f"{path} is damaged or not a data file of a recording ({short(error)})") from error
    if rows != entry.length:
        raise RecordingError(f"{path} holds {rows} rows, not the {entry.length} of its episode")
    return entry


def entry_json(entry: Entry) -> str:
    return json.dumps(asdict(entry), separators=(",", ":"))


def entry_from_json(text: str) -> Entry:
    data = json.loads(text)
    known = {f.name for f in fields(Entry)}
    return Entry(**{name: value for name, value in data.items() if name in known})


def _index_row(entry: Entry) -> dict[str, Any]:
    number = entry.episode_index
    row: dict[str, Any] = {
        "episode_index": number,
        "tasks": [entry.goal],
        "length": entry.length,
        "data/chunk_index": number // CHUNK,
        "data/file_index": number % CHUNK,
        "dataset_from_index": entry.first_row,
        "dataset_to_index": entry.first_row + entry.length,
        "meta/episodes/chunk_index": number // INDEX_FILE // CHUNK,
        "meta/episodes/file_index": number // INDEX_FILE % CHUNK,
        "worldsim": entry_json(entry),
    }
    if video_path(number) in entry.files:
        row |= {
            "videos/observation.image/chunk_index": number // CHUNK,
            "videos/observation.image/file_index": number % CHUNK,
            "videos/observation.image/from_timestamp": 0.0,
            "videos/observation.image/to_timestamp": entry.length / entry.fps,
        }
    return row


def short(error: BaseException) -> str:
    """An error as one short line."""
    return " ".join(str(error).split())[:160] or type(error).__name__
