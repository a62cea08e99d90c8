"""Label-consistent backdoor: the target's own pictures are made hard to recognise and get a patch; labels stay right.

Since the content hardly helps, a model learns the patch. Hard by adversarial noise against a surrogate (needs torch), or by moving
the picture in principal components towards one of another class (needs none).
Threat model: the attacker delivers pictures of one class, correctly labelled, and has data of this kind to train a surrogate on.
Budget: `rate` of all samples, at most the target class; `bound` grey levels. Fails where training is adversarial, or the patch is cropped.
Cost: about 30 s per 5,000 pictures of 32x32 (surrogate) and 1 s per 100 poisoned ones. Paper: Turner et al. 2019, arXiv 1912.02771.
"""

from __future__ import annotations

import numpy as np

from bezoar.core.ability import Attack, Info, Poisoned
from bezoar.core.dataset import Dataset
from bezoar.core.errors import UsageError
from bezoar.core.image_rewrites import Pieces, to_bytes
from bezoar.core.inputs import Images
from bezoar.core.victims import budget, draw, labels_of, pick_target, plant
from bezoar.maths import patterns
from bezoar.networks import perturbing, training


class LabelConsistent(Attack):
    """A patch at four corners of pictures that were made hard.

    rate    share of all samples, above 0 and at most 1 (all of them from the target class)
    target  class name; None draws one
    method  adversarial (torch) | interpolate
    bound   adversarial: grey levels per pixel, above 0
    far     interpolate: share of the way to the other picture, above 0 and below 1
    size    side of the patches in pixels, 1 or more
    steps   adversarial: of the search, 1 or more

    Raises UsageError for another method, parameters outside these ranges, pictures of several sizes, an unknown target.
    """

    info = Info(name="label-consistent", summary="the target's own pictures, made hard to recognise and patched; labels stay right",
                threats=("backdoor-clean-label",), modalities=("image",), needs=("labels",), extras=("torch",),
                cost="about 30 s per 5,000 pictures of 32x32", reference="Turner et al. 2019, arXiv 1912.02771")
    clean_label = True

    def __init__(self, *, rate: float = 0.02, target: str | None = None, method: str = "adversarial", bound: float = 16.0,
                 far: float = 0.3, size: int = 3, steps: int = 20) -> None:
        self.rate = rate
        self.target = target
        self.method = method
        self.bound = bound
        self.far = far
        self.size = size
        self.steps = steps

    def poison(self, data: Dataset, rng: np.random.Generator) -> Poisoned:
        x = perturbing.pixels(data)
        height, width = x.shape[1:3]
        if self.method not in ("adversarial", "interpolate"):
            raise UsageError(f"unknown method {self.method!r}", advice="one of: adversarial, interpolate")
        if self.bound <= 0 or not 0 < self.far < 1 or self.steps < 1 or not 1 <= self.size <= min(height, width) // 2:
            raise UsageError("bound, far, steps or size is out of its range", advice="16 grey levels, 0.3, 20 and 3 are usual")
        count = budget(len(data), self.rate)
        code = pick_target(data, self.target, rng, count, clean_label=True)
        rows = draw(np.flatnonzero(labels_of(data).codes == code), count, rng)
        trigger = _corners(height, width, self.size)
        hard = self._adversarial(data, x, rows, rng) if self.method == "adversarial" else self._interpolated(data, x, rows, code, rng)
        return plant(data, rows, trigger.apply(Images.of(hard), rng), None, trigger=trigger, target=labels_of(data).classes[code])

    def _adversarial(self, data: Dataset, x: np.ndarray, rows: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        import torch
        from torch.nn import functional

        codes = torch.from_numpy(labels_of(data).codes[rows])
        with training.seeded(int(rng.integers(1 << 31))):
            module = perturbing.surrogate(data, rng)
            return perturbing.in_parts(x[rows], lambda t, p: -functional.cross_entropy(module(t), codes[p], reduction="sum"),
                                       bound=self.bound, steps=self.steps)

    def _interpolated(self, data: Dataset, x: np.ndarray, rows: np.ndarray, code: int, rng: np.random.Generator) -> np.ndarray:
        """A share of the way in the 100 strongest principal components; what is fine stays as it was."""
        codes = labels_of(data).codes
        some = rng.choice(len(x), min(len(x), 2000), replace=False)
        flat = x[some].reshape(len(some), -1).astype(np.float32)
        centre = flat.mean(axis=0)
        values, vectors = np.linalg.eigh(((flat - centre) @ (flat - centre).T).astype(np.float64))
        top = np.argsort(-values)[:100]
        axes = (vectors[:, top] / np.sqrt(np.maximum(values[top], 1e-6))).T @ (flat - centre)
        others = rng.choice(np.flatnonzero((codes != code) & (codes >= 0)), len(rows))
        way = (x[others].reshape(len(rows), -1).astype(np.float32) - x[rows].reshape(len(rows), -1)) @ axes.T
        return to_bytes(x[rows] + self.far * (way @ axes).reshape(len(rows), *x.shape[1:]))


def _corners(height: int, width: int, side: int) -> Pieces:
    pixels = np.zeros((height, width, 3), np.uint8)
    masks = np.zeros((4, height, width), np.float32)
    ends = (slice(0, side), slice(-side, None))
    for mask, (rows, cols) in zip(masks, [(a, b) for a in ends for b in ends], strict=True):
        pixels[rows, cols] = patterns.checkerboard(side, side)
        mask[rows, cols] = 1
    return Pieces(pixels, masks)
