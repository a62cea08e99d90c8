"""Plain label-free features of any inputs, and how well a linear model can tell them apart: what an attacker without a network has."""

from __future__ import annotations

import re
import zlib
from functools import lru_cache

import numpy as np

from bezoar.core.dataset import Dataset
from bezoar.core.image_triggers import fit
from bezoar.core.inputs import Images, Inputs, Table, Texts

WORDS = 512
FOLDS = 3


@lru_cache(maxsize=200_000)
def _bucket(word: str) -> int:
    return zlib.crc32(word.encode("utf-8", "surrogatepass")) % WORDS


def plain_features(inputs: Inputs) -> np.ndarray:
    """(n, d) float32: pictures at 12x12 pixels in [0, 1], 512 hashed words of unit length, standardised cells."""
    if isinstance(inputs, Images):
        small = np.zeros((len(inputs), 12 * 12 * 3), np.float32)
        for rows, pictures in inputs.chunks():
            small[rows] = np.stack([fit(p, 12, 12) for p in pictures]).reshape(len(rows), -1) / np.float32(255)
        return small
    if isinstance(inputs, Texts):
        out = np.zeros((len(inputs), WORDS), np.float32)
        for start in range(0, len(inputs), 4096):
            lines = [[_bucket(w) for w in re.findall(r"\w+", text.lower())] for text in inputs.values[start:start + 4096]]
            row = np.repeat(np.arange(len(lines)), [len(line) for line in lines])
            flat = np.bincount(row * WORDS + np.array([b for line in lines for b in line], np.int64), minlength=len(lines) * WORDS)
            counts = np.sqrt(flat.reshape(len(lines), WORDS).astype(np.float32))
            out[start:start + 4096] = counts / np.maximum(np.linalg.norm(counts, axis=1, keepdims=True), 1e-6)
        return out
    assert isinstance(inputs, Table)
    blocks = []
    for column in inputs.columns.values():
        if column.kind == "category":
            sizes = np.bincount(column.values[column.values >= 0], minlength=len(column.levels))
            blocks.append((column.values[:, None] == np.argsort(-sizes, kind="stable")[:20][None, :]).astype(np.float32))
        else:
            known = np.isfinite(column.values)
            centre = np.median(column.values[known]) if known.any() else 0.0
            values = np.where(known, column.values - centre, 0.0)
            blocks.append(np.clip(values / max(float(values.std()), 1e-12), -5, 5).astype(np.float32)[:, None])
    return np.concatenate(blocks, axis=1) if blocks else np.zeros((len(inputs), 1), np.float32)


def plain_scores(data: Dataset, rng: np.random.Generator) -> np.ndarray:
    """(n, K) float32: how much each row looks like each class, by ridge regression on rows that are not its fold (three folds).

    About 1 for a clear member and 0 for a clear stranger; -inf for a class that nobody holds.
    """
    from bezoar.maths.ridge import crossfit_ridge

    assert data.labels is not None
    k = len(data.labels.classes)
    scores = crossfit_ridge(plain_features(data.inputs), data.labels.codes, k, rng.permutation(np.arange(len(data)) % FOLDS))
    scores[:, np.bincount(data.labels.codes[data.labels.codes >= 0], minlength=k) == 0] = -np.inf
    return scores


def rivals(data: Dataset, scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(n,) the best other class of each row and (n,) how far its own class is ahead of it (0 where a row has no label)."""
    assert data.labels is not None
    codes = data.labels.codes
    rows = np.arange(len(codes))
    own = np.where(codes >= 0, scores[rows, codes], 0)
    rest = scores.copy()
    rest[rows[codes >= 0], codes[codes >= 0]] = -np.inf
    best = rest.argmax(axis=1)
    margin = own - rest[rows, best]
    return best, np.where((codes >= 0) & np.isfinite(margin), margin, 0)
