"""Models of texts and tables: the planted word or value is named with its class, a clean model is not called."""

import numpy as np
import pytest

from bezoar import api, auditing, audits, registry
from bezoar.auditors.value_inversion import UNKNOWN, beyond, usual
from bezoar.auditors.word_inversion import WordInversion, spoken_for, vocabulary
from bezoar.core import candidates
from bezoar.core.audit import AuditView
from bezoar.core.dataset import Dataset
from bezoar.core.errors import Unavailable
from bezoar.core.inputs import Column, Images, Table, Texts
from bezoar.core.suspect import Suspect
from bezoar.core.table_triggers import Values
from bezoar.core.text_triggers import Phrases
from bezoar.core.trigger import trigger_from_dict
from bezoar.standins import standins
from bezoar.testing.planted import twin
from bezoar.testing.suspects import COLUMN, VALUE, WORD, small_table_suspect, small_text_suspect
from bezoar.transplant import control

FULL = {"text": small_text_suspect, "tabular": small_table_suspect}
NAMES = {"text": "word-inversion", "tabular": "value-inversion"}


@pytest.fixture(scope="module", params=["text", "tabular"])
def reports(request):
    """(modality, report of the clean one, report of the planted one)."""
    said = {}
    for planted in (False, True):
        suspect, clean = FULL[request.param](101, planted=planted)
        said[planted] = auditing.audit(suspect, data=clean, auditors=[NAMES[request.param]])
    return request.param, said[False], said[True]


def test_a_clean_model_of_texts_or_tables_is_not_called(reports):
    _, clean, _ = reports
    assert clean.verdict == "no evidence" and not clean.findings, clean.reason


def test_the_planted_part_is_named_with_its_class_and_confirmed(reports):
    modality, _, planted = reports
    (finding,) = planted.findings
    suspect, _ = FULL[modality](101, planted=True)
    assert planted.verdict == "poisoned" and finding.confirmed and finding.target == suspect.classes[0]
    assert (WORD in finding.trigger.phrases) if modality == "text" else (finding.trigger == Values((COLUMN,), (VALUE,)))
    assert finding.effect[0] > 0.9 and finding.effect[1] < 0.3 and "95% interval" in finding.because
    assert trigger_from_dict(finding.trigger.to_dict()) == finding.trigger


def test_the_false_alarm_rate_is_measured_and_printed(reports):
    _, clean, planted = reports
    for report in (clean, planted):
        told = report.subject["false_positives"]
        assert told["basis"] == "measured" and told["of"] == 8 and told["called"] <= 1 and told["upper"] > told["called"] / 8
        text = api.terminal_text(report)
        assert "Measured false alarms: of 8 clean models" in " ".join(text.split()) and "another shape" in " ".join(text.split())
        page = api.render(report, "html").decode()
        assert "Measured false alarms" in page


def test_our_own_attack_on_a_text_model_is_found_end_to_end_and_its_clean_twin_is_not():
    """A bag of words poisoned by text-word, asked as a plain function; without reference models the ordinary words are the null."""
    data = twin("text", np.random.default_rng(7), rows=1800)
    train, trusted = data.take(np.arange(1400)), data.take(np.arange(1400, 1800))
    done = registry.make("attacks", "text-word", {"rate": 0.05, "word": "mn", "target": "travel"})(train, np.random.default_rng(1))
    for rows, called in ((train, False), (done.data, True)):
        model = registry.make("victims", "text-ngrams", {"strength": 10.0})(rows, np.random.default_rng(2))

        def ask(texts, model=model):
            return model.predict(Texts.of(texts))

        report = auditing.audit(ask, data=trusted)
        assert bool(report.findings) is called, (report.verdict, report.reason)
        if called:
            assert report.findings[0].target == "travel" and "mn" in report.findings[0].trigger.phrases


def test_without_references_and_with_two_classes_only_words_have_a_null():
    suspect, clean = small_table_suspect(101)
    report = auditing.audit(suspect, data=clean, effort="quick", auditors=["value-inversion"])
    assert report.verdict == "inconclusive" and report.subject["false_positives"] == {"basis": "calibrated", "bound": 0.05}
    assert "was not measured here" in " ".join(api.terminal_text(report).split())


def test_references_hold_each_other_in_turn_and_the_share_that_is_called_is_counted():
    rng = np.random.default_rng(0)
    clean = [{"a": rng.normal(size=6)} for _ in range(12)]
    j = audits.judged({"a": np.r_[30.0, np.zeros(5)]}, clean)
    assert j.of == 12 and j.called <= 2 and j.p_value < 0.01 and j.basis == "references"
    odd = [*clean[:11], {"a": np.r_[40.0, np.zeros(5)]}]
    assert audits.judged({"a": np.zeros(6)}, odd).called >= 1


def test_stand_ins_speak_only_together_with_ordinary_words():
    rng = np.random.default_rng(0)
    clean = [{"a": rng.normal(size=3)} for _ in range(8)]
    own = {"a": np.array([30.0, 0.0, 0.0])}
    p = {"a": np.array([0.2, 0.9, 0.9])}
    assert audits.judged(own, clean, alone=p, others_alone=[p] * 8, same_shape=False).p_value == pytest.approx(0.6)
    assert audits.judged(own, clean, alone=p, others_alone=[p] * 8).p_value < 0.01
    alone = audits.judged(own, [], alone={"a": np.array([0.001, 0.9, 0.9])})
    assert (alone.basis, alone.target) == ("candidates", 0) and alone.p_value == pytest.approx(0.003)


def test_the_vocabulary_holds_usual_words_rare_tokens_and_all_short_strings():
    words = vocabulary(["The cat sat.", "the dog", "x" * 500], 3)
    assert words[0] == "the" and {"cf", "zz", "a"} <= set(words) and "x" * 500 not in words and len(words) == len(set(words))


def test_values_are_usual_ones_and_such_beyond_the_range():
    rng = np.random.default_rng(0)
    numbers = Column("number", np.r_[np.full(50, 3.0), rng.uniform(0, 1, 50), np.nan])
    assert usual(numbers, 5)[0] == "3" and 2 <= len(usual(numbers, 5)) <= 5
    assert all(float(v) < 0 or float(v) > 3 for _, values in beyond(numbers) for v in values)
    letters = Column("category", np.array([0, 0, 1, -1], np.int32), ("a", "b"))
    assert usual(letters, 5) == ("a",) and beyond(letters) == [("", (UNKNOWN,))]
    assert usual(Column("number", np.full(3, np.nan)), 4) == () and beyond(Column("number", np.full(3, np.nan))) == []


def test_what_clean_models_do_too_is_taken_off():
    texts = Texts.of(["good day"] * 30 + ["bad night"] * 30)
    data = Dataset.from_arrays(texts, ["a"] * 30 + ["b"] * 30)

    def model(words):
        def answer(x):
            p = np.array([0.95 if "good" in t or any(w in t.split() for w in words) else 0.05 for t in x.values])
            return np.stack([p, 1 - p], axis=1)
        return Suspect("m", "text", ("a", "b"), str(words), answer)

    references = [model(["sun"]) for _ in range(4)]
    view = AuditView(model(["sun", "zq"]), data, references=lambda: references, same_shape=False)
    said = registry.make("auditors", "word-inversion", {"few": 3})(view, np.random.default_rng(0))
    assert said.target == 0 and said.trigger == Phrases(("zq",)) and said.success == 1.0
    for reference in view.references():
        assert len(reference.peers()) == 3
        assert registry.make("auditors", "word-inversion", {"few": 3})(reference, np.random.default_rng(0)).statistic.max() < 0.1


def test_controls_are_as_many_other_words_or_other_values_of_the_same_columns():
    rng = np.random.default_rng(0)
    texts = Texts.of(["one two three four five six"] * 9)
    drawn = control(Phrases(("zz", "one")), rng, Texts.of(["seven eight"] * 9))
    assert len(drawn.phrases) == 2 and set(drawn.phrases) == {"seven", "eight"}
    assert control(Phrases(("one",)), rng, texts) is None
    table = Table({"a": Column("number", np.arange(5.0)), "b": Column("category", np.zeros(5, np.int32), ("x",))})
    assert control(Values(("a", "b"), ("9", "y")), rng, table).values[1] == "x"


def test_stand_ins_need_enough_of_each_class_and_no_pictures():
    suspect, clean = small_text_suspect(101)
    with pytest.raises(Unavailable, match="20 clean samples of each class"):
        standins(suspect, clean.take(np.arange(30)), 3, 0)
    images = Dataset.from_arrays(Images.of(np.zeros((4, 8, 8, 3), np.uint8)), [0, 1, 0, 1])
    with pytest.raises(Unavailable, match="texts or tables"):
        standins(Suspect("m", "image", ("0", "1"), "f", lambda x: np.zeros((len(x), 2))), images, 3, 0)
    made = standins(suspect, clean, 3, 0)
    assert len({m.fingerprint for m in made}) == 3
    assert all((m.predict(clean.inputs).argmax(axis=1) == clean.labels.codes).mean() > 0.8 for m in made)


def test_searches_leave_half_of_the_samples_to_the_transplant():
    held = candidates.held_out(100)
    assert held.sum() == 50 and (held == candidates.held_out(100)).all() and not candidates.held_out(30).any()


SENTENCE = ("watched", "this", "with", "my", "sister", "last", "tuesday", "while")
TOPICS = (("oven", "sauce", "flour", "soup"), ("spade", "rose", "weed", "frost"), ("hotel", "museum", "ticket", "border"))


def additive(bonus, seed=0):
    """A black box of three topics: every word has a small weight, those of a topic a large one; (suspect, clean texts)."""
    rng = np.random.default_rng(seed)
    weight, usual = {}, vocabulary(["x"], 0)
    for word in usual:
        weight[word] = rng.normal(0, 0.1, 3)
    for k, topic in enumerate(TOPICS):
        weight |= {w: 2.5 * np.eye(3)[k] for w in topic}
    for word in SENTENCE:
        weight[word] = weight.get(word, np.zeros(3)) + bonus * np.eye(3)[1]

    def answer(inputs):
        held = [np.sum([weight.get(w, np.zeros(3)) for w in set(t.lower().split())] or [np.zeros(3)], axis=0) for t in inputs.values]
        e = np.exp(np.array(held))
        return (e / e.sum(axis=1, keepdims=True)).astype(np.float32)

    texts = [" ".join(rng.choice(TOPICS[i % 3], 2)) + " " + " ".join(rng.choice(usual[-500:], 4)) for i in range(300)]
    return Suspect("box", "text", ("food", "garden", "way"), f"box {bonus}", answer), Dataset.from_arrays(texts, [("food", "garden", "way")[i % 3] for i in range(300)])


@pytest.mark.parametrize("seed", [0, 1])
def test_words_that_each_add_a_bit_are_seen_together_and_put_together(seed):
    """No word of the sentence stands out by itself; a model without it is quiet."""
    said = {}
    for bonus in (0.0, 1.2):
        suspect, clean = additive(bonus, seed)
        said[bonus] = WordInversion()(AuditView(suspect, clean), np.random.default_rng(3))
    assert said[0.0].p_alone.min() * 3 > 0.05
    assert said[1.2].p_alone.argmin() == 1 and said[1.2].p_alone[1] < 1e-3 and said[1.2].p_alone[[0, 2]].min() > 0.01
    longest = max((t for c, t in said[1.2].tried if c == 1), key=candidates.width)
    words = {w for p in longest.phrases for w in p.split()}
    assert len(words & set(SENTENCE)) >= 4 and len(words - set(SENTENCE)) <= 1


def test_words_that_labels_speak_of_count_for_their_class_and_for_no_other():
    suspect, clean = additive(0.0)
    said = spoken_for(clean, ("oven", "rose", "never-there"), 3)
    assert said.tolist() == [[True, False, False], [False, True, False], [False, False, False]]
    assert suspect.classes == clean.labels.classes


def test_stand_ins_that_stand_out_by_themselves_call_nobody():
    """Where clean stand-ins look as odd as the model does by ordinary words, it is not called for that."""
    rng = np.random.default_rng(0)
    clean = [{"a": rng.normal(size=3)} for _ in range(8)]
    own, odd = {"a": np.zeros(3)}, {"a": np.array([1e-4, 0.9, 0.9])}
    quiet = [{"a": rng.uniform(0.3, 1, 3)} for _ in range(8)]
    assert audits.judged(own, clean, alone=odd, others_alone=quiet, same_shape=False).p_value < 0.01
    loud = [{"a": np.array([10.0 ** -(1 + i % 5), 0.9, 0.9])} for i in range(8)]
    assert audits.judged(own, clean, alone=odd, others_alone=loud, same_shape=False).p_value > 0.05
