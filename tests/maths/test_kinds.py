"""Two kinds in one class: found where a space and a doubt agree, by rows that never scored themselves."""

from __future__ import annotations

import numpy as np
import pytest

from bezoar.maths import kinds

RNG = np.random.default_rng


def _rows(rng: np.random.Generator, share: float, apart: float, told: float = 1.0) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    odd = np.arange(400) < share * 400
    x = rng.standard_normal((400, 10)) + apart * odd[:, None] * np.eye(10)[3]
    return x, told * odd + rng.standard_normal(400), np.arange(400) % 5, odd


@pytest.mark.parametrize("share", [0.1, 0.3, 0.5, 0.6])
def test_both_kinds_are_found_whatever_their_share(share: float):
    x, doubt, fold, odd = _rows(RNG(1), share, 5.0)
    tried = [kinds.two_kinds(x, doubt, fold, part) for part in (0.25, 0.05)]
    best = max((t for t in tried if t is not None), key=lambda t: t.gain)
    assert ((best.heard > 0.5) == odd).mean() > 0.97 and best.gain > 20


def test_one_kind_gains_little_however_it_is_doubted():
    x, doubt, fold, _ = _rows(RNG(1), 0.3, 0.0)
    found = kinds.two_kinds(x, doubt, fold)
    assert found is None or found.gain < 10


def test_no_row_scores_itself_or_its_copies():
    x, doubt, fold, odd = _rows(RNG(2), 0.3, 3.0)
    chance = odd.astype(np.float64)
    space = kinds._Space(x, fold)
    before = space.discriminant(chance)
    chance[fold == 0] = 1 - chance[fold == 0]
    assert np.allclose(space.discriminant(chance)[fold == 0], before[fold == 0], rtol=0, atol=1e-9)


def test_the_discriminant_is_fishers():
    from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

    x, _, fold, odd = _rows(RNG(3), 0.4, 2.0)
    mine = kinds._Space(x, fold).discriminant(odd.astype(np.float64), shrink=0.0)
    for f in range(5):
        held = fold == f
        theirs = LinearDiscriminantAnalysis(priors=[0.5, 0.5]).fit(x[~held], odd[~held]).decision_function(x[held])
        assert np.corrcoef(mine[held], theirs)[0, 1] > 1 - 1e-9


def test_the_mixture_gains_what_the_likelihoods_say():
    from scipy.stats import norm

    s = np.r_[RNG(4).normal(0, 1, 60), RNG(5).normal(6, 1, 40)]
    chance, gain = kinds._mixture(s, (s > 3) * 1.0)
    inside, outside = s[s > 3], s[s <= 3]
    two = sum(np.log(len(part) / 100) + norm.logpdf(part, part.mean(), part.std()).sum() / len(part) for part in (inside,)) * len(inside)
    two += (np.log(len(outside) / 100) + norm.logpdf(outside, outside.mean(), outside.std()).mean()) * len(outside)
    assert gain == pytest.approx(two - norm.logpdf(s, s.mean(), s.std()).sum(), abs=2.0)
    assert ((chance > 0.5) == (s > 3)).all()


def test_layers_together_are_sharper_than_each():
    rng = RNG(6)
    _, doubt, fold, odd = _rows(rng, 0.3, 0.0)
    spaces = [rng.standard_normal((400, 6)) + 1.5 * odd[:, None] * np.eye(6)[0] for _ in range(6)]
    single = kinds.two_kinds(spaces[0], doubt, fold)
    start = np.where(odd, 0.6, 0.4)
    assert single is not None
    assert ((kinds.together(spaces, doubt, fold, start) > 0.5) == odd).mean() > ((single.heard > 0.5) == odd).mean() + 0.1


def test_nothing_is_said_of_too_few_rows():
    x, doubt, fold, _ = _rows(RNG(1), 0.3, 5.0)
    assert kinds.two_kinds(x[:6], doubt[:6], fold[:6]) is None
    assert kinds.together([x[:6]], doubt[:6], fold[:6], np.full(6, 0.5)).tolist() == [0.5] * 6


def test_foreign_is_zero_where_doubt_knows_no_difference():
    assert kinds.foreign(np.array([0.9]), np.array([0.5]), 0.52) == 0.0
    assert kinds.foreign(np.array([0.9]), np.array([0.1]), 0.5) == 1.0
