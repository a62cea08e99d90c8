"""A small network trained on the suspect data itself, and what it shows of every row: the learned tier's one view.

Sharpness-aware steps (Foret et al. 2021, arXiv 2010.01412) are on: they keep the network from learning single rows by heart and
let it lean on what many rows share, which sets triggers apart from content. Rows are put in the order of their content first, so that
the order of a file does not matter; the same rows and seed give the same bytes on one thread. Rows without a label are read, not learned.
Fails      to show what the network does not learn: poison for which the data or the passes are too few.
Cost       about 100,000 rows passed over, twice each: for pictures of 32x32 about 2 min on one free core, tables and texts seconds.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from bezoar.core.errors import Unavailable
from bezoar.core.inputs import Images
from bezoar.core.learned import Learned, epochs_for, held_epochs_for
from bezoar.networks import builds, reading, training

RHO = 0.1
"""How far a sharpness-aware step climbs, in units of the weights."""
EARLY = 0.2
"""Early features are those after this part of the epochs, at least one."""
SMALL = 3000
"""Fewer pictures get a network of half the width."""
BATCH = 64
"""Rows per step."""
FOLDS = 3
"""Networks for probabilities of rows that they did not see."""
COLUMNS = 4096
"""Sparse features are folded to so many columns."""


def learn(build: Callable[[], Any], x: Any, codes: np.ndarray, keys: np.ndarray, seed: int, *, tensor: Callable[[Any], Any],
          rate: float = 0.01, shift: int = 0, rho: float = RHO) -> Learned:
    """Train what `build` makes on the rows `x` (n, ...) that have a label and read it.

    codes   (n,) int64, -1 for no label
    keys    (n,) what to order rows by: equal keys, equal rows
    tensor  some rows of `x` -> an input of the network
    Raises Unavailable where fewer than two rows have a label.
    """
    rows = _ordered(codes, keys)
    x, own = x[rows], codes[rows]
    if (own >= 0).sum() < 2:
        raise Unavailable("at least two labelled rows to learn from")
    epochs = epochs_for(len(own))
    early: list[np.ndarray] = []
    losses: list[np.ndarray] = []
    with training.seeded(seed):
        module = build()
        where = reading.places(module, tensor(x[:min(5, len(own))]))

        def note(epoch: int) -> None:
            features, logits = reading.shown(module, x, where[-1], tensor=tensor)
            losses.append(_loss(logits, own))
            if epoch + 1 == max(1, round(EARLY * epochs)):
                early.append(features)

        training.fit(module, x, own, np.random.default_rng(seed), tensor=tensor, epochs=epochs, rate=rate, shift=shift, rho=rho, after=note,
                     batch=BATCH)
        found = reading.read(module, x, own, tensor=tensor, where=where)
    back = np.argsort(rows, kind="stable")
    return Learned(tuple(a[back] for a in found.layers), tuple(a[back] for a in found.slopes), found.logits[back],
                   np.stack(losses, axis=1)[back], early[0][back])


def _ordered(codes: np.ndarray, keys: np.ndarray) -> np.ndarray:
    """Row numbers by label, then by content: the order of a file does not matter."""
    rows = np.argsort(keys, kind="stable")
    return rows[np.argsort(codes[rows], kind="stable")]


def _loss(logits: np.ndarray, codes: np.ndarray) -> np.ndarray:
    top = logits.max(axis=1)
    own = logits[np.arange(len(codes)), np.maximum(codes, 0)]
    loss = top + np.log(np.exp(logits - top[:, None]).sum(axis=1)) - own
    return np.where(codes >= 0, loss, np.nan).astype(np.float32)


def of_pictures(inputs: Images, codes: np.ndarray, classes: int, seed: int, side: int) -> Learned:
    """A narrow residual network on pictures brought to at most `side` pixels. Raises Unavailable without torch."""
    _there()
    from bezoar.networks.image_victim import brought, side_of

    side = min(side_of(inputs), side)
    width = 16 if len(inputs) >= SMALL else 8
    return learn(lambda: training.fast(builds.resnet(classes, width)), brought(inputs, side), codes, inputs.row_keys(), seed,
                 tensor=training.pictures_fast, shift=1 if side >= 16 else 0)


def held_out(inputs: Images, codes: np.ndarray, classes: int, groups: np.ndarray, seed: int, side: int) -> np.ndarray:
    """(n, K) float32 probabilities of each picture by a network that saw neither it nor its group; rows sum to 1.

    `FOLDS` networks, each trained on the other folds without sharpness-aware steps; one temperature is fitted on what they say of the
    rows that they did not see. Rows with code -1 are read, not learned. Raises Unavailable without torch or labels.
    """
    _there()
    from bezoar.maths.crossfit import assign_folds, softmax, temperature
    from bezoar.networks.image_victim import brought, side_of

    x = brought(inputs, min(side_of(inputs), side))
    rows = _ordered(codes, inputs.row_keys())
    x, own = x[rows], codes[rows]
    known = np.flatnonzero(own >= 0)
    if len(known) < 2 * FOLDS:
        raise Unavailable(f"at least {2 * FOLDS} labelled rows to learn from")
    fold = assign_folds(x.reshape(len(x), -1)[:, ::7].astype(np.float32), own, groups[rows], FOLDS, seed)
    width = 16 if len(x) >= SMALL else 8
    shift = 1 if x.shape[1] >= 16 else 0
    logits = np.zeros((len(x), classes), np.float32)
    for f in range(FOLDS):
        out = fold == f
        told = np.where(out, -1, own)
        if not out.any() or (told >= 0).sum() < 2:
            continue
        with training.seeded(seed + f):
            module = training.fast(builds.resnet(classes, width))
            training.fit(module, x, told, np.random.default_rng([seed, f]), tensor=training.pictures_fast, shift=shift, batch=BATCH,
                         epochs=held_epochs_for(len(known)))
            logits[out] = np.log(np.maximum(training.probabilities(module, x[out], tensor=training.pictures_fast), 1e-9))
    logits *= temperature(logits, own, known)
    back = np.argsort(rows, kind="stable")
    return softmax(logits)[back]


def of_rows(x: Any, codes: np.ndarray, classes: int, keys: np.ndarray, seed: int) -> Learned:
    """A perceptron on the rows of a dense or sparse matrix. Raises Unavailable without torch."""
    _there()
    if hasattr(x, "indptr"):
        x = _folded(x)
    return learn(lambda: builds.perceptron(classes, x.shape[1]), x, codes, keys, seed, tensor=_dense, rate=0.003)


def _there() -> None:
    try:
        import torch  # noqa: F401
    except ImportError:
        raise Unavailable("a network trained on the data", advice="pip install 'bezoar[torch]'") from None


def _folded(x: Any) -> Any:
    from scipy.sparse import csr_array

    if x.shape[1] <= COLUMNS:
        return x
    out = csr_array((x.data, x.indices % COLUMNS, x.indptr), shape=(x.shape[0], COLUMNS))
    out.sum_duplicates()
    return out


def _dense(rows: Any) -> Any:
    import torch

    return torch.from_numpy(np.ascontiguousarray(rows.toarray() if hasattr(rows, "toarray") else rows, np.float32))
