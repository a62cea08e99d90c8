"""Chat templates and tokenizer settings, read and never rendered: what reaches out of the sandbox of a template is named.

A template that only prints roles and contents uses loops, conditions, string methods and a few filters. Attribute names with
underscores, `|attr`, imports and includes, and the objects through which templates are known to reach Python are reasons to refuse.
Fails to see a template that changes what is said in words alone; that is for the audit, which compares templates.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

from bezoar.intake.models.verdicts import Hostile, Unknown

DOORS = frozenset({"cycler", "joiner", "lipsum", "self", "config", "request", "url_for", "get_flashed_messages", "session", "caller",
                   "varargs", "kwargs", "context", "environment", "os", "sys", "open", "eval", "exec", "getattr", "setattr", "globals",
                   "locals", "vars", "builtins", "import", "compile", "breakpoint"})
ATTRIBUTES = frozenset({"mro", "subclasses", "popen", "system", "globals", "builtins", "func_globals", "gi_frame", "gi_code", "f_globals",
                        "f_locals", "f_back", "tb_frame", "cr_frame", "ag_frame", "environment", "eval_ctx", "format_map"})
FILTERS = frozenset({"attr", "pprint", "urlize", "xmlattr"})
LONGEST = 1 << 20
HIDDEN = re.compile("[\u200b-\u200f\u202a-\u202e\u2060-\u2064\u2066-\u206f\ufeff\U000e0000-\U000e007f]")


def problems(source: str) -> list[str]:
    """Sentences about a template; [] where nothing reaches out.

    >>> problems("{% for m in messages %}{{ m['role'] }}: {{ m.content | trim }}{% endfor %}")
    []
    >>> problems("{{ ''.__class__.__mro__ }}")[0]
    "its chat template reads the attribute '__class__'"
    """
    from jinja2 import TemplateError
    from jinja2.ext import do, loopcontrols
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    if len(source) > LONGEST:
        raise Unknown(f"its chat template has more than {LONGEST:,} characters")
    out = ["its chat template holds characters that draw nothing"] if HIDDEN.search(source) else []
    source = re.sub(r"\{%-?\s*(end)?generation\s*-?%\}", "", source)
    try:
        tree = ImmutableSandboxedEnvironment(extensions=[do, loopcontrols]).parse(source)
        found = sorted({line for node in _walk(tree) if (line := _problem(node))})
    except (TemplateError, RecursionError, ValueError, OverflowError, MemoryError) as error:
        return [*out, f"its chat template cannot be parsed ({str(error)[:60]})"]
    return out + found


def _walk(tree: Any) -> Iterator[Any]:
    todo = [tree]
    while todo:
        node = todo.pop()
        yield node
        todo.extend(node.iter_child_nodes())


def _problem(node: Any) -> str:
    from jinja2 import nodes

    if isinstance(node, (nodes.Include, nodes.Import, nodes.FromImport, nodes.Extends)):
        return f"its chat template loads another one ({type(node).__name__.lower()})"
    name = ""
    if isinstance(node, nodes.Getattr):
        name = node.attr
    elif isinstance(node, nodes.Getitem) and isinstance(node.arg, nodes.Const) and isinstance(node.arg.value, str):
        name = node.arg.value if node.arg.value.startswith("_") else ""
    elif isinstance(node, nodes.Const) and isinstance(node.value, str) and re.search(r"__\w+__", node.value):
        return f"its chat template spells the attribute {re.findall(r'__[a-z_]+__|__', node.value)[0]!r} as text"
    elif isinstance(node, nodes.Name) and node.ctx == "load" and node.name in DOORS:
        return f"its chat template uses {node.name!r}, through which templates reach Python"
    elif isinstance(node, nodes.Filter) and node.name in FILTERS:
        return f"its chat template uses the filter {node.name!r}"
    if name.startswith("_") or name in ATTRIBUTES:
        return f"its chat template reads the attribute {name[:60]!r}"
    if isinstance(node, nodes.Call) and isinstance(node.node, nodes.Getattr) and node.node.attr == "format" and any(
            isinstance(c, nodes.Const) and isinstance(c.value, str) and re.search(r"\{[^}]*[.\[]", c.value) for c in _walk(node.node.node)):
        return "its chat template formats attributes into text"
    return ""


def templates_in(raw: bytes) -> list[str]:
    """The templates of a JSON settings file, wherever they stand, or the text itself. Raises Hostile for code that the settings ask for."""
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise Unknown("it is no text in UTF-8") from None
    if text.lstrip()[:1] not in ("{", "["):
        return [text]
    try:
        root = json.loads(text)
    except (ValueError, RecursionError):
        return [text] if "{{" in text or "{%" in text else []
    out: list[str] = []
    todo = [root]
    while todo:
        value = todo.pop()
        if isinstance(value, dict):
            if value.get("auto_map"):
                raise Hostile("it asks for code of its own (auto_map)")
            if value.get("trust_remote_code") is True:
                raise Hostile("it asks for code from elsewhere (trust_remote_code)")
            todo.extend(value.values())
        elif isinstance(value, list):
            todo.extend(value)
        elif isinstance(value, str) and ("{{" in value or "{%" in value):
            out.append(value)
    return out
