"""The probe: the same for the same rows in any order, quiet about rows without labels, and one sentence where torch is missing."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from bezoar import registry
from bezoar.core.dataset import Dataset
from bezoar.core.errors import Unavailable
from bezoar.core.learned import Learned
from bezoar.core.view import View
from bezoar.testing.planted import twin

RNG = np.random.default_rng
ROWS = {"image": 120, "text": 150, "tabular": 200}


def view(data: Dataset, seed: int = 0) -> View:
    return View(data, registry.make("modalities", data.modality), seed=seed)


@pytest.mark.parametrize("modality", sorted(ROWS))
def test_every_kind_of_data_is_learned_alike_in_any_order(modality: str):
    pytest.importorskip("torch")
    data = twin(modality, RNG(5)).take(np.arange(ROWS[modality]))
    codes = data.labels.codes.copy()
    codes[:7] = -1
    data = data.with_changes(codes=codes)
    first = view(data).learned()
    n, k = len(data), len(data.labels.classes)
    assert len(first) == n
    assert first.logits.shape == (n, k)
    assert first.losses.shape[0] == first.early.shape[0] == n
    assert np.isnan(first.losses[:7]).all()
    assert np.isfinite(first.losses[7:]).all()
    known = codes >= 0
    assert first.losses[known, -1].mean() < first.losses[known, 0].mean()
    assert first.early.shape == first.layers[-1].shape
    assert not first.layers[0].flags.writeable
    order = RNG(1).permutation(n)
    other = view(data.take(order)).learned()
    np.testing.assert_allclose(other.logits, first.logits[order], atol=1e-4)
    np.testing.assert_allclose(other.slopes[0], first.slopes[0][order], atol=1e-4)
    again = view(data).learned()
    np.testing.assert_array_equal(again.logits, first.logits)
    np.testing.assert_array_equal(again.early, first.early)
    assert not np.array_equal(view(data, seed=1).learned().logits, first.logits)


def test_several_networks_are_of_different_make_and_one_of_the_users_own_is_alone():
    pytest.importorskip("torch")
    data = twin("image", RNG(5)).take(np.arange(ROWS["image"]))
    three = View(data, registry.make("modalities", "image"), probes=3)
    shown = three.several()
    assert shown[0] is three.learned()
    assert len({tuple(a.shape[1] for a in n.layers) for n in shown}) == 3
    assert three.several()[1] is shown[1], "trained once"
    assert len(view(data).several()) == 1
    own = View(data, registry.make("modalities", "image"), probes=3, network=lambda _: three.taught())
    assert own.several() == (shown[0],)
    texts = twin("text", RNG(5)).take(np.arange(ROWS["text"]))
    first, second = View(texts, registry.make("modalities", "text"), probes=2).several()
    assert not np.array_equal(first.logits, second.logits), "another seed where there is one architecture"


@pytest.mark.parametrize("modality", sorted(ROWS))
def test_the_network_answers_about_other_inputs_and_may_be_trained_without_some(modality: str):
    pytest.importorskip("torch")
    data = twin(modality, RNG(6)).take(np.arange(ROWS[modality]))
    v = view(data)
    np.testing.assert_allclose(v.taught().ask(data.inputs), v.learned().logits, atol=1e-3)
    assert v.taught().ask(data.inputs.take(np.array([3]))).shape == (1, len(data.labels.classes))
    codes = data.labels.codes.copy()
    codes[codes == 0] = -1
    args = (data.inputs, codes, len(data.labels.classes), 0)
    without = v.modality.retrained(*args)(data.inputs)
    assert without.shape == v.learned().logits.shape
    assert (without.argmax(axis=1) == 0).mean() < 0.05  # nobody taught it that class
    np.testing.assert_array_equal(v.modality.retrained(*args)(data.inputs), without)


def test_networks_that_did_not_see_a_row_judge_it_alike_in_any_order():
    pytest.importorskip("torch")
    data = twin("image", RNG(5)).take(np.arange(240))
    codes = data.labels.codes.copy()
    codes[:5] = -1
    groups = np.arange(240)
    groups[10:20] = 10
    image = registry.make("modalities", "image")
    p = image.held_out(data.inputs, codes, len(data.labels.classes), groups, 0)
    assert p.shape == (240, len(data.labels.classes))
    np.testing.assert_allclose(p.sum(axis=1), 1, atol=1e-4)
    assert (p.argmax(axis=1) == data.labels.codes).mean() > 2.5 / len(data.labels.classes)
    order = RNG(1).permutation(240)
    other = image.held_out(data.inputs.take(order), codes[order], len(data.labels.classes), groups[order], 0)
    np.testing.assert_allclose(other, p[order], atol=1e-4)


def test_a_row_does_not_teach_the_network_that_judges_it():
    pytest.importorskip("torch")
    rng = RNG(3)
    x = rng.integers(0, 255, (90, 8, 8, 3), dtype=np.uint8)  # nothing but rows to learn by heart
    codes = rng.integers(0, 2, 90)
    image = registry.make("modalities", "image")
    data = Dataset.from_arrays(x, codes)
    p = image.held_out(data.inputs, codes, 2, np.arange(90), 0)
    assert abs((p.argmax(axis=1) == codes).mean() - 0.5) < 0.25


def test_networks_for_parts_are_only_trained_where_that_was_asked_for():
    data = twin("image", RNG(5)).take(np.arange(60))
    with pytest.raises(Unavailable, match="--effort standard"):
        view(data).network_probabilities()
    words = twin("text", RNG(5)).take(np.arange(60))
    with pytest.raises(Unavailable, match="text data"):
        View(words, registry.make("modalities", "text"), networks=True).network_probabilities()


def test_without_labels_there_is_nothing_to_learn():
    pytest.importorskip("torch")
    data = twin("tabular", RNG(5)).take(np.arange(20))
    with pytest.raises(Unavailable, match="two labelled rows"):
        view(data.with_changes(codes=np.full(20, -1))).learned()


def test_arrays_that_do_not_fit_are_refused():
    a = np.zeros((3, 2), np.float32)
    with pytest.raises(ValueError, match="one row per sample"):
        Learned((a,), (a,), a[:2], a, a)
    with pytest.raises(ValueError, match="no matrix"):
        Learned((a,), (a,), a[0], a, a)


CODE = """
import sys
class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.split('.')[0] == 'torch':
            raise ImportError('torch is not here')
sys.meta_path.insert(0, Refuse())
import numpy as np
from bezoar import api
rng = np.random.default_rng(0)
x, y = rng.integers(0, 255, (80, 8, 8, 3), dtype=np.uint8), np.arange(80) % 2
quick = api.scan(x, y, detectors=["outliers"])
named = api.scan(x, y, detectors=["dynamics", "probe-geometry"])
for line in named.outcomes:
    if line.ability in ("dynamics", "probe-geometry"):
        print(line.status, line.reason)
print('torch' in sys.modules, sorted(quick.environment))
"""


def test_missing_torch_is_one_sentence_of_the_report():
    done = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, check=True)
    lines = done.stdout.splitlines()
    assert lines[:2] == ["skipped needs a network trained on the data (pip install 'bezoar[torch]')"] * 2
    assert lines[2].startswith("False")
    assert "torch" not in lines[2]
