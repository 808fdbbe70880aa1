"""Where training episodes come from: recordings on disk, or the true worlds playing live beside training."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path

import numpy as np

from worldsim.recording.episode import Episode
from worldsim.recording.generate import GenerateConfig, generate_episodes
from worldsim.recording.mixture import parse_mixture, parse_sizes
from worldsim.recording.reader import Recording
from worldsim.worlds import DOOM_WORLDS, WORLDS


@dataclass(frozen=True)
class SourceConfig:
    """``data`` are recordings; without any, worlds play live in ``workers`` processes (0 = in this one). With ``live``
    they play beside the recordings, which then are of worlds that cannot be played where training is.

    ``steps`` ends live generation (0 = endless). Live frames are ``frame_size`` (H, W), or of the mixture ``sizes``,
    such as ("64x64:2", "64x128"); recordings have their own sizes, one each. ``held_out`` episodes per world and size,
    of validation maps, are generated live for the probes where the recordings hold none.
    """

    data: tuple[Path, ...] = ()
    live: bool = False
    worlds: tuple[str, ...] = DOOM_WORLDS
    policies: tuple[str, ...] = ("explorer:0.7", "random:0.3")
    workers: int = 1
    steps: int = 0
    seed: int = 0
    frame_size: tuple[int, int] = (64, 64)
    sizes: tuple[str, ...] = ()
    max_steps: int = 300
    held_out: int = 2

    @property
    def ends(self) -> bool:
        """Whether the episodes come to an end by themselves."""
        return bool(self.steps or (self.data and not self.live))

    def check_ends(self, what: str) -> None:
        """Raises ``ValueError`` where the episodes do not come to an end by themselves, as ``what`` needs."""
        if not self.ends:
            raise ValueError(
                f"{what} needs a source that ends: give source.data, or source.steps where worlds play live"
            )


def training_episodes(config: SourceConfig, motion: bool = False) -> Generator[Episode, None, None]:
    """Episodes of the training maps: each of a recording once in random order, or live ones, which tell how the picture
    truly moved where ``motion`` is asked for, or both in turns until the recordings end."""
    if config.data and not config.live:
        yield from _recorded(config.data, config.seed)
        return
    with closing(generate_episodes(replace(_live(config), motion=motion))) as live:
        for recorded in _recorded(config.data, config.seed):
            yield recorded
            yield from islice(live, 1)
        yield from live


def held_out_episodes(config: SourceConfig, motion: bool = False) -> list[Episode]:
    """``held_out`` episodes of validation maps for each world of the recordings (without any, or with ``live``, for
    each configured one) and each size that there is of it: recorded ones where there are some, else played live now,
    which tell how the picture truly moved where ``motion`` is asked for."""
    recordings = [Recording.open(folder) for folder in config.data]
    recorded = {entry.world for recording in recordings for entry in recording.entries}
    playing = [] if config.data and not config.live else [name for name, _ in parse_mixture(config.worlds)]
    live = [size for size, _ in parse_sizes(config.sizes)] if config.sizes else [config.frame_size]
    found: list[Episode] = []
    for number, world in enumerate(dict.fromkeys([*(w for w in WORLDS if w in recorded), *playing])):
        sizes = dict.fromkeys(r.frame_size for r in recordings if r.find(world=world))
        if world in playing:
            sizes |= dict.fromkeys(live)
        for size in sizes:
            stored = [(r, i) for r in recordings if r.frame_size == size for i in r.find(split="val", world=world)]
            found += [recording.episode(i) for recording, i in stored[: config.held_out]]
            if len(stored) < config.held_out:
                plan = replace(
                    _live(config),
                    worlds=(world,),
                    sizes=(),
                    frame_size=size,
                    split="val",
                    workers=0,
                    steps=None,
                    episodes=config.held_out - len(stored),
                    seed=1000 + number,
                    motion=motion,
                )
                found.extend(generate_episodes(plan))
    return found


def _live(config: SourceConfig) -> GenerateConfig:
    return GenerateConfig(
        worlds=config.worlds,
        policies=config.policies,
        seed=config.seed,
        steps=config.steps or None,
        workers=config.workers,
        frame_size=config.frame_size,
        sizes=config.sizes,
        max_steps=config.max_steps,
        words=True,
    )


def _recorded(folders: Sequence[Path], seed: int) -> Generator[Episode, None, None]:
    recordings = [Recording.open(folder) for folder in folders]
    order = [(r, i) for r in recordings for i in range(len(r))]
    for index in np.random.default_rng(seed).permutation(len(order)):
        recording, number = order[index]
        episode = recording.episode(number)
        if episode.split != "val":
            yield episode
