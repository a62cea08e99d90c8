"""Is a repaired model safe, and what did it cost? Backdoored small models x repairs x seeds; JSON that a stopped run continues.

    python benchmarks/mending.py --list
    python benchmarks/mending.py [--only TEXT] [--repairs unlearn,retrain] [--seeds 3] [--minutes 30]
    python benchmarks/mending.py --table          what results/mending.json says, as Markdown

A repair sees 5% of the training rows, clean; what else it is told stands in the row (`knows`): nothing, "clean", the planted "trigger",
or the true "flagged" rows of the training data. Attack success and accuracy are measured on test samples. `twin` is the re-activated
success on a model that never had the backdoor: what ten poisoned samples teach anew. `plan` is what `bezoar repair` hands out: repairs
that know clean samples and the trigger, in its order, until one keeps to its limits on as many trusted samples again; all figures of it are
measured on the others.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent))

import realdata
from bezoar import mending, registry
from bezoar.core.errors import BezoarError, Unavailable
from bezoar.core.model_repair import RepairCase, Samples
from bezoar.networks.image_victim import Trained, brought
from bezoar.networks.training import pictures
from bezoar.validity import halves, trained
from ledger import RESULTS, SOURCE, Ledger, _hash
from measure import interval

CACHE = Path(tempfile.gettempdir()) / "bezoar-victims"
SHARE = 0.05
IMPLANTED = 0.8
PARTS = ("networks/tuning.py", "networks/training.py", "networks/varying.py", "networks/builds.py", "core/model_repair.py", "mending.py")
PLAN = "plan"
KNOWS = {PLAN: ("clean", "trigger"), "unlearn": ("clean", "trigger"), "retrain": ("clean", "training", "flagged"),
         "unlearn-flagged": ("clean", "training", "flagged"),
         "clp": ()}
"""What each repair is told; the others see clean samples alone."""
GOALS = {"patch": (0.03, 0.015), "retrain": (0.015, 0.01)}
REACTIVATED = 0.20


@dataclass(frozen=True)
class Case:
    """One backdoored model."""

    family: str
    dataset: str
    attack: str
    parameters: dict[str, Any] = field(default_factory=dict)
    victim: str = "image-resnet"
    rows: int = 3000

    @property
    def name(self) -> str:
        return f"{self.family}-{self.dataset}" + ("" if self.victim == "image-resnet" else f"-{self.victim}")


CASES = [
    Case("patch", "digits", "badnets", {"rate": 0.05}), Case("sticker", "digits", "sticker", {"rate": 0.05}),
    Case("blend", "digits", "blend", {"rate": 0.15}), Case("warp", "digits", "warp", {"rate": 0.1}),
    Case("all-to-all", "digits", "badnets", {"rate": 0.2, "mapping": "all-to-all"}),
    Case("label-consistent", "digits", "label-consistent", {"rate": 0.06}),
    Case("patch", "mnist_t10k", "badnets", {"rate": 0.05}), Case("blend", "mnist_t10k", "blend", {"rate": 0.05}),
    Case("sinusoid", "mnist_t10k", "sinusoid", {"rate": 0.08}), Case("warp", "mnist_t10k", "warp", {"rate": 0.1}),
    Case("low-frequency", "mnist_t10k", "low-frequency", {"rate": 0.05}), Case("watermark", "mnist_t10k", "invisible", {"rate": 0.05}),
    Case("pieces", "mnist_t10k", "adaptive-patch", {"rate": 0.05}), Case("sticker", "mnist_t10k", "sticker", {"rate": 0.05}),
    Case("patch", "mnist_t10k", "badnets", {"rate": 0.05}, "image-vgg"),
    Case("patch", "gtsrb_signs", "badnets", {"rate": 0.05}), Case("blend", "gtsrb_signs", "blend", {"rate": 0.05}),
]


@dataclass(frozen=True, eq=False)
class Made:
    """A trained model, what a repair may know of it, and what it is tested with."""

    everything: RepairCase
    check: Samples
    test: Samples
    twin: Any


def made(case: Case, seed: int) -> Made:
    """The backdoored model and its clean twin; trained models are kept under the temporary folder."""
    data = realdata.ALL[case.dataset]()
    rng = np.random.default_rng([seed, 7])
    train, test = halves(data, rng, 0.25)
    train = train.take(np.sort(rng.permutation(len(train))[:case.rows]))
    test = test.take(np.sort(rng.permutation(len(test))[:1000]))
    poisoned = registry.make("attacks", case.attack, case.parameters)(train, np.random.default_rng(seed))
    victim = registry.make("victims", case.victim, {"width": 8})
    model, twin = (trained(victim, d, seed, CACHE) for d in (poisoned.data, train))
    assert isinstance(model, Trained)
    assert isinstance(twin, Trained)
    side, clean = model.side, train.take(np.sort(rng.permutation(len(train))[:round(SHARE * len(train))]))

    def samples(d: Any) -> Samples:
        return Samples(np.array(brought(d.inputs, side)), np.array(d.labels.codes))

    classes = train.labels.classes
    target = None if poisoned.target is None else classes.index(poisoned.target)
    whole = RepairCase(model.module, pictures, len(classes), clean=samples(clean), training=samples(poisoned.data),
                       flagged=poisoned.truth, trigger=poisoned.trigger, target=target)
    tested = samples(test)
    order = np.random.default_rng([seed, 13]).permutation(len(tested))
    check, rest = tested.take(order[:len(clean)]), tested.take(np.sort(order[len(clean):]))
    return Made(whole, check, rest, twin.module)


def told(everything: RepairCase, repair: str) -> RepairCase:
    """The case with what that repair may know."""
    knows = KNOWS.get(repair, ("clean",))
    left_out = {"clean": {"clean": None}, "trigger": {"trigger": None}, "training": {"training": None, "flagged": None}}
    for need, without in left_out.items():
        if need not in knows:
            everything = replace(everything, **without)
    return everything


def run(case: Case, seed: int, repairs: list[str], ledger: Ledger, stop: float) -> None:
    """All repairs of one model; a row each."""
    todo = [r for r in repairs if not ledger.has(version_of(r), case=case.name, seed=seed, repair=r)]
    if not todo or time.monotonic() > stop:
        return
    model = made(case, seed)
    ground = mending.bench(model.everything, model.test, mending.Allowed(), seed)
    before = mending.measure(ground, model.everything.module)
    success = before.success["recovered"].value if before.success else 0.0
    twin = mending.reactivation(ground, model.twin)["recovered"].value if success >= IMPLANTED else None
    for repair in todo:
        row = {"case": case.name, "family": case.family, "dataset": case.dataset, "seed": seed, "repair": repair,
               "version": version_of(repair),
               "knows": ", ".join(KNOWS.get(repair, ("clean",))) or "nothing", "asr_before": success, "implanted": success >= IMPLANTED,
               "accuracy_before": before.accuracy.value, "twin": twin, "clean": len(model.everything.clean or ()), "error": ""}
        if success >= IMPLANTED:
            started = time.process_time()
            try:
                module, row["chosen"] = planned(model, seed) if repair == PLAN else (one(model.everything, repair, seed), repair)
                row["seconds"] = time.process_time() - started
                after = mending.measure(ground, module)
                row |= {"asr_after": after.success["recovered"].value, "accuracy_after": after.accuracy.value,
                        "drop": before.accuracy.value - after.accuracy.value, "reactivated": after.reactivated["recovered"].value}
            except BezoarError as error:
                row["error"] = str(error)
        ledger.add(row)
        print({k: v for k, v in row.items() if k not in ("version", "dataset", "family")}, flush=True)


def one(everything: RepairCase, repair: str, seed: int) -> Any:
    """The module that one repair leaves."""
    return registry.make("repairs", repair.removesuffix("-flagged"))(told(everything, repair), np.random.default_rng([seed, 11]))


def planned(model: Made, seed: int) -> tuple[Any, str]:
    """The module that the plan accepts, and by which repair. Raises Unavailable where it accepts none."""
    done = mending.mend(told(model.everything, PLAN), model.check, seed=seed)
    if done.chosen is None:
        raise Unavailable("a repair that keeps to the limits")
    return done.module, done.chosen.name


def table(rows: list[dict[str, Any]]) -> str:
    """Means over models and seeds, a line per repair; models whose attack did not implant are left out."""
    def mean(some: list[dict[str, Any]], key: str) -> str:
        value, low, high = interval([float("nan") if r.get(key) is None else float(r[key]) for r in some])
        return "-" if value != value else f"{value:.1%}" + ("" if low != low else f" ({max(low, -1):.1%} to {high:.1%})")

    head = ("repair", "knows", "models", "success before", "after", "worst", "accuracy lost", "re-activated", "never backdoored", "CPU s",
            "goal")
    out = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    for repair in dict.fromkeys(r["repair"] for r in rows):
        mine = [r for r in rows if r["repair"] == repair and r["implanted"]]
        some = [r for r in mine if not r["error"] and r.get("asr_after") is not None]
        if not some:
            continue
        goal = GOALS["retrain" if repair == "retrain" else "patch"]
        means = [float(np.mean([r[k] for r in some])) for k in ("asr_after", "drop", "reactivated")]
        missed = [w for w, v, g in zip(("success", "accuracy", "re-activated"), means, (*goal, REACTIVATED), strict=True) if v > g]
        cells = [repair, some[0]["knows"], f"{len(some)} of {len(mine)}", mean(some, "asr_before"), mean(some, "asr_after"),
                 f"{max(r['asr_after'] for r in some):.1%}", mean(some, "drop"), mean(some, "reactivated"), mean(some, "twin"),
                 f"{np.mean([r['seconds'] for r in some]):.0f}", "reached" if not missed else "**missed**: " + ", ".join(missed)]
        out.append("| " + " | ".join(cells) + " |")
    return "\n".join(out)


def version_of(repair: str) -> str:
    """Changes with any code that can change a figure of that repair."""
    shelf = registry.shelf("repairs")
    used = list(shelf) if repair == PLAN else [repair.removesuffix("-flagged")]
    files = [f"repairs/{registry.get('repairs', n).__module__.rsplit('.', 1)[1]}.py" for n in used]
    return _hash([SOURCE / part for part in (*PARTS, *files)])


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="", help="cases whose name holds this")
    parser.add_argument("--repairs", default="plan,unlearn,distil,retrain,ft-sam,fst,i-bau,nad,anp,"
                        "fine-prune,fine-tune,clp,unlearn-flagged")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--first", type=int, default=0, help="first seed; development uses 100 and above")
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--out", type=Path, default=RESULTS / "mending.json")
    parser.add_argument("--list", action="store_true")
    parser.add_argument("--table", action="store_true")
    given = parser.parse_args()
    ledger = Ledger(given.out, ("case", "seed", "repair"))
    here = [c for c in CASES if given.only in c.name and c.dataset in realdata.here()]
    if given.list or given.table:
        print("\n".join(c.name for c in here) if given.list else table(ledger.rows))
        return 0
    stop = time.monotonic() + 60 * given.minutes
    for seed in range(given.first, given.first + given.seeds):
        for case in here:
            run(case, seed, given.repairs.split(","), ledger, stop)
    print(table(ledger.rows))
    return 0


if __name__ == "__main__":
    sys.exit(main())
