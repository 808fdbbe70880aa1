"""``meta/info.json``: the head of a recording, which fixes frame size, frame rate and how frames are
stored."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from worldsim.recording.columns import features
from worldsim.recording.store import (
    CHUNK,
    CODEBASE_VERSION,
    FORMAT_VERSION,
    Entry,
    RecordingError,
    write_durably,
)

PNG_LIMIT = 128
"""Frames with no side above this many pixels are stored as PNG, larger ones as video."""


@dataclass(frozen=True)
class Info:
    """``frame_size`` (H, W) in pixels, ``fps`` video frames per second; one of each in a recording."""

    frame_size: tuple[int, int]
    fps: float

    @property
    def with_images(self) -> bool:
        """Whether frames are stored as PNG in the data files (else as one video per episode)."""
        return max(self.frame_size) <= PNG_LIMIT

    def write(self, folder: Path, entries: Sequence[Entry]) -> None:
        """Writes ``meta/info.json`` with the totals of ``entries``."""
        data = {
            "codebase_version": CODEBASE_VERSION,
            "robot_type": "worldsim",
            "total_episodes": len(entries),
            "total_frames": sum(entry.length for entry in entries),
            "total_tasks": len({entry.goal for entry in entries}),
            "chunks_size": CHUNK,
            "fps": int(self.fps) if self.fps == int(self.fps) else self.fps,
            "splits": {"train": f"0:{len(entries)}"},
            "data_path": "data/chunk-{chunk_index:03d}/file-{file_index:03d}.parquet",
            "video_path": "videos/{video_key}/chunk-{chunk_index:03d}/file-{file_index:03d}.mp4",
            "features": features(self.frame_size, self.with_images),
            "worldsim": {"format_version": FORMAT_VERSION, "frame_size": list(self.frame_size)},
        }
        write_durably(folder / "meta/info.json", json.dumps(data, indent=1).encode())

    @classmethod
    def read(cls, folder: Path) -> Info:
        """Raises ``FileNotFoundError`` for a folder without a recording, ``RecordingError`` for one of
        another kind."""
        path = folder / "meta/info.json"
        if not folder.is_dir():
            raise FileNotFoundError(f"{folder} is not a folder")
        if not path.exists():
            raise FileNotFoundError(f"{folder} holds no recording: there is no {path.relative_to(folder)} in it")
        try:
            data = json.loads(path.read_text())
            if "worldsim" not in data:
                raise RecordingError(
                    f"{path} is of a dataset that worldsim did not write; it lacks the section 'worldsim' "
                    "and the columns that belong to it"
                )
            version = data["worldsim"]["format_version"]
            if version > FORMAT_VERSION:
                raise RecordingError(
                    f"{path} has format version {version}, newer than the {FORMAT_VERSION} of this worldsim: upgrade it"
                )
            height, width = data["worldsim"]["frame_size"]
            return cls((int(height), int(width)), float(data["fps"]))
        except RecordingError:
            raise
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise RecordingError(f"{path} is damaged or not the head of a recording: {error!r}") from error
