"""The model zoo: trains it, audits it, prints what was reached. Resumable; models and clean twins are kept outside the repository.

    python benchmarks/zoo.py train                 # >= 60 clean and >= 120 backdoored models under BEZOAR_ZOO
    python benchmarks/zoo.py audit                 # every model that is there, in each mode; rows to benchmarks/results/zoo.json
    python benchmarks/zoo.py show

Modes: `few` 10 clean samples of each class, held against the model's own classes; `twins` 60 clean samples of each class, held against
clean twins trained on them; `free` without data; `cleanse` Neural Cleanse with the samples of `few`. Twins are trained once for all models
of a dataset and a network: the slowest row holds what they cost.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

import neural_cleanse
import zoo_models as zoo
from bezoar import auditing, audits
from bezoar.core.audit import AuditView
from bezoar.core.chance import generator
from bezoar.core.dataset import Dataset
from bezoar.core.errors import UsageError
from bezoar.core.image_triggers import Patch
from bezoar.core.suspect import Suspect
from bezoar.filling import opacity_on
from bezoar.networks.pixels import pixels, samples, still
from bezoar.networks.twins import twins
from ledger import RESULTS, Ledger, version_of_audit
from zoo_figures import HELD_OUT, MODES, summary

FEW, MANY = 10, 60
TWINS = 8
DATASETS = ("digits", "mnist", "gtsrb", "cifar")


def planned(args: argparse.Namespace) -> list[zoo.Entry]:
    """What the zoo holds: by default 72 clean and 192 backdoored models, of which those count that implant."""
    return zoo.entries(tuple(args.dataset or DATASETS), args.clean, args.each, args.seed)


class Auditing:
    """One audit after another; clean twins and what is measured on them are shared by all models of one dataset and network."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._twins: dict[tuple[str, str], tuple[Suspect, ...]] = {}
        self._known: dict[str, Any] = {}

    def options(self, key: str) -> audits.Options:
        def keep(name: str, value: np.ndarray) -> None:
            self._known[f"{key}/{name}"] = value

        return audits.Options(recall=lambda name: self._known.get(f"{key}/{name}"), keep=keep)

    def view(self, entry: zoo.Entry, mode: str) -> AuditView:
        suspect = zoo.suspect(entry, self.folder)
        if mode == "free":
            return AuditView(suspect)
        clean = zoo.few(entry.dataset, MANY, 0) if mode == "twins" else zoo.few(entry.dataset, FEW, entry.seed)
        return AuditView(suspect, clean, references=None if mode != "twins" else lambda: self.twins(entry, suspect, clean))

    def twins(self, entry: zoo.Entry, suspect: Suspect, clean: Dataset) -> tuple[Suspect, ...]:
        key = (entry.dataset, entry.network)
        if key not in self._twins:
            self._twins[key] = twins(AuditView(suspect, clean), TWINS, 0, self.folder / "twins")
        return self._twins[key]

    def row(self, entry: zoo.Entry, truth: zoo.Truth, mode: str) -> dict[str, Any]:
        """One line of results."""
        started = time.perf_counter()
        view = self.view(entry, mode)
        row: dict[str, Any] = {"model": entry.name, "mode": mode, "dataset": entry.dataset, "network": entry.network,
                               "family": entry.family, "held_out": entry.family in HELD_OUT, "success": truth.success,
                               "accuracy": truth.accuracy, "true_target": truth.target}
        if mode == "cleanse":
            p, rng = pixels(view), generator(0, "neural-cleanse")
            x, codes = samples(view, 10_000, rng)
            with still(p.module):
                score, target = neural_cleanse.anomaly(p, x, codes, view.n_classes, rng)
            row |= {"score": score, "alarm": score > 2, "target": target}
        else:
            chosen, _ = auditing.chosen_auditors()
            report = audits.audit(view, chosen, self.options(f"{entry.dataset}/{entry.network}"))
            told = report.plan["judgement"]
            p = report.subject["p_value"]
            row |= {"score": -float(np.log10(max(1.0 if p is None else p, 1e-300))), "fused": told["score"], "p": p,
                    "alarm": bool(report.findings), "target": told["target"], "verdict": report.verdict, "channels": told["channels"]}
            row |= _recovered(report, truth)
        return row | {"seconds": time.perf_counter() - started}


def _recovered(report: Any, truth: zoo.Truth) -> dict[str, Any]:
    """How well the recovered mask covers the planted patch: intersection over union."""
    planted = zoo.planted(truth)
    found = next((f.trigger for f in report.findings if f.trigger is not None), None)
    if not isinstance(planted, Patch) or not isinstance(found, Patch):
        return {}
    side = zoo.SIDES[truth.name.split("-")[0]]
    there, seen = (opacity_on(t, side, side) for t in (planted, found))
    there, seen = there > 0.5 * there.max(), seen > 0.5 * seen.max()
    return {"iou": float((there & seen).sum() / max((there | seen).sum(), 1))}


def show(ledger: Ledger) -> None:
    """The figures on the screen."""
    for mode in MODES:
        s = summary(ledger.rows, mode)
        if not s["backdoored"]:
            continue
        print(f"{mode}: {s['clean']} clean, {s['backdoored']} backdoored, {s['families']} families")
        print(f"  AUROC {s['auroc']:.3f}, worst held-out family {s['worst_held_out']:.3f}, worst {s['worst']:.3f}; recall at 5% "
              f"{s['recall_at_5']:.2f}; as called: recall {s['recall']:.2f}, false alarms {s['alarms_on_clean']:.3f}; "
              f"target right {s['target_right']:.2f}; IoU >= 0.5 {s['iou_half']:.2f}; {s['seconds']:.1f} s a model")
        print("  " + ", ".join(f"{f} {v:.2f}" for f, v in s["by_family"].items()))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("train", "audit", "show"))
    parser.add_argument("--dataset", action="append", choices=DATASETS)
    parser.add_argument("--clean", type=int, default=6, help="clean models for each dataset and network")
    parser.add_argument("--each", type=int, default=1, help="models of each family for each dataset and network")
    parser.add_argument("--seed", type=int, default=0, help="first seed; development uses 100 and above")
    parser.add_argument("--mode", action="append", choices=MODES)
    parser.add_argument("--folder", type=Path, default=zoo.FOLDER)
    parser.add_argument("--out", type=Path, default=RESULTS / "zoo.json")
    args = parser.parse_args()
    wanted = planned(args)
    if args.what == "train":
        for i, entry in enumerate(wanted):
            try:
                truth = zoo.train(entry, args.folder)
            except UsageError as error:  # clean-label poison finds no class that is large enough for it
                print(f"{i + 1}/{len(wanted)} {entry.name}: left out: {error}", flush=True)
                continue
            print(f"{i + 1}/{len(wanted)} {entry.name}: accuracy {truth.accuracy:.2f}, success {truth.success:.2f}", flush=True)
        return 0
    ledger, now = Ledger(args.out, ("model", "mode")), version_of_audit()
    if args.what == "audit":
        auditor = Auditing(args.folder)
        for entry, truth in zoo.there(wanted, args.folder):
            for mode in args.mode or MODES:
                if truth.counts and not ledger.has(now, model=entry.name, mode=mode):
                    ledger.add(auditor.row(entry, truth, mode) | {"version": now})
                    print(f"{entry.name} {mode}: {ledger.rows[-1]['score']:.2f}", flush=True)
    show(ledger)
    return 0


if __name__ == "__main__":
    sys.exit(main())
