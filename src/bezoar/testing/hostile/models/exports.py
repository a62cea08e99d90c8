"""Archives of `torch.export` that lie about their arrays, hold what is no operator, or carry what another reader would run."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bezoar.testing.hostile.models.kit import (
    EITHER,
    GOOD,
    INCONCLUSIVE,
    REFUSED,
    call,
    makes,
    of_file,
    register,
    stream,
    text,
    torch_legacy,
    torch_zip,
    zipped,
)

Edit = Callable[[dict[str, Any]], Any]
WEIGHT = struct.pack("<6f", *range(6))


def meta(*sizes: Any, kind: int = 7) -> dict[str, Any]:
    """What the format says of a tensor, its strides by rows."""
    strides = [1]
    for size in sizes[:0:-1]:
        strides.insert(0, strides[0] * (size if isinstance(size, int) else 1))
    return {"dtype": kind, "sizes": [{"as_int": s} if isinstance(s, int) else s for s in sizes], "requires_grad": False, "layout": 7,
            "device": {"type": "cpu", "index": None}, "strides": [{"as_int": s} for s in strides[:len(sizes)]],
            "storage_offset": {"as_int": 0}}


def node(target: str, out: str, **inputs: Any) -> dict[str, Any]:
    """A step; names of tensors as text, all else as the format writes it."""
    given = [{"name": n, "arg": {"as_tensor": {"name": v}} if isinstance(v, str) else v, "kind": 1} for n, v in inputs.items()]
    return {"target": target, "inputs": given, "outputs": [{"as_tensor": {"name": out}}], "metadata": {}, "name": out}


def batch(expression: str = "Symbol('s77', positive=True, integer=True)") -> dict[str, Any]:
    """A size that is free."""
    return {"as_expr": {"expr_str": expression, "hint": {"as_int": 2}}}


def program() -> dict[str, Any]:
    """The linear layer from three numbers to two, and a relu behind it."""
    specs = [{"parameter": {"arg": {"name": "p_weight"}, "parameter_name": "weight"}},
             {"user_input": {"arg": {"as_tensor": {"name": "x"}}}}]
    graph = {"inputs": [{"as_tensor": {"name": "p_weight"}}, {"as_tensor": {"name": "x"}}], "outputs": [{"as_tensor": {"name": "relu"}}],
             "nodes": [node("torch.ops.aten.linear.default", "linear", input="x", weight="p_weight"),
                       node("torch.ops.aten.relu.default", "relu", self="linear")],
             "tensor_values": {"p_weight": meta(2, 3), "x": meta(batch(), 3)}, "sym_int_values": {}, "custom_obj_values": {}}
    signature = {"input_specs": specs, "output_specs": [{"user_output": {"arg": {"as_tensor": {"name": "relu"}}}}]}
    return {"graph_module": {"graph": graph, "signature": signature, "module_call_graph": []}, "guards_code": [], "torch_version": "2.13.0"}


def weights() -> dict[str, Any]:
    """The list of its one array."""
    return {"config": {"weight": {"path_name": "weight_0", "is_param": True, "use_pickle": False, "tensor_meta": meta(2, 3)}}}


def export(change: Edit | None = None, arrays: Edit | None = None, members: dict[str, bytes] | None = None) -> bytes:
    """The archive of the program above; `change` edits the program, `arrays` the list of arrays, `members` replaces what is in it."""
    told, listed = program(), weights()
    for edit, value in ((change, told), (arrays, listed)):
        if edit is not None:
            edit(value)
    plain = {"data/weights/weight_0": WEIGHT, "data/weights/model_weights_config.json": json.dumps(listed).encode(),
               "data/constants/model_constants_config.json": b'{"config": {}}', "models/model.json": json.dumps(told).encode(),
               "archive_format": b"pt2", "archive_version": b"0", ".data/version": b"6\n", "byteorder": b"little"}
    return zipped({f"e/{name}": raw for name, raw in {**plain, **(members or {})}.items()})


def nodes(told: dict[str, Any]) -> list[Any]:
    """The steps of a program."""
    found: list[Any] = told["graph_module"]["graph"]["nodes"]
    return found


def target(name: str) -> Edit:
    """The relu is this instead."""
    return lambda told: nodes(told)[1].update(target=name)


def array(**changed: Any) -> Edit:
    """What is said of the array is this instead."""
    return lambda told: told["config"]["weight"].update(changed)


def expression(value: str) -> Edit:
    """The free size is this instead."""
    return lambda told: told["graph_module"]["graph"]["tensor_values"]["x"]["sizes"].__setitem__(0, batch(value))


def circle(told: dict[str, Any]) -> None:
    """Each of two steps reads the other."""
    nodes(told)[0]["inputs"][0]["arg"]["as_tensor"]["name"] = "relu"


def earlier(folder: Path) -> bytes:
    """The layout before torch 2.8, its arrays a pickle that calls."""
    return zipped({"serialized_exported_program.json": json.dumps(program()).encode(), "version": b"8.8",
                   "serialized_state_dict.pt": torch_zip(stream(makes(folder)))})


def pickled(raw: bytes) -> bytes:
    """The array is said to be a file of `torch.save`, and is this."""
    return export(arrays=array(use_pickle=True), members={"data/weights/weight_0": raw})


def example(raw: bytes) -> bytes:
    """The input that is kept as an example is this."""
    return export(members={"data/sample_inputs/model.pt": raw})


IMPORTS = "__import__('os').mkdir('pickle-was-run')"
CASES: dict[str, tuple[Callable[[Path], bytes], str]] = {
    "of-an-unknown-operator": (lambda f: export(target("torch.ops.evil.go.default")), INCONCLUSIVE),
    "of-an-operator-that-maps-a-file": (lambda f: export(target("torch.ops.aten.from_file.default")), INCONCLUSIVE),
    "of-a-python-function": (lambda f: export(target("os.system")), REFUSED),
    "of-torch-load": (lambda f: export(target("torch.load")), REFUSED),
    "of-a-builtin": (lambda f: export(target("_operator.attrgetter")), REFUSED),
    "of-a-higher-order": (lambda f: export(target("torch.ops.higher_order.cond")), INCONCLUSIVE),
    "with-an-argument-too-many": (lambda f: export(lambda t: nodes(t)[1]["inputs"].append(
        {"name": "out", "arg": {"as_tensor": {"name": "x"}}, "kind": 2})), REFUSED),
    "with-an-argument-that-is-a-program": (lambda f: export(lambda t: nodes(t)[1]["inputs"].append(
        {"name": "inplace", "arg": {"as_graph": {"name": "g", "graph": {}}}, "kind": 1})), INCONCLUSIVE),
    "in-a-circle": (lambda f: export(circle), REFUSED),
    "that-gives-a-name-twice": (lambda f: export(lambda t: nodes(t).append(nodes(t)[1])), REFUSED),
    "that-answers-with-nothing": (lambda f: export(lambda t: nodes(t).pop()), REFUSED),
    "that-changes-its-input": (lambda f: export(lambda t: nodes(t).__setitem__(1, node("torch.ops.aten.relu_.default", "relu", self="x"))),
                               INCONCLUSIVE),
    "of-too-many-steps": (lambda f: export(lambda t: nodes(t).extend({"target": "a"} for _ in range(20_000))), INCONCLUSIVE),
    "of-nested-lists": (lambda f: export(members={"models/model.json": b"[" * 5000 + b"]" * 5000}), REFUSED),
    "of-no-json": (lambda f: export(members={"models/model.json": b"import os"}), REFUSED),
    "of-a-key-twice": (lambda f: export(members={"models/model.json": b'{"graph_module": {}, "graph_module": {}}'}), REFUSED),
    "whose-size-is-an-expression": (lambda f: export(expression(IMPORTS)), REFUSED),
    "whose-size-takes-an-attribute": (lambda f: export(expression("Symbol('s0').__class__.__mro__")), REFUSED),
    "whose-guard-is-an-expression": (lambda f: export(lambda t: t.update(guards_code=[IMPORTS])), REFUSED),
    "whose-container-is-its-own": (lambda f: export(lambda t: t["graph_module"]["module_call_graph"].append(
        {"signature": {"in_spec": '[1, {"type": "evil.Thing", "context": "x"}]'}})), INCONCLUSIVE),
    "whose-array-is-elsewhere": (lambda f: export(arrays=array(path_name="../../../etc/passwd")), REFUSED),
    "whose-array-is-an-absolute-path": (lambda f: export(arrays=array(path_name="/etc/passwd")), REFUSED),
    "whose-array-is-the-program": (lambda f: export(arrays=array(path_name="../../models/model.json")), REFUSED),
    "whose-array-is-not-there": (lambda f: export(arrays=array(path_name="weight_7")), REFUSED),
    "whose-array-is-longer-than-its-file": (lambda f: export(arrays=array(tensor_meta=meta(2, 4))), REFUSED),
    "whose-array-is-huge": (lambda f: export(arrays=array(tensor_meta=meta(1 << 39, 1 << 39))), REFUSED),
    "whose-array-repeats-itself": (lambda f: export(arrays=array(tensor_meta={**meta(1 << 36), "strides": [{"as_int": 0}]})),
                                   INCONCLUSIVE),
    "whose-array-has-a-free-size": (lambda f: export(arrays=array(tensor_meta=meta(batch(), 3))), REFUSED),
    "whose-array-has-negative-strides": (lambda f: export(arrays=array(tensor_meta={**meta(6), "strides": [{"as_int": -1}]})), REFUSED),
    "whose-array-is-quantised": (lambda f: export(arrays=array(tensor_meta=meta(2, 3, kind=15))), INCONCLUSIVE),
    "whose-array-is-a-call": (lambda f: pickled(torch_zip(stream(makes(f)))), REFUSED),
    "whose-array-is-a-bare-pickle": (lambda f: pickled(stream(makes(f))), REFUSED),
    "whose-array-is-an-old-pickle": (lambda f: pickled(torch_legacy(GOOD)), REFUSED),
    "whose-example-is-a-call": (lambda f: example(torch_zip(stream(makes(f)))), REFUSED),
    "whose-example-is-a-bare-pickle": (lambda f: example(stream(makes(f))), REFUSED),
    "whose-example-runs-a-shell": (lambda f: example(torch_zip(stream(call("os", "system", text("true"))))), REFUSED),
    "with-an-object": (lambda f: export(members={"data/constants/opaque_obj_0": stream(makes(f))}), REFUSED),
    "with-an-object-of-c": (lambda f: export(members={"data/constants/custom_obj_0": torch_zip(stream(makes(f)))}), REFUSED),
    "with-machine-code": (lambda f: export(members={"data/aotinductor/model/a.so": b"\x7fELF"}), REFUSED),
    "with-python-beside": (lambda f: export(members={"data/weights/setup.py": b"import os"}), REFUSED),
    "with-an-array-that-nobody-names": (lambda f: export(members={"data/weights/weight_9": WEIGHT}), REFUSED),
    "of-two-programs": (lambda f: export(members={"models/other.json": b"{}"}), INCONCLUSIVE),
    "without-a-list-of-arrays": (lambda f: zipped({"e/archive_format": b"pt2", "e/models/model.json": b"{}"}), INCONCLUSIVE),
    "with-bytes-behind": (lambda f: export() + b"x", EITHER),
    "of-two-tops": (lambda f: zipped({"e/archive_format": b"pt2", "f/models/model.json": b"{}"}), REFUSED),
    "before-2-8-with-a-call": (earlier, REFUSED),
    "before-2-8-with-another-file": (lambda f: zipped({"serialized_exported_program.json": b"{}", "evil.pkl": stream(makes(f))}), REFUSED)}
for _name, (_build, _verdict) in CASES.items():
    register(f"export-{_name}", of_file(_build, "model.pt2", _verdict))
