"""Confusion: a group is called where some rows of one class keep their label and the rest loses it, and only there."""

from __future__ import annotations

import numpy as np
import pytest

from bezoar.core.dataset import Dataset
from bezoar.core.errors import Unavailable
from bezoar.core.inputs import Inputs
from bezoar.core.learned import Learned, Taught
from bezoar.core.view import View
from bezoar.detectors.confusion import Confusion, standing
from bezoar.modalities.image import Image

RNG = np.random.default_rng
ROWS, CLASSES = 960, 8


class Shown(View):
    """A view whose network answers as it is told to, and notes which bases it was given; rows 1 in 12 are doubted."""

    def __init__(self, left: np.ndarray, twins: np.ndarray | None = None, reference: View | None = None, trained: bool = True) -> None:
        rng = RNG(9)
        codes = np.arange(ROWS) % CLASSES
        super().__init__(Dataset.from_arrays(rng.integers(0, 255, (ROWS, 8, 8, 3)).astype(np.uint8), codes), Image(), reference=reference)
        self.asked: list[tuple[np.ndarray, Inputs | None]] = []

        def confuse(base: np.ndarray, others: Inputs | None, seed: int) -> np.ndarray:
            self.asked.append((base, others))
            out = np.full((ROWS, CLASSES), -3.0, np.float32)
            out[np.arange(ROWS), codes] = left + 0.05 * RNG(seed).standard_normal(ROWS)
            return out

        plain = rng.standard_normal((ROWS, 3))
        learned = Learned((plain,), (plain,), np.eye(CLASSES)[codes], plain, plain)
        self._kept["taught"] = Taught(learned, lambda inputs: np.zeros((len(inputs), CLASSES)), confuse=confuse if trained else None)
        self._kept["clusters"] = np.arange(ROWS) if twins is None else twins
        self._kept["doubt"] = (np.arange(ROWS) // CLASSES % 12 == 0).astype(np.float64)


def _left(rng: np.random.Generator, above: float, count: int = 30) -> tuple[np.ndarray, np.ndarray]:
    left = np.log(0.25) + 0.2 * rng.standard_normal(ROWS)
    hit = rng.choice(np.flatnonzero(np.arange(ROWS) % CLASSES == 2), count, replace=False)
    left[hit] += above
    return left, np.sort(hit)


@pytest.mark.parametrize("count", [15, 30, 45])
def test_rows_that_keep_their_label_are_called_and_ranked(count: int):
    left, hit = _left(RNG(count), 1.8, count)
    scores = Confusion()(Shown(left), RNG(0))
    (group,) = scores.groups
    assert group.target == 2
    assert np.isin(hit, group.members).mean() >= 0.85
    assert np.isin(group.members, hit).mean() >= 0.95
    truth = np.isin(np.arange(ROWS), hit)
    assert (scores.suspicion[truth] > np.quantile(scores.suspicion[~truth], 0.99)).mean() >= 0.9


@pytest.mark.parametrize("seed", range(8))
def test_nothing_is_called_where_all_lose_it_alike_or_tails_are_long(seed: int):
    rng = RNG(seed)
    assert Confusion()(Shown(_left(rng, 0.0)[0]), RNG(0)).groups == ()
    assert Confusion()(Shown(np.log(0.25) + 0.2 * rng.standard_t(4, ROWS)), RNG(0)).groups == ()
    assert Confusion()(Shown(np.log(0.25) + 0.2 * rng.exponential(1, ROWS)), RNG(0)).groups == ()


def test_copies_of_one_row_are_one_witness():
    left, hit = _left(RNG(1), 1.8)
    twins = np.arange(ROWS)
    twins[hit] = hit[0]
    assert Confusion()(Shown(left, twins), RNG(0)).groups == ()


def test_the_bases_have_no_doubted_rows_no_copies_and_nothing_in_common():
    left, _ = _left(RNG(1), 0.0)
    twins = np.arange(ROWS) // 16 * 8 + np.arange(ROWS) % 8
    view = Shown(left, twins)
    Confusion(rounds=3)(view, RNG(0))
    assert [others for _, others in view.asked] == [None] * 3
    for base, _ in view.asked:
        assert view.doubt()[base].max() == 0
        assert len(np.unique(twins[base])) == len(base)
        assert (np.bincount(base % CLASSES) == 14).all()
    assert not np.isin(view.asked[0][0], view.asked[1][0]).any()


def test_a_trusted_set_is_the_base_where_there_is_one():
    left, hit = _left(RNG(1), 1.8)
    trusted = View(Dataset.from_arrays(RNG(2).integers(0, 255, (80, 8, 8, 3)).astype(np.uint8), np.arange(80) % CLASSES), Image())
    view = Shown(left, reference=trusted)
    (group,) = Confusion()(view, RNG(0)).groups
    assert np.isin(hit, group.members).mean() >= 0.85
    assert "the reference" in group.because
    assert all(len(base) == 0 and others is not None and len(others) == 80 for base, others in view.asked)


def test_a_class_that_the_trusted_set_lacks_is_not_judged():
    left, _ = _left(RNG(1), 1.8)
    few = Dataset.from_arrays(RNG(2).integers(0, 255, (80, 8, 8, 3)).astype(np.uint8), np.array([0, 1, 3, 4, 5, 6, 7, 9])[np.arange(80) % 8])
    scores = Confusion()(Shown(left, reference=View(few, Image())), RNG(0))
    assert scores.groups == ()
    assert np.isnan(scores.suspicion[np.arange(ROWS) % CLASSES == 2]).all()
    assert "class 2 was left out: it has 120 rows, the reference 0" in scores.notes


def test_a_model_that_was_not_trained_here_is_not_confused():
    with pytest.raises(Unavailable, match="trained on the data"):
        Confusion().score(Shown(_left(RNG(1), 1.8)[0], trained=False), RNG(0))


def test_a_class_that_is_half_poison_is_ranked_by_the_width_of_the_others():
    kept = np.tile(np.r_[np.linspace(-1, 1, 50), np.linspace(-1, 1, 50), np.linspace(-10, 10, 50)], (2, 1))
    codes = np.repeat([0, 1, 2], 50)
    z, even = standing(kept, codes, np.arange(3))
    assert np.abs(z[100:]).max() < 3
    assert even[149] == pytest.approx(10 * even[49], rel=0.01)
