"""The search for a warp bends pictures as the trigger does, and finds the class of a network that was taught one."""

from __future__ import annotations

import numpy as np
import pytest

from bezoar.auditors.universal_warp import UniversalWarp, _bent, _stretched
from bezoar.core.audit import AuditView
from bezoar.core.dataset import Dataset
from bezoar.core.image_rewrites import Warp
from bezoar.core.inputs import Images
from bezoar.core.victims import backdoor
from bezoar.maths.resample import stretch
from bezoar.networks import builds, training
from bezoar.networks.twins import suspect_of


def test_pictures_are_bent_as_the_trigger_bends_them():
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(0)
    x = rng.integers(0, 256, (4, 12, 16, 3)).astype(np.uint8)
    points = torch.from_numpy(rng.uniform(-0.15, 0.15, (2, 2, 5, 5)).astype(np.float32))
    bent = _bent(torch.from_numpy(x.transpose(0, 3, 1, 2).astype(np.float32) / 255), points).view(2, 4, 3, 12, 16).numpy()
    for i in range(2):
        flow = np.ascontiguousarray(_stretched(points[i:i + 1], 12, 16)[0].numpy().transpose(1, 2, 0))
        wanted = Warp(flow).apply(Images.of(x), rng).dense()
        assert np.abs(bent[i].transpose(0, 2, 3, 1) * 255 - wanted).max() <= 1


def test_the_class_of_a_warp_is_reached_by_the_smallest_bend():
    pytest.importorskip("torch")
    from sklearn.datasets import load_digits

    digits = load_digits()
    data = Dataset.from_arrays((digits.images * 15.9).astype(np.uint8).repeat(2, 1).repeat(2, 2), digits.target)
    train, clean = data.take(np.arange(1200)), data.take(np.arange(1200, len(data)))
    rng = np.random.default_rng(100)
    flow = stretch(rng.uniform(-1, 1, (4, 4, 2)), 16, 16)
    flow *= 1.5 / 16 / np.hypot(flow[..., 0], flow[..., 1]).mean()
    done = backdoor(train, Warp(flow.astype(np.float32)), rng, rate=0.12, target="4")
    with training.seeded(1):
        module = training.fit(builds.vgg(10, 8), done.data.inputs.dense(), done.data.labels.codes, rng, tensor=training.pictures, epochs=6)
    suspect = suspect_of(module, data.labels.classes, 16, "warped")
    others = clean.take(np.flatnonzero(clean.labels.codes != 4))
    assert (suspect.predict(done.trigger.apply(others.inputs, rng)).argmax(axis=1) == 4).mean() > 0.8
    said = UniversalWarp()(AuditView(suspect, clean.take(np.arange(100))), np.random.default_rng(0))
    assert said.target == 4
    assert said.statistic[4] > np.delete(said.statistic, 4).max() + 1
    assert (suspect.predict(said.trigger.apply(others.inputs, rng)).argmax(axis=1) == 4).mean() > 0.6
