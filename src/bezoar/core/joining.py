"""New samples behind old ones: inputs of one kind put one after the other, datasets that grow without touching what they hold."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from bezoar.core.dataset import Dataset, Labels
from bezoar.core.errors import UsageError
from bezoar.core.inputs import Column, Images, Inputs, Table, Texts, frozen


def joined(first: Inputs, second: Inputs) -> Inputs:
    """The samples of `first`, then those of `second`; both of one kind; levels of categories are united.

    >>> joined(Texts.of(["a"]), Texts.of(["b"])).values.tolist()
    ['a', 'b']
    """
    if isinstance(first, Texts) and isinstance(second, Texts):
        return Texts(np.concatenate([first.values, second.values]))
    if isinstance(first, Table) and isinstance(second, Table):
        grown = Table({k: Column(c.kind, np.concatenate([c.values, np.repeat(c.values[:1], len(second))]), c.levels)
                       for k, c in first.columns.items()})
        return grown.with_rows(np.arange(len(first), len(first) + len(second)), second)
    if isinstance(first, Images) and isinstance(second, Images):
        if first.uniform and second.uniform and len(first) and len(second) and (first.sizes[0] == second.sizes[0]).all():
            return Images.of(np.concatenate([first.dense(), second.dense()]))

        def reader(rows: np.ndarray) -> list[np.ndarray]:
            return [first.read(np.array([i]))[0] if i < len(first) else second.read(np.array([i - len(first)]))[0] for i in rows]

        return Images(np.concatenate([first.sizes, second.sizes]), reader)
    raise UsageError("samples of two kinds cannot stand in one dataset")


def grown(data: Dataset, inputs: Inputs, codes: np.ndarray, stem: str, like: np.ndarray) -> Dataset:
    """`data` with new samples behind its own: `inputs`, label `codes`, ids "<stem>-000001" and on, origin cells of the rows `like`.

    Ids that exist already are skipped. The old rows keep their place, ids, inputs and labels.
    """
    taken = set(data.ids)
    ids: list[str] = []
    number = 0
    while len(ids) < len(inputs):
        number += 1
        name = f"{stem}-{number:06d}"
        if name not in taken:
            ids.append(name)
    new = np.empty(len(ids), object)
    new[:] = ids
    labels = data.labels
    if labels is not None:
        labels = Labels(frozen(np.concatenate([labels.codes, codes.astype(np.int64)])), labels.classes)
    return replace(data, inputs=joined(data.inputs, inputs), ids=frozen(np.concatenate([data.ids, new])), labels=labels,
                   origin={k: frozen(np.concatenate([v, v[like]])) for k, v in data.origin.items()})
