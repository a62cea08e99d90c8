"""How much of what one opinion doubts another space foretells: weak labels made sharp by cross-fitted regression."""

from __future__ import annotations

import numpy as np


def foretold(z: np.ndarray, doubt: np.ndarray, codes: np.ndarray, fold: np.ndarray, *, shrink: float = 0.05, least: int = 20) -> np.ndarray:
    """(n,) float64: each row's doubt as the other folds of its class foretell it from the space, in robust deviations of the class.

    z      (n, d) columns of about one scale, alike in all directions (`whitening.within`)
    doubt  (n,) float, high where something speaks against the row; it may be noisy: a direction that it only hints at is found
           by many rows together (discriminants from noisy labels point the same way as from true ones)
    codes  (n,) class of each row; rows with -1 and classes of fewer than `least` rows in the other folds get 0
    fold   (n,) int; near-duplicates share a fold, so that no row is foretold by its own copy

    Ridge regression, `shrink` of the mean variance. Fails where the doubt has nothing to do with what is looked for.

    >>> rng = np.random.default_rng(0)
    >>> odd = np.arange(200) < 20
    >>> z = rng.standard_normal((200, 4)) + 4 * odd[:, None] * np.eye(4)[0]
    >>> doubt = np.clip(0.1 + 0.3 * odd + 0.2 * rng.standard_normal(200), 0, 1)
    >>> s = foretold(z, doubt, np.zeros(200, int), np.arange(200) % 5)
    >>> bool(np.median(s[odd]) > 3 > np.quantile(s[~odd], 0.95))
    True
    """
    out = np.zeros(len(z))
    for c in np.unique(codes[codes >= 0]):
        rows = np.flatnonzero(codes == c)
        x, y, mine = z[rows].astype(np.float64), np.asarray(doubt, np.float64)[rows], fold[rows]
        found = np.zeros(len(rows))
        for f in np.unique(mine):
            a, b = mine != f, mine == f
            if a.sum() < least:
                continue
            middle = x[a].mean(axis=0)
            part = x[a] - middle
            gram = part.T @ part
            gram += shrink * np.trace(gram) / len(gram) * np.eye(len(gram)) + 1e-12 * np.eye(len(gram))
            found[b] = (x[b] - middle) @ np.linalg.solve(gram, part.T @ (y[a] - y[a].mean()))
        spread = 1.4826 * float(np.median(np.abs(found - np.median(found))))
        out[rows] = (found - np.median(found)) / spread if spread > 1e-9 else 0.0
    return out
