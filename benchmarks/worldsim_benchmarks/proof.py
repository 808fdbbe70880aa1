"""Does a probe suite rank the true world above everything that is broken? The table that must hold before any number.

The true world and the suite's mutants are run as candidates, with the floors of the same episodes. Truth must score at
least 0.95 and the floors at most 0.05; every mutant's headline must lie below the truth's, and its score on the task
that is named to catch it too (99.9 % interval of the paired difference over maps, Holm over the mutants). The truth
that runs as a candidate must be flagged by no task: the same interval, of what it lacks of 1, must reach 0 (Holm over
tasks). No episode may have failed: a mutant that crashes scores 0 and has proved nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from pathlib import Path

from worldsim_benchmarks import runner
from worldsim_benchmarks.presets import Preset
from worldsim_benchmarks.records import Folder, Row, plain
from worldsim_benchmarks.report import Line, interval
from worldsim_benchmarks.statistics import Interval, cluster_mean, holm
from worldsim_benchmarks.suites.scoring import difference, per_map
from worldsim_benchmarks.suites.session import CandidateSpec, Session
from worldsim_benchmarks.suites.suite import FLOORS, Suite, SuiteScore
from worldsim_benchmarks.tasks import Episode

CONFIDENCE = 0.999
CEILING, FLOOR = 0.95, 0.05


def session_for(
    suite: Suite, world: str, preset: Preset, out: Path, seed: int = 0, tasks: Sequence[str] = ()
) -> Session:
    """The true world as a candidate, and those of the suite's mutants that a task of this world (one of ``tasks``,
    where some are named) is meant to catch. ``ValueError`` for a task that this world cannot be asked."""
    alone = Session(world, {"true": CandidateSpec("true")}, preset, out, seed=seed, named=tuple(tasks))
    able = {episode.task for episode in suite.episodes(alone)}
    strange = sorted(set(tasks) - able)
    if strange:
        raise ValueError(
            f"{world} is not asked {', '.join(strange)} by {suite.name}; it is asked {', '.join(sorted(able))}"
        )
    asked = set(tasks) or able
    mutants = [mutant for mutant, tasks in suite.mutants.items() if asked & set(tasks)]
    return replace(alone, candidates={name: CandidateSpec(name) for name in ("true", *mutants)})


def prove(
    suite: Suite,
    session: Session,
    say: Callable[[str], None] = print,
    fill: Callable[[Suite, Session, Sequence[Episode]], None] = runner.fill,
    tasks: Sequence[str] = (),
) -> tuple[list[Line], bool]:
    """Runs the suite on truth and mutants (it continues a run that was interrupted) by ``fill``, which is given the
    missing episodes (of these ``tasks``, where some are named); the lines to print, and whether all of them hold."""
    fill(suite, session, runner.begin(suite, session, say, tasks or None))
    folder = Folder(session.out)
    runner.seal(folder, suite)
    _, rows = runner.load(folder.path)
    lines = judge(suite, rows)
    return lines, all(line.ok for line in lines)


def judge(suite: Suite, rows: list[Row]) -> list[Line]:
    """The checks, from rows alone."""
    score: SuiteScore = suite.score(rows)
    lines = []
    for name in ("true", *FLOORS):
        if name in score.candidates:
            headline = score.candidates[name].headline
            ok = headline.value >= CEILING if name == "true" else headline.value <= FLOOR
            target = f">= {CEILING}" if name == "true" else f"<= {FLOOR}"
            lines.append(Line(f"{name}: headline", interval(plain(asdict(headline))), target, ok))
    lost = sum(bool(r["failed"]) for r in rows)
    lines.append(Line("episodes in which nothing was produced", str(lost), "0", not lost))
    asked = {r["task"] for r in rows}
    meant = {m: next(t for t in tasks if t in asked) for m, tasks in suite.mutants.items() if asked & set(tasks)}

    def gap(mutant: str, level: float, task: str | None = None) -> Interval:
        return difference(rows, "true", mutant, task, level)

    def lacks(task: str, level: float) -> Interval:
        found = per_map(rows, "true", task)
        return cluster_mean([1 - score for score in found.values()], list(found), level)

    tasks = sorted(asked)
    wrongly = holm(tasks, lacks, CONFIDENCE)
    lines.append(
        Line(f"tasks of {len(tasks)} that flag a true run", str(len(wrongly)), "0 (99.9 %, Holm)", not wrongly)
    )
    whole = holm(list(meant), gap, CONFIDENCE)
    named = holm(list(meant), lambda m, level: gap(m, level, meant[m]), CONFIDENCE)
    for mutant, task in meant.items():
        headline = score.candidates[mutant].headline
        lines.append(
            Line(
                f"{mutant}: headline {headline.value:.2f}, true minus it",
                str(gap(mutant, CONFIDENCE)),
                "low > 0 (99.9 %, Holm)",
                mutant in whole,
            )
        )
        lines.append(
            Line(f"{mutant}: caught by {task}, true minus it", str(gap(mutant, CONFIDENCE, task)),
                 "low > 0 (99.9 %, Holm)", mutant in named)
        )  # fmt: skip
    return lines
