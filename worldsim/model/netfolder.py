"""The folder of a trained network, or of a few that belong together: ``config.json``, weights in float16 as
safetensors, a file for each, and a card.

The configuration carries everything that is not a tensor, with size and SHA-256 of the weights. Reading is strict, as
of a simulator's folder; a folder that is written appears complete or not at all.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save as save_tensors
from torch import nn

from worldsim.model.files import SHARD_BYTES, WeightsError, read_files, replaced_when_whole, write

NET = "net"
"""Name of the network of a folder that has one."""


class NetFolder:
    """Folders of one ``kind`` of network, such as "captioner", in a ``version`` of their format."""

    def __init__(self, kind: str, version: int) -> None:
        self.kind, self.version = kind, version

    def save(self, folder: str | Path, config: Any, nets: Mapping[str, nn.Module], card: str) -> Path:
        """Writes ``folder`` from a configuration dataclass and networks by their names. Raises ``ValueError`` where it
        holds something else, or where weights are too many for one file or not finite as float16."""
        folder = Path(folder)
        if folder.exists() and (not folder.is_dir() or (any(folder.iterdir()) and not self._is_one(folder))):
            raise ValueError(f"{folder} exists and holds no {self.kind}; choose another folder")
        weights = {name: stored(net) for name, net in nets.items()}
        if (most := max(map(len, weights.values()))) > SHARD_BYTES:
            raise ValueError(f"the {self.kind} has {most} bytes of weights; a file holds at most {SHARD_BYTES}")
        files = {
            f"{name}.safetensors": {"part": name, "bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
            for name, data in weights.items()
        }
        content = {"format_version": self.version, "kind": f"worldsim.{self.kind}", **asdict(config)}
        with replaced_when_whole(folder) as partial:
            for name, data in weights.items():
                write(partial / f"{name}.safetensors", data)
            content["files"] = files
            write(partial / "config.json", (json.dumps(content, indent=1) + "\n").encode())
            write(partial / "README.md", card.encode())
        return folder

    def read(
        self, folder: str | Path, names: tuple[str, ...] = (NET,)
    ) -> tuple[dict[str, Any], dict[str, dict[str, torch.Tensor]]]:
        """The configuration in ``folder``, with its ``format_version``, without kind and files, and the tensors of the
        networks ``names``, none of those that are not there.

        Raises ``FileNotFoundError`` where there is none and ``WeightsError`` where its files are not right.
        """
        folder = Path(folder)
        if not (folder / "config.json").is_file():
            raise FileNotFoundError(
                f"no {self.kind} in {folder}: it holds no config.json. Pass the folder of one, or train one with "
                f"`worldsim train {self.kind}`."
            )
        content = self.read_config(folder)
        files = content.pop("files", None)
        if not isinstance(files, dict):
            raise WeightsError(f"{folder / 'config.json'} lists no files")
        return content, read_files(folder, files, names)

    def read_config(self, folder: Path) -> dict[str, Any]:
        """The configuration alone, with its version and ``files``; ``WeightsError`` where it is none of this kind."""
        path = folder / "config.json"
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
        except (json.JSONDecodeError, UnicodeDecodeError) as error:
            raise WeightsError(f"{path} is not JSON: {error}") from error
        if not isinstance(content, dict):
            content = {}
        version, kind = content.get("format_version"), content.pop("kind", None)
        if kind != f"worldsim.{self.kind}" or not isinstance(version, int):
            raise WeightsError(
                f"{path} is not the configuration of a {self.kind}: kind is {kind!r}, not 'worldsim.{self.kind}'"
            )
        if version > self.version:
            raise WeightsError(
                f"{path} has format version {version}; this version of worldsim reads up to {self.version}. "
                "Update worldsim to load it."
            )
        return content

    def _is_one(self, folder: Path) -> bool:
        try:
            self.read_config(folder)
        except (OSError, WeightsError):
            return False
        return True


def net_digest(config: Any, *nets: nn.Module) -> str:
    """12 hex digits over a configuration and the weights of networks as they are stored. Fields that are
    None do not count, so that one that comes later changes no digest of those without."""
    sha = hashlib.sha256(json.dumps(asdict(config, dict_factory=_given), sort_keys=True).encode())
    return hashlib.sha256(sha.digest() + b"".join(stored(net) for net in nets)).hexdigest()[:12]


def _given(fields: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    return {name: value for name, value in fields if value is not None}


def stored(net: nn.Module) -> bytes:
    """The file of a network's weights; ``ValueError`` where one is not finite as float16."""
    tensors = {name: tensor.detach().cpu().half().contiguous() for name, tensor in net.state_dict().items()}
    bad = [name for name, tensor in tensors.items() if not torch.isfinite(tensor).all()]
    if bad:
        raise ValueError(f"{bad[0]} holds values that are not finite as float16")
    return save_tensors(tensors)
