"""Clean twins: networks of the suspect's own architecture, trained anew on data that are trusted. Torch is imported inside.

They say what is natural for such a network on such data: how large a margin, how small a shift, how strong a row. Fails where the
architecture has parameters that cannot be drawn anew, and where there are too few samples to train on.
Cost: one training each; the same data and seed give the same twins.
"""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import Any

import numpy as np

from bezoar.core.audit import AuditView
from bezoar.core.errors import Unavailable
from bezoar.core.inputs import Images
from bezoar.core.suspect import Suspect, weights_digest
from bezoar.networks import training
from bezoar.networks.image_victim import brought

LEAST = 20
"""Samples per class from which on twins are trained."""
STEPS = 120
"""Steps of 128 samples that a twin is trained for, at least 10 passes."""
FIT = 0.8
"""A twin has to reach this share of the suspect's own accuracy on the clean samples."""


def suspect_of(module: Any, classes: tuple[str, ...], side: int, name: str = "model") -> Suspect:
    """A network over square pictures that bezoar trained itself, as a suspect."""
    module.eval()
    weights = {k: v.detach().cpu().numpy() for k, v in module.state_dict().items()}

    def answer(inputs: Any) -> np.ndarray:
        with training.seeded(0):
            return training.probabilities(module, brought(inputs, side), tensor=training.pictures)

    return Suspect(name, "image", classes, weights_digest(weights), answer, module, training.pictures, (side, side, 3))


def anew(module: Any) -> Any:
    """A copy whose every parameter is drawn anew, inside `training.seeded`. Raises Unavailable where that cannot be done."""
    fresh = copy.deepcopy(module)
    drawn: set[int] = set()
    for part in fresh.modules():
        if hasattr(part, "reset_parameters"):
            part.reset_parameters()
            drawn |= {id(p) for p in part.parameters(recurse=False)}
    if any(id(p) not in drawn for p in fresh.parameters()):
        raise Unavailable("layers whose weights can be drawn anew")
    for p in fresh.parameters():
        p.requires_grad_(True)
    return fresh


def twins(view: AuditView, count: int, seed: int) -> tuple[Suspect, ...]:
    """`count` clean twins, trained on the view's clean samples. Raises Unavailable where these are too few, or are no pictures."""
    suspect, data = view.suspect, view.samples()
    module = view.module()
    assert data.labels is not None
    assert suspect.tensor is not None
    sizes = np.bincount(data.labels.codes, minlength=len(suspect.classes))
    if sizes.min() < LEAST:
        raise Unavailable(f"{LEAST} clean samples of each class (the least has {sizes.min()})")
    if not isinstance(data.inputs, Images) or len(suspect.shape) != 3 or suspect.shape[0] != suspect.shape[1]:
        raise Unavailable("square pictures to train twins on")
    side = suspect.shape[0]
    x, codes = brought(data.inputs, side), data.labels.codes
    epochs = max(10, -(-STEPS * 128 // len(x)))
    out = []
    for i in range(count):
        rng = np.random.default_rng([seed, i])
        with training.seeded(int(rng.integers(1 << 31))):
            fresh = training.fit(anew(module), x, codes, rng, tensor=suspect.tensor, epochs=epochs, shift=1 if side >= 16 else 0)
        out.append(_like(suspect, fresh, side, f"twin {i}"))
    return tuple(out)


def _like(suspect: Suspect, module: Any, side: int, name: str) -> Suspect:
    assert suspect.tensor is not None
    tensor = suspect.tensor
    weights = {k: v.detach().cpu().numpy() for k, v in module.state_dict().items()}

    def answer(inputs: Any) -> np.ndarray:
        with training.seeded(0):
            return training.probabilities(module, brought(inputs, side), tensor=tensor)

    return replace(suspect, name=name, fingerprint=weights_digest(weights), answer=answer, module=module, notes=())
