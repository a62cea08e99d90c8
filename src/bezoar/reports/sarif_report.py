"""report.sarif: SARIF 2.1.0 for code-scanning views: one result per campaign, one rule per threat.

At most 5,000 results and 100 locations each; what is left out is counted in the properties. A sample that is a file below
DATA is a physical location; any other sample is a logical location inside the data. Findings of a baseline are suppressed
results. Fingerprints are finding ids, so that a rescan of the same content is the same alert. Foreign text can neither
make a link nor a placeholder. Cost: milliseconds. Standard: OASIS SARIF 2.1.0 with errata 01.
"""

from __future__ import annotations

import json
import math
import re
from typing import Any
from urllib.parse import quote

from bezoar.core.ability import Info, Renderer
from bezoar.core.escape import line, storable
from bezoar.core.finding import Finding
from bezoar.core.report import Report
from bezoar.core.taxonomy import EDITIONS, threat_record
from bezoar.core.wording import headline, matters, sureness, unseen

MOST_RESULTS = 5000
MOST_LOCATIONS = 100
_SCHEMA = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"
_SCHEMES = {"atlas": ("MITRE ATLAS", "MITRE"), "owasp_ml": ("OWASP ML Top 10", "OWASP"), "owasp_llm": ("OWASP LLM Top 10", "OWASP"),
            "nist": ("NIST AI 100-2", "NIST")}
_SEVERITY = {"backdoor-dirty-label": "9.0", "backdoor-clean-label": "9.0", "targeted": "8.5", "label-flip": "7.0", "source": "7.0",
             "availability": "6.5", "bias": "6.5", "model-backdoor": "9.0", "integrity": "5.0", "duplicates": "3.0", "declared": "5.0"}
_A_FILE = re.compile(r"[^/\\]\.[A-Za-z0-9]{2,5}\Z")


def message(text: object, limit: int = 1000) -> dict[str, str]:
    """A plain-text message in which brackets make no link and braces no placeholder (SARIF 2.1.0, 3.11.5 and 3.11.6).

    >>> message("[x](http://y) {0}")["text"]
    '\\\\[x\\\\](http://y) {{0}}'
    """
    plain = line(text, limit).replace("[", "\\[").replace("]", "\\]").replace("{", "{{").replace("}", "}}")
    return {"text": plain or "(none)"}


def uri(sample: str) -> str | None:
    """The sample as a relative URI when it names a file below DATA, else None.

    >>> uri("stop/a b.png"), uri("../x.png"), uri("17")
    ('stop/a%20b.png', None, None)
    """
    parts = sample.split("/")
    if not _A_FILE.search(sample) or len(sample) > 1000 or any(p in ("", ".", "..") for p in parts):
        return None
    return quote(storable(sample), safe="/")


class SarifReport(Renderer):
    """Report -> report.sarif.

    >>> log = json.loads(SarifReport().render(Report({"name": "x"}, "no evidence", 0.01, 0, (), ())))
    >>> log["version"], log["runs"][0]["results"]
    ('2.1.0', [])
    """

    info = Info(name="sarif", summary="report.sarif: SARIF 2.1.0, one result per campaign", reference="OASIS SARIF 2.1.0")
    filename = "report.sarif"

    def render(self, report: Report) -> bytes:
        """ASCII JSON bytes; the same report gives the same bytes (no times in it)."""
        findings = report.findings[:MOST_RESULTS]
        threats = sorted({f.threat for f in findings})
        schemes = sorted({k for t in threats for k in _editions(t)})
        places = {k: i for i, k in enumerate(schemes)}
        run: dict[str, Any] = {
            "tool": {"driver": {
                "name": "bezoar", "fullName": "bezoar data poisoning scanner", "version": line(report.environment.get("bezoar", "0")),
                "supportedTaxonomies": [{"name": _SCHEMES[k][0], "index": i} for k, i in places.items()],
                "rules": [_rule(t, places) for t in threats]}},
            "taxonomies": [_taxonomy(k, threats) for k in schemes],
            "invocations": [{"executionSuccessful": not report.gaps and report.verdict != "inconclusive",
                             "toolExecutionNotifications": _notices(report, "failed", "error"),
                             "toolConfigurationNotifications": _notices(report, "skipped", "note")}],
            "columnKind": "unicodeCodePoints",
            "originalUriBaseIds": {"DATA": {"description": {"text": "the dataset that was scanned"}}},
            "results": [_result(report, f, threats.index(f.threat), places) for f in findings],
            "properties": {"schema": "bezoar.sarif/1", "subject": line(report.subject.get("name", "")),
                           "fingerprint": line(report.subject.get("fingerprint", "")), "verdict": report.verdict,
                           "headline": line(headline(report), 400), "notSeen": line(unseen(report), 1200), "alpha": report.alpha,
                           "poisonedAtLeast": report.poisoned_at_least, "seed": report.seed,
                           "resultsLeftOut": len(report.findings) - len(findings)}}
        log = {"$schema": _SCHEMA, "version": "2.1.0", "runs": [run]}
        return (json.dumps(log, ensure_ascii=True, allow_nan=False, indent=1) + "\n").encode("ascii")


def _editions(threat: str) -> dict[str, str]:
    return threat_record(threat)["editions"]  # type: ignore[return-value]


def _ids(threat: str, scheme: str) -> list[str]:
    return list(threat_record(threat).get(scheme, []))  # type: ignore[call-overload]


def _rule(threat: str, places: dict[str, int]) -> dict[str, Any]:
    record = threat_record(threat)
    name = "".join(w.capitalize() for w in threat.split("-"))
    return {"id": threat, "name": name, "shortDescription": {"text": str(record["name"])},
            "fullDescription": {"text": matters(threat)}, "help": {"text": f"{record['name']}. {matters(threat)}"},
            "defaultConfiguration": {"level": "error" if "backdoor" in threat else "warning"},
            "relationships": [{"target": {"id": i, "toolComponent": {"name": _SCHEMES[k][0], "index": places[k]}}, "kinds": ["relevant"]}
                              for k in sorted(_editions(threat)) for i in _ids(threat, k)],
            "properties": {"tags": ["security", "data-poisoning"], "security-severity": _SEVERITY.get(threat, "5.0"), "precision": "high"}}


def _taxonomy(scheme: str, threats: list[str]) -> dict[str, Any]:
    name, organization = _SCHEMES[scheme]
    return {"name": name, "organization": organization, "version": EDITIONS[scheme], "isComprehensive": False,
            "shortDescription": {"text": f"Identifiers of {EDITIONS[scheme]} that this run refers to"},
            "taxa": [{"id": i} for i in sorted({i for t in threats for i in _ids(t, scheme)})]}


def _notices(report: Report, status: str, level: str) -> list[dict[str, Any]]:
    return [{"level": level, "message": message(f"{o.ability}: {o.reason or status}"), "descriptor": {"id": line(o.ability)}}
            for o in report.outcomes if o.status == status]


def _location(sample: str) -> dict[str, Any]:
    logical = [{"name": line(sample), "fullyQualifiedName": line(sample, 1000), "kind": "sample"}]
    address = uri(sample)
    if address is None:
        return {"logicalLocations": logical}
    return {"physicalLocation": {"artifactLocation": {"uri": address, "uriBaseId": "DATA"}}, "logicalLocations": logical}


def _result(report: Report, f: Finding, rule: int, places: dict[str, int]) -> dict[str, Any]:
    accepted = f.id in report.accepted
    level = "note" if f.advisory else "error" if f.confirmed else "warning"
    told = ". ".join(x.rstrip(".") for x in (f.title, f.because, sureness(f), f"It would be false if: {f.doubt}" if f.doubt else "",
                                             f.advice) if x) + "."
    suppressed = [{"kind": "external", "status": "accepted", "justification": "accepted in the baseline file"}] if accepted else []
    p_value, suspicion = (v if math.isfinite(v) else None for v in (f.p_value, f.suspicion))
    return {"ruleId": f.threat, "ruleIndex": rule, "level": level, "message": message(told, 4000),
            "locations": [_location(m) for m in f.members[:MOST_LOCATIONS]],
            "partialFingerprints": {"bezoarFinding/v1": f.id},
            "suppressions": suppressed,
            "taxa": [{"id": i, "toolComponent": {"name": _SCHEMES[k][0], "index": places[k]}}
                     for k in sorted(_editions(f.threat)) for i in _ids(f.threat, k)],
            "rank": round(100 * suspicion, 2) if suspicion is not None else -1.0,
            "properties": {"channel": line(f.ability), "target": None if f.target is None else line(f.target), "members": len(f.members),
                           "membersLeftOut": max(len(f.members) - MOST_LOCATIONS, 0), "atLeast": f.at_least, "pValue": p_value,
                           "confirmed": f.confirmed, "advisory": f.advisory, "origin": _origin(f)}}


def _origin(f: Finding) -> dict[str, dict[str, int]]:
    return {line(column): {line(k): v for k, v in list(parts.items())[:20]} for column, parts in f.origin.items()}
