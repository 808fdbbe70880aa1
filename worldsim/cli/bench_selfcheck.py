"""``worldsim bench selfcheck``: does a suite rank the true world above its mutants, and flag each of them?

The episodes of a suite with a headline are shared out to processes, as those of ``worldsim bench run`` are;
``fidelity``, whose parts share their rollouts, is checked in this process alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from worldsim.cli.bench_jobs import Here, Piece, Workers, cores, lots
from worldsim.cli.bench_options import FIDELITY, ROOMS, Amount

if TYPE_CHECKING:
    from worldsim_benchmarks.suites.session import Session
    from worldsim_benchmarks.suites.suite import Suite
    from worldsim_benchmarks.tasks import Episode


@dataclass(frozen=True)
class Selfcheck:
    """Runs the true world and its mutants as candidates and proves that they are ranked and flagged.

    A run of a suite with a headline that was interrupted goes on.
    """

    out: Path
    suite: str = FIDELITY
    n: Amount = "quick"
    world: str = ROOMS
    seed: int = 0
    samples: int | None = None
    """Rollouts of each script on a map (default: by --n). No network is asked, so that one says what two do wherever a
    true world repeats itself."""
    tasks: tuple[str, ...] = ()
    """Only these tasks of a suite with a headline, those that --n quick leaves out among them, and the mutants that one
    of them is meant to catch (default: all)."""
    jobs: int | None = None
    """Processes that share the episodes of a suite with a headline, each with a thread (default: one per core)."""


def selfcheck(options: Selfcheck) -> int:
    """0 where all checks hold, else 1."""
    from worldsim_benchmarks import proof
    from worldsim_benchmarks import selfcheck as fidelity_check
    from worldsim_benchmarks.presets import preset_named
    from worldsim_benchmarks.report import table
    from worldsim_benchmarks.suites.registry import suite_named

    from worldsim.worlds import world_named

    for name, given in (("--samples", options.samples), ("--jobs", options.jobs)):
        if given is not None and given < 1:
            raise ValueError(f"{name} {given}: expected a number of at least 1")
    world, preset = world_named(options.world).env_id, preset_named(options.n)
    if options.samples is not None:
        preset = replace(preset, samples=options.samples)
    if options.suite == FIDELITY:
        if options.jobs is not None:
            raise ValueError(f"--jobs {options.jobs}: {FIDELITY} is checked in one process; leave --jobs out")
        if options.tasks:
            raise ValueError(f"--tasks {', '.join(options.tasks)}: {FIDELITY} has no tasks; leave --tasks out")
        lines, holds = fidelity_check.run(fidelity_check.session_for(world, preset, options.out, options.seed))
    else:
        suite = suite_named(options.suite)
        session = proof.session_for(suite, world, preset, options.out, options.seed, options.tasks)
        lines, holds = proof.prove(
            suite, session, fill=partial(share_out, options.jobs or cores()), tasks=options.tasks
        )
    print(table(lines))
    print("\nall checks hold" if holds else "\nSOME CHECKS FAIL: do not believe this benchmark's numbers")
    return 0 if holds else 1


def share_out(jobs: int, suite: Suite, session: Session, missing: Sequence[Episode]) -> None:
    """Runs these episodes in processes. ``ChildProcessError`` where some could not be run; the others are there."""
    from worldsim_benchmarks import runner

    with Here(raises=True) if jobs == 1 else Workers(jobs, raises=True) as team:
        for lot in runner.shared_out(suite, missing, lots(jobs)):
            team.add(Piece(suite.name, fill, (suite.name, session, lot)))
        failed = [ended.failed for ended in team.ended() if ended.failed]
    if failed:
        why = "; ".join(dict.fromkeys(failed))
        raise ChildProcessError(f"{suite.name}: {why}; run the same command again, it goes on")


def fill(name: str, session: Session, lot: Sequence[Episode]) -> None:
    """Runs these episodes of a suite, in whatever process."""
    import worldsim_envs  # noqa: F401  (registers the true worlds)
    from worldsim_benchmarks import runner
    from worldsim_benchmarks.suites.registry import suite_named

    runner.fill(suite_named(name), session, lot)
