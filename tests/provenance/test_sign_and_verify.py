"""Sign, change one thing, verify: every change is refused with its reason; and the foreign verifier reads what we write."""

import json
import os
import shutil
import subprocess
import sys
import time
import unicodedata
from dataclasses import replace
from datetime import timedelta
from hashlib import sha256
from pathlib import Path

import pytest

from bezoar.core.errors import BezoarError, LimitExceeded, Refused, UnreadableInput, UsageError
from bezoar.provenance import files, guard, signing, statement, strict
from bezoar.provenance.envelope import IN_TOTO, Envelope, parse
from bezoar.provenance.refusals import NotTrusted
from bezoar.provenance.statement import About, Scan


def snapshot(folder):
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file() and not p.is_symlink()}


def test_what_was_signed_verifies(desk, data):
    desk.sign(data)
    done = desk.verify(data)
    assert (done.files, done.bytes, done.statement.about.version) == (4, 5011, 1)
    assert list(done.statement.digests) == ["read me.md", "stop/1.txt", "stop/2.txt", "yield/1.txt"]


def test_a_single_file_and_a_model(desk, data):
    desk.sign(data / "read me.md", model := "m.sig", kind="model", dataset="a/model")
    assert desk.verify(data / "read me.md", model).statement.about.kind == "model"
    (data / "read me.md").write_text("y")
    with pytest.raises(NotTrusted, match="not the content"):
        desk.verify(data / "read me.md", model)


def test_the_signature_may_stand_inside(desk, data):
    signing.sign(data, desk.keys["alice"], About(dataset="signs"), out=data / "my.sig", now=desk.now)
    assert guard.verify(data, [data / "my.sig"], guard.Trust((desk.public("alice"),)), now=desk.now).files == 4


def change(name):
    def register(f):
        CHANGES[name] = f
        return f

    return register


CHANGES = {}
change("changed-file")(lambda d: (d / "stop/1.txt").write_text("onf"))
change("changed-file, same size and time")(lambda d: (s := (d / "stop/1.txt").stat(), (d / "stop/1.txt").write_text("onf"),
                                                      os.utime(d / "stop/1.txt", ns=(s.st_atime_ns, s.st_mtime_ns))))
change("changed-file, emptied")(lambda d: (d / "stop/1.txt").write_text(""))
change("changed-file, longer")(lambda d: (d / "stop/1.txt").write_text("one "))
change("changed-file, swapped contents")(lambda d: ((d / "stop/1.txt").write_text("two"), (d / "stop/2.txt").write_text("one")))
change("changed-file, sparse")(lambda d: os.truncate(d / "read me.md", 64 << 20))
change("missing-file")(lambda d: (d / "stop/1.txt").unlink())
change("missing-file, renamed")(lambda d: (d / "stop/1.txt").rename(d / "stop/3.txt"))
change("missing-file, moved to another class")(lambda d: (d / "stop/1.txt").rename(d / "yield/9.txt"))
change("extra-file")(lambda d: (d / "stop/9.txt").write_text("poison"))
change("extra-file, hidden")(lambda d: (d / ".hidden").write_text("poison"))
change("extra-file, a git folder")(lambda d: ((d / ".git").mkdir(), (d / ".git/x").write_text("poison")))
change("extra-file, hard link")(lambda d: os.link(d / "stop/1.txt", d / "yield/5.txt"))
change("extra-folder")(lambda d: (d / "aaa").mkdir())
change("refused: link inside")(lambda d: ((d / "stop/1.txt").unlink(), (d / "stop/1.txt").symlink_to(d / "stop/2.txt")))
change("refused: link outside")(lambda d: ((d / "stop/1.txt").unlink(), (d / "stop/1.txt").symlink_to("/etc/hostname")))
change("refused: dangling link")(lambda d: (d / "x").symlink_to("nowhere"))
change("refused: folder link")(lambda d: (d / "x").symlink_to(d / "stop", target_is_directory=True))
change("refused: folder replaced by a link")(lambda d: ((d / "stop").rename(d.parent / "away"), (d / "stop").symlink_to(d.parent / "away")))
change("refused: pipe")(lambda d: os.mkfifo(d / "x"))
change("refused: pipe in place of a file")(lambda d: ((d / "stop/1.txt").unlink(), os.mkfifo(d / "stop/1.txt")))
change("refused: case twin")(lambda d: (d / "STOP").mkdir() or (d / "STOP/1.TXT").write_text("poison"))
change("refused: unicode twin")(lambda d: [(d / unicodedata.normalize(f, "é.txt")).write_text("x") for f in ("NFC", "NFD")])
change("refused: compatibility twin")(lambda d: [(d / n).write_text("x") for n in ("ﬁ.txt", "fi.txt")])
change("refused: trailing dot")(lambda d: (d / "stop/1.txt.").write_text("x"))
change("refused: trailing space")(lambda d: (d / "stop/1.txt ").write_text("x"))
change("refused: new line")(lambda d: (d / "a\nb").write_text("x"))
change("refused: escape character")(lambda d: (d / "a\x1b[2J").write_text("x"))
change("refused: right-to-left")(lambda d: (d / "a\u202egnp.txt").write_text("x"))
change("refused: zero width")(lambda d: (d / "a\u200bb").write_text("x"))
change("refused: backslash")(lambda d: (d / "stop\\1.txt").write_text("x"))
change("refused: not UTF-8")(lambda d: (Path(os.fsdecode(os.fsencode(d) + b"/\xff")).write_text("x")))
change("refused: socket")(lambda d: __import__("socket").socket(__import__("socket").AF_UNIX).bind(str(d / "s")))


@pytest.mark.parametrize("name", CHANGES)
def test_every_change_is_refused_with_its_reason(desk, data, name):
    desk.sign(data)
    try:
        CHANGES[name](data)
    except OSError as error:
        pytest.skip(f"this file system cannot: {error}")
    before = sorted(str(p) for p in data.rglob("*"))
    with pytest.raises(Refused if name.startswith("refused") else NotTrusted) as caught:
        desk.verify(data)
    if not name.startswith("refused"):
        assert caught.value.reason == name.split(",")[0]
    assert caught.value.advice and "\n" not in str(caught.value) and "\x1b" not in str(caught.value)
    assert before == sorted(str(p) for p in data.rglob("*"))


def test_an_empty_folder_is_signed_too(desk, data):
    (data / "none").mkdir()
    desk.sign(data)
    desk.verify(data)
    (data / "none").rmdir()
    with pytest.raises(NotTrusted, match="empty folder that is missing"):
        desk.verify(data)


def test_what_the_signer_left_out_must_not_be_there(desk, data):
    (data / "cache").mkdir()
    desk.sign(data, ignore=("cache",))
    (data / "cache/poison.txt").write_text("x")
    with pytest.raises(NotTrusted) as caught:
        desk.verify(data)
    assert caught.value.reason == "ignored-path"
    assert desk.verify(data, allow_ignored=True).files == 4


@pytest.mark.parametrize("bad", [lambda d: (d / "x").symlink_to("/etc"), lambda d: os.mkfifo(d / "x"), lambda d: (d / "a\nb").write_text("")])
def test_signing_refuses_the_same_and_writes_nothing(desk, data, bad):
    bad(data)
    with pytest.raises(Refused):
        desk.sign(data)
    assert not (desk.place / "v1.sig").exists()


# --- hostile manifests: signed by a trusted key, and still refused ---------------------------------------------------------------


def forged(desk, names, **changes):
    digests = {n: sha256(n.encode()).digest() for n in names}
    about = About(dataset="signs", version=1, issued=desk.now, expires=desk.now + timedelta(days=1))
    body = json.loads(statement.build("signs", dict.fromkeys(["x"], b"\0" * 32), about))
    body["predicate"]["resources"] = [{"name": n, "algorithm": "sha256", "digest": d.hex()} for n, d in digests.items()]
    body["subject"][0]["digest"]["sha256"] = statement.content_root(digests)
    for path, value in changes.items():
        at = body
        *steps, last = path.split("__")
        for s in steps:
            at = at[int(s) if s.isdigit() else s]
        at[last] = value
    return json.dumps(body).encode()


@pytest.mark.parametrize("name", ["../x", "/etc/passwd", "a/../../x", "a//b", "", "a/.", "./a", "..", "a\\..\\b", "a\0b", "a\nb", "C:\\x", "a/ ", "a.",
                                  "a/" * 70 + "b", "x" * 5000, "\u202ex", "a\ud800b"])
def test_hostile_names_in_a_signed_manifest(desk, name):
    with pytest.raises((Refused, UnreadableInput)):
        statement.parse(forged(desk, ["ok"], predicate__resources=[{"name": name, "algorithm": "sha256", "digest": sha256(b"x").hexdigest()}],
                               subject__0__digest={"sha256": sha256(sha256(b"x").digest()).hexdigest()}))


@pytest.mark.parametrize("names", [["a", "A"], ["é", "e\u0301"], ["ß", "ss"], [".", "a"], ["a/b", "A/b"]])
def test_two_names_that_are_one(desk, names):
    with pytest.raises((Refused, UnreadableInput)):
        statement.parse(forged(desk, names))


@pytest.mark.parametrize("changes", [
    {"_type": "x"}, {"predicateType": "x"}, {"subject": []}, {"subject": [{}, {}]}, {"subject__0__digest": {"sha256": "00" * 32}},
    {"predicate__serialization__method": "shards"}, {"predicate__serialization__hash_type": "md5"}, {"predicate__serialization__allow_symlinks": True},
    {"predicate__resources": [{"name": "x", "algorithm": "sha256", "digest": "AB" * 32}]}, {"predicate__resources": [5]}, {"predicate__resources": {}},
    {"predicate__bezoar__version": 0}, {"predicate__bezoar__version": 1 << 31}, {"predicate__bezoar__version": True}, {"predicate__bezoar__version": 1.0},
    {"predicate__bezoar__version": -1}, {"predicate__bezoar__previous": "x"}, {"predicate__bezoar__issued": "yesterday"}, {"predicate__bezoar__expires": 5},
    {"predicate__bezoar__schema": "bezoar.statement/2"}, {"predicate__bezoar__kind": "cat"}, {"predicate__bezoar__dataset": "a*"},
    {"predicate__bezoar__records": {"method": "x"}}, {"predicate__bezoar__empty_folders": ["../x"]}, {"predicate__bezoar__scan": 3},
    {"predicate__bezoar__issued": "2027-01-01T00:00:00+02:00"}, {"predicate__bezoar": []}])
def test_malformed_statements(desk, changes):
    statement.parse(forged(desk, ["ok"]))
    with pytest.raises(BezoarError):
        statement.parse(forged(desk, ["ok"], **changes))


@pytest.mark.parametrize("change", [{"version": 0}, {"version": 1 << 31}, {"kind": "cat"}, {"issued": None}, {"expires": None}, {"dataset": "a*"}])
def test_nothing_is_built_that_would_not_be_read(desk, change):
    good = About("signs", version=1, issued=desk.now, expires=desk.now + timedelta(days=1))
    statement.build("s", {}, good)
    with pytest.raises(UsageError):
        statement.build("s", {}, replace(good, **change))


def test_a_manifest_that_is_too_large_a_pipe_or_missing(tmp_path, monkeypatch):
    with (tmp_path / "big.sig").open("wb") as f:
        f.truncate(10 << 30)
    with pytest.raises(LimitExceeded, match="10,737,418,240"):
        signing.read_signature(tmp_path / "big.sig")
    os.mkfifo(tmp_path / "pipe.sig")
    for name in ("pipe.sig", "none.sig", "."):
        with pytest.raises(UnreadableInput):
            signing.read_signature(tmp_path / name)


# --- time, versions, keys --------------------------------------------------------------------------------------------------------


def reason(call, *args, **more):
    with pytest.raises(NotTrusted) as caught:
        call(*args, **more)
    return caught.value.reason


def test_versions_only_move_forward(desk, data):
    desk.sign(data)
    (data / "stop/3.txt").write_text("new")
    desk.sign(data, "v2.sig", previous="v1.sig")
    desk.verify(data, "v2.sig")
    (data / "stop/3.txt").unlink()
    assert reason(desk.verify, data, "v1.sig") == "rollback"
    ground = guard.Trust((desk.public("alice"),), remember=False)
    assert guard.verify(data, [desk.place / "v1.sig"], ground, now=desk.now).statement.about.version == 1


def test_forks_and_foreign_lines_are_refused(desk, data):
    desk.sign(data)
    desk.verify(data)
    (data / "stop/1.txt").write_text("other")
    desk.sign(data, "again.sig")
    assert reason(desk.verify, data, "again.sig") == "fork"
    desk.sign(data, "second.sig", version=2)
    assert reason(desk.verify, data, "second.sig") == "chain"


def test_age(desk, data):
    desk.sign(data, days=10)
    assert reason(desk.verify, data, later=timedelta(days=10, seconds=1)) == "expired"
    assert reason(desk.verify, data, later=-timedelta(hours=1)) == "not-yet"
    desk.verify(data, later=timedelta(days=10))  # the end is inclusive
    with pytest.raises(UsageError):
        desk.sign(data, "x.sig", days=-1)


def test_keys_and_swapped_signatures(desk, data, tmp_path):
    desk.sign(data)
    assert reason(desk.verify, data, key="bob") == "signature"
    other = tmp_path / "other"
    shutil.copytree(data, other)
    (other / "stop/1.txt").write_text("zzz")
    desk.sign(other, "other.sig", dataset="other")
    assert reason(desk.verify, data, "other.sig") == "changed-file"
    assert reason(desk.sign, data, "v2.sig", key="bob", previous="v1.sig") == "signature"


def test_the_name_that_was_asked_for(desk, data):
    desk.sign(data, dataset="other")
    for name, good in (("other", True), ("signs", False)):
        ground = guard.Trust((desk.public("alice"),), dataset=name)
        if good:
            guard.verify(data, [desk.place / "v1.sig"], ground, now=desk.now)
        else:
            assert reason(guard.verify, data, [desk.place / "v1.sig"], ground, now=desk.now) == "wrong-dataset"
            assert reason(guard.open_verified, data, desk.place / "v1.sig", public_key=desk.public("alice"), dataset=name, now=desk.now) == "wrong-dataset"


def test_a_signature_without_version_cannot_replace_one_with(desk, data):
    """What the same key signed long ago with another tool carries no version; it must not bring old data back."""
    desk.sign(data)
    listing = files.walk(data)
    body = json.loads(statement.build("signs", dict(zip(listing.names, files.digests(listing), strict=True)),
                                      About("signs", version=1, issued=desk.now, expires=desk.now + timedelta(days=1))))
    del body["predicate"]["bezoar"]
    (desk.place / "bare.sig").write_bytes(Envelope(json.dumps(body).encode(), IN_TOTO).signed_by(desk.keys["alice"]).bundle())
    desk.verify(data, "bare.sig")  # nothing with a version was seen yet
    desk.verify(data)
    assert reason(desk.verify, data, "bare.sig") == "no-version"


def test_a_refused_verification_remembers_nothing(desk, data, tmp_path):
    desk.sign(data)
    desk.sign(data, "v2.sig", previous="v1.sig")
    (data / "stop/1.txt").write_text("poison")
    assert reason(desk.verify, data, "v2.sig") == "changed-file"
    assert not (tmp_path / "state/trust.json").exists()
    (data / "stop/1.txt").write_text("one")
    desk.verify(data, "v1.sig")


def test_a_damaged_memory_is_not_taken_for_an_empty_one(desk, data, tmp_path):
    desk.sign(data)
    desk.verify(data)
    (tmp_path / "state/trust.json").write_text("{}")
    with pytest.raises(UnreadableInput, match="memory is damaged"):
        desk.verify(data)


def test_everything_said_comes_back(desk, data):
    said = About(dataset="signs", kind="model", source="vendor-a", licence="CC-BY-4.0", policy="", inputs=("ab" * 32,), how="cleaned with x 1.0", scan=Scan("no evidence", "cd" * 32, "f"))
    desk.sign(data, **{k: getattr(said, k) for k in ("kind", "source", "licence", "inputs", "how", "scan")})
    about = desk.verify(data).statement.about
    assert replace(about, version=0, issued=None, expires=None, records=None) == said


# --- the loader ------------------------------------------------------------------------------------------------------------------


def test_the_loader_hands_out_only_what_was_signed(desk, data):
    import bezoar

    desk.sign(data)
    opened = bezoar.open_verified(data, desk.place / "v1.sig", public_key=desk.public("alice"), now=desk.now)
    assert len(opened) == 4 and opened[1] == ("stop", b"one") and [c for c, _ in opened] == ["", "stop", "stop", "yield"]
    assert opened.read("stop/1.txt") == b"one"
    (data / "stop/1.txt").write_text("two")
    with pytest.raises(NotTrusted, match="not the content"):
        opened.read("stop/1.txt")
    with pytest.raises(NotTrusted, match="not signed"):
        opened.read("../desk/alice.pem")
    (data / "stop/2.txt").unlink()
    (data / "stop/2.txt").symlink_to("1.txt")
    with pytest.raises(NotTrusted):
        opened.read("stop/2.txt")
    (data / "more").write_text("x")
    with pytest.raises((NotTrusted, Refused)):
        bezoar.open_verified(data, desk.place / "v1.sig", public_key=desk.public("alice"), now=desk.now)


def test_the_loader_opens_no_folder_with_other_names_and_needs_one_ground(desk, data):
    import bezoar

    desk.sign(data)
    alice = desk.public("alice")

    def opened(**ground):
        return bezoar.open_verified(data, desk.place / "v1.sig", now=desk.now, **ground)

    for ground in ({}, {"public_key": alice, "policy": desk.place / "p.toml"}):
        with pytest.raises(UsageError, match="public keys or a policy"):
            opened(**ground)
    (data / "more.txt").write_text("x")
    with pytest.raises(NotTrusted, match="'more.txt' is not signed"):
        opened(public_key=alice)
    (data / "more.txt").unlink()
    (data / "stop/1.txt").unlink()
    with pytest.raises(NotTrusted, match="'stop/1.txt' is missing"):
        opened(public_key=alice)


def test_large_files_do_not_stay_in_memory_and_are_the_checked_bytes(desk, data, monkeypatch):
    monkeypatch.setattr(guard, "IN_MEMORY", 1000)
    monkeypatch.setattr(files, "PIECE", 512)
    desk.sign(data)
    opened = guard.open_verified(data, desk.place / "v1.sig", public_key=desk.public("alice"), now=desk.now)
    with opened.open("read me.md") as f:
        (data / "read me.md").write_text("swapped after the check")
        assert f.read() == b"x" * 5000


def test_the_loader_feeds_arrays_frames_and_torch(desk, tmp_path):
    import numpy as np
    import pandas as pd

    np.savez(tmp_path / "a.npz", x=np.arange(6).reshape(3, 2), y=np.array([0, 1, 0]))
    pd.DataFrame({"text": ["a", "b"], "label": [0, 1]}).to_csv(tmp_path / "t.csv", index=False)
    for name in ("a.npz", "t.csv"):
        desk.sign(tmp_path / name, name + ".sig", dataset=name)
    opened = guard.open_verified(tmp_path / "a.npz", desk.place / "a.npz.sig", public_key=desk.public("alice"), now=desk.now)
    assert opened.arrays()["x"].shape == (3, 2)
    frame = guard.open_verified(tmp_path / "t.csv", desk.place / "t.csv.sig", public_key=desk.public("alice"), now=desk.now).frame()
    assert list(frame.columns) == ["text", "label"]


def test_the_loader_is_a_torch_dataset(desk, data):
    torch = pytest.importorskip("torch")
    desk.sign(data)
    opened = guard.open_verified(data, desk.place / "v1.sig", public_key=desk.public("alice"), now=desk.now, decode=lambda name, raw: len(raw))
    loader = torch.utils.data.DataLoader(opened, batch_size=2)
    assert [b.tolist() for b in loader] == [[5000, 3], [3, 5]]


def test_twenty_swaps_between_check_and_use(desk, data):
    """A thread swaps a file for poison and back all the time; the loader never hands out poison."""
    import threading

    desk.sign(data)
    stop = threading.Event()
    target = data / "read me.md"

    def swap():
        k = 0
        while not stop.is_set():
            k += 1
            (data.parent / "tmp").write_bytes(b"poison" * 800 if k % 2 else b"x" * 5000)
            os.replace(data.parent / "tmp", target)

    thread = threading.Thread(target=swap)
    thread.start()
    refused = handed = 0
    try:
        opened = guard.open_verified(data, desk.place / "v1.sig", public_key=desk.public("alice"), now=desk.now)
        deadline = time.monotonic() + 30
        while (refused < 20 or handed < 1) and time.monotonic() < deadline:
            try:
                assert opened.read("read me.md") == b"x" * 5000
                handed += 1
            except NotTrusted:
                refused += 1
    finally:
        stop.set()
        thread.join()
    assert refused >= 20 and handed >= 1


# --- other people's verifiers ----------------------------------------------------------------------------------------------------


def foreign(*words):
    return subprocess.run([sys.executable, "-W", "ignore", "-m", "model_signing", *map(str, words)], capture_output=True, text=True, check=False,
                          timeout=120)


def test_openssf_model_signing_verifies_our_bundle_offline_and_we_verify_theirs(desk, data, tmp_path):
    pytest.importorskip("model_signing")
    desk.sign(data)
    done = foreign("verify", "key", data, "--signature", desk.place / "v1.sig", "--public_key", desk.public("alice"))
    assert done.returncode == 0 and "succe" in (done.stdout + done.stderr).lower(), done.stderr
    (tmp_path / "private.pem").write_bytes(desk.keys["bob"].pem())
    done = foreign("sign", "key", data, "--signature", tmp_path / "theirs.sig", "--private_key", tmp_path / "private.pem")
    assert done.returncode == 0, done.stderr
    ground = guard.Trust((desk.public("bob"),))
    assert guard.verify(data, [tmp_path / "theirs.sig"], ground).statement.about.version == 0
    (data / "stop/1.txt").write_text("poison")
    assert foreign("verify", "key", data, "--signature", desk.place / "v1.sig", "--public_key", desk.public("alice")).returncode != 0
    with pytest.raises(NotTrusted):
        guard.verify(data, [tmp_path / "theirs.sig"], ground)


def test_securesystemslib_counts_our_envelope_signatures(desk, data):
    pytest.importorskip("securesystemslib")
    from securesystemslib.dsse import Envelope as Foreign
    from securesystemslib.exceptions import VerificationError
    from securesystemslib.signer import SSlibKey

    desk.sign(data)
    ours = parse((desk.place / "v1.sig").read_bytes())
    body = ours.to_dict()
    key = desk.keys["alice"].public
    foreign_key = SSlibKey(key.id, "ecdsa", "ecdsa-sha2-nistp256", {"public": key.pem.decode()})
    assert Foreign.from_dict(body).verify([foreign_key], 1)
    body = {**ours.to_dict(), "payload": ours.to_dict()["payload"][:-4] + "AAAA"}
    with pytest.raises(VerificationError):
        Foreign.from_dict(body).verify([foreign_key], 1)


def test_a_statement_of_another_type_is_not_taken(desk):
    odd = Envelope(b"{}", IN_TOTO).signed_by(desk.keys["alice"]).bundle()
    (desk.place / "odd.sig").write_bytes(odd)
    with pytest.raises(UnreadableInput):
        desk.verify(desk.place, "odd.sig")
    assert strict.moment("2027-01-02T03:04:05Z", "x").year == 2027
