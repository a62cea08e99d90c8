"""Pictures are varied each by itself, by the amount that is asked for."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from bezoar.networks.varying import varied  # noqa: E402


def test_nothing_changes_at_amount_nought_and_more_at_a_larger_one():
    x = torch.from_numpy(np.random.default_rng(0).random((40, 3, 12, 16), np.float32))
    x = torch.nn.functional.avg_pool2d(x, 3, 1, 1)
    assert varied(x, 0.0, np.random.default_rng(1)) is x
    small, large = ((varied(x, amount, np.random.default_rng(1)) - x).abs().mean(dim=(1, 2, 3)) for amount in (0.25, 1.0))
    assert (small > 0).all() and float(large.mean()) > 1.5 * float(small.mean())
    torch.testing.assert_close(varied(x, 1.0, np.random.default_rng(1)), varied(x, 1.0, np.random.default_rng(1)))


def test_every_picture_moves_by_itself_and_stays_in_range():
    x = torch.zeros(30, 3, 9, 9)
    x[:, :, 4, 4] = 1
    out = varied(x, 1.0, np.random.default_rng(2))
    assert float(out.min()) >= 0 and float(out.max()) <= 1
    places = out[:, 0].flatten(1).argmax(dim=1)
    assert len(torch.unique(places)) > 2
