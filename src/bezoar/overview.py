"""Pictures of the whole run: the map of the embedding, the histogram of suspicion, flagged samples per source."""

from __future__ import annotations

import numpy as np

from bezoar.core.errors import BezoarError
from bezoar.core.evidence import LOG_COUNT, LOG_SUSPICION, Bars, Evidence, Plot, Scatter
from bezoar.core.report import ScoreTable
from bezoar.core.view import View

MOST_POINTS = 1500


def _map(view: View, table: ScoreTable) -> list[Evidence]:
    try:
        x = view.embed()
    except BezoarError:
        return []
    n = len(x)
    if n < 10 or x.shape[1] < 2:
        return []
    marked = np.flatnonzero(table.flagged)
    some = np.unique(np.linspace(0, n - 1, min(n, MOST_POINTS)).astype(int))
    rows = np.union1d(some, marked[:MOST_POINTS // 3])
    base = x[some] - x[some].mean(axis=0)
    _, _, axes = np.linalg.svd(base, full_matrices=False)
    axes = axes[:2] * np.sign(axes[:2, np.abs(axes[:2]).argmax(axis=1)].diagonal())[:, None]
    points = (x[rows] - x[some].mean(axis=0)) @ axes.T
    labels = view.dataset.labels
    group = np.zeros(len(rows), np.int64) if labels is None else labels.codes[rows]
    return [Scatter(points.astype(np.float32), table.flagged[rows], group,
                    caption=f"{len(rows):,} of {n:,} samples on the two main directions of the embedding; flagged ones are marked")]


def overview(view: View, table: ScoreTable) -> tuple[Evidence, ...]:
    """Evidence about the whole dataset, for the report's last part."""
    out = _map(view, table)
    for name, suspicion in table.channels.items():
        known = suspicion[~np.isnan(suspicion)]
        if len(known) and float(known.max()) > float(known.min()):
            strength = -np.log10(np.clip(1 - known, 1e-6, 1))
            counts, edges = np.histogram(strength, bins=30)
            out.append(Plot((edges[:-1] + edges[1:]) / 2, {name: np.log10(1 + counts)}, "step", LOG_SUSPICION, LOG_COUNT,
                            caption=f"scores of {name}"))
    for column, values in sorted(view.origins.items()):
        names, inverse = np.unique(values.astype(str), return_inverse=True)
        if 1 < len(names) <= 40 and table.flagged.any():
            share = np.bincount(inverse, table.flagged.astype(float)) / np.bincount(inverse)
            out.append(Bars(tuple(str(v) for v in names), tuple(float(s) for s in share),
                            tuple(str(names[i]) for i in [int(share.argmax())]), caption=f"share of flagged samples by {column}"))
    return tuple(out)
