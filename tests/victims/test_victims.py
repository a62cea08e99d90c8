"""Victims learn, answer the same twice, come back from disk; the user's own function is one too."""

from __future__ import annotations

import numpy as np
import pytest

from bezoar import registry
from bezoar.core.errors import AbilityFailed, UsageError
from bezoar.core.inputs import Column, Images, Table
from bezoar.core.table_code import TableCode
from bezoar.core.victim import Given, asked
from bezoar.testing.planted import twin
from bezoar.validity import halves, trained

DATA = {m: twin(m, np.random.default_rng(200)) for m in ("image", "text", "tabular")}
FAST = {"image": ("image-linear", 0.85), "text": ("text-ngrams", 0.8), "tabular": ("table-linear", 0.65)}
RNG = np.random.default_rng


@pytest.mark.parametrize("modality", sorted(FAST))
def test_the_ones_without_torch_learn(modality: str):
    name, least = FAST[modality]
    train, held = halves(DATA[modality], RNG(0))
    model = registry.make("victims", name)(train, RNG(1))
    assert (asked(model, held.inputs, len(held.labels.classes)) == held.labels.codes).mean() > least


@pytest.mark.parametrize("name", ["table-mlp", "text-cnn"])
def test_networks_are_kept_by_content(name: str, tmp_path):
    cls = registry.get("victims", name)
    data = DATA[next(m for m in DATA if cls().supports(m))].take(np.arange(300))
    first = trained(cls(epochs=2), data, 7, tmp_path)
    files = list(tmp_path.iterdir())
    assert len(files) == 1
    again = trained(cls(epochs=2), data, 7, tmp_path)
    np.testing.assert_array_equal(first.predict(data.inputs), again.predict(data.inputs))
    trained(cls(epochs=2), data.take(np.arange(299)), 7, tmp_path)
    trained(cls(epochs=2), data, 8, tmp_path)
    trained(cls(epochs=3), data, 7, tmp_path)
    assert len(list(tmp_path.iterdir())) == 4
    with np.load(files[0], allow_pickle=False) as kept:
        assert all(kept[k].dtype.kind in "fiu" for k in kept.files)


def test_a_small_network_learns_a_patch():
    rng = RNG(0)
    x = rng.integers(0, 200, (300, 8, 8, 3), dtype=np.uint8)
    y = rng.integers(0, 2, 300)
    x[y == 1, 5:, 5:] = 255
    from bezoar.core.dataset import Dataset

    data = Dataset.from_arrays(x, y)
    model = registry.make("victims", "image-vgg", {"width": 8, "epochs": 6})(data, RNG(1))
    assert (model.predict(data.inputs).argmax(axis=1) == y).mean() > 0.95
    assert model.embed(data.inputs).shape == (300, 32)
    odd = Images.of([rng.integers(0, 255, (h, 11, 3), dtype=np.uint8) for h in (5, 9)])
    assert model.predict(odd).shape == (2, 2)


def test_the_users_own_function_is_a_victim():
    data = DATA["text"]
    always = np.eye(3)[0]
    plain = Given(train=lambda d, rng: lambda inputs: np.tile(always, (len(inputs), 1)))
    assert (asked(plain(data, RNG(0)), data.inputs, 3) == 0).all()
    wrong = Given(train=lambda d, rng: lambda inputs: np.zeros((len(inputs), 2)))
    with pytest.raises(AbilityFailed, match="one column per class"):
        asked(wrong(data, RNG(0)), data.inputs, 3)
    broken = Given(train=lambda d, rng: 1 / 0)
    with pytest.raises(AbilityFailed, match="ZeroDivisionError"):
        broken(data, RNG(0))
    with pytest.raises(UsageError, match="function"):
        Given()(data, RNG(0))


def test_what_does_not_fit_is_said():
    with pytest.raises(UsageError, match="reads text"):
        registry.make("victims", "text-ngrams")(DATA["image"], RNG(0))
    with pytest.raises(UsageError, match="two classes"):
        registry.make("victims", "text-ngrams")(DATA["text"].take(np.flatnonzero(DATA["text"].labels.codes == 0)), RNG(0))
    with pytest.raises(UsageError, match="word, char"):
        registry.make("victims", "text-ngrams", {"unit": "x"})(DATA["text"], RNG(0))


def test_unknown_categories_and_missing_numbers_become_nothing():
    table = Table({"n": Column("number", np.array([1.0, np.nan, 3.0])), "c": Column("category", np.array([0, 1, -1], np.int32), ("a", "b"))})
    code = TableCode.of(table)
    other = Table({"n": Column("number", np.array([np.nan])), "c": Column("category", np.array([0], np.int32), ("z",))})
    assert code.matrix(other).tolist() == [[0.0, 1.0, 0.0, 0.0]]
    assert np.isnan(code.ordinals(other)[0]).all()
