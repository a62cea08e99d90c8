"""Black boxes answer like the function, the ONNX graph and the endpoint behind them; what they answer is checked."""

import base64
import http.server
import io
import json
import threading
import time

import numpy as np
import pytest

from bezoar.core.errors import AbilityFailed, BezoarError, LimitExceeded, Refused, UnreadableInput, UsageError
from bezoar.core.inputs import Column, Images, Table, Texts
from bezoar.sources.suspects import black_boxes, open_endpoint, open_onnx, open_suspect, suspect_from_callable

PICTURES = Images.of(np.random.default_rng(100).integers(0, 256, (5, 8, 8, 3), np.uint8))


def bright(rows):
    light = np.asarray(rows).reshape(len(rows), -1).mean(axis=1) / 255
    return np.stack([1 - light, light], axis=1)


def test_a_function_of_each_kind():
    suspect = suspect_from_callable(bright, shape=(8, 8, 3))
    assert suspect.classes == ("0", "1") and suspect.module is None
    np.testing.assert_allclose(suspect.predict(PICTURES), bright(PICTURES.dense()), atol=1e-6)
    texts = suspect_from_callable(lambda rows: [[len(t), 0.0] for t in rows], ("long", "short"), modality="text")
    assert texts.predict(Texts.of(["", "abc"]))[:, 0].tolist() == pytest.approx([0.5, 0.9526], abs=1e-4), "logits become probabilities"
    table = Table({"a": Column("number", np.array([0.0, 1.0])), "b": Column("number", np.array([1.0, 1.0]))})
    rows = suspect_from_callable(lambda m: m[:, 0], ("no", "yes"), modality="tabular")
    assert rows.predict(table).tolist() == [[1.0, 0.0], [0.0, 1.0]]


def test_nothing_is_asked_about_nothing():
    asked = []
    suspect = suspect_from_callable(lambda rows: asked.append(1) or bright(rows), ("a", "b"), (8, 8, 3))
    assert suspect.predict(PICTURES.take(np.arange(0))).shape == (0, 2) and not asked


@pytest.mark.parametrize(("function", "says"), [
    (lambda rows: [[0.5, 0.5]], "answered"), (lambda rows: [[np.nan, 1.0]] * len(rows), "not finite"), (lambda rows: 1 / 0, "ZeroDivisionError"),
    (lambda rows: "x", "answered"), (lambda rows: np.zeros((len(rows), 3)), "classes")])
def test_what_a_function_answers_is_checked(function, says):
    with pytest.raises(AbilityFailed, match=says) as caught:
        suspect_from_callable(function, ("a", "b"), (8, 8, 3)).predict(PICTURES)
    assert caught.value.advice
    with pytest.raises(UsageError):
        suspect_from_callable(bright, ("a", "b"), (8, 8, 3)).predict(Texts.of(["x"]))


def graph(folder, nodes, weights=(), shape=("n", 3, 8, 8), kind=None, name="m.onnx"):
    onnx = pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    from onnx import TensorProto, helper, numpy_helper

    made = helper.make_graph([helper.make_node(*n[:3], **n[3]) for n in nodes], "g", [helper.make_tensor_value_info("x", kind or TensorProto.FLOAT, shape)],
                             [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)], [numpy_helper.from_array(a, n) for n, a in weights])
    onnx.save(helper.make_model(made, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), folder / name)
    return folder / name


def linear(folder, **more):
    weight = np.random.default_rng(100).normal(0, 1, (192, 3)).astype(np.float32)
    path = graph(folder, [("Flatten", ["x"], ["f"], {}), ("Gemm", ["f", "w"], ["y"], {})], [("w", weight)], **more)
    return path, weight


def test_an_onnx_classifier_runs_apart(tmp_path):
    path, weight = linear(tmp_path)
    suspect = open_onnx(path, classes=("a", "b", "c"))
    assert suspect.modality == "image" and suspect.shape == (8, 8, 3)
    logits = np.moveaxis(PICTURES.dense().astype(np.float32) / 255, 3, 1).reshape(5, -1) @ weight
    want = np.exp(logits - logits.max(axis=1, keepdims=True))
    np.testing.assert_allclose(suspect.predict(PICTURES), want / want.sum(axis=1, keepdims=True), atol=1e-5)
    with pytest.raises(UsageError, match="2 classes are named, the model has 3"):
        open_suspect(path, classes=("a", "b"))


def test_an_onnx_model_of_fixed_batch(tmp_path):
    path, _ = linear(tmp_path, shape=(4, 3, 8, 8))
    free, _ = linear(tmp_path, name="free.onnx")
    np.testing.assert_allclose(open_onnx(path).predict(PICTURES), open_onnx(free).predict(PICTURES), atol=1e-6)


def test_an_onnx_graph_that_never_ends_is_stopped(tmp_path, monkeypatch):
    onnx = pytest.importorskip("onnx")
    from onnx import TensorProto, helper

    body = helper.make_graph([helper.make_node("Identity", ["c"], ["d"]), helper.make_node("Sin", ["v"], ["w"])], "b",
                             [helper.make_tensor_value_info("i", TensorProto.INT64, []), helper.make_tensor_value_info("c", TensorProto.BOOL, []),
                              helper.make_tensor_value_info("v", TensorProto.FLOAT, None)],
                             [helper.make_tensor_value_info("d", TensorProto.BOOL, []), helper.make_tensor_value_info("w", TensorProto.FLOAT, None)])
    nodes = [("Loop", ["", "yes", "x"], ["y"], {"body": body})]
    path = graph(tmp_path, nodes, [("yes", np.array(True))], shape=("n", 4))
    assert onnx.load(path)
    monkeypatch.setattr(black_boxes, "SECONDS", 8.0)
    start = time.monotonic()
    with pytest.raises(LimitExceeded, match="takes more than"):
        open_onnx(path)
    assert time.monotonic() - start < 60


def test_an_onnx_graph_that_wants_all_memory(tmp_path):
    path = graph(tmp_path, [("ConstantOfShape", ["s"], ["y"], {})], [("s", np.array([1 << 20, 1 << 14], np.int64))], shape=("n", 4))
    with pytest.raises(BezoarError) as caught:
        open_onnx(path)
    assert caught.value.advice


def test_onnx_files_that_are_not_taken(tmp_path):
    from bezoar.testing.hostile.models import MODEL_CASES

    for name, error in (("format-onnx-with-outside-data", Refused), ("format-onnx-cut-off", UnreadableInput)):
        with pytest.raises(error) as caught:
            open_onnx(MODEL_CASES[name](tmp_path / name).path)
        assert caught.value.advice
    (tmp_path / "x.onnx").write_bytes(b"\x08\x09\x3a\x02\x0a\x00")
    pytest.importorskip("onnxruntime")
    with pytest.raises(BezoarError):
        open_onnx(tmp_path / "x.onnx")


class Server:
    """An endpoint in this process, whose answer each test sets."""

    def __init__(self):
        self.reply = lambda inputs: json.dumps({"probabilities": [[0.25, 0.75]] * len(inputs)}).encode()
        self.status, self.seen, self.more = 200, [], {}
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                inputs = json.loads(self.rfile.read(int(self.headers["Content-Length"])))["inputs"]
                outer.seen.append((inputs, dict(self.headers)))
                raw = outer.reply(inputs)
                self.send_response(outer.status)
                for key, value in outer.more.items():
                    self.send_header(key, value)
                self.end_headers()
                self.wfile.write(raw)

            def log_message(self, *args):
                pass

        self.server = http.server.HTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"http://127.0.0.1:{self.server.server_port}/predict"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()


@pytest.fixture
def server():
    made = Server()
    yield made
    made.server.shutdown()
    made.server.server_close()


def test_an_endpoint_gets_pictures_and_nothing_else(server):
    from PIL import Image

    suspect = open_endpoint(server.address, ("a", "b"), shape=(8, 8, 3), headers={"Authorization": "Bearer t"}, per_second=1000, batch=3)
    assert suspect.predict(PICTURES).round(6).tolist() == [[0.25, 0.75]] * 5
    assert [len(i) for i, _ in server.seen] == [3, 2]
    first = np.asarray(Image.open(io.BytesIO(base64.b64decode(server.seen[0][0][0]))))
    assert (first == PICTURES.dense()[0]).all()
    assert server.seen[0][1]["Authorization"] == "Bearer t"


@pytest.mark.parametrize(("reply", "status", "more", "says"), [
    (b"{}", 200, {}, "does not answer"), (b"[" * 100_000, 200, {}, "cannot be asked"), (b'{"probabilities": [["a"]]}', 200, {}, "does not answer"),
    (b'{"probabilities": [[0.5, 0.5]]}', 200, {}, "answered"), (b"no", 500, {}, "status 500"), (b"", 302, {"Location": "http://127.0.0.1:1/"}, "status 302"),
    (b" " * (17 << 20), 200, {}, "too long")])
def test_an_endpoint_that_misbehaves(server, reply, status, more, says):
    server.reply, server.status, server.more = (lambda inputs: reply), status, more
    with pytest.raises(BezoarError, match=says) as caught:
        open_endpoint(server.address, ("a", "b"), shape=(8, 8, 3), per_second=1000).predict(PICTURES)
    assert caught.value.advice
    assert len(server.seen) == 1, "no redirect is followed"


def test_an_endpoint_is_not_flooded(server):
    suspect = open_endpoint(server.address, ("a", "b"), modality="text", per_second=20, batch=1)
    start = time.monotonic()
    suspect.predict(Texts.of(["a", "b", "c"]))
    assert time.monotonic() - start >= 0.1


@pytest.mark.parametrize("address", ["file:///etc/passwd", "ftp://x/y", "http://", "http://user:secret@host/", "gopher://x", "/etc/passwd", ""])
def test_addresses_that_are_none(address):
    with pytest.raises(UsageError):
        open_endpoint(address, ("a", "b"))
