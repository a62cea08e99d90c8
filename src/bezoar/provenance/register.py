"""The register of sources, and what was measured of each: a score with its evidence, never a bare number.

    score = 100 * quality * completeness * 0.8^incidents
    quality       1 - min(1, 20 * u), u the upper 95% bound (Clopper-Pearson) of the share of records in quarantine or in findings
    completeness  share of provenance fields (contributor, time, licence) that the source's records carry, from 0.5 (none) to 1

A source with few records has a wide bound and therefore a low score: little was measured. Scores compare sources under one scan; they say
nothing of poison that no check here can see.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from bezoar.core.errors import UnreadableInput, UsageError
from bezoar.core.report import Report
from bezoar.provenance import strict
from bezoar.provenance.disk import DISK
from bezoar.provenance.statement import check_id

SCHEMA = "bezoar.sources/1"
FIELDS = ("contributor", "time", "licence")


@dataclass(frozen=True)
class Supplier:
    """Who a source is. `keys`: ids of keys it signs with; `incidents`: one sentence each."""

    name: str
    contact: str = ""
    notes: str = ""
    licence: str = ""
    keys: tuple[str, ...] = ()
    incidents: tuple[str, ...] = ()


def load(path: str | Path) -> dict[str, Supplier]:
    """The register; empty where there is no file. Raises UnreadableInput."""
    path = Path(path)
    if not path.exists():
        return {}
    body = strict.parse_json(strict.read_bytes(path, "register of sources", 64 << 20), "register of sources")
    try:
        if body["schema"] != SCHEMA:
            raise ValueError
        return {n: Supplier(n, str(v["contact"]), str(v["notes"]), str(v["licence"]), tuple(map(str, v["keys"])),
                            tuple(map(str, v["incidents"])))
                for n, v in body["sources"].items()}
    except (KeyError, TypeError, ValueError, AttributeError):
        raise UnreadableInput(f"{path} is not a {SCHEMA} file", advice="write it with `bezoar sources add`") from None


def save(path: str | Path, held: Mapping[str, Supplier]) -> None:
    """Replace the register."""
    body = {"schema": SCHEMA, "sources": {n: {k: v for k, v in asdict(s).items() if k != "name"} for n, s in sorted(held.items())}}
    DISK.write_file(Path(path), json.dumps(body, indent=1).encode() + b"\n")


def change(path: str | Path, name: str, *, contact: str = "", notes: str = "", licence: str = "", keys: Sequence[str] = (),
           incident: str = "") -> Supplier:
    """Add or complete one source; empty values leave what is there."""
    held = load(path)
    was = held.get(check_id(name, "source name"), Supplier(name))
    for key in keys:
        strict.unhex(key, "key id")
    held[name] = Supplier(name, contact or was.contact, notes or was.notes, licence or was.licence,
                          tuple(dict.fromkeys((*was.keys, *keys))),
                          (*was.incidents, *([incident] if incident else [])))
    save(path, held)
    return held[name]


@dataclass(frozen=True)
class Measured:
    """One source under one scan."""

    name: str
    records: int
    found: int
    """Records in quarantine or members of findings that count."""
    upper: float
    """Upper 95% bound of found / records."""
    label_suspicion: float | None
    """Mean suspicion of the labels channel; None where it did not run."""
    gaps: Mapping[str, float]
    """Share of records without contributor, time, licence."""
    incidents: int
    score: float
    registered: bool

    @property
    def per_ten_thousand(self) -> float:
        return 1e4 * self.found / self.records if self.records else math.nan


def upper_bound(k: int, n: int) -> float:
    """One-sided 95% Clopper-Pearson bound.

    >>> round(upper_bound(0, 59), 3)
    0.05
    """
    if n == 0 or k >= n:
        return 1.0
    from scipy.stats import beta

    return float(beta.ppf(0.95, k + 1, n - k))


def measure(sources: Sequence[str], ids: Sequence[str], report: Report, origin: Mapping[str, Sequence[str]],
            scores: Mapping[str, Any] | None = None,
            held: Mapping[str, Supplier] | None = None) -> list[Measured]:
    """Every source, worst first. `sources`, `ids`: one per record; `origin`: other columns; `scores`: id to suspicion of its label.

    Raises UsageError when the report is about other records.
    """
    known = set(ids)
    members: set[str] = set()
    for f in report.findings:
        if not f.advisory:
            members |= set(f.quarantined or f.members)
    if members and not members & known:
        raise UsageError("the report's findings name no record of this data", advice="give the data that was scanned, with the same --id")
    held = held or {}
    count, hit = Counter(sources), Counter(s for s, i in zip(sources, ids, strict=True) if i in members)
    where: dict[str, list[int]] = {}
    for k, s in enumerate(sources):
        where.setdefault(s, []).append(k)
    out = []
    for name, n in count.items():
        rows = where[name]
        gaps = {f: sum(not str(origin[f][k]).strip() for k in rows) / n if f in origin else 1.0 for f in FIELDS}
        if held.get(name) and held[name].licence:
            gaps["licence"] = 0.0
        suspicion = [float(scores[ids[k]]) for k in rows if ids[k] in scores and not math.isnan(scores[ids[k]])] if scores else []
        upper = upper_bound(hit[name], n)
        incidents = len(held[name].incidents) if name in held else 0
        score = 100 * (1 - min(1.0, 20 * upper)) * (1 - sum(gaps.values()) / len(FIELDS) / 2) * 0.8 ** incidents
        out.append(Measured(name, n, hit[name], upper, sum(suspicion) / len(suspicion) if suspicion else None, gaps, incidents, score,
                            name in held))
    return sorted(out, key=lambda m: (m.score, m.name))
