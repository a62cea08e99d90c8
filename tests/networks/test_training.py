"""Training takes any number of rows, is the same on any number of threads, and leaves the caller's torch as it was."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from bezoar.networks import builds, training  # noqa: E402
from bezoar.networks.perturbing import moved  # noqa: E402


def _tensor(x: np.ndarray):
    return torch.from_numpy(x)


@pytest.mark.parametrize("rows", [2, 3, 130, 512])
def test_few_steps_are_steps_too(rows: int):
    rng = np.random.default_rng(0)
    x = rng.random((rows, 4)).astype(np.float32)
    with training.seeded(0):
        module = training.fit(builds.perceptron(2, 4, 8), x, np.arange(rows) % 2, rng, tensor=_tensor, epochs=1)
    assert np.isfinite(training.probabilities(module, x, tensor=_tensor)).all()


@pytest.mark.parametrize("steps", [1, 2, 5, 100])
def test_the_pace_rises_and_falls(steps: int):
    line = [training.pace(i, steps) for i in range(steps)]
    assert max(line) <= 1
    assert min(line) > 0
    assert np.argmax(line) <= 0.3 * steps


def test_the_callers_stream_and_threads_come_back():
    torch.manual_seed(5)
    before, threads = torch.get_rng_state(), torch.get_num_threads()
    with training.seeded(1):
        first = torch.rand(3)
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.get_num_threads() == threads
    with training.seeded(1):
        assert torch.equal(torch.rand(3), first)


def test_rows_without_a_label_are_not_learned_from():
    rng = np.random.default_rng(0)
    x = rng.random((64, 4)).astype(np.float32)
    codes = (x[:, 0] > 0.5).astype(np.int64)
    worse = np.concatenate([codes, np.full(64, -1)])
    with training.seeded(0):
        one = training.fit(builds.perceptron(2, 4, 8), x, codes, np.random.default_rng(1), tensor=_tensor, epochs=2)
    with training.seeded(0):
        two = training.fit(builds.perceptron(2, 4, 8), np.concatenate([x, -x]), worse, np.random.default_rng(1), tensor=_tensor, epochs=2)
    np.testing.assert_array_equal(*(training.probabilities(m, x, tensor=_tensor) for m in (one, two)))


def test_pictures_are_moved_within_the_bound_and_downhill():
    x = np.full((2, 8, 8, 3), 128, np.uint8)
    x[0, 0, 0] = 250
    done = moved(x, lambda t: -t.mean(), bound=10, steps=20)
    assert np.abs(done.astype(int) - x).max() == 10
    assert done.mean() > x.mean() + 8
    assert done[0, 0, 0].max() <= 255


def test_threads_that_train_do_not_disturb_each_other():
    torch = pytest.importorskip("torch")
    from concurrent.futures import ThreadPoolExecutor
    from time import sleep

    def draw(seed: int) -> list[float]:
        with training.seeded(seed):
            first = torch.rand(2)
            sleep(0.02)
            return [*first.tolist(), *torch.rand(2).tolist()]

    alone = [draw(s) for s in range(4)]
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(draw, range(4))) == alone
