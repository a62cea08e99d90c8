"""Causal confirmation: does what a group shares move models that learned from the group, and only those?

Transplant. The lifted trigger is put on samples that never carried it; so are control triggers of the same size that nobody planted.
The effect of a trigger is how much more it moves a probe that saw the suspects than one that did not: what the region or the words do
by nature cancels. The p-value is the exact rank of the trigger's effect among the controls; a control that half carries the trigger
itself is no control, and one of a quarter of spare ones takes its place.
Refit. On the same samples, the probe fitted without the suspects must react less: the lower bound of the loss must be above zero.
Replication. Both are asked again of a second probe of another kind on other halves of the data, and, where a network stands by, of it.
Fails      for what none of these models learns, and where a natural shortcut does the same: no test tells intent.
Cost       about a second for each campaign; with a network some seconds more.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bezoar.core.errors import Unavailable
from bezoar.core.learned import Ask
from bezoar.core.trigger import Trigger
from bezoar.core.view import View
from bezoar.core.wording import p_text, percent
from bezoar.maths.paired import lower_bound, rank_p
from bezoar.probes import LOGISTIC, SQUARES, Halves, Rows

REPLICATION = 0.05
"""Level of a second look: the first one has already paid for the search."""
NETWORK_CONTROLS = 99
"""Control triggers that a network is asked about."""
MOST_MEMBERS = 5000
"""Of larger groups, so many members drawn at random stand for all."""


@dataclass(frozen=True)
class Step:
    """One question to one model: `held` is None where it could not be asked, and `measured` then says why."""

    what: str
    model: str
    measured: str
    held: bool | None


@dataclass(frozen=True)
class Confirmation:
    """What was asked and answered; the numbers are those of the first question.

    `effect`, `control`: mean gains of the target's log-odds that the suspects cause; `flipped`, `control_flipped`: shares of hosts.
    `transplanted` says whether a trigger was put on `hosts` others, or the group's own members were asked about (`refit`).
    """

    p_value: float
    effect: float
    control: float
    flipped: float
    control_flipped: float
    hosts: int
    controls: int
    steps: tuple[Step, ...]
    transplanted: bool = True

    @property
    def held(self) -> bool:
        """Every question that could be asked was answered with yes."""
        return bool(self.steps) and all(s.held is not False for s in self.steps) and self.steps[0].held is True


@dataclass(frozen=True)
class Network:
    """A trained network that may be asked, and the like of it trained without all suspects (`innocent` says why there is none)."""

    name: str
    ask: Ask
    calls: np.ndarray
    """(n,) the class that it gives to each sample."""
    innocent: Ask | str = "it was not trained again"


class Prober:
    """Two kinds of half-data probes for one view, shared by all campaigns."""

    def __init__(self, view: View, rng: np.random.Generator) -> None:
        self.view = view
        self._labels = view.labels
        self.rows = Rows.of(view, rng)
        self.first = Halves(self.rows, LOGISTIC, rng)
        self.second = Halves(self.rows, SQUARES, rng)

    def confirm(self, trigger: Trigger, members: np.ndarray, target: int, rng: np.random.Generator, *, controls: int = 199,
                alpha: float = 0.01, network: Network | None = None) -> Confirmation:
        """Raises Unavailable where there are too few hosts or only one class."""
        view = self.view
        clean = np.ones(len(view), bool)
        clean[members] = False
        pool = np.flatnonzero(clean & (self._labels != target) & (self._labels >= 0))
        if len(pool) < 10:
            raise Unavailable("at least 10 held-out samples of other classes")
        every = members
        if len(members) > MOST_MEMBERS:
            members = np.sort(rng.choice(members, MOST_MEMBERS, replace=False))
        chosen = np.sort(rng.choice(pool, min(view.modality.hosts(view.dataset.inputs), len(pool)), replace=False))
        host = view.dataset.inputs.take(chosen)
        trials = [trigger, *(view.modality.control(trigger, view.dataset.inputs, rng) for _ in range(controls + controls // 4))]
        sides: list[tuple[Halves, list[tuple[object, object]]]] = [(self.first, self.first.pairs(target, members))]
        second_missing = ""
        try:
            sides.append((self.second, self.second.pairs(target, members)))
        except Unavailable as missing:
            second_missing = str(missing)
        plain = view.modality.features(host)
        before = [h.asked(p, plain, chosen) for h, p in sides]
        moves = np.zeros((len(sides), len(trials), 2, len(chosen)))
        alike = np.zeros(len(trials))
        for j, trial in enumerate(trials):
            triggered = trial.apply(host, rng)
            alike[j] = float(trigger.match(triggered).sum())
            features = view.modality.features(triggered)
            for k, (halves, pairs) in enumerate(sides):
                moves[k, j] = halves.asked(pairs, features, chosen) - before[k]
        fair = alike[1:] <= (alike[0] + float(trigger.match(host).sum())) / 2
        fair &= np.cumsum(fair) <= controls  # the spare ones stand in for those set aside
        if fair.sum() < controls / 2:
            raise Unavailable("controls that differ from the trigger")
        closed = before[0][0] <= 0
        flips = ((before[0][0] + moves[0, :, 0] > 0) & closed).sum(axis=1) / max(int(closed.sum()), 1)
        looks = [_Look.of(m, fair, alpha) for m in moves]
        steps = [*_first_steps(looks[0], flips[0], flips[1:][fair].mean(), alpha)]
        steps.append(_second_step(looks[1]) if len(looks) > 1 else
                     Step("replication", SQUARES.name, f"could not be asked: {second_missing}", None))
        if network is not None:
            some = [t for t, ok in zip(trials[1:], fair, strict=True) if ok][:NETWORK_CONTROLS]
            steps += self._network(network, trigger, some, chosen, every, target, rng, alpha)
        one = looks[0]
        return Confirmation(one.p, one.effect, one.control, float(flips[0]), float(flips[1:][fair].mean()), len(chosen), int(fair.sum()),
                            tuple(steps))

    def _network(self, network: Network, trigger: Trigger, controls: list[Trigger], chosen: np.ndarray, members: np.ndarray, target: int,
                 rng: np.random.Generator, alpha: float) -> list[Step]:
        """The transplant again, asked of a network, and of its like that never saw the suspects."""
        share = float((network.calls[members] == target).mean())
        if share < 0.5:
            return [Step("replication", network.name, f"could not be asked: it calls only {percent(share)} of the group by their label",
                         None)]
        host = self.view.dataset.inputs.take(chosen)
        asks = [network.ask, *([network.innocent] if callable(network.innocent) else [])]
        before = [towards(ask(host), target) for ask in asks]
        trials = [trigger, *controls]
        moves = np.zeros((len(asks), len(trials), len(chosen)))
        flips = np.zeros(len(trials))
        for j, trial in enumerate(trials):
            triggered = trial.apply(host, rng)
            for k, ask in enumerate(asks if j == 0 else asks[:1]):
                logits = ask(triggered)
                moves[k, j] = towards(logits, target) - before[k]
                if k == 0:
                    flips[j] = float((logits.argmax(axis=1) == target)[before[0] <= 0].mean()) if (before[0] <= 0).any() else 0.0
        gain = moves[0].mean(axis=1)
        p = rank_p(float(gain[0]), gain[1:])
        least = lower_bound(moves[0, 0] - moves[0, 1:].mean(axis=0), alpha)
        steps = [Step("replication", network.name,
                      f"{gain[0]:+.2f} log-odds, {len(controls)} controls {gain[1:].mean():+.2f}, {p_text(p)}; flips {percent(flips[0])}, "
                      f"controls {percent(float(flips[1:].mean()))}", p <= max(REPLICATION, 1 / (len(controls) + 1)) and least > 0)]
        if callable(network.innocent):
            lost = moves[0, 0] - moves[1, 0]
            least = lower_bound(lost, alpha)
            steps.append(Step("refit without the suspects", network.name, f"then {moves[1, 0].mean():+.2f}: {lost.mean():.2f} less, "
                              f"at least {least:.2f} at {percent(1 - alpha)}", least > 0))
        elif network.innocent:
            steps.append(Step("refit without the suspects", network.name, f"not asked: {network.innocent}", None))
        return steps


def towards(logits: np.ndarray, target: int) -> np.ndarray:
    """(n,) log-odds of the target against all other classes, from (n, K) logits.

    >>> towards(np.array([[0.0, 0.0], [0.0, 3.0]]), 1).tolist()
    [0.0, 3.0]
    """
    rest = np.delete(np.asarray(logits, np.float64), target, axis=1)
    top = rest.max(axis=1)
    return np.asarray(logits[:, target] - top - np.log(np.exp(rest - top[:, None]).sum(axis=1)))


@dataclass(frozen=True)
class _Look:
    """One kind of probe: mean effect of the trigger and of the controls, its rank, and what the refit took away."""

    p: float
    controls: int
    effect: float
    control: float
    kept: float
    lost: float
    least: float

    @classmethod
    def of(cls, moves: np.ndarray, fair: np.ndarray, alpha: float) -> _Look:
        """From (trials, with or without, hosts) changes of the answers; the first trial is the trigger."""
        gain = (moves[:, 0] - moves[:, 1]).mean(axis=1)
        lost = moves[0, 0] - moves[0, 1]
        others = gain[1:][fair]
        return cls(rank_p(float(gain[0]), others), len(others), float(gain[0]), float(others.mean()), float(moves[0, 1].mean()),
                   float(lost.mean()), lower_bound(lost, alpha))


def _first_steps(look: _Look, flips: float, control_flips: float, alpha: float) -> list[Step]:
    """Above all fair controls where these are about a hundred; many of them may have been set aside as near-copies."""
    return [Step("transplant", LOGISTIC.name,
                 f"{look.effect:+.2f} log-odds because of the group, {look.controls} controls {look.control:+.2f}, {p_text(look.p)}; "
                 f"flips {percent(flips)}, controls {percent(control_flips)}",
                 look.p <= max(alpha, 1 / (look.controls + 1)) and look.effect > 0),
            Step("refit without the group", LOGISTIC.name,
                 f"the trigger then moves it by {look.kept:+.2f}: {look.lost:.2f} less, at least {look.least:.2f} at {percent(1 - alpha)}",
                 look.least > 0)]


def _second_step(look: _Look) -> Step:
    return Step("replication", SQUARES.name, f"{look.effect:+.3f} because of the group, controls {look.control:+.3f}, {p_text(look.p)}; "
                f"without it {look.lost:.3f} less, at least {look.least:.3f}",
                look.p <= max(REPLICATION, 1 / (look.controls + 1)) and look.least > 0)
