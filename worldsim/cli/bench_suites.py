"""A suite of ``worldsim bench run``: what can be asked of it, its pieces, and its table once all of them are done.

A piece is looked at, or worked on, in whatever process is free (``bench_jobs.py``); what it saves lies in the suite's
folder, so that nothing is run twice. ``Progress`` keeps what has come of a suite in the process that hands pieces out.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from worldsim.cli.bench_jobs import Ended, Piece, lots
from worldsim.cli.bench_options import CONTROL, CONTROL_SUITE, FIDELITY, session, spec_of, with_untrained
from worldsim.cli.main import show_traceback

if TYPE_CHECKING:
    from worldsim_benchmarks.suites.session import Session

    from worldsim.cli.bench_run import Run


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


def look(suite: Chosen) -> Found:
    """What the environment can be asked of a suite."""
    import worldsim_envs  # noqa: F401  (registers the true worlds, in a process of its own too)
    from worldsim_benchmarks import requirements
    from worldsim_benchmarks.suites import fidelity
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
        return Found((), asked, fidelity.usual(asked) if suite.name == FIDELITY else CONTROL)
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
