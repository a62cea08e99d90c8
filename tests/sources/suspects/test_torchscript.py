"""TorchScript models answer from a locked child; programs that misbehave are stopped, and this process goes on."""

import io
import sys
import time

import numpy as np
import pytest

from bezoar.core.errors import AbilityFailed, BezoarError, LimitExceeded, Refused, Unavailable, UsageError
from bezoar.core.inputs import Column, Images, Table, Texts
from bezoar.intake.models import asked_apart
from bezoar.sources.suspects import black_boxes, open_script, open_suspect

torch = pytest.importorskip("torch")
nn = torch.nn
pytestmark = [pytest.mark.filterwarnings("ignore:.*torch.jit.*:DeprecationWarning"),
              pytest.mark.skipif(sys.platform != "linux", reason="no filter of system calls on this system")]
PICTURES = Images.of(np.random.default_rng(100).integers(0, 256, (5, 8, 8, 3), np.uint8))
PATCHED = "import json, sys; sys.path[:] = json.loads(sys.argv[1]); import bezoar.intake.models.cage as cage; " \
          "import bezoar.intake.models.asked_apart as apart; {}; apart.child(*sys.argv[2:])"
UNLOOKED = PATCHED.format("import bezoar.intake.models.script_apart as s; s.look = lambda *a: None")


class Talks(nn.Module):
    """Prints, which would be an answer where the pipe were its output."""

    def __init__(self, channels=3):
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(channels, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 3))

    def forward(self, x):
        print("0000000000000000", "{}")
        return self.body(x), {"beside": x}


class Loops(nn.Module):
    def forward(self, x):
        while bool(x.sum() > -1.0):
            x = x.abs()
        return x.flatten(1)


class LoopsOnLoading(nn.Module):
    def __init__(self):
        super().__init__()
        self.n = 1

    @torch.jit.export
    def __getstate__(self):
        return 1, self.training

    @torch.jit.export
    def __setstate__(self, state: tuple[int, bool]):
        self.training = state[1]
        self.n = state[0]
        while self.n > 0:
            self.n = 1

    def forward(self, x):
        return x.flatten(1)


class TakesAll(nn.Module):
    def forward(self, x):
        return torch.ones([x.size(0), 1 << 36])[:, :3] + x.sum()


class TakesAllOnTheStack(nn.Module):
    def forward(self, x):
        kept = [x]
        while len(kept) > 0:
            kept.append(torch.ones([1 << 22]))
        return kept[0].flatten(1)


class ReadsFiles(nn.Module):
    def __init__(self, path):
        super().__init__()
        self.path: str = path

    def forward(self, x):
        return torch.from_file(self.path, True, 8).float().reshape(2, 4) + 0 * x.sum()


def saved(module, folder, name="model.pt"):
    torch.jit.save(torch.jit.script(module.eval()), str(folder / name))
    return folder / name


def test_a_script_and_a_trace_answer_apart(tmp_path):
    torch.manual_seed(100)
    net = Talks().eval()
    want = net.body(torch.from_numpy(np.moveaxis(PICTURES.dense().astype(np.float32) / 255, 3, 1).copy()))
    want = torch.softmax(want, dim=1).detach().numpy()
    suspect = open_suspect(saved(net, tmp_path), classes=("a", "b", "c"), shape=(8, 8, 3))
    np.testing.assert_allclose(suspect.predict(PICTURES), want, atol=1e-5)
    np.testing.assert_allclose(suspect.predict(PICTURES), want, atol=1e-5)
    assert suspect.module is None and suspect.modality == "image" and any("process of its own" in n for n in suspect.notes)
    with pytest.raises(UsageError, match="how texts become numbers"):
        open_script(tmp_path / "model.pt", like=Texts.of(["x"]))


def test_rows_and_grey_pictures(tmp_path):
    table = Table({n: Column("number", np.array([0.0, 1.0])) for n in "abcd"})
    rows = open_suspect(saved(nn.Linear(4, 2), tmp_path), like=table)
    assert rows.modality == "tabular" and rows.predict(table).shape == (2, 2)
    grey = open_suspect(saved(Talks(1), tmp_path, "grey.pt"), shape=(8, 8, 3))
    assert grey.predict(PICTURES).shape == (5, 3) and any("grey" in n for n in grey.notes)


@pytest.mark.parametrize("module", [Loops, LoopsOnLoading])
def test_a_program_that_never_ends_is_stopped(module, tmp_path, monkeypatch):
    raw = io.BytesIO()
    torch.jit.save(torch.jit.script(module()), raw)
    (tmp_path / "m.pt").write_bytes(raw.getvalue())
    monkeypatch.setattr(black_boxes, "SECONDS", 3.0)
    start = time.monotonic()
    with pytest.raises(LimitExceeded, match="takes more than 3 s") as caught:
        open_script(tmp_path / "m.pt", shape=(8, 8, 3))
    assert time.monotonic() - start < 120 and caught.value.advice


@pytest.mark.parametrize("module", [TakesAll, TakesAllOnTheStack])
def test_a_program_that_wants_all_memory_is_stopped(module, tmp_path, monkeypatch):
    monkeypatch.setattr(black_boxes, "MEMORY", 256 << 20)
    with pytest.raises((AbilityFailed, LimitExceeded)) as caught:
        open_script(saved(module(), tmp_path), shape=(8, 8, 3))
    assert int(caught.value.exit_code) == 3 and caught.value.advice


def test_files_stay_shut(tmp_path, monkeypatch):
    """Refused by its look; and were that look blind, the lock would hold: nothing is read, nothing is made."""
    (tmp_path / "secret").write_bytes(b"\x01" * 32)
    path = saved(ReadsFiles(str(tmp_path / "secret")), tmp_path)
    with pytest.raises(Refused, match="from_file"):
        open_suspect(path, shape=(8, 8, 3))
    made = saved(ReadsFiles(str(tmp_path / "made")), tmp_path, "other.pt")
    monkeypatch.setattr(asked_apart, "BOOT", UNLOOKED)
    for file in (path, made):
        runner, _ = black_boxes.started(file, "torchscript")
        assert runner.caged
        with pytest.raises(BezoarError, match="fails on this input"):
            runner.ask(np.zeros((2, 3), np.float32))
        runner.close()
    assert not (tmp_path / "made").exists()


def test_without_a_filter_nothing_is_opened(tmp_path, monkeypatch):
    path = saved(nn.Linear(4, 2), tmp_path)
    monkeypatch.setattr(asked_apart, "BOOT", PATCHED.format("cage.lock = lambda: False"))
    with pytest.raises(Unavailable, match="filter of system calls") as caught:
        open_suspect(path, shape=(4,))
    assert int(caught.value.exit_code) == 3 and "ONNX" in caught.value.advice


def test_the_child_looks_for_itself(tmp_path):
    """What is swapped behind the first look is looked at again in the child, before it is loaded."""
    path = saved(ReadsFiles("/etc/passwd"), tmp_path)
    with pytest.raises(BezoarError, match="from_file"):
        black_boxes.started(path, "torchscript")
