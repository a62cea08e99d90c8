"""The door between stored bytes and training: verify a path, open only what was verified, and gate a pipeline.

`open_verified` has no gap between check and use: it hands out the very bytes it hashed, never a path that could be swapped afterwards.
"""

from __future__ import annotations

import io
import os
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from copy import deepcopy
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from pathlib import Path
from typing import Any, BinaryIO

from bezoar.core.errors import BezoarError, UsageError
from bezoar.core.escape import line
from bezoar.provenance import entries, envelope, files, inspection, memory, signing, strict, trust
from bezoar.provenance import policy as policies
from bezoar.provenance.envelope import Envelope
from bezoar.provenance.keys import load_public
from bezoar.provenance.newest import Newest
from bezoar.provenance.policy import LogRule
from bezoar.provenance.refusals import NotTrusted
from bezoar.provenance.statement import Statement

IN_MEMORY = 64 << 20
"""Files up to this size are handed out from memory; larger ones from a private unlinked copy."""


@dataclass(frozen=True)
class Trust:
    """On what ground something is believed: public keys that must all have signed, or a policy.

    `chain`: older policy files between the one accepted here and `policy`, oldest first. The signature of a policy file stands beside it as
    FILE.sig (several in one envelope). `state`: folder of the memory; `remember` False neither reads nor writes it.
    """

    public_keys: tuple[str | Path, ...] = ()
    policy: str | Path | None = None
    chain: tuple[str | Path, ...] = ()
    newest: str | Path | None = None
    state: str | Path | None = None
    remember: bool = True
    log_proof: str | Path | None = None
    """Proof that a log holds the statement (FILE, with the entry in FILE.entry); needed where the policy has [log] or `log` is given."""
    log: LogRule | None = None
    dataset: str = ""
    """Name that the statement must carry; empty: any that the signer may sign."""
    identity: str = ""
    """"ISSUER#IDENTITY" of a keyless signer, in the place of keys; the envelopes given to `decide` are then proved already."""

    def decide(self, signatures: Sequence[Envelope], held: memory.Memory, now: datetime, any_version: bool = False) -> Statement:
        """The trusted statement; changes `held`. `any_version`: also one that is not the newest (rollback). Raises NotTrusted."""
        if (self.policy is not None) + bool(self.public_keys) + bool(self.identity) != 1:
            raise UsageError("give either public keys or a policy", advice="--public-key public.pem, or --policy bezoar.policy.toml")
        signed, log = self._decide(signatures, held, now, any_version)
        if self.dataset and signed.about.dataset != self.dataset:
            raise NotTrusted("wrong-dataset", f"{signed.title} is not about {line(self.dataset, 80)!r}",
                             advice="get the data that belongs to the name")
        if log is not None:
            _logged(signed, log, self.log_proof)
        return signed

    def _decide(self, signatures: Sequence[Envelope], held: memory.Memory, now: datetime, any_version: bool) -> tuple[Statement,
                                                                                                                      LogRule | None]:
        if self.identity:
            if len(signatures) != 1:
                raise UsageError("one keyless signature at a time", advice="give one --signature")
            return trust.accept_identity(held.domain("identity:" + self.identity), signatures[0], self.identity, now), self.log
        if self.policy is None:
            keys = [load_public(k) for k in self.public_keys]
            return trust.accept_bare(held.domain("key:" + "+".join(sorted({k.id for k in keys}))), keys, signatures, now,
                                     any_version), self.log
        domain, policy, newest = self.rules(held, now)
        return trust.accept(domain, policy, signatures, now, newest, any_version), policy.log or self.log

    def rules(self, held: memory.Memory, now: datetime) -> tuple[memory.Domain, policies.Policy, Newest | None]:
        """The policy in force and the list of newest versions, step by step; what holds is in `held` even when a later step raises."""
        assert self.policy is not None
        policy = None
        domain = None
        for path in (*self.chain, self.policy):
            text = strict.read_bytes(path, "policy", 16 << 20)
            if domain is None:
                name = policies.parse(text).name
                was = held.places.setdefault(os.path.realpath(self.policy), name)
                if was != name:
                    raise NotTrusted("policy-name", f"{self.policy} held policy {line(was)!r} before, and now {line(name)!r}",
                                     advice="was the file exchanged? give another path for another policy")
                domain = held.domain("policy:" + name)
            beside = Path(f"{path}.sig")
            signed = [envelope.parse(strict.read_bytes(beside, "policy signature", 16 << 20))] if beside.exists() else []
            if path is not self.policy and domain.policy and policies.parse(text).digest in domain.policies:
                continue
            policy = trust.step_policy(domain, text, signed)
        assert domain is not None
        assert policy is not None
        trust.check_policy(policy, now)
        newest = None
        if self.newest is not None:
            newest = trust.accept_newest(domain, policy, envelope.parse(strict.read_bytes(self.newest, "list of newest versions")), now)
        return domain, policy, newest

    def learn(self, now: datetime) -> None:
        """Remember newer policies and revocations, whatever becomes of the data: who was shown them cannot be shown older ones.

        The first policy of a name is kept only with a list of newest versions or with data that passes, so that a draft can be edited.
        """
        while self.policy is not None:
            held, before = memory.load(self.state)
            fresh, listed = deepcopy(held), False
            with suppress(BezoarError):  # the decision that follows says it
                listed = self.rules(fresh, now)[2] is not None
            if not listed:
                fresh.domains = {n: d for n, d in fresh.domains.items() if n in held.domains}
                fresh.places = {p: n for p, n in fresh.places.items() if p in held.places}
            if fresh.to_json() == held.to_json() or memory.save(self.state, fresh, before):
                return


def _logged(signed: Statement, rule: LogRule, proof: str | Path | None) -> None:
    """Raises NotTrusted unless `proof` shows that the log holds a `sign` entry about exactly this statement."""
    if proof is None:
        raise NotTrusted("no-log-proof", f"{signed.title} must be in the log, and no proof was given",
                         advice="bezoar log prove, then --log-proof FILE")
    entry = strict.read_bytes(f"{proof}.entry", "log entry", 1 << 17)
    inspection.check_proof(strict.read_bytes(proof, "inclusion proof", 1 << 20), entry, rule.keys, rule.witnesses, rule.quorum)
    said = entries.parse(entry)
    if said.kind != "sign" or said.subject != signed.digest:
        raise NotTrusted("not-logged", f"the logged entry is not about {signed.title}",
                         advice="log it with --kind sign, and prove that entry")


@dataclass(frozen=True)
class Verified:
    """What was proved."""

    statement: Statement
    files: int
    bytes: int


def verify(path: str | Path, signatures: Sequence[str | Path], ground: Trust, *, threads: int = 0, allow_ignored: bool = False,
           now: datetime | None = None, tick: Callable[[int], None] = lambda n: None, proved: Sequence[Envelope] | None = None) -> Verified:
    """Prove that `path` is exactly what was signed and may be trusted now, and remember it as the newest. Raises NotTrusted."""
    envelopes = [signing.read_signature(s) for s in signatures] if proved is None else list(proved)

    def work(signed: Statement) -> files.Listing:
        return signing.compare(path, signed, signatures, threads=threads, allow_ignored=allow_ignored, tick=tick)

    signed, listing = _decided(ground, envelopes, now or strict.now(), work)
    return Verified(signed, len(listing.names), sum(listing.sizes))


def _decided(ground: Trust, envelopes: Sequence[Envelope], now: datetime, work: Callable[[Statement], Any]) -> tuple[Statement, Any]:
    """Decide, do the work, and only then remember; anew where another process has learned something meanwhile."""
    if not ground.remember:
        signed = ground.decide(envelopes, memory.Memory(), now)
        return signed, work(signed)
    ground.learn(now)
    held, before = memory.load(ground.state)
    fresh = deepcopy(held)
    signed = ground.decide(envelopes, fresh, now)
    done = work(signed)
    while not memory.save(ground.state, fresh, before):
        fresh, before = memory.load(ground.state)
        signed = ground.decide(envelopes, fresh, now)
    return signed, done


class VerifiedData:
    """Signed files, opened one by one; each read is hashed and handed out only when it is what was signed.

    Framework-friendly: `len`, indexing and iteration give (class, bytes) in canonical order, so it serves as a PyTorch map-style dataset
    (with `decode`), feeds `datasets.Dataset.from_generator`, and `arrays()` feeds scikit-learn.
    """

    def __init__(self, path: str | Path, statement: Statement, decode: Callable[[str, bytes], Any] | None = None) -> None:
        self.statement = statement
        self._root = Path(path)
        self._decode = decode
        self.names = tuple(statement.digests)

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, row: int) -> Any:
        name = self.names[row]
        data = self.read(name)
        return self._decode(name, data) if self._decode else (name.split("/")[0] if "/" in name else "", data)

    def __iter__(self) -> Iterator[Any]:
        return (self[i] for i in range(len(self)))

    def open(self, name: str = files.WHOLE) -> BinaryIO:
        """A readable file of verified bytes. Raises NotTrusted."""
        wanted = self.statement.digests.get(name)
        if wanted is None:
            raise NotTrusted("extra-file", f"{line(name)!r} was not signed",
                             advice="names are: " + ", ".join(line(n) for n in self.names[:5]))
        hasher, size = sha256(), 0
        target: BinaryIO = io.BytesIO()
        try:
            with files.Reader(self._root) as reader:
                handle = reader.open(name)
                with os.fdopen(handle, "rb", buffering=0) as source:
                    while piece := source.read(files.PIECE):
                        hasher.update(piece)
                        size += len(piece)
                        if size > IN_MEMORY and isinstance(target, io.BytesIO):
                            spill = tempfile.TemporaryFile()  # noqa: SIM115
                            spill.write(target.getvalue())
                            target = spill
                        target.write(piece)
        except OSError as error:
            raise NotTrusted("missing-file", f"{line(name)!r} cannot be read: {error.strerror}", advice="get the data again") from None
        if hasher.digest() != wanted:
            raise NotTrusted("changed-file", f"{line(name)!r} is not the content that was signed", advice="get the data again")
        target.seek(0)
        return target

    def read(self, name: str = files.WHOLE) -> bytes:
        """All verified bytes of one file."""
        with self.open(name) as f:
            return f.read()

    def arrays(self, name: str = files.WHOLE) -> dict[str, Any]:
        """The arrays of a signed NPZ, without objects."""
        import numpy as np

        with self.open(name) as f, np.load(f, allow_pickle=False) as store:
            return {k: store[k] for k in store.files}

    def frame(self, name: str = files.WHOLE, **how: Any) -> Any:
        """A signed CSV or Parquet file as a pandas data frame."""
        import pandas as pd

        with self.open(name) as f:
            first = f.read(4)
            f.seek(0)
            return pd.read_parquet(f, **how) if first == b"PAR1" else pd.read_csv(f, **how)


def open_verified(path: str | Path, signature: str | Path | Sequence[str | Path], *, public_key: str | Path | Sequence[str | Path] = (),
                  policy: str | Path | None = None, newest: str | Path | None = None, chain: Sequence[str | Path] = (),
                  state: str | Path | None = None, remember: bool = True, log_proof: str | Path | None = None,
                  dataset: str = "", decode: Callable[[str, bytes], Any] | None = None,
                  now: datetime | None = None) -> VerifiedData:
    """Open a signed dataset or model. Signature, policy, age, and names of the folder are checked now, content at each read.

    Refuses whatever is older than the newest version or revocation ever seen here. Raises NotTrusted, which names the reason.
    """
    signatures = [signature] if isinstance(signature, (str, Path)) else list(signature)
    public_keys = (public_key,) if isinstance(public_key, (str, Path)) else tuple(public_key)
    ground = Trust(public_keys, policy, tuple(chain), newest, state, remember, log_proof, dataset=dataset)

    def names(signed: Statement) -> None:
        ours = {i for s in signatures if (i := signing.inside(path, s))}
        listing = files.walk(path, {*signed.ignored, *ours})
        for what, reason, some in (("not signed", "extra-file", set(listing.names) - set(signed.digests)),
                                   ("missing", "missing-file", set(signed.digests) - set(listing.names))):
            if some:
                raise NotTrusted(reason, f"{line(sorted(some)[0])!r} is {what}", advice="get the data again from where it was signed")

    signed, _ = _decided(ground, [signing.read_signature(s) for s in signatures], now or strict.now(), names)
    return VerifiedData(path, signed, decode)


def trusted_statement(signatures: Sequence[str | Path], ground: Trust, now: datetime | None = None) -> Statement:
    """The statement alone, for proofs about records; files are not read."""
    return _decided(ground, [signing.read_signature(s) for s in signatures], now or strict.now(), lambda signed: None)[0]


