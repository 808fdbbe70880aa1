"""Fills what a prompt leaves open from a moment that the training data could have shown.

A slot at a time would pair a floor of one map with the walls of another, so the open slots come together, from one
true start (hot-deck imputation: a missing answer is taken from a respondent who gave the same other ones). The start
is drawn among those that agree with what was said, so that open slots follow their distribution given the rest.
What was said is never changed; the open half of a surface or thing is filled where the start has one like it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, TypeVar

import numpy as np

from worldsim.captions.facts import SceneFacts, Surface, Thing, ViewFacts
from worldsim.captions.grammar import scene_caption, view_caption
from worldsim.captions.samples import Moment

FEWEST = 8
"""Fewest starts to draw from: where fewer agree with a statement, it does not narrow the choice."""

Part = TypeVar("Part", SceneFacts, ViewFacts)
Item = TypeVar("Item", Surface, Thing)
Test = Callable[[Moment], bool]


@dataclass(frozen=True)
class Absent:
    """What a prompt rules out ("no doors"), which facts cannot state: kinds of things, and names of view slots
    (``doors``, ``wall``, ``floor``, ``ceiling``)."""

    shapes: frozenset[str] = frozenset()
    slots: frozenset[str] = frozenset()

    def strip(self, moment: Moment) -> Moment:
        """``moment`` without what is ruled out."""
        walls = () if "wall" in self.slots else moment.scene.walls
        scene = replace(moment.scene, walls=walls, things=self._left(moment.scene.things))
        view = replace(moment.view, things=self._left(moment.view.things))
        return Moment(scene, replace(view, **{slot: getattr(ViewFacts(), slot) for slot in self.slots}))

    def _left(self, things: Sequence[Thing]) -> tuple[Thing, ...]:
        return tuple(thing for thing in things if thing.shape not in self.shapes)


def complete(said: Moment, other: Moment) -> Moment:
    """``said`` with its open slots taken from ``other``.

    A list (walls, things, doors) is open where it is empty: who names the things in sight has named them all.
    """
    return Moment(_completed(said.scene, other.scene), _completed(said.view, other.view))


def _completed(said: Part, other: Part) -> Part:
    slots = {field.name: _slot(getattr(said, field.name), getattr(other, field.name)) for field in fields(said)}
    return replace(said, **slots)


def _slot(said: Any, other: Any) -> Any:
    if isinstance(said, Surface):
        return _like(said, [other])
    if isinstance(said, tuple) and said and isinstance(said[0], Surface | Thing):
        return _list(said, other)
    return said or other


def _list(said: tuple[Item, ...], others: Sequence[Item]) -> tuple[Item, ...]:
    """Each of ``said`` completed by another one of ``others``; unchanged where two would become equal."""
    left, completed = list(others), []
    for item in said:
        completed.append(_like(item, left))
        used = next((other for other in left if agrees(item, other)), None)
        if used is not None:
            left.remove(used)
    return tuple(completed) if len(set(map(_kind, completed))) == len(said) else said


def _kind(item: Surface | Thing) -> Surface | Thing:
    """What captions count as one: equal things are merged whatever their counts."""
    return replace(item, count=1) if isinstance(item, Thing) else item


def _like(said: Item, others: Sequence[Item]) -> Item:
    """``said`` with its open fields from the first of ``others`` that agrees with it. A count is never open."""
    other = next((other for other in others if agrees(said, other)), said)
    open_fields = {f.name: getattr(other, f.name) for f in fields(said) if getattr(said, f.name) in ("", None)}
    return replace(said, **open_fields)


def agrees(said: Surface | Thing, other: Surface | Thing) -> bool:
    """Whether ``other`` is what ``said`` states of it: equal wherever ``said`` states something, counts aside."""
    stated = {f.name: getattr(said, f.name) for f in fields(said) if f.name != "count"}
    return all(value in ("", None) or getattr(other, name) == value for name, value in stated.items())


def statements(said: Moment) -> Iterator[Test]:
    """A test of a moment for each thing that ``said`` states, what shapes a picture most first."""
    scene, view = said.scene, said.view
    if scene.setting:
        yield lambda moment: moment.scene.setting == scene.setting
    for slot in ("wall", "floor"):
        yield from _surface_test(view, slot)
    yield from (_any_test("view", "things", thing) for thing in view.things)
    yield from (_any_test("scene", "walls", wall) for wall in scene.walls)
    yield from (_any_test("scene", "things", thing) for thing in scene.things)
    if view.light:
        yield lambda moment: moment.view.light == view.light
    yield from _surface_test(view, "ceiling")
    yield from (_any_test("view", "doors", colour) for colour in dict.fromkeys(view.doors))
    if scene.rooms:
        yield lambda moment: moment.scene.rooms == scene.rooms


def _surface_test(view: ViewFacts, slot: str) -> Iterator[Test]:
    said: Surface = getattr(view, slot)
    if said != Surface():
        yield lambda moment: agrees(said, getattr(moment.view, slot))


def _any_test(part: str, slot: str, said: Surface | Thing | str) -> Test:
    """Whether the list ``slot`` holds something that agrees with ``said`` (a door: of that colour, "" any)."""

    def test(moment: Moment) -> bool:
        items = getattr(getattr(moment, part), slot)
        return any(said in ("", item) if isinstance(said, str) else agrees(said, item) for item in items)

    return test


def draw_like(said: Moment, starts: Sequence[Moment], rng: np.random.Generator) -> Moment:
    """One of ``starts``, which agrees with as many statements of ``said`` as ``FEWEST`` starts do."""
    for test in statements(said):
        agreeing = [start for start in starts if test(start)]
        starts = agreeing if len(agreeing) >= FEWEST else starts
    return starts[int(rng.integers(len(starts)))]


def additions(said: Moment, full: Moment) -> tuple[str, ...]:
    """What ``full`` states beyond ``said``: a short caption for each slot that was filled."""
    of_scene = _changed(replace(said.scene, world=""), replace(full.scene, world=""))
    scenes = [scene_caption(SceneFacts("", **{name: value}), "descriptive") for name, value in of_scene.items()]
    of_view = _changed(said.view, full.view)
    return (*scenes, *(view_caption(ViewFacts(**{name: value}), "descriptive") for name, value in of_view.items()))


def _changed(said: Part, full: Part) -> dict[str, Any]:
    values = {field.name: getattr(full, field.name) for field in fields(said)}
    return {name: value for name, value in values.items() if value != getattr(said, name)}
