"""Hostile model files: none is opened as safe, none runs, and the reader stays within its bounds."""

import contextlib
import json
import os
import pickle
import random
import shutil
import subprocess
import sys
import time

import pytest
from traced import judged, trace

from bezoar.core.errors import BezoarError, Refused
from bezoar.core.limits import Limits
from bezoar.intake.models import inspect, open_weights, read_weights
from bezoar.intake.models.parsing import Nowhere, most_bytes, parse
from bezoar.testing.hostile.kit import marker
from bezoar.testing.hostile.models import ACTIVE, MODEL_CASES
from bezoar.testing.hostile.models.kit import GOOD, torch_legacy, torch_zip

APART = ("call-os-mkdir", "bare-os-mkdir", "legacy-stack-global", "stream-only-sets", "stream-lists-nested-deep", "zip-bomb", "format-keras-lambda",
         "safetensors-header-of-deep-json", "npy-objects", "template-class", "a-folder-with-a-pickle", "format-one-byte", "bare-protocol-0",
         "format-pickle-before-a-text")


def fits(case, verdict, reasons):
    right = verdict != "safe" if case.verdict == "either" else verdict == case.verdict
    return right and case.says in " ".join(reasons) and bool(reasons)


def test_there_are_many():
    assert len(MODEL_CASES) >= 300


@pytest.mark.parametrize("name", sorted(ACTIVE))
def test_the_payloads_are_live(name, tmp_path):
    """What is refused below does run where the standard library reads it: the marker proves something."""
    raw = ACTIVE[name](tmp_path)
    with contextlib.suppress(Exception, SystemExit):
        pickle.loads(raw)
    assert marker(tmp_path).exists()


@pytest.mark.parametrize("name", sorted(n for n, b in MODEL_CASES.items() if not n.startswith("a-folder")))
def test_case(name, tmp_path):
    case = MODEL_CASES[name](tmp_path)
    raw = case.path.read_bytes()
    assert len(raw) <= 1 << 20
    before = time.process_time()
    told = parse(memoryview(raw), case.path.suffix.lower(), Limits(), Nowhere(most_bytes(len(raw), Limits())))
    assert fits(case, told["verdict"], told["reasons"]), told
    assert not marker(tmp_path).exists(), "it was run"
    assert time.process_time() - before < 10
    assert not told["arrays"]
    assert all("\n" not in r and len(r) < 700 for r in told["reasons"])


@pytest.mark.parametrize("name", APART)
def test_case_apart(name, tmp_path):
    case = MODEL_CASES[name](tmp_path)
    found = inspect(case.path)
    assert fits(case, found.verdict, found.reasons), found
    assert not marker(tmp_path).exists(), "it was run"
    if not case.path.is_dir():
        with pytest.raises(BezoarError) as caught:
            open_weights(case.path)
        assert isinstance(caught.value, Refused) == (found.verdict == "refused")
        assert caught.value.advice and "\n" not in str(caught.value) and len(str(caught.value)) < 900


LOCKED = """
import json, os, sys
from bezoar.core.limits import Limits
from bezoar.intake.models import apart, cage
from bezoar.intake.models.parsing import Nowhere, most_bytes, parse
files = [(p, open(p, "rb").read()) for p in json.load(open(sys.argv[1]))]
apart.warm(memoryview(b"a text"))
cage.lock()
told = {p: parse(memoryview(raw), os.path.splitext(p)[1].lower(), Limits(), Nowhere(most_bytes(len(raw), Limits())))["verdict"] for p, raw in files}
raw = json.dumps(told).encode()
while raw:
    raw = raw[os.write(1, raw):]
os._exit(0)
"""


def test_behind_the_lock_nothing_is_missing(tmp_path):
    """Whatever a parser imports late could not be imported there: each case ends as it does outside."""
    wanted = {}
    for name, build in MODEL_CASES.items():
        if not name.startswith("stream-only") and "bomb" not in name and "sets-and" not in name:
            case = build(tmp_path / name)
            if not case.path.is_dir():
                wanted[str(case.path)] = case.verdict
    (tmp_path / "list").write_text(json.dumps(list(wanted)))
    done = subprocess.run([sys.executable, "-c", LOCKED, str(tmp_path / "list")], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert set(told) == set(wanted)
    assert not {p: v for p, v in told.items() if v == "safe" or wanted[p] not in (v, "either")}


@pytest.mark.slow
def test_every_case_apart_within_its_bounds(tmp_path):
    for name, build in MODEL_CASES.items():
        folder = tmp_path / name
        case = build(folder)
        spent = measured(case.path)
        assert fits(case, spent["verdict"], spent["reasons"]), (name, spent)
        assert not marker(folder).exists(), name
        assert spent["seconds"] <= 10 and spent["mb"] <= 512, (name, spent)


MEASURE = """
import json, resource, sys
from bezoar.intake.models import inspect, read_weights
from pathlib import Path
path = Path(sys.argv[1])
found = inspect(path) if path.is_dir() else read_weights(path)
used = resource.getrusage(resource.RUSAGE_CHILDREN)
print(json.dumps({"verdict": found.verdict, "reasons": found.reasons, "seconds": used.ru_utime + used.ru_stime, "mb": used.ru_maxrss / 1024}))
"""


def measured(path):
    done = subprocess.run([sys.executable, "-c", MEASURE, str(path)], capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


def test_flipped_bytes_end_in_a_verdict():
    """Any damage gives an answer; nothing but declared errors comes out."""
    rng = random.Random(100)
    for whole in (torch_zip(), torch_legacy(), GOOD):
        for _ in range(400):
            raw = bytearray(whole)
            for _ in range(rng.randint(1, 3)):
                raw[rng.randrange(len(raw))] = rng.randrange(256)
            told = parse(memoryview(bytes(raw)), ".pt", Limits(), Nowhere(1 << 20))
            assert told["verdict"] in ("safe", "refused", "inconclusive") and (told["reasons"] or told["verdict"] == "safe")


def test_a_flip_in_the_archive_is_never_overlooked():
    """Every byte of a torch zip is a checksum's, a header's or a name's: what is still opened has the same content."""
    whole = torch_zip()
    opened = []
    for place in range(len(whole)):
        raw = whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1:]
        told = parse(memoryview(raw), ".pt", Limits(), Nowhere(1 << 20))
        if told["verdict"] == "safe":
            opened.append(place)
            assert told["arrays"] == [["weight", "<f4", [4], 0]]
    assert len(opened) < len(whole) / 4, "times, versions and attributes alone are free"


def test_the_cage_holds(tmp_path):
    """Code that took over the child could open nothing, connect nowhere, start nothing."""
    if sys.platform != "linux" or os.uname().machine not in ("x86_64", "aarch64"):
        pytest.skip("no filter of system calls on this system")
    code = f"""
import os, socket, subprocess
import _posixsubprocess
from bezoar.intake.models import cage
if not cage.lock(): raise SystemExit(7)
said = []
for what in (lambda: open({str(tmp_path / "x")!r}, "w"), lambda: open("/etc/passwd"), lambda: os.mkdir({str(tmp_path / "y")!r}), lambda: socket.socket(),
             lambda: os.fork(), lambda: os.execv("/bin/true", ["true"]), lambda: os.kill(os.getppid(), 0), lambda: os.unlink({str(tmp_path)!r})):
    try:
        what()
        said.append("done")
    except OSError as error:
        said.append(str(error.errno))
os.write(1, " ".join(said).encode())
os._exit(0)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    if done.returncode == 7:
        pytest.skip("this system sets no filter")
    assert done.stdout == " ".join(["1"] * 8), (done.stdout, done.stderr)
    assert not list(tmp_path.iterdir())


@pytest.mark.skipif(not shutil.which("strace"), reason="needs strace")
def test_side_effects_under_strace(tmp_path):
    """No program but our own interpreter, no connection, no file opened for writing outside scratch, nothing at all once locked."""
    names = ["call-os-mkdir", "bare-frame-of-protocol-4", "legacy-inst", "format-skops", "npz-objects", "template-globals",
             "bare-protocol-0", "format-pickle-before-a-text"]
    paths = [str(MODEL_CASES[n](tmp_path / "in" / n).path) for n in names]
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    done = trace(paths, tmp_path / "log", scratch)
    if done is None:
        pytest.skip("strace may not trace here")
    assert done.returncode == 0, done.stderr
    wrong, locked = judged(tmp_path / "log", scratch)
    assert not wrong
    assert locked == len(names) or sys.platform != "linux"
    assert not any(marker(tmp_path / "in" / n).exists() for n in names)
    assert not list(scratch.iterdir())


def test_a_child_that_dies_is_said(tmp_path, monkeypatch):
    path = tmp_path / "m.pt"
    path.write_bytes(torch_zip())
    monkeypatch.setattr("bezoar.intake.models.apart.BOOT", "import os; os.abort()")
    found = read_weights(path)
    assert found.verdict == "inconclusive" and "ended the reader" in found.reasons[0]


@pytest.mark.parametrize("answer", ["{}", "[" * 100_000, '{"verdict": "safe", "kind": "torch", "reasons": [], "extra": {}, "arrays": [["w", "|O", [1], 0]]}',
                                    '{"verdict": "safe", "kind": "torch", "reasons": [], "extra": {}, "arrays": [["w", "<f8", [9999999], 0]]}',
                                    '{"verdict": "safe", "kind": "torch", "reasons": [], "extra": {}, "arrays": [["w", "<f8", [-1], 0]]}',
                                    '{"verdict": "safe", "kind": "torch", "reasons": [], "extra": {}, "arrays": [["w", "<f8", [0, 4611686018427387904], 0]]}'])
def test_a_child_that_was_taken_over_cannot_name_objects(answer, tmp_path, monkeypatch):
    path = tmp_path / "m.pt"
    path.write_bytes(torch_zip())
    monkeypatch.setattr("bezoar.intake.models.apart.BOOT", f"import os, sys; os.write(int(sys.argv[4]), {answer.encode()!r}); os.write(int(sys.argv[3]), b'12345678')")
    assert read_weights(path).verdict == "inconclusive"


def test_a_link_and_a_pipe(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "empty.pt").write_bytes(b"")
    for path in (tmp_path / "pipe", tmp_path / "empty.pt", tmp_path / "gone.pt"):
        with pytest.raises(BezoarError) as caught:
            read_weights(path)
        assert caught.value.advice
