"""Cross-fitting: accuracy, groups, order, odd shapes."""

import numpy as np
import pytest
from scipy.sparse import csr_array

from bezoar.maths.crossfit import assign_folds, crossfit_probabilities


def blobs(rng, n=600, k=3, d=8, gap=3.0):
    y = rng.integers(0, k, n)
    centre = rng.standard_normal((k, d)) * gap / np.sqrt(2)
    return (centre[y] + rng.standard_normal((n, d))).astype(np.float32), y


@pytest.mark.parametrize("form", ["dense", "sparse", "wide"])
def test_learns_and_sums_to_one(form):
    x, y = blobs(np.random.default_rng(0))
    features = x if form == "dense" else csr_array(x)
    if form == "wide":
        features = csr_array((features.data, features.indices, features.indptr), shape=(len(y), 3000))
    p = crossfit_probabilities(features, y, 3)
    assert p.dtype == np.float32
    assert np.allclose(p.sum(axis=1), 1, atol=1e-4)
    assert (p.argmax(axis=1) == y).mean() > 0.9


def test_never_sees_the_row_or_its_group():
    rng = np.random.default_rng(1)
    y = rng.integers(0, 2, 400)
    x = rng.standard_normal((100, 300)).repeat(4, axis=0).astype(np.float32)  # four copies of noise, one label for all four
    y = y[::4].repeat(4)
    blind = crossfit_probabilities(x, y, 2, groups=np.arange(400) // 4)
    leaky = crossfit_probabilities(x, y, 2)
    assert (blind.argmax(axis=1) == y).mean() < 0.65
    assert (leaky.argmax(axis=1) == y).mean() > 0.8


def test_permuting_rows_permutes_the_result():
    rng = np.random.default_rng(2)
    x, y = blobs(rng)
    order = rng.permutation(len(y))
    a = crossfit_probabilities(x, y, 3)
    b = crossfit_probabilities(x[order], y[order], 3)
    assert np.allclose(a[order], b, atol=1e-3)


def test_folds_keep_groups_and_deal_classes():
    rng = np.random.default_rng(3)
    y = np.repeat([0, 1], [900, 100])
    groups = np.arange(1000) // 2
    fold = assign_folds(rng.standard_normal((1000, 3)), y, groups, 5)
    assert all(len(set(fold[groups == g])) == 1 for g in range(0, 500, 17))
    assert np.bincount(fold[y == 1], minlength=5).min() >= 16


@pytest.mark.parametrize(("n", "k"), [(0, 3), (1, 2), (5, 1), (4, 4), (7, 300)])
def test_small_and_odd(n, k):
    rng = np.random.default_rng(4)
    p = crossfit_probabilities(rng.standard_normal((n, 3)), rng.integers(0, k, n), k)
    assert p.shape == (n, k)
    assert np.isfinite(p).all()


def test_unlabelled_rows_are_predicted_and_constants_survive():
    x, y = blobs(np.random.default_rng(5))
    y[:50] = -1
    p = crossfit_probabilities(x, y, 3)
    assert np.allclose(p[:50].sum(axis=1), 1, atol=1e-4)
    assert p[:50].max(axis=1).mean() > 0.7
    assert np.isfinite(crossfit_probabilities(np.ones((60, 4)), np.arange(60) % 3, 3)).all()


def test_many_classes_take_the_cheap_path():
    rng = np.random.default_rng(6)
    x, y = blobs(rng, n=3000, k=300, d=60, gap=6.0)
    assert (crossfit_probabilities(x, y, 300).argmax(axis=1) == y).mean() > 0.9
    assert (crossfit_probabilities(csr_array(np.c_[x, np.zeros((3000, 2600), np.float32)]), y, 300).argmax(axis=1) == y).mean() > 0.8


def test_sizes_must_fit():
    with pytest.raises(ValueError, match="fit"):
        crossfit_probabilities(np.ones((3, 2)), np.zeros(2, int), 2)
