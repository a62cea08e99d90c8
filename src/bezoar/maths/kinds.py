"""Two kinds in one class: found by two views of the rows that agree, a space and an opinion that never saw it.

Where a third of a class or more is planted, there is no bulk from which a group could stand off, and a median lies between the two. So both
kinds are fitted: a discriminant in the space, cross-fitted, under labels that start from the doubt alone; two normal kinds along it; and
these, after the doubt was heard again, are the labels of the next round (co-training, Blum and Mitchell 1998; expectation-maximisation).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from bezoar.maths import matched

ROUNDS, SETTLING = 8, 4
LEAST_SPREAD = 0.5
"""Deviations within kinds: the least of either along the discriminant."""
FEWEST = 4
"""Rows of either kind."""


@dataclass(frozen=True, eq=False)
class Kinds:
    """(n,) `chance` of each row to be of the kind that is doubted, by the space alone, and `heard`, after the doubt was heard as well;
    `gain` in nats by which two kinds explain the rows better than one."""

    chance: np.ndarray
    heard: np.ndarray
    gain: float


def two_kinds(x: np.ndarray, doubt: np.ndarray, fold: np.ndarray, start: np.ndarray | float = 0.25) -> Kinds | None:
    """The two kinds of the rows of one class; None where fewer than four are of one kind.

    x      (n, d) columns of about one scale
    doubt  (n,) float, high where something that does not see `x` speaks against the row
    fold   (n,) int; near-duplicates share one. No row is scored by a discriminant that it, or a copy, was used for
    start  (n,) first guess in 0..1, or the share of rows that it is to be, by the rank of the doubt; it need not be near

    Fails where the kinds differ by nothing that is linear in `x`, and where doubt and kind have nothing to do with each other.

    >>> rng = np.random.default_rng(0)
    >>> odd = np.arange(200) < 80
    >>> x = rng.standard_normal((200, 4)) + 5 * odd[:, None] * np.eye(4)[0]
    >>> found = two_kinds(x, odd + rng.standard_normal(200), np.arange(200) % 5)
    >>> bool(((found.heard > 0.5) == odd).mean() > 0.98), found.gain > 20
    (True, True)
    """
    rank = np.argsort(np.argsort(doubt, kind="stable"), kind="stable") / len(doubt)
    heard = rank ** (1 / start - 1) if isinstance(start, float) else np.asarray(start, np.float64)
    space, found = _Space(x, fold), None
    for _ in range(ROUNDS):
        if min(heard.sum(), (1 - heard).sum()) < FEWEST:
            return None
        fitted = _mixture(space.discriminant(heard), heard)
        if fitted is None:
            return None
        chance, gain = fitted
        heard = matched.witnessed(chance, doubt)
        found = Kinds(chance, heard, gain)
    return found


def together(spaces: Sequence[np.ndarray], doubt: np.ndarray, fold: np.ndarray, start: np.ndarray) -> np.ndarray:
    """(n,) chance of each row to be of the kind that `start` (n,) guesses, by the mean log-odds of all `spaces` and by the doubt.

    Other arguments as of `two_kinds`. No layer errs where the others do, so their mean is sharper than the best of them.

    >>> rng = np.random.default_rng(0)
    >>> odd = np.arange(200) < 80
    >>> spaces = [rng.standard_normal((200, 4)) + 2 * odd[:, None] for _ in range(3)]
    >>> found = together(spaces, odd + rng.standard_normal(200), np.arange(200) % 5, np.where(odd, 0.7, 0.3))
    >>> bool(((found > 0.5) == odd).mean() > 0.98)
    True
    """
    folded = [_Space(x, fold) for x in spaces]
    for _ in range(SETTLING):
        fitted = [_mixture(space.discriminant(start), start) for space in folded]
        odds = [np.log(np.clip(f[0], 1e-3, 1 - 1e-3) / np.clip(1 - f[0], 1e-3, 1 - 1e-3)) for f in fitted if f is not None]
        if not odds:
            return start
        start = matched.witnessed(1 / (1 + np.exp(-np.mean(odds, axis=0))), doubt)
    return start


class _Space:
    """Rows (n, d) by fold, and what does not change with the guess: the second moments of all other folds."""

    def __init__(self, x: np.ndarray, fold: np.ndarray) -> None:
        self.x = x
        self.folds = [np.flatnonzero(fold == f) for f in np.unique(fold)]
        parts = [x[rows].T @ x[rows] for rows in self.folds]
        total = np.sum(parts, axis=0)
        self.moments = [(total - part) / max(len(x) - len(rows), 1) for part, rows in zip(parts, self.folds, strict=True)]

    def discriminant(self, chance: np.ndarray, shrink: float = 0.05) -> np.ndarray:
        """(n,) Fisher's discriminant of rows weighted by `chance` and its rest, in deviations within kinds, each fold by the others."""
        weight = np.stack([chance, 1 - chance])
        sums, sizes = weight @ self.x, weight.sum(axis=1)
        out = np.zeros(len(self.x))
        for rows, moments in zip(self.folds, self.moments, strict=True):
            size = np.maximum(sizes - weight[:, rows].sum(axis=1), 1e-9)
            middle = (sums - weight[:, rows] @ self.x[rows]) / size[:, None]
            within = moments - (size[:, None] * middle).T @ middle / max(len(self.x) - len(rows), 1)
            within = (1 - shrink) * within + (shrink * np.trace(within) / len(within) + 1e-9) * np.eye(len(within))
            toward = np.linalg.solve(within, middle[0] - middle[1])
            out[rows] = (self.x[rows] - middle.mean(axis=0)) @ toward / max(np.sqrt(toward @ within @ toward), 1e-9)
        return out


def _mixture(s: np.ndarray, chance: np.ndarray, rounds: int = 8) -> tuple[np.ndarray, float] | None:
    """(n,) chance of each score to be of the first of two normal kinds, and what they explain better than one; None where one is empty."""
    for _ in range(rounds):
        weight = np.stack([chance, 1 - chance])
        size = weight.sum(axis=1)
        if size.min() < FEWEST:
            return None
        middle = weight @ s / size
        spread = np.maximum(np.sqrt((weight * (s - middle[:, None]) ** 2).sum(axis=1) / size), LEAST_SPREAD)
        log = np.log(size / len(s))[:, None] + _normal(s, middle[:, None], spread[:, None])
        chance = 1 / (1 + np.exp(np.clip(log[1] - log[0], -50, 50)))
    one = _normal(s, s.mean(), max(float(s.std()), 1e-9))
    return chance, float((np.logaddexp(log[0], log[1]) - one).sum())


def _normal(s: np.ndarray, middle: np.ndarray | float, spread: np.ndarray | float) -> np.ndarray:
    return np.asarray(-0.5 * ((s - middle) / spread) ** 2 - np.log(spread) - 0.9189385)


def foreign(inside: np.ndarray, outside: np.ndarray, strangers: float, least: float = 0.05) -> float:
    """Share of a class's rows with the doubts `inside` that are no more doubted than if they were of other classes, in 0..1: where their
    mean lies between that of the rest of the class, `outside`, and that of `strangers`. 0 where these two do not differ by `least`.

    >>> round(foreign(np.array([0.7, 0.9]), np.array([0.1, 0.3]), 0.9), 2)
    0.86
    """
    usual = float(outside.mean())
    return float(np.clip((inside.mean() - usual) / (strangers - usual), 0, 1)) if strangers - usual > least else 0.0
