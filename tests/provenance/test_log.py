"""The log: what is written verifies with a second implementation, every change is found, forks come with portable proof, witnesses hold."""

import importlib.util
import os
import shutil
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from bezoar.core.errors import BezoarError, UnreadableInput, UsageError
from bezoar.maths import merkle
from bezoar.provenance import inspection, ledger, notes, tiles, witness
from bezoar.provenance.keys import PrivateKey
from bezoar.provenance.ledger import Log
from bezoar.provenance.notes import Signer
from bezoar.provenance.refusals import NotTrusted

_spec = importlib.util.spec_from_file_location("second_log_verifier", Path(__file__).with_name("second_log_verifier.py"))
second = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(second)

ORIGIN = "example.org/audit"
KEY, OTHER, W1, W2 = (PrivateKey.make("ed25519") for _ in range(4))
LOG = [Signer(ORIGIN, KEY.public)]
VKEY = LOG[0].vkey
WITNESS = Signer("w.example/1", W1.public, notes.WITNESS)
NOW = datetime(2027, 3, 1, tzinfo=UTC)


def entry(i):
    return b"entry %d " % i + b"x" * (i % 7)


def grow(folder, *sizes, key=KEY, start=0, make=entry):
    with Log(folder, [key], ORIGIN) as log:
        for size in sizes:
            log.extend([make(i) for i in range(len(log), size)])
            log.checkpoint()
    return folder


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    """300 entries, published at 100, 256 and 300."""
    return grow(tmp_path_factory.mktemp("log") / "log", 100, 256, 300)


@pytest.fixture
def log(base, tmp_path):
    shutil.copytree(base, tmp_path / "log")
    return tmp_path / "log"


@pytest.mark.parametrize("sizes", [(0,), (1,), (2, 3), (255,), (256,), (257,), (1, 256, 600), (513,)])
def test_tiles_and_checkpoints_verify_with_the_second_implementation(tmp_path, sizes):
    grow(tmp_path / "log", *sizes)
    size, root, leaves = second.verify_log(tmp_path / "log", VKEY)
    assert size == sizes[-1] and leaves == [merkle.leaf_hash(entry(i)) for i in range(size)]
    seen = inspection.inspect(tmp_path / "log", LOG)
    assert (seen.head.size, seen.head.root) == (size, root)


def test_two_levels_of_tiles(tmp_path):
    n = 256 * 256 + 300
    with Log(tmp_path / "log", [KEY], ORIGIN) as log:
        log.extend([b"%d" % i for i in range(n)])
    assert second.verify_log(tmp_path / "log", VKEY)[0] == n
    assert (tmp_path / "log/tile/2").exists() and (tmp_path / "log/tile/1/001.p/1").exists()
    _head, reader = ledger.read(tmp_path / "log", LOG)
    tree = merkle.Tree(merkle.leaf_hash(b"%d" % i) for i in range(n))
    for size in (1, 255, 256, 257, 65536, n):
        assert reader.root(size) == tree.root(size)
    assert merkle.prove_consistency(reader.node, 300, n) == tree.consistency(300)


def test_proofs_are_read_by_the_second_implementation(log, tmp_path):
    for i in (0, 1, 99, 255, 256, 299):
        raw, proof = inspection.prove(log, LOG, i)
        assert raw == entry(i) and second.verify_proof(proof, raw, VKEY) == i
        assert inspection.check_proof(proof, raw, LOG)[0] == i
        with pytest.raises(NotTrusted):
            inspection.check_proof(proof, raw + b"!", LOG)
    with pytest.raises(UsageError):
        inspection.prove(log, LOG, 300)
    for k in range(0, len(proof), 3):
        bad = bytearray(proof)
        bad[k] ^= 1
        with pytest.raises(BezoarError):
            inspection.check_proof(bytes(bad), raw, LOG)


def test_every_sort_of_flipped_byte_is_found(log):
    """Every file; every byte of the checkpoint, and of the tiles and bundles one byte in nine (the benchmark flips all of 2,000 entries)."""
    flips = 0
    current = {log / tiles.place(level, i, w) for level in (0, 1) for i, w in tiles.spans(300, level)}
    current |= {log / tiles.place("entries", i, w) for i, w in tiles.spans(300)} | {log / "checkpoint"}
    for path in sorted(current):
        good = path.read_bytes()
        for at in range(0, len(good), 1 if path.name == "checkpoint" else 9):
            path.write_bytes(good[:at] + bytes([good[at] ^ (1 << at % 8)]) + good[at + 1:])
            with pytest.raises(BezoarError):
                inspection.inspect(log, LOG)
            flips += 1
        path.write_bytes(good)
    inspection.inspect(log, LOG)
    assert flips > 1500


@pytest.mark.parametrize("number", [0, 1, 17, 255, 256, 299])
def test_the_first_bad_entry_is_named(log, number):
    """Also where the flipped byte is a length, so that the rest of the bundle cannot be read."""
    path = log / tiles.place("entries", number >> 8, 256 if number < 256 else 44)
    good = path.read_bytes()
    at = sum(len(entry(i)) + 2 for i in range(number & ~255, number))
    for offset, flip in ((2, 1), (1, 2), (0, 0x40), (1, 1)):
        path.write_bytes(good[:at + offset] + bytes([good[at + offset] ^ flip]) + good[at + offset + 1:])
        with pytest.raises(NotTrusted, match=rf"entry {number} is the first that is wrong"):
            inspection.inspect(log, LOG)


def rewrite(log, change):
    """An attacker without the key edits entries and makes all tiles fit again."""
    head, reader = ledger.read(log, LOG)
    rows = [reader.entry(i) for i in range(head.size)]
    rows = change(rows)
    shutil.rmtree(log / "tile")
    tree = merkle.Tree(merkle.leaf_hash(r) for r in rows)
    for i, w in tiles.spans(len(rows)):
        path = log / tiles.place("entries", i, w)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(tiles.pack(rows[i * 256:i * 256 + w]))
    for level in (0, 1):
        for i, w in tiles.spans(len(rows), level):
            path = log / tiles.place(level, i, w)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(tree.row(8 * level, i * 256, i * 256 + w))
    return tree, rows


EDITS = {"drop the last": lambda r: r[:-7], "drop the middle": lambda r: r[:50] + r[60:], "swap": lambda r: [*r[:5], r[9], *r[6:9], r[5], *r[10:]],
         "duplicate": lambda r: [*r[:9], r[8], *r[9:]], "insert": lambda r: [*r[:9], b"new", *r[9:]], "edit": lambda r: [*r[:9], b"edited", *r[10:]],
         "edit the first": lambda r: [b"edited", *r[1:]], "edit the last": lambda r: [*r[:-1], b"edited"], "empty": lambda r: [],
         "reverse": lambda r: r[::-1], "empty entry": lambda r: [*r[:9], b"", *r[10:]], "merge two": lambda r: [*r[:9], r[9] + r[10], *r[11:]]}


@pytest.mark.parametrize("name", EDITS)
@pytest.mark.parametrize("resigned", [False, True])
def test_semantic_edits_are_found(log, base, name, resigned):
    """Without the key the root betrays them; re-signed with the stolen key, whoever kept one older checkpoint sees it, with proof."""
    kept = notes.parse_checkpoint((base / "checkpoint").read_bytes())
    tree, rows = rewrite(log, EDITS[name])
    if resigned:
        (log / "checkpoint").write_bytes(notes.sign_checkpoint(ORIGIN, len(rows), tree.root(), [KEY]).to_bytes())
        inspection.inspect(log, LOG)  # alone it looks fine: this is why witnesses exist
    with pytest.raises(NotTrusted) as caught:
        inspection.inspect(log, LOG, older=kept)
    if resigned and len(rows) >= 300:
        assert caught.value.reason == "fork"
        older, newer = inspection.judge(caught.value.evidence, LOG)
        assert (older.size, newer.size) == (300, len(rows))
    elif resigned:
        assert caught.value.reason == "truncated"


def test_a_fork_that_grew_and_a_restored_backup(log, base, tmp_path):
    kept = notes.parse_checkpoint((base / "checkpoint").read_bytes())
    grow(log, 400)
    inspection.inspect(log, LOG, older=kept)
    newer = notes.parse_checkpoint((log / "checkpoint").read_bytes())
    with pytest.raises(NotTrusted) as caught:
        inspection.inspect(base, LOG, older=newer)
    assert caught.value.reason == "truncated"
    fork = grow(tmp_path / "fork", 100, 500, make=lambda i: entry(i) if i < 250 else b"other %d" % i)
    with pytest.raises(inspection.Forked) as forked:
        inspection.inspect(fork, LOG, older=kept)
    inspection.judge(forked.value.evidence, LOG)
    with pytest.raises(NotTrusted):
        inspection.judge(forked.value.evidence, [Signer(ORIGIN, OTHER.public)])


def test_evidence_against_an_honest_log_is_not_believed(log, base):
    import base64
    import json

    old, new = (base / "checkpoint").read_bytes(), (grow(log, 400) / "checkpoint").read_bytes()
    _head, reader = ledger.read(log, LOG)
    for prefix in (reader.root(300), os.urandom(32)):
        body = {"schema": inspection.EVIDENCE, "older": old.decode(), "newer": new.decode(), "prefix": base64.b64encode(prefix).decode(),
                "proof": [base64.b64encode(h).decode() for h in merkle.prove_consistency(reader.node, 300, 400)]}
        with pytest.raises(NotTrusted) as caught:
            inspection.judge(json.dumps(body).encode(), LOG)
        assert caught.value.reason == "no-fork"


@pytest.mark.parametrize("cut", ["tile/0/000", "tile/0/001.p/44", "tile/1/000.p/1", "tile/entries/000", "tile/entries/001.p/44"])
def test_cut_and_missing_tiles(log, cut):
    good = (log / cut).read_bytes()
    for data in (good[:-1], b"", good + b"\0"):
        (log / cut).write_bytes(data)
        with pytest.raises(BezoarError):
            inspection.inspect(log, LOG)
    (log / cut).unlink()
    with pytest.raises(BezoarError):
        inspection.inspect(log, LOG)


def test_nothing_is_signed_over_damaged_tiles(log):
    path = log / "tile/0/000"
    path.write_bytes(bytes(32) + path.read_bytes()[32:])
    before = (log / "checkpoint").read_bytes()
    with pytest.raises(NotTrusted, match="do not add up"):
        Log(log, [KEY])
    assert (log / "checkpoint").read_bytes() == before


# --- the writer ------------------------------------------------------------------------------------------------------------------


def test_one_writer(log):
    with Log(log, [KEY]), pytest.raises(UsageError, match="another process"):
        Log(log, [KEY])
    with Log(log, [KEY]) as again:
        assert len(again) == 300


def test_the_wrong_key_or_no_log(log, tmp_path):
    with pytest.raises(NotTrusted):
        Log(log, [OTHER])
    with pytest.raises(UnreadableInput, match="no log"):
        Log(tmp_path / "none", [KEY])
    assert not (tmp_path / "none").exists()


def test_many_threads_get_numbers_of_their_own(tmp_path):
    got = {}

    def work(k):
        for i in range(40):
            got[log.append(b"%d %d" % (k, i))] = b"%d %d" % (k, i)

    with Log(tmp_path / "log", [KEY], ORIGIN) as log:
        threads = [threading.Thread(target=work, args=(k,)) for k in range(16)]
        [t.start() for t in threads]
        log.checkpoint()
        [t.join() for t in threads]
    assert sorted(got) == list(range(640))
    second.verify_log(tmp_path / "log", VKEY)
    _, reader = ledger.read(tmp_path / "log", LOG)
    assert all(reader.entry(i) == e for i, e in got.items())


def test_publishing_by_itself_and_the_journal_is_cleared(tmp_path, monkeypatch):
    monkeypatch.setattr(ledger, "PUBLISH_EVERY", 50)
    with Log(tmp_path / "log", [KEY], ORIGIN) as log:
        for i in range(400):
            log.append(entry(i))
    assert second.verify_log(tmp_path / "log", VKEY)[0] == 400
    assert not list((tmp_path / "log").glob("journal-*"))


def test_entries_that_are_too_long(tmp_path):
    with Log(tmp_path / "log", [KEY], ORIGIN) as log:
        with pytest.raises(UsageError, match="larger"):
            log.append(b"x" * 65536)
        assert log.append(b"x" * 65535) == 0 and log.append(b"") == 1
    second.verify_log(tmp_path / "log", VKEY)


def test_promised_entries_come_back_from_the_journal_and_damage_there_is_said(tmp_path):
    log = Log(tmp_path / "log", [KEY], ORIGIN)
    for i in range(5):
        log.append(entry(i))
    crashed = tmp_path / "crashed"
    shutil.copytree(tmp_path / "log", crashed)
    log.close()
    (segment,) = crashed.glob("journal-*")
    good = segment.read_bytes()
    segment.write_bytes(good + b"bezoarG1 torn")
    assert inspection.inspect(crashed, LOG).waiting == 5
    with Log(crashed, [KEY]) as again:
        assert len(again) == 5
    second.verify_log(crashed, VKEY)
    shutil.rmtree(crashed)
    shutil.copytree(tmp_path / "log", crashed)
    # damage before promised entries is not dropped in silence
    for at in range(0, len(good) - 80, 7):
        fresh = tmp_path / f"d{at}"
        grow(fresh)
        (fresh / segment.name).write_bytes(good[:at] + bytes([good[at] ^ 4]) + good[at + 1:])
        with pytest.raises(NotTrusted):
            Log(fresh, [KEY])


# --- notes and witnesses ---------------------------------------------------------------------------------------------------------


def test_notes_with_unknown_bad_and_several_signatures(base):
    head = notes.parse_checkpoint((base / "checkpoint").read_bytes())
    stranger = notes.sign_checkpoint(ORIGIN, head.size, head.root, [OTHER]).note.signatures
    mixed = notes.Note(head.note.text, (*stranger, *head.note.signatures)).to_bytes()
    assert notes.check_checkpoint(mixed, LOG).size == 300  # unknown ones are ignored
    with pytest.raises(NotTrusted):
        notes.check_checkpoint(notes.Note(head.note.text, stranger).to_bytes(), LOG)
    name, hint, signature = head.note.signatures[0]
    bad = notes.Note(head.note.text, (*head.note.signatures, (name, hint, bytes(64)))).to_bytes()
    with pytest.raises(NotTrusted, match="bad signature"):
        notes.check_checkpoint(bad, LOG)
    line = notes.cosign(head, WITNESS.name, W1, NOW)
    assert second.check_note(notes.Note(head.note.text, line.signatures).to_bytes(), WITNESS.vkey)
    with pytest.raises(NotTrusted):
        notes.check_checkpoint(notes.Note(head.note.text, line.signatures).to_bytes(), LOG, [WITNESS], 1)  # cosigned only
    both = notes.Note(head.note.text, (*head.note.signatures, *line.signatures, *line.signatures)).to_bytes()
    assert notes.check_checkpoint(both, LOG, [WITNESS], 1).size == 300
    with pytest.raises(NotTrusted, match="1 of 2"):
        notes.check_checkpoint(both, LOG, [WITNESS], 2)
    assert notes.parse(both).by([WITNESS])[0][1] == NOW
    assert Signer.from_vkey(VKEY).vkey == VKEY and Signer.from_vkey(WITNESS.vkey).kind == notes.WITNESS


@pytest.mark.parametrize("change", [
    lambda t: t.replace(b"\n300\n", b"\n0300\n"), lambda t: t.replace(b"\n300\n", b"\n-1\n"), lambda t: t.replace(b"\n300\n", b"\n\n"),
    lambda t: t.replace(b"\n300\n", b"\n3e2\n"), lambda t: t.replace(b"\n300\n", b"\n" + b"9" * 30 + b"\n"), lambda t: t.replace(b"\n\n", b"\n"),
    lambda t: t[:-1], lambda t: t + b"x", lambda t: t.replace(b"=\n", b"\n", 1), lambda t: b"", lambda t: b"\n\n", lambda t: b"\xff" + t,
    lambda t: t.replace("—".encode(), b"-"), lambda t: t.replace(b"\n", b"\r\n"), lambda t: b"\n" + t, lambda t: t * 200,
    lambda t: t + "— w AAAA\n".encode(), lambda t: b"x" * (2 << 20)])
def test_malformed_checkpoints(base, change):
    data = (base / "checkpoint").read_bytes()
    with pytest.raises(BezoarError):
        notes.check_checkpoint(change(data), LOG)


@pytest.mark.parametrize("vkey", ["", "x", "a+b+c", VKEY[:-4], VKEY.replace("example", "Example"), "a b+01234567+AAAA", VKEY + "AAAA"],
                         ids=["empty", "a letter", "no key", "cut", "another name", "a space", "longer"])  # the keys are drawn anew each time
def test_malformed_verifier_keys(vkey):
    with pytest.raises(BezoarError):
        Signer.from_vkey(vkey)


class Watch:
    def __init__(self, folder):
        self.witness = witness.Witness(folder, "w.example/1", W1, {ORIGIN: LOG})

    def ask(self, log, old, change=lambda b: b):
        head, reader = ledger.read(log, LOG)
        return self.witness.add_checkpoint(change(witness.request(reader, head, old)), NOW)


def test_a_witness_answers_as_the_specification_says(tmp_path, log, base):
    w = Watch(tmp_path / "w")
    assert w.ask(log, 0).status == 200
    stale = w.ask(log, 0)
    assert (stale.status, stale.kind, stale.body) == (409, "text/x.tlog.size", b"300\n")
    assert w.ask(log, 300).status == 200  # the same head again
    assert w.ask(log, 301).status == 400
    grow(log, 500)
    assert w.ask(log, 300, lambda b: b.replace(b"\n", b"\n" + b"A" * 43 + b"=\n", 1)).status == 422
    assert w.ask(log, 300, lambda b: b"old 300\n\n" + b.partition(b"\n\n")[2]).status == 422
    assert w.ask(log, 300, lambda b: b.replace(b"old 300", b"old 299")).status == 409
    assert w.ask(log, 300, lambda b: b.replace(b"old 300", b"old 0300")).status == 400
    assert w.ask(log, 300, lambda b: b.replace(b"old 300\n", b"old 300\n" + (b"A" * 43 + b"=\n") * 64)).status == 400
    assert w.ask(log, 300, lambda b: b.replace(ORIGIN.encode(), b"example.org/other")).status == 404
    assert w.ask(log, 300, lambda b: b[:-20] + b"AAAAAAAAAAAAAAAAAAA\n").status in (400, 403)
    forged = notes.sign_checkpoint(ORIGIN, 500, bytes(32), [OTHER]).to_bytes()
    assert w.witness.add_checkpoint(b"old 300\n\n" + forged, NOW).status == 403
    answer = w.ask(log, 300)
    assert answer.status == 200 and w.witness.head(ORIGIN).size == 500
    with Log(log, [KEY]) as writer:
        head = writer.add_cosignatures(answer.body, [WITNESS])
        with pytest.raises(NotTrusted):
            writer.add_cosignatures(answer.body, [Signer("w.example/2", W2.public, notes.WITNESS)])
    assert inspection.inspect(log, LOG, [WITNESS], 1).witnesses == 1 and second.check_note(head.to_bytes(), WITNESS.vkey)
    other_root = notes.sign_checkpoint(ORIGIN, 500, bytes(32), [KEY]).to_bytes()
    assert w.witness.add_checkpoint(b"old 500\n\n" + other_root, NOW).status == 422
    fresh = Watch(tmp_path / "w2")
    assert fresh.witness.add_checkpoint(b"old 0\n\n" + notes.sign_checkpoint(ORIGIN, 0, bytes(32), [KEY]).to_bytes(), NOW).status == 422
    assert fresh.witness.add_checkpoint(b"old 0\n" + b"A" * 43 + b"=\n\n" + other_root, NOW).status == 422
    for junk in (b"", b"old", b"old 0\n", b"old x\n\n", b"\n\n\n", os.urandom(200), b"old 0\n\nx\n1\ny\n\n", b"x" * 70000):
        assert fresh.witness.add_checkpoint(junk, NOW).status in (400, 413)
    fork = grow(tmp_path / "fork", 600, make=lambda i: b"other %d" % i)
    assert w.ask(fork, 500).status == 422


def test_two_requests_at_once_never_move_a_witness_back(tmp_path):
    grow(tmp_path / "log", 50)
    head50, reader50 = ledger.read(tmp_path / "log", LOG)
    short = witness.request(reader50, head50, 10)
    grow(tmp_path / "log", 90)
    head90, reader90 = ledger.read(tmp_path / "log", LOG)
    long = witness.request(reader90, head90, 10)
    for k in range(12):
        w = Watch(tmp_path / f"w{k}").witness
        reader10 = tiles.Reader(tmp_path / "log", 10)
        assert w.add_checkpoint(b"old 0\n\n" + notes.sign_checkpoint(ORIGIN, 10, reader10.root(), [KEY]).to_bytes(), NOW).status == 200
        got = []
        threads = [threading.Thread(target=lambda b=b, w=w, got=got: got.append(w.add_checkpoint(b, NOW).status)) for b in (short, long)]
        [t.start() for t in threads]
        [t.join() for t in threads]
        assert sorted(got) == [200, 409] and w.head(ORIGIN).size in (50, 90)


def test_rotation_both_keys_sign_and_the_removed_key_is_refused_later(tmp_path):
    grow(tmp_path / "log", 10)
    old_head = notes.parse_checkpoint((tmp_path / "log/checkpoint").read_bytes())
    with Log(tmp_path / "log", [KEY, OTHER]) as log:
        log.append(b"rotation")
    new = [Signer(ORIGIN, OTHER.public)]
    assert inspection.inspect(tmp_path / "log", LOG).head.size == inspection.inspect(tmp_path / "log", new).head.size == 11
    with Log(tmp_path / "log", [OTHER]) as log:
        log.append(b"new key alone")
    with pytest.raises(NotTrusted):
        inspection.inspect(tmp_path / "log", LOG)
    notes.check_checkpoint(old_head.to_bytes(), LOG)
    assert inspection.inspect(tmp_path / "log", new).head.size == 12


def test_a_cosignature_from_the_future_keeps_its_time(base):
    head = notes.parse_checkpoint((base / "checkpoint").read_bytes())
    when = NOW + timedelta(days=365)
    assert notes.Note(head.note.text, notes.cosign(head, "w", W1, when).signatures).by([Signer("w", W1.public, notes.WITNESS)])[0][1] == when


@pytest.mark.parametrize("name", ["", "a b", "a+b", "a\nb", "x" * 201, "a\u202eb", "\t"])
def test_names_of_logs_and_witnesses(name):
    with pytest.raises(UsageError):
        notes.check_name(name)


def signed_text(text, count=1):
    row = (ORIGIN, LOG[0].hint, KEY.sign(text.encode()))
    return notes.Note(text, (row,) * count).to_bytes()


def test_well_signed_notes_that_are_still_refused():
    good = notes.checkpoint_text(ORIGIN, 300, bytes(32))
    notes.check_checkpoint(signed_text(good), LOG)
    notes.check_checkpoint(signed_text(good, notes.MOST_SIGNATURES), LOG)
    for text, count, why in ((good, notes.MOST_SIGNATURES + 1, "too many"), (good + "x" * notes.MOST_BYTES + "\n", 1, "bytes"),
                             (good + "a\tb\n", 1, "control"), (good.replace("AAA=\n", "AAB=\n"), 1, "origin, size and root")):
        with pytest.raises(UnreadableInput, match=why):
            notes.check_checkpoint(signed_text(text, count), LOG)


def test_a_witness_reads_no_odd_hashes_and_no_large_bodies(tmp_path):
    w = Watch(tmp_path / "w").witness
    body = b"old 0\n\n" + notes.sign_checkpoint(ORIGIN, 5, bytes(32), [KEY]).to_bytes()
    assert w.add_checkpoint(body.replace(b"old 0\n", b"old 0\nAAAA\n"), NOW).status == 400
    extra = notes.Note(notes.checkpoint_text(ORIGIN, 5, bytes(32)) + "x" * witness.MOST_BODY + "\n", ())
    signed = notes.Note(extra.text, ((ORIGIN, LOG[0].hint, KEY.sign(extra.text.encode())),))
    assert w.add_checkpoint(b"old 0\n\n" + signed.to_bytes(), NOW).status == 413
    assert w.add_checkpoint(body, NOW).status == 200
