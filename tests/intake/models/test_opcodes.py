"""The opcode reader against the reader of the standard library: plain data come back the same, and what both accept is the same."""

import math
import pickle
import random
import zipfile

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bezoar.core.limits import Limits
from bezoar.intake.models.archive import Archive
from bezoar.intake.models.opcodes import Reader
from bezoar.intake.models.verdicts import Hostile, Stopped, Unknown

KEYS = st.one_of(st.text(), st.integers(-(1 << 31) + 1, (1 << 31) - 1), st.booleans(), st.none(), st.binary(max_size=5))
PLAIN = st.recursive(st.one_of(st.none(), st.booleans(), st.integers(-(1 << 127), (1 << 127) - 1), st.floats(allow_nan=False), st.text(), st.binary()),
                     lambda inner: st.one_of(st.lists(inner, max_size=5), st.tuples(inner, inner), st.tuples(), st.dictionaries(KEYS, inner, max_size=4),
                                             st.sets(st.text(), max_size=3)), max_leaves=25)


def value(raw):
    reader = Reader(raw, Limits())
    found = reader.value()
    assert reader.end <= len(raw) and not reader.found
    return found


@settings(max_examples=150, deadline=None)
@given(data=PLAIN, protocol=st.integers(3, 5))
def test_plain_data_come_back(data, protocol):
    found = value(pickle.dumps(data, protocol))
    assert found == data and same(found, data)


class Bare(pickle._Unpickler):
    """The reader of the standard library without its door to code."""

    def find_class(self, module, name):
        raise AssertionError(f"{module}.{name} was asked for")


def same(a, b):
    if isinstance(a, float) and isinstance(b, float) and math.isnan(a) and math.isnan(b):
        return True
    if isinstance(b, bytearray):
        b = bytes(b)
    if type(a) is not type(b):
        return False
    if isinstance(a, dict):
        return list(map(repr, a)) == list(map(repr, b)) and all(same(x, y) for x, y in zip(a.values(), b.values(), strict=True))
    if isinstance(a, (list, tuple)):
        return len(a) == len(b) and all(same(x, y) for x, y in zip(a, b, strict=True))
    return a == b


def test_what_both_readers_accept_is_the_same():
    """4,000 damaged streams: nowhere do the two read different things, nowhere is code asked for where we saw none."""
    import io

    rng = random.Random(100)
    shared = ["abc", 3]
    whole = [pickle.dumps(d, p) for p in (2, 3, 4, 5) for d in (
        {"a": [1, 2.5, None, True], "b": ("x", (1, 2, 3, 4)), "c": shared, "d": shared, "e": "a" * 40}, [shared, [shared, {}]], {"k": 1 << 60, "l": (), "m": [""] * 9})]
    accepted = 0
    for i in range(4000):
        raw = bytearray(whole[i % len(whole)])
        for _ in range(rng.randint(1, 2)):
            raw[rng.randrange(len(raw))] = rng.choice([rng.randrange(256), *b".()}]tRbQ0q\x94\x85\x86"])
        reader = Reader(bytes(raw), Limits())
        try:
            found = reader.value()
        except Stopped:
            continue
        if reader.found:
            continue
        accepted += 1
        theirs = Bare(io.BytesIO(bytes(raw[:reader.end])))
        try:
            want = theirs.load()
        except (pickle.UnpicklingError, EOFError, ValueError, TypeError, KeyError, IndexError, AttributeError, UnicodeDecodeError):
            continue
        assert same(found, want), (bytes(raw), found, want)
    assert accepted > 300


def test_archives_of_the_standard_library_are_read_and_their_ends_are_exact():
    import io

    for method in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        out = io.BytesIO()
        with zipfile.ZipFile(out, "w", method) as archive:
            archive.writestr("a", b"x" * 1000)
            with archive.open("b", "w", force_zip64=True) as member:
                member.write(b"y" * 10)
        found = Archive(memoryview(out.getvalue()), 2000)
        assert {n: bytes(found.read(n)) for n in found.members} == {"a": b"x" * 1000, "b": b"y" * 10}
    with pytest.raises(Hostile):
        Archive(memoryview(out.getvalue() + b"\0"), 2000)
    with pytest.raises((Hostile, Unknown)):
        Archive(memoryview(out.getvalue()[:-1]), 2000)


def test_sizes_that_are_stated_twice_are_stated_alike():
    import struct

    from bezoar.intake.models import archive

    twice = struct.pack("<HHQQ", 1, 16, 10, 10)
    assert archive._wide(twice, [10, 10]) == [10, 10], "as Python before 3.11.4 writes them"
    assert archive._wide(twice, [archive.FULL, archive.FULL]) == [10, 10]
    for stated in ([10, 11], [9, 10], [archive.FULL, 10], [10, archive.FULL], [10]):
        with pytest.raises(Hostile, match="not alike"):
            archive._wide(twice, stated)
