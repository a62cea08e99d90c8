"""What a network shows of the data: arrays and a callable, so that detectors need no torch."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from bezoar.core.inputs import Inputs, frozen

LEARNED = np.log(2.0)
"""A loss under which the own label is more likely than all others together."""

Ask = Callable[[Inputs], np.ndarray]
"""Asks a trained network: n inputs -> (n, K) float32 logits."""

Confuse = Callable[[np.ndarray, Inputs | None, int], np.ndarray]
"""Makes a copy of a trained network unlearn what the rows (b,) of the dataset, or the other inputs where some are given, show, while it
goes on learning all other rows, under a seed; (n, K) float32 logarithms of its probabilities for the rows of the dataset."""

PASSES, FEWEST, MOST = 100_000, 3, 20
"""Rows that a network passes over in all, and the least and most epochs that this may mean."""

HELD_PASSES, HELD_FEWEST, HELD_MOST = 120_000, 5, 15
"""The same for each of the networks that are asked about rows they did not see."""


def epochs_for(rows: int) -> int:
    """How often a network passes over so many rows.

    >>> [epochs_for(n) for n in (1_000, 20_000, 1_000_000)]
    [20, 5, 3]
    """
    return min(max(PASSES // max(rows, 1), FEWEST), MOST)


def learned_passes(rows: int) -> float:
    """How often, in effect, the network of a scan passes forth and back over so many rows: sharpness-aware steps do it twice, and what it
    shows after each epoch is the way forth alone, a third.

    >>> round(learned_passes(20_000), 1)
    11.7
    """
    return epochs_for(rows) * (2 + 1 / 3)


def held_epochs_for(rows: int) -> int:
    """How often each of the networks that give opinions on rows they did not see passes over the data.

    >>> [held_epochs_for(n) for n in (1_000, 20_000, 1_000_000)]
    [15, 6, 5]
    """
    return min(max(HELD_PASSES // max(rows, 1), HELD_FEWEST), HELD_MOST)


@dataclass(frozen=True, eq=False)
class Learned:
    """Rows in the order of the dataset, K classes, E epochs; every array is float32 and read-only.

    layers  activations (n, d_l), averaged over places or tokens, first to last; the last one is what the last linear layer reads
    slopes  (n, d_l) for each of `layers`: how the logit of the row's own label rises when the activation rises at every place;
            zeros for rows without a label
    logits  (n, K) at the end
    losses  (n, E) cross entropy of the own label after each epoch; NaN for rows without a label
    early   (n, d) the last of `layers` as it was after the first few epochs

    >>> row = np.zeros((2, 3), np.float32)
    >>> Learned((row,), (row,), row[:, :2], row, row).fit().round(2).tolist()
    [1.0, 1.0]
    """

    layers: tuple[np.ndarray, ...]
    slopes: tuple[np.ndarray, ...]
    logits: np.ndarray
    losses: np.ndarray
    early: np.ndarray

    def __post_init__(self) -> None:
        for name in ("layers", "slopes"):
            object.__setattr__(self, name, tuple(_plain(a) for a in getattr(self, name)))
        for name in ("logits", "losses", "early"):
            object.__setattr__(self, name, _plain(getattr(self, name)))
        arrays = (*self.layers, *self.slopes, self.logits, self.losses, self.early)
        if not self.layers or len({len(a) for a in arrays}) > 1 or [a.shape for a in self.layers] != [a.shape for a in self.slopes]:
            raise ValueError("layers, slopes, logits, losses and early features have one row per sample, and each layer its slopes")

    def __len__(self) -> int:
        return len(self.logits)

    def fit(self) -> np.ndarray:
        """(n,) probability that the network gave to the own label, on average over the epochs: near 1 for what was learned at
        once, low for what was learned last or never; NaN for rows without a label."""
        return np.asarray(np.exp(-self.losses).mean(axis=1))

    def convinced(self) -> np.ndarray:
        """(n,) bool: after the last epoch the network finds the own label likelier than all others together; False without a label.

        >>> row = np.zeros((2, 3), np.float32)
        >>> Learned((row,), (row,), row[:, :2], np.array([[0.1, 2.0], [2.0, 0.1]]), row).convinced().tolist()
        [False, True]
        """
        return np.asarray(self.losses[:, -1] < LEARNED)


@dataclass(frozen=True, eq=False)
class Taught:
    """A network that stays at hand: what it shows of the data, how to ask it about other inputs, what people call it, and how to
    confuse a copy of it, None where it was not trained here."""

    learned: Learned
    ask: Ask
    name: str = "a network trained on the data"
    confuse: Confuse | None = None


@dataclass(frozen=True, eq=False)
class Followed:
    """A training watched at C checkpoints: what the last layer read, (n, d), and said, (n, K) logits, of the samples, and of m other
    inputs, with the learning rate of each; `name` says in words what was watched."""

    features: tuple[np.ndarray, ...]
    logits: tuple[np.ndarray, ...]
    asked: tuple[np.ndarray, ...]
    answers: tuple[np.ndarray, ...]
    rates: tuple[float, ...]
    name: str = "a network trained on the data"


def _plain(a: np.ndarray) -> np.ndarray:
    a = np.ascontiguousarray(a, np.float32)
    if a.ndim != 2:
        raise ValueError(f"an array of shape {a.shape} is no matrix of one row per sample")
    return frozen(a)
