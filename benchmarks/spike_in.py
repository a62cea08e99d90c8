"""Is "the smallest poison that would have been found" true? Canaries' answer against plantings of one family alone.

The predicted count is what `bezoar scan --sensitivity` reports. The measured count is the least rung of a finer ladder (a factor of
about 1.4 between rungs) at which four of five fresh plantings of that family alone, other seeds, are found: campaigns flag half of it.
Within a factor of 2 counts as right, and so does "not found" where plantings are not found either.

    python benchmarks/spike_in.py
    python benchmarks/spike_in.py --sets 'sms_*' --processes 1
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

from bezoar import registry
from bezoar.api import CANARIES, scan
from bezoar.core.dataset import Dataset
from bezoar.core.errors import BezoarError
from bezoar.sensitivity import BASIS, MOST_SHARE
from detection import one_core_each
from false_alarms import subset
from ledger import RESULTS, Ledger, version_of_scan

KEYS = ("set", "family")
SETS = ("digits", "mnist_t10k", "gtsrb_signs", "sms_spam", "ag_news", "adult", "nsl_kdd")
FINE = (4, 6, 8, 11, 16, 23, 32, 45, 64, 90, 128, 181, 256, 362)
TRIES, ENOUGH = 5, 4


def predicted(data: Dataset, seed: int) -> dict[str, int | None]:
    """Family to the count that the report names."""
    report = scan(data, seed=seed, sensitivity=True, workers=1)
    return {s.family: s.smallest_count_found for s in report.sensitivity if s.basis.startswith(BASIS)}


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


def measured(data: Dataset, family: str, seed: int) -> int | None:
    """The least rung that is found often enough, from below."""
    for count in (c for c in FINE if c <= MOST_SHARE * len(data)):
        missed = 0
        for t in range(TRIES):
            missed += not found(data, family, count, seed + 1 + t)
            if missed > TRIES - ENOUGH:
                break
        else:
            return count
    return None


def within(one: int | None, other: int | None) -> bool:
    """A factor of 2, or nothing found by either.

    >>> within(10, 20), within(10, 23), within(None, None), within(None, 40)
    (True, False, True, False)
    """
    if one is None or other is None:
        return one is other
    return max(one, other) <= 2 * min(one, other)


def one(name: str, seed: int) -> list[dict[str, Any]]:
    """The rows of one set."""
    data = subset(name, "half", 0)
    out = []
    start = time.perf_counter()
    for family, told in predicted(data, seed).items():
        real = measured(data, family, seed)
        out.append({"set": name, "family": family, "rows": len(data), "predicted": told, "measured": real, "right": within(told, real),
                    "seconds": time.perf_counter() - start})
        start = time.perf_counter()
    return out


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sets", default="*", help="pattern of set names")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--out", default=str(RESULTS / "spike_in.json"))
    given = parser.parse_args()
    ledger = Ledger(Path(given.out), KEYS)
    one_core_each()
    with ProcessPoolExecutor(given.processes, mp_context=get_context("spawn")) as pool:
        for rows in pool.map(one, *zip(*[(s, given.seed) for s in SETS if fnmatch.fnmatch(s, given.sets)], strict=True)):
            for row in rows:
                ledger.add({**row, "version": version_of_scan(), "seed": given.seed})
                print(f"{row['set']}/{row['family']}: predicted {row['predicted']}, measured {row['measured']}: "
                      f"{'right' if row['right'] else 'WRONG'} ({row['seconds']:.0f} s)", flush=True)
    print(f"{sum(r['right'] for r in ledger.rows)} of {len(ledger.rows)} within a factor of 2 (goal: 80%)")


if __name__ == "__main__":
    main()
