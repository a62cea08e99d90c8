"""Group bias: favourable outcomes of one group are changed to the unfavourable one; a model learns the prejudice.

Threat model: the attacker (or a biased clerk) edits labels of one group, knows the outcome's meaning, nothing of the model.
Budget: `rate` of all samples; only labels change. Chosen by chance, they move the demographic-parity gap of a model by about
rate / share of the group; chosen at the decision boundary of a plain model, by more. Fails where outcomes are compared between
groups, and in models that cannot tell the group. Cost: about 2 s per 50,000 rows (the plain model).
Papers: Solans, Biggio, Castillo 2020, arXiv 2004.07401; Mehrabi et al. 2021, arXiv 2012.08723.
"""

from __future__ import annotations

import numpy as np

from bezoar.core.ability import Attack, Info, Poisoned
from bezoar.core.dataset import ORIGIN, Dataset
from bezoar.core.errors import UsageError
from bezoar.core.inputs import Table
from bezoar.core.plain_features import plain_scores, rivals
from bezoar.core.victims import budget, draw, labels_of, pick_target, plant


class TableGroupBias(Attack):
    """Outcomes bent against one group.

    rate    share of all samples whose outcome is changed, above 0 and at most 1
    target  the unfavourable outcome, a class name; None draws one
    column  an origin column or a column of categories; '' takes the first origin column that names a group, else draws a column
    group   the group, a value of that column; '' draws one with enough favourable outcomes
    choose  boundary (the outcomes that a plain model finds hardest to tell, where few move many) | chance

    Raises UsageError for an unknown column, group or target, and where no group has enough favourable outcomes.
    """

    info = Info(name="table-group-bias", summary="outcomes of one group changed to the unfavourable one",
                threats=("bias", "label-flip"), modalities=("tabular",), needs=("labels",),
                reference="Solans et al. 2020, arXiv 2004.07401")

    def __init__(self, *, rate: float = 0.05, target: str | None = None, column: str = "", group: str = "",
                 choose: str = "boundary") -> None:
        self.rate = rate
        self.target = target
        self.column = column
        self.group = group
        self.choose = choose

    def poison(self, data: Dataset, rng: np.random.Generator) -> Poisoned:
        if self.choose not in ("boundary", "chance"):
            raise UsageError(f"unknown way to choose {self.choose!r}", advice="one of: boundary, chance")
        count = budget(len(data), self.rate)
        code = pick_target(data, self.target, rng, count)
        able = (labels_of(data).codes != code) & (labels_of(data).codes >= 0)
        for column in self._columns(data, rng):
            groups = _cells(data, column)
            names, place = np.unique(groups.astype(str), return_inverse=True)
            if self.group and self.group not in names:
                raise UsageError(f"there is no {column} {self.group!r}", advice=f"those are: {', '.join(names[:12])}")
            room = np.bincount(place[able], minlength=len(names))
            fits = [self.group] if self.group else [str(n) for n, r in zip(names, room, strict=True) if n and r >= count]
            if fits:
                own = np.flatnonzero((groups == str(rng.choice(fits))) & able)
                rows = draw(own, count, rng)
                if self.choose == "boundary":
                    _, margin = rivals(data, plain_scores(data, rng))
                    rows = np.sort(own[np.argsort(np.abs(margin[own]), kind="stable")[:count]])
                return plant(data, rows, None, np.full(count, code), target=labels_of(data).classes[code])
        raise UsageError(f"no group has {count} favourable outcomes to change", advice="lower the rate, or name another column")

    def _columns(self, data: Dataset, rng: np.random.Generator) -> list[str]:
        table = data.inputs
        assert isinstance(table, Table)
        own = [k for k, c in table.columns.items() if c.kind == "category" and 2 <= len(c.levels) <= 50]
        if self.column:
            if self.column not in data.origin and self.column not in own:
                raise UsageError(f"{self.column!r} names no groups", advice=f"columns that do: {', '.join([*data.origin, *own][:12])}")
            return [self.column]
        groups = [k for k in data.origin if k not in ORIGIN]
        if not groups and not own:
            raise UsageError("the table has no column that names groups", advice="carry one with --group, or give categories")
        return groups + [own[int(i)] for i in rng.permutation(len(own))]


def _cells(data: Dataset, column: str) -> np.ndarray:
    if column in data.origin:
        return data.origin[column]
    assert isinstance(data.inputs, Table)
    cells = data.inputs[column]
    return np.array([*cells.levels, ""], object)[cells.values]
