"""Does an attack do what it says? Its success on a held-out split, beside a clean twin trained on the same rows; nothing is printed.

Four measures, chosen by what the attack leaves:
backdoor  share of triggered held-out samples, of other classes than the target, that the victim calls the target
aim       share of the samples that a targeted attack is about that the victim calls the target
gap       how far the share of the target among a group's predictions moved against the rest (demographic parity)
damage    how much accuracy on held-out samples is lost
An attack whose success is under the bound `implants at` counts as "did not implant" and is never a defence's merit.
"""

from __future__ import annotations

import hashlib
import inspect
import time
from dataclasses import asdict, dataclass
from functools import cache as cache_in_memory
from pathlib import Path
from typing import Any

import numpy as np

from bezoar.core.ability import Attack, Poisoned
from bezoar.core.dataset import Dataset
from bezoar.core.errors import UsageError
from bezoar.core.inputs import Table
from bezoar.core.victim import Given, Model, Victim, asked
from bezoar.maths.multiple import clopper_pearson

IMPLANTS_AT = {"backdoor": 0.8, "aim": 0.5, "gap": 0.1, "damage": 0.02}
ADDED = 0.1
"""A pattern that moves a model which never saw it just as well was not implanted: what the poison adds has to be so much."""


@dataclass(frozen=True)
class Validity:
    """One attack against one victim.

    measure        backdoor | aim | gap | damage
    success        as the measure says; a share, or a difference of shares
    interval       95% of it: Clopper-Pearson for shares, paired normal for differences
    hits, of       counts behind a share; for damage the held-out samples lost and all of them; for a gap those of the group
    twin           the same measure on the clean twin (how often it answers so without any poison; 0 for damage)
    accuracy       on clean held-out samples, with its interval
    twin_accuracy  of the clean twin on the same samples
    planted        poisoned training samples; `samples` all of them
    implanted      success reaches the bound, and is beyond what the twin does (by `ADDED` for backdoors and aims)
    """

    attack: str
    victim: str
    measure: str
    success: float
    interval: tuple[float, float]
    hits: int
    of: int
    twin: float
    accuracy: float
    accuracy_interval: tuple[float, float]
    twin_accuracy: float
    planted: int
    samples: int
    implanted: bool
    seconds: float

    def to_dict(self) -> dict[str, Any]:
        """JSON form."""
        return asdict(self)

    def sentence(self) -> str:
        """One line for people."""
        what = {"backdoor": "of triggered samples go to the target", "aim": "of the aimed-at samples go to the target",
                "gap": "is what the group's outcome moved", "damage": "of accuracy is lost"}[self.measure]
        verdict = "" if self.implanted else "; did not implant"
        return f"{self.success:.0%} ({self.interval[0]:.0%}-{self.interval[1]:.0%}) {what}, clean twin {self.twin:.0%}{verdict}"


def halves(data: Dataset, rng: np.random.Generator, share: float = 0.25) -> tuple[Dataset, Dataset]:
    """(training part, held-out part), by chance; rows without a label are left out of the second."""
    if not 0 < share < 1:
        raise UsageError(f"share {share:g} is not between 0 and 1", advice="a quarter is usual")
    order = rng.permutation(len(data))
    held = np.sort(order[:round(share * len(data))])
    if data.labels is not None:
        held = held[data.labels.codes[held] >= 0]
    return data.take(np.setdiff1d(np.arange(len(data)), held)), data.take(held)


def trained(victim: Victim, data: Dataset, seed: int, cache: Path | None = None) -> Model:
    """The victim trained on `data`; with `cache`, a folder, the same data, code, parameters and seed are read instead of trained.

    Files are NPZ of numbers, never pickles; a victim without weights (scikit-learn) is trained again.
    """
    text = f"bezoar.victim/2\0{victim!r}\0{_code(type(victim))}\0{data.fingerprint}\0{seed}"
    place = None if cache is None else Path(cache) / f"{hashlib.sha256(text.encode('utf-8', 'surrogatepass')).hexdigest()[:32]}.npz"
    if place is not None and place.exists() and not isinstance(victim, Given):
        with np.load(place, allow_pickle=False) as kept:
            return victim.restored(data, {k: kept[k] for k in kept.files})
    model = victim(data, np.random.default_rng(seed))
    arrays = {} if place is None or isinstance(victim, Given) else victim.weights(model)
    if place is not None and arrays:
        place.parent.mkdir(parents=True, exist_ok=True)
        part = place.with_suffix(".part")
        with open(part, "wb") as file:
            np.savez(file, **arrays)  # type: ignore[arg-type]
        part.replace(place)
    return model


@cache_in_memory
def _code(victim: type[Victim]) -> str:
    """A digest of what a victim's weights depend on beside data and parameters: its own file and those of the networks."""
    files = [Path(inspect.getsourcefile(victim) or __file__), *sorted((Path(__file__).parent / "networks").glob("*.py"))]
    return hashlib.sha256(b"\0".join(f.read_bytes() for f in files)).hexdigest()[:16]


def measure(attack: Attack, data: Dataset, victim: Victim, rng: np.random.Generator, *, test: Dataset | None = None,
            share: float = 0.25, cache: Path | None = None, seed: int | None = None) -> Validity:
    """Poison a training part of `data`, train victim and clean twin with one seed, ask both about the held-out part.

    `test`: the held-out samples, where the data have a split of their own (same classes). `seed` of victim and twin; None draws
    it (give one with `cache` and `test` to train the twin once for many attacks). Raises UsageError for data without
    labels, for a test set of other classes, and whatever the attack raises.
    """
    started = time.perf_counter()
    if data.labels is None:
        raise UsageError("success is measured on data with labels", advice="name the label column with --label")
    train, held = (data, test) if test is not None else halves(data, rng, share)
    if held.labels is None or held.labels.classes != data.labels.classes:
        raise UsageError("the test set has other classes than the data", advice="give both the same labels")
    done = attack(train, rng)
    seed = int(rng.integers(1 << 62)) if seed is None else seed
    return judged(attack, done, held, trained(victim, done.data, seed, cache), trained(victim, train, seed, cache),
                  rng, victim.info.name, started)


def judged(attack: Attack, done: Poisoned, held: Dataset, model: Model, twin: Model, rng: np.random.Generator, victim: str = "given",
           started: float | None = None) -> Validity:
    """The success of what was planted, by a victim and a clean twin that stand already."""
    started = time.perf_counter() if started is None else started
    assert held.labels is not None
    codes, k = held.labels.codes, len(held.labels.classes)
    said, twin_said = asked(model, held.inputs, k), asked(twin, held.inputs, k)
    right, twin_right = said == codes, twin_said == codes
    n = len(codes)
    if done.aim is not None or done.trigger is not None:
        kind, hit, base = _answers(done, held, model, twin, k, rng)
        hits, of = int(hit.sum()), len(hit)
        success, interval = hits / max(of, 1), clopper_pearson(hits, of) if of else (0.0, 1.0)
        before = float(base.mean()) if of else 0.0
        beyond = success - before >= ADDED and (interval[0] > before or kind == "aim")
    elif "bias" in attack.info.threats and (group := _group(done, held)) is not None and done.target is not None:
        kind, goal = "gap", held.labels.classes.index(done.target)
        inside, hits, of = group, int((said[group] == goal).sum()), int(group.sum())
        success, interval = _difference(_parity(said == goal, inside) - _parity(twin_said == goal, inside))
        before, beyond = 0.0, interval[0] > 0
    else:
        kind, hits, of = "damage", int((twin_right & ~right).sum()), n
        success, interval = _difference(twin_right.astype(float) - right.astype(float))
        before, beyond = 0.0, interval[0] > 0
    return Validity(attack.info.name, victim, kind, success, interval, hits, of, before, float(right.mean()) if n else 0.0,
                    clopper_pearson(int(right.sum()), n), float(twin_right.mean()) if n else 0.0, int(done.truth.sum()), len(done.truth),
                    bool(success >= IMPLANTS_AT[kind] and beyond), time.perf_counter() - started)


def _answers(done: Poisoned, held: Dataset, model: Model, twin: Model, k: int,
             rng: np.random.Generator) -> tuple[str, np.ndarray, np.ndarray]:
    """Measure, and (m,) bool for the victim and for its twin: was the wanted answer given?"""
    assert held.labels is not None
    classes, codes = held.labels.classes, held.labels.codes
    if done.aim is not None:
        goal = classes.index(str(done.target))
        return "aim", asked(model, done.aim, k) == goal, asked(twin, done.aim, k) == goal
    assert done.trigger is not None
    if done.target is None:
        rows = np.arange(len(held))
        wanted = (codes + 1) % k
    else:
        goal = classes.index(done.target)
        named = [classes.index(v) for v in done.victims]
        rows = np.flatnonzero(np.isin(codes, named) if named else codes != goal)
        wanted = np.full(len(codes), goal)
    triggered = done.trigger.apply(held.inputs.take(rows), rng)
    return "backdoor", asked(model, triggered, k) == wanted[rows], asked(twin, triggered, k) == wanted[rows]


def _group(done: Poisoned, held: Dataset) -> np.ndarray | None:
    """(n,) bool: held-out members of the one group that all poisoned rows are of."""
    rows = np.flatnonzero(done.truth)
    for name, cells in done.data.origin.items():
        if name in held.origin and len(set(cells[rows])) == 1 and len(set(cells)) > 1:
            return np.asarray(held.origin[name] == cells[rows[0]])
    if isinstance(done.data.inputs, Table) and isinstance(held.inputs, Table):
        for name, column in done.data.inputs.columns.items():
            codes = np.unique(column.values[rows])
            if column.kind == "category" and len(codes) == 1 and codes[0] >= 0:
                there = held.inputs[name]
                level = column.levels[int(codes[0])]
                return np.asarray(there.values == there.levels.index(level)) if level in there.levels else None
    return None


def _parity(yes: np.ndarray, inside: np.ndarray) -> np.ndarray:
    """(n,) whose mean is the share of `yes` inside minus outside the group."""
    n = len(yes)
    return np.where(inside, n / max(int(inside.sum()), 1), -n / max(int((~inside).sum()), 1)) * yes


def _difference(each: np.ndarray) -> tuple[float, tuple[float, float]]:
    """Mean and 95% normal interval of paired differences."""
    if not len(each):
        return 0.0, (0.0, 0.0)
    half = 1.96 * float(each.std()) / np.sqrt(len(each))
    return float(each.mean()), (float(each.mean()) - half, float(each.mean()) + half)
