"""``worldsim bench run``: suites of one environment, one after the other or side by side in processes of their own.

What can be asked is found out first, suite by suite; then the episodes (the parts, of fidelity) that are missing are
run, each saved when it is whole, and the suite is sealed when all are there. With ``jobs`` the same is done in pieces,
each by whichever process is free: an episode's rows depend on no other, so they come out alike. The suite ``speed``
takes the time, hence comes last and alone. A suite that fails is named at the end, and the others are there. How one
suite of a run gets from what can be asked to its table is in ``bench_suites.py``.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path

import tyro

from worldsim.cli.bench_jobs import Here, Piece, Workers, cores
from worldsim.cli.bench_options import CONTROL_SUITE, FIDELITY, ROOMS, SPEED, Amount, Environment, spec_of, variants
from worldsim.cli.bench_speed import Speed, speed
from worldsim.cli.bench_suites import Chosen, Progress, look
from worldsim.cli.main import show_traceback
from worldsim.registration import SORA_WORLD

LONGEST_FIRST = (
    FIDELITY, CONTROL_SUITE, "consistency", "memory", "text", "surprise", "permanence", "interaction",
)  # fmt: skip
"""Suites in the order in which processes begin them side by side: those of the longest pieces first, so that all end at
about the same time."""
BRIEF_BATCH, BRIEF_ROUNDS, BRIEF_STARTS = (1, 16), 1, 1
"""In a brief run ``speed`` takes the time of these batches alone, those with a number to reach, in fewer rounds and
starts, and of the U-Net as it is published: a step of 64 lanes of it takes half a minute."""


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
    progress = {c.name: Progress(c, jobs, 1 + LONGEST_FIRST.index(c.name)) for c in asked}
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
