"""DSSE: a signature over exact bytes and their type. What was signed is kept as it came and never serialised again.

Threshold counts distinct keys: one key that signs twice counts once, whatever the key ids say; key ids are hints only.
Format: https://github.com/secure-systems-lab/dsse (v1); stored inside a Sigstore bundle v0.3 as OpenSSF model-signing does.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from bezoar.core.errors import UnreadableInput
from bezoar.provenance import strict
from bezoar.provenance.keys import PrivateKey, PublicKey

IN_TOTO = "application/vnd.in-toto+json"
BUNDLE = "application/vnd.dev.sigstore.bundle.v0.3+json"
MOST_SIGNATURES = 64


@dataclass(frozen=True)
class Envelope:
    """Bytes, their type, and signatures as (hint, signature). Nothing here is verified yet."""

    payload: bytes
    kind: str
    signatures: tuple[tuple[str, bytes], ...] = ()

    def signers(self, keys: Iterable[PublicKey]) -> list[PublicKey]:
        """Which of `keys` really signed: each at most once, in the given order."""
        what = pae(self.kind, self.payload)
        found: dict[str, PublicKey] = {}
        for key in keys:
            if key.id not in found and any(key.accepts(signature, what) for _, signature in self.signatures):
                found[key.id] = key
        return list(found.values())

    def signed_by(self, key: PrivateKey) -> Envelope:
        """The same bytes with one more signature."""
        return Envelope(self.payload, self.kind, (*self.signatures, (key.public.id, key.sign(pae(self.kind, self.payload)))))

    def to_dict(self) -> dict[str, Any]:
        """The DSSE envelope."""
        return {"payload": base64.b64encode(self.payload).decode(), "payloadType": self.kind,
                "signatures": [{"sig": base64.b64encode(s).decode(), "keyid": hint} for hint, s in self.signatures]}

    def to_json(self) -> bytes:
        """The envelope as a file."""
        return json.dumps(self.to_dict()).encode() + b"\n"

    def bundle(self) -> bytes:
        """The envelope with its one signature as a Sigstore bundle, which `model_signing verify key` accepts."""
        if len(self.signatures) != 1:
            raise ValueError("a bundle carries one signature")
        hint, signature = self.signatures[0]
        body = {"mediaType": BUNDLE, "verificationMaterial": {"publicKey": {"hint": hint}, "tlogEntries": []},
                "dsseEnvelope": {"payload": base64.b64encode(self.payload).decode(), "payloadType": self.kind,
                                 "signatures": [{"sig": base64.b64encode(signature).decode(), "keyid": ""}]}}
        return json.dumps(body).encode() + b"\n"


def pae(kind: str, payload: bytes) -> bytes:
    """What is signed: the type and the bytes, each behind its length in bytes.

    >>> pae("http://example.com/HelloWorld", b"hello world")
    b'DSSEv1 29 http://example.com/HelloWorld 11 hello world'
    """
    name = kind.encode("utf-8")
    return b"DSSEv1 %d %b %d %b" % (len(name), name, len(payload), payload)


def parse(data: bytes, what: str = "signature") -> Envelope:
    """A DSSE envelope, bare or in a Sigstore bundle; raises UnreadableInput. Verifies nothing."""
    body = strict.parse_json(data, what)
    hint = ""
    if "mediaType" in body or "dsseEnvelope" in body:
        if body.get("mediaType") != BUNDLE:
            raise UnreadableInput(f"the {what} is a bundle of another kind: {str(body.get('mediaType'))[:80]!r}",
                                  advice=f"bezoar reads {BUNDLE}")
        material = strict.field(body, "verificationMaterial", dict, what)
        if "publicKey" not in material:
            raise UnreadableInput(f"the {what} was made with a certificate, not with a key",
                                  advice="model_signing verify sigstore reads it")
        hint = str(strict.field(material, "publicKey", dict, what).get("hint") or "")
        body = strict.field(body, "dsseEnvelope", dict, what)
    kind = strict.field(body, "payloadType", str, what)
    listed = strict.field(body, "signatures", list, what)
    if not kind or not 1 <= len(listed) <= MOST_SIGNATURES:
        raise UnreadableInput(f"the {what} has no type or no signature", advice="it is damaged or of another tool")
    signatures = tuple((str(entry.get("keyid") or hint) if isinstance(entry, dict) else "",
                        strict.unbase64(strict.field(entry, "sig", str, what), what)) for entry in listed)
    return Envelope(strict.unbase64(strict.field(body, "payload", str, what), what), kind, signatures)


def payload(data: bytes, what: str = "signature") -> bytes:
    """What a bundle of any kind, also one with a certificate, is about. Verifies nothing; raises UnreadableInput."""
    body = strict.parse_json(data, what)
    return strict.unbase64(strict.field(body.get("dsseEnvelope", body), "payload", str, what), what)
