"""Edges of the door: addresses that are translated, names in other scripts, hosts with a dead address, cut bodies, slow TLS, odd lists."""

import gzip
import ipaddress
import socket
import ssl
import threading
import time
from datetime import UTC, datetime

import pytest

from bezoar.core.errors import BezoarError, UnreadableInput
from bezoar.provenance import pins
from bezoar.provenance.fetching import Door, Fetched, Fetcher, FetchFailed, split
from bezoar.provenance.pins import Pin, Plan


@pytest.mark.parametrize("address", ["::ffff:0:7f00:1", "1::1", "4000::1", "9000::1", "168.63.129.16", "64:ff9b::a00:1", "fec0::1", "::1"])
def test_what_is_not_global_unicast_is_not_reached(address):
    assert not Door().passes(ipaddress.ip_address(address), 80) and Door().passes(ipaddress.ip_address("2606:4700::1111"), 80)


def test_letters_beyond_ascii_are_sent_as_browsers_send_them():
    assert split("http://example.org/\u00e9 ?q=\u4e2d".replace(" ", ""))[3] == "/%C3%A9?q=%E4%B8%AD"


def serve(answer):
    """The client's end of a connection to somebody who says `answer(connection)`."""
    ours, theirs = socket.socketpair()
    threading.Thread(target=answer, args=(theirs,), daemon=True).start()
    return ours


def said(data):
    def answer(connection):
        connection.recv(65536)
        connection.sendall(data)
        connection.close()

    return answer


def fetcher(connector, addresses=("93.184.216.34",), seconds=5.0, trusted=None):
    return Fetcher(Door(seconds=seconds), lambda host, port: list(addresses), connector, trusted)


def test_another_checked_address_is_tried_where_the_first_has_no_way():
    asked = []

    def connector(address, port, left):
        asked.append(address)
        if ":" in address:
            raise OSError("no way there")
        return serve(said(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"))

    got = fetcher(connector, ("2606:4700::1111", "93.184.216.34")).fetch("http://example.org/", {})
    assert got.body == b"hi" and got.address == "93.184.216.34" and len(asked) == 2


def test_a_packed_body_that_was_cut_off_is_no_body():
    packed = gzip.compress(b"reviewed " * 500)
    for body, good in ((packed, True), (packed[:-9], False)):
        one = fetcher(lambda *_, body=body: serve(said(b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\n" + body)))
        if good:
            assert one.fetch("http://example.org/", {}).body == b"reviewed " * 500
        else:
            with pytest.raises(FetchFailed, match="cut off"):
                one.fetch("http://example.org/", {})


def test_slow_headers_end_in_time_over_tls_too():
    """TLS takes the handle of the connection; the watch held the old one and shut nothing."""
    class Taken(socket.socket):
        def getpeercert(self, _):
            return b""

    class Wrapped(ssl.SSLContext):
        def wrap_socket(self, sock, **_):
            taken = Taken(fileno=sock.detach())
            taken.settimeout(30)
            return taken

    def drip(connection):
        try:
            connection.sendall(b"HTTP/1.1 200 OK\r\n")
            for _ in range(200):
                connection.sendall(b"X: y\r\n"[:1])
                time.sleep(0.05)
        except OSError:
            pass

    start = time.monotonic()
    with pytest.raises(FetchFailed, match="took longer|cannot be fetched"):
        fetcher(lambda *_: serve(drip), seconds=1.0, trusted=Wrapped(ssl.PROTOCOL_TLS_CLIENT)).fetch("https://example.org/", {})
    assert time.monotonic() - start < 5


def test_one_hostile_link_does_not_end_the_run(tmp_path):
    counts = pins.pin([("http://[bad", {}), ("ftp://x/", {})], tmp_path / "pins.jsonl", fetcher(None))
    assert counts == {"trouble": 2}


@pytest.mark.parametrize(("name", "raw"), [("l.parquet", b"junk"), ("l.jsonl", b'{"text": "no link"}\n'), ("l.csv", b"a,b\n1,2\n")])
def test_lists_that_hold_no_links_are_said(tmp_path, name, raw):
    (tmp_path / name).write_bytes(raw)
    with pytest.raises(BezoarError):
        list(pins.read_urls(tmp_path / name))


def test_a_hash_that_is_missing_is_not_a_mismatch(tmp_path):
    (tmp_path / "l.jsonl").write_text('{"image_url": "http://a/", "sha256": null, "MD5": "AB"}\n')
    assert list(pins.read_urls(tmp_path / "l.jsonl")) == [("http://a/", {"md5": "ab"})]


def test_a_file_of_something_else_is_not_cut(tmp_path):
    other = tmp_path / "other.txt"
    for text in (b"a\nlast line without an end", b"{}\n{", b"words"):
        other.write_bytes(text)
        with pytest.raises(UnreadableInput):
            pins.pin([], other, fetcher(None))
        assert other.read_bytes() == text


def test_re_encoded_for_one_and_refused_to_the_other_is_not_passed():
    like = pins.likeness(b"a b", "text/plain")

    class One:
        def fetch(self, url, headers):
            if "crawler" in headers["User-Agent"]:
                raise FetchFailed("failed", "answers 403", status=403)
            return Fetched(url, b"a  b", "text/plain", "93.184.216.34")

    found = pins.check(Pin("http://a/", sha256="0" * 64, likeness=like), [One()], Plan(), datetime(2027, 3, 1, tzinfo=UTC))
    assert found.verdict == "withheld"
