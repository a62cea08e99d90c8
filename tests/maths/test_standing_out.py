"""One class that stands out is seen, against clean models and against other classes; clean models keep their error rate."""

import numpy as np

from bezoar.maths.standing_out import against_classes, against_references, fused, p_largest, prominent


def naive(own, refs):
    out = np.zeros_like(own)
    for c in range(own.shape[0]):
        middle = np.median(refs[:, c], axis=0)
        var = ((refs[:, c] - middle) ** 2).mean(axis=0)
        for k in range(own.shape[1]):
            out[c, k] = (own[c, k] - middle[k]) / np.sqrt((var[k] + var.mean()) / 2 * (1 + 1 / len(refs)) + 0.05**2)
    return out


def test_against_references_is_the_slow_form():
    rng = np.random.default_rng(100)
    own, refs = rng.normal(size=(3, 7)), rng.normal(size=(6, 3, 7))
    np.testing.assert_allclose(against_references(own, refs), naive(own, refs))


def test_what_a_channel_cannot_say_stays_unsaid_and_costs_nothing():
    own = np.array([[0.0, 1.0, 2.0], [np.nan, np.nan, np.nan]])
    z = against_classes(own)
    assert np.isnan(z[1]).all()
    np.testing.assert_allclose(fused(z), np.clip(z[0], -3, 8))


def test_clean_models_keep_their_error_rate_and_planted_ones_are_seen():
    rng = np.random.default_rng(101)
    low = {"clean": 0, "planted": 0}
    for _ in range(200):
        refs = rng.normal(size=(9, 4, 10))
        own, others = refs[0], refs[1:]
        planted = own.copy()
        planted[:2, 3] += 8
        null = np.concatenate([fused(against_references(others[i], np.delete(others, i, axis=0))) for i in range(8)])
        for name, x in (("clean", own), ("planted", planted)):
            low[name] += p_largest(float(fused(against_references(x, others)).max()), null, 10) <= 0.05
    assert low["clean"] <= 18, low  # 5% of 200, and the chance of 19 or more is under 1%
    assert low["planted"] >= 190, low


def test_one_channel_of_eight_is_enough_among_a_models_own_classes():
    rng = np.random.default_rng(102)
    low = {"clean": 0, "planted": 0, "drowned": 0}
    for _ in range(300):
        clean = rng.normal(size=(8, 10))
        planted = clean.copy()
        planted[5, 3] += 12
        for name, x, rule in (("clean", clean, prominent), ("planted", planted, prominent), ("drowned", planted, fused)):
            score = rule(against_classes(x))
            top = int(score.argmax())
            low[name] += p_largest(float(score[top]), np.delete(score, top), 10) <= 0.05
    assert low["clean"] <= 30, low  # a model's own classes are a rough null: twice the 5% of 300
    assert low["planted"] >= 2 * low["drowned"], low


def test_a_null_of_two_values_says_nothing():
    assert np.isnan(p_largest(1.0, np.array([0.0, 1.0]), 5))
