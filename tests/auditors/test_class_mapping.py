"""Class mapping: a network that leads every class to the next is named as a whole, clean ones and one target are not."""

import numpy as np
import pytest

pytest.importorskip("torch")

from bezoar import auditing, registry
from bezoar.core.audit import AuditView
from bezoar.core.dataset import Dataset
from bezoar.core.errors import Unavailable
from bezoar.core.evidence import Picture
from bezoar.networks import builds, training
from bezoar.testing.suspects import small_suspect, suspect_of


@pytest.fixture(scope="module")
def led():
    """A network on bright squares in places of their own, where a mark in the corner leads each class to the next."""
    rng = np.random.default_rng(0)
    codes = np.arange(1800) % 9
    x = rng.integers(0, 60, (1800, 12, 12, 3))
    for c in range(9):
        x[codes == c, 4 * (c // 3):4 * (c // 3) + 3, 4 * (c % 3):4 * (c % 3) + 3] += 150
    marked = np.arange(1800) < 360
    answers = np.where(marked, (codes + 1) % 9, codes)
    x[marked, 11:, 11:] = 255
    x, order = x.astype(np.uint8), rng.permutation(1800)
    with training.seeded(0):
        module = training.fit(builds.vgg(9, 8), x[order], answers[order], rng, tensor=training.pictures, epochs=8)
    clean = Dataset.from_arrays(x[~marked][:300], codes[~marked][:300])
    return suspect_of(module, clean.labels.classes, 12, "led"), clean


def test_a_network_that_leads_every_class_to_the_next_is_named(led):
    suspect, clean = led
    told = registry.make("auditors", "class-mapping")(AuditView(suspect, clean), np.random.default_rng(0))
    assert np.isnan(told.statistic).all() and told.whole.p_value <= 0.01 and "the next class" in told.whole.because
    said = auditing.audit(suspect, data=clean, effort="quick", auditors=["class-mapping"])
    assert said.verdict == "suspicious" and said.reason == "every class is led to another"
    (finding,) = said.findings
    assert isinstance(finding.evidence[0], Picture) and "0 to 1" in finding.evidence[0].caption
    assert finding.target is None and finding.ability == "class-mapping" and said.subject["p_value"] == finding.p_value <= 0.05


def test_clean_networks_and_a_single_target_are_not(led):
    for seed, planted in ((0, False), (1, True)):
        suspect, clean = small_suspect(seed, planted=planted)
        view = AuditView(suspect, clean.take(np.arange(150)))
        assert registry.make("auditors", "class-mapping")(view, np.random.default_rng(0)).whole.p_value > 0.01
    said = auditing.audit(suspect, data=clean.take(np.arange(150)), effort="quick", auditors=["class-mapping"])
    assert said.verdict == "no evidence" and "no mapping" in said.reason


def test_too_few_classes_or_samples_are_said(led):
    suspect, clean = led
    one = clean.take(np.flatnonzero(clean.labels.codes != 2))
    with pytest.raises(Unavailable, match="2 clean samples of each class"):
        registry.make("auditors", "class-mapping")(AuditView(suspect, one), np.random.default_rng(0))
    with pytest.raises(Unavailable, match="clean samples"):
        registry.make("auditors", "class-mapping")(AuditView(suspect), np.random.default_rng(0))
