"""A checked program and its arrays -> a torch module that follows it, step by step; its layers are layers of torch, so that they can be
looked into, and drawn anew. Torch is imported inside.

Every step calls an operator of the list by its own schema, which refuses arguments of other kinds. What all steps together make is
counted for each input and bounded. Convolutions, linear layers and norms whose arrays are parameters become layers under their names in
the network; other parameters stand by themselves. A program of a fixed batch is asked in batches of that size.
Fails where a program stands in training mode. Exact up to the order of sums.
"""

from __future__ import annotations

import hashlib
import json
import operator
from collections.abc import Mapping
from typing import Any

import numpy as np

from bezoar.core.errors import LimitExceeded, UnreadableInput
from bezoar.intake.models.exported_program import Program, names_in, program_of
from bezoar.intake.models.verdicts import Stopped

MOST_PER_INPUT = 512 << 20
"""Bytes that all steps together may make of one input."""
CONVOLUTIONS = {"conv1d.default": 1, "conv1d.padding": 1, "conv2d.default": 2, "conv2d.padding": 2}
NORMS = {"batch_norm.default", "_native_batch_norm_legit_no_training.default"}


def module_of(told: Any, arrays: Mapping[str, np.ndarray]) -> Any:
    """The module, in evaluation mode; `told` is a program in its plain form, checked again here. Its `fixed` is the batch that it is
    followed in, None where any will do.

    Raises UnreadableInput where it is not in order, names arrays that are not there, or has layers that cannot be.
    """
    try:
        program = program_of(told)
        return _built(program, {n: arrays[a] for n, a in program.arrays.items()})
    except (Stopped, KeyError, ValueError, RuntimeError, TypeError, IndexError) as error:
        raise UnreadableInput(f"its program cannot be followed: {str(error)[:200]}", advice="export it again, or to ONNX") from error


def _built(program: Program, arrays: dict[str, np.ndarray]) -> Any:
    import torch
    from torch import nn

    class Alone(nn.Module):  # type: ignore[misc]
        """Parameters and buffers that belong to no layer."""

        def reset_parameters(self) -> None:
            for p in self.parameters(recurse=False):
                nn.init.normal_(p, std=max(float(p.detach().std(correction=0)), 1e-3))

    class Followed(nn.Module):  # type: ignore[misc]
        """The program."""

        def __init__(self) -> None:
            super().__init__()
            self.layers = nn.Module()
            self.alone = Alone()
            self.program = program
            self.fixed = program.shape[0]
            self.places: dict[str, str] = {}
            self.steps: list[Any] = []
            self.digest = hashlib.sha256(json.dumps(program.plain(), sort_keys=True).encode()).hexdigest()[:16]

        def extra_repr(self) -> str:
            return f"program={self.digest}"

        def forward(self, x: Any) -> Any:
            fixed = self.fixed
            if fixed is None or len(x) == fixed:
                return self.follow(x)
            parts = [x[i:i + fixed] for i in range(0, len(x), fixed)]
            short = fixed - len(parts[-1])
            parts[-1] = torch.cat([parts[-1], parts[-1][-1:].expand(short, *x.shape[1:])])
            return torch.cat([self.follow(p) for p in parts])[:len(x)]

        def follow(self, x: Any) -> Any:
            values: dict[str, Any] = {n: getattr(self.alone, a) for n, a in self.places.items()}
            values[self.program.given] = x
            left = MOST_PER_INPUT * max(len(x), 1)
            for op, names, arguments, layer, gone in self.steps:
                found = self.step(op, {k: _value(v, values) for k, v in arguments.items()}, layer)
                parts = found if isinstance(found, (tuple, list)) else (found,)
                for name, part in zip(names, parts, strict=False):
                    values[name] = part
                    left -= part.numel() * part.element_size() if isinstance(part, torch.Tensor) else 0
                if left < 0:
                    raise LimitExceeded("the program makes more numbers of one input than the limits allow",
                                        advice="give a smaller network")
                for name in gone:
                    del values[name]
            return values[self.program.answer]

        def step(self, op: str, given: dict[str, Any], layer: str) -> Any:
            if layer:
                return self.layers.get_submodule(layer)(given["input"])
            if op == "size":
                return int(given["self"].shape[given["dim"]])
            if op.startswith("number."):
                return getattr(operator, op[7:])(int(given["a"]), int(given["b"]))
            if op == "dropout.default":
                return nn.functional.dropout(given["input"], given["p"], self.training)
            if op in NORMS:
                given.pop("training", None)
                momentum, eps = given.pop("momentum"), given.pop("eps")
                return nn.functional.batch_norm(given["input"], given["running_mean"], given["running_var"], given.get("weight"),
                                                given.get("bias"), False, momentum, eps)
            if op in ("view.default", "_unsafe_view.default"):
                return given["self"].reshape(given["size"])
            name, _, overload = op.partition(".")
            return getattr(getattr(torch.ops.aten, name), overload)(**given)

    made = Followed()
    tensors = {n: torch.from_numpy(np.array(a, np.float32 if a.dtype.kind == "f" else a.dtype)) for n, a in arrays.items()}
    steps, layers = _layers(program, tensors)
    made.steps = _with_ends(steps, program.answer)
    for name in dict.fromkeys(layer for _, _, _, layer, _ in made.steps if layer):
        _put(made.layers, name, layers[name])
    used = {n for _, _, arguments, _, _ in made.steps for v in arguments.values() for n in names_in(v)} | {program.answer}
    for i, name in enumerate(sorted(used & set(tensors))):
        made.places[name] = f"a{i}"
        if name in program.learned and tensors[name].is_floating_point():
            made.alone.register_parameter(f"a{i}", nn.Parameter(tensors[name]))
        else:
            made.alone.register_buffer(f"a{i}", tensors[name])
    return made.eval()


def _value(value: Any, values: dict[str, Any]) -> Any:
    if isinstance(value, dict):
        return values[value["is"]] if "is" in value else [values[n] for n in value["are"]]
    if isinstance(value, list):
        return [values[v["is"]] if isinstance(v, dict) else v for v in value]
    return value


def _layers(program: Program, tensors: Mapping[str, Any]) -> tuple[list[Any], dict[str, Any]]:
    """Steps as (operator, names, arguments, layer or ""), and the layers by name: those whose arrays are all parameters of one place."""
    turned = {names[0]: arguments["self"]["is"] for op, names, arguments in program.steps
              if op == "t.default" or (op == "permute.default" and arguments.get("dims") == [1, 0])}
    layers: dict[str, Any] = {}
    made_as: dict[str, str] = {}
    steps = []
    for op, names, arguments in program.steps:
        if op == "addmm.default" and set(arguments) == {"self", "mat1", "mat2"} and arguments["mat2"].get("is") in turned:
            op, arguments = "linear.default", {"input": arguments["mat1"], "bias": arguments["self"],
                                               "weight": {"is": turned[arguments["mat2"]["is"]]}}
        name = _place(program, arguments) if op in (*CONVOLUTIONS, *NORMS, "convolution.default", "linear.default", "layer_norm.default",
                                                    "native_layer_norm.default", "group_norm.default") else ""
        told = json.dumps([op, {k: v for k, v in arguments.items() if k != "input"}], sort_keys=True)
        if name and made_as.setdefault(name, told) == told:
            layer = layers.get(name) or _layer(op, arguments, tensors)
            if layer is not None:
                layers[name] = layer
                steps.append((op, names[:1], {"input": arguments["input"]}, name))
                continue
        steps.append((op, names, arguments, ""))
    return steps, layers


def _place(program: Program, arguments: Mapping[str, Any]) -> str:
    """The name of the layer that all arrays of a step belong to; "" where there is none."""
    held = {k: program.arrays.get(v["is"], "") for k, v in arguments.items()
            if k in ("weight", "bias", "running_mean", "running_var") and isinstance(v, dict)}
    places = {a.rpartition(".")[0] if a.rpartition(".")[2] == k else "" for k, a in held.items()}
    place = places.pop() if len(places) == 1 and "weight" in held else ""
    return place if all(part.isidentifier() or part.isdigit() for part in place.split(".")) else ""


def _layer(op: str, arguments: Mapping[str, Any], tensors: Mapping[str, Any]) -> Any:
    """A layer of torch that does what the step does, or None where there is none such."""
    from torch import nn

    held = {k: tensors[v["is"]] for k, v in arguments.items() if isinstance(v, dict) and k != "input"}
    weight, biased = held["weight"], "bias" in held
    plain = {k: v for k, v in arguments.items() if k not in ("input", *held) and v is not None}
    wide = CONVOLUTIONS.get(op, weight.ndim - 2)
    made: Any = None
    if op == "linear.default" and weight.ndim == 2:
        made = nn.Linear(weight.shape[1], weight.shape[0], biased)
    elif (op in CONVOLUTIONS or op == "convolution.default") and not plain.get("transposed") and weight.ndim == wide + 2 and wide in (1, 2):
        groups = plain.get("groups", 1)
        how = {k: (v[0] if len(v) == 1 else tuple(v)) if isinstance(v, list) else v for k, v in plain.items()
               if k in ("stride", "padding", "dilation")}
        made = (nn.Conv1d if wide == 1 else nn.Conv2d)(weight.shape[1] * groups, weight.shape[0], tuple(weight.shape[2:]), groups=groups,
                                                       bias=biased, **how)
    elif op in NORMS and {"weight", "bias", "running_mean", "running_var"} <= set(held) and not plain.get("training"):
        made = nn.BatchNorm2d(len(weight), plain.get("eps", 1e-5), plain.get("momentum", 0.1))
        made._check_input_dim = _any_shape
        held["num_batches_tracked"] = made.num_batches_tracked
    elif op in ("layer_norm.default", "native_layer_norm.default") and biased:
        made = nn.LayerNorm(tuple(plain["normalized_shape"]), plain.get("eps", 1e-5))
    elif op == "group_norm.default" and biased:
        made = nn.GroupNorm(plain["num_groups"], len(weight), plain.get("eps", 1e-5))
    if made is not None:
        made.load_state_dict(held)
    return made


def _any_shape(x: Any) -> None:
    """Norms of rows and of pictures are the same layer here."""


def _put(root: Any, name: str, layer: Any) -> None:
    from torch import nn

    *way, last = name.split(".")
    for part in way:
        if not hasattr(root, part):
            root.add_module(part, nn.Module())
        root = getattr(root, part)
    if hasattr(root, last):
        for inner, module in getattr(root, last).named_children():
            layer.add_module(inner, module)
        delattr(root, last)
    root.add_module(last, layer)


def _with_ends(steps: list[Any], answer: str) -> list[Any]:
    """Steps that anything needs, each with the names that nothing behind it needs."""
    needed, out = {answer}, []
    for op, names, arguments, layer in reversed(steps):
        if not needed & set(names):
            continue
        own = {n for v in arguments.values() for n in names_in(v)}
        gone = sorted((own | set(names)) - needed)
        needed |= own
        out.append((op, names, arguments, layer, gone))
    return out[::-1]
