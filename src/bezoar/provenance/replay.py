"""Replay a log and prove its policy again: the right distinct people approved the exact digest under the policy then in force.

    1  every entry is well-formed, its payload is the one that was logged, and its time does not run back more than a minute
    2  a policy follows the one before it, with its signatures
    3  a signed statement has the signatures its rule asks for, and its version rises
    4  an approval is by a member of role `approve`, for this subject, under the policy in force
    5  a promotion has its threshold of approvals by distinct persons, none of whom signed the statement, all under the policy in force
    6  a rollback goes to something that was promoted before and is not revoked

An erased payload is a gap, not a fault: what depended on it cannot be proved any more, and that is said.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

from bezoar.core.errors import BezoarError, UnreadableInput
from bezoar.provenance import entries, envelope, statement, strict, trust
from bezoar.provenance.entries import Entry
from bezoar.provenance.keys import PublicKey
from bezoar.provenance.memory import Domain
from bezoar.provenance.policy import Policy
from bezoar.provenance.tiles import WIDTH, Reader

BACK = timedelta(seconds=60)


@dataclass
class Replayed:
    """`faults` and `gaps` are (entry number, sentence)."""

    entries: int = 0
    faults: list[tuple[int, str]] = field(default_factory=list)
    gaps: list[tuple[int, str]] = field(default_factory=list)
    promoted: list[str] = field(default_factory=list)


class _Fault(Exception):
    pass


class _Gap(Exception):
    pass


class _State:
    def __init__(self) -> None:
        self.domain = Domain()
        self.policy: Policy | None = None
        self.signers: dict[str, list[str]] = {}
        self.versions: dict[str, int] = {}
        self.approvals: dict[tuple[str, str], list[PublicKey]] = {}
        self.promoted: list[str] = []
        self.unknown: set[str] = set()
        self.blind = False

    def rules(self) -> Policy:
        if self.blind:
            raise _Gap("the policy in force was erased")
        if self.policy is None:
            raise _Fault("no policy is in force")
        return self.policy


def replay(folder: str | Path, reader: Reader) -> Replayed:
    """Walk the whole log. Does not raise for what entries hold."""
    out, state, last = Replayed(), _State(), None
    for bundle in range((reader.size + WIDTH - 1) // WIDTH):
        for k, raw in enumerate(reader.bundle(bundle)):
            number = bundle * WIDTH + k
            out.entries += 1
            try:
                entry = entries.parse(raw)
                if last is not None and entry.time < last - BACK:
                    raise _Fault(f"its time, {strict.stamp(entry.time)}, is before that of the entry before it")
                last = entry.time if last is None else max(last, entry.time)
                payload = entries.payload_of(Path(folder), entry)
                if entry.payload and payload is None:
                    state.unknown.add(entry.subject)
                    state.blind = state.blind or entry.kind == "policy"
                    raise _Gap("its payload was erased")
                _STEPS.get(entry.kind, _nothing)(state, entry, payload or b"")
            except _Gap as gap:
                out.gaps.append((number, str(gap)))
            except _Fault as fault:
                out.faults.append((number, str(fault)))
            except BezoarError as error:
                out.faults.append((number, error.message))
    out.promoted = state.promoted
    return out


def _nothing(state: _State, entry: Entry, payload: bytes) -> None:
    pass


def _policy(state: _State, entry: Entry, payload: bytes) -> None:
    body = strict.parse_json(payload, "policy entry")
    text = strict.field(body, "policy", str, "policy entry").encode()
    signed = [envelope.parse(json.dumps(body["signatures"]).encode())] if body.get("signatures") else []
    fresh = trust.step_policy(state.domain, text, signed)
    if entry.subject != fresh.digest:
        raise _Fault("it names another policy than it holds")
    state.policy = fresh


def _sign(state: _State, entry: Entry, payload: bytes) -> None:
    rules = state.rules()
    envelopes = [envelope.parse(part) for part in payload.splitlines() if part.strip()]
    if not envelopes:
        raise _Fault("it holds no signature")
    parsed = statement.parse(envelopes[0].payload)
    if parsed.digest != entry.subject or any(e.payload != envelopes[0].payload for e in envelopes):
        raise _Fault("it names another statement than it holds")
    rule = rules.rule(parsed.about.dataset, parsed.about.kind)
    if rule is None:
        raise _Fault(f"no rule of the policy covers {parsed.title}")
    keys = [k for k in rules.members(rule.signers) if k.id not in state.domain.revoked_keys]
    found = {k.id: k for e in envelopes for k in e.signers(keys)}
    if not rules.enough(rule.signers, list(found.values())):
        raise _Fault(f"{parsed.title} has not the signatures that its rule asks for")
    if parsed.about.version <= state.versions.get(parsed.about.head, 0):
        raise _Fault(f"{parsed.title} does not rise above version {state.versions[parsed.about.head]}")
    state.versions[parsed.about.head] = parsed.about.version
    state.signers[parsed.digest] = _persons(rules, list(found.values()))


def _persons(rules: Policy, keys: list[PublicKey]) -> list[str]:
    ids = {k.id for k in keys}
    return sorted({rules.person(n) for n, k in rules.keys.items() if k.id in ids})


def _approve(state: _State, entry: Entry, payload: bytes) -> None:
    rules = state.rules()
    role = rules.roles.get("approve")
    signed = envelope.parse(payload)
    if role is None or signed.kind != entries.APPROVAL:
        raise _Fault("it is no approval, or the policy names no approvers")
    body = strict.parse_json(signed.payload, "approval")
    if body.get("_type") != "bezoar.approval/1" or body.get("subject") != entry.subject:
        raise _Fault("the approval is for something else")
    if body.get("policy") != rules.digest:
        raise _Fault("the approval was given under another policy than the one in force")
    signers = signed.signers([k for k in rules.members(role) if k.id not in state.domain.revoked_keys])
    if not signers:
        raise _Fault("the approval is by nobody whom the policy names")
    state.approvals.setdefault((entry.subject, rules.digest), []).extend(signers)


def _promote(state: _State, entry: Entry, payload: bytes) -> None:
    rules = state.rules()
    role = rules.roles.get("approve")
    if role is None:
        raise _Fault("the policy names no approvers")
    if entry.subject not in state.signers:
        if entry.subject in state.unknown:
            raise _Gap("what it promotes was erased")
        raise _Fault("it promotes what was never signed into this log")
    if entry.subject in state.domain.revoked_statements:
        raise _Fault("it promotes what was revoked")
    keys = state.approvals.get((entry.subject, rules.digest), [])
    persons = set(_persons(rules, [k for k in keys if k.id not in state.domain.revoked_keys])) - set(state.signers[entry.subject])
    if len(persons) < role.threshold:
        if entry.subject in state.unknown:
            raise _Gap("an approval that it rests on was erased")
        raise _Fault(f"{len(persons)} of {role.threshold} persons other than the signer approved this under the policy in force")
    state.promoted.append(entry.subject)


def _rollback(state: _State, entry: Entry, payload: bytes) -> None:
    if entry.subject in state.domain.revoked_statements:
        raise _Fault("it rolls back to what was revoked")
    if entry.subject not in state.promoted:
        raise _Fault("it rolls back to what was never promoted")


def _revoke(state: _State, entry: Entry, payload: bytes) -> None:
    try:
        trust.accept_newest(state.domain, state.rules(), envelope.parse(payload), entry.time)
    except UnreadableInput as error:
        raise _Fault(error.message) from None


_STEPS = {"policy": _policy, "sign": _sign, "approve": _approve, "promote": _promote, "rollback": _rollback, "revoke": _revoke}
