"""Bootstrap intervals for returns of several training seeds on the same episodes.

Returns are ``(S, E)``: S training seeds, each played on the same E episodes (equal episode seeds). A
resample draws E episodes and takes them for every training seed, so each seed keeps its share (the
stratified bootstrap of Agarwal et al. 2021, section 4.1) and what is paired stays paired: an episode that
is easy is so for the agents and for what they are compared with. Intervals say how far the mean would move
with other episodes; how far it moves with other training seeds is shown by the means of the seeds.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

RESAMPLES = 10_000


@dataclass(frozen=True)
class Estimate:
    """A mean or a ratio of means with its 95 % interval."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:.1f} [{self.low:.1f}, {self.high:.1f}]"


def _resampled(per_episode: np.ndarray, seed: int = 0) -> np.ndarray:
    """Means of ``(R, E)`` rows over resampled episodes, ``(R, RESAMPLES)``; the same draws for every row."""
    episodes = per_episode.shape[1]
    draws = np.random.default_rng(seed).integers(episodes, size=(RESAMPLES, episodes))
    return np.stack([row[draws].mean(axis=1) for row in per_episode])


def _interval(value: float, resampled: np.ndarray) -> Estimate:
    low, high = np.percentile(resampled, [2.5, 97.5])
    return Estimate(float(value), float(low), float(high))


def mean_return(returns: np.ndarray) -> Estimate:
    """Mean of ``(S, E)`` returns."""
    per_episode = returns.mean(axis=0)
    return _interval(per_episode.mean(), _resampled(per_episode[None])[0])


def difference(returns: np.ndarray, baseline: np.ndarray) -> Estimate:
    """Mean of ``returns`` ``(S, E)`` less that of ``baseline`` ``(S', E)`` on the same episodes, paired."""
    if returns.shape[1] != baseline.shape[1]:
        raise ValueError(
            f"returns of {returns.shape[1]} and {baseline.shape[1]} episodes cannot be paired; play the same"
        )
    return mean_return((returns.mean(axis=0) - baseline.mean(axis=0))[None])


def transfer(dream: np.ndarray, truth: np.ndarray, random: np.ndarray) -> Estimate | None:
    """``(dream - random) / (truth - random)`` of mean true returns, each ``(S, E)`` on the same episodes.

    1 means that training in the dream is worth as much as training in truth, 0 that it is worth no more than
    acting at random. None where the agent trained in truth is no better than random in 2.5 % of resamples or
    more: the ratio has no meaning there.
    """
    rows = np.stack([part.mean(axis=0) for part in (dream, truth, random)])
    d, t, r = _resampled(rows)
    if np.mean(t <= r) >= 0.025:
        return None
    value = (rows[0] - rows[2]).mean() / (rows[1] - rows[2]).mean()
    keep = t > r
    return _interval(value, (d - r)[keep] / (t - r)[keep])
