"""A `torch.export` program as plain data: its graph, translated into a short form of our own that is checked again wherever it is used.

A step is [operator, [names that it gives], {argument: value}]; a value is a number, a text, a list of numbers, {"is": a name} or
{"are": [names]}. Steps stand in order: each may only use names that stand before it, so there are no circles. Expressions over sizes are
never read: a size is a number, or it is what a tensor has when the program runs.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from bezoar.intake.models.exported_operators import DROPPED, IN_PLACE, NUMBERS, OPERATORS, VIEWS
from bezoar.intake.models.verdicts import CONVERT, Hostile, TooMuch, Unknown

MOST_STEPS = 20_000
MOST_NAMES, MOST_LIST, LONGEST_NAME = 100_000, 64, 300
LARGEST = 1 << 40
"""Whole numbers beyond this are absurd; exporters write 2**63 - 1 for "to the end"."""
END = (1 << 63) - 1
FLOAT = 7
"""float32 as the format numbers it."""
Step = tuple[str, tuple[str, ...], dict[str, Any]]


@dataclass(frozen=True)
class Program:
    """arrays: name in the program -> name of an array; learned: those that are parameters; given: the name of its input; shape: of the
    input, None where free; answer: the name of the output."""

    arrays: dict[str, str]
    learned: tuple[str, ...]
    given: str
    shape: tuple[int | None, ...]
    steps: tuple[Step, ...]
    answer: str

    def plain(self) -> dict[str, Any]:
        """JSON that `program_of` takes."""
        return {"arrays": self.arrays, "learned": list(self.learned), "given": self.given, "shape": list(self.shape),
                "steps": [list(s) for s in self.steps], "answer": self.answer}


def program_of(told: Any) -> Program:
    """The program of its plain form. Raises Hostile for anything that is not in order, Unknown for an operator that is not followed."""
    _need(isinstance(told, dict) and set(told) == {"arrays", "learned", "given", "shape", "steps", "answer"})
    arrays, given, shape, rows, answer = told["arrays"], told["given"], told["shape"], told["steps"], told["answer"]
    _need(isinstance(arrays, dict) and all(_is_name(k) and _is_name(v) for k, v in arrays.items()) and len(arrays) <= MOST_NAMES)
    _need(type(told["learned"]) in (list, tuple) and all(type(n) is str and n in arrays for n in told["learned"]))
    _need(_is_name(given) and given not in arrays and _is_name(answer))
    _need(type(shape) is list and 1 < len(shape) <= 4 and all(v is None or (type(v) is int and 0 < v <= 65_536) for v in shape))
    _need(type(rows) is list)
    if len(rows) > MOST_STEPS:
        raise TooMuch(f"its program has more than {MOST_STEPS:,} steps")
    known = {*arrays, given}
    steps = []
    for row in rows:
        _need(type(row) in (list, tuple) and len(row) == 3)
        op, names, arguments = row
        _need(type(op) is str and type(names) in (list, tuple) and isinstance(arguments, dict) and 0 < len(names) <= 1000)
        allowed = {"a", "b"} if op in {f"number.{n}" for n in NUMBERS} else {"self", "dim"} if op == "size" else OPERATORS.get(op)
        if allowed is None:
            raise Unknown(f"its program has the operator {op[:80]!r}, which is not among those that are followed; {CONVERT}")
        _need(set(arguments) <= allowed)
        for value in arguments.values():
            for used in names_in(value):
                if used not in known:
                    raise Hostile(f"its program uses {used[:60]!r} before it is made, or in a circle")
        for name in names:
            _need(_is_name(name) and name not in known)
            known.add(name)
        steps.append((op, tuple(names), arguments))
    if answer not in known:
        raise Hostile("its program answers with what it never made")
    return Program(arrays, tuple(told["learned"]), given, tuple(shape), tuple(steps), answer)


def names_in(value: Any) -> list[str]:
    """Every name in a value. Raises Hostile for a value of no known form."""
    if value is None or type(value) in (bool, str):
        _need(type(value) is not str or len(value) <= 20)
        return []
    if type(value) is int:
        _need(abs(value) <= LARGEST)
        return []
    if type(value) is float:
        _need(not math.isnan(value))
        return []
    if type(value) is list:
        _need(len(value) <= MOST_LIST)
        return [n for v in value for n in (names_in(v) if type(v) in (int, dict) else [] if type(v) in (float, bool) else _never())]
    _need(isinstance(value, dict) and len(value) == 1)
    if "is" in value:
        _need(_is_name(value["is"]))
        return [value["is"]]
    _need("are" in value and type(value["are"]) is list and len(value["are"]) <= 1000 and all(_is_name(n) for n in value["are"]))
    return list(value["are"])


def translated(root: Any, arrays: set[str]) -> Program:
    """The program of `models/NAME.json`; `arrays` are the names of the arrays beside it. Raises Hostile, Unknown or TooMuch."""
    graph = _at(root, "graph_module", "graph")
    signature = _at(root, "graph_module", "signature")
    bound, learned, given = _inputs(_list(signature, "input_specs"), arrays)
    outs = _list(signature, "output_specs")
    if len(outs) != 1 or set(outs[0]) != {"user_output"}:
        raise Unknown(f"its program gives more than one answer, or changes its own weights; export it in evaluation mode, or {CONVERT}")
    answer = _name(_at(outs[0], "user_output", "arg"), "as_tensor")
    shape = _shape(_at(graph, "tensor_values").get(given))
    nodes = _list(graph, "nodes")
    if len(nodes) > MOST_STEPS:
        raise TooMuch(f"its program has more than {MOST_STEPS:,} steps")
    if graph.get("custom_obj_values"):
        raise Unknown(f"its program uses objects of C++ or Python; {CONVERT}")
    steps: list[list[Any]] = []
    made_by: dict[str, str] = {}
    uses: dict[str, int] = {}
    for node in nodes:
        row = _step(node, len(steps))
        if row is None:
            continue
        for value in row[2].values():
            for name in names_in(value):
                uses[name] = uses.get(name, 0) + 1
        made_by |= dict.fromkeys(row[1], row[0])
        steps.append(row)
    for node in nodes:
        _in_place(node, made_by, uses)
    return program_of({"arrays": bound, "learned": learned, "given": given, "shape": list(shape), "steps": steps, "answer": answer})


def _inputs(specs: list[Any], arrays: set[str]) -> tuple[dict[str, str], list[str], str]:
    """Names in the program that stand for arrays, which of them are parameters, and the name of the one input."""
    bound: dict[str, str] = {}
    learned, given = [], []
    for spec in specs:
        _need(isinstance(spec, dict) and len(spec) == 1)
        kind, about = next(iter(spec.items()))
        if kind == "user_input":
            given.append(_name(_at(about, "arg"), "as_tensor"))
            continue
        key = {"parameter": "parameter_name", "buffer": "buffer_name", "tensor_constant": "tensor_constant_name"}.get(kind)
        if key is None:
            raise Unknown(f"its program takes a {kind[:40]!r}, which is neither a number nor an array; {CONVERT}")
        name, array = _at(about, "arg", "name"), _at(about, key)
        _need(_is_name(name) and _is_name(array) and name not in bound)
        if array not in arrays:
            raise Hostile(f"its program names the array {array[:60]!r}, which is not in the file")
        bound[name] = array
        learned += [name] * (kind == "parameter")
    if len(given) != 1:
        raise Unknown(f"its program reads {len(given)} inputs, models of one are audited")
    return bound, learned, given[0]


def _shape(about: Any) -> tuple[int | None, ...]:
    sizes = _list(about, "sizes")
    if about.get("dtype") != FLOAT:
        raise Unknown("its program does not read float32 numbers; texts and whole numbers cannot be asked about")
    return tuple(s["as_int"] if isinstance(s, dict) and type(s.get("as_int")) is int else None for s in sizes)


def _step(node: Any, place: int) -> list[Any] | None:
    """One step, or None for one that only asserts."""
    target = _at(node, "target")
    _need(type(target) is str)
    op = _operator(target)
    if op is None:
        return None
    arguments: dict[str, Any] = {}
    for given in _list(node, "inputs"):
        name, value = _at(given, "name"), _value(_at(given, "arg"))
        _need(type(name) is str and name not in arguments)
        if name not in DROPPED:
            arguments[name] = value
    names: list[str] = []
    for out in _list(node, "outputs"):
        _need(isinstance(out, dict) and len(out) == 1)
        kind, about = next(iter(out.items()))
        parts = about if kind == "as_tensors" and type(about) is list else [about]
        for part in parts:
            if kind in ("as_tensor", "as_tensors"):
                names.append(_at(part, "name"))
            elif kind == "as_sym_int":
                names.append(_at(part, "as_name"))
            elif kind == "as_none":
                names.append(f"nothing {place} {len(names)}")
            else:
                raise Unknown(f"its program gives a {kind[3:43]!r}, which is not followed; {CONVERT}")
    return [op, names, arguments]


def _operator(target: str) -> str | None:
    if target in ("torch.ops.aten._assert_tensor_metadata.default", "torch.ops.aten._assert_scalar.default",
                  "torch.ops.aten.sym_constrain_range_for_size.default"):
        return None
    if target == "torch.ops.aten.sym_size.int":
        return "size"
    if target.startswith("_operator.") and target[10:] in NUMBERS:
        return f"number.{target[10:]}"
    space, name = target.rpartition(".aten.")[0], target.rpartition(".aten.")[2]
    plain, _, overload = name.partition(".")
    if plain.endswith("_") and plain[:-1] in IN_PLACE:
        name = f"{plain[:-1]}.{overload}"
    if space != "torch.ops" or name not in OPERATORS:
        if not target.startswith("torch.ops."):
            raise Hostile(f"its program names {target[:100]!r}, which is no operator")
        raise Unknown(f"its program has the operator {target[:100]!r}, which is not among those that are followed; {CONVERT}, or export "
                      "it to ONNX (torch.onnx.export)")
    return name


def _in_place(node: Any, made_by: dict[str, str], uses: dict[str, int]) -> None:
    """What changes its operand is followed as if it did not, which is the same where nobody else reads the operand."""
    plain = str(_at(node, "target")).rpartition(".aten.")[2].partition(".")[0]
    if not plain.endswith("_") or plain[:-1] not in IN_PLACE:
        return
    first = _name(_at(_list(node, "inputs")[0], "arg"), "as_tensor")
    if made_by.get(first, "") in ("", *VIEWS) or uses.get(first, 0) != 1:
        raise Unknown(f"its program changes {first[:60]!r} in place while others read it; export it after run_decompositions()")


def _value(arg: Any) -> Any:
    """An argument in the short form."""
    _need(isinstance(arg, dict) and len(arg) == 1)
    kind, value = next(iter(arg.items()))
    if kind == "as_none":
        return None
    if kind == "as_tensor":
        return {"is": _at(value, "name")}
    if kind == "as_tensors":
        _need(type(value) is list)
        return {"are": [_at(v, "name") for v in value]}
    if kind in ("as_int", "as_float", "as_bool", "as_string"):
        _need(type(value) is {"as_int": int, "as_bool": bool, "as_string": str}.get(kind, type(value)) and type(value) is not dict)
        if kind == "as_float":
            _need(type(value) in (int, float) or value in ("Infinity", "-Infinity"))
            return float(str(value).replace("Infinity", "inf"))
        return LARGEST if kind == "as_int" and value == END else value
    if kind in ("as_ints", "as_floats", "as_bools"):
        _need(type(value) is list and all(type(v) in (int, float, bool) for v in value))
        return [LARGEST if v == END else v for v in value]
    if kind == "as_sym_int":
        return _number(value)
    if kind == "as_sym_ints":
        _need(type(value) is list)
        return [_number(v) for v in value]
    if kind == "as_memory_format":
        return None
    raise Unknown(f"its program has an argument of the kind {kind[3:43]!r}, which is not followed; {CONVERT}")


def _number(value: Any) -> Any:
    _need(isinstance(value, dict) and len(value) == 1)
    if "as_int" in value:
        _need(type(value["as_int"]) is int)
        return value["as_int"]
    return {"is": _at(value, "as_name")}


def _at(value: Any, *keys: str) -> Any:
    for key in keys:
        if not isinstance(value, dict) or key not in value:
            raise Hostile(f"its program is not what torch.export writes: there is no {key!r}")
        value = value[key]
    return value


def _list(value: Any, key: str) -> list[Any]:
    found = _at(value, key)
    _need(type(found) is list)
    return list(found)


def _name(value: Any, kind: str) -> str:
    if not isinstance(value, dict) or set(value) != {kind}:
        raise Unknown(f"its program takes or gives something that is no tensor; {CONVERT}")
    name = _at(value[kind], "name")
    _need(_is_name(name))
    return str(name)


def _is_name(value: Any) -> bool:
    return type(value) is str and 0 < len(value) <= LONGEST_NAME and value.isprintable()


def _need(right: bool) -> None:
    if not right:
        raise Hostile("its program is not what torch.export writes")


def _never() -> list[str]:
    raise Hostile("its program is not what torch.export writes")
