"""Rows that go with a few sure ones: a cross-fitted classifier that learns from positives and the unlabelled.

Elkan and Noto, "Learning classifiers from only positive and unlabeled data" (2008); decoys: Kall et al. 2008.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

BEYOND_CHANCE = 4.0
"""Deviations by which the likely companions must outnumber what chance lets expect; otherwise there are none."""
TELLING = 0.3
"""Where doubt does not part the seeds from their class by so much (shares below one threshold), it cannot say who is natural: none."""
LIKELY = 4.0
"""Logits that the doubt of a row counts at most beside its likeness."""
LEARN_FROM = 12_000
"""Rows that a classifier learns from at most, beside the likely ones."""


def companions(x: Any, seeds: np.ndarray, own: np.ndarray, doubts: Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]], fold: np.ndarray,
               rounds: int = 4) -> np.ndarray:
    """(n,) float64 in [0, 1]: probability that a row of `own` goes with the seeds; 0 for all others.

    x       (n, m) CSR float32: how each row is written
    seeds   (k,) rows of `own` that are known to belong
    own     (n,) bool: rows of the class to which the seeds were pushed
    doubts  asked with (n,) bool, the rows whose labels are not to be believed: (n,) float, the logit of the doubt that the content of a
            row casts on the row's own label, and (n,) int, the class that its content speaks for
    fold    (n,) int: rows of one fold are judged by what the others teach

    Seeds are told from all other rows (those of `own` count the less, the more they are doubted; the rest so that what the content
    is about tells nothing); the rows that turn out to be like them are learned from in the next round, and their labels are believed
    no more. Two nulls say how many of `own` would reach a likeness by nature, and the worse one counts: rows outside `own`, and the rows
    of `own` that nothing doubts, of which the seeds say how many are companions. What doubt then adds for each row is its
    likelihood among the seeds against the natural rows of the class. Few own rows, seeds whose content fits their label, or a
    style that the class has by nature give zeros or overstate.
    """
    n = x.shape[0]
    seed = np.zeros(n, bool)
    seed[seeds] = True
    sure, found = seed.astype(np.float64), np.zeros(n)
    for _ in range(rounds):
        doubt, about = doubts(sure >= 0.5)
        score = _likeness(x, sure, own, doubt, about, fold)
        share, natural = _planted_share(score, own, seed, doubt)
        if not share.any():
            return np.zeros(n)
        chance = np.clip(share, 0.02 * share[own].mean(), 0.995)
        odds = np.log(chance) - np.log1p(-chance) + _speaks(doubt, seed, natural)
        found = np.where(own, 1 / (1 + np.exp(-odds)), 0.0)
        sure = np.where(seed, 1.0, found)
    return found


def _likeness(x: Any, sure: np.ndarray, own: np.ndarray, doubt: np.ndarray, about: np.ndarray, fold: np.ndarray) -> np.ndarray:
    """(n,) logits by classifiers that have not seen the fold of the row."""
    n = len(sure)
    negative = (1 - sure) * np.where(own, 1 / (1 + np.exp(np.clip(doubt, -30, 30))), 1.0)
    total = negative.sum()
    topics = int(about.max(initial=0)) + 1
    here, there = np.bincount(about, sure, topics), np.bincount(about, negative, topics)
    negative = negative * ((here / here.sum() + 0.05) / (there / max(total, 1e-9) + 0.01))[about]
    negative *= total / max(negative.sum(), 1e-9)
    positive, other = np.flatnonzero(sure > 0.05), np.flatnonzero(negative > 1e-3)
    if len(other) > LEARN_FROM:
        along = other[np.argsort(doubt[other], kind="stable")]
        other = np.sort(along[np.linspace(0, len(along) - 1, LEARN_FROM).astype(np.int64)])
    rows = np.r_[positive, other]
    hit = np.r_[np.ones(len(positive)), np.zeros(len(other))]
    weight = np.r_[sure[positive], negative[other]]
    score = np.zeros(n)
    for f in np.unique(fold):
        train, at = np.flatnonzero(fold[rows] != f), np.flatnonzero(fold == f)
        score[at] = x[at] @ _logistic(x[rows[train]], hit[train], weight[train], penalty=1.0, steps=40)[0]
    return score


def _planted_share(score: np.ndarray, own: np.ndarray, seed: np.ndarray, doubt: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(n,) local share of companions among rows of `own` of that likeness (zeros: none to be told), and natural rows of the class."""
    from sklearn.isotonic import isotonic_regression

    out = np.zeros(len(score))
    rows, decoys = np.flatnonzero(own), np.sort(score[~own])
    natural = rows[(score[rows] <= np.median(score[rows])) & ~seed[rows]]
    if len(natural) == 0:
        return out, natural
    levels = np.quantile(doubt[natural], np.linspace(0.3, 0.9, 13))
    by_nature = (doubt[natural][:, None] <= levels).mean(axis=0)
    by_seeds = (doubt[seed][:, None] <= levels).mean(axis=0)
    best = int(np.argmax(by_nature - by_seeds))
    telling = float(by_nature[best] - by_seeds[best])
    if telling < TELLING:
        return out, natural
    order = rows[np.argsort(-score[rows], kind="stable")]
    above = len(decoys) - np.searchsorted(decoys, score[order], side="left")
    false = np.minimum(len(rows) * (above + 1) / (len(decoys) + 1), np.arange(1, len(rows) + 1))
    undoubted = ((doubt[order] <= levels[best]) - by_seeds[best]) / telling
    undoubted[seed[order]] = 0.0
    local = np.maximum(isotonic_regression(np.diff(false, prepend=0.0)), isotonic_regression(undoubted))
    share = 1 - np.clip(local, 0, 1)
    count = int((share >= 0.5).sum())
    chance = float((1 - share[:count]).sum())
    if count and (count - chance) / np.sqrt(chance + 1) >= BEYOND_CHANCE:
        out[order] = share
    return out, natural


def _speaks(doubt: np.ndarray, seed: np.ndarray, natural: np.ndarray) -> np.ndarray:
    """(n,) log likelihood ratio of a doubt among the seeds against natural rows, at most `LIKELY` either way."""
    bent = np.c_[doubt, np.minimum(doubt, -1), np.maximum(doubt - 2, 0)].astype(np.float32)
    rows = np.r_[np.flatnonzero(seed), natural]
    hit = np.r_[np.ones(int(seed.sum())), np.zeros(len(natural))]
    worth = min(200.0, float(seed.sum()))
    weight = np.where(hit > 0, worth / max(float(seed.sum()), 1), worth / max(len(natural), 1))
    slope, start = _logistic(bent[rows], hit, weight, penalty=0.3, steps=100)
    return np.clip(bent @ slope + start, -LIKELY, LIKELY)


def _logistic(x: Any, hit: np.ndarray, weight: np.ndarray, penalty: float, steps: int) -> tuple[np.ndarray, float]:
    """(m,) float32 coefficients and what is added to all, by L-BFGS; that is not penalised."""
    from scipy.optimize import minimize

    back = x.T.tocsr() if hasattr(x, "indptr") else x.T
    total = float(weight.sum())

    def loss(b: np.ndarray) -> tuple[float, np.ndarray]:
        z = x @ b[:-1].astype(np.float32) + b[-1]
        slope = weight * (1 / (1 + np.exp(-np.clip(z, -30, 30))) - hit)
        value = float((weight * (np.logaddexp(0, z) - hit * z)).sum()) + 0.5 * penalty * float((b[:-1] ** 2).sum())
        return value / total, np.r_[back @ slope.astype(np.float32) + penalty * b[:-1], slope.sum()] / total

    found = minimize(loss, np.zeros(x.shape[1] + 1), jac=True, method="L-BFGS-B", options={"maxiter": steps, "ftol": 1e-7})
    return np.asarray(found.x[:-1], np.float32), float(found.x[-1])
