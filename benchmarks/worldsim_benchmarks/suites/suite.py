"""What a probe suite is: tasks with an absolute criterion each, episodes that can be run one by one, and a headline.

A suite turns a session (one true world, some candidates) into rows: one row per episode and candidate, floors and
ceilings among them, which say whether the two gates were passed and whether the task's criterion was met. The
headline is the mean over tasks of gate x correct; a score that is normalised by its floors would make floors 0 and
truth 1 by definition and prove nothing. ``run`` needs worlds and candidates, ``score`` only the rows. An episode whose
rows are saved is never run again, so ``run`` is told which are missing and hands each over as soon as it is whole.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from worldsim_benchmarks.pictures import Clip
from worldsim_benchmarks.records import Row
from worldsim_benchmarks.statistics import Interval
from worldsim_benchmarks.suites.session import Session
from worldsim_benchmarks.tasks import Episode, Outcome, Task

MODEL = "model"
"""Name of the environment that is measured among the candidates of a session."""
FLOORS = ("frozen", "grey", "other", "copy_last", "untrained")
CEILINGS = ("true", "codec")
"""What every episode is scored for beside the candidates."""


@dataclass(frozen=True)
class Result:
    """A whole episode: the outcomes of all candidates, floors and ceilings, and a clip of the first candidate beside
    the truth for the report (None where there is nothing to show)."""

    episode: Episode
    outcomes: tuple[Outcome, ...]
    clip: Clip | None = None


@dataclass(frozen=True)
class TaskScore:
    """``score``: mean of gate x correct, with its interval over maps; ``moved`` and ``continued``: gate rates;
    ``given``: mean of correct where both gates were passed; ``failed``: episodes in which nothing was produced."""

    score: Interval
    moved: Interval
    continued: Interval
    given: Interval
    failed: int


@dataclass(frozen=True)
class CandidateScore:
    """``headline``: the mean over tasks (each with the same weight), with its interval over maps."""

    headline: Interval
    tasks: Mapping[str, TaskScore]


@dataclass(frozen=True)
class Curve:
    """For the report: ``lines`` maps candidate names to points ``(x, value, low, high)``."""

    title: str
    x: str
    y: str
    lines: Mapping[str, Sequence[tuple[float, float, float, float]]]


@dataclass(frozen=True)
class Response:
    """The line of recovered on true strength of one candidate on one task, with intervals over maps: 1 and 1 for the
    truth, a slope of 0 for what does not react."""

    task: str
    candidate: str
    slope: Interval
    r_squared: Interval


@dataclass(frozen=True)
class Rate:
    """For the table: a share or a mean with its interval, the number to reach in words ("" if none), whether it is."""

    what: str
    value: Interval
    bar: str = ""
    ok: bool | None = None


@dataclass(frozen=True)
class SuiteScore:
    """All candidates of a run, floors and ceilings among them, the curves to draw, the lines of swept strengths, and
    what is printed beside."""

    candidates: Mapping[str, CandidateScore]
    curves: tuple[Curve, ...] = ()
    responses: tuple[Response, ...] = ()
    rates: tuple[Rate, ...] = ()


class Suite(Protocol):
    """A suite with a headline; ``suites.registry`` lists them."""

    @property
    def name(self) -> str: ...

    @property
    def tasks(self) -> tuple[Task, ...]: ...

    @property
    def mutants(self) -> Mapping[str, tuple[str, ...]]:
        """Mutant -> the tasks that are meant to catch it, of which the first that the world can be asked must."""
        ...

    def episodes(self, session: Session) -> list[Episode]:
        """All episodes of a session: those tasks that its world can be asked, its map seeds, its samples."""
        ...

    def run(self, session: Session, missing: Sequence[Episode]) -> Iterator[Result]:
        """Runs the episodes ``missing`` and yields each as soon as it is whole.

        Batches may hold several episodes. The rows of an episode depend on the session and the episode alone, never
        on which others are run.
        """
        ...

    def score(self, rows: Sequence[Row]) -> SuiteScore:
        """The headline from rows alone (``scoring.score_tasks``) and the suite's curves."""
        ...
