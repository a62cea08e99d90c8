"""Pictures -> a small network -> a model; what the image victims on the shelf share."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

import numpy as np

from bezoar.core.dataset import Dataset
from bezoar.core.image_triggers import fit as stretched
from bezoar.core.inputs import Images, Inputs
from bezoar.core.victim import Model, Victim
from bezoar.networks import device, training

LONGEST = 64
LEAST_STEPS = 80
"""Few pictures are passed over more often, so that there are so many steps at least (up to 40 passes)."""


def side_of(inputs: Images) -> int:
    """The side that pictures are brought to: their median shorter side, at most 64, a multiple of 4, at least 8."""
    middle = float(np.median(inputs.sizes.min(axis=1))) if len(inputs) else 32.0
    return int(np.clip(4 * round(middle / 4), 8, LONGEST))


def brought(inputs: Images, height: int, width: int = 0) -> np.ndarray:
    """(n, height, width, 3) uint8; square where no width is given."""
    width = width or height
    if inputs.uniform and len(inputs) and tuple(inputs.sizes[0]) == (height, width):
        return inputs.dense()
    out = np.zeros((len(inputs), height, width, 3), np.uint8)
    for rows, batch in inputs.chunks():
        out[rows] = np.stack([stretched(p, height, width) for p in batch])
    return out


class Trained:
    """A network and the size of picture that it reads."""

    def __init__(self, module: Any, side: int) -> None:
        self.module = module
        self.side = side

    def predict(self, inputs: Inputs) -> np.ndarray:
        assert isinstance(inputs, Images)
        with training.seeded(0):
            return training.probabilities(self.module, brought(inputs, self.side), tensor=training.pictures_fast)

    def embed(self, inputs: Inputs) -> np.ndarray:
        """(n, d) float32 of the layer before the last."""
        import torch

        assert isinstance(inputs, Images)
        x = brought(inputs, self.side)
        with training.seeded(0), torch.no_grad():
            batches = (device.beside(self.module, training.pictures_fast(x[s:s + 512])) for s in range(0, len(x), 512))
            parts = [self.module.features(some).cpu().numpy() for some in batches]
        return np.concatenate(parts) if parts else np.zeros((0, 1), np.float32)


class ImageVictim(Victim):
    """A network over pictures. Subclasses have `width` and `epochs` and say how it is built."""

    width: int
    epochs: int
    rate: float = 0.01

    @abstractmethod
    def build(self, classes: int) -> Any:
        """A fresh torch module."""

    def fit(self, data: Dataset, rng: np.random.Generator) -> Model:
        assert isinstance(data.inputs, Images)
        assert data.labels is not None
        side = side_of(data.inputs)
        epochs = max(self.epochs, min(40, -(-LEAST_STEPS * 128 // max(len(data), 1))))
        with training.seeded(int(rng.integers(1 << 31))):
            module = training.fit(training.fast(self.build(len(data.labels.classes))), brought(data.inputs, side), data.labels.codes, rng,
                                  tensor=training.pictures_fast, epochs=epochs, rate=self.rate, shift=1 if side >= 16 else 0,
                                  on=device.current())
        return Trained(module, side)

    def weights(self, model: Model) -> dict[str, np.ndarray]:
        assert isinstance(model, Trained)
        return {k: v.cpu().numpy() for k, v in model.module.state_dict().items()}

    def restored(self, data: Dataset, weights: dict[str, np.ndarray]) -> Model:
        import torch

        assert isinstance(data.inputs, Images)
        assert data.labels is not None
        module = self.build(len(data.labels.classes))
        module.load_state_dict({k: torch.from_numpy(np.array(v)) for k, v in weights.items()})
        return Trained(training.fast(module.eval()), side_of(data.inputs))
