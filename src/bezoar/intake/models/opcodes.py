"""A reader of pickle streams that imports nothing and calls nothing.

It builds dicts, lists, tuples, sets, numbers, strings and bytes; the few globals of `allowed.py` become plain records. Every other
global is written down and stands as an inert mark, so that the list of what a file would run is complete. Only what the writers of
checkpoints write is accepted: opcodes that serve to hide (POP, DUP, PROTO in the middle), frames that do not fit and rewritten memo
entries are refused, because two readers may disagree on them.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any

from bezoar.core.limits import Limits
from bezoar.intake.models.allowed import Global, Named, Opaque, built, called, look_up, persistent
from bezoar.intake.models.verdicts import Hostile, TooMuch, Unknown

LONGEST_NAME = 512
LONGEST_LONG = 16
"""Bytes of a whole number."""
_MARK = object()


class Reader:
    """One stream at `start` of `raw`. `value()` runs it; `end` is the byte behind STOP; `found` lists foreign globals and calls."""

    def __init__(self, raw: bytes | memoryview, limits: Limits, start: int = 0) -> None:
        self.raw = memoryview(raw)
        self.at = start
        self.start = start
        self.end = -1
        self.limits = limits
        self.stack: list[Any] = []
        self.marks: list[int] = []
        self.memo: dict[int, Any] = {}
        self.frame = -1
        self.found: list[Named] = []

    def value(self) -> Any:
        """What the stream builds. Raises Hostile, Unknown or TooMuch."""
        raw, size, steps = self.raw, len(self.raw), 0
        if self.at + 2 > size or raw[self.at] != 0x80:
            raise Unknown("it is no pickle of protocol 2 or later")
        if not 2 <= raw[self.at + 1] <= 5:
            raise Unknown(f"pickle protocol {raw[self.at + 1]} is not read")
        self.at += 2
        while True:
            steps += 1
            if steps > self.limits.max_opcodes:
                raise TooMuch(f"its pickle has more than {self.limits.max_opcodes:,} opcodes")
            if self.at >= size:
                raise Unknown("its pickle ends in the middle")
            code = raw[self.at]
            self.at += 1
            if code == 0x2E:
                break
            step = STEPS.get(code)
            if step is None:
                raise Hostile(REASONS.get(code, f"its pickle has the opcode 0x{code:02x}, which no writer of checkpoints uses"))
            step(self)
            if self.frame >= 0 and self.at >= self.frame:
                if self.at > self.frame:
                    raise Hostile("its pickle has an opcode across the end of a frame")
                self.frame = -1
        if self.frame >= 0 and self.at != self.frame:
            raise Hostile("its pickle goes on in the frame behind its end")
        if len(self.stack) != 1 or self.marks:
            raise Hostile("its pickle leaves something else on the stack")
        self.end = self.at
        return self.stack[0]

    # -- bytes

    def take(self, count: int) -> memoryview:
        if count < 0 or self.at + count > len(self.raw):
            raise Unknown("its pickle names a length beyond its end")
        piece = self.raw[self.at:self.at + count]
        self.at += count
        return piece

    def number(self, form: str) -> Any:
        return struct.unpack(form, self.take(struct.calcsize(form)))[0]

    def line(self) -> str:
        window = bytes(self.raw[self.at:self.at + LONGEST_NAME + 1])
        stop = window.find(b"\n")
        if stop < 0:
            raise Hostile("its pickle has a name without an end")
        self.at += stop + 1
        return text_of(window[:stop])

    # -- stack

    def push(self, value: Any) -> None:
        self.stack.append(value)

    def pop(self) -> Any:
        if not self.stack or (self.marks and len(self.stack) <= self.marks[-1]):
            raise Hostile("its pickle takes from an empty stack")
        return self.stack.pop()

    def top(self) -> Any:
        if not self.stack or (self.marks and len(self.stack) <= self.marks[-1]):
            raise Hostile("its pickle takes from an empty stack")
        return self.stack[-1]

    def marked(self) -> list[Any]:
        if not self.marks:
            raise Hostile("its pickle closes what it never opened")
        place = self.marks.pop()
        items = self.stack[place:]
        del self.stack[place:]
        return items

    def put(self, index: int) -> None:
        if index in self.memo:
            raise Hostile("its pickle writes a memo entry twice")
        self.memo[index] = self.top()

    def get(self, index: int) -> None:
        if index not in self.memo:
            raise Hostile("its pickle reads a memo entry that was never written")
        self.push(self.memo[index])

    # -- steps of more than a line

    def mark(self) -> None:
        self.marks.append(len(self.stack))

    def new_frame(self) -> None:
        count = self.number("<Q")
        if self.frame >= 0 or self.at + count > len(self.raw) or count < 1:
            raise Hostile("its pickle has frames that do not fit")
        self.frame = self.at + count

    def long(self, count: int) -> None:
        if not 0 <= count <= LONGEST_LONG:
            raise Hostile("its pickle has a whole number of absurd length")
        self.push(int.from_bytes(self.take(count), "little", signed=True))

    def append(self, items: list[Any]) -> None:
        target = self.top()
        if type(target) is not list:
            if isinstance(target, Opaque):
                return
            raise Hostile("its pickle appends to what is no list")
        target.extend(items)

    def store(self, items: list[Any]) -> None:
        target = self.top()
        if isinstance(target, Opaque):
            return
        if not isinstance(target, dict) or len(items) % 2:
            raise Hostile("its pickle sets items of what is no dict")
        fill(target, items)

    def add(self) -> None:
        items, target = self.marked(), self.top()
        if type(target) is not set:
            raise Hostile("its pickle adds to what is no set")
        target.update(key(v) for v in items)

    def name(self, module: Any, name: Any) -> None:
        if type(module) is not str or type(name) is not str:
            raise Hostile("its pickle names a global by something that is no text")
        self.push(look_up(Global(module, name), self.found))

    def stack_global(self) -> None:
        name = self.pop()
        self.name(self.pop(), name)

    def reduce(self) -> None:
        arguments = self.pop()
        self.push(called(self.pop(), arguments, self.found))

    def instance(self) -> None:
        arguments = self.marked()
        named = look_up(Global(self.line(), self.line()), self.found)
        self.push(called(named, tuple(arguments), self.found, foreign=True))

    def old_object(self) -> None:
        items = self.marked()
        if not items:
            raise Hostile("its pickle makes an object of nothing")
        self.push(called(items[0], tuple(items[1:]), self.found, foreign=True))

    def new_keywords(self) -> None:
        self.pop()
        arguments = self.pop()
        self.push(called(self.pop(), arguments, self.found, foreign=True))

    def build(self) -> None:
        state = self.pop()
        self.push(built(self.pop(), state, self.found))


def text_of(raw: bytes | memoryview) -> str:
    """Strict UTF-8."""
    try:
        return str(raw, "utf-8")
    except UnicodeDecodeError:
        raise Hostile("its pickle holds text that is not UTF-8") from None


def old_text(raw: memoryview) -> str | bytes:
    """Strings of Python 2: text where they are ASCII, else bytes."""
    plain = bytes(raw)
    return plain.decode("ascii") if plain.isascii() else plain


def key(value: Any) -> Any:
    """A key that hashes by value and cannot be chosen to collide."""
    if type(value) in (str, bytes, bool) or value is None or (type(value) is int and abs(value) < 1 << 31):
        return value
    if isinstance(value, Opaque):
        return f"{value}"
    raise Unknown("it has a key that is neither text nor a small number")


def fill(target: dict[Any, Any], items: list[Any]) -> None:
    """Pairs into a dict; no key twice."""
    for i in range(0, len(items), 2):
        name = key(items[i])
        if name in target:
            raise Hostile(f"it has the key {str(name)[:80]!r} twice")
        target[name] = items[i + 1]


def _dict(r: Reader) -> None:
    made: dict[Any, Any] = {}
    items = r.marked()
    if len(items) % 2:
        raise Hostile("its pickle has a key without a value")
    fill(made, items)
    r.push(made)


def _some(count: int) -> Callable[[Reader], None]:
    def step(r: Reader) -> None:
        items = tuple(r.pop() for _ in range(count))
        r.push(items[::-1])
    return step


def _store_one(r: Reader) -> None:
    value = r.pop()
    r.store([r.pop(), value])


STEPS: dict[int, Callable[[Reader], None]] = {
    0x28: Reader.mark, 0x95: Reader.new_frame,
    ord("N"): lambda r: r.push(None), 0x88: lambda r: r.push(True), 0x89: lambda r: r.push(False),
    ord("J"): lambda r: r.push(r.number("<i")), ord("K"): lambda r: r.push(r.number("<B")), ord("M"): lambda r: r.push(r.number("<H")),
    0x8A: lambda r: r.long(r.number("<B")), 0x8B: lambda r: r.long(r.number("<i")), ord("G"): lambda r: r.push(r.number(">d")),
    ord("X"): lambda r: r.push(text_of(r.take(r.number("<I")))), 0x8C: lambda r: r.push(text_of(r.take(r.number("<B")))),
    0x8D: lambda r: r.push(text_of(r.take(r.number("<Q")))),
    ord("U"): lambda r: r.push(old_text(r.take(r.number("<B")))), ord("T"): lambda r: r.push(old_text(r.take(r.number("<i")))),
    ord("B"): lambda r: r.push(bytes(r.take(r.number("<I")))), ord("C"): lambda r: r.push(bytes(r.take(r.number("<B")))),
    0x8E: lambda r: r.push(bytes(r.take(r.number("<Q")))), 0x96: lambda r: r.push(bytes(r.take(r.number("<Q")))),
    ord("}"): lambda r: r.push({}), ord("]"): lambda r: r.push([]), ord(")"): lambda r: r.push(()), 0x8F: lambda r: r.push(set()),
    ord("t"): lambda r: r.push(tuple(r.marked())), ord("l"): lambda r: r.push(r.marked()), ord("d"): _dict,
    0x85: _some(1), 0x86: _some(2), 0x87: _some(3), 0x91: lambda r: r.push({key(v) for v in r.marked()}),
    ord("a"): lambda r: r.append([r.pop()]), ord("e"): lambda r: r.append(r.marked()),
    ord("s"): _store_one, ord("u"): lambda r: r.store(r.marked()), 0x90: Reader.add,
    ord("q"): lambda r: r.put(r.number("<B")), ord("r"): lambda r: r.put(r.number("<I")), 0x94: lambda r: r.put(len(r.memo)),
    ord("h"): lambda r: r.get(r.number("<B")), ord("j"): lambda r: r.get(r.number("<I")),
    ord("c"): lambda r: r.name(r.line(), r.line()), 0x93: Reader.stack_global,
    ord("R"): Reader.reduce, 0x81: Reader.reduce, 0x92: Reader.new_keywords, ord("i"): Reader.instance, ord("o"): Reader.old_object,
    ord("b"): Reader.build, ord("Q"): lambda r: r.push(persistent(r.pop(), r.found)),
}
REASONS = {
    0x80: "its pickle starts again in the middle",
    **{ord(c): "its pickle drops or doubles what it built, which hides calls" for c in "012"},
    **dict.fromkeys((130, 131, 132), "its pickle calls by number into a registry of its reader"),
    **{ord(c): "its pickle mixes in opcodes of protocol 0" for c in "IFLSVpgP"},
    **dict.fromkeys((151, 152), "its pickle refers to buffers outside itself"),
}
