"""``worldsim bench selfcheck``: does a suite rank the true world above its mutants, and flag each of them?

The episodes of a suite with a headline are shared out to processes, as those of ``worldsim bench run`` are;
``fidelity``, whose parts share their rollouts, is checked in this process alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from worldsim.cli.bench_jobs import Here, Piece, Workers, cores
from worldsim.cli.bench_options import LOTS, ROOMS, Amount

if TYPE_CHECKING:
    from worldsim_benchmarks.suites.session import Session

FIDELITY = "fidelity"


@dataclass(frozen=True)
class Selfcheck:
    """Runs the true world and its mutants as candidates and proves that they are ranked and flagged; a run that was
    interrupted goes on."""

    out: Path
    suite: str = FIDELITY
    n: Amount = "quick"
    world: str = ROOMS
    seed: int = 0
    samples: int | None = None
    """Rollouts of each script on a map (default: by --n). No network is asked, so that one says what two do wherever a
    true world repeats itself."""
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
        lines, holds = fidelity_check.run(fidelity_check.session_for(world, preset, options.out, options.seed))
    else:
        suite = suite_named(options.suite)
        session = proof.session_for(suite, world, preset, options.out, options.seed)
        share_out(suite.name, session, cores() if options.jobs is None else options.jobs)
        lines, holds = proof.prove(suite, session, say=lambda line: None)  # all episodes are there
    print(table(lines))
    print("\nall checks hold" if holds else "\nSOME CHECKS FAIL: do not believe this benchmark's numbers")
    return 0 if holds else 1


def share_out(name: str, session: Session, jobs: int) -> None:
    """Runs the episodes of a suite that the session's folder lacks. ``RuntimeError`` where some could not be run; the
    others are there."""
    from worldsim_benchmarks import runner
    from worldsim_benchmarks.suites.registry import suite_named

    suite = suite_named(name)
    missing = runner.begin(suite, session)
    lots = runner.shared_out(suite, missing, LOTS * jobs if jobs > 1 else 1)
    with Here(raises=True) if jobs == 1 else Workers(jobs, raises=True) as team:
        for lot in lots:
            team.add(Piece(name, fill, (name, session, lot)))
        failed = [ended.failed for ended in team.ended() if ended.failed]
    if failed:
        raise RuntimeError(f"{name}: {'; '.join(dict.fromkeys(failed))}; run the same command again, it goes on")


def fill(name: str, session: Session, lot: Sequence[Any]) -> None:
    """Runs these episodes, in whatever process."""
    import worldsim_envs  # noqa: F401  (registers the true worlds)
    from worldsim_benchmarks import runner
    from worldsim_benchmarks.suites.registry import suite_named

    runner.fill(suite_named(name), session, lot)
