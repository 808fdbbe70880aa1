"""Is a thing there again: present, itself, once? The checks of a look at things that were out of sight.

Each is a vote of the thing's own pixels (by the world's object ids): between the true picture and the same with the
thing filled in from around it, between its colour and the same with the hue turned, and between a picture without and
with a second copy at a place that never held it. The last is the false alarm, which is taken off within the episode: a
hit with a false alarm is no hit.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from worldsim_benchmarks.probes.detect import differs, grown, recoloured, saturation, shifted, without
from worldsim_benchmarks.probes.plan import LEAST, Check
from worldsim_benchmarks.truth import Rollout

Copy = Callable[[np.ndarray], np.ndarray]
"""Moves a picture ``(H, W, ...)`` so that the thing comes to lie at a place that never held it."""
SEEN = 24
"""Pixels (at 64 rows) of a thing that is asked about."""
COLOURED = 0.25
"""Mean saturation from which on a thing has a colour that can be told from others."""
HUES = (120, 240)
"""Other colours that a thing is told from: its own, turned by these degrees of hue."""


def pixels(take: Rollout, step: int, number: int) -> np.ndarray:
    """bool ``(H, W)``: where a thing is seen after ``step`` steps."""
    return np.asarray(take.labels(step) == number)


def whole_in_view(labels: np.ndarray, number: int) -> bool:
    """Whether a thing is seen large enough and away from the border."""
    mask = labels == number
    rows, columns = np.nonzero(mask)
    height, width = mask.shape
    return (
        int(mask.sum()) >= SEEN
        and min(rows.min(), columns.min()) > 2
        and rows.max() < height - 3
        and columns.max() < width - 3
    )


def mirrored(picture: np.ndarray) -> np.ndarray:
    """Left and right changed over: what a turn there and back, or a panorama, would double."""
    return picture[:, ::-1]


def moved_by(dx: int, dy: int) -> Copy:
    """The picture moved by whole pixels to the right and down."""
    return lambda picture: shifted(picture, dx, dy)


def seen_again(
    take: Rollout,
    step: int,
    numbers: Sequence[int],
    copies: Sequence[Copy] = (mirrored,),
    within: np.ndarray | None = None,
) -> tuple[Check, ...]:
    """Each of the things is there ``step`` steps after the context (its pixels are nearer to it than to the place
    without it), has its colour, and is not also at the first free one of its ``copies``' places, which lie ``within``
    a bool ``(H, W)`` where one is given. Empty where one cannot be told from its background."""
    at = take.prefix + step
    truth, labels = take.frame(at), take.labels(at)
    checks = []
    for number in numbers:
        mask = labels == number
        empty = without(truth, mask)
        there = mask & differs(truth, empty)
        if there.sum() < LEAST:
            return ()
        checks.append(Check(step, there, truth, empty))
        if saturation(truth, mask) >= COLOURED:
            checks += [Check(step, mask, truth, recoloured(truth, mask, h)) for h in HUES]
        double = next((d for d in (_doubled(truth, labels, number, c, within) for c in copies) if d is not None), None)
        if double is not None:
            copied = differs(double, truth)
            checks.append(replace(Check(step, copied, double, truth), shown=False))
    return tuple(checks)


def _doubled(
    truth: np.ndarray, labels: np.ndarray, number: int, copy: Copy, within: np.ndarray | None
) -> np.ndarray | None:
    """The true picture with the thing a second time at another place; None where something is in the way."""
    mask = labels == number
    there = copy(mask)
    if (grown(mask) & there).any() or (labels[there] > 0).any() or there.sum() < mask.sum():
        return None
    if within is not None and not within[there].all():
        return None
    picture = truth.copy()
    picture[there] = copy(truth)[there]
    return picture if differs(picture, truth).sum() >= LEAST else None
