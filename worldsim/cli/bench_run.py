"""``worldsim bench run``: suites of one environment, one after the other or side by side in processes of their own.

What can be asked is found out first, suite by suite; then the episodes (the parts, of fidelity) that are missing are
run, each saved when it is whole, and the suite is sealed when all are there. With ``jobs`` the same is done in pieces,
each by whichever process is free: an episode's rows depend on no other, so they come out alike. The suite ``speed``
takes the time, hence comes last and alone. A suite that fails is named at the end, and the others are there.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import tyro

from worldsim.cli.bench_jobs import Ended, Here, Piece, Workers, cores, lots
from worldsim.cli.bench_options import FIDELITY, ROOMS, Amount, candidate, session, variants, with_untrained
from worldsim.cli.bench_speed import Speed, speed
from worldsim.cli.main import show_traceback
from worldsim.registration import SORA_WORLD

if TYPE_CHECKING:
    from worldsim_benchmarks.suites.session import CandidateSpec, Session

Parts = Literal["free", "onestep", "control", "reading", "events", "prompts", "minute"]
PARTS: tuple[Parts, ...] = ("free", "onestep", "control", "reading", "events", "prompts", "minute")
CONTROL: tuple[Parts, ...] = ("control", "reading")
"""The parts of fidelity that the suite ``control`` runs alone."""
CONTROL_SUITE, SPEED = "control", "speed"
"""Suites without a headline, beside ``FIDELITY``."""
BRIEF_BATCH, BRIEF_ROUNDS, BRIEF_STARTS = (1, 16), 2, 1
"""In a brief run ``speed`` takes the time of these batches alone, those with a number to reach, in fewer rounds and
starts, and of the U-Net as it is published: a step of 64 lanes of it takes half a minute."""


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
    """Runs suites into OUT/<suite>-<world>; a run that was interrupted goes on.

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
    """Only these tasks of a suite with a headline, those that --n quick leaves out among them (default: all that can be
    asked)."""
    jobs: int | None = None
    """Processes that share the work, each with a thread, a model and worlds of its own: about 1.5 GB of memory each.
    1: this one does all, with all threads (which round otherwise). Default: one per core; 1 where CUDA is available."""
    seed: int = 0


def by_default() -> int:
    """Processes that share the work: one per core, but one where each would open its model on the same device."""
    import torch

    return 1 if torch.cuda.is_available() else cores()


def run(options: Run) -> int:
    """0; 1 where no suite could be run, or one failed."""
    import worldsim_envs  # noqa: F401  (so that a broken installation is told at once)

    chosen = chosen_by(options)
    jobs = by_default() if options.jobs is None else options.jobs
    asked = [c for c in chosen if c.name != SPEED]
    # side by side the suites of the longest pieces come first, so that all processes end at about the same time
    progress = {c.name: Progress(c, jobs, len(asked) - i) for i, c in enumerate(asked)}
    alone = len(chosen) == 1
    with Here(alone) if jobs == 1 else Workers(jobs, raises=alone) as team:
        for suite in asked:
            team.add(Piece(suite.name, look, (suite,)))
        for ended in team.ended():
            with progress[ended.piece.label].answerable(alone):
                progress[ended.piece.label].after(ended)
            for each in progress.values():  # all of them, since what one waits for may have failed
                if each.ready(progress):
                    with each.answerable(alone):
                        for piece in each.begin(progress):
                            team.add(piece)
    able = any(p.shown for p in progress.values())
    failed = [f"{name}: failed: {why}" for name, p in progress.items() for why in dict.fromkeys(p.failed)]
    for suite in (c for c in chosen if c.name == SPEED):
        try:
            able = timed(suite) or able
        except Exception as error:
            if alone:
                raise
            show_traceback()
            failed.append(f"{SPEED}: failed: {type(error).__name__}: {error}")
    print("\n".join(failed), end="\n" if failed else "", flush=True)
    return 0 if able and not failed else 1


@dataclass(frozen=True)
class Chosen:
    """A suite of a run: the world that it is asked in, its folder, and the ``tasks`` that are wanted (all, of a suite
    without a headline)."""

    name: str
    world: str
    folder: Path
    options: Run
    tasks: tuple[str, ...] = ()


@dataclass(frozen=True)
class Found:
    """What can be asked: ``lines`` to print, and the tasks, or the parts of fidelity, in a session; none: nothing."""

    lines: tuple[str, ...]
    session: Session | None = None
    asked: tuple[str, ...] = ()


def chosen_by(options: Run) -> list[Chosen]:
    """The suites of a run, each in one world; ``ValueError`` for options that say nothing or cannot be meant."""
    from worldsim_benchmarks.suites.registry import PROBES

    from worldsim.worlds import world_named

    every = (*PROBES, FIDELITY, CONTROL_SUITE, SPEED)
    unknown = [s for s in options.suite if s not in (*every, "all")]
    if unknown or not options.suite:
        raise ValueError(f"unknown suite {', '.join(unknown)!r}; accepted are {', '.join(every)}, all")
    if options.jobs is not None and options.jobs < 1:
        raise ValueError(f"--jobs {options.jobs}: expected a number of processes of at least 1")
    names = every if "all" in options.suite else tuple(dict.fromkeys(options.suite))
    asks = {task.name for name in names if name in PROBES for task in PROBES[name].tasks}
    strange = sorted(set(options.tasks) - asks)
    if strange:
        raise ValueError(f"unknown task {', '.join(strange)!r}; accepted are {', '.join(sorted(asks))}")
    world_named(options.world or ROOMS)
    variants(spec_of(options.candidate), options.beside)
    out = []
    for name in names:
        wanted = [t for t in PROBES[name].tasks if t.name in (options.tasks or asks)] if name in PROBES else []
        world = options.world or (wanted[0].worlds[0] if wanted else ROOMS)
        folder = options.out / f"{name}-{world.rpartition('/')[2].removesuffix('-v0')}"
        out.append(Chosen(name, world, folder, options, tuple(t.name for t in wanted)))
    return out


def look(suite: Chosen) -> Found:
    """What the environment can be asked of a suite."""
    import worldsim_envs  # noqa: F401  (registers the true worlds, in a process of its own too)
    from worldsim_benchmarks import requirements
    from worldsim_benchmarks.suites.registry import PROBES

    options = suite.options
    if suite.name in PROBES and not suite.tasks:
        return Found((f"{suite.name}: has no task {', '.join(options.tasks)}",))
    spec = spec_of(options.candidate)
    if suite.name not in PROBES:
        asked = session(spec, suite.world, options.n, suite.folder, options.seed)
        reasons = [] if asked.main.is_replay else requirements.candidate_lacks(asked)[0]
        if reasons:
            return Found((f"{suite.name}: cannot be run: {'; '.join(reasons)}",))
        return Found((), asked, PARTS if suite.name == FIDELITY else CONTROL)
    probe = PROBES[suite.name]
    asked = session(spec, suite.world, options.n, suite.folder, options.seed, beside=options.beside)
    asked = replace(asked, named=options.tasks)
    if suite.name == "surprise":
        asked = with_untrained(asked)
    missing = requirements.missing_for([probe], asked)[suite.name]
    wanted = [task for task in probe.tasks if task.name in suite.tasks]
    found = {t.name: missing[t.name] or requirements.amount_lacks(probe, asked, t) for t in wanted}
    lines = tuple(requirements.lines({suite.name: found}))
    return Found(lines, asked, tuple(task for task, reasons in found.items() if not reasons))


def work(suite: Chosen, session: Session, lot: Sequence[Any], beside: Path | None = None) -> float:
    """Fills in episodes of a suite with a headline, or parts of one without; the seconds of processor time that this
    took, those of true worlds included."""
    import worldsim_envs  # noqa: F401
    from worldsim_benchmarks import runner
    from worldsim_benchmarks.suites import fidelity
    from worldsim_benchmarks.suites.registry import PROBES

    begun = sum(os.times()[:4])
    spec_of(suite.options.candidate)  # imports what registers it
    if suite.name in PROBES:
        runner.fill(PROBES[suite.name], session, lot)
    else:
        fidelity.fill(session, tuple(lot), beside=beside)
    return sum(os.times()[:4]) - begun


@dataclass
class Progress:
    """How far a suite is: what was found of it, whether it was begun, pieces that are not done, why some failed, how
    many ``seconds`` of processor time were spent, and whether its table was printed."""

    suite: Chosen
    jobs: int
    rank: int
    found: Found | None = None
    begun: bool = False
    pending: int = 0
    failed: list[str] = field(default_factory=list)
    seconds: float = 0.0
    shown: bool = False

    @property
    def over(self) -> bool:
        """Whether nothing more will come of it."""
        return not self.pending and (bool(self.failed) or self.begun)

    def ready(self, every: Mapping[str, Progress]) -> bool:
        """Whether it can be begun. The parts of ``control`` are among those of ``fidelity``, which are waited for."""
        first = every.get(FIDELITY) if self.suite.name == CONTROL_SUITE else None
        return self.found is not None and not self.begun and (first is None or first.over)

    @contextmanager
    def answerable(self, raises: bool) -> Iterator[None]:
        """A block whose errors are this suite's, which cannot be begun or sealed; the others go on."""
        try:
            yield
        except Exception as error:
            if raises:
                raise
            show_traceback()
            self.failed.append(f"{type(error).__name__}: {error}")

    def after(self, ended: Ended) -> None:
        """Notes that a piece of the suite has ended. Its table is printed when all have."""
        if ended.failed:
            self.failed.append(ended.failed)
        elif self.found is None:
            self.found = ended.value
            print("\n".join(ended.value.lines), end="\n" if ended.value.lines else "", flush=True)
            return
        if self.pending:
            self.pending -= 1
            self.seconds += ended.value or 0.0
        self._close()

    def begin(self, every: Mapping[str, Progress]) -> list[Piece]:
        """Makes the folder, and pieces of what is missing in it."""
        from worldsim_benchmarks import runner
        from worldsim_benchmarks.suites import fidelity
        from worldsim_benchmarks.suites.registry import PROBES

        self.begun = True
        suite, found = self.suite, self.found
        if found is None or found.session is None or not found.asked:
            return []
        pieces: Sequence[Sequence[Any]]
        beside = None
        if suite.name in PROBES:
            missing = runner.begin(PROBES[suite.name], found.session, tasks=found.asked)
            pieces = runner.shared_out(PROBES[suite.name], missing, lots(self.jobs))
        else:
            fidelity.begin(found.session, found.asked)
            pieces = [(part,) for part in found.asked] if self.jobs > 1 else [found.asked]
            if suite.name == CONTROL_SUITE and FIDELITY in every:
                beside = every[FIDELITY].suite.folder
        self.pending = len(pieces)
        self._close()
        return [Piece(suite.name, work, (suite, found.session, piece, beside), self.rank) for piece in pieces]

    def _close(self) -> None:
        if not self.pending and not self.failed and self.found is not None and self.found.asked:
            show(self.suite.folder)
            print(f"{self.suite.name}: {self.seconds:.0f} s of processor time", flush=True)
            self.shown = True


def timed(suite: Chosen) -> bool:
    """Runs the suite ``speed``; False where it cannot be asked."""
    spec = spec_of(suite.options.candidate)
    if spec.is_replay:
        print("speed: cannot be run: it is asked of learned environments only", flush=True)
        return False
    from worldsim_benchmarks.presets import preset_named

    ours, brief = spec.env == SORA_WORLD, preset_named(suite.options.n).brief
    speed(
        Speed(
            batch=BRIEF_BATCH if brief else Speed.batch,
            rounds=BRIEF_ROUNDS if brief else Speed.rounds,
            denoising_steps=() if not ours else Speed.denoising_steps[:1] if brief else Speed.denoising_steps,
            env=spec.env,
            env_kwargs=json.dumps(spec.kwargs),
            beside=suite.options.beside,
            laid_out=not brief,
            startup=ours,
            starts=BRIEF_STARTS if brief else Speed.starts,
            out=suite.folder,
        )
    )
    return True


def spec_of(given: Environment) -> CandidateSpec:
    """The environment that the command line names; a package that registers it is imported."""
    return candidate(given.env, given.env_kwargs, given.lanes, given.world_keyword)


def show(path: Path) -> None:
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
