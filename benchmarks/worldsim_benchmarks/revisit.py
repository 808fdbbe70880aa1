"""Is a place the same when it is seen again? Content and pose apart, since a small error of pose looks like forgetting.

True frames with a yaw error of two degrees score 26 dB against each other, a blurred truth 27: pixel measures on a
revisit measure the pose. So the frame is matched with all true frames of its own episode that were taken near the true
pose. *Content* is the best match over this grid, minus the best that ``other`` maps reach under the same actions;
*pose error* is the offset of the best. Between the ends of two steps the camera moves evenly, so the frames between
have the interpolated pose.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from worldsim_benchmarks.continuity import unit
from worldsim_benchmarks.geometry import wrapped
from worldsim_benchmarks.truth import Rollout

NEAR_DEGREES = 21.0
NEAR_METRES = 1.0


@dataclass(frozen=True)
class Match:
    """``content``: best correlation over the grid minus the best of ``other``; ``best``: the former alone;
    ``yaw_error`` (degrees) and ``distance`` (metres) of the best; ``colour_error``: the largest difference of a
    channel's mean from the best's, in grey levels."""

    content: float
    best: float
    yaw_error: float
    distance: float
    colour_error: float


@dataclass(frozen=True)
class Place:
    """True frames ``(N, H, W, 3)`` near a pose, with their offsets from it in degrees and metres."""

    frames: np.ndarray
    yaw: np.ndarray
    distance: np.ndarray

    @classmethod
    def of(cls, rollout: Rollout, step: int) -> Place:
        """The grid round the pose at the end of ``step`` steps of a true rollout, from its first frame to that."""
        k = rollout.blocks.shape[1]
        at = np.arange(step * k + 1) / k
        yaw = np.interp(at, np.arange(step + 1), np.unwrap(rollout.yaw[: step + 1], period=360))
        positions = np.array([v.c2w[:3, 3] for v in rollout.views[: step + 1]])
        xyz = np.stack([np.interp(at, np.arange(step + 1), p) for p in positions.T], -1)
        turned = wrapped(yaw - yaw[-1])
        distance = np.linalg.norm(xyz - xyz[-1], axis=1)
        near = np.flatnonzero((np.abs(turned) <= NEAR_DEGREES) & (distance <= NEAR_METRES))
        video = np.concatenate([rollout.first[None], rollout.video(0, step)]) if step else rollout.first[None]
        return cls(video[near], turned[near], distance[near])

    def match(self, frame: np.ndarray, others: np.ndarray, bottom: int = 0) -> Match:
        """How a frame uint8 ``(H, W, 3)`` fits this place, against ``others`` ``(M, H, W, 3)`` of other maps."""
        grid = unit(self.frames, bottom)
        scores = grid @ unit(frame[None], bottom)[0]
        i = int(scores.argmax())
        rival = float((unit(others, bottom) @ grid.T).max())
        colour = np.abs(frame.mean((0, 1)) - self.frames[i].mean((0, 1))).max()
        return Match(
            float(scores[i]) - rival, float(scores[i]), abs(float(self.yaw[i])), float(self.distance[i]), float(colour)
        )


def own_match(earlier: np.ndarray, later: np.ndarray, others: np.ndarray, bottom: int = 0) -> float:
    """A candidate's later frame against its own frames near the same pose, uint8 ``(N, H, W, 3)``, minus the best that
    the ``others`` ``(M, H, W, 3)`` reach against them."""
    grid = unit(earlier, bottom)
    return float((grid @ unit(later[None], bottom)[0]).max() - (unit(others, bottom) @ grid.T).max())
