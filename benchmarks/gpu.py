"""What a graphics card does for the learned tier: seconds, memory and agreement with a processor. Says so where there is no card.

    python benchmarks/gpu.py                 the small network on both, then a ResNet-18 on 50,000 pictures on the card
    python benchmarks/gpu.py --rows 2000 --large 0

Rows above what CIFAR-10 holds here are drawn again with a pixel's noise, so times are real and accuracies are not.
"""

from __future__ import annotations

import argparse
import time
from typing import Any

import numpy as np

import realdata
from bezoar import registry
from bezoar.core.dataset import Dataset
from bezoar.core.errors import UsageError
from bezoar.core.inputs import Images
from bezoar.core.view import View
from bezoar.networks import device
from ledger import RESULTS, Ledger, version_of_scan


def rows_of(data: Dataset, n: int, rng: np.random.Generator) -> Dataset:
    """`n` rows; those beyond the data are copies with noise of one grey level."""
    assert isinstance(data.inputs, Images)
    rows = np.concatenate([rng.permutation(len(data)), rng.integers(len(data), size=max(n - len(data), 0))])
    x = data.inputs.take(rows[:n]).dense().astype(np.int16)
    x[len(data):] += rng.integers(-1, 2, x[len(data):].shape)
    assert data.labels is not None
    return Dataset.from_arrays(np.clip(x, 0, 255).astype(np.uint8), np.array(data.labels.classes)[data.labels.codes[rows[:n]]])


def timed(data: Dataset, place: str, deep: bool) -> dict[str, Any]:
    """One training and reading, as a scan has it."""
    import torch

    if place == "cuda":
        torch.cuda.reset_peak_memory_stats()
    with device.using(place, deep=deep):
        started = time.perf_counter()
        shown = View(data, registry.make("modalities", "image"), seed=0).learned()
        seconds = time.perf_counter() - started
    assert data.labels is not None
    return {"rows": len(data), "device": place, "network": "ResNet-18" if deep and len(data) >= device.LARGE else "narrow",
            "seconds": seconds, "fits": float((shown.logits.argmax(axis=1) == data.labels.codes).mean()),
            "megabytes": torch.cuda.max_memory_allocated() / 2**20 if place == "cuda" else None}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=10_000)
    parser.add_argument("--large", type=int, default=50_000, help="rows of the deep run on the card; 0 leaves it out")
    given = parser.parse_args()
    try:
        device.resolved("cuda")
    except UsageError as error:
        print(f"nothing measured: {error}")
        return
    import torch

    name, ledger = torch.cuda.get_device_name(), Ledger(RESULTS / "gpu.json", ("rows", "device", "network", "card"))
    data, rng = realdata.ALL["cifar10"](), np.random.default_rng(0)
    plan = [(given.rows, "cpu", False), (given.rows, "cuda", False), *([(given.large, "cuda", True)] if given.large else [])]
    for n, place, deep in plan:
        row = timed(rows_of(data, n, rng), place, deep)
        ledger.add({**row, "card": name, "version": version_of_scan()})
        print(f"{row['rows']:,} rows, {row['network']}, {place}: {row['seconds']:.1f} s, fits {row['fits']:.3f}", flush=True)


if __name__ == "__main__":
    main()
