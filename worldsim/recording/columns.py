"""The columns of a data file: one row per video frame, k*T + 1 rows an episode, and the way there and back.

Row r of an episode holds frame r and what is held from this frame to the next: ``step = r // k`` and the
action, keys and camera motion of that step (action -1 in the last row). Rows ``k*t`` are observations: they
carry the pose, the view and event texts and the facts, and, as last frames of their blocks, ``n_frames``,
``reward`` and the flags of the step that led there. In all other rows these hold 0, False, NaN or "".
``docs/data.md`` describes every column.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from worldsim.actions import NO_ACTION
from worldsim.recording.episode import BLOCK, Episode

IMAGE = "observation.image"

_COLUMNS: dict[str, pa.DataType] = {
    "index": pa.int64(),
    "episode_index": pa.int64(),
    "frame_index": pa.int64(),
    "task_index": pa.int64(),
    "timestamp": pa.float32(),
    "step": pa.int32(),
    "action": pa.int16(),
    "keys": pa.uint32(),
    "camera": pa.list_(pa.float32(), 2),
    "n_frames": pa.int8(),
    "reward": pa.float32(),
    "terminated": pa.bool_(),
    "truncated": pa.bool_(),
    "goal": pa.string(),
    "pose": pa.list_(pa.float32(), 4),
    "scene": pa.string(),
    "view": pa.string(),
    "event": pa.string(),
    "facts": pa.string(),
}
_NAMES = {"camera": ["yaw", "pitch"], "pose": ["x", "y", "z", "yaw"]}


def data_schema(with_images: bool) -> pa.Schema:
    """Columns of a data file; ``with_images`` where frames are stored in it and not in a video."""
    columns = dict(_COLUMNS)
    if with_images:
        columns[IMAGE] = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    return pa.schema(columns)


def features(frame_size: tuple[int, int], with_images: bool) -> dict[str, Any]:
    """The ``features`` of ``meta/info.json``: dtype, shape and names of every column."""
    described: dict[str, Any] = {
        IMAGE: {
            "dtype": "image" if with_images else "video",
            "shape": [*frame_size, 3],
            "names": ["height", "width", "channels"],
        }
    }
    for name, kind in _COLUMNS.items():
        listed = pa.types.is_fixed_size_list(kind)
        described[name] = {
            "dtype": str(kind.value_type if listed else kind).replace("float", "float32").replace("double", "float64"),
            "shape": [kind.list_size if listed else 1],
            "names": _NAMES.get(name),
        }
    return described


def episode_table(episode: Episode, number: int, first_row: int, task: int, images: Sequence[bytes] | None) -> pa.Table:
    """The rows of an episode. ``images`` are its encoded frames, None where they are stored in a video."""
    k, steps = episode.frames_per_step, len(episode)
    rows = k * steps + 1
    row = np.arange(rows)
    columns: dict[str, Any] = {
        "index": first_row + row,
        "episode_index": np.full(rows, number),
        "frame_index": row,
        "task_index": np.full(rows, task),
        "timestamp": row / episode.fps,
        "step": row // k,
        "action": _held(episode.actions, k, NO_ACTION),
        "keys": _held(episode.keys, k, 0),
        "camera": list(_held(episode.camera, k, 0.0)),
        "n_frames": observed(np.concatenate([[1], episode.n_frames]), k, 0),
        "reward": observed(np.concatenate([[0.0], episode.reward]), k, 0.0),
        "terminated": observed(np.concatenate([[False], episode.terminated]), k, False),
        "truncated": observed(np.concatenate([[False], episode.truncated]), k, False),
        "goal": [episode.goal] * rows,
        "pose": list(observed(episode.pose, k, np.nan)),
        "scene": [episode.scene] * rows,
        "view": observed(np.array(episode.views, object), k, ""),
        "event": observed(np.array(episode.events, object), k, ""),
        "facts": observed(np.array(episode.facts, object), k, ""),
    }
    if images is not None:
        columns[IMAGE] = [{"bytes": image, "path": None} for image in images]
    schema = data_schema(images is not None)
    return pa.table({f.name: pa.array(columns[f.name], f.type) for f in schema}, schema=schema)


def episode_arrays(table: pa.Table, k: int) -> dict[str, Any]:
    """The arguments of ``Episode`` that a table of ``k*T + 1`` rows from an observation on gives, without
    frames."""
    column = {name: table.column(name) for name in table.column_names}
    act, seen = slice(0, len(table) - 1, k), slice(0, None, k)

    def numbers(name: str, dtype: type) -> np.ndarray:
        values = column[name].combine_chunks()
        if pa.types.is_fixed_size_list(values.type):
            flat = values.flatten().to_numpy(zero_copy_only=False)
            return flat.reshape(len(table), -1).astype(dtype)
        return values.to_numpy(zero_copy_only=False).astype(dtype)

    def texts(name: str) -> list[str]:
        return column[name].to_pylist()[seen]

    return {
        "actions": numbers("action", np.int16)[act],
        "keys": numbers("keys", np.uint32)[act],
        "camera": numbers("camera", np.float32)[act],
        "n_frames": numbers("n_frames", np.int8)[seen][1:],
        "reward": numbers("reward", np.float32)[seen][1:],
        "terminated": numbers("terminated", bool)[seen][1:],
        "truncated": numbers("truncated", bool)[seen][1:],
        "pose": numbers("pose", np.float32)[seen],
        "views": texts("view"),
        "events": texts("event"),
        "facts": texts("facts"),
    }


def blocks_of(frames: np.ndarray, k: int) -> np.ndarray:
    """uint8 ``(T, 4, H, W, 3)`` blocks of the ``k*T`` frames after an observation; short blocks repeat their
    last."""
    blocks = frames.reshape(-1, k, *frames.shape[1:])
    return np.ascontiguousarray(blocks) if k == BLOCK else np.repeat(blocks, BLOCK // k, axis=1)


def hugging_face_metadata(with_images: bool) -> bytes:
    """Schema metadata by which the ``datasets`` package, and so LeRobot, knows the image column."""
    kinds: dict[str, Any] = {}
    for field in data_schema(with_images):
        if field.name == IMAGE:
            kinds[field.name] = {"_type": "Image"}
        elif pa.types.is_fixed_size_list(field.type):
            value = {"dtype": "float32", "_type": "Value"}
            kinds[field.name] = {"feature": value, "length": field.type.list_size, "_type": "Sequence"}
        else:
            kinds[field.name] = {"dtype": str(field.type).replace("float", "float32"), "_type": "Value"}
    return json.dumps({"info": {"features": kinds}}).encode()


def _held(values: np.ndarray, k: int, last: float) -> np.ndarray:
    """A value per step, held over the step's k rows; ``last`` in the episode's last row."""
    end = np.full((1, *values.shape[1:]), last, values.dtype)
    return np.concatenate([np.repeat(values, k, axis=0), end])


def observed(values: np.ndarray, k: int, between: Any) -> np.ndarray:
    """A value per observation in every k-th row, ``between`` in the others."""
    rows = np.full((k * (len(values) - 1) + 1, *values.shape[1:]), between, values.dtype)
    rows[::k] = values
    return rows
