"""False alarms: scans of clean data. Halves, bootstraps and imbalanced subsets of every real set, and the sets themselves,
with their natural duplicates, label noise and imbalance left in. An alarm is a verdict of `suspicious` or `poisoned`.

    python benchmarks/false_alarms.py                 all sets, seed 0
    python benchmarks/false_alarms.py --sets 'sms_*' --each 4
    python benchmarks/false_alarms.py --effort standard         smaller subsets, with the checks that train networks
"""

from __future__ import annotations

import argparse
import fnmatch
import math
import time
import zlib
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np

import realdata
from bezoar.core.dataset import Dataset
from detection import one_core_each
from ledger import RESULTS, Ledger, version_of_scan

KEYS = ("set", "kind", "number")
ALARMS = ("poisoned", "suspicious")
MOST = {"quick": {"image": 2500, "text": 3000, "tabular": 6000}, "standard": {"image": 1200, "text": 1500, "tabular": 3000},
        "deep": {"image": 1200, "text": 1500, "tabular": 3000}}
"""Rows of a subset at most, by effort (at quick effort the whole sets are scanned whole too)."""
EACH = 12


def kept(effort: str) -> Path:
    """Where the rows of that effort stand."""
    return RESULTS / ("false_alarms.json" if effort == "quick" else f"false_alarms_{effort}.json")


def kinds(each: int = EACH, first: int = 0, effort: str = "quick") -> list[tuple[str, int]]:
    """What is made of every set: halves, bootstraps and imbalanced subsets by turns, numbered from `first`; at quick effort then itself."""
    turn = ("half", "bootstrap", "imbalanced")
    return [(turn[i % 3], first + i // 3) for i in range(each)] + ([("whole", 0)] if first == 0 and effort == "quick" else [])


def subset(name: str, kind: str, number: int, effort: str = "quick") -> Dataset:
    """The clean set of that name, kind and number, no larger than that effort bears; always the same rows."""
    data = clean(name)
    if kind == "whole":
        return data
    rng = np.random.default_rng([zlib.crc32(f"{name}/{kind}".encode()), number])
    most = MOST[effort][data.modality]
    n = len(data)
    if kind == "half":
        rows = np.sort(rng.permutation(n)[:min(n // 2, most)])
    elif kind == "bootstrap":
        rows = rng.integers(0, n, min(n, most))
    elif kind == "imbalanced":
        assert data.labels is not None
        weight = rng.pareto(1.2, len(data.labels.classes)) + 0.05
        keep = rng.random(n) < np.clip(weight / np.median(weight), 0.05, 1.0)[data.labels.codes]
        rows = np.sort(rng.permutation(np.flatnonzero(keep))[:most])
    else:
        raise ValueError(kind)
    part = data.take(rows)
    names = [f"{i}" for i in range(len(rows))]  # a bootstrap repeats rows, not ids
    return Dataset.from_arrays(part.inputs, part.labels, ids=names, name=f"{name} {kind} {number}",
                               **{k: list(v) for k, v in part.origin.items()})


def clean(name: str) -> Dataset:
    """A real set as it is."""
    if name == "ag_titles":
        return realdata.style_mix(np.random.default_rng(0), rate=0.0)[0]
    return realdata.ALL[name]()


def sets() -> list[str]:
    """Names of all clean sets on this machine: all real ones where they are, else the bundled ones."""
    real = [k for k in realdata.here() if not k.startswith("bundled")]
    if realdata.available("styleattack_ag_bible"):
        real.append("ag_titles")
    return real if set(real) - set(realdata.BUNDLED) else list(realdata.here())


def one(name: str, kind: str, number: int, workers: int = 1, effort: str = "quick") -> dict[str, Any]:
    """Scan one clean set."""
    from bezoar.api import scan

    data = subset(name, kind, number, effort)
    row: dict[str, Any] = {"set": name, "kind": kind, "number": number, "rows": len(data), "modality": data.modality}
    start = time.perf_counter()
    try:
        report = scan(data, effort=effort, seed=0, workers=workers)
    except Exception as error:  # noqa: BLE001 - a crash is a result
        return {**row, "verdict": "crashed", "alarm": False, "why": f"{type(error).__name__}: {error}"[:300],
                "seconds": time.perf_counter() - start}
    assert report.scores is not None
    why = [f"{f.ability}: {f.title} (p {f.p_value:.1g})" for f in report.counted]
    failed = [f"{o.ability}: {o.reason}" for o in report.outcomes if o.status == "failed"]
    return {**row, "verdict": report.verdict, "alarm": report.verdict in ALARMS, "flagged": float(np.mean(report.scores.flagged)),
            "advisory": len(report.findings) - len(report.counted), "why": "; ".join(why + failed)[:600],
            "seconds": time.perf_counter() - start}


def jobs(names: list[str], each: int, ledger: Ledger, first: int = 0, effort: str = "quick") -> list[tuple[str, str, int]]:
    """What is missing, number by number over all sets, so that a budget cuts all sets alike."""
    version = version_of_scan()
    return [(name, kind, number) for kind, number in kinds(each, first, effort) for name in names
            if not ledger.has(version, set=name, kind=kind, number=number)]


def execute(names: list[str], each: int, ledger: Ledger, processes: int, seconds: float, first: int = 0, effort: str = "quick") -> str:
    """Run what is missing and keep each row as soon as it is there; returns the version of the code that ran."""
    began, version = time.perf_counter(), version_of_scan()
    todo = jobs(names, each, ledger, first, effort)
    print(f"{len(todo)} clean sets to scan")
    if processes > 1:
        one_core_each()
    with ProcessPoolExecutor(processes, mp_context=get_context("spawn")) as pool:
        running: set[Future[dict[str, Any]]] = set()
        while todo or running:
            if time.perf_counter() - began > seconds:
                todo = []
            while todo and len(running) < processes:
                running.add(pool.submit(one, *todo.pop(0), workers=1 if processes > 1 else 2, effort=effort))
            done, running = wait(running, return_when=FIRST_COMPLETED)
            for future in done:
                row = future.result()
                ledger.add({**row, "version": version})
                print(f"[{time.perf_counter() - began:6.0f} s] {row['set']} {row['kind']} {row['number']} ({row['rows']} rows): "
                      f"{row['verdict']} {row['seconds']:.1f} s {row['why']}", flush=True)
    return version


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--effort", choices=list(MOST), default="quick")
    parser.add_argument("--sets", default="*", help="pattern of set names")
    parser.add_argument("--each", type=int, default=EACH, help="subsets of each set, beside the set itself")
    parser.add_argument("--first", type=int, default=0, help="number of the first subset; develop on 100 and above, report 0")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--minutes", type=float, default=math.inf, help="start nothing after so many minutes")
    parser.add_argument("--out", type=Path, help="else the results file of that effort")
    given = parser.parse_args()
    ledger = Ledger(given.out or kept(given.effort), KEYS)
    version = execute([s for s in sets() if fnmatch.fnmatch(s, given.sets)], given.each, ledger, given.processes, given.minutes * 60,
                      given.first, given.effort)
    rows = [r for r in ledger.rows if r["version"] == version]
    print(f"{sum(r['alarm'] for r in rows)} alarms in {len(rows)} clean sets")


if __name__ == "__main__":
    main()
