"""A small convolution over words or characters, maximum over places: sees short runs in their order.

Words are hashed into 65,536 numbers, so any text can be read and nothing but weights is learned. Deterministic on a CPU.
Fails to learn from fewer than about 1,000 texts. Cost: about 40 s per 10,000 short texts and core.
Paper: Kim 2014, arXiv 1408.5882.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from bezoar.core.ability import Info
from bezoar.core.dataset import Dataset
from bezoar.core.errors import UsageError
from bezoar.core.inputs import Inputs, Texts
from bezoar.core.victim import Model, Victim
from bezoar.networks import training
from bezoar.networks.builds import text_cnn
from bezoar.networks.text_codes import SIGNS, WORDS, codes_of


class TextCnn(Victim):
    """The network.

    unit     word | char
    width    of the embedding and of each convolution, 8 or more
    epochs   passes over the data, 1 or more
    length   tokens that are read of each text, 8 or more; 0 for 96 words or 320 characters
    dropout  share of the found runs that is left out in training, in [0, 1): what few texts share is learned better so
    """

    info = Info(name="text-cnn", summary="a small convolution over words or characters", modalities=("text",), needs=("labels",),
                extras=("torch",), cost="about 40 s per 10,000 short texts and core", reference="Kim 2014, arXiv 1408.5882")

    def __init__(self, *, unit: str = "word", width: int = 48, epochs: int = 8, length: int = 0, dropout: float = 0.5) -> None:
        self.unit = unit
        self.width = width
        self.epochs = epochs
        self.length = length
        self.dropout = dropout

    def fit(self, data: Dataset, rng: np.random.Generator) -> Model:
        assert isinstance(data.inputs, Texts)
        assert data.labels is not None
        if self.unit not in ("word", "char"):
            raise UsageError(f"unknown unit {self.unit!r}", advice="one of: word, char")
        if not 0 <= self.dropout < 1:
            raise UsageError(f"dropout {self.dropout:g} is no share below 1", advice="0.5 is usual")
        with training.seeded(int(rng.integers(1 << 31))):
            module = training.fit(self._build(data), self._codes(data.inputs), data.labels.codes, rng, tensor=_tensor, epochs=self.epochs,
                                  rate=0.005, batch=64)
        return _Network(module, self._codes)

    def _build(self, data: Dataset) -> Any:
        assert data.labels is not None
        return text_cnn(len(data.labels.classes), (WORDS if self.unit == "word" else SIGNS) + 1, self.width, self.dropout)

    def _codes(self, inputs: Texts) -> np.ndarray:
        """(n, length) int64, 0 where the text has ended."""
        return codes_of(inputs.values, self.unit, self.length)

    def weights(self, model: Model) -> dict[str, np.ndarray]:
        assert isinstance(model, _Network)
        return {k: v.numpy() for k, v in model.module.state_dict().items()}

    def restored(self, data: Dataset, weights: dict[str, np.ndarray]) -> Model:
        import torch

        module = self._build(data)
        module.load_state_dict({k: torch.from_numpy(np.array(v)) for k, v in weights.items()})
        return _Network(module.eval(), self._codes)


def _tensor(codes: np.ndarray) -> Any:
    import torch

    return torch.from_numpy(codes)


class _Network:
    def __init__(self, module: Any, codes: Any) -> None:
        self.module, self._codes = module, codes

    def predict(self, inputs: Inputs) -> np.ndarray:
        with training.seeded(0):
            return training.probabilities(self.module, self._codes(inputs), tensor=_tensor)
