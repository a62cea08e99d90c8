"""The additive model with columns left out, the spread of a group, and the tail of peers."""

from __future__ import annotations

import numpy as np
import pytest

from bezoar.maths.stamp import AdditiveModel, exponential_tail_p, signed_deviance

STARTS = np.array([0, 4, 8, 12, 16, 20])


def _table(rng: np.random.Generator, n: int = 3000) -> tuple[np.ndarray, np.ndarray]:
    places = rng.integers(0, 4, (n, 5)).astype(np.int32)
    places[:, 1] = np.where(rng.random(n) < 0.6, places[:, 0], places[:, 1])
    labels = (rng.random(n) < 0.1 + 0.2 * places[:, 0] + 0.05 * places[:, 2]).astype(np.int64)
    return places + STARTS[:-1].astype(np.int32), labels


def test_leaving_columns_out_is_the_same_as_fitting_without_them() -> None:
    places, labels = _table(np.random.default_rng(0))
    whole = AdditiveModel(places, STARTS, labels, 2)
    part = AdditiveModel(places[:, 2:] - 8, STARTS[2:] - 8, labels, 2)
    np.testing.assert_allclose(whole.share(None, 1, (0, 1)), part.share(None, 1), atol=1e-9)
    assert np.abs(whole.share(None, 1) - part.share(None, 1)).max() > 0.2, "the columns matter"


def test_residuals_sum_to_nought_over_every_cell() -> None:
    places, labels = _table(np.random.default_rng(1))
    residual = (labels == 1) - AdditiveModel(places, STARTS, labels, 2, ridge=1e-6).share(None, 1)
    for cell in range(20):
        assert abs(residual[(places == cell).any(axis=1)].sum()) < 5.0


def test_few_rows_and_many_rows_are_added_up_alike() -> None:
    places, labels = _table(np.random.default_rng(2), 6000)
    model = AdditiveModel(places, STARTS, labels, 2)
    np.testing.assert_allclose(model.share(None, 0)[:100], model.share(np.arange(100), 0), atol=1e-12)


def test_a_random_draw_has_a_spread_of_one_and_a_cluster_has_not() -> None:
    rng = np.random.default_rng(3)
    places, labels = _table(rng)
    model = AdditiveModel(places, STARTS, labels, 2)
    ratios = []
    for _ in range(20):
        chi, free = model.spread(rng.choice(np.flatnonzero(labels == 0), 60, replace=False), 1)
        ratios.append(chi.sum() / free.sum())
    assert 0.8 < np.mean(ratios) < 1.2
    alike = np.flatnonzero((places[:, 3] == 13) & (places[:, 4] == 17) & (labels == 1))
    chi, free = model.spread(alike, 1)
    assert chi.sum() / free.sum() > 5
    assert set(np.argsort(-chi)[:2].tolist()) == {3, 4}


def test_a_column_foretells_its_twin_and_nothing_else() -> None:
    rng = np.random.default_rng(4)
    places, labels = _table(rng)
    places[:, 4] = places[:, 3] + 4
    model = AdditiveModel(places, STARTS, labels, 2)
    rows = np.flatnonzero(places[:, 3] == 12)[:50]
    among = model.among(np.flatnonzero(places[:, 4] == 16))
    assert model.foretold(among, rows, 4) > 0.95
    lonely = places.copy()
    lonely[:, 4] = rng.integers(16, 20, len(places))
    lonely[rows, 4] = 16
    model = AdditiveModel(lonely, STARTS, labels, 2)
    among = model.among(np.flatnonzero(lonely[:, 4] == 16))
    assert model.foretold(among, rows, 4) == pytest.approx(0.25, abs=0.08), "the rows themselves do not teach"


def test_signed_deviance_is_the_binomial_one() -> None:
    from scipy.stats import binom

    value = signed_deviance(30, 100, 15)
    slow = np.sqrt(2 * (binom.logpmf(30, 100, 0.3) - binom.logpmf(30, 100, 0.15)))
    assert value == pytest.approx(slow)
    assert signed_deviance(10, 100, 15) == 0.0 == signed_deviance(0, 0, 0)
    assert np.isfinite(signed_deviance(7, 7, 0.0)) and signed_deviance(7, 7, 0.0) > 5


def test_the_tail_of_peers_is_seldom_exceeded_by_one_of_them() -> None:
    rng = np.random.default_rng(5)
    alarms = sum(exponential_tail_p(rng.exponential(size=80), power=1.0).min() <= 0.05 for _ in range(400))
    assert alarms <= 0.08 * 400
    assert sum(exponential_tail_p(np.abs(rng.normal(size=80))).min() <= 0.05 for _ in range(400)) <= 0.08 * 400
    peers = rng.exponential(size=80)
    assert exponential_tail_p(np.r_[peers, 25.0])[-1] < 1e-3
    assert exponential_tail_p(np.array([5.0, 4.0, 3.0])).tolist() == [0.0, 0.0, 0.0], "too few peers to say anything"
