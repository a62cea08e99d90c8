"""`bezoar pin` and `bezoar recheck`."""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bezoar.cli.show import say_json
from bezoar.cli.sign import AsJson
from bezoar.core.errors import ExitCode, UsageError
from bezoar.core.escape import line

if TYPE_CHECKING:
    from bezoar.provenance.fetching import Fetcher

PIN_EPILOG = """Examples:

  bezoar pin links.csv --out pins.jsonl

  bezoar pin links.csv --column url --out pins.jsonl --workers 4 --json"""
RECHECK_EPILOG = """Examples:

  bezoar recheck pins.jsonl --out recheck.jsonl

  bezoar recheck pins.jsonl --out recheck-2.jsonl --snapshot 2027-03-01T00:00:00Z --hours 48"""

Workers = Annotated[int, typer.Option(min=1, max=256, help="Fetches at a time; two at most at one host.")]
Seconds = Annotated[float, typer.Option(min=0.1, help="Longest time for one fetch, redirects included.")]
Most = Annotated[int, typer.Option("--max-bytes", min=1, help="Largest body, bytes.")]
Also = Annotated[list[str] | None, typer.Option("--allow", help="ADDRESS:PORT of an own network that may be reached (repeatable).")]


def _fetcher(seconds: float, most: int, also: list[str] | None, source: str = "") -> Fetcher:
    import socket

    from bezoar.provenance import fetching

    def from_there(address: str, port: int, left: float) -> socket.socket:
        return socket.create_connection((address, port), timeout=left, source_address=(source, 0))

    door = fetching.Door(seconds=seconds, most_bytes=most, also=frozenset(also or ()))
    return fetching.Fetcher(door, connector=from_there if source else fetching.connect, trusted=ssl.create_default_context())


def pin(
    links: Annotated[Path, typer.Argument(help="CSV, TSV, Parquet, JSONL or text file of links; columns md5, sha256, sha512 are checked.")],
    out: Annotated[Path, typer.Option(help="Pins, one JSON line each; a rerun goes on where it stopped.")],
    column: Annotated[str, typer.Option(help="Column of links; `url` when left out.")] = "",
    identity: Annotated[str, typer.Option(help="crawler or browser.")] = "browser",
    workers: Workers = 16, seconds: Seconds = 30.0, most: Most = 64 << 20, also: Also = None, as_json: AsJson = False,
) -> int:
    """Record what links serve now: digest, likeness, size, type, time, address, certificate. Exit 1 when a hash column disagrees."""
    from bezoar.provenance import pins

    if identity not in pins.IDENTITIES:
        raise UsageError(f"no identity {line(identity, 40)!r}", advice="identities are: " + ", ".join(pins.IDENTITIES))
    counts = pins.pin(pins.read_urls(links, column), out, _fetcher(seconds, most, also), identity=identity, workers=workers)
    if as_json:
        say_json(dict(counts))
    else:
        print(f"{out}: " + (", ".join(f"{n:,} {k}" for k, n in counts.items()) or "nothing"))  # noqa: T201
    return int(ExitCode.FINDINGS if counts["mismatch"] else ExitCode.INCOMPLETE if counts["trouble"] else ExitCode.NOTHING)


def recheck(
    pinned: Annotated[Path, typer.Argument(metavar="PINS", help="What `bezoar pin` wrote.")],
    out: Annotated[Path, typer.Option(help="Verdicts, one JSON line each; a rerun goes on where it stopped.")],
    snapshot: Annotated[str,
                        typer.Option(help="When the data was downloaded (2027-03-01T00:00:00Z): a change just before is frontrun.")] = "",
    hours: Annotated[float, typer.Option(min=0, help="How shortly before.")] = 24.0,
    source_address: Annotated[str, typer.Option(help="Second own address to fetch from, as another vantage point.")] = "",
    lapsed: Annotated[Path | None, typer.Option(help="File of domains that lapsed or were registered anew, one per line.")] = None,
    workers: Workers = 16, seconds: Seconds = 30.0, most: Most = 64 << 20, also: Also = None, as_json: AsJson = False,
) -> int:
    """Do the links still serve what was reviewed, and to everybody? Exit 1 when something changed."""
    from bezoar.provenance import pins, strict

    domains = strict.read_bytes(lapsed, "list of domains", 64 << 20).decode("utf-8", "replace").lower().split() if lapsed else []
    plan = pins.Plan(snapshot=strict.moment(snapshot, "snapshot") if snapshot else None, hours=hours, lapsed=frozenset(domains))
    fetchers = [_fetcher(seconds, most, also), *([_fetcher(seconds, most, also, source_address)] if source_address else [])]
    counts = pins.recheck(pins.read_pins(pinned), out, fetchers, plan, workers=workers)
    if as_json:
        say_json(dict(counts))
    else:
        print(f"{out}: " + (", ".join(f"{n:,} {k}" for k, n in counts.items()) or "nothing"))  # noqa: T201
    if any(counts[k] for k in pins.ALARMS):
        return int(ExitCode.FINDINGS)
    return int(ExitCode.INCOMPLETE if any(counts[k] for k in pins.GAPS) else ExitCode.NOTHING)


def register(app: typer.Typer) -> None:
    """Put the commands on the app."""
    app.command(epilog=PIN_EPILOG)(pin)
    app.command(epilog=RECHECK_EPILOG)(recheck)
