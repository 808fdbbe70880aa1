"""Reads and writes the files of a model folder.

Everything is checked when it is read (names, sizes, SHA-256, shapes, keys of the configuration), each fault with an
error that names the file; a folder that is written appears complete or not at all. Nothing is ever unpickled.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import typing
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any, TypeVar

import torch
from safetensors import SafetensorError
from safetensors.torch import load as load_tensors
from torch import nn

SHARD_BYTES = 15 * 2**20
"""Most bytes of a weight file."""

_FILE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*\.safetensors")

Config = TypeVar("Config")


class WeightsError(ValueError):
    """A model folder cannot be loaded as it is; the message says what is wrong with which file."""


def from_dict(cls: type[Config], content: Mapping[str, Any], where: str) -> Config:
    """A configuration dataclass from JSON: unknown and missing keys are errors, lists become tuples, and null is
    accepted where the field may be None."""
    if not isinstance(content, Mapping):
        raise WeightsError(f"{where}: expected an object for {cls.__name__}, got {type(content).__name__}")
    names = {f.name for f in fields(cls)}  # type: ignore[arg-type]
    unknown, missing = sorted(set(content) - names), sorted(names - set(content))
    if unknown or missing:
        raise WeightsError(f"{where}: unknown keys {unknown}, missing keys {missing} of {cls.__name__}")
    types = typing.get_type_hints(cls)
    values: dict[str, Any] = {}
    for name, value in content.items():
        kind = types[name]
        if type(None) in typing.get_args(kind):
            if value is None:
                values[name] = None
                continue
            kind = next(each for each in typing.get_args(kind) if each is not type(None))
        if is_dataclass(kind):
            values[name] = from_dict(typing.cast(type, kind), value, f"{where}: {name}")
        elif typing.get_origin(kind) is tuple:
            if not isinstance(value, list):
                raise WeightsError(f"{where}: {name} must be a list, got {value!r}")
            values[name] = tuple(value)
        else:
            accepted = (int, float) if kind is float else (kind,)
            if not isinstance(value, accepted) or (isinstance(value, bool) and kind is not bool):
                raise WeightsError(f"{where}: {name} must be {kind.__name__}, got {value!r}")
            values[name] = value
    try:
        return cls(**values)
    except ValueError as error:
        raise WeightsError(f"{where}: {error}") from error


def read_files(folder: Path, files: Mapping[str, Any], parts: Sequence[str]) -> dict[str, dict[str, torch.Tensor]]:
    """Tensors of each part, from files whose size and SHA-256 are as listed."""
    stored: dict[str, dict[str, torch.Tensor]] = {part: {} for part in parts}
    for name, entry in files.items():
        if not _FILE.fullmatch(name) or not isinstance(entry, dict) or set(entry) != {"part", "bytes", "sha256"}:
            raise WeightsError(f"{folder / 'config.json'}: {name!r} is not an entry for a weight file of this folder")
        path = folder / name
        if entry["part"] not in stored:
            raise WeightsError(f"{path} is listed as part {entry['part']!r}; parts are {', '.join(parts)}")
        if path.is_symlink() and path.resolve().parent != folder.resolve():
            raise WeightsError(f"{path} is a link out of the model folder")
        if not path.is_file():
            raise WeightsError(f"{path} is missing; fetch the model folder again")
        size = path.stat().st_size
        if size != entry["bytes"]:
            raise WeightsError(
                f"{path} has {size} bytes, {entry['bytes']} are listed: it is truncated or not the file "
                "that was saved. Fetch the model folder again."
            )
        data = path.read_bytes()
        if hashlib.sha256(data).hexdigest() != entry["sha256"]:
            raise WeightsError(f"{path} is not the file that was saved (its SHA-256 differs). Fetch it again.")
        try:
            tensors = load_tensors(data)
        except SafetensorError as error:
            raise WeightsError(f"{path} is not a safetensors file: {error}") from error
        twice = sorted(set(tensors) & set(stored[entry["part"]]))
        if twice:
            raise WeightsError(f"{path} repeats tensors of another file: {twice[:5]}")
        stored[entry["part"]].update(tensors)
    return stored


def load_strictly(module: nn.Module, stored: Mapping[str, torch.Tensor], where: str) -> None:
    """Loads tensors into a module; ``WeightsError`` unless names and shapes are exactly the module's."""
    expected = module.state_dict()
    missing, unexpected = sorted(set(expected) - set(stored)), sorted(set(stored) - set(expected))
    if missing or unexpected:
        raise WeightsError(
            f"{where}: {len(missing)} missing tensors {missing[:5]}, {len(unexpected)} unexpected ones {unexpected[:5]}"
        )
    for name, tensor in expected.items():
        if tensor.shape != stored[name].shape:
            raise WeightsError(f"{where}: {name} has shape {tuple(stored[name].shape)}, expected {tuple(tensor.shape)}")
    module.load_state_dict({name: stored[name].to(tensor.dtype) for name, tensor in expected.items()})


def shards(tensors: Mapping[str, torch.Tensor]) -> list[dict[str, torch.Tensor]]:
    """Tensors in order, cut into groups of at most ``SHARD_BYTES`` (one tensor is never cut)."""
    room = SHARD_BYTES - 2**16  # for the header
    shards: list[dict[str, torch.Tensor]] = [{}]
    used = 0
    for name, tensor in tensors.items():
        if shards[-1] and used + tensor.nbytes > room:
            shards.append({})
            used = 0
        shards[-1][name] = tensor
        used += tensor.nbytes
    return shards


def write(path: Path, data: bytes) -> None:
    """Writes a file and waits until it is on the disk."""
    with path.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextmanager
def replaced_when_whole(folder: Path) -> Iterator[Path]:
    """A temporary folder beside ``folder`` that takes its place if the block ends without an error."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    partial = folder.with_name(f".{folder.name}.{os.getpid()}.partial")
    old = folder.with_name(f".{folder.name}.{os.getpid()}.old")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir()
    try:
        yield partial
        _sync_folder(partial)
        if folder.exists():
            folder.rename(old)
        partial.rename(folder)
        _sync_folder(folder.parent)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
        if old.exists():
            if folder.exists():
                shutil.rmtree(old)
            else:
                old.rename(folder)
