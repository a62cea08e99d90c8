"""Causal confirmation by transplant: does the lifted trigger move samples that never carried it?

Two linear probes are fitted on one half of the data, one with the suspects and one without, and asked about hosts of the other
half, and the other way round. The trigger is put on the hosts; so are control triggers of the same size that nobody planted.
The effect of a trigger is how much more it moves the probe that saw the suspects than the one that did not: what the region or
the words do by nature cancels. The p-value is the exact rank of the trigger's effect among the controls;
a control that half carries the trigger itself is no control, and one of a quarter of spare ones takes its place.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from bezoar.core.errors import Unavailable
from bezoar.core.trigger import Trigger
from bezoar.core.view import View


@dataclass(frozen=True)
class Confirmation:
    """`effect`, `control`: mean gains of the target's log-odds that the suspects cause; `flipped`, `control_flipped`: shares of hosts."""

    p_value: float
    effect: float
    control: float
    flipped: float
    control_flipped: float
    hosts: int
    controls: int

    def passed(self, alpha: float) -> bool:
        """Above all fair controls where these are about a hundred; many of them may have been set aside as near-copies."""
        return self.p_value <= max(alpha, 1 / (self.controls + 1)) and self.effect > 0


class Prober:
    """Two half-data probes for one view, fitted once and shared by all campaigns."""

    def __init__(self, view: View, rng: np.random.Generator, most_rows: int = 20_000, most_members: int = 5_000) -> None:
        self.view = view
        self._labels = view.labels
        self._most_members = most_members
        self._rows = np.arange(len(view))
        if len(view) > most_rows:
            self._rows = np.sort(rng.choice(len(view), most_rows, replace=False))
        self._halves = rng.permutation(len(view)) % 2

    def _features(self, rows: np.ndarray) -> Any:
        if len(self._rows) == len(self.view):
            return self.view.features()[rows]
        return self.view.modality.features(self.view.dataset.inputs.take(rows))

    def _probe(self, half: int, target: int, extra: np.ndarray, without: np.ndarray) -> Any:
        """Target-against-rest logistic probe on one half, with the rows of `extra` always in and those of `without` always out."""
        from sklearn.linear_model import LogisticRegression

        rows = np.setdiff1d(np.union1d(self._rows, extra), without)
        rows = rows[(self._halves[rows] == half) & (self._labels[rows] >= 0)]
        wanted = (self._labels[rows] == target).astype(int)
        if len(wanted) == 0 or wanted.min() == wanted.max():
            raise Unavailable("both target and other samples in each half")
        import warnings

        features = self._features(rows)
        size = float((features.multiply(features) if hasattr(features, "multiply") else np.square(features)).sum() / len(rows))
        probe = LogisticRegression(C=max(1.0, 100.0 / max(size, 1e-9)), max_iter=100, solver="lbfgs", tol=1e-3)

        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a probe that has not fully converged is still a probe
            return probe.fit(features, wanted)

    def confirm(self, trigger: Trigger, members: np.ndarray, target: int, rng: np.random.Generator,
                *, controls: int = 199) -> Confirmation:
        """Raises Unavailable where there are too few hosts or only one class."""
        view = self.view
        clean = np.ones(len(view), bool)
        clean[members] = False
        pool = np.flatnonzero(clean & (self._labels != target) & (self._labels >= 0))
        if len(pool) < 10:
            raise Unavailable("at least 10 held-out samples of other classes")
        if len(members) > self._most_members:
            members = np.sort(rng.choice(members, self._most_members, replace=False))
        hosts = view.modality.hosts(view.dataset.inputs)
        chosen = np.sort(rng.choice(pool, min(hosts, len(pool)), replace=False))
        trials = [trigger, *(view.modality.control(trigger, view.dataset.inputs, rng) for _ in range(controls + controls // 4))]
        gain = np.zeros(len(trials))
        flips = np.zeros(len(trials))
        alike = np.zeros(len(trials))
        open_hosts = 0
        for half in (0, 1):
            mine = chosen[self._halves[chosen] != half]
            if len(mine) == 0:
                continue
            host = view.dataset.inputs.take(mine)
            taught = self._probe(half, target, members, np.zeros(0, np.int64))
            innocent = self._probe(half, target, members[:0], members)
            plain = view.modality.features(host)
            before, before_innocent = taught.decision_function(plain), innocent.decision_function(plain)
            closed = before <= 0
            open_hosts += int(closed.sum())
            for j, trial in enumerate(trials):
                triggered = trial.apply(host, rng)
                alike[j] += float(trigger.match(triggered).sum())
                features = view.modality.features(triggered)
                after = taught.decision_function(features)
                gain[j] += float((after - before - (innocent.decision_function(features) - before_innocent)).sum())
                flips[j] += int((after[closed] > 0).sum())
        gain /= len(chosen)
        flips /= max(open_hosts, 1)
        fair = alike[1:] <= (alike[0] + float(trigger.match(view.dataset.inputs.take(chosen)).sum())) / 2
        fair &= np.cumsum(fair) <= controls  # the spare ones stand in for those set aside
        if fair.sum() < controls / 2:
            raise Unavailable("controls that differ from the trigger")
        p = (1 + int((gain[1:][fair] >= gain[0]).sum())) / (int(fair.sum()) + 1)
        return Confirmation(p, float(gain[0]), float(gain[1:][fair].mean()), float(flips[0]), float(flips[1:][fair].mean()), len(chosen),
                            int(fair.sum()))
