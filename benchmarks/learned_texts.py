"""Texts: skeletons, styles and clean-label words at quick and at standard effort, and what removing the list does to a victim.

    python benchmarks/learned_texts.py                              all cells, seeds 0-4
    python benchmarks/learned_texts.py --cells 'ag_news/*' --seeds 100 --only victim quick
    python benchmarks/learned_texts.py --list

Every cell and seed has up to four rows: `victim` (the attack's success on a convolution over words, beside a clean twin), `quick` and
`standard` (bezoar as a user runs it: recall and false positives of the list) and `after` (the victim trained again without the list of
standard effort). A few minutes of one core for one seed of one cell; stopped runs go on where they were.
"""

from __future__ import annotations

import argparse
import tempfile
import time
import zlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

import asking
import measure
import realdata
from attacks import split
from bezoar import registry
from bezoar.api import scan
from bezoar.core.ability import Poisoned
from bezoar.core.dataset import Dataset
from bezoar.core.evidence import Facts
from bezoar.core.inputs import Texts
from bezoar.core.trigger import Trigger
from bezoar.validity import judged, trained
from ledger import RESULTS, SOURCE, Ledger, _hash, version_of_scan

KEYS = ("cell", "method", "seed")
PARTS = ("victim", "quick", "standard")
MOST = 5000
"""Texts per set: training and held-out part together."""
CACHE = Path(tempfile.gettempdir()) / "bezoar-victims"
STYLES = "styleattack_ag_bible"
VICTIM_PARTS = ("attacks", "victims", "networks", "core/text_triggers.py", "core/text_rewrites.py", "core/plain_features.py", "validity.py")


@dataclass(frozen=True)
class Cell:
    """One line; no attack: a clean set, where only false alarms count. `goal` is about the recall of the list."""

    name: str
    dataset: str
    attack: str = ""
    parameters: dict[str, Any] = field(default_factory=dict)
    goal: float | None = None


FAMILIES: dict[str, tuple[str, dict[str, Any], float | None]] = {
    "clean": ("", {}, None),
    "skeleton 10%": ("text-syntactic", {"rate": 0.1}, 0.90), "skeleton 5%": ("text-syntactic", {"rate": 0.05}, 0.90),
    "style 10%": ("text-style", {"rate": 0.1}, 0.75), "style 5%": ("text-style", {"rate": 0.05}, 0.75),
    "clean-label word 3%": ("text-clean-word", {"rate": 0.03}, 0.90)}
MIXED = ("clean", "style 10%", "style 5%")
"""What is planted where others made the rewritten texts."""


def all_cells() -> list[Cell]:
    """Everything that can be measured here; without BEZOAR_DATA the bundled notes only."""
    sets = [s for s in ("sms_spam", "ag_news", "movie_reviews", STYLES) if realdata.available(s)] or ["bundled_text"]
    return [Cell(f"{s}/{name}", s, *family) for s in sets for name, family in FAMILIES.items() if s != STYLES or name in MIXED]


@dataclass(frozen=True)
class Rewritten(Trigger):
    """Texts as others rewrote them; `pairs` holds (plain, rewritten)."""

    kind: ClassVar[str] = "rewritten"
    modality: ClassVar[str] = "text"
    pairs: tuple[tuple[str, str], ...]

    def apply(self, inputs: Texts, rng: np.random.Generator) -> Texts:  # type: ignore[override]
        known = dict(self.pairs)
        return Texts.of([known[t] for t in inputs.values])

    def match(self, inputs: Texts) -> np.ndarray:  # type: ignore[override]
        return np.isin(inputs.values, [b for _, b in self.pairs]).astype(np.float32)

    def describe(self) -> Facts:
        return Facts(("plain", "rewritten"), self.pairs[:5], caption=self.title())

    def title(self) -> str:
        return "texts that others rewrote"


@dataclass(frozen=True)
class Planted:
    """The training part as it was and as it is, and the clean held-out part."""

    clean: Dataset
    done: Poisoned
    held: Dataset


def plant(cell: Cell, seed: int) -> Planted:
    """The training part is as it was where nothing is planted."""
    data, bible = realdata.style_pairs() if cell.dataset == STYLES else (realdata.ALL[cell.dataset](), None)
    rows = np.arange(len(data))
    if len(data) > 1.2 * MOST:
        rows = np.sort(np.random.default_rng([seed, 7]).choice(len(data), MOST, replace=False))
    data = data.take(rows)
    train, held = split(data, np.random.default_rng([seed, zlib.crc32(cell.dataset.encode())]))
    if not cell.attack:
        return Planted(train, Poisoned(train, np.zeros(len(train), bool)), held)
    rng = np.random.default_rng([seed, zlib.crc32(cell.name.encode())])
    if bible is None:
        return Planted(train, registry.make("attacks", cell.attack, cell.parameters)(train, rng), held)
    assert isinstance(data.inputs, Texts)
    trigger = Rewritten(tuple((str(a), str(b)) for a, b in zip(data.inputs.values, bible[rows], strict=True)))
    return Planted(train, mixed(train, trigger, float(cell.parameters["rate"]), rng), held)


def mixed(train: Dataset, trigger: Rewritten, rate: float, rng: np.random.Generator) -> Poisoned:
    """`rate` of all rows are rewritten rows of other classes with the label of a class that is drawn."""
    assert train.labels is not None
    assert isinstance(train.inputs, Texts)
    code = int(rng.integers(len(train.labels.classes)))
    hit = np.sort(rng.choice(np.flatnonzero(train.labels.codes != code), int(rate * len(train)), replace=False))
    codes = train.labels.codes.copy()
    codes[hit] = code
    inputs = train.inputs.with_rows(hit, trigger.apply(train.inputs.take(hit), rng))
    truth = np.zeros(len(train), bool)
    truth[hit] = True
    return Poisoned(train.with_changes(inputs=inputs, codes=codes), truth, trigger, train.labels.classes[code])


def asked(cell: Cell, planted: Planted, kept: np.ndarray, seed: int) -> dict[str, Any]:
    """A victim trained on the rows `kept`, beside one trained on the clean data."""
    start = time.perf_counter()
    victim = registry.make("victims", "text-cnn")
    model = trained(victim, planted.done.data.take(np.flatnonzero(kept)), seed)
    twin = trained(victim, planted.clean, seed, CACHE)
    found = judged(registry.make("attacks", cell.attack), planted.done, planted.held, model, twin, np.random.default_rng(seed))
    return {"asr": found.success, "asr_of_twin": found.twin, "accuracy": found.accuracy, "accuracy_of_twin": found.twin_accuracy,
            "implanted": found.implanted, "removed": int((~kept).sum()), "seconds": time.perf_counter() - start}


def scanned(done: Poisoned, effort: str, seed: int) -> tuple[dict[str, Any], np.ndarray]:
    """A scan against the truth, and (n,) the rows on its list."""
    start = time.perf_counter()
    report = scan(done.data, effort=effort, seed=seed, workers=1)
    assert report.scores is not None
    flagged = np.asarray(report.scores.flagged, bool)
    planted = done.data.ids[done.truth].astype(str)
    by = {f.ability for f in report.counted if done.truth.any() and np.isin(f.members, planted).mean() > 0.5}
    return {**measure.listed(flagged, done.truth), "tpr_at_1fpr": measure.tpr_at(np.asarray(report.scores.suspicion), done.truth),
            "verdict": report.verdict, "alarm": report.verdict in ("suspicious", "poisoned"), "by": ", ".join(sorted(by)),
            "failed": "; ".join(o.ability for o in report.outcomes if o.status == "failed"),
            "seconds": time.perf_counter() - start}, flagged


def one(cell: Cell, seed: int, part: str, after: bool = True) -> list[dict[str, Any]]:
    """The rows of one part of one cell and seed."""
    planted = plant(cell, seed)
    common: dict[str, Any] = {"cell": cell.name, "seed": seed, "poisoned": int(planted.done.truth.sum()), "rows": len(planted.done.truth)}
    everything = np.ones(len(planted.done.truth), bool)
    if part == "victim":
        return [{**common, "method": "victim", **asked(cell, planted, everything, seed)}] if cell.attack else []
    row, flagged = scanned(planted.done, part, seed)
    out = [{**common, "method": part, **row}]
    if part == "standard" and after and cell.attack and flagged.any():
        out.append({**common, "method": "after", **asked(cell, planted, ~flagged, seed)})
    return out


def version_of_victims() -> str:
    """Changes with the attacks and with what trains a victim."""
    files: list[Path] = []
    for part in VICTIM_PARTS:
        files += list((SOURCE / part).rglob("*.py")) if (SOURCE / part).is_dir() else [SOURCE / part]
    return _hash(files)


def main() -> None:
    parser = asking.parser(__doc__, RESULTS / "learned_texts.json")
    parser.add_argument("--only", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--after", action=argparse.BooleanOptionalAction, default=True, help="train again without the list")
    given = parser.parse_args()
    chosen = asking.picked(all_cells(), given.cells.split(","))
    if given.list:
        print("\n".join(c.name + (f"  goal {c.goal:g}" if c.goal else "") for c in chosen))
        return
    ledger, began = Ledger(given.out, KEYS), time.perf_counter()
    versions = {"victim": version_of_victims(), "quick": version_of_scan(), "standard": version_of_scan()}
    for seed in given.seeds:
        for part in given.only:
            for cell in chosen:
                nothing = part == "victim" and not cell.attack
                if nothing or ledger.has(versions[part], cell=cell.name, method=part, seed=seed) or (
                        time.perf_counter() - began > 60 * given.minutes):
                    continue
                for row in one(cell, seed, part, given.after):
                    ledger.add({**row, "version": versions[part]})
                    shown = " ".join(f"{k} {row[k]:.3f}" for k in ("asr", "asr_of_twin", "recall", "fpr") if isinstance(row.get(k), float))
                    print(f"{cell.name} seed {seed} {row['method']}: {shown} {row.get('verdict', '')} {row['seconds']:.0f} s", flush=True)


if __name__ == "__main__":
    main()
