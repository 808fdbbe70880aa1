"""Which model folders there are, those of the package first, and what the configuration of one says.

A configuration is read without its tensors, so that it costs nothing to ask what a model simulates. One of an older
format is completed here: what did not exist then is absent.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from worldsim.model.files import WeightsError
from worldsim.worlds import WORLDS

FORMAT_VERSION = 8
"""8 added the gate that keeps what stays, 7 the referee, 6 a flow that the picture has a say in, and the player, 5 the
geometry, 4 the panorama, 3 the memory of the codec; 2 to 7 are read as without. 1, before the first release, had
another codec: its weights fit no network of today."""
KIND = "worldsim.transformer"
DEFAULT_MODEL = "worlds"
PACKAGED = Path(__file__).parent.parent / "weights"
"""Where the models that come with the package lie, one folder each."""

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*")


def list_models() -> list[str]:
    """Names of the models that come with the package."""
    listed = {path.parent.name: json.loads(path.read_text(encoding="utf-8")) for path in PACKAGED.glob("*/config.json")}
    return sorted(name for name, content in listed.items() if content.get("kind") == KIND)


def model_folder(model: str | Path) -> Path:
    """Folder of a packaged model's name or of a path; ``FileNotFoundError`` names what there is instead."""
    if isinstance(model, str) and _NAME.fullmatch(model) and (PACKAGED / model / "config.json").is_file():
        return PACKAGED / model
    path = Path(model)
    if (path / "config.json").is_file():
        return path
    packaged = ", ".join(list_models()) or "none"
    raise FileNotFoundError(
        f"no model {str(model)!r}: it is neither a packaged model ({packaged}) nor a folder with "
        "a config.json. Pass the folder of a model, or train one with `worldsim train`."
    )


def simulated_worlds(model: str | Path | None = None) -> tuple[str, ...]:
    """Names of the worlds that a model was trained on, or all models of the package (None), from configurations
    alone."""
    models: list[str | Path] = list(_default_first()) if model is None else [model]
    names = [name for each in models for name in read_config(model_folder(each))["worlds"]]
    return tuple(dict.fromkeys(name for name in names if name in WORLDS))


def packaged_model(*worlds: str) -> str:
    """Name of the packaged model that simulates all of ``worlds``: the default one if it does (or for none), else
    the first that does. ``ValueError`` where none does, with what each simulates."""
    models = {name: simulated_worlds(name) for name in _default_first()}
    if not models:
        return DEFAULT_MODEL
    for name, simulated in models.items():
        if set(worlds) <= set(simulated):
            return name
    known = "; ".join(f"{name} simulates {', '.join(simulated)}" for name, simulated in models.items())
    asked = " and ".join(repr(WORLDS[world].env_id) for world in worlds)
    raise ValueError(f"world={asked}: no model of the package simulates it ({known}); give model=...")


def also_simulating(world: str) -> str:
    """What an error about a ``world`` that a model does not simulate adds: the packaged model that does, or nothing."""
    able = [name for name in _default_first() if world in simulated_worlds(name)]
    return f"; model={able[0]!r} does" if able else ""


def _default_first() -> list[str]:
    return sorted(list_models(), key=lambda name: name != DEFAULT_MODEL)


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
    codec, world = content.get("codec"), content.get("world")
    if version <= 7 and isinstance(world, dict):
        world.setdefault("stays", False)
    if version <= 6:
        content.setdefault("referee", None)
    if version <= 5:
        content.setdefault("player", None)
    if version <= 5 and isinstance(codec, dict):
        codec.setdefault("pictured", False)
    if version <= 4 and isinstance(codec, dict):
        codec.setdefault("geometry", False)
    if version <= 3 and isinstance(codec, dict):
        codec.setdefault("panorama", False)
    if version == 2 and isinstance(codec, dict):
        codec.setdefault("memory", False)
        codec.setdefault("decoder_coarse_depth", codec.get("coarse_depth"))
    if kind != KIND:
        raise WeightsError(f"{path}: kind is {kind!r}; a world simulator has {KIND!r}")
    return content
