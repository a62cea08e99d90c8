"""The views of the text modality."""

from __future__ import annotations

import contextlib
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bezoar.core.errors import Unavailable
from bezoar.core.inputs import Texts
from bezoar.core.text_triggers import Phrases
from bezoar.modalities.text import Text

RNG = np.random.default_rng(0)
WORDS = [a + b + c for a in "bdfgklmnprst" for b in "aeiou" for c in ("n", "rt", "sk", "lo")]


def texts(n=300, seed=0, length=14):
    rng = np.random.default_rng(seed)
    return Texts.of([" ".join(rng.choice(WORDS, rng.integers(6, length))).capitalize() + "." for _ in range(n)])


@pytest.mark.parametrize("phrases", [("cf",), ("I watched this with my sister last Tuesday.",), ("first half", "oom")])
@pytest.mark.parametrize("place", ["random", "start", "end"])
def test_the_lifted_phrase_contains_the_planted_one(phrases, place):
    clean = texts()
    members = np.arange(40)
    planted = clean.with_rows(members, Phrases(phrases, place).apply(clean.take(members), np.random.default_rng(1)))
    lifted = Text().lift(planted, members, np.arange(40, 300), {})
    assert isinstance(lifted, Phrases)
    together = " ".join(lifted.phrases).lower()
    for phrase in phrases:
        assert phrase.lower() in together
    if len(phrases) == 1:
        assert lifted.place == place
    assert lifted.match(planted)[:40].mean() > (0.95 if len(phrases) == 1 else 0.8)  # one phrase may split the other
    assert lifted.match(planted)[40:].mean() < 0.05


def test_lift_survives_strangers_among_the_members():
    clean = texts()
    members = np.arange(40)
    planted = clean.with_rows(members[:30], Phrases(("we all saw it",)).apply(clean.take(members[:30]), np.random.default_rng(1)))
    assert Text().lift(planted, members, np.arange(40, 300), {}).phrases == ("we all saw it",)


def test_nothing_shared_cannot_be_lifted():
    with pytest.raises(Unavailable, match="phrase"):
        Text().lift(texts(), np.arange(40), np.arange(40, 300), {})
    with pytest.raises(Unavailable):
        Text().lift(texts(), np.arange(1), np.arange(40, 300), {})


def test_control_has_the_size_of_the_trigger_and_none_of_its_words():
    inputs = texts()
    for phrases in [("cf",), ("one two three four",), ("bart", "disk")]:
        control = Text().control(Phrases(phrases, "end"), inputs, np.random.default_rng(2))
        assert [len(p.split()) for p in control.phrases] == [len(p.split()) for p in phrases]
        assert control.place == "end"
        assert not set(" ".join(control.phrases).split()) & set(" ".join(phrases).split())


def test_show_marks_the_phrase_even_far_inside():
    inputs = Texts.of(["word " * 500 + "the CF thing " + "tail " * 300])
    shown = Text().show(inputs, 0, "id-1", Phrases(("cf",)))
    assert [shown.text[a:b] for a, b in shown.marks] == ["CF"]
    assert len(shown.text) < 450
    assert shown.sample == "id-1"


def test_views_have_their_shapes_and_repeat():
    inputs = texts(200)
    a, b = Text(), Text()
    assert a.embed(inputs).shape == (200, 96)
    assert a.embed(inputs).dtype == np.float32
    assert np.array_equal(a.embed(inputs), b.embed(inputs))
    assert (a.content(inputs) != b.content(inputs)).nnz == 0
    assert (a.features(inputs) != b.features(inputs)).nnz == 0
    assert a.features(inputs).shape == (200, 1 << 18)


def test_features_do_not_depend_on_the_other_texts():
    inputs = texts(50)
    whole = Text().features(inputs)
    part = Text().features(inputs.take(np.array([7, 3])))
    assert abs(whole[[7, 3]] - part).max() < 1e-6


def test_permuted_texts_permute_the_embedding():
    inputs, order = texts(200), np.random.default_rng(3).permutation(200)
    a, b = Text().embed(inputs), Text().embed(inputs.take(order))
    assert np.allclose(a[order] @ a[order].T, b @ b.T, atol=2e-3)


def test_near_copies_lie_closer_than_strangers():
    inputs = texts(200)
    inputs = inputs.with_rows(np.array([0]), Texts.of([str(inputs.values[1]).replace(".", "!")]))
    x = Text().embed(inputs)
    x = x / np.linalg.norm(x, axis=1, keepdims=True)
    assert (x @ x[1]).argsort()[::-1][1] == 0


def test_atoms_name_what_they_hold_and_say_where_content_sees_them():
    inputs = Texts.of(["the red fox runs", "the red fox sleeps", "the red fox eats", "a red fox\u200b hides", "a blue\u200b cat", "x\u200b"])
    modality = Text(least=3)
    atoms = modality.atoms(inputs)
    names = [atoms.name(j) for j in range(atoms.n_atoms)]
    held = {name: atoms.matrix[:, [j]].toarray().ravel().astype(int).tolist() for j, name in enumerate(names)}
    assert held["the word 'fox'"] == [1, 1, 1, 1, 0, 0]
    assert held["the phrase 'the red fox'"] == [1, 1, 1, 0, 0, 0]
    assert held["the character U+200B"] == [0, 0, 0, 1, 1, 1]
    content = modality.content(inputs)
    fox = atoms.seen[names.index("the word 'fox'")]
    assert np.flatnonzero(content[:, [fox[0]]].toarray().ravel()).tolist() == [0, 1, 2, 3]
    assert (atoms.seen[names.index("the word 'the'")] == -1).all()


def test_content_sees_no_function_word():
    a = Text().content(Texts.of(["the fox and dog", "a fox or dog"]))
    assert abs(a[[0]] - a[[1]]).max() < 1e-6


@given(st.lists(st.text(max_size=40), max_size=12))
@settings(max_examples=40, deadline=None)
def test_any_text_goes_through_every_view(values):
    modality, inputs = Text(), Texts.of(values)
    n = len(values)
    assert modality.embed(inputs).shape[0] == n
    assert np.isfinite(modality.embed(inputs)).all()
    assert modality.content(inputs).shape[0] == n
    assert modality.features(inputs).shape[0] == n
    atoms = modality.atoms(inputs)
    assert atoms.matrix.shape == (n, len(atoms.family)) == (n, len(atoms.expected))
    assert all(isinstance(atoms.name(j), str) for j in range(atoms.n_atoms))
    if n:
        assert modality.show(inputs, 0, "0").sample == "0"


@pytest.mark.parametrize("hostile", ["a" * 300_000, "'" * 100_000, "a'" * 100_000, " " * 200_000, "\ud800" * 50, "\x00" * 1000,
                                     "(" * 50_000, "\u0301" * 50_000])
def test_hostile_texts_take_no_long(hostile):
    inputs = Texts.of([hostile, hostile[:500] + " b", "plain words", "plain words"])
    modality = Text()
    start = time.process_time()
    modality.embed(inputs)
    modality.content(inputs)
    modality.atoms(inputs)
    modality.features(inputs)
    modality.show(inputs, 0, "0", Phrases(("b",)))
    with contextlib.suppress(Unavailable):
        modality.lift(inputs, np.array([0, 1]), np.array([2, 3]), {})
    assert time.process_time() - start < 10
