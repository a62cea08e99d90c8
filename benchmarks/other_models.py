"""Audits of models of texts and tables: what is found, and how often a clean model is called.

    python benchmarks/other_models.py                      # seeds 0-4, everything that can be read here
    python benchmarks/other_models.py --first 100 --seeds 2 --out /tmp/dev.json
    python benchmarks/other_models.py --table

Every model is audited twice: `references`, with clean models trained on the trusted samples (twins of its own shape for networks,
stand-ins for black boxes), and `alone`, with no reference models. An attack counts where it implanted: at least 80% of triggered samples
that the model has not seen go to the target.
"""

from __future__ import annotations

import argparse
import sys
import time
import zlib
from dataclasses import dataclass, field
from typing import Any

import numpy as np

import realdata
from bezoar import auditing, audits, registry
from bezoar.core.audit import AuditView
from bezoar.core.dataset import Dataset
from bezoar.core.inputs import Table
from bezoar.core.suspect import Suspect
from bezoar.core.table_code import TableCode
from bezoar.maths.multiple import clopper_pearson
from bezoar.sources.suspects import suspect_from
from ledger import RESULTS, SOURCE, Ledger, _hash

IMPLANTED = 0.8
TRUSTED = 400
ROWS = {"bundled_text": 2000, "sms_spam": 3000, "ag_news": 3000, "bundled_table": 300, "adult": 4000}
"""Rows that each model is trained on; every model of a seed has its own."""
TEXT_ATTACKS: dict[str, tuple[str, dict[str, Any]]] = {
    "word": ("text-word", {"rate": 0.04}), "two words": ("text-multiword", {"rate": 0.04}), "sentence": ("text-phrase", {"rate": 0.04})}
TABLE_ATTACKS: dict[str, tuple[str, dict[str, Any]]] = {
    "out of bounds": ("table-out-of-bounds", {"rate": 0.08}), "in bounds": ("table-in-bounds", {"rate": 0.08, "width": 2}),
    "rare category": ("table-rare-category", {"rate": 0.08})}
MODES = {"references": 8, "alone": 0}


@dataclass(frozen=True)
class Kind:
    """One family of models: the data, and how they are trained."""

    dataset: str
    victim: str
    parameters: dict[str, Any] = field(default_factory=dict)

    @property
    def name(self) -> str:
        return f"{self.dataset} {self.victim}"

    @property
    def attacks(self) -> dict[str, tuple[str, dict[str, Any]]]:
        if self.victim.startswith("text"):
            return TEXT_ATTACKS
        return {k: v for k, v in TABLE_ATTACKS.items() if k != "rare category" or self.dataset == "adult"}


CNN = {"epochs": 6, "width": 24}
KINDS = (Kind("bundled_text", "text-ngrams"), Kind("bundled_text", "text-cnn", CNN), Kind("sms_spam", "text-ngrams"),
         Kind("sms_spam", "text-cnn", CNN), Kind("ag_news", "text-ngrams"), Kind("bundled_table", "table-boosting"),
         Kind("bundled_table", "table-mlp"), Kind("adult", "table-boosting"), Kind("adult", "table-mlp"))


def split(kind: Kind) -> tuple[Dataset, Dataset]:
    """(rows to train on, trusted samples that no model is trained on)."""
    data = realdata.ALL[kind.dataset]()
    order = np.random.default_rng(zlib.crc32(kind.dataset.encode())).permutation(len(data))
    trusted = min(TRUSTED, len(data) // 2)
    return data.take(np.sort(order[trusted:])), data.take(np.sort(order[:trusted]))


def made(kind: Kind, attack: str, seed: int, trusted: Dataset, pool: Dataset) -> tuple[Suspect, dict[str, Any]]:
    """The model and what is true of it."""
    rng = np.random.default_rng([seed, zlib.crc32(f"{kind.name}/{attack}".encode())])
    rows = np.sort(rng.permutation(len(pool))[:min(ROWS[kind.dataset], int(0.9 * len(pool)))])
    train, done = pool.take(rows), None
    if attack:
        name, parameters = kind.attacks[attack]
        done = registry.make("attacks", name, parameters)(train, rng)
        train = done.data
    assert train.labels is not None
    assert trusted.labels is not None
    model = registry.make("victims", kind.victim, kind.parameters)(train, rng)
    suspect = _suspect(kind, model, train)
    truth: dict[str, Any] = {"accuracy": float((suspect.predict(trusted.inputs).argmax(axis=1) == trusted.labels.codes).mean())}
    if done is not None and done.trigger is not None:
        target = train.labels.classes.index(str(done.target))
        hosts = trusted.take(np.flatnonzero(trusted.labels.codes != target))
        success = float((suspect.predict(done.trigger.apply(hosts.inputs, rng)).argmax(axis=1) == target).mean())
        truth |= {"success": success, "true_target": str(done.target), "trigger": done.trigger.title()}
    return suspect, truth


def _suspect(kind: Kind, model: Any, train: Dataset) -> Suspect:
    assert train.labels is not None
    module = getattr(model, "module", None)
    if module is None:
        return Suspect(kind.name, train.modality, train.labels.classes, kind.name, model.predict)
    if train.modality == "text":
        return suspect_from(module, train.labels.classes, modality="text", name=kind.name)
    assert isinstance(train.inputs, Table)
    code = TableCode.of(train.inputs)
    width = code.matrix(train.inputs.take(np.arange(1))).shape[1]
    return suspect_from(module, train.labels.classes, (width,), modality="tabular", name=kind.name, code=code)


class Auditing:
    """Reference models and what is measured on them are shared by all models of one kind."""

    def __init__(self, kind: Kind, trusted: Dataset) -> None:
        self.kind, self.trusted = kind, trusted
        self._first: dict[str, AuditView] = {}

    def view(self, suspect: Suspect, mode: str) -> AuditView:
        if mode not in self._first:
            make = auditing.reference_models(suspect, self.trusted, MODES[mode], 0)
            self._first[mode] = AuditView(suspect, self.trusted, references=make, same_shape=auditing.trainable(suspect))
        return self._first[mode].beside(suspect)

    def row(self, attack: str, seed: int, suspect: Suspect, truth: dict[str, Any], mode: str) -> dict[str, Any]:
        """One line of results."""
        started = time.process_time()
        report = audits.audit(self.view(suspect, mode), auditing.chosen_auditors()[0])
        told, p = report.plan["judgement"], report.subject["p_value"]
        found = report.findings[0] if report.findings else None
        recovered = "" if found is None or found.trigger is None else found.trigger.title()
        return {"kind": self.kind.name, "attack": attack, "seed": seed, "mode": mode, **truth,
                "implanted": truth.get("success", 0.0) >= IMPLANTED, "alarm": found is not None, "verdict": report.verdict, "p": p,
                "target": None if found is None else found.target, "basis": None if told is None else told["basis"],
                "score": None if told is None else told["score"], "recovered": recovered,
                "seconds": time.process_time() - started}


def version() -> str:
    """Changes with any code that can change a figure."""
    return _hash([SOURCE / f for f in ("audits.py", "transplant.py", "standins.py", "core/candidates.py", "core/usual_words.py",
                                       "maths/standing_out.py", "auditors/word_inversion.py", "auditors/value_inversion.py",
                                       "networks/twins.py")])


def section(rows: list[dict[str, Any]]) -> list[str]:
    """Markdown: a line for each kind of model and mode, then what attacks were seen."""
    if not rows:
        return ["Not measured yet.", ""]
    out = ["| models | audited with | clean | called | 95% at most | implanted | called | class right | poisoned | CPU s |",
           "|---|---|---|---|---|---|---|---|---|---|"]
    for name in dict.fromkeys(r["kind"] for r in rows):
        for mode in MODES:
            some = [r for r in rows if r["kind"] == name and r["mode"] == mode]
            clean, bad = [r for r in some if not r["attack"]], [r for r in some if r["attack"] and r["implanted"]]
            called, hits = sum(r["alarm"] for r in clean), [r for r in bad if r["alarm"]]
            if not some:
                continue
            upper = f"{clopper_pearson(called, len(clean))[1]:.0%}" if clean else "-"
            out.append(f"| {name} | {mode} | {len(clean)} | {called} | {upper} | {len(bad)} | {len(hits)} | "
                       f"{sum(r['target'] == r['true_target'] for r in hits)} | {sum(r['verdict'] == 'poisoned' for r in hits)} | "
                       f"{np.median([r['seconds'] for r in some]):.1f} |")
    out += ["", "| attack | audited with | implanted | called with the right class |", "|---|---|---|---|"]
    for attack in dict.fromkeys(r["attack"] for r in rows if r["attack"]):
        for mode in MODES:
            bad = [r for r in rows if r["attack"] == attack and r["mode"] == mode and r["implanted"]]
            if bad:
                out.append(f"| {attack} | {mode} | {len(bad)} | {sum(r['alarm'] and r['target'] == r['true_target'] for r in bad)} |")
    return [*out, ""]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="", help="kinds whose name holds this")
    parser.add_argument("--attack", action="append", help="only these, '' for clean models")
    parser.add_argument("--mode", action="append", choices=tuple(MODES))
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--first", type=int, default=0, help="first seed; development uses 100 and above")
    parser.add_argument("--out", default=str(RESULTS / "other_models.json"))
    parser.add_argument("--table", action="store_true")
    given = parser.parse_args()
    from pathlib import Path

    ledger = Ledger(Path(given.out), ("kind", "attack", "seed", "mode"))
    for kind in () if given.table else KINDS:
        if given.only not in kind.name or kind.dataset not in realdata.here():
            continue
        pool, trusted = split(kind)
        auditor = Auditing(kind, trusted)
        for seed in range(given.first, given.first + given.seeds):
            for attack in given.attack if given.attack is not None else ("", *kind.attacks):
                wanted = [m for m in given.mode or MODES if not ledger.has(version(), kind=kind.name, attack=attack, seed=seed, mode=m)]
                if not wanted or (attack and attack not in kind.attacks):
                    continue
                suspect, truth = made(kind, attack, seed, trusted, pool)
                for mode in wanted:
                    row = auditor.row(attack, seed, suspect, truth, mode) | {"version": version()}
                    ledger.add(row)
                    print(kind.name, attack or "clean", seed, mode, f"success {truth.get('success', 0):.2f}", row["verdict"], row["p"],
                          row["target"], row["recovered"], flush=True)
    print("\n".join(section(ledger.rows)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
