"""Files of other tools that stand for data: DVC, git-LFS, lakeFS, MLflow. Read, and where a digest is known, held against the data.

DVC names MD5: it finds accidents, not attackers, and is called `weak` here. A lakeFS or MLflow pointer names a commit or a version on a
server; without the server it can only be shown.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import md5, sha256
from pathlib import Path
from typing import Any

from bezoar.core.errors import Unavailable, UnreadableInput
from bezoar.core.escape import line
from bezoar.provenance import files, strict

LFS = b"version https://git-lfs.github.com/spec/v1\n"
MOST_POINTER = 1 << 20


@dataclass(frozen=True)
class Pointer:
    """`state`: match, mismatch, missing, not fetched (a git-LFS stub in place of the file), or shown (nothing to compare with)."""

    path: str
    tool: str
    algorithm: str
    digest: str
    target: str
    state: str
    weak: bool = False


def find(folder: str | Path) -> Iterator[Pointer]:
    """Every pointer below `folder` (or the one file given), checked where possible. Raises UnreadableInput for a damaged one."""
    folder = Path(folder)
    listing = [folder] if folder.is_file() else [folder / n for n in files.walk(folder).names]
    for path in listing:
        name = path.name if path == folder else path.relative_to(folder).as_posix()
        if path.suffix == ".dvc":
            yield from _dvc(path, name)
        elif path.name in (".lakefs_ref.yaml", "MLmodel", "meta.yaml"):
            yield from _shown(path, name)
        elif path.stat().st_size < 1024 and path.read_bytes().startswith(LFS):
            yield _lfs(path, name)


def _lfs(path: Path, name: str) -> Pointer:
    fields = dict(row.split(" ", 1) for row in path.read_text("utf-8", "replace").splitlines() if " " in row)
    algorithm, _, digest = fields.get("oid", "").partition(":")
    if algorithm != "sha256" or len(digest) != 64:
        raise UnreadableInput(f"{line(name)} is a damaged git-LFS pointer", advice="git lfs pull")
    return Pointer(name, "git-lfs", algorithm, digest, name, "not fetched")


def _yaml(path: Path, name: str) -> dict[str, Any]:
    try:
        import yaml
    except ImportError:
        raise Unavailable("the package 'PyYAML'", advice="pip install PyYAML") from None
    try:
        body = yaml.safe_load(strict.read_bytes(path, "pointer", MOST_POINTER))
    except (yaml.YAMLError, RecursionError, ValueError):
        raise UnreadableInput(f"{line(name)} is not YAML", advice="it is damaged") from None
    return body if isinstance(body, dict) else {}


def _dvc(path: Path, name: str) -> Iterator[Pointer]:
    outs = _yaml(path, name).get("outs") or []
    for out in outs if isinstance(outs, list) else [outs]:
        if not isinstance(out, dict) or not isinstance(out.get("md5"), str) or not isinstance(out.get("path"), str):
            raise UnreadableInput(f"{line(name)} is not a DVC pointer to data with an MD5", advice="dvc commit")
        trouble = files.name_trouble(out["path"])
        if trouble:
            raise UnreadableInput(f"{line(name)} points to {line(out['path'])!r}: {trouble}", advice="do not trust this pointer")
        target = path.parent / out["path"]
        state = "missing"
        if target.exists():
            state = "match" if _dvc_md5(target) == out["md5"] else "mismatch"
        yield Pointer(name, "dvc", "md5", out["md5"], out["path"], state, weak=True)


def _md5(path: Path) -> str:
    digest = md5(usedforsecurity=False)
    with path.open("rb") as f:
        while piece := f.read(files.PIECE):
            digest.update(piece)
    return digest.hexdigest()


def _dvc_md5(target: Path) -> str:
    """As DVC 3 computes it: of a folder, over the sorted list of its files."""
    if target.is_file():
        return _md5(target)
    rows = [{"md5": _md5(target / n), "relpath": n} for n in sorted(files.walk(target).names)]
    return md5(json.dumps(rows, sort_keys=True).encode(), usedforsecurity=False).hexdigest() + ".dir"


def _shown(path: Path, name: str) -> Iterator[Pointer]:
    body = _yaml(path, name)
    if path.name == ".lakefs_ref.yaml" and isinstance(body.get("src"), str):
        yield Pointer(name, "lakefs", "commit", str(body.get("at_head", "")), body["src"], "shown")
    elif path.name == "MLmodel" and "flavors" in body:
        digest = sha256(path.read_bytes()).hexdigest()
        yield Pointer(name, "mlflow", "sha256", digest, str(body.get("run_id") or body.get("model_uuid") or os.path.dirname(name)), "shown")
    elif path.name == "meta.yaml" and "source" in body and "version" in body and "name" in body:
        yield Pointer(name, "mlflow", "version", str(body["version"]), f"{body['name']} <- {body['source']}", "shown")
