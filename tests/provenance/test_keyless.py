"""Keyless signing: what stands round the sigstore library. The library itself, and Sigstore's services, are not reached from here."""

import json
import types
from datetime import timedelta

import pytest

from bezoar.core.errors import UnreadableInput, UsageError
from bezoar.provenance import guard, keyless, signing
from bezoar.provenance.envelope import IN_TOTO
from bezoar.provenance.refusals import NotTrusted
from bezoar.provenance.statement import About

pytest.importorskip("sigstore")
from sigstore.errors import VerificationError

WHO = ("ann@example.org", "https://issuer.example")


class Library:
    """Stands for `sigstore.models`: a bundle is JSON that says who signed what."""

    class Bundle:
        @staticmethod
        def from_json(raw):
            return json.loads(raw)["says"]

    class ClientTrustConfig:
        @staticmethod
        def production(offline=False):
            return types.SimpleNamespace(trusted_root=None)


class Checker:
    def __init__(self, config):
        pass

    def verify_dsse(self, bundle, policy):
        if bundle["identity"] != policy._identity:
            raise VerificationError("Certificate's SANs do not match")
        return bundle["type"], bytes.fromhex(bundle["payload"])


def fake(identity=WHO[0], kind=IN_TOTO):
    return lambda payload: json.dumps({"says": {"identity": identity, "type": kind, "payload": payload.hex()}}).encode()


@pytest.fixture(autouse=True)
def _library(monkeypatch):
    monkeypatch.setattr(keyless, "_library", lambda: Library)


def check(desk, data, name, who=WHO, **more):
    raw = (desk.place / name).read_bytes()
    proved = keyless.verify(raw, *who, verifier=Checker)
    return guard.verify(data, [desk.place / name], guard.Trust(identity=f"{who[1]}#{who[0]}"), now=desk.now, proved=[proved], **more)


def test_what_an_identity_signed_verifies_and_only_moves_forward(desk, data):
    def sign(name, version, **how):
        return signing.sign(data, None, About(dataset="signs", version=version), out=desk.place / name, now=desk.now, keyless=fake(**how))

    one = sign("1.sig", 1)
    assert check(desk, data, "1.sig").statement.digest == one.statement.digest
    (desk.place / "2.sig").write_bytes(fake()(one.statement.payload.replace(b'"version": 1,', b'"version": 3,')))
    check(desk, data, "2.sig")
    with pytest.raises(NotTrusted) as caught:
        check(desk, data, "1.sig")
    assert caught.value.reason == "rollback"
    (data / "stop/1.txt").write_text("poison")
    with pytest.raises(NotTrusted, match="not the content"):
        check(desk, data, "2.sig")


def test_a_keyless_signature_without_version_cannot_replace_one_with(desk, data):
    one = signing.sign(data, None, About(dataset="signs"), out=desk.place / "1.sig", now=desk.now, keyless=fake())
    body = json.loads(one.statement.payload)
    del body["predicate"]["bezoar"]
    (desk.place / "bare.sig").write_bytes(fake()(json.dumps(body).encode()))
    check(desk, data, "bare.sig")
    check(desk, data, "1.sig")
    with pytest.raises(NotTrusted) as caught:
        check(desk, data, "bare.sig")
    assert caught.value.reason == "no-version"


def test_another_identity_another_type_and_junk(desk, data):
    signing.sign(data, None, About(dataset="signs"), out=desk.place / "a.sig", now=desk.now, keyless=fake("mallory@example.org"))
    with pytest.raises(NotTrusted, match="not signed by 'ann@example.org'"):
        check(desk, data, "a.sig")
    signing.sign(data, None, About(dataset="signs"), out=desk.place / "b.sig", now=desk.now, keyless=fake(kind="x"))
    with pytest.raises(NotTrusted, match="not a statement"):
        check(desk, data, "b.sig")
    for junk in (b"", b"{}", b'{"says": 1'):
        with pytest.raises(UnreadableInput):
            keyless.verify(junk, *WHO, verifier=Checker)
    with pytest.raises(UsageError):
        guard.Trust(identity="x", public_keys=("y",)).decide([], guard.memory.Memory(), desk.now)
    assert desk.now + timedelta(days=1) > desk.now


def test_the_real_library_refuses_what_is_no_bundle_or_no_trust_root(tmp_path, monkeypatch):
    monkeypatch.undo()
    (tmp_path / "root.json").write_text("{}")
    with pytest.raises(UnreadableInput, match="not a Sigstore bundle"):
        keyless.verify(b"{}", *WHO, trust=tmp_path / "root.json")
    with pytest.raises(UnreadableInput, match="not a trust configuration"):
        keyless.sign(b"x", "token", tmp_path / "root.json")


def test_as_commands(tmp_path, data, said, monkeypatch):
    monkeypatch.undo()
    monkeypatch.setenv("BEZOAR_STATE", str(tmp_path / "s"))
    (tmp_path / "root.json").write_text("{}")
    for words in (["sign", data], ["sign", data, "--keyless", "--trust-config", tmp_path / "root.json", "--identity-token", "x"],
                  ["sign", data, "--keyless", "--key", "k.pem"], ["verify", data, "--identity", "a", "--signature", tmp_path / "root.json"]):
        code, _, err = said(*words)
        assert code == 2 and "Traceback" not in err
    assert not (data.parent / "signs.sig").exists()
