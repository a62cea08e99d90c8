"""What the child gives up before it looks at the file: memory, time, files, network, programs.

Limits of the kernel hold everywhere. On Linux (x86-64, arm64) a filter of system calls is set as well, after which the process can
compute, read and write what it holds open, and end: no open, no socket, no exec, no fork. `lock` says whether the filter is set.
"""

from __future__ import annotations

import ctypes
import platform
import resource
import struct
import sys

ALLOWED = {
    "x86_64": (0xC000003E, (0, 1, 3, 5, 8, 9, 10, 11, 12, 13, 14, 15, 17, 18, 19, 20, 24, 25, 28, 35, 39, 60, 72, 77, 96, 98, 131, 186,
                            202, 228, 230, 231, 262, 318, 334)),
    "aarch64": (0xC00000B7, (25, 46, 57, 62, 63, 64, 65, 66, 67, 68, 80, 93, 94, 98, 101, 113, 115, 124, 132, 134, 135, 139, 165, 169,
                             172, 178, 214, 215, 216, 222, 226, 233, 278, 293)),
}
"""Architecture -> (audit number, system calls): read, write, close, stat, seek, map, signals, ask for the time, end."""
SET_NO_NEW_PRIVILEGES, SET_FILTER, MODE_FILTER = 38, 22, 2
ALLOW, DENY, KILL = 0x7FFF0000, 0x00050001, 0x80000000


def limit(memory: int, seconds: int, written: int) -> None:
    """Kernel limits: `memory` bytes of address space, processor `seconds`, `written` bytes of one file, no core, no further process."""
    for what, amount in ((resource.RLIMIT_CORE, 0), (resource.RLIMIT_CPU, seconds), (resource.RLIMIT_FSIZE, written),
                         (resource.RLIMIT_AS, memory)):
        hard = resource.getrlimit(what)[1]
        amount = amount if hard == resource.RLIM_INFINITY else min(amount, hard)
        resource.setrlimit(what, (amount, amount))


def address_space() -> int:
    """Bytes of address space that this process has now; 0 where the system does not say."""
    try:
        with open("/proc/self/statm") as file:
            return int(file.read().split()[0]) * resource.getpagesize()
    except (OSError, ValueError, IndexError):
        return 0


def lock() -> bool:
    """Set the filter of system calls, for good; False where this system has none."""
    audit, calls = ALLOWED.get(platform.machine(), (0, ()))
    if sys.platform != "linux" or not audit:
        return False
    rules = [(0x20, 0, 0, 4), (0x15, 1, 0, audit), (0x06, 0, 0, KILL), (0x20, 0, 0, 0)]
    rules += [(0x15, len(calls) - i, 0, number) for i, number in enumerate(calls)]
    rules += [(0x06, 0, 0, DENY), (0x06, 0, 0, ALLOW)]
    code = ctypes.create_string_buffer(b"".join(struct.pack("<HBBI", *r) for r in rules))
    program = ctypes.create_string_buffer(struct.pack("<HxxxxxxQ", len(rules), ctypes.addressof(code)))
    prctl = ctypes.CDLL(None, use_errno=True).prctl
    prctl.argtypes = [ctypes.c_int, ctypes.c_ulong, ctypes.c_void_p, ctypes.c_ulong, ctypes.c_ulong]
    if prctl(SET_NO_NEW_PRIVILEGES, 1, None, 0, 0):
        return False
    return not prctl(SET_FILTER, MODE_FILTER, ctypes.addressof(program), 0, 0)
