"""Violation of expectation: does what cannot be surprise more than what can?

Asked of candidates that offer ``surprise(frames, actions, prompt, seed, n_noise)``, the loss with which each block of a
film is foreseen. Every episode is one quad of true worlds (``probes/quads.py``): two possible and two impossible films
that share their pasts and endings, judged under the same noise. Its score is the share of the four pairs told right
minus the share told wrong, so chance is 0; whoever judges by the ending or the last picture alone is at 0 *by
construction*, which is the control for complexity. Where films are crossed in plain view the last picture tells a
little; quads on which it (``copy_last``) is more often right than wrong, or less, are passed over. The ideal observer
(``true``) shows that each quad can be told.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from worldsim_benchmarks.guard import Guarded
from worldsim_benchmarks.observers import JUDGES, answered, copy_last
from worldsim_benchmarks.pictures import Clip
from worldsim_benchmarks.probes.commands import COMMANDS
from worldsim_benchmarks.probes.quads import CROSSED, Film, Quad, Question, Told, told
from worldsim_benchmarks.probes.vanishing import VANISHING
from worldsim_benchmarks.records import Row
from worldsim_benchmarks.suites.scoring import score_tasks
from worldsim_benchmarks.suites.session import Session
from worldsim_benchmarks.suites.suite import Result, SuiteScore
from worldsim_benchmarks.suites.twins import first_found
from worldsim_benchmarks.tasks import Episode, Outcome, Task
from worldsim_benchmarks.truth import Reference

QUESTIONS = (*COMMANDS, *VANISHING)
DRAWS = 2
"""Draws of noise that a loss is the mean of, but in a brief run, where it is one; the same for all films of a quad."""
UNTRAINED = "untrained"
BESIDE = ("true", "copy_last")
"""Judges that every episode is scored for beside the candidates."""
MUTANTS = {"amnesiac": ("vanish_away",), "mirror_minded": ("mirrored_turn",), "coarse_minded": ("wrong_gain",)}
"""Faulty observer -> the tasks that are meant to catch it."""


@dataclass(frozen=True)
class Judged(Outcome):
    """An outcome whose score is that of a quad, from -1 (all pairs told wrong) to 1; nothing is gated."""

    pairs: float = 0.0

    @property
    def score(self) -> float:
        return 0.0 if self.failed else self.pairs


@dataclass(frozen=True)
class Surprise:
    """The suite of surprise; ``questions`` are those that it asks."""

    questions: tuple[Question, ...] = QUESTIONS
    name: str = "surprise"
    mutants: Mapping[str, tuple[str, ...]] = field(default_factory=lambda: dict(MUTANTS))

    @property
    def tasks(self) -> tuple[Task, ...]:
        return tuple(Task(q.name, q.criterion, q.worlds, q.actions, ("labels",), ("surprise",)) for q in self.questions)

    def episodes(self, session: Session) -> list[Episode]:
        """Those of the questions that the session's world can be asked. One sample: the noise is drawn inside."""
        able = [q for q in self.questions if session.world in q.worlds]
        return [Episode(q.name, seed) for q in able for seed in session.map_seeds]

    def run(self, session: Session, missing: Sequence[Episode]) -> Iterator[Result]:
        guards = {n: session.guarded(n, 1) for n, spec in session.candidates.items() if spec.env not in JUDGES}
        try:
            with session.reference(depth=False, labels=True) as stage:
                for index, question in enumerate(self.questions):
                    for episode in (e for e in missing if e.task == question.name):
                        quad = found(question, stage, episode.map_seed)
                        seed = session.seed_of(11, index, episode.map_seed)
                        yield self._result(session, episode, quad, guards, seed)
        finally:
            for guard in guards.values():
                guard.close()

    def _result(
        self, session: Session, episode: Episode, quad: Quad, guards: Mapping[str, Guarded], seed: int
    ) -> Result:
        films = [quad.film(*parts) for parts in CROSSED]
        outcomes = {}
        for name in (*session.candidates, *BESIDE):
            if name == UNTRAINED and not session.controlled(episode.map_seed):  # its pairs cancel everywhere
                continue
            if name in guards:
                draws = 1 if session.preset.brief else DRAWS
                outcomes[name] = _asked(name, quad, films, guards[name], seed, draws)
            elif name not in outcomes:
                judge = JUDGES[name if name in BESIDE else session.candidates[name].env]
                outcomes[name] = _judged(name, quad, answered(quad, judge))
        return Result(episode, tuple(outcomes.values()), _clip(episode, quad, films))

    def score(self, rows: Sequence[Row]) -> SuiteScore:
        return SuiteScore(score_tasks(rows))


def found(question: Question, stage: Reference, map_seed: int) -> Quad:
    """The quad of the first map of the episode's own block of maps that has one on which the last picture is right as
    often as wrong; ``RuntimeError`` where none has."""

    def fair(seed: int) -> Quad | None:
        quad = question.find(stage, seed)
        return quad if quad is not None and answered(quad, copy_last).score == 0 else None

    return first_found(fair, map_seed, stage.world, question.name)


def _asked(name: str, quad: Quad, films: Sequence[Film], guard: Guarded, seed: int, draws: int) -> Judged:
    frames, names = [film.frames for film in films], [film.names for film in films]
    losses, why = guard.surprises(frames, names, seed, draws, quad.shows)
    return Judged(name, True, True, False, {}, why) if why else _judged(name, quad, told(quad, list(losses)))


def _judged(name: str, quad: Quad, answer: Told) -> Judged:
    possible, impossible = answer.losses[0] + answer.losses[3], answer.losses[1] + answer.losses[2]
    measures = {
        "map": quad.map_seed, "losses": answer.losses, "by_past": answer.by_past, "by_ending": answer.by_ending,
        "ratio": impossible / possible if possible > 0 else np.inf,
    }  # fmt: skip
    every = answer.score == 1.0
    return Judged(name, True, True, every, measures, "", answer.score)


def _clip(episode: Episode, quad: Quad, films: Sequence[Film]) -> Clip:
    """A possible film above the impossible one of the same past."""
    possible, impossible = (np.stack([film.block(step)[-1] for step in range(len(film.names))]) for film in films[:2])
    return Clip(f"{episode.task}, map {quad.map_seed}", True, possible, impossible, np.full(len(possible), np.nan))
