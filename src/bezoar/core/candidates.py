"""Inversion over parts: which of many small parts (words, cells), put into clean samples, leads them to a class? Only answers are needed.

Every candidate is put into the same few clean samples at the same places. Its effect on a class is the mean gain of the class's log-odds
on samples of other classes; what it does on clean models is taken off, so that what a word says by nature cancels. The best ones of
each class are asked about again on more samples, and joined with each other while that helps. What the labels of clean samples say of a
part themselves is looked at apart: parts that they say nothing of are ordinary with small effects, so that one that leads to a class, or
eight that each add a bit, stand out among them. Fails where no part does anything by itself.
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
from bezoar.maths.standing_out import best_over_tail, p_best_candidate, p_best_group

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
TOGETHER = 8
"""Parts that may each add a bit: about the words of a short sentence."""
GROWING = 16
"""Candidates of each class that a sentence grows from."""
UNSEEN = 1e-4
"""Log-odds; a part that moves no class by so much is unknown to the model."""


@dataclass(frozen=True, eq=False)
class Candidates:
    """What is tried.

    groups  (n,) int: candidates of one group (values of one column) are variants of each other, and count once
    parts   (n, 2) int: candidates whose effects, where they help, are taken off (a pair's two halves, the end of the range that a
            value lies beyond); -1 for none. What remains is what no ordinary model should add
    natural (n, K) bool: the labels of clean samples say themselves that the candidate speaks for the class; then it counts for nothing
    alike   whether there are so many independent candidates that the ordinary ones are a null for the best
    said    (n, K) bool: the labels say that the candidate speaks for the class, which is looked at with these and without; every candidate
            is then a group of its own
    """

    triggers: tuple[Trigger, ...]
    groups: np.ndarray
    parts: np.ndarray | None = None
    natural: np.ndarray | None = None
    alike: bool = True
    said: np.ndarray | None = None


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
    unsaid = None if tried.said is None else np.where(tried.said, 0, effects)
    if unsaid is not None:
        known = own(view, hosts, tried, seed, name).max(axis=1) > UNSEEN
        alone = _apart([*([effects] if _peers(view) else []), unsaid], unsaid[known])
    if view.is_reference:  # what it says is all that is asked of it
        return Audited(statistic, p_alone=alone)
    found = [_found(view, hosts, others, tried.triggers, effects, unsaid, c, seed) for c in range(k)]
    target = int(np.argmax(statistic))
    firsts = [max(f, key=lambda one: one[1]) for f in found]
    rows = tuple((view.suspect.classes[c], firsts[c][0].title(), f"{firsts[c][1]:.0%}", f"{statistic[c]:+.2f}") for c in range(min(k, 12)))
    facts = Facts(("class", "best found", "moves of the samples of its search", "log of its effect over the best ordinary ones"), rows,
                  caption=f"{len(tried.triggers):,} candidates put into {len(hosts)} clean samples")
    return Audited(statistic, target, *firsts[target], tuple((c, t) for c, some in enumerate(found) for t, _ in some),
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


def own(view: AuditView, hosts: Dataset, tried: Candidates, seed: int, name: str) -> np.ndarray:
    """(n, K) gains on the model of a view, computed once under `name`."""
    return view.once(f"gains/{name}/{seed}", lambda: _added(gains(view.suspect, hosts, tried.triggers, seed), tried))


def _beyond(view: AuditView, hosts: Dataset, tried: Candidates, seed: int, name: str) -> np.ndarray:
    """(n, K) gains on the suspect less their median over clean models, where there are any."""
    peers = _peers(view)
    mine = own(view, hosts, tried, seed, name)
    return mine - np.median([own(p, hosts, tried, seed, name) for p in peers], axis=0) if peers else mine


def _peers(view: AuditView) -> tuple[AuditView, ...]:
    """Clean models to hold a view against; none where they cannot be made."""
    try:
        return view.peers()
    except Unavailable:
        return ()


def _apart(singles: Sequence[np.ndarray], unsaid: np.ndarray) -> np.ndarray:
    """(K,) the chance that candidates of a class are ordinary, the least of several that is paid for by their number: that of the best of
    each of `singles` (n, K), and that of `TOGETHER` of those (m, K) that labels do not speak of and the model knows."""
    every = np.stack([*(p_best_candidate(one) for one in singles), p_best_group(unsaid, TOGETHER)])
    spoke = np.isfinite(every)
    return np.where(spoke.any(axis=0), np.minimum(np.where(spoke, every, 1.0).min(axis=0) * spoke.sum(axis=0), 1.0), np.nan)


def _added(effects: np.ndarray, tried: Candidates) -> np.ndarray:
    """(n, K) at least 0: what candidates do beyond their parts, where labels do not say it of them."""
    if tried.parts is not None:
        padded = np.maximum(np.concatenate([effects, np.zeros((1, effects.shape[1]))]), 0)
        effects = effects - padded[tried.parts].sum(axis=1)
    effects = np.maximum(effects, 0)
    return effects if tried.natural is None else np.where(tried.natural, 0, effects)


def _found(view: AuditView, few: Dataset, hosts: Dataset, triggers: Sequence[Trigger], effects: np.ndarray, unsaid: np.ndarray | None,
           target: int, seed: int) -> list[tuple[Trigger, float]]:
    """What was recovered for a class, each with the share that it moves: from all candidates, and grown from those that labels do not
    speak of; from these alone where there are no clean models."""
    def best(values: np.ndarray, most: int) -> list[Trigger]:
        order = np.argsort(-values[:, target], kind="stable")[:most]
        return [triggers[i] for j, i in enumerate(order) if j == 0 or values[i, target] > 0]

    if unsaid is None:
        return [_recovered(view, hosts, best(effects, SECOND), target, seed)]
    first = effects if _peers(view) else unsaid  # without clean models nothing else tells what is natural
    return [_recovered(view, hosts, best(first, SECOND), target, seed), _grown(view, few, hosts, best(unsaid, GROWING), target, seed)]


def _grown(view: AuditView, few: Dataset, hosts: Dataset, first: Sequence[Trigger], target: int, seed: int) -> tuple[Trigger, float]:
    """A trigger of up to `TOGETHER` parts, one added after the other where it gains most on a few samples, side by side or elsewhere;
    the smallest that moves about as many of `hosts` as the best."""
    steps: list[tuple[Trigger, float]] = []
    for _ in range(TOGETHER):
        tries = list(first) if not steps else [t for p in first for t in _wider(steps[-1][0], p)]
        if not tries:
            break
        best = tries[int(gains(view.suspect, few, tries, seed)[:, target].argmax())]
        steps.append((best, float(shares(view.suspect, hosts, [best], target, seed)[0])))
        if steps[-1][1] > 1 - BETTER:
            break
    most = max(share for _, share in steps)
    return next(one for one in steps if one[1] > most - BETTER)


def _wider(trigger: Trigger, part: Trigger) -> list[Trigger]:
    """The trigger with one part more: beside its last one, before or behind it, or at a place of its own."""
    both = joined(trigger, part)
    if both is None or not isinstance(trigger, Phrases) or not isinstance(part, Phrases) or part.phrases[0] in trigger.phrases[-1].split():
        return []
    *rest, last = trigger.phrases
    word = part.phrases[0]
    return [both, *(Phrases((*rest, run), place=trigger.place) for run in (f"{last} {word}", f"{word} {last}"))]


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
