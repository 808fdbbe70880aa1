"""Random facts over the whole lexicon, for tests that hold for every caption."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest

from worldsim.captions import lexicon as lex
from worldsim.captions.facts import EVENT_KINDS, EventFact, SceneFacts, Surface, Thing, ViewFacts
from worldsim.worlds import WORLDS

Facts = tuple[SceneFacts, ViewFacts, tuple[EventFact, ...]]


class FactsMaker:
    """Draws facts of every kind, known and unknown ones, few and too many."""

    def __init__(self, seed: int) -> None:
        self.rng = np.random.default_rng(seed)

    def one(self, options: Sequence[Any]) -> Any:
        return options[int(self.rng.integers(len(options)))]

    def maybe(self, options: Sequence[str], chance: float = 0.6) -> str:
        return self.one(options) if self.rng.random() < chance else ""

    def surface(self) -> Surface:
        return Surface(self.maybe([*lex.COLOURS], 0.7), self.maybe([*lex.PATTERNS], 0.7))

    def thing(self) -> Thing:
        return Thing(
            self.one([*lex.SHAPES]),
            self.maybe([*lex.COLOURS]),
            self.one([1, 1, 1, 2, 3, 12, 13, 99]),
            self.maybe([*lex.PLACES]),
            self.one([None, True, False]),
        )

    def some(self, make: Callable[[], Any], most: int) -> tuple[Any, ...]:
        return tuple(make() for _ in range(int(self.rng.integers(most + 1))))

    def facts(self) -> Facts:
        scene = SceneFacts(
            self.one([*WORLDS]),
            self.maybe([*lex.SETTINGS]),
            self.one([0, 1, 2, 7, 30]),
            self.some(self.surface, 4),
            self.some(self.thing, 7),
        )
        view = ViewFacts(
            self.surface(),
            self.surface(),
            self.surface(),
            self.maybe([*lex.LIGHTS]),
            self.some(lambda: self.maybe([*lex.COLOURS], 0.8), 4),
            self.some(self.thing, 5),
        )
        return scene, view, self.some(self.event, 5)

    def event(self) -> EventFact:
        return EventFact(self.one(EVENT_KINDS), self.maybe([*lex.COLOURS]), self.maybe([*lex.SHAPES]))


@pytest.fixture
def maker() -> FactsMaker:
    return FactsMaker(seed=11)
