"""Doubt that a space foretells: sharper than the doubt itself where rows share a direction, nothing where they do not."""

from __future__ import annotations

import numpy as np
import pytest

from bezoar.maths.echo import foretold

RNG = np.random.default_rng


def _rows(rng: np.random.Generator, apart: float) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    codes = np.arange(800) % 4
    odd = np.zeros(800, bool)
    odd[np.flatnonzero(codes == 1)[:40]] = True
    z = rng.standard_normal((800, 10)) + apart * odd[:, None] * np.eye(10)[3]
    doubt = np.clip(rng.beta(1, 6, 800) + 0.25 * odd + 0.15 * rng.standard_normal(800), 0, 1)
    return z, doubt, codes, odd


def _recall(score: np.ndarray, odd: np.ndarray) -> float:
    return float((score[odd] > np.quantile(score[~odd], 0.99)).mean())


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_noisy_doubt_becomes_sharp(seed: int):
    z, doubt, codes, odd = _rows(RNG(seed), 6.0)
    score = foretold(z, doubt, codes, RNG(seed).integers(0, 5, 800))
    assert _recall(doubt, odd) < 0.25
    assert _recall(score, odd) > max(0.5, 3 * _recall(doubt, odd))


def test_rows_without_anything_in_common_are_not_found():
    z, doubt, codes, odd = _rows(RNG(1), 0.0)
    assert _recall(foretold(z, doubt, codes, RNG(1).integers(0, 5, 800)), odd) < 0.2


def test_no_row_foretells_itself_and_small_or_nameless_classes_get_nothing():
    z, doubt, codes, _ = _rows(RNG(1), 6.0)
    fold = RNG(1).integers(0, 5, 800)
    first = foretold(z, doubt, codes, fold)
    changed = doubt.copy()
    changed[fold == 2] = 1 - changed[fold == 2]
    mine = (codes == 1) & (fold == 2)
    order = np.argsort(first[mine])
    assert (np.argsort(foretold(z, changed, codes, fold)[mine]) == order).all()  # told by the other folds alone
    few = np.where(np.arange(800) < 780, -1, codes)
    assert not foretold(z, doubt, few, fold).any()
    assert not foretold(np.zeros((800, 3)), doubt, codes, fold).any()
