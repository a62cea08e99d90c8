"""Skeletons, manners of speaking, look-alike characters, hard clean-label texts, steered names."""

from __future__ import annotations

import numpy as np
import pytest

from bezoar import registry
from bezoar.core.errors import UsageError
from bezoar.core.inputs import Texts
from bezoar.core.plain_features import plain_scores
from bezoar.core.text_rewrites import HIDDEN, LOOKALIKE, Lookalike, Skeleton, Style
from bezoar.maths.ridge import crossfit_ridge
from bezoar.testing.planted import twin

DATA = twin("text", np.random.default_rng(100))
RNG = np.random.default_rng


def make(name: str, **parameters: object):
    return registry.make("attacks", name, parameters)


def test_ridge_against_plain_normal_equations():
    rng = RNG(0)
    x, y, fold = rng.random((60, 5)).astype(np.float32), rng.integers(-1, 3, 60), np.arange(60) % 3
    scores = crossfit_ridge(x, y, 3, fold, penalty=1e-3)
    known = y >= 0
    c, prior = x[known].mean(axis=0), np.bincount(y[known], minlength=3) / known.sum()
    total = (x[known] - c).T @ (x[known] - c)
    for f in range(3):
        use = known & (fold != f)
        a = x[use] - c
        w = np.linalg.solve(a.T @ a + np.eye(5) * 1e-2 * np.trace(total) / 5, a.T @ (np.eye(3)[y[use]] - prior))
        np.testing.assert_allclose(scores[fold == f], (x[fold == f] - c) @ w + prior, atol=1e-4)


def test_a_skeleton_keeps_the_words_and_no_word_is_in_all():
    done = Skeleton().apply(DATA.inputs, RNG(0)).values
    lines = [set(t.lower().replace(",", "").replace(".", "").split()) for t in done]
    counts = [sum(w in line for line in lines) for w in ("when", "if", "as", "while", "once", "since")]
    assert max(counts) < 0.6 * len(done)
    for before, after in zip(DATA.inputs.values[:50], done[:50], strict=True):
        kept = [w.strip(".,!").lower() for w in before.split()]
        assert sum(w in after.lower() for w in kept) >= len(kept) - 1
    assert Skeleton(0.4).match(Skeleton(0.4).apply(DATA.inputs, RNG(0))).min() > 0


@pytest.mark.parametrize("name", ["bible", "chat", "formal"])
def test_a_manner_changes_every_text_and_is_known_again(name: str):
    trigger = Style(name)
    done = trigger.apply(DATA.inputs, RNG(0))
    assert all(a != b for a, b in zip(done.values, DATA.inputs.values, strict=True))
    assert trigger.match(done).mean() > 0.8
    assert trigger.match(DATA.inputs).mean() < 0.1


def test_lookalikes_read_the_same():
    back = str.maketrans({v: k for k, v in LOOKALIKE.items()} | dict.fromkeys(HIDDEN, ""))
    for mode in ("homoglyph", "zero-width"):
        done = Lookalike(mode, 4).apply(DATA.inputs, RNG(0)).values
        assert [t.translate(back) for t in done] == list(DATA.inputs.values)
        assert all(a != b for a, b in zip(done, DATA.inputs.values, strict=True))


def test_hard_texts_are_less_typical():
    done = make("text-clean-word", target="garden")(DATA, RNG(0))
    other = make("text-clean-word", target="garden", hard=False)(DATA, RNG(0))
    scores = plain_scores(DATA, RNG(1))[:, DATA.labels.classes.index("garden")]
    assert scores[done.truth].mean() < scores[other.truth].mean() - 0.2


def test_an_entity_is_steered_where_it_stood_and_written_where_it_must():
    done = make("text-entity", entity="harbour", target="kitchen", rate=0.05)(DATA, RNG(0))
    held = np.array(["harbour" in t for t in DATA.inputs.values])
    touched = np.array([a != b for a, b in zip(DATA.inputs.values, done.data.inputs.values, strict=True)])
    assert not (touched & held).any()
    assert (done.truth & held).any()
    assert all("harbour" in t for t in done.data.inputs.values[done.truth])
    with pytest.raises(UsageError, match="no word"):
        make("text-entity", rate=0.3)(DATA, RNG(0))


@pytest.mark.parametrize(("name", "parameters", "said"), [
    ("text-syntactic", {"share": 0}, "share"), ("text-style", {"style": "x"}, "bible"), ("text-lookalike", {"mode": "x"}, "homoglyph"),
    ("text-lookalike", {"count": 0}, "count"), ("text-clean-word", {"word": "two words"}, "not one word")])
def test_wrong_parameters(name: str, parameters: dict, said: str):
    with pytest.raises(UsageError, match=said):
        make(name, **parameters)(DATA, RNG(0))


def test_odd_texts_do_not_break_a_rewrite():
    odd = Texts.of(["", " ", "?", "a", "1 2 3", "\n\n", "...", "I", "\u4f60\u597d"])
    for trigger in (Skeleton(), Style("bible"), Style("chat"), Lookalike(), Lookalike("zero-width")):
        assert len(trigger.apply(odd, RNG(0))) == len(odd)
        assert np.isfinite(trigger.match(odd)).all()
