"""Every kind of bad input at the command line: one clear sentence, the right exit code, nothing changed on disk."""

import json
import os
import shlex
from datetime import timedelta

import pytest

from bezoar.provenance import statement, strict
from bezoar.provenance.envelope import IN_TOTO, Envelope
from bezoar.provenance.keys import PrivateKey
from bezoar.provenance.statement import About


@pytest.fixture
def call(said):
    return lambda text: said(*shlex.split(text))


@pytest.fixture
def place(data, tmp_path, call, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("BEZOAR_PASSPHRASE", "a long passphrase")
    assert call("keygen --out locked")[0] == 0
    monkeypatch.delenv("BEZOAR_PASSPHRASE")
    for name, kind in (("k", "p256"), ("other", "p256"), ("log", "ed25519")):
        call(f"keygen --out {name} --kind {kind} --no-passphrase")
    call("log new audit --origin example.org/audit --key log/private.pem")
    call("log append audit --key log/private.pem --subject one")
    assert call("sign signs --key k/private.pem --log audit --log-private-key log/private.pem")[0] == 0
    return tmp_path


def written(folder):
    """What stands there, without the memory of what was accepted."""
    return {p: (p.lstat().st_mtime_ns, p.lstat().st_size) for p in folder.rglob("*") if "state" not in p.parts}


VERIFY = "verify signs --public-key k/public.pem"
SIGN = "sign signs --key k/private.pem --previous signs.sig --out 2.sig --log audit --log-private-key log/private.pem"


def forge(place, name="stop/1.txt", days=30, revoke=False, **about):
    """A bundle that the right key signed over a list of files of our choice."""
    now = strict.now() - timedelta(days=31 if days < 30 else 0)
    payload = statement.build("signs", {"stop/1.txt": bytes(32)}, About(**{"dataset": "signs", "version": 9, "issued": now,
                                                                           "expires": now + timedelta(days=days), **about}))
    payload = payload.replace(b'"name":"stop/1.txt"', b'"name":' + json.dumps(name).encode())
    key = PrivateKey.parse((place / "k/private.pem").read_bytes())
    (place / "signs.sig").write_bytes(Envelope(payload, IN_TOTO).signed_by(key).bundle())


def ten_gigabytes(place):
    with (place / "signs.sig").open("r+b") as f:
        f.truncate(10 << 30)


def no_bundle(place):
    (place / "signs.sig").unlink()
    os.mkfifo(place / "signs.sig")


def revoked(place):
    text = (place / "bezoar.policy.toml").read_text()
    key = PrivateKey.parse((place / "k/private.pem").read_bytes()).public.id
    (place / "bezoar.policy.toml").write_text(text.replace("[revoked]\nkeys = []", f'[revoked]\nkeys = ["{key}"]'))


def tile(place):
    found = next(p for p in (place / "audit/tile/0").rglob("*") if p.is_file())
    found.write_bytes(found.read_bytes()[:-7])


def entry(place):
    found = next(p for p in (place / "audit/tile/entries").rglob("*") if p.is_file())
    found.write_bytes(found.read_bytes()[:-7])


def nothing(place):
    pass


POLICY = "policy new --name p --key k=k/public.pem"
CASES = {
    "wrong passphrase": ("sign signs --key locked/private.pem --out x.sig", 2, "passphrase", lambda p: os.environ.update(BEZOAR_PASSPHRASE="no")),
    "unknown key": ("verify signs --public-key other/public.pem", 1, "not signed by this key", nothing),
    "expired": (VERIFY, 1, "expired", lambda p: forge(p, days=1)),
    "revoked": ("verify signs --policy bezoar.policy.toml", 1, "signatures", revoked),
    "missing file": (VERIFY, 1, "missing", lambda p: (p / "signs/stop/1.txt").unlink()),
    "extra file": (VERIFY, 1, "not signed", lambda p: (p / "signs/stop/9.txt").write_text("x")),
    "case collision": (VERIFY, 2, "only in case", lambda p: (p / "signs/stop/A.txt").write_text((p / "signs/stop/a.txt").write_text("x") and "y")),
    "Unicode twins": (VERIFY, 2, "Unicode form", lambda p: [(p / f"signs/{n}.txt").write_text("x") for n in ("\u00e9", "e\u0301")]),
    "link": (VERIFY, 2, "is a link", lambda p: (p / "signs/l").symlink_to("/etc/hostname")),
    "pipe": (VERIFY, 2, "pipe", lambda p: os.mkfifo(p / "signs/pipe")),
    "pipe as bundle": (VERIFY, 2, "not a regular file", no_bundle),
    "path traversal": (VERIFY, 2, "leaves its folder", lambda p: forge(p, "../../etc/passwd")),
    "absolute path": (VERIFY, 2, "absolute", lambda p: forge(p, "/etc/passwd")),
    "10 GB manifest": (VERIFY, 3, "the limit", ten_gigabytes),
    "truncated tile": ("log verify audit --log-key audit/log.vkey", 1, "cut off", tile),
    "truncated entries": ("log verify audit --log-key audit/log.vkey", 1, "entry", entry),
    "truncated tile, writing": (SIGN, 2, "cut off", tile),
    "sign: case collision": (SIGN, 2, "only in case", lambda p: (p / "signs/stop/A.txt").write_text((p / "signs/stop/a.txt").write_text("x") and "y")),
    "sign: pipe": (SIGN, 2, "pipe", lambda p: os.mkfifo(p / "signs/pipe")),
    "sign: again": ("sign signs --key k/private.pem", 2, "holds dataset 'signs' version 1 already", nothing),
    "sign: over a key": ("sign signs --key k/private.pem --out other/private.pem --replace", 2, "no bundle", nothing),
    "sign: into nowhere": ("sign signs --key k/private.pem --out x.sig --log nolog --log-private-key log/private.pem", 2, "no log", nothing),
    "newest: a stranger's key": ("policy newest bezoar.policy.toml --signature signs.sig --key other/private.pem", 1, "does not let this key", nothing),
    "newest: a changed bundle": ("policy newest bezoar.policy.toml --signature signs.sig --key k/private.pem", 1, "0 of the 1 signatures",
                                 lambda p: (p / "signs.sig").write_bytes(flip((p / "signs.sig").read_bytes()))),
    "newest: over something else": ("policy newest bezoar.policy.toml --key k/private.pem --out other/private.pem", 2, "not JSON", nothing),
    "newest: no list, no bundle": ("policy newest bezoar.policy.toml --key k/private.pem", 2, "no list yet", nothing),
    "rollback: unsigned": ("rollback main --to main --store store --public-key k/public.pem --log audit --log-private-key log/private.pem", 1,
                           "never signed", nothing),
    "pin: no links": ("pin nofile --out pins.jsonl", 2, "nofile", nothing),
    "recheck: no pins": ("recheck nofile --out pins.jsonl", 2, "no pins", nothing),
    "approve: nobody who may": (f"log approve audit {'ab' * 32} --key log/private.pem --person other/private.pem --policy bezoar.policy.toml", 1,
                                "does not let this person approve", nothing),
    "sign: a pipe as report": ("sign signs --key k/private.pem --out x.sig --report pipe", 2, "not a regular file", lambda p: os.mkfifo(p / "pipe")),
    "incident: no finding": ("incident open x --report report.json --out inc --log audit --log-private-key log/private.pem", 2, "no finding", nothing),
}


def flip(bundle):
    body = json.loads(bundle)
    entry = body["dsseEnvelope"]["signatures"][0]
    entry["sig"] = ("A" if entry["sig"][20] != "A" else "B").join((entry["sig"][:20], entry["sig"][21:]))
    return json.dumps(body).encode()


@pytest.mark.parametrize("name", CASES)
def test_one_sentence_the_right_code_and_nothing_changed(place, call, monkeypatch, name):
    from bezoar.core.report import Report

    text, code, words, break_it = CASES[name]
    call(POLICY)
    if "store" in text:
        assert call("snapshot signs --store store")[0] == 0
    subject = {"kind": "dataset", "name": "signs", "modality": "text", "samples": 4, "classes": 2, "fingerprint": "f" * 64}
    report = Report(subject=subject, verdict="poisoned", alpha=0.01, poisoned_at_least=1, findings=(), outcomes=())
    (place / "report.json").write_text(json.dumps(report.to_dict()))
    monkeypatch.setenv("BEZOAR_PASSPHRASE", "")
    break_it(place)
    before = written(place)
    got, out, err = call(text)
    assert got == code and words in err, (got, err)
    assert not out and "Traceback" not in err and err.startswith("bezoar: ") and err.count("\n") <= 2, err
    assert written(place) == before
