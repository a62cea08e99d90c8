"""Logistic regression on standardised numbers and one-hot categories: needs no torch.

Deterministic. Fails on triggers that are a combination of usual values. Cost: about 5 s per 50,000 rows. Paper: Cox 1958.
"""

from __future__ import annotations

import numpy as np

from bezoar.core.ability import Info
from bezoar.core.dataset import Dataset
from bezoar.core.inputs import Inputs, Table
from bezoar.core.table_code import TableCode
from bezoar.core.victim import Model, Victim


class TableLinear(Victim):
    """Cells, weighed.

    strength  of the regression, larger is looser, above 0
    """

    info = Info(name="table-linear", summary="logistic regression on numbers and categories, without torch", modalities=("tabular",),
                needs=("labels",), cost="about 5 s per 50,000 rows", reference="Cox 1958")

    def __init__(self, *, strength: float = 1.0) -> None:
        self.strength = strength

    def fit(self, data: Dataset, rng: np.random.Generator) -> Model:
        from sklearn.linear_model import LogisticRegression

        assert isinstance(data.inputs, Table)
        assert data.labels is not None
        known = np.flatnonzero(data.labels.codes >= 0)
        code = TableCode.of(data.inputs)
        model = LogisticRegression(C=self.strength, max_iter=500, tol=1e-3)
        model.fit(code.matrix(data.inputs.take(known)), data.labels.codes[known])
        return _Weighed(code, model, len(data.labels.classes))


class _Weighed:
    def __init__(self, code: TableCode, model: object, classes: int) -> None:
        self._code, self._model, self._classes = code, model, classes

    def predict(self, inputs: Inputs) -> np.ndarray:
        assert isinstance(inputs, Table)
        p = np.zeros((len(inputs), self._classes), np.float32)
        if len(inputs):
            p[:, self._model.classes_] = self._model.predict_proba(self._code.matrix(inputs))  # type: ignore[attr-defined]
        return p
