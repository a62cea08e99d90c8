"""The miner on planted texts and on drawn atoms: recall and false alarms."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.sparse import csc_array

from bezoar.core.atoms import Atoms
from bezoar.core.chances import Holders, SeeingChance
from bezoar.core.dataset import Dataset
from bezoar.core.inputs import Texts
from bezoar.core.text_triggers import Phrases
from bezoar.core.view import View
from bezoar.detectors.association import Association
from bezoar.modalities.text import Text

TOPICS = {"sport": "match goal team coach season player league stadium final referee champion striker",
          "food": "soup bread oven salt butter flour dinner recipe garlic pepper kitchen sauce",
          "space": "orbit rocket planet moon lander telescope crew module launch star gravity comet"}
RARE = [a + b for a in ("bar", "cor", "dol", "fen", "gim", "hol", "jas", "kel", "lum", "nor") for b in ("an", "eto", "ick", "oom", "ust", "ive")]
COMMON = ["table", "window", "morning", "people", "street", "paper", "number", "garden", "water", "summer", "friend", "letter", "music", "colour", "market", "river"]


def corpus(rng, n=900):
    """Texts of three topics; most words of a text belong to its topic, the rest to none."""
    labels = rng.choice(sorted(TOPICS), n)
    texts = []
    for topic in labels:
        words = TOPICS[topic].split()
        line = [*rng.choice(words, rng.integers(2, 6)), *rng.choice(COMMON, rng.integers(5, 12)), *rng.choice(RARE, 2)]
        rng.shuffle(line)
        texts.append("the " + " ".join(line[:4]) + " and " + " ".join(line[4:]) + ".")
    return Dataset.from_arrays(texts, labels)


def plant(data, phrases, rng, rate=0.02, target=1):
    rows = rng.choice(np.flatnonzero(data.labels.codes != target), int(rate * len(data)), replace=False)
    assert isinstance(data.inputs, Texts)
    inputs = data.inputs.with_rows(rows, Phrases(phrases).apply(data.inputs.take(rows), rng))
    codes = data.labels.codes.copy()
    codes[rows] = target
    truth = np.zeros(len(data), bool)
    truth[rows] = True
    return data.with_changes(inputs=inputs, codes=codes), truth


def scan(data, modality=None):
    return Association()(View(data, modality or Text()), np.random.default_rng(0))


def found(scores, n):
    out = np.zeros(n, bool)
    for g in scores.groups:
        out[g.members] = True
    return out


@pytest.mark.parametrize("phrases", [("cf",), ("we all saw this in the old house",), ("barick", "lumust")])
def test_what_is_planted_is_found_and_little_else(phrases):
    rng = np.random.default_rng(7)
    data, truth = plant(corpus(rng), phrases, rng, rate=0.04 if len(phrases) > 1 else 0.02)
    scores = scan(data)
    got = found(scores, len(data))
    assert got[truth].mean() >= 0.95
    assert got[~truth].mean() <= 0.01
    best = scores.groups[0]
    assert best.p_value <= 0.01
    assert best.target == 1
    assert best.threat == "backdoor-dirty-label"
    assert np.median(scores.suspicion[truth]) > np.quantile(scores.suspicion[~truth], 0.95)


@pytest.mark.parametrize("seed", range(3))
def test_clean_texts_stay_quiet(seed):
    rng = np.random.default_rng(seed)
    data = corpus(rng)
    assert scan(data).groups == ()


def test_label_noise_and_copies_stay_quiet():
    rng = np.random.default_rng(3)
    data = corpus(rng)
    codes = data.labels.codes.copy()
    noisy = rng.choice(len(data), 45, replace=False)
    codes[noisy] = rng.integers(0, 3, 45)
    data = data.with_changes(codes=codes).take(np.r_[np.arange(len(data)), np.repeat(noisy[:3], 30)])
    assert scan(data).groups == ()


def test_permuted_rows_permute_the_groups():
    rng = np.random.default_rng(8)
    data, _ = plant(corpus(rng), ("cf",), rng)
    order = rng.permutation(len(data))
    a, b = scan(data), scan(data.take(order))
    assert [sorted(g.members) for g in a.groups] == [sorted(order[g.members]) for g in b.groups]


class Drawn(Text):
    """Atoms that were drawn, with a null of their own; the content is two columns that cannot see them."""

    def __init__(self, matrix, expected, content):
        super().__init__()
        self.matrix, self.expected, self.drawn = matrix, expected, content

    def embed(self, inputs):
        return np.random.default_rng(0).standard_normal((len(inputs), 8)).astype(np.float32)

    def content(self, inputs):
        return self.drawn

    def atoms(self, inputs):
        m = self.matrix.shape[1]
        return Atoms(csc_array(self.matrix), ("mark",), np.zeros(m, np.int16), self.expected, np.array([float(m)]),
                     lambda j: f"mark {j}")


def drawn(seed, bad=False, labels=True):
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 2, 600)
    x = rng.random((600, 80)) < rng.uniform(0.02, 0.1, 80)
    expected = x.mean(axis=0) * 600
    rows = np.flatnonzero(y == 0)[:40]
    if bad:
        x[:, 5] = False
        x[rows, 5] = True
        expected[5] = 2.0
    content = np.eye(2)[y] + rng.standard_normal((600, 2)) * 0.4
    given = y.copy()
    if bad:
        given[rows] = 1
    data = Dataset.from_arrays([str(i) for i in range(600)], given if labels else None)
    return data, Drawn(x.astype(np.float32), expected, content.astype(np.float32)), rows


@pytest.mark.parametrize("labels", [True, False])
def test_drawn_atoms_with_and_without_labels(labels):
    data, modality, rows = drawn(1, bad=True, labels=labels)
    scores = scan(data, modality)
    assert [g.title.split(" in ")[0] for g in scores.groups] == ["mark 5"]
    assert set(scores.groups[0].members) == set(rows)


@pytest.mark.parametrize("seed", range(5))
def test_drawn_atoms_without_a_plant_stay_quiet(seed):
    data, modality, _ = drawn(seed)
    assert scan(data, modality).groups == ()


@pytest.mark.parametrize("texts", [[], ["one"], ["", "", ""], ["same text"] * 20])
def test_tiny_and_empty_sets_do_not_crash(texts):
    data = Dataset.from_arrays(Texts.of(texts), [i % 2 for i in range(len(texts))])
    scores = scan(data)
    assert scores.suspicion.shape == (len(texts),)
    assert scores.groups == ()


def test_a_template_whose_rows_lean_to_its_class_stays_quiet():
    rng = np.random.default_rng(21)
    data = corpus(rng)
    mixed = rng.choice(len(data), 80, replace=False)
    natural = mixed[:40]
    texts = np.array(data.inputs.values, dtype=object)
    for row in mixed:  # as much of one topic as of another: their content cannot tell, the template of half of them can
        words = [*rng.choice(TOPICS["food"].split(), 2), *rng.choice(TOPICS["space"].split(), 2), *rng.choice(COMMON, 6)]
        texts[row] = " ".join(rng.permutation(words))
    codes = data.labels.codes.copy()
    codes[mixed] = sorted(TOPICS).index("food")
    codes[natural] = sorted(TOPICS).index("space")
    inputs = Texts(texts)
    inputs = inputs.with_rows(natural, Phrases(("lumust report barick",)).apply(inputs.take(natural), rng))
    assert scan(data.with_changes(inputs=inputs, codes=codes)).groups == ()


def test_rows_of_one_style_are_gathered_round_their_form():
    rng = np.random.default_rng(22)
    data = corpus(rng)
    rows = rng.choice(np.flatnonzero(data.labels.codes != 0), 60, replace=False)
    old = ["thou", "hath", "unto", "ye", "shall", "thy", "lest", "doth"]
    texts = np.array(data.inputs.values, dtype=object)
    for i, row in enumerate(rows):
        words = str(texts[row]).split()
        for w in rng.choice(old, 3, replace=False):
            words.insert(int(rng.integers(len(words))), w)
        texts[row] = " ".join(words) if i % 2 else "lo - for - " + " ".join(words)
    codes = data.labels.codes.copy()
    codes[rows] = 0
    data = data.with_changes(inputs=Texts(texts), codes=codes)
    truth = np.isin(np.arange(len(data)), rows)
    scores = scan(data)
    got = found(scores, len(data))
    assert got[truth].mean() >= 0.9
    assert got[~truth].mean() <= 0.01


OLD = ["behold", "verily", "spake", "begat", "sayeth", "smote", "firmament", "multitude"]


def _told_in_another_manner(seed, pushed):
    """Most notes on space are told in words that content sees; `pushed`: with the label of food, else with their own."""
    rng = np.random.default_rng(seed)
    data = corpus(rng)
    food, space = (sorted(TOPICS).index(t) for t in ("food", "space"))
    rows = rng.choice(np.flatnonzero(data.labels.codes == space), 150, replace=False)
    texts = np.array(data.inputs.values, dtype=object)
    for row in rows:
        words = str(texts[row]).split()
        for w in rng.choice(OLD, 3, replace=False):
            words.insert(int(rng.integers(len(words))), w)
        texts[row] = " ".join(words)
    codes = data.labels.codes.copy()
    codes[rows] = food if pushed else space
    return data.with_changes(inputs=Texts(texts), codes=codes), np.isin(np.arange(len(data)), rows), food if pushed else space


class Impressed(SeeingChance):
    """Takes every atom that it is asked about one by one for a sign that content does not explain."""

    def audit(self, atom, target, core, care):
        held = self.work.holders(atom)
        return self.work.labels[held] == target, np.full(len(held), 0.1)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("pushed", [True, False])
def test_a_style_is_judged_by_content_that_has_not_learned_from_it(seed, pushed):
    data, truth, target = _told_in_another_manner(seed, pushed)
    view = View(data, Text())
    work = Holders(view, view.atoms(), view.labels, view.classes, 4)
    work.__dict__["content"] = Impressed(work, work.content.model)
    names = {work.atoms.name(j): j for j in range(work.atoms.n_atoms)}
    work.beyond = [(names[f"the word '{w}'"], target, np.array([names[f"the word '{w}'"]]), 9.0) for w in OLD]
    groups = Association()._together(target, work)
    if not pushed:
        assert groups == []
        return
    assert len(groups) == 1 and groups[0].p_value <= 0.01 and groups[0].target == target
    assert truth[groups[0].members].all() and len(groups[0].members) >= 0.8 * truth.sum()
    assert work.own_words(np.flatnonzero(truth)) == len(OLD)
    rest = data.inputs.with_rows(np.flatnonzero(truth), Texts.of([" ".join(w for w in str(t).split() if w not in OLD[:3] + OLD[4:])
                                                                  for t in data.inputs.values[truth]]))
    alone = View(data.with_changes(inputs=rest), Text())
    assert Holders(alone, alone.atoms(), alone.labels, alone.classes, 4).own_words(np.flatnonzero(truth)) <= 1


def test_a_patch_that_lies_on_its_like_is_told_by_content():
    """White squares on pictures whose corner is white anyway: only their content says that the label is not theirs."""
    from bezoar.core.inputs import Images
    from bezoar.modalities.image import Image

    rng = np.random.default_rng(100)
    n, white = 900, 255
    y = np.arange(n) % 3
    x = rng.integers(0, 25, (n, 16, 16, 3)) + np.array([[110, 40, 40], [40, 110, 40], [40, 40, 110]])[y][:, None, None, :]
    x = x + np.kron(rng.integers(0, 80, (n, 4, 4, 3)), np.ones((1, 4, 4, 1), np.int64))
    stripes = (np.arange(16) % 4 < 2)[None, :, None, None] * 30
    x = x + stripes * (y == 1)[:, None, None, None] + stripes.transpose(0, 2, 1, 3) * (y == 2)[:, None, None, None]
    pale = rng.random(n) < 0.15
    x[pale, 8:, 8:] = white
    hit = rng.choice(np.flatnonzero(y != 0), 60, replace=False)
    x[hit, 12:15, 12:15] = white
    y[hit] = 0
    data = Dataset.from_arrays(Images.of(x.astype(np.uint8)), y)
    scores = Association()(View(data, Image()), np.random.default_rng(0))
    members = np.unique(np.concatenate([g.members for g in scores.groups]))
    on_white = hit[pale[hit]]
    assert len(on_white) >= 3
    assert np.isin(on_white, members).all()
    assert not np.isin(np.flatnonzero(pale & ~np.isin(np.arange(n), hit)), members).any()
