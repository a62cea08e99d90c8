"""Replay a log and prove its policy again: the right distinct people approved the exact digest under the policy then in force.

    1  every entry is well-formed, its payload is the one that was logged, and its time does not run back more than a minute
    2  a policy follows the one before it, with its signatures
    3  a signed statement is signed by somebody whom its rule names, and its version rises; further signatures of the same bytes add up
    4  an approval is by a member of role `approve`, for this subject, under the policy in force
    5  a promotion has the signatures that the rule in force asks for *now*, and its threshold of approvals by distinct keys of distinct
       persons of the role, all under the policy in force, none of them by a person whose key, in any rule or role, signed the statement
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
from bezoar.provenance.envelope import Envelope
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
        self.folder = Path()
        self.signed: dict[str, list[Entry]] = {}
        """The entries that hold a statement's signatures, by its digest; their payloads are read again where they count."""
        self.signers: dict[str, set[str]] = {}
        """Persons behind the keys that signed a statement, under every policy that was in force while it was signed."""
        self.waiting: dict[str, int] = {}
        """Statements that lack signatures, and the number of their first entry."""
        self.versions: dict[str, int] = {}
        self.approvals: dict[tuple[str, str], list[PublicKey]] = {}
        self.promoted: list[str] = []
        self.unknown: set[str] = set()
        self.blind = False
        self.number = 0

    def rules(self) -> Policy:
        if self.blind:
            raise _Gap("the policy in force was erased")
        if self.policy is None:
            raise _Fault("no policy is in force")
        return self.policy


def replay(folder: str | Path, reader: Reader) -> Replayed:
    """Walk the whole log. Does not raise for what entries hold."""
    out, state, last = Replayed(), _State(), None
    state.folder = Path(folder)
    for bundle in range((reader.size + WIDTH - 1) // WIDTH):
        for k, raw in enumerate(reader.bundle(bundle)):
            number = bundle * WIDTH + k
            out.entries += 1
            state.number = number
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
    out.gaps += [(number, f"what it signed has not all the signatures yet that its rule asks for ({digest[:16]})")
                 for digest, number in state.waiting.items()]
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
    envelopes = _envelopes(payload)
    parsed = statement.parse(envelopes[0].payload)
    if parsed.digest != entry.subject or any(e.payload != envelopes[0].payload for e in envelopes):
        raise _Fault("it names another statement than it holds")
    rule = rules.rule(parsed.about.dataset, parsed.about.kind)
    if rule is None:
        raise _Fault(f"no rule of the policy covers {parsed.title}")
    if not _proved(envelopes, [k for k in rules.members(rule.signers) if k.id not in state.domain.revoked_keys]):
        raise _Fault(f"{parsed.title} has no signature by anybody whom its rule names")
    if parsed.digest not in state.signed and parsed.about.version <= state.versions.get(parsed.about.head, 0):
        raise _Fault(f"{parsed.title} does not rise above version {state.versions[parsed.about.head]}")
    state.versions[parsed.about.head] = max(parsed.about.version, state.versions.get(parsed.about.head, 0))
    state.signed.setdefault(parsed.digest, []).append(entry)
    missing = _missing(state, rules, parsed.digest)
    if missing:
        state.waiting.setdefault(parsed.digest, state.number)
    else:
        state.waiting.pop(parsed.digest, None)


def _envelopes(payload: bytes) -> list[Envelope]:
    found = [envelope.parse(part) for part in payload.splitlines() if part.strip()]
    if not found:
        raise _Fault("it holds no signature")
    return found


def _proved(envelopes: list[Envelope], keys: list[PublicKey]) -> list[PublicKey]:
    return list({k.id: k for e in envelopes for k in e.signers(keys)}.values())


def _missing(state: _State, rules: Policy, digest: str) -> str:
    """What a statement lacks under `rules`, in words, empty where it lacks nothing; learns who signed it."""
    envelopes = [e for entry in state.signed[digest] for e in _envelopes(entries.payload_of(state.folder, entry) or b"")]
    about = statement.parse(envelopes[0].payload).about
    state.signers.setdefault(digest, set()).update(_persons(rules, _proved(envelopes, list(rules.keys.values()))))
    rule = rules.rule(about.dataset, about.kind)
    if rule is None:
        return "no rule of the policy in force covers it"
    keys = _proved(envelopes, [k for k in rules.members(rule.signers) if k.id not in state.domain.revoked_keys])
    if not rules.enough(rule.signers, keys):
        return f"it has {len(_persons(rules, keys))} of the {rule.signers.threshold} signatures that the rule in force asks for"
    return ""


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
    if entry.subject not in state.signed:
        if entry.subject in state.unknown:
            raise _Gap("what it promotes was erased")
        raise _Fault("it promotes what was never signed into this log")
    if entry.subject in state.domain.revoked_statements:
        raise _Fault("it promotes what was revoked")
    missing = _missing(state, rules, entry.subject)
    if missing:
        if entry.subject in state.unknown:
            raise _Gap("a signature that it rests on was erased")
        raise _Fault(f"what it promotes is not signed as it should be: {missing}")
    members = {k.id for k in rules.members(role)} - set(state.domain.revoked_keys)
    keys = {k.id: k for k in state.approvals.get((entry.subject, rules.digest), []) if k.id in members}
    persons = set(_persons(rules, list(keys.values()))) - state.signers[entry.subject]
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
