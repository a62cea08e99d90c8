"""Attacks that search with a network: bounds, clean labels, determinism, and that the search finds what it is for."""

from __future__ import annotations

import numpy as np
import pytest

from bezoar import registry
from bezoar.core.dataset import Dataset
from bezoar.core.errors import UsageError
from bezoar.core.inputs import Images

pytest.importorskip("torch")
RNG = np.random.default_rng
NAMES = ("concept", "feature-collision", "gradient-matching", "label-consistent", "narcissus")


def _data() -> Dataset:
    """Three classes of 8x8 pictures: light above, light below, light on the left."""
    rng = RNG(0)
    y = rng.integers(0, 3, 240)
    x = rng.normal(90, 25, (240, 8, 8, 3))
    x[y == 0, :4] += 50
    x[y == 1, 4:] += 50
    x[y == 2, :, :4] += 50
    return Dataset.from_arrays(np.clip(x, 0, 255).astype(np.uint8), y)


DATA = _data()


def make(name: str, **parameters: object):
    return registry.make("attacks", name, parameters)


@pytest.mark.parametrize("name", NAMES)
def test_labels_stay_the_bound_holds_and_the_seed_decides(name: str):
    one = make(name, rate=0.05, steps=4, target="1")(DATA, RNG(1))
    assert np.array_equal(one.data.labels.codes, DATA.labels.codes)
    changed = (one.data.inputs.dense() != DATA.inputs.dense()).any(axis=(1, 2, 3))
    assert np.array_equal(changed, one.truth)
    assert 10 <= one.truth.sum() <= 12
    assert set(DATA.labels.codes[one.truth]) == {1}
    if name != "label-consistent":
        gap = np.abs(one.data.inputs.dense().astype(int) - DATA.inputs.dense())
        assert gap.max() <= one_bound(name)
    assert make(name, rate=0.05, steps=4, target="1")(DATA, RNG(1)).data.fingerprint == one.data.fingerprint
    assert make(name, rate=0.05, steps=4, target="1")(DATA, RNG(2)).data.fingerprint != one.data.fingerprint


def one_bound(name: str) -> float:
    return make(name).bound


def _means(x: object) -> object:
    """A plain encoder: mean light above, below, on the left, on the right."""
    import torch

    return torch.stack([x[..., :4, :].mean((1, 2, 3)), x[..., 4:, :].mean((1, 2, 3)), x[..., :4].mean((1, 2, 3)), x[..., 4:].mean((1, 2, 3))], 1)


def _seen(images: Images) -> np.ndarray:
    from bezoar.networks.training import pictures

    return _means(pictures(images.dense())).numpy()


@pytest.mark.parametrize("mode", ["collision", "bullseye"])
def test_a_collision_brings_the_features_to_the_chosen_picture(mode: str):
    aim = DATA.inputs.take(np.flatnonzero(DATA.labels.codes == 0)[:1])
    done = make("feature-collision", aim=aim, target="1", encoder=_means, mode=mode, rate=0.03, steps=40, bound=32)(DATA, RNG(1))
    rows = np.flatnonzero(done.truth)
    before, after = _seen(DATA.inputs.take(rows)), _seen(done.data.inputs.take(rows))
    goal = _seen(aim)
    assert np.linalg.norm(after - goal, axis=1).mean() < 0.6 * np.linalg.norm(before - goal, axis=1).mean()
    assert done.aim is aim
    assert done.target == "1"


def test_a_concept_moves_towards_the_other():
    done = make("concept", target="1", towards="0", encoder=_means, bound=32)(DATA, RNG(1))
    rows = np.flatnonzero(done.truth)
    centre = _seen(DATA.inputs.take(np.flatnonzero(DATA.labels.codes == 0))).mean(axis=0)
    before, after = _seen(DATA.inputs.take(rows)).mean(axis=0), _seen(done.data.inputs.take(rows)).mean(axis=0)
    assert np.linalg.norm(after - centre) < 0.5 * np.linalg.norm(before - centre)
    assert len(done.aim) >= 5


def test_the_noise_of_narcissus_speaks_for_the_target():
    from bezoar.networks import perturbing, training

    done = make("narcissus", target="2", rate=0.05)(DATA, RNG(1))
    with training.seeded(3):
        judge = perturbing.surrogate(DATA, RNG(3), epochs=15)
    others = DATA.inputs.take(np.flatnonzero(DATA.labels.codes != 2))
    with training.seeded(0):
        clean, noisy = (training.probabilities(judge, x.dense(), tensor=training.pictures)[:, 2].mean()
                        for x in (others, done.trigger.apply(others, RNG(0))))
    assert noisy > clean + 0.3


def test_hard_pictures_without_torch():
    done = make("label-consistent", method="interpolate", target="1", rate=0.05)(DATA, RNG(1))
    assert done.truth.sum() == 12
    assert done.trigger.match(done.data.inputs)[done.truth].min() > 0.99


@pytest.mark.parametrize(("name", "parameters", "said"), [
    ("label-consistent", {"method": "x"}, "interpolate"), ("label-consistent", {"size": 5}, "range"), ("feature-collision", {"mode": "x"}, "bullseye"),
    ("feature-collision", {"bound": 0}, "above 0"), ("narcissus", {"amplify": 0.5}, "amplify"), ("gradient-matching", {"steps": 0}, "steps"),
    ("concept", {"target": "1", "towards": "1"}, "both"), ("concept", {"bound": 0}, "above 0"),
    ("feature-collision", {"aim": Images.of(np.zeros((1, 9, 9, 3), np.uint8))}, "another size")])
def test_wrong_parameters(name: str, parameters: dict, said: str):
    with pytest.raises(UsageError, match=said):
        make(name, **parameters)(DATA, RNG(0))


@pytest.mark.parametrize("name", NAMES)
def test_pictures_of_many_sizes_are_refused(name: str):
    rng = RNG(0)
    odd = Dataset.from_arrays(Images.of([rng.integers(0, 255, (8 + i % 2, 8, 3), dtype=np.uint8) for i in range(40)]), rng.integers(0, 2, 40))
    with pytest.raises(UsageError, match="one size"):
        make(name, rate=0.1)(odd, RNG(0))
