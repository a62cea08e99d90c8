"""`bezoar log ...`: the append-only log, its proofs, its witnesses."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bezoar.cli.book import private_key
from bezoar.cli.show import complain, say_json
from bezoar.cli.sign import AsJson, verifier_keys
from bezoar.core.errors import ExitCode, UsageError
from bezoar.core.escape import line

if TYPE_CHECKING:
    from bezoar.provenance.notes import Signer

EPILOG = """Examples:

  bezoar log new audit --origin example.org/audit --key keys/log/private.pem

  bezoar log verify audit --log-key audit/log.vkey"""

app = typer.Typer(no_args_is_help=True, epilog=EPILOG, help="An append-only log that anybody can check: append, prove, verify, witness.")

Folder = Annotated[Path, typer.Argument(metavar="LOG", help="Folder of the log.")]
Key = Annotated[Path, typer.Option(help="Ed25519 private.pem of the log.")]
LogKey = Annotated[list[str], typer.Option(help="Verifier key of the log, as text or file (repeatable while keys are rotated).")]
Witnesses = Annotated[list[str] | None, typer.Option("--witness", help="Verifier key of a witness, as text or file (repeatable).")]
Quorum = Annotated[int, typer.Option(min=0, help="How many witnesses must have cosigned.")]


@app.command("new")
def new(folder: Folder, origin: Annotated[str, typer.Option(help="Name of the log, for ever: example.org/audit.")], key: Key,
        as_json: AsJson = False) -> int:
    """Begin a log. LOG/log.vkey is what verifiers and witnesses need."""
    from bezoar.provenance.disk import DISK
    from bezoar.provenance.ledger import Log
    from bezoar.provenance.notes import Signer as Known

    if (folder / "checkpoint").exists():
        raise UsageError(f"there is a log at {folder}", advice="append to it, or give a new folder")
    secret = private_key(key)
    vkey = Known(origin, secret.public).vkey
    with Log(folder, [secret], origin):
        DISK.write_file(folder / "log.vkey", vkey.encode() + b"\n")
    say_json({"log": str(folder), "vkey": vkey}) if as_json else print(f"{folder}: a new log\n{vkey}")  # noqa: T201
    return 0


@app.command("append")
def append(folder: Folder, key: Key,
           kind: Annotated[str,
                           typer.Option(help="policy, sign, scan, clean, approve, promote, rollback, revoke, incident or note.")] = "note",
           subject: Annotated[str, typer.Option(help="What it is about: a SHA-256, or words.")] = "",
           payload: Annotated[list[Path] | None, typer.Option(help="File kept beside the log; only its salted digest is logged.")] = None,
           as_json: AsJson = False) -> int:
    """Write one entry; its number is printed once it would survive a power cut. `policy` and `sign` take the file itself as payload."""
    from bezoar.provenance import entries, envelope, policy, signing, statement, strict
    from bezoar.provenance.ledger import Log

    data = b"".join(strict.read_bytes(p, "payload", entries.MOST_PAYLOAD) for p in payload or [])
    if kind == "policy" and payload:
        beside = Path(f"{payload[0]}.sig")
        signed = envelope.parse(strict.read_bytes(beside, "policy signature", 16 << 20)) if beside.exists() else None
        subject, data = policy.parse(data).digest, entries.policy_payload(data, signed)
    elif kind == "sign" and payload:
        subject = statement.parse(signing.read_signature(payload[0]).payload).digest
    secret = private_key(key)
    with Log(folder, [secret]) as log:
        number = entries.record(log, kind, subject, data, secret.public.id)
    say_json({"entry": number, "kind": kind, "subject": subject}) if as_json else print(  # noqa: T201
        f"entry {number}: {kind} {line(subject, 100)}")
    return 0


@app.command("approve")
def approve(folder: Folder, subject: Annotated[str, typer.Argument(help="SHA-256 of the statement that may be promoted.")], key: Key,
            person: Annotated[Path, typer.Option(help="private.pem of the approver.")],
            policy_file: Annotated[Path, typer.Option("--policy", help="The policy in force.")],
            as_json: AsJson = False) -> int:
    """Log one person's signed consent to one exact statement under one exact policy."""
    from bezoar.provenance import entries, policy, strict
    from bezoar.provenance.ledger import Log
    from bezoar.provenance.refusals import NotTrusted

    strict.unhex(subject, "subject")
    rules = policy.parse(strict.read_bytes(policy_file, "policy", 16 << 20))
    approver, secret = private_key(person), private_key(key)
    role = rules.roles.get("approve")
    if role is None or approver.public.id not in {k.id for k in rules.members(role)}:
        raise NotTrusted("no-role", f"policy {line(rules.name)!r} does not let this person approve",
                         advice="sign with an unrevoked key of [roles.approve]; nothing was logged")
    with Log(folder, [secret]) as log:
        number = entries.record(log, "approve", subject, entries.approval(subject, rules.digest, approver), approver.public.id)
    say_json({"entry": number, "by": approver.public.id}) if as_json else print(f"entry {number}: approval of {subject[:16]}")  # noqa: T201
    return 0


@app.command("prove")
def prove(folder: Folder, number: Annotated[int, typer.Argument(help="Number of the entry, from 0.")], log_key: LogKey,
          out: Annotated[Path, typer.Option(help="The proof (.tlog-proof); the entry goes to PROOF.entry.")],
          as_json: AsJson = False) -> int:
    """Write a proof that an entry is in the log, readable offline by any tool for C2SP proofs."""
    from bezoar.provenance import inspection
    from bezoar.provenance.disk import DISK

    entry, proof = inspection.prove(folder, verifier_keys(log_key), number)
    DISK.write_file(Path(f"{out}.entry"), entry)
    DISK.write_file(out, proof)
    say_json({"proof": str(out),
              "bytes": len(proof)}) if as_json else print(f"{out}: {len(proof):,} bytes; entry: {out}.entry")  # noqa: T201
    return 0


@app.command("check")
def check(proof: Annotated[Path, typer.Argument(help="What `bezoar log prove` wrote.")], log_key: LogKey, witness: Witnesses = None,
          quorum: Quorum = 0, as_json: AsJson = False) -> int:
    """Check a proof without the log."""
    from bezoar.provenance import entries, inspection, strict

    data = strict.read_bytes(Path(f"{proof}.entry"), "entry", 1 << 17)
    number, head = inspection.check_proof(strict.read_bytes(proof, "inclusion proof", 1 << 20), data, verifier_keys(log_key),
                                          verifier_keys(witness),
                                          quorum)
    entry = entries.parse(data)
    if as_json:
        say_json({"entry": number, "size": head.size, "kind": entry.kind, "subject": entry.subject, "time": entry.time.isoformat()})
    else:
        print(f"entry {number} of {line(head.origin)} ({head.size:,} entries): {entry.kind} {line(entry.subject, 100)}, {entry.time}")  # noqa: T201
    return 0


@app.command("verify")
def verify(folder: Folder, log_key: LogKey, witness: Witnesses = None, quorum: Quorum = 0,
           older: Annotated[list[Path] | None, typer.Option(help="A checkpoint you kept (repeatable): forks and cuts are found.")] = None,
           evidence: Annotated[Path | None, typer.Option(help="Where to write the proof of a fork.")] = None,
           semantic: Annotated[bool, typer.Option("--semantic", help="Replay every entry and prove its policy again.")] = False,
           as_json: AsJson = False) -> int:
    """Re-hash every entry and re-derive every tile. Exit 1 names the first bad entry or both heads; 3: erased payloads left gaps."""
    from bezoar.provenance import inspection, ledger, notes, replay, strict
    from bezoar.provenance.disk import DISK

    known, others = verifier_keys(log_key), verifier_keys(witness)
    kept = [notes.parse_checkpoint(strict.read_bytes(o, "checkpoint", notes.MOST_BYTES)) for o in older or []]
    try:
        for checkpoint in kept[1:]:
            head, reader = ledger.read(folder, known, others, quorum)
            inspection.against(checkpoint, head, reader, known)
        seen = inspection.inspect(folder, known, others, quorum, kept[0] if kept else None)
    except inspection.Forked as fork:
        if evidence is not None:
            DISK.write_file(evidence, fork.evidence)
        raise
    told = {"entries": seen.head.size, "root": seen.head.root.hex(), "witnesses": seen.witnesses, "waiting": seen.waiting}
    code = ExitCode.NOTHING
    if semantic:
        done = replay.replay(folder, ledger.read(folder, known)[1])
        told |= {"faults": done.faults, "gaps": done.gaps, "promoted": done.promoted}
        code = ExitCode.FINDINGS if done.faults else ExitCode.INCOMPLETE if done.gaps else code
        for number, why in done.faults[:20]:
            complain(f"entry {number}: {why}")
        for number, why in done.gaps[:20]:
            complain(f"entry {number} cannot be proved: {why}")
    if as_json:
        say_json(told)
    elif not code:
        print(f"{seen.head.size:,} entries, {seen.witnesses} witnesses, root {seen.head.root.hex()[:16]}: every byte as it was signed"  # noqa: T201
              + (", every step as the policy asks" if semantic else ""))
    return int(code)


@app.command("judge")
def judge(evidence: Annotated[Path, typer.Argument(help="Evidence of `bezoar log verify --evidence`.")], log_key: LogKey,
          as_json: AsJson = False) -> int:
    """Does this evidence prove that the log showed two histories? Exit 1 when it does."""
    from bezoar.provenance import inspection, strict

    older, newer = inspection.judge(strict.read_bytes(evidence, "evidence", 1 << 20), verifier_keys(log_key))
    if as_json:
        say_json({"fork": True, "older": older.size, "newer": newer.size, "origin": older.origin})
    else:
        print(f"{line(older.origin)} signed two histories: heads of {older.size:,} and {newer.size:,} entries cannot both be true")  # noqa: T201
    return int(ExitCode.FINDINGS)


@app.command("checkpoint")
def checkpoint(folder: Folder, key: Annotated[Path | None, typer.Option(help="Private key: publish what is promised first.")] = None,
               out: Annotated[Path | None, typer.Option(help="Copy the checkpoint there; keep it somewhere else.")] = None) -> int:
    """Print the signed head of the log. Whoever keeps a copy notices every later change of history."""
    from bezoar.provenance import notes, strict
    from bezoar.provenance.disk import DISK
    from bezoar.provenance.ledger import Log

    if key is not None:
        with Log(folder, [private_key(key)]) as log:
            log.checkpoint()
    data = strict.read_bytes(folder / "checkpoint", "checkpoint", notes.MOST_BYTES)
    notes.parse_checkpoint(data)
    if out is not None:
        DISK.write_file(out, data)
    sys.stdout.write(data.decode("utf-8"))
    return 0


@app.command("request")
def request(folder: Folder, log_key: LogKey, out: Annotated[Path, typer.Option(help="File to hand to the witness.")],
            since: Annotated[int, typer.Option(min=0, help="Size that the witness cosigned last; 0 for the first time.")] = 0) -> int:
    """Write what a witness needs to cosign the head: the proof from the size it knows, and the checkpoint."""
    from bezoar.provenance import ledger, witness
    from bezoar.provenance.disk import DISK

    head, reader = ledger.read(folder, verifier_keys(log_key))
    DISK.write_file(out, witness.request(reader, head, since))
    print(f"{out}: {since:,} -> {head.size:,}")  # noqa: T201
    return 0


@app.command("witness")
def witness_command(
    request_file: Annotated[Path, typer.Argument(metavar="REQUEST", help="File of `bezoar log request`.")],
    name: Annotated[str, typer.Option(help="Name of this witness, for ever.")],
    key: Annotated[Path, typer.Option(help="Its Ed25519 private.pem.")],
    state: Annotated[Path, typer.Option(help="Folder where it remembers heads.")], log_key: LogKey,
    out: Annotated[Path, typer.Option(help="Cosignature lines to hand back.")], as_json: AsJson = False,
) -> int:
    """Be a witness: check that the log only grew since the last time, remember the head, cosign it."""
    from bezoar.provenance import notes, strict
    from bezoar.provenance.disk import DISK
    from bezoar.provenance.refusals import NotTrusted
    from bezoar.provenance.witness import Witness

    logs: dict[str, list[Signer]] = {}
    for s in verifier_keys(log_key):
        logs.setdefault(s.name, []).append(s)
    secret = private_key(key)
    answer = Witness(state, name, secret, logs).add_checkpoint(strict.read_bytes(request_file, "request", 1 << 20), strict.now())
    if answer.status != 200:
        why = answer.body.decode("utf-8", "replace").strip()
        if answer.status == 409:
            raise UsageError(f"this witness cosigned {why} entries last", advice=f"bezoar log request --since {why}")
        raise NotTrusted("witness", f"not cosigned ({answer.status}): {why}", advice="keep the request: it may prove a fork")
    DISK.write_file(out, answer.body)
    vkey = notes.Signer(name, secret.public, notes.WITNESS).vkey
    say_json({"cosignature": str(out), "vkey": vkey}) if as_json else print(f"{out}\n{vkey}")  # noqa: T201
    return 0


@app.command("cosign")
def cosign(folder: Folder, lines: Annotated[Path, typer.Argument(help="Lines of `bezoar log witness`.")], key: Key,
           witness: Annotated[list[str], typer.Option(help="Verifier key of the witness, as text or file (repeatable).")]) -> int:
    """Put a witness's cosignature under the checkpoint."""
    from bezoar.provenance import strict
    from bezoar.provenance.ledger import Log

    with Log(folder, [private_key(key)]) as log:
        head = log.add_cosignatures(strict.read_bytes(lines, "cosignature", 1 << 16), verifier_keys(witness))
    print(f"{head.size:,} entries, {len(head.note.signatures)} signatures")  # noqa: T201
    return 0


@app.command("serve-witness")
def serve_witness(name: Annotated[str, typer.Option(help="Name of this witness, for ever.")],
                  key: Annotated[Path, typer.Option(help="Its Ed25519 private.pem.")],
                  state: Annotated[Path, typer.Option(help="Folder where it remembers heads.")], log_key: LogKey,
                  address: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
                  port: Annotated[int, typer.Option(min=0, max=65535, help="Port; 0: any.")] = 8099) -> int:
    """Be a witness over HTTP, for any log that speaks c2sp.org/tlog-witness. Ctrl-C ends it."""
    from bezoar.provenance.witness import Witness
    from bezoar.provenance.witness_http import Server

    logs: dict[str, list[Signer]] = {}
    for s in verifier_keys(log_key):
        logs.setdefault(s.name, []).append(s)
    with Server(Witness(state, name, private_key(key), logs), address, port) as server:
        print(f"http://{address}:{server.server_address[1]}/add-checkpoint", flush=True)  # noqa: T201
        server.serve_forever()
    return 0


@app.command("submit")
def submit(folder: Folder, to: Annotated[str, typer.Option(help="Address of the witness, without /add-checkpoint.")], key: Key,
           witness: Annotated[list[str], typer.Option(help="Verifier key of the witness, as text or file (repeatable).")],
           as_json: AsJson = False) -> int:
    """Ask a witness for its cosignature over HTTP, and put it under the checkpoint."""
    from bezoar.provenance import tiles, witness_http
    from bezoar.provenance.ledger import Log

    with Log(folder, [private_key(key)]) as log:
        head = log.checkpoint()
        lines = witness_http.submit(to, tiles.Reader(folder, head.size), head)
        head = log.add_cosignatures(lines, verifier_keys(witness))
    told = {"size": head.size, "signatures": len(head.note.signatures)}
    say_json(told) if as_json else print(f"{head.size:,} entries, {len(head.note.signatures)} signatures")  # noqa: T201
    return 0


def register(top: typer.Typer) -> None:
    """Put the group on the app."""
    top.add_typer(app, name="log")
