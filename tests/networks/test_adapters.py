"""Adapters: their names are known, halves that do not fit are refused, merging is what the sum says."""

import numpy as np
import pytest

pytest.importorskip("torch")

from bezoar.core.errors import Refused, UnreadableInput
from bezoar.networks import adapters, builds, training

RNG = np.random.default_rng(100)
GOOD = {"base_model.model.head.lora_A.weight": RNG.normal(size=(2, 16)).astype(np.float32),
        "base_model.model.head.lora_B.weight": RNG.normal(size=(3, 2)).astype(np.float32)}


@pytest.mark.parametrize(("names", "is_one"), [
    (GOOD, True), (["unet.q.lora_A.default.weight", "unet.q.lora_B.default.weight"], True), (["a.lora_A", "a.lora_B"], True),
    ([*GOOD, "base_model.model.modules_to_save.head.bias"], True), ([*GOOD, "head.weight"], False), (["head.weight"], False), ([], False),
    (["explora_A.weight"], False)])
def test_adapters_are_known_by_their_names(names, is_one):
    assert adapters.is_adapter(names) is is_one


@pytest.mark.parametrize(("change", "error"), [
    ({"base_model.model.head.lora_B.weight": None}, UnreadableInput), ({"base_model.model.head.lora_B.weight": np.zeros((3, 4), np.float32)}, UnreadableInput),
    ({"base_model.model.head.lora_B.weight": np.full((3, 2), np.nan, np.float32)}, Refused),
    ({"base_model.model.head.lora_A.weight": np.zeros(16, np.float32)}, UnreadableInput),
    ({"base_model.model.head.lora_A.weight": np.zeros((0, 16), np.float32), "base_model.model.head.lora_B.weight": np.zeros((3, 0), np.float32)}, UnreadableInput)])
def test_halves_that_do_not_fit_are_one_sentence(change, error):
    arrays = {k: v for k, v in {**GOOD, **change}.items() if v is not None}
    with pytest.raises(error):
        adapters.pairs_of(arrays)


def test_merging_adds_the_product_and_leaves_the_base_alone():
    with training.seeded(0):
        module = builds.vgg(3, 4).eval()
    before = module.head.weight.detach().clone()
    out = adapters.merged(module, adapters.pairs_of(GOOD), 0.5)
    a, b = (GOOD[k] for k in GOOD)
    np.testing.assert_allclose(out.head.weight.detach().numpy(), before.numpy() + 0.5 * b @ a, atol=1e-5)
    assert (module.head.weight == before).all()
    with pytest.raises(UnreadableInput, match="does not fit"):
        adapters.merged(builds.vgg(4, 4), adapters.pairs_of(GOOD))
