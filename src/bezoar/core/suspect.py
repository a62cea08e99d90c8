"""A model under audit: what auditors look at and model repairs change. Arrays and callables only; torch stays inside."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from bezoar.core.errors import AbilityFailed
from bezoar.core.inputs import Inputs


@dataclass(frozen=True, eq=False)
class Suspect:
    """A model that somebody else may have made, with K classes.

    name         as the user called it
    modality     what it reads: "image", "text", "tabular"
    classes      (K,) names; numbers as text where the file names none
    fingerprint  hex SHA-256 of its weights, or of what it was given as
    answer       Inputs -> (n, K) probabilities; all that a black box has
    module       torch module in evaluation mode whose call gives (n, K) logits, or None for a black box
    tensor       rows as `shape` has them, uint8 for pictures -> an input of `module`
    shape        of one input: (h, w, 3) for pictures
    notes        what was inferred on the way, in words
    declared     the attack that the file itself says was planted in it, "" where it says nothing
    """

    name: str
    modality: str
    classes: tuple[str, ...]
    fingerprint: str
    answer: Callable[[Inputs], np.ndarray]
    module: Any = None
    tensor: Callable[[Any], Any] | None = None
    shape: tuple[int, ...] = ()
    notes: tuple[str, ...] = ()
    declared: str = ""

    def predict(self, inputs: Inputs) -> np.ndarray:
        """(n, K) float32 probabilities. Raises AbilityFailed where the model answers in another shape or with NaN; is not asked about
        nothing."""
        if len(inputs) == 0:
            return np.zeros((0, len(self.classes)), np.float32)
        p = np.asarray(self.answer(inputs), np.float32)
        if p.shape != (len(inputs), len(self.classes)):
            raise AbilityFailed(f"the model answered {p.shape} for {len(inputs)} samples of {len(self.classes)} classes",
                                advice="name the classes that it has, or wrap it so that it gives one column per class")
        if not np.isfinite(p).all():
            raise AbilityFailed("the model answers with numbers that are not finite", advice="its weights are damaged; get another copy")
        return p


@dataclass(frozen=True, eq=False)
class Encoder:
    """A network without a head that somebody else may have made: inputs in, features out.

    embed    Inputs -> (n, d) float32 features
    module   torch module in evaluation mode whose call gives (n, d)
    network  the module that the weights belong to; `module` looks inside it
    blank    name of a layer of `network` that is not in the file, "" where there is none
    Other fields as those of `Suspect`.
    """

    name: str
    modality: str
    width: int
    fingerprint: str
    embed: Callable[[Inputs], np.ndarray]
    module: Any
    tensor: Callable[[Any], Any]
    shape: tuple[int, ...]
    network: Any = None
    blank: str = ""
    notes: tuple[str, ...] = ()
    declared: str = ""


def weights_digest(weights: Mapping[str, np.ndarray]) -> str:
    """Hex SHA-256 over names, dtypes, shapes and bytes, whatever the order of the names.

    >>> a, b = np.zeros(2, np.float32), np.ones(1, np.float32)
    >>> weights_digest({"a": a, "b": b}) == weights_digest({"b": b, "a": a}) != weights_digest({"a": b, "b": a})
    True
    """
    digest = hashlib.sha256(b"bezoar.weights/1\0")
    for name in sorted(weights):
        array = np.ascontiguousarray(weights[name])
        head = f"{name}\0{array.dtype.str}\0{array.shape}\0".encode("utf-8", "surrogatepass")
        digest.update(len(head).to_bytes(8, "little") + head)
        digest.update(array.tobytes())
    return digest.hexdigest()
