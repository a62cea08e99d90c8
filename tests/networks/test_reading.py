"""What a network shows is found without names: in a residual network, a perceptron, a transformer, a convolution over sequences."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from torch import nn  # noqa: E402

from bezoar.core.errors import UsageError  # noqa: E402
from bezoar.networks import builds, reading  # noqa: E402

RNG = np.random.default_rng


class Tokens(nn.Module):
    """A small transformer: embedding, two blocks of attention and a perceptron, mean over tokens, a head."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(20, 8)
        self.blocks = nn.ModuleList([nn.TransformerEncoderLayer(8, 2, 16, dropout=0.1, batch_first=True) for _ in range(2)])
        self.head = nn.Linear(8, 3)

    def forward(self, x):
        x = self.embed(x)
        for block in self.blocks:
            x = block(x)
        return self.head(x.mean(dim=1))


class Sequence(nn.Module):
    """Convolutions over a sequence of numbers, frozen, with ReLU in place; answers like a model of the transformers library."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Conv1d(2, 6, 3), nn.ReLU(inplace=True), nn.Conv1d(6, 5, 3), nn.BatchNorm1d(5), nn.ReLU(inplace=True))
        self.head = nn.Linear(5, 3)
        self.requires_grad_(False)

    def forward(self, x):
        class Answer:
            logits = self.head(self.body(x).mean(dim=2))
        return Answer


def floats(x):
    return torch.from_numpy(np.asarray(x, np.float32))


CASES = {
    "resnet": (lambda: builds.resnet(3, 4), lambda n: RNG(0).random((n, 3, 12, 12)), floats, 16),
    "perceptron": (lambda: builds.perceptron(3, 7, 10), lambda n: RNG(0).random((n, 7)), floats, 5),
    "transformer": (Tokens, lambda n: RNG(0).integers(0, 20, (n, 6)), torch.from_numpy, 8),
    "sequence": (Sequence, lambda n: RNG(0).random((n, 2, 11)), floats, 5),
}


@pytest.mark.parametrize("name", sorted(CASES))
def test_places_are_found_and_slopes_are_true(name: str):
    build, rows, tensor, last = CASES[name]
    torch.manual_seed(0)
    module = build().train()
    x, codes = rows(9), np.array([0, 1, 2, -1, 0, 1, 2, 0, 1])
    frozen = [p.requires_grad for p in module.parameters()]
    found = reading.read(module, x, codes, tensor=tensor, batch=4)
    assert module.training
    assert [p.requires_grad for p in module.parameters()] == frozen
    assert 2 <= len(found.layers) <= reading.DEPTHS + 1
    assert found.layers[-1].shape == (9, last)
    assert all(a.shape == b.shape and np.isfinite(a).all() for a, b in zip(found.layers, found.slopes, strict=True))
    head = module.head.weight.detach().numpy()
    known = codes >= 0
    np.testing.assert_allclose(found.slopes[-1][known], head[codes[known]], atol=1e-6)
    np.testing.assert_allclose(found.logits, found.layers[-1] @ head.T + module.head.bias.detach().numpy(), atol=1e-5)
    assert all((s[~known] == 0).all() for s in found.slopes)
    assert np.isnan(found.losses[~known]).all()
    assert np.isfinite(found.losses[known]).all()
    assert any(np.abs(s[known]).max() > 0 for s in found.slopes[:-1])
    again = reading.read(module, x, codes, tensor=tensor)
    np.testing.assert_allclose(again.layers[0], found.layers[0], atol=1e-6)


def test_a_slope_says_what_a_rise_at_every_place_does():
    torch.manual_seed(0)
    module = builds.resnet(3, 4).eval()
    x = RNG(0).random((2, 3, 12, 12))
    where = reading.places(module, floats(x))
    found = reading.read(module, x, np.array([1, 1]), tensor=floats, where=where)
    step = 1e-3
    bump = dict(module.named_modules())[where[0].name].register_forward_hook(lambda m, i, out: out + step * (torch.arange(out.shape[1]) == 2)[:, None, None])
    risen = reading.read(module, x, np.array([1, 1]), tensor=floats, where=where)
    bump.remove()
    np.testing.assert_allclose((risen.logits - found.logits)[:, 1] / step, found.slopes[0][:, 2], rtol=0.1, atol=1e-3)


def test_what_cannot_be_read_is_said():
    with pytest.raises(UsageError, match="logits"):
        reading.read(nn.Conv2d(3, 4, 3), RNG(0).random((4, 3, 8, 8)), np.zeros(4, np.int64), tensor=floats)
    with pytest.raises(UsageError, match="inner layer"):
        reading.read(nn.Linear(4, 2), RNG(0).random((4, 4)), np.zeros(4, np.int64), tensor=floats)
