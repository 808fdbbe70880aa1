"""What a probe suite asks and what an episode leaves: tasks, episodes, outcomes. Plain records, below all suites."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from worldsim_benchmarks.records import Row


@dataclass(frozen=True)
class Task:
    """One question of a suite, and what it needs.

    ``criterion`` says in words when an episode is correct; it is printed in the report. ``worlds`` are Gymnasium ids
    of true worlds that can be asked. ``actions`` (names) must be known to the world and to the candidate; ``truth`` are
    the buffers of the constructor's ``truth=`` that the world must give; ``offers`` are methods of the candidate's
    ``env.unwrapped`` beyond Gymnasium, ``text`` what it must take of text, one of the values in the module ``offers``,
    or "".
    """

    name: str
    criterion: str
    worlds: tuple[str, ...]
    actions: tuple[str, ...]
    truth: tuple[str, ...] = ("depth",)
    offers: tuple[str, ...] = ()
    text: str = ""


@dataclass(frozen=True, order=True)
class Episode:
    """The unit that is saved: one task on one map, one sample of the candidates."""

    task: str
    map_seed: int
    sample: int = 0


@dataclass(frozen=True)
class Outcome:
    """What one candidate (or floor, or ceiling) made of an episode.

    ``moved``: what was commanded was executed; ``continued``: the first generated block continues the context
    (``continuity.py``); ``correct``: the task's criterion. ``failed`` is the reason why the candidate produced nothing
    ("" if it did): such an episode counts 0. ``measures`` are numbers, or lists of numbers, for reading.
    """

    candidate: str
    moved: bool
    continued: bool
    correct: bool
    measures: Mapping[str, Any] = field(default_factory=dict)
    failed: str = ""

    @property
    def score(self) -> float:
        """gate x correct: 0 or 1."""
        return float(self.moved and self.continued and self.correct and not self.failed)

    def row(self, episode: Episode) -> Row:
        return {**asdict(episode), "score": self.score, **asdict(self)}
