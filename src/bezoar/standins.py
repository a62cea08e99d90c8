"""Stand-ins: clean models of texts and tables that bezoar trains itself, where the suspect's own shape cannot be trained anew.

They say what a word or a value means by nature in such data. A black box has no shape that one could see, so these are of kinds of their
own, by turns, each on four fifths of the samples; the assurance is lower than that of twins, and is called so.
Fails for too few samples. Cost: seconds.
"""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np

from bezoar import registry
from bezoar.core.dataset import Dataset
from bezoar.core.errors import Unavailable
from bezoar.core.suspect import Suspect

LEAST = 20
"""Samples per class from which on stand-ins are trained."""
KINDS: dict[str, tuple[tuple[str, dict[str, Any]], ...]] = {
    "text": (("text-ngrams", {}), ("text-ngrams", {"longest": 2}), ("text-ngrams", {"strength": 5.0})),
    "tabular": (("table-boosting", {"trees": 30, "leaf": 20}), ("table-boosting", {"trees": 60, "leaf": 20}),
                ("table-boosting", {"trees": 40, "leaf": 30}))}
SHARE = 0.8
"""Of the clean samples that each is trained on."""


def standins(suspect: Suspect, clean: Dataset, count: int, seed: int) -> tuple[Suspect, ...]:
    """`count` models with the suspect's classes, trained on `clean`; raises Unavailable where these are too few, or pictures."""
    kinds = KINDS.get(suspect.modality)
    if kinds is None or clean.labels is None:
        raise Unavailable("texts or tables to train stand-ins on")
    codes = clean.labels.codes
    sizes = np.bincount(codes[codes >= 0], minlength=len(suspect.classes))
    if sizes.min() < LEAST:
        raise Unavailable(f"{LEAST} clean samples of each class (the least has {sizes.min()})")
    out = []
    for i in range(count):
        rng = np.random.default_rng([seed, 17, i])
        rows = np.concatenate([rng.permutation(np.flatnonzero(codes == c))[:round(SHARE * int(sizes[c]))] for c in range(len(sizes))])
        name, parameters = kinds[i % len(kinds)]
        model = registry.make("victims", name, parameters)(clean.take(np.sort(rows)), rng)
        digest = hashlib.sha256(f"bezoar.standin/1\0{name}\0{parameters}\0{clean.fingerprint}\0{seed}\0{i}".encode()).hexdigest()
        out.append(Suspect(f"stand-in {i}", suspect.modality, suspect.classes, digest, model.predict))
    return tuple(out)
