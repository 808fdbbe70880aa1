"""Training state on disk: nested dictionaries of tensors and plain values, as safetensors shards plus one JSON file.

No pickle is involved, so a state can be carried between machines and opened without trust. Two uses: the *exact*
state resumes a run bit for bit; the *compact* one stores optimiser moments and averages in bf16 and is cut into shards
of at most 15 MiB, so that a run survives a machine that is taken away. A state is written beside its place and renamed,
so an interrupted write leaves the previous one whole.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file

SHARD_BYTES = 15 * 2**20
FORMAT_VERSION = 1


def flatten(tree: Any, prefix: str, tensors: dict[str, torch.Tensor]) -> Any:
    """Moves the tensors of nested dicts and lists to ``tensors``; returns the rest, JSON-able, with references."""
    if isinstance(tree, torch.Tensor):
        tensors[prefix] = tree.detach().cpu().contiguous()
        return {"$tensor": prefix}
    if isinstance(tree, Mapping):
        items = [[k, flatten(v, f"{prefix}/{k}", tensors)] for k, v in tree.items()]
        return {"$items": items}  # pairs keep integer keys, which JSON objects would turn into text
    if isinstance(tree, list | tuple):
        return [flatten(v, f"{prefix}/{i}", tensors) for i, v in enumerate(tree)]
    return tree


def unflatten(tree: Any, tensors: Mapping[str, torch.Tensor]) -> Any:
    """Inverse of ``flatten`` (tuples come back as lists)."""
    if isinstance(tree, dict):
        if "$tensor" in tree:
            return tensors[tree["$tensor"]]
        return {k: unflatten(v, tensors) for k, v in tree["$items"]}
    if isinstance(tree, list):
        return [unflatten(v, tensors) for v in tree]
    return tree


def save_state(folder: Path, state: Mapping[str, Any], compact: bool = False) -> None:
    """Writes ``state`` to ``folder``, replacing what is there only when all of it is on disk."""
    tensors: dict[str, torch.Tensor] = {}
    tree = flatten(state, "", tensors)
    if compact:
        tensors = {k: v.bfloat16() if _is_compactable(k, v) else v for k, v in tensors.items()}
    staging = folder.with_name(folder.name + ".tmp")
    shutil.rmtree(staging, ignore_errors=True)
    staging.mkdir(parents=True)
    shards = _shards(tensors)
    for name, content in shards.items():
        save_file(content, staging / name)
    (staging / "state.json").write_text(
        json.dumps({"format_version": FORMAT_VERSION, "compact": compact, "shards": list(shards), "tree": tree})
    )
    for path in staging.iterdir():
        with open(path, "rb") as file:
            os.fsync(file.fileno())
    old = folder.with_name(folder.name + ".old")
    shutil.rmtree(old, ignore_errors=True)
    if folder.exists():
        folder.rename(old)
    staging.rename(folder)
    shutil.rmtree(old, ignore_errors=True)


def load_state(folder: Path) -> dict[str, Any]:
    """Reads what ``save_state`` wrote. Raises ``FileNotFoundError`` or ``ValueError`` naming the file at fault."""
    if not folder.exists() and folder.with_name(folder.name + ".old").exists():
        folder = folder.with_name(folder.name + ".old")  # the process died between the two renames
    index = folder / "state.json"
    if not index.exists():
        raise FileNotFoundError(f"no training state at {folder}: {index.name} is missing")
    content = json.loads(index.read_text())
    if content["format_version"] > FORMAT_VERSION:
        raise ValueError(
            f"{index} has format version {content['format_version']}; this version of worldsim reads up to "
            f"{FORMAT_VERSION}. Update worldsim."
        )
    tensors: dict[str, torch.Tensor] = {}
    for name in content["shards"]:
        tensors.update(load_file(folder / name))
    if content["compact"]:
        tensors = {k: v.float() if v.dtype == torch.bfloat16 else v for k, v in tensors.items()}
    return unflatten(content["tree"], tensors)


def _is_compactable(name: str, tensor: torch.Tensor) -> bool:
    return tensor.dtype == torch.float32 and tensor.numel() > 1 and not name.startswith("/model/")


def _shards(tensors: Mapping[str, torch.Tensor]) -> dict[str, dict[str, torch.Tensor]]:
    """Tensors in files of at most ``SHARD_BYTES`` each (a single larger tensor stands alone)."""
    shards: list[dict[str, torch.Tensor]] = [{}]
    size = 0
    for name, tensor in tensors.items():
        bytes_ = tensor.numel() * tensor.element_size()
        if shards[-1] and size + bytes_ > SHARD_BYTES:
            shards.append({})
            size = 0
        shards[-1][name] = tensor.clone()  # safetensors refuses tensors that share memory
        size += bytes_
    return {f"state-{i:05d}.safetensors": shard for i, shard in enumerate(shards)}
