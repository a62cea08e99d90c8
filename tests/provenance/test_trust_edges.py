"""Edges of trust: what a refusal must not undo, who counts as one person, and policies and memories that only look right."""

import json
from datetime import UTC, datetime, timedelta

import pytest

from bezoar.core.errors import UnreadableInput
from bezoar.provenance import envelope, memory, newest, policy, statement, trust
from bezoar.provenance.envelope import Envelope
from bezoar.provenance.keys import PrivateKey
from bezoar.provenance.notes import WITNESS, Signer
from bezoar.provenance.refusals import NotTrusted

NOW = datetime(2027, 3, 1, 12, tzinfo=UTC)
LOG, SEEN = PrivateKey.make("ed25519"), PrivateKey.make("ed25519")


def text(keys, version=1, *, name="p", listed=("alice", "bob", "carol"), signers=("alice", "bob"), threshold=1, persons=None, more="", lists=True):
    parts = [f'schema = "bezoar.policy/1"\nname = "{name}"\nversion = {version}\nexpires = 2028-01-01T00:00:00Z\n']
    for who in listed:
        parts.append(f"[keys.{who}]\nperson = {json.dumps((persons or {}).get(who, who))}\npublic = '''\n{keys[who].public.pem.decode()}'''\n")
    parts.append('[roles.policy]\nkeys = ["alice"]\n' + ('[roles.newest]\nkeys = ["carol"]\n' if lists else ""))
    parts.append(f'[[rules]]\ndatasets = ["*"]\nsigners = {json.dumps(list(signers))}\nthreshold = {threshold}\n{more}')
    return "".join(parts).encode()


def listing(keys, version, *bundles, revoked=(), name="p"):
    heads = {}
    for b in bundles:
        signed = statement.parse(envelope.parse(b.read_bytes()).payload)
        heads[signed.about.head] = newest.head_of(signed)
    payload = newest.build(name, version, NOW, NOW + timedelta(days=5), heads, frozenset(), frozenset(revoked))
    return Envelope(payload, newest.TYPE).signed_by(keys["carol"]).to_json()


def test_a_revocation_that_was_shown_once_stays_although_the_data_was_refused(desk, data, keys):
    """Before, memory moved only when all passed: the older list, still unexpired, brought the revoked statement back."""
    rules, old, new = (desk.place / n for n in ("p.toml", "old.json", "new.json"))
    rules.write_bytes(text(keys))
    bundle = desk.sign(data)
    digest = statement.parse(envelope.parse(bundle.read_bytes()).payload).digest
    old.write_bytes(listing(keys, 1, bundle))
    new.write_bytes(listing(keys, 2, bundle, revoked=[digest]))
    with pytest.raises(NotTrusted) as caught:
        desk.verify(data, policy=rules, newest=new)
    assert caught.value.reason == "revoked"
    with pytest.raises(NotTrusted) as caught:
        desk.verify(data, policy=rules, newest=old)
    assert caught.value.reason == "newest-rollback"


def test_a_newer_policy_stays_although_the_data_was_refused_and_a_draft_does_not(desk, data, keys):
    rules = desk.place / "p.toml"
    rules.write_bytes(text(keys, lists=False, signers=("bob",)))
    desk.sign(data)
    with pytest.raises(NotTrusted):
        desk.verify(data, policy=rules)
    rules.write_bytes(text(keys, lists=False))  # a draft that never let anything pass may be edited
    desk.verify(data, policy=rules)
    second = text(keys, 2, lists=False, signers=("bob",))
    rules.write_bytes(second)
    (desk.place / "p.toml.sig").write_bytes(Envelope(second, policy.TYPE).signed_by(keys["alice"]).to_json())
    with pytest.raises(NotTrusted) as caught:
        desk.verify(data, policy=rules)
    assert caught.value.reason == "threshold"
    rules.write_bytes(text(keys, lists=False))
    with pytest.raises(NotTrusted) as caught:
        desk.verify(data, policy=rules)
    assert caught.value.reason == "policy-rollback"


def test_a_policy_of_another_name_does_not_follow(keys):
    """Its signers may be the same persons; it is another policy all the same."""
    domain = memory.Domain()
    trust.step_policy(domain, text(keys), [])
    other = text(keys, 2, name="q", signers=("bob",))
    with pytest.raises(NotTrusted) as caught:
        trust.step_policy(domain, other, [Envelope(other, policy.TYPE).signed_by(keys["alice"])])
    assert caught.value.reason == "policy-name"


def test_a_head_that_one_of_two_signers_leaves_is_still_remembered(desk, keys):
    """Only heads that *nobody but* the lost key signed are forgotten; else removing a key would let older versions back in."""
    domain = memory.Domain()
    trust.step_policy(domain, text(keys), [])
    both = sorted(keys[k].public.id for k in ("alice", "bob"))
    domain.heads = {"dataset:both": memory.Head(5, "5" * 64, both), "dataset:one": memory.Head(9, "9" * 64, [keys["bob"].public.id])}
    after = text(keys, 2, listed=("alice", "carol"), signers=("alice",))
    trust.step_policy(domain, after, [Envelope(after, policy.TYPE).signed_by(keys["alice"])])
    assert set(domain.heads) == {"dataset:both"}


@pytest.mark.parametrize("twin", ["Alice  Example", "alice example", "Alice\u00a0Example", "\uff21lice Example"])
def test_one_person_with_two_keys_is_one_person_however_the_name_is_written(keys, twin):
    rules = policy.parse(text(keys, threshold=2, persons={"alice": "Alice Example", "bob": twin}))
    assert not rules.enough(rules.rules[0].signers, [keys["alice"].public, keys["bob"].public])


def logged(log=LOG.public, seen=SEEN.public, log_kind=1, kind=WITNESS, quorum=1):
    return (f'[log]\nkeys = ["{Signer("example.org/l", log, log_kind).vkey}"]\nwitnesses = ["{Signer("w.example/1", seen, kind).vkey}"]\n'
            f"quorum = {quorum}\n")


@pytest.mark.parametrize("more", [
    '[revoked]\nkeys = ["bob"]\n', f'[revoked]\nkeys = ["{"A" * 64}"]\n', '[revoked]\nstatements = ["1234"]\n',
    logged(seen=LOG.public), logged(kind=1), logged(log_kind=WITNESS), "max_age_days = " + "9" * 5000 + "\n"],
    ids=["a name", "capitals", "a beginning", "log is its witness", "a log as witness", "a witness as log", "digits"])
def test_a_policy_that_only_looks_right_is_refused(keys, more):
    """A revocation by name revoked nothing, and a log that cosigned itself made a quorum."""
    policy.parse(text(keys, more=logged()))
    with pytest.raises(UnreadableInput):
        policy.parse(text(keys, more=more))


def test_the_key_of_a_person_is_not_the_key_of_the_log():
    own = {n: PrivateKey.make("ed25519") for n in ("alice", "bob", "carol")}
    with pytest.raises(UnreadableInput, match="at once"):
        policy.parse(text(own, more=logged(log=own["alice"].public)))


@pytest.mark.parametrize("change", [(b"[keys.alice]", b"keys = 5\n[rest.alice]"), (b"2028-01-01T00:00:00Z", b"0001-01-01T00:00:00+14:00"),
                                    (b'person = "alice"', b"person = 7")])
def test_odd_values_in_a_policy_are_said_and_do_not_crash(keys, change):
    with pytest.raises(UnreadableInput):
        policy.parse(text(keys, listed=("alice",), signers=("alice",), lists=False).replace(*change))


def test_a_statement_from_the_end_of_time_is_refused_and_does_not_crash(desk, data, keys):
    rules = desk.place / "p.toml"
    rules.write_bytes(text(keys, lists=False, more="max_age_days = 90\n"))
    desk.sign(data, now=datetime(9999, 12, 30, tzinfo=UTC), days=1)
    with pytest.raises(NotTrusted) as caught:
        desk.verify(data, policy=rules)
    assert caught.value.reason == "not-yet"


@pytest.mark.parametrize("left", [b"", b"{"])
def test_a_memory_that_lost_its_content_is_not_an_empty_one(desk, data, tmp_path, left):
    desk.sign(data)
    desk.sign(data, "v2.sig", previous="v1.sig")
    desk.verify(data, "v2.sig")
    (tmp_path / "state/trust.json").write_bytes(left)
    with pytest.raises(UnreadableInput, match="memory is damaged"):
        desk.verify(data, "v1.sig")
