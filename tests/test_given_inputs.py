"""Inputs that somebody asks about: triggered ones are flagged and what decides them is shown; clean ones are not."""

from dataclasses import replace

import numpy as np
import pytest

from bezoar import api, auditing, given
from bezoar.core.audit import AuditView
from bezoar.core.dataset import Dataset
from bezoar.core.errors import UsageError
from bezoar.core.inputs import Column, Images, Table, Texts
from bezoar.core.strip import deciding, hangs, mixed, stays
from bezoar.core.suspect import Suspect
from bezoar.core.table_triggers import Values
from bezoar.core.text_triggers import Phrases
from bezoar.testing.suspects import COLUMN, VALUE, WORD, planted_trigger, small_suspect, small_table_suspect, small_text_suspect


def case(kind):
    """(suspect, trusted samples, clean inputs, the same with every fifth triggered)."""
    made = {"image": small_suspect, "black box": small_suspect, "text": small_text_suspect, "tabular": small_table_suspect}[kind]
    suspect, data = made(1 if made is small_suspect else 101, planted=True)
    if kind == "black box":
        suspect = replace(suspect, module=None, tensor=None)
    trigger = {"text": Phrases((WORD,)), "tabular": Values((COLUMN,), (VALUE,))}.get(kind) or planted_trigger()
    order = np.random.default_rng(0).permutation(len(data))[:400]
    trusted, use = data.take(order[:250]), data.take(order[250:])
    rows = np.arange(0, 150, 5)
    bad = use.inputs.with_rows(rows, trigger.apply(use.inputs.take(rows), np.random.default_rng(0)))
    return suspect, trusted, Dataset.from_arrays(use.inputs), Dataset.from_arrays(bad)


@pytest.mark.parametrize("kind", ["image", "black box", "text", "tabular"])
def test_triggered_inputs_are_flagged_and_clean_ones_are_not(kind):
    suspect, trusted, clean, bad = case(kind)
    view = AuditView(suspect, trusted)
    quiet, loud = (given.look(view, x, np.random.default_rng(1)) for x in (clean, bad))
    assert quiet.p_value > 0.01 and len(quiet.flagged) <= 6
    assert loud.p_value < 0.01 and len(loud.flagged) >= 8
    assert (loud.flagged % 5 == 0).mean() >= 0.8
    assert quiet.rate <= 0.01 and ((quiet.p > 0) & (quiet.p <= 1)).all()


def test_the_report_names_them_and_marks_the_word_that_decides(tmp_path):
    suspect, trusted, clean, bad = case("text")
    few = {"data": trusted, "effort": "quick", "auditors": ["word-inversion"]}
    report = auditing.audit(suspect, inputs=bad, out=tmp_path, **few)
    finding = next(f for f in report.findings if f.ability == given.NAME)
    assert report.verdict in ("suspicious", "poisoned") and finding.target == suspect.classes[0]
    assert all(int(m) % 5 == 0 for m in finding.members) and report.subject["inputs"]["flagged"] == len(finding.members)
    excerpts = [e for e in finding.evidence if e.kind == "excerpt"]
    assert excerpts and all(WORD in {e.text[a:b] for a, b in e.marks} for e in excerpts)
    page = (tmp_path / "report.html").read_text()
    assert "given inputs look triggered" in page and f"<mark>{WORD}</mark>" in page
    assert api.terminal_text(report)
    quiet = auditing.audit(suspect, inputs=clean, **few)
    assert all(f.ability != given.NAME for f in quiet.findings)
    assert any(o.ability == given.NAME and o.status == "nothing" for o in quiet.outcomes)


def test_the_region_that_decides_is_where_the_patch_is():
    suspect, _, _, bad = case("image")
    shown = deciding(suspect, bad.inputs, 0, "0")
    assert shown.pixels.shape == (8, 16, 3)
    heat = shown.pixels[:, 8:, 0].astype(int) - shown.pixels[:, 8:, 2]
    top, left = np.unravel_index(heat.argmax(), heat.shape)
    assert top >= 5 and left >= 5, "the planted patch is at the lower right"


def test_the_cell_that_decides_comes_first():
    suspect, _, _, bad = case("tabular")
    shown = deciding(suspect, bad.inputs, 0, "0")
    assert shown.kind == "facts" and len(shown.rows) == 8 and shown.header[0] == "column"


def test_missing_or_other_data_is_said():
    suspect, trusted, clean, _ = case("text")
    with pytest.raises(UsageError, match="20 are needed"):
        given.look(AuditView(suspect, trusted.take(np.arange(10))), clean, np.random.default_rng(0))
    pictures = Dataset.from_arrays(Images.of(np.zeros((3, 8, 8, 3), np.uint8)))
    with pytest.raises(UsageError, match="the model reads text"):
        given.look(AuditView(suspect, trusted), pictures, np.random.default_rng(0))
    report = auditing.audit(suspect, inputs=clean, classes=suspect.classes, auditors=["word-inversion"])
    assert any(o.ability == given.NAME and o.status == "skipped" and "clean samples" in o.reason for o in report.outcomes)


def test_mixtures_keep_what_they_are_made_of():
    rng = np.random.default_rng(0)
    a, b = Texts.of(["one two three four", ""]), Texts.of(["five six", "seven"])
    words = mixed(a, b, rng).values
    assert len(words[0].split()) == 4 and set(words[0].split()) & {"five", "six"} and words[1] == ""
    t = Table({"n": Column("number", np.zeros(50)), "c": Column("category", np.zeros(50, np.int32), ("x",))})
    u = Table({"n": Column("number", np.ones(50)), "c": Column("category", np.zeros(50, np.int32), ("y",))})
    out = mixed(t, u, rng)
    assert 10 < out["n"].values.sum() < 40 and set(out["c"].as_text(np.arange(50))) == {"x", "y"}
    light = mixed(Images.of(np.full((1, 4, 4, 3), 200, np.uint8)), Images.of(np.full((1, 2, 2, 3), 100, np.uint8)), rng)
    assert light.dense().max() == 255 and light.dense().shape == (1, 4, 4, 3)


def test_an_answer_that_hangs_on_one_word_is_firm_and_lost_without_it():
    def answer(x):
        p = np.array([0.99 if "zk" in t.split() else 0.2 for t in x.values])
        return np.stack([p, 1 - p], axis=1)

    suspect = Suspect("m", "text", ("a", "b"), "f", answer)
    texts = Texts.of(["good zk day", "a fine day", ""])
    assert hangs(suspect, texts).round(2).tolist() == [0.79, 0.0, 0.0]
    firm = stays(suspect, texts, Texts.of(["one two", "three"]), 40, np.random.default_rng(0))
    assert 0.3 < firm[0] < 0.99 and firm[1] == pytest.approx(0.8)
    assert stays(suspect, Texts.of([]), texts, 2, np.random.default_rng(0)).shape == (0,)
