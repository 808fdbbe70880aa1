"""Which models come with the package, and where the folder of one is.

What a model simulates is read from its configuration, without its tensors, so that it costs nothing to ask.
"""

from __future__ import annotations

import json
import re
from pathlib import Path

from worldsim.model.format import KIND, read_config
from worldsim.worlds import WORLDS

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
