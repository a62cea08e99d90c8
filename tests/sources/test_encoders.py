"""Encoders: tiny models made here; pickles, code and external data refused; order of rows does not matter."""

import json
import socket

import numpy as np
import pytest

from bezoar.core.errors import BezoarError, Refused, UnreadableInput, UsageError
from bezoar.core.inputs import Column, Images, Table, Texts
from bezoar.sources.encoders import load_encoder

WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "win", "money", "now", "see", "you", "at", "six"]
TEXTS = Texts.of(["win money now", "see you at six", "win", "", "see you at six", "money now you win at six see"])


@pytest.fixture
def no_network(monkeypatch):
    def refused(*args, **kwargs):
        raise AssertionError("an encoder opened a socket")

    monkeypatch.setattr(socket.socket, "connect", refused)
    monkeypatch.setattr(socket, "create_connection", refused)
    monkeypatch.setattr(socket, "getaddrinfo", refused)


@pytest.fixture(scope="module")
def bert(tmp_path_factory):
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    folder = tmp_path_factory.mktemp("bert")
    with torch.random.fork_rng():
        torch.manual_seed(0)
        config = transformers.BertConfig(vocab_size=len(WORDS), hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16,
                                         max_position_embeddings=64)
        model = transformers.BertModel(config)
    model.save_pretrained(str(folder), safe_serialization=True)
    (folder / "vocab.txt").write_text("\n".join(WORDS))
    transformers.BertTokenizerFast(vocab=dict(zip(WORDS, range(len(WORDS)), strict=True))).save_pretrained(str(folder))
    return folder


def onnx_model(folder, inputs, build, name="model.onnx", external=False):
    onnx = pytest.importorskip("onnx")
    from onnx import TensorProto, helper, numpy_helper

    kind, shape = inputs
    nodes, weights, out_shape = build(helper)
    graph = helper.make_graph(nodes, "g", [helper.make_tensor_value_info("x", kind, shape)],
                              [helper.make_tensor_value_info("y", TensorProto.FLOAT, out_shape)],
                              [numpy_helper.from_array(w, n) for n, w in weights.items()])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.checker.check_model(model)
    path = folder / name
    if external:
        onnx.save(model, path, save_as_external_data=True, location="weights.data", size_threshold=0)
    else:
        onnx.save(model, path)
    return path


def picture_model(folder, shape=("n", 3, 8, 8), **more):
    from onnx import TensorProto

    w = np.random.default_rng(0).normal(size=(192, 5)).astype(np.float32)
    return onnx_model(folder, (TensorProto.FLOAT, list(shape)), lambda h: (
        [h.make_node("Flatten", ["x"], ["f"], axis=1), h.make_node("MatMul", ["f", "w"], ["y"])], {"w": w}, [shape[0], 5]), **more), w


def test_a_folder_of_safetensors(bert, no_network):
    encode = load_encoder(bert, "text")
    out = encode(TEXTS)
    assert out.shape == (6, 16)
    assert out.dtype == np.float32
    assert np.array_equal(out[1], out[4])
    assert not np.allclose(out[0], out[1])
    order = np.array([5, 3, 1, 0, 2, 4])
    assert np.array_equal(encode(TEXTS.take(order)), out[order]), "permuting rows permutes rows, exactly"
    with pytest.raises(UsageError, match="for texts"):
        encode(Images.of(np.zeros((1, 4, 4, 3), np.uint8)))
    with pytest.raises(UsageError, match="ONNX"):
        load_encoder(bert, "tabular")


def test_pooling_and_normalisation_as_sentence_transformers_write_them(bert, tmp_path):
    import shutil

    folder = tmp_path / "st"
    shutil.copytree(bert, folder)
    (folder / "modules.json").write_text(json.dumps([{"type": "sentence_transformers.models.Transformer", "path": ""},
                                                     {"type": "sentence_transformers.models.Pooling", "path": "1_Pooling"},
                                                     {"type": "sentence_transformers.models.Normalize", "path": "2_Normalize"}]))
    (folder / "1_Pooling").mkdir()
    (folder / "1_Pooling" / "config.json").write_text(json.dumps({"pooling_mode_cls_token": True}))
    out = load_encoder(folder, "text")(TEXTS)
    assert np.allclose(np.linalg.norm(out, axis=1), 1, atol=1e-5)
    assert not np.allclose(out, load_encoder(bert, "text")(TEXTS))
    (folder / "modules.json").write_text(json.dumps([{"type": "sentence_transformers.models.Dense"}]))
    with pytest.raises(UnreadableInput, match="Dense"):
        load_encoder(folder, "text")


@pytest.mark.parametrize("name", ["pytorch_model.bin", "nested/weights.pt", "x.pkl", "modeling_custom.py"])
def test_pickles_and_code_are_refused(bert, tmp_path, name):
    import shutil

    folder = tmp_path / "m"
    shutil.copytree(bert, folder)
    (folder / name).parent.mkdir(exist_ok=True)
    (folder / name).write_bytes(b"\x80\x04.")
    with pytest.raises(Refused, match=name.rsplit("/", maxsplit=1)[-1]):
        load_encoder(folder, "text")


def test_remote_code_and_damage(bert, tmp_path):
    import shutil

    folder = tmp_path / "m"
    shutil.copytree(bert, folder)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "auto_map": {"AutoModel": "evil/repo--modeling.Evil"}}))
    with pytest.raises(Refused, match="auto_map"):
        load_encoder(folder, "text")
    (folder / "config.json").write_text(json.dumps(config))
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:500])
    with pytest.raises(UnreadableInput, match="cannot be loaded"):
        load_encoder(folder, "text")
    weights.unlink()
    with pytest.raises(UnreadableInput, match="safetensors"):
        load_encoder(folder, "text")
    with pytest.raises(UnreadableInput, match="nothing at"):
        load_encoder(tmp_path / "none", "text")


def test_onnx_for_pictures(tmp_path, no_network):
    pytest.importorskip("onnxruntime")
    path, w = picture_model(tmp_path)
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (300, 8, 8, 3), np.uint8)
    out = load_encoder(path, "image")(Images.of(pixels))
    expected = (np.moveaxis(pixels, -1, 1).reshape(300, -1).astype(np.float32) / 255) @ w
    assert out.dtype == np.float32
    assert np.allclose(out, expected, atol=1e-4)
    mixed = Images.of([pixels[0], np.asarray(pixels[1]).repeat(2, 0).repeat(2, 1)])
    assert load_encoder(path, "image")(mixed).shape == (2, 5), "other sizes are resized"
    fixed, _ = picture_model(tmp_path, (4, 3, 8, 8), name="fixed.onnx")
    assert np.allclose(load_encoder(fixed, "image")(Images.of(pixels[:7])), expected[:7], atol=1e-4)
    with pytest.raises(UsageError, match="does not fit text"):
        load_encoder(path, "text")


def test_onnx_for_tables(tmp_path):
    pytest.importorskip("onnxruntime")
    onnx = pytest.importorskip("onnx")
    path = onnx_model(tmp_path, (onnx.TensorProto.FLOAT, ["n", 2]), lambda h: ([h.make_node("MatMul", ["x", "w"], ["y"])], {"w": np.eye(2, 3, dtype=np.float32)}, ["n", 3]))
    table = Table({"a": Column("number", np.array([1.0, np.nan])), "b": Column("number", np.array([3.0, 4.0]))})
    assert load_encoder(path, "tabular")(table).tolist() == [[1, 3, 0], [0, 4, 0]]
    with pytest.raises(UsageError, match="1 columns"):
        load_encoder(path, "tabular")(Table({"a": table["a"]}))


def test_onnx_with_weights_elsewhere_is_refused(tmp_path):
    path, _ = picture_model(tmp_path, external=True)
    assert (tmp_path / "weights.data").exists()
    with pytest.raises(Refused, match="other files"):
        load_encoder(path, "image")


def test_onnx_garbage_is_one_sentence(tmp_path):
    pytest.importorskip("onnxruntime")
    path, _ = picture_model(tmp_path)
    whole = path.read_bytes()
    rng = np.random.default_rng(0)
    (tmp_path / "empty.onnx").write_bytes(b"")
    with pytest.raises(UnreadableInput, match="empty"):
        load_encoder(tmp_path / "empty.onnx", "image")
    for k in range(40):
        bad = bytearray(whole[:rng.integers(1, len(whole))] if k % 2 else whole)
        for place in rng.integers(0, min(len(bad), 200), 4):
            bad[place] ^= int(rng.integers(1, 256))
        (tmp_path / "bad.onnx").write_bytes(bytes(bad))
        try:
            load_encoder(tmp_path / "bad.onnx", "image")
        except BezoarError as error:
            assert error.advice  # noqa: PT017


def test_a_vision_folder(tmp_path, no_network):
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = transformers.ViTModel(transformers.ViTConfig(image_size=8, patch_size=4, hidden_size=16, num_hidden_layers=1, num_attention_heads=2,
                                                             intermediate_size=16))
    model.save_pretrained(str(tmp_path), safe_serialization=True)
    (tmp_path / "preprocessor_config.json").write_text(json.dumps({"size": {"height": 8, "width": 8}, "image_mean": [0.5] * 3, "image_std": [0.5] * 3}))
    pixels = np.random.default_rng(0).integers(0, 256, (5, 8, 8, 3), np.uint8)
    out = load_encoder(tmp_path, "image")(Images.of(pixels))
    with torch.inference_mode():
        x = torch.from_numpy(np.moveaxis(pixels, -1, 1).astype(np.float32) / 127.5 - 1)
        expected = model.eval()(pixel_values=x).pooler_output.numpy()
    assert np.allclose(out, expected, atol=1e-5)
    assert load_encoder(tmp_path, "image")(Images.of([pixels[0].repeat(3, 0), pixels[1]])).shape == (2, 16)
