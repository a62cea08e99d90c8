"""The transfer setting: an encoder trained on most of the data, a linear head trained on it with 50 other samples per class, some poisoned.

The attacker knows the encoder and moves pictures of the fine-tuning part within a bound; labels stay right. The encoder is trained once
for a dataset and seed and kept on disk like clean twins are; features of what no attack touches are computed once.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from bezoar import registry
from bezoar.core.ability import Attack
from bezoar.core.dataset import Dataset
from bezoar.core.inputs import Images, Inputs
from bezoar.core.victim import Called, Model, Victim
from bezoar.maths.multiple import clopper_pearson
from bezoar.validity import IMPLANTS_AT, Validity, judged, trained

EACH = 50
"""Fine-tuning samples per class; at most half of a class."""
AIMS = 10
"""Held-out pictures that are attacked one by one."""


def divided(data: Dataset, seed: int) -> tuple[Dataset, Dataset]:
    """(the encoder's part, the head's part); the same for every attack on that data and seed."""
    assert data.labels is not None
    codes, rng = data.labels.codes, np.random.default_rng([seed, 6])
    fine = np.sort(np.concatenate([rng.choice(own, min(EACH, len(own) // 2), replace=False)
                                   for own in (np.flatnonzero(codes == c) for c in range(len(data.labels.classes)))]))
    return data.take(np.setdiff1d(np.arange(len(data)), fine)), data.take(fine)


class Heads:
    """Linear heads on one encoder; the features of `tuned` and `held` are computed once."""

    def __init__(self, first: Any, tuned: Dataset, held: Dataset) -> None:
        self.first, self.tuned, self.held = first, tuned, held
        self.features, self.held_features = first.embed(tuned.inputs), first.embed(held.inputs)

    def encode(self, pictures: Any) -> Any:
        """The encoder as a torch function that an attack can differentiate."""
        from torch.nn import functional

        side = (self.first.side, self.first.side)
        return self.first.module.features(pictures if tuple(pictures.shape[2:]) == side else functional.interpolate(pictures, side))

    def train(self, data: Dataset) -> Model:
        """A standardised logistic head on the tuned part or a changed copy of it (the same rows in the same order)."""
        from sklearn.linear_model import LogisticRegression
        from sklearn.pipeline import make_pipeline
        from sklearn.preprocessing import StandardScaler

        assert data.labels is not None
        assert isinstance(data.inputs, Images)
        assert isinstance(self.tuned.inputs, Images)
        rows = np.flatnonzero((data.inputs.dense() != self.tuned.inputs.dense()).any(axis=(1, 2, 3)))
        features = self.features.copy()
        if len(rows):
            features[rows] = self.first.embed(data.inputs.take(rows))
        model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000)).fit(features, data.labels.codes)

        def answer(inputs: Inputs) -> np.ndarray:
            return np.asarray(model.predict_proba(self.held_features if inputs is self.held.inputs else self.first.embed(inputs)))

        return Called(answer)


def run(name: str, parameters: Mapping[str, Any], victim: Victim, train: Dataset, held: Dataset, rng: np.random.Generator, *, seed: int,
        cache: Path | None = None, aims: int = AIMS) -> Validity:
    """One attack in that setting; those on chosen pictures (`aim`) are repeated for `aims` held-out ones, each with a class drawn for it.

    Success is the share of aimed-at pictures that get the wanted class, over all repeats.
    """
    started = time.perf_counter()
    rest, tuned = divided(train, seed)
    first: Any = trained(victim, rest, seed, cache)
    for p in first.module.parameters():
        p.requires_grad_(False)
    heads = Heads(first, tuned, held)
    twin, title = heads.train(tuned), f"head on {victim.info.name}"
    found = []
    for more in _aimed(name, held, aims, rng):
        encode: Callable[[Any], Any] = heads.encode
        attack = registry.make("attacks", name, {**parameters, **more, "encoder": encode})
        assert isinstance(attack, Attack)
        done = attack(tuned, rng)
        found.append(judged(attack, done, held, heads.train(done.data), twin, rng, title))
    return replace(merged(found), seconds=time.perf_counter() - started)


def _aimed(name: str, held: Dataset, aims: int, rng: np.random.Generator) -> list[dict[str, Any]]:
    """What each repeat is told: a picture and the class it shall get; nothing for an attack on a whole class."""
    if "aim" not in registry.make("attacks", name).parameters():
        return [{}]
    assert held.labels is not None
    classes, codes = held.labels.classes, held.labels.codes
    every = np.arange(len(classes))
    return [{"aim": held.inputs.take(np.array([row])),
             "target": classes[int(rng.choice(np.setdiff1d(every, [codes[row]])))]}
            for row in rng.choice(len(held), min(aims, len(held)), replace=False)]


def merged(found: list[Validity]) -> Validity:
    """Several repeats as one: counts add up, shares are of all aimed-at pictures."""
    hits, of = sum(v.hits for v in found), sum(v.of for v in found)
    twin = float(np.average([v.twin for v in found], weights=[v.of for v in found]))
    interval = clopper_pearson(hits, of)
    return replace(found[0], success=hits / of, hits=hits, of=of, twin=twin, interval=interval,
                   implanted=hits / of >= IMPLANTS_AT["aim"] and interval[0] > twin, seconds=sum(v.seconds for v in found))
