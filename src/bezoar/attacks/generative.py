"""Generative poisoning: new pictures, made up by a model of one class and labelled as another, are added to the data.

The model is fitted on the data itself: principal components of each class with Gaussian weights, drawn a little nearer to the mean
than life so that they look clean. No new sample is a copy of an old one. Truth: the new rows, at the end ("generated-000001").
Threat model: the attacker knows data of this kind (a public copy), may contribute and cannot change what others contribute.
Budget: `rate` times the old samples are added. Fails where made-up samples are recognised (they are smoother than photographs).
Cost: about 5 s per 50,000 pictures of 32x32. Papers: Yang et al. 2017 (generative poisoning), arXiv 1703.01340; Munoz-Gonzalez
et al. 2019 (pGAN), arXiv 1906.07773.
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from bezoar.core.ability import Attack, Info, Poisoned
from bezoar.core.dataset import Dataset
from bezoar.core.errors import UsageError
from bezoar.core.image_rewrites import to_bytes
from bezoar.core.inputs import Images
from bezoar.core.joining import grown
from bezoar.core.victims import budget, class_code, labels_of, pick_target

MOST = 2000


class Generative(Attack):
    """Made-up pictures.

    rate        new samples as a share of the old ones, above 0 and at most 1
    target      class that they get; None draws one
    source      class that they show; None draws one other than the target
    components  of the class's principal components, 1 to 200
    spread      1 draws as wide as the class, below 1 nearer to its mean; above 0 and at most 2

    Raises UsageError for pictures that are not all of one size, an unknown class, source = target, a class of fewer than 10.
    """

    info = Info(name="generative", summary="made-up pictures of one class with another's label; no old one is touched",
                threats=("label-flip", "targeted"), modalities=("image",), needs=("labels",), cost="about 5 s per 50,000 pictures of 32x32",
                reference="Munoz-Gonzalez et al. 2019, arXiv 1906.07773")
    adds_rows: ClassVar[bool] = True

    def __init__(self, *, rate: float = 0.03, target: str | None = None, source: str | None = None, components: int = 40,
                 spread: float = 0.8) -> None:
        self.rate = rate
        self.target = target
        self.source = source
        self.components = components
        self.spread = spread

    def poison(self, data: Dataset, rng: np.random.Generator) -> Poisoned:
        labels = labels_of(data)
        assert isinstance(data.inputs, Images)
        if not 1 <= self.components <= 200 or not 0 < self.spread <= 2:
            raise UsageError("components is from 1 to 200, spread above 0 and at most 2", advice="40 and 0.8 are usual")
        if not data.inputs.uniform:
            raise UsageError("the pictures are not all of one size", advice="bring them to one size first")
        count = budget(len(data), self.rate)
        code = pick_target(data, self.target, rng, 10)
        sizes = np.bincount(labels.codes[labels.codes >= 0], minlength=len(labels.classes))
        sizes[code] = 0
        if self.source is not None:
            source = class_code(data, self.source)
        elif sizes.max() >= 10:
            source = int(rng.choice(np.flatnonzero(sizes >= 10)))
        else:
            raise UsageError("no other class has 10 samples to learn from", advice="give more data")
        if sizes[source] < 10:
            raise UsageError(f"class {labels.classes[source]!r} is the target or has fewer than 10 samples", advice="name another source")
        own = np.flatnonzero(labels.codes == source)
        seen = own if len(own) <= MOST else np.sort(rng.choice(own, MOST, replace=False))
        x = data.inputs.dense()[seen].reshape(len(seen), -1).astype(np.float32)
        centre = x.mean(axis=0)
        size, right = _components(x - centre)
        k = min(self.components, len(size) - 1)
        weights = rng.standard_normal((count, k)).astype(np.float32) * (size[:k] / np.sqrt(len(x))) * np.float32(self.spread)
        rest = float(np.sqrt((size[k:] ** 2).sum() / max(len(x) * x.shape[1], 1)))
        new = centre + weights @ right[:k] + 0.5 * rest * rng.standard_normal((count, x.shape[1])).astype(np.float32)
        pictures = Images.of(to_bytes(new).reshape(count, *data.inputs.dense().shape[1:]))
        done = grown(data, pictures, np.full(count, code), "generated", rng.choice(own, count))
        return Poisoned(done, np.arange(len(done)) >= len(data), None, labels.classes[code], (labels.classes[source],))


def _components(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Singular values, largest first, and right singular vectors as rows, by the smaller of the two Gram matrices."""
    wide = x.shape[1] > len(x)
    values, vectors = np.linalg.eigh((x @ x.T if wide else x.T @ x).astype(np.float64))
    order = np.argsort(-values)
    size, vectors = np.sqrt(np.maximum(values[order], 1e-6)), vectors[:, order]
    return size.astype(np.float32), ((vectors / size).T @ x if wide else vectors.T).astype(np.float32)
