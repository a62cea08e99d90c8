"""The planted data of the contract suite: the truth is exact, the twin is clean, the same rng gives the same bytes."""

from __future__ import annotations

import numpy as np
import pytest

from bezoar.core.errors import UsageError
from bezoar.testing.planted import MODALITIES, planted, threats, twin

CASES = [(m, t) for m in MODALITIES for t in threats(m)]


@pytest.mark.parametrize(("modality", "threat"), CASES)
def test_truth_is_exactly_what_changed(modality: str, threat: str):
    clean, bad, truth = planted(modality, threat, np.random.default_rng(100))
    same = np.array([a == b for a, b in zip(clean.inputs.row_keys(), bad.inputs.row_keys(), strict=True)])
    assert np.array_equal(~(same & (clean.labels.codes == bad.labels.codes)), truth)
    assert 20 <= truth.sum() <= 0.55 * len(clean)
    assert 600 <= len(clean) <= 1500
    assert clean.fingerprint == twin(modality, np.random.default_rng(100)).fingerprint
    assert planted(modality, threat, np.random.default_rng(100))[1].fingerprint == bad.fingerprint
    if threat == "backdoor-clean-label":
        assert np.array_equal(clean.labels.codes, bad.labels.codes)
    if threat == "label-flip":
        assert same.all()
    assert bool(bad.declared) == (threat == "declared")


@pytest.mark.parametrize("modality", MODALITIES)
def test_the_twin_can_be_learned_and_has_no_copies(modality: str):
    data = twin(modality, np.random.default_rng(101))
    assert len(set(map(bytes, data.inputs.row_keys())) if modality != "text" else set(data.inputs.values)) >= 0.99 * len(data)
    assert min(np.bincount(data.labels.codes)) >= 50


def test_what_cannot_be_planted_is_said():
    with pytest.raises(UsageError, match="image, text, tabular"):
        planted("audio", "label-flip", np.random.default_rng(0))
    with pytest.raises(UsageError, match="label-flip"):
        planted("text", "bias", np.random.default_rng(0))
