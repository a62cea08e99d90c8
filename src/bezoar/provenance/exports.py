"""The same facts in other people's formats: OpenLineage events, a CycloneDX 1.6 ML-BOM, Croissant 1.0 and SPDX 3.0 documents.

Only what a signed statement says is written. Ids derive from content, so the same statements give the same document.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Mapping
from hashlib import sha256
from typing import Any

from bezoar.core.errors import UsageError
from bezoar.provenance import files, strict
from bezoar.provenance.lineage import Signed
from bezoar.provenance.statement import Statement

PRODUCER = "https://github.com/bezoar/bezoar"
FORMATS = ("openlineage", "cyclonedx", "croissant", "spdx")
_SPACE = uuid.UUID("6f2d1f5e-0b7a-5a55-9d0c-5d1bb3c1f0aa")
MOST_FILES = 5000
"""Files that a Croissant document lists one by one."""


def _uuid(text: str) -> str:
    return str(uuid.uuid5(_SPACE, text))


def _when(s: Statement) -> str:
    return strict.stamp(s.about.issued) if s.about.issued else "1970-01-01T00:00:00Z"


def export(form: str, statements: Iterable[Signed]) -> Any:
    """A JSON value; raises UsageError for an unknown format or where nothing fits it."""
    held = sorted((s.statement for s in statements), key=lambda s: (s.about.head, s.about.version, s.digest))
    if form not in FORMATS:
        raise UsageError(f"no format {form!r}", advice="formats are: " + ", ".join(FORMATS))
    if not held:
        raise UsageError("there is no statement to export", advice="give bundles with --bundles")
    return {"openlineage": openlineage, "cyclonedx": cyclonedx, "croissant": croissant, "spdx": spdx}[form](held)


def _root(s: Statement) -> str:
    return sha256(b"".join(s.digests.values())).hexdigest()


def openlineage(held: list[Statement]) -> list[dict[str, Any]]:
    """One COMPLETE event per statement (spec 2-0-2): what went in, what came out."""
    names = {s.digest: s for s in held}

    def dataset(digest: str) -> dict[str, Any]:
        s = names.get(digest)
        out: dict[str, Any] = {"namespace": "bezoar", "name": s.about.head if s else f"statement:{digest}"}
        if s:
            out["facets"] = {"version": {"_producer": PRODUCER,
                                         "_schemaURL": "https://openlineage.io/spec/facets/1-0-1/DatasetVersionDatasetFacet.json",
                                         "datasetVersion": str(s.about.version)}}
        return out

    return [{"eventType": "COMPLETE", "eventTime": _when(s), "run": {"runId": _uuid(s.digest)},
             "job": {"namespace": "bezoar", "name": s.about.how or f"make {s.about.head}"},
             "inputs": [dataset(i) for i in (*s.about.inputs, *([s.about.previous] if s.about.previous else []))],
             "outputs": [dataset(s.digest)],
             "producer": PRODUCER, "schemaURL": "https://openlineage.io/spec/2-0-2/OpenLineage.json#/$defs/RunEvent"} for s in held]


def cyclonedx(held: list[Statement]) -> dict[str, Any]:
    """A bill of materials: datasets and models as components, with what each was made from."""
    components = []
    known = {s.digest for s in held}
    for s in held:
        component: dict[str, Any] = {
            "type": "machine-learning-model" if s.about.kind == "model" else "data", "bom-ref": s.digest, "name": s.about.dataset or s.name,
            "version": str(s.about.version), "hashes": [{"alg": "SHA-256", "content": _root(s)}],
            "properties": [{"name": f"bezoar:{k}", "value": v} for k,
                           v in (("statement", s.digest), ("issued", _when(s)), ("how", s.about.how),
                           ("verdict", s.about.scan.verdict if s.about.scan else "")) if v]}
        if s.about.source:
            component["supplier"] = {"name": s.about.source}
        if s.about.licence:
            component["licenses"] = [{"license": {"name": s.about.licence}}]
        if s.about.kind == "model":
            component["modelCard"] = {"modelParameters": {"datasets": [{"ref": i} for i in s.about.inputs if i in known]}}
        else:
            component["data"] = [{"type": "dataset", "name": s.about.dataset or s.name}]
        components.append(component)
    return {"bomFormat": "CycloneDX", "specVersion": "1.6", "serialNumber": f"urn:uuid:{_uuid(''.join(sorted(known)))}", "version": 1,
            "metadata": {"timestamp": max(_when(s) for s in held), "tools": {"components": [{"type": "application", "name": "bezoar"}]}},
            "components": components,
            "dependencies": [{"ref": s.digest,
                              "dependsOn": sorted({i for i in (*s.about.inputs, s.about.previous) if i in known})} for s in held]}


_CROISSANT: Mapping[str, Any] = {
    "@language": "en", "@vocab": "https://schema.org/", "citeAs": "cr:citeAs", "column": "cr:column", "conformsTo": "dct:conformsTo",
    "cr": "http://mlcommons.org/croissant/", "rai": "http://mlcommons.org/croissant/RAI/", "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"}, "dct": "http://purl.org/dc/terms/",
    "examples": {"@id": "cr:examples", "@type": "@json"},
    "extract": "cr:extract", "field": "cr:field", "fileProperty": "cr:fileProperty", "fileObject": "cr:fileObject", "fileSet": "cr:fileSet",
    "format": "cr:format", "includes": "cr:includes", "isLiveDataset": "cr:isLiveDataset", "jsonPath": "cr:jsonPath", "key": "cr:key",
    "md5": "cr:md5",
    "parentField": "cr:parentField", "path": "cr:path", "recordSet": "cr:recordSet", "references": "cr:references", "regex": "cr:regex",
    "repeated": "cr:repeated", "replace": "cr:replace", "sc": "https://schema.org/", "separator": "cr:separator", "source": "cr:source",
    "subField": "cr:subField", "transform": "cr:transform"}
_TYPES = {"csv": "text/csv", "tsv": "text/tab-separated-values", "json": "application/json", "jsonl": "application/jsonlines",
          "png": "image/png",
          "parquet": "application/x-parquet", "jpg": "image/jpeg", "jpeg": "image/jpeg", "txt": "text/plain", "npz": "application/zip"}


def croissant(held: list[Statement]) -> dict[str, Any]:
    """The newest dataset of the statements."""
    s = next((s for s in reversed(held) if s.about.kind == "dataset"), None)
    if s is None:
        raise UsageError("Croissant describes datasets, and these statements are about models", advice="use cyclonedx or spdx")
    names = list(s.digests)[:MOST_FILES]
    objects = [{"@type": "cr:FileObject", "@id": f"file-{i}", "name": s.name if n == files.WHOLE else n,
                "contentUrl": s.name if n == files.WHOLE else n,
                "encodingFormat": _TYPES.get(n.rsplit(".", 1)[-1].lower(), "application/octet-stream"), "sha256": s.digests[n].hex()}
               for i, n in enumerate(names)]
    return {"@context": dict(_CROISSANT), "@type": "sc:Dataset", "conformsTo": "http://mlcommons.org/croissant/1.0",
            "name": s.about.dataset or s.name,
            "description": f"{s.title}; statement {s.digest}; {len(s.digests):,} files" + (f"; {s.about.how}" if s.about.how else ""),
            "version": f"{s.about.version}.0.0", "license": s.about.licence or "unknown", "url": f"urn:sha256:{s.digest}",
            "datePublished": _when(s),
            "citeAs": f"statement sha256:{s.digest}", "creator": {"@type": "sc:Organization", "name": s.about.source or "unknown"},
            "distribution": objects}


def spdx(held: list[Statement]) -> dict[str, Any]:
    """SPDX 3.0.1 with the AI and Dataset profiles: packages, and what was trained or generated from what."""
    base = f"urn:bezoar:{_uuid(''.join(s.digest for s in held))}"
    info = {"type": "CreationInfo", "@id": "_:creation", "specVersion": "3.0.1", "created": max(_when(s) for s in held),
            "createdBy": [f"{base}:tool"]}
    parts: list[dict[str, Any]] = [info, {"type": "Organization", "spdxId": f"{base}:tool", "creationInfo": "_:creation", "name": "bezoar"}]
    known = {s.digest for s in held}
    for s in held:
        part: dict[str, Any] = {"type": "ai_AIPackage" if s.about.kind == "model" else "dataset_DatasetPackage",
                                "spdxId": f"{base}:{s.digest}",
                                "creationInfo": "_:creation", "name": s.about.dataset or s.name,
                                "software_packageVersion": str(s.about.version),
                                "software_downloadLocation": f"urn:sha256:{s.digest}",
                                "software_primaryPurpose": "model" if s.about.kind == "model" else "data",
                                "releaseTime": _when(s), "builtTime": _when(s),
                                "verifiedUsing": [{"type": "Hash", "algorithm": "sha256", "hashValue": _root(s)}]}
        if s.about.kind == "dataset":
            part |= {"dataset_datasetType": ["other"], "originatedBy": [f"{base}:tool"]}
        else:
            part["suppliedBy"] = f"{base}:tool"
        parts.append(part)
        for other in (*s.about.inputs, s.about.previous):
            if other in known:
                trained = s.about.kind == "model" and other in s.about.inputs
                kind = "trainedOn" if trained else "ancestorOf" if other == s.about.previous else "generates"
                ends = (s.digest, other) if kind == "trainedOn" else (other, s.digest)
                parts.append({"type": "Relationship", "spdxId": f"{base}:{_uuid(other + s.digest)}", "creationInfo": "_:creation",
                              "relationshipType": kind,
                              "from": f"{base}:{ends[0]}", "to": [f"{base}:{ends[1]}"]})
    parts.append({"type": "SpdxDocument", "spdxId": f"{base}:document", "creationInfo": "_:creation",
                  "profileConformance": ["core", "software", "ai", "dataset"],
                  "rootElement": [f"{base}:{s.digest}" for s in held]})
    return {"@context": "https://spdx.org/rdf/3.0.1/spdx-context.jsonld", "@graph": parts}
