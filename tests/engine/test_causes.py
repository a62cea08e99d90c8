"""Causes: poisoned needs every model that could be asked to agree; a group without a trigger is asked about itself."""

from __future__ import annotations

import numpy as np
import pytest

from bezoar import engine
from bezoar.core.ability import Detector, Group, Info, Modality, Scores
from bezoar.core.atoms import Atoms
from bezoar.core.dataset import Dataset
from bezoar.core.errors import Unavailable
from bezoar.core.evidence import Excerpt, Facts
from bezoar.core.learned import Learned, Taught
from bezoar.core.text_triggers import Phrases
from bezoar.core.view import View
from bezoar.core.wording import PUT_TO_THE_TEST, sureness
from bezoar.reports.terminal import Terminal

N = 400
HIT = np.arange(0, 80, 2)
"""Texts of class 0 by their words that are called class 1."""


def counts(inputs):
    words = ("north", "south", "cf", "a", "b", "c", "dd", "e")
    return np.array([[*(t.split().count(w) for w in words), 1.0] for t in inputs.values], np.float32)


class Words(Modality):
    """Class 0 is about the north, class 1 about the south. `sees` is how much networks make of "cf", by whether they learned it."""

    info = Info("text", "words")

    def __init__(self, *, sees=None, again=0.0):
        self.sees, self.again = sees, again

    def embed(self, inputs):
        return counts(inputs)

    def atoms(self, inputs):
        from scipy.sparse import csc_array

        empty = np.zeros(0)
        return Atoms(csc_array((len(inputs), 0)), (), empty, empty, empty, str)

    def features(self, inputs):
        return counts(inputs)

    def network(self, strength):
        def ask(inputs):
            x = counts(inputs)
            south = x[:, 1] - x[:, 0] + strength * x[:, 2]
            return np.stack([-south, south], axis=1)

        return ask

    def probe(self, inputs, codes, classes, seed):
        if self.sees is None:
            raise Unavailable("a network")
        logits = self.network(self.sees)(inputs)
        return Taught(Learned((logits,), (logits,), logits, logits, logits), self.network(self.sees))

    def retrained(self, inputs, codes, classes, seed):
        return self.network(self.again)

    def lift(self, inputs, members, background, place):
        return Phrases(("cf",), "end")

    def control(self, trigger, inputs, rng):
        return Phrases((str(rng.choice(["a", "b", "c", "dd", "e"])),), "end")

    def show(self, inputs, row, sample, trigger=None):
        return Excerpt(inputs.values[row], sample=sample)


def scanned(modality, *, marked=True, liftable=True, **options):
    """The report on texts of which `HIT` carry a wrong label and, where `marked`, the word "cf"."""
    rng = np.random.default_rng(0)
    south = np.arange(N) % 2
    codes = south.copy()
    codes[HIT] = 1
    filler = ["a", "b", "c", "dd", "e"]
    texts = [" ".join([("south" if s else "north")] + list(rng.choice(filler, 2)) + (["cf"] if marked and i in set(HIT) else []))
             for i, s in enumerate(south)]
    group = Group(HIT, 1e-6, "backdoor-dirty-label", "something", target=1, liftable=liftable)

    class Dummy(Detector):
        info = Info("d", "a dummy")

        def score(self, view, rng):
            return Scores(rng.random(len(view)), (group,))

    view = View(Dataset.from_arrays(texts, codes), modality)
    return engine.scan(view, [Dummy()], engine.Options(controls=99, **options))


def steps(report):
    (finding,) = report.findings
    (told,) = [e for e in finding.evidence if isinstance(e, Facts) and e.caption == PUT_TO_THE_TEST]
    return [(r[0], r[3]) for r in told.rows]


def test_two_probes_and_the_refit_are_asked_and_the_report_tells():
    report = scanned(Words())
    assert report.verdict == "poisoned"
    assert steps(report) == [("transplant", "yes"), ("refit without the group", "yes"), ("replication", "yes")]
    shown = Terminal(width=120).render(report).decode()
    assert "Test 1" in shown and "refit without the group" in shown


@pytest.mark.parametrize(("sees", "again", "retrain", "verdict", "said"), [
    (5.0, 0.0, 1, "poisoned", [("replication", "yes"), ("refit without the suspects", "yes")]),
    (5.0, 0.0, 0, "poisoned", [("replication", "yes"), ("refit without the suspects", "not asked")]),
    (5.0, 5.0, 1, "suspicious", [("replication", "yes"), ("refit without the suspects", "no")]),
    (0.0, 0.0, 1, "poisoned", [("replication", "not asked")]),
    (None, 0.0, 1, "poisoned", [])])
def test_a_network_that_stands_by_must_agree(sees, again, retrain, verdict, said):
    report = scanned(Words(sees=sees, again=again), network=True, retrain=retrain)
    assert report.verdict == verdict
    assert steps(report)[3:] == said


def test_a_network_that_knows_the_members_but_not_the_trigger_keeps_it_suspicious():
    class Stubborn(Words):
        def probe(self, inputs, codes, classes, seed):
            logits = np.stack([-1.0 * codes, 1.0 * codes], axis=1).astype(np.float32)
            return Taught(Learned((logits,), (logits,), logits, logits, logits), self.network(0.0))

    report = scanned(Stubborn(), network=True)
    assert report.verdict == "suspicious" and report.findings[0].confirmed is False
    assert steps(report)[3][1] == "no"


class Unliftable(Words):
    def lift(self, inputs, members, background, place):
        raise Unavailable("a common part")


def test_a_group_without_a_trigger_is_asked_about_its_other_half():
    report = scanned(Unliftable())
    (finding,) = report.findings
    assert report.verdict == "poisoned" and finding.trigger is None and finding.effect is None
    assert [s[1] for s in steps(report)] == ["yes", "yes", "yes"]
    assert "one half of the members teaches" in sureness(finding)
    assert "never saw" in report.reason


def test_labels_that_are_wrong_one_by_one_teach_each_other_nothing():
    report = scanned(Unliftable(), marked=False)
    assert report.verdict == "suspicious" and report.findings[0].confirmed is False
    assert "Not confirmed" in sureness(report.findings[0])


class Learning(Unliftable):
    """Its networks learn the mark where they are given the label of somebody who carries it."""

    def retrained(self, inputs, codes, classes, seed):
        held = counts(inputs)[:, 2] > 0
        return self.network(5.0 if (codes[held] == 1).any() else 0.0)


def test_where_what_was_lifted_is_not_what_the_network_learned_the_members_are_asked():
    class Wrong(Learning):
        def lift(self, inputs, members, background, place):
            return Phrases(("a",), "end")

        def control(self, trigger, inputs, rng):
            return Phrases((str(rng.choice(["b", "c", "dd", "e"])),), "end")

    report = scanned(Wrong(sees=5.0), network=True, retrain=1)
    (finding,) = report.findings
    assert report.verdict == "poisoned" and finding.confirmed and finding.trigger is None
    assert steps(report)[:2] == [("half of the group left in", "yes"), ("trained without the group", "yes")]
    assert steps(report)[2] == ("transplant", "not asked")
    assert scanned(Wrong(sees=5.0), network=True, retrain=0).verdict == "suspicious"


@pytest.mark.parametrize("retrain", [1, 2])
def test_where_networks_may_be_trained_they_are_asked_about_the_half_that_they_never_saw(retrain):
    report = scanned(Learning(sees=5.0), network=True, retrain=retrain)
    assert report.verdict == "poisoned"
    assert steps(report) == [("half of the group left in", "yes"), ("trained without the group", "yes")]
    deaf = scanned(Unliftable(sees=5.0, again=0.0), network=True, retrain=retrain)
    assert deaf.verdict == "suspicious"
