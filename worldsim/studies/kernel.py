"""A kernel distance between true pictures and drawn ones, with an interval.

The squared maximum mean discrepancy of features under the cubic kernel of KID (Binkowski et al. 2018), estimated
without bias from pairs of a true picture and the one drawn for the same moment (Gretton et al. 2012, lemma 6): a mean
over pairs of moments in which no picture meets itself or its own partner, 0 on average where both are drawn alike, and
below 0 by chance. It needs hundreds of pictures and not the tens of thousands of a Frechet distance. Moments of one map
are no independent draws, so the interval is the jackknife's over maps. It depends on its features: values of other
features are other numbers, and none of them is KID.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

# N moments, D features


@dataclass(frozen=True)
class Distance:
    """``value`` with its interval of 95 %; NaN where there is only one map."""

    value: float
    low: float
    high: float


def kernel_distance(true: np.ndarray, drawn: np.ndarray, maps: Sequence[int]) -> Distance:
    """The distance between features ``(N, D)`` of true pictures and of those drawn for the same moments, of ``maps``.

    Raises ``ValueError`` for other shapes, or fewer than two moments.
    """
    if true.ndim != 2 or true.shape != drawn.shape or len(true) != len(maps):
        raise ValueError(
            f"features {true.shape} and {drawn.shape} of {len(maps)} moments: expected (N, D) twice, and N maps"
        )
    if len(true) < 2:
        raise ValueError(f"{len(true)} moments: a distance needs two or more")
    x, y = true.astype(np.float64), drawn.astype(np.float64)
    h_NN = _kernel(x, x) + _kernel(y, y) - _kernel(x, y) - _kernel(y, x)
    np.fill_diagonal(h_NN, 0)
    of = np.asarray(maps)
    value = _mean(h_NN)
    kept = [of != one for one in np.unique(of)]
    without = np.array([_mean(h_NN[np.ix_(rest, rest)]) for rest in kept if rest.sum() > 1])
    if len(without) < 2:
        return Distance(value, np.nan, np.nan)
    spread = 1.96 * np.sqrt((len(without) - 1) * without.var())
    return Distance(value, value - spread, value + spread)


def _kernel(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return (a @ b.T / a.shape[1] + 1) ** 3


def _mean(h_NN: np.ndarray) -> float:
    """Of the entries beside the diagonal, which is 0."""
    return float(h_NN.sum() / (len(h_NN) * (len(h_NN) - 1)))
