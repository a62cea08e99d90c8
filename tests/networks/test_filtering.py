"""The input filter: quiet on clean inputs at the stated rate, loud on triggered ones, and what washing does."""

import numpy as np
import pytest
import torch

import bezoar
from bezoar.core.dataset import Dataset
from bezoar.core.errors import UsageError
from bezoar.core.image_triggers import Patch
from bezoar.core.model_repair import Samples, stamped
from bezoar.networks import filtering
from bezoar.networks.builds import resnet
from bezoar.networks.training import fit, pictures, seeded
from bezoar.sources.suspects import suspect_from

PATCH = Patch(np.full((3, 3, 3), 255, np.uint8), np.ones((3, 3), np.float32), 0.75, 0.75)
KINDS = 4


def rows(n, seed):
    """Pictures of four textures at random phases, with noise."""
    rng = np.random.default_rng(seed)
    codes = rng.integers(0, KINDS, n)
    y, x = np.mgrid[:16, :16]
    waves = np.stack([y, x, y + x, y - x])[codes] * 1.2 + rng.uniform(0, 6, (n, 1, 1))
    grey = 110 + 60 * np.sin(waves) + rng.normal(0, 15, (n, 16, 16))
    return Samples(np.repeat(grey[..., None].clip(0, 255).astype(np.uint8), 3, axis=3), codes.astype(np.int64))


@pytest.fixture(scope="module")
def backdoored():
    rng = np.random.default_rng(1)
    train = rows(500, 2)
    x, codes = train.x.copy(), train.codes.copy()
    hit = rng.choice(np.flatnonzero(codes != 0), 50, replace=False)
    x[hit] = stamped(x[hit], PATCH, "image", rng)
    codes[hit] = 0
    with seeded(3):
        return fit(resnet(KINDS, 4), x, codes, rng, tensor=pictures, epochs=8, batch=64)


def test_flags_triggered_inputs_and_few_clean_ones(backdoored):
    suspect = suspect_from(backdoored, [str(k) for k in range(KINDS)], (16, 16, 3), pixels="-1..1")
    trusted, fresh = rows(300, 5), rows(300, 6)
    watched = bezoar.guard(suspect, trusted.x, trusted.codes, rate=0.05)
    clean = watched(fresh.x)
    assert clean.flagged.mean() <= 0.10 and (clean.probabilities.argmax(axis=1) == fresh.codes).mean() > 0.9
    open_rows = fresh.codes != 0
    marked = stamped(fresh.x[open_rows], PATCH, "image", np.random.default_rng(0))
    assert (suspect.predict(Dataset.from_arrays(marked).inputs).argmax(axis=1) == 0).mean() > 0.9, "the backdoor is there"
    seen = watched(marked)
    assert seen.flagged.mean() > 0.8 and not seen.purified.any()
    washed = bezoar.guard(suspect, trusted.x, trusted.codes, rate=0.05, purify="mask")(marked)
    assert (washed.purified == washed.flagged).all()
    held = washed.probabilities.argmax(axis=1) == fresh.codes[open_rows]
    assert held[washed.purified].mean() > 0.5, "covering the deciding square gives most their own class back"
    known = bezoar.guard(suspect, trusted.x, trusted.codes, rate=0.05, trigger=PATCH)
    assert known(marked).flagged.mean() > 0.95 and known(fresh.x).flagged.mean() <= 0.10
    again = watched(marked)
    np.testing.assert_array_equal(again.p_value, seen.p_value)


def test_mixing_is_a_channel_of_its_own(backdoored):
    trusted = rows(200, 7)
    found = filtering.Filter(backdoored, pictures, trusted, np.random.default_rng(0), mixes=2)
    logits, p = found.p_values(rows(50, 8).x)
    assert logits.shape == (50, KINDS) and p.shape == (50,) and p.min() >= 1 / 101 and p.max() <= 1


def test_works_without_normalisation_and_for_no_input():
    plain = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(768, 16), torch.nn.ReLU(), torch.nn.Linear(16, KINDS)).eval()
    found = filtering.Filter(plain, pictures, rows(60, 1), np.random.default_rng(0))
    assert found.p_values(rows(10, 2).x)[1].shape == (10,) and found.p_values(rows(0, 2).x)[1].shape == (0,)


@pytest.mark.parametrize(("wrong", "words"), [({"rate": 0.0}, "share"), ({"purify": "soap"}, "no way"), ({"rate": 0.001}, "cannot show a rate")])
def test_wrong_use_is_said(backdoored, wrong, words):
    suspect = suspect_from(backdoored, [str(k) for k in range(KINDS)], (16, 16, 3), pixels="-1..1")
    trusted = rows(100, 1)
    with pytest.raises(UsageError, match=words):
        bezoar.guard(suspect, trusted.x, trusted.codes, **{"rate": 0.05, **wrong})


def test_few_trusted_samples_are_refused(backdoored):
    with pytest.raises(UsageError, match="calibrate"):
        filtering.Filter(backdoored, pictures, rows(10, 1), np.random.default_rng(0))


def test_washing_keeps_shape_and_changes_what_it_says():
    x = rows(5, 3).x
    for done in (filtering.blurred(x), filtering.recoded(x)):
        assert done.shape == x.shape and done.dtype == np.uint8 and (done != x).any()
    with seeded(0):
        module = resnet(KINDS, 4).eval()
    done = filtering.masked(module, x, np.zeros(5, np.int64), pictures)
    changed = (done != x).any(axis=3)
    assert changed.any() and (changed.reshape(5, -1).sum(axis=1) <= 16).all(), "one square of 4 x 4"
