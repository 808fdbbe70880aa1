"""From what a candidate made of a plan to the outcome of its episode: two gates, the criterion, numbers for reading."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from worldsim_benchmarks.continuity import continues
from worldsim_benchmarks.motion import Turning, growth, turned_by
from worldsim_benchmarks.probes.detect import differs, grown, registered
from worldsim_benchmarks.probes.plan import Check, Plan
from worldsim_benchmarks.tasks import Outcome
from worldsim_benchmarks.truth import Rollout

TURNED = 0.5
"""Share of the true turn, and of the true growth of one who walks, that must be seen in the picture."""


@dataclass(frozen=True)
class Made:
    """What one candidate made of a plan: blocks uint8 ``(L, k, H, W, 3)`` of the deed and of its twin. ``failed`` is
    the reason where it made nothing."""

    acted: np.ndarray
    twin: np.ndarray
    failed: str = ""

    @classmethod
    def of(cls, acted: Rollout, twin: Rollout) -> Made:
        """What two true rollouts show after the context."""
        return cls(acted.blocks[acted.prefix :], twin.blocks[twin.prefix :])


@dataclass(frozen=True)
class Motions:
    """How far a plan's camera is seen to turn and to walk, in the truth (read once, for all candidates) and in a
    candidate's blocks."""

    plan: Plan
    bottom: int

    @cached_property
    def _turning(self) -> Turning:
        assert self.plan.turn is not None
        start, stop = (self.plan.prefix + step for step in self.plan.turn)
        truth = self.plan.acted
        return Turning(
            truth.frame(start), truth.blocks[start:stop], turned_by(truth.yaw[start : stop + 1]), self._K, self.bottom
        )

    @cached_property
    def _growth(self) -> float:
        assert self.plan.walk is not None
        start, stop = (self.plan.prefix + step for step in self.plan.walk)
        return growth([self.plan.acted.frame(step) for step in range(start, stop + 1)], self._K, self.bottom)

    @property
    def _K(self) -> np.ndarray:
        return np.asarray(self.plan.acted.truths[0]["camera"]["K"])

    def turned(self, blocks: np.ndarray) -> float:
        """Yaw that is seen over yaw that is true, in the steps of ``plan.turn`` (``motion.Turning``)."""
        assert self.plan.turn is not None
        start, stop = self.plan.turn
        before = blocks[start - 1, -1] if start else self.plan.acted.frame(self.plan.prefix)
        return self._turning.of(before, blocks[start:stop]).share

    def walked(self, blocks: np.ndarray) -> float:
        """How much the picture grows (log of the scale) over how much the true one does, in the steps of ``plan.walk``;
        an estimate that fails counts as none."""
        assert self.plan.walk is not None
        start, stop = self.plan.walk
        seen = growth([blocks[step - 1, -1] for step in range(start, stop + 1)], self._K, self.bottom)
        return seen / self._growth if self._growth else float("nan")


def judged(
    name: str, plan: Plan, made: Made, rivals: Sequence[np.ndarray], bottom: int, motions: Motions | None = None
) -> Outcome:
    """The outcome of candidate ``name``; ``rivals`` are first blocks of other maps, for the gate of continuity.
    ``motions`` of the same plan are used again where they are given."""
    if made.failed:
        return Outcome(name, False, False, False, failed=made.failed)
    motions = motions or Motions(plan, bottom)
    measures: dict[str, object] = {"map": plan.acted.map_seed}
    moved = all(_holds(plan, check, made, True) for check in plan.gates)
    if plan.turn is not None:
        measures["turned"] = turned = motions.turned(made.acted)
        moved = moved and turned >= TURNED
    if plan.walk is not None:
        measures["walked"] = walked = motions.walked(made.acted)
        moved = moved and walked >= TURNED
    if plan.read is not None:
        measures |= plan.read(made.acted[-1, -1])
    done = [_share(plan, check, made, True) for check in plan.checks]
    correct = all(_holds(plan, check, made, True) for check in plan.checks)
    measures["checks"] = done
    measures["curve"] = [[c.step, _share(plan, c, made, True)] for c in plan.curve]
    if plan.beside:
        measures["twin"] = [_share(plan, check, made, False) for check in plan.checks]
        correct = correct and all(_holds(plan, check, made, False) for check in plan.checks)
        measures["collateral"] = _collateral(plan, made)
    if plan.dose is not None:
        recovered = plan.dose.read(made.acted)
        measures |= {"dose": plan.dose.true, "recovered": recovered}
        correct = correct and plan.dose.holds(recovered, True)
        if plan.beside:
            measures["recovered_twin"] = undone = plan.dose.read(made.twin)
            correct = correct and plan.dose.holds(undone, False)
    first = plan.acted.blocks[plan.prefix]
    return Outcome(name, moved, continues(made.acted[0], first, rivals, bottom), correct, measures)


def _frame(plan: Plan, check: Check, made: Made, did: bool) -> np.ndarray:
    frame = (made.acted if did else made.twin)[check.step - 1, -1]
    if plan.turn is None:
        return np.asarray(frame)
    return registered(frame, check.done, ~grown(check.mask, 3))


def _share(plan: Plan, check: Check, made: Made, did: bool) -> float:
    return check.share(_frame(plan, check, made, did))


def _holds(plan: Plan, check: Check, made: Made, did: bool) -> bool:
    return check.holds(_frame(plan, check, made, did), did)


def _collateral(plan: Plan, made: Made) -> float:
    """Share of the pixels outside of the true difference that the deed has changed at the end, against the candidate's
    own twin; NaN where the deed changes everything."""
    last = plan.length - 1
    truth = differs(plan.acted.frame(plan.prefix + plan.length), plan.twin.frame(plan.prefix + plan.length))
    outside = ~grown(truth, 3)
    if outside.mean() < 0.1:
        return float("nan")
    return float(differs(made.acted[last, -1], made.twin[last, -1])[outside].mean())
