"""The list of heads: for each dataset the newest version, and what was revoked. Signed often and valid briefly, it stops freezing.

One list covers all datasets of a policy, so that old and new cannot be mixed.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from typing import Any

from bezoar.core.errors import UnreadableInput
from bezoar.provenance import strict
from bezoar.provenance.statement import LAST_VERSION, Statement

TYPE = "application/vnd.bezoar.newest+json"
SCHEMA = "bezoar.newest/1"
MOST_HEADS = 100_000


@dataclass(frozen=True)
class Newest:
    """A parsed list of heads; not yet trusted. `heads`: 'kind:dataset' to (version, statement digest)."""

    payload: bytes
    policy: str
    version: int
    issued: datetime
    expires: datetime
    heads: Mapping[str, tuple[int, str]]
    revoked_keys: frozenset[str]
    revoked_statements: frozenset[str]

    @property
    def digest(self) -> str:
        return sha256(self.payload).hexdigest()


def build(policy: str, version: int, issued: datetime, expires: datetime, heads: Mapping[str, tuple[int, str]],
          revoked_keys: frozenset[str] = frozenset(), revoked_statements: frozenset[str] = frozenset()) -> bytes:
    """The bytes to sign."""
    body: dict[str, Any] = {"_type": SCHEMA, "policy": policy, "version": version, "issued": strict.stamp(issued),
                            "expires": strict.stamp(expires),
                            "heads": {k: {"version": v, "digest": d} for k, (v, d) in sorted(heads.items())},
                            "revoked": {"keys": sorted(revoked_keys), "statements": sorted(revoked_statements)}}
    return json.dumps(body, indent=1).encode()


def parse(payload: bytes) -> Newest:
    """Raises UnreadableInput."""
    what = "list of newest versions"
    body = strict.parse_json(payload, what)
    if body.get("_type") != SCHEMA:
        raise UnreadableInput(f"the {what} is of another type", advice="make one with `bezoar policy newest`")
    version = strict.field(body, "version", int, what)
    raw = strict.field(body, "heads", dict, what)
    revoked = strict.field(body, "revoked", dict, what)
    if not 1 <= version <= LAST_VERSION or len(raw) > MOST_HEADS:
        raise UnreadableInput(f"the {what} has an impossible version or size", advice="do not trust its signer")
    heads = {}
    for name, head in raw.items():
        v = strict.field(head, "version", int, what)
        if not 1 <= v <= LAST_VERSION:
            raise UnreadableInput(f"the {what} holds version {v}", advice="do not trust its signer")
        heads[name] = (v, strict.unhex(head.get("digest"), what).hex())
    lists = {k: frozenset(strict.unhex(x, what).hex() for x in strict.field(revoked, k, list, what)) for k in ("keys", "statements")}
    return Newest(payload, strict.field(body, "policy", str, what), version, strict.moment(body.get("issued"), what),
                  strict.moment(body.get("expires"), what), heads, lists["keys"], lists["statements"])


def head_of(statement: Statement) -> tuple[int, str]:
    """What the list says of a statement."""
    return statement.about.version, statement.digest
