"""The record seal: one record proved in or out, a small change is cheap, and a proof that lies is refused."""

import base64
import json
import random
import time

import pytest

from bezoar.core.errors import BezoarError, UnreadableInput, UsageError
from bezoar.provenance import records, rows
from bezoar.provenance.records import RecordTree, Seal, check_proof, write_proof
from bezoar.provenance.rows import Columns

SALT = bytes(range(16))


def make(n):
    return [(f"r{i}", b"%d" % i) for i in range(n)]


@pytest.mark.parametrize("n", [0, 1, 2, 9, 100, 1000])
def test_in_out_and_changed(n):
    tree = RecordTree(SALT, make(n))
    seal = Seal.from_dict(json.loads(json.dumps(tree.seal().to_dict())))
    assert seal.count == n
    for i in range(0, n, max(1, n // 7)):
        proof = write_proof(tree.prove(f"r{i}"))
        assert check_proof(proof, seal, f"r{i}") and check_proof(proof, seal, f"r{i}", b"%d" % i)
        assert not check_proof(proof, seal, f"r{i}", b"poison")
        assert len(proof) <= 4096
    assert not check_proof(write_proof(tree.prove("nobody")), seal, "nobody")


def test_order_does_not_matter_and_updates_equal_a_fresh_tree():
    rng = random.Random(5)
    base = dict(make(500))
    tree = RecordTree(SALT, base.items())
    shuffled = list(base.items())
    rng.shuffle(shuffled)
    assert RecordTree(SALT, shuffled).seal() == tree.seal()
    for _ in range(20):
        change = {f"r{rng.randrange(700)}": (None if rng.random() < 0.3 else rng.randbytes(4)) for _ in range(15)}
        tree.update(change)
        for k, v in change.items():
            base.pop(k, None) if v is None else base.__setitem__(k, v)
        assert tree.seal() == RecordTree(SALT, base.items(), tree.bits).seal()


def test_lying_proofs_are_refused():
    tree = RecordTree(SALT, make(300))
    seal = tree.seal()
    good = tree.prove("r7")
    bucket = base64.b64decode(good["bucket"])
    entry = records.id_hash(SALT, "x") + records.content_hash(SALT, b"poison")
    lies = [{**good, "id": "r8"}, {**good, "bucket": ""}, {**good, "bucket": base64.b64encode(bucket + entry).decode()},
            {**good, "bucket": base64.b64encode(bucket[:-64]).decode()}, {**good, "bucket": base64.b64encode(bucket[:-1]).decode()},
            {**good, "path": good["path"][:-1]}, {**good, "path": [*good["path"], good["path"][0]]}, {**good, "path": []}, {**good, "path": "x"},
            {**good, "schema": "x"}, {**tree.prove("r9"), "id": "r7"}, {"schema": records.PROOF}]
    for k in range(len(good["path"])):
        raw = bytearray(base64.b64decode(good["path"][k]))
        raw[k % 32] ^= 1
        lies.append({**good, "path": [*good["path"][:k], base64.b64encode(raw).decode(), *good["path"][k + 1:]]})
    for lie in lies:
        if lie != good:
            with pytest.raises(UnreadableInput):
                check_proof(write_proof(lie), seal, "r7")
    other = RecordTree(SALT, make(301)).seal()
    with pytest.raises(UnreadableInput):
        check_proof(write_proof(good), other, "r7")


def test_the_same_id_twice_is_refused():
    with pytest.raises(UsageError, match="same id"):
        RecordTree(SALT, [("a", b"1"), ("a", b"2")])


def test_neighbours_in_a_bucket_are_not_readable():
    tree = RecordTree(SALT, [(f"patient {i}", b"diagnosis") for i in range(50)])
    assert b"patient" not in base64.b64decode(tree.prove("patient 3")["bucket"])


def test_a_change_of_one_percent_costs_little():
    n = 60_000
    started = time.process_time()
    tree = RecordTree(SALT, make(n))
    tree.seal()
    first = time.process_time() - started
    changes = {f"r{i}": b"new" for i in range(0, n, 100)}
    started = time.process_time()
    tree.update(changes)
    tree.seal()
    assert time.process_time() - started <= 0.10 * first  # the benchmark holds it to 5% at a million


def tables(folder):
    import numpy as np
    import pyarrow as pa
    import pyarrow.parquet as pq

    lines = [("a", "cat", "1"), ("b", "dog", "2"), ("c", "cat", "3")]
    (folder / "t.csv").write_text("id,label,x\n" + "\n".join(",".join(r) for r in lines) + "\n")
    (folder / "t.tsv").write_text("id\tlabel\tx\n" + "\n".join("\t".join(r) for r in lines) + "\n")
    (folder / "t.jsonl").write_text("\n".join(json.dumps(dict(zip(("id", "label", "x"), r, strict=True))) for r in lines))
    pq.write_table(pa.table({k: [r[i] for r in lines] for i, k in enumerate(("id", "label", "x"))}), folder / "t.parquet")
    np.savez(folder / "t.npz", id=np.array(["a", "b", "c"]), label=np.array(["cat", "dog", "cat"]), x=np.arange(12).reshape(3, 2, 2))


@pytest.mark.parametrize("kind", ["csv", "tsv", "jsonl", "parquet", "npz"])
def test_every_table_has_records(tmp_path, kind):
    tables(tmp_path)
    found = list(rows.records(tmp_path / f"t.{kind}", Columns(id="id", label="label")))
    assert [(r.id, r.label) for r in found] == [("a", "cat"), ("b", "dog"), ("c", "cat")]
    assert len({r.content for r in found}) == 3
    nameless = [r.id for r in rows.records(tmp_path / f"t.{kind}")]
    assert len(set(nameless)) == 3


def test_equal_rows_have_ids_of_their_own_and_keep_them(tmp_path):
    (tmp_path / "t.csv").write_text("x\n1\n1\n2\n")
    before = {r.id for r in rows.records(tmp_path / "t.csv")}
    (tmp_path / "t.csv").write_text("x\n9\n1\n1\n2\n")
    after = {r.id for r in rows.records(tmp_path / "t.csv")}
    assert len(before) == 3 and before < after


@pytest.mark.parametrize(("name", "data"), [("a.jsonl", b'{"a": 1}\n[2]\n'), ("a.jsonl", b"\xff\n"), ("a.csv", b"a\n\xff\n"), ("a.csv", b'a\n"x\n'),
                                            ("a.parquet", b"PAR1junk"), ("a.npz", b"PK\3\4"), ("a.npz", b""), ("a.csv", b"a\n" + b"x" * 1_100_000)])
def test_broken_tables_are_said_to_be_broken(tmp_path, name, data):
    (tmp_path / name).write_bytes(data)
    with pytest.raises(BezoarError):
        list(rows.records(tmp_path / name))


def test_no_such_column(tmp_path):
    (tmp_path / "t.csv").write_text("a,b\n1,2\n")
    with pytest.raises(UsageError, match="columns are: a, b"):
        list(rows.records(tmp_path / "t.csv", Columns(id="z")))


@pytest.mark.parametrize("change", [{"method": "x"}, {"bits": 25}, {"bits": -1}, {"count": -1}, {"salt": "ab"}, {"root": "AB" * 32}, {"bits": True}])
def test_seals_are_read_strictly(change):
    good = RecordTree(SALT, make(9)).seal().to_dict()
    Seal.from_dict(good)
    with pytest.raises(UnreadableInput):
        Seal.from_dict({**good, **change})
    with pytest.raises(UsageError):
        RecordTree(b"short", [])
