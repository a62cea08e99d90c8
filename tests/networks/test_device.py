"""The device switch: names, a card that is not there, memory that runs out once and twice; a processor gives the bytes it always gave."""

import numpy as np
import pytest
import torch

from bezoar import api
from bezoar.core.errors import LimitExceeded, UsageError
from bezoar.demo import texts
from bezoar.networks import builds, device, training


def test_names(monkeypatch):
    with pytest.raises(UsageError, match="no device 'gpu'"):
        device.resolved("gpu")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert device.resolved("auto") == device.resolved("cpu") == "cpu"
    with pytest.raises(UsageError, match="no graphics card"):
        device.resolved("cuda")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert device.resolved("auto") == device.resolved("cuda") == "cuda" and device.resolved("cpu") == "cpu"


def test_the_switch_comes_back_and_says_when_a_network_is_large(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    with device.using("cuda", deep=True):
        assert device.current() == "cuda" and device.large(50_000) and not device.large(5_000)
        with device.using("cpu", deep=True):
            assert device.current() == "cpu" and not device.large(50_000)
        assert device.current() == "cuda"
    with device.using("cuda"):
        assert not device.large(50_000)
    assert device.current() == "cpu"


@pytest.mark.skipif(torch.cuda.is_available(), reason="a card is there")
def test_a_scan_that_asks_for_a_card_that_is_not_there_is_refused():
    with pytest.raises(UsageError, match="no graphics card"):
        api.scan(texts(np.random.default_rng(0), 50), device="cuda")
    with pytest.raises(UsageError, match="devices are: auto, cpu, cuda"):
        api.scan(texts(np.random.default_rng(0), 50), device="tpu")


class Tight(torch.nn.Module):
    """Runs out of memory above `most` rows."""

    def __init__(self, most):
        super().__init__()
        self.most, self.seen = most, []
        self.inner = torch.nn.Linear(4, 2)

    def forward(self, x):
        if len(x) > self.most:
            raise torch.OutOfMemoryError("no room")
        self.seen.append(len(x))
        return self.inner(x)


def told(most, rho=0.0):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(64, 4)).astype(np.float32)
    with training.seeded(0):
        module = Tight(most)
        training.fit(module, x, (x[:, 0] > 0).astype(np.int64), np.random.default_rng(1), tensor=torch.from_numpy, epochs=2, batch=32, rho=rho)
    return module


@pytest.mark.parametrize("rho", [0.0, 0.1])
def test_half_batches_are_tried_once_and_teach_the_same(rho):
    whole, halved = told(32, rho), told(16, rho)
    assert set(whole.seen) == {32} and set(halved.seen) == {16}
    assert torch.allclose(whole.inner.weight, halved.inner.weight, atol=1e-6)


def test_memory_that_runs_out_again_is_said():
    with pytest.raises(LimitExceeded, match="half a batch too"):
        told(8)


def test_pictures_on_a_device_are_those_of_the_array():
    x = np.random.default_rng(0).integers(0, 256, (5, 8, 8, 3), dtype=np.uint8)
    assert torch.equal(training.pictures(x), training.pictures(torch.from_numpy(x)))
    assert device.kept(x, "cpu") is x
    assert device.kept(x.astype(np.float32), "meta") is not None and device.kept(x, "meta").device.type == "meta"
    with training.seeded(0):
        module = builds.resnet18(7)
        assert module(training.pictures_fast(x[:2])).shape == (2, 7) and module.features(training.pictures(x[:2])).shape == (2, 512)
