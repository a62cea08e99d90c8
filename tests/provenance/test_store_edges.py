"""Edges of names and stores: folder twins, lists of files that a stranger wrote, equal content signed twice, and what is left after a failure."""

import json
import os
from hashlib import sha256

import pytest

from bezoar.core.errors import BezoarError, Refused, UnreadableInput
from bezoar.provenance import envelope, files, pointers, records, remote, signing, statement, strict
from bezoar.provenance.guard import Trust
from bezoar.provenance.refusals import NotTrusted
from bezoar.provenance.rows import Columns
from bezoar.provenance.statement import About
from bezoar.provenance.versions import Store


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "store")


@pytest.mark.parametrize(("names", "empty"), [
    (["Cat/1.png", "cat/2.png"], []), (["a/Cat/1.png", "a/b.png", "a/cat/2.png"], []), (["\u00e9/1", "e\u0301/2"], []),
    (["read.me"], ["Read.me"]), (["a", "A/b"], []), (["x/1"], ["X"]), ([], ["a/B", "a/b/c"]), (["a", "a/b"], []), ([], ["../out"])])
def test_folders_that_are_one_on_some_system_are_refused(names, empty):
    """Where case does not count, two class folders would become one."""
    with pytest.raises(Refused):
        files.check_names(names, "test", empty)


def test_ordinary_folders_pass_and_twins_on_disk_do_not(data):
    files.check_names(["a/1", "a/b/2", "a/c/3", "b/1", "a/b/4", "z"], "test", ["a/d", "e/f/g", "e/f/h"])
    (data / "STOP").mkdir()
    (data / "STOP/3.txt").write_text("three")
    with pytest.raises(Refused, match="only in case"):
        files.walk(data)


def listed(store, body):
    raw = json.dumps(body).encode()
    name = sha256(raw).hexdigest()
    place = store.folder / "versions" / name[:2] / name
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_bytes(raw)
    return name


@pytest.mark.parametrize("body", [
    {}, {"files": [["a"]], "empty": []}, {"files": [["a", "zz", 1, []]], "empty": []}, {"files": [["a", "0" * 64, None, []]], "empty": []},
    {"files": [["a", "0" * 64, 1, ["../../x"]]], "empty": []}, {"files": [], "empty": ["../../evil"]}, {"files": [], "empty": ["/evil"]},
    {"files": [], "empty": [3, "a/../.."]}, {"files": [[".", "0" * 64, 0, []], ["a", "0" * 64, 0, []]], "empty": []},
    {"files": [["a", "0" * 64, 0, []], ["a/b", "0" * 64, 0, []]], "empty": []}, {"files": [[".", "0" * 64, 0, []]], "empty": ["a"]}])
def test_a_list_of_files_by_a_stranger_neither_crashes_nor_leaves_its_folder(store, tmp_path, body):
    """A copy that was pulled has names that fit its content, whatever the content says."""
    with pytest.raises((UnreadableInput, Refused)):
        store.checkout(listed(store, body), tmp_path / "deep/down/out")
    assert not (tmp_path / "evil").exists() and not (tmp_path / "deep/evil").exists()


def test_nothing_is_left_of_a_checkout_that_failed(store, data, tmp_path):
    version = store.snapshot(data)
    sorted((store.folder / "chunks").rglob("*/*"))[0].write_bytes(b"other")
    with pytest.raises(NotTrusted):
        store.checkout(version.id, tmp_path / "place/out")
    assert os.listdir(tmp_path / "place") == []


def test_content_that_was_restored_and_signed_anew_can_be_rolled_back_to(store, data, desk):
    """Equal content is one version, so two statements stand beside each other; so may what a stranger put there."""
    ground = Trust((desk.public("alice"),))
    now = strict.now()
    first = store.snapshot(data)
    one = signing.sign(data, desk.keys["alice"], About(dataset="signs"), now=now)
    store.attach(first.id, one.bundle)
    again = signing.sign(data, desk.keys["alice"], About(dataset="signs", version=3), now=now)
    store.attach(first.id, again.bundle)
    store.attach(first.id, signing.sign(data, desk.keys["mallory"], About(dataset="signs", version=9), now=now).bundle)
    (store.folder / "signatures" / first.id / "0.sig").write_bytes(b"{}")
    store.switch("main", first.id)
    assert store.signed(first.id, ground).about.version == 3
    assert store.rollback("main", first.id, ground).version == first.id


def test_a_rollback_needs_a_name_that_is_there(store, data, desk):
    version = store.snapshot(data)
    store.attach(version.id, signing.sign(data, desk.keys["alice"], About(dataset="signs")).bundle)
    store.switch("main", version.id)
    with pytest.raises(UnreadableInput, match="mian"):
        store.rollback("mian", version.id, Trust((desk.public("alice"),)))
    assert set(store.refs()) == {"main"}


@pytest.mark.parametrize(("name", "raw"), [("main", b"{"), ("main", b"{}"), ("deep/main", None)])
def test_a_damaged_name_is_not_pulled(store, data, tmp_path, name, raw):
    pytest.importorskip("fsspec")
    store.switch("main", store.snapshot(data).id)
    place = tmp_path / "bucket"
    remote.push(store, place.as_uri())
    good = (place / "refs/main").read_bytes()
    (place / "refs/main").unlink()
    (place / "refs" / name).parent.mkdir(exist_ok=True)
    (place / "refs" / name).write_bytes(raw or good)
    other = Store(tmp_path / "other")
    with pytest.raises(UnreadableInput, match="damaged"):
        remote.pull(other, place.as_uri())
    assert other.refs() == {}


def test_half_a_character_is_refused_and_does_not_crash(desk, data, tmp_path):
    """JSON can name half of a surrogate pair; UTF-8 cannot, so nothing downstream could hash or write it."""
    body = json.loads(desk.sign(data).read_bytes())
    body["dsseEnvelope"]["payloadType"] = "\ud800"
    with pytest.raises(UnreadableInput, match="surrogates"):
        envelope.parse(json.dumps(body).encode())
    assert strict.parse_json(json.dumps({"a": "\U0001f600 \\ud800"}).encode(), "test")
    table = tmp_path / "t.jsonl"
    table.write_text(json.dumps({"id": "1", "text": "\ud83d cut"}) + "\n")
    signed = signing.sign(table, desk.keys["alice"], About(dataset="t"), columns=Columns(id="id"))  # data may hold it: its bytes are hashed
    assert signed.statement.about.records.count == 1 and statement.parse(signed.statement.payload) and records.METHOD


@pytest.mark.parametrize("outs", ["5", "name", "{md5: 1}"])
def test_a_damaged_dvc_pointer_is_said(tmp_path, outs):
    pytest.importorskip("yaml")
    (tmp_path / "x.dvc").write_text(f"outs: {outs}\n")
    with pytest.raises(BezoarError, match="DVC"):
        list(pointers.find(tmp_path / "x.dvc"))
