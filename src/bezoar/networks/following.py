"""A training watched at a few checkpoints: what the last layer reads and says of the rows it learns from, and of some others."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from bezoar.core.inputs import Images, Inputs
from bezoar.core.learned import FEWEST, Followed
from bezoar.networks import builds, device, probe, reading, training

CHECKPOINTS = 20
"""States of the network that are kept, evenly over the epochs."""
RATE = 0.001
"""Largest learning rate. Slow: what a state still has to learn is what its gradients tell of."""
EPOCHS = 40
"""Passes over few rows."""


def follow(build: Callable[[], Any], x: Any, codes: np.ndarray, keys: np.ndarray, others: Any, seed: int, *,
           tensor: Callable[[Any], Any], rate: float = RATE, shift: int = 0) -> Followed:
    """Train what `build` makes on the rows `x` by plain steps, over at most `probe.AGAIN` rows in all; arguments as of `probe.learn`.

    others  rows (m, ...) that are only asked about
    """
    rows = probe.ordered(keys, codes)
    x, own = x[rows], codes[rows]
    known = int((own >= 0).sum())
    probe.enough(own)
    epochs = int(np.clip(probe.AGAIN // max(known, 1), FEWEST, EPOCHS))
    kept = set(np.rint(np.linspace(0, epochs - 1, min(CHECKPOINTS, epochs))).astype(int).tolist())
    seen: list[tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, float]] = []
    back = np.argsort(rows, kind="stable")
    with training.seeded(seed):
        module = build()
        where = reading.places(module, tensor(x[:min(5, len(own))]))[-1]

        def note(epoch: int) -> None:
            if epoch in kept:
                features, logits = reading.shown(module, x, where, tensor=tensor)
                seen.append((features[back], logits[back], *reading.shown(module, others, where, tensor=tensor),
                             rate * training.pace(2 * epoch + 1, 2 * epochs)))

        training.fit(module, x, own, np.random.default_rng(seed), tensor=tensor, epochs=epochs, rate=rate, shift=shift, after=note,
                     batch=64 if len(own) < probe.SMALL else 128, on=device.current())
    features, logits, asked, answers, rates = zip(*seen, strict=True)
    return Followed(features, logits, asked, answers, rates, f"a network trained on the data, {len(seen)} checkpoints")


def follow_pictures(inputs: Images, codes: np.ndarray, classes: int, others: Inputs, seed: int, side: int) -> Followed:
    """The network of `probe.of_pictures`, watched. Raises Unavailable without torch."""
    probe.there()
    x, bring, build = probe.pictures_for(inputs, classes, side)
    return follow(build, x, codes, inputs.row_keys(), bring(others), seed, tensor=training.pictures_fast,
                  shift=1 if x.shape[1] >= 16 else 0)


def follow_rows(inputs: Inputs, features: Callable[[Any], Any], codes: np.ndarray, classes: int, others: Inputs, seed: int) -> Followed:
    """The network of `probe.of_rows`, watched."""
    probe.there()
    x, bring = probe.rows_for(inputs, features)
    return follow(lambda: builds.perceptron(classes, x.shape[1]), x, codes, inputs.row_keys(), bring(others), seed, tensor=probe.dense)
