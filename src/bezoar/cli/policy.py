"""`bezoar policy new | sign | newest | check` and `bezoar record prove | check`."""

from __future__ import annotations

import os
from datetime import timedelta
from pathlib import Path
from typing import Annotated

import typer

from bezoar.cli.book import private_key
from bezoar.cli.show import say_json
from bezoar.cli.sign import AsJson, Chain, NewestFile, NoMemory, PolicyFile, PublicKeys, Signatures, default_signature, ground, span
from bezoar.core.errors import UsageError
from bezoar.core.escape import line

POLICY_EPILOG = """Examples:

  bezoar policy new --name digits --key ci=keys/ci/public.pem --out bezoar.policy.toml

  bezoar policy sign bezoar.policy.toml --key keys/ci/private.pem"""
RECORD_EPILOG = """Examples:

  bezoar record prove photos/ "digit 3/0003.png" --signature photos.2.sig --out proof.json

  bezoar record check proof.json "digit 3/0003.png" --signature photos.2.sig --public-key keys/ci/public.pem"""

policies = typer.Typer(no_args_is_help=True, epilog=POLICY_EPILOG, help="Who may sign what: make, sign and check policies.")
record = typer.Typer(no_args_is_help=True, epilog=RECORD_EPILOG, help="Prove one record in or out of a signed dataset, without the others.")


@policies.command("new")
def new(
    name: Annotated[str, typer.Option(help="Name of the policy; it stays the same over all versions.")],
    key: Annotated[list[str], typer.Option(help="NAME=public.pem (repeatable).")],
    out: Annotated[Path, typer.Option(help="The file to write.")] = Path("bezoar.policy.toml"),
    threshold: Annotated[int, typer.Option(min=1, help="How many distinct signers are needed.")] = 1,
    days: Annotated[float, typer.Option(parser=span, metavar="DAYS", help="Days until the policy ends.")] = 365,
    as_json: AsJson = False,
) -> int:
    """Write a first policy, to be read and edited by people."""
    from bezoar.provenance import keys, policy, strict
    from bezoar.provenance.disk import DISK

    if out.exists():
        raise UsageError(f"{out} exists", advice="edit it, raise its version, and sign it again")
    named = {}
    for entry in key:
        label, _, place = entry.partition("=")
        if not label.replace("-", "").replace("_", "").isalnum() or not label.isascii() or not place:
            raise UsageError(f"{line(entry, 60)!r} is not NAME=public.pem", advice="for example --key ci=keys/ci/public.pem")
        named[label] = keys.load_public(place)
    text = policy.template(name, named, strict.now() + timedelta(days=days), threshold=threshold).encode()
    parsed = policy.parse(text)
    DISK.write_file(out, text)
    say_json({"policy": str(out), "digest": parsed.digest}) if as_json else print(f"{out}: version 1, {len(named)} keys")  # noqa: T201
    return 0


@policies.command("sign")
def sign(
    file: Annotated[Path, typer.Argument(help="The policy.")],
    key: Annotated[Path, typer.Option(help="private.pem of a member of [roles.policy], old or new.")],
    as_json: AsJson = False,
) -> int:
    """Add one signature to FILE.sig. A changed policy needs the threshold of the one before and its own."""
    from bezoar.provenance import envelope, policy, strict
    from bezoar.provenance.disk import DISK
    from bezoar.provenance.envelope import Envelope

    text = strict.read_bytes(file, "policy", 16 << 20)
    parsed = policy.parse(text)
    beside = Path(f"{file}.sig")
    held = Envelope(text, policy.TYPE)
    if beside.exists():
        there = envelope.parse(strict.read_bytes(beside, "policy signature", 16 << 20))
        if there.payload == text and there.kind == policy.TYPE:
            held = there
    secret = private_key(key)
    if not held.signatures or not held.signers([secret.public]):
        held = held.signed_by(secret)
    DISK.write_file(beside, held.to_json())
    if as_json:
        say_json({"signature": str(beside), "signatures": len(held.signatures), "digest": parsed.digest})
    else:
        print(f"{beside}: {len(held.signatures)} signatures over version {parsed.version}")  # noqa: T201
    return 0


@policies.command("newest")
def newest(
    policy_file: Annotated[Path, typer.Argument(metavar="POLICY", help="The policy.")],
    key: Annotated[Path, typer.Option(help="private.pem of a member of [roles.newest].")],
    signature: Annotated[list[Path] | None, typer.Option(help="Bundle of the newest version of a dataset (repeatable).")] = None,
    out: Annotated[Path, typer.Option(help="The list; the one there is checked and carried on.")] = Path("newest.json"),
    days: Annotated[float, typer.Option(parser=span, metavar="DAYS", help="Days that the list holds; short is safe.")] = 7,
    revoke_key: Annotated[list[str] | None, typer.Option(help="Key id that is no longer trusted (repeatable).")] = None,
    revoke: Annotated[list[str] | None, typer.Option(help="Statement digest that is no longer trusted (repeatable).")] = None,
    cosign: Annotated[bool, typer.Option("--cosign", help="Only add this key's signature to the list at --out.")] = False,
    policy_chain: Chain = None, no_memory: NoMemory = False, as_json: AsJson = False,
) -> int:
    """Say which versions are newest and what is revoked. Verifiers with this list notice withheld versions.

    Nothing is believed unchecked: the policy, the list that is carried on, every bundle. Exit 1 with the reason when one is refused.
    """
    from bezoar.provenance import envelope, listing, signing, strict
    from bezoar.provenance import newest as lists
    from bezoar.provenance.disk import DISK

    secret, moment = private_key(key), strict.now()
    before = envelope.parse(strict.read_bytes(out, "list of newest versions"), "list of newest versions") if os.path.lexists(out) else None
    trusted = ground(None, policy_file, policy_chain, None, no_memory)
    for digest in (*(revoke_key or ()), *(revoke or ())):
        strict.unhex(digest, "id to revoke")
    if cosign:
        if before is None or signature or revoke or revoke_key:
            raise UsageError("--cosign signs the list at --out as it is", advice="give --out, and no bundle or revocation")
        made = listing.cosigned(trusted, before, secret, moment)
    else:
        if before is None and not signature:
            raise UsageError("there is no list yet", advice="give --signature for the newest version of each dataset")
        made = listing.next_list(trusted, before, [signing.read_signature(s) for s in signature or []], secret, moment, days,
                                 revoke_key or (), revoke or ())
    DISK.write_file(out, made.to_json())
    whole = listing.remember(trusted, made, moment)
    parsed = lists.parse(made.payload)
    more = "" if whole else "; more signatures are needed: --cosign"
    say_json({"list": str(out), "version": parsed.version, "heads": len(parsed.heads), "whole": whole}) if as_json else print(  # noqa: T201
        f"{out}: list {parsed.version}, {len(parsed.heads)} datasets, until {parsed.expires:%Y-%m-%d %H:%M} UTC{more}")
    return 0


@policies.command("check")
def check(file: Annotated[Path, typer.Argument(help="The policy.")], as_json: AsJson = False) -> int:
    """Read a policy strictly and say what it asks for."""
    from bezoar.provenance import policy, strict

    parsed = policy.parse(strict.read_bytes(file, "policy", 16 << 20))
    if as_json:
        say_json({"name": parsed.name, "version": parsed.version, "digest": parsed.digest, "rules": len(parsed.rules),
                  "keys": sorted(parsed.keys)})
        return 0
    print(f"{line(parsed.name)} version {parsed.version}, until {parsed.expires:%Y-%m-%d}, sha256 {parsed.digest}")  # noqa: T201
    for rule in parsed.rules:
        names = ", ".join(line(d, 60) for d in rule.datasets)
        print(f"  {names}: {rule.signers.threshold} of {', '.join(rule.signers.keys)}")  # noqa: T201
    return 0


@record.command("prove")
def prove(
    path: Annotated[Path, typer.Argument(help="The signed dataset.")],
    identity: Annotated[str, typer.Argument(metavar="ID", help="Id of the record: relative file name, or value of the id column.")],
    out: Annotated[Path, typer.Option(help="The proof to write.")],
    signature: Annotated[Path | None, typer.Option(help="Its bundle; PATH.sig when left out.")] = None,
    id_column: Annotated[str, typer.Option("--id", help="Column of record ids, as it was when signing.")] = "",
    as_json: AsJson = False,
) -> int:
    """Write a proof that a record is (or is not) part of a signed dataset; it shows nothing of the others but salted hashes."""
    from bezoar.provenance import records, rows, signing, statement
    from bezoar.provenance.disk import DISK
    from bezoar.provenance.refusals import NotTrusted

    signed = statement.parse(signing.read_signature(signature or default_signature(path)).payload)
    seal = signed.about.records
    if seal is None:
        raise UsageError("this bundle has no record seal", advice="sign again without --no-records")
    tree = records.RecordTree(seal.salt, ((r.id, r.content) for r in rows.records(path, rows.Columns(id=id_column))), seal.bits)
    if tree.seal() != seal:
        raise NotTrusted("changed-file", "the records are not those that were signed", advice="see `bezoar verify`; is --id the same?")
    proof = records.write_proof(tree.prove(identity))
    inside = records.check_proof(proof, seal, identity)
    DISK.write_file(out, proof)
    say_json({"proof": str(out), "bytes": len(proof), "inside": inside}) if as_json else print(  # noqa: T201
        f"{out}: {line(identity)} is {'in' if inside else 'not in'} {signed.title}; {len(proof):,} bytes")
    return 0


@record.command("check")
def check_record(
    proof: Annotated[Path, typer.Argument(help="What `bezoar record prove` wrote.")],
    identity: Annotated[str, typer.Argument(metavar="ID", help="Id of the record.")],
    signature: Signatures = None, public_key: PublicKeys = None, policy: PolicyFile = None, policy_chain: Chain = None,
    newest_list: NewestFile = None, no_memory: NoMemory = False,
    file: Annotated[Path | None, typer.Option(help="The record itself, for datasets that are folders.")] = None,
    as_json: AsJson = False,
) -> int:
    """Is this record part of the signed dataset? Exit 0 when it is, 1 when it is proved not to be."""
    from hashlib import sha256

    from bezoar.provenance import guard, records, strict

    if not signature:
        raise UsageError("which dataset?", advice="give --signature")
    signed = guard.trusted_statement(signature, ground(public_key, policy, policy_chain, newest_list, no_memory))
    if signed.about.records is None:
        raise UsageError("this bundle has no record seal", advice="sign again without --no-records")
    content = sha256(strict.read_bytes(file, "record", 1 << 32)).digest() if file else None
    inside = records.check_proof(strict.read_bytes(proof, "record proof", 1 << 20), signed.about.records, identity, content)
    if as_json:
        say_json({"inside": inside, "id": identity, "statement": signed.digest})
    else:
        print(f"{line(identity)} is {'in' if inside else 'NOT in'} {signed.title}")  # noqa: T201
    return 0 if inside else 1


def register(app: typer.Typer) -> None:
    """Put the commands on the app."""
    app.add_typer(policies, name="policy")
    app.add_typer(record, name="record")
