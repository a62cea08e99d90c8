"""Fetch a URL that somebody else chose, without ever reaching a place that was not meant.

Only http and https on ports 80 and 443, no credentials in the URL, no proxies from the environment. A host is resolved once, *every*
address is checked, and the connection goes to the checked address; each redirect passes the same door. Bytes, seconds and redirects are
limited in all, so a slow or endless body ends. Rules: OWASP ASVS 5.0, 1.3.6.
"""

from __future__ import annotations

import http.client
import ipaddress
import re
import socket
import ssl
import threading
import time
import zlib
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from hashlib import sha256
from urllib.parse import urljoin, urlsplit

from bezoar.core.errors import BezoarError, ExitCode
from bezoar.core.escape import line

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
_FORBIDDEN = tuple(ipaddress.ip_network(n) for n in (
    "0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12", "192.0.0.0/24", "192.0.2.0/24",
    "192.88.99.0/24",
    "192.168.0.0/16", "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24", "224.0.0.0/4", "240.0.0.0/4", "::/96", "::ffff:0:0/96",
    "168.63.129.16/32",  # a cloud's own service, on a public address
    "::/3", "4000::/2", "8000::/1",  # all that is not global unicast: loopback, mapped, translated, NAT64, local, multicast, unassigned
    "2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20"))
_NAME = re.compile(r"(?!-)[a-z0-9-]{1,63}(?<!-)(\.(?!-)[a-z0-9-]{1,63}(?<!-))*\Z")


class FetchFailed(BezoarError):
    """The fetch did not give a body. `kind`: refused (by our door), gone (no such name or page), failed (network, status, limits)."""

    exit_code = ExitCode.INCOMPLETE

    def __init__(self, kind: str, message: str, *, advice: str = "", status: int = 0) -> None:
        self.kind, self.status = kind, status
        super().__init__(message, advice=advice)


@dataclass(frozen=True)
class Door:
    """What may be reached. `also`: "address:port" pairs of an own network that are allowed on purpose."""

    ports: frozenset[int] = frozenset({80, 443})
    also: frozenset[str] = frozenset()
    most_bytes: int = 64 << 20
    """Largest body after decompression, bytes."""
    seconds: float = 30.0
    """For everything: resolving, redirects, body."""
    redirects: int = 5

    def passes(self, address: Address, port: int) -> bool:
        """Whether an address may be reached."""
        if f"{address}:{port}" in self.also:
            return True
        return port in self.ports and address.is_global and not any(address in n for n in _FORBIDDEN if n.version == address.version)


@dataclass(frozen=True)
class Fetched:
    """A body and how it came."""

    url: str
    body: bytes
    kind: str
    """Media type, lower case, without parameters."""
    address: str
    certificate: str = ""
    """SHA-256 of the server's certificate, hexadecimal; empty for http."""
    modified: str = ""
    """Last-Modified as sent."""
    hops: tuple[str, ...] = ()
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)


def _refuse(url: str, why: str) -> FetchFailed:
    return FetchFailed("refused", f"{line(url, 200)!r} is not fetched: {why}", advice="only public http and https addresses are")


def split(url: str) -> tuple[str, str, int, str]:
    """(scheme, ASCII host, port, target) of a URL; raises FetchFailed for anything that two readers could read differently."""
    if len(url) > 8192 or any(c <= " " or c in "\\<>\"{}|^`\x7f" for c in url):
        raise _refuse(url, "it holds characters that no URL holds")
    try:
        parts = urlsplit(url)
        port = parts.port
        host = parts.hostname or ""
    except ValueError:
        raise _refuse(url, "it is malformed") from None
    if parts.scheme not in ("http", "https"):
        raise _refuse(url, f"scheme {line(parts.scheme, 20)!r}")
    if "@" in parts.netloc:
        raise _refuse(url, "it carries credentials")
    if not host or "%" in host:
        raise _refuse(url, "it names no host")
    if parts.netloc.startswith("["):
        try:
            host = str(ipaddress.IPv6Address(host))
        except ValueError:
            raise _refuse(url, "it names no proper address") from None
    else:
        if not host.isascii():
            try:
                host = host.encode("idna").decode("ascii")
            except UnicodeError:
                raise _refuse(url, "its host name is malformed") from None
        host = host.lower()
        if not _NAME.match(host) or len(host) > 253:
            raise _refuse(url, "its host name is malformed")
        last = host.rsplit(".", 1)[-1]
        if last.isdigit() or last.startswith("0x"):
            try:
                if str(ipaddress.IPv4Address(host)) != host:
                    raise ValueError
            except ValueError:
                raise _refuse(url, "its address is written in an odd way") from None
    target = _ascii((parts.path or "/") + (f"?{parts.query}" if parts.query else ""))
    return parts.scheme, host, port or (443 if parts.scheme == "https" else 80), target


def _ascii(text: str, charset: str = "utf-8") -> str:
    """As browsers send it: each byte beyond ASCII behind a percent sign."""
    return "".join(chr(b) if b < 128 else f"%{b:02X}" for b in text.encode(charset, "backslashreplace"))


Resolve = Callable[[str, int], list[str]]
Connect = Callable[[str, int, float], socket.socket]


def resolve(host: str, port: int) -> list[str]:
    """Every address of a host, in the order in which this machine would try them."""
    return list(dict.fromkeys(str(info[4][0]) for info in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)))


def connect(address: str, port: int, seconds: float) -> socket.socket:
    """A connection to exactly this address."""
    return socket.create_connection((address, port), timeout=seconds)


class Fetcher:
    """Fetches through a door. `resolver` and `connector` are replaced in tests that count connections."""

    def __init__(self, door: Door = Door(), resolver: Resolve = resolve, connector: Connect = connect,
                 trusted: ssl.SSLContext | None = None) -> None:
        self.door, self._resolve, self._connect = door, resolver, connector
        self._tls = trusted or ssl.create_default_context()

    def fetch(self, url: str, headers: Mapping[str, str]) -> Fetched:
        """The body behind `url`. Raises FetchFailed."""
        end = time.monotonic() + self.door.seconds
        hops: list[str] = []
        while True:
            found = self._one(url, headers, end, tuple(hops))
            if isinstance(found, Fetched):
                return found
            hops.append(url)
            if len(hops) > self.door.redirects:
                raise FetchFailed("failed", f"{line(hops[0], 200)!r} redirects more than {self.door.redirects} times")
            if url.startswith("https:") and not found.startswith("https:"):
                raise _refuse(found, "a redirect leaves https")
            url = found

    def _addresses(self, url: str, host: str, port: int) -> list[str]:
        try:
            texts = [host] if _literal(host) else self._resolve(host, port)
        except socket.gaierror as error:
            none = error.errno in (socket.EAI_NONAME, getattr(socket, "EAI_NODATA", socket.EAI_NONAME))
            raise FetchFailed("gone" if none else "failed", f"the name {line(host, 80)!r} cannot be resolved: {error.strerror}") from None
        except (OSError, UnicodeError) as error:
            raise FetchFailed("failed", f"the name {line(host, 80)!r} cannot be resolved: {error}") from None
        if not texts:
            raise FetchFailed("gone", f"the name {line(host, 80)!r} has no address")
        for text in texts:
            address = _literal(text.split("%")[0])
            if address is None or not self.door.passes(address, port):
                raise _refuse(url, f"{line(host, 80)!r} leads to {line(text, 60)} port {port}")
        return texts

    def _connected(self, addresses: list[str], port: int, end: float) -> tuple[str, socket.socket]:
        """The first of the checked addresses that answers: many hosts have one that this machine has no way to."""
        for k, address in enumerate(addresses):
            try:
                return address, self._connect(address, port, max(0.01, min(end - time.monotonic(), 10.0)))
            except OSError:
                if k == len(addresses) - 1 or time.monotonic() >= end:
                    raise
        raise OSError("no address")

    def _one(self, url: str, headers: Mapping[str, str], end: float, hops: tuple[str, ...]) -> Fetched | str:
        """A body, or where a redirect leads."""
        scheme, host, port, target = split(url)
        addresses = self._addresses(url, host, port)
        left = end - time.monotonic()
        if left <= 0:
            raise FetchFailed("failed", f"{line(url, 200)!r} took longer than {self.door.seconds:g} s")
        shown = f"[{host}]" if ":" in host else host
        connection = http.client.HTTPConnection(shown, port, timeout=left)
        watch: threading.Timer | None = None
        second: socket.socket | None = None
        try:
            address, raw = self._connected(addresses, port, end)
            second = raw.dup()  # TLS takes the first handle away, and the watch must still reach the connection
            watch = threading.Timer(max(0.01, end - time.monotonic()), _shut, [second])
            watch.daemon = True
            watch.start()
            certificate = ""
            if scheme == "https":
                secure = self._tls.wrap_socket(raw, server_hostname=host)
                certificate = sha256(secure.getpeercert(True) or b"").hexdigest()
                connection.sock = secure
            else:
                connection.sock = raw
            connection.putrequest("GET", target, skip_accept_encoding=True)
            for name, value in {"Accept": "*/*", **headers, "Accept-Encoding": "identity", "Connection": "close"}.items():
                connection.putheader(name, value)
            connection.endheaders()
            answer = connection.getresponse()
            if answer.status in (301, 302, 303, 307, 308):
                where = answer.getheader("Location")
                if not where:
                    raise FetchFailed("failed", f"{line(url, 200)!r} redirects to nowhere", status=answer.status)
                return urljoin(url, _ascii(where, "latin-1"))
            if answer.status != 200:
                raise FetchFailed("gone" if answer.status in (404, 410) else "failed", f"{line(url, 200)!r} answers {answer.status}",
                                  status=answer.status)
            body = self._body(answer, url, end)
            return Fetched(url, body, (answer.getheader("Content-Type") or "").split(";")[0].strip().lower()[:100], address, certificate,
                           (answer.getheader("Last-Modified") or "")[:60], hops)
        except FetchFailed:
            raise
        except (OSError, http.client.HTTPException, ValueError, zlib.error) as error:
            late = time.monotonic() >= end
            why = f"took longer than {self.door.seconds:g} s" if late else f"cannot be fetched: {type(error).__name__}: {line(error, 120)}"
            raise FetchFailed("failed", f"{line(url, 200)!r} {why}") from None
        finally:
            if watch is not None:
                watch.cancel()
            if second is not None:
                second.close()
            connection.close()

    def _body(self, answer: http.client.HTTPResponse, url: str, end: float) -> bytes:
        packed = (answer.getheader("Content-Encoding") or "identity").strip().lower()
        if packed not in ("identity", "", "gzip", "x-gzip", "deflate"):
            raise FetchFailed("failed", f"{line(url, 200)!r} is packed with {line(packed, 20)!r}, which was not asked for")
        unpack = None if packed in ("identity", "") else zlib.decompressobj(zlib.MAX_WBITS | 32)
        out, size, came = [], 0, False
        while piece := answer.read1(1 << 16):
            came = True
            if time.monotonic() > end:
                raise FetchFailed("failed", f"{line(url, 200)!r} took longer than {self.door.seconds:g} s")
            if unpack is not None:
                piece = unpack.decompress(piece, self.door.most_bytes + 1 - size)
            size += len(piece)
            out.append(piece)
            if size > self.door.most_bytes or (unpack is not None and unpack.unconsumed_tail):
                raise FetchFailed("failed", f"{line(url, 200)!r} has more than {self.door.most_bytes:,} bytes")
        if time.monotonic() > end:
            raise FetchFailed("failed", f"{line(url, 200)!r} took longer than {self.door.seconds:g} s")
        if unpack is not None and came and not unpack.eof:
            raise FetchFailed("failed", f"{line(url, 200)!r} was cut off")
        length = answer.getheader("Content-Length")
        if unpack is None and length is not None and length.isdigit() and int(length) != size:
            raise FetchFailed("failed", f"{line(url, 200)!r} was cut off")
        return b"".join(out)


def _literal(text: str) -> Address | None:
    try:
        return ipaddress.ip_address(text)
    except ValueError:
        return None


def _shut(raw: socket.socket) -> None:
    with suppress(OSError):
        raw.shutdown(socket.SHUT_RDWR)
