"""Pointers of other tools are read, and held against the data."""

import hashlib
import json

import pytest

from bezoar.core.errors import BezoarError
from bezoar.provenance import pointers

pytest.importorskip("yaml")


def md5(data):
    return hashlib.md5(data).hexdigest()


@pytest.fixture
def repository(tmp_path):
    (tmp_path / "table.csv").write_bytes(b"a,b\n")
    (tmp_path / "table.csv.dvc").write_text(f"outs:\n- md5: {md5(b'a,b' + bytes([10]))}\n  size: 4\n  hash: md5\n  path: table.csv\n")
    (tmp_path / "images").mkdir()
    rows = []
    for name in ("b.png", "a.png"):
        (tmp_path / "images" / name).write_bytes(name.encode())
        rows.append({"md5": md5(name.encode()), "relpath": name})
    whole = md5(json.dumps(sorted(rows, key=lambda r: r["relpath"]), sort_keys=True).encode()) + ".dir"
    (tmp_path / "images.dvc").write_text(f"outs:\n- md5: {whole}\n  nfiles: 2\n  hash: md5\n  path: images\n")
    (tmp_path / "weights.bin").write_bytes(pointers.LFS + b"oid sha256:" + b"ab" * 32 + b"\nsize 12345\n")
    (tmp_path / ".lakefs_ref.yaml").write_text("src: lakefs://repo/main/data/\nat_head: c0ffee\n")
    (tmp_path / "MLmodel").write_text("run_id: r1\nflavors:\n  sklearn: {}\n")
    return tmp_path


def test_all_kinds(repository):
    found = {p.path: p for p in pointers.find(repository)}
    assert {k: (p.tool, p.state) for k, p in found.items()} == {
        "table.csv.dvc": ("dvc", "match"), "images.dvc": ("dvc", "match"), "weights.bin": ("git-lfs", "not fetched"),
        ".lakefs_ref.yaml": ("lakefs", "shown"), "MLmodel": ("mlflow", "shown")}
    assert found["table.csv.dvc"].weak and found[".lakefs_ref.yaml"].digest == "c0ffee"


def test_changes_and_losses(repository):
    (repository / "images/a.png").write_bytes(b"poison")
    (repository / "table.csv").unlink()
    found = {p.path: p.state for p in pointers.find(repository)}
    assert found["images.dvc"] == "mismatch" and found["table.csv.dvc"] == "missing"


@pytest.mark.parametrize("text", ["outs:\n- md5: x\n  path: ../../etc/passwd\n", "outs: [5]\n", "{", "outs:\n- path: x\n", "a: &a [*a]\n", "!!python/object:os.system x\n"])
def test_hostile_pointers(tmp_path, text):
    (tmp_path / "x.dvc").write_text(text)
    try:
        assert list(pointers.find(tmp_path)) == []
    except BezoarError as error:
        assert error.advice  # noqa: PT017
