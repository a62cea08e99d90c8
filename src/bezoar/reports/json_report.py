"""report.json: everything a machine needs, schema `bezoar.report/1`, and the safe way back.

The bytes are pure ASCII (foreign text is JSON-escaped, lone surrogates included), keys stand in the order of the
schema, a number that is not finite is null. `load` reads what anybody hands it: size, depth, duplicate keys, numbers,
packed arrays and the closed schema are checked before a value is made. Cost: milliseconds per thousand members.
Fails when a report is larger than `MOST_BYTES`: then `load` refuses it with LimitExceeded.
"""

from __future__ import annotations

import json
import math
import re
import zlib
from collections.abc import Callable
from functools import cache
from importlib.resources import files
from typing import Any

import numpy as np

from bezoar.core.ability import Info, Renderer
from bezoar.core.errors import LimitExceeded, UnreadableInput
from bezoar.core.escape import line
from bezoar.core.finding import Finding
from bezoar.core.report import SCHEMA, Report
from bezoar.core.taxonomy import THREATS

MOST_BYTES = 256 << 20
"""Size of a report.json that `load` reads, bytes."""
MOST_DEPTH = 32
"""Nesting of a report.json that `load` reads."""
MOST_UNPACKED = 512 << 20
"""Sum of the arrays in a report.json when unpacked, bytes."""
UPGRADES: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = {}
"""Schema of an older version to the step that makes the next one of it; steps are applied until `SCHEMA` is reached."""
_BRIEF = 50
_STRUCTURE = re.compile(r'"(?:[^"\\]|\\.)*+(?:"|\\?\Z)|[\[{]|[\]}]', re.DOTALL)
"""Strings (an unclosed one runs to the end, so that the search is linear) and brackets."""


def plain(value: Any) -> Any:
    """`value` with only JSON types: NumPy scalars and arrays as numbers and lists, not finite as None, keys as text.

    >>> plain({1: np.float32("nan"), "b": (np.int64(2), {"c"})})
    {'1': None, 'b': [2, ['c']]}
    """
    if isinstance(value, dict):
        return {k if isinstance(k, str) else str(k): plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(v) for v in value]
    if isinstance(value, (set, frozenset)):
        return [plain(v) for v in sorted(value, key=str)]
    if isinstance(value, np.ndarray):
        return plain(value.tolist())
    if isinstance(value, np.generic):
        return plain(value.item())
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value if value is None or isinstance(value, (str, int, bool)) else str(value)


@cache
def schema() -> dict[str, Any]:
    """The JSON Schema (2020-12) of `report.json`, a copy of what the documentation publishes."""
    text = files("bezoar.reports").joinpath("schemas/report-1.json").read_text("utf-8")
    loaded: dict[str, Any] = json.loads(text)
    return loaded


class JsonReport(Renderer):
    """Report -> report.json.

    >>> report = Report({"name": "x"}, "no evidence", 0.01, 0, (), ())
    >>> JsonReport().render(report)[:35]
    b'{\\n  "schema": "bezoar.report/1",\\n  '
    """

    info = Info(name="json", summary="report.json: everything, for machines (schema bezoar.report/1)")
    filename = "report.json"

    def __init__(self, *, indent: int = 2) -> None:
        self.indent = indent

    def render(self, report: Report) -> bytes:
        """ASCII bytes that end with a newline; the same report gives the same bytes."""
        text = json.dumps(plain(report.to_dict()), ensure_ascii=True, allow_nan=False, indent=self.indent or None)
        return (text + "\n").encode("ascii")


def _number(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"the number {text[:20]} is out of range")
    return value


def _integer(text: str) -> int:
    if len(text) > 20:
        raise ValueError(f"the number {text[:20]}... is out of range")
    return int(text)


def _constant(text: str) -> float:
    raise ValueError(f"{text} is not JSON")


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    out = dict(pairs)
    if len(out) != len(pairs):
        keys = [k for k, _ in pairs]
        raise ValueError(f"the key {next(k for k in keys if keys.count(k) > 1)!r} is given twice")
    return out


def _depth(text: str) -> int:
    deepest = now = 0
    for match in _STRUCTURE.finditer(text):
        first = match.group()[0]
        if first in "[{":
            now += 1
            deepest = max(deepest, now)
        elif first in "]}":
            now -= 1
    return deepest


def _unpacked(value: Any) -> int:
    """Bytes that all packed arrays of a document claim; ValueError on one that claims nonsense."""
    total, stack = 0, [value]
    while stack:
        item = stack.pop()
        if isinstance(item, list):
            stack.extend(v for v in item if isinstance(v, (dict, list)))
        elif isinstance(item, dict):
            if "zlib" in item and isinstance(item.get("shape"), list):
                total += math.prod(max(int(s), 0) for s in item["shape"]) * np.dtype(item["dtype"]).itemsize
            stack.extend(v for v in item.values() if isinstance(v, (dict, list)))
    return total


def _drawn(finding: Finding, again: str) -> None:
    """A trigger whose fields are of the wrong kind shows itself when it is asked to describe itself."""
    if finding.trigger is not None:
        try:
            finding.trigger.describe()
            finding.trigger.title()
        except Exception as error:
            raise UnreadableInput(f"the trigger of {finding.id} is damaged: {line(error, 120)}", advice=again) from error


def _brief(raw: dict[str, Any]) -> dict[str, Any]:
    """`raw` with long lists of texts cut to their first items, for the schema, which is slow per item.

    What is cut is checked here: every item must be a text.
    """
    def cut(value: Any) -> Any:
        if isinstance(value, list) and len(value) > _BRIEF and all(type(v) is str for v in value):
            return value[:_BRIEF]
        return value

    findings = raw.get("findings")
    if not isinstance(findings, list):
        return raw
    return {**raw, "findings": [{k: cut(v) for k, v in f.items()} if isinstance(f, dict) else f for f in findings]}


def load(data: bytes, most_bytes: int = MOST_BYTES) -> Report:
    """A Report from the bytes of a report.json, without its scores.

    Raises LimitExceeded beyond a limit and UnreadableInput where it is not a valid `bezoar.report/1`; both say where.

    >>> load(b"[1, 2]")
    Traceback (most recent call last):
    ...
    bezoar.core.errors.UnreadableInput: not a bezoar report: it is a list (make one with: bezoar scan DATA --out DIR)
    """
    import jsonschema  # type: ignore[import-untyped]

    again = "make one with: bezoar scan DATA --out DIR"
    if len(data) > most_bytes:
        raise LimitExceeded(f"the report has {len(data):,} bytes, more than {most_bytes:,}", advice=again)
    try:
        text = data.decode("utf-8")
        depth = _depth(text)
        if depth > MOST_DEPTH:
            raise LimitExceeded(f"the report is nested {depth} deep, more than {MOST_DEPTH}", advice=again)
        raw = json.loads(text, parse_float=_number, parse_int=_integer, parse_constant=_constant, object_pairs_hook=_once)
        if not isinstance(raw, dict):
            raise UnreadableInput(f"not a bezoar report: it is a {type(raw).__name__}", advice=again)
        for _ in range(len(UPGRADES)):
            step = UPGRADES.get(str(raw.get("schema")))
            raw = step(raw) if step else raw
        if raw.get("schema") != SCHEMA:
            said = f"its schema is {line(raw['schema'], 60)}" if "schema" in raw else "it names no schema"
            raise UnreadableInput(f"not a {SCHEMA} document: {said}", advice=again)
        fault = next(iter(jsonschema.Draft202012Validator(schema()).iter_errors(_brief(raw))), None)
        if fault is not None:
            where = line(fault.json_path, 80)
            raise UnreadableInput(f"the report is not valid at {where}: {line(fault.message, 160)}", advice=again)
        if _unpacked(raw) > MOST_UNPACKED:
            raise LimitExceeded(f"the pictures of the report unpack to more than {MOST_UNPACKED:,} bytes", advice=again)
        for finding in raw["findings"]:
            if finding["threat"]["key"] not in THREATS:
                raise UnreadableInput(f"the report names a threat that this version does not know: {line(finding['threat']['key'], 60)}",
                                      advice="update bezoar, or scan again")
            for key in ("p_value", "suspicion"):
                finding[key] = math.nan if finding[key] is None else finding[key]
        report = Report.from_dict(raw)
        for f in report.findings:
            _drawn(f, again)
        return report
    except json.JSONDecodeError as error:
        raise UnreadableInput(f"the report is not JSON, or cut off: line {error.lineno}: {line(error.msg, 120)}", advice=again) from error
    except (ValueError, KeyError, TypeError, OverflowError, RecursionError, ArithmeticError, zlib.error) as error:
        raise UnreadableInput(f"the report cannot be read: {line(error, 160)}", advice=again) from error
