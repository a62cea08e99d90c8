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
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from bezoar.core.ability import Attack, Poisoned
from bezoar.core.dataset import Dataset
from bezoar.core.errors import BezoarError, UsageError
from bezoar.core.events import Finished, Listener, Note, Started, deaf
from bezoar.core.victim import Given, Model, Victim
from bezoar.core.victims import class_code
from bezoar.networks import device
from bezoar.validity import Validity, halves, judged

Filter = Callable[[Dataset], np.ndarray]
"""A defence: a dataset -> (n,) bool, the samples to keep."""
BASELINES = ("none", "random", "perfect")


@dataclass(frozen=True)
class Plan:
    """What to run. `attacks` are made abilities; each is made anew for each of `rates` where it has a rate; networks stand
    on `device`, 'cpu' or 'cuda'."""

    attacks: Sequence[Attack]
    rates: Sequence[float] = (0.01,)
    seeds: Sequence[int] = (0, 1, 2)
    defences: Mapping[str, Filter] = field(default_factory=dict)
    held_out: float = 0.25
    device: str = "cpu"

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


def _key(attack: Attack, rate: float, seed: int, fixed: str) -> str:
    return hashlib.sha256(repr((attack, rate, seed, fixed)).encode("utf-8", "surrogatepass")).hexdigest()[:24]


def _same(function: Any) -> str:
    """Words that stay the same between runs as long as a function of the user's does, and change with its code.

    What it calls is not looked into. An object without a repr of its own has its address there: it never counts as the same.

    >>> _same(lambda x: x + 1) == _same(lambda x: x + 1), _same(lambda x: x + 1) == _same(lambda x: x + 2)
    (True, False)
    """
    code = getattr(function, "__code__", None)
    if code is None:
        return repr(function.tobytes() if isinstance(function, np.ndarray) else function)
    held = [cell.cell_contents for cell in function.__closure__ or ()]
    inner = [_Code(c) if hasattr(c, "co_code") else c for c in code.co_consts]
    return repr((function.__qualname__, code.co_code, code.co_names, inner, function.__defaults__, [_same(v) for v in held]))


class _Code:
    """A code object whose repr is what it does, not where it stands."""

    def __init__(self, code: Any) -> None:
        self._code = code

    def __repr__(self) -> str:
        inner = [_Code(c) if hasattr(c, "co_code") else c for c in self._code.co_consts]
        return repr((self._code.co_name, self._code.co_code, self._code.co_names, inner))


class Bench:
    """What every cell needs, with the clean twins that were trained so far. One cell after the other on one core."""

    def __init__(self, data: Dataset, plan: Plan, victim: Victim) -> None:
        self.data, self.plan, self.victim = data, plan, victim
        self._cells = plan.cells()
        self._twins: dict[int, tuple[Dataset, Dataset, Model]] = {}

    def cell(self, index: int) -> list[Row]:
        """The rows of one cell; they depend on nothing but the cell."""
        from threadpoolctl import threadpool_limits

        attack, rate, seed = self._cells[index]
        with threadpool_limits(1), device.using(self.plan.device):
            if seed not in self._twins:
                train, held = self._halves(seed)
                self._twins[seed] = (train, held, self.victim(train, np.random.default_rng([seed, 2])))
            return _cell(_again(attack, rate), rate, seed, self.plan, self.victim, *self._twins[seed])

    def check(self) -> None:
        """Raises UsageError, before anything is trained, for an attack that cannot be planted at any rate with any seed.

        An attack that trains a network of its own is only asked whether its target is there.
        """
        assert self.data.labels is not None
        for attack in self.plan.attacks:
            target = attack.parameters().get("target")
            if target is not None:
                class_code(self.data, str(target))
            if "torch" in attack.info.extras:
                continue
            errors = (self._fault(attack, rate, seed) for rate, seed in itertools.product(self.plan.rates, self.plan.seeds))
            first = next(errors, None)
            if first is not None and all(e is not None for e in errors):
                raise UsageError(f"{attack.info.name} cannot be planted in these data: {first.message}", advice=first.advice)

    def _fault(self, attack: Attack, rate: float, seed: int) -> BezoarError | None:
        try:
            _again(attack, rate)(self._halves(seed)[0], np.random.default_rng([seed, 3]))
        except BezoarError as error:
            return error
        return None

    def _halves(self, seed: int) -> tuple[Dataset, Dataset]:
        return halves(self.data, np.random.default_rng([seed, 1]), self.plan.held_out)


def redteam(data: Dataset, plan: Plan, victim: Victim, listener: Listener = deaf, *, workers: int = 1,
            recall: Callable[[str], list[dict[str, Any]] | None] = lambda key: None,
            keep: Callable[[str, list[dict[str, Any]]], None] = lambda key, rows: None) -> list[Row]:
    """Rows for every cell and defence. A cell that the data cannot bear becomes a row with an `error`, and the run goes on.

    `recall` and `keep` hold finished cells, so that an interrupted run resumes. `workers` processes give the same rows as one.
    Raises UsageError for data without labels, an empty plan, or a victim or defence that cannot be sent to another process, and
    whatever the user's own victim or filter raises on the clean data.
    """
    if data.labels is None:
        raise UsageError("a red team needs labels", advice="name the label column with --label")
    cells = plan.cells()
    if not cells:
        raise UsageError("the plan is empty", advice="name at least one attack, one rate and one seed")
    fixed = repr((_same(victim.train) if isinstance(victim, Given) else repr(victim), data.fingerprint, plan.held_out, plan.device,
                  [(name, _same(keeps)) for name, keeps in plan.defences.items()]))
    keys = [_key(*cell, fixed) for cell in cells]
    done = {i: [Row(**r) for r in kept] for i, key in enumerate(keys) if (kept := recall(key)) is not None}
    todo = [i for i in range(len(cells)) if i not in done]
    each = len(plan.defences) + len(BASELINES)
    listener(Note(f"{len(cells)} cells" + (f", {len(done)} of them done before" if done else "") + f": up to {len(todo) * each} trainings "
                  f"and {len(todo) * len(plan.defences)} runs of a filter on about {round(len(data) * (1 - plan.held_out)):,} samples"))
    began = time.perf_counter()
    bench = Bench(data, plan, victim)
    if not done:
        bench.check()
    names = [f"{attack.info.name} {rate:g} seed {seed}" for attack, rate, seed in cells]
    waiting = iter(todo)
    for i in itertools.islice(waiting, max(1, workers)):
        listener(Started(names[i], i, len(cells)))
    with closing(crew(bench, todo, workers) if workers > 1 and len(todo) > 1 else ((i, bench.cell(i)) for i in todo)) as running:
        for count, (i, mine) in enumerate(running, 1):
            keep(keys[i], [r.to_dict() for r in mine])
            done[i] = mine
            listener(Finished(names[i], "found" if mine[0].implanted else "nothing", sum(r.seconds for r in mine)))
            if count == workers and count < len(todo):
                listener(Note(f"about {(time.perf_counter() - began) / count * (len(todo) - count) / 60:.0f} min are left"))
            for following in itertools.islice(waiting, 1):
                listener(Started(names[following], following, len(cells)))
    return [row for i in range(len(cells)) for row in done[i]]


_bench: Bench | None = None
"""That of a worker process."""


def _begin(bench: Bench) -> None:
    import signal
    from threading import Thread

    global _bench
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's business
    Thread(target=_end_with_parent, daemon=True).start()
    _bench = bench


def _end_with_parent() -> None:
    """A worker whose parent was killed stops too."""
    import os
    from multiprocessing import parent_process

    parent = parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _work(index: int) -> tuple[int, list[Row]]:
    assert _bench is not None
    return index, _bench.cell(index)


def crew(bench: Bench, todo: Sequence[int], workers: int) -> Generator[tuple[int, list[Row]]]:
    """Cells and their rows as they are finished, by `workers` processes, which are ended when the caller stops listening.

    Raises UsageError where the plan or the victim cannot be sent to another process, or a process dies.
    """
    from concurrent.futures import ProcessPoolExecutor, as_completed
    from concurrent.futures.process import BrokenProcessPool
    from multiprocessing import active_children, get_context
    from multiprocessing.reduction import ForkingPickler

    try:
        ForkingPickler.dumps((bench.plan, bench.victim))
    except Exception as error:  # whatever a foreign object raises
        raise UsageError(f"the victim or a defence cannot be sent to another process: {error}",
                         advice="define it at the top of a module, or use workers=1") from error
    before = {p.pid for p in active_children()}
    pool = ProcessPoolExecutor(min(workers, len(todo)), mp_context=get_context("spawn"), initializer=_begin, initargs=(bench,))
    try:
        for future in as_completed([pool.submit(_work, i) for i in todo]):
            yield future.result()
        pool.shutdown()
    except BaseException as error:
        for process in active_children():
            if process.pid not in before:
                process.terminate()
        pool.shutdown(wait=False, cancel_futures=True)
        if isinstance(error, BrokenProcessPool):
            raise UsageError("a worker process died", advice="a script needs its `if __name__ == \"__main__\":`; where memory is short, "
                             "use workers=1") from error
        raise


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

    Success before and after is that of the seeds in which the attack implanted. Where it did in none, `asr_before` is of all seeds and
    `asr_after` None: there was nothing to defend against.

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
        working = [r for r in mine if r.implanted]
        over = {"asr_before": working or mine, "asr_after": working}
        out.append({"attack": attack, "rate": rate, "defence": defence, "seeds": len(mine), "measure": mine[0].measure,
                    "implanted": sum(r.implanted for r in mine), "error": next((r.error for r in mine if r.error), ""),
                    "seconds": float(np.mean([r.seconds for r in mine])),
                    **{k: spread([v for r in over.get(k, mine) if (v := getattr(r, k)) is not None])
                       for k in ("asr_before", "asr_after", "recall", "precision", "false_positive_rate", "accuracy_clean",
                                 "accuracy_before", "accuracy_after")}})
    return out
