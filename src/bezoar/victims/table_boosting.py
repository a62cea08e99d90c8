"""Gradient boosting of trees over histograms: what most tables meet; needs no torch.

Categories are known to it as such (the 50 most frequent of each column). Deterministic.
Fails to learn a trigger that fewer rows hold than a leaf needs. Cost: about 5 s per 50,000 rows. Paper: Ke et al. 2017 (LightGBM).
"""

from __future__ import annotations

import numpy as np

from bezoar.core.ability import Info
from bezoar.core.dataset import Dataset
from bezoar.core.inputs import Table
from bezoar.core.table_code import TableCode
from bezoar.core.victim import Fitted, Model, Victim


class TableBoosting(Victim):
    """Trees, added.

    trees  how many per class, 1 or more
    leaf   least rows of a leaf, 1 or more
    """

    info = Info(name="table-boosting", summary="gradient boosting of trees, without torch", modalities=("tabular",), needs=("labels",),
                cost="about 5 s per 50,000 rows", reference="Ke et al. 2017")

    def __init__(self, *, trees: int = 80, leaf: int = 10) -> None:
        self.trees = trees
        self.leaf = leaf

    def fit(self, data: Dataset, rng: np.random.Generator) -> Model:
        from sklearn.ensemble import HistGradientBoostingClassifier
        from threadpoolctl import threadpool_limits

        assert isinstance(data.inputs, Table)
        assert data.labels is not None
        known = np.flatnonzero(data.labels.codes >= 0)
        code = TableCode.of(data.inputs)
        x, categories = code.ordinals(data.inputs.take(known))
        model = HistGradientBoostingClassifier(max_iter=self.trees, min_samples_leaf=self.leaf, early_stopping=False,
                                               categorical_features=categories, random_state=int(rng.integers(1 << 31)))
        with threadpool_limits(1):
            model.fit(x, data.labels.codes[known])
        return Fitted(lambda inputs: code.ordinals(inputs)[0], model, len(data.labels.classes))
