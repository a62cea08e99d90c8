"""The victim of an attack: a model that is trained on data and asked afterwards. Any function that does so will do."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, Protocol, final

import numpy as np

from bezoar.core.ability import Ability, Info
from bezoar.core.dataset import Dataset
from bezoar.core.errors import AbilityFailed, BezoarError, UsageError
from bezoar.core.inputs import Inputs


class Model(Protocol):
    """What training leaves."""

    def predict(self, inputs: Inputs) -> np.ndarray:
        """(n, K) class probabilities, columns in the order of the training data's classes."""


TrainingFunction = Callable[[Dataset, np.random.Generator], Model]
"""The user's own victim: a dataset and an rng -> a model."""


class Victim(Ability, ABC):
    """A dataset -> a model. Authors write `fit`; a victim that can be kept on disk writes `weights` and `restored` too.

    The same dataset and rng give the same model on a CPU.
    """

    shelf = "victims"

    @abstractmethod
    def fit(self, data: Dataset, rng: np.random.Generator) -> Model:
        """A trained model; `data` has labels, its modality is one of ours."""

    def weights(self, model: Model) -> dict[str, np.ndarray]:
        """Numeric arrays from which `restored` makes the model again; none: the model is trained again instead."""
        return {}

    def restored(self, data: Dataset, weights: dict[str, np.ndarray]) -> Model:
        """The inverse of `weights`, for the dataset that the model was trained on."""
        raise UsageError(f"{self.info.name} cannot be kept on disk")

    @final
    def __call__(self, data: Dataset, rng: np.random.Generator) -> Model:
        """The checked call. Raises UsageError where the data do not fit the victim."""
        if not self.supports(data.modality):
            raise UsageError(f"victim {self.info.name} reads {', '.join(self.info.modalities)}, not {data.modality}",
                             advice="bezoar list --shelf victims shows what fits")
        if data.labels is None or len(np.unique(data.labels.codes[data.labels.codes >= 0])) < 2:
            raise UsageError("a victim is trained on at least two classes", advice="check the label column")
        try:
            return self.fit(data, rng)
        except BezoarError:
            raise
        except Exception as error:
            raise AbilityFailed(f"victim {self.info.name} failed: {type(error).__name__}: {error}") from error


class Given(Victim):
    """The user's own training function as a victim; not on the shelf, since it has no name there."""

    info = Info(name="given", summary="the user's own training function")

    def __init__(self, *, train: Any = None) -> None:
        self.train = train

    def __repr__(self) -> str:
        return f"Given(train={getattr(self.train, '__qualname__', type(self.train).__name__)})"

    def fit(self, data: Dataset, rng: np.random.Generator) -> Model:
        if not callable(self.train):
            raise UsageError("a victim is a function of a dataset and an rng", advice="give train=fn")
        made = self.train(data, rng)
        if callable(made) and not hasattr(made, "predict"):
            return Called(made)
        return made


class Called:
    """A plain function of inputs as a model."""

    def __init__(self, function: Callable[[Inputs], np.ndarray]) -> None:
        self._function = function

    def predict(self, inputs: Inputs) -> np.ndarray:
        return np.asarray(self._function(inputs), np.float32)


class Fitted:
    """A fitted scikit-learn classifier as a model: `coded` turns inputs into what it was fitted on.

    Classes it never met in training get probability 0.
    """

    def __init__(self, coded: Callable[[Any], Any], model: Any, classes: int) -> None:
        self._coded, self._model, self._classes = coded, model, classes

    def predict(self, inputs: Inputs) -> np.ndarray:
        """(n, K) float32 probabilities."""
        p = np.zeros((len(inputs), self._classes), np.float32)
        if len(inputs):
            p[:, self._model.classes_] = self._model.predict_proba(self._coded(inputs))
        return p


def asked(model: Model, inputs: Inputs, n_classes: int) -> np.ndarray:
    """(n,) predicted codes; raises AbilityFailed where the answer is not (n, n_classes)."""
    p = np.asarray(model.predict(inputs))
    if p.shape != (len(inputs), n_classes):
        raise AbilityFailed(f"the victim answered {p.shape} for {len(inputs)} samples of {n_classes} classes",
                            advice="predict must give one column per class of the training data")
    return p.argmax(axis=1)
