"""Bank of true starts: reset frames of the true worlds that a learned world can begin from, with their
captions.

Per world one lossless WebP sheet of equal tiles in reading order (PNG in version 1, two thirds larger), and
``bank.json`` with what each start was: map seed, goal, scene and view captions. A start is a single image, so that a
bank is small enough to ship with the weights. The frames come from validation maps: an agent that trains in the dream
never begins where it is tested.
"""

from __future__ import annotations

import hashlib
import io
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, UnidentifiedImageError

from worldsim.worlds import SPLITS, WorldSpec, world_named

FORMAT_VERSION = 2
COLUMNS = 16
WEBP_SIDE = 16383
"""Pixels of a side that the format can hold."""
_SHEET = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*\.(png|webp)")


@dataclass(frozen=True)
class StartFacts:
    """What a start was in the true world. ``scene`` and ``view`` are captions without the world's name."""

    map_seed: int
    goal: str
    scene: str
    view: str


@dataclass(frozen=True)
class BankStart:
    """A start: its reset frame uint8 ``(H, W, 3)`` and its facts."""

    frame: np.ndarray
    facts: StartFacts


class Bank:
    """Starts by world. ``frames[world]`` is uint8 ``(n, H, W, 3)``, ``facts[world]`` has n entries."""

    def __init__(self, frames: Mapping[str, np.ndarray], facts: Mapping[str, Sequence[StartFacts]]) -> None:
        for world in frames:
            world_named(world)
            shape, count = frames[world].shape, len(facts.get(world, ()))
            if frames[world].dtype != np.uint8 or len(shape) != 4 or shape[3] != 3 or shape[0] != count or not count:
                raise ValueError(
                    f"bank of {world}: expected uint8 frames (n, H, W, 3) with n facts, got "
                    f"{frames[world].dtype} {shape} with {count} facts"
                )
        self.frames = dict(frames)
        self.facts = {world: tuple(facts[world]) for world in frames}

    @property
    def worlds(self) -> tuple[str, ...]:
        return tuple(self.frames)

    def count(self, world: str) -> int:
        """Number of starts of ``world``, 0 where the bank has none."""
        return len(self.facts.get(world, ()))

    def start(self, world: str, index: int) -> BankStart:
        """Start ``index`` (modulo the number of starts) of ``world``; ``ValueError`` where the bank has
        none."""
        if not self.count(world):
            raise ValueError(f"the bank has no starts of {world}; it has {', '.join(self.worlds) or 'none at all'}")
        i = index % self.count(world)
        return BankStart(self.frames[world][i], self.facts[world][i])

    def save(self, folder: str | Path) -> None:
        """Writes ``bank.json`` and a sheet per world into ``folder``, which is made if need be."""
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        worlds = {}
        for world, frames in self.frames.items():
            data = _sheet(frames)
            (folder / f"{world}.webp").write_bytes(data)
            worlds[world] = {
                "sheet": f"{world}.webp",
                "sha256": hashlib.sha256(data).hexdigest(),
                "frame_size": list(frames.shape[1:3]),
                "starts": [asdict(facts) for facts in self.facts[world]],
            }
        content = {"format_version": FORMAT_VERSION, "worlds": worlds}
        (folder / "bank.json").write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")

    @classmethod
    def load(cls, folder: str | Path) -> Bank:
        """Reads what ``save`` wrote; ``ValueError`` names the file that is not right."""
        path = Path(folder) / "bank.json"
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            if content["format_version"] > FORMAT_VERSION:
                raise ValueError(
                    f"{path} has format version {content['format_version']}; this worldsim reads up to "
                    f"{FORMAT_VERSION}. Update worldsim to load it."
                )
            worlds = content["worlds"].items()
            facts = {world: [StartFacts(**_exact(start)) for start in entry["starts"]] for world, entry in worlds}
            frames = {world: _read_sheet(path.parent, entry, len(facts[world])) for world, entry in worlds}
        except FileNotFoundError as error:
            raise ValueError(f"the bank of starts in {folder} lacks {error.filename}") from error
        except (json.JSONDecodeError, UnicodeDecodeError, KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"{path} is not a bank of starts: {error!r}") from error
        return cls(frames, facts)


def held_bank(bank: Bank | None, world: WorldSpec, instead: str) -> Bank:
    """The bank, if there is one with starts of ``world``; else a ``ValueError`` that ends in what to do ``instead``."""
    if bank is None or not bank.count(world.name):
        has = "has no bank of starts" if bank is None else f"has starts of {', '.join(bank.worlds) or 'no world'} only"
        raise ValueError(f"this model {has}, so an episode of {world.env_id} cannot begin from one; {instead}")
    return bank


def _exact(start: dict[str, Any]) -> dict[str, Any]:
    names = {f.name for f in fields(StartFacts)}
    if set(start) != names:
        raise KeyError(f"a start has {sorted(start)}, expected {sorted(names)}")
    return start


def _sheet(frames: np.ndarray) -> bytes:
    """WebP bytes of ``(n, H, W, 3)`` as tiles in reading order; what is left of the last row is black."""
    n, height, width, _ = frames.shape
    rows = -(-n // COLUMNS)
    picture = np.zeros((rows, height, COLUMNS, width, 3), np.uint8)
    for i, frame in enumerate(frames):
        picture[i // COLUMNS, :, i % COLUMNS] = frame
    if max(rows * height, COLUMNS * width) > WEBP_SIDE:
        raise ValueError(
            f"a sheet of {n} starts of {height}x{width} would be {rows * height}x{COLUMNS * width} pixels, and a WebP "
            f"has at most {WEBP_SIDE} a side: give fewer or smaller starts"
        )
    buffer = io.BytesIO()
    sheet = Image.fromarray(picture.reshape(rows * height, COLUMNS * width, 3))
    sheet.save(buffer, "WEBP", lossless=True, quality=80, method=4)  # most effort: ten times the time, 1 % smaller
    return buffer.getvalue()


def _read_sheet(folder: Path, entry: dict[str, object], count: int) -> np.ndarray:
    name, size = str(entry["sheet"]), entry["frame_size"]
    if not _SHEET.fullmatch(name):
        raise ValueError(f"{folder / 'bank.json'}: the sheet {name!r} is not a file of this folder")
    path = folder / name
    data = path.read_bytes()
    if hashlib.sha256(data).hexdigest() != entry["sha256"]:
        raise ValueError(f"{path} is not the sheet that was saved (its SHA-256 differs): fetch the model again")
    try:
        picture = np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))
    except (UnidentifiedImageError, OSError) as error:
        raise ValueError(f"{path} is not a picture: {error}") from error
    if not isinstance(size, list) or len(size) != 2:
        raise ValueError(f"{folder / 'bank.json'}: frame_size of {name} is {size!r}, expected [height, width]")
    height, width = size
    rows = -(-count // COLUMNS)
    if picture.shape != (rows * height, COLUMNS * width, 3):
        raise ValueError(f"{path} is {picture.shape[:2]} pixels, not {rows} x {COLUMNS} tiles of {height}x{width}")
    tiles = picture.reshape(rows, height, COLUMNS, width, 3).swapaxes(1, 2)
    return np.ascontiguousarray(tiles.reshape(rows * COLUMNS, height, width, 3)[:count])


def build_bank(
    worlds: Sequence[str | WorldSpec],
    n: int,
    split: str = "val",
    frame_size: tuple[int, int] = (64, 64),
    seed: int = 0,
    more: Mapping[str, int] | None = None,
) -> Bank:
    """A bank of ``n`` starts of each world, from distinct map seeds of ``split``, by running the true worlds.

    ``more`` holds other numbers for some of them: where agents learn, a few starts are learned by heart. Raises
    ``ValueError`` for test maps (what is measured must not ship with the weights) and for worlds of ``more`` that are
    not among ``worlds``.
    """
    import gymnasium as gym

    if split == "test":
        raise ValueError("a bank of starts is not made of test maps; use split='val' or 'train'")
    specs = [world if isinstance(world, WorldSpec) else world_named(world) for world in worlds]
    counts = {world_named(name).name: count for name, count in (more or {}).items()}
    if strange := sorted(counts.keys() - {spec.name for spec in specs}):
        raise ValueError(f"more={dict(more or {})}: the bank is of {[s.name for s in specs]}, not of {strange}")
    low, high = SPLITS[split]
    frames: dict[str, np.ndarray] = {}
    facts: dict[str, list[StartFacts]] = {}
    for spec in specs:
        rng = np.random.default_rng((seed, spec.index))
        map_seeds = low + rng.choice(high - low, size=counts.get(spec.name, n), replace=False)
        env = gym.make(spec.env_id, split=split, frame_size=frame_size, disable_env_checker=True)
        try:
            taken, facts[spec.name] = [], []
            for map_seed in map_seeds:
                observation, info = env.reset(seed=int(map_seed), options={"map_seed": int(map_seed)})
                caption = info["caption"]
                taken.append(observation)
                facts[spec.name].append(StartFacts(int(map_seed), info["goal"], caption["scene"], caption["view"]))
            frames[spec.name] = np.stack(taken)
        finally:
            env.close()
    return Bank(frames, facts)
