"""The child process that reads a model file: a fresh interpreter that is given three open files and then locked in.

It gets the model (read only), a place for arrays and a place for its answer; it opens nothing itself. What comes back is JSON and raw
numbers, and the parent checks both again: a child that was taken over can say wrong numbers, and nothing else.
"""

from __future__ import annotations

import json
import math
import mmap
import os
import signal
import subprocess
import sys
import tempfile
from dataclasses import asdict
from typing import IO, Any

import numpy as np

from bezoar.core.limits import MIB, Limits
from bezoar.intake.models.arrays import RESULTS
from bezoar.intake.models.kinds import may_hold_templates
from bezoar.intake.models.parsing import Nowhere, most_bytes, parse
from bezoar.intake.models.verdicts import INCONCLUSIVE, REFUSED, SAFE, Weights

BOOT = "import json, sys; sys.path[:] = json.loads(sys.argv[1]); from bezoar.intake.models.apart import child; child(*sys.argv[2:])"
MOST_ANSWER = 64 * MIB
HEADROOM = 192 * MIB
ALIGNED = 64
SLOWNESS = 30
"""Wall-clock seconds per processor second, for machines that are busy."""


class _File:
    """A sink: a file that is open already."""

    def __init__(self, handle: int, left: int) -> None:
        self.handle, self.left, self.at = handle, left, 0

    def write(self, data: memoryview) -> int:
        place = -(-self.at // ALIGNED) * ALIGNED
        self.at = place
        while len(data):
            done = os.pwrite(self.handle, data[:64 * MIB], self.at)
            self.at += done
            data = data[done:]
        return place


def read_apart(model: int, size: int, suffix: str, limits: Limits, arrays: bool) -> Weights:
    """Have the open file `model` of `size` bytes read by a child. Never raises for what the file holds."""
    seconds = limits.max_model_seconds + size // (16 * MIB)
    with tempfile.TemporaryFile(prefix="bezoar-model-") as data, tempfile.TemporaryFile(prefix="bezoar-model-") as answer:
        handles = (model, data.fileno(), answer.fileno())
        command = [sys.executable, "-I", "-W", "ignore", "-c", BOOT, json.dumps([p for p in sys.path if p]), *map(str, handles), str(size),
                   suffix, json.dumps(asdict(limits)), str(int(arrays)), str(seconds)]
        env = {k: v for k, v in os.environ.items() if k in ("PATH", "HOME", "LANG", "TMPDIR", "SYSTEMROOT")}
        try:
            done = subprocess.run(command, pass_fds=handles, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,  # noqa: S603
                                  stderr=subprocess.DEVNULL, check=False, timeout=SLOWNESS * seconds,
                                  env={**env, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"})
            code = done.returncode
        except subprocess.TimeoutExpired:
            code = -int(signal.SIGXCPU)
        if code in (-int(signal.SIGXCPU), -int(signal.SIGKILL)):
            return _stopped(f"reading it takes more than {seconds} s", {"limit": True})
        if code:
            return _stopped(f"it ended the reader (code {code})", {})
        return _checked(_answer(answer), data, arrays)


def _stopped(reason: str, extra: dict[str, Any]) -> Weights:
    return Weights({}, "unknown", INCONCLUSIVE, (reason,), extra)


def _answer(file: IO[bytes]) -> dict[str, Any]:
    if os.fstat(file.fileno()).st_size > MOST_ANSWER:
        return {}
    file.seek(0)
    try:
        told = json.loads(file.read())
    except (ValueError, RecursionError):
        return {}
    return told if isinstance(told, dict) else {}


def _checked(told: dict[str, Any], data: IO[bytes], arrays: bool) -> Weights:
    verdict, kind, extra = told.get("verdict"), told.get("kind"), told.get("extra")
    reasons = told.get("reasons")
    if verdict not in (SAFE, REFUSED, INCONCLUSIVE) or type(kind) is not str or type(reasons) is not list or type(extra) is not dict:
        return _stopped("its reader gave no answer", {})
    if told.get("limit") is True:
        extra["limit"] = True
    extra["caged"] = told.get("caged") is True
    rows = told.get("arrays")
    out: dict[str, np.ndarray] = {}
    if verdict == SAFE and arrays and type(rows) is list and rows:
        whole = np.memmap(data, np.uint8, "r") if os.fstat(data.fileno()).st_size else np.zeros(0, np.uint8)
        for row in rows:
            array = _array(row, whole)
            if array is None or row[0] in out:
                return _stopped("its reader gave an answer that cannot be", {})
            out[row[0]] = array
    if verdict == SAFE and not arrays and type(rows) is list:
        extra["arrays"] = {str(r[0])[:200]: r[2] for r in rows[:100_000] if type(r) is list and len(r) == 4}
    return Weights(out, kind[:40], verdict, tuple(str(r)[:600] for r in reasons[:20]), extra)


def _array(row: Any, whole: np.ndarray) -> np.ndarray | None:
    if type(row) is not list or len(row) != 4 or type(row[0]) is not str or row[1] not in RESULTS or type(row[2]) is not list:
        return None
    _, code, shape, place = row
    if any(type(v) is not int or v < 0 for v in (*shape, place)) or len(shape) > 32:
        return None
    size = math.prod(shape) * np.dtype(code).itemsize
    if place + size > len(whole):
        return None
    return np.asarray(whole[place:place + size]).view(code).reshape(shape) if size else np.zeros(shape, code)


def child(model: str, data: str, answer: str, size: str, suffix: str, limits: str, arrays: str, seconds: str) -> None:
    """What runs apart. Everything that it may need is imported before it is locked in."""
    from bezoar.intake.models import cage

    bounds, length = Limits(**json.loads(limits)), int(size)
    most = most_bytes(length, bounds)
    sink = _File(int(data), most) if arrays == "1" else Nowhere(most)
    view = memoryview(mmap.mmap(int(model), length, access=mmap.ACCESS_READ))
    if may_hold_templates(view):
        import jinja2.ext
        import jinja2.sandbox  # noqa: F401
    base = cage.address_space() or (1 << 30)
    cage.limit(base + HEADROOM + 2 * most + length // 8, int(seconds), 2 * most + MOST_ANSWER)
    caged = cage.lock()
    told = {**parse(view, suffix, bounds, sink), "caged": caged}
    raw = memoryview(json.dumps(told).encode())
    while len(raw):
        raw = raw[os.write(int(answer), raw):]
    os._exit(0)
