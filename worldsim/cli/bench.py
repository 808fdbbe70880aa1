"""``worldsim bench``: measure an environment against the true world that it imitates, and how fast it is.

Thin: the measuring is done by ``worldsim_benchmarks``, which knows nothing of this package. ``run`` is heavy and can be
interrupted; ``score``, ``compare`` and ``report`` read what it left and run no model.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import tyro

from worldsim.cli.bench_nets import Nets, nets
from worldsim.cli.bench_options import ROOMS, Amount, candidate, session, with_untrained
from worldsim.cli.bench_packing import Packing, packing
from worldsim.cli.bench_play import Play, play
from worldsim.cli.bench_speed import Speed, speed
from worldsim.registration import SORA_WORLD

Parts = Literal["free", "onestep", "control", "reading", "events", "prompts", "minute"]
PARTS: tuple[Parts, ...] = ("free", "onestep", "control", "reading", "events", "prompts", "minute")
CONTROL: tuple[Parts, ...] = ("control", "reading")
"""The parts of fidelity that the suite ``control`` runs alone."""


@dataclass(frozen=True)
class Environment:
    """The environment that is measured."""

    env: str = SORA_WORLD
    """Gymnasium id, or a model folder, or "true", or a mutant of the true world ("mirrored", "amnesic", ...)."""
    env_kwargs: str = "{}"
    """JSON of further constructor arguments, such as {"denoising_steps": 2}."""
    world_keyword: str = "world"
    """Constructor argument that tells the environment its world ("" if it has none)."""
    lanes: int = 16
    """Episodes that run at once."""


@dataclass(frozen=True)
class Run:
    """Runs suites into OUT/<suite>-<world>, one after the other; a run that was interrupted goes on.

    consistency, permanence, memory, interaction, surprise and text have a headline; fidelity, control and speed have
    curves and tables. "all" is every suite, each in one world.
    """

    suite: tuple[str, ...]
    """consistency, permanence, memory, interaction, surprise, text, fidelity, control, speed, or all."""
    out: Path
    """Folder of the runs."""
    n: Amount = "quick"
    """How much: quick (12 maps) is a smoke test, default 50 maps and 2 samples, publish 200 and 4."""
    world: str | None = None
    """True world (default: the first that a suite can be run on)."""
    candidate: tyro.conf.OmitArgPrefixes[Environment] = field(default_factory=Environment)
    beside: tuple[str, ...] = ()
    """NAME=JSON: the environment with other constructor arguments, on the same plans and in the same speed rounds, such
    as window={"model": "worlds?memory=window"} or short={"model": "?window=8"}. Not asked by fidelity and control."""
    tasks: tuple[str, ...] = ()
    """Only these tasks of a suite with a headline (default: all that can be asked)."""
    seed: int = 0


@dataclass(frozen=True)
class Fidelity:
    """The fidelity suite alone, with the choice of its parts."""

    out: Path
    """Folder of the run; a run that was interrupted is continued."""
    n: Amount = "quick"
    world: str = ROOMS
    """Id of the true world that is the truth."""
    candidate: tyro.conf.OmitArgPrefixes[Environment] = field(default_factory=Environment)
    parts: tuple[Parts, ...] = PARTS
    """Which parts to run."""
    event_worlds: tuple[str, ...] | None = None
    """Worlds of the reward and termination part (default: by --n)."""
    seed: int = 0


@dataclass(frozen=True)
class Score:
    """The score and table of folders that a run has left; the model is not run."""

    folder: tyro.conf.Positional[Path]
    """A run's folder, or the OUT of several."""


@dataclass(frozen=True)
class Selfcheck:
    """Runs the true world and its mutants as candidates and proves that they are ranked and flagged."""

    out: Path
    suite: str = "fidelity"
    n: Amount = "quick"
    world: str = ROOMS
    seed: int = 0


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


def run(options: Run) -> int:
    import worldsim_envs  # noqa: F401  (so that a broken installation is told at once)
    from worldsim_benchmarks import requirements
    from worldsim_benchmarks.runner import run as run_probe
    from worldsim_benchmarks.suites.registry import PROBES

    every = (*PROBES, "fidelity", "control", "speed")
    unknown = [s for s in options.suite if s not in (*every, "all")]
    if unknown or not options.suite:
        raise ValueError(f"unknown suite {', '.join(unknown)!r}; accepted are {', '.join(every)}, all")
    chosen = every if "all" in options.suite else tuple(dict.fromkeys(options.suite))
    asks = {task.name for name in chosen if name in PROBES for task in PROBES[name].tasks}
    strange = sorted(set(options.tasks) - asks)
    if strange:
        raise ValueError(f"unknown task {', '.join(strange)!r}; accepted are {', '.join(sorted(asks))}")
    able = False
    for name in chosen:
        wanted = [t for t in PROBES[name].tasks if t.name in (options.tasks or asks)] if name in PROBES else []
        if name in PROBES and not wanted:
            print(f"{name}: has no task {', '.join(options.tasks)}")
            continue
        world = options.world or (wanted[0].worlds[0] if wanted else ROOMS)
        folder = options.out / f"{name}-{world.rpartition('/')[2].removesuffix('-v0')}"
        if name == "speed":
            spec = _spec(options.candidate)
            if spec.is_replay:
                print("speed: cannot be run: it is asked of learned environments only")
                continue
            ours = spec.env == SORA_WORLD
            sweep = Speed.denoising_steps if ours else ()
            speed(
                Speed(
                    denoising_steps=sweep,
                    env=spec.env,
                    env_kwargs=json.dumps(spec.kwargs),
                    beside=options.beside,
                    startup=ours,
                    out=folder,
                )
            )
        elif name in ("fidelity", "control"):
            parts: tuple[Parts, ...] = PARTS if name == "fidelity" else CONTROL
            if fidelity(Fidelity(folder, options.n, world, options.candidate, parts, seed=options.seed)):
                continue
        else:
            suite = PROBES[name]
            asked = session(_spec(options.candidate), world, options.n, folder, options.seed, beside=options.beside)
            if name == "surprise":
                asked = with_untrained(asked)
            missing = requirements.missing_for([suite], asked)[name]
            found = {t.name: missing[t.name] or requirements.amount_lacks(suite, asked, t) for t in wanted}
            print("\n".join(requirements.lines({name: found})))
            tasks = [task for task, reasons in found.items() if not reasons]
            if not tasks:
                continue
            _show(run_probe(suite, asked, tasks=tasks).path)
        able = True
    return 0 if able else 1


def _spec(given: Environment) -> Any:
    return candidate(given.env, given.env_kwargs, given.lanes, given.world_keyword)


def fidelity(options: Fidelity) -> int:
    import worldsim_envs  # noqa: F401  (so that a broken installation is told at once)
    from worldsim_benchmarks.requirements import candidate_lacks
    from worldsim_benchmarks.suites import fidelity as suite

    asked = session(_spec(options.candidate), options.world, options.n, options.out, options.seed, options.event_worlds)
    reasons = [] if asked.main.is_replay else candidate_lacks(asked)[0]
    if reasons:
        name = "control" if options.parts == CONTROL else "fidelity"
        print(f"{name}: cannot be run: {'; '.join(reasons)}")
        return 1
    _show(suite.run(asked, options.parts).path)
    return 0


def score(options: Score) -> int:
    from worldsim_benchmarks.page import folders_in

    for path in folders_in([options.folder]):
        _show(path)
    return 0


def _show(path: Path) -> None:
    """Scores a folder anew from its rows, and prints its table."""
    from worldsim_benchmarks.records import Folder, plain
    from worldsim_benchmarks.report import fidelity_lines, probe_lines, table
    from worldsim_benchmarks.runner import seal
    from worldsim_benchmarks.suites import fidelity as fidelity_suite
    from worldsim_benchmarks.suites.registry import PROBES

    folder = Folder(path)
    name = folder.header()["suite"]
    if name in PROBES:
        print(table(probe_lines(seal(folder, PROBES[name]))))
    elif name == fidelity_suite.SUITE:
        print(table(fidelity_lines(plain(fidelity_suite.score(folder)))))
    else:
        raise ValueError(f"{path} holds a {name} run; score reads {', '.join(PROBES)} and fidelity runs")
    print(f"\nwhat was measured is in {path}")


def selfcheck(options: Selfcheck) -> int:
    from worldsim_benchmarks import proof
    from worldsim_benchmarks import selfcheck as fidelity_check
    from worldsim_benchmarks.presets import preset_named
    from worldsim_benchmarks.report import table
    from worldsim_benchmarks.suites.registry import suite_named

    from worldsim.worlds import world_named

    world, preset = world_named(options.world).env_id, preset_named(options.n)
    if options.suite == "fidelity":
        lines, holds = fidelity_check.run(fidelity_check.session_for(world, preset, options.out, options.seed))
    else:
        suite = suite_named(options.suite)
        lines, holds = proof.prove(suite, proof.session_for(suite, world, preset, options.out, options.seed))
    print(table(lines))
    print("\nall checks hold" if holds else "\nSOME CHECKS FAIL: do not believe this benchmark's numbers")
    return 0 if holds else 1


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
