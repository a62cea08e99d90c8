"""An incident from finding to signed evidence: contain, trace, clean, retrain, verify, roll back; each step with
what shows that it was done.

A folder per incident: incident.json, the report it began with, evidence/ with copies of what each step gave, and at the end incident.md,
all signed as one. The pack says what was tested, with what power, and what was not.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from pathlib import Path
from typing import Any

from bezoar.core.errors import BezoarError, UnreadableInput, UsageError
from bezoar.core.escape import line
from bezoar.core.report import Report
from bezoar.core.taxonomy import threat_record
from bezoar.provenance import bundles, signing, statement, strict
from bezoar.provenance.disk import DISK
from bezoar.provenance.keys import PrivateKey
from bezoar.provenance.refusals import NotTrusted
from bezoar.provenance.statement import About

SCHEMA = "bezoar.incident/1"
STEPS = ("contain", "trace", "clean", "retrain", "verify", "rollback")
NEEDED = ("contain", "trace", "clean", "verify")
ADVICE = {
    "contain": "stop training and serving on the data: bezoar gate refuses it once its statement is revoked (bezoar policy newest "
               "--revoke)",
    "trace": "which models used it: bezoar trace FINDING --bundles DIR --html trace.html",
    "clean": "set the members aside: bezoar clean DATA --report report.json --out safe, then scan and sign the rest",
    "retrain": "train the models of the trace again on the cleaned version, through bezoar gate",
    "verify": "scan the cleaned data and try the trigger on the new model; keep both reports as evidence",
    "rollback": "until then serve the last good version: bezoar rollback NAME --to VERSION"}
MEASURES = {  # where each step answers a requirement that names it
    "contain": ["NIST AI RMF MANAGE 4.1", "OWASP AISVS 1.3"], "trace": ["OWASP AISVS 1.2", "ISO/IEC 42001 A.7.5", "EU AI Act Article 12"],
    "clean": ["EU AI Act Article 10(2)(c)", "EU AI Act Article 15(5)"], "retrain": ["EU AI Act Article 15(5)"],
    "verify": ["NIST AI RMF MEASURE 2.7", "EU AI Act Article 15(5)"], "rollback": ["NIST AI RMF MANAGE 2.4", "OWASP AISVS 3.3"]}
MOST_EVIDENCE = 1 << 30


@dataclass(frozen=True)
class Done:
    """One step that was taken. `evidence`: (file name, SHA-256)."""

    step: str
    time: datetime
    by: str
    note: str
    evidence: tuple[tuple[str, str], ...]


Record = Callable[[str, bytes], None]
"""record(subject, payload) returns once a log holds them; what it says happens only after it."""


def _unlogged(subject: str, payload: bytes) -> None:
    pass


class Incident:
    """An open or closed incident in its folder."""

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        what = "incident"
        self._body = strict.parse_json(strict.read_bytes(self.folder / "incident.json", what, 64 << 20), what)
        if self._body.get("schema") != SCHEMA:
            raise UnreadableInput(f"{self.folder} is not an incident", advice="bezoar incident open")

    @classmethod
    def open(cls, folder: str | Path, report: Report, raw: bytes, finding: str, by: str, record: Record = _unlogged) -> Incident:
        """Begin with one finding of a report. Raises UsageError for an unknown one, or where the folder is not empty."""
        folder = Path(folder)
        if os.path.lexists(folder) and not _begun(folder, raw):
            raise UsageError(f"{folder} is not empty", advice="give a new folder")
        found = next((f for f in report.findings if f.id == finding), None)
        if found is None:
            raise UsageError(f"the report has no finding {line(finding, 60)!r}",
                             advice="it has: " + (", ".join(f.id for f in report.findings) or "none"))
        body = {"schema": SCHEMA, "finding": {"id": found.id, "title": found.title, "threat": found.threat, "members": len(found.members),
                                              "target": found.target, "confirmed": found.confirmed, "origin": found.origin},
                "report": sha256(raw).hexdigest(), "subject": report.subject, "verdict": report.verdict,
                "threat": threat_record(found.threat),
                "opened": {"time": strict.stamp(strict.now()), "by": by}, "steps": [], "closed": None,
                "tested": {"alpha": report.alpha,
                           "smallest_found": [{"family": s.family, "count": s.smallest_count_found} for s in report.sensitivity],
                           "ran": [o.ability for o in report.outcomes if o.status in ("found", "nothing")]},
                "not_tested": [{"ability": o.ability, "why": o.reason or o.status} for o in report.outcomes if o.status in ("skipped",
                                                                                                                            "failed")]}
        DISK.write_file(folder / "report.json", raw)
        record(found.id, json.dumps({**body, "waiting": list(STEPS)}).encode())
        DISK.write_file(folder / "incident.json", _bytes(body))
        return cls(folder)

    @property
    def steps(self) -> list[Done]:
        return _steps(self._body)

    @property
    def closed(self) -> bool:
        return self._body["closed"] is not None

    def waiting(self) -> list[str]:
        """Steps that were not taken yet, in order."""
        taken = {s.step for s in self.steps}
        return [s for s in STEPS if s not in taken]

    def take(self, step: str, by: str, note: str, evidence: list[Path], record: Record = _unlogged) -> Done:
        """Record one step and copy its evidence. It needs a note or evidence; tracing comes before cleaning."""
        if self.closed:
            raise UsageError("this incident is closed", advice="open a new one")
        if step not in STEPS:
            raise UsageError(f"no step {line(step, 40)!r}", advice="steps are: " + ", ".join(STEPS))
        if not note.strip() and not evidence:
            raise UsageError("a step needs a note or evidence", advice="give --note or --evidence")
        if step in ("clean", "retrain") and "trace" in self.waiting():
            raise UsageError("nobody has traced yet what the finding reached", advice=ADVICE["trace"])
        kept = []
        for path in evidence:
            data = strict.read_bytes(path, "evidence", MOST_EVIDENCE)
            digest = sha256(data).hexdigest()
            ending = "".join(c for c in path.suffix[:8] if (c.isalnum() and c.isascii()) or c == ".")
            name = f"{len(self._body['steps']) + 1:02d}-{step}-{digest[:12]}{ending.rstrip('.')}"
            DISK.write_file(self.folder / "evidence" / name, data)
            kept.append({"name": name, "sha256": digest, "was": path.name})
        said = {"step": step, "time": strict.stamp(strict.now()), "by": by, "note": note, "evidence": kept}
        record(f"{self._body['finding']['id']} {step}", json.dumps(said).encode())
        body = {**self._body, "steps": [*self._body["steps"], said]}
        DISK.write_file(self.folder / "incident.json", _bytes(body))
        self._body = body
        return self.steps[-1]

    def close(self, by: str, key: PrivateKey, out: Path, leave_out: str = "", record: Record = _unlogged) -> signing.Signed:
        """Write incident.md and sign the folder. Steps that are needed and missing must be excused in words.

        The pack is signed as it will be, then its bundle is written, then `record` logs it, and last of all incident.json says that it is
        closed: until then the incident is open, and the bundle fits nothing. On an error what was written is taken away again.
        """
        if self.closed:
            raise UsageError("this incident is closed already", advice="its pack is signed")
        missing = [s for s in self.waiting() if s in NEEDED]
        if missing and not leave_out.strip():
            raise UsageError("not done: " + ", ".join(missing), advice="do it, or say why not with --leave-out")
        name = f"incident/{self._body['finding']['id']}"
        if signing.inside(self.folder, out):
            raise UsageError(f"{out} would stand inside the pack that it signs", advice="give --out a place outside the folder")
        for file, digest in [("report.json", self._body["report"]), *((f"evidence/{n}", d) for s in self.steps for n, d in s.evidence)]:
            if sha256(strict.read_bytes(self.folder / file, "evidence", MOST_EVIDENCE)).hexdigest() != digest:
                raise NotTrusted("changed-file", f"{line(file)!r} is not what was recorded", advice="restore it, then close again")
        left = os.path.lexists(out)
        place = bundles.room(out, f"dataset:{name}", 1, replace=left and _unfinished(out, name, self.folder))
        body = {**self._body, "closed": {"time": strict.stamp(strict.now()), "by": by, "left_out": missing, "because": leave_out}}
        text, page = _bytes(body), _text(body).encode()
        signed = signing.sign(self.folder, key, About(dataset=name), instead={"incident.json": text, "incident.md": page})
        try:
            bundles.put(place, signed.statement, signed.bundle)
            record(signed.statement.digest, signed.bundle)
            DISK.write_file(self.folder / "incident.md", page)
            DISK.write_file(self.folder / "incident.json", text)
        except BezoarError:
            for path in (out, self.folder / "incident.md"):
                with suppress(OSError):  # the next close finds and replaces what cannot be removed now
                    DISK.unlink(path)
            raise
        self._body = body
        return signed

    def to_dict(self) -> dict[str, Any]:
        return {**self._body, "waiting": self.waiting()}

    def text(self) -> str:
        """The pack for people."""
        return _text(self._body)


def _bytes(body: dict[str, Any]) -> bytes:
    return json.dumps(body, indent=1).encode() + b"\n"


def _steps(body: dict[str, Any]) -> list[Done]:
    return [Done(s["step"], strict.moment(s["time"], "incident"), s["by"], s["note"],
                 tuple((e["name"], e["sha256"]) for e in s["evidence"])) for s in body["steps"]]


def _begun(folder: Path, raw: bytes) -> bool:
    """Whether nothing stands there, or what an opening left that was cut off before its last step."""
    if not folder.is_dir() or folder.is_symlink():
        return False
    held = {p.name for p in folder.iterdir() if not (p.name.startswith(".report.json.") and p.name.endswith(".tmp"))}
    return not held or (held == {"report.json"} and strict.read_bytes(folder / "report.json", "report") == raw)


def _unfinished(out: Path, name: str, folder: Path) -> bool:
    """Whether a closing that was cut off left this bundle: it is about this incident, and the folder is not what it signs."""
    try:
        there = statement.parse(signing.read_signature(out).payload)
        return there.about.dataset == name and there.digests.get("incident.json") != sha256(
            strict.read_bytes(folder / "incident.json", "incident", 64 << 20)).digest()
    except BezoarError:
        return False


def _text(b: dict[str, Any]) -> str:
    rows = [f"# Incident: {line(b['finding']['title'], 300)}", "",
            f"Finding {b['finding']['id']}, {b['finding']['members']} records, verdict {b['verdict']}; report sha256 {b['report']}.",
            f"Opened {b['opened']['time']} by {line(b['opened']['by'], 80)}.", "", "## Threat", ""]
    rows += [f"- {k}: {', '.join(v) if isinstance(v, list) else v}" for k, v in b["threat"].items() if k != "editions"]
    rows += ["- EU AI Act: Article 15(5), resilience against data poisoning", "", "## Steps", ""]
    for s in _steps(b):
        rows.append(f"- **{s.step}** {strict.stamp(s.time)}, {line(s.by, 80)}: {line(s.note, 500)} ({'; '.join(MEASURES[s.step])})")
        rows += [f"  - evidence/{name} sha256 {digest}" for name, digest in s.evidence]
    closed = b["closed"] or {}
    if closed.get("left_out"):
        rows.append(f"- left out: {', '.join(closed['left_out'])}: {line(closed['because'], 500)}")
    rows += ["", "## What was tested, and with what power", "",
             f"Checks that ran at alpha {b['tested']['alpha']}: {', '.join(b['tested']['ran'])}.", ""]
    rows += [f"- {line(s['family'], 80)}: smallest poison that would have been "
             f"found: {s['count'] if s['count'] is not None else 'none of the tried sizes'}"
             for s in b["tested"]["smallest_found"]] or ["- the smallest poison that would have been found was not measured "
                                                         "(bezoar scan --sensitivity)"]
    rows += ["", "## What was not tested", ""]
    rows += [f"- {line(o['ability'], 60)}: {line(o['why'], 300)}" for o in b["not_tested"]] or ["- every check that fits this data ran"]
    return "\n".join(rows) + "\n"
