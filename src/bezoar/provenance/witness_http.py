"""A witness over HTTP, and the log's side of it: POST .../add-checkpoint, as c2sp.org/tlog-witness says.

The server answers one path and one verb, reads at most 64 KiB, and waits at most ten seconds for a client.
"""

from __future__ import annotations

import http.client
import http.server
from pathlib import Path
from urllib.parse import urlsplit

from bezoar.core.errors import BezoarError, ExitCode, UsageError
from bezoar.core.escape import line
from bezoar.provenance import strict, witness
from bezoar.provenance.notes import Checkpoint
from bezoar.provenance.tiles import Reader
from bezoar.provenance.witness import Answer, Witness

PATH = "/add-checkpoint"


class WitnessUnreachable(BezoarError):
    """No answer, or none that means anything."""

    exit_code = ExitCode.INCOMPLETE


class Server(http.server.ThreadingHTTPServer):
    """`serve_forever` until `shutdown`."""

    daemon_threads = True

    def __init__(self, witness_: Witness, address: str = "127.0.0.1", port: int = 0) -> None:
        self.witness = witness_
        super().__init__((address, port), _Handler)


class _Handler(http.server.BaseHTTPRequestHandler):
    server: Server
    timeout = 10
    server_version = "bezoar-witness"
    sys_version = ""

    def do_POST(self) -> None:
        length = self.headers.get("Content-Length", "")
        if self.path != PATH:
            self._say(Answer(404, "text/plain", b"no such path\n"))
        elif not (length.isascii() and length.isdigit()) or len(length) > 9 or int(length) > witness.MOST_BODY:
            self._say(Answer(413 if length.isascii() and length.isdigit() else 411, "text/plain", b"a length of at most 65536\n"))
        else:
            try:
                self._say(self.server.witness.add_checkpoint(self.rfile.read(int(length)), strict.now()))
            except (BezoarError, OSError):
                self._say(Answer(503, "text/plain", b"the witness cannot store heads now\n"))

    def _say(self, answer: Answer) -> None:
        self.send_response(answer.status)
        self.send_header("Content-Type", answer.kind)
        self.send_header("Content-Length", str(len(answer.body)))
        self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(answer.body)
        self.close_connection = True

    def log_message(self, *_: object) -> None:
        """The witness keeps heads, not visitors."""


def submit(url: str, reader: Reader, head: Checkpoint, seconds: float = 15.0) -> bytes:
    """Cosignature lines of the witness at `url`; asks it for the size it knows first. Raises WitnessUnreachable or UsageError."""
    old = 0
    for _ in range(3):
        status, body = _post(url, witness.request(reader, head, old), seconds)
        if status == 200:
            return body
        text = body[:200].decode("utf-8", "replace").strip()
        if status == 409 and text.isdigit() and len(text) < 18 and int(text) <= head.size and int(text) != old:
            old = int(text)
            continue
        if status == 409 and text.isdigit():
            raise UsageError(f"the witness has seen {line(text, 20)} entries and this log shows {head.size:,}",
                             advice="this copy of the log is old or cut off")
        raise UsageError(f"the witness answers {status}: {line(text, 100)}",
                         advice="is its list of logs right? keep the request: it may prove a fork")
    raise WitnessUnreachable("the witness moves faster than this log", advice="try again")


def _post(url: str, body: bytes, seconds: float) -> tuple[int, bytes]:
    parts = urlsplit(url)
    try:
        port = parts.port
    except ValueError:
        port = -1
    if parts.scheme not in ("http", "https") or not parts.hostname or port == -1:
        raise UsageError(f"{line(url, 100)!r} is no address of a witness", advice="https://witness.example/prefix")
    kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    connection = kind(parts.hostname, port, timeout=seconds)
    try:
        connection.request("POST", str(Path(parts.path or "/") / "add-checkpoint"), body, {"Content-Type": "text/plain"})
        answer = connection.getresponse()
        return answer.status, answer.read(witness.MOST_BODY)
    except (OSError, http.client.HTTPException) as error:
        raise WitnessUnreachable(f"the witness does not answer: {line(error, 120)}", advice="check its address, then try again") from None
    finally:
        connection.close()
