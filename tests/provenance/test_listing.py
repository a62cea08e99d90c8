"""`policy newest` believes nothing that it did not check: not the list it carries on, not a bundle, not the key it is given."""

import json
from datetime import timedelta

import pytest

from bezoar.core.errors import BezoarError, UsageError
from bezoar.provenance import envelope, listing, newest, policy, signing, strict
from bezoar.provenance.envelope import Envelope
from bezoar.provenance.guard import Trust, verify
from bezoar.provenance.keys import PrivateKey
from bezoar.provenance.refusals import NotTrusted


def text(keys, names, version=1, threshold=1, newest_role=("dan",), newest_threshold=1):
    held = {n: keys[n].public for n in names}
    parts = [f'schema = "bezoar.policy/1"\nname = "p"\nversion = {version}\nexpires = 2039-01-01T00:00:00Z\n']
    parts += [f"[keys.{n}]\npublic = '''\n{k.pem.decode()}'''\n" for n, k in held.items()]
    parts.append(f'[roles.policy]\nkeys = ["alice"]\n[roles.newest]\nkeys = {json.dumps(list(newest_role))}\nthreshold = {newest_threshold}\n'
                 f'[[rules]]\ndatasets = ["*"]\nsigners = ["alice", "bob"]\nthreshold = {threshold}\n')
    return "".join(parts).encode()


@pytest.fixture
def office(desk, data):
    class Office:
        keys = {**desk.keys, "dan": PrivateKey.make()}
        rules = desk.place / "bezoar.policy.toml"
        out = desk.place / "newest.json"
        now = strict.now()

        def write(self, path=None, signer=None, **more):
            path = path or self.rules
            path.write_bytes(text(self.keys, ["alice", "bob", "carol", "dan"], **more))
            if signer:
                (path.parent / f"{path.name}.sig").write_bytes(
                    Envelope(path.read_bytes(), policy.TYPE).signed_by(self.keys[signer]).to_json())
            return path

        def sign(self, name, key="alice", **more):
            desk.sign(data, name, key, now=self.now, **more)
            return envelope.parse((desk.place / name).read_bytes())

        def make(self, *bundles, key="dan", chain=(), before=None, now=None, **more):
            ground = Trust(policy=self.rules, chain=chain)
            before = before or (envelope.parse(self.out.read_bytes()) if self.out.exists() else None)
            made = listing.next_list(ground, before, bundles, self.keys[key], now or self.now, **more)
            self.out.write_bytes(made.to_json())
            listing.remember(ground, made, now or self.now)
            return newest.parse(made.payload)

    it = Office()
    it.write()
    return it


def refused(call, *reasons):
    with pytest.raises(NotTrusted) as caught:
        call()
    assert caught.value.reason in reasons, caught.value
    assert str(caught.value).count("\n") == 0


def test_a_line_of_lists_is_carried_on_and_verifies(office, desk, data):
    one = office.sign("1.sig")
    first = office.make(one)
    assert first.version == 1 and first.heads == {"dataset:signs": (1, signing.statement.parse(one.payload).digest)}
    (data / "stop/9.txt").write_text("nine")
    two = office.sign("2.sig", previous="1.sig")
    second = office.make(two, revoked_statements=["ab" * 32])
    assert second.version == 2 and second.heads["dataset:signs"][0] == 2 and second.revoked_statements == {"ab" * 32}
    assert office.make(revoked_keys=["cd" * 32]).revoked_statements == {"ab" * 32}  # no bundle is needed to revoke
    late = office.make(now=office.now + timedelta(days=30))  # a list that ran out is carried on
    assert late.version == 4
    office.out.write_bytes(listing.next_list(Trust(policy=office.rules), envelope.parse(office.out.read_bytes()), [], office.keys["dan"],
                                             office.now).to_json())
    assert verify(data, [desk.place / "2.sig"], Trust(policy=office.rules, newest=office.out)).statement.about.version == 2


def test_a_list_by_a_stranger_is_not_carried_on(office):
    one = office.sign("1.sig")
    office.make(one)
    heads = {"dataset:signs": (7, "ab" * 32)}
    for who in ("mallory", "alice"):
        fake = newest.build("p", 9, office.now, office.now + timedelta(days=7), heads, frozenset([office.keys["alice"].public.id]))
        refused(lambda fake=fake, who=who: office.make(one, before=Envelope(fake, newest.TYPE).signed_by(office.keys[who])), "threshold")
    other = newest.build("q", 2, office.now, office.now + timedelta(days=7), {})
    refused(lambda: office.make(one, before=Envelope(other, newest.TYPE).signed_by(office.keys["dan"])), "mix-and-match")
    refused(lambda: office.make(one, before=Envelope(other, "text/plain").signed_by(office.keys["dan"])), "wrong-type")


def test_an_older_list_put_back_loses_no_revocation(office):
    one = office.sign("1.sig")
    office.make(one)
    old = office.out.read_bytes()
    office.make(revoked_statements=["ab" * 32])
    office.out.write_bytes(old)
    refused(lambda: office.make(one), "newest-rollback")
    office.out.unlink()
    with pytest.raises(UsageError, match="list 2 of newest versions was accepted here"):
        office.make(one)


def test_a_key_outside_the_role_says_nothing(office):
    one = office.sign("1.sig")
    for who in ("mallory", "alice"):
        refused(lambda who=who: office.make(one, key=who), "no-role")
    assert not office.out.exists()


def test_bundles_are_checked_as_verify_checks_them(office, desk, data):
    refused(lambda: office.make(office.sign("m.sig", key="mallory")), "threshold")
    refused(lambda: office.make(office.sign("c.sig", key="carol")), "threshold")
    one = office.sign("1.sig")
    forged = Envelope(one.payload.replace(b'"version": 1,', b'"version": 9,'), one.kind, one.signatures)
    refused(lambda: office.make(forged), "threshold")
    ended = office.sign("e.sig", days=1)
    refused(lambda: office.make(ended, now=office.now + timedelta(days=2)), "expired")
    office.make(one)
    other = office.sign("other.sig", source="elsewhere")
    refused(lambda: office.make(other), "fork")
    (data / "stop/9.txt").write_text("nine")
    office.make(office.sign("2.sig", previous="1.sig"))
    refused(lambda: office.make(one), "rollback")
    jump = office.sign("3.sig", version=3)
    refused(lambda: office.make(jump), "chain")
    digest = newest.parse(envelope.parse(office.out.read_bytes()).payload).heads["dataset:signs"][1]
    office.make(revoked_statements=[digest])
    refused(lambda: office.make(envelope.parse((desk.place / "2.sig").read_bytes())), "revoked")


def test_the_threshold_of_the_rule_and_of_the_role_hold(office, desk):
    office.write(threshold=2, newest_role=("dan", "carol"), newest_threshold=2)
    one = office.sign("1.sig")
    refused(lambda: office.make(one), "threshold")
    signing.cosign(one, office.keys["bob"], desk.place / "1b.sig")
    both = [one, envelope.parse((desk.place / "1b.sig").read_bytes())]
    ground = Trust(policy=office.rules)
    made = listing.next_list(ground, None, both, office.keys["dan"], office.now)
    assert not listing.remember(ground, made, office.now)
    refused(lambda: office.make(*both, before=made), "threshold")  # one signature of two: not carried on
    refused(lambda: listing.cosigned(ground, made, office.keys["mallory"], office.now), "no-role")
    whole = listing.cosigned(ground, made, office.keys["carol"], office.now)
    assert listing.remember(ground, whole, office.now) and listing.cosigned(ground, whole, office.keys["carol"], office.now) == whole
    assert office.make(before=whole).version == 2


def test_a_change_of_the_signers_of_lists_needs_the_older_policy(office, desk):
    one = office.sign("1.sig")
    office.make(one)
    old = desk.place / "1.toml"
    old.write_bytes(office.rules.read_bytes())
    office.write(signer="alice", version=2, newest_role=("carol",))
    refused(lambda: office.make(key="carol"), "threshold")
    assert office.make(key="carol", chain=(old,)).version == 2
    stranger = desk.place / "s.toml"
    office.write(stranger, newest_role=("bob",))
    listed = newest.build("p", 5, office.now, office.now + timedelta(days=7), {})
    with pytest.raises(BezoarError):
        office.make(key="carol", chain=(stranger,), before=Envelope(listed, newest.TYPE).signed_by(office.keys["bob"]))
