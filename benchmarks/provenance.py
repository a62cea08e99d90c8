"""Provenance: speed of signing, of the log, of proofs; tampering, crashes and power cuts counted. Results: results/provenance.json.

Raw SHA-256 is measured in the same run, over the same files, with the same threads, reading in the same pieces. Bars stand beside figures.

    python benchmarks/provenance.py                        small sizes, about three minutes
    python benchmarks/provenance.py --size full            10 GB, 100,000 files, 1,000,000 records and entries, every crash point
    python benchmarks/provenance.py --only signing,log
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from bezoar.core.errors import BezoarError
from bezoar.maths import merkle
from bezoar.provenance import guard, inspection, ledger, notes, records, signing, tiles
from bezoar.provenance.keys import PrivateKey
from bezoar.provenance.ledger import Log
from bezoar.provenance.notes import Signer
from bezoar.provenance.statement import About
from ledger import RESULTS, machine

SIZES = {"small": {"large": (4, 64 << 20), "many": (5_000, 8 << 10), "records": 100_000, "appends": 20_000, "entries": 100_000, "flips": 7,
                   "kills": 40,
                   "step": 6},
         "full": {"large": (40, 256 << 20), "many": (100_000, 8 << 10), "records": 1_000_000, "appends": 200_000, "entries": 1_000_000,
                  "flips": 1,
                  "kills": 500, "step": 1}}
TESTS = Path(__file__).resolve().parents[1] / "tests" / "provenance"


def row(what: str, value: float, unit: str, bar: float | None, higher: bool = True, **more: Any) -> dict[str, Any]:
    """One figure; `met` None where there is no bar."""
    met = None if bar is None else bool(value >= bar if higher else value <= bar)
    return {"what": what, "value": round(value, 4), "unit": unit, "bar": bar, "met": met, **more}


def timed(call: Callable[[], Any], repeats: int = 3) -> float:
    """The best of some runs, seconds."""
    best = float("inf")
    for _ in range(repeats):
        started = time.perf_counter()
        call()
        best = min(best, time.perf_counter() - started)
    return best


def paired(one: Callable[[], Any], other: Callable[[], Any], repeats: int) -> tuple[float, float]:
    """The best of some runs of each, turn by turn, so that both meet the same machine; seconds."""
    first = second = float("inf")
    for _ in range(repeats):
        first, second = min(first, timed(one, 1)), min(second, timed(other, 1))
    return first, second


def raw_sha256(folder: Path, threads: int) -> None:
    """What a plain loop over the files reaches."""
    def one(path: str) -> bytes:
        with open(path, "rb", buffering=0) as f:
            return hashlib.file_digest(f, "sha256").digest()

    paths = [os.path.join(d, n) for d, _, names in os.walk(folder) for n in names]
    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(one, paths, chunksize=64))


def bench_signing(place: Path, size: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Signing and verifying folders against raw SHA-256."""
    key = PrivateKey.make()
    (place / "public.pem").write_bytes(key.public.pem)
    threads = os.cpu_count() or 1
    for name in ("large", "many"):
        count, length = size[name]
        folder = place / name
        block = os.urandom(1 << 20)
        for i in range(count):
            path = folder / f"{i // 1000:03d}" / f"{i:06d}.bin"
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("wb") as f:
                left = length
                while left > 0:
                    f.write(i.to_bytes(8, "big") + block[8:min(left, 1 << 20)])
                    left -= 1 << 20
        repeats = 2 if count * length > 4 << 30 else 4
        ground = guard.Trust((place / "public.pem",), remember=False)
        out = place / f"{name}.sig"

        def sign(sealed: bool, folder: Path = folder, out: Path = out) -> None:
            signing.sign(folder, key, About(dataset="b"), out=out, seal_records=sealed, threads=threads)

        def check(folder: Path = folder, out: Path = out, ground: guard.Trust = ground) -> None:
            guard.verify(folder, [out], ground, threads=threads)

        raw_sha256(folder, threads)
        for what, call, bar in (("signing", lambda s=sign: s(False), 0.8), ("signing, with a record seal,", lambda s=sign: s(True), None),
                                ("verifying", check, 0.8)):
            took, raw = paired(call, lambda f=folder: raw_sha256(f, threads), repeats)  # type: ignore[misc]
            yield row(f"{what} {count:,} files of {length:,} bytes, share of raw SHA-256", raw / took, "ratio", bar, seconds=took, raw=raw)
        shutil.rmtree(folder)


def bench_records(place: Path, size: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """A version that changes one record in a hundred, and the proof of one record."""
    n = size["records"]
    salt = os.urandom(16)
    key = PrivateKey.make()

    def signature(tree: records.RecordTree) -> None:
        tree.seal()
        key.sign(b"x" * 1000)

    started = time.process_time()
    tree = records.RecordTree(salt, ((f"record-{i}", b"content of record %d, of some length" % i) for i in range(n)))
    signature(tree)
    first = time.process_time() - started
    again = float("inf")
    for turn in range(3):
        changes = {f"record-{i}": b"changed %d %d" % (turn, i) for i in range(turn, n, 100)}
        started = time.process_time()
        tree.update(changes)
        signature(tree)
        again = min(again, time.process_time() - started)
    yield row(f"re-signing {n:,} records of which 1% changed, share of the first signing", again / first, "ratio", 0.05, False, first=first,
              again=again)
    seal = tree.seal()
    worst_time = worst_size = 0.0
    for i in range(0, n, max(1, n // 2000)):
        started = time.perf_counter()
        proof = records.write_proof(tree.prove(f"record-{i}"))
        assert records.check_proof(proof, seal, f"record-{i}")
        worst_time, worst_size = max(worst_time, time.perf_counter() - started), max(worst_size, len(proof))
    yield row(f"proof of one of {n:,} records, made and checked, slowest of 2,000", worst_time * 1e3, "ms", 50, False)
    yield row(f"proof of one of {n:,} records, largest of 2,000", worst_size, "bytes", 4096, False)


def bench_log(place: Path, size: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Durable appends by 64 threads, verification of a long log, a fork found against an older checkpoint."""
    key = PrivateKey.make("ed25519")
    log_key = [Signer("example.org/bench", key.public)]
    each, waits = size["appends"] // 64, []

    def work() -> None:
        mine = []
        for _ in range(each):
            started = time.perf_counter()
            log.append(os.urandom(250))
            mine.append(time.perf_counter() - started)
        waits.extend(mine)

    with Log(place / "log", [key], "example.org/bench") as log:
        threads = [threading.Thread(target=work) for _ in range(64)]
        started = time.perf_counter()
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        took = time.perf_counter() - started
    waits.sort()
    yield row("durable appends with 64 writers", len(waits) / took, "per second", 2000, count=len(waits))
    yield row("wait for a durable append, 99th of 100", waits[int(len(waits) * 0.99)] * 1e3, "ms", 100, False,
              median=waits[len(waits) // 2] * 1e3)
    n = size["entries"]
    with Log(place / "long", [key], "example.org/bench") as log:
        for start in range(0, n, 4096):
            log.extend([b"entry %d of the long log, with some words" % i for i in range(start, min(n, start + 4096))])
            if start == 4096 * 8:
                kept = log.checkpoint()
    started = time.perf_counter()
    inspection.inspect(place / "long", log_key)
    yield row(f"verifying {n:,} entries and all tiles", time.perf_counter() - started, "seconds", 30 * n / 1e6, False)
    started = time.perf_counter()
    with Log(place / "long", [key]):
        yield row(f"opening a log of {n:,} entries", time.perf_counter() - started, "seconds", 5, False)
    other = notes.sign_checkpoint("example.org/bench", kept.size, os.urandom(32), [key])
    started = time.perf_counter()
    head, reader = ledger.read(place / "long", log_key)
    try:
        inspection.against(other, head, reader, log_key)
        raise AssertionError("the fork was not found")
    except inspection.Forked as fork:
        inspection.judge(fork.evidence, log_key)
    yield row(f"finding and proving a fork at {n:,} entries", time.perf_counter() - started, "seconds", 1, False)


def bench_tamper(place: Path, size: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Flip bytes of a log of 2,000 entries, one by one, in every file of its newest head."""
    key = PrivateKey.make("ed25519")
    log_key = [Signer("example.org/flip", key.public)]
    with Log(place / "log", [key], "example.org/flip") as log:
        log.extend([b"entry %d" % i for i in range(2000)])
    paths = [place / "log" / tiles.place(level, i, w) for level in (0, 1) for i, w in tiles.spans(2000, level)]
    paths += [place / "log" / tiles.place("entries", i, w) for i, w in tiles.spans(2000)] + [place / "log" / "checkpoint"]
    flips = found = 0
    for path in paths:
        good = path.read_bytes()
        for at in range(0, len(good), size["flips"] * (1 if path.name == "checkpoint" else 16 if size["flips"] > 1 else 1)):
            path.write_bytes(good[:at] + bytes([good[at] ^ (1 << at % 8)]) + good[at + 1:])
            flips += 1
            try:
                inspection.inspect(place / "log", log_key)
            except BezoarError:
                found += 1
        path.write_bytes(good)
    yield row(f"flipped bytes found, of {flips:,}", found / flips, "ratio", 1.0, flips=flips)


def bench_crashes(place: Path, size: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Faults at disk calls, and kill -9 at random moments, through the drivers that the tests use."""
    sys.path.insert(0, str(TESTS))
    import test_log_crashes as crashes

    injections = lost = 0
    slowest = 0.0
    for mode in crashes.MODES:
        for done in crashes.drive("log", place / mode, mode, 1, size["step"]):
            injections += 1
            try:
                slowest = max(slowest, crashes.check_log(place / mode / str(done["at"]) / "log", done["promised"]))
            except (AssertionError, BezoarError):
                lost += 1
    yield row(f"faults at file calls after which a promised entry is gone or the log does not open, of {injections:,}", lost, "count", 0,
              False)
    yield row("slowest opening after a fault", slowest, "seconds", 5, False)
    runs = crashes.drive("long", place / "kills", "random", size["kills"], 30_000)
    promised = [start for done in runs for start in done["promised"]]
    try:
        crashes.check_log(place / "kills" / "log", promised)
        lost = 0
    except (AssertionError, BezoarError):
        lost = 1
    yield row(f"kill -9 at random moments ({len(runs)} times, {2 * len(promised):,} promised entries): logs with a loss", lost, "count", 0,
              False)


def bench_proofs(place: Path, size: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The mutation probes of the tests, counted by pytest's own exit code."""
    done = subprocess.run([sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider",
                           str(TESTS.parent / "maths" / "test_merkle.py")],
                          capture_output=True, check=False)
    yield row("wrong answers over more than 2,000 mutated Merkle proofs (0: none)", done.returncode, "exit code", 0, False)
    tree = merkle.Tree(merkle.leaf_hash(b"%d" % i) for i in range(100_000))
    root = tree.root()
    took = timed(lambda: [merkle.verify_inclusion(merkle.leaf_hash(b"%d" % i), i, 100_000, tree.inclusion(i), root) for i in range(0,
                                                                                                                                   100_000,
                                                                                                                                   1000)])
    yield row("making and checking an inclusion proof among 100,000", took * 10, "ms", None)


def bench_pins(place: Path, size: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Split views, swaps, honest re-encodings and forbidden addresses: the cases of the tests, counted by their exit code."""
    done = subprocess.run([sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(TESTS / "test_pins.py")],
                          capture_output=True,
                          text=True, check=False)
    told = done.stdout.strip().splitlines()[-1] if done.stdout.strip() else "nothing ran"
    yield row(f"split view 20/20, swaps 20/20, 0 of 200 re-encodings, 58 forbidden addresses: failures ({told.split(' in ')[0]})",
              done.returncode, "exit code", 0, False)


PARTS: dict[str, Callable[[Path, dict[str, Any]], Iterator[dict[str, Any]]]] = {
    "signing": bench_signing, "records": bench_records, "log": bench_log, "tamper": bench_tamper, "crashes": bench_crashes,
    "proofs": bench_proofs, "pins": bench_pins}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", choices=sorted(SIZES), default="small")
    parser.add_argument("--only", default="", help="parts, with commas: " + ",".join(PARTS))
    parser.add_argument("--out", type=Path, default=RESULTS / "provenance.json")
    parser.add_argument("--scratch", type=Path, default=None, help="folder for the files (30 GB for --size full)")
    chosen = parser.parse_args()
    names = chosen.only.split(",") if chosen.only else list(PARTS)
    held = json.loads(chosen.out.read_text()) if chosen.out.exists() else {"rows": []}
    kept = [r for r in held["rows"] if r["part"] not in names or r["size"] != chosen.size]
    missed = 0
    for name in names:
        with tempfile.TemporaryDirectory(dir=chosen.scratch) as folder:
            for figure in PARTS[name](Path(folder), SIZES[chosen.size]):
                kept.append({"part": name, "size": chosen.size, **figure})
                missed += figure["met"] is False
                mark = {True: "met", False: "MISSED", None: ""}[figure["met"]]
                print(f"{name:8} {figure['what']}: {figure['value']:g} {figure['unit']}  (bar {figure['bar']}) {mark}", flush=True)
    chosen.out.parent.mkdir(parents=True, exist_ok=True)
    chosen.out.write_text(json.dumps({"machine": machine(), "rows": sorted(kept, key=lambda r: (r["size"], r["part"]))}, indent=1) + "\n")
    return int(missed > 0)


if __name__ == "__main__":
    sys.exit(main())
