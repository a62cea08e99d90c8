"""A model that runs in a child process: asked over pipes, stopped when it takes too long, locked in before it is asked.

A model that is a program can loop, and ask for memory. The child has a limit of memory, one thread, and (where the system has one) the
filter of system calls of `cage.py`; it reads a question, writes an answer, and can do nothing else. What it prints goes nowhere.
One protocol for every runtime: a length of 8 bytes, JSON of that length, then the bytes of arrays; questions are a line of JSON and bytes.
"""

from __future__ import annotations

import importlib
import json
import math
import os
import select
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from bezoar.core.errors import AbilityFailed, LimitExceeded, Unavailable, UnreadableInput
from bezoar.core.limits import MIB

BOOT = "import json, sys; sys.path[:] = json.loads(sys.argv[1]); from bezoar.intake.models.asked_apart import child; child(*sys.argv[2:])"
KINDS = {"tensor(float)": "<f4", "tensor(float16)": "<f2", "tensor(double)": "<f8", "tensor(uint8)": "|u1", "tensor(int64)": "<i8",
         "tensor(int32)": "<i4"}
TEXTS = "tensor(string)"
WORDS = {"onnx": "ONNX", "torchscript": "TorchScript", "exported": "torch.export"}
PLACES = {"onnx": "bezoar.intake.models.onnx_apart", "torchscript": "bezoar.intake.models.script_apart",
          "exported": "bezoar.intake.models.exported_apart"}
MOST_HEAD = MIB
STARTING = 300.0
"""Seconds for the child to import its runtime, before it looks at the model."""
Batch = np.ndarray | list[str]


@dataclass(frozen=True)
class Session:
    """A model in the child: the kind and shape of its input ("" and [] where it does not say), and what answers a batch."""

    kind: str
    shape: list[int | None]
    answers: Callable[[Batch], list[np.ndarray]]


class Runtime(Protocol):
    """What a module of `PLACES` holds.

    LOCKED_FIRST  whether opening a model already runs it: then nothing is opened before the lock, and nothing at all without one
    prepare       imports and first steps, all that touches files
    opened        the bytes of the file -> a Session; may raise anything
    """

    LOCKED_FIRST: bool

    def prepare(self) -> None: ...
    def opened(self, raw: bytes) -> Session: ...


class Runner:
    """A loaded model of the open file `handle`. `kind` and `shape` are those of its input, "" and () where the file does not say them
    (None where a dimension is free); `close` ends the child.

    runtime  "onnx", "torchscript" or "exported"
    memory   bytes that it may take beside what the runtime itself takes; `seconds` for opening and for each answer
    Raises UnreadableInput where the runtime does not take the model, Unavailable where it may only run behind the filter of system calls
    and there is none, LimitExceeded where it takes too long or too much memory.
    """

    def __init__(self, handle: int, memory: int, seconds: float, runtime: str = "onnx") -> None:
        self.seconds, self.word = seconds, WORDS[runtime]
        command = [sys.executable, "-I", "-W", "ignore", "-c", BOOT, json.dumps([p for p in sys.path if p]), runtime, str(handle),
                   str(memory)]
        env = {k: v for k, v in os.environ.items() if k in ("PATH", "HOME", "LANG", "TMPDIR", "SYSTEMROOT")}
        env = {**env, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
        self._process = subprocess.Popen(command, pass_fds=(handle,), stdin=subprocess.PIPE, stdout=subprocess.PIPE,  # noqa: S603
                                         stderr=subprocess.DEVNULL, bufsize=0, env=env)
        told = self._head(STARTING)
        if told.get("ready") is not True:
            raise self._dead()
        told = self._head(seconds)
        if "error" in told:
            self.close()
            if told.get("open") is True:
                raise Unavailable("a filter of system calls (Linux on x86-64 or arm64) to run a program of others",
                                  advice="export the model to ONNX, or give its weights as safetensors")
            raise UnreadableInput(f"the {self.word} runtime does not take it: {str(told['error'])[:200]}", advice="export it again")
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
        told = self._head(self.seconds)
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
            out.append(np.frombuffer(self._take(size, self.seconds), kind).reshape(shape))
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

    def _take(self, size: int, seconds: float) -> bytes:
        assert self._process.stdout
        parts, handle, end = [], self._process.stdout.fileno(), time.monotonic() + seconds
        while size:
            if not select.select([handle], [], [], max(0.0, end - time.monotonic()))[0]:
                raise self._late()
            piece = os.read(handle, min(size, MIB))
            if not piece:
                raise self._dead()
            parts.append(piece)
            size -= len(piece)
        return b"".join(parts)

    def _head(self, seconds: float) -> dict[str, Any]:
        size = int.from_bytes(self._take(8, seconds), "little")
        if size > MOST_HEAD:
            raise AbilityFailed("the model's reader gave an answer that cannot be")
        try:
            told = json.loads(self._take(size, seconds))
        except (ValueError, RecursionError):
            told = None
        if not isinstance(told, dict):
            raise AbilityFailed("the model's reader gave an answer that cannot be")
        return told

    def _late(self) -> LimitExceeded:
        self.close()
        return LimitExceeded(f"the {self.word} model takes more than {self.seconds:g} s to answer",
                             advice="ask it in smaller batches, if you trust it")

    def _dead(self) -> LimitExceeded:
        self.close()
        return LimitExceeded(f"the {self.word} model ended its reader: it needs more memory than the limits allow, or is damaged",
                             advice="export it again")


def child(runtime: str, handle: str, memory: str) -> None:
    """What runs apart: open and lock (or the other way round), then answer until the parent is gone."""
    from bezoar.intake.models import cage

    place, nowhere = os.dup(1), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    made: Runtime = importlib.import_module(PLACES[runtime])
    made.prepare()
    _say(place, {"ready": True})
    np.zeros(1, np.float16).astype(np.float32)
    raw = _whole(int(handle))
    os.close(int(handle))
    cage.limit(cage.address_space() + int(memory) + 4 * len(raw), 1 << 30, 0)
    caged = cage.lock() if made.LOCKED_FIRST else False
    if made.LOCKED_FIRST and not caged:
        _say(place, {"error": "no filter", "open": True})
        os._exit(0)
    try:
        session = made.opened(raw)
    except Exception as error:  # noqa: BLE001 - runtimes raise classes of their own
        _say(place, {"error": _sentence(error)})
        os._exit(0)
    del raw
    _say(place, {"kind": session.kind, "shape": session.shape, "caged": caged or cage.lock()})
    while True:
        head = json.loads(_line())
        batch: Batch
        if "texts" in head:
            batch = json.loads(_exactly(head["texts"]))
        else:
            kind, shape = np.dtype(head["kind"]), head["shape"]
            batch = np.frombuffer(_exactly(math.prod(shape) * kind.itemsize), kind).reshape(shape)
        try:
            found = [np.ascontiguousarray(o) for o in session.answers(batch) if o.dtype.str in KINDS.values()]
        except Exception as error:  # noqa: BLE001 - runtimes raise classes of their own
            _say(place, {"error": _sentence(error)})
            continue
        _say(place, {"outputs": [[o.dtype.str, list(o.shape)] for o in found]}, *(o.tobytes() for o in found))


def _sentence(error: Exception) -> str:
    return " ".join(str(error).split())[:300] or type(error).__name__


def _whole(handle: int) -> bytes:
    parts, at = [], 0
    while piece := os.pread(handle, 256 * MIB, at):
        parts.append(piece)
        at += len(piece)
    return b"".join(parts)


def _say(place: int, head: dict[str, Any], *bodies: bytes) -> None:
    raw = json.dumps(head).encode()
    view = memoryview(len(raw).to_bytes(8, "little") + raw + b"".join(bodies))
    while len(view):
        view = view[os.write(place, view):]


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
