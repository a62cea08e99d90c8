"""Pins: a local server serves poison to the crawler only, swaps, re-encodes, stalls and redirects; and no fetch reaches a forbidden place."""

import gzip
import http.server
import io
import json
import socket
import threading
import time
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import numpy as np
import pytest

from bezoar.core.errors import BezoarError, UnreadableInput, UsageError
from bezoar.provenance import pins
from bezoar.provenance.fetching import Door, Fetcher, FetchFailed, split
from bezoar.provenance.likeness import alike, likeness
from bezoar.provenance.pins import Plan

Image = pytest.importorskip("PIL.Image")


def scenes():
    """Photographs that scikit-learn brings, cut into many, with synthetic ones beside."""
    from sklearn.datasets import load_sample_images

    rng = np.random.default_rng(0)
    out = []
    for picture in load_sample_images().images:
        for _ in range(12):
            y, x = rng.integers(0, picture.shape[0] - 200), rng.integers(0, picture.shape[1] - 240)
            out.append(Image.fromarray(picture[y:y + 200, x:x + 240]))
    for _ in range(6):
        base = rng.integers(0, 255, (6, 8, 3), np.uint8)
        out.append(Image.fromarray(base).resize((240, 200), Image.Resampling.BICUBIC))
    return out


SCENES = scenes()


def jpeg(image, quality=92, **more):
    f = io.BytesIO()
    image.save(f, "JPEG", quality=quality, **more)
    return f.getvalue()


def png(image):
    f = io.BytesIO()
    image.save(f, "PNG")
    return f.getvalue()


class Site:
    """A local web server; `pages` maps a path to bytes or to a function of (handler, number of this request to the path)."""

    def __init__(self):
        self.pages, self.asked = {}, []
        site = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self):
                site.asked.append((self.path, self.headers.get("User-Agent", "")))
                page = site.pages.get(self.path)
                if callable(page):
                    page = page(self, sum(p == self.path for p, _ in site.asked))
                if page is None:
                    self.send(404, b"gone")
                elif page is not ...:
                    self.send(200, page)

            def send(self, status, body, **headers):
                self.send_response(status)
                kind = "image/jpeg" if body[:2] == b"\xff\xd8" else "image/png" if body[:4] == b"\x89PNG" else "text/plain"
                for k, v in {"Content-Type": kind, "Content-Length": str(len(body)), **{k.replace("_", "-"): v for k, v in headers.items()}}.items():
                    self.send_header(k, v)
                self.end_headers()
                self.wfile.write(body)
                return ...

            def log_message(self, *_):
                pass

            def crawler(self):
                return "crawler" in self.headers.get("User-Agent", "")

        class Server(http.server.ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, request, client_address):
                pass

        self.server = Server(("127.0.0.1", 0), Handler)
        self.port = self.server.server_address[1]
        self.thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        self.thread.start()

    def url(self, path):
        return f"http://127.0.0.1:{self.port}{path}"

    def fetcher(self, **door):
        return Fetcher(Door(also=frozenset({f"127.0.0.1:{self.port}"}), **{"seconds": 10.0, **door}))


@pytest.fixture
def site():
    s = Site()
    yield s
    s.server.shutdown()
    s.server.server_close()


def pinned(site, folder, paths):
    pins.pin(((site.url(p), {}) for p in paths), folder / "pins.jsonl", site.fetcher())
    return list(pins.read_pins(folder / "pins.jsonl"))


def verdicts(site, folder, plan=None, name="r.jsonl"):
    pins.recheck(pins.read_pins(folder / "pins.jsonl"), folder / name, [site.fetcher()], plan or Plan())
    return {(r := json.loads(row))["url"].split("/")[-1]: r["verdict"] for row in (folder / name).read_text().splitlines()}


def test_twenty_split_views_twenty_swaps_and_nothing_else(site, tmp_path):
    """20 of 20 poisoned for the crawler only, 20 of 20 swapped for all, none of 20 honest ones named."""
    poison = [png(s.transpose(Image.Transpose.ROTATE_180)) for s in SCENES[:20]]
    for i in range(20):
        honest = jpeg(SCENES[i])
        for kind in ("split", "swap", "same", "turned"):
            site.pages[f"/{kind}{i}"] = honest
    found = pinned(site, tmp_path, sorted(site.pages))
    assert all(p.sha256 and p.likeness.kind == "picture" and not p.trouble for p in found)
    for i in range(20):
        def both(handler, number, i=i):
            return poison[i] if handler.crawler() else jpeg(SCENES[i])

        def other_way(handler, number, i=i):
            return jpeg(SCENES[i]) if handler.crawler() else poison[i]

        site.pages[f"/split{i}"], site.pages[f"/turned{i}"], site.pages[f"/swap{i}"] = both, other_way, jpeg(SCENES[(i + 3) % 20])
    got = verdicts(site, tmp_path)
    assert [got[f"split{i}"] for i in range(20)] == ["split view"] * 20
    assert [got[f"turned{i}"] for i in range(20)] == ["split view"] * 20
    assert [got[f"swap{i}"] for i in range(20)] == ["changed"] * 20
    assert [got[f"same{i}"] for i in range(20)] == ["same"] * 20


def reencodings(image):
    yield jpeg(image, 40)
    yield jpeg(image, 75, progressive=True)
    yield png(Image.open(io.BytesIO(jpeg(image, 60))))
    for share in (0.5, 0.8, 1.5):
        yield jpeg(image.resize((round(image.width * share), round(image.height * share)), Image.Resampling.LANCZOS), 85)
    exif = Image.Exif()
    exif[0x010E] = "another description"
    yield jpeg(image, 92, exif=exif)
    yield jpeg(image, 90, subsampling=0)


def test_two_hundred_honest_reencodings_are_not_called_changed():
    count = wrong = 0
    for image in SCENES:
        first = likeness(jpeg(image), "image/jpeg")
        for other in reencodings(image):
            count += 1
            wrong += not alike(first, likeness(other, "image/jpeg"))
    assert count >= 200 and wrong == 0


def test_other_pictures_and_patches_are_changed():
    missed = count = 0
    prints = [likeness(jpeg(s), "") for s in SCENES]
    for i, a in enumerate(prints):
        for b in prints[i + 1:]:
            count += 1
            missed += alike(a, b)
    assert count > 300 and missed == 0
    rng = np.random.default_rng(4)
    for image in SCENES:
        stamped = np.array(image)
        y, x = rng.integers(0, 160), rng.integers(0, 200)
        stamped[y:y + 36, x:x + 36] = 255 if stamped[y:y + 36, x:x + 36].mean() < 128 else 0
        assert not alike(likeness(jpeg(image), ""), likeness(jpeg(Image.fromarray(stamped)), ""))
    assert not alike(likeness(png(SCENES[0].transpose(Image.Transpose.FLIP_LEFT_RIGHT)), ""), prints[0])


@pytest.mark.parametrize("body", [b"", b"\x89PNG\r\n\x1a\n" + b"\0" * 50, b"\xff\xd8\xff" + b"x" * 100, b"GIF89a" + b"\xff" * 30, b"<" * 200_000,
                                  b"<script" * 50_000])
def test_hostile_bodies_are_bytes_or_text_soon(body):
    started = time.process_time()
    for kind in ("image/png", "text/html", ""):
        likeness(body, kind)
    assert time.process_time() - started < 5


def test_every_verdict(site, tmp_path):
    now = datetime.now(UTC)
    names = ["same", "words", "recoded", "changed", "gone", "unstable", "withheld", "frontrun", "early", "failed"]
    for n in names:
        site.pages[f"/{n}"] = b"a  text\n" if n != "recoded" else jpeg(SCENES[0])
    pinned(site, tmp_path, [f"/{n}" for n in names])
    site.pages["/words"] = b"a text"
    site.pages["/recoded"] = jpeg(SCENES[0], 50)
    site.pages["/changed"] = b"another text"
    site.pages["/gone"] = None
    site.pages["/unstable"] = lambda handler, number: b"text %d" % number
    site.pages["/withheld"] = lambda handler, number: handler.send(403, b"no") if handler.crawler() else b"a  text\n"
    for name, hours in (("frontrun", 5), ("early", 90)):
        when = format_datetime(now - timedelta(hours=hours), usegmt=True)
        site.pages[f"/{name}"] = lambda handler, number, w=when: handler.send(200, b"poison", Last_Modified=w)
    site.pages["/failed"] = lambda handler, number: handler.send(500, b"")
    got = verdicts(site, tmp_path, Plan(snapshot=now, hours=24))
    assert got == {"same": "same", "words": "re-encoded", "recoded": "re-encoded", "changed": "changed", "gone": "gone", "unstable": "unstable",
                   "withheld": "withheld", "frontrun": "frontrun", "early": "changed", "failed": "failed"}
    told = verdicts(site, tmp_path, Plan(lapsed=frozenset({"127.0.0.1"})), "l.jsonl")
    assert set(told.values()) == {"lapsed"}


def test_runs_go_on_where_they_stopped(site, tmp_path):
    for i in range(12):
        site.pages[f"/{i}"] = b"%d" % i
    paths = [f"/{i}" for i in range(12)]
    pinned(site, tmp_path, paths[:5])
    with (tmp_path / "pins.jsonl").open("ab") as f:
        f.write(b'{"url": "cut off')
    before = len(site.asked)
    assert len(pinned(site, tmp_path, paths)) == 12 and len(site.asked) - before == 7
    verdicts(site, tmp_path)
    before = len(site.asked)
    assert len(verdicts(site, tmp_path)) == 12 and len(site.asked) == before


def test_hash_columns_are_checked(site, tmp_path):
    from hashlib import md5, sha256

    site.pages |= {"/a": b"aa", "/b": b"bb", "/c": b"cc"}
    good, bad = sha256(b"aa").hexdigest(), md5(b"zz").hexdigest()
    (tmp_path / "l.csv").write_text(f"caption,url,sha256,md5\nx,{site.url('/a')},{good},\ny,{site.url('/b')},,{bad}\nz,{site.url('/c')},,\n")
    counts = pins.pin(pins.read_urls(tmp_path / "l.csv"), tmp_path / "p.jsonl", site.fetcher())
    assert counts == {"pinned": 2, "mismatch": 1}
    assert [p.expected for p in sorted(pins.read_pins(tmp_path / "p.jsonl"), key=lambda p: p.url)] == ["match", "mismatch", ""]


def test_lists_of_links(tmp_path):
    import pyarrow as pa
    import pyarrow.parquet as pq

    pq.write_table(pa.table({"URL": ["http://a/", None], "MD5": ["AB", None], "text": ["x", "y"]}), tmp_path / "l.parquet")
    assert list(pins.read_urls(tmp_path / "l.parquet")) == [("http://a/", {"md5": "ab"}), ("", {"md5": ""})]
    (tmp_path / "l.jsonl").write_text('{"url": "http://a/", "sha256": "CD"}\n')
    assert list(pins.read_urls(tmp_path / "l.jsonl")) == [("http://a/", {"sha256": "cd"})]
    (tmp_path / "l.txt").write_text("http://a/\n\nhttp://b/\n")
    assert [u for u, _ in pins.read_urls(tmp_path / "l.txt")] == ["http://a/", "http://b/"]
    (tmp_path / "l.csv").write_text("a,b\n1,2\n")
    with pytest.raises(UsageError, match="no column of links"):
        list(pins.read_urls(tmp_path / "l.csv"))
    (tmp_path / "bad.parquet").write_bytes(b"junk")
    (tmp_path / "bad.txt").write_bytes(b"\xff\xfe")
    for name in ("none.csv", "bad.txt"):
        with pytest.raises(UnreadableInput):
            list(pins.read_urls(tmp_path / name))
    for text in ("{}", "junk", '{"url": 5}'):
        (tmp_path / "p.jsonl").write_text(text + "\n")
        with pytest.raises(BezoarError):
            list(pins.read_pins(tmp_path / "p.jsonl"))
    with pytest.raises(UsageError, match="two identities"):
        pins.recheck([], tmp_path / "x", [Fetcher()], Plan(identities={"a": {}}))


# --- the door --------------------------------------------------------------------------------------------------------------------

PUBLIC = "93.184.216.34"
ROW = [  # (url, what its name resolves to)
    ("http://127.0.0.1/", []), ("http://127.0.0.1:80/", []), ("http://localhost/", ["127.0.0.1", "::1"]), ("http://0.0.0.0/", []), ("http://[::]/", []),
    ("http://[::1]/", []), ("http://[::ffff:127.0.0.1]/", []), ("http://[::ffff:7f00:1]/", []), ("http://2130706433/", ["127.0.0.1"]),
    ("http://0177.0.0.1/", ["127.0.0.1"]), ("http://0x7f.0.0.1/", ["127.0.0.1"]), ("http://0x7f000001/", ["127.0.0.1"]), ("http://127.1/", ["127.0.0.1"]),
    ("http://localhost./", ["127.0.0.1"]), ("http://１２７.0.0.1/", ["127.0.0.1"]), ("http://①②⑦.0.0.1/", ["127.0.0.1"]),
    ("http://good.example@127.0.0.1/", []), ("http://127.0.0.1@good.example/", [PUBLIC]), ("http://good.example\\@127.0.0.1/", [PUBLIC]),
    ("http://good.example#@127.0.0.1/", ["127.0.0.1"]), ("http://[2002:7f00:1::]/", []), ("http://[64:ff9b::7f00:1]/", []),
    ("http://[64:ff9b:1::1]/", []), ("http://[2001::1]/", []), ("http://169.254.169.254/latest/meta-data/", []), ("http://[fe80::1]/", []),
    ("http://[fe80::1%25eth0]/", []), ("http://[fd00::1]/", []), ("http://[fec0::1]/", []), ("http://100.64.0.1/", []), ("http://10.1.2.3/", []),
    ("http://172.31.0.1/", []), ("http://192.168.0.1/", []), ("http://192.0.0.192/", []), ("http://198.18.0.1/", []), ("http://224.0.0.1/", []),
    ("http://255.255.255.255/", []), ("http://metadata.google.internal/", ["169.254.169.254"]), ("http://cname.example/", ["10.0.0.5"]),
    ("http://mixed.example/", [PUBLIC, "fd00::1"]), ("http://mixed.example/", [PUBLIC, "127.0.0.1"]), ("http://zone.example/", ["fe80::1%eth0"]),
    ("file:///etc/passwd", []), ("gopher://good.example/", [PUBLIC]), ("ftp://good.example/", [PUBLIC]), ("data:text/plain,x", []),
    ("http://good.example:22/", [PUBLIC]), ("http://good.example:8080/", [PUBLIC]), ("http://good.example:99999/", [PUBLIC]), ("http:///x", []),
    ("http://good.example\r\nHost: x/", [PUBLIC]), ("http://good example/", [PUBLIC]), ("//127.0.0.1/", []), ("http://a..b/", [PUBLIC]),
    ("HTTP://LOCALHOST/", ["127.0.0.1"]), ("http://good.example/\x00", [PUBLIC]), ("http://[127.0.0.1]/", []), ("http://%31%32%37.0.0.1/", ["127.0.0.1"]),
]


@pytest.mark.parametrize(("url", "addresses"), ROW)
def test_no_connection_to_a_forbidden_place(url, addresses):
    made = []

    def connector(address, port, seconds):
        made.append((address, port))
        raise OSError("no network in this test")

    fetcher = Fetcher(resolver=lambda host, port: list(addresses), connector=connector)
    with pytest.raises(FetchFailed) as caught:
        fetcher.fetch(url, {})
    assert not made and caught.value.kind in ("refused", "gone"), (url, made)


def test_a_good_address_does_pass_the_door():
    made = []

    def connector(address, port, seconds):
        made.append((address, port))
        raise OSError("no network in this test")

    for url, port in (("http://good.example/", 80), ("https://good.example/", 443), ("http://bücher.example:80/", 80)):
        with pytest.raises(FetchFailed) as caught:
            Fetcher(resolver=lambda host, port: [PUBLIC], connector=connector).fetch(url, {})
        assert caught.value.kind == "failed" and made[-1] == (PUBLIC, port)
    assert split("http://Bücher.example/a?b#c") == ("http", "xn--bcher-kva.example", 80, "/a?b")


def test_rebinding_is_of_no_use():
    """The name is resolved once; the connection goes to the address that was checked."""
    answers, made = [[PUBLIC], ["127.0.0.1"]], []

    def connector(address, port, seconds):
        made.append(address)
        raise OSError

    with pytest.raises(FetchFailed):
        Fetcher(resolver=lambda host, port: answers.pop(0), connector=connector).fetch("http://rebind.example/", {})
    assert made == [PUBLIC] and len(answers) == 1


class Local(Fetcher):
    """All public names lead to the local site; everything else is refused as ever, and counted."""

    def __init__(self, site, **door):
        self.made = []

        def connector(address, port, seconds):
            self.made.append((address, port))
            return socket.create_connection(("127.0.0.1", site.port), timeout=seconds)

        names = {"good.example": [PUBLIC], "evil.example": ["127.0.0.1"], "inner.example": ["10.0.0.1"]}
        super().__init__(Door(**{"seconds": 10.0, **door}), lambda host, port: names[host], connector)


@pytest.mark.parametrize("where", ["http://evil.example/", "http://inner.example/x", "//127.0.0.1/", "file:///etc/passwd", "gopher://good.example/",
                                   "http://169.254.169.254/", "http://[::1]/", "http://good.example:22/", "http://user@good.example/", "ftp://good.example/"])
def test_redirects_pass_the_same_door(site, where):
    site.pages["/"] = lambda handler, number: handler.send(302, b"", Location=where)
    fetcher = Local(site)
    with pytest.raises(FetchFailed) as caught:
        fetcher.fetch("http://good.example/", {})
    assert caught.value.kind == "refused" and fetcher.made == [(PUBLIC, 80)]


def test_redirects_within_the_limit_and_beyond(site):
    site.pages["/"] = lambda handler, number: handler.send(302, b"", Location="/next")
    site.pages["/next"] = b"here"
    got = Local(site).fetch("http://good.example/", {})
    assert got.body == b"here" and got.url == "http://good.example/next" and got.hops == ("http://good.example/",)
    site.pages["/next"] = lambda handler, number: handler.send(302, b"", Location="/")
    fetcher = Local(site)
    with pytest.raises(FetchFailed, match="more than 5 times"):
        fetcher.fetch("http://good.example/", {})
    assert len(fetcher.made) == 6


def endless(handler, number):
    handler.send_response(200)
    handler.end_headers()
    try:
        while True:
            handler.wfile.write(b"x" * 65536)
    except OSError:
        return ...


def drip(handler, number):
    handler.send_response(200)
    handler.end_headers()
    try:
        while True:
            handler.wfile.write(b"x")
            time.sleep(0.05)
    except OSError:
        return ...


def silent(handler, number):
    time.sleep(1.5)
    return ...


def slow_headers(handler, number):
    try:
        handler.wfile.write(b"HTTP/1.1 200 OK\r\n")
        for _ in range(100):
            handler.wfile.write(b"X: y\r\n")
            time.sleep(0.05)
    except OSError:
        pass
    return ...


HOSTILE = {"endless": (endless, "more than"), "drip": (drip, "longer than"), "silent": (silent, "longer than|cannot"), "slow headers": (slow_headers, "longer than"),
           "bomb": (lambda h, n: h.send(200, gzip.compress(bytes(30_000_000)), Content_Encoding="gzip"), "more than"),
           "unasked": (lambda h, n: h.send(200, b"x", Content_Encoding="br"), "not asked for"),
           "cut": (lambda h, n: (h.send_response(200), h.send_header("Content-Length", "999"), h.end_headers(), h.wfile.write(b"x"), h.connection.close(), ...)[-1],
                   "cut off|cannot"),
           "no http": (lambda h, n: (h.wfile.write(b"SSH-2.0-x\r\n"), h.connection.close(), ...)[-1], "cannot be fetched"),
           "many headers": (lambda h, n: h.send(200, b"x", **{f"X{i}": "y" for i in range(300)}), "cannot be fetched"),
           "nowhere": (lambda h, n: h.send(302, b""), "to nowhere")}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_servers_end_within_the_limits(site, name):
    site.pages["/"], words = HOSTILE[name]
    started = time.perf_counter()
    with pytest.raises(FetchFailed, match=words):
        Local(site, seconds=0.8, most_bytes=1_000_000).fetch("http://good.example/", {})
    assert time.perf_counter() - started < 3


def test_proxies_of_the_environment_are_not_used(site, monkeypatch):
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "https_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1/")
    site.pages["/"] = lambda h, n: h.send(200, gzip.compress(b"packed"), Content_Encoding="gzip")
    assert Local(site).fetch("http://good.example/", {}).body == b"packed"


def test_pin_and_recheck_as_commands(site, tmp_path, said):
    allow = ("--allow", f"127.0.0.1:{site.port}")
    site.pages |= {"/a": b"one", "/b": b"two"}
    (tmp_path / "links.txt").write_text(site.url("/a") + "\n" + site.url("/b") + "\n")
    code, out, _ = said("pin", tmp_path / "links.txt", "--out", tmp_path / "p.jsonl", "--json", *allow)
    assert code == 0 and json.loads(out) == {"pinned": 2}
    assert said("recheck", tmp_path / "p.jsonl", "--out", tmp_path / "r.jsonl", *allow)[0] == 0
    site.pages["/b"] = lambda handler, number: b"poison" if handler.crawler() else b"two"
    code, out, _ = said("recheck", tmp_path / "p.jsonl", "--out", tmp_path / "r2.jsonl", "--json", *allow)
    assert code == 1 and json.loads(out) == {"same": 1, "split view": 1}
    assert said("pin", tmp_path / "links.txt", "--out", tmp_path / "q.jsonl")[0] == 3  # the local network is not reached unasked
    assert said("pin", tmp_path / "none.csv", "--out", tmp_path / "q2.jsonl")[0] == 2
    assert said("recheck", tmp_path / "p.jsonl", "--out", tmp_path / "x", "--snapshot", "yesterday")[0] == 2


def test_https_is_not_left_by_a_redirect(monkeypatch):
    asked = []

    def one(self, url, headers, end, hops):
        asked.append(url)
        return "http://good.example/"

    monkeypatch.setattr(Fetcher, "_one", one)
    with pytest.raises(FetchFailed, match="leaves https"):
        Fetcher().fetch("https://good.example/", {})
    assert asked == ["https://good.example/"]


@pytest.mark.parametrize(("status", "kind"), [(404, "gone"), (410, "gone"), (403, "failed"), (500, "failed"), (206, "failed"), (204, "failed"), (304, "failed")])
def test_only_a_plain_answer_counts(site, status, kind):
    site.pages["/"] = lambda handler, number: handler.send(status, b"" if status in (204, 304) else b"body")
    with pytest.raises(FetchFailed) as caught:
        Local(site).fetch("http://good.example/", {})
    assert (caught.value.kind, caught.value.status) == (kind, status)


def test_names_without_an_address_and_odd_addresses():
    for addresses, kind in (([], "gone"), (["not an address"], "refused")):
        with pytest.raises(FetchFailed) as caught:
            Fetcher(resolver=lambda host, port, a=addresses: a).fetch("http://good.example/", {})
        assert caught.value.kind == kind
    for url in ("http://1.2.3/", "http://0x5db8d822/", "http://93.184.216.034/", "http://1572395042/"):  # public, but written in an odd way
        with pytest.raises(FetchFailed, match="odd way"):
            Fetcher(resolver=lambda host, port: [PUBLIC]).fetch(url, {})
