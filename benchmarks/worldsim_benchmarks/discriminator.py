"""Two samples of clips: can a classifier tell which is the true world's? (A classifier two-sample test, Lopez-Paz and
Oquab, arXiv:1610.06545.)

Each clip, a second of observations, becomes a vector of what pictures and their changes look like, without regard to
where things are. A ridge-regularised logistic regression learns to tell the samples apart on all maps but one fold, and
is asked about the maps of that fold; the area under the ROC curve of its answers is 0.5 where nothing can be told and 1
where everything can. How many maps there are decides what it can learn: figures are comparable at equal numbers alone.
The interval is over maps, for the classifiers that were fitted: what other training maps would change is not in it.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from worldsim_benchmarks import logistic
from worldsim_benchmarks.statistics import Interval, auroc, cluster_statistic

FOLDS = 5
LEAST_MAPS = 2 * FOLDS
"""Maps of each kind from which on it is asked."""
PENALTY = 0.1
"""Half of it times the squared coefficients, on standardised features, is added to the mean log loss."""
BANDS = 6
LEVELS = (2, 4, 8, 16, 32, 64)
"""Grey levels at which the shares of gradients and of changes are counted."""


def features(frames_THWC: np.ndarray) -> np.ndarray:
    """float ``(F,)`` of a clip uint8 ``(T, H, W, 3)``, two frames at least: shares of colours (8 levels a channel), of
    gradients of each size at two scales, of changes from frame to frame of each size, and the log energy in octave
    bands of the spectrum (``BANDS``, fewer below 32 pixels), each averaged over the frames."""
    grey = np.stack([cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY) for frame in frames_THWC]).astype(np.float32)
    out = [np.histogram(frames_THWC[..., c], 8, (0, 256))[0] / grey.size for c in range(3)]
    for scale in (1, 2):
        small = np.stack([cv2.resize(g, None, fx=1 / scale, fy=1 / scale, interpolation=cv2.INTER_AREA) for g in grey])
        out.append(_above(np.hypot(np.diff(small, axis=1)[:, :, :-1], np.diff(small, axis=2)[:, :-1])))
    out.append(_above(np.abs(np.diff(grey, axis=0))))
    energy = np.abs(np.fft.rfft2(grey - grey.mean((1, 2), keepdims=True))) ** 2
    height, width = grey.shape[1:]
    radius = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width))
    band = np.floor(np.log2(0.5 / np.maximum(radius, 1e-6))).clip(0, BANDS - 1).astype(int)
    octaves = np.stack([energy[:, band == b].mean(1) for b in sorted(set(band.ravel().tolist()))], 1)
    out.append(np.log(octaves + 1.0).mean(0))
    return np.concatenate(out)


def _above(sizes: np.ndarray) -> np.ndarray:
    return np.array([(sizes > level).mean() for level in LEVELS])


def told_apart(
    true: np.ndarray, made: np.ndarray, true_maps: Sequence[int], made_maps: Sequence[int], confidence: float = 0.95
) -> Interval:
    """The area under the ROC curve with its interval over maps, of features float ``(N, F)`` and ``(M, F)`` of clips on
    these maps; NaN where fewer than ``LEAST_MAPS`` maps have clips of each kind. All clips of a map lie in one fold."""
    x = np.concatenate([true, made])
    label = np.repeat([0.0, 1.0], [len(true), len(made)])
    maps = np.concatenate([np.asarray(true_maps), np.asarray(made_maps)])
    if min(len(set(true_maps)), len(set(made_maps))) < LEAST_MAPS:
        return Interval(np.nan, np.nan, np.nan, len(x), len(set(maps.tolist())))
    # maps with clips of both kinds are dealt out first, so that every fold has some
    order = sorted(set(maps.tolist()), key=lambda m: (m not in set(made_maps), m))
    fold = np.array([order.index(m) % FOLDS for m in maps])
    answers = np.zeros(len(x))
    for held in range(FOLDS):
        asked = fold == held
        answers[asked] = _answers(x[~asked], label[~asked], x[asked])
    rows = np.stack([answers, label], 1)
    return cluster_statistic(lambda r: auroc(r[:, 0], r[:, 1] > 0.5), rows, maps.tolist(), confidence)


def _answers(x: np.ndarray, label: np.ndarray, asked: np.ndarray) -> np.ndarray:
    """Log odds for ``asked`` of a logistic regression on standardised features, both kinds weighing the same."""
    middle, spread = x.mean(0), x.std(0)
    known = spread > 1e-9
    a, b = ((v[:, known] - middle[known]) / spread[known] for v in (x, asked))
    a, b = (np.concatenate([v, np.ones((len(v), 1))], 1) for v in (a, b))
    weight = np.where(label > 0.5, 1 / label.mean(), 1 / (1 - label.mean()))
    w = logistic.fit(a, label.astype(int), 2, PENALTY, weight)
    return np.asarray(b @ (w[:, 1] - w[:, 0]))
