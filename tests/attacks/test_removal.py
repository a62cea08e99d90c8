"""An attack that only takes samples away: what is left is untouched, and the model is worse than after losing as many by chance."""

from __future__ import annotations

import json

import numpy as np
import pytest

from bezoar import api, planting, registry
from bezoar.core.dataset import Dataset
from bezoar.core.errors import UsageError
from bezoar.core.inputs import Images
from bezoar.core.victim import asked
from bezoar.maths.ridge import influence
from bezoar.validity import halves


@pytest.fixture(scope="module")
def digits() -> Dataset:
    from sklearn.datasets import load_digits

    held = load_digits()
    return Dataset.from_arrays(Images.of((held.images * 15).astype(np.uint8)), held.target)


def test_the_influence_of_one_row_is_what_a_refit_without_it_says():
    rng = np.random.default_rng(7)
    x = rng.normal(size=(60, 5)).astype(np.float32)
    x -= x.mean(axis=0)
    codes = rng.integers(0, 3, 60)
    other = (codes + 1) % 3
    weight = rng.random(60)
    found = influence(x, codes, 3, other, weight)
    prior = np.bincount(codes, minlength=3) / 60
    y = np.eye(3)[codes] - prior
    penalty = np.eye(5) * 1e-2 * float(np.trace(x.T @ x)) / 5
    rows = np.arange(60)

    def margins(keep: np.ndarray) -> float:
        w = np.linalg.solve(x[keep].T @ x[keep] + penalty, x[keep].T @ y[keep])
        s = x @ w
        return float((weight * (s[rows, codes] - s[rows, other])).sum())

    slow = np.array([margins(rows[rows != i]) - margins(rows) for i in rows])
    np.testing.assert_allclose(found, slow, atol=1e-4)


def test_it_costs_more_than_losing_as_many_by_chance(digits: Dataset):
    victim, code = registry.make("victims", "image-linear"), digits.labels.classes.index("8")
    found = []
    for seed in (100, 101):
        train, held = halves(digits, np.random.default_rng(seed))
        done = registry.make("attacks", "removal", {"rate": 0.06, "target": "8"})(train, np.random.default_rng(seed))
        assert len(done.removed) == round(0.06 * len(train)) == len(train) - len(done.data)
        own = np.flatnonzero(train.labels.codes == code)
        assert np.isin(done.removed, own).all()
        chance = np.random.default_rng(seed).choice(own, len(done.removed), replace=False)
        eights = held.labels.codes == code
        found.append([(asked(victim(data, np.random.default_rng(0)), held.inputs, 10) == code)[eights].mean()
                      for data in (done.data, train.take(np.setdiff1d(np.arange(len(train)), chance)))])
    ours, by_chance = np.mean(found, axis=0)
    assert ours < by_chance - 0.05


def test_too_many_are_refused(digits: Dataset):
    with pytest.raises(UsageError, match="are to go and only"):
        registry.make("attacks", "removal", {"rate": 0.5, "target": "8"})(digits, np.random.default_rng(0))
    with pytest.raises(UsageError, match="the classes are"):
        registry.make("attacks", "removal", {"target": "eight"})(digits, np.random.default_rng(0))


def test_written_copies_lack_exactly_the_named_rows(tmp_path):
    rng = np.random.default_rng(3)
    lines = [f"{i},{'spam' if i % 3 else 'ham'},{' '.join(rng.choice(['win', 'cash', 'meet', 'lunch', 'call', 'now'], 5))}" for i in range(200)]
    (tmp_path / "mails.csv").write_text("id,label,text\n" + "\n".join(lines) + "\n")
    done = planting.attack("removal", tmp_path / "mails.csv", tmp_path / "out", rate=0.1)
    told = json.loads((tmp_path / "out" / "truth.json").read_text())
    assert len(told["removed"]) == 20 and told["poisoned"] == []
    gone = set(told["removed"])
    assert done.out.read_text().splitlines()[1:] == [line for line in lines if line.split(",")[0] not in gone]
    assert "took 20 samples from here" in api.load(done.out).declared[0]
