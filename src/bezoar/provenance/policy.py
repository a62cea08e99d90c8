"""`bezoar.policy.toml`: who may say what. Read strictly: a word that is not known is an error, not a comment.

    schema = "bezoar.policy/1"
    name = "street signs"
    version = 1
    expires = 2027-12-31T00:00:00Z

    [keys.alice]
    person = "Alice Example"
    public = '''-----BEGIN PUBLIC KEY----- ... '''

    [roles.policy]            # who may change this file; also: newest, approve
    keys = ["alice", "bob"]
    threshold = 2

    [[rules]]                 # the first rule that fits a dataset decides alone
    datasets = ["street-signs", "signs/*"]
    kinds = ["dataset"]
    signers = ["alice", "bob"]
    threshold = 1
    max_age_days = 90         # 0: no limit
    verdict = "no evidence"   # the worst scan verdict that passes; empty: none is asked for
    sources = ["vendor-a"]    # empty: any
    records = true            # a record seal is required

    [log]                     # optional: only what this log holds, cosigned by a quorum of witnesses
    keys = ["example.org/audit+0a1b2c3d+AbCd..."]
    witnesses = []
    quorum = 0

    [revoked]
    keys = []                 # key ids
    statements = []           # SHA-256 of statements
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from fnmatch import fnmatchcase
from hashlib import sha256
from typing import Any

from bezoar.core.errors import UnreadableInput
from bezoar.core.escape import line
from bezoar.provenance.files import fold
from bezoar.provenance.keys import PublicKey
from bezoar.provenance.notes import LOG, WITNESS, Signer
from bezoar.provenance.statement import KINDS, LAST_VERSION, VERDICTS

SCHEMA = "bezoar.policy/1"
TYPE = "application/vnd.bezoar.policy+toml"
ROLES = ("policy", "newest", "approve")
_TOP = {"schema", "name", "version", "expires", "keys", "roles", "rules", "log", "revoked"}


@dataclass(frozen=True)
class Role:
    """`threshold` distinct keys of `keys` (names) are needed, and distinct persons where persons are named."""

    keys: tuple[str, ...]
    threshold: int


@dataclass(frozen=True)
class Rule:
    """What a statement about a matching dataset must fulfil."""

    datasets: tuple[str, ...]
    kinds: tuple[str, ...]
    signers: Role
    max_age_days: float = 0.0
    verdict: str = ""
    sources: tuple[str, ...] = ()
    records: bool = False

    def fits(self, dataset: str, kind: str) -> bool:
        return kind in self.kinds and any(fnmatchcase(dataset, p) for p in self.datasets)


@dataclass(frozen=True)
class LogRule:
    """Which log must hold a statement, and how many of which witnesses must have seen it."""

    keys: tuple[Signer, ...]
    witnesses: tuple[Signer, ...] = ()
    quorum: int = 0


@dataclass(frozen=True)
class Policy:
    """A parsed policy; not yet trusted."""

    text: bytes
    name: str
    version: int
    expires: datetime
    keys: Mapping[str, PublicKey]
    persons: Mapping[str, str]
    roles: Mapping[str, Role]
    rules: tuple[Rule, ...]
    revoked_keys: frozenset[str]
    revoked_statements: frozenset[str]
    log: LogRule | None = None

    @property
    def digest(self) -> str:
        return sha256(self.text).hexdigest()

    def rule(self, dataset: str, kind: str) -> Rule | None:
        """The first rule that fits."""
        return next((r for r in self.rules if r.fits(dataset, kind)), None)

    def enough(self, role: Role, signers: list[PublicKey]) -> bool:
        """Whether distinct keys, of distinct persons, reach the threshold."""
        ids = {k.id for k in signers} - self.revoked_keys
        return len({self.person(name) for name in role.keys if self.keys[name].id in ids}) >= role.threshold

    def person(self, name: str) -> str:
        """Who stands behind a key, for counting: spaces, case and Unicode form make no second person."""
        return fold(" ".join(self.persons.get(name, "").split()) or name)

    def members(self, role: Role) -> list[PublicKey]:
        """The keys of a role that are not revoked."""
        return [self.keys[n] for n in role.keys if self.keys[n].id not in self.revoked_keys]


class _Bad(Exception):
    pass


def _need(ok: bool, sentence: str) -> None:
    if not ok:
        raise _Bad(sentence)


def _known(table: Any, allowed: set[str], where: str) -> dict[str, Any]:
    _need(isinstance(table, dict), f"{where} is not a table")
    for key in table:
        _need(key in allowed, f"{where} has the unknown word {line(key, 40)!r}; known are: {', '.join(sorted(allowed))}")
    return dict(table)


def _texts(value: Any, where: str) -> tuple[str, ...]:
    _need(isinstance(value, list) and all(isinstance(v, str) for v in value), f"{where} is not a list of texts")
    return tuple(value)


def _role(table: Mapping[str, Any], field: str, keys: Mapping[str, PublicKey], where: str) -> Role:
    names = _texts(table.get(field), f"{where}.{field}")
    threshold = table.get("threshold", 1)
    _need(type(threshold) is int and threshold >= 1, f"{where}.threshold is not a whole number of 1 or more")
    _need(len(set(names)) == len(names), f"{where}.{field} names a key twice")
    for n in names:
        _need(n in keys, f"{where}.{field} names {line(n, 40)!r}, and there is no [keys.{line(n, 40)}]")
    _need(len(names) >= threshold, f"{where} asks for {threshold} of {len(names)} keys")
    return Role(names, threshold)


def parse(text: bytes) -> Policy:
    """Raises UnreadableInput with the line or the word that is wrong."""
    try:
        return _parse(text)
    except tomllib.TOMLDecodeError as error:
        raise UnreadableInput(f"the policy is not TOML: {line(error, 200)}", advice="correct it; see docs/how-to/provenance.md") from None
    except (UnicodeDecodeError, RecursionError):
        raise UnreadableInput("the policy is not UTF-8 text", advice="give a bezoar.policy.toml") from None
    except (ValueError, OverflowError):
        raise UnreadableInput("the policy holds a number or a time out of all bounds", advice="correct it") from None
    except _Bad as bad:
        raise UnreadableInput(f"the policy cannot be used: {bad}", advice="correct it; see docs/how-to/provenance.md") from None


def _parse(text: bytes) -> Policy:
    body = _known(tomllib.loads(text.decode("utf-8")), _TOP, "the policy")
    _need(body.get("schema") == SCHEMA, f"schema is not {SCHEMA!r}")
    name, version, expires = body.get("name"), body.get("version"), body.get("expires")
    _need(isinstance(name, str) and 0 < len(name) <= 200 and name.isprintable(), "name is missing")
    _need(type(version) is int and 1 <= version <= LAST_VERSION, "version is not a whole number from 1 on")
    _need(isinstance(expires, datetime) and expires.tzinfo is not None, "expires is not a time with its zone, like 2027-12-31T00:00:00Z")
    keys: dict[str, PublicKey] = {}
    persons: dict[str, str] = {}
    _need(isinstance(body.get("keys", {}), dict), "keys is not a table")
    for label, entry in body.get("keys", {}).items():
        entry = _known(entry, {"public", "person"}, f"keys.{label}")
        _need(isinstance(entry.get("public"), str), f"keys.{line(label, 40)} has no public")
        keys[label] = PublicKey.parse(entry["public"].strip().encode() + b"\n", f"public key of {line(label, 40)!r}")
        persons[label] = entry.get("person", "")
        _need(isinstance(persons[label], str), f"keys.{line(label, 40)}.person is not a text")
    ids = [k.id for k in keys.values()]
    _need(len(set(ids)) == len(ids), "one key stands under two names")
    roles = {r: _role(_known(t, {"keys", "threshold"}, f"roles.{r}"), "keys", keys, f"roles.{r}")
             for r, t in _known(body.get("roles", {}), set(ROLES), "roles").items()}
    rules = []
    _need(isinstance(body.get("rules", []), list), "rules is not a list of tables")
    for i, table in enumerate(body.get("rules", []), 1):
        where = f"rule {i}"
        table = _known(table, {"datasets", "kinds", "signers", "threshold", "max_age_days", "verdict", "sources", "records"}, where)
        kinds, age, verdict = _texts(table.get("kinds", ["dataset"]), f"{where}.kinds"), table.get("max_age_days", 0), table.get("verdict",
                                                                                                                                 "")
        _need(all(k in KINDS for k in kinds), f"{where}.kinds are: {', '.join(KINDS)}")
        _need(isinstance(age, (int, float)) and not isinstance(age, bool) and 0 <= age < 100_000,
              f"{where}.max_age_days is not a number of days")
        _need(verdict in ("", *VERDICTS), f"{where}.verdict is one of: {', '.join(VERDICTS)}")
        _need(isinstance(table.get("records", False), bool), f"{where}.records is not true or false")
        rules.append(Rule(_texts(table.get("datasets"), f"{where}.datasets"), kinds, _role(table, "signers", keys, where), float(age),
                          verdict, _texts(table.get("sources", []), f"{where}.sources"), table.get("records", False)))
    revoked = _known(body.get("revoked", {}), {"keys", "statements"}, "revoked")
    _need(all(len(d) == 64 and set(d) <= set("0123456789abcdef") for k in ("keys", "statements") for d in _texts(revoked.get(k, []), k)),
          "revoked holds something that is not an id: 64 small hexadecimal digits, as `bezoar keygen` prints them")
    log = None
    if "log" in body:
        table = _known(body["log"], {"keys", "witnesses", "quorum"}, "log")
        log = LogRule(tuple(map(Signer.from_vkey, _texts(table.get("keys"), "log.keys"))),
                      tuple(map(Signer.from_vkey, _texts(table.get("witnesses", []), "log.witnesses"))), table.get("quorum", 0))
        _need(bool(log.keys) and type(log.quorum) is int and 0 <= log.quorum <= len(log.witnesses),
              "log asks for more witnesses than it names")
        _need(all(s.kind == LOG for s in log.keys) and all(s.kind == WITNESS for s in log.witnesses),
              "log has the key of a log among its witnesses, or that of a witness among its keys")
        used = [*{s.key.id for s in log.keys}, *(s.key.id for s in log.witnesses), *ids]
        _need(len(set(used)) == len(used), "log: one key serves as log, as witness or as a person's key at once")
    assert isinstance(name, str)
    assert isinstance(version, int)
    assert isinstance(expires, datetime)
    return Policy(text, name, version, expires.astimezone(UTC), keys, persons, roles, tuple(rules),
                  frozenset(_texts(revoked.get("keys", []), "revoked.keys")),
                  frozenset(_texts(revoked.get("statements", []), "revoked.statements")), log)


def template(name: str, keys: Mapping[str, PublicKey], expires: datetime, datasets: tuple[str, ...] = ("*",), threshold: int = 1) -> str:
    """A first policy, to be edited by a person."""
    from bezoar.provenance.strict import stamp

    quoted = ", ".join(f'"{k}"' for k in keys)
    parts = [f'schema = "{SCHEMA}"', f'name = "{name}"', "version = 1", f"expires = {stamp(expires)}", ""]
    for label, key in keys.items():
        parts += [f"[keys.{label}]", f'person = "{label}"', f"public = '''\n{key.pem.decode()}'''", ""]
    for role in ("policy", "newest", "approve"):
        parts += [f"[roles.{role}]", f"keys = [{quoted}]", f"threshold = {threshold if role != 'newest' else 1}", ""]
    listed = ", ".join(f'"{d}"' for d in datasets)
    parts += ["[[rules]]", f"datasets = [{listed}]", 'kinds = ["dataset", "model"]', f"signers = [{quoted}]", f"threshold = {threshold}",
              "max_age_days = 0", 'verdict = ""', "sources = []", "records = false", "", "[revoked]", "keys = []", "statements = []", ""]
    return "\n".join(parts)
