"""True frames that the nets learn from and are measured on: wandering play of a world, one split at a time.

The maps of a corpus are drawn inside of its split, and what a corpus is for asks for the split by name (``require``),
so that no net can be trained on a map that a suite asks about. Play is a random walk over the commands of the world,
each held for one to three steps: every command is as frequent as every other, after any other. Shapes: E episodes, T
steps, k video frames of a step, H x W pixels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from worldsim_benchmarks.truth import TEST_SEEDS, VAL_SEEDS, Reference, Rollout

SPLITS = {"train": (0, 1_000_000), "val": VAL_SEEDS, "test": TEST_SEEDS}
"""Map seeds of each split."""
HELD = 3
"""Steps that a command of a random walk is held, at most."""


@dataclass(frozen=True)
class Corpus:
    """``first`` uint8 ``(E, H, W, 3)``, ``blocks`` uint8 ``(E, T, k, H, W, 3)``, ``names`` ``(E, T)`` the commands,
    ``alive`` bool ``(E, T)`` False for steps after an episode's end, ``colours`` uint8 ``(E, T, H, W)`` which of
    ``palette`` the thing at a pixel has after each step (0: no coloured thing; empty where the world was not asked)."""

    world: str
    map_seeds: np.ndarray
    first: np.ndarray
    blocks: np.ndarray
    names: np.ndarray
    alive: np.ndarray
    colours: np.ndarray
    palette: tuple[str, ...] = ()

    def require(self, split: str) -> None:
        """``ValueError`` where a map is not of the split."""
        low, high = SPLITS[split]
        strange = sorted({int(s) for s in self.map_seeds if not low <= s < high})
        if strange:
            raise ValueError(
                f"map {strange[0]} is not of the {split} split [{low}, {high}): nets are trained on training maps, "
                "their thresholds chosen on validation maps, their accuracy measured on test maps"
            )

    def save(self, path: Path) -> None:
        """Writes the corpus as one ``.npz``."""
        path.parent.mkdir(parents=True, exist_ok=True)
        np.savez(
            path, world=self.world, map_seeds=self.map_seeds, first=self.first, blocks=self.blocks, names=self.names,
            alive=self.alive, colours=self.colours, palette=np.array(self.palette, str),
        )  # fmt: skip

    @classmethod
    def load(cls, path: Path) -> Corpus:
        """What ``save`` wrote."""
        with np.load(path) as held:
            arrays = {name: held[name] for name in held.files}
        world, palette = str(arrays.pop("world")), tuple(arrays.pop("palette").tolist())
        return cls(world=world, palette=palette, **arrays)


def seeds_of(split: str, count: int, seed: int = 0) -> list[int]:
    """``count`` different map seeds of a split; ``ValueError`` for a split that does not exist or is too small."""
    if split not in SPLITS:
        raise ValueError(f"unknown split {split!r}; accepted are {', '.join(SPLITS)}")
    low, high = SPLITS[split]
    if not 1 <= count <= high - low:
        raise ValueError(f"{count} maps of the {split} split were asked; it has {high - low}")
    drawn = np.random.default_rng((seed, 17)).choice(high - low, count, replace=False)
    return (low + drawn).tolist()


def wander(commands: Sequence[str], steps: int, seed: int) -> tuple[str, ...]:
    """``steps`` commands: each drawn uniformly and held for one to ``HELD`` steps."""
    rng = np.random.default_rng((seed, 18))
    out: list[str] = []
    while len(out) < steps:
        out += [commands[int(rng.integers(len(commands)))]] * int(rng.integers(1, HELD + 1))
    return tuple(out[:steps])


def record(
    world: str,
    split: str,
    maps: int,
    steps: int,
    commands: Sequence[str],
    palette: Sequence[str] = (),
    kinds: Sequence[str] = (),
    frame_size: tuple[int, int] = (64, 64),
    seed: int = 0,
) -> Corpus:
    """Plays ``maps`` maps of a split for ``steps`` steps each. With a ``palette`` the world is asked which pixels show
    things of these colours (of the classes ``kinds``)."""
    reference = Reference(world, frame_size, split=split, depth=False, labels=bool(palette))
    seeds = seeds_of(split, maps, seed)
    try:
        rollouts = [reference.play(wander(commands, steps, s), s) for s in seeds]
    finally:
        reference.close()
    return Corpus(
        world=world,
        map_seeds=np.array(seeds),
        first=np.stack([r.first for r in rollouts]),
        blocks=np.stack([r.blocks for r in rollouts]),
        names=np.array([r.names for r in rollouts]),
        alive=np.stack([np.arange(steps) < r.length for r in rollouts]),
        colours=np.stack([_colours(r, palette, kinds) for r in rollouts]) if palette else np.zeros(0, np.uint8),
        palette=tuple(palette),
    )


def _colours(rollout: Rollout, palette: Sequence[str], kinds: Sequence[str]) -> np.ndarray:
    """uint8 ``(T, H, W)``: 1 + index in ``palette`` of the thing that each pixel shows after each step, else 0."""
    out = []
    for step in range(1, len(rollout.names) + 1):
        labels = rollout.labels(step)
        found = np.zeros(labels.shape, np.uint8)
        for thing in rollout.truths[step]["objects"]:
            if thing["class"] in kinds and thing["colour"] in palette:
                found[labels == thing["id"]] = 1 + list(palette).index(thing["colour"])
        out.append(found)
    return np.stack(out)
