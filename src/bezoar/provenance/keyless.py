"""Signing without keeping a key: Sigstore gives a short-lived certificate for an identity and logs its use. Needs a network to sign.

All cryptography and all checks of certificates and of Sigstore's log are left to the `sigstore` library; what is signed are the same
exact bytes as with a key, so `model_signing verify sigstore` reads the bundles too. Verification works offline once the trust root is at
hand.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from bezoar.core.errors import Unavailable, UnreadableInput
from bezoar.core.escape import line
from bezoar.provenance import strict
from bezoar.provenance.envelope import IN_TOTO, Envelope
from bezoar.provenance.refusals import NotTrusted

CLIENT = "sigstore"


def _library() -> Any:
    try:
        import sigstore.models as models
    except ImportError:
        raise Unavailable("the package 'sigstore'", advice="pip install 'bezoar[keyless]'") from None
    return models


def _config(trust: str | Path | None, offline: bool) -> Any:
    """The trust root: a file, or Sigstore's own (fetched, or as cached)."""
    models = _library()
    try:
        if trust is not None:
            return models.ClientTrustConfig.from_json(strict.read_bytes(trust, "trust configuration", 16 << 20).decode("utf-8"))
        return models.ClientTrustConfig.production(offline=offline)
    except UnreadableInput:
        raise
    except Exception as error:
        if trust is not None:
            raise UnreadableInput(f"{trust} is not a trust configuration of Sigstore",
                                  advice="give the file of your own Sigstore") from error
        raise Unavailable("a network, or a cached trust root of Sigstore", advice="sign with --key, or give --trust-config") from error


def sign(payload: bytes, token: str | None = None, trust: str | Path | None = None) -> bytes:
    """A bundle over exactly `payload`. `token`: an identity token; else the one of the CI runner, else a browser is opened."""
    config = _config(trust, False)
    from sigstore import dsse, oidc
    from sigstore.sign import SigningContext

    try:
        raw = token or oidc.detect_credential()
        identity = oidc.IdentityToken(raw) if raw else oidc.Issuer(config.signing_config.get_oidc_url()).identity_token()
        with SigningContext.from_trust_config(config).signer(identity) as signer:
            return str(signer.sign_dsse(dsse.Statement(payload)).to_json()).encode() + b"\n"
    except Exception as error:
        raise Unavailable(f"Sigstore ({line(error, 160)})",
                          advice="is there a network, and is the token fresh? nothing was written") from error


def verify(raw: bytes, identity: str, issuer: str, trust: str | Path | None = None, offline: bool = False,
           verifier: Callable[[Any], Any] | None = None) -> Envelope:
    """What `identity` (as told by `issuer`) signed; raises NotTrusted. The signature needs no more checking: it carries none of a key."""
    models = _library()
    from sigstore.errors import Error
    from sigstore.verify import Verifier
    from sigstore.verify.policy import Identity

    strict.parse_json(raw, "signature")
    try:
        bundle = models.Bundle.from_json(raw)
    except Exception as error:
        raise UnreadableInput("the signature is not a Sigstore bundle with a certificate", advice="for a key give --public-key") from error
    config = _config(trust, offline)
    checker = verifier(config) if verifier else Verifier(trusted_root=config.trusted_root)
    try:
        kind, payload = checker.verify_dsse(bundle, Identity(identity=identity, issuer=issuer))
    except Error as error:
        raise NotTrusted("identity", f"not signed by {line(identity, 80)!r}: {line(error, 200)}",
                         advice="another identity or issuer, or a changed signature") from error
    if kind != IN_TOTO:
        raise NotTrusted("wrong-type", f"a {line(kind, 60)!r} is not a statement about data",
                         advice="give the bundle that `bezoar sign` wrote")
    return Envelope(bytes(payload), kind)
