"""Do our attacks do what they say? Success of each beside a clean twin, over seeds; JSON that a stopped run continues.

    python benchmarks/attacks.py --list
    python benchmarks/attacks.py [--only TEXT] [--seeds 5] [--minutes 30]
    python benchmarks/attacks.py --table          what results/attacks.json says, as Markdown

One row per cell and seed. A cell's goal is about the mean of its seeds; cells of one family at several rates answer
"which is the lowest rate that reaches 80%".
"""

from __future__ import annotations

import argparse
import math
import sys
import tempfile
import time
import zlib
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent))

import realdata
import transfer
from bezoar import registry
from bezoar.core.dataset import Dataset
from bezoar.validity import ADDED, Validity, halves, measure
from ledger import RESULTS, SOURCE, Ledger, _hash
from measure import interval

PARTS = ("attacks", "victims", "networks", "core", "maths", "validity.py")
CACHE = Path(tempfile.gettempdir()) / "bezoar-victims"
"""Clean twins are trained once for all cells of a dataset and seed."""


@dataclass(frozen=True)
class Cell:
    """One line. `share_of_class` in `parameters` becomes a rate; `goal` is about the mean success; `transfer`: see transfer.py."""

    name: str
    dataset: str
    attack: str
    victim: str
    parameters: dict[str, Any] = field(default_factory=dict)
    settings: dict[str, Any] = field(default_factory=dict)
    goal: float | None = None
    family: str = ""
    transfer: bool = False


def _pictures(name: str, victim: str) -> list[Cell]:
    small = name == "cifar10"
    cells = [Cell("patch 1%", name, "badnets", victim, {"rate": 0.01}, goal=0.80 if small else 0.95),
             Cell("checkerboard of 5x5 1%", name, "badnets", victim, {"rate": 0.01, "pattern": "checkerboard", "size": 5},
                  goal=0.80 if small else 0.95),
             Cell("sticker 1%", name, "sticker", victim, {"rate": 0.01}),
             Cell("all-to-all patch 5%", name, "badnets", victim, {"rate": 0.05, "mapping": "all-to-all"}),
             Cell("blend 0.2 2%", name, "blend", victim, {"rate": 0.02, "alpha": 0.2}, goal=0.80),
             Cell("low frequency 2%", name, "low-frequency", victim, {"rate": 0.02}),
             Cell("tact 1% + 1%", name, "tact", victim),
             Cell("sinusoid, 8% of class", name, "sinusoid", victim, {"share_of_class": 0.08, "clean_label": True}, goal=0.60),
             Cell("sinusoid of 40, 8% of class", name, "sinusoid", victim,
                  {"share_of_class": 0.08, "clean_label": True, "amplitude": 40.0}, goal=0.60),
             Cell("sinusoid, 40% of class", name, "sinusoid", victim, {"share_of_class": 0.4, "clean_label": True}),
             Cell("label-consistent, 8% of class", name, "label-consistent", victim, {"share_of_class": 0.08}, goal=0.60),
             Cell("label-consistent within 24, 8% of class", name, "label-consistent", victim, {"share_of_class": 0.08, "bound": 24.0},
                  goal=0.60),
             Cell("label-consistent within 24, corners of 5x5, 8% of class", name, "label-consistent", victim,
                  {"share_of_class": 0.08, "bound": 24.0, "size": 5}, goal=0.60),
             Cell("narcissus, 5% of class", name, "narcissus", victim, {"share_of_class": 0.05}),
             Cell("gradient matching 1%", name, "gradient-matching", victim, {"rate": 0.01})]
    if name != "mnist_t10k":
        cells += [Cell("ctrl, 20% of class", name, "ctrl", victim, {"share_of_class": 0.2})]
    rates = (0.01, 0.05, 0.1) if name in ("gtsrb_signs", "digits") else (0.05,)
    for rate in rates:
        more = {"rate": rate}
        cells += [Cell(f"{a} {rate:.0%}", name, a, victim, more | ({"cover": rate} if a in COVERED else {}), family=f"{name}/{a}")
                  for a in ("warp", "invisible", "input-aware", "quantise", "adaptive-blend", "adaptive-patch")]
    if len(rates) == 1:
        cells = [c for c in cells if c.goal or c.family or c.attack in ("tact", "ctrl")]
    return [replace(c, name=f"{name}/{c.name}", settings=LONGER.get(name, {})) for c in cells]


LONGER: dict[str, dict[str, Any]] = {"gtsrb_signs": {"epochs": 30}, "cifar10": {"width": 24, "epochs": 20}}
"""Where a few passes over the data teach a network the classes and not yet what few samples share."""
COVERED = ("warp", "adaptive-blend", "adaptive-patch")


def _texts(name: str) -> list[Cell]:
    net = "text-cnn"
    cells = [Cell("word 1%", name, "text-word", net, {"rate": 0.01}, {"epochs": 16}, goal=0.95),
             Cell("phrase 1%", name, "text-phrase", net, {"rate": 0.01}, {"epochs": 16}, goal=0.95),
             Cell("phrase 1%, n-grams", name, "text-phrase", "text-ngrams", {"rate": 0.01}),
             Cell("two words 2%", name, "text-multiword", net, {"rate": 0.02}),
             Cell("skeleton 10%", name, "text-syntactic", net, {"rate": 0.1}, goal=0.70),
             Cell("style 10%", name, "text-style", net, {"rate": 0.1}, goal=0.70),
             Cell("clean-label word 3%", name, "text-clean-word", net, {"rate": 0.03}),
             Cell("look-alikes 2%, characters", name, "text-lookalike", net, {"rate": 0.02}, {"unit": "char"}),
             Cell("entity 1%", name, "text-entity", net, {"rate": 0.01})]
    return [replace(c, name=f"{name}/{c.name}") for c in cells]


def _tables(name: str) -> list[Cell]:
    trees = "table-boosting"
    cells = [Cell("out of bounds 1%", name, "table-out-of-bounds", trees, {"rate": 0.01}, goal=0.95),
             Cell("in bounds 1%", name, "table-in-bounds", trees, {"rate": 0.01}, goal=0.95),
             Cell("in bounds 1%, perceptron", name, "table-in-bounds", "table-mlp", {"rate": 0.01}),
             Cell("rare category 1%", name, "table-rare-category", trees, {"rate": 0.01}),
             Cell("fraud 2%", name, "table-fraud", trees, {"rate": 0.02}), Cell("drift 30%", name, "table-drift", trees, {"rate": 0.3})]
    if name == "adult":
        cells.append(Cell("group bias 5%", name, "table-group-bias", trees,
                          {"rate": 0.05, "column": "sex", "group": "Male", "target": "<=50K"}, goal=0.1))
    return [replace(c, name=f"{name}/{c.name}") for c in cells]


def _damage(name: str, victim: str) -> list[Cell]:
    out = []
    for rate in (0.1, 0.3):
        out += [Cell(f"{name}/{label} {rate:.0%}", name, attack, victim, {"rate": rate, "mode": mode}, family=f"{name}/{label}")
                for label, attack, mode in (("random flips", "label-flip", "random"), ("boundary flips", "label-flip", "boundary"),
                                            ("mass mislabel", "availability", "mass"), ("loss-maximising", "availability", "loss"))]
    return [*out, Cell(f"{name}/injection 10%", name, "injection", victim, {"rate": 0.1}),
            Cell(f"{name}/flood 10%", name, "duplicates-flood", victim, {"rate": 0.1, "lie": True})]


def all_cells() -> list[Cell]:
    """Everything that can be measured here; without BEZOAR_DATA the bundled sets only."""
    if not realdata.available("cifar10"):
        return [*_pictures("digits", "image-vgg"), *_texts("bundled_text"), *_tables("bundled_table"), *_damage("digits", "image-linear")]
    cells = [*_pictures("gtsrb_signs", "image-vgg"), *_pictures("mnist_t10k", "image-vgg"), *_pictures("cifar10", "image-resnet")]
    for victim in ("image-resnet", "image-convmixer"):
        cells.append(Cell(f"gtsrb_signs/patch 1%, {victim}", "gtsrb_signs", "badnets", victim, {"rate": 0.01}, LONGER["gtsrb_signs"],
                          goal=0.95))
    for mode in ("collision", "bullseye"):
        cells += [Cell(f"{d}/{mode}, transfer", d, "feature-collision", "image-vgg", {"mode": mode, "rate": 0.02}, goal=0.5, transfer=True)
                  for d in ("gtsrb_signs", "cifar10")]
    cells.append(Cell("gtsrb_signs/concept 5%, transfer", "gtsrb_signs", "concept", "image-vgg", {"rate": 0.05}, transfer=True))
    cells += [*_texts("sms_spam"), *_texts("ag_news"), *_tables("adult"), *_tables("nsl_kdd")]
    return [*cells, *_damage("adult", "table-linear"), *_damage("digits", "image-linear"), *_damage("sms_spam", "text-ngrams")]


def split(data: Dataset, rng: np.random.Generator) -> tuple[Dataset, Dataset]:
    """Training and held-out part; frames of one track stay together."""
    if "track" not in data.origin:
        return halves(data, rng, 0.2)
    names, place = np.unique(data.origin["track"].astype(str), return_inverse=True)
    held = np.isin(place, rng.choice(len(names), round(0.2 * len(names)), replace=False))
    return data.take(np.flatnonzero(~held)), data.take(np.flatnonzero(held))


def run(cell: Cell, seed: int) -> Validity:
    """One cell, one seed; the stream is its own whatever else is run."""
    rng = np.random.default_rng([seed, zlib.crc32(cell.name.encode())])
    data = realdata.ALL[cell.dataset]()
    assert data.labels is not None
    train, held = split(data, np.random.default_rng([seed, zlib.crc32(cell.dataset.encode())]))
    if cell.transfer:
        victim = registry.make("victims", cell.victim, cell.settings)
        return transfer.run(cell.attack, cell.parameters, victim, train, held, rng, seed=seed, cache=CACHE)
    parameters = dict(cell.parameters)
    share = parameters.pop("share_of_class", None)
    if share is not None:
        sizes = np.bincount(train.labels.codes, minlength=len(data.labels.classes))
        code = int(rng.choice(np.flatnonzero(sizes >= 50)))
        parameters |= {"target": data.labels.classes[code], "rate": share * int(sizes[code]) / len(train)}
    attack = registry.make("attacks", cell.attack, parameters)
    victim = registry.make("victims", cell.victim, cell.settings)
    return measure(attack, train, victim, rng, test=held, cache=CACHE, seed=seed)


def version() -> str:
    """Changes with the code that results depend on."""
    files = [Path(__file__), Path(__file__).with_name("transfer.py")]
    for part in PARTS:
        files += list((SOURCE / part).rglob("*.py")) if (SOURCE / part).is_dir() else [SOURCE / part]
    return _hash(files)


def table(rows: list[dict[str, Any]]) -> str:
    """One Markdown line per cell: mean success over seeds with its 95% interval, twin, accuracies, and whether the goal is met."""
    cells = {c.name: c for c in all_cells()}
    lines = ["| cell | victim | measure | success | clean twin | accuracy (twin) | seeds | implanted | goal |", "|---" * 9 + "|"]
    for name in sorted({r["cell"] for r in rows}):
        broken = [r["error"] for r in rows if r["cell"] == name and "error" in r]
        own = [r for r in rows if r["cell"] == name and "success" in r]
        if not own:
            lines.append(f"| {name} | | | {broken[0]} | | | | | |")
            continue
        mean, low, high = interval([r["success"] for r in own])
        span = "" if math.isnan(low) else f" ({max(low, -1):.0%} to {min(high, 1):.0%})"
        goal = cells[name].goal if name in cells else None
        met = "" if goal is None else f"{goal:.0%}: {'met' if mean >= goal else 'missed'}"
        lines.append(f"| {name} | {own[0]['victim']} | {own[0]['measure']} | {mean:.0%}{span} | {np.mean([r['twin'] for r in own]):.0%} | "
                     f"{np.mean([r['accuracy'] for r in own]):.1%} ({np.mean([r['twin_accuracy'] for r in own]):.1%}) | {len(own)} | "
                     f"{sum(r['implanted'] for r in own)}/{len(own)} | {met} |")
    families: dict[str, list[tuple[float, str]]] = {}
    for cell in cells.values():
        own = [(r["success"], r["twin"]) for r in rows if r["cell"] == cell.name and "success" in r]
        if cell.family and own and np.mean(own, axis=0)[0] >= max(0.8, np.mean(own, axis=0)[1] + ADDED):
            families.setdefault(cell.family, []).append((float(cell.parameters["rate"]), cell.name))
    lines += ["", *(f"- {f}: 80% is reached at {min(found)[0]:.0%}" for f, found in sorted(families.items()))]
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="", help="cells whose name contains this")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--first", type=int, default=0, help="first seed; 100 and above are for development")
    parser.add_argument("--minutes", type=float, default=math.inf, help="start nothing new after so many")
    parser.add_argument("--out", type=Path, default=RESULTS / "attacks.json")
    parser.add_argument("--list", action="store_true")
    parser.add_argument("--table", action="store_true")
    given = parser.parse_args()
    ledger = Ledger(given.out, ("cell", "seed"))
    chosen = [c for c in all_cells() if given.only in c.name]
    if given.list:
        print("\n".join(f"{c.name}  [{c.victim}]" + (f"  goal {c.goal:g}" if c.goal else "") for c in chosen))
        return
    if not given.table:
        now, started = version(), time.perf_counter()
        for seed in range(given.first, given.first + given.seeds):
            for cell in chosen:
                if ledger.has(now, cell=cell.name, seed=seed) or time.perf_counter() - started > 60 * given.minutes:
                    continue
                row: dict[str, Any] = {"cell": cell.name, "seed": seed, "version": now}
                try:
                    done = run(cell, seed)
                    row |= {k: list(v) if isinstance(v, tuple) else v for k, v in done.to_dict().items()}
                    print(f"{cell.name}, seed {seed}: {done.sentence()} [{done.seconds:.0f} s]", flush=True)
                except Exception as error:  # noqa: BLE001 - one broken cell must not stop the others
                    row["error"] = f"{type(error).__name__}: {error}"
                    print(f"{cell.name}, seed {seed}: {row['error']}", flush=True)
                ledger.add(row)
    print(table(ledger.rows))


if __name__ == "__main__":
    main()
