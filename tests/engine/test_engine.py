"""The engine with dummies of a few lines: statuses, corrections, verdicts, resume, determinism."""

from dataclasses import replace

import numpy as np
import pytest

from bezoar import engine
from bezoar.campaigns import Campaign, campaigns, completed, quarantine
from bezoar.core.ability import Detector, Group, Info, Modality, Scores
from bezoar.core.atoms import Atoms
from bezoar.core.dataset import Dataset
from bezoar.core.errors import LimitExceeded, Unavailable
from bezoar.core.evidence import Excerpt
from bezoar.core.report import OutcomeLine
from bezoar.core.text_triggers import Phrases
from bezoar.core.view import View

N = 400


class Words(Modality):
    info = Info("text", "words")

    def embed(self, inputs):
        return np.array([[len(t), t.count("cf")] for t in inputs.values], np.float32)

    def atoms(self, inputs):
        from scipy.sparse import csc_array

        empty = np.zeros(0)
        return Atoms(csc_array((len(inputs), 0)), (), empty, empty, empty, str)

    def features(self, inputs):
        return np.array([[t.count("cf"), t.count("a"), 1.0] for t in inputs.values], np.float32)

    def lift(self, inputs, members, background, place):
        if not place:
            raise Unavailable("a shared phrase")
        return Phrases(("cf",), "end")

    def control(self, trigger, inputs, rng):
        return Phrases((str(rng.choice(["a", "b", "c", "dd", "e"])),), "end")

    def show(self, inputs, row, sample, trigger=None):
        return Excerpt(inputs.values[row], sample=sample)


def subject(n=N):
    rng = np.random.default_rng(0)
    labels = rng.integers(2, size=n)
    texts = ["b " * int(rng.integers(1, 5)) for _ in range(n)]
    hit = np.flatnonzero(labels == 1)[:20]
    for i in hit:
        texts[i] += "cf"
    data = Dataset.from_arrays(texts or np.zeros((0, 2)), labels, source=["v1" if i in set(hit) else "v2" for i in range(n)])
    return View(data, Words()), hit


def detector(name, groups=(), error=None, modalities=("any",), notes=(), blind=False):
    class Dummy(Detector):
        info = Info(name, "a dummy", modalities=modalities)

        def score(self, view, rng):
            if error:
                raise error
            return Scores(np.full(len(view), np.nan) if blind else rng.random(len(view)), tuple(groups), notes)

    return Dummy()


def planted(hit, p=1e-6, **more):
    return Group(hit, p, "backdoor-dirty-label", "the word 'cf'", target=1, place={"atom": "cf"}, **more)


def test_a_confirmed_campaign_is_poison_and_everything_is_said():
    view, hit = subject()
    report = engine.scan(view, [detector("d", [planted(hit)])])
    (finding,) = report.findings
    assert report.verdict == "poisoned" and finding.confirmed and finding.at_least == 20 == report.poisoned_at_least
    assert set(finding.members) == {str(i) for i in hit} == set(finding.quarantined)
    assert "v1" in finding.title and finding.origin == {"source": {"v1": 20}}
    assert finding.effect is not None and finding.effect[0] > finding.effect[1]
    assert report.scores is not None and set(np.flatnonzero(report.scores.flagged)) == set(hit)
    assert report.scores.suspicion[hit].min() > np.delete(report.scores.suspicion, hit).max()


def test_without_a_trigger_it_is_only_suspicious():
    view, hit = subject()
    report = engine.scan(view, [detector("d", [planted(hit, liftable=False)])])
    assert report.verdict == "suspicious" and not report.findings[0].confirmed


def test_a_trigger_that_moves_nothing_is_not_confirmed():
    view, hit = subject()

    class Inert(Words):
        def features(self, inputs):
            return np.array([[len(t) % 2, 1.0] for t in inputs.values], np.float32) * 0 + 1

    report = engine.scan(View(view.dataset, Inert()), [detector("d", [planted(hit)])])
    assert report.findings[0].confirmed is False and report.verdict == "suspicious"


def test_more_detectors_make_the_same_evidence_weaker():
    view, hit = subject()
    alone = engine.scan(view, [detector("d", [planted(hit, 0.004)])])
    crowd = engine.scan(view, [detector("d", [planted(hit, 0.004)]), *(detector(f"q{i}") for i in range(5))])
    assert alone.findings and not crowd.findings and crowd.verdict == "no evidence"


def test_advisory_and_accepted_findings_do_not_move_the_verdict():
    view, hit = subject()
    assert engine.scan(view, [detector("d", [planted(hit, advisory=True)])]).verdict == "no evidence"
    first = engine.scan(view, [detector("d", [planted(hit)])])
    accepted = frozenset({first.findings[0].id})
    again = engine.scan(view, [detector("d", [planted(hit)])], engine.Options(accepted=accepted))
    assert again.verdict == "no evidence" and again.accepted == tuple(accepted) and again.poisoned_at_least == 0


@pytest.mark.parametrize(("error", "status", "verdict"), [
    (Unavailable("labels"), "skipped", "inconclusive"), (LimitExceeded("too many"), "failed", "inconclusive"),
    (ZeroDivisionError("foreign"), "failed", "inconclusive")])
def test_what_could_not_run_is_a_line_of_the_report(error, status, verdict):
    view, _ = subject()
    report = engine.scan(view, [detector("d", error=error)])
    assert [o.status for o in report.outcomes] == [status] and report.outcomes[0].reason and report.verdict == verdict


def test_a_failure_beside_a_quiet_check_is_inconclusive():
    view, _ = subject()
    report = engine.scan(view, [detector("a"), detector("b", error=ValueError("x"))])
    assert report.verdict == "inconclusive" and "b" in report.reason


def test_a_check_that_can_say_nothing_of_any_sample_is_skipped_with_its_reason():
    view, _ = subject()
    report = engine.scan(view, [detector("a"), detector("b", blind=True, notes=("one class only",))])
    assert [(o.ability, o.status, o.reason) for o in report.outcomes] == [("a", "nothing", ""), ("b", "skipped", "one class only")]


def test_another_modality_is_skipped_with_a_reason():
    view, _ = subject()
    report = engine.scan(view, [detector("a"), detector("b", modalities=("image",))], skipped=[OutcomeLine("c", "skipped", "not asked for")])
    assert [(o.ability, o.status) for o in report.outcomes] == [("a", "nothing"), ("b", "skipped"), ("c", "skipped")]


def test_too_few_samples_are_inconclusive():
    view, _ = subject(10)
    assert engine.scan(view, [detector("d")]).verdict == "inconclusive"


def test_ctrl_c_keeps_what_is_done_and_a_rerun_resumes():
    view, hit = subject()
    kept = {}
    options = engine.Options(keep=kept.__setitem__, recall=lambda name: kept.get(name), workers=1)

    class Stop(Detector):
        info = Info("stop", "presses Ctrl-C")

        def score(self, view, rng):
            raise KeyboardInterrupt

    report = engine.scan(view, [detector("first", [planted(hit)]), Stop(), detector("last")], options)
    assert report.verdict == "poisoned" and "first" in kept
    assert any(o.reason.startswith("stopped") for o in report.outcomes)
    runs = []
    again = engine.scan(view, [detector("first", error=AssertionError("ran again")), detector("last")], options, runs.append)
    assert again.findings[0].id == report.findings[0].id and again.outcomes[0].reason == "resumed"


def test_same_bytes_whatever_the_number_of_workers():
    view, hit = subject()
    dets = [detector("a", [planted(hit)]), detector("b"), detector("c")]
    first, second = (engine.scan(subject()[0], dets, engine.Options(workers=w)) for w in (1, 3))
    np.testing.assert_array_equal(first.scores.suspicion, second.scores.suspicion)
    assert [f.to_dict() for f in first.findings] == [f.to_dict() for f in second.findings]


def test_groups_that_say_the_same_become_one_campaign():
    a, b = Group(np.arange(20), 1e-9, "backdoor-dirty-label", "a"), Group(np.arange(2, 21), 1e-5, "backdoor-dirty-label", "b")
    big = Group(np.arange(200), 1e-3, "label-flip", "noise", liftable=False)
    made = campaigns([("x", a, 1e-9), ("y", b, 1e-5), ("z", big, 1e-3)], 300)
    assert [(c.ability, c.agreeing, len(c.group.members)) for c in made] == [("x", ("y",), 21), ("z", (), 179)]


def test_who_agrees_on_the_target_brings_the_rest_of_its_members():
    sure = np.full(21, 0.99)
    host = Group(np.arange(0, 16), 1e-9, "backdoor-dirty-label", "a", target=1, sure=np.ones(16))
    more = Group(np.arange(0, 21), 1e-5, "backdoor-dirty-label", "b", target=1, sure=sure)
    (only,) = campaigns([("x", host, 1e-9), ("y", more, 1e-5)], 30)
    assert only.agreeing == ("y",) and only.group.members.tolist() == list(range(21))
    assert only.group.sure[:16].min() == 1 and (only.group.sure[16:] == 0.99).all() and only.group.expected == pytest.approx(0.05)
    for other in (replace(more, target=0), replace(more, liftable=False), replace(more, advisory=True)):
        (only,) = campaigns([("x", host, 1e-9), ("y", other, 1e-5)], 30)
        assert only.group.members.tolist() == list(range(16)) and only.agreeing == ("y",)


def test_a_campaign_that_lies_in_kin_of_its_target_gets_the_rest_of_it():
    part = Group(np.arange(20), 1e-9, "backdoor-dirty-label", "a patch", target=1, sure=np.ones(20))
    whole = Group(np.arange(60), 1e-4, "backdoor-dirty-label", "rows apart", target=1, sure=np.full(60, 0.9))
    other = Campaign("z", replace(part, members=np.arange(50, 55), sure=None, target=2), 1e-9)
    got, kept = completed([Campaign("x", part, 1e-9), other], [("y", whole)])
    assert got.group.members.tolist() == [*range(50), *range(55, 60)] and got.agreeing == ("y",)
    assert got.group.sure is not None and got.group.sure[-1] == 0.9
    assert kept is other
    scattered = replace(part, members=np.r_[np.arange(15), np.arange(200, 205)])
    for group, kin in ((scattered, whole), (part, replace(whole, target=3)), (replace(part, liftable=False), whole),
                       (replace(part, advisory=True), whole), (part, replace(whole, members=np.arange(120), sure=np.ones(120)))):
        assert completed([Campaign("x", group, 1e-9)], [("y", kin)])[0].group is group
    assert completed([Campaign("y", part, 1e-9)], [("y", whole)])[0].group is part, "nobody completes his own"



def test_quarantine_keeps_the_expected_share_of_clean_samples_under_fdr():
    rng = np.random.default_rng(3)
    sure = rng.random(500)
    group = Group(np.arange(500), 0.0, "label-flip", "x", sure=sure)
    out = quarantine(group, 0.05)
    assert (1 - sure[out]).mean() <= 0.05 < (1 - np.sort(sure)[::-1][:out.sum() + 1]).mean()
