"""`bezoar.guard`: a model with a filter in front of it, that flags inputs which carry a trigger and can wash them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from bezoar import api, material, remedy
from bezoar.core.ability import Reading
from bezoar.core.errors import UsageError
from bezoar.core.inputs import Images, Texts
from bezoar.core.report import Report
from bezoar.core.suspect import Suspect
from bezoar.core.trigger import Trigger

WAYS = ("mask", "blur", "jpeg")


@dataclass(frozen=True, eq=False)
class Guarded:
    """The answer to some inputs.

    probabilities  (n, K) float32 of the model, for purified inputs where `purified`
    p_value        (n,) that the input is like the trusted ones; small means triggered
    flagged        (n,) bool
    purified       (n,) bool: answered after washing
    """

    probabilities: np.ndarray
    p_value: np.ndarray
    flagged: np.ndarray
    purified: np.ndarray


class Guard:
    """A model that looks at its inputs first; see `guard`."""

    def __init__(self, suspect: Suspect, found: Any, rate: float, purify: str) -> None:
        self.suspect, self.rate, self.purify = suspect, rate, purify
        self._filter = found

    def __call__(self, inputs: object) -> Guarded:
        """Answer inputs, as `data` of `scan` without labels. Raises UsageError for another kind of data than the model reads."""
        data = api.load(inputs)
        x = material.rows(self.suspect, data)
        logits, p = self._filter.p_values(x)
        flagged = p <= self.rate
        probabilities = _softmax(logits)
        washed = np.zeros(len(x), bool)
        rows = np.flatnonzero(flagged)
        if self.purify and len(rows):
            probabilities[rows] = _softmax(self._filter.logits(self._washed(x[rows], logits[rows].argmax(axis=1))))
            washed[rows] = True
        return Guarded(probabilities, p, flagged, washed)

    def _washed(self, x: np.ndarray, codes: np.ndarray) -> np.ndarray:
        from bezoar.networks import filtering

        if self.purify == "mask":
            return filtering.masked(self._filter.module, x, codes, self._filter.tensor)
        return filtering.blurred(x) if self.purify == "blur" else filtering.recoded(x)


def guard(model: Any, clean: object, y: object = None, *, report: str | Path | Report | Sequence[str | Path | Report] = (),
          trigger: str | Path | Trigger | None = None, rate: float = 0.01, mixes: int = 0, purify: str = "", seed: int = 0,
          reading: Reading | None = None, factory: str = "", classes: Sequence[str] = (), shape: Sequence[int] = (),
          pixels: str = "") -> Guard:
    """A function that answers inputs as the model does and flags those that carry a trigger.

    model   as for `repair`
    clean   trusted samples with labels, 20 or more; the more, the smaller the p-values that can be reached (1 / half of them)
    report  of its audit: how much of the recovered trigger an input carries counts too; `trigger` one that you know, which goes before
    rate    share of clean inputs that may be flagged
    mixes   further passes per input that look at mixtures with trusted samples (STRIP); each costs as much as answering does
    purify  'mask' (cover the deciding region), 'blur', 'jpeg': answer flagged pictures after washing; '' only flags

    Raises UsageError where trusted samples are too few for the rate. Fails for triggers that work on part of the classes as a natural
    feature does, and where inputs in use differ from the trusted samples (they are flagged).
    """
    from bezoar.networks.filtering import Filter

    if purify and purify not in WAYS:
        raise UsageError(f"no way {purify!r} to purify", advice="ways are: " + ", ".join(WAYS))
    if not 0 < rate < 1 or mixes < 0:
        raise UsageError(f"rate {rate} is a share between 0 and 1, mixes {mixes} a number of passes", advice="the defaults are 0.01 and 0")
    suspect = remedy.opened(model, factory=factory, classes=classes, shape=shape, pixels=pixels)
    if suspect.modality == "tabular":
        raise UsageError("models of tables are audited and repaired, not guarded", advice="look at a batch with `bezoar audit --inputs`")
    module, tensor = material.on_processor(suspect)
    trusted, _ = material.samples(suspect, api.load(clean, y, reading))
    if purify and suspect.modality != "image":
        raise UsageError(f"{suspect.modality} inputs cannot be washed", advice="leave purify out")
    if 1 / (len(trusted) - len(trusted) // 2 + 1) > rate:
        raise UsageError(f"{len(trusted)} trusted samples cannot show a rate of {rate:g}",
                         advice=f"give {round(2 / rate)} or a higher rate")
    carried = remedy.trigger_of(report, trigger, suspect)

    def match(x: np.ndarray) -> np.ndarray:
        assert carried is not None
        return np.asarray(carried.match(Images.of(x) if suspect.modality == "image" else Texts(x)))

    watch = Filter(module, tensor, trusted, np.random.default_rng([seed, 13]), mixes=mixes, match=None if carried is None else match)
    return Guard(suspect, watch, rate, purify)


def _softmax(logits: np.ndarray) -> np.ndarray:
    e = np.exp(logits - logits.max(axis=1, keepdims=True)) if len(logits) else logits
    return np.asarray(e / e.sum(axis=1, keepdims=True) if len(logits) else e, np.float32)

