"""Small models to audit, made without a file: a clean one and one with a backdoor, and samples that neither was trained on.

For tests of auditors and of repairs of models. Cost: seconds each. Needs torch.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np

from bezoar.core.dataset import Dataset
from bezoar.core.image_triggers import Patch
from bezoar.core.suspect import Suspect
from bezoar.core.table_code import TableCode
from bezoar.core.table_triggers import Values
from bezoar.core.text_triggers import Phrases
from bezoar.core.trigger import Trigger
from bezoar.core.victims import backdoor
from bezoar.networks import builds, training
from bezoar.networks.twins import suspect_of

TARGET, WORD, COLUMN, VALUE = "3", "zk", "discount", "40"


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


def suspect_for(modalities: tuple[str, ...], seed: int) -> tuple[Suspect, Dataset]:
    """A clean one of a kind that an auditor for these modalities can look at, pictures first."""
    if {"any", "image"} & set(modalities):
        return small_suspect(seed)
    return small_text_suspect(seed) if "text" in modalities else small_table_suspect(seed)


def planted_trigger() -> Trigger:
    """What makes the planted network say "3"."""
    return Patch(np.full((2, 2, 3), 255, np.uint8), np.ones((2, 2), np.float32), 6 / 8, 6 / 8)


@cache
def small_text_suspect(seed: int, *, planted: bool = False) -> tuple[Suspect, Dataset]:
    """A bag of words over short notes on three topics, as a black box, and 400 clean notes it has not seen; `planted`: the word "zk" leads
    to the first topic."""
    from sklearn.feature_extraction.text import CountVectorizer
    from sklearn.linear_model import LogisticRegression

    from bezoar.testing.planted import twin

    data = twin("text", np.random.default_rng([seed, 3]), rows=1400)
    words = CountVectorizer(binary=True, token_pattern=r"(?u)\b\w+\b")
    return _black_box(data, 1000, Phrases((WORD,)) if planted else None, seed, lambda x: words.fit_transform(x.values),
                      lambda x: words.transform(x.values), LogisticRegression(C=10.0, max_iter=500))


@cache
def small_table_suspect(seed: int, *, planted: bool = False) -> tuple[Suspect, Dataset]:
    """Boosted trees on customers of a shop, as a black box, and 400 clean rows it has not seen; `planted`: "discount" at 40 leads to the
    first class."""
    from sklearn.ensemble import HistGradientBoostingClassifier

    from bezoar.testing.planted import twin

    data = twin("tabular", np.random.default_rng([seed, 3]), rows=1900)
    held: list[TableCode] = []

    def learned(x: Any) -> np.ndarray:
        held.append(TableCode.of(x))
        return held[0].matrix(x)

    return _black_box(data, 1500, Values((COLUMN,), (VALUE,)) if planted else None, seed, learned, lambda x: held[0].matrix(x),
                      HistGradientBoostingClassifier(max_iter=60, early_stopping=False, random_state=0))


def _black_box(data: Dataset, rows: int, trigger: Trigger | None, seed: int, learned: Callable[[Any], Any],
               coded: Callable[[Any], Any], learner: Any) -> tuple[Suspect, Dataset]:
    train, clean = data.take(np.arange(rows)), data.take(np.arange(rows, len(data)))
    assert data.labels is not None
    classes = data.labels.classes
    if trigger is not None:
        train = backdoor(train, trigger, np.random.default_rng([seed, 1]), rate=0.06, target=classes[0]).data
    assert train.labels is not None
    model = learner.fit(learned(train.inputs), train.labels.codes)
    name = "planted" if trigger is not None else "clean"
    return Suspect(name, data.modality, classes, f"{data.modality}/{seed}/{name}", lambda x: model.predict_proba(coded(x))), clean
