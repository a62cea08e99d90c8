"""Softmax regression on pixels: needs no torch, and learns any trigger that stands at a fixed place.

Fails where the trigger moves, and is poor on photographs. Deterministic. Cost: about 20 s per 10,000 pictures of 32x32.
Paper: Cox 1958 (logistic regression).
"""

from __future__ import annotations

import numpy as np

from bezoar.core.ability import Info
from bezoar.core.dataset import Dataset
from bezoar.core.image_triggers import fit as stretched
from bezoar.core.inputs import Images, Inputs
from bezoar.core.victim import Model, Victim


class ImageLinear(Victim):
    """Pixels, weighed.

    side      pictures are brought to so many pixels per side; 0 keeps the median size, 32 at most
    strength  of the regression, larger is looser, above 0
    steps     of the solver, 1 or more
    """

    info = Info(name="image-linear", summary="softmax regression on pixels, without torch", modalities=("image",), needs=("labels",),
                cost="about 20 s per 10,000 pictures of 32x32", reference="Cox 1958")

    def __init__(self, *, side: int = 0, strength: float = 0.1, steps: int = 60) -> None:
        self.side = side
        self.strength = strength
        self.steps = steps

    def fit(self, data: Dataset, rng: np.random.Generator) -> Model:
        from sklearn.linear_model import LogisticRegression

        assert isinstance(data.inputs, Images)
        assert data.labels is not None
        side = self.side or int(min(32, np.median(data.inputs.sizes.min(axis=1))))
        known = np.flatnonzero(data.labels.codes >= 0)
        x = _pixels(data.inputs.take(known), side)
        centre = x.mean(axis=0)
        model = LogisticRegression(C=self.strength, max_iter=self.steps, tol=1e-3)
        _quietly(model, x - centre, data.labels.codes[known])
        return _Linear(model, centre, side, len(data.labels.classes))


def _quietly(model: object, x: np.ndarray, codes: np.ndarray) -> None:
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # stopping early is meant
        model.fit(x, codes)  # type: ignore[attr-defined]


def _pixels(inputs: Images, side: int) -> np.ndarray:
    out = np.zeros((len(inputs), side * side * 3), np.float32)
    for rows, pictures in inputs.chunks():
        out[rows] = np.stack([stretched(p, side, side) for p in pictures]).reshape(len(rows), -1) / np.float32(255)
    return out


class _Linear:
    def __init__(self, model: object, centre: np.ndarray, side: int, classes: int) -> None:
        self._model, self._centre, self._side, self._classes = model, centre, side, classes

    def predict(self, inputs: Inputs) -> np.ndarray:
        assert isinstance(inputs, Images)
        p = np.zeros((len(inputs), self._classes), np.float32)
        if len(inputs):
            p[:, self._model.classes_] = self._model.predict_proba(_pixels(inputs, self._side) - self._centre)  # type: ignore[attr-defined]
        return p
