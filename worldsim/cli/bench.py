"""``worldsim bench``: measure an environment against the true world that it imitates, and how fast it is.

Thin: the measuring is done by ``worldsim_benchmarks``, which knows nothing of this package. ``run`` is heavy and can be
interrupted; ``score``, ``compare`` and ``report`` read what it left and run no model.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import tyro

from worldsim.cli.bench_nets import Nets, nets
from worldsim.cli.bench_options import CONTROL, ROOMS, Amount, Environment, Parts, session, spec_of
from worldsim.cli.bench_packing import Packing, packing
from worldsim.cli.bench_play import Play, play
from worldsim.cli.bench_run import Run, run
from worldsim.cli.bench_selfcheck import Selfcheck, selfcheck
from worldsim.cli.bench_speed import Speed, speed
from worldsim.cli.bench_suites import show


@dataclass(frozen=True)
class Fidelity:
    """The fidelity suite alone, with the choice of its parts."""

    out: Path
    """Folder of the run; a run that was interrupted is continued."""
    n: Amount = "quick"
    world: str = ROOMS
    """Id of the true world that is the truth."""
    candidate: tyro.conf.OmitArgPrefixes[Environment] = field(default_factory=Environment)
    parts: tuple[Parts, ...] | None = None
    """Which parts to run, in full (default: all; with --n quick all but minute, and less of each)."""
    event_worlds: tuple[str, ...] | None = None
    """Worlds of the reward and termination part (default: by --n)."""
    seed: int = 0


@dataclass(frozen=True)
class Score:
    """The score and table of folders that a run has left; the model is not run."""

    folder: tyro.conf.Positional[Path]
    """A run's folder, or the OUT of several."""


@dataclass(frozen=True)
class Compare:
    """Is B worse than A? Paired over maps; exit code 1 where it is."""

    a: tyro.conf.Positional[Path]
    b: tyro.conf.Positional[Path]


@dataclass(frozen=True)
class Report:
    """One HTML page of finished runs (report.html), and leaderboard.json."""

    folders: tyro.conf.Positional[tuple[Path, ...]]
    """Run folders, or OUT folders of several runs."""
    out: Path = Path(".")
    """Where to write both files."""


@dataclass(frozen=True)
class Publish:
    """Rows, results and page of finished runs in one folder that is checked as a whole; without runs, checks it."""

    folders: tyro.conf.Positional[tuple[Path, ...]] = ()
    """Run folders, or OUT folders of several runs."""
    out: Path = Path("benchmarks/results")
    """What is published; what an earlier call left there is replaced."""
    weights: str = ""
    """Digest of the measured weights, for runs whose records do not say it."""


def main(argv: list[str]) -> int:
    """Runs ``worldsim bench <argv>``: 0, or 1 where a check of the command (as ``selfcheck`` or ``compare``) fails."""
    commands: dict[str, tuple[type, Callable[[Any], int]]] = {
        "run": (Run, run),
        "score": (Score, score),
        "selfcheck": (Selfcheck, selfcheck),
        "compare": (Compare, compare),
        "report": (Report, report),
        "publish": (Publish, publish),
        "fidelity": (Fidelity, fidelity),
        "speed": (Speed, speed),
        "packing": (Packing, packing),
        "play": (Play, play),
        "nets": (Nets, nets),
    }
    chosen = tyro.extras.subcommand_cli_from_dict(
        {name: kind for name, (kind, _) in commands.items()},
        prog="worldsim bench",
        description="Measure a world simulator against the true world that it imitates.",
        args=argv,
    )
    return next(act for kind, act in commands.values() if isinstance(chosen, kind))(chosen)


def fidelity(options: Fidelity) -> int:
    import worldsim_envs  # noqa: F401  (so that a broken installation is told at once)
    from worldsim_benchmarks.requirements import candidate_lacks
    from worldsim_benchmarks.suites import fidelity as suite

    asked = session(
        spec_of(options.candidate), options.world, options.n, options.out, options.seed, options.event_worlds
    )
    asked = replace(asked, named=options.parts or ())
    reasons = [] if asked.main.is_replay else candidate_lacks(asked)[0]
    if reasons:
        name = "control" if options.parts == CONTROL else "fidelity"
        print(f"{name}: cannot be run: {'; '.join(reasons)}")
        return 1
    show(suite.run(asked, options.parts or suite.usual(asked)).path)
    return 0


def score(options: Score) -> int:
    from worldsim_benchmarks.page import folders_in

    for path in folders_in([options.folder]):
        show(path)
    return 0


def compare(options: Compare) -> int:
    from worldsim_benchmarks.comparison import compare as compared
    from worldsim_benchmarks.report import table

    found = compared(options.a, options.b)
    print(table(list(found.lines)))
    print("\nB holds against A" if found.holds else "\nB IS WORSE THAN A")
    return 0 if found.holds else 1


def report(options: Report) -> int:
    from worldsim_benchmarks import page

    page.write(options.folders, options.out)
    print(f"{options.out / 'report.html'} and {options.out / 'leaderboard.json'} are written")
    return 0


def publish(options: Publish) -> int:
    from worldsim_benchmarks import publish as published

    if options.folders:
        published.publish(options.folders, options.out, options.weights)
    index = published.verify(options.out)
    for line in published.board(options.out):
        of = f"{line['suite']}, {line['world'].rpartition('/')[2]}, tasks: {len(line['tasks'])}, maps: {line['maps']}"
        what = f"{line['name']} {line['version']}".strip()
        print(f"{of}: {what} {line['headline']:.2f} [{line['low']:.2f}, {line['high']:.2f}]")
    if published.PAGE not in index["files"]:
        print(f"{options.out / published.PAGE} is larger than {published.LARGEST / 1e6:.0f} MB; it is not published")
    print(f"{options.out}: every file is as it was published, every score is what its rows give")
    return 0
