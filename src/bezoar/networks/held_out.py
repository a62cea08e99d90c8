"""Probabilities of pictures by networks that did not see them: what a content model is to features, for what only training reveals."""

from __future__ import annotations

import numpy as np

from bezoar.core.errors import Unavailable
from bezoar.core.inputs import Images
from bezoar.core.learned import held_epochs_for
from bezoar.networks import device, training
from bezoar.networks.probe import BATCH, ordered, pictures_for, there

FOLDS = 3
"""Networks for probabilities of rows that they did not see."""


def held_out(inputs: Images, codes: np.ndarray, classes: int, groups: np.ndarray, seed: int, side: int) -> np.ndarray:
    """(n, K) float32 probabilities of each picture by a network that saw neither it nor its group; rows sum to 1.

    `FOLDS` networks, each trained on the other folds without sharpness-aware steps; one temperature is fitted on what they say of the
    rows that they did not see. Rows with code -1 are read, not learned. Raises Unavailable without torch or labels.
    """
    there()
    from bezoar.maths.crossfit import assign_folds, softmax, temperature

    x, _, build = pictures_for(inputs, classes, side)
    rows = ordered(inputs.row_keys(), codes)
    x, own = x[rows], codes[rows]
    known = np.flatnonzero(own >= 0)
    if len(known) < 2 * FOLDS:
        raise Unavailable(f"at least {2 * FOLDS} labelled rows to learn from")
    fold = assign_folds(x.reshape(len(x), -1)[:, ::7].astype(np.float32), own, groups[rows], FOLDS, seed)
    shift = 1 if x.shape[1] >= 16 else 0
    logits = np.zeros((len(x), classes), np.float32)
    for f in range(FOLDS):
        out = fold == f
        told = np.where(out, -1, own)
        if not out.any() or (told >= 0).sum() < 2:
            continue
        with training.seeded(seed + f):
            module = build()
            training.fit(module, x, told, np.random.default_rng([seed, f]), tensor=training.pictures_fast, shift=shift, batch=BATCH,
                         epochs=held_epochs_for(len(known)), on=device.current())
            logits[out] = np.log(np.maximum(training.probabilities(module, x[out], tensor=training.pictures_fast), 1e-9))
    logits *= temperature(logits, own, known)
    back = np.argsort(rows, kind="stable")
    return softmax(logits)[back]
