"""Forests answer as a walk from the root does, row by row; what is no forest is told apart."""

import numpy as np
import pytest

from bezoar.maths.trees import EACH, LEFT, NAN, NEVER, SIGMOID, SOFTMAX, ZERO, Forest, depth_of, linked, margins


def grown(rng, trees=7, depth=5, width=4, groups=3):
    """Random trees with every way of treating what is missing."""
    nodes, roots = [], []

    def grow(left):
        here = len(nodes)
        nodes.append([-1, 0.0, 0, here, here, float(rng.normal())])
        if left and rng.random() < 0.8:
            missing = int(rng.choice([NEVER, ZERO, NAN])) + int(rng.choice([0, LEFT]))
            nodes[here][:3] = int(rng.integers(width)), float(rng.choice([-1, 0, 0.5, 1])), missing
            nodes[here][3], nodes[here][4] = grow(left - 1), grow(left - 1)
        return here

    roots = [grow(depth) for _ in range(trees)]
    feature, threshold, missing, left, right, value = zip(*nodes, strict=True)
    return Forest(np.array(feature), np.array(threshold), np.array(missing, np.uint8), np.array(left), np.array(right), np.array(value),
                  np.array(roots), rng.integers(0, groups, trees), rng.normal(0, 1, groups), width)


def walked(forest, row):
    out = forest.base.copy()
    for root, group in zip(forest.root, forest.group, strict=True):
        node = root
        while forest.feature[node] >= 0:
            x, how = row[forest.feature[node]], int(forest.missing[node])
            if (how & 3 == NAN and np.isnan(x)) or (how & 3 == ZERO and (np.isnan(x) or abs(x) <= 1e-35)):
                node = forest.left[node] if how & LEFT else forest.right[node]
            else:
                node = forest.left[node] if (0.0 if np.isnan(x) else x) <= forest.threshold[node] else forest.right[node]
        out[group] += forest.value[node]
    return out


@pytest.mark.parametrize("seed", range(100, 106))
def test_as_a_walk_from_the_root(seed, monkeypatch):
    monkeypatch.setattr("bezoar.maths.trees.BLOCK", 50)
    rng = np.random.default_rng(seed)
    forest = grown(rng)
    assert 0 < depth_of(forest, 5) <= 5
    rows = rng.choice([-1, 0, 0.25, 0.5, 1, 2, np.nan, 1e-36, np.inf, -np.inf], (70, 4))
    np.testing.assert_allclose(margins(forest, rows), [walked(forest, r) for r in rows], atol=1e-12)
    assert margins(forest, rows[:0]).shape == (0, 3)


def changed(forest, **more):
    return Forest(**{**forest.__dict__, **more})


@pytest.mark.parametrize(("name", "place", "to", "says"), [
    ("left", 0, 0, "circle"), ("left", 0, 10_000, "not there"), ("right", 0, -1, "not there"), ("threshold", 0, np.nan, "not finite"),
    ("feature", 0, 4, "column"), ("group", 0, 3, "not there"), ("root", 1, 0, "circle"), ("missing", 0, 3, "missing"), ("base", 0, np.inf, "finite")])
def test_what_is_no_forest(name, place, to, says):
    forest = grown(np.random.default_rng(100))
    assert forest.feature[0] >= 0
    array = getattr(forest, name).copy()
    array[place] = to
    with pytest.raises(ValueError, match=says):
        depth_of(changed(forest, **{name: array}), 5)


def test_a_way_that_is_too_long_and_lists_that_differ():
    forest = grown(np.random.default_rng(100))
    with pytest.raises(ValueError, match="more than 2 questions"):
        depth_of(forest, 2)
    with pytest.raises(ValueError, match="lengths"):
        depth_of(changed(forest, value=forest.value[:-1]), 5)


def test_a_circle_beside_the_roots_is_never_walked():
    forest = Forest(np.array([-1, 0, 0]), np.zeros(3), np.full(3, NAN, np.uint8), np.array([0, 2, 1]), np.array([0, 2, 1]), np.ones(3), np.array([0]),
                    np.array([0]), np.zeros(1), 1)
    assert depth_of(forest, 1) == 0 and margins(forest, np.zeros((1, 1))).tolist() == [[1.0]]


def test_links():
    rng = np.random.default_rng(100)
    found = rng.normal(0, 3, (20, 3))
    e = np.exp(found)
    np.testing.assert_allclose(linked(found, SOFTMAX), e / e.sum(axis=1, keepdims=True))
    p = 1 / (1 + np.exp(-2 * found))
    np.testing.assert_allclose(linked(found, EACH, 2.0), p / p.sum(axis=1, keepdims=True))
    np.testing.assert_allclose(linked(found[:, :1], SIGMOID, 2.0)[:, 1], p[:, 0])
    far = linked(np.array([[-1e5, -1e5]]), EACH)
    assert far.tolist() == [[0.5, 0.5]] and linked(np.array([[-1e5], [1e5]]), SIGMOID).tolist() == [[1.0, 0.0], [0.0, 1.0]]
