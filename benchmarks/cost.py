"""Cost of the whole command: `bezoar scan DATA --effort EFFORT --out DIR` in a process of its own, with reading and reports.

Time is wall clock, memory the largest resident size of that process. Data larger than what is at hand is made from it with
changes to every copy (pictures: flips, shifts, brightness; texts: dropped words; tables: noise), so that it does not
shrink to duplicates. ART's activation clustering is timed beside it, with the training that it needs, on the same pictures.

    python benchmarks/cost.py                      everything
    python benchmarks/cost.py --only images-10000,texts-100000
"""

from __future__ import annotations

import argparse
import json
import math
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

import realdata
from bezoar.core.dataset import Dataset
from ledger import RESULTS, Ledger, version_of_scan

KEYS = ("what",)
SIZES = (2_000, 5_000, 10_000, 20_000, 50_000)
GOALS = {"images-10000": (20.0, 3000.0), "images-50000": (100.0, None), "texts-100000": (600.0, 4096.0), "table-1000000": (600.0, 4096.0),
         "standard-20000": (600.0, 4096.0), "deep-20000": (3600.0, 4096.0)}
"""Seconds and MB."""
TIMEOUT = 4000
TRAINED = ("standard", "deep")
"""Efforts that train networks, timed on pictures."""


# -- the data


def pictures(count: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray, tuple[str, ...]]:
    """`count` of CIFAR-10 (digits without it): the set itself first, then changed copies; (n, h, w, 3) uint8, codes, classes."""
    base = realdata.cifar10() if realdata.available("cifar10") else realdata.digits()
    assert base.labels is not None
    rng = np.random.default_rng(seed)
    x, y = base.inputs.dense(), base.labels.codes  # type: ignore[attr-defined]
    order = rng.permutation(len(x))
    rows = np.concatenate([rng.permutation(order) if i else order for i in range(-(-count // len(x)))])[:count]
    out = x[rows].copy()
    for start in range(len(x), count, len(x)):
        part = slice(start, min(start + len(x), count))
        out[part] = _changed(out[part], rng)
    return out, y[rows], base.labels.classes


def _changed(x: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Mirrored, moved by up to 3 pixels, brighter or darker, with a little grain."""
    n, h, w = x.shape[:3]
    flip = rng.random(n) < 0.5
    x = np.where(flip[:, None, None, None], x[:, :, ::-1], x)
    pad = np.pad(x, ((0, 0), (3, 3), (3, 3), (0, 0)), mode="reflect")
    dy, dx = rng.integers(0, 7, n), rng.integers(0, 7, n)
    moved = pad[np.arange(n)[:, None, None], (dy[:, None] + np.arange(h))[:, :, None], (dx[:, None] + np.arange(w))[:, None, :]]
    light = rng.uniform(0.75, 1.25, (n, 1, 1, 1)).astype(np.float32)
    return np.clip(moved * light + rng.integers(-4, 5, moved.shape, np.int8), 0, 255).astype(np.uint8)


def write_pictures(folder: Path, count: int) -> Path:
    """A folder of JPEG files by class."""
    from PIL import Image

    x, y, classes = pictures(count)
    for c in classes:
        (folder / c).mkdir(parents=True)
    for i, (picture, code) in enumerate(zip(x, y, strict=True)):
        Image.fromarray(picture).save(folder / classes[code] / f"{i:06d}.jpg", quality=92)
    return folder


def texts(count: int, seed: int = 0) -> tuple[list[str], list[str]]:
    """Short texts of several sets, drawn again and again, each with a sixth of its words left out."""
    names = [n for n in ("sms_spam", "ag_news", "hate_speech") if n in realdata.here()] or ["bundled_text"]
    pool: list[str] = []
    labels: list[str] = []
    for n in names:
        data: Dataset = realdata.ALL[n]()
        assert data.labels is not None
        pool += list(data.inputs.values)  # type: ignore[attr-defined]
        labels += [f"{n}-{data.labels.classes[c]}" for c in data.labels.codes]
    rng = np.random.default_rng(seed)
    rows = rng.integers(0, len(pool), count)
    out = []
    for i in rows:
        words = pool[i].split()
        keep = rng.random(len(words)) > 1 / 6
        out.append(" ".join(w for w, k in zip(words, keep, strict=True) if k) or "empty")
    return out, [labels[i] for i in rows]


def write_texts(folder: Path, count: int) -> Path:
    """A CSV with the columns text and label."""
    import pandas as pd

    folder.mkdir(parents=True)
    x, y = texts(count)
    pd.DataFrame({"text": x, "label": y}).to_csv(folder / "texts.csv", index=False)
    return folder / "texts.csv"


def write_table(folder: Path, count: int) -> Path:
    """A Parquet table of 20 columns: rows of Adult (breast cancer without it) with noise, and made numbers up to 20."""
    import pandas as pd

    folder.mkdir(parents=True)
    base = realdata.adult() if realdata.available("adult") else realdata.bundled_table()
    assert base.labels is not None
    rng = np.random.default_rng(0)
    rows = rng.integers(0, len(base), count)
    frame: dict[str, Any] = {}
    for name, c in list(base.inputs.columns.items())[:19]:  # type: ignore[attr-defined]
        values = c.values[rows]
        if c.kind == "category":
            swap = rng.random(count) < 0.05
            values = np.where(swap, rng.permutation(values), values)
            frame[name] = pd.Categorical.from_codes(values, list(c.levels)).astype("string")
        else:
            swap = rng.random(count) < 0.3
            frame[name] = np.where(swap, np.round(values + 0.1 * np.nanstd(c.values) * rng.standard_normal(count), 2), values)
    signal = (base.labels.codes[rows] - 0.5).astype(float)
    while len(frame) < 20:
        frame[f"reading_{len(frame)}"] = np.round(signal * rng.uniform(0, 0.5) + rng.standard_normal(count), 3)
    frame["label"] = np.array(base.labels.classes, object)[base.labels.codes[rows]]
    pd.DataFrame(frame).to_parquet(folder / "table.parquet", index=False)
    return folder / "table.parquet"


# -- the measurement


def measured(command: list[str], log: Path, timeout: float = TIMEOUT) -> dict[str, Any]:
    """Wall seconds, CPU seconds, largest resident MB and exit code of a command and its children."""
    with log.open("wb") as out:
        start = time.perf_counter()
        process = subprocess.Popen(command, stdout=out, stderr=subprocess.STDOUT)
        deadline = start + timeout
        while True:
            pid, status, usage = os.wait4(process.pid, os.WNOHANG)
            if pid:
                break
            if time.perf_counter() > deadline:
                process.kill()
                _, status, usage = os.wait4(process.pid, 0)
                break
            time.sleep(0.02)
        seconds = time.perf_counter() - start
    process.returncode = os.waitstatus_to_exitcode(status)
    return {"seconds": seconds, "cpu_seconds": usage.ru_utime + usage.ru_stime, "peak_rss_mb": usage.ru_maxrss / 1024,
            "exit": process.returncode}


def scan_command(data: Path, out: Path, effort: str = "quick") -> list[str]:
    """What a person types."""
    tool = Path(sys.executable).with_name("bezoar")
    start = [str(tool)] if tool.exists() else [sys.executable, "-m", "bezoar"]
    return [*start, "scan", str(data), "--effort", effort, "--out", str(out)]


def time_scan(what: str, write: Callable[[Path, int], Path], count: int, scratch: Path, effort: str) -> dict[str, Any]:
    """Make the data, scan it, throw it away."""
    folder = scratch / what
    data = write(folder, count)
    try:
        row = measured(scan_command(data, scratch / f"{what}-out", effort), scratch / f"{what}.log")
        report = scratch / f"{what}-out" / "report.json"
        said = json.loads(report.read_text()) if report.exists() else {}
        row |= {"verdict": said.get("verdict", "no report"), "core_seconds": said.get("seconds")}
        slow = sorted(said.get("outcomes", []), key=lambda o: -o["seconds"])[:3]
        row["slowest"] = ", ".join(f"{o['ability']} {o['seconds']:.1f} s" for o in slow)
        if row["exit"] not in (0, 1, 3):
            row["failed"] = (scratch / f"{what}.log").read_text()[-400:]
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return {"what": what, "count": count, **row}


def time_toolbox(count: int) -> list[dict[str, Any]]:
    """The same pictures, 1% patched: bezoar's scan and ART's activation clustering with its training, both cores each."""
    import torch

    import peers
    from bezoar import registry
    from bezoar.api import scan

    torch.set_num_threads(2)
    x, y, classes = pictures(count)
    clean = Dataset.from_arrays(x, [classes[c] for c in y], name="toolbox")
    done = registry.make("attacks", "badnets", {"rate": 0.01})(clean, np.random.default_rng(0))
    rows = []
    start = time.perf_counter()
    report = scan(done.data, effort="quick", workers=2)
    assert report.scores is not None
    import measure

    rows.append({"what": f"toolbox-{count}-bezoar", "count": count, "seconds": time.perf_counter() - start,
                 **measure.listed(np.asarray(report.scores.flagged, bool), done.truth)})
    found = peers.art(done.data, done.truth, 0, done.trigger, done.target)[0]
    rows.append({"what": f"toolbox-{count}-art", "count": count, **found})
    return rows


def plan() -> list[str]:
    """Names of everything that is timed, cheap ones first."""
    return [*(f"images-{n}" for n in SIZES), "texts-100000", "table-1000000", "toolbox-10000", *(f"{e}-20000" for e in TRAINED)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="", help="names with commas between them: " + ", ".join(plan()))
    parser.add_argument("--minutes", type=float, default=math.inf, help="start nothing after so many minutes")
    parser.add_argument("--again", action="store_true", help="also what this version has timed already")
    parser.add_argument("--out", default=str(RESULTS / "cost.json"))
    given = parser.parse_args()
    execute(given.only.split(",") if given.only else plan(), Ledger(Path(given.out), KEYS), given.minutes * 60, given.again)


def execute(names: list[str], ledger: Ledger, seconds: float, again: bool = False) -> None:
    """Time what is missing, one thing at a time."""
    began, version = time.perf_counter(), version_of_scan()
    write = {"images": write_pictures, "texts": write_texts, "table": write_table, **dict.fromkeys(TRAINED, write_pictures)}
    with tempfile.TemporaryDirectory(prefix="bezoar-cost-") as scratch:
        for name in names:
            kind, count = name.split("-")[0], int(name.split("-")[1])
            marker = f"{name}-art" if kind == "toolbox" else name
            if (not again and ledger.has(version, what=marker)) or time.perf_counter() - began > seconds:
                continue
            effort = kind if kind in TRAINED else "quick"
            rows = time_toolbox(count) if kind == "toolbox" else [time_scan(name, write[kind], count, Path(scratch), effort)]
            for row in rows:
                ledger.add({**row, "version": version})
                print(f"[{time.perf_counter() - began:6.0f} s] {row['what']}: {row['seconds']:.1f} s, "
                      f"{row.get('peak_rss_mb', float('nan')):.0f} MB {row.get('verdict', '')} {row.get('slowest', '')} "
                      f"{row.get('failed', '')}", flush=True)


if __name__ == "__main__":
    main()
