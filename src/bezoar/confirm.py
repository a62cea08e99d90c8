"""Causal confirmation by transplant: does the lifted trigger move samples that never carried it?

A linear probe is fitted on one half of the data (suspects included) and asked about hosts of the other half, and the
other way round. The trigger is put on the hosts; so are control triggers of the same size that nobody planted. The
p-value is the exact rank of the trigger's effect among the controls (METHODS: transplant, permutation test).
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
    """`effect` and `control` are mean gains of the target's log-odds; `flipped`, `control_flipped` are shares of hosts."""

    p_value: float
    effect: float
    control: float
    flipped: float
    control_flipped: float
    hosts: int
    controls: int

    def passed(self, alpha: float) -> bool:
        return self.p_value <= alpha and self.effect > 0


class Prober:
    """Two half-data probes for one view, fitted once and shared by all campaigns."""

    def __init__(self, view: View, rng: np.random.Generator, most_rows: int = 20_000, most_members: int = 5_000) -> None:
        self.view = view
        self._labels = view.labels
        self._rng = rng
        self._most_members = most_members
        self._rows = np.arange(len(view))
        if len(view) > most_rows:
            self._rows = np.sort(rng.choice(len(view), most_rows, replace=False))
        self._halves = rng.permutation(len(view)) % 2

    def _features(self, rows: np.ndarray) -> Any:
        if len(self._rows) == len(self.view):
            return self.view.features()[rows]
        return self.view.modality.features(self.view.dataset.inputs.take(rows))

    def _probe(self, half: int, must: np.ndarray, target: int) -> Any:
        """Target-against-rest logistic probe on one half; the suspects are always part of what it learns from."""
        from sklearn.linear_model import LogisticRegression

        rows = np.union1d(self._rows, must)
        rows = rows[(self._halves[rows] == half) & (self._labels[rows] >= 0)]
        wanted = (self._labels[rows] == target).astype(int)
        if len(wanted) == 0 or wanted.min() == wanted.max():
            raise Unavailable("both target and other samples in each half")
        probe = LogisticRegression(C=1.0, max_iter=60, solver="lbfgs", tol=1e-2)
        import warnings

        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a probe that has not fully converged is still a probe
            return probe.fit(self._features(rows), wanted)

    def confirm(self, trigger: Trigger, members: np.ndarray, target: int, rng: np.random.Generator,
                *, hosts: int = 100, controls: int = 199) -> Confirmation:
        """Raises Unavailable where there are too few hosts or only one class."""
        view = self.view
        clean = np.ones(len(view), bool)
        clean[members] = False
        pool = np.flatnonzero(clean & (self._labels != target) & (self._labels >= 0))
        if len(pool) < 10:
            raise Unavailable("at least 10 held-out samples of other classes")
        chosen = np.sort(rng.choice(pool, min(hosts, len(pool)), replace=False))
        if len(members) > self._most_members:
            members = np.sort(rng.choice(members, self._most_members, replace=False))
        inputs = view.dataset.inputs
        planted, before_all, after_all = [], [], []
        trials = [view.modality.control(trigger, inputs, rng) for _ in range(controls)]
        control_gain = np.zeros(controls)
        control_flip = np.zeros(controls)
        for half in (0, 1):
            mine = chosen[self._halves[chosen] != half]
            if len(mine) == 0:
                continue
            probe = self._probe(half, members, target)
            host = inputs.take(mine)
            before = probe.decision_function(view.modality.features(host))
            after = probe.decision_function(view.modality.features(trigger.apply(host, rng)))
            planted.append(after - before)
            before_all.append(before)
            after_all.append(after)
            few = host.take(np.arange(min(len(mine), 25)))
            base = before[:len(few)]
            for j, trial in enumerate(trials):
                scored = probe.decision_function(view.modality.features(trial.apply(few, rng)))
                control_gain[j] += float((scored - base).sum())
                control_flip[j] += float(((scored > 0) & (base <= 0)).sum())
        gains = np.concatenate(planted)
        before, after = np.concatenate(before_all), np.concatenate(after_all)
        used = sum(min(int((self._halves[chosen] != h).sum()), 25) for h in (0, 1))
        control_gain /= max(used, 1)
        effect = float(gains.mean())
        p = (1 + int((control_gain >= effect).sum())) / (controls + 1)
        open_hosts = before <= 0
        flipped = float((after[open_hosts] > 0).mean()) if open_hosts.any() else 0.0
        return Confirmation(p, effect, float(control_gain.mean()), flipped,
                            float(control_flip.mean() / max(used, 1)), len(chosen), controls)
