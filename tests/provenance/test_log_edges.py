"""Edges of the log: a head that is cosigned for ever, cosignatures without a time, entries that could never be replayed, odd requests."""

import http.client
import threading
from datetime import UTC, datetime, timedelta

import pytest

from bezoar.core.errors import UsageError
from bezoar.provenance import entries, ledger, notes, witness_http
from bezoar.provenance.entries import Entry
from bezoar.provenance.keys import PrivateKey
from bezoar.provenance.ledger import Log
from bezoar.provenance.notes import LOG, WITNESS, Note, Signer
from bezoar.provenance.witness import Witness

ORIGIN = "example.org/audit"
KEY, SEEN = PrivateKey.make("ed25519"), PrivateKey.make("ed25519")
NOW = datetime(2027, 3, 1, tzinfo=UTC)
KNOWN, OTHER = [Signer(ORIGIN, KEY.public)], Signer("w.example/1", SEEN.public, WITNESS)


def test_a_quiet_log_may_be_cosigned_every_hour(tmp_path):
    """Each time added a line; beyond a hundred nobody could read the checkpoint, and the log could not be opened again."""
    with Log(tmp_path / "log", [KEY], ORIGIN) as log:
        log.append(b"one")
        head = log.checkpoint()
        for hour in range(120):
            note = notes.cosign(head, OTHER.name, SEEN, NOW + timedelta(hours=hour))
            head = log.add_cosignatures(note.to_bytes()[len(note.text.encode()) + 1:], [OTHER])
        assert len(head.note.signatures) == 2
    kept, _ = ledger.read(tmp_path / "log", KNOWN, [OTHER], 1)
    assert [when for s, when in kept.note.by([OTHER]) if s.kind == WITNESS] == [NOW + timedelta(hours=119)]


def test_a_signature_without_its_time_is_no_cosignature():
    """A log's own line under the hint of a witness with the same key: the time keeps the two kinds apart."""
    head = notes.sign_checkpoint(ORIGIN, 1, bytes(32), [KEY])
    twin = Signer(ORIGIN, KEY.public, WITNESS)
    forged = Note(head.note.text, (*head.note.signatures, (ORIGIN, twin.hint, head.note.signatures[0][2])))
    with pytest.raises(notes.NotTrusted, match="bad signature"):
        notes.check_checkpoint(forged.to_bytes(), [Signer(ORIGIN, KEY.public, LOG)], [twin], 1)


@pytest.mark.parametrize("kind", ["policy", "sign", "approve", "revoke"])
def test_an_entry_that_replay_could_never_prove_is_not_written(tmp_path, kind):
    with Log(tmp_path / "log", [KEY], ORIGIN) as log:
        with pytest.raises(UsageError, match="payload"):
            entries.record(log, kind, "0" * 64)
        assert len(log) == 0


def test_a_payload_is_as_large_for_the_writer_as_for_the_reader(tmp_path, monkeypatch):
    monkeypatch.setattr(entries, "MOST_PAYLOAD", 64)
    with Log(tmp_path / "log", [KEY], ORIGIN) as log:
        with pytest.raises(UsageError, match="larger"):
            entries.record(log, "note", "", b"x" * 65)
        entries.record(log, "note", "", b"x" * 64, now=NOW)
    _, reader = ledger.read(tmp_path / "log", KNOWN)
    said = entries.parse(reader.entry(0))
    assert isinstance(said, Entry) and entries.payload_of(tmp_path / "log", said) == b"x" * 64


@pytest.mark.parametrize(("length", "status"), [("\xb2", 411), ("9" * 5000, 413), ("", 411), ("-1", 411)])
def test_odd_lengths_are_answered(tmp_path, length, status):
    with witness_http.Server(Witness(tmp_path / "w", "w.example/1", SEEN, {ORIGIN: KNOWN})) as server:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        link = http.client.HTTPConnection("127.0.0.1", server.server_address[1], timeout=10)
        link.putrequest("POST", "/add-checkpoint")
        link.putheader("Content-Length", length.encode("latin-1"))
        link.endheaders()
        assert link.getresponse().status == status
        link.close()
        server.shutdown()


def test_a_port_that_is_no_number_is_wrong_use():
    with pytest.raises(UsageError, match="no address"):
        witness_http._post("http://x:abc", b"", 1.0)
