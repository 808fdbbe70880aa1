"""From what a candidate made of a plan to the outcome of its episode: two gates, the criterion, numbers for reading."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from worldsim_benchmarks.continuity import Sequel
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


@dataclass
class Looks:
    """The pictures of a candidate that a plan's checks look at. After a turn they are first shifted to where they fit
    the truth, once for checks that ask the same of the same picture."""

    plan: Plan
    made: Made
    _registered: dict[tuple[int, int, bytes, bool], np.ndarray] = field(default_factory=dict)

    def frame(self, check: Check, did: bool) -> np.ndarray:
        """uint8 ``(H, W, 3)``: what is shown at the check's step of the deed, or of its twin."""
        frame = (self.made.acted if did else self.made.twin)[check.step - 1, -1]
        if self.plan.turn is None:
            return np.asarray(frame)
        key = (check.step, id(check.done), check.mask.tobytes(), did)
        if key not in self._registered:
            self._registered[key] = registered(frame, check.done, ~grown(check.mask, 3))
        return self._registered[key]

    def share(self, check: Check, did: bool) -> float:
        """The vote of the check's pixels."""
        return check.share(self.frame(check, did))

    def holds(self, check: Check, did: bool) -> bool:
        """Whether the picture is as the check wants it."""
        return check.holds(self.frame(check, did), did)


def judged(
    name: str,
    plan: Plan,
    made: Made,
    rivals: Sequence[np.ndarray],
    bottom: int,
    motions: Motions | None = None,
    sequel: Sequel | None = None,
    without: int | None = None,
) -> Outcome:
    """The outcome of candidate ``name``; ``rivals`` are first blocks of other maps, for the gate of continuity, but for
    the one at the place ``without``. ``motions`` and ``sequel`` of the same plan and rivals are used again where they
    are given."""
    if made.failed:
        return Outcome(name, False, False, False, failed=made.failed)
    motions = motions or Motions(plan, bottom)
    sequel = sequel or Sequel(plan.acted.blocks[plan.prefix], rivals, bottom)
    looks = Looks(plan, made)
    measures: dict[str, object] = {"map": plan.acted.map_seed}
    moved = all(looks.holds(check, True) for check in plan.gates)
    if plan.turn is not None:
        measures["turned"] = turned = motions.turned(made.acted)
        moved = moved and turned >= TURNED
    if plan.walk is not None:
        measures["walked"] = walked = motions.walked(made.acted)
        moved = moved and walked >= TURNED
    if plan.read is not None:
        measures |= plan.read(made.acted)
    done = [looks.share(check, True) for check in plan.checks]
    correct = all(looks.holds(check, True) for check in plan.checks)
    measures["checks"] = done
    measures["curve"] = [[c.step, looks.share(c, True)] for c in plan.curve]
    if plan.beside:
        measures["twin"] = [looks.share(check, False) for check in plan.checks]
        correct = correct and all(looks.holds(check, False) for check in plan.checks)
        measures["collateral"] = _collateral(plan, made)
    if plan.dose is not None:
        recovered = plan.dose.read(made.acted)
        measures |= {"dose": plan.dose.true, "recovered": recovered}
        correct = correct and plan.dose.holds(recovered, True)
        if plan.beside:
            measures["recovered_twin"] = undone = plan.dose.read(made.twin)
            correct = correct and plan.dose.holds(undone, False)
    return Outcome(name, moved, sequel.continued_by(made.acted[0], without), correct, measures)


def _collateral(plan: Plan, made: Made) -> float:
    """Share of the pixels outside of the true difference that the deed has changed at the end, against the candidate's
    own twin; NaN where the deed changes everything."""
    last = plan.length - 1
    truth = differs(plan.acted.frame(plan.prefix + plan.length), plan.twin.frame(plan.prefix + plan.length))
    outside = ~grown(truth, 3)
    if outside.mean() < 0.1:
        return float("nan")
    return float(differs(made.acted[last, -1], made.twin[last, -1])[outside].mean())
