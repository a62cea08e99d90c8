"""Versions: stored once, read back checked, compared by record, switched atomically, rolled back only to what is signed and whole."""

import importlib.util
import json
import os
import random
import shutil
import subprocess
import sys
import threading
from datetime import timedelta
from pathlib import Path

import pytest

from bezoar.core.errors import BezoarError, Refused, UsageError
from bezoar.provenance import chunking, differences, memory, rows, signing, strict
from bezoar.provenance.guard import Trust
from bezoar.provenance.refusals import NotTrusted
from bezoar.provenance.rows import Columns, Record
from bezoar.provenance.statement import About
from bezoar.provenance.versions import Store

DRIVER = Path(__file__).with_name("crash_driver.py")
_spec = importlib.util.spec_from_file_location("crash_driver", DRIVER)
driver = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(driver)


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "store")


def content(folder):
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_what_was_stored_comes_back(store, data, tmp_path):
    (data / "none").mkdir()
    big = random.Random(1).randbytes(3_000_000)
    (data / "big.bin").write_bytes(big)
    (data / "empty.txt").write_bytes(b"")
    version = store.snapshot(data)
    assert store.snapshot(data) == version and store.read(version.id) == version
    store.checkout(version.id, tmp_path / "out")
    assert content(tmp_path / "out") == content(data) and (tmp_path / "out/none").is_dir()
    with pytest.raises(UsageError, match="exists"):
        store.checkout(version.id, tmp_path / "out")
    single = store.snapshot(data / "big.bin")
    store.checkout(single.id, tmp_path / "single.bin")
    assert (tmp_path / "single.bin").read_bytes() == big
    assert store.check()["versions"] == 2


def test_little_is_stored_twice(store, tmp_path):
    rng = random.Random(2)
    path = tmp_path / "table.csv"
    body = b"".join(b"%d,%s\n" % (i, rng.randbytes(20).hex().encode()) for i in range(60_000))
    path.write_bytes(body)
    store.snapshot(path)
    before = sum(p.stat().st_size for p in (tmp_path / "store/chunks").rglob("*"))
    middle = len(body) // 2
    path.write_bytes(b"0,first\n" + body[:middle] + b"9,inserted\n" + body[middle:])
    store.snapshot(path)
    after = sum(p.stat().st_size for p in (tmp_path / "store/chunks").rglob("*"))
    assert after - before < 0.55 * len(body)  # two insertions: the pieces around them, not the file


@pytest.mark.parametrize("size", [0, 1, 65535, 65536, 65537, 1 << 20, 5_000_000])
def test_pieces_do_not_depend_on_how_they_are_read(size, monkeypatch):
    import io

    body = random.Random(size).randbytes(size)
    whole = list(chunking.pieces(io.BytesIO(body)))
    assert b"".join(whole) == body and all(len(p) <= chunking.LARGEST for p in whole) and all(len(p) > 0 for p in whole)
    monkeypatch.setattr(chunking, "BLOCK", 300_000)
    assert list(chunking.pieces(io.BytesIO(body))) == whole
    ends = chunking.cut(body)
    assert [sum(map(len, whole[:k + 1])) for k in range(len(whole))] == ends


def test_the_rolling_hash_against_a_slow_loop():
    import numpy as np

    body = np.frombuffer(random.Random(3).randbytes(300), np.uint8)
    gear = chunking._gear()
    slow = []
    for i in range(len(body)):
        value = 0
        for k in range(min(i, 31) + 1):
            value += int(gear[body[i - k]]) << k
        slow.append(value & 0xFFFFFFFF)
    assert chunking.rolling(body).tolist() == slow


def test_zeros_and_repeats_are_cut_too():
    assert max(len(p) for p in chunking.pieces(__import__("io").BytesIO(bytes(4_000_000)))) <= chunking.LARGEST


def test_damage_is_found_when_read(store, data, tmp_path):
    version = store.snapshot(data)
    pieces = sorted((tmp_path / "store/chunks").rglob("*/*"))
    good = pieces[0].read_bytes()
    pieces[0].write_bytes(b"x" + good[1:])
    with pytest.raises(NotTrusted):
        store.checkout(version.id, tmp_path / "out")
    assert not (tmp_path / "out").exists()
    with pytest.raises(NotTrusted):
        store.check()
    pieces[0].write_bytes(good)
    listed = tmp_path / "store/versions" / version.id[:2] / version.id
    listed.write_bytes(listed.read_bytes().replace(b"stop", b"stob"))
    with pytest.raises(NotTrusted):
        store.read(version.id)


def test_pointers_links_and_names_are_refused(store, data):
    (data / "x.bin").write_bytes(b"version https://git-lfs.github.com/spec/v1\noid sha256:abc\nsize 5\n")
    with pytest.raises(Refused, match="git-LFS"):
        store.snapshot(data)
    (data / "x.bin").unlink()
    (data / "x").symlink_to("/etc/hostname")
    with pytest.raises(Refused):
        store.snapshot(data)
    for name in ("", "a/b", "..", ".x", "a\n"):
        with pytest.raises(BezoarError):
            store.switch(name, "ab" * 32)
    for text in ("none", "abcdef0123", "../../x"):
        with pytest.raises(BezoarError):
            store.find(text)


def test_rollback_needs_a_signature_that_still_holds(store, data, desk, tmp_path):
    now = strict.now()
    ground = Trust((desk.public("alice"),), state=tmp_path / "state")
    first = store.snapshot(data)
    store.switch("main", first.id)
    with pytest.raises(NotTrusted, match="never signed"):
        store.rollback("main", first.id, ground)
    one = signing.sign(data, desk.keys["alice"], About(dataset="signs"), out=desk.place / "1.sig", now=now)
    store.attach(first.id, one.bundle)
    (data / "stop/9.txt").write_text("nine")
    second = store.snapshot(data)
    with pytest.raises(NotTrusted, match="not about version"):
        store.attach(second.id, one.bundle)
    store.switch("main", second.id)
    from bezoar.provenance.guard import verify

    signing.sign(data, desk.keys["alice"], previous=signing.read_signature(desk.place / "1.sig"), out=desk.place / "2.sig", now=now)
    verify(data, [desk.place / "2.sig"], ground)
    assert store.rollback("main", first.id, ground).past == (first.id, second.id)  # older than what was accepted, and on purpose
    assert store.ref("main").version == first.id and store.find(first.id[:10]) == first.id
    with pytest.raises(NotTrusted):
        store.rollback("main", first.id, Trust((desk.public("bob"),)))
    held, before = memory.load(tmp_path / "state")
    next(iter(held.domains.values())).revoked_statements.append(one.statement.digest)
    assert memory.save(tmp_path / "state", held, before)
    with pytest.raises(NotTrusted, match="revoked"):
        store.rollback("main", first.id, ground)
    old = signing.sign(data, desk.keys["alice"], About(dataset="old"), out=desk.place / "3.sig", days=1, now=now - timedelta(days=3))
    store.attach(second.id, old.bundle)
    with pytest.raises(NotTrusted, match="expired"):
        store.rollback("main", second.id, ground)
    assert store.ref("main").version == first.id


def test_a_copy_elsewhere_and_back(store, data, tmp_path):
    """Only what is missing travels; what a hostile place gives back is refused."""
    from bezoar.provenance import remote

    pytest.importorskip("fsspec")
    first = store.snapshot(data)
    store.switch("main", first.id)
    place = (tmp_path / "bucket").as_uri()
    sent = remote.push(store, place)
    assert sent == 4 + 1 + 1 and remote.push(store, place) == 1  # the second time only the name
    (data / "stop/9.txt").write_text("nine")
    store.switch("main", store.snapshot(data).id)
    assert remote.push(store, place) == 3
    other = Store(tmp_path / "other")
    assert remote.pull(other, place) == 8 and remote.pull(other, place) == 0
    assert other.check()["versions"] == 2 and other.ref("main") == store.ref("main")
    piece = sorted((tmp_path / "bucket/chunks").rglob("*/*"))[0]
    good = piece.read_bytes()
    for lie in (good + b"x", b"", bytes(2 << 20)):
        piece.write_bytes(lie)
        with pytest.raises(NotTrusted):
            remote.pull(Store(tmp_path / "third"), place)
    assert not (tmp_path / "third/refs").exists()
    for bad in ("nosuch://x", "s4://y"):
        with pytest.raises(BezoarError):
            remote.push(store, bad)


def test_a_thousand_readers_see_the_old_or_the_new(store, data):
    first = store.snapshot(data).id
    (data / "stop/9.txt").write_text("nine")
    second = store.snapshot(data).id
    store.switch("main", first)
    seen, stop = set(), threading.Event()

    def read():
        while not stop.is_set():
            seen.add(store.ref("main").version)

    readers = [threading.Thread(target=read) for _ in range(4)]
    [r.start() for r in readers]
    for k in range(60):
        store.switch("main", second if k % 2 == 0 else first)
    stop.set()
    [r.join() for r in readers]
    for _ in range(1000):
        assert store.ref("main").version in (first, second)
    assert seen == {first, second}


@pytest.mark.parametrize(("mode", "first", "step"), [("kill", 1, 6), ("killed", 2, 6), ("eio", 3, 6), ("enospc", 4, 6), ("short", 5, 6),
                                                     *[pytest.param(m, 1, 1, marks=pytest.mark.slow) for m in ("kill", "killed", "eio", "enospc", "short")]])
def test_faults_at_every_call_of_snapshot_switch_and_rollback(tmp_path, mode, first, step):
    done = subprocess.run([sys.executable, "-W", "ignore", DRIVER, "versions", tmp_path, mode, str(first), str(step)], capture_output=True, text=True,
                          check=False, timeout=280)
    assert done.returncode == 0, done.stderr
    runs = [json.loads(row) for row in done.stdout.splitlines()]
    assert len(runs) >= 60 // step
    for r in runs:
        base = tmp_path / str(r["at"])
        store = Store(base / "store")
        store.check()
        for _, version in r["promised"]:
            assert store.read(version)
        switched = [v for what, v in r["promised"] if what == "switch"]
        if switched:
            current = store.ref("main")
            assert current.version == switched[-1] or switched[-1] in current.past[-1:]  # the next switch may have happened unpromised
        if mode in ("eio", "enospc"):
            assert r["ended"] == "done" or "DiskFailed" in r["ended"], r
        version = store.snapshot(base / "data") if (base / "data").is_dir() and any((base / "data").iterdir()) else None
        if version:
            store.switch("main", version.id)


def test_differences(tmp_path):
    old = [Record(f"r{i}", b"%d" % i, "cat" if i < 5 else "dog", "a") for i in range(10)]
    new = [Record(r.id, r.content, r.label, r.source) for r in old if r.id != "r9"]
    new[0] = Record("r0", b"other", "cat", "b")
    new[1] = Record("r1", b"1", "dog", "b")
    new += [Record("r20", b"20", "dog", "b"), Record("moved", b"9", "dog", "a")]
    found = differences.compare(old, new)
    assert (found.added, found.removed, found.changed, found.relabelled, found.renamed, found.same) == (
        ["r20"], [], ["r0"], [("r1", "cat", "dog")], [("r9", "moved")], 7)
    assert found.by_source["b"] == {"changed": 1, "relabelled": 1, "added": 1}
    json.dumps(found.to_dict())


def test_a_picture_that_moved_to_another_class_is_relabelled(data):
    before = list(rows.records(data))
    shutil.move(data / "stop/1.txt", data / "yield/7.txt")
    found = differences.compare(before, rows.records(data))
    assert found.relabelled == [("yield/7.txt", "stop", "yield")] and not found.added and not found.removed


def test_flips_in_a_table_are_found_by_id(tmp_path):
    (tmp_path / "a.csv").write_text("id,label,x\n1,cat,5\n2,dog,6\n3,cat,7\n")
    (tmp_path / "b.csv").write_text("id,label,x\n1,dog,5\n2,dog,9\n4,cat,7\n")
    columns = Columns("id", "label")
    found = differences.compare(rows.records(tmp_path / "a.csv", columns), rows.records(tmp_path / "b.csv", columns))
    assert (found.relabelled, found.changed, found.added, found.removed) == ([("1", "cat", "dog")], ["2"], ["4"], ["3"])
    assert os.path.exists(tmp_path / "a.csv")
