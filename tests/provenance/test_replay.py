"""Replaying a log proves its policy again: every way round the two-person rule is found, at its entry."""

import json
from datetime import UTC, datetime, timedelta

import pytest

from bezoar.provenance import entries, ledger, newest, policy, replay, statement
from bezoar.provenance.entries import Entry
from bezoar.provenance.envelope import IN_TOTO, Envelope
from bezoar.provenance.keys import PrivateKey
from bezoar.provenance.ledger import Log
from bezoar.provenance.notes import Signer
from bezoar.provenance.statement import About

KEY = PrivateKey.make("ed25519")
NOW = datetime(2027, 3, 1, 12, tzinfo=UTC)
PEOPLE = {name: PrivateKey.make() for name in ("alice", "bob", "carol", "dan")}


def policy_text(version=1, threshold=2, revoked=()):
    parts = [f'schema = "bezoar.policy/1"\nname = "p"\nversion = {version}\nexpires = 2029-01-01T00:00:00Z\n']
    for name, key in PEOPLE.items():
        parts.append(f"[keys.{name}]\nperson = \"{name}\"\npublic = '''\n{key.public.pem.decode()}'''\n")
    parts.append(f'[roles.policy]\nkeys = ["alice", "bob"]\nthreshold = 2\n[roles.newest]\nkeys = ["dan"]\nthreshold = 1\n'
                 f'[roles.approve]\nkeys = ["alice", "bob", "carol"]\nthreshold = {threshold}\n'
                 f'[[rules]]\ndatasets = ["*"]\nkinds = ["dataset", "model"]\nsigners = ["alice"]\n[revoked]\nkeys = {json.dumps(list(revoked))}\n')
    return "".join(parts).encode()


class Story:
    def __init__(self, folder):
        self.folder, self.minute = folder, 0
        self.log = Log(folder, [KEY], "example.org/story")
        self.text = policy_text()

    def write(self, kind, subject, payload=b"", minutes=1):
        self.minute += minutes
        return entries.record(self.log, kind, subject, payload, now=NOW + timedelta(minutes=self.minute))

    def policy(self, text=None, signers=()):
        self.text = text or self.text
        e = Envelope(self.text, policy.TYPE)
        for s in signers:
            e = e.signed_by(PEOPLE[s])
        return self.write("policy", policy.parse(self.text).digest, entries.policy_payload(self.text, e if signers else None))

    def sign(self, version=1, by="alice", subject=None):
        about = About(dataset="signs", version=version, issued=NOW, expires=NOW + timedelta(days=9))
        payload = statement.build("signs", {"a": bytes([version]) * 32}, about)
        digest = statement.parse(payload).digest
        self.write("sign", subject or digest, Envelope(payload, IN_TOTO).signed_by(PEOPLE[by]).bundle())
        return digest

    def approve(self, digest, by, text=None, subject=None):
        rules = policy.parse(text or self.text).digest
        return self.write("approve", subject or digest, entries.approval(digest, rules, PEOPLE[by]))

    def done(self):
        self.log.close()
        _, reader = ledger.read(self.folder, [Signer("example.org/story", KEY.public)])
        return replay.replay(self.folder, reader)


@pytest.fixture
def story(tmp_path):
    s = Story(tmp_path / "log")
    s.policy()
    return s


def test_an_honest_history_is_proved(story):
    first = story.sign()
    story.approve(first, "bob")
    story.approve(first, "carol")
    story.write("promote", first)
    text = policy_text(2)
    story.policy(text, ("alice", "bob"))
    second = story.sign(2)
    story.approve(second, "bob")
    story.approve(second, "carol")
    story.write("promote", second)
    story.write("rollback", first)
    story.write("note", "all quiet", b"words")
    done = story.done()
    assert not done.faults and not done.gaps and done.promoted == [first, second] and done.entries == 12


def fault(f):
    FAULTS[f.__name__.replace("_", " ")] = f
    return f


FAULTS = {}


@fault
def promoted_with_one_approval(s):
    d = s.sign()
    s.approve(d, "bob")
    return s.write("promote", d)


@fault
def promoted_with_one_person_twice(s):
    d = s.sign()
    s.approve(d, "bob")
    s.approve(d, "bob")
    return s.write("promote", d)


@fault
def the_signer_approves_herself(s):
    d = s.sign()
    s.approve(d, "bob")
    s.approve(d, "alice")
    return s.write("promote", d)


@fault
def approved_after_it_was_promoted(s):
    d = s.sign()
    s.approve(d, "bob")
    n = s.write("promote", d)
    s.approve(d, "carol")
    return n


@fault
def approved_by_nobody_the_policy_names(s):
    return s.approve(s.sign(), "dan")


@fault
def approval_of_something_else(s):
    first, second = s.sign(), s.sign(2)
    return s.approve(first, "bob", subject=second)


@fault
def approval_under_another_policy(s):
    return s.approve(s.sign(), "bob", text=policy_text(5))


@fault
def approvals_do_not_survive_a_new_policy(s):
    d = s.sign()
    s.approve(d, "bob")
    s.approve(d, "carol")
    s.policy(policy_text(2), ("alice", "bob"))
    return s.write("promote", d)


@fault
def threshold_lowered_by_one_person(s):
    return s.policy(policy_text(2, threshold=1), ("alice",))


@fault
def old_policy_replayed(s):
    s.policy(policy_text(2), ("alice", "bob"))
    return s.policy(policy_text(1))


@fault
def promoted_without_being_signed(s):
    return s.write("promote", "ab" * 32)


@fault
def signed_by_a_stranger_to_the_rule(s):
    s.sign(by="bob")
    return 1


@fault
def signed_entry_names_another_statement(s):
    s.sign(subject="ab" * 32)
    return 1


@fault
def version_does_not_rise(s):
    s.sign(3)
    s.sign(2)
    return 2


@fault
def rolled_back_to_what_was_never_promoted(s):
    return s.write("rollback", s.sign())


@fault
def promoted_after_it_was_revoked(s):
    d = s.sign()
    s.approve(d, "bob")
    s.approve(d, "carol")
    listed = newest.build("p", 1, NOW, NOW + timedelta(days=2), {}, frozenset(), frozenset([d]))
    s.write("revoke", d, Envelope(listed, newest.TYPE).signed_by(PEOPLE["dan"]).to_json())
    return s.write("promote", d)


@fault
def revoked_by_a_stranger(s):
    listed = newest.build("p", 1, NOW, NOW + timedelta(days=2), {}, frozenset(), frozenset(["ab" * 32]))
    return s.write("revoke", "x", Envelope(listed, newest.TYPE).signed_by(PEOPLE["bob"]).to_json())


@fault
def a_revoked_key_approves(s):
    s.policy(policy_text(2, revoked=(PEOPLE["carol"].public.id,)), ("alice", "bob"))
    return s.approve(s.sign(), "carol")


@fault
def back_dated(s):
    s.write("note", "now")
    return s.write("note", "before", minutes=-5)


@fault
def not_an_entry(s):
    return s.log.append(b"junk")


@fault
def payload_exchanged(s):
    n = s.write("note", "x", b"payload")
    path = next(p for p in s.folder.rglob("payloads/*/*") if p.read_bytes().endswith(b"payload"))
    path.write_bytes(b"something else")
    return n


@pytest.mark.parametrize("name", FAULTS)
def test_every_way_round_is_found_at_its_entry(story, name):
    number = FAULTS[name](story)
    done = story.done()
    assert number in [n for n, _ in done.faults], done


def test_an_erased_payload_is_a_gap_and_every_proof_still_holds(story):
    d = story.sign()
    story.approve(d, "bob")
    number = story.approve(d, "carol")
    promoted = story.write("promote", d)
    _head = story.log.checkpoint()
    from bezoar.provenance import inspection
    from bezoar.provenance.tiles import Reader

    entry = entries.parse(Reader(story.folder, len(story.log)).entry(number))
    entries.payload_path(story.folder, entry.payload).unlink()
    done = story.done()
    assert [n for n, _ in done.gaps] == [number, promoted] and not done.faults
    inspection.inspect(story.folder, [Signer("example.org/story", KEY.public)])


def test_no_payload_can_be_guessed_from_the_log(story):
    story.write("note", "x", b"yes")
    story.write("note", "x", b"yes")
    story.log.checkpoint()
    from bezoar.provenance.tiles import Reader

    reader = Reader(story.folder, len(story.log))
    a, b = (entries.parse(reader.entry(i)).payload for i in (1, 2))
    assert a != b
    story.log.close()


def test_entries_round_trip():
    e = Entry("note", "s", "b", NOW, "ab" * 32)
    assert entries.parse(e.to_bytes()) == e


class Fast:
    """A reader and a payload store in memory, so that thousands of histories can be replayed."""

    def __init__(self):
        self.rows, self.payloads = [], {}

    @property
    def size(self):
        return len(self.rows)

    def bundle(self, index):
        return self.rows[index * 256:index * 256 + 256]

    def add(self, kind, subject, payload):
        from hashlib import sha256

        name = sha256(payload + bytes([len(self.rows) % 251])).hexdigest() if payload else ""
        self.payloads[name] = payload
        self.rows.append(Entry(kind, subject, "x", NOW, name).to_bytes())


def test_ten_thousand_random_steps_never_promote_without_two_others(monkeypatch, tmp_path):
    """A second, naive reading of the rule over random histories: nobody reaches `promoted` but by two persons other than the signer."""
    import random

    rng = random.Random(12)
    texts = [policy_text(1), policy_text(2), policy_text(3)]
    digests = [policy.parse(t).digest for t in texts]
    held = [policy.parse(t) for t in texts]
    assert [h.version for h in held] == [1, 2, 3]
    payloads = {}
    for v in range(1, 4):
        about = About(dataset=f"d{v}", version=1, issued=NOW, expires=NOW + timedelta(days=9))
        body = statement.build("s", {"a": bytes([v]) * 32}, about)
        payloads[statement.parse(body).digest] = Envelope(body, IN_TOTO).signed_by(PEOPLE["alice"]).bundle()
    subjects = list(payloads)
    approvals = {(s, p, who): entries.approval(s, digests[p], key) for s in subjects for p in range(3) for who, key in PEOPLE.items()}
    changes = []
    for k in (1, 2):
        e = Envelope(texts[k], policy.TYPE).signed_by(PEOPLE["alice"]).signed_by(PEOPLE["bob"])
        changes.append(entries.policy_payload(texts[k], e))
    steps = promoted = 0
    for _story in range(420):
        log = Fast()
        log.add("policy", digests[0], entries.policy_payload(texts[0]))
        now, signed, given, expected = 0, set(), set(), []
        for _ in range(24):
            steps += 1
            act = rng.choice(["sign", "approve", "approve", "approve", "promote", "policy"] if rng.random() < 0.3 else ["sign", "approve", "approve", "promote"])
            s = rng.choice(subjects)
            if act == "sign":
                log.add("sign", s, payloads[s])
                signed.add(s)
            elif act == "approve":
                p, who, claimed = rng.choice([now, now, 0]), rng.choice(list(PEOPLE)), rng.choice([s, s, s, rng.choice(subjects)])
                log.add("approve", claimed, approvals[s, p, who])
                if p == now and who != "dan" and claimed == s:
                    given.add((s, now, who))
            elif act == "policy" and now < 2:
                log.add("policy", digests[now + 1], changes[now])
                now += 1
            elif act == "promote":
                log.add("promote", s, b"")
                others = {w for (t, p, w) in given if t == s and p == now} - {"alice"}
                if s in signed and len(others) >= 2:
                    expected.append(s)
        monkeypatch.setattr(entries, "payload_of", lambda folder, entry, log=log: log.payloads.get(entry.payload))
        done = replay.replay(tmp_path, log)
        assert done.promoted == expected
        promoted += len(expected)
    assert steps >= 10_000 and promoted > 50


def number_of(done):
    return [n for n, _ in done.faults]


def test_policies_and_signatures_that_do_not_fit_their_entries(tmp_path):
    s = Story(tmp_path / "log")
    assert s.write("promote", "ab" * 32) == 0  # no policy is in force
    s.write("policy", "cd" * 32, entries.policy_payload(policy_text()))
    s.policy(policy_text(1))
    s.write("sign", "ab" * 32, b"\n")
    s.write("approve", "ab" * 32, Envelope(b"{}", "text/plain").signed_by(PEOPLE["bob"]).to_json())
    done = s.done()
    assert number_of(done) == [0, 1, 3, 4]
    told = dict(done.faults)
    assert "no policy" in told[0] and "another policy" in told[1] and "no signature" in told[3] and "no approval" in told[4]


def test_a_policy_without_approvers_or_without_a_rule(tmp_path):
    s = Story(tmp_path / "log")
    text = policy_text().replace(b'[roles.approve]\nkeys = ["alice", "bob", "carol"]\nthreshold = 2\n', b"").replace(b'datasets = ["*"]', b'datasets = ["x"]')
    s.policy(text)
    d = s.sign()
    s.write("approve", d, entries.approval(d, policy.parse(text).digest, PEOPLE["bob"]))
    s.write("promote", d)
    told = dict(s.done().faults)
    assert "no rule" in told[1] and "no approvers" in told[2] and "no approvers" in told[3]


def test_rolled_back_to_what_was_revoked_after_its_promotion(story):
    d = story.sign()
    story.approve(d, "bob")
    story.approve(d, "carol")
    story.write("promote", d)
    listed = newest.build("p", 1, NOW, NOW + timedelta(days=2), {}, frozenset(), frozenset([d]))
    story.write("revoke", d, Envelope(listed, newest.TYPE).signed_by(PEOPLE["dan"]).to_json())
    number = story.write("rollback", d)
    assert "revoked" in dict(story.done().faults)[number]


def test_without_the_policy_or_the_signature_nothing_is_proved_and_nothing_is_a_fault(tmp_path):
    from bezoar.provenance.tiles import Reader

    for erased in (0, 1):
        s = Story(tmp_path / f"log{erased}")
        s.policy()
        d = s.sign()
        s.approve(d, "bob")
        s.approve(d, "carol")
        s.write("promote", d)
        s.log.checkpoint()
        entry = entries.parse(Reader(s.folder, 5).entry(erased))
        entries.payload_path(s.folder, entry.payload).unlink()
        done = s.done()
        assert not done.faults and not done.promoted and done.gaps[-1][0] == 4


def people_policy(version=1, signers='["alice"]', threshold=1, persons=None, approve='["alice", "bob", "carol"]', needed=2, leave_out=()):
    parts = [f'schema = "bezoar.policy/1"\nname = "p"\nversion = {version}\nexpires = 2029-01-01T00:00:00Z\n']
    for name, key in PEOPLE.items():
        if name not in leave_out:
            parts.append(f"[keys.{name}]\nperson = \"{(persons or {}).get(name, name)}\"\npublic = '''\n{key.public.pem.decode()}'''\n")
    parts.append(f'[roles.policy]\nkeys = ["dan"]\n[roles.approve]\nkeys = {approve}\nthreshold = {needed}\n'
                 f'[[rules]]\ndatasets = ["*"]\nsigners = {signers}\nthreshold = {threshold}\n')
    return "".join(parts).encode()


def begun(tmp_path, **how):
    s = Story(tmp_path / "log")
    s.policy(people_policy(**how))
    return s


def cosigned(s, *names, version=1, one_entry=False):
    about = About(dataset="signs", version=version, issued=NOW, expires=NOW + timedelta(days=9))
    payload = statement.build("signs", {"a": bytes([version]) * 32}, about)
    digest = statement.parse(payload).digest
    made = [Envelope(payload, IN_TOTO).signed_by(PEOPLE[n]).bundle() for n in names]
    for part in [b"".join(made)] if one_entry else made:
        s.write("sign", digest, part)
    return digest


def test_an_approver_who_signed_outside_the_rule_is_not_another_person(tmp_path):
    s = begun(tmp_path)
    d = cosigned(s, "alice", "bob", one_entry=True)  # bob is no signer of the rule, and he did sign it
    s.approve(d, "bob")
    s.approve(d, "carol")
    number = s.write("promote", d)
    done = s.done()
    assert "1 of 2 persons" in dict(done.faults)[number] and not done.promoted


def test_a_signer_with_a_second_key_is_one_person_under_a_new_policy_too(tmp_path):
    s = begun(tmp_path, persons={"alice": "Ann", "carol": "Ann"}, signers='["alice", "dan"]')
    d = cosigned(s, "alice", "dan", one_entry=True)
    s.policy(people_policy(2, persons={"carol": "Ann"}, signers='["dan"]', approve='["bob", "carol"]', leave_out=("alice",)), ("dan",))
    s.approve(d, "bob")
    s.approve(d, "carol")
    number = s.write("promote", d)
    assert "1 of 2 persons" in dict(s.done().faults)[number]


def test_two_keys_of_one_person_are_one_approver(tmp_path):
    s = begun(tmp_path, persons={"bob": "Ben", "carol": "BEN "})
    d = cosigned(s, "alice")
    s.approve(d, "bob")
    s.approve(d, "carol")
    number = s.write("promote", d)
    assert "1 of 2 persons" in dict(s.done().faults)[number]


@pytest.mark.parametrize(("later", "words"), [({"signers": '["dan"]'}, "0 of the 1 signatures"), ({"signers": '["alice", "dan"]', "threshold": 2}, "1 of the 2")])
def test_a_promotion_needs_the_signatures_of_the_rule_in_force(tmp_path, later, words):
    s = begun(tmp_path)
    d = cosigned(s, "alice")
    s.policy(people_policy(2, **later), ("dan",))
    s.approve(d, "bob")
    s.approve(d, "carol")
    number = s.write("promote", d)
    done = s.done()
    assert words in dict(done.faults)[number] and not done.promoted


def test_a_promotion_needs_a_rule_in_force(tmp_path):
    s = begun(tmp_path)
    d = cosigned(s, "alice")
    s.policy(people_policy(2).replace(b'datasets = ["*"]', b'datasets = ["other"]'), ("dan",))
    s.approve(d, "bob")
    s.approve(d, "carol")
    number = s.write("promote", d)
    assert "no rule" in dict(s.done().faults)[number]


def test_cosignatures_in_entries_of_their_own_add_up(tmp_path):
    """As `bezoar sign --log` and `bezoar sign --cosign --log` write them."""
    s = begun(tmp_path, signers='["alice", "dan"]', threshold=2)
    first = cosigned(s, "alice", "dan")
    s.approve(first, "bob")
    s.approve(first, "carol")
    s.write("promote", first)
    half = cosigned(s, "alice", version=2)
    done = s.done()
    assert not done.faults and done.promoted == [first]
    assert [n for n, _ in done.gaps] == [6] and half[:16] in done.gaps[0][1]


def test_one_signature_of_two_is_not_promoted(tmp_path):
    s = begun(tmp_path, signers='["alice", "dan"]', threshold=2)
    d = cosigned(s, "alice")
    s.approve(d, "bob")
    s.approve(d, "carol")
    number = s.write("promote", d)
    assert "1 of the 2 signatures" in dict(s.done().faults)[number]
