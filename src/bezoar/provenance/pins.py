"""Pin what URLs served when they were reviewed; recheck later whether they still serve it, and to everybody.

A dataset of links is as good as what the links serve on the day of the download. `pin` records digest, likeness, size, type, time,
address and certificate; `recheck` fetches again under at least two identities (one like a crawler, one like a browser) and tells apart:

    same                     the reviewed bytes, to all
    re-encoded               other bytes that look the same (see `likeness`): shown, not trusted
    changed                  something else
    split view               something else to one identity than to another, twice
    withheld                 one identity is refused
    unstable                 something else at each fetch
    frontrun                 changed within the hours before a snapshot
    gone, lapsed             no such page; no such name, or a domain that a feed says was registered anew
    failed, refused          could not be told

Nothing that differs is ever put in the place of what was reviewed. Paper: Carlini et al. 2024, "Poisoning web-scale training datasets is
practical".
"""

from __future__ import annotations

import csv
import json
import os
import threading
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from hashlib import md5, sha256, sha512
from itertools import chain, islice
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from bezoar.core.errors import UnreadableInput, UsageError
from bezoar.core.escape import line
from bezoar.provenance import strict
from bezoar.provenance.fetching import Fetched, Fetcher, FetchFailed
from bezoar.provenance.likeness import Likeness, alike, likeness

SCHEMA = "bezoar.pin/1"
IDENTITIES: dict[str, dict[str, str]] = {
    "crawler": {"User-Agent": "Mozilla/5.0 (compatible; bezoar-crawler; dataset download)", "Accept": "*/*"},
    "browser": {"User-Agent": "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/131.0.0.0 "
                              "Safari/537.36",
                "Accept": "text/html,image/avif,image/webp,*/*;q=0.8", "Accept-Language": "en-US,en;q=0.9", "Sec-Fetch-Mode": "navigate"}}
ALARMS = ("changed", "split view", "unstable", "frontrun", "lapsed")
GAPS = ("gone", "withheld", "failed", "refused")
HASHES: dict[str, Callable[[bytes], Any]] = {"md5": lambda b: md5(b, usedforsecurity=False), "sha256": sha256, "sha512": sha512}
PER_HOST = 2
BEGIN = b'{"url": "'
"""How every line of results begins."""
MOST_URLS = 50_000_000


@dataclass(frozen=True)
class Pin:
    """What one URL served when it was reviewed. `trouble`: why nothing was; then `sha256` is empty."""

    url: str
    sha256: str = ""
    size: int = 0
    type: str = ""
    likeness: Likeness = field(default_factory=lambda: Likeness("bytes"))
    time: str = ""
    address: str = ""
    certificate: str = ""
    final: str = ""
    expected: str = ""
    """Verdict on the hash column: empty (none), match, mismatch."""
    trouble: str = ""


@dataclass(frozen=True)
class Checked:
    """The verdict on one URL, and why. `seen`: identity to digest or trouble."""

    url: str
    verdict: str
    why: str = ""
    seen: Mapping[str, str] = field(default_factory=dict)
    time: str = ""


def read_urls(path: str | Path, column: str = "") -> Iterator[tuple[str, dict[str, str]]]:
    """(url, hashes) of a CSV, TSV, Parquet, JSONL or text file of links; hash columns are md5, sha256, sha512. Raises UnreadableInput."""
    path = Path(path)
    kind = path.suffix.lower()
    if not path.is_file():
        raise UnreadableInput(f"no list of links at {path}", advice="give a CSV, Parquet, JSONL or text file")
    try:
        if kind == ".parquet":
            import pyarrow.parquet as pq

            with pq.ParquetFile(path) as table:
                names = table.schema_arrow.names
                url = _column(names, column, path)
                wanted = [url, *(n for n in names if n.lower() in HASHES)]
                for batch in table.iter_batches(8192, columns=wanted):
                    for found in batch.to_pylist():
                        yield str(found[url] or ""), {n.lower(): str(found[n] or "").lower() for n in wanted[1:]}
        elif kind in (".csv", ".tsv"):
            with path.open(newline="", encoding="utf-8-sig") as f:
                reader = csv.DictReader(f, delimiter="\t" if kind == ".tsv" else ",")
                url = _column(list(reader.fieldnames or []), column, path)
                for row in reader:
                    yield str(row[url] or ""), {n.lower(): (v or "").lower() for n, v in row.items() if n and n.lower() in HASHES}
        elif kind in (".jsonl", ".ndjson"):
            with path.open("rb") as f:
                for raw in f:
                    if raw.strip():
                        found = strict.parse_json(raw, f"line of {path.name}")
                        url = _column(list(found), column, path)
                        yield str(found[url] or ""), {n.lower(): str(v).lower() for n, v in found.items() if n.lower() in HASHES and v}
        else:
            with path.open(encoding="utf-8") as f:
                for text in f:
                    if text.strip():
                        yield text.strip(), {}
    except (OSError, ValueError, csv.Error, ImportError) as error:
        raise UnreadableInput(f"{path} cannot be read as a list of links: {type(error).__name__}",
                              advice="give CSV, Parquet, JSONL or text") from None


def _column(names: list[str], wanted: str, path: Path) -> str:
    for name in names:
        if name == wanted or (not wanted and name.lower() in ("url", "image_url", "link")):
            return name
    raise UsageError(f"{path.name} has no column of links",
                     advice="say which with --column; columns are: " + ", ".join(map(str, names[:20])))


class _Crowd:
    """Threads, at most `PER_HOST` at one host."""

    def __init__(self, workers: int) -> None:
        self._workers = workers
        self._locks: dict[str, threading.Semaphore] = defaultdict(lambda: threading.Semaphore(PER_HOST))
        self._guard = threading.Lock()

    def run(self, work: Callable[[Any], Any], items: Iterable[tuple[str, Any]]) -> Iterator[Any]:
        """Results in the order they are done within a window; `items` are (url, item)."""
        def one(pair: tuple[str, Any]) -> Any:
            host = _domain(pair[0])
            with self._guard:
                lock = self._locks[host]
            with lock:
                return work(pair[1])

        window: list[Any] = []
        with ThreadPoolExecutor(self._workers) as pool:
            for pair in items:
                window.append(pool.submit(one, pair))
                if len(window) >= 16 * self._workers:
                    yield window.pop(0).result()
            for future in window:
                yield future.result()


def _done(out: Path) -> set[str]:
    """URLs that an earlier run finished; a last line that was cut off is dropped from the file."""
    if not out.exists():
        return set()
    data = out.read_bytes()
    whole = data.rfind(b"\n") + 1
    urls = {strict.field(strict.parse_json(raw, f"line of {out.name}"), "url", str, "pin") for raw in data[:whole].splitlines()}
    if whole < len(data):
        if not data[whole:].startswith(BEGIN[:len(data) - whole]):
            raise UnreadableInput(f"{out} holds something else than results", advice="give --out another name; it was not touched")
        with out.open("r+b") as f:
            f.truncate(whole)
    return urls


def _write(out: Path, results: Iterator[Any], tick: Callable[[int], None]) -> None:
    first = list(islice(results, 1))  # a list that cannot be read leaves no file behind
    out.parent.mkdir(parents=True, exist_ok=True)
    with out.open("ab") as f:
        for found in chain(first, results):
            f.write(json.dumps(asdict(found)).encode() + b"\n")
            f.flush()
            tick(1)
        os.fsync(f.fileno())


def make(url: str, hashes: Mapping[str, str], fetcher: Fetcher, headers: Mapping[str, str], now: datetime) -> Pin:
    """One pin."""
    try:
        got = fetcher.fetch(url, headers)
    except FetchFailed as error:
        return Pin(url, time=strict.stamp(now), trouble=f"{error.kind}: {error.message}")
    wanted = {n: v for n, v in hashes.items() if v}
    expected = "" if not wanted else "match" if all(HASHES[n](got.body).hexdigest() == v for n, v in wanted.items()) else "mismatch"
    return Pin(url, sha256(got.body).hexdigest(), len(got.body), got.kind, likeness(got.body, got.kind), strict.stamp(now), got.address,
               got.certificate, got.url, expected)


def pin(urls: Iterable[tuple[str, Mapping[str, str]]], out: str | Path, fetcher: Fetcher, *, identity: str = "browser", workers: int = 16,
        tick: Callable[[int], None] = lambda n: None) -> Counter[str]:
    """Pin every URL to a line of `out`; a rerun goes on where the last one stopped. Returns counts by outcome."""
    out = Path(out)
    seen = _done(out)

    def fresh() -> Iterator[tuple[str, Any]]:
        for url, hashes in urls:
            if url and url not in seen:
                seen.add(url)
                yield url, (url, hashes)

    _write(out, _Crowd(workers).run(lambda item: make(item[0], item[1], fetcher, IDENTITIES[identity], strict.now()), fresh()), tick)
    return Counter("mismatch" if p.expected == "mismatch" else "trouble" if p.trouble else "pinned" for p in read_pins(out))


def read_pins(path: str | Path) -> Iterator[Pin]:
    """Pins of a file; raises UnreadableInput."""
    what = "pin"
    try:
        with Path(path).open("rb") as f:
            for raw in f:
                body = strict.parse_json(raw, what)
                like = strict.field(body, "likeness", dict, what)
                texts = {k: strict.field(body, k, str, what) for k in ("url", "sha256", "type", "time", "address", "certificate", "final",
                                                                       "expected",
                                                                       "trouble")}
                yield Pin(size=strict.field(body, "size", int, what), likeness=Likeness(strict.field(like, "kind", str, what),
                                                                                      strict.field(like, "value", str, what)), **texts)
    except OSError as error:
        raise UnreadableInput(f"no pins at {path}: {error.strerror}", advice="make them with `bezoar pin`") from None


@dataclass(frozen=True)
class Plan:
    """How to recheck. `snapshot`: when others downloaded or will download the data; `lapsed`: domains registered anew, from a feed."""

    identities: Mapping[str, Mapping[str, str]] = field(default_factory=lambda: dict(IDENTITIES))
    snapshot: datetime | None = None
    hours: float = 24.0
    lapsed: frozenset[str] = frozenset()


def check(pinned: Pin, fetchers: Sequence[Fetcher], plan: Plan, now: datetime) -> Checked:
    """The verdict on one URL. `fetchers`: one per vantage point; identities take turns over them."""
    def look(turn: int) -> dict[str, Fetched | FetchFailed]:
        out: dict[str, Fetched | FetchFailed] = {}
        for k, (name, headers) in enumerate(plan.identities.items()):
            try:
                out[name] = fetchers[(k + turn) % len(fetchers)].fetch(pinned.url, headers)
            except FetchFailed as error:
                out[name] = error
        return out

    def verdict(kind: str, why: str = "") -> Checked:
        return Checked(pinned.url, kind, why, {n: _short(f) for n, f in first.items()}, strict.stamp(now))

    first = look(0)
    if _domain(pinned.url) in plan.lapsed:
        return verdict("lapsed", "a feed says that the domain was registered anew")
    if not pinned.sha256:
        return verdict("failed", "nothing was pinned")
    got = {n: f for n, f in first.items() if isinstance(f, Fetched)}
    lost = {n: f for n, f in first.items() if isinstance(f, FetchFailed)}
    kinds = {n: _against(pinned, f) for n, f in got.items()}
    if not got:
        error = next(iter(lost.values()))
        if all(e.kind == "gone" for e in lost.values()):
            return verdict("lapsed" if all(e.status == 0 for e in lost.values()) else "gone", error.message)
        return verdict("refused" if error.kind == "refused" else "failed", error.message)
    bodies = list(got.values())
    if any(_differ(a, b) for a in bodies for b in bodies):
        again = look(0)
        repeat = {n: f for n, f in again.items() if isinstance(f, Fetched) and n in got}
        if any(_differ(got[n], repeat[n]) for n in repeat):
            return verdict("unstable", "the same identity is served something else each time")
        return verdict("split view", "served " + "; ".join(f"{n}: {kinds[n]}" for n in got))
    worst = "changed" if "changed" in kinds.values() else "re-encoded" if "re-encoded" in kinds.values() else "same"
    if worst == "changed" and plan.snapshot is not None:
        for f in bodies:
            changed = _moment(f.modified)
            if changed is not None and timedelta(0) <= plan.snapshot - changed <= timedelta(hours=plan.hours):
                return verdict("frontrun", f"changed {(plan.snapshot - changed).total_seconds() / 3600:.1f} hours before the snapshot")
    if lost and worst != "changed":
        return verdict("withheld", "; ".join(f"{line(n)}: {e.message}" for n, e in lost.items()))
    notes = [t for t, c in (("another certificate", any(f.certificate != pinned.certificate for f in bodies)),
                            ("other address", all(f.address != pinned.address for f in bodies))) if c]
    return verdict(worst, ", ".join(notes))


def _differ(a: Fetched, b: Fetched) -> bool:
    return a.body != b.body and not alike(likeness(a.body, a.kind), likeness(b.body, b.kind))


def _against(pinned: Pin, f: Fetched) -> str:
    if sha256(f.body).hexdigest() == pinned.sha256:
        return "same"
    return "re-encoded" if alike(pinned.likeness, likeness(f.body, f.kind)) else "changed"


def _short(f: Fetched | FetchFailed) -> str:
    return sha256(f.body).hexdigest() if isinstance(f, Fetched) else f.message


def _domain(url: str) -> str:
    try:
        return (urlsplit(url).hostname or "").lower()
    except ValueError:
        return ""


def _moment(text: str) -> datetime | None:
    try:
        when = parsedate_to_datetime(text)
    except (ValueError, TypeError):
        return None
    return when if when.tzinfo else when.replace(tzinfo=UTC)


def recheck(pins: Iterable[Pin], out: str | Path, fetchers: Sequence[Fetcher], plan: Plan = Plan(), *, workers: int = 16,
            tick: Callable[[int], None] = lambda n: None) -> Counter[str]:
    """Recheck every pin to a line of `out`; a rerun goes on. Returns counts by verdict."""
    if len(plan.identities) < 2:
        raise UsageError("a split view needs two identities to be seen", advice="give at least two")
    out = Path(out)
    seen = _done(out)
    todo = ((p.url, p) for p in pins if p.url not in seen)
    _write(out, _Crowd(workers).run(lambda p: check(p, fetchers, plan, strict.now()), todo), tick)
    with out.open("rb") as f:
        return Counter(str(strict.parse_json(raw, "verdict").get("verdict")) for raw in f)
