"""Logistic regression on standardised numbers and one-hot categories: needs no torch.

Deterministic. Fails on triggers that are a combination of usual values. Cost: about 5 s per 50,000 rows. Paper: Cox 1958.
"""

from __future__ import annotations

import numpy as np

from bezoar.core.ability import Info
from bezoar.core.dataset import Dataset
from bezoar.core.inputs import Table
from bezoar.core.table_code import TableCode
from bezoar.core.victim import Fitted, Model, Victim


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
        return Fitted(code.matrix, model, len(data.labels.classes))
