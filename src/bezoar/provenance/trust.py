"""All rules of trust in one place, without input or output: bytes and memory in, a statement or an error out.

    Policy    1  name and version fit the memory: never another name, never older; the same version is the same text
              2  a newer one is one step newer, signed by the threshold of the one before *and* by its own (hop by hop)
              3  the last one has not expired
    Newest    4  signed by the threshold of role `newest`; of this policy; of its type
              5  never older than seen; the same version is the same bytes; not expired (freeze)
              6  no head sinks and none vanishes; what was revoked stays revoked
    Statement 7  of its type; a rule of the policy fits its dataset and kind (no rule: refused)
              8  signed by the threshold of distinct, unrevoked keys of distinct persons that this rule names
              9  issued before now, not expired, not older than the rule allows
             10  never older than seen here; the same version is the same bytes; the next version names the one before
             11  it is the head of the list of newest versions, where the policy has that role
             12  not revoked; scan verdict, source, record seal and policy digest are what the rule asks for

Where a key leaves the rule, heads that only it had signed are forgotten, so that one who signed version 2147483647 cannot block for ever.
Names of the attacks: Samuel et al. 2010, "Survivable key compromise in software update systems"; The Update Framework 1.0.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from bezoar.core.escape import line
from bezoar.provenance import newest as newest_list
from bezoar.provenance import policy as policies
from bezoar.provenance import statement as statements
from bezoar.provenance.envelope import IN_TOTO, Envelope
from bezoar.provenance.keys import PublicKey
from bezoar.provenance.memory import Domain, Head
from bezoar.provenance.newest import Newest
from bezoar.provenance.policy import Policy, Role
from bezoar.provenance.refusals import NotTrusted
from bezoar.provenance.statement import VERDICTS, Statement

SKEW = timedelta(minutes=5)
"""How far a signer's clock may run ahead of ours."""


def step_policy(domain: Domain, text: bytes, envelopes: Sequence[Envelope]) -> Policy:
    """Rules 1 and 2 for one hop. The first policy of a name is trusted because its user hands it over. Changes `domain`."""
    fresh = policies.parse(text)
    if not domain.policy:
        _learn_policy(domain, None, fresh)
        return fresh
    held = policies.parse(domain.policy.encode())
    if fresh.name != held.name:
        raise NotTrusted("policy-name", f"policy {line(fresh.name)!r} does not follow policy {line(held.name)!r}",
                         advice="give the next version of the same policy")
    if fresh.version < held.version:
        raise NotTrusted("policy-rollback", f"policy {line(fresh.name)!r} version {fresh.version} is older than version {held.version}, "
                         "which was accepted here", advice="use the newest policy")
    if fresh.version == held.version:
        if fresh.digest != held.digest:
            raise NotTrusted("policy-fork",
                             f"policy {line(fresh.name)!r} version {fresh.version} has another text than the one accepted here",
                             advice="a change needs a higher version and its signatures")
        return held
    if fresh.version != held.version + 1:
        raise NotTrusted("policy-gap", f"policy version {fresh.version} does not follow version {held.version}",
                         advice="give every version between them, oldest first, with --policy-chain")
    signatures = [e for e in envelopes if e.kind == policies.TYPE and e.payload == text]
    for which in (held, fresh):
        role = which.roles.get("policy")
        if role is None:
            if which is held:
                break
            raise NotTrusted("role-removed", "the new policy drops the role that guards it", advice="keep [roles.policy]")
        _need_signatures(which, role, signatures, f"policy version {fresh.version} under the rules of version {which.version}")
    _learn_policy(domain, held, fresh)
    return fresh


def _learn_policy(domain: Domain, held: Policy | None, fresh: Policy) -> None:
    if held is not None:
        gone = {k.id for k in held.keys.values()} - {k.id for k in fresh.keys.values()} | fresh.revoked_keys
        domain.heads = {d: h for d, h in domain.heads.items() if not h.signers or set(h.signers) - gone}
        old, new = held.roles.get("newest"), fresh.roles.get("newest")
        if old and (new is None or {k.id for k in held.members(old)} - {k.id for k in fresh.members(new)}):
            domain.newest = []
    domain.policy = fresh.text.decode("utf-8")
    domain.policies = [*domain.policies, fresh.digest]
    domain.revoked_keys = sorted({*domain.revoked_keys, *fresh.revoked_keys})
    domain.revoked_statements = sorted({*domain.revoked_statements, *fresh.revoked_statements})


def check_policy(policy: Policy, now: datetime) -> None:
    """Rule 3."""
    if now > policy.expires:
        raise NotTrusted("policy-expired", f"policy {line(policy.name)!r} version {policy.version} expired on {policy.expires:%Y-%m-%d}",
                         advice="get the newest policy")


def accept_newest(domain: Domain, policy: Policy, envelope: Envelope, now: datetime) -> Newest:
    """Rules 4 to 6. Changes `domain`."""
    fresh = read_newest(domain, policy, envelope)
    if now > fresh.expires or now + SKEW < fresh.issued:
        raise NotTrusted("freeze", f"the list of newest versions ended on {fresh.expires:%Y-%m-%d %H:%M}: a newer one may be withheld",
                         advice="get the newest list")
    check_heads(domain, fresh)
    domain.newest = [fresh.version, fresh.digest]
    domain.revoked_keys = sorted({*domain.revoked_keys, *fresh.revoked_keys})
    domain.revoked_statements = sorted({*domain.revoked_statements, *fresh.revoked_statements})
    return fresh


def read_newest(domain: Domain, policy: Policy, envelope: Envelope) -> Newest:
    """Rules 4 and 5, be the list over or not: what its next version may go on from. Changes nothing."""
    role = policy.roles.get("newest")
    if role is None:
        raise NotTrusted("no-role", "the policy names nobody who may say what is newest", advice="add [roles.newest]")
    if envelope.kind != newest_list.TYPE:
        raise NotTrusted("wrong-type", f"a {line(envelope.kind, 60)!r} is not a list of newest versions",
                         advice="make one with `bezoar policy newest`")
    _need_signatures(policy, role, [envelope], "the list of newest versions", domain)
    fresh = newest_list.parse(envelope.payload)
    if fresh.policy != policy.name:
        raise NotTrusted("mix-and-match", f"the list of newest versions is of policy {line(fresh.policy)!r}",
                         advice="use the list of this policy")
    if domain.newest and fresh.version < domain.newest[0]:
        raise NotTrusted("newest-rollback",
                         f"list {fresh.version} of newest versions is older than list {domain.newest[0]}, which was accepted here",
                         advice="get the newest list")
    if domain.newest and fresh.version == domain.newest[0] and fresh.digest != domain.newest[1]:
        raise NotTrusted("newest-fork", f"list {fresh.version} of newest versions has other content than the one accepted here",
                         advice="show both to the signer: one of them is forged")
    return fresh


def check_heads(domain: Domain, fresh: Newest) -> None:
    """Rule 6."""
    for dataset, head in domain.heads.items():
        listed = fresh.heads.get(dataset)
        if listed is None:
            raise NotTrusted("head-removed", f"{line(dataset)!r} is missing from the list of newest versions", advice="get a whole list")
        if listed[0] < head.version:
            raise NotTrusted("newest-rollback",
                             f"the list says {line(dataset)!r} is at version {listed[0]}; version {head.version} was accepted here",
                             advice="get the newest list")


def accept(domain: Domain, policy: Policy, envelopes: Sequence[Envelope], now: datetime, newest: Newest | None = None,
           any_version: bool = False) -> Statement:
    """Rules 7 to 12. Changes `domain`. `any_version` leaves out rules 10 and 11: a person rolls back on purpose."""
    statement = _parsed(envelopes)
    about = statement.about
    if not about.version:
        raise NotTrusted("no-version", f"{statement.title} has no version, so an older one could stand in for it",
                         advice="sign it with `bezoar sign`, or verify it with --public-key alone")
    rule = policy.rule(about.dataset, about.kind)
    if rule is None:
        raise NotTrusted("no-rule", f"no rule of the policy covers {statement.title}", advice="add a [[rules]] entry")
    keys = [k for k in policy.members(rule.signers) if k.id not in domain.revoked_keys]
    signers = _distinct(envelopes, keys)
    if not policy.enough(rule.signers, signers):
        raise NotTrusted("threshold",
                         f"{statement.title} has {len(signers)} of the {rule.signers.threshold} signatures that its rule asks for",
                         advice="distinct persons with unrevoked keys must sign the same bytes: bezoar sign --cosign")
    if rule.max_age_days and about.issued and now - about.issued > timedelta(days=rule.max_age_days):
        raise NotTrusted("too-old", f"{statement.title} was issued on {about.issued:%Y-%m-%d}, more than {rule.max_age_days:g} days ago",
                         advice="sign a newer version")
    if policy.roles.get("newest") is not None and not any_version:
        if newest is None:
            raise NotTrusted("no-newest", "the policy has a role `newest`, and no list of newest versions was given",
                             advice="give --newest FILE")
        if newest.heads.get(about.head) != newest_list.head_of(statement):
            listed = newest.heads.get(about.head)
            raise NotTrusted("not-newest", f"{statement.title} is not the newest: the list says "
                             + (f"version {listed[0]}" if listed else "nothing about it"), advice="get the newest version")
    if about.policy and about.policy not in domain.policies:
        raise NotTrusted("policy-digest", f"{statement.title} was signed under a policy that was never accepted here",
                         advice="get that policy first")
    if rule.verdict:
        if about.scan is None or about.scan.verdict not in VERDICTS:
            raise NotTrusted("no-verdict", f"{statement.title} carries no scan verdict", advice="bezoar sign --report report.json")
        if VERDICTS.index(about.scan.verdict) < VERDICTS.index(rule.verdict):
            raise NotTrusted("verdict", f"{statement.title} was scanned as {about.scan.verdict!r}; the policy asks for {rule.verdict!r}",
                             advice="clean it, scan again, sign again")
    if rule.sources and about.source not in rule.sources:
        raise NotTrusted("source", f"{statement.title} comes from {line(about.source, 60)!r}, which the policy does not name",
                         advice="sources are: " + ", ".join(line(s, 40) for s in rule.sources))
    if rule.records and about.records is None:
        raise NotTrusted("no-records", f"{statement.title} has no record seal", advice="sign it without --no-records")
    _remember(domain, statement, signers, now, any_version)
    return statement


def accept_bare(domain: Domain, keys: Sequence[PublicKey], envelopes: Sequence[Envelope], now: datetime,
                any_version: bool = False) -> Statement:
    """Rules 8 to 10 where there is no policy: every given key must have signed. Changes `domain`."""
    statement = _parsed(envelopes)
    signers = _distinct(envelopes, keys)
    if len(signers) < len({k.id for k in keys}):
        raise NotTrusted("signature", f"{statement.title} is not signed by " + ("this key" if len(keys) == 1 else "all of these keys"),
                         advice="wrong key, or the signature or its content was changed")
    if not statement.about.version and domain.heads:
        raise NotTrusted("no-version", f"{statement.title} has no version, and this key has signed versions before",
                         advice="an older signature may stand in for a newer one: sign it with `bezoar sign`")
    _remember(domain, statement, signers, now, any_version)
    return statement


def accept_identity(domain: Domain, proved: Envelope, who: str, now: datetime) -> Statement:
    """Rules 9 and 10 for what Sigstore proved to be signed by `who`. Changes `domain`."""
    statement = _parsed([proved])
    if not statement.about.version and domain.heads:
        raise NotTrusted("no-version", f"{statement.title} has no version, and this identity has signed versions before",
                         advice="an older signature may stand in for a newer one: sign it with `bezoar sign`")
    _remember(domain, statement, [], now, False)
    if statement.about.version:
        domain.heads[statement.about.head].signers = [who]
    return statement


def _parsed(envelopes: Sequence[Envelope]) -> Statement:
    if not envelopes:
        raise NotTrusted("no-signature", "there is no signature", advice="give --signature FILE")
    for e in envelopes:
        if e.kind != IN_TOTO:
            raise NotTrusted("wrong-type", f"a {line(e.kind, 60)!r} is not a statement about data",
                             advice="give the bundle that `bezoar sign` wrote")
        if e.payload != envelopes[0].payload:
            raise NotTrusted("mix-and-match", "the signatures are of different statements",
                             advice="all must sign the same bytes: bezoar sign --cosign")
    return statements.parse(envelopes[0].payload)


def _distinct(envelopes: Sequence[Envelope], keys: Sequence[PublicKey]) -> list[PublicKey]:
    found = {k.id: k for e in envelopes for k in e.signers(keys)}
    return list(found.values())


def _need_signatures(policy: Policy, role: Role, envelopes: Sequence[Envelope], what: str, domain: Domain | None = None) -> None:
    keys = [k for k in policy.members(role) if domain is None or k.id not in domain.revoked_keys]
    signers = _distinct(envelopes, keys)
    if not policy.enough(role, signers):
        raise NotTrusted("threshold", f"{what}: {len(signers)} of {role.threshold} signatures",
                         advice="distinct persons with unrevoked keys must sign")


def _remember(domain: Domain, statement: Statement, signers: list[PublicKey], now: datetime, any_version: bool) -> None:
    about = statement.about
    if statement.digest in domain.revoked_statements:
        raise NotTrusted("revoked", f"{statement.title} was revoked", advice="use a newer version")
    if not about.version:
        return
    if about.issued and now + SKEW < about.issued:
        raise NotTrusted("not-yet", f"{statement.title} was issued on {about.issued:%Y-%m-%d %H:%M}, which is in the future",
                         advice="check this machine's clock and the signer's")
    if about.expires and now > about.expires:
        raise NotTrusted("expired", f"{statement.title} expired on {about.expires:%Y-%m-%d}", advice="sign a newer version")
    if any_version:
        return
    head = domain.heads.get(about.head)
    if head is not None:
        if about.version < head.version:
            raise NotTrusted("rollback", f"{statement.title} is older than version {head.version}, which was accepted here",
                             advice="use the newest version")
        if about.version == head.version and statement.digest != head.digest:
            raise NotTrusted("fork",
                             f"{statement.title} is not the version {head.version} that was accepted here: two statements have one version",
                             advice="keep both as evidence and ask the signer")
        if about.version == head.version + 1 and about.previous != head.digest:
            raise NotTrusted("chain", f"{statement.title} does not follow the version {head.version} that was accepted here",
                             advice="ask the signer for the line of versions")
    domain.heads[about.head] = Head(about.version, statement.digest, sorted({k.id for k in signers}))
