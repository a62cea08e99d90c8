"""Keys, a small dataset, and a memory of its own for every test."""

from datetime import UTC, datetime, timedelta

import pytest

pytest.importorskip("cryptography")

from bezoar.provenance import signing
from bezoar.provenance.envelope import parse
from bezoar.provenance.guard import Trust, verify
from bezoar.provenance.keys import PrivateKey
from bezoar.provenance.statement import About

NOW = datetime(2027, 3, 1, 12, tzinfo=UTC)


@pytest.fixture(autouse=True)
def _own_memory(tmp_path, monkeypatch):
    monkeypatch.setenv("BEZOAR_STATE", str(tmp_path / "state"))
    monkeypatch.delenv("BEZOAR_PASSPHRASE", raising=False)


@pytest.fixture(scope="session")
def keys():
    return {name: PrivateKey.make() for name in ("alice", "bob", "carol", "mallory")}


@pytest.fixture
def data(tmp_path):
    folder = tmp_path / "signs"
    for name, text in {"stop/1.txt": "one", "stop/2.txt": "two", "yield/1.txt": "three", "read me.md": "x" * 5000}.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return folder


class Desk:
    """Signs and verifies with little typing; `now` can be moved."""

    def __init__(self, place, keys):
        self.place, self.keys, self.now = place, keys, NOW
        for name, key in keys.items():
            (place / f"{name}.pem").write_bytes(key.public.pem)

    def public(self, name):
        return self.place / f"{name}.pem"

    def sign(self, path, name="v1.sig", key="alice", dataset="signs", previous=None, days=30, now=None, **about):
        out = self.place / name
        extra = {k: about.pop(k) for k in ("ignore", "seal_records", "columns", "threads") if k in about}
        before = parse((self.place / previous).read_bytes()) if previous else None
        signing.sign(path, self.keys[key], About(dataset=dataset, **about), days=days, previous=before, out=out, now=now or self.now, **extra)
        return out

    def verify(self, path, *names, key="alice", later=timedelta(), **more):
        ground = Trust(public_keys=(self.public(key),)) if "policy" not in more else Trust(
            policy=more.pop("policy"), newest=more.pop("newest", None), chain=more.pop("chain", ()))
        return verify(path, [self.place / n for n in names or ("v1.sig",)], ground, now=self.now + later, **more)


@pytest.fixture
def desk(tmp_path, keys):
    place = tmp_path / "desk"
    place.mkdir()
    return Desk(place, keys)
