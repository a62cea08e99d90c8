"""Samples that could have been there: small honest changes of one, and crosses of two that are alike."""

from __future__ import annotations

import numpy as np

from bezoar.core.image_rewrites import by_size, to_bytes
from bezoar.core.inputs import Column, Images, Inputs, Table, Texts


def variants(inputs: Inputs, rng: np.random.Generator, strength: float = 1.0, among: Inputs | None = None) -> Inputs:
    """Each sample a little otherwise: pictures shifted, lit and grained, one word in ten left out or doubled, numbers by 5% of their
    spread.

    `strength` scales all of it; 0 gives copies. `among` (default: `inputs`) are the rows that tell the spread of numbers.
    """
    if isinstance(inputs, Images):
        def change(batch: np.ndarray) -> np.ndarray:
            n, height, width = batch.shape[:3]
            reach = round(strength * max(1, min(height, width) // 16))
            move = rng.integers(-reach, reach + 1, (n, 2))
            rows = np.clip(np.arange(height)[None] + move[:, :1], 0, height - 1)
            cols = np.clip(np.arange(width)[None] + move[:, 1:], 0, width - 1)
            moved = batch[np.arange(n)[:, None, None], rows[:, :, None], cols[:, None, :]].astype(np.float32)
            light = 1 + strength * rng.uniform(-0.12, 0.12, (n, 1, 1, 1)).astype(np.float32)
            return to_bytes(moved * light + strength * rng.normal(0, 2, batch.shape).astype(np.float32))
        return by_size(inputs, change)
    if isinstance(inputs, Texts):
        out = []
        for text in inputs.values:
            words = text.split(" ")
            draw = rng.random(len(words))
            kept = [w if d >= 0.03 * strength else f"{w} {w}" for w, d in zip(words, draw, strict=True) if d < 1 - 0.07 * strength]
            out.append(" ".join(kept or words))
        return Texts.of(out)
    assert isinstance(inputs, Table)
    columns = {}
    for name, c in inputs.columns.items():
        if c.kind == "category":
            columns[name] = c
            continue
        told = c.values if not isinstance(among, Table) else among[name].values
        known = told[np.isfinite(told)]
        values = c.values + 0.05 * strength * (known.std() if len(known) > 1 else 0.0) * rng.standard_normal(len(c.values))
        columns[name] = Column(c.kind, np.round(values) if np.equal(known, np.round(known)).all() else values, c.levels)
    return Table(columns)


def crosses(first: Inputs, second: Inputs, rng: np.random.Generator) -> Inputs:
    """Row i of `first` crossed with row i of `second`: half of the one's sentences or cells and half of the other's.

    Pictures are not crossed (a mixture of two looks like neither): they are varied.
    """
    if isinstance(first, Texts) and isinstance(second, Texts):
        out = []
        for a, b in zip(first.values, second.values, strict=True):
            left, right = a.split(" "), b.split(" ")
            out.append(" ".join(left[:(len(left) + 1) // 2] + right[len(right) // 2:]))
        return Texts.of(out)
    if isinstance(first, Table) and isinstance(second, Table):
        columns = {}
        for name, c in first.columns.items():
            take = rng.random(len(first)) < 0.5
            columns[name] = Column(c.kind, np.where(take, c.values, second[name].values).astype(c.values.dtype), c.levels)
        return Table(columns)
    return variants(first, rng)
