"""What a process and its children did, by strace: programs, connections, files opened for writing, anything after the lock."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

CALLS = ("execve,connect,socket,bind,open,openat,openat2,creat,mkdir,mkdirat,unlink,unlinkat,rename,renameat,renameat2,link,linkat,symlink,symlinkat,"
         "prctl,fork,vfork")
CODE = "import sys; from bezoar.intake.models import read_weights; [read_weights(p) for p in sys.argv[1:]]"


def trace(paths, log, scratch):
    """Read the files under strace; None where tracing is not allowed, else the finished process."""
    done = subprocess.run(["strace", "-f", "-qq", "-s", "300", "-e", f"trace={CALLS}", "-o", str(log), sys.executable, "-c", CODE, *paths],
                          env={**os.environ, "TMPDIR": str(scratch), "PYTHONDONTWRITEBYTECODE": "1"}, capture_output=True, text=True, check=False)
    return None if "ptrace" in done.stderr.lower() else done


def judged(log, scratch):
    """(lines that may not be, processes that were locked in)."""
    locked, seen, wrong = set(), 0, []
    for line in Path(log).read_text(errors="replace").splitlines():
        process, _, rest = line.partition(" ")
        rest = rest.strip()
        if re.match(r"\+\+\+|---", rest):
            locked.discard(process)
            continue
        if process in locked:
            wrong.append(f"after the lock: {line}")
        if rest.startswith("prctl(PR_SET_SECCOMP") and rest.endswith("= 0"):
            locked.add(process)
            seen += 1
        if rest.startswith("execve(") and "ENOENT" not in rest and not Path(re.match(r'execve\("([^"]+)"', rest)[1]).name.startswith("python"):
            wrong.append(f"a program: {line}")
        if rest.startswith(("connect(", "bind(", "socket(", "mkdir", "rename", "link", "symlink")):
            wrong.append(f"not allowed: {line}")
        if re.match(r"(open|openat|openat2|creat)\(", rest) and re.search(r"O_WRONLY|O_RDWR|O_CREAT", rest) and " = -1 " not in rest:
            opened = re.search(r'"([^"]*)"', rest)
            if not opened or not opened[1].startswith((str(scratch), "/dev/null")):
                wrong.append(f"opened for writing: {line}")
    return wrong, seen
