"""What would an attacker get away with here? Attacks x rates x seeds x defences on the user's own data -> rows of a scoreboard.

For each attack, rate and seed: poison a training part, train a victim on it and a clean twin beside it, measure the attack on held-out
samples; then each defence filters the poisoned part, the victim is trained again on what is left, and the attack is measured again.
An attack that does not implant is a row that says so and is never a defence's merit. `random` removes as many samples as the filter
called `bezoar` did, `perfect` exactly the poisoned ones; both stand beside every real defence.
"""

from __future__ import annotations

import hashlib
import itertools
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from bezoar.core.ability import Attack, Poisoned
from bezoar.core.dataset import Dataset
from bezoar.core.errors import BezoarError, UsageError
from bezoar.core.events import Finished, Listener, Note, Started, deaf
from bezoar.core.victim import Model, Victim
from bezoar.validity import Validity, halves, judged

Filter = Callable[[Dataset], np.ndarray]
"""A defence: a dataset -> (n,) bool, the samples to keep."""
BASELINES = ("none", "random", "perfect")


@dataclass(frozen=True)
class Plan:
    """What to run. `attacks` are made abilities; each is made anew for each of `rates` where it has a rate."""

    attacks: Sequence[Attack]
    rates: Sequence[float] = (0.01,)
    seeds: Sequence[int] = (0, 1, 2)
    defences: Mapping[str, Filter] = field(default_factory=dict)
    held_out: float = 0.25

    def cells(self) -> list[tuple[Attack, float, int]]:
        """(attack, rate, seed) of every training, attack by attack."""
        return list(itertools.product(self.attacks, self.rates, self.seeds))


@dataclass(frozen=True)
class Row:
    """One defence against one attack at one rate and seed. Shares are NaN-free: None where a number has no meaning."""

    attack: str
    rate: float
    seed: int
    defence: str
    measure: str
    asr_before: float
    asr_after: float | None
    twin: float
    accuracy_clean: float
    accuracy_before: float
    accuracy_after: float | None
    recall: float | None
    precision: float | None
    false_positive_rate: float | None
    removed: int
    planted: int
    samples: int
    implanted: bool
    seconds: float
    error: str = ""

    def to_dict(self) -> dict[str, Any]:
        """JSON form."""
        return asdict(self)


def _again(attack: Attack, rate: float) -> Attack:
    parameters = attack.parameters()
    if "rate" in parameters:
        parameters["rate"] = rate
    return type(attack)(**parameters)


def _key(attack: Attack, rate: float, seed: int, victim: Victim, fingerprint: str, defences: Sequence[str]) -> str:
    text = repr((attack, rate, seed, repr(victim), fingerprint, sorted(defences)))
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:24]


def redteam(data: Dataset, plan: Plan, victim: Victim, listener: Listener = deaf, *,
            recall: Callable[[str], list[dict[str, Any]] | None] = lambda key: None,
            keep: Callable[[str, list[dict[str, Any]]], None] = lambda key, rows: None) -> list[Row]:
    """Rows for every cell and defence. A cell that the data cannot bear becomes a row with an `error`, and the run goes on.

    `recall` and `keep` hold finished cells, so that an interrupted run resumes. Raises UsageError for data without labels or an
    empty plan, and whatever the user's own victim or filter raises on the clean data.
    """
    if data.labels is None:
        raise UsageError("a red team needs labels", advice="name the label column with --label")
    cells = plan.cells()
    if not cells:
        raise UsageError("the plan is empty", advice="name at least one attack, one rate and one seed")
    rows: list[Row] = []
    twins: dict[int, tuple[Dataset, Dataset, Model]] = {}
    for i, (attack, rate, seed) in enumerate(cells):
        key = _key(attack, rate, seed, victim, data.fingerprint, [*BASELINES, *plan.defences])
        kept = recall(key)
        if kept is not None:
            rows += [Row(**r) for r in kept]
            continue
        label = f"{attack.info.name} {rate:g} seed {seed}"
        listener(Started(label, i, len(cells)))
        started = time.perf_counter()
        if seed not in twins:
            train, held = halves(data, np.random.default_rng([seed, 1]), plan.held_out)
            before = time.perf_counter()
            twins[seed] = (train, held, victim(train, np.random.default_rng([seed, 2])))
            if len(twins) == 1:
                one = time.perf_counter() - before
                trainings = len(cells) * (len(plan.defences) + len(BASELINES)) + len(plan.seeds)
                listener(Note(f"{len(cells)} cells, {trainings} trainings of about {one:.1f} s: about {trainings * one / 60:.0f} min, "
                              "and the filters"))
        mine = _cell(_again(attack, rate), rate, seed, plan, victim, *twins[seed])
        keep(key, [r.to_dict() for r in mine])
        rows += mine
        listener(Finished(label, "found" if mine[0].implanted else "nothing", time.perf_counter() - started))
    return rows


def _cell(attack: Attack, rate: float, seed: int, plan: Plan, victim: Victim, train: Dataset, held: Dataset, twin: Model) -> list[Row]:
    started = time.perf_counter()
    try:
        done = attack(train, np.random.default_rng([seed, 3]))
    except BezoarError as error:
        return [Row(attack.info.name, rate, seed, "none", "", 0.0, None, 0.0, 0.0, 0.0, None, None, None, None, 0, 0, len(train), False,
                    time.perf_counter() - started, str(error))]
    model = victim(done.data, np.random.default_rng([seed, 2]))
    first = judged(attack, done, held, model, twin, np.random.default_rng([seed, 4]), victim.info.name)
    rows = [_row(first, rate, seed, "none", done, np.ones(len(done.data), bool), first, time.perf_counter() - started)]
    removed = int(done.truth.sum())
    for name, keep in [*plan.defences.items(), ("random", None), ("perfect", None)]:
        began = time.perf_counter()
        if keep is not None:
            stay = np.asarray(keep(done.data), bool)
            if stay.shape != (len(done.data),):
                raise UsageError(f"the defence {name!r} returned {stay.shape} for {len(done.data)} samples",
                                 advice="return one bool per sample: True to keep it")
            if name == next(iter(plan.defences)):
                removed = int((~stay).sum())
        elif name == "perfect":
            stay = ~done.truth
        else:
            stay = np.ones(len(done.data), bool)
            stay[np.random.default_rng([seed, 5]).choice(len(stay), removed, replace=False)] = False
        rows.append(_after(attack, first, rate, seed, name, done, stay, held, victim, twin, began))
    return rows


def _after(attack: Attack, first: Validity, rate: float, seed: int, name: str, done: Poisoned, stay: np.ndarray, held: Dataset,
           victim: Victim, twin: Model, began: float) -> Row:
    """Train again on what a defence keeps; where it removed nothing the first training stands."""
    if stay.all():
        return _row(first, rate, seed, name, done, stay, first, time.perf_counter() - began)
    try:
        model = victim(done.data.take(np.flatnonzero(stay)), np.random.default_rng([seed, 2]))
    except BezoarError as error:
        return _row(first, rate, seed, name, done, stay, None, time.perf_counter() - began, str(error))
    second = judged(attack, done, held, model, twin, np.random.default_rng([seed, 4]), victim.info.name)
    return _row(first, rate, seed, name, done, stay, second, time.perf_counter() - began)


def _row(first: Validity, rate: float, seed: int, name: str, done: Poisoned, stay: np.ndarray, second: Validity | None, seconds: float,
         error: str = "") -> Row:
    out, bad = ~stay, done.truth
    hits, clean = int((out & bad).sum()), int((~bad).sum())
    filters = name != "none"
    return Row(first.attack, rate, seed, name, first.measure, first.success, second.success if second else None, first.twin,
               first.twin_accuracy, first.accuracy, second.accuracy if second else None,
               hits / int(bad.sum()) if filters and bad.any() else None,
               hits / int(out.sum()) if filters and out.any() else None,
               int((out & ~bad).sum()) / max(clean, 1) if filters else None,
               int(out.sum()), int(bad.sum()), len(bad), first.implanted, seconds, error)


def summary(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """One record per (attack, rate, defence): means over seeds with 95% t intervals; `implanted` counts seeds.

    >>> summary([])
    []
    """
    from scipy.stats import t

    def spread(values: list[float]) -> dict[str, float] | None:
        if not values:
            return None
        half = float(t.ppf(0.975, len(values) - 1) * np.std(values, ddof=1) / np.sqrt(len(values))) if len(values) > 1 else 0.0
        mean = float(np.mean(values))
        return {"mean": mean, "low": max(mean - half, -1.0), "high": min(mean + half, 1.0)}

    out: list[dict[str, Any]] = []
    for (attack, rate, defence), group in itertools.groupby(
            sorted(rows, key=lambda r: (r.attack, r.rate, r.defence, r.seed)), key=lambda r: (r.attack, r.rate, r.defence)):
        mine = list(group)
        out.append({"attack": attack, "rate": rate, "defence": defence, "seeds": len(mine), "measure": mine[0].measure,
                    "implanted": sum(r.implanted for r in mine), "error": next((r.error for r in mine if r.error), ""),
                    "seconds": float(np.mean([r.seconds for r in mine])),
                    **{k: spread([v for r in mine if (v := getattr(r, k)) is not None])
                       for k in ("asr_before", "asr_after", "recall", "precision", "false_positive_rate", "accuracy_clean",
                                 "accuracy_before", "accuracy_after")}})
    return out
