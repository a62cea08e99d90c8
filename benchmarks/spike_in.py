"""Is "the smallest poison that would have been found" true? Canaries' answer against plantings of one family alone.

The predicted count is what `bezoar scan --sensitivity` reports. The measured count is the least rung of a ladder (a factor of about 1.4
between rungs) at which four of five fresh plantings of that family alone, other seeds, are found: campaigns flag half of it.
Within a factor of 2 counts as right, and so does "not found" where plantings are not found either. Sets are cut to 2,000 samples.

    python benchmarks/spike_in.py                     about 15 minutes on one core
    python benchmarks/spike_in.py --sets 'sms_*' --seed 100
"""

from __future__ import annotations

import argparse
import fnmatch
import time
import zlib
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np

import realdata
from bezoar import registry
from bezoar.api import CANARIES, scan
from bezoar.core.dataset import Dataset
from bezoar.core.errors import BezoarError
from bezoar.sensitivity import BASIS, largest
from detection import one_core_each
from ledger import RESULTS, Ledger, version_of_scan

KEYS = ("set", "family", "seed")
SETS = ("digits", "sms_spam", "adult")
WITHOUT_DATA = ("digits", "bundled_text", "bundled_table")
ROWS = 2_000
FINE = (2, 3, 4, 6, 8, 11, 16, 23, 32, 45, 64, 90, 128)
TRIES, ENOUGH = 5, 4


def part(name: str) -> Dataset:
    """At most `ROWS` samples of the set, always the same ones."""
    data = realdata.ALL[name]()
    rng = np.random.default_rng([zlib.crc32(name.encode()), 8])
    return data.take(np.sort(rng.permutation(len(data))[:ROWS]))


def predicted(name: str, seed: int) -> list[dict[str, Any]]:
    """A row per family with the count that the report names; `measured` is still to come."""
    data, start = part(name), time.perf_counter()
    report = scan(data, seed=seed, sensitivity=True, workers=1)
    told = [s for s in report.sensitivity if s.basis.startswith(BASIS) and "could not be planted" not in s.basis]
    seconds = (time.perf_counter() - start) / max(len(told), 1)
    return [{"set": name, "family": s.family, "seed": seed, "rows": len(data), "predicted": s.smallest_count_found,
             "interval": list(s.interval or ()), "basis": s.basis, "predicted_seconds": seconds} for s in told]


def found(data: Dataset, family: str, count: int, seed: int) -> bool | None:
    """Whether a scan flags half of `count` planted samples; None where the data cannot bear them."""
    name, parameters = CANARIES[data.modality][family]
    rng = np.random.default_rng([seed, count, zlib.crc32(family.encode())])
    try:
        made = registry.make("attacks", name, {**parameters, "rate": count / len(data)})(data, rng)
    except BezoarError:
        return None
    scores = scan(made.data, seed=seed, workers=1).scores
    assert scores is not None
    return bool(scores.flagged[made.truth].mean() >= 0.5)


def measured(name: str, family: str, seed: int) -> tuple[int | None, float]:
    """The least rung that is found often enough, from below, and the seconds that it took."""
    data, start = part(name), time.perf_counter()
    for count in (c for c in FINE if c <= largest(len(data))):
        missed = 0
        for t in range(TRIES):
            missed += not found(data, family, count, seed + 1 + t)
            if missed > TRIES - ENOUGH:
                break
        else:
            return count, time.perf_counter() - start
    return None, time.perf_counter() - start


def within(one: int | None, other: int | None) -> bool:
    """A factor of 2, or nothing found by either.

    >>> within(10, 20), within(10, 23), within(None, None), within(None, 40)
    (True, False, True, False)
    """
    if one is None or other is None:
        return one is other
    return max(one, other) <= 2 * min(one, other)


def section(rows: list[dict[str, Any]]) -> list[str]:
    """Lines of the page."""
    done = [r for r in rows if "right" in r]
    if not done:
        return ["## Smallest poison found", "", "Not run yet: `python benchmarks/spike_in.py`.", ""]
    share = sum(r["right"] for r in done) / len(done)
    out = ["## Smallest poison found", "",
           "*Predicted* is what `bezoar scan --sensitivity` says from at most sixteen scans with canaries; *measured* is the",
           "least rung (2, 3, 4, 6, 8, 11, ...) at which four of five plantings of that family alone are found. Sets are cut to",
           "2,000 samples.", "",
           "| data | family | seed | predicted | its 95% interval | measured | within a factor of 2 |", "|---" * 7 + "|"]
    for r in sorted(done, key=lambda r: (r["set"], r["family"], r["seed"])):
        span = "-".join(str(v) for v in r["interval"]) or "-"
        out.append(f"| {r['set']} | {r['family']} | {r['seed']} | {r['predicted'] or 'not found'} | {span} | "
                   f"{r['measured'] or 'not found'} | {'yes' if r['right'] else '**no**'} |")
    return [*out, "", f"{sum(r['right'] for r in done)} of {len(done)} within a factor of 2; goal 80%: "
                      f"{'yes' if share >= 0.8 else '**no**'}.", ""]


def execute(sets: list[str], seed: int, ledger: Ledger, processes: int = 1) -> None:
    """Predict, then measure, what this version has not; rows are kept as they come."""
    now = version_of_scan()
    one_core_each()
    with ProcessPoolExecutor(processes, mp_context=get_context("spawn")) as pool:
        known = {r["set"] for r in ledger.rows if r["version"] == now and r["seed"] == seed}
        missing = [s for s in sets if s not in known]
        for rows in pool.map(predicted, missing, [seed] * len(missing)):
            for row in rows:
                ledger.add({**row, "version": now})
        todo = [r for r in ledger.rows if r["version"] == now and r["seed"] == seed and r["set"] in sets and "right" not in r]
        for row, (real, seconds) in zip(todo, pool.map(measured, *zip(*[(r["set"], r["family"], seed) for r in todo], strict=True))
                                        if todo else (), strict=True):
            right = within(row["predicted"], real)
            ledger.add({**row, "measured": real, "right": right, "seconds": seconds})
            print(f"{row['set']}/{row['family']}: predicted {row['predicted']} {row['interval']}, measured {real}: "
                  f"{'right' if right else 'WRONG'} ({seconds:.0f} s)", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sets", default="*", help="pattern of set names")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--out", default=str(RESULTS / "spike_in.json"))
    given = parser.parse_args()
    ledger = Ledger(Path(given.out), KEYS)
    sets = [s for s in (SETS if realdata.available("adult") else WITHOUT_DATA) if fnmatch.fnmatch(s, given.sets)]
    execute(sets, given.seed, ledger, given.processes)
    print("\n".join(section(ledger.rows)))


if __name__ == "__main__":
    main()
