"""Results on disk: one JSON per part, written after every run, so that a stopped benchmark goes on where it was."""

from __future__ import annotations

import hashlib
import json
import math
import os
import platform
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
RESULTS = HERE / "results"
SOURCE = HERE.parent / "src" / "bezoar"

PEER_PARTS = ("attacks", "modalities", "core/victims.py", "core/image_triggers.py", "core/text_triggers.py", "core/table_triggers.py")
SCAN_PARTS_LEFT_OUT = ("reports", "cli", "repairs", "testing", "demo", "provenance", "victims", "networks", "red",
                       "scoreboard", "trials", "validity", "mending", "mending_page", "remedy", "guarding", "implanting", "pretrained",
                       "inheritance", "auditors", "audits", "auditing")
NEVER_PLANTED_HERE = ("split_view.py", "frontrun.py", "tampered_shard.py", "weight_edit.py", "poisoned_encoder.py", "lora_backdoor.py")
"""Attacks that no cell of a scan plants: they move no figure of one."""


def _hash(files: list[Path]) -> str:
    digest = hashlib.sha256()
    for f in sorted(f for f in files if f.name not in NEVER_PLANTED_HERE):
        digest.update(f.name.encode() + b"\0" + f.read_bytes())
    return digest.hexdigest()[:12]


def version_of_scan() -> str:
    """Changes with any code that can change what a scan finds."""
    return _hash([f for f in SOURCE.rglob("*.py") if f.relative_to(SOURCE).parts[0].removesuffix(".py") not in SCAN_PARTS_LEFT_OUT])


def version_of_audit() -> str:
    """Changes with any code that can change what an audit of a model finds."""
    parts = ("auditors", "networks", "audits.py", "auditing.py", "transplant.py", "maths/standing_out.py", "maths/mappings.py")
    return _hash([f for part in parts for f in ((SOURCE / part).rglob("*.py") if (SOURCE / part).is_dir() else [SOURCE / part])])


def version_of_peers() -> str:
    """Changes with the attacks, the embeddings and the peers' own settings."""
    files = [HERE / "peers.py"]
    for part in PEER_PARTS:
        path = SOURCE / part
        files += list(path.rglob("*.py")) if path.is_dir() else [path]
    return _hash(files)


def machine() -> dict[str, Any]:
    """What the figures depend on."""
    from importlib.metadata import PackageNotFoundError, version

    out: dict[str, Any] = {"python": platform.python_version(), "cores": os.cpu_count(), "machine": platform.machine()}
    for package in ("bezoar", "numpy", "scipy", "scikit-learn", "torch", "adversarial-robustness-toolbox", "cleanlab"):
        try:
            out[package] = version(package)
        except PackageNotFoundError:
            out[package] = "absent"
    return out


class Ledger:
    """Rows (plain dicts) under a key made of `keys`; a newer row replaces the older one of the same key."""

    def __init__(self, path: Path, keys: tuple[str, ...]) -> None:
        self.path, self.keys = path, keys
        self.rows: list[dict[str, Any]] = []
        if path.exists():
            self.rows = json.loads(path.read_text())["runs"]

    def key(self, row: dict[str, Any]) -> tuple[Any, ...]:
        return tuple(row.get(k) for k in self.keys)

    def has(self, version: str, **wanted: Any) -> bool:
        """Whether a row of that key was made by that version of the code."""
        key = tuple(wanted.get(k) for k in self.keys)
        return any(self.key(r) == key and r.get("version") == version for r in self.rows)

    def add(self, row: dict[str, Any]) -> None:
        """Keep the row and write the file (atomically)."""
        clean = {k: None if isinstance(v, float) and not math.isfinite(v) else round(v, 6) if isinstance(v, float) else v
                 for k, v in row.items()}
        self.rows = [r for r in self.rows if self.key(r) != self.key(clean)] + [clean]
        self.path.parent.mkdir(parents=True, exist_ok=True)
        part = self.path.with_suffix(".part")
        body = ",\n".join(json.dumps(r, sort_keys=True) for r in sorted(self.rows, key=lambda r: str(self.key(r))))
        part.write_text(f'{{"machine": {json.dumps(machine())},\n"runs": [\n{body}\n]}}\n')
        part.replace(self.path)
