"""Files that bezoar itself writes: reports, resume notes, baselines, truth. Temp file, fsync, rename; never half a file."""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Callable
from datetime import date
from importlib.metadata import version
from pathlib import Path
from typing import Any

from bezoar.core.ability import Detector, Scores
from bezoar.core.errors import UnreadableInput, UsageError
from bezoar.core.scores_store import scores_from_dict, scores_to_dict

MOST_JSON_BYTES = 1 << 30


def write_file(path: Path, data: bytes) -> None:
    """All of `data` at `path`, or nothing."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as f:
            f.write(data)
            f.flush()
            os.fsync(f.fileno())
        os.chmod(name, 0o644)
        os.replace(name, path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def read_json(path: Path, what: str) -> Any:
    """Parsed JSON; raises UnreadableInput with the line of the mistake."""
    try:
        if path.stat().st_size > MOST_JSON_BYTES:
            raise UnreadableInput(f"{path} is larger than {MOST_JSON_BYTES:,} bytes", advice=f"is it a {what}?")
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UnreadableInput(f"no {what} at {path}", advice="check the path") from None
    except json.JSONDecodeError as error:
        raise UnreadableInput(f"{path} is not JSON: line {error.lineno}: {error.msg}", advice=f"give a {what}") from None
    except (UnicodeDecodeError, RecursionError, OSError) as error:
        raise UnreadableInput(f"{path} cannot be read as a {what}: {type(error).__name__}", advice="check the file") from None


class Resume:
    """Keeps finished detectors under `folder`, keyed by content, parameters, seed and version; a changed input starts anew."""

    def __init__(self, folder: Path | None, fingerprint: str, detectors: list[Detector], seed: int, extra: str) -> None:
        self._folder = folder
        self._keys = {d.info.name: hashlib.sha256(repr((fingerprint, d.info.name, sorted(d.parameters().items(), key=str), seed, extra,
                                                        version("bezoar"))).encode()).hexdigest()[:24] for d in detectors}

    def _path(self, name: str) -> Path | None:
        return None if self._folder is None else self._folder / f"{name}-{self._keys[name]}.json"

    def recall(self, name: str) -> Scores | None:
        """What an earlier run had finished, or None."""
        path = self._path(name)
        if path is None or not path.is_file():
            return None
        try:
            return scores_from_dict(read_json(path, "resume note"))
        except (UnreadableInput, KeyError, ValueError, TypeError):
            return None

    def keep(self, name: str, scores: Scores) -> None:
        """Remember a finished detector."""
        path = self._path(name)
        if path is not None:
            write_file(path, json.dumps(scores_to_dict(scores)).encode())

    def forget(self) -> None:
        """The run is complete: the notes are no longer needed."""
        if self._folder is not None and self._folder.is_dir():
            for name in self._keys:
                path = self._path(name)
                if path is not None:
                    path.unlink(missing_ok=True)
            if not any(self._folder.iterdir()):
                self._folder.rmdir()


BASELINE = "bezoar.baseline/1"


def read_baseline(path: Path, today: Callable[[], date] = date.today) -> tuple[frozenset[str], tuple[str, ...]]:
    """Accepted finding ids that have not expired, and sentences about those that have."""
    data = read_json(path, "baseline")
    if not isinstance(data, dict) or data.get("schema") != BASELINE or not isinstance(data.get("accepted"), list):
        raise UnreadableInput(f"{path} is not a {BASELINE} file", advice="write one with `bezoar accept`")
    good, notes = set(), []
    for entry in data["accepted"]:
        try:
            expires = date.fromisoformat(entry["expires"]) if entry.get("expires") else None
            if expires is not None and expires < today():
                notes.append(f"baseline: the acceptance of {entry['id']} expired on {expires}")
            else:
                good.add(str(entry["id"]))
        except (KeyError, TypeError, ValueError, AttributeError):
            raise UnreadableInput(f"{path} has a malformed entry: {str(entry)[:80]}",
                                  advice='each entry is {"id", "because", "by", "expires": "YYYY-MM-DD" or null}') from None
    return frozenset(good), tuple(notes)


def _check_date(expires: str | None) -> None:
    """A baseline that holds a date nobody can read could not be used any more."""
    if expires is None:
        return
    try:
        last = date.fromisoformat(expires)
    except ValueError:
        raise UsageError(f"--expires {expires!r} is no date", advice="give YYYY-MM-DD, such as 2027-06-30") from None
    if last < date.today():
        raise UsageError(f"--expires {last} is past: nothing would be accepted", advice="give a day that is still to come")


def add_to_baseline(path: Path, ids: list[str], because: str, by: str, expires: str | None) -> int:
    """Accept findings; returns how many the file holds now. A reason is required."""
    if not because.strip():
        raise UsageError("an acceptance needs a reason", advice="give --because")
    _check_date(expires)
    entries: dict[str, dict[str, Any]] = {}
    if path.exists():
        read_baseline(path)
        entries = {e["id"]: e for e in read_json(path, "baseline")["accepted"]}
    for i in ids:
        entries[i] = {"id": i, "because": because, "by": by, "expires": expires}
    body = {"schema": BASELINE, "accepted": [entries[k] for k in sorted(entries)]}
    write_file(path, (json.dumps(body, indent=2) + "\n").encode())
    return len(entries)
