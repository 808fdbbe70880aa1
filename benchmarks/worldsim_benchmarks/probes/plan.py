"""A deed and its twin: what is played, which pixels tell whether the deed shows, and the absolute criterion.

A deed is played twice in the true world: once done, once with the same motion but not done (the *twin*). What differs
visibly between the two at a step is the *true difference mask*; on it a candidate's picture is nearer to the one truth
or to the other. An episode is correct when every ``Check`` holds: in the candidate's own deed the change shows, and in
its own twin it does not. What is blind to actions makes the same picture of both, so it fails one of the two by
construction.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from worldsim_benchmarks.probes.detect import departs, differs, grown, nearer
from worldsim_benchmarks.probes.dose import Dose
from worldsim_benchmarks.truth import Reference, Rollout

SHOWS = 2 / 3
"""Share of the changed pixels from which on a change counts as shown; below ``1 - SHOWS`` it counts as not shown."""
LABELS = ("labels",)
"""The buffers that most plans read: object ids per pixel."""
BLOCK = 400
"""Test maps that one episode may choose from."""
LEAST = 12
"""Pixels (at 64 rows) that a deed must change to be asked at all."""


@dataclass(frozen=True)
class Check:
    """One look: ``step`` (from 1, after the context), the ``mask`` bool ``(H, W)`` of pixels that vote between the
    pictures ``done`` and ``undone``, and whether the deed is to show then. ``departure`` judges only that ``undone`` is
    gone (``detect.departs``)."""

    step: int
    mask: np.ndarray
    done: np.ndarray
    undone: np.ndarray
    shown: bool = True
    departure: bool = False

    def share(self, frame: np.ndarray) -> float:
        """How much of the deed ``frame`` shows, 0 to 1."""
        return (departs if self.departure else nearer)(frame, self.done, self.undone, self.mask)

    def holds(self, frame: np.ndarray, did: bool) -> bool:
        """Whether the picture of a candidate that did the deed (or its twin) shows what it should."""
        share = self.share(frame)
        return share >= SHOWS if self.shown and did else share <= 1 - SHOWS


@dataclass(frozen=True)
class Plan:
    """The deed (``acted``) and its ``twin``, true rollouts of equal length with object ids and the same context.

    ``gates`` are looks right after the deed: it was executed where they hold. All of ``checks`` must hold. ``curve``
    are the looks of the persistence curve. ``turn`` are the steps from and to which (after the context) the camera
    turns, where it does: then the picture must turn too, and is registered before it is judged. ``beside`` is False
    where there is no deed to leave out (things that fall, a look away): then the twin is not asked. ``dose`` is the
    strength of the deed, where that is asked. ``walk`` are steps in which the camera walks forward, where it does: then
    the picture must grow. ``read`` gives further numbers, for reading, of the blocks uint8 ``(L, k, H, W, 3)`` that
    follow the context."""

    acted: Rollout
    twin: Rollout
    gates: tuple[Check, ...]
    checks: tuple[Check, ...]
    curve: tuple[Check, ...] = ()
    turn: tuple[int, int] | None = None
    beside: bool = True
    dose: Dose | None = None
    walk: tuple[int, int] | None = None
    read: Callable[[np.ndarray], Mapping[str, object]] | None = None

    @property
    def prefix(self) -> int:
        """Steps of the context."""
        return self.acted.prefix

    @property
    def length(self) -> int:
        """Steps after the context."""
        return len(self.acted.actions)

    @property
    def seen(self) -> tuple[int, ...]:
        """The steps after the context (from 1) whose blocks are looked at when a candidate is judged."""
        if self.dose is not None:
            return tuple(range(1, self.length + 1))
        moving = [range(max(1, start), stop + 1) for start, stop in (self.turn or (1, 0), self.walk or (1, 0))]
        looked = [check.step for check in (*self.gates, *self.checks, *self.curve)]
        return tuple(sorted({1, *(step for steps in moving for step in steps), *looked, self.length}))


@dataclass(frozen=True)
class Deed:
    """A question to a world: when an episode of it is correct, in words, the actions that it needs, and how it is
    planned on a map. ``thorough`` deeds are left out of quick runs. ``truth`` are the buffers that the plan reads."""

    name: str
    world: str
    criterion: str
    actions: tuple[str, ...]
    planner: Callable[[Reference, int], Plan | None]
    thorough: bool = False
    truth: tuple[str, ...] = LABELS

    def plan(self, stage: Reference, map_seed: int) -> Plan | None:
        """The deed on that map; None where the map has nothing to do it with."""
        return self.planner(stage, map_seed)


def look(acted: Rollout, twin: Rollout, step: int, ignored: Collection[int] = (), only: Collection[int] = ()) -> Check:
    """The check that the deed shows ``step`` steps after the context: all pixels that differ there between the two,
    without objects of the ids ``ignored`` (the hand), or those of the ids ``only``, wherever either shows them."""
    at = acted.prefix + step
    done, undone = acted.frame(at), twin.frame(at)
    mask = differs(done, undone)
    labels = (acted.labels(at), twin.labels(at))
    for number in ignored:
        mask &= ~grown((labels[0] == number) | (labels[1] == number))
    if only:
        mask &= grown(np.isin(labels[0], list(only)) | np.isin(labels[1], list(only)), 1)
    return Check(step, mask, done, undone)


def whole(
    acted: Rollout,
    twin: Rollout,
    done_at: int,
    extra: Sequence[Check] = (),
    ignored: Collection[int] = (),
    only: Collection[int] = (),
    least: int = LEAST,
) -> Plan | None:
    """The usual plan: the deed is done ``done_at`` steps after the context and must show then and at the end; None
    where it changes fewer than ``least`` pixels, or an episode ended early."""
    length = len(acted.actions)
    if min(acted.length, twin.length) < len(acted.names):
        return None
    looks = [look(acted, twin, step, ignored, only) for step in range(done_at, length + 1)]
    if min(int(looks[0].mask.sum()), int(looks[-1].mask.sum())) < least:
        return None
    return Plan(acted, twin, (looks[0],), (looks[-1], *extra), tuple(c for c in looks if c.mask.any()))


def hidden_change(check: Check) -> Check:
    """The same look where the change must *not* show, though the deed was done (a switch that was toggled twice)."""
    return replace(check, shown=False)
