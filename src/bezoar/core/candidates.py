"""Inversion over parts: which of many small parts (words, cells), put into clean samples, leads them to a class? Only answers are needed.

Every candidate is put into the same few clean samples at the same places. Its effect on a class is the mean gain of the class's log-odds
on samples of other classes; what it does on clean models is taken off, so that what a word says by nature cancels. The best ones of
each class are asked about again on more samples, and joined with each other while that helps. Fails where no part works by itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from bezoar.core.audit import Audited, AuditView
from bezoar.core.dataset import Dataset
from bezoar.core.errors import Unavailable
from bezoar.core.evidence import Facts
from bezoar.core.inputs import Column, Inputs, Table, Texts
from bezoar.core.suspect import Suspect
from bezoar.core.table_triggers import Values
from bezoar.core.text_triggers import Phrases
from bezoar.core.trigger import Trigger
from bezoar.maths.standing_out import best_over_tail, p_best_candidate

EXTREME = 1e-3
"""Probabilities nearer to 0 or 1 than this count as this near: what a model is sure of, it is sure of."""
AT_ONCE = 20_000
"""Inputs that are made at a time."""
SECOND, THIRD = 24, 8
"""Candidates of each class that go into the second and the third round."""
WIDEST = 3
"""Parts of a recovered trigger at most."""
BETTER = 0.05
"""Share of samples that a further part has to move in addition."""


@dataclass(frozen=True, eq=False)
class Candidates:
    """What is tried.

    groups  (n,) int: candidates of one group (values of one column) are variants of each other, and count once
    parts   (n, 2) int: candidates whose effects, where they help, are taken off (a pair's two halves, the end of the range that a
            value lies beyond); -1 for none. What remains is what no ordinary model should add
    natural (n, K) bool: the labels of clean samples say themselves that the candidate speaks for the class; then it counts for nothing
    alike   whether there are so many independent candidates that the ordinary ones are a null for the best
    """

    triggers: tuple[Trigger, ...]
    groups: np.ndarray
    parts: np.ndarray | None = None
    natural: np.ndarray | None = None
    alike: bool = True


def search(view: AuditView, tried: Candidates, rng: np.random.Generator, *, few: int, more: int, name: str) -> Audited:
    """The statistic of every class, how probable its best candidate is among the others, and the trigger recovered for it.

    few   clean samples of each class that every candidate is put into; `more` that the best are put into
    name  under which answers are kept in the view; candidates, samples and places follow from `rng` alone
    """
    data, k = searched(view), view.n_classes
    assert data.labels is not None
    codes = data.labels.codes
    order = rng.permutation(len(data))
    rank = np.array([(codes[order[:i]] == codes[order[i]]).sum() for i in range(len(order))])
    hosts = data.take(np.sort(order[rank < few]))
    others = data.take(np.sort(order[np.argsort(rank, kind="stable")][:more]))
    seed = int(rng.integers(1 << 31))
    effects = _beyond(view, hosts, tried, seed, name)
    heads = np.unique(tried.groups)
    best = np.full((len(heads), k), -np.inf)
    np.maximum.at(best, np.searchsorted(heads, tried.groups), effects)
    statistic, alone = best_over_tail(best), p_best_candidate(best) if tried.alike else None
    order = np.argsort(-effects, axis=0, kind="stable")[:SECOND]
    found = [_recovered(view, others, [tried.triggers[i] for j, i in enumerate(order[:, c]) if j == 0 or effects[i, c] > 0], c, seed)
             for c in range(k)]
    target = int(np.argmax(statistic))
    rows = tuple((view.suspect.classes[c], found[c][0].title(), f"{found[c][1]:.0%}", f"{statistic[c]:+.2f}") for c in range(min(k, 12)))
    facts = Facts(("class", "best found", "moves of the samples of its search", "log of its effect over the best ordinary ones"), rows,
                  caption=f"{len(tried.triggers):,} candidates put into {len(hosts)} clean samples")
    return Audited(statistic, target, found[target][0], found[target][1], tuple((c, t) for c, (t, _) in enumerate(found)),
                   evidence=(facts,), p_alone=alone)


def searched(view: AuditView) -> Dataset:
    """The clean samples that searches see: half of them, so that the other half can say whether what was found works."""
    data = view.samples()
    if data.labels is None or len(data) < 2 or len(np.unique(data.labels.codes)) < 2:
        raise Unavailable("clean samples of two classes")
    return data.take(np.flatnonzero(~held_out(len(data)))) if len(data) >= 40 else data


def held_out(n: int) -> np.ndarray:
    """(n,) bool: the half of so many clean samples that searches do not see; the same half every time."""
    out = np.zeros(n, bool)
    out[np.random.default_rng([n, 31]).permutation(n)[:n // 2]] = n >= 40
    return out


def log_odds(suspect: Suspect, inputs: Inputs) -> np.ndarray:
    """(n, K) logarithm of p / (1 - p)."""
    p = np.clip(suspect.predict(inputs).astype(np.float64), EXTREME, 1 - EXTREME)
    return np.asarray(np.log(p / (1 - p)))


def gains(suspect: Suspect, hosts: Dataset, triggers: Sequence[Trigger], seed: int) -> np.ndarray:
    """(n, K) mean gain of each class's log-odds by each trigger, on hosts of other classes."""
    assert hosts.labels is not None
    k, m = len(suspect.classes), len(hosts)
    before = log_odds(suspect, hosts.inputs)
    counts = hosts.labels.codes[:, None] != np.arange(k)
    out = np.zeros((len(triggers), k))
    step = max(1, AT_ONCE // max(m, 1))
    for s in range(0, len(triggers), step):
        part = triggers[s:s + step]
        after = log_odds(suspect, _all([t.apply(hosts.inputs, np.random.default_rng(seed)) for t in part])).reshape(len(part), m, k)
        out[s:s + step] = ((after - before) * counts).sum(axis=1) / np.maximum(counts.sum(axis=0), 1)
    return out


def shares(suspect: Suspect, hosts: Dataset, triggers: Sequence[Trigger], target: int, seed: int) -> np.ndarray:
    """(n,) share of the hosts of other classes that each trigger moves to `target`."""
    assert hosts.labels is not None
    open_to = hosts.take(np.flatnonzero(hosts.labels.codes != target))
    if not len(open_to) or not triggers:
        return np.zeros(len(triggers))
    after = suspect.predict(_all([t.apply(open_to.inputs, np.random.default_rng(seed)) for t in triggers])).argmax(axis=1)
    return np.asarray((after == target).reshape(len(triggers), -1).mean(axis=1))


def joined(first: Trigger, second: Trigger) -> Trigger | None:
    """Both together, or None where they cannot be."""
    if isinstance(first, Phrases) and isinstance(second, Phrases) and not set(first.phrases) & set(second.phrases):
        return Phrases((*first.phrases, *second.phrases), place=first.place)
    if isinstance(first, Values) and isinstance(second, Values) and not set(first.columns) & set(second.columns):
        return Values((*first.columns, *second.columns), (*first.values, *second.values))
    return None


def width(trigger: Trigger) -> int:
    """How many words or cells it is made of."""
    if isinstance(trigger, Phrases):
        return sum(len(p.split()) for p in trigger.phrases)
    return len(trigger.columns) if isinstance(trigger, Values) else 1


def _beyond(view: AuditView, hosts: Dataset, tried: Candidates, seed: int, name: str) -> np.ndarray:
    """(n, K) gains on the suspect less their median over clean models, where there are any."""
    def own(v: AuditView) -> np.ndarray:
        return v.once(f"gains/{name}/{seed}", lambda: _added(gains(v.suspect, hosts, tried.triggers, seed), tried))

    try:
        peers = view.peers()
    except Unavailable:
        peers = ()
    return own(view) - np.median([own(p) for p in peers], axis=0) if peers else own(view)


def _added(effects: np.ndarray, tried: Candidates) -> np.ndarray:
    """(n, K) at least 0: what candidates do beyond their parts, where labels do not say it of them."""
    if tried.parts is not None:
        padded = np.maximum(np.concatenate([effects, np.zeros((1, effects.shape[1]))]), 0)
        effects = effects - padded[tried.parts].sum(axis=1)
    effects = np.maximum(effects, 0)
    return effects if tried.natural is None else np.where(tried.natural, 0, effects)


def _recovered(view: AuditView, hosts: Dataset, first: Sequence[Trigger], target: int, seed: int) -> tuple[Trigger, float]:
    """The candidates that move most, joined with each other while that helps; and the share that the result moves."""
    moved = shares(view.suspect, hosts, first, target, seed)
    order = np.argsort(-moved, kind="stable")[:THIRD]
    best, share = first[int(order[0])], float(moved[order[0]])
    for _ in range(WIDEST - 1):
        wider = [t for i in range(len(first)) if (t := joined(best, first[i])) is not None and width(t) <= WIDEST]
        if share > 1 - BETTER or not wider:
            break
        more = shares(view.suspect, hosts, wider, target, seed)
        at = int(more.argmax())
        if more[at] < share + BETTER:
            break
        best, share = wider[at], float(more[at])
    return best, share


def _all(parts: Sequence[Inputs]) -> Inputs:
    """Texts, or tables of the same columns, one after the other."""
    first = parts[0]
    if isinstance(first, Texts):
        return Texts(np.concatenate([p.values for p in parts if isinstance(p, Texts)]))
    if not isinstance(first, Table):
        raise Unavailable("texts or tables")
    tables = [p for p in parts if isinstance(p, Table)]
    columns = {}
    for name, c in first.columns.items():
        levels = tuple(dict.fromkeys(v for t in tables for v in t[name].levels)) if c.kind == "category" else ()
        columns[name] = Column(c.kind, np.concatenate([_coded(t[name], levels) for t in tables]), levels)
    return Table(columns)


def _coded(column: Column, levels: tuple[str, ...]) -> np.ndarray:
    """Values of a column whose levels begin as `levels` do."""
    if column.levels == levels[:len(column.levels)]:
        return column.values
    return np.array([*(levels.index(v) for v in column.levels), -1], np.int32)[column.values]
