"""A place without sockets and without printing, in which abilities are tried."""

from __future__ import annotations

import builtins
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager

Check = tuple[str, Callable[[], None]]
"""A name and a function that raises AssertionError."""


@contextmanager
def sealed() -> Iterator[None]:
    """No socket and no printing inside."""
    def refuse(*args: object, **kwargs: object) -> None:
        raise AssertionError("an ability opened a socket or printed")

    real_socket, real_print = socket.socket.connect, builtins.print
    socket.socket.connect = refuse  # type: ignore[method-assign]
    builtins.print = refuse
    try:
        yield
    finally:
        socket.socket.connect = real_socket  # type: ignore[method-assign]
        builtins.print = real_print
