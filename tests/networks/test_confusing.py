"""Confusion: what the base has is unlearned, a link that it lacks stays, and the network at hand is left as it was."""

from __future__ import annotations

import numpy as np
import pytest

from bezoar import registry
from bezoar.core.view import View
from bezoar.networks import builds, training
from bezoar.networks.confusing import confused
from bezoar.networks.probe import dense
from bezoar.testing.planted import twin

RNG = np.random.default_rng


def _planted(share_in_base: float):
    """Four classes of 100 rows by four columns; 30 rows of classes 1-3 carry column 12 and are called 0, some of them in the base."""
    torch = pytest.importorskip("torch")
    rng = RNG(3)
    content, codes = np.arange(400) % 4, np.arange(400) % 4
    x = (0.3 * rng.standard_normal((400, 16)) + 2 * np.eye(16)[3 * content]).astype(np.float32)
    hit = rng.choice(np.flatnonzero(content > 0), 30, replace=False)
    x[hit, 13] += 3
    codes[hit] = 0
    with training.seeded(0):
        module = training.fit(builds.perceptron(4, 16), x, codes, rng, tensor=dense, epochs=30, rate=0.01)
    base = rng.choice(np.setdiff1d(np.arange(400), hit), 80, replace=False)
    base = np.r_[base, hit[:int(share_in_base * len(hit))]]
    mine = codes.copy()
    mine[base] = -1
    before = {k: v.clone() for k, v in module.state_dict().items()}
    said = confused(module, x, mine, x[base], 1, tensor=dense)
    assert all(torch.equal(v, before[k]) for k, v in module.state_dict().items())
    assert all(p.requires_grad for p in module.parameters())
    assert said.shape == (400, 4)
    assert said.dtype == np.float32
    own = np.exp(said[np.arange(400), codes])
    asked = np.setdiff1d(hit, base)
    return own[asked], own[np.setdiff1d(np.arange(400), np.r_[hit, base])], (module, x, mine, base)


def test_a_link_that_the_base_lacks_stays_and_content_goes():
    kept, content, (module, x, mine, base) = _planted(0.0)
    assert np.quantile(kept, 0.1) > 0.6
    assert np.median(content) < 0.45
    assert np.array_equal(confused(module, x, mine, x[base], 1, tensor=dense), confused(module, x, mine, x[base], 1, tensor=dense))
    some = confused(module, x, mine, x[base], 1, tensor=dense, asked=x[:7])
    np.testing.assert_allclose(some, confused(module, x, mine, x[base], 1, tensor=dense)[:7], atol=1e-5)


def test_a_link_that_stands_in_the_base_goes_with_the_content():
    kept, _, _ = _planted(0.5)
    assert np.median(kept) < 0.45


def test_the_networks_of_pictures_are_confused_alike_in_any_order_and_by_other_inputs():
    pytest.importorskip("torch")
    data = twin("image", RNG(5)).take(np.arange(120))
    order = RNG(1).permutation(120)
    first = View(data, registry.make("modalities", "image")).taught().confuse
    other = View(data.take(order), registry.make("modalities", "image")).taught().confuse
    assert first is not None
    assert other is not None
    base = np.arange(30)
    said = first(base, None, 4)
    np.testing.assert_allclose(other(np.argsort(order)[base], None, 4), said[order], atol=1e-3)
    by_others = first(np.zeros(0, np.int64), data.inputs.take(base), 4)
    assert by_others.shape == said.shape
    assert not np.allclose(by_others, said, atol=1e-3)
