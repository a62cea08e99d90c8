"""Who and what stands behind a model, and which models a record or a source has reached: a graph read from signed statements and reports.

An arrow goes from what was there first to what came of it: source -> record -> dataset -> next version -> model; person -> what they
signed; finding -> dataset it was found in. Nothing is guessed: an arrow stands for a line in a statement, in a report, or in a table's
own columns.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from bezoar.core.errors import UsageError
from bezoar.core.escape import line
from bezoar.core.report import Report
from bezoar.provenance.rows import Record
from bezoar.provenance.statement import Statement

KINDS = ("person", "source", "record", "dataset", "model", "finding")


@dataclass(frozen=True)
class Node:
    """One thing. `facts` are shown beside it."""

    id: str
    kind: str
    label: str
    facts: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Step:
    """A node reached by a walk, how far away, and by which relation."""

    node: Node
    depth: int
    relation: str
    via: str


class Graph:
    """Nodes and arrows."""

    def __init__(self) -> None:
        self.nodes: dict[str, Node] = {}
        self._out: dict[str, list[tuple[str, str]]] = {}
        self._in: dict[str, list[tuple[str, str]]] = {}

    def node(self, node_id: str, kind: str, label: str, **facts: str) -> str:
        held = self.nodes.get(node_id)
        if held is None or (not held.facts and facts):
            self.nodes[node_id] = Node(node_id, kind, label, {k: v for k, v in facts.items() if v})
        return node_id

    def arrow(self, start: str, relation: str, end: str) -> None:
        pair = (relation, end)
        if pair not in self._out.setdefault(start, []):
            self._out[start].append(pair)
            self._in.setdefault(end, []).append((relation, start))

    def arrows(self) -> list[tuple[str, str, str]]:
        return [(a, r, b) for a, pairs in self._out.items() for r, b in pairs]

    def walk(self, start: str, forward: bool) -> list[Step]:
        """Everything that came of `start` (forward), or that stands behind it; nearest first, each once."""
        seen, out = {start}, []
        waiting = deque([(start, 0)])
        while waiting:
            at, depth = waiting.popleft()
            for relation, other in sorted((self._out if forward else self._in).get(at, [])):
                if other not in seen:
                    seen.add(other)
                    out.append(Step(self.nodes[other], depth + 1, relation, at))
                    waiting.append((other, depth + 1))
        return out


@dataclass(frozen=True)
class Signed:
    """A statement, the ids of keys that were proved to have signed it, and those that its bundle merely names: anybody can name a key."""

    statement: Statement
    signers: tuple[str, ...] = ()
    proved: bool = False
    named: tuple[str, ...] = ()


def build(statements: Iterable[Signed], reports: Mapping[str, Report], tables: Mapping[str, Iterable[Record]],
          persons: Mapping[str, str]) -> Graph:
    """`reports`: by SHA-256 of report.json. `tables`: records by statement digest. `persons`: key id to person."""
    graph = Graph()
    held = {s.statement.digest: s for s in statements}
    for digest, signed in held.items():
        about = signed.statement.about
        me = graph.node(f"statement:{digest}", about.kind, f"{about.dataset or signed.statement.name} version {about.version}",
                        statement=digest,
                        issued=about.issued.isoformat() if about.issued else "", licence=about.licence, how=about.how,
                        verdict=about.scan.verdict if about.scan else "", signature="checked" if signed.proved else "not checked")
        for keys, relation in ((signed.signers, "signed"), (signed.named, "is named as signer, not checked, of")):
            for key in keys:
                graph.arrow(graph.node(f"key:{key}", "person", persons.get(key) or f"key {key[:16]}", key=key), relation, me)
        if about.source:
            graph.arrow(graph.node(f"source:{about.source}", "source", about.source), "supplied", me)
        for other, relation in [(about.previous, "became"), *((i, "went into") for i in about.inputs)]:
            if other:
                if other not in held:
                    graph.node(f"statement:{other}", "dataset", f"statement {other[:16]} (not at hand)", statement=other)
                graph.arrow(f"statement:{other}", relation, me)
        report = reports.get(about.scan.report) if about.scan else None
        for finding in report.findings if report else ():
            found = graph.node(f"finding:{finding.id}", "finding", finding.title, id=finding.id, members=str(len(finding.members)))
            graph.arrow(found, "was found in", me)
            for source in finding.origin.get("source", {}):
                graph.arrow(graph.node(f"source:{source}", "source", source), "supplied members of", found)
            for person in finding.origin.get("contributor", {}):
                graph.arrow(graph.node(f"person:{person}", "person", person), "contributed members of", found)
    for digest, records in tables.items():
        for record in records:
            if record.source:
                graph.arrow(graph.node(f"source:{record.source}", "source", record.source), "supplied records of", f"statement:{digest}")
            if record.contributor:
                graph.arrow(graph.node(f"person:{record.contributor}", "person", record.contributor), "contributed to",
                            f"statement:{digest}")
    return graph


def place_record(graph: Graph, name: str, statements: Iterable[Signed], tables: Mapping[str, Iterable[Record]]) -> list[str]:
    """Add the record called `name` (file name, id, SHA-256) wherever it is; equal content under another name is found too."""
    statements = list(statements)
    contents = {s.statement.digests[name] for s in statements if name in s.statement.digests}
    contents |= {d for s in statements for d in s.statement.digests.values() if d.hex() == name}
    added = []
    for content in sorted(contents):
        me = graph.node(f"record:{content.hex()}", "record", name, sha256=content.hex())
        added.append(me)
        for s in statements:
            for other, digest in s.statement.digests.items():
                if digest == content:
                    graph.arrow(me, f"is in, as {other}" if other != name else "is in", f"statement:{s.statement.digest}")
    for key, records in tables.items():
        for record in records:
            if record.id == name:
                me = graph.node(f"record:{key}:{name}", "record", name, carries=record.label)
                added.append(me)
                graph.arrow(me, "is in", f"statement:{key}")
                if record.source:
                    graph.arrow(graph.node(f"source:{record.source}", "source", record.source), "supplied", me)
                if record.contributor:
                    graph.arrow(graph.node(f"person:{record.contributor}", "person", record.contributor), "contributed", me)
    return added


def find(graph: Graph, what: str) -> list[str]:
    """Nodes that `what` names: by name, a statement or key by its first 8 letters or more, a finding by its id."""
    out = [n.id for n in graph.nodes.values() if n.label == what or n.id.split(":", 1)[1] == what or n.facts.get("id") == what
           or n.label.rsplit(" version ", 1)[0] == what
           or (len(what) >= 8 and any(n.facts.get(k, "").startswith(what) for k in ("statement", "key")))]
    return sorted(out)


def trace(graph: Graph, what: str) -> dict[str, Any]:
    """Both ways from every node that `what` names, as plain values. Raises UsageError where there is none."""
    starts = find(graph, what)
    if not starts:
        some = ", ".join(sorted({line(n.label, 40) for n in graph.nodes.values()})[:8])
        raise UsageError(f"nothing here is called {line(what, 80)!r}",
                         advice=f"there is: {some}" if some else "give bundles with --bundles")

    def rows(steps: Iterable[Step]) -> list[dict[str, Any]]:
        return [{"kind": s.node.kind, "label": s.node.label, "depth": s.depth, "relation": s.relation, "id": s.node.id, "via": s.via,
                 **({"facts": dict(s.node.facts)} if s.node.facts else {})} for s in steps]

    return {"of": [{"kind": graph.nodes[s].kind, "label": graph.nodes[s].label, "id": s, "facts": dict(graph.nodes[s].facts),
                    "behind": rows(graph.walk(s, False)), "reached": rows(graph.walk(s, True))} for s in starts]}
