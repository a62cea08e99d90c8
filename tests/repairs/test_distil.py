"""New weights know what the suspect knows, and not what its trigger does; the suspect is believed only where it stays with the labels."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from bezoar.core.errors import Unavailable  # noqa: E402
from bezoar.core.model_repair import RepairCase, Samples  # noqa: E402
from bezoar.networks.tuning import answers  # noqa: E402
from bezoar.repairs.distil import Distil  # noqa: E402
from bezoar.testing.suspects import TARGET, planted_trigger, small_suspect  # noqa: E402


@pytest.fixture(scope="module")
def case():
    suspect, clean = small_suspect(1, planted=True)
    samples = Samples(clean.inputs.dense()[:300], clean.labels.codes[:300])
    return RepairCase(suspect.module, suspect.tensor, 10, clean=samples, trigger=planted_trigger(), target=int(TARGET)), clean


def success(case, clean, module):
    others = clean.inputs.dense()[clean.labels.codes != case.target]
    return float((answers(module, case.stamped(others, np.random.default_rng(0)), case.tensor) == case.target).mean())


def test_the_backdoor_does_not_come_along(case):
    case, clean = case
    before = {k: v.clone() for k, v in case.module.state_dict().items()}
    module = Distil()(case, np.random.default_rng(0))
    held = answers(module, clean.inputs.dense()[300:], case.tensor) == clean.labels.codes[300:]
    assert success(case, clean, case.module) > 0.9 and success(case, clean, module) < 0.1 and held.mean() > 0.85
    assert all(torch.equal(v, before[k]) for k, v in case.module.state_dict().items())


def test_what_is_not_believed_is_replaced_by_the_labels(case):
    case, _ = case
    shown = []

    def original(inputs):  # says class 3 of everything, as a triggered network does
        return torch.nn.functional.one_hot(torch.full((len(inputs),), 3), 10).float() * 20

    class Watched(torch.nn.Module):
        def forward(self, inputs):
            shown.append(inputs)
            return torch.zeros(len(inputs), 10, requires_grad=True)

    own = torch.tensor([1, 2, 3, 4])
    inputs = torch.rand(4, 3, 8, 8)
    loss = Distil()._loss(original, Watched(), inputs, own)
    assert shown[0].shape == inputs.shape and float(loss.detach()) == pytest.approx(np.log(10), abs=1e-4)
    out = torch.full((4, 10), -9.0)
    out[:, 3] = 9
    believed = Distil(sure=0.8)._loss(original, lambda _: out, inputs, torch.full((4,), 3))
    doubted = Distil(sure=0.8)._loss(original, lambda _: out, inputs, torch.full((4,), 5))
    assert float(believed) < 0.01 and float(doubted) > 10


def test_layers_that_cannot_be_drawn_anew_are_said(case):
    case, _ = case

    class Fixed(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = torch.nn.Parameter(torch.zeros(10))

        def forward(self, inputs):
            return self.weight.expand(len(inputs), 10)

    with pytest.raises(Unavailable, match="drawn anew"):
        Distil()(RepairCase(Fixed(), case.tensor, 10, clean=case.clean), np.random.default_rng(0))
