"""Which repair, and is it good enough: candidates in order, each measured before and after, none accepted that misses a limit.

In memory; `bezoar.remedy` reads and writes the files. Measured on trusted samples that no repair saw.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from bezoar import registry
from bezoar.core.errors import BezoarError, Unavailable, UsageError
from bezoar.core.events import Finished, Listener, Started, deaf
from bezoar.core.model_repair import ModelRepair, RepairCase, Samples
from bezoar.core.trigger import Trigger
from bezoar.maths.multiple import clopper_pearson

PREFERENCE = ("retrain", "distil", "unlearn", "ft-sam", "i-bau", "fst", "nad", "anp", "fine-prune", "fine-tune", "clp")
"""Best first; a repair on the shelf that is not named here comes last."""
NOT_NEEDED = "a better one was accepted"
LEAST_CHECKED = 10
"""Trusted samples for measuring, at least."""

Triggers = Mapping[str, tuple[Trigger, int | None]]
"""Name to a trigger and the class code it leads to (None: not one class)."""


@dataclass(frozen=True)
class Allowed:
    """What a repaired model must keep to. Shares in [0, 1]; attack success is held against what goes to the target without the trigger.

    success      attack success at most, for the recovered trigger and for the known one
    drop         accuracy that may be lost
    class_drop   accuracy that one class may lose, where the loss is more than chance (sign test at 5%)
    reactivated  attack success at most after fine-tuning on trusted samples and `poisoned` triggered ones, for `passes` passes
    unmeasured   accept without a trigger to measure attack success with
    """

    success: float = 0.03
    drop: float = 0.015
    class_drop: float = 0.10
    reactivated: float = 0.20
    poisoned: int = 10
    passes: int = 5
    unmeasured: bool = False

    def __post_init__(self) -> None:
        for name in ("success", "drop", "class_drop", "reactivated"):
            if not 0 <= getattr(self, name) <= 1:
                raise UsageError(f"limit {name} {getattr(self, name)} is not between 0 and 1", advice="give a share, such as 0.03")
        if self.poisoned < 1 or self.passes < 1:
            raise UsageError("the re-activation test needs a poisoned sample and a pass", advice="the defaults are 10 and 5")


@dataclass(frozen=True)
class Share:
    """`hits` of `of`, with the exact 95% interval."""

    hits: int
    of: int

    @property
    def value(self) -> float:
        return self.hits / self.of if self.of else 0.0

    @property
    def interval(self) -> tuple[float, float]:
        return clopper_pearson(self.hits, self.of)

    def to_dict(self) -> dict[str, Any]:
        """JSON form."""
        low, high = self.interval
        return {"share": round(self.value, 6), "hits": self.hits, "of": self.of, "low": round(low, 6), "high": round(high, 6)}


@dataclass(frozen=True)
class Measured:
    """One model: accuracy, accuracy of each class, and attack success per trigger ("recovered", "known"), also after re-activation;
    `without`: how many of the same samples go there without the trigger."""

    accuracy: Share
    classes: tuple[Share, ...]
    success: dict[str, Share]
    reactivated: dict[str, Share]
    without: dict[str, Share]

    def to_dict(self) -> dict[str, Any]:
        """JSON form."""
        return {"accuracy": self.accuracy.to_dict(), "classes": [c.to_dict() for c in self.classes],
                "success": {k: v.to_dict() for k, v in self.success.items()},
                "reactivated": {k: v.to_dict() for k, v in self.reactivated.items()},
                "without": {k: v.to_dict() for k, v in self.without.items()}}


@dataclass(frozen=True, eq=False)
class Attempt:
    """One repair: accepted | rejected | unmeasured | skipped | failed, why, and what it left."""

    name: str
    parameters: dict[str, Any]
    status: str
    reasons: tuple[str, ...] = ()
    after: Measured | None = None
    seconds: float = 0.0
    module: Any = None

    def to_dict(self) -> dict[str, Any]:
        """JSON form, without the module."""
        return {"repair": self.name, "parameters": self.parameters, "status": self.status, "reasons": list(self.reasons),
                "after": None if self.after is None else self.after.to_dict(), "seconds": round(self.seconds, 3)}


@dataclass(frozen=True, eq=False)
class Mended:
    """The verdict: accepted | rejected | unmeasured (no trigger to measure with) | impossible (nothing could run)."""

    verdict: str
    before: Measured
    attempts: tuple[Attempt, ...]
    allowed: Allowed
    checked: int
    notes: tuple[str, ...] = ()

    @property
    def chosen(self) -> Attempt | None:
        """The accepted attempt."""
        return next((a for a in self.attempts if a.status == "accepted"), None)

    @property
    def module(self) -> Any:
        """The repaired module, or None where nothing was accepted."""
        return None if self.chosen is None else self.chosen.module

    def to_dict(self) -> dict[str, Any]:
        """JSON form."""
        return {"verdict": self.verdict, "chosen": None if self.chosen is None else self.chosen.name, "before": self.before.to_dict(),
                "attempts": [a.to_dict() for a in self.attempts], "limits": asdict(self.allowed), "checked": self.checked,
                "notes": list(self.notes)}


@dataclass(frozen=True, eq=False)
class Bench:
    """What repairs are measured with: samples that none of them saw, triggers, and the answers of the model before."""

    case: RepairCase
    check: Samples
    triggers: Triggers
    allowed: Allowed
    seed: int
    answers: np.ndarray
    aims: dict[str, tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]]
    """Per trigger: triggered rows, their own codes, the codes that count as success, and where the rows stand in `check`."""


def split(clean: Samples, classes: int, rng: np.random.Generator) -> tuple[Samples, Samples]:
    """(for tuning, for measuring), half and half in every class; the odd one tunes."""
    tunes = np.zeros(len(clean), bool)
    for code in range(classes):
        rows = rng.permutation(np.flatnonzero(clean.codes == code))
        tunes[rows[:-(-len(rows) // 2)]] = True
    known = clean.codes >= 0
    return clean.take(np.flatnonzero(tunes & known)), clean.take(np.flatnonzero(~tunes & known))


def bench(case: RepairCase, check: Samples, allowed: Allowed, seed: int, triggers: Triggers | None = None) -> Bench:
    """Ask the suspect once about all that repairs are compared by; without `triggers`, that of the case is the recovered one."""
    if len(check) < LEAST_CHECKED:
        raise UsageError(f"{len(check)} trusted samples are left to measure with; {LEAST_CHECKED} are needed",
                         advice="give more with --data")
    if triggers is None:
        triggers = {} if case.trigger is None else {"recovered": (case.trigger, case.target)}
    aims = {}
    for name, (trigger, target) in triggers.items():
        rng = np.random.default_rng([seed, 3])
        rows = np.arange(len(check)) if target is None else np.flatnonzero(check.codes != target)
        if not len(rows):
            raise UsageError("every trusted sample is of the target class", advice="give samples of other classes too")
        x = case.stamped(check.x[rows], rng, trigger)
        own = check.codes[rows]
        goal = np.full(len(rows), target) if target is not None else _mapping(ask(case.module, x, case), own, case.classes)[own]
        keep = goal != own
        if keep.any():
            aims[name] = (x[keep], own[keep], goal[keep], rows[keep])
    answers = ask(case.module, check.x, case)
    if (answers == check.codes).mean() <= 1.2 / case.classes:
        raise UsageError(f"the model is right on {(answers == check.codes).mean():.0%} of the trusted samples, as by chance",
                         advice="are the order of its classes, the size and the scale of its inputs right?")
    return Bench(case, check, dict(triggers), allowed, seed, answers, aims)


def _mapping(answers: np.ndarray, own: np.ndarray, classes: int) -> np.ndarray:
    """(K,) where samples of each class mostly go when triggered; their own class where they stay."""
    counts = np.zeros((classes, classes), np.int64)
    np.add.at(counts, (own, answers), 1)
    return np.where(counts.sum(axis=1) > 0, counts.argmax(axis=1), np.arange(classes))


def ask(module: Any, x: np.ndarray, case: RepairCase) -> np.ndarray:
    from bezoar.networks.training import seeded
    from bezoar.networks.tuning import answers

    with seeded(0):
        return answers(module.eval(), x, case.tensor)


def measure(bench: Bench, module: Any, reactivate: bool = True) -> Measured:
    """Everything about one module; the re-activation test runs on a copy."""
    said = ask(module, bench.check.x, bench.case)
    right = said == bench.check.codes
    classes = tuple(Share(int(right[bench.check.codes == k].sum()), int((bench.check.codes == k).sum())) for k in range(bench.case.classes))
    again = reactivation(bench, module) if reactivate else {}
    success = {k: Share(int((ask(module, x, bench.case) == goal).sum()), len(goal)) for k, (x, _, goal, _) in bench.aims.items()}
    without = {k: Share(int((said[rows] == goal).sum()), len(goal)) for k, (_, _, goal, rows) in bench.aims.items()}
    return Measured(Share(int(right.sum()), len(right)), classes, success, again, without)


def reactivation(bench: Bench, module: Any) -> dict[str, Share]:
    """Attack success after a copy was tuned on the trusted samples and a few triggered ones with the target's label."""
    case = bench.case
    if case.clean is None:
        return {}
    found = {}
    for name, (trigger, target) in bench.triggers.items():
        if name not in bench.aims:
            continue
        rng = np.random.default_rng([bench.seed, 5])
        clean = case.clean
        open_rows = np.arange(len(clean)) if target is None else np.flatnonzero(clean.codes != target)
        drawn = rng.permutation(open_rows)[:bench.allowed.poisoned]
        own = clean.codes[drawn]
        tried, before, wanted, _ = bench.aims[name]
        goal = np.full(len(drawn), target) if target is not None else _mapping(wanted, before, case.classes)[own]
        x = np.concatenate([clean.x, case.stamped(clean.x[drawn], rng, trigger)])
        tuned = reactivated(module, x, np.concatenate([clean.codes, goal]), case, rng, bench.allowed.passes)
        found[name] = Share(int((ask(tuned, tried, case) == wanted).sum()), len(wanted))
    return found


def reactivated(module: Any, x: np.ndarray, codes: np.ndarray, case: RepairCase, rng: np.random.Generator, passes: int) -> Any:
    """A copy of the module after careful fine-tuning on these rows: at this pace a network without a backdoor learns little anew."""
    from torch.nn import functional

    from bezoar.networks.reading import logits_of
    from bezoar.networks.training import seeded
    from bezoar.networks.tuning import tune

    copied = copy.deepcopy(module)
    for p in copied.parameters():
        p.requires_grad_(p.is_floating_point())
    with seeded(int(rng.integers(1 << 31))):
        return tune(copied, x, codes, rng, tensor=case.tensor, loss=lambda m, i, o, _: functional.cross_entropy(logits_of(m(i)), o),
                    steps=passes * -(-len(x) // 32), rate=0.001, statistics=False)


def judged(bench: Bench, before: Measured, after: Measured, module: Any) -> tuple[str, ...]:
    """Every limit that `after` misses, in words."""
    allowed, missed = bench.allowed, []
    for name, share in after.success.items():
        if share.value - after.without[name].value > allowed.success:
            missed.append(f"the {name} trigger still succeeds on {share.value:.1%} of {share.of:,} samples{_beside(after, name)}; "
                          f"at most {allowed.success:.1%} is allowed")
    lost = before.accuracy.value - after.accuracy.value
    if lost > allowed.drop + 1e-9:
        missed.append(f"accuracy falls by {lost * 100:.1f} points; at most {allowed.drop * 100:.1f} are allowed")
    worst = worst_class(bench, module)
    if worst is not None and worst[1] > allowed.class_drop:
        missed.append(f"class {worst[0]} loses {worst[1]:.0%}; at most {allowed.class_drop:.0%} is allowed")
    for name, share in after.reactivated.items():
        if share.value - after.without[name].value > allowed.reactivated:
            missed.append(f"after {allowed.poisoned} poisoned samples the {name} trigger succeeds on {share.value:.0%} "
                          f"again{_beside(after, name)}; at most {allowed.reactivated:.0%} is allowed")
    return tuple(missed)


def _beside(after: Measured, name: str) -> str:
    share = after.without[name].value
    return f" ({share:.1%} go there without it)" if share else ""


def worst_class(bench: Bench, module: Any) -> tuple[int, float] | None:
    """(class code, share of its accuracy lost) of the class that loses most beyond chance; None where none does."""
    from scipy.stats import binomtest

    own = bench.check.codes
    was, now = bench.answers == own, ask(module, bench.check.x, bench.case) == own
    found: list[tuple[float, int]] = []
    for code in np.unique(own).tolist():
        rows = own == code
        lost, won = int((was & ~now)[rows].sum()), int((~was & now)[rows].sum())
        if lost > won and binomtest(lost, lost + won, alternative="greater").pvalue < 0.05:
            found.append(((lost - won) / int(rows.sum()), code))
    return (max(found)[1], max(found)[0]) if found else None


def candidates(case: RepairCase, names: Sequence[str] | None = None) -> list[ModelRepair]:
    """Model repairs in order of preference: the named ones, or all that the shelf has."""
    shelf = {n: c for n, c in registry.shelf("repairs").items() if issubclass(c, ModelRepair)}
    for name in names or ():
        if name not in shelf:
            raise UsageError(f"no model repair called {name!r}", advice="there are: " + ", ".join(shelf))
    order = names or sorted(shelf, key=lambda n: (PREFERENCE.index(n) if n in PREFERENCE else len(PREFERENCE), n))
    return [shelf[n]() for n in order if shelf[n]().supports(case.modality)]


def mend(case: RepairCase, check: Samples, *, allowed: Allowed | None = None, repairs: Sequence[ModelRepair] | None = None, seed: int = 0,
         triggers: Triggers | None = None, every: bool = False, minutes: float = 0.0, listener: Listener = deaf) -> Mended:
    """Try repairs until one keeps to the limits, and say of each what it left.

    check    trusted samples that no repair sees
    triggers that success is measured with: "recovered", "known"; default: that of the case
    every    try the rest too, for comparison; the first accepted one stays the choice
    minutes  start no further repair after so long; 0 for no limit

    >>> Allowed().success
    0.03
    """
    allowed = allowed or Allowed()
    started = time.perf_counter()
    case = replace(case, drop=min(case.drop, allowed.drop))
    ground = bench(case, check, allowed, seed, triggers)
    before = measure(ground, case.module)
    todo = list(candidates(case) if repairs is None else repairs)
    attempts: list[Attempt] = []
    for k, repair in enumerate(todo):
        name = repair.info.name
        late = minutes > 0 and time.perf_counter() - started > 60 * minutes
        if late or (not every and any(a.status == "accepted" for a in attempts)):
            why = "the time is used up" if late else NOT_NEEDED
            attempts.append(Attempt(name, repair.parameters(), "skipped", (why,)))
            continue
        listener(Started(name, k, len(todo)))
        attempts.append(_attempt(repair, ground, before))
        listener(Finished(name, attempts[-1].status, attempts[-1].seconds))
    tried = {a.status for a in attempts}
    verdict = next((v for v in ("accepted", "unmeasured", "rejected") if v in tried), "impossible")
    return Mended(verdict, before, _one_choice(attempts), allowed, len(check), _notes(ground))


def _one_choice(attempts: list[Attempt]) -> tuple[Attempt, ...]:
    """Modules are kept for the choice alone."""
    first = next((a for a in attempts if a.status == "accepted"), None)
    return tuple(a if a is first else replace(a, module=None) for a in attempts)


def _attempt(repair: ModelRepair, ground: Bench, before: Measured) -> Attempt:
    started = time.perf_counter()
    name, parameters = repair.info.name, repair.parameters()
    try:
        module = repair(ground.case, np.random.default_rng([ground.seed, 11]))
        seconds = time.perf_counter() - started
        after = measure(ground, module)
    except Unavailable as error:
        return Attempt(name, parameters, "skipped", (str(error),), seconds=time.perf_counter() - started)
    except BezoarError as error:
        return Attempt(name, parameters, "failed", (str(error),), seconds=time.perf_counter() - started)
    missed = judged(ground, before, after, module)
    if missed:
        return Attempt(name, parameters, "rejected", missed, after, seconds)
    if not after.success and not ground.allowed.unmeasured:
        why = "no trigger is known, so nobody can say whether the backdoor is gone"
        return Attempt(name, parameters, "unmeasured", (why,), after, seconds)
    return Attempt(name, parameters, "accepted", (), after, seconds, module)


def _notes(ground: Bench) -> tuple[str, ...]:
    """What the figures cannot say."""
    notes = []
    if len(ground.check) < 100:
        notes.append(f"measured on {len(ground.check):,} samples, one of them is {1 / len(ground.check):.1%}: more of them say more")
    for name in ground.triggers:
        if name not in ground.aims:
            notes.append(f"the {name} trigger changes no answer of the model, so its success cannot be measured")
    if "known" not in ground.triggers and ground.triggers:
        notes.append("success is that of the recovered trigger, which may be another shortcut than the planted one")
    return tuple(notes)
