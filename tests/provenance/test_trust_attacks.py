"""The attacks that The Update Framework names, played against datasets and models: none is accepted, each is refused by its own name."""

import json
from copy import deepcopy
from datetime import UTC, datetime, timedelta

import pytest

from bezoar.core.errors import BezoarError, UnreadableInput
from bezoar.provenance import memory, newest, policy, statement, trust
from bezoar.provenance.envelope import IN_TOTO, Envelope
from bezoar.provenance.refusals import NotTrusted
from bezoar.provenance.statement import About, Scan

NOW = datetime(2027, 3, 1, 12, tzinfo=UTC)


class World:
    """A publisher, its honest history, and a user's memory. Attacks change what the user is handed."""

    def __init__(self, keys, threshold=1, newest_role=True, rule=""):
        self.keys, self.now = keys, NOW
        self.memory = memory.Memory()
        self.domain = self.memory.domain("policy:p")
        self.text = self.policy_text(1, threshold, newest_role, rule)
        self.policy = trust.step_policy(self.domain, self.text, [])
        self.statements = {}

    def policy_text(self, version, threshold=1, newest_role=True, rule="", signers=("alice", "bob"), managers=("alice", "bob"), manage=2, days=300,
                    newest_keys=("carol",), revoked="[]", roles=True, name="p", listed=None):
        parts = [f'schema = "bezoar.policy/1"\nname = "{name}"\nversion = {version}\nexpires = {(NOW + timedelta(days=days)).isoformat()}\n']
        for who in listed or ("alice", "bob", "carol"):
            parts.append(f"[keys.{who}]\nperson = \"{who}\"\npublic = '''\n{self.keys[who].public.pem.decode()}'''\n")
        if roles:
            parts.append(f"[roles.policy]\nkeys = {json.dumps(list(managers))}\nthreshold = {manage}\n")
        if newest_role:
            parts.append(f"[roles.newest]\nkeys = {json.dumps(list(newest_keys))}\nthreshold = 1\n")
        parts.append(f'[[rules]]\ndatasets = ["signs", "team/*"]\nkinds = ["dataset", "model"]\nsigners = {json.dumps(list(signers))}\n'
                     f"threshold = {threshold}\n{rule}\n[revoked]\nkeys = {revoked}\n")
        return "".join(parts).encode()

    def signed_policy(self, text, *who):
        e = Envelope(text, policy.TYPE)
        for w in who:
            e = e.signed_by(self.keys[w])
        return e

    def make(self, version, who=("alice",), previous=None, content=b"v", days=30, dataset="signs", kind="dataset", issued=None, **more):
        before = self.statements.get(version - 1) if previous is None else previous
        issued = issued or self.now - timedelta(hours=1)
        about = About(dataset=dataset, kind=kind, version=version, previous=before or "", issued=issued, expires=issued + timedelta(days=days), **more)
        payload = statement.build("signs", {"a": content * 32 if len(content) == 1 else content}, about)
        self.statements[version] = statement.parse(payload).digest
        e = Envelope(payload, IN_TOTO)
        for w in who:
            e = e.signed_by(self.keys[w])
        return e

    def heads(self, version, *envelopes, who="carol", days=2, name="p", issued=None, keys=(), revoked=()):
        heads = {}
        for e in envelopes:
            s = statement.parse(e.payload)
            heads[s.about.head] = newest.head_of(s)
        issued = issued or self.now - timedelta(hours=1)
        payload = newest.build(name, version, issued, issued + timedelta(days=days), heads, frozenset(keys), frozenset(revoked))
        return Envelope(payload, newest.TYPE).signed_by(self.keys[who])

    def take(self, *envelopes, heads=None, now=None, policy_=None):
        """What a user does; the memory moves only when all is accepted."""
        now = now or self.now
        domain = deepcopy(self.domain)
        rules = policy_ or self.policy
        trust.check_policy(rules, now)
        listed = trust.accept_newest(domain, rules, heads, now) if heads is not None else None
        done = trust.accept(domain, rules, list(envelopes), now, listed)
        self.domain = domain
        return done

    def step(self, text, *envelopes):
        domain = deepcopy(self.domain)
        self.policy = trust.step_policy(domain, text, list(envelopes))
        self.domain = domain


CASES = {}


def case(name, reason):
    def register(f):
        assert name not in CASES
        CASES[name] = (reason, f)
        return f

    return register


def both(w, v=1, **more):
    s = w.make(v, **more)
    return s, w.heads(v, s)


# --- rollback -------------------------------------------------------------------------------------------------------------------

@case("rollback: older dataset with its older list", "newest-rollback")
def _(w):
    old = both(w)
    w.take(old[0], heads=old[1])
    new = both(w, 2)
    w.take(new[0], heads=new[1])
    w.take(old[0], heads=old[1])


@case("rollback: older dataset with the newest list", "not-newest")
def _(w):
    old = both(w)
    w.take(old[0], heads=old[1])
    new = both(w, 2)
    w.take(new[0], heads=new[1])
    w.take(old[0], heads=new[1])


@case("rollback: without a list, from memory", "rollback")
def _(w):
    w.step(w.policy_text(2, newest_role=False), w.signed_policy(w.policy_text(2, newest_role=False), "alice", "bob"))
    old = w.make(1)
    w.take(old)
    w.take(w.make(2))
    w.take(old)


@case("rollback: list version", "newest-rollback")
def _(w):
    s, heads = both(w)
    w.take(s, heads=w.heads(5, s))
    w.take(s, heads=heads)


@case("rollback: newer list with an older head", "newest-rollback")
def _(w):
    old = both(w)
    new = both(w, 2)
    w.take(new[0], heads=new[1])
    w.take(old[0], heads=w.heads(9, old[0]))


@case("rollback: policy", "policy-rollback")
def _(w):
    text = w.policy_text(2)
    w.step(text, w.signed_policy(text, "alice", "bob"))
    w.step(w.text)


@case("rollback: model", "not-newest")
def _(w):
    old = w.make(1, kind="model")
    w.take(old, heads=w.heads(1, old))
    new = w.make(2, kind="model")
    w.take(new, heads=w.heads(2, new))
    w.take(old, heads=w.heads(3, new))


@case("rollback: a head vanishes from the list", "head-removed")
def _(w):
    s, heads = both(w)
    w.take(s, heads=heads)
    other = w.make(1, dataset="team/x")
    w.take(other, heads=w.heads(2, other))


# --- freeze ---------------------------------------------------------------------------------------------------------------------

@case("freeze: the list is replayed past its end", "freeze")
def _(w):
    s, heads = both(w)
    w.take(s, heads=heads)
    w.take(s, heads=heads, now=w.now + timedelta(days=8))


@case("freeze: no list is handed over", "no-newest")
def _(w):
    w.take(both(w)[0])


@case("freeze: a list although the policy names nobody for it", "no-role")
def _(w):
    text = w.policy_text(2, newest_role=False)
    w.step(text, w.signed_policy(text, "alice", "bob"))
    s, heads = both(w)
    w.take(s, heads=heads)


@case("freeze: expired statement", "expired")
def _(w):
    s = w.make(1, days=1)
    later = w.now + timedelta(days=5)
    w.now = later
    w.take(s, heads=w.heads(1, s))


@case("freeze: expired policy", "policy-expired")
def _(w):
    later = w.now + timedelta(days=301)
    w.now = later
    s, heads = both(w)
    w.take(s, heads=heads)


@case("freeze: older than the rule allows", "too-old")
def _(w):
    text = w.policy_text(2, rule="max_age_days = 10")
    w.step(text, w.signed_policy(text, "alice", "bob"))
    s = w.make(1, issued=w.now - timedelta(days=11))
    w.take(s, heads=w.heads(1, s))


@case("freeze: list from the future", "freeze")
def _(w):
    s = w.make(1)
    w.take(s, heads=w.heads(1, s, issued=w.now + timedelta(days=1)))


@case("freeze: statement from the future", "not-yet")
def _(w):
    s = w.make(1, issued=w.now + timedelta(days=1))
    w.take(s, heads=w.heads(1, s))


# --- fast-forward ---------------------------------------------------------------------------------------------------------------

@case("fast-forward: beyond the last version", None)
def _(w):
    s = w.make(1)
    body = json.loads(s.payload)
    body["predicate"]["bezoar"]["version"] = 1 << 31
    e = Envelope(json.dumps(body).encode(), IN_TOTO).signed_by(w.keys["alice"])
    w.take(e, heads=w.heads(1, s))


@case("fast-forward: by a stranger", "threshold")
def _(w):
    s = w.make(statement.LAST_VERSION, who=("mallory",))
    w.take(s, heads=w.heads(1, s))


@case("fast-forward: the list jumps by a stranger", "threshold")
def _(w):
    s = w.make(1)
    w.take(s, heads=w.heads(statement.LAST_VERSION, s, who="mallory"))


@case("fast-forward: policy skips a version", "policy-gap")
def _(w):
    text = w.policy_text(3)
    w.step(text, w.signed_policy(text, "alice", "bob"))


@case("fast-forward: policy of the last version", "policy-gap")
def _(w):
    text = w.policy_text(statement.LAST_VERSION)
    w.step(text, w.signed_policy(text, "alice", "bob"))


# --- mix and match --------------------------------------------------------------------------------------------------------------

@case("mix-and-match: old statement, new list", "not-newest")
def _(w):
    old, new = w.make(1), w.make(2)
    w.take(old, heads=w.heads(1, new))


@case("mix-and-match: new statement, old list", "not-newest")
def _(w):
    old, new = w.make(1), w.make(2)
    w.take(new, heads=w.heads(1, old))


@case("mix-and-match: list of another policy", "mix-and-match")
def _(w):
    s = w.make(1)
    w.take(s, heads=w.heads(1, s, name="other"))


@case("mix-and-match: signatures over two statements", "mix-and-match")
def _(w):
    text = w.policy_text(2, threshold=2)
    w.step(text, w.signed_policy(text, "alice", "bob"))
    a, b = w.make(1), w.make(1, who=("bob",), content=b"w")
    w.take(a, b, heads=w.heads(1, a))


@case("mix-and-match: one version, two contents", "fork")
def _(w):
    s, heads = both(w)
    w.take(s, heads=heads)
    again = w.make(1, content=b"w")
    w.take(again, heads=w.heads(2, again))


@case("mix-and-match: one list version, two contents", "newest-fork")
def _(w):
    s, heads = both(w)
    w.take(s, heads=heads)
    w.take(s, heads=w.heads(1, s, days=3))


@case("mix-and-match: one policy version, two texts", "policy-fork")
def _(w):
    w.step(w.policy_text(1, threshold=2))


@case("mix-and-match: next version of another line", "chain")
def _(w):
    s, heads = both(w)
    w.take(s, heads=heads)
    other = w.make(2, previous="ab" * 32)
    w.take(other, heads=w.heads(2, other))


@case("mix-and-match: a list in the place of a statement", "wrong-type")
def _(w):
    s, heads = both(w)
    w.take(heads, heads=heads)


@case("mix-and-match: a statement in the place of a list", "wrong-type")
def _(w):
    s, _heads = both(w)
    w.take(s, heads=s)


@case("mix-and-match: a policy in the place of a statement", "wrong-type")
def _(w):
    s, heads = both(w)
    w.take(w.signed_policy(w.text, "alice", "bob"), heads=heads)


@case("mix-and-match: list bytes under the statement's type", None)
def _(w):
    s, heads = both(w)
    w.take(Envelope(heads.payload, IN_TOTO).signed_by(w.keys["alice"]), heads=heads)


@case("mix-and-match: statement bytes under the list's type", None)
def _(w):
    s, _heads = both(w)
    w.take(s, heads=Envelope(s.payload, newest.TYPE).signed_by(w.keys["carol"]))


# --- wrong target ---------------------------------------------------------------------------------------------------------------

@case("wrong target: another dataset's valid statement", "no-rule")
def _(w):
    s = w.make(1, dataset="other")
    w.take(s, heads=w.heads(1, s))


@case("wrong target: dataset outside the pattern", "no-rule")
def _(w):
    s = w.make(1, dataset="signs2")
    w.take(s, heads=w.heads(1, s))


@case("wrong target: a model's statement for a dataset's head", "not-newest")
def _(w):
    s, m = w.make(1), w.make(1, kind="model")
    w.take(m, heads=w.heads(1, s))


@case("wrong target: statement without our section", "no-version")
def _(w):
    body = json.loads(w.make(1).payload)
    del body["predicate"]["bezoar"]
    w.take(Envelope(json.dumps(body).encode(), IN_TOTO).signed_by(w.keys["alice"]), heads=w.heads(1, w.make(1)))


@case("wrong target: source that the rule does not name", "source")
def _(w):
    text = w.policy_text(2, rule='sources = ["vendor-a"]')
    w.step(text, w.signed_policy(text, "alice", "bob"))
    s = w.make(1, source="vendor-b")
    w.take(s, heads=w.heads(1, s))


@case("wrong target: no scan verdict", "no-verdict")
def _(w):
    text = w.policy_text(2, rule='verdict = "no evidence"')
    w.step(text, w.signed_policy(text, "alice", "bob"))
    s = w.make(1)
    w.take(s, heads=w.heads(1, s))


@case("wrong target: a verdict below the rule", "verdict")
def _(w):
    text = w.policy_text(2, rule='verdict = "no evidence"')
    w.step(text, w.signed_policy(text, "alice", "bob"))
    s = w.make(1, scan=Scan("suspicious", "ab" * 32))
    w.take(s, heads=w.heads(1, s))


@case("wrong target: an inconclusive scan", "verdict")
def _(w):
    text = w.policy_text(2, rule='verdict = "suspicious"')
    w.step(text, w.signed_policy(text, "alice", "bob"))
    s = w.make(1, scan=Scan("inconclusive", "ab" * 32))
    w.take(s, heads=w.heads(1, s))


@case("wrong target: an unknown verdict", "no-verdict")
def _(w):
    text = w.policy_text(2, rule='verdict = "poisoned"')
    w.step(text, w.signed_policy(text, "alice", "bob"))
    s = w.make(1, scan=Scan("spotless", "ab" * 32))
    w.take(s, heads=w.heads(1, s))


@case("wrong target: no record seal", "no-records")
def _(w):
    text = w.policy_text(2, rule="records = true")
    w.step(text, w.signed_policy(text, "alice", "bob"))
    s = w.make(1)
    w.take(s, heads=w.heads(1, s))


@case("wrong target: signed under a policy nobody accepted", "policy-digest")
def _(w):
    s = w.make(1, policy="ab" * 32)
    w.take(s, heads=w.heads(1, s))


# --- threshold faking, key reuse ------------------------------------------------------------------------------------------------

def two(w):
    text = w.policy_text(2, threshold=2)
    w.step(text, w.signed_policy(text, "alice", "bob"))


@case("threshold: one of two", "threshold")
def _(w):
    two(w)
    s, heads = both(w)
    w.take(s, heads=heads)


@case("threshold: one key signs twice", "threshold")
def _(w):
    two(w)
    s, heads = both(w, who=("alice", "alice"))
    w.take(s, heads=heads)


@case("threshold: one signature handed over twice", "threshold")
def _(w):
    two(w)
    s, heads = both(w)
    w.take(s, s, heads=heads)


@case("threshold: one signature under another key's id", "threshold")
def _(w):
    two(w)
    s, heads = both(w)
    w.take(Envelope(s.payload, s.kind, (*s.signatures, (w.keys["bob"].public.id, s.signatures[0][1]))), heads=heads)


@case("threshold: a stranger as second", "threshold")
def _(w):
    two(w)
    s, heads = both(w, who=("alice", "mallory"))
    w.take(s, heads=heads)


@case("threshold: a member of another role as second", "threshold")
def _(w):
    two(w)
    s, heads = both(w, who=("alice", "carol"))
    w.take(s, heads=heads)


@case("threshold: no signature that fits", "threshold")
def _(w):
    s, heads = both(w)
    w.take(Envelope(s.payload, s.kind, (("", b"x" * 70),)), heads=heads)


@case("threshold: two keys of one person", "threshold")
def _(w):
    text = w.policy_text(2, threshold=2).replace(b'person = "bob"', b'person = "alice"')
    w.step(text, w.signed_policy(text, "alice", "bob"))
    s, heads = both(w, who=("alice", "bob"))
    w.take(s, heads=heads)


@case("threshold: changed content under good signatures", "threshold")
def _(w):
    s, heads = both(w)
    w.take(Envelope(s.payload.replace(b'"licence": ""', b'"licence": "X"'), s.kind, s.signatures), heads=heads)


@case("threshold: policy change signed by one of two", "threshold")
def _(w):
    text = w.policy_text(2)
    w.step(text, w.signed_policy(text, "alice"))


@case("threshold: policy change signed by one twice", "threshold")
def _(w):
    text = w.policy_text(2)
    w.step(text, w.signed_policy(text, "alice", "alice"))


@case("threshold: policy change signed by the new members only", "threshold")
def _(w):
    text = w.policy_text(2, managers=("carol",), manage=1)
    w.step(text, w.signed_policy(text, "carol"))


@case("threshold: policy change signed by the old members only", "threshold")
def _(w):
    text = w.policy_text(2, managers=("carol",), manage=1)
    w.step(text, w.signed_policy(text, "alice", "bob"))


@case("threshold: policy signature of another version", "threshold")
def _(w):
    text = w.policy_text(2)
    other = w.policy_text(2, threshold=2)
    w.step(text, w.signed_policy(other, "alice", "bob"))


@case("threshold: unsigned policy change", "threshold")
def _(w):
    w.step(w.policy_text(2))


@case("role removed: policy without its own role", "role-removed")
def _(w):
    text = w.policy_text(2, roles=False)
    w.step(text, w.signed_policy(text, "alice", "bob"))


@case("key reuse: the list signed with a data key", "threshold")
def _(w):
    s = w.make(1)
    w.take(s, heads=w.heads(1, s, who="alice"))


@case("key reuse: one key under two names", None)
def _(w):
    text = w.policy_text(2, threshold=2) + f"[keys.eve]\npublic = '''\n{w.keys['alice'].public.pem.decode()}'''\n".encode()
    w.step(text, w.signed_policy(text, "alice", "bob"))


@case("revoked: key in the policy", "threshold")
def _(w):
    text = w.policy_text(2, revoked=json.dumps([w.keys["alice"].public.id]), managers=("alice", "bob", "carol"))
    w.step(text, w.signed_policy(text, "alice", "bob", "carol"))
    s, heads = both(w)
    w.take(s, heads=heads)


@case("revoked: key in the list", "threshold")
def _(w):
    s = w.make(1)
    w.take(s, heads=w.heads(1, s, keys=(w.keys["alice"].public.id,)))


@case("revoked: key in an earlier list, which a later one leaves out", "threshold")
def _(w):
    b = w.make(1, who=("bob",))
    w.take(b, heads=w.heads(1, b, keys=(w.keys["alice"].public.id,)))
    s = w.make(2)
    w.take(s, heads=w.heads(2, s))


@case("revoked: statement", "revoked")
def _(w):
    s = w.make(1)
    w.take(s, heads=w.heads(1, s, revoked=(statement.parse(s.payload).digest,)))


@case("revoked: the key that signs lists", "threshold")
def _(w):
    s, heads = both(w)
    w.take(s, heads=w.heads(1, s, keys=(w.keys["carol"].public.id,)))
    w.take(s, heads=w.heads(2, s))


# --- endless data, unusual names ------------------------------------------------------------------------------------------------

@case("endless: a list with too many heads", None)
def _(w):
    s = w.make(1)
    payload = newest.build("p", 1, w.now, w.now + timedelta(days=1), {f"dataset:{i}": (1, "ab" * 32) for i in range(newest.MOST_HEADS + 1)})
    w.take(s, heads=Envelope(payload, newest.TYPE).signed_by(w.keys["carol"]))


@case("endless: a thousand signatures", None)
def _(w):
    from bezoar.provenance.envelope import parse

    s, heads = both(w)
    w.take(parse(Envelope(s.payload, s.kind, s.signatures * 1000).to_json()), heads=heads)


@case("unusual: a dataset named like a pattern", None)
def _(w):
    s = w.make(1)
    e = Envelope(s.payload.replace(b'"dataset": "signs"', b'"dataset": "team/*"'), s.kind).signed_by(w.keys["alice"])
    w.take(e, heads=w.heads(1, s))


@case("unusual: nothing at all", "no-signature")
def _(w):
    s, heads = both(w)
    w.take(heads=heads)


def test_there_are_enough_cases():
    assert len(CASES) >= 60


@pytest.mark.parametrize("name", CASES)
def test_attack_is_refused(keys, name):
    reason, attack = CASES[name]
    with pytest.raises(NotTrusted if reason else UnreadableInput) as caught:
        attack(World(keys))
    assert caught.value.advice
    if reason:
        assert caught.value.reason == reason, caught.value


# --- and what is honest passes --------------------------------------------------------------------------------------------------


def test_honest_history_passes(keys):
    w = World(keys)
    for v in range(1, 6):
        s, heads = both(w, v)
        assert w.take(s, heads=heads).about.version == v
        w.take(s, heads=heads)
    m = w.make(1, kind="model", previous="", dataset="team/model")
    w.take(m, heads=w.heads(9, s, m))


def test_two_of_two_in_one_envelope_or_two(keys):
    w = World(keys, threshold=2)
    s = w.make(1, who=("alice", "bob"))
    w.take(s, heads=w.heads(1, s))
    w = World(keys, threshold=2)
    a = w.make(1)
    b = Envelope(a.payload, a.kind).signed_by(keys["bob"])
    w.take(a, b, heads=w.heads(1, a))


def test_policies_are_walked_one_by_one_and_an_expired_one_may_still_be_left(keys):
    w = World(keys)
    two_, three = w.policy_text(2, days=-5), w.policy_text(3)
    w.step(two_, w.signed_policy(two_, "alice", "bob"))
    with pytest.raises(NotTrusted):
        trust.check_policy(w.policy, w.now)
    w.step(three, w.signed_policy(three, "alice", "bob"))
    s, heads = both(w)
    w.take(s, heads=heads)


def test_recovery_from_fast_forward_by_rotating_the_key(keys):
    """Alice's stolen key signed the last version; after she is removed, bob's next honest version counts again."""
    w = World(keys)
    stolen = w.make(statement.LAST_VERSION)
    w.take(stolen, heads=w.heads(statement.LAST_VERSION, stolen))
    text = w.policy_text(2, signers=("bob",), managers=("bob", "carol"), listed=("bob", "carol", "mallory"), newest_keys=("mallory",))
    w.step(text, w.signed_policy(text, "alice", "bob", "carol"))
    s = w.make(1, who=("bob",))
    w.take(s, heads=w.heads(1, s, who="mallory"))
    with pytest.raises(NotTrusted):
        w.take(stolen, heads=w.heads(2, stolen, who="mallory"))


def test_a_statement_signed_under_an_earlier_policy_stays_good(keys):
    w = World(keys)
    s = w.make(1, policy=w.policy.digest)
    text = w.policy_text(2)
    w.step(text, w.signed_policy(text, "alice", "bob"))
    w.take(s, heads=w.heads(1, s))


@pytest.mark.parametrize("change", [
    (b"version = 1", b"version = 1.5"), (b"version = 1", b"version = 0"), (b"version = 1", b"version = true"), (b"[roles.newest]", b"[roles.king]"),
    (b"threshold = 1", b"threshold = 0"), (b"threshold = 1", b"threshold = 3"), (b"threshold = 1", b'threshold = "1"'), (b'"carol"]', b'"dave"]'),
    (b"schema", b"schemas"), (b"[revoked]", b"[revoke]"), (b"name = \"p\"", b"name = \"\""), (b"expires", b"expired"), (b"+00:00", b""),
    (b'keys = ["alice", "bob"]', b'keys = ["alice", "alice"]'), (b"datasets", b"dataset"), (b'kinds = ["dataset", "model"]', b'kinds = ["x"]'),
    (b"BEGIN PUBLIC", b"BEGIN PRIVATE"), (b"public =", b"pem ="), (b"[[rules]]", b"[rules]"), (b"\nversion", b"\nversion = 1\nversion")])
def test_a_policy_is_read_strictly(keys, change):
    text = World(keys).text
    assert change[0] in text
    with pytest.raises(BezoarError):
        policy.parse(text.replace(*change, 1))


def test_the_template_is_a_policy(keys):
    text = policy.template("p", {"a": keys["alice"].public, "b": keys["bob"].public}, NOW, ("signs",), 2)
    parsed = policy.parse(text.encode())
    assert parsed.rules[0].signers.threshold == 2 and set(parsed.roles) == set(policy.ROLES)


def test_a_policy_file_cannot_be_exchanged_for_one_of_another_name(desk, data, keys):
    """The first policy of a name is believed, so a path that held one name must not turn up with another."""
    w = World(keys)
    own, mallory = desk.place / "p.toml", w.policy_text(1, newest_role=False, name="q", signers=("mallory",), listed=("alice", "bob", "mallory"))
    own.write_bytes(w.policy_text(1, newest_role=False))
    desk.sign(data)
    desk.verify(data, policy=own)
    desk.sign(data, "m.sig", key="mallory", version=9)
    own.write_bytes(mallory)
    with pytest.raises(NotTrusted) as caught:
        desk.verify(data, "m.sig", policy=own)
    assert caught.value.reason == "policy-name"


def test_memory_round_trips(keys):
    w = World(keys)
    s, heads = both(w)
    w.take(s, heads=heads)
    w.memory.domains["policy:p"] = w.domain
    assert memory.Memory.from_json(w.memory.to_json()).to_json() == w.memory.to_json()


def test_the_whole_way_through_files(desk, data, keys):
    """Policy, its signature, list and bundles as files; a rollback of all files together is refused from memory."""
    from bezoar.provenance import guard

    w = World(keys)
    place = desk.place
    (place / "p1.toml").write_bytes(w.text)
    desk.sign(data)
    first = place / "v1.sig"

    def heads(version, name):
        signed = statement.parse(guard.signing.read_signature(place / name).payload)
        payload = newest.build("p", version, desk.now, desk.now + timedelta(days=1), {signed.about.head: newest.head_of(signed)})
        (place / f"n{version}.json").write_bytes(Envelope(payload, newest.TYPE).signed_by(keys["carol"]).to_json())
        return place / f"n{version}.json"

    one = heads(1, "v1.sig")
    assert desk.verify(data, "v1.sig", policy=place / "p1.toml", newest=one).files == 4
    text = w.policy_text(2)
    (place / "p2.toml").write_bytes(text)
    with pytest.raises(NotTrusted):
        desk.verify(data, "v1.sig", policy=place / "p2.toml", newest=one)
    (place / "p2.toml.sig").write_bytes(w.signed_policy(text, "alice", "bob").to_json())
    desk.verify(data, "v1.sig", policy=place / "p2.toml", newest=one, chain=(place / "p1.toml",))
    desk.sign(data, "v2.sig", previous="v1.sig")
    desk.verify(data, "v2.sig", policy=place / "p2.toml", newest=heads(2, "v2.sig"))
    for policy_file in ("p1.toml", "p2.toml"):
        with pytest.raises(NotTrusted):
            desk.verify(data, first.name, policy=place / policy_file, newest=one)


def test_a_policy_may_ask_that_a_witnessed_log_holds_the_statement(desk, data, keys):
    """No proof, a proof of another entry, of another log, or without witnesses: refused. The right one passes, also for the loader."""
    from bezoar.provenance import entries, guard, inspection, notes
    from bezoar.provenance.keys import PrivateKey
    from bezoar.provenance.ledger import Log
    from bezoar.provenance.notes import Signer

    log_key, other_key, witness_key = (PrivateKey.make("ed25519") for _ in range(3))
    log, witness = Signer("example.org/l", log_key.public), Signer("w.example/1", witness_key.public, notes.WITNESS)
    w = World(keys)
    place = desk.place
    text = w.policy_text(1, newest_role=False) + f'[log]\nkeys = ["{log.vkey}"]\nwitnesses = ["{witness.vkey}"]\nquorum = 1\n'.encode()
    (place / "p.toml").write_bytes(text)
    desk.sign(data)
    bundle = (place / "v1.sig").read_bytes()
    digest = statement.parse(guard.signing.read_signature(place / "v1.sig").payload).digest

    def make(name, key, origin="example.org/l", cosigned=True):
        with Log(place / name, [key], origin) as book:
            entries.record(book, "note", digest)
            entries.record(book, "sign", digest, bundle)
            entries.record(book, "sign", "ab" * 32, bundle)
            head = book.checkpoint()
            if cosigned:
                lines = notes.cosign(head, witness.name, witness_key, desk.now)
                book.add_cosignatures(lines.to_bytes()[len(head.note.text.encode()) + 1:], [witness])

    def proof(name, number, key=None):
        entry, text_ = inspection.prove(place / name, [key or log], number)
        path = place / f"{name}-{number}.tlog-proof"
        path.write_bytes(text_)
        (place / f"{name}-{number}.tlog-proof.entry").write_bytes(entry)
        return path

    make("good", log_key)
    make("alone", log_key, cosigned=False)
    make("foreign", other_key)

    def verify(given):
        return guard.verify(data, [place / "v1.sig"], guard.Trust(policy=place / "p.toml", log_proof=given), now=desk.now)

    foreign = Signer("example.org/l", other_key.public)
    for given, why in ((None, "no-log-proof"), (proof("good", 0), "not-logged"), (proof("good", 2), "not-logged"), (proof("alone", 1), "witnesses"),
                       (proof("foreign", 1, foreign), "log-signature")):
        with pytest.raises(NotTrusted) as caught:
            verify(given)
        assert caught.value.reason == why
    assert verify(proof("good", 1)).files == 4
    opened = guard.open_verified(data, place / "v1.sig", policy=place / "p.toml", log_proof=proof("good", 1), now=desk.now)
    assert len(opened) == 4
    for change in ((b"quorum = 1", b"quorum = 2"), (b"quorum = 1", b"quorum = true"), (b'keys = ["example.org/l+', b'keys = ["x+')):
        with pytest.raises(BezoarError):
            policy.parse(text.replace(*change))
