"""Influence: the same as gradients multiplied out, zero for rows without a label, shares that sum to one."""

from __future__ import annotations

import numpy as np

from bezoar.maths.influence import pulls, residuals, self_pulls, shares

RNG = np.random.default_rng


def drawn(seed, n=7, d=4, k=3, c=2):
    rng = RNG(seed)
    return ([rng.normal(size=(n, d)) for _ in range(c)], [rng.normal(size=(n, k)) for _ in range(c)], rng.integers(-1, k, n),
            [rng.normal(size=d) for _ in range(c)], [rng.normal(size=k) for _ in range(c)], list(rng.random(c)))


def gradient(h, z, code):
    """Of the cross entropy with respect to the last layer's weights and biases, by small differences."""
    w, b = np.zeros((len(z), len(h))), np.zeros(len(z))

    def loss(dw, db):
        out = z + dw @ h + db
        return np.log(np.exp(out).sum()) - out[code]

    eps, flat = 1e-6, []
    for i in range(w.size + b.size):
        step = np.zeros(w.size + b.size)
        step[i] = eps
        dw, db = step[:w.size].reshape(w.shape), step[w.size:]
        flat.append((loss(dw, db) - loss(-dw, -db)) / (2 * eps))
    return np.array(flat)


def test_the_sum_is_that_of_gradients_multiplied_out():
    for seed in range(3):
        h, z, codes, other, other_z, weights = drawn(seed)
        found = pulls(h, z, codes, other, other_z, 1, weights)
        slow = np.zeros(len(codes))
        for t in range(2):
            mine = gradient(other[t], other_z[t], 1)
            for i, code in enumerate(codes):
                if code >= 0:
                    slow[i] += weights[t] * gradient(h[t][i], z[t][i], code) @ mine
        np.testing.assert_allclose(found, slow, atol=1e-5)
        assert (found[codes < 0] == 0).all()


def test_a_row_pulls_on_itself_as_on_its_copy():
    h, z, codes, _, _, weights = drawn(5)
    codes = np.maximum(codes, 0)
    own = self_pulls(h, z, codes, weights)
    for i, code in enumerate(codes):
        copy = pulls(h, z, codes, [a[i] for a in h], [a[i] for a in z], int(code), weights)
        np.testing.assert_allclose(copy[i], own[i])
    assert (residuals(z[0], codes).sum(axis=1) < 1e-9).all()


def test_shares_are_of_what_pulls_towards_and_sum_to_one():
    parts = shares(np.array([1.0, 2.0, -5.0, 1.0]), np.array(["a", "b", "b", "a"], object))
    assert parts == {"a": 0.5, "b": 0.5}
    assert shares(np.array([-1.0, 0.0]), np.array(["a", "b"])) == {}
