"""Which training rows pulled a model to one answer: last-layer gradient products, summed over checkpoints.

At each checkpoint the gradient of a row's loss with respect to the last layer is the outer product of its residual (probabilities minus
label) and its features, so the product of two gradients is the product of residuals times that of features, without any network.
Fails      where the last layer alone does not explain the answer, and for rows that no checkpoint still had to learn.
Paper      TracIn: Pruthi et al. 2020, arXiv 2002.08484; last layers: Yeh et al. 2022, arXiv 2202.11844.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def residuals(logits: np.ndarray, codes: np.ndarray) -> np.ndarray:
    """(n, K) float64 softmax of `logits` minus the label; zeros for rows without one (code -1).

    >>> residuals(np.zeros((2, 2)), np.array([0, -1])).tolist()
    [[-0.5, 0.5], [0.0, 0.0]]
    """
    z = np.asarray(logits, np.float64)
    p = np.exp(z - z.max(axis=1, keepdims=True))
    p /= p.sum(axis=1, keepdims=True)
    known = np.flatnonzero(codes >= 0)
    p[known, codes[known]] -= 1
    p[codes < 0] = 0
    return np.asarray(p)


def pulls(features: Sequence[np.ndarray], logits: Sequence[np.ndarray], codes: np.ndarray, asked: Sequence[np.ndarray],
          asked_logits: Sequence[np.ndarray], called: int, weights: Sequence[float]) -> np.ndarray:
    """(n,) float64: how much learning each row lowered (above 0) or raised (below 0) the loss of calling one input `called`.

    For each of C checkpoints: features (n, d), logits (n, K) of the rows with label `codes` (n,), features (d,) and logits (K,) of the
    input, and the learning rate. Units: the loss, for steps of that size. Cost: C n (d + K).

    >>> h, z = [np.array([[1.0, 0.0], [0.0, 1.0]])], [np.zeros((2, 2))]
    >>> pulls(h, z, np.array([0, 0]), [np.array([1.0, 0.0])], [np.zeros(2)], 0, [1.0]).tolist()
    [1.0, 0.5]
    """
    total = np.zeros(len(codes))
    for h, z, other, other_z, weight in zip(features, logits, asked, asked_logits, weights, strict=True):
        wrong = residuals(other_z[None], np.array([called]))[0]
        total += weight * (residuals(z, codes) @ wrong) * (np.asarray(h, np.float64) @ np.asarray(other, np.float64) + 1)
    return total


def self_pulls(features: Sequence[np.ndarray], logits: Sequence[np.ndarray], codes: np.ndarray, weights: Sequence[float]) -> np.ndarray:
    """(n,) float64 >= 0: how much each row pulled on itself, large for what is learned alone (wrong labels, strangers).

    >>> self_pulls([np.ones((1, 2))], [np.zeros((1, 2))], np.array([0]), [1.0]).tolist()
    [1.5]
    """
    total = np.zeros(len(codes))
    for h, z, weight in zip(features, logits, weights, strict=True):
        total += weight * np.square(residuals(z, codes)).sum(axis=1) * (np.square(np.asarray(h, np.float64)).sum(axis=1) + 1)
    return total


def shares(pull: np.ndarray, names: np.ndarray) -> dict[str, float]:
    """What part of all pull above 0 comes from the rows of each name, largest first.

    >>> shares(np.array([3.0, -9.0, 1.0]), np.array(["a", "a", "b"]))
    {'a': 0.75, 'b': 0.25}
    """
    up = np.maximum(pull, 0)
    whole = float(up.sum())
    if whole <= 0:
        return {}
    found, at = np.unique(names.astype(str), return_inverse=True)
    part = np.bincount(at, weights=up, minlength=len(found)) / whole
    return {str(found[i]): float(part[i]) for i in np.argsort(-part, kind="stable")}
