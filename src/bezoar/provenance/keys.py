"""Keys: ECDSA on P-256 (default) and P-384 for statements, Ed25519 for the log and its witnesses; PEM files, passphrase-protected.

A key's id is the SHA-256 of its public PEM, the same hint that OpenSSF model-signing writes, so bundles find their key in either tool.
Private keys are PKCS#8; their passphrase is stretched by what the OpenSSL behind `cryptography` offers for PKCS#8, so choose a long one.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256
from pathlib import Path
from typing import Any

from bezoar.core.errors import Unavailable, UnreadableInput, UsageError
from bezoar.provenance import strict
from bezoar.provenance.disk import DISK

KINDS = ("p256", "p384", "ed25519")
PASSPHRASE = "BEZOAR_PASSPHRASE"  # noqa: S105
"""Environment variable that holds the passphrase where nobody can type it."""


def cryptography() -> None:
    """Raises Unavailable where the extra is not installed."""
    try:
        import cryptography  # noqa: F401
    except ImportError:
        raise Unavailable("the package 'cryptography'", advice="pip install 'bezoar[provenance]'") from None


@dataclass(frozen=True)
class PublicKey:
    """A key that verifies. `pem` is its canonical SubjectPublicKeyInfo."""

    pem: bytes
    _key: Any

    @classmethod
    def parse(cls, pem: bytes, what: str = "public key") -> PublicKey:
        """From PEM; raises UnreadableInput for anything but P-256, P-384 and Ed25519."""
        cryptography()
        from cryptography.exceptions import UnsupportedAlgorithm
        from cryptography.hazmat.primitives import serialization

        if b"PRIVATE KEY" in pem:
            raise UnreadableInput(f"the {what} is a private key", advice="give the public.pem beside it, and keep this one secret")
        try:
            key = serialization.load_pem_public_key(pem)
        except (ValueError, TypeError, UnsupportedAlgorithm):
            raise UnreadableInput(f"the {what} is not a public key in PEM", advice="give the public.pem of `bezoar keygen`") from None
        return cls.of(key, what)

    @classmethod
    def of(cls, key: Any, what: str = "public key") -> PublicKey:
        """From a key object of `cryptography`."""
        from cryptography.hazmat.primitives import serialization

        if _kind(key) is None:
            raise UnreadableInput(f"the {what} is of a kind that is not used here", advice="kinds are: " + ", ".join(KINDS))
        return cls(key.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo), key)

    @cached_property
    def id(self) -> str:
        """SHA-256 of the PEM, hexadecimal."""
        return sha256(self.pem).hexdigest()

    @property
    def kind(self) -> str:
        """One of `KINDS`."""
        return _kind(self._key) or ""

    def raw(self) -> bytes:
        """The 32 bytes of an Ed25519 key; UsageError for others."""
        from cryptography.hazmat.primitives import serialization

        if self.kind != "ed25519":
            raise UsageError("the log and its witnesses sign with Ed25519", advice="bezoar keygen --kind ed25519")
        return bytes(self._key.public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw))

    def accepts(self, signature: bytes, data: bytes) -> bool:
        """Whether `signature` is this key's over `data`."""
        from cryptography.exceptions import InvalidSignature
        from cryptography.hazmat.primitives import hashes
        from cryptography.hazmat.primitives.asymmetric import ec

        try:
            if self.kind == "ed25519":
                self._key.verify(signature, data)
            else:
                self._key.verify(signature, data, ec.ECDSA(hashes.SHA256() if self.kind == "p256" else hashes.SHA384()))
        except (InvalidSignature, ValueError):
            return False
        return True


@dataclass(frozen=True)
class PrivateKey:
    """A key that signs."""

    public: PublicKey
    _key: Any

    @classmethod
    def make(cls, kind: str = "p256") -> PrivateKey:
        """A new random key."""
        cryptography()
        from cryptography.hazmat.primitives.asymmetric import ec, ed25519

        if kind not in KINDS:
            raise UsageError(f"no key kind {kind!r}", advice="kinds are: " + ", ".join(KINDS))
        key: Any = (ed25519.Ed25519PrivateKey.generate() if kind == "ed25519" else
                    ec.generate_private_key(ec.SECP256R1() if kind == "p256" else ec.SECP384R1()))
        return cls(PublicKey.of(key.public_key()), key)

    @classmethod
    def parse(cls, pem: bytes, passphrase: str | None = None) -> PrivateKey:
        """From PEM; raises UsageError on a wrong or missing passphrase."""
        cryptography()
        from cryptography.exceptions import UnsupportedAlgorithm
        from cryptography.hazmat.primitives import serialization

        locked = b"ENCRYPTED" in pem
        if locked and not passphrase:
            raise UsageError("the private key is locked and no passphrase was given", advice=f"type it, or set {PASSPHRASE}")
        try:
            key = serialization.load_pem_private_key(pem, passphrase.encode() if locked and passphrase else None)
        except (ValueError, TypeError, UnsupportedAlgorithm):
            if locked:
                raise UsageError("the passphrase does not open the private key", advice="try again; nothing was changed") from None
            raise UnreadableInput("this is not a private key in PEM", advice="give the private.pem of `bezoar keygen`") from None
        return cls(PublicKey.of(key.public_key(), "private key"), key)

    def pem(self, passphrase: str | None = None) -> bytes:
        """PKCS#8, locked when a passphrase is given."""
        from cryptography.hazmat.primitives import serialization

        lock: Any = serialization.BestAvailableEncryption(passphrase.encode()) if passphrase else serialization.NoEncryption()
        return bytes(self._key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, lock))

    def sign(self, data: bytes) -> bytes:
        """DER for ECDSA, 64 bytes for Ed25519."""
        from cryptography.hazmat.primitives import hashes
        from cryptography.hazmat.primitives.asymmetric import ec

        if self.public.kind == "ed25519":
            return bytes(self._key.sign(data))
        return bytes(self._key.sign(data, ec.ECDSA(hashes.SHA256() if self.public.kind == "p256" else hashes.SHA384())))


def _kind(key: Any) -> str | None:
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519

    if isinstance(key, ed25519.Ed25519PublicKey):
        return "ed25519"
    if isinstance(key, ec.EllipticCurvePublicKey):
        return {"secp256r1": "p256", "secp384r1": "p384"}.get(key.curve.name)
    return None


def keygen(out: str | Path, kind: str = "p256", passphrase: str | None = None) -> PublicKey:
    """Write OUT/private.pem (mode 600) and OUT/public.pem; raises UsageError where one exists. Nothing is ever overwritten."""
    out = Path(out)
    for name in ("private.pem", "public.pem"):
        if os.path.lexists(out / name):
            raise UsageError(f"{out / name} exists", advice="give a new folder; keys are never overwritten")
    key = PrivateKey.make(kind)
    DISK.write_file(out / "private.pem", key.pem(passphrase), mode=0o600)
    DISK.write_file(out / "public.pem", key.public.pem)
    return key.public


def load_private(path: str | Path, passphrase: str | None = None) -> PrivateKey:
    """A private key; without `passphrase` the environment variable BEZOAR_PASSPHRASE is tried."""
    return PrivateKey.parse(strict.read_bytes(path, "private key", 1 << 20), passphrase or os.environ.get(PASSPHRASE))


def load_public(path: str | Path) -> PublicKey:
    """A public key."""
    return PublicKey.parse(strict.read_bytes(path, "public key", 1 << 20), f"public key {path}")
