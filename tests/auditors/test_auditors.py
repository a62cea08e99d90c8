"""What auditors say of a clean and of a planted network."""

from dataclasses import replace

import numpy as np
import pytest

from bezoar import registry
from bezoar.core.ability import Info
from bezoar.core.audit import Audited, Auditor, AuditView
from bezoar.core.errors import AbilityFailed, Unavailable
from bezoar.testing.suspects import TARGET, planted_trigger, small_suspect


def test_the_planted_network_has_its_backdoor():
    suspect, clean = small_suspect(1, planted=True)
    others = clean.take(np.flatnonzero(clean.labels.codes != 3))
    answers = suspect.predict(planted_trigger().apply(others.inputs, np.random.default_rng(0))).argmax(axis=1)
    assert (answers == int(TARGET)).mean() > 0.9
    assert (suspect.predict(clean.inputs).argmax(axis=1) == clean.labels.codes).mean() > 0.85


class Wrong(Auditor):
    info = Info(name="wrong", summary="returns what it is told")

    def __init__(self, *, kind: str = "shape") -> None:
        self.kind = kind

    def audit(self, view, rng):
        if self.kind == "boom":
            raise ZeroDivisionError("x")
        return {"shape": Audited(np.zeros(3)), "infinite": Audited(np.full(10, np.inf)), "target": Audited(np.zeros(10), 10)}[self.kind]


@pytest.mark.parametrize(("kind", "words"), [("shape", "3,"), ("infinite", "not finite"), ("target", "does not exist"), ("boom", "ZeroDivisionError")])
def test_the_final_call_checks(kind, words):
    suspect, _ = small_suspect(0)
    with pytest.raises(AbilityFailed, match=words):
        Wrong(kind=kind)(AuditView(suspect), np.random.default_rng(0))


def test_a_view_says_what_is_missing_and_computes_once():
    suspect, clean = small_suspect(0)
    with pytest.raises(Unavailable, match="clean samples"):
        AuditView(suspect).samples()
    view, calls = AuditView(suspect, clean), []
    assert view.once("a", lambda: calls.append(1) or 7) == view.once("a", lambda: calls.append(1) or 8) == 7
    assert calls == [1] and view.references() == ()


def test_max_margin_sees_the_target_of_the_planted_network():
    suspect, _ = small_suspect(1, planted=True)
    said = registry.make("auditors", "max-margin")(AuditView(suspect), np.random.default_rng(0))
    assert np.isfinite(said.statistic).all() and said.evidence


def test_drift_says_where_blurred_samples_go():
    suspect, clean = small_suspect(0)
    said = registry.make("auditors", "drift")(AuditView(suspect, clean), np.random.default_rng(0))
    assert np.isfinite(said.statistic).all() and said.trigger is None
    eager = replace(suspect, answer=lambda inputs: np.where(_smooth(inputs)[:, None], np.eye(10)[4], suspect.answer(inputs)))
    drawn = registry.make("auditors", "drift")(AuditView(eager, clean), np.random.default_rng(0))
    assert drawn.target == 4 and drawn.statistic[4] > said.statistic[4] + 1.5


def _smooth(inputs):
    """Whether neighbouring pixels of each picture are alike."""
    return np.abs(np.diff(inputs.dense().astype(np.float32), axis=2)).mean(axis=(1, 2, 3)) < 56
