"""The learned tier: what `--effort standard` lists where a signal scan sees nothing, beside eight re-implemented peers on one network.

    python benchmarks/learned.py                          all cells, seeds 0-4
    python benchmarks/learned.py --cells 'mnist_t10k/*' --seeds 100 --no-peers
    python benchmarks/learned.py --list

One seed of one cell takes about three minutes of one core for the scan and one for the peers (digits: 20 s); stopped runs go on where
they were. bezoar is run as a user runs it. The peers share one plain network (no sharpness-aware steps), which is not bezoar's; the
attack's success is measured on it with held-out samples; `probe-geometry` is shown on it too, so that like is compared with like.
Recall is of the rows that carry the trigger with the attacker's label; covers (trigger, own label) count neither as hits nor as
false positives.
"""

from __future__ import annotations

import argparse
import math
import time
import zlib
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any

import numpy as np

import asking
import learned_peers
import measure
import realdata
from attacks import split
from bezoar import engine, registry
from bezoar.api import EFFORTS, PROBES
from bezoar.core.ability import Poisoned
from bezoar.core.dataset import Dataset
from bezoar.core.inputs import Images
from bezoar.core.learned import Learned
from bezoar.core.victim import Called
from bezoar.core.view import View
from bezoar.maths.crossfit import softmax
from bezoar.networks import builds, reading, training
from bezoar.networks.image_victim import brought, side_of
from bezoar.validity import judged
from learned_page import DEEP
from ledger import RESULTS, Ledger, version_of_scan

KEYS = ("cell", "method", "seed")
METHODS = {"standard": "bezoar", "deep": DEEP}
"""What rows of a scan at that effort are called."""
MOST = 5000
"""Samples per set: training and held-out part together."""
EPOCHS = dict.fromkeys(("mnist_t10k", "cifar10", "digits"), 10) | {"gtsrb_signs": 25}
"""Of the peers' network: 10 teach it the classes of signs, and not yet what few samples share."""


@dataclass(frozen=True)
class Cell:
    """One line; `share_of_class` in `parameters` becomes a rate; no attack: a clean set, where only false alarms count."""

    name: str
    dataset: str
    attack: str = ""
    parameters: dict[str, Any] = field(default_factory=dict)


FAMILIES: dict[str, tuple[str, dict[str, Any]]] = {
    "warp 5%": ("warp", {"rate": 0.05, "cover": 0.05}), "warp 2%": ("warp", {"rate": 0.02, "cover": 0.02}),
    "invisible 5%": ("invisible", {"rate": 0.05}), "invisible 2%": ("invisible", {"rate": 0.02}),
    "input-aware 5%": ("input-aware", {"rate": 0.05, "cover": 0.02}),
    "tact 2% + 2%": ("tact", {"rate": 0.02, "cover": 0.02}), "tact 1% + 1%": ("tact", {"rate": 0.01, "cover": 0.01}),
    "adaptive blend 2% + 2%": ("adaptive-blend", {"rate": 0.02, "cover": 0.02}),
    "adaptive patch 2% + 2%": ("adaptive-patch", {"rate": 0.02, "cover": 0.02}),
    "all-to-all patch 5%": ("badnets", {"rate": 0.05, "mapping": "all-to-all"}),
    "sinusoid, 20% of class": ("sinusoid", {"share_of_class": 0.2, "clean_label": True}),
    "label-consistent, 20% of class": ("label-consistent", {"share_of_class": 0.2}),
    "ctrl, 20% of class": ("ctrl", {"share_of_class": 0.2}),
    "narcissus, 10% of class": ("narcissus", {"share_of_class": 0.1}),
    "label flips 5%": ("label-flip", {"rate": 0.05})}
GREY_LEFT_OUT = ("ctrl, 20% of class",)


def all_cells() -> list[Cell]:
    """Everything that can be measured here; without BEZOAR_DATA the bundled digits only."""
    sets = [s for s in ("mnist_t10k", "gtsrb_signs", "cifar10") if realdata.available(s)] or ["digits"]
    return [Cell(f"{s}/{name}", s, *family) for s in sets for name, family in (("clean", ("", {})), *FAMILIES.items())
            if not (s in ("mnist_t10k", "digits") and name in GREY_LEFT_OUT)]


@dataclass(frozen=True)
class Planted:
    """The training part as it was and as it is, the clean held-out part, and (n,) the rows with the trigger and their own label."""

    clean: Dataset
    done: Poisoned
    held: Dataset
    covers: np.ndarray


def plant(cell: Cell, seed: int) -> Planted:
    """The training part is as it was where nothing is planted."""
    data = realdata.ALL[cell.dataset]()
    if len(data) > 1.2 * MOST:
        data = data.take(np.sort(np.random.default_rng([seed, 7]).choice(len(data), MOST, replace=False)))
    train, held = split(data, np.random.default_rng([seed, zlib.crc32(cell.dataset.encode())]))
    nobody = np.zeros(len(train), bool)
    if not cell.attack:
        return Planted(train, Poisoned(train, nobody), held, nobody)
    rng = np.random.default_rng([seed, zlib.crc32(cell.name.encode())])
    parameters = dict(cell.parameters)
    assert train.labels is not None
    if (share := parameters.pop("share_of_class", None)) is not None:
        sizes = np.bincount(train.labels.codes, minlength=len(train.labels.classes))
        code = int(rng.choice(np.flatnonzero(sizes >= 50)))
        parameters |= {"target": train.labels.classes[code], "rate": share * int(sizes[code]) / len(train)}
    done = registry.make("attacks", cell.attack, parameters)(train, rng)
    truth, covers = measure.planted(train, done)
    return Planted(train, replace(done, truth=truth), held, covers)


def scanned(done: Poisoned, covers: np.ndarray, seed: int, effort: str) -> tuple[dict[str, Any], np.ndarray]:
    """A scan at that effort against the truth, and (n,) the rows on its list."""
    start = time.perf_counter()
    data = done.data
    view = View(data, registry.make("modalities", data.modality), seed=seed, networks=True, probes=PROBES[effort])
    efforts = list(EFFORTS)
    chosen = [registry.make("detectors", n) for n, d in registry.shelf("detectors").items()
              if efforts.index(d.info.effort) <= efforts.index(effort)]
    report = engine.scan(view, chosen, engine.Options(seed=seed, controls=EFFORTS[effort]))
    assert report.scores is not None
    keep = ~covers
    flagged = np.asarray(report.scores.flagged, bool)
    by = {f.ability for f in report.findings if not f.advisory and np.isin(f.members, data.ids[done.truth].astype(str)).mean() > 0.5}
    row = {"method": METHODS[effort], **measure.listed(flagged[keep], done.truth[keep]),
            "tpr_at_1fpr": measure.tpr_at(np.asarray(report.scores.suspicion)[keep], done.truth[keep]), "verdict": report.verdict,
            "alarm": report.verdict in ("suspicious", "poisoned"), "by": ", ".join(sorted(by)),
            "failed": "; ".join(o.ability for o in report.outcomes if o.status == "failed"), "seconds": time.perf_counter() - start}
    return row, flagged


def network(data: Dataset, held: Dataset, seed: int, epochs: int) -> tuple[learned_peers.Trained, np.ndarray]:
    """A plain network on the data, what it shows, and ten trusted held-out samples per class; and (n,) their rows in `held`."""
    assert isinstance(data.inputs, Images)
    assert isinstance(held.inputs, Images)
    assert data.labels is not None
    assert held.labels is not None
    side, codes, k = side_of(data.inputs), data.labels.codes, len(data.labels.classes)
    x = brought(data.inputs, side)
    losses: list[np.ndarray] = []
    early: list[np.ndarray] = []
    tensor = training.pictures_fast
    with training.seeded(seed):
        module = training.fast(builds.resnet(k, 16))
        where = reading.places(module, tensor(x[:5]))

        def note(epoch: int) -> None:
            features, logits = reading.shown(module, x, where[-1], tensor=tensor)
            if epoch == 1:
                early.append(features)
            p = softmax(logits)
            losses.append(-np.log(np.maximum(p[np.arange(len(p)), codes], 1e-12)))

        training.fit(module, x, codes, np.random.default_rng(seed), tensor=tensor, epochs=epochs, batch=64, shift=1 if side >= 16 else 0,
                     after=note)
        rows = np.concatenate([np.flatnonzero(held.labels.codes == c)[:10] for c in range(k)])
        clean_x, clean_codes = brought(held.inputs.take(rows), side), held.labels.codes[rows]
        shown = reading.read(module, x, codes, tensor=tensor, where=where)
        clean = reading.read(module, clean_x, clean_codes, tensor=tensor, where=where)
    told = replace(shown, losses=np.stack(losses, axis=1), early=early[0])
    return learned_peers.Trained(module, x, codes, k, told, clean_x, clean_codes, clean), rows


class Shown(View):
    """A view whose network is given."""

    def __init__(self, data: Dataset, network: Learned) -> None:
        super().__init__(data, registry.make("modalities", data.modality))
        self._network = network

    def learned(self) -> Learned:
        return self._network


def geometry(done: Poisoned, covers: np.ndarray, shown: Learned, seed: int) -> dict[str, Any]:
    """bezoar's own check on the peers' network: its list and its ranking."""
    start = time.perf_counter()
    detector = registry.make("detectors", "probe-geometry")
    scores = detector(Shown(done.data, shown), engine.generator(seed, "probe-geometry"))
    flagged = np.zeros(len(done.truth), bool)
    for g in scores.groups:
        flagged[g.members] = True
    return {"method": "probe-geometry", **measure.listed(flagged[~covers], done.truth[~covers]),
            "tpr_at_1fpr": measure.tpr_at(scores.suspicion[~covers], done.truth[~covers]), "seconds": time.perf_counter() - start}


def answering(t: learned_peers.Trained) -> Called:
    side = t.x.shape[1]
    return Called(lambda inputs: training.probabilities(t.module, brought(inputs, side), tensor=training.pictures_fast))


@cache
def twin(dataset: str, seed: int) -> Called:
    """The same network on the data as they were before any attack."""
    planted = plant(Cell("clean", dataset), seed)
    return answering(network(planted.clean, planted.held, seed, EPOCHS[dataset])[0])


def retrained(cell: Cell, planted: Planted, flagged: np.ndarray, seed: int) -> dict[str, Any]:
    """The same network on what the list leaves: is the backdoor gone, and at what cost?"""
    start = time.perf_counter()
    left = planted.done.data.take(np.flatnonzero(~flagged))
    kept = answering(network(left, planted.held, seed, EPOCHS[cell.dataset])[0])
    found = judged(registry.make("attacks", cell.attack), planted.done, planted.held, kept, twin(cell.dataset, seed),
                   np.random.default_rng(seed))
    return {"method": "retrained", "asr": found.success, "asr_of_twin": found.twin, "accuracy": found.accuracy,
            "accuracy_of_twin": found.twin_accuracy, "removed": int(flagged.sum()), "seconds": time.perf_counter() - start}


def one(cell: Cell, seed: int, want_scan: bool, want_peers: bool, want_retrained: bool = False,
        effort: str = "standard") -> list[dict[str, Any]]:
    """The rows of one cell and seed."""
    planted = plant(cell, seed)
    done, held, covers = planted.done, planted.held, planted.covers
    common: dict[str, Any] = {"cell": cell.name, "seed": seed, "poisoned": int(done.truth.sum()), "rows": len(done.truth)}
    out: list[dict[str, Any]] = []
    if want_scan:
        row, flagged = scanned(done, covers, seed, effort)
        out.append({**common, **row})
        if want_retrained and done.trigger is not None:
            out.append({**common, **retrained(cell, planted, flagged, seed)})
    if not want_peers or not cell.attack:
        return out
    start = time.perf_counter()
    t, used = network(done.data, held, seed, EPOCHS[cell.dataset])
    said, rest = answering(t), held.take(np.setdiff1d(np.arange(len(held)), used))
    backdoor = done.trigger is not None
    found = judged(registry.make("attacks", cell.attack), done, rest, said, said, np.random.default_rng(seed)) if backdoor else None
    trained = time.perf_counter() - start
    more = {"asr": found.success if found else math.nan, "accuracy": found.accuracy if found else math.nan, "train_seconds": trained}
    out.append({**common, **geometry(done, covers, t.shown, seed), **more})
    for name, peer in learned_peers.PEERS.items():
        start = time.perf_counter()
        with training.seeded(seed):
            score = np.asarray(peer(t, np.random.default_rng([seed, zlib.crc32(name.encode())])), float)
        out.append({**common, "method": name, "tpr_at_1fpr": measure.tpr_at(score[~covers], done.truth[~covers]),
                    "seconds": time.perf_counter() - start, **more})
    return out


def main() -> None:
    parser = asking.parser(__doc__, RESULTS / "learned.json")
    parser.add_argument("--peers", action=argparse.BooleanOptionalAction, default=True)
    parser.add_argument("--scan", action=argparse.BooleanOptionalAction, default=True)
    parser.add_argument("--retrain", action="store_true", help="train again without what the scan lists, and attack again")
    parser.add_argument("--effort", choices=list(METHODS), default="standard", help="of the scan")
    given, chosen = asking.asked(parser, all_cells())
    ledger, began, now = Ledger(given.out, KEYS), time.perf_counter(), version_of_scan()
    for seed in given.seeds:
        for cell in chosen:
            scan = given.scan and not ledger.has(now, cell=cell.name, method=METHODS[given.effort], seed=seed)
            peers = given.peers and bool(cell.attack) and not ledger.has(now, cell=cell.name, method="STRIP", seed=seed)
            if not (scan or peers) or time.perf_counter() - began > 60 * given.minutes:
                continue
            for row in one(cell, seed, scan, peers, given.retrain, given.effort):
                ledger.add({**row, "version": now})
                shown = " ".join(f"{k} {row[k]:.3f}" for k in ("asr", "recall", "fpr", "tpr_at_1fpr") if isinstance(row.get(k), float))
                print(f"{cell.name} seed {seed} {row['method']}: {shown} {row.get('verdict', '')} {row['seconds']:.0f} s", flush=True)


if __name__ == "__main__":
    main()
