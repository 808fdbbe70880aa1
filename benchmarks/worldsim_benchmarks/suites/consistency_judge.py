"""When is a rollout consistent? The two gates and the criterion of each task, from frames and the truth beside them.

All thresholds are absolute and stand here. *Moved*: at least half of the true rotation (read from the pictures) and of
the true parallax was seen. *Continued*: ``continuity.py``. *Correct*: turning on the spot, the heading never strayed by
more than ``MAX_STRAY`` degrees (less than one commanded step); walking, the parallax ratio lies in ``RATIO`` and the
known-pose error below ``MAX_SAMPSON``; and the last picture shows the place that it must show, better than all other
maps do, at its pose and in its colours. On a way through rooms parallax is asked far off too: who stays behind the door
has not moved.

A pair of frames on which the yaw estimator fails in the true world (a plain wall fills the picture) is not asked of
anyone; on all others a failed estimate counts as no motion (``motion.Turning``).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from worldsim_benchmarks.continuity import Sequel, unit
from worldsim_benchmarks.geometry import wrapped
from worldsim_benchmarks.measures import frame_statistics
from worldsim_benchmarks.motion import Turning, turned_by
from worldsim_benchmarks.parallax import Question, questions, seen_steps, summed
from worldsim_benchmarks.probes.doom_loops import FARTHEST
from worldsim_benchmarks.revisit import NEAR_DEGREES, Place, own_match
from worldsim_benchmarks.suites.consistency_scripts import Plan
from worldsim_benchmarks.suites.rivals import Rival
from worldsim_benchmarks.tasks import Outcome
from worldsim_benchmarks.truth import Rollout

LEAST_MOTION = 0.5
MAX_STRAY = 10.0
RATIO = (0.5, 1.5)
MAX_SAMPSON = 3.0
MAX_POSE_DEGREES = 10.0
MAX_COLOUR = 12.0
OTHER_SIDE = 45.0
"""Degrees from which on a picture of an orbit shows another side."""
LEAST_DETAIL = 0.5
"""What is invented must have at least this part of the detail (mean gradient) of the plainest true picture of all maps:
a haze is always like itself."""


@dataclass(frozen=True)
class Asked:
    """An episode as it is asked: the plan, the true rollout, and what other maps show under the same actions."""

    plan: Plan
    truth: Rollout
    rivals: tuple[Rival, ...]
    bottom: int

    @property
    def start(self) -> np.ndarray:
        """uint8 ``(H, W, 3)``: the last picture of the context."""
        return self.truth.frames[self.truth.prefix]

    @cached_property
    def turned(self) -> np.ndarray:
        """float ``(T,)``: true degrees of each step after the context."""
        return turned_by(self.truth.yaw[self.truth.prefix :])

    @cached_property
    def turning(self) -> Turning:
        """The true turns after the context."""
        return Turning(
            self.start, self.truth.blocks[self.truth.prefix :], self.turned, self.truth.views[0].K, self.bottom
        )

    @cached_property
    def place(self) -> Place:
        return Place.of(self.truth, len(self.truth.names))

    @cached_property
    def elsewhere(self) -> np.ndarray:
        """uint8 ``(N, H, W, 3)``: true pictures of this episode from other sides."""
        off = np.abs(wrapped(self.truth.yaw - self.truth.yaw[-1]))
        return self.truth.frames[off >= OTHER_SIDE]

    @cached_property
    def seen_steps(self) -> list[Question]:
        """Steps in which the truth does not turn (all, where only parallax is measured) and is seen to move."""
        steps = [t for t, d in enumerate(self.turned) if self.plan.kind == "walk" or abs(d) < 0.1]
        first = self.truth.prefix
        return questions(self.truth.frames[first:], self.truth.views[first:], steps, self.bottom)

    @cached_property
    def far_steps(self) -> np.ndarray:
        """bool ``(T,)``: steps in which one is farther off than ``FARTHEST`` of the greatest distance: in other rooms,
        on a way through rooms."""
        places = np.array([view.c2w[:3, 3] for view in self.truth.views[self.truth.prefix :]])
        away = np.linalg.norm(places - places[0], axis=1)
        return np.asarray(away[:-1] > FARTHEST * away.max())

    @cached_property
    def sequel(self) -> Sequel:
        """The true next block, and those of the other maps."""
        return Sequel(self.truth.blocks[self.truth.prefix], [r.block for r in self.rivals], self.bottom)

    def judge(self, name: str, blocks: np.ndarray, without: int | None = None, failed: str = "") -> Outcome:
        """The outcome of blocks uint8 ``(T, k, H, W, 3)`` against the other maps' rollouts, but for the one at the
        place ``without``."""
        if failed:
            return Outcome(name, False, False, False, failed=failed)
        rivals = [r for i, r in enumerate(self.rivals) if i != without]
        measures: dict[str, Any] = {} if self.plan.walked is None else {"map": self.truth.map_seed}
        passed: list[bool] = []
        moved: list[bool] = []
        if self.plan.kind != "walk":
            self._turns(blocks, measures, moved, passed)
        if self.plan.kind != "turn":
            self._walks(blocks, measures, moved, passed)
        if self.plan.returns:
            self._returns(blocks[-1, -1], np.stack([r.last for r in rivals]), measures, passed)
        if self.plan.remembers:
            self._remembers(blocks, np.stack([r.last for r in rivals]), measures, passed)
        return Outcome(name, all(moved), self.sequel.continued_by(blocks[0], without), all(passed), measures)

    def _turns(self, blocks: np.ndarray, measures: dict[str, Any], moved: list[bool], passed: list[bool]) -> None:
        seen = self.turning.of(self.start, blocks)
        stray = seen.stray
        focal = self.truth.views[0].K[0, 0] * 256 / self.truth.first.shape[1]
        measures |= {
            "rotation": seen.share, "stray": float(np.abs(stray).max()), "closure": float(stray[-1]),
            "transfer_px": float(np.radians(seen.error) * focal), "failed_pairs": int(seen.failed.sum()),
            "asked_pairs": int(seen.asked.sum()),
        }  # fmt: skip
        moved.append(seen.share >= LEAST_MOTION)
        if self.plan.kind == "turn":  # one who walks slides into the turns, and depth would have to be known
            passed.append(bool(np.abs(stray).max() <= MAX_STRAY))

    def _walks(self, blocks: np.ndarray, measures: dict[str, Any], moved: list[bool], passed: list[bool]) -> None:
        frames = np.concatenate([self.start[None], blocks[:, -1]])
        steps = seen_steps(frames, self.seen_steps)
        seen = summed(steps)
        measures |= {
            "parallax": seen.ratio, "sampson_px": seen.sampson, "asked_steps": seen.asked,
            "heading_degrees": seen.heading, "depth_order": seen.order,
        }  # fmt: skip
        moved.append(seen.ratio >= LEAST_MOTION)
        if self.plan.kind == "rooms":
            measures["far_parallax"] = summed([step for step in steps if self.far_steps[step.t]]).ratio
            moved.append(measures["far_parallax"] >= LEAST_MOTION)
        passed.append(RATIO[0] <= seen.ratio <= RATIO[1] and seen.sampson <= MAX_SAMPSON)

    def _returns(self, last: np.ndarray, others: np.ndarray, measures: dict[str, Any], passed: list[bool]) -> None:
        match = self.place.match(last, others, self.bottom)
        measures |= {
            "content": match.content, "match": match.best, "pose_degrees": match.yaw_error,
            "pose_metres": match.distance, "colour": match.colour_error,
        }  # fmt: skip
        if self.plan.alike:
            far = unit(self.elsewhere, self.bottom) @ unit(last[None], self.bottom)[0]
            measures["elsewhere"] = float(far.max())
            passed.append(match.best > measures["elsewhere"])
        passed.append(match.content > 0 and match.yaw_error <= MAX_POSE_DEGREES and match.colour_error <= MAX_COLOUR)

    def _remembers(self, blocks: np.ndarray, others: np.ndarray, measures: dict[str, Any], passed: list[bool]) -> None:
        heading = np.concatenate([[0.0], np.cumsum(self.turned)])
        k = blocks.shape[1]
        at = np.interp((np.arange(len(blocks) * k) + 1) / k, np.arange(len(heading)), heading)
        offset = heading[-1] - at
        earlier = blocks.reshape(-1, *blocks.shape[2:])[np.abs(np.abs(offset) - 360) <= NEAR_DEGREES]
        content = own_match(earlier, blocks[-1, -1], others, self.bottom)
        plainest = min(frame_statistics(f)[0] for f in (self.truth.frames[-1], *others))
        detail = float(frame_statistics(blocks[-1, -1])[0] / max(plainest, 1e-6))
        measures |= {"own_content": content, "detail": detail}
        passed.append(content > 0 and detail >= LEAST_DETAIL)
