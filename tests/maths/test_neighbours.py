"""Neighbours against a slow oracle; clusters of near-duplicates: together what belongs together, nothing else."""

import numpy as np

from bezoar.maths import neighbours
from bezoar.maths.neighbours import near_duplicate_clusters, nearest


def oracle(x, k):
    unit = x / np.linalg.norm(x, axis=1, keepdims=True)
    far = 1 - unit @ unit.T
    np.fill_diagonal(far, np.inf)
    return np.sort(far, axis=1)[:, :k]


def test_exact_equals_oracle():
    x = np.random.default_rng(0).standard_normal((1500, 12)).astype(np.float32)
    near, far = nearest(x, 20)
    assert np.allclose(far, oracle(x.astype(np.float64), 20), atol=1e-5)
    assert (near != np.arange(1500)[:, None]).all()
    assert near.dtype == np.int32


def test_cells_find_near_duplicates(monkeypatch):
    rng = np.random.default_rng(1)
    x = rng.standard_normal((6000, 24)).astype(np.float32)
    x[3000:3600] = x[:600] + 0.01 * rng.standard_normal((600, 24)).astype(np.float32)
    monkeypatch.setattr(neighbours, "EXACT_ROWS", 1000)
    near, far = nearest(x, 10)
    assert (near[:600, 0] == np.arange(3000, 3600)).mean() > 0.98
    assert (near != np.arange(6000)[:, None]).all()
    assert (np.diff(far, axis=1) >= -1e-6).all()


def test_tiny_and_zero_rows():
    for n in (0, 1, 2, 5):
        near, far = nearest(np.zeros((n, 3)), 20)
        assert near.shape == far.shape == (n, max(0, min(20, n - 1)))
        assert len(near_duplicate_clusters(np.zeros((n, 3)))) == n


def test_copies_share_a_cluster_and_noise_does_not():
    rng = np.random.default_rng(2)
    x = rng.standard_normal((800, 16)).astype(np.float32)
    near = np.repeat(x[:20], 5, axis=0) + 0.02 * rng.standard_normal((100, 16)).astype(np.float32)
    copies = np.repeat(x[30:31], 40, axis=0)
    label = near_duplicate_clusters(np.r_[x, near, copies])
    assert all(len({label[i], *label[800 + 5 * i:805 + 5 * i]}) == 1 for i in range(20))
    assert len({label[30], *label[900:]}) == 1
    assert len(set(label[:800])) > 790


def test_a_chain_is_cut():
    turn = np.random.default_rng(5).uniform(0, np.pi, 600)
    chain = np.c_[np.cos(turn), np.sin(turn), np.zeros((600, 6))]
    rest = np.random.default_rng(3).standard_normal((1000, 8))
    label = near_duplicate_clusters(np.r_[chain, rest].astype(np.float32))
    assert np.bincount(label).max() <= 80


def test_a_flood_stays_together():
    rng = np.random.default_rng(6)
    x = rng.standard_normal((1000, 16)).astype(np.float32)
    label = near_duplicate_clusters(np.r_[x, x[:1] + 0.1 * rng.standard_normal((200, 16)).astype(np.float32)])
    assert np.bincount(label).max() >= 195


def test_order_does_not_matter():
    rng = np.random.default_rng(4)
    x = rng.standard_normal((300, 8)).astype(np.float32)
    x[200:] = x[:100] + 0.01 * rng.standard_normal((100, 8)).astype(np.float32)
    order = rng.permutation(300)
    a, b = near_duplicate_clusters(x)[order], near_duplicate_clusters(x[order])
    assert ((a[:, None] == a) == (b[:, None] == b)).all()
