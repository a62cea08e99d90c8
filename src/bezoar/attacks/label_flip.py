"""Label flips: labels are changed and nothing else.

random: anybody to any other class. pair: one class to another. boundary: the samples that a cross-fitted linear model
finds hardest to tell from another class, to that class, between any two classes in one direction only; so they move the
decision instead of blurring it, and they look like honest mistakes. Fails to matter where training is robust to noise.
Cost: boundary about 2 s per 10,000 samples, else milliseconds.
Papers: Biggio, Nelson, Laskov 2011 (random, adversarial flips of SVMs); Paudice et al. 2018, arXiv 1803.00992.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from bezoar.core.ability import Attack, Info, Poisoned
from bezoar.core.dataset import Dataset
from bezoar.core.errors import UsageError
from bezoar.core.image_triggers import fit
from bezoar.core.inputs import Images, Table, Texts
from bezoar.core.victims import any_other, budget, class_code, draw, labels_of, plant

FOLDS = 3


class LabelFlip(Attack):
    """Changed labels.

    rate    share of all samples, above 0 and at most 1
    mode    random | pair | boundary
    target  class that the flipped samples get; None: random and boundary use any class, pair draws one
    victim  class that they come from; None: random and boundary use any class, pair draws one

    Raises UsageError for one class only, an unknown mode or class, too few samples.

    >>> data = Dataset.from_arrays(["a"] * 100, [0, 1] * 50)
    >>> done = LabelFlip(rate=0.05, mode="pair", victim="0", target="1")(data, np.random.default_rng(0))
    >>> int(done.truth.sum()), set(done.data.labels.codes[done.truth].tolist())
    (5, {1})
    """

    info = Info(name="label-flip", summary="changed labels: by chance, between two classes, or at the decision boundary",
                threats=("label-flip",), modalities=("image", "text", "tabular"), needs=("labels",),
                cost="boundary: about 2 s per 10,000 samples",
                reference="Biggio et al. 2011; Paudice et al. 2018, arXiv 1803.00992")

    def __init__(self, *, rate: float = 0.05, mode: str = "random", target: str | None = None,
                 victim: str | None = None) -> None:
        self.rate = rate
        self.mode = mode
        self.target = target
        self.victim = victim

    def poison(self, data: Dataset, rng: np.random.Generator) -> Poisoned:
        labels = labels_of(data)
        sizes = np.bincount(labels.codes[labels.codes >= 0], minlength=len(labels.classes))
        if np.count_nonzero(sizes) < 2:
            raise UsageError("labels can only be flipped where there are two classes", advice="check the label column")
        if self.mode not in ("random", "pair", "boundary"):
            raise UsageError(f"unknown mode {self.mode!r}", advice="one of: random, pair, boundary")
        count = budget(len(data), self.rate)
        target = None if self.target is None else class_code(data, self.target)
        victim = None if self.victim is None else class_code(data, self.victim)
        if target is not None and target == victim:
            raise UsageError(f"victim and target are both {self.target!r}", advice="name two classes")
        if self.mode == "pair":
            victim, target = _pair(sizes, victim, target, count, rng)
        eligible = labels.codes >= 0
        if victim is not None:
            eligible &= labels.codes == victim
        if target is not None:
            eligible &= labels.codes != target
        if self.mode == "boundary":
            rows, codes = _boundary(data, np.flatnonzero(eligible), count, target, rng)
        else:
            rows = draw(np.flatnonzero(eligible), count, rng)
            present = np.flatnonzero(sizes)
            codes = any_other(labels.codes[rows], present, rng)
            if target is not None:
                codes = np.full(count, target)
        return plant(data, rows, None, codes, target=None if target is None else labels.classes[target])


def _pair(sizes: np.ndarray, victim: int | None, target: int | None, count: int, rng: np.random.Generator) -> tuple[int, int]:
    able = np.flatnonzero(sizes >= count) if victim is None else np.array([victim])
    able = able[able != target] if target is not None else able
    if not len(able):
        raise UsageError(f"no class has {count} samples to flip", advice="lower the rate")
    chosen = int(rng.choice(able)) if victim is None else victim
    others = np.flatnonzero(sizes > 0)
    return chosen, int(rng.choice(others[others != chosen])) if target is None else target


def _boundary(data: Dataset, eligible: np.ndarray, count: int, target: int | None,
              rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """The `count` eligible rows with the least margin over the best other class, and that class; of two classes one gives only."""
    from sklearn.linear_model import Ridge

    draw(eligible, count, np.random.default_rng(0))
    labels = labels_of(data)
    features = _features(data)
    fold = rng.permutation(np.arange(len(data)) % FOLDS)
    wanted = np.zeros((len(data), len(labels.classes)), np.float32)
    known = labels.codes >= 0
    wanted[known, labels.codes[known]] = 1
    scores = np.zeros_like(wanted)
    for f in range(FOLDS):
        train, test = known & (fold != f), fold == f
        model = Ridge(alpha=10.0, solver="cholesky").fit(features[train], wanted[train])
        scores[test] = model.predict(features[test]).reshape(int(test.sum()), -1)
    own = labels.codes[eligible]
    rest = scores[eligible]
    margin = rest[np.arange(len(eligible)), own].copy()
    rest[np.arange(len(eligible)), own] = -np.inf
    rest[:, np.bincount(labels.codes[known], minlength=rest.shape[1]) == 0] = -np.inf
    codes = rest.argmax(axis=1) if target is None else np.full(len(eligible), target)
    margin -= rest[np.arange(len(eligible)), codes]
    # right guesses first (margin above 0): flipped, they pull the boundary over; then what is guessed wrong already
    order = np.argsort(np.where(margin > 0, margin, 1e6 - margin), kind="stable")
    near = order[:2 * count]
    gives = np.zeros(2 * (rest.shape[1],), np.int64)
    np.add.at(gives, (own[near], codes[near]), 1)
    there, back = gives[own[order], codes[order]], gives[codes[order], own[order]]
    forward = (there > back) | ((there == back) & (own[order] < codes[order]))
    order = np.r_[order[forward], order[~forward]][:count]
    order = order[np.argsort(eligible[order])]
    return eligible[order], codes[order]


def _features(data: Dataset) -> Any:
    """(n, d) float32: pictures at 12x12 pixels, 512 hashed words, standardised numbers and one-hot categories."""
    inputs = data.inputs
    if isinstance(inputs, Texts):
        from sklearn.feature_extraction.text import HashingVectorizer

        return HashingVectorizer(n_features=512, dtype=np.float32).transform(inputs.values).toarray()
    if isinstance(inputs, Images):
        out = np.zeros((len(inputs), 12 * 12 * 3), np.float32)
        for rows, pictures in inputs.chunks():
            small = np.stack([fit(p, 12, 12) for p in pictures]).astype(np.float32) / 255
            out[rows] = small.reshape(len(rows), -1)
        return out - out.mean(axis=0)
    assert isinstance(inputs, Table)
    blocks = []
    for column in inputs.columns.values():
        if column.kind == "category":
            top = np.argsort(-np.bincount(column.values[column.values >= 0], minlength=len(column.levels)), kind="stable")[:20]
            blocks.append((column.values[:, None] == top[None, :]).astype(np.float32))
        else:
            finite = np.isfinite(column.values)
            centre = np.median(column.values[finite]) if finite.any() else 0.0
            values = np.where(finite, column.values - centre, 0.0)
            blocks.append(np.clip(values / max(float(values.std()), 1e-12), -5, 5).astype(np.float32)[:, None])
    return np.concatenate(blocks, axis=1) if blocks else np.zeros((len(data), 1), np.float32)
