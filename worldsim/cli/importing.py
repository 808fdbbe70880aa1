"""``worldsim import``: recordings of other projects become a recording of this one.

Every episode is on the disk before the next source is opened. ``meta/sources.jsonl`` notes which source the episodes
from each number on are of, before the first of them is written, so that ``--resume`` goes on within a source just where
a stopped or killed import ended.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import chain, islice, pairwise
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro
from tqdm import tqdm

from worldsim.cli.collect import LINE_SECONDS, note_run, stop_on_signals
from worldsim.recording.episode import Episode
from worldsim.recording.minerl import find_minerl, read_minerl
from worldsim.recording.store import RecordingError, write_durably
from worldsim.recording.vpt import Menus, find_vpt, read_vpt
from worldsim.recording.writer import RecordingWriter


@dataclass(frozen=True)
class Import:
    """What every import is told."""

    folder: Annotated[Path, tyro.conf.Positional]
    """Folder of the data."""
    out: Path
    """Folder of the recording; created where it does not exist."""
    size: tuple[int, int] = (64, 64)
    """Height and width in pixels: the largest centre part of that shape, resized. Above 128 pixels frames are stored
    as video."""
    limit: int | None = None
    """Import only the first so many of the source's recordings."""
    split: Literal["train", "val"] = "train"
    """Split that the episodes are marked with."""
    skip_broken: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Say which recordings are broken and go on, instead of ending at the first."""
    resume: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Go on with a recording that exists, whatever was imported into it before."""


@dataclass(frozen=True)
class ImportMineRL(Import):
    """Import a MineRL dataset, version 3 or 4; FOLDER holds the file VERSION and the environments."""

    environments: tuple[str, ...] = ()
    """Environments, such as MineRLTreechop-v0. Default: all that are there."""


@dataclass(frozen=True)
class ImportVPT(Import):
    """Import contractors' recordings of Video PreTraining; FOLDER holds pairs of NAME.mp4 and NAME.jsonl."""

    menus: Menus = "cut"
    """Where a menu is open: cut these steps out, which makes several episodes, or keep them without mouse and keys."""


@dataclass
class Counts:
    """Sources, episodes and steps that an import has written, and broken sources that it passed over."""

    sources: int = 0
    episodes: int = 0
    steps: int = 0
    broken: int = 0

    def __str__(self) -> str:
        passed = f"; passed over {self.broken} that are broken" if self.broken else ""
        return f"{self.sources} recordings, {self.episodes} episodes, {self.steps} steps{passed}"


def main(argv: list[str]) -> int:
    """Runs the command; returns 0. Raises ``ValueError`` or ``OSError`` naming a file that cannot be used."""
    commands: dict[str, Callable[..., Any]] = {"minerl": ImportMineRL, "vpt": ImportVPT}
    run = tyro.extras.subcommand_cli_from_dict(
        commands, args=argv, prog="worldsim import", description="Turn recordings of Minecraft into a recording."
    )
    if min(run.size) < 1 or (run.limit is not None and run.limit < 1):
        raise ValueError(f"--size {run.size[0]} {run.size[1]} and --limit {run.limit} must be at least 1")
    sources, read = source_of(run)
    with RecordingWriter(run.out) as writer, stop_on_signals() as stopped:
        if len(writer) and not run.resume:
            raise ValueError(f"{run.out} holds {len(writer)} episodes already; add --resume to go on with it")
        note_run(run.out, asdict(run), argv, len(writer))
        counts = import_all(writer, sources[: run.limit], read, run.skip_broken, stopped)
    how = "stopped; go on with --resume" if stopped() else "complete"
    print(f"{how}: {counts}")
    return 0


def source_of(run: ImportMineRL | ImportVPT) -> tuple[list[Path], Callable[[Path], Iterable[Episode]]]:
    """The recordings that a command line names, and what reads the episodes of one."""
    if isinstance(run, ImportMineRL):
        return find_minerl(run.folder, run.environments), lambda path: [read_minerl(path, run.size, run.split)]
    return find_vpt(run.folder), lambda path: read_vpt(path, run.size, run.split, run.menus)


def import_all(
    writer: RecordingWriter,
    sources: Sequence[Path],
    read: Callable[[Path], Iterable[Episode]],
    skip_broken: bool = False,
    stopped: Callable[[], bool] = lambda: False,
) -> Counts:
    """Writes the episodes of those ``sources`` that the recording does not hold yet, until ``stopped()``.

    Raises ``RecordingError`` for a broken source, or says so on standard error where these are skipped.
    """
    log = SourceLog(writer)
    counts = Counts()
    for path in shown(log.missing(sources), counts):
        if stopped():
            break
        try:
            episodes = begun(read(path), log.begin(path))
        except RecordingError as error:
            if not skip_broken:
                raise
            counts.broken += 1
            print(f"broken: {error}", file=sys.stderr)
            continue
        for episode in episodes:
            writer.write(episode)
            counts.episodes, counts.steps = counts.episodes + 1, counts.steps + len(episode)
        counts.sources += 1
    return counts


def begun(episodes: Iterable[Episode], skip: int) -> Iterator[Episode]:
    """The episodes after the first ``skip``, of which the first is read now: a broken source fails before it."""
    rest = islice(episodes, skip, None)
    return chain(list(islice(rest, 1)), rest)


class SourceLog:
    """``meta/sources.jsonl``: a line for each source with the number of its first episode, in the order of these. Of
    the last one's episodes some may be missing, and of broken ones there are none."""

    def __init__(self, writer: RecordingWriter) -> None:
        self.writer = writer
        self.path = writer.folder / "meta/sources.jsonl"
        self.first: dict[str, int] = {}
        if self.path.exists():
            lines = [json.loads(line) for line in self.path.read_text(encoding="utf-8").splitlines()]
            self.first = {line["source"]: line["first_episode"] for line in lines}
        self.last = next(reversed(self.first), None)

    def missing(self, sources: Iterable[Path]) -> list[Path]:
        """The sources of which episodes may be missing."""
        names = list(self.first)
        whole = {name for name, after in pairwise(names) if self.first[after] > self.first[name]}
        return [path for path in sources if str(path.resolve()) not in whole]

    def begin(self, path: Path) -> int:
        """Notes that the next episodes are of this source; returns how many of it are there already."""
        name = str(path.resolve())
        if name == self.last:
            return len(self.writer) - self.first[name]
        self.first = {source: first for source, first in self.first.items() if source != name}
        self.first[name] = len(self.writer)
        lines = [json.dumps({"source": source, "first_episode": number}) for source, number in self.first.items()]
        write_durably(self.path, "".join(f"{line}\n" for line in lines).encode())
        return 0


def shown(sources: Sequence[Path], counts: Counts) -> Iterator[Path]:
    """The sources, with a bar on a terminal, else a line every few seconds."""
    said = time.monotonic()
    for path in tqdm(sources, unit=" recordings", disable=not sys.stderr.isatty()):
        yield path
        if not sys.stderr.isatty() and time.monotonic() - said > LINE_SECONDS:
            said = time.monotonic()
            print(counts, file=sys.stderr)
