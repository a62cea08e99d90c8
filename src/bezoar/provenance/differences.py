"""What changed between two versions, record by record: added, removed, changed, relabelled, renamed; counted by label and by source."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from bezoar.provenance.rows import Record


@dataclass
class Difference:
    """Ids per kind of change, and counts by label and source (of the newer side where there is one)."""

    added: list[str] = field(default_factory=list)
    removed: list[str] = field(default_factory=list)
    changed: list[str] = field(default_factory=list)
    relabelled: list[tuple[str, str, str]] = field(default_factory=list)
    """(id, label before, label after)"""
    renamed: list[tuple[str, str]] = field(default_factory=list)
    same: int = 0
    by_source: dict[str, Counter[str]] = field(default_factory=dict)
    by_label: dict[str, Counter[str]] = field(default_factory=dict)

    def count(self, what: str, record: Record) -> None:
        if record.source:
            self.by_source.setdefault(record.source, Counter())[what] += 1
        if record.label:
            self.by_label.setdefault(record.label, Counter())[what] += 1

    def to_dict(self) -> dict[str, Any]:
        return {"added": len(self.added), "removed": len(self.removed), "changed": len(self.changed), "relabelled": len(self.relabelled),
                "renamed": len(self.renamed), "same": self.same, "by_source": {k: dict(v) for k, v in sorted(self.by_source.items())},
                "by_label": {k: dict(v) for k, v in sorted(self.by_label.items())},
                "ids": {"added": self.added, "removed": self.removed, "changed": self.changed,
                        "relabelled": [list(r) for r in self.relabelled], "renamed": [list(r) for r in self.renamed]}}


def compare(before: Iterable[Record], after: Iterable[Record]) -> Difference:
    """The change from `before` to `after`. A file of the same content in another class is relabelled, not removed and added."""
    old, new = {r.id: r for r in before}, {r.id: r for r in after}
    out = Difference()
    for i in sorted(old.keys() & new.keys()):
        if old[i].label != new[i].label:
            out.relabelled.append((i, old[i].label, new[i].label))
            out.count("relabelled", new[i])
        elif old[i].content != new[i].content:
            out.changed.append(i)
            out.count("changed", new[i])
        else:
            out.same += 1
    gone: dict[bytes, list[Record]] = {}
    for i in sorted(old.keys() - new.keys()):
        gone.setdefault(old[i].content, []).append(old[i])
    for i in sorted(new.keys() - old.keys()):
        twins = gone.get(new[i].content)
        if twins:
            was = twins.pop(0)
            if was.label != new[i].label:
                out.relabelled.append((i, was.label, new[i].label))
                out.count("relabelled", new[i])
            else:
                out.renamed.append((was.id, i))
                out.count("renamed", new[i])
        else:
            out.added.append(i)
            out.count("added", new[i])
    for records in gone.values():
        for r in records:
            out.removed.append(r.id)
            out.count("removed", r)
    out.removed.sort()
    return out
