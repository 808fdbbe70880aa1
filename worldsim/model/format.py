"""The configuration of a model folder, in every format that there was.

Formats differ in what a model can have. What did not exist yet is absent in an older folder, and one table says when
each thing came and what stands for its absence: a configuration that is read is completed by it, and the digest of a
model leaves out what is absent, so that a model of before keeps the digest that it had.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from worldsim.model.files import WeightsError

FORMAT_VERSION = 10
"""2 to 9 are read. 1, before the first release, had another codec: its weights fit no network of today."""
KIND = "worldsim.transformer"

ADDED: tuple[tuple[int, str, str, Any], ...] = (
    (3, "codec", "memory", False),
    (4, "codec", "panorama", False),
    (5, "codec", "geometry", False),
    (6, "codec", "pictured", False),
    (6, "", "player", None),
    (7, "", "referee", None),
    (8, "world", "stays", False),
    (9, "world", "refiner", None),
    (9, "world", "modulation_rank", 0),
    (9, "", "drawn", []),
    (10, "", "cache_mode", "renoise"),
)
"""Format version, part of the configuration ("": itself), name, and its value where there is none. Version 3 also added
the decoder's ``decoder_coarse_depth``, which was ``coarse_depth`` before."""


def read_config(folder: Path) -> dict[str, Any]:
    """The content of a model folder's ``config.json``, without version and kind, as of the newest format.

    Raises ``WeightsError`` where it is none, or of a format that is not read.
    """
    path = folder / "config.json"
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise WeightsError(f"{path} is not JSON: {error}") from error
    if not isinstance(content, dict) or not isinstance(content.get("files"), dict):
        raise WeightsError(f"{path} is not the configuration of a world simulator: it lists no files")
    version, kind = content.pop("format_version", None), content.pop("kind", None)
    if not isinstance(version, int) or version < 1:
        raise WeightsError(f"{path}: format_version is {version!r}; this is no model folder of this project")
    if version == 1:
        raise WeightsError(
            f"{path} has format version 1, whose codec had cells of 8 pixels; this version of worldsim reads "
            f"{FORMAT_VERSION}. Train the model again: `worldsim train`."
        )
    if version > FORMAT_VERSION:
        raise WeightsError(
            f"{path} has format version {version}; this version of worldsim reads up to {FORMAT_VERSION}. "
            "Update worldsim to load it."
        )
    _complete(content, version)
    if kind != KIND:
        raise WeightsError(f"{path}: kind is {kind!r}; a world simulator has {KIND!r}")
    return content


def _complete(content: dict[str, Any], version: int) -> None:
    """Adds what a configuration of an older ``version`` does not have yet."""
    for added, part, name, absent in ADDED:
        section = content.get(part) if part else content
        if version < added and isinstance(section, dict):
            section.setdefault(name, absent)
    codec = content.get("codec")
    if version < 3 and isinstance(codec, dict):
        codec.setdefault("decoder_coarse_depth", codec.get("coarse_depth"))


def without_absent(config: dict[str, Any]) -> dict[str, Any]:
    """A configuration without what its model does not have."""
    parts: dict[str, dict[str, Any]] = {name: dict(value) for name, value in config.items() if isinstance(value, dict)}
    kept = {**config, **parts}
    for _, part, name, absent in ADDED:
        section = parts[part] if part else kept
        value = section[name]
        if (list(value) if isinstance(value, tuple) else value) == absent:
            del section[name]
    codec = parts["codec"]
    if "memory" not in codec and codec["decoder_coarse_depth"] == codec["coarse_depth"]:
        del codec["decoder_coarse_depth"]
    return kept
