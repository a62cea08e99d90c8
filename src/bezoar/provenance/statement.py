"""What is signed: an in-toto statement that lists every file, as OpenSSF model-signing v1.0, with our section beside it.

Other verifiers read `serialization` and `resources` and skip `bezoar`; ours reads all three. The section adds what a list of files
cannot say: which dataset this is, a rising version, the digest of the version before, when it was issued and when it ends, under which
policy, what a scan said, where it came from, and a seal over its records.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from hashlib import sha256
from typing import Any

from bezoar.core.errors import UnreadableInput, UsageError
from bezoar.core.escape import line
from bezoar.provenance import files, strict
from bezoar.provenance.records import Seal

TYPE = "https://in-toto.io/Statement/v1"
PREDICATE = "https://model_signing/signature/v1.0"
SCHEMA = "bezoar.statement/1"
KINDS = ("dataset", "model")
LAST_VERSION = (1 << 31) - 1
VERDICTS = ("poisoned", "inconclusive", "suspicious", "no evidence")
"""Worst first."""


@dataclass(frozen=True)
class Scan:
    """What a scan said of exactly this content."""

    verdict: str
    report: str
    """SHA-256 of report.json, hexadecimal."""
    fingerprint: str = ""


@dataclass(frozen=True)
class About:
    """Our section. `version` 0: a foreign statement without one."""

    dataset: str = ""
    kind: str = "dataset"
    version: int = 0
    previous: str = ""
    """SHA-256 of the statement before, hexadecimal; empty for the first."""
    issued: datetime | None = None
    expires: datetime | None = None
    policy: str = ""
    log: str = ""
    source: str = ""
    licence: str = ""
    scan: Scan | None = None
    records: Seal | None = None
    inputs: tuple[str, ...] = ()
    """Statements (SHA-256) that this was made from: the data of a model, the parts of a dataset."""
    how: str = ""
    """What was done to them, with which version of which tool."""

    @property
    def head(self) -> str:
        """The line of versions that this belongs to."""
        return f"{self.kind}:{self.dataset}"


@dataclass(frozen=True)
class Statement:
    """A parsed statement. It is worth nothing before its signatures are checked."""

    payload: bytes
    name: str
    digests: Mapping[str, bytes]
    about: About
    ignored: tuple[str, ...] = ()
    empty: tuple[str, ...] = ()

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the exact signed bytes."""
        return sha256(self.payload).hexdigest()

    @property
    def title(self) -> str:
        """For sentences: dataset and version."""
        about = self.about
        return f"{about.kind} {line(about.dataset, 80)!r} version {about.version}" if about.version else f"{line(self.name, 80)!r}"


def content_root(digests: Mapping[str, bytes]) -> str:
    """The digest over all digests, in their order, that names the content."""
    return sha256(b"".join(digests.values())).hexdigest()


def check_id(text: str, what: str) -> str:
    """Names that people give: short, printable, no pattern characters. Raises UsageError."""
    if not text or len(text) > 200 or not text.isprintable() or any(c in text for c in "*?[]\\\"'\n") or text.strip() != text:
        raise UsageError(f"{line(text, 60)!r} is not a proper {what}", advice="use letters, digits, '.', '-', '_', '/'")
    return text


def build(name: str, digests: Mapping[str, bytes], about: About, ignored: tuple[str, ...] = (), empty: tuple[str, ...] = ()) -> bytes:
    """The bytes to sign. Raises UsageError for values that `parse` would refuse."""
    check_id(about.dataset, "dataset name")
    if not 1 <= about.version <= LAST_VERSION or about.kind not in KINDS or about.issued is None or about.expires is None:
        raise UsageError("a statement needs a version, a time and an end", advice="versions count from 1")
    if about.expires <= about.issued:
        raise UsageError("the statement would end before it begins", advice="give a later --expires or more --days")
    section: dict[str, Any] = {"schema": SCHEMA, "dataset": about.dataset, "kind": about.kind, "version": about.version,
                               "previous": about.previous, "issued": strict.stamp(about.issued), "expires": strict.stamp(about.expires),
                               "policy": about.policy, "log": about.log, "source": about.source, "licence": about.licence,
                               "empty_folders": list(empty), "inputs": list(about.inputs), "how": about.how}
    if about.scan is not None:
        section["scan"] = {"verdict": about.scan.verdict, "report": about.scan.report, "fingerprint": about.scan.fingerprint}
    if about.records is not None:
        section["records"] = about.records.to_dict()
    serialization: dict[str, Any] = {"method": "files", "hash_type": "sha256", "allow_symlinks": False}
    if ignored:
        serialization["ignore_paths"] = list(ignored)
    head = json.dumps({"_type": TYPE, "subject": [{"name": name, "digest": {"sha256": content_root(digests)}}], "predicateType": PREDICATE})
    resources = ",".join([f'{{"name":{json.dumps(n)},"algorithm":"sha256","digest":"{d.hex()}"}}' for n, d in digests.items()])
    return (f'{head[:-1]}, "predicate": {{"serialization": {json.dumps(serialization)}, "bezoar": {json.dumps(section)}, '
            f'"resources": [{resources}]}}}}').encode()


def parse(payload: bytes) -> Statement:
    """From exact bytes; every rule of `build` is checked again. Raises UnreadableInput, or Refused for hostile names."""
    what = "statement"
    body = strict.parse_json(payload, what)
    if body.get("_type") != TYPE or body.get("predicateType") != PREDICATE:
        raise UnreadableInput(f"the {what} is of another type: {line(body.get('predicateType'), 80)!r}", advice=f"bezoar reads {PREDICATE}")
    subjects = strict.field(body, "subject", list, what)
    predicate = strict.field(body, "predicate", dict, what)
    how = strict.field(predicate, "serialization", dict, what)
    if len(subjects) != 1:
        raise UnreadableInput(f"the {what} has {len(subjects)} subjects", advice="it is damaged or of another tool")
    if how.get("method") != "files" or how.get("hash_type") != "sha256" or how.get("allow_symlinks") not in (False, None):
        raise UnreadableInput(f"the {what} digests files in another way: {line(how, 120)}",
                              advice="sign whole files with SHA-256 and without links")
    ignored = tuple(str(p) for p in strict.field({"ignore_paths": [], **how}, "ignore_paths", list, what))
    names: list[str] = []
    values: list[bytes] = []
    for entry in strict.field(predicate, "resources", list, what):
        if not isinstance(entry, dict) or entry.get("algorithm") != "sha256" or not isinstance(entry.get("name"), str):
            raise UnreadableInput(f"the {what} lists something that is not a file with a SHA-256",
                                  advice="it is damaged or of another tool")
        names.append(entry["name"])
        values.append(strict.unhex(entry.get("digest"), what))
    section = predicate.get("bezoar")
    about, empty = (About(), ()) if section is None else _about(section)
    files.check_names(names, what, empty)
    if files.WHOLE in names and len(names) > 1:
        raise UnreadableInput(f"the {what} is of a file and of a folder at once", advice="it is damaged")
    digests = dict(zip(names, values, strict=True))
    root = strict.field(strict.field(subjects[0], "digest", dict, what), "sha256", str, what)
    if root != content_root(digests):
        raise UnreadableInput(f"the {what} contradicts itself: its files do not add up to its root digest", advice="it is damaged")
    return Statement(payload, strict.field(subjects[0], "name", str, what), digests, about, ignored, empty)


def _about(section: Any) -> tuple[About, tuple[str, ...]]:
    what = "statement's bezoar section"
    if strict.field(section, "schema", str, what) != SCHEMA:
        raise UnreadableInput(f"the {what} is of schema {line(section['schema'], 60)!r}", advice="use a newer version of bezoar")
    version = strict.field(section, "version", int, what)
    kind = strict.field(section, "kind", str, what)
    previous = strict.field(section, "previous", str, what)
    if not 1 <= version <= LAST_VERSION:
        raise UnreadableInput(f"the {what} has version {version}, out of 1..{LAST_VERSION}", advice="do not trust its signer")
    if kind not in KINDS:
        raise UnreadableInput(f"the {what} is about a {line(kind, 40)!r}", advice="kinds are: " + ", ".join(KINDS))
    if previous:
        strict.unhex(previous, what)
    dataset = strict.field(section, "dataset", str, what)
    try:
        check_id(dataset, "dataset name")
    except UsageError as error:
        raise UnreadableInput(f"the {what} names no proper dataset: {error.message}", advice="it is damaged") from None
    scan = None
    if section.get("scan") is not None:
        said = strict.field(section, "scan", dict, what)
        scan = Scan(strict.field(said, "verdict", str, what), strict.field(said, "report", str, what), str(said.get("fingerprint", "")))
    inputs = tuple(strict.unhex(i, what).hex() for i in strict.field({"inputs": [], **section}, "inputs", list, what))
    empty = tuple(str(e) for e in strict.field(section, "empty_folders", list, what))
    texts = {k: strict.field(section, k, str, what) for k in ("policy", "log", "source", "licence")}
    how = strict.field({"how": "", **section}, "how", str, what)
    return About(dataset=dataset, kind=kind, version=version, how=how, previous=previous, scan=scan, inputs=inputs,
                 issued=strict.moment(section.get("issued"), what), expires=strict.moment(section.get("expires"), what),
                 records=Seal.from_dict(section["records"]) if section.get("records") is not None else None, **texts), empty
