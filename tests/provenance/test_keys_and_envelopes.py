"""Keys, and DSSE envelopes: the published cases of the format and every one-byte change of a bundle."""

import base64
import json
import os
import stat

import pytest

from bezoar.core.errors import UnreadableInput, UsageError
from bezoar.provenance import keys as keyring
from bezoar.provenance.envelope import IN_TOTO, Envelope, pae, parse
from bezoar.provenance.keys import PrivateKey, PublicKey


@pytest.mark.parametrize("kind", keyring.KINDS)
def test_keys_round_trip_and_sign(kind, tmp_path):
    public = keyring.keygen(tmp_path / "k", kind, "correct horse")
    assert stat.S_IMODE(os.stat(tmp_path / "k/private.pem").st_mode) == 0o600
    private = keyring.load_private(tmp_path / "k/private.pem", "correct horse")
    assert private.public.id == public.id == keyring.load_public(tmp_path / "k/public.pem").id and public.kind == kind
    signature = private.sign(b"data")
    assert public.accepts(signature, b"data")
    assert not public.accepts(signature, b"date") and not public.accepts(b"", b"data") and not public.accepts(signature + b"\0", b"data")


def test_a_wrong_or_missing_passphrase_is_one_sentence(tmp_path):
    keyring.keygen(tmp_path / "k", passphrase="correct horse")
    for secret in (None, "", "wrong"):
        with pytest.raises(UsageError, match="passphrase"):
            keyring.load_private(tmp_path / "k/private.pem", secret)


def test_nothing_is_overwritten(tmp_path):
    keyring.keygen(tmp_path / "k")
    before = (tmp_path / "k/private.pem").read_bytes()
    with pytest.raises(UsageError, match="exists"):
        keyring.keygen(tmp_path / "k")
    assert (tmp_path / "k/private.pem").read_bytes() == before


@pytest.mark.parametrize("pem", [b"", b"-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n", b"\xff\xfe", b"x" * 9000])
def test_what_is_no_key_is_said_to_be_none(pem):
    with pytest.raises(UnreadableInput, match="not a public key"):
        PublicKey.parse(pem)


def test_a_private_key_or_an_rsa_key_is_refused_as_public_key(keys):
    with pytest.raises(UnreadableInput, match="private key"):
        PublicKey.parse(keys["alice"].pem())
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import rsa

    pem = rsa.generate_private_key(65537, 2048).public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    with pytest.raises(UnreadableInput, match="not used here"):
        PublicKey.parse(pem)


def envelope(key, payload=b"hello", kind="http://example.com/x"):
    return Envelope(payload, kind).signed_by(key)


def test_published_cases_of_the_format_are_accepted(keys):
    alice = keys["alice"]
    assert pae("http://example.com/HelloWorld", b"hello world") == b"DSSEv1 29 http://example.com/HelloWorld 11 hello world"
    for payload, kind in ((b"hello", "t"), (b"", "t"), (b"\xff\x00", "t"), (b"x", "tüpe")):  # empty payload, length of a type in bytes
        body = json.loads(envelope(alice, payload, kind).to_json())
        assert parse(json.dumps(body).encode()).signers([alice.public])
        safe = {**body, "payload": body["payload"].replace("+", "-").replace("/", "_")}
        assert parse(json.dumps(safe).encode()).signers([alice.public])
        del body["signatures"][0]["keyid"]
        assert parse(json.dumps(body).encode()).signers([alice.public])
    assert pae("ü", b"").startswith(b"DSSEv1 2 ")


def test_a_swapped_type_or_payload_is_not_signed(keys):
    e = envelope(keys["alice"])
    assert not Envelope(e.payload, "http://example.com/y", e.signatures).signers([keys["alice"].public])
    assert not Envelope(b"hellp", e.kind, e.signatures).signers([keys["alice"].public])
    assert not Envelope(e.payload[:-1], e.kind + "o", e.signatures).signers([keys["alice"].public])


@pytest.mark.parametrize("change", [{"payloadType": ""}, {"signatures": []}, {"payload": "*"}, {"payload": 5}, {"signatures": "x"},
                                    {"signatures": [{}]}, {"signatures": [7]}, {"signatures": [{"sig": "A"}]}, {"payload": "aGVsbG8"},
                                    {"payloadType": None}, {"payload": "ä"}])
def test_malformed_envelopes_are_refused(keys, change):
    body = {**json.loads(envelope(keys["alice"]).to_json()), **change}
    with pytest.raises(UnreadableInput):
        parse(json.dumps(body).encode())


def test_one_key_counts_once(keys):
    alice, bob = keys["alice"], keys["bob"]
    e = envelope(alice).signed_by(alice)
    assert len(e.signatures) == 2 and e.signatures[0][1] != e.signatures[1][1]
    assert [k.id for k in e.signers([alice.public, alice.public, bob.public])] == [alice.public.id]
    lying = Envelope(e.payload, e.kind, ((bob.public.id, e.signatures[0][1]),))
    assert [k.id for k in lying.signers([alice.public, bob.public])] == [alice.public.id]


def test_a_bad_signature_beside_a_good_one_does_not_hide_it(keys):
    e = envelope(keys["alice"])
    mixed = Envelope(e.payload, e.kind, (("", b"junk"), *e.signatures, ("", b"")))
    assert mixed.signers([keys["alice"].public])


def test_every_changed_byte_of_a_bundle_is_refused_or_changes_nothing(keys):
    alice = keys["alice"]
    good = Envelope(b'{"a": "statement"}', IN_TOTO).signed_by(alice).bundle()
    payload = parse(good).payload
    accepted = 0
    for i in range(len(good)):
        for flip in (1, 0x20, 0x80):
            bad = bytearray(good)
            bad[i] ^= flip
            try:
                e = parse(bytes(bad))
            except UnreadableInput:
                continue
            if e.signers([alice.public]):
                accepted += 1
                assert e.payload == payload and e.kind == IN_TOTO  # a byte nobody signs: the hint, white space
    assert accepted < len(good) * 3 * 0.35  # the hint and the key names of JSON that nobody reads
    for end in range(len(good) - 1):
        with pytest.raises(UnreadableInput):
            parse(good[:end])


@pytest.mark.parametrize("text", ['{"a": 1, "a": 2}', '{"a": NaN}', '[1]', '{"a": Infinity}', "{" * 5000, '{"a":' * 3000 + "1" + "}" * 3000, "",
                                  "\ufeff{}"])
def test_json_is_read_strictly(text):
    with pytest.raises(UnreadableInput):
        parse(text.encode())


def test_url_safe_and_standard_base64_are_one():
    raw = bytes(range(248, 256)) * 3
    from bezoar.provenance.strict import unbase64

    assert unbase64(base64.b64encode(raw).decode(), "x") == unbase64(base64.urlsafe_b64encode(raw).decode(), "x") == raw


def test_ed25519_accepts_what_the_standard_says():
    """Known answer of RFC 8032 section 7.1, test 2: the accept-set does not depend on the backend."""
    from cryptography.hazmat.primitives.asymmetric import ed25519

    raw = bytes.fromhex("3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c")
    signature = bytes.fromhex("92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00")
    key = PublicKey.of(ed25519.Ed25519PublicKey.from_public_bytes(raw))
    assert key.accepts(signature, b"\x72") and not key.accepts(signature, b"\x73") and key.raw() == raw
    assert PrivateKey.make("ed25519").public.kind == "ed25519"


def test_bundles_of_other_kinds_are_said_to_be_so(keys):
    e = envelope(keys["alice"])
    with pytest.raises(ValueError, match="one signature"):
        e.signed_by(keys["bob"]).bundle()
    body = json.loads(e.bundle())
    for change, words in (({"mediaType": "application/vnd.dev.sigstore.bundle+json;version=0.1"}, "another kind"), ({"mediaType": None}, "another kind"),
                          ({"verificationMaterial": {"certificate": {"rawBytes": "AAAA"}}}, "with a certificate"), ({"verificationMaterial": 5}, "proper")):
        with pytest.raises(UnreadableInput, match=words):
            parse(json.dumps({**body, **change}).encode())
