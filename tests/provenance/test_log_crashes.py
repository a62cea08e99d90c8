"""Kill, fail or lose at every single disk call: what was promised is there, the log opens by itself, and it verifies."""

import contextlib
import importlib.util
import json
import os
import random
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from bezoar.cli.main import run as bezoar
from bezoar.core.errors import BezoarError
from bezoar.provenance import entries, inspection, ledger, replay, signing, statement
from bezoar.provenance.disk import Disk, DiskFailed
from bezoar.provenance.ledger import Log
from bezoar.provenance.notes import Signer
from bezoar.provenance.versions import Store

DRIVER = Path(__file__).with_name("crash_driver.py")
_spec = importlib.util.spec_from_file_location("crash_driver", DRIVER)
driver = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(driver)

KEY = driver.log_key()
LOG = [Signer("example.org/crash", KEY.public)]


def drive(scenario, folder, mode, first=1, step=1):
    done = subprocess.run([sys.executable, "-W", "ignore", DRIVER, scenario, folder, mode, str(first), str(step)], capture_output=True, text=True,
                          check=False, timeout=280)
    assert done.returncode == 0, done.stderr
    return [json.loads(row) for row in done.stdout.splitlines()]


def check_log(folder, promised):
    """Reopens, counts, verifies; returns how long opening took, seconds."""
    started = time.perf_counter()
    with Log(folder, [KEY], "example.org/crash") as log:
        took = time.perf_counter() - started
        assert len(log) >= (promised[-1] + 2 if promised else 0)
        log.append(b"after the crash")
    inspection.inspect(folder, LOG)
    _, reader = ledger.read(folder, LOG)
    for start in promised:
        assert reader.entry(start).startswith((b"first", b"third")), start
        assert reader.entry(start + 1).startswith((b"second", b"fourth"))
    assert not any(folder.rglob("journal-*"))
    return took


MODES = ["kill", "killed", "eio", "enospc", "short"]


@pytest.mark.parametrize(("mode", "first", "step"), [*[(m, k + 1, 6) for k, m in enumerate(MODES)],
                                                     *[pytest.param(m, 1, 1, marks=pytest.mark.slow) for m in MODES]])
def test_faults_at_every_call_lose_nothing_that_was_promised(tmp_path, mode, first, step):
    """Every sixth call here, another one in each mode; every call (more than 400 injections) in the slow run and in the benchmark."""
    runs = drive("log", tmp_path, mode, first, step)
    assert len(runs) >= 80 // step
    assert [r["at"] for r in runs] == list(range(first, first + step * len(runs), step))
    for r in runs:
        if mode in ("eio", "enospc"):
            assert r["ended"] == "done" or r["ended"].startswith("DiskFailed"), r
        assert check_log(tmp_path / str(r["at"]) / "log", r["promised"]) <= 5


FEW = [*[(v, m, k + 1, 7) for v in ("sign", "rollback") for k, m in enumerate(MODES)],
       *[pytest.param(v, m, 1, 1, marks=pytest.mark.slow) for v in ("sign", "rollback") for m in MODES]]


@pytest.mark.parametrize(("verb", "mode", "first", "step"), FEW)
def test_a_verb_and_its_entry_do_not_come_apart(tmp_path, verb, mode, first, step, capfd, monkeypatch):
    """Killed or failing anywhere: what took effect is logged, and the same command again ends well and leaves no fault behind."""
    runs = drive(verb, tmp_path, mode, first, step)
    assert len(runs) >= 30 // step, runs
    for r in runs:
        folder = tmp_path / str(r["at"])
        monkeypatch.chdir(folder)
        monkeypatch.setenv("BEZOAR_STATE", str(folder / "state"))
        if mode in ("eio", "enospc"):
            assert r["ended"] == "done" or r["ended"] == f"SystemExit: {int(DiskFailed.exit_code)}", r
        with Log("log", [KEY]):
            pass  # recovers
        assert took_effect(verb) <= logged(verb), r
        assert took_effect(verb) or not r["promised"], r
        before = logged(verb)
        with pytest.raises(SystemExit) as stopped:
            bezoar(driver.command(verb, folder).split())
        if verb == "sign" and took_effect(verb) and before and stopped.value.code:
            assert "--previous" in capfd.readouterr().err  # it had been done: the command names itself as its own previous
        else:
            assert stopped.value.code == 0, (r, capfd.readouterr().err)
        assert took_effect(verb) and logged(verb)
        inspection.inspect("log", LOG)
        done = replay.replay("log", ledger.read("log", LOG)[1])
        assert not done.faults and not done.gaps, (r, done)
        assert not [p for p in folder.glob(".*") if p.name.endswith(".waiting")]


def took_effect(verb):
    """Whether the bundle of version 2 stands in its place, or `main` points to the first version again."""
    if verb == "rollback":
        return Store("store").ref("main").version == Path("first").read_text()
    return statement.parse(signing.read_signature("data.sig").payload).about.version >= 2


def logged(verb):
    reader = ledger.read("log", LOG)[1]
    held = [entries.parse(reader.entry(i)) for i in range(4, reader.size)]
    if verb == "sign" and took_effect(verb):
        return any(e.subject == statement.parse(signing.read_signature("data.sig").payload).digest for e in held if e.kind == "sign")
    return any(e.kind == verb for e in held)


def test_kill_at_any_moment_again_and_again_on_one_log(tmp_path):
    """The benchmark does 500 of these."""
    runs = drive("long", tmp_path, "random", 25, 30_000)
    assert sum(bool(r["promised"]) for r in runs) >= 5
    everything = [start for r in runs for start in r["promised"]]
    assert everything == sorted(everything) and len(set(everything)) == len(everything)
    check_log(tmp_path / "log", everything)


class Cut(BaseException):
    pass


class Losing(Disk):
    """A disk whose cache is lost at call number `at`: only flushed bytes and flushed names are sure to survive, others may or may not."""

    def __init__(self, rng, at):
        self.rng, self.at, self.calls = rng, at, 0
        self.files = {}  # inode -> [bytes now, bytes flushed]
        self.handles = {}  # descriptor -> inode or folder
        self.names, self.kept = {}, {}  # path -> inode, now and flushed
        self.folders, self.kept_folders = set(), set()
        self.next = 0

    def _step(self):
        self.calls += 1
        if self.calls >= self.at:
            raise Cut

    def open(self, path, flags, mode=0o644):
        self._step()
        handle = super().open(path, flags, mode)
        path = str(path)
        if flags & os.O_DIRECTORY:
            self.handles[handle] = path
        else:
            if path not in self.names:
                self.next += 1
                self.names[path], self.files[self.next] = self.next, [b"", b""]
            elif flags & os.O_TRUNC:
                self.files[self.names[path]][0] = b""
            self.handles[handle] = self.names[path]
        return handle

    def write(self, handle, data):
        self._step()
        count = super().write(handle, data)
        self.files[self.handles[handle]][0] += data[:count]
        return count

    def fsync(self, handle):
        self._step()
        what = self.handles[handle]
        if isinstance(what, str):
            for table, kept in ((self.names, self.kept),):
                gone = [p for p in kept if os.path.dirname(p) == what and p not in table]
                for path in gone:
                    del kept[path]
                kept.update({p: i for p, i in table.items() if os.path.dirname(p) == what})
            self.kept_folders |= {f for f in self.folders if os.path.dirname(f) == what}
        else:
            self.files[what][1] = self.files[what][0]

    def replace(self, old, new):
        self._step()
        super().replace(old, new)
        self.names[str(new)] = self.names.pop(str(old))

    def unlink(self, path):
        self._step()
        super().unlink(path)
        self.names.pop(str(path), None)

    def mkdir(self, path):
        self._step()
        super().mkdir(path)
        self.folders.add(str(path))

    def after_power_cut(self, base, out):
        """The folder as it may stand after the cut."""
        names = dict(self.kept)
        for path in set(self.names) | set(self.kept):  # an unflushed change of a name happened or not
            if self.names.get(path) != self.kept.get(path) and self.rng.random() < 0.5:
                names.pop(path, None)
                if path in self.names:
                    names[path] = self.names[path]
        for path, inode in names.items():
            if not any(path.startswith(f + "/") for f in self.kept_folders):
                continue
            now, flushed = self.files[inode]
            data = flushed
            if now != flushed and self.rng.random() < 0.7:
                data = now[:self.rng.randrange(len(now) + 1)] if now.startswith(flushed) or not flushed else flushed
                data = data if len(data) >= len(flushed) else flushed
            place = out / os.path.relpath(path, base)
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(data)


def test_power_cuts_lose_only_what_was_not_promised(tmp_path):
    whole = Losing(random.Random(0), 1 << 60)
    run_log(tmp_path / "count", whole)
    assert whole.calls > 80
    for k in range(50):
        rng = random.Random(k)
        base, out = tmp_path / f"b{k}", tmp_path / f"o{k}"
        disk = Losing(rng, rng.randrange(1, whole.calls + 2))
        promised = run_log(base, disk)
        out.mkdir()
        disk.after_power_cut(base, out)
        if promised or (out / "log/checkpoint").exists():
            check_log(out / "log", promised)


def run_log(base, disk):
    promised = []
    base.mkdir()
    disk.folders.add(str(base))
    disk.kept_folders.add(str(base))
    with contextlib.suppress(Cut, BezoarError):
        driver.log_scenario(base, disk, promised.append)
    return promised


def test_the_shim_itself_loses_what_is_not_flushed(tmp_path):
    """The test above could not fail on a shim that keeps everything."""
    class Careless(Losing):
        def fsync(self, handle):
            self._step()

    lost = 0
    for k in range(12):
        base, out = tmp_path / f"b{k}", tmp_path / f"o{k}"
        disk = Careless(random.Random(k), 60)
        promised = run_log(base, disk)
        out.mkdir()
        disk.after_power_cut(base, out)
        try:
            check_log(out / "log", promised)
        except (AssertionError, BezoarError, FileNotFoundError):
            lost += 1
    assert lost >= 6


def test_after_an_error_nothing_more_is_promised(tmp_path):
    """A failed flush is never tried again on the same file: its result would mean nothing."""
    class Failing(Disk):
        def fsync(self, handle):
            if self.armed:
                self.armed = False
                raise OSError(5, "Input/output error")
            super().fsync(handle)

    disk = Failing()
    disk.armed = False
    log = Log(tmp_path / "log", [KEY], "example.org/crash", disk)
    assert log.append(b"one") == 0
    disk.armed = True
    for _ in range(3):
        with pytest.raises(BezoarError, match="could not be written"):
            log.append(b"two")
    with pytest.raises(BezoarError):
        log.checkpoint()
    log.close()
    shutil.rmtree(tmp_path / "log/tile", ignore_errors=True)
    with Log(tmp_path / "log", [KEY]) as again:
        assert len(again) in (1, 2)
