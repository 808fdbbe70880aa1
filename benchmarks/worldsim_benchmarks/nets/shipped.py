"""The nets that ship: trained by one call, written with a manifest, read back and checked.

Each net is one safetensors file of float16 arrays under ``weights``; ``manifest.json`` says of each what it reads, its
thresholds, how it was trained (world, splits, maps, steps, batches, seed, commit), the constants of the code by which
it is shown pictures, and the SHA-256 of its file. A file that is not the one that the manifest names is refused, and so
is a net where those constants have changed since.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import asdict
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import load_file, save_file

from worldsim_benchmarks.nets import actions, eyes, things, worlds
from worldsim_benchmarks.nets.actions import ActionReader
from worldsim_benchmarks.nets.corpus import Corpus, record
from worldsim_benchmarks.nets.eyes import Motion
from worldsim_benchmarks.nets.net import Net
from worldsim_benchmarks.nets.recipes import CELLS, MATCHES, Recipe
from worldsim_benchmarks.nets.things import ThingDetector
from worldsim_benchmarks.nets.worlds import WorldNet
from worldsim_benchmarks.records import plain, run_block, write_text

WEIGHTS = Path(__file__).parent / "weights"
MANIFEST = "manifest.json"
ACTIONS, THINGS, WORLDS = "actions", "things", "worlds"
"""Kinds of nets."""
EVERY_WORLD = "all"
"""In the place of a world: a net of all of them."""
CONSTANTS = {ACTIONS: eyes.constants, THINGS: things.constants, WORLDS: worlds.constants}
"""What nets of a kind were trained with that is written in the code."""
Entry = dict[str, Any]


def corpus_of(
    recipe: Recipe, split: str, maps: int, seed: int = 0, kept: Path | None = None, say: Callable[[str], None] = print
) -> Corpus:
    """Random play of the recipe's world; read from the folder ``kept`` where it is there, else recorded (and kept)."""
    short = recipe.world.rpartition("/")[2].removesuffix("-v0")
    path = None if kept is None else kept / f"{short}-{split}-{maps}x{recipe.steps}-{seed}.npz"
    if path is not None and path.exists():
        return Corpus.load(path)
    say(f"{short}: playing {maps} maps of the {split} split")
    made = record(recipe.world, split, maps, recipe.steps, recipe.commands, recipe.palette, recipe.kinds, seed=seed)
    if path is not None:
        made.save(path)
    return made


def train(
    recipe: Recipe,
    out: Path,
    seed: int = 0,
    kept: Path | None = None,
    kinds: tuple[str, ...] = (ACTIONS, THINGS),
    say: Callable[[str], None] = print,
) -> list[Entry]:
    """Trains the nets of one world and writes them and their lines of the manifest to ``out``; returns those lines."""
    trained = {
        "split": "train", "maps": recipe.maps, "steps": recipe.steps, "seed": seed,
        "thresholds_from": {"split": "val", "maps": recipe.val_maps},
        "commit": run_block()["commit"],  # as it is now: a checkout may go on meanwhile
    }  # fmt: skip
    corpus = corpus_of(recipe, "train", recipe.maps, seed, kept, say)
    val = corpus_of(recipe, "val", recipe.val_maps, seed, kept, say)
    entries = []
    if ACTIONS in kinds:
        say(f"{recipe.world}: action reader")
        reader = actions.train(corpus, val, recipe.means, recipe.eyes, MATCHES, recipe.hidden, recipe.batches, seed)
        told = {"means": reader.means, "eyes": asdict(recipe.eyes), "threshold": reader.threshold}
        more = {**trained, "batches": recipe.batches}
        entries.append(_written(out, recipe.world, ACTIONS, reader.net, told, more))
    if THINGS in kinds and recipe.palette:
        say(f"{recipe.world}: detector of things")
        found = things.train(corpus, val, CELLS, recipe.palette_batches, seed)
        told = {"palette": found.palette, "present": found.present, "absent": found.absent}
        more = {**trained, "batches": recipe.palette_batches}
        entries.append(_written(out, recipe.world, THINGS, found.net, told, more))
    return entries


def train_worlds(out: Path, names: Sequence[str], seed: int = 0, say: Callable[[str], None] = print) -> Entry:
    """Trains the net that tells these worlds apart and writes it and its line of the manifest to ``out``."""
    commit = run_block()["commit"]
    found: dict[str, dict[str, list[np.ndarray]]] = {"train": {}, "val": {}}
    for split, pictures in found.items():
        for world in names:
            say(f"{world}: playing {worlds.maps_of(world, split)} maps of the {split} split")
            pictures[world] = worlds.record(world, split, worlds.maps_of(world, split), seed)
    net = worlds.train(found["train"], found["val"], seed)
    maps = {split: {w: worlds.maps_of(w, split) for w in names} for split in found}
    trained = {
        "split": "train", "maps": maps["train"], "steps": worlds.EVERY * (worlds.MOMENTS - 1),
        "batches": worlds.BATCHES, "seed": seed, "rated_on": {"split": "val", "maps": maps["val"]},
        "commit": commit,
    }  # fmt: skip
    return _written(out, EVERY_WORLD, WORLDS, net.net, {"worlds": net.worlds, "rated": net.rated}, trained)


def _written(out: Path, world: str, kind: str, net: Net, told: Entry, trained: Entry) -> Entry:
    name = f"{world.rpartition('/')[2].removesuffix('-v0')}-{kind}.safetensors"
    never = [t for t, value in told.items() if value == float("inf")]
    if never:
        raise ValueError(f"{name}: no {', '.join(never)} makes its answers right often enough; train it longer")
    out.mkdir(parents=True, exist_ok=True)
    save_file(net.arrays(), out / name)
    entry = {
        "file": name, "kind": kind, "world": world, "sha256": _digest(out / name), "parameters": net.parameters,
        "constants": CONSTANTS[kind](),
        **told, "trained": trained,
    }  # fmt: skip
    others = [e for e in _entries(out) if e["file"] != name]
    listed = sorted([*others, plain(entry)], key=lambda e: str(e["file"]))
    write_text(out / MANIFEST, json.dumps({"schema": 1, "nets": listed}, indent=1) + "\n")
    _entries.cache_clear()
    return entry


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


@lru_cache(maxsize=4)
def _entries(folder: Path) -> list[Entry]:
    path = folder / MANIFEST
    return list(json.loads(path.read_text())["nets"]) if path.exists() else []


def _loaded(world: str, kind: str, folder: Path) -> tuple[Net, Entry] | None:
    entry = next((e for e in _entries(folder) if e["world"] == world and e["kind"] == kind), None)
    if entry is None:
        return None
    path = folder / entry["file"]
    if not path.exists() or _digest(path) != entry["sha256"]:
        raise ValueError(
            f"{path} is not the net that {folder / MANIFEST} names; `worldsim bench nets train --kinds {kind} --out "
            f"{folder}` makes it"
        )
    now = CONSTANTS[kind]()
    if entry["constants"] != now:
        raise ValueError(f"{path} was trained with {entry['constants']}, the code has {now}; train it again")
    return Net.of_arrays(load_file(path)), entry


def reader_of(world: str, folder: Path = WEIGHTS) -> ActionReader | None:
    """The shipped action reader of a world (its Gymnasium id), None where there is none; ``ValueError`` where its file
    is not the one that the manifest names, or it was trained with other constants."""
    found = _loaded(world, ACTIONS, folder)
    if found is None:
        return None
    net, entry = found
    means = entry["means"]
    return ActionReader(
        net, Motion.told(entry["eyes"]), tuple(dict.fromkeys(means.values())), means, entry["threshold"]
    )


def detector_of(world: str, folder: Path = WEIGHTS) -> ThingDetector | None:
    """The shipped detector of a world's things, None where there is none; errors as ``reader_of``."""
    found = _loaded(world, THINGS, folder)
    if found is None:
        return None
    net, entry = found
    return ThingDetector(net, tuple(entry["palette"]), entry["present"], entry["absent"])


def world_net(folder: Path = WEIGHTS) -> WorldNet | None:
    """The shipped net that tells worlds apart, None where there is none; errors as ``reader_of``."""
    found = _loaded(EVERY_WORLD, WORLDS, folder)
    if found is None:
        return None
    net, entry = found
    return WorldNet(net, tuple(entry["worlds"]), entry["rated"], entry["sha256"][:12])
