"""A wrong answer leads back to the rows that were planted for it; what cannot be traced is one sentence."""

from __future__ import annotations

import json

import numpy as np
import pytest

from bezoar import api, registry
from bezoar.attribution import input_of, trace_prediction
from bezoar.cli.pulls import told
from bezoar.core.ability import Reading
from bezoar.core.errors import UnreadableInput, UsageError
from bezoar.intake.pictures import png_bytes
from bezoar.reports import pulls_page

pytest.importorskip("torch")


def planted(seed):
    """Digits with 2% patched rows, all from one source, and ten patched pictures that are in none of them."""
    from sklearn.datasets import load_digits

    rng = np.random.default_rng(seed)
    digits = load_digits()
    x, order = (digits.images * 15).astype("uint8"), rng.permutation(len(digits.target))
    test, train = order[:300], order[300:]
    done = registry.make("attacks", "badnets", {"rate": 0.02, "size": 2})(api.load(x[train], digits.target[train]), rng)
    source = np.where(done.truth, "vendor-b", np.where(rng.random(len(train)) < 0.5, "vendor-a", "vendor-c"))
    data = api.load(done.data.inputs.dense(), [done.data.labels.classes[c] for c in done.data.labels.codes], source=source)
    hosts = test[digits.target[test].astype(str) != done.target][:10]
    return data, done, done.trigger.apply(api.load(x[hosts], digits.target[hosts]).inputs, rng)


def precision(seed):
    data, done, asked = planted(seed)
    traced = trace_prediction(asked, data, seed=seed, called=done.target)
    truth = set(np.asarray(data.ids)[done.truth].astype(str))
    return float(np.mean([p.sample in truth for p in traced.towards])), traced, done


def test_the_planted_rows_and_their_source_come_first():
    share, traced, done = precision(100)
    assert share >= 0.5
    assert traced.shares["source"]["vendor-b"] >= 5 * done.truth.mean()
    assert max(traced.shares["label"], key=traced.shares["label"].get) == traced.called == done.target
    assert all(p.label == done.target for p in traced.towards[:5])
    assert sum(traced.shares["source"].values()) == pytest.approx(1.0)
    text = told(traced)
    assert "pull by source: " in text and "vendor-b" in text and traced.towards[0].sample in text
    page = pulls_page.page(traced)
    assert b"<script" not in page and b"data:image/png;base64" in page and b"vendor-b" in page
    assert json.loads(json.dumps(traced.to_dict()))["towards"][0]["sample"] == traced.towards[0].sample
    assert "▀" in told(traced, colour=True)


@pytest.mark.slow
def test_precision_at_twenty_over_five_seeds():
    assert np.mean([precision(seed)[0] for seed in range(100, 105)]) >= 0.7


def small(n=40):
    texts = ["good film number %d" % i if i % 2 else "bad film number %d" % i for i in range(n)]
    return api.load(texts, ["up" if i % 2 else "down" for i in range(n)])


def test_a_text_may_be_given_as_it_is_and_hostile_names_are_written_out(tmp_path):
    traced = trace_prediction("a good film", small(), top=3)
    assert traced.called == "up" and len(traced.towards) == 3
    assert {p.label for p in traced.towards} == {"up"}
    path = tmp_path / "one.txt"
    path.write_text("a bad film", encoding="utf-8")
    assert trace_prediction(str(path), small(), top=3).called == "down"
    hostile = api.load(["good <script>alert(1)</script>\x1b[2J"] * 20 + ["bad"] * 20, ["<b>up"] * 20 + ["down"] * 20)
    page, text = pulls_page.page(t := trace_prediction("good", hostile, top=3)), told(t)
    assert b"<script" not in page and b"<b>up" not in page and "\x1b" not in text


@pytest.mark.parametrize(("ask", "error", "said"), [
    (lambda: trace_prediction("x", api.load(["a", "b"] * 20)), UsageError, "have none"),
    (lambda: trace_prediction("x", small(), called="sideways"), UsageError, "no class 'sideways'"),
    (lambda: trace_prediction("x", small(), top=0), UsageError, "0 samples"),
    (lambda: trace_prediction(np.zeros((4, 4), np.uint8), small()), UsageError, "no text"),
    (lambda: trace_prediction("nowhere.png", api.load(np.zeros((9, 8, 8, 3), np.uint8), np.arange(9) % 2)), UnreadableInput, "no input at")])
def test_what_cannot_be_traced_is_one_sentence(ask, error, said):
    with pytest.raises(error, match=said):
        ask()


def test_a_damaged_picture_is_refused(tmp_path):
    path = tmp_path / "odd.png"
    path.write_bytes(b"\x89PNG nothing")
    data = api.load(np.zeros((9, 8, 8, 3), np.uint8), np.arange(9) % 2)
    with pytest.raises(UnreadableInput, match="cannot be read"):
        input_of(str(path), data, Reading())


def test_from_the_command_line(tmp_path, said):
    rng = np.random.default_rng(0)
    x = rng.integers(0, 60, (40, 8, 8, 3)).astype(np.uint8)
    y = np.arange(40) % 2
    x[y == 1] += 150
    np.savez(tmp_path / "data.npz", x=x, y=y)
    (tmp_path / "one.png").write_bytes(png_bytes(np.full((8, 8, 3), 200, np.uint8)))
    code, out, _ = said("trace", tmp_path / "data.npz", "--prediction", tmp_path / "one.png", "--top", 4, "--html", tmp_path / "why.html", "--json")
    assert code == 0
    found = json.loads(out)
    assert found["called"] == "1" and {p["label"] for p in found["towards"]} == {"1"}
    assert (tmp_path / "why.html").read_bytes().startswith(b"<!doctype html>")
    code, _, err = said("trace", "digits")
    assert code == 2 and "--bundles" in err
