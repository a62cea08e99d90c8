"""NPZ files and Python objects: shapes, dtypes, scales, layouts, labels."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from bezoar.core.ability import Reading
from bezoar.core.dataset import Dataset
from bezoar.core.errors import BezoarError, LimitExceeded, UnreadableInput, UsageError
from bezoar.core.inputs import Images, Texts
from bezoar.core.limits import Limits
from bezoar.sources.memory import from_python
from bezoar.sources.npz import Npz

PIXELS = np.random.default_rng(0).integers(0, 256, (5, 8, 6, 3), np.uint8)
LAYOUTS = {"uint8": PIXELS, "grey": PIXELS[..., 0], "grey channel": PIXELS[..., :1], "alpha": np.concatenate([PIXELS, PIXELS[..., :1]], -1),
           "channels first": np.moveaxis(PIXELS, -1, 1), "unit floats": PIXELS / 255, "float32": (PIXELS / 255).astype(np.float32),
           "signed floats": PIXELS / 127.5 - 1, "wide floats": PIXELS.astype(np.float64), "int64": PIXELS.astype(np.int64),
           "16 bit": PIXELS.astype(np.uint16) * 257}


def saved(tmp_path, reading=None, **arrays):
    np.savez(tmp_path / "d.npz", **arrays)
    return Npz().open(tmp_path / "d.npz", reading or Reading())


@pytest.mark.parametrize("name", sorted(LAYOUTS))
def test_pictures_of_every_layout(tmp_path, name):
    expected = np.repeat(PIXELS[..., :1], 3, -1) if "grey" in name else PIXELS
    for data in (saved(tmp_path, x=LAYOUTS[name]), from_python(LAYOUTS[name])):
        assert data.modality == "image"
        assert np.array_equal(data.inputs.dense(), expected)


@pytest.mark.parametrize("x", [np.full((2, 4, 4), -3.0), np.full((2, 4, 4), 300.5), np.full((2, 4, 4, 5), 1.0), np.zeros((2, 0, 4)), np.full((2, 4, 4), np.inf),
                               np.zeros((2, 2, 2, 2, 2)), np.zeros((2, 3), complex), np.zeros(())])
def test_what_is_no_picture_and_no_table(tmp_path, x):
    for call in (lambda: saved(tmp_path, x=x), lambda: from_python(x)):
        with pytest.raises(BezoarError) as caught:
            call()
        assert caught.value.advice


def test_npz_columns(tmp_path):
    data = saved(tmp_path, x=PIXELS, y=np.array(["b", "a", "b", "", "a"]), id=np.arange(5) + 7, source=np.array([b"v1", b"v2"] * 2 + [b"v1"]),
                 track=np.arange(5), names=np.array(["n"]))
    assert data.labels.classes == ("a", "b")
    assert data.labels.codes.tolist() == [1, 0, 1, -1, 0]
    assert data.ids.tolist() == ["7", "8", "9", "10", "11"]
    assert data.origin["source"].tolist() == ["v1", "v2", "v1", "v2", "v1"]
    assert "not read: track, names" in " ".join(data.notes)
    again = Npz().open(tmp_path / "d.npz", Reading(label="track", keep_columns=("y",)))
    assert again.labels.classes == ("0", "1", "2", "3", "4")
    assert again.origin["y"][0] == "b"
    with pytest.raises(UsageError, match="no array 'nope'.*x, y, id, source, track, names"):
        Npz().open(tmp_path / "d.npz", Reading(label="nope"))


def test_npz_of_rows_and_texts(tmp_path):
    table = saved(tmp_path, x=np.array([[1, np.nan], [np.inf, 2]]), y=np.eye(3)[[2, 0]])
    assert table.modality == "tabular"
    assert np.isnan(table.inputs["x0"].values[1])
    assert table.labels.classes == ("0", "2")
    assert "1 infinite values" in " ".join(table.notes)
    assert "1 values are missing" in " ".join(table.notes)
    assert saved(tmp_path, x=np.array(["one text", "two"])).inputs.values.tolist() == ["one text", "two"]
    assert saved(tmp_path, x=PIXELS, reading=Reading(modality="tabular")).modality == "tabular"


def test_fortran_order_and_odd_dtypes(tmp_path):
    assert np.array_equal(saved(tmp_path, x=np.asfortranarray(PIXELS)).inputs.dense(), PIXELS)
    assert np.array_equal(saved(tmp_path, x=PIXELS.astype(">u2")).inputs.dense(), PIXELS)
    data = saved(tmp_path, x=PIXELS, y=np.arange(5) > 2, time=np.array(["2024-01-01"] * 5, "M8[D]"))
    assert data.labels.classes == ("0", "1")
    assert data.origin["time"][0] == "2024-01-01T00:00:00"


def test_npz_limit(tmp_path):
    with pytest.raises(LimitExceeded, match="unpacks to more"):
        saved(tmp_path, x=PIXELS, reading=Reading(limits=Limits(max_produced_bytes=500)))


def frame():
    return pd.DataFrame({"age": [1, 2, None, 4], "job": ["a", None, "b", "a"], "day": pd.to_datetime(["2024-01-01"] * 4),
                         "mixed": [1, "x", 2.5, None], "label": pd.Categorical(["n", "y", "n", "y"])})


def test_pandas():
    data = from_python(frame())
    assert data.modality == "tabular"
    assert {k: c.kind for k, c in data.inputs.columns.items()} == {"age": "number", "job": "category", "day": "time", "mixed": "category"}
    assert data.labels.classes == ("n", "y")
    assert np.isnan(data.inputs["age"].values[2])
    assert [n for n in data.notes if "mixes" in n] == ["column 'mixed' mixes types; it is read as text"]
    assert from_python(frame(), "job").labels.classes == ("a", "b")
    assert from_python(frame().drop(columns="label"), pd.Series([1, 0, 1, 1])).labels.codes.tolist() == [1, 0, 1, 1]
    assert from_python(frame(), reading=Reading(label="day", modality="tabular")).labels.classes == ("2024-01-01T00:00:00",)
    assert from_python(frame(), source=["v"] * 4, ids="wxyz").ids.tolist() == ["w", "x", "y", "z"]


def test_arrow_and_polars():
    table = pa.table({"text": [f"some words in here {i}" for i in range(6)], "label": [0, 1] * 3, "vendor": ["a", "b"] * 3})
    expected = from_python(table)
    assert expected.modality == "text"
    assert expected.origin["source"][1] == "b"
    polars = pytest.importorskip("polars")
    data = from_python(polars.from_arrow(table))
    assert data.fingerprint == expected.fingerprint
    assert from_python(polars.from_arrow(table).drop("label"), polars.Series([1, 2, 1, 2, 1, 2])).labels.classes == ("1", "2")
    assert from_python(table.to_pandas()).fingerprint == expected.fingerprint


def test_scikit_learn():
    from scipy.sparse import csr_matrix
    from sklearn.datasets import load_breast_cancer, load_digits

    data = from_python(load_breast_cancer())
    assert (len(data), len(data.inputs.names), data.labels.classes) == (569, 30, ("0", "1"))
    assert from_python(load_breast_cancer(as_frame=True)).inputs.names[0] == "mean radius"
    digits = load_digits()
    assert from_python(digits.images, digits.target).modality == "image"
    assert from_python(csr_matrix(np.eye(4)), [0, 1, 0, 1]).inputs.names == ("x0", "x1", "x2", "x3")


def test_torch():
    torch = pytest.importorskip("torch")
    from torch.utils.data import Dataset as TorchDataset
    from torch.utils.data import TensorDataset

    x = torch.from_numpy(np.moveaxis(PIXELS / 255, -1, 1).astype(np.float32))
    data = from_python(TensorDataset(x, torch.tensor([0, 1, 0, 1, 1])))
    assert np.array_equal(data.inputs.dense(), PIXELS)
    assert data.labels.codes.tolist() == [0, 1, 0, 1, 1]
    assert np.array_equal(from_python(x).inputs.dense(), PIXELS)

    class Dicts(TorchDataset):
        reads = 0

        def __len__(self):
            return 3

        def __getitem__(self, i):
            Dicts.reads += 1
            return {"text": f"words {i}", "label": i % 2}

    data = from_python(Dicts())
    assert data.inputs.values.tolist() == ["words 0", "words 1", "words 2"]
    assert data.labels.classes == ("0", "1")
    assert Dicts.reads == 3, "each sample is read once"
    with pytest.raises(LimitExceeded, match="3 samples"):
        from_python(Dicts(), reading=Reading(limits=Limits(max_rows=2)))


def test_lists():
    assert from_python(["a b", None, "c"]).inputs.values.tolist() == ["a b", "", "c"]
    assert from_python([[1, 2], [3, 4]]).modality == "tabular"
    mixed = from_python([PIXELS[0], PIXELS[1][:4]])
    assert mixed.inputs.sizes.tolist() == [[8, 6], [4, 6]]
    from PIL import Image

    assert np.array_equal(from_python([Image.fromarray(p) for p in PIXELS]).inputs.dense(), PIXELS)
    data = from_python(["t"] * 6, [1, "a", None, True, 2.5, float("nan")])
    assert set(data.labels.classes) == {"1", "a", "True", "2.5"}
    assert data.labels.codes[[2, 5]].tolist() == [-1, -1]
    assert "mixes text and numbers" in " ".join(data.notes)
    assert from_python(["t"] * 3, [1.0, 2.0, None]).labels.classes == ("1", "2")
    assert from_python(np.array(["x", "y"], object), [10**30, 2]).labels.classes == (str(10**30), "2")


def test_core_types_pass_through():
    data = from_python(Texts.of(["x", "y"]), [0, 1])
    assert isinstance(data, Dataset)
    assert from_python(data) is data
    assert from_python(Images.of(PIXELS)).modality == "image"


@pytest.mark.parametrize(("x", "y", "says"), [
    (object(), None, "cannot tell"), ("one string", None, "cannot tell"), ({}, None, "cannot tell"), ([1, "a"], None, "neither texts nor rows"), ([], None, "no rows"),
    (["a"], [1, 2], "2 entries for 1"), (np.zeros((0, 3)), None, "no rows"), (pd.DataFrame({"a": []}), None, "no rows"),
    (np.zeros((3, 2)), np.ones((3, 2)), "not one-hot"), (SimpleNamespace(columns=1), None, "cannot tell")])
def test_what_is_not_understood(x, y, says):
    with pytest.raises((UsageError, UnreadableInput), match=says) as caught:
        from_python(x, y)
    assert caught.value.advice
