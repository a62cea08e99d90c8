"""Make the next list of newest versions out of nothing that was not checked: the policy, the list before, and every bundle.

A list moves the memory of all who accept it. So its signer looks first: is the policy the one in force, is the list that is carried on
signed by those who may say what is newest and not older than one seen here, is each bundle signed as its rule asks, and does it follow the
head before?
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from copy import deepcopy
from dataclasses import replace
from datetime import datetime, timedelta

from bezoar.core.errors import UsageError
from bezoar.core.escape import line
from bezoar.provenance import memory, newest, strict, trust
from bezoar.provenance import policy as policies
from bezoar.provenance.envelope import Envelope
from bezoar.provenance.guard import Trust
from bezoar.provenance.keys import PrivateKey
from bezoar.provenance.memory import Domain
from bezoar.provenance.newest import Newest
from bezoar.provenance.policy import Policy
from bezoar.provenance.refusals import NotTrusted
from bezoar.provenance.statement import Statement


def next_list(ground: Trust, before: Envelope | None, bundles: Sequence[Envelope], key: PrivateKey, now: datetime, days: float = 7,
              revoked_keys: Iterable[str] = (), revoked_statements: Iterable[str] = ()) -> Envelope:
    """The signed list that follows `before`. `ground` holds the policy, its chain and the memory. Raises NotTrusted; writes nothing."""
    domain, policy = _ground(ground, key, now)
    old = _before(ground, domain, policy, before)
    heads = dict(old.heads) if old else {}
    groups: dict[bytes, list[Envelope]] = {}
    for bundle in bundles:
        groups.setdefault(bundle.payload, []).append(bundle)
    if old is not None:  # what was revoked there is revoked for the bundles too
        domain.revoked_keys = sorted({*domain.revoked_keys, *old.revoked_keys})
        domain.revoked_statements = sorted({*domain.revoked_statements, *old.revoked_statements})
    for signed in sorted((trust.accept(domain, policy, g, now, any_version=True) for g in groups.values()), key=lambda s: s.about.version):
        _follow(heads, signed)
    payload = newest.build(policy.name, old.version + 1 if old else 1, now, now + timedelta(days=days), heads,
                           frozenset(revoked_keys) | (old.revoked_keys if old else frozenset()),
                           frozenset(revoked_statements) | (old.revoked_statements if old else frozenset()))
    trust.check_heads(domain, newest.parse(payload))
    return Envelope(payload, newest.TYPE).signed_by(key)


def cosigned(ground: Trust, listed: Envelope, key: PrivateKey, now: datetime) -> Envelope:
    """One more signature on a list, where the role asks for several. Raises NotTrusted."""
    domain, policy = _ground(ground, key, now)
    if listed.kind != newest.TYPE or newest.parse(listed.payload).policy != policy.name:
        raise NotTrusted("mix-and-match", "this is not a list of newest versions of this policy", advice="give the list of this policy")
    trust.check_heads(domain, newest.parse(listed.payload))
    return listed if listed.signers([key.public]) else listed.signed_by(key)


def remember(ground: Trust, listed: Envelope, now: datetime) -> bool:
    """Keep a list that has all its signatures as the newest seen here; False where signatures are still missing."""
    while True:
        held, before = memory.load(ground.state) if ground.remember else (memory.Memory(), b"")
        fresh = deepcopy(held)
        domain, policy, _ = replace(ground, newest=None).rules(fresh, now)
        try:
            trust.accept_newest(domain, policy, listed, now)
        except NotTrusted as error:
            if error.reason == "threshold":
                return False
            raise
        if not ground.remember or memory.save(ground.state, fresh, before):
            return True


def _ground(ground: Trust, key: PrivateKey, now: datetime) -> tuple[Domain, Policy]:
    """The policy in force, and that this key may say what is newest."""
    held = deepcopy(memory.load(ground.state)[0]) if ground.remember else memory.Memory()
    domain, policy, _ = replace(ground, newest=None).rules(held, now)
    role = policy.roles.get("newest")
    if role is None or key.public.id not in {k.id for k in policy.members(role)} - set(domain.revoked_keys):
        raise NotTrusted("no-role", f"policy {line(policy.name)!r} does not let this key say what is newest",
                         advice="sign with an unrevoked key of [roles.newest]")
    return domain, policy


def _before(ground: Trust, domain: Domain, policy: Policy, before: Envelope | None) -> Newest | None:
    """The list to carry on, checked under the policy in force, or under an older one of the chain where its signers have left since."""
    if before is None:
        if domain.newest:
            raise UsageError(f"list {domain.newest[0]} of newest versions was accepted here, and there is none to carry on",
                             advice="give its place as --out, so that no revocation is lost")
        return None
    older = [policies.parse(strict.read_bytes(p, "policy", 16 << 20)) for p in reversed(ground.chain)]
    said: NotTrusted | None = None
    for rules in (policy, *(p for p in older if p.digest in domain.policies)):
        try:
            return trust.read_newest(domain, rules, before)
        except NotTrusted as error:
            if error.reason not in ("threshold", "no-role"):
                raise
            said = said or error
    assert said is not None
    raise NotTrusted(said.reason, f"the list that would be carried on is not trusted: {said.message}",
                     advice="get the true list; if [roles.newest] changed since it was signed, give the older policy with --policy-chain")


def _follow(heads: dict[str, tuple[int, str]], signed: Statement) -> None:
    head, (version, digest) = signed.about.head, heads.get(signed.about.head, (0, ""))
    if signed.about.version < version:
        raise NotTrusted("rollback", f"{signed.title} is older than version {version}, which the list names",
                         advice="give the newest bundle")
    if signed.about.version == version and signed.digest != digest:
        raise NotTrusted("fork", f"{signed.title} is not the version {version} that the list names", advice="sign it as a new version")
    if signed.about.version == version + 1 and digest and signed.about.previous != digest:
        raise NotTrusted("chain", f"{signed.title} does not follow the version {version} that the list names",
                         advice="bezoar sign --previous")
    heads[head] = newest.head_of(signed)
