"""An ONNX model that runs in a child process: asked over pipes, stopped when it takes too long, locked in once it is loaded.

The graph is a program, if a small one: it can loop, and ask for memory. The child has a limit of memory, one thread, and (where the
system has one) the filter of system calls of `cage.py`; it reads a question, writes an answer, and can do nothing else.
"""

from __future__ import annotations

import json
import math
import os
import select
import subprocess
import sys
import time
from typing import Any

import numpy as np

from bezoar.core.errors import AbilityFailed, LimitExceeded, UnreadableInput
from bezoar.core.limits import MIB

BOOT = "import json, sys; sys.path[:] = json.loads(sys.argv[1]); from bezoar.intake.models.onnx_apart import child; child(*sys.argv[2:])"
KINDS = {"tensor(float)": "<f4", "tensor(float16)": "<f2", "tensor(double)": "<f8", "tensor(uint8)": "|u1", "tensor(int64)": "<i8",
         "tensor(int32)": "<i4"}
TEXTS = "tensor(string)"
MOST_HEAD = MIB


class Runner:
    """A loaded model. `kind` and `shape` are those of its input (None where a dimension is free); `close` ends the child.

    Raises UnreadableInput where the runtime does not take the model, LimitExceeded where it takes too long or too much memory.
    """

    def __init__(self, handle: int, memory: int, seconds: float) -> None:
        self.seconds = seconds
        command = [sys.executable, "-I", "-W", "ignore", "-c", BOOT, json.dumps([p for p in sys.path if p]), str(handle), str(memory)]
        env = {k: v for k, v in os.environ.items() if k in ("PATH", "HOME", "LANG", "TMPDIR", "SYSTEMROOT")}
        env = {**env, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
        self._process = subprocess.Popen(command, pass_fds=(handle,), stdin=subprocess.PIPE, stdout=subprocess.PIPE,  # noqa: S603
                                         stderr=subprocess.DEVNULL, bufsize=0, env=env)
        told = self._head()
        if "error" in told:
            self.close()
            raise UnreadableInput(f"the ONNX runtime does not take it: {str(told['error'])[:200]}", advice="export it again")
        self.kind, self.caged = str(told.get("kind")), told.get("caged") is True
        shape = told.get("shape")
        self.shape = tuple(d if type(d) is int and d > 0 else None for d in shape) if isinstance(shape, list) else ()

    def ask(self, batch: np.ndarray | list[str]) -> list[np.ndarray]:
        """Every output that is an array of numbers, for one batch. Raises AbilityFailed where the model fails on it."""
        if isinstance(batch, list):
            body = json.dumps(batch).encode()
            head: dict[str, Any] = {"texts": len(body)}
        else:
            batch = np.ascontiguousarray(batch)
            body, head = batch.tobytes(), {"kind": batch.dtype.str, "shape": list(batch.shape)}
        self._send(json.dumps(head).encode() + b"\n" + body)
        told = self._head()
        rows = told.get("outputs")
        if not isinstance(rows, list):
            raise AbilityFailed(f"the model fails on this input: {str(told.get('error'))[:200]}", advice="give the shape that it reads")
        out = []
        for row in rows[:100]:
            kind, shape = row
            if kind not in KINDS.values() or any(type(v) is not int or v < 0 for v in shape):
                raise AbilityFailed("the model's reader gave an answer that cannot be")
            size = math.prod(shape) * np.dtype(kind).itemsize
            if size > 1024 * MIB:
                raise LimitExceeded("the model answers with more than 1 GiB", advice="ask it in smaller batches")
            out.append(np.frombuffer(self._take(size), kind).reshape(shape))
        return out

    def close(self) -> None:
        """End the child."""
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe:
                pipe.close()

    def __del__(self) -> None:
        if getattr(self, "_process", None) and self._process.poll() is None:
            self.close()

    def _send(self, raw: bytes) -> None:
        assert self._process.stdin
        view, handle, end = memoryview(raw), self._process.stdin.fileno(), time.monotonic() + self.seconds
        try:
            while len(view):
                if not select.select([], [handle], [], max(0.0, end - time.monotonic()))[1]:
                    raise self._late()
                view = view[os.write(handle, view[:65_536]):]
        except BrokenPipeError:
            raise self._dead() from None

    def _take(self, size: int) -> bytes:
        assert self._process.stdout
        parts, handle, end = [], self._process.stdout.fileno(), time.monotonic() + self.seconds
        while size:
            if not select.select([handle], [], [], max(0.0, end - time.monotonic()))[0]:
                raise self._late()
            piece = os.read(handle, min(size, MIB))
            if not piece:
                raise self._dead()
            parts.append(piece)
            size -= len(piece)
        return b"".join(parts)

    def _head(self) -> dict[str, Any]:
        size = int.from_bytes(self._take(8), "little")
        if size > MOST_HEAD:
            raise AbilityFailed("the model's reader gave an answer that cannot be")
        try:
            told = json.loads(self._take(size))
        except (ValueError, RecursionError):
            told = None
        if not isinstance(told, dict):
            raise AbilityFailed("the model's reader gave an answer that cannot be")
        return told

    def _late(self) -> LimitExceeded:
        self.close()
        return LimitExceeded(f"the ONNX model takes more than {self.seconds:g} s to answer",
                             advice="ask it in smaller batches, if you trust it")

    def _dead(self) -> LimitExceeded:
        self.close()
        return LimitExceeded("the ONNX model ended its reader: it needs more memory than the limits allow, or is damaged",
                             advice="export it again")


def child(handle: str, memory: str) -> None:
    """What runs apart: load, lock, then answer until the parent is gone."""
    import onnxruntime

    from bezoar.intake.models import cage

    size = os.fstat(int(handle)).st_size
    cage.limit(cage.address_space() + int(memory) + 4 * size, 1 << 30, 0)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 4
    try:
        raw = os.pread(int(handle), size, 0)
        session = onnxruntime.InferenceSession(raw, options, providers=["CPUExecutionProvider"])
        wanted = session.get_inputs()
        if len(wanted) != 1:
            raise ValueError(f"it has {len(wanted)} inputs, models of one are audited")
    except Exception as error:  # noqa: BLE001 - the runtime raises classes of its own
        _say({"error": " ".join(str(error).split())[:300]})
        os._exit(0)
    np.zeros(1, np.float16).astype(np.float32)
    _say({"kind": wanted[0].type, "shape": [d if isinstance(d, int) else None for d in wanted[0].shape], "caged": cage.lock()})
    while True:
        head = json.loads(_line())
        if "texts" in head:
            batch = np.array(json.loads(_exactly(head["texts"])), object).reshape([-1] + [1] * (len(wanted[0].shape) - 1))
        else:
            kind, shape = np.dtype(head["kind"]), head["shape"]
            batch = np.frombuffer(_exactly(math.prod(shape) * kind.itemsize), kind).reshape(shape)
        try:
            found = [np.ascontiguousarray(o) for o in session.run(None, {wanted[0].name: batch}) if isinstance(o, np.ndarray)]
        except Exception as error:  # noqa: BLE001 - the runtime raises classes of its own
            _say({"error": " ".join(str(error).split())[:300]})
            continue
        found = [o for o in found if o.dtype.str in KINDS.values()]
        _say({"outputs": [[o.dtype.str, list(o.shape)] for o in found]}, *(o.tobytes() for o in found))


def _say(head: dict[str, Any], *bodies: bytes) -> None:
    raw = json.dumps(head).encode()
    view = memoryview(len(raw).to_bytes(8, "little") + raw + b"".join(bodies))
    while len(view):
        view = view[os.write(1, view):]


def _line() -> bytes:
    out = b""
    while not out.endswith(b"\n"):
        piece = os.read(0, 1)
        if not piece:
            os._exit(0)
        out += piece
    return out


def _exactly(size: int) -> bytes:
    parts = []
    while size:
        piece = os.read(0, min(size, MIB))
        if not piece:
            os._exit(0)
        parts.append(piece)
        size -= len(piece)
    return b"".join(parts)
