"""Rows of training data that a frozen model made once: columns of tensors, kept beside the run that made them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Self

import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file


@dataclass(frozen=True)
class Columns:
    """Base of dataclasses whose fields are tensors with a row for each moment."""

    def __len__(self) -> int:
        return len(getattr(self, fields(self)[0].name))

    def rows(self, rows: torch.Tensor) -> Self:
        """Some of the moments, by number or by a mask."""
        return type(self)(*(getattr(self, column.name)[rows] for column in fields(self)))

    def to(self, device: torch.device) -> Self:
        return type(self)(*(getattr(self, column.name).to(device) for column in fields(self)))

    @classmethod
    def joined(cls, parts: Sequence[Self]) -> Self:
        return cls(*(torch.cat([getattr(part, column.name) for part in parts]) for column in fields(cls)))

    @classmethod
    def kept(cls, folder: Path, made: Mapping[str, str], makers: Mapping[str, Callable[[], Self]]) -> tuple[Self, ...]:
        """What lies in ``folder`` under the names of ``makers``; what is missing is made and kept. ``ValueError`` where
        something in the folder was ``made`` otherwise."""
        paths = {name: folder / f"{name}.safetensors" for name in makers}
        for path in paths.values():
            if path.exists():
                _check(path, made)
        for name, path in paths.items():
            if not path.exists():
                folder.mkdir(parents=True, exist_ok=True)
                makers[name]().save(path, made)
        return tuple(cls.load(path, made) for path in paths.values())

    def save(self, path: Path, made: Mapping[str, str]) -> None:
        """Writes a safetensors file, which appears when it is whole; ``made`` says of what it is."""
        partial = path.with_suffix(".partial")
        columns = {column.name: getattr(self, column.name).contiguous() for column in fields(self)}
        save_file(columns, partial, metadata=dict(made))
        partial.rename(path)

    @classmethod
    def load(cls, path: Path, made: Mapping[str, str]) -> Self:
        """What ``save`` wrote; ``ValueError`` where it was ``made`` otherwise."""
        _check(path, made)
        return cls(**load_file(path))


def _check(path: Path, made: Mapping[str, str]) -> None:
    with safe_open(path, "pt") as file:
        found = file.metadata() or {}
    other = [name for name in made if found.get(name) != made[name]]
    if other:
        was, now = (", ".join(f"{name} {of.get(name)}" for name in other) for of in (found, made))
        raise ValueError(f"{path.parent} are of {was}, where {now} is asked for; give another --out")
