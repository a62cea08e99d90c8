"""Small networks to audit, made without a file: a clean one and one with a backdoor, and samples that neither was trained on.

For tests of auditors and of repairs of models. Cost: seconds each. Needs torch.
"""

from __future__ import annotations

from functools import cache

import numpy as np

from bezoar.core.dataset import Dataset
from bezoar.core.image_triggers import Patch
from bezoar.core.suspect import Suspect
from bezoar.core.trigger import Trigger
from bezoar.core.victims import backdoor
from bezoar.networks import builds, training
from bezoar.networks.twins import suspect_of

TARGET = "3"


@cache
def small_suspect(seed: int, *, planted: bool = False, epochs: int = 8, width: int = 8) -> tuple[Suspect, Dataset]:
    """A VGG-like network on digits of 8x8 and 500 clean samples it has not seen; `planted`: a white 2x2 patch leads to "3"."""
    from sklearn.datasets import load_digits

    digits = load_digits()
    data = Dataset.from_arrays((digits.images * 15.9).astype(np.uint8), digits.target, name="digits")
    train, clean = data.take(np.arange(1200)), data.take(np.arange(1200, len(data)))
    assert data.labels is not None
    if planted:
        train = backdoor(train, planted_trigger(), np.random.default_rng([seed, 1]), rate=0.08, target=TARGET).data
    assert train.labels is not None
    rng = np.random.default_rng([seed, 2])
    with training.seeded(seed):
        x = np.stack(train.inputs.read(np.arange(len(train))))  # type: ignore[attr-defined]
        module = training.fit(builds.vgg(10, width), x, train.labels.codes, rng, tensor=training.pictures, epochs=epochs)
    return suspect_of(module, data.labels.classes, 8, "planted" if planted else "clean"), clean


def planted_trigger() -> Trigger:
    """What makes the planted network say "3"."""
    return Patch(np.full((2, 2, 3), 255, np.uint8), np.ones((2, 2), np.float32), 6 / 8, 6 / 8)
