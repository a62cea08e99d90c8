"""Hostile bytes into every parser: the declared errors, and nothing else, come out."""

import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bezoar.core.errors import BezoarError
from bezoar.provenance import (
    entries,
    envelope,
    fetching,
    files,
    inspection,
    journal,
    memory,
    newest,
    notes,
    policy,
    records,
    register,
    statement,
    strict,
    tiles,
    witness,
)
from bezoar.provenance.keys import PrivateKey
from bezoar.provenance.notes import Signer
from bezoar.provenance.records import Seal

KEY, EC = PrivateKey.make("ed25519"), PrivateKey.make()
LOG = [Signer("example.org/f", KEY.public)]
HEAD = notes.sign_checkpoint("example.org/f", 3, bytes(32), [KEY]).to_bytes()
TREE = records.RecordTree(bytes(16), [("a", b"1"), ("b", b"2")])
SAMPLES = {
    "envelope": envelope.Envelope(b"{}", envelope.IN_TOTO).signed_by(EC).bundle(), "checkpoint": HEAD,
    "request": b"old 1\n" + b"A" * 43 + b"=\n\n" + HEAD, "proof": b"c2sp.org/tlog-proof@v1\nindex 1\n" + b"A" * 43 + b"=\n\n" + HEAD,
    "record proof": records.write_proof(TREE.prove("a")), "journal": journal.frame(0, [b"a", b"bc"]) + journal.frame(2, [b""]),
    "policy": policy.template("p", {"a": EC.public}, strict.now()).encode(), "memory": memory.Memory({"x": memory.Domain()}).to_json(),
    "newest": newest.build("p", 1, strict.now(), strict.now(), {"dataset:x": (1, "ab" * 32)}), "bundle": tiles.pack([b"a", b"b" * 300]),
    "entry": entries.Entry("note", "s", "b", strict.now()).to_bytes(), "vkey": LOG[0].vkey.encode(),
    "statement": statement.build("s", {"a": bytes(32)}, statement.About("d", version=1, issued=strict.now(), expires=strict.now().replace(year=2999)))}
PARSERS = {
    "envelope": envelope.parse, "checkpoint": lambda b: notes.check_checkpoint(b, LOG), "request": witness.parse_request,
    "proof": lambda b: inspection.check_proof(b, b"x", LOG), "record proof": lambda b: records.check_proof(b, TREE.seal(), "a"),
    "journal": lambda b: journal.frames(b, "j"), "policy": policy.parse, "memory": memory.Memory.from_json, "newest": newest.parse,
    "bundle": lambda b: tiles.unpack(b, 2, "b"), "entry": entries.parse, "vkey": lambda b: Signer.from_vkey(b.decode("latin-1")), "statement": statement.parse}


def quietly(parse, data):
    told = "fine"
    try:
        parse(data)
    except BezoarError as error:
        told = error.message
    assert told and "\n" not in told


@pytest.mark.parametrize("name", PARSERS)
def test_the_samples_are_good(name):
    if name not in ("proof",):
        PARSERS[name](SAMPLES[name])


@pytest.mark.parametrize("name", PARSERS)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize=True, database=None)
@given(data=st.data())
def test_damaged_bytes(name, data):
    sample = SAMPLES[name]
    kind = data.draw(st.sampled_from(["flip", "cut", "insert", "swap", "random", "repeat"]))
    at = data.draw(st.integers(0, len(sample) - 1))
    if kind == "flip":
        damaged = sample[:at] + bytes([sample[at] ^ data.draw(st.integers(1, 255))]) + sample[at + 1:]
    elif kind == "cut":
        damaged = sample[:at]
    elif kind == "insert":
        damaged = sample[:at] + data.draw(st.binary(max_size=12)) + sample[at:]
    elif kind == "swap":
        damaged = sample[at:] + sample[:at]
    elif kind == "repeat":
        damaged = sample[:at] + sample
    else:
        damaged = data.draw(st.binary(max_size=300))
    quietly(PARSERS[name], damaged)


VALUES = st.recursive(st.none() | st.booleans() | st.integers(-2**70, 2**70) | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=8),
                      lambda v: st.lists(v, max_size=4) | st.dictionaries(st.text(max_size=6), v, max_size=4), max_leaves=8)


def spots(value, path=()):
    yield path
    for key, below in value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ():
        yield from spots(below, (*path, key))


@pytest.mark.parametrize("name", ["envelope", "record proof", "memory", "newest", "entry", "statement"])
@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize=True, database=None)
@given(data=st.data())
def test_other_values_in_the_place_of_the_right_ones(name, data):
    body = json.loads(SAMPLES[name])
    path = data.draw(st.sampled_from([p for p in spots(body) if p]))
    at = body
    for step in path[:-1]:
        at = at[step]
    at[path[-1]] = data.draw(VALUES)
    quietly(PARSERS[name], json.dumps(body).encode())


@settings(max_examples=150, deadline=None, derandomize=True, database=None)
@given(st.text(max_size=60))
def test_any_text_as_address_name_seal_or_register(text):
    for call in (fetching.split, lambda t: files.check_names([t], "x"), lambda t: fetching.split("http://" + t), lambda t: fetching.split("http://a/" + t),
                 lambda t: statement.check_id(t, "name"), lambda t: Seal.from_dict(t), notes.check_name):
        quietly(call, text)
    quietly(lambda b: register.load(b), "/nonexistent/" + text.replace("\0", "").replace("/", "")[:20] if text.isascii() else "/nonexistent/x")
