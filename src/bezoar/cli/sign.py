"""`bezoar keygen`, `bezoar sign`, `bezoar verify`, `bezoar gate`."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bezoar.cli.book import LogFolder, LogPrivateKey, book, passphrase, private_key
from bezoar.cli.show import say_json
from bezoar.core.errors import UsageError
from bezoar.core.escape import line

if TYPE_CHECKING:
    from bezoar.provenance.guard import Trust
    from bezoar.provenance.keys import PrivateKey
    from bezoar.provenance.notes import Signer
    from bezoar.provenance.statement import Scan, Statement

KEYGEN_EPILOG = """Examples:

  bezoar keygen --out keys/ci --no-passphrase

  bezoar keygen --out keys/log --kind ed25519 --no-passphrase"""
SIGN_EPILOG = """Examples:

  bezoar sign photos/ --key keys/ci/private.pem --dataset digits --out photos.sig

  bezoar sign photos/ --key keys/ci/private.pem --previous photos.sig --out photos.2.sig"""
VERIFY_EPILOG = """Examples:

  bezoar verify photos/ --signature photos.2.sig --public-key keys/ci/public.pem

  bezoar verify photos/ --signature photos.2.sig --public-key keys/ci/public.pem --json"""
GATE_EPILOG = """Examples:

  bezoar gate photos/ --signature photos.2.sig --public-key keys/ci/public.pem

  bezoar gate photos/ --signature photos.2.sig --public-key keys/ci/public.pem --run "python -c pass\""""

Signatures = Annotated[list[Path] | None, typer.Option("--signature", help="Bundle of `bezoar sign`; repeat for several signers. PATH.sig "
                                                                           "when left out.")]
PublicKeys = Annotated[list[Path] | None, typer.Option("--public-key", help="Key that must have signed; repeat when all of several must.")]
PolicyFile = Annotated[Path | None, typer.Option("--policy", help="bezoar.policy.toml: who may sign what. Its signatures: FILE.sig.")]
Chain = Annotated[list[Path] | None, typer.Option("--policy-chain", help="Older policies since the one accepted here, oldest first.")]
NewestFile = Annotated[Path | None, typer.Option("--newest", help="List of newest versions; see `bezoar policy newest`.")]
LogProof = Annotated[Path | None, typer.Option("--log-proof", help="Proof of `bezoar log prove` that the statement is in the log.")]
LogKeys = Annotated[list[str] | None, typer.Option("--log-key", help="Verifier key of a log that must hold the statement (text or file).")]
Name = Annotated[str, typer.Option("--dataset", help="Name that the statement must carry; any when left out.")]
NoMemory = Annotated[bool, typer.Option("--no-memory", help="Neither use nor keep what was accepted before: old versions pass.")]
AllowIgnored = Annotated[bool, typer.Option("--allow-ignored", help="Pass although something stands in a path that the signer left out.")]
Threads = Annotated[int, typer.Option(min=0, max=64, help="Threads for hashing; 0: one per processor.")]
AsJson = Annotated[bool, typer.Option("--json", help="Machine output on stdout.")]


def span(days: str | float) -> float:
    """Days between now and a hundred years.

    >>> span("7")
    7.0
    """
    try:
        if 0 <= float(days) <= 36_500:
            return float(days)
    except ValueError:
        pass
    raise UsageError(f"{line(str(days), 40)!r} is no number of days", advice="give one from 0 to 36500")


def default_signature(path: Path) -> Path:
    """PATH.sig, beside PATH."""
    return Path(str(path).rstrip("/") + ".sig")


def ground(public_keys: list[Path] | None, policy: Path | None, chain: list[Path] | None, newest: Path | None, no_memory: bool,
           log_proof: Path | None = None, log_keys: list[str] | None = None, dataset: str = "") -> Trust:
    """The options of trust as one value."""
    from bezoar.provenance.guard import Trust
    from bezoar.provenance.policy import LogRule

    rule = LogRule(tuple(verifier_keys(log_keys))) if log_keys else None
    return Trust(tuple(public_keys or ()), policy, tuple(chain or ()), newest, None, not no_memory, log_proof, rule, dataset)


def verifier_keys(texts: list[str] | None) -> list[Signer]:
    """Keys of logs and witnesses, each a text or a file that holds one."""
    from bezoar.provenance import strict
    from bezoar.provenance.notes import Signer as Known

    out = []
    for text in texts or []:
        if "+" not in text or os.path.exists(text):
            text = strict.read_bytes(text, "verifier key", 1 << 16).decode("utf-8", "replace")
        out.append(Known.from_vkey(text))
    return out


def facts(signed: Statement) -> dict[str, Any]:
    """What a statement says, for machines."""
    from bezoar.provenance.strict import stamp

    about = signed.about
    return {"dataset": about.dataset, "kind": about.kind, "version": about.version, "statement": signed.digest, "previous": about.previous,
            "issued": stamp(about.issued) if about.issued else None, "expires": stamp(about.expires) if about.expires else None,
            "files": len(signed.digests), "records": about.records.count if about.records else None, "source": about.source,
            "licence": about.licence, "verdict": about.scan.verdict if about.scan else None}


def keygen(
    out: Annotated[Path, typer.Option(help="New folder for private.pem and public.pem.")],
    kind: Annotated[str, typer.Option(help="p256 (statements), p384, or ed25519 (log and witnesses).")] = "p256",
    no_passphrase: Annotated[bool, typer.Option("--no-passphrase", help="Leave the private key unlocked, for CI.")] = False,
    as_json: AsJson = False,
) -> int:
    """Make a pair of keys. Nothing is ever overwritten."""
    from bezoar.provenance import keys

    secret = None if no_passphrase else passphrase(new=True)
    if not no_passphrase and not secret:
        raise UsageError("no passphrase was given", advice=f"type one, set {keys.PASSPHRASE}, or say --no-passphrase")
    key = keys.keygen(out, kind, secret)
    if as_json:
        say_json({"id": key.id, "kind": key.kind, "private": str(out / "private.pem"), "public": str(out / "public.pem")})
    else:
        print(f"{out / 'private.pem'} (keep it secret), {out / 'public.pem'}\nkey id {key.id}")  # noqa: T201
    return 0


def sign(
    path: Annotated[Path, typer.Argument(help="Dataset or model: a folder or one file.")],
    key: Annotated[Path | None, typer.Option(help="private.pem of `bezoar keygen`.")] = None,
    out: Annotated[Path | None, typer.Option(help="The bundle to write; PATH.sig when left out.")] = None,
    keyless: Annotated[bool, typer.Option("--keyless", help="Sign with an identity through Sigstore; needs a network.")] = False,
    identity_token: Annotated[str, typer.Option(envvar="SIGSTORE_ID_TOKEN", help="Identity token for --keyless.")] = "",
    trust_config: Annotated[Path | None, typer.Option(help="Trust configuration of an own Sigstore.")] = None,
    dataset: Annotated[str, typer.Option(help="Name that stays the same over all versions; the file name when left out.")] = "",
    model: Annotated[bool, typer.Option("--model", help="This is a model, not a dataset.")] = False,
    previous: Annotated[Path | None, typer.Option(help="Bundle of the version before; name and version go on from there.")] = None,
    version: Annotated[int, typer.Option(min=0, help="Version; 0: one above the previous.")] = 0,
    days: Annotated[float, typer.Option(parser=span, metavar="DAYS", help="Days until the statement ends.")] = 365,
    policy: Annotated[Path | None, typer.Option(help="Policy under which this is signed; its digest is recorded.")] = None,
    source: Annotated[str, typer.Option(help="Where the data came from.")] = "",
    licence: Annotated[str, typer.Option(help="Licence, as an SPDX id where there is one.")] = "",
    report: Annotated[Path | None, typer.Option(help="report.json of a scan of exactly this data; its verdict is signed with it.")] = None,
    made_from: Annotated[list[Path] | None, typer.Option("--made-from", help="Bundle of what this was made from (repeatable).")] = None,
    how: Annotated[str, typer.Option(help="What was done to what this was made from, with which tool.")] = "",
    ignore: Annotated[list[str] | None,
                      typer.Option(help="Relative path to leave out; it is named in the signed bytes (repeatable).")] = None,
    id_column: Annotated[str, typer.Option("--id", help="Column of unique record ids, for tables.")] = "",
    no_records: Annotated[bool, typer.Option("--no-records", help="No seal over single records.")] = False,
    cosign: Annotated[Path | None,
                      typer.Option(help="Bundle of another signer: sign the same bytes after checking PATH against them.")] = None,
    replace: Annotated[bool, typer.Option("--replace", help="Lose the bundle that stands at --out.")] = False,
    log: LogFolder = None, log_private_key: LogPrivateKey = None, threads: Threads = 0, as_json: AsJson = False,
) -> int:
    """Sign a dataset or a model: every file, its version, its age, its origin. `model_signing verify key` reads the bundle too.

    An older version's bundle at --out is kept as OUT.vN; anything else there is refused. With --log the bundle appears only once it is
    logged; after a crash, run it again.
    """
    from hashlib import sha256

    from bezoar.provenance import bundles, signing, statement, strict
    from bezoar.provenance.keyless import sign as keyless_sign
    from bezoar.provenance.rows import Columns

    if (key is None) != keyless or (cosign is not None and key is None):
        raise UsageError("give either --key or --keyless", advice="--key private.pem; a cosignature needs a key")
    secret = private_key(key) if key is not None else None
    target = out or default_signature(path)
    with book(log, log_private_key) as write:
        def record(fresh: Statement, bundle: bytes) -> None:
            write("sign", fresh.digest, bundle)

        done = bundles.resume(target, lambda fresh, bundle: write.holds("sign", fresh.digest, bundle)) if write else None
        if done is not None:
            signed = _finished(path, done, target, secret, dataset, threads)
        elif cosign is not None:
            other = signing.read_signature(cosign)
            signed = statement.parse(other.payload)
            if target.exists() and target.samefile(cosign):
                raise UsageError("a cosignature is a bundle of its own", advice="give --out another name")
            signing.compare(path, signed, [cosign, target], threads=threads)
            assert secret is not None
            signing.cosign(other, secret, target, replace, record if write else None)
        else:
            about = statement.About(
                dataset=dataset, kind="model" if model else "dataset", version=version, source=source, licence=licence, how=how,
                policy=sha256(strict.read_bytes(policy, "policy", 16 << 20)).hexdigest() if policy else "", scan=_scan(path, report),
                inputs=tuple(statement.parse(signing.read_unproved(m).payload).digest for m in made_from or []))
            before = (signing.read_unproved if keyless else signing.read_signature)(previous) if previous else None
            signed = signing.sign(path, secret, about, days=days, previous=before, out=target, ignore=ignore or (),
                                  seal_records=not no_records, columns=Columns(id=id_column), threads=threads, replace_bundle=replace,
                                  record=record if write else None,
                                  keyless=(lambda data: keyless_sign(data, identity_token or None,
                                                                     trust_config)) if keyless else None).statement
    if as_json:
        say_json({"signature": str(target), "key": secret.public.id if secret else None, **facts(signed)})
    else:
        print(f"{target}: {signed.title}, {len(signed.digests):,} files, statement {signed.digest[:16]}")  # noqa: T201
    return 0


def _finished(path: Path, bundle: bytes, target: Path, secret: PrivateKey | None, dataset: str, threads: int) -> Statement:
    """A signing that was cut off after it was logged stands in its place now; is it what is asked for again?"""
    from bezoar.core.errors import BezoarError
    from bezoar.provenance import envelope, signing, statement

    held = statement.parse(envelope.payload(bundle))
    try:
        signing.compare(path, held, [target], threads=threads)
        same = dataset in ("", held.about.dataset) and (secret is None or bool(envelope.parse(bundle).signers([secret.public])))
    except BezoarError:
        same = False
    if same:
        return held
    raise UsageError(f"an earlier signing was cut off and is finished now: {target} holds {held.title}, and this asks for something else",
                     advice=f"go on from it with --previous {target}, or give --out another name")


def _scan(path: Path, report: Path | None) -> Scan | None:
    """The verdict of a report, checked to be about this very content."""
    if report is None:
        return None
    from hashlib import sha256

    from bezoar import api
    from bezoar.provenance import strict
    from bezoar.provenance.statement import Scan as Said

    raw = strict.read_bytes(report, "report")  # first: it never waits on a pipe
    parsed = api.read_report(report)
    fingerprint = str(parsed.subject.get("fingerprint", ""))
    if fingerprint != api.load(path).fingerprint:
        raise UsageError(f"{report} is a report about other data", advice="scan this data again (with inferred columns), then sign it")
    return Said(parsed.verdict, sha256(raw).hexdigest(), fingerprint)


def verify(
    path: Annotated[Path, typer.Argument(help="Dataset or model that was signed.")],
    signature: Signatures = None, public_key: PublicKeys = None, policy: PolicyFile = None, policy_chain: Chain = None,
    newest: NewestFile = None, log_proof: LogProof = None, log_key: LogKeys = None, dataset: Name = "", no_memory: NoMemory = False,
    allow_ignored: AllowIgnored = False,
    identity: Annotated[str, typer.Option(help="Keyless: e-mail or workflow that must have signed.")] = "",
    issuer: Annotated[str, typer.Option(help="Keyless: who vouches for the identity, as a URL.")] = "",
    trust_config: Annotated[Path | None, typer.Option(help="Keyless: trust configuration of an own Sigstore.")] = None,
    offline: Annotated[bool, typer.Option("--offline", help="Keyless: use the cached trust root.")] = False,
    threads: Threads = 0, as_json: AsJson = False,
) -> int:
    """Is this exactly what was signed, and may it be trusted now? Exit 1 with the reason when not.

    The newest version ever accepted here is remembered (BEZOAR_STATE); older ones are refused.
    """
    from bezoar.provenance import guard

    trusted = ground(public_key, policy, policy_chain, newest, no_memory, log_proof, log_key, dataset)
    places = signature or [default_signature(path)]
    proved = None
    if identity or issuer:
        from dataclasses import replace

        from bezoar.provenance import keyless, strict

        if not identity or not issuer or len(places) != 1:
            raise UsageError("a keyless signature needs --identity, --issuer and one --signature", advice="who signed, and who says so")
        proved = [keyless.verify(strict.read_bytes(places[0], "signature"), identity, issuer, trust_config, offline)]
        trusted = replace(trusted, identity=f"{issuer}#{identity}")
    done = guard.verify(path, places, trusted, threads=threads, allow_ignored=allow_ignored, proved=proved)
    if as_json:
        say_json({"verified": True, "bytes": done.bytes, **facts(done.statement)})
    else:
        print(f"verified: {done.statement.title}, {done.files:,} files, {done.bytes:,} bytes")  # noqa: T201
        if not done.statement.about.version:
            print("  it has no version and no end: signed by another tool")  # noqa: T201
    return 0


def gate(
    path: Annotated[Path, typer.Argument(help="Dataset or model that is about to be used.")],
    signature: Signatures = None, public_key: PublicKeys = None, policy: PolicyFile = None, policy_chain: Chain = None,
    newest: NewestFile = None, log_proof: LogProof = None, log_key: LogKeys = None, dataset: Name = "",
    report: Annotated[Path | None, typer.Option(help="report.json of its scan: must be the one that was signed.")] = None,
    fail_on: Annotated[str, typer.Option(help="With --report: refuse from this verdict on: suspicious, poisoned or never.")] = "suspicious",
    run: Annotated[str, typer.Option(help="Command to run when the gate opens; its exit code is passed on.")] = "",
    no_memory: NoMemory = False,
    threads: Threads = 0, as_json: AsJson = False,
) -> int:
    """Let training start only on data that is signed, current, unrevoked and scanned. Everything that is not a clear pass stops it."""
    import shlex
    import subprocess
    from hashlib import sha256

    from bezoar.provenance import guard, strict
    from bezoar.provenance.refusals import NotTrusted

    try:
        command = shlex.split(run)
    except ValueError as error:
        raise UsageError(f"--run is no command: {error}", advice="check its quotes") from None
    done = guard.verify(path, signature or [default_signature(path)],
                        ground(public_key, policy, policy_chain, newest, no_memory, log_proof, log_key, dataset),
                        threads=threads)
    passed = [f"signature, age and content: {done.statement.title}"]
    if report is not None:
        from bezoar import api

        scan = done.statement.about.scan
        if scan is None or scan.report != sha256(strict.read_bytes(report, "report")).hexdigest():
            raise NotTrusted("report", f"{report} is not the report that was signed with this data", advice="bezoar sign --report")
        code = int(api.exit_code(api.read_report(report), fail_on))
        if code:
            raise NotTrusted("verdict", f"the scan says {line(scan.verdict)!r}", advice="clean it, scan again, sign again")
        passed.append(f"scan: {scan.verdict}")
    if as_json:
        say_json({"open": True, "passed": passed, **facts(done.statement)})
    else:
        print("gate open\n  " + "\n  ".join(passed))  # noqa: T201
    sys.stdout.flush()
    return subprocess.run(command, check=False).returncode if command else 0  # noqa: S603


def register(app: typer.Typer) -> None:
    """Put the commands on the app."""
    app.command(epilog=KEYGEN_EPILOG)(keygen)
    app.command(epilog=SIGN_EPILOG)(sign)
    app.command(epilog=VERIFY_EPILOG)(verify)
    app.command(epilog=GATE_EPILOG)(gate)
