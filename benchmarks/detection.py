"""Detection: bezoar and its peers on planted data, cell by cell and seed by seed. Stopped runs go on where they were.

    python benchmarks/detection.py                          all cells, seeds 0-4
    python benchmarks/detection.py --cells 'sms_spam/*' --seeds 0 1 --no-peers
    python benchmarks/detection.py --quick                  seed 0, no network training
"""

from __future__ import annotations

import argparse
import math
import os
import time
from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from multiprocessing import get_context
from typing import Any

import numpy as np

import asking
import cells
import measure
from bezoar.core.inputs import Images
from bezoar.core.report import Report
from cells import Cell, Planted
from ledger import RESULTS, Ledger, version_of_peers, version_of_scan

KEYS = ("cell", "method", "seed")
PEER_SEEDS = 5


def scan_once(planted: Planted, seed: int, workers: int) -> Report:
    """bezoar as a user runs it: no rate, no attack, no target."""
    from bezoar.api import scan

    return scan(planted.data, effort="quick", seed=seed, workers=workers)


def read(report: Report, planted: Planted, metric: str) -> dict[str, Any]:
    """The figures of one report against the truth."""
    assert report.scores is not None
    data, truth = planted.data, planted.truth
    row = {str(sample): i for i, sample in enumerate(data.ids)}
    flagged = np.asarray(report.scores.flagged, bool).copy()
    if metric == "f1":  # label errors are advisory findings: their members are the list that a person gets
        for f in report.findings:
            if f.threat == "label-flip":
                flagged[[row[m] for m in f.members]] = True
    out: dict[str, Any] = {**measure.listed(flagged, truth), "tpr_at_1fpr": measure.tpr_at(report.scores.suspicion, truth),
                           "verdict": report.verdict, "findings": len(report.findings)}
    best, best_hits, alarm = None, 0, 0.0
    for f in report.counted:
        members = np.array([row[m] for m in f.members], np.int64)
        hits = int(truth[members].sum())
        if 2 * hits > len(members):
            alarm = 1.0
        if hits > best_hits and f.kind != "source":
            best, best_hits = f, hits
    out["alarm"] = alarm
    if planted.trigger is not None:
        size = (32, 32)
        if isinstance(data.inputs, Images) and len(data):
            size = (int(data.inputs.sizes[0, 0]), int(data.inputs.sizes[0, 1]))
        found = None if best is None else best.trigger
        out["lift"] = measure.lifted(planted.trigger, found, size)
        out["confirmed"] = float(bool(best is not None and best.confirmed))
    if planted.vendor is not None:
        out["source_first"] = float(_first_source(report) == planted.vendor)
    out["slowest"] = max(((o.seconds, o.ability) for o in report.outcomes), default=(0.0, ""))[1]
    out["failed"] = "; ".join(f"{o.ability}: {o.reason}" for o in report.outcomes if o.status == "failed")
    return out


def _first_source(report: Report) -> str:
    """The source that the first finding about sources is about: the one that most of its members come from."""
    for f in report.findings:
        if f.threat == "source" and f.origin.get("source"):
            return max(f.origin["source"], key=lambda k: f.origin["source"][k])
    return ""


def one(cell: Cell, seed: int, want_scan: bool, peers: tuple[str, ...], workers: int,
        scan: Callable[[Planted, int, int], Report] = scan_once) -> list[dict[str, Any]]:
    """The rows of one cell and seed: bezoar's (if wanted) and those of the peers named."""
    planted = cells.plant(cell, seed)
    common = {"cell": cell.name, "seed": seed, "poisoned": int(planted.truth.sum()), "rows": len(planted.truth)}
    out = []
    if want_scan:
        start, used = time.perf_counter(), time.process_time()
        try:
            report = scan(planted, seed, workers)
            seconds = time.perf_counter() - start
            out.append({**common, "method": "bezoar", "seconds": seconds, "cpu_seconds": time.process_time() - used,
                        **read(report, planted, cell.metric), "peak_rss_mb": measure.peak_rss_mb()})
        except Exception as error:  # noqa: BLE001 - a crash is a result, not the end of the benchmark
            out.append({**common, "method": "bezoar", "seconds": time.perf_counter() - start, "recall": 0.0, "fpr": 0.0,
                        "failed": f"{type(error).__name__}: {error}"[:300]})
    if peers:
        import peers as others

        out += [{**common, **row} for row in others.run(peers, planted.data, planted.truth, seed, trigger=planted.trigger,
                                                        target=planted.target)]
    return out


METHODS = {"art": "ART activation clustering", "cleanlab": "cleanlab", "forest": "isolation forest", "trivial": "perfect filter"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cells", default="*", help="pattern of cell names, e.g. 'cifar10/*' (several with commas)")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2, 3, 4])
    parser.add_argument("--peers", action=argparse.BooleanOptionalAction, default=True)
    parser.add_argument("--scan", action=argparse.BooleanOptionalAction, default=True, help="run bezoar itself")
    parser.add_argument("--quick", action="store_true", help="seed 0 only, peers without network training")
    parser.add_argument("--minutes", type=float, default=math.inf, help="start nothing after so many minutes")
    parser.add_argument("--processes", type=int, default=1, help="runs beside each other, each on one core")
    parser.add_argument("--out", default=str(RESULTS / "detection.json"))
    parser.add_argument("--list", action="store_true", help="show the cells and stop")
    given = parser.parse_args()
    patterns = given.cells.split(",")
    chosen = asking.picked(cells.all_cells(), patterns)
    if given.list:
        for c in chosen:
            print(f"{c.name:45} goal {c.goal} on {c.metric}; peers {', '.join(c.peers) or '-'}")
        return
    from pathlib import Path

    ledger = Ledger(Path(given.out), KEYS)
    execute(chosen, [0] if given.quick else given.seeds, ledger, scan=given.scan, peers=given.peers, quick=given.quick,
            processes=given.processes, seconds=given.minutes * 60)


def jobs(chosen: list[Cell], seeds: list[int], ledger: Ledger, *, scan: bool, peers: bool, quick: bool) -> list[tuple[Any, ...]]:
    """(cell, seed, scan?, peers) of what is missing, seed by seed, so that a budget cuts all cells alike."""
    mine, theirs = version_of_scan(), version_of_peers()
    out: list[tuple[Any, ...]] = []
    for seed in seeds:
        for c in chosen:
            want = scan and not ledger.has(mine, cell=c.name, method="bezoar", seed=seed)
            others = tuple(p for p in c.peers if peers and seed < PEER_SEEDS and not (quick and p == "art")
                           and not ledger.has(theirs, cell=c.name, method=METHODS[p], seed=seed))
            if want:
                out.append((c, seed, True, ()))
            if others:
                out.append((c, seed, False, others))
    return out


def execute(chosen: list[Cell], seeds: list[int], ledger: Ledger, *, scan: bool, peers: bool, quick: bool, processes: int,
            seconds: float) -> None:
    """Run what is missing and keep each row as soon as it is there."""
    began = time.perf_counter()
    versions = {True: version_of_scan(), False: version_of_peers()}
    todo = jobs(chosen, seeds, ledger, scan=scan, peers=peers, quick=quick)
    total = len(todo)
    print(f"{total} runs to do")

    def keep(rows: list[dict[str, Any]]) -> None:
        for row in rows:
            ledger.add({**row, "version": versions[row["method"] == "bezoar"]})
            shown = " ".join(f"{k} {row[k]:.3f}" for k in ("recall", "fpr", "tpr_at_1fpr", "f1", "lift", "source_first", "asr")
                             if isinstance(row.get(k), float))
            print(f"[{time.perf_counter() - began:6.0f} s] {row['cell']} seed {row['seed']} {row['method']}: {shown}"
                  f" {row.get('verdict', '')} {row['seconds']:.1f} s {row.get('failed', '')}", flush=True)

    if processes <= 1:
        for job in todo:
            if time.perf_counter() - began > seconds:
                break
            keep(one(*job, workers=2))
    else:
        one_core_each()
        with ProcessPoolExecutor(processes, mp_context=get_context("spawn")) as pool:
            running: set[Future[list[dict[str, Any]]]] = set()
            while todo or running:
                if time.perf_counter() - began > seconds:
                    todo = []
                while todo and len(running) < processes:
                    running.add(pool.submit(one, *todo.pop(0), workers=1))
                done, running = wait(running, return_when=FIRST_COMPLETED)
                for future in done:
                    keep(future.result())
    print(f"done in {time.perf_counter() - began:.0f} s; {len(ledger.rows)} rows in {ledger.path.name}")


def one_core_each() -> None:
    """What processes started from here read before they load a numerical library."""
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ[name] = "1"


if __name__ == "__main__":
    main()
