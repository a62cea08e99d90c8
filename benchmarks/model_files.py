"""Opening model files: hostile ones that may not be opened, genuine ones that must be, each by the child process of `read_weights`.

Counts what was opened, what was run (the payloads would make a folder), the processor seconds of each child, the largest resident
size of any, and what the whole corpus does under strace. Results: results/model_files.json.

    python benchmarks/model_files.py              everything: hostile, genuine, speed, traced
    python benchmarks/model_files.py --only traced
"""

from __future__ import annotations

import argparse
import json
import resource
import shutil
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

from bezoar.intake.models import inspect, read_weights
from bezoar.testing.hostile.kit import marker
from bezoar.testing.hostile.models import MODEL_CASES
from ledger import RESULTS, machine

TESTS = Path(__file__).resolve().parents[1] / "tests" / "intake" / "models"
SECONDS, MB = 10.0, 512.0


def row(what: str, value: float, bar: float | None, unit: str = "files", higher: bool = False, **more: Any) -> dict[str, Any]:
    """One figure; `met` None where there is no bar."""
    met = None if bar is None else bool(value >= bar if higher else value <= bar)
    return {"what": what, "value": round(value, 3), "unit": unit, "bar": bar, "met": met, **more}


def _spent() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _peak() -> float:
    return resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024


def hostile(folder: Path) -> list[dict[str, Any]]:
    """Every hostile case."""
    verdicts: Counter[str] = Counter()
    opened, run, other, slowest, longest = [], [], [], 0.0, ""
    for name, build in MODEL_CASES.items():
        place = folder / name
        case = build(place)
        before = _spent()
        found = inspect(case.path) if case.path.is_dir() else read_weights(case.path)
        seconds = _spent() - before
        slowest, longest = max((slowest, longest), (seconds, name))
        verdicts[found.verdict] += 1
        opened += [name] if found.verdict == "safe" else []
        other += [name] if case.verdict not in (found.verdict, "either") else []
        run += [name] if marker(place).exists() else []
        shutil.rmtree(place)
    return [row("hostile files", len(MODEL_CASES), 120, higher=True), row("hostile: opened as safe", len(opened), 0, names=opened),
            row("hostile: code run", len(run), 0, names=run), row("hostile: another verdict than expected", len(other), 0, names=other),
            row("hostile: refused", verdicts["refused"], None), row("hostile: inconclusive", verdicts["inconclusive"], None),
            row("hostile: slowest", slowest, SECONDS, "processor s", name=longest),
            row("hostile: largest child", _peak(), MB, "MB resident")]


def genuine(folder: Path) -> list[dict[str, Any]]:
    """Every genuine checkpoint, its numbers compared."""
    sys.path.insert(0, str(TESTS))
    from healthy_models import healthy

    count, refused, inconclusive, wrong = 0, [], [], []
    for name, file, raw, want in healthy():
        (folder / file).write_bytes(raw)
        found = read_weights(folder / file)
        count += 1
        refused += [name] if found.verdict == "refused" else []
        inconclusive += [name] if found.verdict == "inconclusive" else []
        same = set(found.arrays) == set(want) and all(np.array_equal(found.arrays[k], v) for k, v in want.items())
        wrong += [name] if found.verdict == "safe" and not same else []
    return [row("genuine checkpoints", count, 300, higher=True), row("genuine: refused", len(refused), 0, names=refused),
            row("genuine: inconclusive", len(inconclusive), 0.01 * count, names=inconclusive),
            row("genuine: another number than was saved", len(wrong), 0, names=wrong)]


def speed(folder: Path) -> list[dict[str, Any]]:
    """A checkpoint of 256 MB, beside reading its bytes."""
    from safetensors.numpy import save_file

    path = folder / "large.safetensors"
    save_file({f"w{i}": np.random.default_rng(100 + i).normal(0, 1, (4 << 20,)).astype(np.float32) for i in range(16)}, path)
    started = time.perf_counter()
    raw = path.read_bytes()
    plain = time.perf_counter() - started
    del raw
    started = time.perf_counter()
    assert read_weights(path).verdict == "safe"
    return [row("256 MB of safetensors", time.perf_counter() - started, None, "s", beside_reading_its_bytes=round(plain, 3))]


def traced(folder: Path) -> list[dict[str, Any]]:
    """The whole hostile corpus under strace."""
    sys.path.insert(0, str(TESTS))
    from traced import judged, trace

    if not shutil.which("strace"):
        return []
    paths = [p for name, build in MODEL_CASES.items() if not (p := build(folder / "in" / name).path).is_dir()]
    scratch = folder / "scratch"
    scratch.mkdir()
    done = trace([str(p) for p in paths], folder / "log", scratch)
    if done is None or done.returncode:
        raise SystemExit(f"strace failed: {done.stderr[-500:] if done else 'it may not trace here'}")
    wrong, locked = judged(folder / "log", scratch)
    what = "under strace: programs, connections, files written outside scratch, calls after the lock"
    return [row(what, len(wrong), 0, "calls", lines=wrong[:20]),
            row("under strace: children locked in", locked, len(paths), "processes", higher=True),
            row("under strace: files left in scratch", len(list(scratch.iterdir())), 0)]


PARTS = {"hostile": hostile, "genuine": genuine, "speed": speed, "traced": traced}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="", help=f"comma-separated parts of: {', '.join(PARTS)}")
    wanted = [p for p in parser.parse_args().only.split(",") if p] or list(PARTS)
    path = RESULTS / "model_files.json"
    kept = json.loads(path.read_text())["parts"] if path.exists() else {}
    for part in wanted:
        with tempfile.TemporaryDirectory() as folder:
            kept[part] = PARTS[part](Path(folder))
        for r in kept[part]:
            bar = "" if r["bar"] is None else f"   bar {r['bar']:g}  {'met' if r['met'] else 'NOT MET'}"
            print(f"{r['what']:<90} {r['value']:>12,g} {r['unit']}{bar}", flush=True)
        path.parent.mkdir(exist_ok=True)
        path.write_text(json.dumps({"machine": machine(), "parts": kept}, indent=1, sort_keys=True) + "\n")


if __name__ == "__main__":
    main()
