"""Floors: what a candidate must beat before its number means anything.

Each gives the observations uint8 ``(T, H, W, 3)`` after the context, from the true rollout (or those of
other seeds under the same actions). ``action_shuffled`` is the candidate itself under another script's
actions, so it stands in the suites. They are also the floors that the naive metrics of this field rank
above the true game.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from worldsim_benchmarks.truth import Rollout

FLOORS = ("frozen", "grey", "other", "action_shuffled")
"""Floors of the free-running comparison."""


def frozen(rollout: Rollout) -> np.ndarray:
    """The last frame of the context, for ever."""
    return np.repeat(rollout.frames[rollout.prefix][None], len(rollout.actions), 0)


def grey(rollout: Rollout) -> np.ndarray:
    """The mean grey of the context, constant: what PSNR likes."""
    level = np.uint8(rollout.frames[: rollout.prefix + 1].mean().round())
    return np.full_like(rollout.future, level)


def still(rollout: Rollout) -> dict[str, np.ndarray]:
    """``frozen`` and ``grey`` as blocks uint8 ``(T, k, H, W, 3)``, for suites that judge all video frames."""
    k = rollout.blocks.shape[1]
    return {name: np.repeat(make(rollout)[:, None], k, 1) for name, make in (("frozen", frozen), ("grey", grey))}


def others(rollouts: Sequence[Rollout], index: int, count: int) -> list[Rollout]:
    """``count`` true rollouts of other seeds under the same actions: right look, right motion, wrong
    world."""
    n = len(rollouts)
    return [rollouts[(index + 1 + j) % n] for j in range(min(count, n - 1))]
