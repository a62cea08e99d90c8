"""`bezoar snapshot`, `bezoar versions`, `bezoar diff`, `bezoar checkout`, `bezoar rollback`."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bezoar.cli.book import LogFolder, LogPrivateKey, book
from bezoar.cli.show import say_json
from bezoar.cli.sign import AsJson, Chain, LogKeys, LogProof, NewestFile, PolicyFile, PublicKeys, ground
from bezoar.core.escape import line

if TYPE_CHECKING:
    from bezoar.provenance.rows import Columns, Record

SNAPSHOT_EPILOG = """Examples:

  bezoar snapshot photos/ --store store

  bezoar snapshot photos/ --store store --name main --signature photos.sig"""
VERSIONS_EPILOG = """Examples:

  bezoar versions --store store

  bezoar versions --store store --check"""
DIFF_EPILOG = """Examples:

  bezoar diff main photos/ --store store

  bezoar diff mails.csv mails.csv --label verdict --json"""
CHECKOUT_EPILOG = """Examples:

  bezoar checkout main --store store --out copy

  bezoar checkout main --store store --out copy-2 --json"""
ROLLBACK_EPILOG = """Examples:

  bezoar rollback main --to main --store store --public-key keys/ci/public.pem

  bezoar rollback main --to main --store store --public-key keys/ci/public.pem --json"""

POINTERS_EPILOG = """Examples:

  bezoar pointers .

  bezoar pointers . --json"""

Place = Annotated[Path, typer.Option("--store", help="Folder of the versions.")]


def snapshot(
    path: Annotated[Path, typer.Argument(help="Dataset or model: a folder or one file.")], store: Place,
    name: Annotated[str, typer.Option(help="Line of versions that now points here.")] = "main",
    signature: Annotated[list[Path] | None, typer.Option(help="Bundle about exactly this content, kept with it (repeatable).")] = None,
    as_json: AsJson = False,
) -> int:
    """Keep this version. Content that is stored already is not stored again."""
    from bezoar.provenance import strict
    from bezoar.provenance.versions import Store

    place = Store(store)
    bundles = [strict.read_bytes(s, "signature") for s in signature or []]
    version = place.snapshot(path)
    for bundle in bundles:
        place.attach(version.id, bundle)
    place.switch(name, version.id)
    say_json({"version": version.id, "name": name, "files": len(version.files),
              "bytes": version.bytes}) if as_json else print(  # noqa: T201
        f"{name} -> {version.id[:16]}: {len(version.files):,} files, {version.bytes:,} bytes")
    return 0


def versions(store: Place, check: Annotated[bool, typer.Option("--check", help="Read and hash everything again.")] = False,
             push: Annotated[str, typer.Option(help="Copy what is new to this place: s3://..., gs://..., a folder.")] = "",
             pull: Annotated[str, typer.Option(help="Copy what is new from there, each piece checked.")] = "",
             as_json: AsJson = False) -> int:
    """What is stored, what each name points to, and what it pointed to before."""
    from bezoar.provenance import remote
    from bezoar.provenance.versions import Store

    place = Store(store)
    for call, url in ((remote.push, push), (remote.pull, pull)):
        if url:
            call(place, url)
    refs = place.refs()
    checked = place.check() if check else None
    if as_json:
        say_json({"names": {n: {"version": r.version, "past": list(r.past)} for n, r in refs.items()}, "checked": checked})
        return 0
    for n, r in refs.items():
        print(f"{line(n)} -> {r.version[:16]}" + (f", before: {', '.join(p[:16] for p in r.past[::-1][:5])}" if r.past else ""))  # noqa: T201
    if checked:
        print(f"{checked['versions']} versions, {checked['bytes']:,} bytes: all as they were stored")  # noqa: T201
    return 0


def _records(side: str, store: Path | None, columns: Columns, scratch: Path) -> list[Record]:
    from bezoar.provenance import files, rows
    from bezoar.provenance.versions import Store

    if Path(side).exists() or store is None:
        return list(rows.records(side, columns))
    place = Store(store)
    version = place.read(place.find(side))
    if [f.name for f in version.files] != [files.WHOLE]:
        return [rows.Record(n, d, n.split("/")[0] if "/" in n else "") for n, d in version.digests.items()]
    for suffix in rows.TABLES:  # the name of a single file is not part of its content
        out = scratch / f"{version.id[:16]}{suffix}"
        place.checkout(version.id, out)
        try:
            return list(rows.records(out, columns))
        except Exception:  # noqa: BLE001, S112 - it is a table of another kind
            continue
    return list(rows.records(out, columns))


def diff(
    before: Annotated[str, typer.Argument(help="A name, a version, or a path.")], after: Annotated[str, typer.Argument(help="The same.")],
    store: Annotated[Path | None, typer.Option("--store", help="Folder of the versions.")] = None,
    id_column: Annotated[str, typer.Option("--id", help="Column of record ids, for tables.")] = "",
    label: Annotated[str, typer.Option(help="Label column, for tables.")] = "",
    source: Annotated[str, typer.Option(help="Source column, for tables.")] = "", as_json: AsJson = False,
) -> int:
    """Records added, removed, changed, relabelled and renamed between two versions; by label and by source."""
    from bezoar.provenance import differences, rows

    columns = rows.Columns(id_column, label, source)
    with tempfile.TemporaryDirectory() as scratch:
        old, new = (_records(side, store, columns, Path(scratch) / str(i)) for i, side in enumerate((before, after)))
    found = differences.compare(old, new)
    if as_json:
        say_json(found.to_dict())
        return 0
    told = found.to_dict()
    kinds = ("added", "removed", "changed", "relabelled", "renamed", "same")
    print(", ".join(f"{told[k]:,} {k}" for k in kinds))  # noqa: T201
    for i, was, now in found.relabelled[:20]:
        print(f"  relabelled {line(i, 100)}: {line(was, 40)} -> {line(now, 40)}")  # noqa: T201
    for what, table in (("source", found.by_source), ("label", found.by_label)):
        for key, counts in sorted(table.items(), key=lambda p: -sum(p[1].values()))[:20]:
            print(f"  {what} {line(key, 60)}: " + ", ".join(f"{n:,} {k}" for k, n in counts.items()))  # noqa: T201
    return 0


def checkout(version: Annotated[str, typer.Argument(help="A name or a version.")], store: Place,
             out: Annotated[Path, typer.Option(help="New place for it.")], as_json: AsJson = False) -> int:
    """Write a version out again, every piece checked."""
    from bezoar.provenance.versions import Store

    place = Store(store)
    held = place.checkout(place.find(version), out)
    say_json({"version": held.id, "out": str(out),
              "files": len(held.files)}) if as_json else print(f"{out}: version {held.id[:16]}")  # noqa: T201
    return 0


def rollback(
    name: Annotated[str, typer.Argument(help="Line of versions to switch.")], store: Place,
    to: Annotated[str, typer.Option(help="The version to go back to: a name, an id, or its beginning.")],
    public_key: PublicKeys = None, policy: PolicyFile = None, policy_chain: Chain = None, newest: NewestFile = None,
    log_proof: LogProof = None, log_key: LogKeys = None,
    log: LogFolder = None, log_private_key: LogPrivateKey = None,
    as_json: AsJson = False,
) -> int:
    """Go back to a version that is signed, unexpired, unrevoked and whole: one atomic switch. Sign it as a new version afterwards.

    With --log the entry comes before the switch: after a crash the name may still point to where it was; run it again.
    """
    from bezoar.provenance.versions import Store

    place = Store(store)
    version = place.find(to)
    trusted = ground(public_key, policy, policy_chain, newest, False, log_proof, log_key)
    with book(log, log_private_key) as write:
        fresh = place.rollback(name, version, trusted,
                               lambda signed: write("rollback", signed.digest, json.dumps({"name": name, "version": version}).encode()))
    say_json({"name": name, "version": fresh.version}) if as_json else print(f"{line(name)} -> {fresh.version[:16]}")  # noqa: T201
    return 0


def pointers(path: Annotated[Path, typer.Argument(help="A folder, or one pointer file.")], as_json: AsJson = False) -> int:
    """Pointers of DVC, git-LFS, lakeFS and MLflow, held against the data where a digest is known. Exit 1 on a mismatch, 3 on gaps."""
    from bezoar.provenance.pointers import find

    found = list(find(path))
    if as_json:
        say_json([p.__dict__ for p in found])
    else:
        for p in found:
            print(f"{line(p.path, 120)}: {p.tool} {line(p.target, 120)} {p.algorithm} {line(p.digest, 70)}: {p.state}"  # noqa: T201
                  + (" (MD5 finds accidents, not attackers)" if p.weak and p.state == "match" else ""))
        if not found:
            print("no pointers")  # noqa: T201
    states = {p.state for p in found}
    return 1 if "mismatch" in states else 3 if states & {"missing", "not fetched"} else 0


def register(app: typer.Typer) -> None:
    """Put the commands on the app."""
    app.command(epilog=SNAPSHOT_EPILOG)(snapshot)
    app.command(epilog=VERSIONS_EPILOG)(versions)
    app.command(epilog=DIFF_EPILOG)(diff)
    app.command(epilog=CHECKOUT_EPILOG)(checkout)
    app.command(epilog=ROLLBACK_EPILOG)(rollback)
    app.command(epilog=POINTERS_EPILOG)(pointers)
