"""Multinomial logistic regression with a squared penalty, fitted by L-BFGS."""

from __future__ import annotations

import numpy as np
from scipy.optimize import minimize
from scipy.special import logsumexp, softmax


def fit(x: np.ndarray, y: np.ndarray, classes: int, penalty: float, weight: np.ndarray | None = None) -> np.ndarray:
    """Weights float ``(F, classes)`` for features ``(N, F)`` of the classes ``y`` int ``(N,)``: the least mean log
    loss, rows weighing as ``weight`` ``(N,)`` says (alike without), plus half of ``penalty`` times the squared
    weights."""
    target = np.eye(classes)[y]
    share = np.full(len(y), 1 / len(y)) if weight is None else weight / weight.sum()

    def loss(flat: np.ndarray) -> tuple[float, np.ndarray]:
        w = flat.reshape(x.shape[1], -1)
        scores = x @ w
        value = share @ (logsumexp(scores, 1) - scores[np.arange(len(y)), y]) + penalty * (w**2).sum() / 2
        gradient = x.T @ ((softmax(scores, 1) - target) * share[:, None]) + penalty * w
        return float(value), gradient.ravel()

    start = np.zeros(x.shape[1] * classes)
    found = minimize(loss, start, jac=True, method="L-BFGS-B", options={"maxiter": 300})
    return np.asarray(found.x.reshape(x.shape[1], -1))
