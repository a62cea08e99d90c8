"""Who delivered what: dealing rows to sources where data have none, and choosing the bad one."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from bezoar.core.dataset import Dataset
from bezoar.core.errors import UsageError
from bezoar.core.inputs import frozen


def dealt(data: Dataset, column: str, stem: str, count: int, rng: np.random.Generator) -> Dataset:
    """`data` with an origin column: the one it has, else `count` names ('<stem>-01', ...) dealt evenly by chance."""
    if column in data.origin:
        return data
    if count < 2:
        raise UsageError(f"there must be two {stem}s at least", advice="ten are usual")
    names = np.array([f"{stem}-{i + 1:0{len(str(count))}d}" for i in range(count)], object)
    return replace(data, origin={**data.origin, column: frozen(names[rng.permutation(np.arange(len(data)) % count)])})


def rows_of(data: Dataset, column: str, name: str | None, rng: np.random.Generator) -> tuple[str, np.ndarray]:
    """The named source and its rows; None draws one among the more frequent half. UsageError says which there are."""
    found, counts = np.unique(data.origin[column].astype(str), return_counts=True)
    if name is None:
        able = found[np.argsort(-counts, kind="stable")][:max(1, len(found) // 2)] if len(set(counts)) > 2 else found
        name = str(rng.choice(able))
    if name not in found:
        raise UsageError(f"there is no {column} {name!r}", advice=f"those are: {', '.join(found[:12])}")
    return name, np.flatnonzero(data.origin[column] == name)
