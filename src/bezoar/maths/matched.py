"""Rows that share a template: adaptive matched filters, refined until members and template agree."""

from __future__ import annotations

import numpy as np

LEAST_SPREAD = 0.6
"""Members of a group spread by so many deviations of the bulk at least."""


def shrunk(mean: np.ndarray, noise: np.ndarray) -> np.ndarray:
    """Templates (t, p) with each coefficient shrunk by its `noise` (t,) variance: James-Stein's positive part, softened."""
    return mean * np.maximum(1 - 2 * noise[:, None] / np.maximum(mean**2, 1e-12), 0)


def outside_scores(unit: np.ndarray, weight: np.ndarray, folds: int = 4) -> tuple[np.ndarray, np.ndarray]:
    """(n, t) scores of rows `unit` (n, p) of length root(p) against templates made of their members, and the templates (t, p).

    weight (n, t) bool: who is a member. The members are dealt into `folds`; the members of a fold are scored by the
    template of the other folds, all others by the template of all members.
    """
    member = weight.astype(np.float32)
    place = np.cumsum(weight, axis=0) % folds
    size = member.sum(axis=0)
    if len(unit) < 4 * unit.shape[1]:  # few rows: the sums of all folds at once
        sums = np.hstack([member * (place == f) for f in range(folds)]).T @ unit
        mine = sums.reshape(folds, weight.shape[1], -1)
    else:
        mine = np.stack([(member * (place == f)).T @ unit for f in range(folds)])
    total = mine.sum(axis=0)
    full = _normal(shrunk(total / np.maximum(size, 1)[:, None], 1 / np.maximum(size, 1)))
    scores = unit @ full.T
    for f in range(folds):
        held = weight & (place == f)
        left = size - held.sum(axis=0)
        part = (total - mine[f]) / np.maximum(left, 1)[:, None]
        part = _normal(shrunk(part, 1 / np.maximum(left, 1))).astype(np.float32)
        rows = np.flatnonzero(held.any(axis=1))
        scores[rows] = np.where(held[rows], unit[rows] @ part.T, scores[rows])
    return scores, full


def _normal(x: np.ndarray) -> np.ndarray:
    return x / np.maximum(np.linalg.norm(x, axis=1, keepdims=True), 1e-9)


def standard(scores: np.ndarray) -> np.ndarray:
    """Columns of (n, t) in robust deviations from their medians."""
    middle = np.median(scores, axis=0)
    spread = np.median(np.abs(scores - middle), axis=0) * 1.4826
    return (scores - middle) / np.maximum(spread, 1e-6)


def cut(s: np.ndarray, *, least: int = 4, largest: float = 0.4, rate: float = 1.3) -> tuple[np.ndarray, np.ndarray]:
    """For each column of standard scores (n, t): how many of the largest are members, and the evidence in nats.

    Evidence of the k largest is k (log(k / n) - log tail(s_k)), the likelihood ratio against a tail that is normal up to 2
    deviations and exponential with `rate` beyond, as natural tails are.
    """
    n = len(s)
    top = -np.sort(-s, axis=0)[:max(int(largest * n), least + 1)]
    k = np.arange(1, len(top) + 1)[:, None]
    log_tail = np.where(top > 2, -3.78 - rate * (top - 2), np.where(top > 0, -0.69 - 0.55 * top - 0.5 * top**2, 0.0))
    gain = k * (np.log(k / n) - log_tail) * (top > 1.0)
    gain[:least - 1] = -np.inf
    best = gain.argmax(axis=0)
    return best + 1, gain[best, np.arange(s.shape[1])]


def mirrored(s: np.ndarray, least: int = 4) -> np.ndarray:
    """(t,) evidence in nats that counts only rows farther out than any row on the opposite side: nature's patterns come
    with both signs, a planted one with one."""
    reach = (-s).max(axis=0)
    return np.maximum(cut(np.where(s > reach, s, np.minimum(s, 0.9)), least=least)[1], 0.0)


def refine(unit: np.ndarray, starts: np.ndarray, rounds: int = 4,
           least: int = 4) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """From `starts` (t, p) directions to members that agree with their template.

    unit (n, p) rows of length root(p). Returns members (n, t') bool, standard scores (n, t'), templates (t', p) and strength
    (t',) in nats, strongest first; of starts that end at the same members one is left.
    """
    s = standard(unit @ starts.T)
    member = _top(s, cut(s, least=least)[0])
    for _ in range(rounds):
        scores, template = outside_scores(unit, member)
        s = standard(scores)
        new = _top(s, cut(s, least=least)[0])
        if (new == member).all():
            break
        member = new
    strength = mirrored(s, least)
    kept: list[int] = []
    size = member.sum(axis=0)
    shared = member.astype(np.float32).T @ member
    for j in np.argsort(-strength, kind="stable"):
        if not any(shared[i, j] > 0.5 * min(size[i], size[j]) for i in kept):
            kept.append(int(j))
    return member[:, kept], s[:, kept], template[kept], strength[kept]


def beside(unit: np.ndarray, member: np.ndarray, s: np.ndarray) -> float:
    """How much the rows `member` (n,) of `unit` (n, p) still vary together beside their common mean, over how much as many
    rows of middling scores `s` (n,) do: about 1 or less where one fixed pattern was added to a chance draw, 1.3 and more for a kind.
    """
    k = int(member.sum())
    middling = np.argsort(np.where(member, np.inf, np.abs(s)), kind="stable")[:k]
    return _joint(unit[member]) / max(_joint(unit[middling]), 1e-9)


def between(member: np.ndarray, s: np.ndarray) -> float:
    """Rows whose score `s` (n,) lies about half way between the bulk and the members (n,), in parts of the number of members:
    0.5 or less where two kinds of rows are mixed, 1 and more where the members are the end of a long tail.

    >>> between(np.arange(10) >= 6, np.array([0, 0, 0, 0, 0, 0, 5, 6, 6, 7.]))
    0.0
    """
    middle = float(np.median(s[member]))
    return float(((s > 0.35 * middle) & (s < 0.65 * middle)).sum() / max(member.sum(), 1))


def kinship(near: np.ndarray, rows: np.ndarray, size: int) -> float:
    """How much more often than by chance the neighbours `near` (n, k) of `rows` are among `rows`, in a class of `size`:
    about 1 or less where they are a chance draw from their class or from others, 3 and more for a kind.

    >>> near = (np.arange(100)[:, None] + np.array([1, 2])) % 100
    >>> kinship(near, np.arange(10), 100) > 3 > 1 >= kinship(near, np.arange(0, 100, 10), 100)
    True
    """
    member = np.zeros(len(near), bool)
    member[rows] = True
    expected = near.shape[1] * len(rows) * (len(rows) - 1) / max(size - 1, 1)
    return (float(member[near[rows]].sum()) + 1) / (expected + 1)


def _joint(rows: np.ndarray, most: int = 200) -> float:
    """The largest mean square of centred rows along one direction."""
    if len(rows) > most:
        rows = rows[np.linspace(0, len(rows) - 1, most).astype(np.int64)]
    rows = rows - rows.mean(axis=0)
    return float(np.linalg.eigvalsh(rows @ rows.T)[-1])


def _top(s: np.ndarray, k: np.ndarray) -> np.ndarray:
    """(n, t) bool: the k (t,) largest of each column."""
    return np.argsort(np.argsort(-s, axis=0, kind="stable"), axis=0, kind="stable") < k


def settle(unit: np.ndarray, member: np.ndarray, rounds: int = 3) -> tuple[np.ndarray, np.ndarray]:
    """From core members (n,) bool to everybody: standard scores (n,) and the probability (n,) of each to belong (`belonging`).

    The template is made of the rows more likely in than out.
    """
    chance = member.astype(np.float64)
    s = np.zeros(len(unit))
    for _ in range(rounds):
        s = standard(outside_scores(unit, (chance > 0.5)[:, None])[0])[:, 0].astype(np.float64)
        chance = belonging(s, chance)
        if (chance > 0.5).sum() < 3:
            return s, member.astype(np.float64)
    return s, chance


def belonging(s: np.ndarray, chance: np.ndarray) -> np.ndarray:
    """(n,) probability of each row to belong to a group, by scores (n,) and a first guess (n,).

    Scores are a mixture of a normal bulk with a light exponential tail and a normal group; the group's share, place and spread are found
    by expectation and maximisation. The bulk's place and spread are those of the rows outside of the first guess, and of their lower half:
    a group that is a third of all would make the spread of all so large that nothing seems to stand far from anything.

    >>> s = np.r_[np.linspace(-2, 2, 40), np.linspace(6, 8, 10)]
    >>> (belonging(s, s > 7) > 0.5).tolist() == (s > 5).tolist()
    True
    """
    s = _by_bulk(s, chance > 0.5)
    share, middle = max(chance.mean(), 1e-4), float(np.median(s[chance > 0.5]))
    spread = max(LEAST_SPREAD, 1.4826 * float(np.median(np.abs(s[chance > 0.5] - middle))))
    for _ in range(10):
        bulk = 0.98 * np.exp(-0.5 * s**2) / 2.507 + 0.02 * 0.7 * np.exp(-0.7 * np.maximum(s, 0))
        group = np.exp(-0.5 * ((np.minimum(s, middle) - middle) / spread) ** 2) / (2.507 * spread)
        new = share * group / (share * group + (1 - share) * bulk)
        if new.sum() < 2:
            break
        share, middle = float(new.mean()), float((new * s).sum() / new.sum())
        spread = max(LEAST_SPREAD, float(np.sqrt((new * (s - middle) ** 2).sum() / new.sum())))
        chance = new
    return np.asarray(chance, np.float64)


def witnessed(chance: np.ndarray, other: np.ndarray, bins: int = 10) -> np.ndarray:
    """(n,) the probabilities `chance` (n,) of each row to belong to a group, after a second witness `other` (n,) was heard.

    How often members and the rest have such a value is counted in `bins` of as many rows each, by `chance` itself; at most 3 nats are added
    or taken away. Holds as far as the two witnesses go wrong on different rows.

    >>> chance, other = np.r_[np.full(90, 0.01), np.full(20, 0.9)], np.r_[np.zeros(100), np.ones(10)]
    >>> witnessed(chance, other)[[95, 105]].round(2).tolist()
    [0.79, 0.99]
    """
    place = np.searchsorted(np.quantile(other, np.arange(1, bins) / bins), other, side="left")
    counted = [np.bincount(place, w, minlength=bins) for w in (chance, 1 - chance)]
    inside, outside = ((c + 1) / (c.sum() + bins) for c in counted)
    told = np.clip(np.log(inside / outside), -3, 3)[place]
    p = np.clip(chance, 1e-6, 1 - 1e-6)
    return np.asarray(1 / (1 + np.exp(-(np.log(p / (1 - p)) + told))))


def _by_bulk(s: np.ndarray, member: np.ndarray) -> np.ndarray:
    """Scores (n,) in deviations of the rows that are no members (n,); as they are where these are few."""
    rest = s[~member]
    if len(rest) < 8:
        return s
    middle = float(np.median(rest))
    below = middle - rest[rest < middle]
    spread = 1.4826 * float(np.median(below)) if len(below) else 0.0
    return np.asarray((s - middle) / max(spread, 0.1))


def halves(unit: np.ndarray, axes: np.ndarray, least: float = 0.1) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The widest gap of the rows `unit` (n, p) along each of `axes` (t, p), with at least the part `least` of them on either side.

    Returns who is beyond it, (n, t) bool; positions (n, t) in robust deviations of the wider side from the middle of the near side;
    and how far the middles of both sides are apart in these (t,). A class of which half carries a pattern has no bulk from which the rest
    could deviate, but it falls apart.

    >>> rows = np.array([[0.0], [0.1], [0.2], [0.3], [5.0], [5.1], [5.2]])
    >>> halves(rows, np.array([[1.0]]))[0][:, 0].tolist()
    [False, False, False, False, True, True, True]
    """
    s = unit @ axes.T
    n = len(s)
    ordered = np.sort(s, axis=0)
    first = max(1, int(least * n))
    gaps = np.diff(ordered, axis=0)[first - 1:n - first]
    at = first - 1 + gaps.argmax(axis=0)
    edge = ordered[at, np.arange(s.shape[1])]
    beyond = s > edge
    out, apart = np.zeros_like(s), np.zeros(s.shape[1])
    for j in np.flatnonzero(beyond.any(axis=0)):
        low, high = s[~beyond[:, j], j], s[beyond[:, j], j]
        middles = float(np.median(low)), float(np.median(high))
        spread = 1.4826 * max(float(np.median(np.abs(low - middles[0]))), float(np.median(np.abs(high - middles[1]))), 1e-9)
        out[:, j] = (s[:, j] - middles[0]) / spread
        apart[j] = (middles[1] - middles[0]) / spread
    return beyond, out, apart
