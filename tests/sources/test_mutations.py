"""Healthy files with bytes flipped, cut, doubled or inserted: a dataset comes out, or one of our errors with advice. Nothing else."""

import os

import numpy as np
import pytest
from healthy_data import MAKERS

from bezoar import api
from bezoar.core.ability import Reading
from bezoar.core.errors import BezoarError
from bezoar.core.limits import Limits

SINGLE = sorted(k for k in MAKERS if not k.startswith(("folder", "hf")))
ROUNDS = int(os.environ.get("BEZOAR_FUZZ_ROUNDS", "30"))
SMALL = Limits(max_file_bytes=1 << 20, max_produced_bytes=1 << 28, max_pixels=1 << 20)


def mutated(raw: bytes, rng) -> bytes:
    raw = bytearray(raw)
    for _ in range(int(rng.integers(1, 6))):
        place = int(rng.integers(0, len(raw)))
        kind = rng.integers(0, 6)
        if kind == 0:
            raw[place] = int(rng.integers(0, 256))
        elif kind == 1:
            raw[place] ^= 1 << int(rng.integers(0, 8))
        elif kind == 2:
            del raw[place:place + int(rng.integers(1, 40))]
        elif kind == 3:
            raw[place:place] = raw[place:place + int(rng.integers(1, 40))]
        elif kind == 4:
            raw[place:place] = rng.integers(0, 256, int(rng.integers(1, 9)), np.uint8).tobytes()
        else:
            raw[place:place + 4] = bytes([0xFF, 0xFF, 0xFF, 0x7F])
        raw = raw or bytearray(b"x")
    return bytes(raw)


def assert_one_line(error):
    assert len(str(error).splitlines()) == 1


def opened(path):
    """Whether a dataset came out; any error that is not ours is raised, and so is one of several lines."""
    try:
        data = api.load(path, reading=Reading(limits=SMALL))
        data.inputs.row_keys()
    except BezoarError as error:
        assert_one_line(error)
        return False
    return len(data) > 0


@pytest.mark.parametrize("name", SINGLE)
def test_files(tmp_path, name):
    (tmp_path / "in").mkdir()
    original = MAKERS[name](tmp_path / "in")
    raw = original.read_bytes()
    rng = np.random.default_rng(len(name))
    for k in range(ROUNDS if name != "parquet" else ROUNDS // 10):
        bad = tmp_path / f"{k}{''.join(original.suffixes)}"
        bad.write_bytes(mutated(raw, rng))
        opened(bad)
        bad.unlink()


@pytest.mark.parametrize("name", ["folder", "folder-jpg", "hf", "hf-pictures"])
def test_folders(tmp_path, name):
    original = MAKERS[name](tmp_path)
    files = sorted(p for p in original.rglob("*") if p.is_file())
    rng = np.random.default_rng(1)
    for _ in range(ROUNDS):
        victim = files[int(rng.integers(0, len(files)))]
        raw = victim.read_bytes()
        victim.write_bytes(mutated(raw, rng))
        opened(original)
        victim.write_bytes(raw)
    assert opened(original)
