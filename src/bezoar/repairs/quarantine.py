"""Set aside the samples that findings put on their quarantine list; never delete, never more than a share of a class.

Findings are taken in order of their p-value, members in the order in which the finding lists them, until
`max_class_share` of a class is reached: what is cut is said. The cap is there because a false finding, or one that an
attacker provoked against a rival's data, must not be able to empty a class. Fails to help where the poison is more than
the cap: then `allow_more` has to be said aloud. Cost: none.
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from bezoar.core.ability import Change, Info, Repair, Repaired
from bezoar.core.dataset import Dataset
from bezoar.core.errors import UsageError
from bezoar.core.finding import Finding


class Quarantine(Repair):
    """Which rows stay."""

    info: ClassVar[Info] = Info(name="quarantine", summary="set aside what findings name, at most 5% of a class unless told otherwise",
                                cost="none")

    def __init__(self, *, max_class_share: float = 0.05, allow_more: bool = False, include_advisory: bool = False) -> None:
        if not 0 < max_class_share <= 1:
            raise UsageError(f"max_class_share {max_class_share} is not above 0 and at most 1", advice="the default is 0.05")
        self.max_class_share = max_class_share
        self.allow_more = allow_more
        self.include_advisory = include_advisory

    def repair(self, data: Dataset, findings: tuple[Finding, ...]) -> Repaired:
        """Rows to keep. Samples without a label count as one class."""
        place = {name: row for row, name in enumerate(data.ids.tolist())}
        codes = np.zeros(len(data), np.int64) if data.labels is None else data.labels.codes
        names = ("all samples",) if data.labels is None else (*data.labels.classes, "no label")
        sizes = np.bincount(np.where(codes < 0, len(names) - 1, codes), minlength=len(names))
        room = np.full(len(names), len(data)) if self.allow_more else np.floor(sizes * self.max_class_share + 1e-9).astype(np.int64)
        keep = np.ones(len(data), bool)
        changes: list[Change] = []
        cut: dict[int, int] = {}
        spared: set[int] = set()
        unknown = 0
        for finding in sorted(findings, key=lambda f: (f.advisory, f.p_value, -f.suspicion, f.id)):
            if finding.advisory and not self.include_advisory:
                continue
            for sample in finding.quarantined or (finding.members if finding.advisory else ()):
                row = place.get(sample)
                if row is None:
                    unknown += 1
                    continue
                code = int(codes[row])
                if not keep[row] or row in spared:
                    continue
                if room[code] <= 0:
                    cut[code] = cut.get(code, 0) + 1
                    spared.add(row)
                    continue
                room[code] -= 1
                keep[row] = False
                changes.append(Change(sample, "quarantined", finding.id))
        notes = [f"class {names[code]!r}: {count:,} more samples are suspicious and were kept, because at most {self.max_class_share:.0%} "
                 f"of a class is removed; --allow-more removes them too" for code, count in sorted(cut.items())]
        if unknown:
            notes.append(f"{unknown:,} samples of the findings are not in this data")
        left_out = sum(f.advisory for f in findings)
        if left_out and not self.include_advisory:
            notes.append(f"{left_out:,} advisory findings were left alone; --include-advisory takes them too")
        return Repaired(keep, tuple(changes), tuple(notes))
