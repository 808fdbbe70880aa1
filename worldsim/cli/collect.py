"""``worldsim collect``: records episodes of true worlds, with many processes, into one folder.

Every episode is safe on the disk once it is counted. SIGTERM and Ctrl-C finish the episodes under way and
stop; a killed run loses only those. ``--resume`` goes on with the episode at which the folder ends: the seed
and the episode's number decide everything about it, so a resumed recording equals one that was never
interrupted.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Annotated, Any

import tyro
from tqdm import tqdm

from worldsim.recording.generate import GenerateConfig, generate_episodes
from worldsim.recording.store import write_durably
from worldsim.recording.writer import RecordingWriter
from worldsim.worlds import DOOM_WORLDS

LINE_SECONDS = 10.0


@dataclass(frozen=True)
class Collect:
    """Record episodes of true worlds into a folder."""

    out: Path
    """Folder of the recording; created where it does not exist."""
    worlds: tuple[str, ...] = DOOM_WORLDS
    """Worlds, each with an optional :weight (share of episodes), such as DoomRooms:3 DoomBasic:1."""
    episodes: int | None = None
    """Episodes that the folder shall hold. Default: as many as --steps needs, or 10."""
    steps: int | None = None
    """Steps that the folder shall hold at least (a Doom step is 4 video frames)."""
    policies: str = "explorer:0.6,random:0.4"
    """Policies with weights: random, explorer, sb3=PATH (a saved agent: a pickle, load only your own)."""
    workers: int = max(1, (os.cpu_count() or 1) - 1)
    """Processes that play; 0 plays in this one. The recording is the same for any number."""
    split: str = "train"
    """Split of the map seeds, train or val. Test maps are never recorded."""
    seed: int = 0
    """Seed of the run."""
    frame_size: tuple[int, int] = (64, 64)
    """Height and width in pixels. Frames above 128 pixels are stored as video."""
    max_steps: int | None = None
    """Cut episodes after so many steps. Default: the world's own time limit."""
    noise: float = 0.05
    """Probability per step of a random action in place of the policy's."""
    goals: float = 0.5
    """Share of episodes with a goal, in worlds that have goals."""
    shots: float = 0.0
    """Share of episodes that are cut once or twice to other poses of their map, in worlds that take poses."""
    resume: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Go on with a recording that exists."""


def main(argv: list[str]) -> int:
    """Runs the command; returns 0. Raises ``ValueError`` for settings or a folder that cannot be used."""
    run = tyro.cli(Collect, args=argv, prog="worldsim collect")
    config = generate_config(run)
    with RecordingWriter(run.out) as writer, stop_on_signals() as stopped:
        if len(writer) and not run.resume:
            raise ValueError(f"{run.out} holds {len(writer)} episodes already; add --resume to go on with it")
        done = sum(entry.steps for entry in writer.entries)
        note_run(run.out, asdict(run), argv, len(writer))
        progress = Progress(config, len(writer), done)
        while not progress.complete and not stopped():
            for episode in generate_episodes(progress.rest(), stop=stopped):
                writer.write(episode)
                progress.add(len(episode))
        progress.close(stopped())
    return 0


def generate_config(run: Collect) -> GenerateConfig:
    """The generator's settings of a command line."""
    return GenerateConfig(
        worlds=tuple(name for part in run.worlds for name in part.split(",")),
        policies=run.policies,
        split=run.split,
        seed=run.seed,
        episodes=10 if run.episodes is None and run.steps is None else run.episodes,
        steps=run.steps,
        workers=run.workers,
        frame_size=run.frame_size,
        max_steps=run.max_steps,
        noise=run.noise,
        goals=run.goals,
        shots=run.shots,
    )


class Progress:
    """What the folder holds of what it shall hold: a bar on a terminal, else a line every few seconds."""

    def __init__(self, config: GenerateConfig, episodes: int, steps: int) -> None:
        self.config, self.episodes, self.steps = config, episodes, steps
        self.began, self.before, self.said = time.monotonic(), steps, time.monotonic()
        by_steps = config.episodes is None
        self.bar: Any = None
        if sys.stderr.isatty():
            total, have = (config.steps, steps) if by_steps else (config.episodes, episodes)
            self.bar = tqdm(total=total, initial=have, unit=" steps" if by_steps else " episodes")
        self.by_steps = by_steps

    @property
    def complete(self) -> bool:
        enough = self.config.episodes is not None and self.episodes >= self.config.episodes
        return enough or (self.config.steps is not None and self.steps >= self.config.steps)

    def rest(self) -> GenerateConfig:
        """Settings of what is still to be played."""
        episodes, steps = self.config.episodes, self.config.steps
        return GenerateConfig(
            **{
                **{name: getattr(self.config, name) for name in self.config.__dataclass_fields__},
                "first_episode": self.episodes,
                "episodes": None if episodes is None else episodes - self.episodes,
                "steps": None if steps is None else steps - self.steps,
            }
        )

    def add(self, steps: int) -> None:
        self.episodes, self.steps = self.episodes + 1, self.steps + steps
        if self.bar is not None:
            self.bar.update(steps if self.by_steps else 1)
            self.bar.set_postfix_str(f"{self.rate():.0f} steps/s")
        elif time.monotonic() - self.said > LINE_SECONDS:
            self.said = time.monotonic()
            print(f"{self.episodes} episodes, {self.steps} steps, {self.rate():.0f} steps/s", file=sys.stderr)

    def rate(self) -> float:
        return (self.steps - self.before) / max(time.monotonic() - self.began, 1e-9)

    def close(self, stopped: bool) -> None:
        if self.bar is not None:
            self.bar.close()
        how = "stopped; go on with --resume" if stopped and not self.complete else "complete"
        print(f"{how}: {self.episodes} episodes, {self.steps} steps, {self.rate():.0f} steps/s")


@contextmanager
def stop_on_signals() -> Iterator[Callable[[], bool]]:
    """Yields a function that says whether SIGTERM or SIGINT has arrived; a second one interrupts at once."""
    received: list[int] = []

    def note(number: int, _: Any) -> None:
        if received:
            raise KeyboardInterrupt
        received.append(number)
        print("finishing the episodes under way", file=sys.stderr)

    before = {number: signal.signal(number, note) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield lambda: bool(received)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def note_run(folder: Path, settings: Mapping[str, Any], argv: list[str], first_episode: int) -> None:
    """Appends settings, command line and versions to ``meta/runs.jsonl`` of the recording in ``folder``."""
    path = folder / "meta/runs.jsonl"
    plain = {name: str(value) if isinstance(value, Path) else value for name, value in settings.items()}
    line = {"first_episode": first_episode, "argv": argv, "settings": plain, "versions": versions()}
    before = path.read_bytes() if path.exists() else b""
    write_durably(path, before + json.dumps(line).encode() + b"\n")


def versions() -> dict[str, str]:
    """Versions of the packages that decide what a recording holds."""
    found = {}
    for name in ("worldsim-gym", "numpy", "gymnasium", "vizdoom", "opencv-python-headless", "pyarrow"):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found
