"""The count that is found in four of five trials, from few trials: right on curves that are known."""

import numpy as np
import pytest

from bezoar.maths.power import Power


def run(chance, most, rng, trials=15):
    p = Power(most)
    for _ in range(trials):
        count = p.next()
        assert 1 <= count <= most
        p.tell(count, bool(rng.random() < chance(count)))
        if p.settled():
            break
    return p


@pytest.mark.parametrize("edge", [2, 5, 10, 33, 90])
def test_a_sharp_edge_is_found(edge):
    p = run(lambda count: float(count >= edge), 100, np.random.default_rng(0))
    assert edge / 1.5 <= p.least() <= edge * 1.5
    low, high = p.interval()
    assert low <= edge * 1.3 and high >= edge / 1.3


@pytest.mark.parametrize("place", [6.0, 20.0, 70.0])
def test_a_soft_curve_is_found_within_a_factor_of_two_nearly_always(place):
    steep = 0.25
    sought = place * 2 ** (steep * np.log(4))
    found = [run(lambda c: 1 / (1 + np.exp(-(np.log2(c) - np.log2(place)) / steep)), 300, np.random.default_rng(s)) for s in range(40)]
    within = [p.least() is not None and sought / 2 <= p.least() <= sought * 2 for p in found]
    assert np.mean(within) >= 0.9
    covered = [p.interval()[0] <= sought <= p.interval()[1] for p in found]
    assert np.mean(covered) >= 0.8


def test_what_is_never_found_is_said_so_soon():
    p = Power(50)
    trials = 0
    while not p.settled() and trials < 20:
        p.tell(p.next(), False)
        trials += 1
    assert p.least() is None
    assert trials <= 8


def test_what_is_always_found_goes_down_to_one():
    p = run(lambda count: 1.0, 100, np.random.default_rng(0))
    assert p.least() <= 2
    assert p.interval()[0] == 1
