"""False positives by the network that the checks read: scans with a model of one's own, of three architectures, on clean and poisoned data.

    python benchmarks/probe_networks.py                       every set and network, seeds 0-1
    python benchmarks/probe_networks.py --cells 'mnist_t10k/*' --seeds 100
    python benchmarks/probe_networks.py --list

The network is trained on the very data, as a user's would be. *clean* halves hold no poison: whatever is listed is a false positive, and a
verdict of `suspicious` or `poisoned` is a false alarm. *tact* (a patch that acts on one class, 3% and as many covers) shows what is
listed beside poison. One seed takes about a minute of one core.
"""

from __future__ import annotations

import time
import zlib
from dataclasses import dataclass
from typing import Any

import numpy as np

import asking
import measure
import realdata
from bezoar import api, registry
from bezoar.core.dataset import Dataset
from bezoar.core.inputs import Images
from bezoar.networks import builds, training
from bezoar.networks.image_victim import brought, side_of
from bezoar.networks.twins import suspect_of
from false_alarms import ALARMS
from learned_page import figure, mean
from ledger import RESULTS, Ledger, version_of_scan
from measure import clopper_pearson_upper

KEYS = ("cell", "seed")
MOST = 1500
EPOCHS = {"gtsrb_signs": 20}
NETWORKS = {"resnet": (builds.resnet, 16), "vgg": (builds.vgg, 16), "convmixer": (builds.convmixer, 32)}
RATE = 0.03
FPR_GOAL = 0.01


@dataclass(frozen=True)
class Cell:
    name: str
    dataset: str
    network: str
    poisoned: bool


def all_cells() -> list[Cell]:
    """Every set and network, clean and poisoned; without BEZOAR_DATA the bundled digits only."""
    sets = [s for s in ("mnist_t10k", "gtsrb_signs", "cifar10") if realdata.available(s)] or ["digits"]
    return [Cell(f"{s}/{network}, {kind}", s, network, kind != "clean") for s in sets for network in NETWORKS for kind in ("clean", "tact")]


def trained(data: Dataset, network: str, seed: int, epochs: int) -> Any:
    """A network that learned the data, as a suspect, and its accuracy on them."""
    assert isinstance(data.inputs, Images)
    assert data.labels is not None
    side = side_of(data.inputs)
    build, width = NETWORKS[network]
    x, codes, rng = brought(data.inputs, side), data.labels.codes, np.random.default_rng([seed, zlib.crc32(network.encode())])
    with training.seeded(seed):
        module = training.fit(build(len(data.labels.classes), width), x, codes, rng, tensor=training.pictures, epochs=epochs, batch=64)
    suspect = suspect_of(module, data.labels.classes, side)
    return suspect, float((suspect.predict(data.inputs).argmax(axis=1) == codes).mean())


def one(cell: Cell, seed: int) -> dict[str, Any]:
    """One scan and what it listed of clean and of planted rows."""
    data = realdata.ALL[cell.dataset]()
    data = data.take(np.sort(np.random.default_rng([seed, zlib.crc32(cell.dataset.encode())]).permutation(len(data))[:MOST]))
    truth = covers = np.zeros(len(data), bool)
    if cell.poisoned:
        rng = np.random.default_rng([seed, zlib.crc32(cell.name.encode())])
        done = registry.make("attacks", "tact", {"rate": RATE, "cover": RATE})(data, rng)
        truth, covers = measure.planted(data, done)
        data = done.data
    start = time.perf_counter()
    suspect, fit = trained(data, cell.network, seed, EPOCHS.get(cell.dataset, 10))
    between = time.perf_counter()
    report = api.scan(data, model=suspect, seed=seed)
    assert report.scores is not None
    told = measure.listed(np.asarray(report.scores.flagged, bool)[~covers], truth[~covers])
    return {"cell": cell.name, "network": cell.network, "seed": seed, "rows": len(data), "planted": int(truth.sum()), "fit": fit,
            "fpr": told["fpr"], "recall": told["recall"] if cell.poisoned else None, "verdict": report.verdict,
            "alarm": report.verdict in ALARMS, "train_seconds": between - start, "seconds": time.perf_counter() - between}


def section(rows: list[dict[str, Any]]) -> list[str]:
    """One line per network."""
    if not rows:
        return ["## False positives by network", "", "Not run yet: `python benchmarks/probe_networks.py`.", ""]
    sets = ", ".join(sorted({r["cell"].split("/")[0] for r in rows}))
    out = ["## False positives by network", "",
           "Scans with a model of one's own, which the checks of networks then read: three architectures, trained on the very data",
           f"({MOST:,} samples of {sets}). *tact* is a patch that acts on one class, {RATE:.0%} and as many covers; whether it implants",
           "is not asked here, only what is listed that is not poison. *False positives* are the most of all runs.", "",
           "| network | clean sets | alarms | bound | false positives | poisoned sets | alarms | recall | false positives | at most 1% |",
           "|" + "---|" * 10]
    for network in NETWORKS:
        clean, planted = ([r for r in rows if r["network"] == network and (r["recall"] is not None) == bad] for bad in (False, True))
        if not clean and not planted:
            continue
        alarms = sum(r["alarm"] for r in clean)
        worst = max((r["fpr"] for r in (*clean, *planted)), default=0.0)
        out.append(f"| {network} | {len(clean)} | {alarms} | {clopper_pearson_upper(alarms, len(clean)) if clean else 1.0:.2f} | "
                   f"{max((r['fpr'] for r in clean), default=0.0):.4f} | {len(planted)} | {sum(r['alarm'] for r in planted)} | "
                   f"{figure(mean([r['recall'] for r in planted]))} | "
                   f"{max((r['fpr'] for r in planted), default=0.0):.4f} | {'yes' if worst <= FPR_GOAL else '**no**'} |")
    return [*out, ""]


def main() -> None:
    parser = asking.parser(__doc__, RESULTS / "probe_networks.json", between="semicolons")
    parser.set_defaults(seeds=[0, 1])
    given, chosen = asking.asked(parser, all_cells(), ";")
    ledger, began, now = Ledger(given.out, KEYS), time.perf_counter(), version_of_scan()
    for seed in given.seeds:
        for cell in chosen:
            if ledger.has(now, cell=cell.name, seed=seed) or time.perf_counter() - began > 60 * given.minutes:
                continue
            row = one(cell, seed)
            ledger.add({**row, "version": now})
            print(f"{cell.name} seed {seed}: {row['verdict']}, false positives {row['fpr']:.4f}, recall {row['recall']}, "
                  f"{row['train_seconds']:.0f} + {row['seconds']:.0f} s", flush=True)


if __name__ == "__main__":
    main()
