"""Who is asked whether a campaign is a cause: half-data probes always, a network where one stands by, its like trained again.

Probes and trainings are shared by all campaigns of a run: one network is trained without any of them, one with a half of each.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace

import numpy as np

from bezoar.campaigns import Campaign
from bezoar.confirm import Confirmation, Network, Prober, Step
from bezoar.core.chance import generator
from bezoar.core.errors import Unavailable
from bezoar.core.learned import Ask
from bezoar.core.trigger import Trigger
from bezoar.core.view import View
from bezoar.refit import Controls, Refits, by_network, by_probes


@dataclass(frozen=True)
class Care:
    """How carefully to ask.

    controls  control triggers per campaign
    most      campaigns that are put to the test
    network   whether the network of the view is asked too
    retrain   0: no network is trained for this; 1: without the groups and with one half of each; 2: with the other half as well
    """

    controls: int = 199
    most: int = 20
    network: bool = False
    retrain: int = 0


class Causes:
    """Confirms the `campaigns` of one view, one at a time."""

    def __init__(self, view: View, campaigns: Sequence[Campaign], seed: int, care: Care) -> None:
        self._view, self._seed, self._care, self._left = view, seed, care, care.most
        self._aimed = [c.group.members for c in campaigns if testable(c) is None]
        self._unlifted = [(c.group.members, c.group.target) for c in campaigns
                          if testable(c) is None and c.group.target is not None and refitted(c)]
        self._prober: Prober | None = None
        self._innocent: Ask | str | None = None
        self._refits: Refits | None = None
        self._controls: dict[bytes, Controls] | None = None

    def __call__(self, campaign: Campaign, trigger: Trigger | None, alpha: float) -> Confirmation | str:
        """A Confirmation at level `alpha`, or a sentence that says why there is none; "" where the kind of finding needs none."""
        reason = testable(campaign)
        if reason is not None:
            return reason
        if self._left <= 0:
            return f"only the first {self._care.most} campaigns are confirmed"
        self._left -= 1
        group, rng = campaign.group, generator(self._seed, "confirm")
        assert group.target is not None
        try:
            if trigger is not None:
                lifted = self._probes().confirm(trigger, group.members, group.target, rng, controls=self._care.controls, alpha=alpha,
                                                network=self._network())
                return lifted if lifted.held or not self._care.retrain or not refitted(campaign) else \
                    self._otherwise(lifted, group.members, group.target, rng, alpha)
            if not refitted(campaign):
                return ""
            return self._refitted(group.members, group.target, rng, alpha)
        except Unavailable as missing:
            return str(missing)

    def _otherwise(self, lifted: Confirmation, members: np.ndarray, target: int, rng: np.random.Generator,
                   alpha: float) -> Confirmation:
        """What the members themselves say where models did not learn what was lifted from them; if they say no, `lifted`."""
        try:
            asked = self._refitted(members, target, rng, alpha)
        except Unavailable:
            return lifted
        if not asked.held:
            return lifted
        no = "; ".join(f"{s.what}, {s.model}: {s.measured}" for s in lifted.steps if s.held is False)
        return replace(asked, steps=(*asked.steps, Step("transplant", "all models", f"they did not learn what was lifted: {no}", None)))

    def _probes(self) -> Prober:
        if self._prober is None:
            self._prober = Prober(self._view, generator(self._seed, "probe"))
        return self._prober

    def _network(self) -> Network | None:
        """The network of the view and, where that is wanted, its like without the suspects."""
        if not self._care.network:
            return None
        try:
            taught = self._view.taught()
        except Unavailable:
            return None  # the checks that need it say why
        return Network(taught.name, taught.ask, taught.learned.logits.argmax(axis=1), self._without())

    def _without(self) -> Ask | str:
        """A network trained without any of the campaigns, or why there is none."""
        if self._innocent is None:
            if not self._care.retrain:
                self._innocent = "no network is trained again at this effort"
            else:
                codes = self._view.labels.copy()
                codes[np.unique(np.concatenate([*self._aimed, self._left_out()]))] = -1
                try:
                    self._innocent = self._view.modality.retrained(self._view.dataset.inputs, codes, len(self._view.classes),
                                                                   self._view.seed)
                except Unavailable as missing:
                    self._innocent = str(missing)
        return self._innocent

    def _drawn(self) -> dict[bytes, Controls]:
        """The controls of every group without a trigger, by its members."""
        if self._controls is None:
            rng, taken, self._controls = generator(self._seed, "others"), np.unique(np.concatenate(self._aimed)), {}
            for members, target in self._unlifted:
                with suppress(Unavailable):  # said when the group is asked about
                    self._controls[members.tobytes()] = Controls.of(self._view, members, target, taken, rng)
        return self._controls

    def _left_out(self) -> np.ndarray:
        return np.concatenate([np.zeros(0, np.int64), *(c for held in self._drawn().values() for c in (held.same, held.alike))])

    def _refitted(self, members: np.ndarray, target: int, rng: np.random.Generator, alpha: float) -> Confirmation:
        controls = self._drawn().get(members.tobytes())
        if controls is None:
            controls = Controls.of(self._view, members, target, np.unique(np.concatenate(self._aimed)), rng)
        network = self._network() if self._care.retrain else None
        if network is None or not callable(network.innocent):
            return by_probes(self._probes(), members, controls, target, rng, alpha)
        if self._refits is None:
            self._refits = Refits.of(self._view, self._aimed, self._left_out(), generator(self._seed, "halves"), network.innocent,
                                     self._care.retrain > 1)
        return by_network(self._view, members, controls, target, self._refits, network.calls, network.name, rng, alpha)


REFITTED = frozenset({"backdoor-dirty-label", "backdoor-clean-label", "targeted"})
"""Threats whose groups are put to the test without a trigger."""


def refitted(campaign: Campaign) -> bool:
    """Whether a campaign is put to the test without a trigger where none can be lifted."""
    return campaign.group.kind == "group" and campaign.group.threat in REFITTED


def testable(campaign: Campaign) -> str | None:
    """None where a campaign may be put to the test, else the reason, "" where its kind needs none."""
    if campaign.group.advisory:
        return ""
    return "no single target class to test" if campaign.group.target is None else None
