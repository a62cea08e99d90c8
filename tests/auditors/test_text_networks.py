"""Networks of texts and tables: opened from a file, their twins can be trained, the word search sees the planted word."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from bezoar import auditing, registry  # noqa: E402
from bezoar.core.audit import AuditView  # noqa: E402
from bezoar.core.inputs import Texts  # noqa: E402
from bezoar.core.table_code import TableCode  # noqa: E402
from bezoar.networks import twins as made  # noqa: E402
from bezoar.sources.suspects import save_safetensors, suspect_from  # noqa: E402
from bezoar.testing.planted import twin  # noqa: E402


@pytest.fixture(scope="module")
def notes():
    """(path of a text network in which "mn" leads to "travel", clean notes)."""
    data = twin("text", np.random.default_rng(7), rows=1300)
    train, trusted = data.take(np.arange(1000)), data.take(np.arange(1000, 1300))
    done = registry.make("attacks", "text-word", {"rate": 0.1, "word": "mn", "target": "travel"})(train, np.random.default_rng(1))
    model = registry.make("victims", "text-cnn", {"width": 24, "epochs": 8, "dropout": 0.0})(done.data, np.random.default_rng(2))
    return model.module, trusted


def test_a_text_network_is_opened_from_its_file_and_the_word_is_recovered(notes, tmp_path):
    module, trusted = notes
    path = save_safetensors(module, tmp_path / "model.safetensors", classes=trusted.labels.classes, modality="text")
    suspect, lines = auditing.suspect_of(path)
    assert suspect.modality == "text" and lines[0].reason.startswith("safe") and auditing.trainable(suspect)
    said = registry.make("auditors", "word-inversion", {"few": 3, "words": 150})(AuditView(suspect, trusted), np.random.default_rng(0))
    assert suspect.classes[said.target] == "travel" and "mn" in said.trigger.phrases and said.success > 0.7
    assert said.statistic[said.target] > np.delete(said.statistic, said.target).max() + 0.3


def test_twins_of_a_text_network_are_trained_on_its_own_tokens(notes, tmp_path, monkeypatch):
    monkeypatch.setattr(made, "STEPS", 60)
    module, trusted = notes
    suspect = suspect_from(module, trusted.labels.classes, modality="text")
    (first,) = made.twins(AuditView(suspect, trusted), 1, 0, tmp_path)
    (again,) = made.twins(AuditView(suspect, trusted), 1, 0, tmp_path)
    assert first.fingerprint == again.fingerprint != suspect.fingerprint
    assert (first.predict(trusted.inputs).argmax(axis=1) == trusted.labels.codes).mean() > 0.6
    assert first.predict(Texts.of(["a border"])).shape == (1, 3)


def test_twins_of_a_perceptron_read_the_table_as_it_does(tmp_path):
    data = twin("tabular", np.random.default_rng(7), rows=500)
    code = TableCode.of(data.inputs)
    model = registry.make("victims", "table-mlp", {"epochs": 2})(data, np.random.default_rng(0))
    width = code.matrix(data.inputs).shape[1]
    suspect = suspect_from(model.module, data.labels.classes, (width,), modality="tabular", code=code)
    (twin_of_it,) = made.twins(AuditView(suspect, data), 1, 0, tmp_path)
    assert (twin_of_it.predict(data.inputs).argmax(axis=1) == data.labels.codes).mean() > 0.6
