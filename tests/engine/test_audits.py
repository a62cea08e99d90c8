"""An audit from end to end on small networks: the planted one is named with its class and its trigger, bad input is said clearly."""

import json
from dataclasses import replace

import numpy as np
import pytest

from bezoar import api, auditing, audits
from bezoar.core.ability import Info
from bezoar.core.audit import Audited, Auditor, AuditView
from bezoar.core.dataset import Dataset
from bezoar.core.errors import AbilityFailed, ExitCode, Unavailable, UsageError
from bezoar.core.image_triggers import Overlay, Patch
from bezoar.reports.json_report import load
from bezoar.testing.suspects import TARGET, planted_trigger, small_suspect
from bezoar.transplant import control, transplant


@pytest.fixture(scope="module")
def planted():
    suspect, clean = small_suspect(1, planted=True)
    return suspect, clean.take(np.arange(150))


@pytest.fixture(scope="module")
def report(planted, tmp_path_factory):
    suspect, clean = planted
    out = tmp_path_factory.mktemp("audit")
    return auditing.audit(suspect, data=clean, effort="quick", out=out), out


def test_the_planted_network_is_named_with_its_class_and_a_trigger_that_works(report):
    said, out = report
    assert said.verdict in ("poisoned", "suspicious"), said.reason
    (finding,) = said.findings
    assert finding.target == TARGET and finding.kind == "model" and finding.trigger is not None
    assert finding.effect[0] > 0.5 > finding.effect[1]
    assert said.subject["kind"] == "model" and said.subject["clean_samples"] == 150
    assert api.exit_code(said) is ExitCode.FINDINGS
    assert sorted(p.name for p in out.iterdir()) == ["report.html", "report.json", "report.sarif"]


def test_every_face_of_the_report_speaks_of_a_model(report):
    said, out = report
    page = (out / "report.html").read_text()
    assert "This model" in page and "Campaign" not in page and "data:image/png" in page
    back = load((out / "report.json").read_bytes())
    assert back.findings[0].id == said.findings[0].id and back.verdict == said.verdict
    sarif = json.loads((out / "report.sarif").read_text())
    assert [r["ruleId"] for r in sarif["runs"][0]["results"]] == ["model-backdoor"]
    text = api.terminal_text(said)
    assert "model" in text and "bezoar audit MODEL" in text and "bezoar clean" not in text


def test_the_same_view_and_seed_give_the_same_report(planted):
    suspect, clean = planted
    few = {"auditors": ["weights", "latent-shift"], "effort": "quick"}
    first, again = (auditing.audit(suspect, data=clean, **few) for _ in range(2))
    assert first.plan == again.plan and first.subject == again.subject and first.verdict == again.verdict


def test_without_data_only_some_checks_speak(planted):
    suspect, _ = planted
    said = auditing.audit(suspect, auditors=["weights", "known-triggers", "inversion"])
    status = {o.ability: o.status for o in said.outcomes}
    assert status["known-triggers"] == "skipped" and status["inversion"] in ("found", "nothing")
    assert said.subject["clean_samples"] == 0 and said.verdict in ("no evidence", "suspicious")
    assert any("stood in" in n for n in said.notes)


def test_a_black_box_is_asked_about_known_triggers(planted):
    suspect, clean = planted
    from bezoar.core.inputs import Images

    said = auditing.audit(lambda x: suspect.predict(Images.of(x)), data=clean)
    ran = {o.ability for o in said.outcomes if o.status in ("found", "nothing")}
    assert ran == {"drift", "known-triggers"}
    (finding,) = said.findings
    assert finding.target == TARGET and finding.confirmed


class Says(Auditor):
    info = Info(name="says", summary="says what it is told")

    def __init__(self, *, at: int = -1, fail: bool = False) -> None:
        self.at, self.fail = at, fail

    def audit(self, view, rng):
        if self.fail:
            raise ZeroDivisionError("x")
        statistic = np.linspace(-0.1, 0.1, view.n_classes)
        if self.at >= 0:
            statistic[self.at] = 9.0
        return Audited(statistic)


def test_verdicts():
    suspect, _ = small_suspect(0)
    view = AuditView(suspect)
    assert audits.audit(view, [Says()]).verdict == "no evidence"
    assert audits.audit(view, [Says(at=4)]).verdict == "suspicious"
    assert audits.audit(view, [Says(at=4)]).findings[0].target == "4"
    failed = audits.audit(view, [Says(fail=True)])
    assert failed.verdict == "inconclusive" and api.exit_code(failed) is ExitCode.INCOMPLETE
    found = audits.audit(view, [Says(at=4)])
    accepted = audits.audit(view, [Says(at=4)], audits.Options(accepted=frozenset({found.findings[0].id})))
    assert accepted.verdict == "no evidence" and api.exit_code(accepted) is ExitCode.NOTHING


def test_two_classes_cannot_be_held_against_each_other():
    suspect, _ = small_suspect(0)
    said = audits.audit(AuditView(replace(suspect, classes=("a", "b"))), [Says(at=1)])
    assert said.verdict == "inconclusive" and "2 classes are too few" in said.reason


def test_reference_models_speak_once_each_and_are_kept():
    suspect, clean = small_suspect(0)
    kept = {}
    view = AuditView(suspect, clean, references=lambda: [replace(suspect, fingerprint=f"{i}") for i in range(4)])
    options = audits.Options(recall=kept.get, keep=kept.__setitem__)
    said = audits.audit(view, [Says()], options)
    assert said.subject["reference_models"] == 4 and len(kept) == 4 and said.plan["judgement"]["basis"] == "references"
    kept.update({k: v + 1 for k, v in kept.items()})
    assert audits.audit(view, [Says()], options).plan["judgement"]["score"] < said.plan["judgement"]["score"]


def test_references_that_cannot_be_made_are_a_note():
    suspect, clean = small_suspect(0)

    def refuse():
        raise Unavailable("20 clean samples of each class")

    said = audits.audit(AuditView(suspect, clean, references=refuse), [Says()])
    assert any("20 clean samples" in n for n in said.notes) and said.subject["reference_models"] == 0


def test_a_trigger_that_works_on_clean_models_too_is_not_confirmed(planted):
    suspect, clean = planted
    told = {"x": Audited(np.zeros(10), 3, planted_trigger(), 1.0)}
    alone = transplant(AuditView(suspect, clean), 3, told, np.random.default_rng(0), controls=20)
    beside = transplant(AuditView(suspect, clean, references=lambda: [suspect]), 3, told, np.random.default_rng(0), controls=20)
    assert alone.confirmed and not beside.confirmed and beside.elsewhere == pytest.approx(alone.success)
    assert transplant(AuditView(suspect), 3, told, np.random.default_rng(0)) is None
    assert transplant(AuditView(suspect, clean), 4, told, np.random.default_rng(0)) is None


def test_controls_have_the_size_and_strength_of_the_trigger():
    rng = np.random.default_rng(0)
    patch = Patch(rng.integers(0, 256, (8, 8, 3), np.uint8), rng.random((8, 8), np.float32), 0.0, 0.0)
    wave = Overlay(rng.normal(0, 20, (8, 8, 3)).astype(np.float32))
    for _ in range(5):
        other, shaken = control(patch, rng), control(wave, rng)
        np.testing.assert_allclose(np.sort(other.mask.ravel()), np.sort(patch.mask.ravel()))
        np.testing.assert_allclose(np.linalg.norm(shaken.pattern), np.linalg.norm(wave.pattern), rtol=1e-6)
        assert not np.array_equal(shaken.pattern, wave.pattern)


def test_wrong_use_is_said(planted):
    suspect, clean = planted
    one = clean.take(np.flatnonzero(clean.labels.codes == 0))
    other = Dataset.from_arrays(clean.inputs, [f"c{c}" for c in clean.labels.codes % 3])
    for given, words in [({"data": one}, "one class"), ({"data": other}, "no class 'c0'"), ({"data": replace(clean, labels=None)}, "no labels"),
                         ({"data": ["a", "b"], "y": [0, 1]}, "text"), ({"effort": "huge"}, "effort"), ({"alpha": 0.9}, "alpha"),
                         ({"auditors": ["nobody"]}, "nobody")]:
        with pytest.raises(UsageError, match=words):
            auditing.audit(suspect, **given)
    with pytest.raises(UsageError, match="cannot audit"):
        auditing.audit(7)
    with pytest.raises(UsageError, match="height x width"):
        auditing.shape_of("big")


def test_classes_of_the_data_are_fitted_by_name_and_by_order(planted):
    suspect, clean = planted
    named = replace(suspect, classes=tuple(reversed(suspect.classes)))
    assert (auditing.fitted(clean, named).labels.codes == 9 - clean.labels.codes).all()
    words = Dataset.from_arrays(clean.inputs, [f"class {c}" for c in clean.labels.codes])
    assert (auditing.fitted(words, suspect).labels.codes == clean.labels.codes).all()


def test_damaged_weights_fail_and_are_a_gap(planted):
    suspect, clean = planted
    broken = replace(suspect, answer=lambda inputs: np.full((len(inputs), 10), np.nan))
    with pytest.raises(AbilityFailed, match="not finite"):
        broken.predict(clean.inputs)
    said = auditing.audit(broken, data=clean, auditors=["known-triggers"])
    assert said.verdict == "inconclusive" and said.gaps


def test_the_way_that_only_the_suspect_has_names_its_target():
    rng = np.random.default_rng(0)
    nature = rng.normal(size=(10, 10)) * 2  # some ways are easy for every network
    def ways() -> np.ndarray:
        said = nature + 0.2 * rng.normal(size=(10, 10))
        said[np.diag_indices(10)] = np.nan
        return said
    own, references = ways(), [{"ways": ways()} for _ in range(8)]
    assert audits.judged({"ways": own}, references).p_value > 0.05
    own[6, 2] += 3  # by target and source
    found = audits.judged({"ways": own}, references)
    assert found.target == 6 and found.p_value < 0.01 and found.basis == "references"


def test_what_only_clean_models_make_sense_of_is_silent_without_them(planted):
    suspect, clean = planted
    said = audits.audit(AuditView(suspect, clean.take(np.arange(120))), auditing.chosen_auditors(("drift", "known-triggers"))[0])
    assert said.plan["judgement"]["basis"] == "classes" and set(said.plan["judgement"]["channels"]) == {"known-triggers"}
