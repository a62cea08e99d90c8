"""Runs a scenario in forked children that are killed, or whose disk fails, at one chosen system call; prints what each promised.

Usage: crash_driver.py SCENARIO FOLDER MODE FIRST STEP   ->   one JSON line per fault point: {"at", "promised", "ended"}
Modes: count, kill (before the call), killed (after it), eio, enospc, short (half a write, then killed), random (a kill -9 after some time).
"""

import errno
import json
import os
import select
import signal
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

from bezoar.provenance.disk import Disk
from bezoar.provenance.keys import PrivateKey

PEOPLE = [b"-----BEGIN PRIVATE KEY-----\n" + body + b"\n-----END PRIVATE KEY-----\n" for body in (
    b"MC4CAQAwBQYDK2VwBCIEIJ1hsZ3v/VpguoRK9JLsLMREScVpezJpGXA7rAMcrn9h", b"MC4CAQAwBQYDK2VwBCIEIJ1hsZ3v/VpguoRK9JLsLMREScVpezJpGXA7rAMcrn9i")]
SEED = b"-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEIJ1hsZ3v/VpguoRK9JLsLMREScVpezJpGXA7rAMcrn9g\n-----END PRIVATE KEY-----\n"


def log_key():
    return PrivateKey.parse(SEED)


class Faulty(Disk):
    """Counts calls that change the disk; misbehaves at number `at`."""

    def __init__(self, mode, at):
        self.mode, self.at, self.calls, self.hit = mode, at, 0, False

    def _step(self, call, half=None):
        self.calls += 1
        if self.calls != self.at:
            return call()
        self.hit = True
        if self.mode == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        if self.mode in ("eio", "enospc"):
            raise OSError(errno.EIO if self.mode == "eio" else errno.ENOSPC, os.strerror(errno.EIO if self.mode == "eio" else errno.ENOSPC))
        if self.mode == "short" and half is not None:
            half()
            os.kill(os.getpid(), signal.SIGKILL)
        done = call()
        if self.mode in ("killed", "short"):
            os.kill(os.getpid(), signal.SIGKILL)
        return done

    def open(self, path, flags, mode=0o644):
        return self._step(lambda: Disk.open(self, path, flags, mode))

    def write(self, handle, data):
        return self._step(lambda: Disk.write(self, handle, data), lambda: os.write(handle, data[:len(data) // 2]))

    def fsync(self, handle):
        return self._step(lambda: Disk.fsync(self, handle))

    def replace(self, old, new):
        return self._step(lambda: Disk.replace(self, old, new))

    def unlink(self, path):
        return self._step(lambda: Disk.unlink(self, path))

    def mkdir(self, path):
        return self._step(lambda: Disk.mkdir(self, path))

    def link(self, old, new):
        return self._step(lambda: Disk.link(self, old, new))

    def truncate(self, handle, size):
        return self._step(lambda: Disk.truncate(self, handle, size))


def log_scenario(folder, disk, promise):
    """Open, append in groups, publish, append, witness line, close."""
    from bezoar.provenance.ledger import Log

    with Log(folder / "log", [log_key()], "example.org/crash", disk) as log:
        for i in range(6):
            promise(log.extend([b"first %d %d" % (os.getpid(), i), b"second %d" % i]))
        log.checkpoint()
        for i in range(5):
            promise(log.extend([b"third %d %d" % (os.getpid(), i), b"fourth"]))


def long_log_scenario(folder, disk, promise):
    """Appends until it is killed."""
    from bezoar.provenance.ledger import Log

    with Log(folder / "log", [log_key()], "example.org/crash", disk) as log:
        i = 0
        while True:
            i += 1
            promise(log.extend([b"first %d %d" % (os.getpid(), i), b"second %d" % i]))
            if i % 7 == 0:
                log.checkpoint()


SCENARIOS = {"log": log_scenario, "long": long_log_scenario}


def versions_scenario(folder, disk, promise):
    """Snapshot two versions, switch, roll back."""
    from bezoar.provenance.versions import Store

    store = Store(folder / "store", disk)
    data = folder / "data"
    ids = []
    for k in range(3):
        data.mkdir(exist_ok=True)
        (data / f"{k}.txt").write_bytes(b"record %d" % k * 500)
        ids.append(store.snapshot(data).id)
        promise(["snapshot", ids[-1]])
        store.switch("main", ids[-1])
        promise(["switch", ids[-1]])
    store.switch("main", ids[0])
    promise(["switch", ids[0]])


SCENARIOS["versions"] = versions_scenario


def desk(folder):
    """Keys, a log with its policy, and data with a stored, signed and promoted version 1, beside a version 2 that is stored only."""
    from bezoar.provenance import entries, policy
    from bezoar.provenance.ledger import Log
    from bezoar.provenance.signing import sign
    from bezoar.provenance.statement import About
    from bezoar.provenance.versions import Store

    signer, other = (PrivateKey.parse(pem) for pem in PEOPLE)
    for name, pem in zip(("log", "ci", "bob"), (SEED, *PEOPLE), strict=True):
        (folder / f"{name}.pem").write_bytes(pem)
    (folder / "ci.pub").write_bytes(signer.public.pem)
    text = policy.template("p", {"ci": signer.public, "bob": other.public}, datetime(2099, 1, 1, tzinfo=UTC)).encode()
    data, store = folder / "data", Store(folder / "store")
    data.mkdir()
    (data / "1.txt").write_bytes(b"one")
    with Log(folder / "log", [log_key()], "example.org/crash") as log:
        entries.record(log, "policy", policy.parse(text).digest, entries.policy_payload(text))
        one = sign(data, signer, About(dataset="data"), out=folder / "data.sig")
        entries.record(log, "sign", one.statement.digest, one.bundle)
        entries.record(log, "approve", one.statement.digest, entries.approval(one.statement.digest, policy.parse(text).digest, other))
        entries.record(log, "promote", one.statement.digest)
    first = store.snapshot(data).id
    store.attach(first, one.bundle)
    store.switch("main", first)
    (data / "2.txt").write_bytes(b"two")
    store.switch("main", store.snapshot(data).id)
    return first


COMMANDS = {"sign": "sign data --previous data.sig --key ci.pem --log log --log-private-key log.pem --threads 1",
            "rollback": "rollback main --to VERSION --store store --public-key ci.pub --log log --log-private-key log.pem"}


def command(verb, folder):
    """The command line of `verb`; VERSION is the first one stored."""
    return COMMANDS[verb].replace("VERSION", (folder / "first").read_text())


def verb_scenario(verb):
    """The command itself, from its first change of the disk to its end."""
    def scenario(folder, disk, promise):
        from bezoar.cli.main import run as bezoar
        from bezoar.provenance.disk import DISK

        os.chdir(folder)
        os.environ["BEZOAR_STATE"] = str(folder / "state")
        (folder / "first").write_text(desk(folder))
        (folder / "ready").touch()
        with open(os.devnull, "w") as quiet:
            os.dup2(quiet.fileno(), 1)
            os.dup2(quiet.fileno(), 2)
        DISK.__class__ = Faulty  # every part of provenance holds this one object
        DISK.__dict__ = disk.__dict__
        try:
            bezoar(command(verb, folder).split())
        except SystemExit as stopped:
            if stopped.code:
                raise
            promise([verb])

    return scenario


SCENARIOS |= {verb: verb_scenario(verb) for verb in COMMANDS}


def child(scenario, folder, mode, at, pipe):
    def promise(what):
        os.write(pipe, json.dumps(what).encode() + b"\n")

    disk = Faulty(mode, at)
    ended = "done"
    try:
        SCENARIOS[scenario](folder, disk, promise)
    except BaseException as error:  # noqa: BLE001
        ended = f"{type(error).__name__}: {error}"
    os.write(pipe, json.dumps({"ended": ended, "hit": disk.hit, "calls": disk.calls}).encode() + b"\n")
    os._exit(0)


def run(scenario, folder, mode, at):
    folder.mkdir(parents=True, exist_ok=True)
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(reader)
        child(scenario, folder, mode, at, writer)
    os.close(writer)
    if mode == "random":
        if at % 3:  # two of three are killed at work, one while it opens
            select.select([reader], [], [], 20)
        time.sleep(at / 1e6)
        os.kill(pid, signal.SIGKILL)
    data = b""
    while piece := os.read(reader, 1 << 16):
        data += piece
    os.close(reader)
    os.waitpid(pid, 0)
    rows = [json.loads(row) for row in data.splitlines()]
    last = rows[-1] if rows and isinstance(rows[-1], dict) else {"ended": "killed", "hit": True, "calls": -1}
    return {"at": at, "promised": [r for r in rows if not isinstance(r, dict)], **last}


def main():
    import bezoar.provenance.ledger  # before any fork, so that a child is killed at work and not at import
    if sys.argv[1] in COMMANDS:
        import bezoar.cli.main
        import bezoar.cli.sign
        import bezoar.cli.versions  # noqa: F401

    scenario, base, mode, first, step = sys.argv[1], Path(sys.argv[2]), sys.argv[3], int(sys.argv[4]), int(sys.argv[5])
    if mode == "count":
        print(json.dumps(run(scenario, base, "count", -1)))
        return
    if mode == "random":
        for k in range(first):
            print(json.dumps(run(scenario, base, "random", 2000 + (k * 7919) % step)), flush=True)
        return
    at = first
    while True:
        done = run(scenario, base / str(at), mode, at)
        if not done["hit"]:
            return
        print(json.dumps(done), flush=True)
        at += step


if __name__ == "__main__":
    main()
