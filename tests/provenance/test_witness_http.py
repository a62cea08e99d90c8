"""The witness over HTTP: a log gets its cosignature, and nothing that a stranger sends moves or stops it."""

import http.client
import threading

import pytest

from bezoar.core.errors import BezoarError, UsageError
from bezoar.provenance import inspection, ledger, notes, witness, witness_http
from bezoar.provenance.keys import PrivateKey
from bezoar.provenance.ledger import Log
from bezoar.provenance.notes import Signer

ORIGIN = "example.org/http"
KEY, W = PrivateKey.make("ed25519"), PrivateKey.make("ed25519")
LOG, WITNESS = [Signer(ORIGIN, KEY.public)], Signer("w.example/h", W.public, notes.WITNESS)


@pytest.fixture
def server(tmp_path):
    s = witness_http.Server(witness.Witness(tmp_path / "w", "w.example/h", W, {ORIGIN: LOG}))
    thread = threading.Thread(target=s.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    yield s
    s.shutdown()
    s.server_close()
    thread.join()


def url(server):
    return f"http://127.0.0.1:{server.server_address[1]}"


def test_a_log_is_cosigned_again_and_again_and_an_old_copy_is_told(server, tmp_path):
    for size in (3, 3, 300, 301):
        with Log(tmp_path / "log", [KEY], ORIGIN) as log:
            if len(log) < size:
                log.extend([b"%d" % i for i in range(len(log), size)])
            head = log.checkpoint()
            lines = witness_http.submit(url(server), ledger.read(tmp_path / "log", LOG)[1], head)
            log.add_cosignatures(lines, [WITNESS])
        assert inspection.inspect(tmp_path / "log", LOG, [WITNESS], 1).witnesses == 1
    with Log(tmp_path / "old", [KEY], ORIGIN) as old:
        old.extend([b"0", b"1"])
        with pytest.raises(UsageError, match="seen 301 entries"):
            witness_http.submit(url(server), ledger.read(tmp_path / "old", LOG)[1], old.checkpoint())
    with Log(tmp_path / "fork", [KEY], ORIGIN) as fork:
        fork.extend([b"other %d" % i for i in range(400)])
        head = fork.checkpoint()
        with pytest.raises(UsageError, match="answers 422"):
            witness_http.submit(url(server), ledger.read(tmp_path / "fork", LOG)[1], head)


@pytest.mark.parametrize(("verb", "path", "body", "headers", "status"), [
    ("POST", "/x", b"", {}, 404), ("POST", "/add-checkpoint", b"junk", {}, 400), ("POST", "/add-checkpoint", b"", {"Content-Length": "99999999"}, 413),
    ("POST", "/add-checkpoint", b"", {"Content-Length": "-1"}, 411), ("GET", "/add-checkpoint", b"", {}, 501), ("PUT", "/../../etc/passwd", b"", {}, 501),
    ("POST", "/add-checkpoint", b"old 0\n\nother.example/log\n1\n" + b"A" * 43 + b"=\n\n\xe2\x80\x94 x " + b"A" * 100 + b"\n", {}, 404)])
def test_strangers_get_an_answer_and_no_more(server, verb, path, body, headers, status):
    connection = http.client.HTTPConnection("127.0.0.1", server.server_address[1], timeout=5)
    connection.request(verb, path, body, headers)
    assert connection.getresponse().status == status
    connection.close()


def test_nobody_there_and_nonsense():
    for address in ("http://127.0.0.1:1", "ftp://x", "junk", "http://"):
        with pytest.raises(BezoarError):
            witness_http._post(address, b"", 2.0)
