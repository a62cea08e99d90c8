"""Linear probes on halves of the data, fitted with a group of suspects and without it.

A group is left out of one probe and is in the other; all else is the same, so what differs between their answers is what the group
taught. Rows are dealt into two halves: a probe that learned from one half is asked about rows of the other.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from bezoar.core.errors import Unavailable
from bezoar.core.view import View

ROWS = 20_000
"""A probe learns from at most so many rows, and from all members of the group besides."""


@dataclass(frozen=True)
class Kind:
    """A way to fit: what people call it, the unit of its answers, and whether rows are brought to length one first."""

    name: str
    unit: str
    even: bool

    def fit(self, features: Any, wanted: np.ndarray) -> Any:
        """A fitted model whose `decision_function` is above 0 for the target."""
        if self.even:
            from sklearn.linear_model import RidgeClassifier

            model: Any = RidgeClassifier(alpha=0.3, solver="sparse_cg", max_iter=30, tol=1e-3)
        else:
            from sklearn.linear_model import LogisticRegression

            size = float((features.multiply(features) if hasattr(features, "multiply") else np.square(features)).sum() / len(wanted))
            model = LogisticRegression(C=max(1.0, 100.0 / max(size, 1e-9)), max_iter=100, solver="lbfgs", tol=1e-3)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a probe that has not fully converged is still a probe
            return model.fit(self.brought(features), wanted)

    def brought(self, features: Any) -> Any:
        """(n, p) features as this kind reads them."""
        if not self.even:
            return features
        from sklearn.preprocessing import normalize

        return normalize(features)

    def answers(self, model: Any, features: Any) -> np.ndarray:
        """(n,) how far each row is on the target's side."""
        return np.asarray(model.decision_function(self.brought(features)))


LOGISTIC = Kind("a linear probe", "log-odds", even=False)
SQUARES = Kind("a second probe (least squares on rows of length one, dealt anew)", "score", even=True)


@dataclass(eq=False)
class Rows:
    """The rows that probes learn from, with their features, shared by all kinds."""

    view: View
    chosen: np.ndarray
    _kept: Any = field(default=None, repr=False)

    @classmethod
    def of(cls, view: View, rng: np.random.Generator, most: int = ROWS) -> Rows:
        """All rows, or a random `most` of them."""
        rows = np.arange(len(view))
        return cls(view, rows if len(view) <= most else np.sort(rng.choice(len(view), most, replace=False)))

    def features(self, rows: np.ndarray) -> Any:
        """(len(rows), p) features; of rows beyond the chosen ones they are made when asked for."""
        view = self.view
        if len(self.chosen) == len(view):
            return view.features()[rows]
        if self._kept is None:
            self._kept = view.modality.features(view.dataset.inputs.take(self.chosen))
        at = np.minimum(np.searchsorted(self.chosen, rows), len(self.chosen) - 1)
        there = self.chosen[at] == rows
        if there.all():
            return self._kept[at]
        others = view.modality.features(view.dataset.inputs.take(rows[~there]))
        back = np.argsort(np.concatenate([np.flatnonzero(there), np.flatnonzero(~there)]), kind="stable")
        if hasattr(others, "indptr"):
            from scipy.sparse import vstack

            return vstack([self._kept[at[there]], others], format="csr")[back]
        return np.concatenate([self._kept[at[there]], others])[back]


class Halves:
    """Probes of one `kind` on two halves of the rows, drawn by `rng`."""

    def __init__(self, rows: Rows, kind: Kind, rng: np.random.Generator) -> None:
        self.rows, self.kind = rows, kind
        self._labels = rows.view.labels
        self.half = rng.permutation(len(rows.view)) % 2
        """(n,) which half a row is dealt to."""

    def fit(self, half: int, target: int, members: np.ndarray, out: np.ndarray) -> Any:
        """Target against rest on one half, with the rows of `members` always in and those of `out` always out.

        Raises Unavailable where one side is empty.
        """
        rows = np.setdiff1d(np.union1d(self.rows.chosen, members), out)
        rows = rows[(self.half[rows] == half) & (self._labels[rows] >= 0)]
        wanted = (self._labels[rows] == target).astype(int)
        if len(wanted) == 0 or wanted.min() == wanted.max():
            raise Unavailable("both target and other samples in each half")
        return self.kind.fit(self.rows.features(rows), wanted)

    def pairs(self, target: int, members: np.ndarray) -> list[tuple[Any, Any]]:
        """For each half a probe that learned from its members and one that did not."""
        none = np.zeros(0, np.int64)
        return [(self.fit(half, target, members, none), self.fit(half, target, none, members)) for half in (0, 1)]

    def asked(self, pairs: list[tuple[Any, Any]], features: Any, rows: np.ndarray) -> np.ndarray:
        """(2, len(rows)) answers with the members and without, each row by the probes of the half that it is not in.

        `features` are those of `rows`, or of changed copies of them.
        """
        out = np.zeros((2, len(rows)))
        ready = self.kind.brought(features)
        for half, pair in enumerate(pairs):
            at = np.flatnonzero(self.half[rows] != half)
            if len(at):
                part = ready[at]
                for i, model in enumerate(pair):
                    out[i, at] = model.decision_function(part)
        return out
