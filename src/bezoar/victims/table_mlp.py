"""A perceptron with two hidden layers on standardised numbers and one-hot categories.

Deterministic on a CPU. Fails to learn from fewer than about 500 rows. Cost: about 20 s per 50,000 rows and core.
Paper: Gorishniy et al. 2021, arXiv 2106.11959.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from bezoar.core.ability import Info
from bezoar.core.dataset import Dataset
from bezoar.core.inputs import Inputs, Table
from bezoar.core.table_code import TableCode
from bezoar.core.victim import Model, Victim
from bezoar.networks import training
from bezoar.networks.builds import perceptron


class TableMlp(Victim):
    """The network.

    width   of the first hidden layer, 4 or more
    epochs  passes over the data, 1 or more
    """

    info = Info(name="table-mlp", summary="a perceptron with two hidden layers", modalities=("tabular",), needs=("labels",),
                extras=("torch",), cost="about 20 s per 50,000 rows and core", reference="Gorishniy et al. 2021, arXiv 2106.11959")

    def __init__(self, *, width: int = 128, epochs: int = 15) -> None:
        self.width = width
        self.epochs = epochs

    def fit(self, data: Dataset, rng: np.random.Generator) -> Model:
        assert isinstance(data.inputs, Table)
        assert data.labels is not None
        code = TableCode.of(data.inputs)
        x = code.matrix(data.inputs)
        with training.seeded(int(rng.integers(1 << 31))):
            module = training.fit(perceptron(len(data.labels.classes), x.shape[1], self.width), x, data.labels.codes, rng, tensor=_tensor,
                                  epochs=self.epochs, rate=0.003)
        return _Network(module, code)

    def weights(self, model: Model) -> dict[str, np.ndarray]:
        assert isinstance(model, _Network)
        return {k: v.numpy() for k, v in model.module.state_dict().items()}

    def restored(self, data: Dataset, weights: dict[str, np.ndarray]) -> Model:
        import torch

        assert isinstance(data.inputs, Table)
        assert data.labels is not None
        code = TableCode.of(data.inputs)
        module = perceptron(len(data.labels.classes), code.matrix(data.inputs.take(np.arange(1))).shape[1], self.width)
        module.load_state_dict({k: torch.from_numpy(np.array(v)) for k, v in weights.items()})
        return _Network(module.eval(), code)


def _tensor(x: np.ndarray) -> Any:
    import torch

    return torch.from_numpy(x)


class _Network:
    def __init__(self, module: Any, code: TableCode) -> None:
        self.module, self._code = module, code

    def predict(self, inputs: Inputs) -> np.ndarray:
        assert isinstance(inputs, Table)
        with training.seeded(0):
            return training.probabilities(self.module, self._code.matrix(inputs), tensor=_tensor)
