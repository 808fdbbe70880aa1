"""Suite E: is text followed, in what a prompt starts and in what a text makes happen?

Tasks are facts of the start (``text_starts``), the world that a prompt names (``text_worlds``), and events by text
(``text_events``). Each is asked with a text and with another one, from the same start and with the same noise: an
episode is right where the first shows what it says *and* the second does not, so what ignores text scores 0. Beside the
headline stand the shares of starts and rollouts that show what was said, against the numbers to reach, and how well the
reader that judges reads true frames.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from worldsim_benchmarks import offers
from worldsim_benchmarks.guard import Guarded
from worldsim_benchmarks.probes.cues import EVENTS, Event
from worldsim_benchmarks.probes.plan import LABELS
from worldsim_benchmarks.records import Row
from worldsim_benchmarks.statistics import proportion
from worldsim_benchmarks.suites import text_events, text_starts, text_worlds
from worldsim_benchmarks.suites.scoring import score_tasks
from worldsim_benchmarks.suites.session import Session
from worldsim_benchmarks.suites.suite import MODEL, Rate, Result, SuiteScore
from worldsim_benchmarks.suites.text_starts import QUESTIONS, Question
from worldsim_benchmarks.suites.text_worlds import WORLD
from worldsim_benchmarks.suites.twins import AT_ONCE
from worldsim_benchmarks.tasks import Episode, Task

NAMED, UNNAMED, BOUND, CHOSEN, FIRES, SILENT = 0.75, 0.35, 0.70, 0.99, 0.60, 0.15
"""Numbers to reach: named facts found, found though another one was named, exchanged colours, worlds, events after
their text, and after another one or none."""


@dataclass(frozen=True)
class Text:
    """The suite; a class so that tests can ask less of it."""

    questions: tuple[Question, ...] = QUESTIONS
    events: tuple[Event, ...] = EVENTS
    worlds: tuple[str, ...] = tuple(offers.TITLES)
    name: str = "text"

    @property
    def tasks(self) -> tuple[Task, ...]:
        chosen = f"each of two starts is that of the world whose name was given, as {text_worlds.judge()} reads them"
        return (
            *(Task(q.name, q.criterion, q.worlds, (), (), text=offers.PROMPT) for q in self.questions),
            Task(WORLD, chosen, self.worlds, (), (), text=offers.WORLDS),
            *(Task(e.name, e.criterion, (e.world,), e.actions, LABELS, text=offers.EVENT) for e in self.events),
        )

    @property
    def mutants(self) -> Mapping[str, tuple[str, ...]]:
        """None: a true world takes no text. What ignores text is among the floors."""
        return {}

    def episodes(self, session: Session) -> list[Episode]:
        return [
            Episode(task.name, seed, sample)
            for task in self.tasks
            if session.world in task.worlds and not (session.main.is_replay and task.name == WORLD)
            for seed in session.map_seeds
            for sample in range(session.preset.samples)
        ]

    def run(self, session: Session, missing: Sequence[Episode]) -> Iterator[Result]:
        learned = [name for name, spec in session.candidates.items() if not spec.is_replay]
        guards = {name: session.guarded(name, session.at_once(AT_ONCE)) for name in learned}
        free = {name: _told_no_world(session, name) for name in learned}
        try:
            yield from text_starts.run(self.questions, session, guards, missing)
            yield from text_events.run(self.events, session, guards, missing)
            todo = [e for e in missing if e.task == WORLD]
            if todo:
                yield from text_worlds.run(offers.worlds_named(session), session, free, todo)
        finally:
            for guard in (*guards.values(), *free.values()):
                guard.close()

    def score(self, rows: Sequence[Row]) -> SuiteScore:
        return SuiteScore(score_tasks(rows), rates=tuple(self._rates(rows)))

    def _rates(self, rows: Sequence[Row]) -> Iterator[Rate]:
        bound = {q.name for q in self.questions if len(q.slots) == 2}
        for task in self.tasks:
            of = {
                name: [r for r in rows if r["task"] == task.name and r["candidate"] == name]
                for name in (MODEL, "codec", "true")
            }
            yield from _reading(task.name, of["true"])
            for name, part in of.items():
                if part:
                    yield from _shares(task, name, part, task.name in bound)


def _told_no_world(session: Session, name: str) -> Guarded:
    spec = replace(session.candidates[name], world_keyword="")
    return Guarded(lambda: spec.open(session.world, session.frame_size, session.at_once(AT_ONCE)))


def _reading(task: str, rows: Sequence[Row]) -> Iterator[Rate]:
    """How well what the task needs is read on true starts of validation maps."""
    for slot, (hits, total, false, without) in (rows[0]["measures"].get("reader", {}) if rows else {}).items():
        yield Rate(f"{task}: reader of {slot}, true starts right", proportion(hits, total))
        if without:
            yield Rate(f"{task}: reader of {slot}, seen where it is not", proportion(false, without))


def _shares(task: Task, name: str, rows: Sequence[Row], binds: bool) -> Iterator[Rate]:
    """The shares of one candidate, with the numbers to reach where it is the one that is measured; ``binds`` where the
    task exchanges two colours."""

    def share(what: str, keys: Sequence[str], bar: float, above: bool) -> Rate:
        shown = [bool(r["measures"].get(key)) for r in rows for key in keys if above or not r["failed"]]
        value = proportion(sum(shown), len(shown))
        judged = name == MODEL
        holds = value.value >= bar if above else value.value < bar
        return Rate(f"{name}: {task.name}, {what}", value, f"{'>=' if above else '<'} {bar}" if judged else "",
                    holds if judged else None)  # fmt: skip

    if task.text == offers.WORLDS:
        yield share("the named world", ("prompted", "second"), CHOSEN, True)
    elif task.text == offers.EVENT:
        yield share("happens after its text", ("prompted",), FIRES, True)
        yield share("after another text", ("swapped",), SILENT, False)
        yield share("after none", ("empty",), SILENT, False)
    elif binds:
        right = [bool(r["correct"]) and not r["failed"] for r in rows]
        value, judged = proportion(sum(right), len(right)), name == MODEL
        yield Rate(f"{name}: {task.name}, both starts right", value, f">= {BOUND}" if judged else "",
                   value.value >= BOUND if judged else None)  # fmt: skip
    else:
        yield share("named and found", ("prompted",), NAMED, True)
        yield share("another one named, found", ("swapped",), UNNAMED, False)


TEXT = Text()
