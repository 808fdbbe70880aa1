"""Intervals for episode measures: the unit is the world seed, so everything is resampled by cluster.

Several scripts, samples and steps of one map are not independent; a bootstrap over rows would call noise
significant. All statistics here are ratios of sums over clusters (a mean is sum over count, a slope through
the origin is sum of xy over sum of xx), which makes the resampling one matrix product. Nothing is clipped
before it is averaged: clipping per episode gives a candidate at the floor a positive mean.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache

import numpy as np
from scipy import stats

RESAMPLES = 4000
"""Resamples of an interval, at least."""
IN_TAIL = 20
"""Resamples that lie beyond each end of an interval, at least: an interval of 99.9 % that several mutants share (Holm)
needs hundreds of thousands."""
PART = 20_000


@dataclass(frozen=True)
class Interval:
    """An estimate with its interval. ``n`` rows of ``clusters`` world seeds went in; NaN where there were
    none."""

    value: float
    low: float
    high: float
    n: int
    clusters: int

    def as_dict(self) -> dict[str, float | int]:
        return asdict(self)

    def __neg__(self) -> Interval:
        return Interval(0.0 - self.value, 0.0 - self.high, 0.0 - self.low, self.n, self.clusters)

    def __str__(self) -> str:
        return f"{self.value:.3f} [{self.low:.3f}, {self.high:.3f}]"


def _codes(clusters: Sequence[int] | np.ndarray) -> tuple[np.ndarray, int]:
    names, codes = np.unique(np.asarray(clusters), return_inverse=True)
    return codes, len(names)


def resamples(confidence: float) -> int:
    """How many resamples an interval needs so that ``IN_TAIL`` of them lie beyond each of its ends."""
    return max(RESAMPLES, math.ceil(2 * IN_TAIL / (1 - confidence)))


@lru_cache(maxsize=4)
def _weights(clusters: int, seed: int, count: int) -> np.ndarray:
    """uint8 ``(count, clusters)``: how often each cluster is drawn in each resample."""
    rng = np.random.default_rng(seed)
    drawn = rng.multinomial(clusters, np.full(clusters, 1 / clusters), count)
    return np.minimum(drawn, 255).astype(np.uint8)  # one cluster 256 times over does not happen


def _resampled(per_cluster: np.ndarray, seed: int, count: int) -> np.ndarray:
    """float ``(count, M)``: sums of ``per_cluster`` ``(C, M)`` in each resample, a part at a time."""
    weights = _weights(len(per_cluster), seed, count)
    return np.concatenate([weights[i : i + PART] @ per_cluster for i in range(0, count, PART)])


def cluster_ratio(
    numerator: Sequence[float] | np.ndarray,
    denominator: Sequence[float] | np.ndarray,
    clusters: Sequence[int] | np.ndarray,
    confidence: float = 0.95,
    seed: int = 0,
) -> Interval:
    """Ratio of sums with its percentile bootstrap interval over clusters.

    All three arguments are ``(n,)``; rows where either number is NaN are left out.
    """
    num, den = np.asarray(numerator, float), np.asarray(denominator, float)
    keep = np.isfinite(num) & np.isfinite(den)
    if not keep.any():
        return Interval(np.nan, np.nan, np.nan, 0, 0)
    codes, count = _codes(np.asarray(clusters)[keep])
    num_C = np.bincount(codes, num[keep], count)
    den_C = np.bincount(codes, den[keep], count)
    if not den_C.sum():
        return Interval(np.nan, np.nan, np.nan, int(keep.sum()), count)
    value = float(num_C.sum() / den_C.sum())
    sums = _resampled(np.stack([num_C, den_C], -1), seed, resamples(confidence))
    with np.errstate(divide="ignore", invalid="ignore"):
        samples = sums[:, 0] / sums[:, 1]
    samples = samples[np.isfinite(samples)]
    if not len(samples):
        return Interval(value, np.nan, np.nan, int(keep.sum()), count)
    tail = 50 * (1 - confidence)
    low, high = np.percentile(samples, [tail, 100 - tail])
    return Interval(value, float(low), float(high), int(keep.sum()), count)


def cluster_mean(
    values: Sequence[float] | np.ndarray,
    clusters: Sequence[int] | np.ndarray,
    confidence: float = 0.95,
    seed: int = 0,
) -> Interval:
    """Mean of ``values`` ``(n,)`` with its bootstrap interval over clusters; NaN rows are left out."""
    values = np.asarray(values, float)
    return cluster_ratio(values, np.ones_like(values), clusters, confidence, seed)


def cluster_statistic(
    statistic: Callable[[np.ndarray], float],
    rows: np.ndarray,
    clusters: Sequence[int] | np.ndarray,
    confidence: float = 0.95,
    seed: int = 0,
    resamples: int = 400,
) -> Interval:
    """Any statistic of ``rows`` ``(n, ...)`` (a median, an AUROC) with a bootstrap interval over clusters.

    Resamples in which the statistic is not defined (NaN) are left out of the interval.
    """
    codes, count = _codes(clusters)
    if not len(rows):
        return Interval(np.nan, np.nan, np.nan, 0, 0)
    members = [np.flatnonzero(codes == c) for c in range(count)]
    rng = np.random.default_rng(seed)
    samples = np.array(
        [
            statistic(rows[np.concatenate([members[c] for c in rng.integers(count, size=count)])])
            for _ in range(resamples)
        ]
    )
    value = float(statistic(rows))
    samples = samples[np.isfinite(samples)]
    if not len(samples):
        return Interval(value, np.nan, np.nan, len(rows), count)
    tail = 50 * (1 - confidence)
    low, high = np.percentile(samples, [tail, 100 - tail])
    return Interval(value, float(low), float(high), len(rows), count)


def proportion(hits: int, total: int, confidence: float = 0.95) -> Interval:
    """Share of ``hits`` with its Wilson interval."""
    if not total:
        return Interval(np.nan, np.nan, np.nan, 0, 0)
    bounds = stats.binomtest(int(hits), int(total)).proportion_ci(confidence, method="wilson")
    return Interval(hits / total, float(bounds.low), float(bounds.high), total, total)


def holm(
    names: Sequence[str],
    difference: Callable[[str, float], Interval],
    confidence: float = 0.95,
) -> set[str]:
    """Which of several differences lie above 0, with ``confidence`` for all of them together (Holm 1979).

    ``difference(name, level)`` is asked for the clearest first (value over width, with its sign: what is equal or lies
    clearly below 0 comes last and hides nothing), each at the level that is left to it, until one reaches down to 0.
    """

    def clarity(name: str) -> float:
        found = difference(name, confidence)
        if not np.isfinite(found.value):
            return -np.inf
        width = found.high - found.low
        return found.value / width if width > 0 else float(np.sign(found.value)) * np.inf if found.value else 0.0

    out: set[str] = set()
    for i, name in enumerate(sorted(names, key=clarity, reverse=True)):
        if not difference(name, 1 - (1 - confidence) / (len(names) - i)).low > 0:
            break
        out.add(name)
    return out


def interquartile_mean(values: Sequence[float] | np.ndarray) -> float:
    """Mean of the middle half, NaN rows left out: what a few wild episodes cannot move."""
    values = np.asarray(values, float)
    values = values[np.isfinite(values)]
    return float(stats.trim_mean(values, 0.25)) if len(values) else float("nan")


def auroc(scores: Sequence[float] | np.ndarray, labels: Sequence[bool] | np.ndarray) -> float:
    """Area under the ROC curve: chance that a positive scores above a negative, ties counted half.

    NaN where one of the classes is missing. A NaN score is an error of the candidate and counts as the
    worst score of its class.
    """
    scores, labels = np.asarray(scores, float), np.asarray(labels, bool)
    scores = np.where(np.isnan(scores), np.where(labels, -np.inf, np.inf), scores)
    positives = int(labels.sum())
    negatives = len(labels) - positives
    if not positives or not negatives:
        return float("nan")
    ranks = stats.rankdata(scores)
    return float((ranks[labels].sum() - positives * (positives + 1) / 2) / (positives * negatives))


def calibration_error(
    probabilities: Sequence[float] | np.ndarray,
    labels: Sequence[bool] | np.ndarray,
    weights: Sequence[float] | np.ndarray | None = None,
    bins: int = 10,
) -> float:
    """Expected calibration error in ``bins`` equal bins of [0, 1].

    ``weights`` undo a subsampling of negatives (a negative that stands for 20 has weight 20).
    """
    p, y = np.asarray(probabilities, float), np.asarray(labels, float)
    w = np.ones_like(p) if weights is None else np.asarray(weights, float)
    keep = np.isfinite(p)
    p, y, w = p[keep], y[keep], w[keep]
    if not len(p):
        return float("nan")
    index = np.clip((p * bins).astype(int), 0, bins - 1)
    total = np.bincount(index, w, bins)
    gap = np.abs(np.bincount(index, w * p, bins) - np.bincount(index, w * y, bins))
    return float(gap[total > 0].sum() / total.sum())
