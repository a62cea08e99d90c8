"""Standard output and error as they come: closed, a pipe whose reader has left, an encoding that cannot say everything."""

from __future__ import annotations

import os
import sys
from typing import Any


class Patient:
    """A stream whose reader may leave (`| head`): what is written afterwards goes nowhere, and the exit code stays true."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream

    def write(self, data: Any) -> int:
        return int(self._kept(self._stream.write, data) or 0)

    def flush(self) -> None:
        self._kept(self._stream.flush)

    @property
    def buffer(self) -> Patient:
        return Patient(self._stream.buffer)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def _kept(self, call: Any, *given: Any) -> Any:
        try:
            return call(*given)
        except BrokenPipeError:
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, self._stream.fileno())
            os.close(nowhere)
            return len(given[0]) if given else None


def prepare() -> None:
    """Make `sys.stdout` and `sys.stderr` safe to write anything to."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:  # closed by whoever started us
            stream = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115 - lives as long as the process
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
        if not isinstance(stream, Patient):
            setattr(sys, name, Patient(stream))
