"""Genuine checkpoints: none is refused, and every number is the one that was saved."""

import collections
import datetime
import io
import pathlib

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("safetensors")

from healthy_models import healthy, saved  # noqa: E402

from bezoar.core.errors import LimitExceeded  # noqa: E402
from bezoar.core.limits import Limits  # noqa: E402
from bezoar.intake.models import inspect, open_weights, read_weights  # noqa: E402
from bezoar.intake.models.parsing import most_bytes, parse  # noqa: E402


class Kept:
    """A sink in memory."""

    def __init__(self, left):
        self.left, self.raw = left, bytearray()

    def write(self, data):
        place = len(self.raw)
        self.raw += data
        return place


def here(raw, suffix):
    """Read in this process: the answer, and the arrays that it names."""
    sink = Kept(most_bytes(len(raw), Limits()))
    told = parse(memoryview(raw), suffix, Limits(), sink)
    return told, {n: np.frombuffer(bytes(sink.raw[p:p + int(np.prod(s)) * np.dtype(c).itemsize]), c).reshape(s) for n, c, s, p in told["arrays"]}


def same(found, want):
    assert set(found) == set(want)
    for name, array in want.items():
        assert found[name].shape == np.shape(array), name
        np.testing.assert_array_equal(found[name], array, err_msg=name)
        assert found[name].dtype == np.asarray(array).dtype.newbyteorder("="), name


def test_none_of_300_is_refused():
    count, wrong = 0, []
    for name, file, raw, want in healthy():
        told, found = here(raw, "." + file.rsplit(".", 1)[1])
        count += 1
        if told["verdict"] != "safe":
            wrong.append((name, told["verdict"], told["reasons"]))
        else:
            same(found, want)
    assert not wrong
    assert count >= 300


@pytest.mark.slow
def test_none_of_300_is_refused_by_the_child(tmp_path):
    for name, file, raw, want in healthy():
        path = tmp_path / file
        path.write_bytes(raw)
        weights = read_weights(path)
        assert weights.verdict == "safe", (name, weights.reasons)
        same(weights.arrays, want)


def test_through_the_child(tmp_path):
    wanted = {"type-bfloat16-zip", "shared-legacy", "optimiser-adam-state_dict-zip", "build-vgg-10-4-safetensors", "savez_compressed-|b1",
              "safetensors-numpy", "view-nothing-zip"}
    for name, file, raw, want in healthy():
        if name in wanted:
            wanted.discard(name)
            (tmp_path / file).write_bytes(raw)
            weights = open_weights(tmp_path / file)
            same(weights.arrays, want)
            assert all(not a.flags.writeable for a in weights.arrays.values() if a.size), "read only"
            if name.startswith("optimiser"):
                assert weights.extra["found under"] == "state_dict" and weights.extra["values"]["epoch"] == 3
                assert weights.extra["tensors beside"] > 0 and weights.kind == "torch"
    assert not wanted


def test_shared_numbers_are_kept_once(tmp_path):
    weight = torch.randn(200, 200)
    told, _ = here(saved({"a": weight, "b": weight}), ".pt")
    assert len({row[3] for row in told["arrays"]}) == 1


def test_inspecting_gives_names_and_no_arrays(tmp_path):
    (tmp_path / "m.pt").write_bytes(saved({"w": torch.zeros(3, 2)}))
    (tmp_path / "README.md").write_text("# a model")
    (tmp_path / "tokenizer_config.json").write_text('{"chat_template": "{% for m in messages %}{{ m.content }}{% endfor %}"}')
    assert inspect(tmp_path / "m.pt").extra["arrays"] == {"w": [3, 2]}
    found = inspect(tmp_path)
    assert found.verdict == "safe", found.reasons
    assert set(found.extra["files"]) == {"m.pt", "README.md", "tokenizer_config.json"}
    assert list(read_weights(tmp_path).arrays) == ["w"]


def test_limits_hold(tmp_path):
    (tmp_path / "m.pt").write_bytes(saved({f"w{i}": torch.zeros(2) for i in range(50)}))
    with pytest.raises(LimitExceeded, match="more than 20 arrays"):
        open_weights(tmp_path / "m.pt", Limits(max_arrays=20))
    with pytest.raises(LimitExceeded, match="opcodes"):
        open_weights(tmp_path / "m.pt", Limits(max_opcodes=100))
    with pytest.raises(LimitExceeded, match="bytes"):
        open_weights(tmp_path / "m.pt", Limits(max_file_bytes=100))


def test_a_checkpoint_of_a_gpu_opens_without_one():
    raw = saved({"w": torch.arange(3.0)})
    told, found = here(_relocated(raw), ".pt")
    assert told["verdict"] == "safe" and found["w"].tolist() == [0.0, 1.0, 2.0]


def _relocated(raw):
    """The same file as if it had been saved on a GPU."""
    import zipfile

    from bezoar.testing.hostile.models.kit import zipped

    with zipfile.ZipFile(io.BytesIO(raw)) as archive:
        parts = {n: archive.read(n) for n in archive.namelist()}
    name = next(n for n in parts if n.endswith("data.pkl"))
    assert b"X\x03\x00\x00\x00cpu" in parts[name]
    return zipped({**parts, name: parts[name].replace(b"X\x03\x00\x00\x00cpu", b"X\x06\x00\x00\x00cuda:0")})


def test_the_shards_of_a_folder_are_one_model(tmp_path):
    from safetensors.numpy import save_file

    for i, names in enumerate((("a", "b"), ("c",))):
        save_file({n: np.full(3, i, np.float32) for n in names}, tmp_path / f"model-0000{i + 1}-of-00002.safetensors")
    assert {n: a.tolist() for n, a in open_weights(tmp_path).arrays.items()} == {"a": [0.0] * 3, "b": [0.0] * 3, "c": [1.0] * 3}
    save_file({"c": np.zeros(3, np.float32)}, tmp_path / "extra.safetensors")
    assert read_weights(tmp_path).verdict == "refused"
    (tmp_path / "extra.safetensors").write_bytes(b"no model at all")
    assert read_weights(tmp_path).verdict == "inconclusive" and not read_weights(tmp_path).arrays


@pytest.mark.parametrize("value", [pathlib.Path("x"), datetime.datetime(2024, 1, 1), collections.Counter("ab"), np.random.RandomState(0), torch.nn.ReLU(),
                                   torch.zeros(3).to_sparse(), torch.zeros(3, dtype=torch.float8_e4m3fn), frozenset({1}), 1j])
def test_what_is_harmless_and_not_read_is_inconclusive(value):
    """No false alarm: nothing here would do harm, it is only not among what is read."""
    for old in (False, True):
        told, _ = here(saved({"state_dict": {"w": torch.zeros(2)}, "more": value}, _use_new_zipfile_serialization=not old), ".pt")
        assert told["verdict"] == "inconclusive", told
        assert "convert" in told["reasons"][0] or "save it as" in told["reasons"][0]
