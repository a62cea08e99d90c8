"""What `bezoar attack` wrote is recognised as declared poison: by truth.json, and without it by a mark in the file where the format has room."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from healthy_data import MAKERS, folder_of, hf_folder, parquet_file

from bezoar import api, planting
from bezoar.core.ability import Reading
from bezoar.core.dataset import Dataset
from bezoar.core.inputs import Images, Table, Texts
from bezoar.intake.door import SAYS_ITSELF

NO_ROOM = (".csv", ".tsv", ".gz", ".jsonl")
"""Formats that hold rows and nothing else."""


def attacked(original: Path, out: Path) -> Path:
    """A poisoned copy; its contents change, not only its labels."""
    data = api.source_of(original).open(original, Reading())
    name, given = {Images: ("badnets", {"size": 2}), Texts: ("text-word", {}), Table: ("table-out-of-bounds", {})}[type(data.inputs)]
    done = planting.attack(name, original, out, seed=3, rate=0.1, **given)
    assert 2 <= len(done.truth["poisoned"]) <= 3
    return done.out


def read(path: Path) -> Dataset:
    return api.source_of(path).open(path, Reading())


@pytest.fixture(params=sorted(MAKERS))
def original(request, tmp_path):
    (tmp_path / "in").mkdir()
    return MAKERS[request.param](tmp_path / "in")


def test_with_and_without_its_truth(original, tmp_path):
    assert read(original).declared == ()
    bad = attacked(original, tmp_path / "out")
    assert "truth.json says that the attack" in read(bad).declared[0]
    (tmp_path / "out" / "truth.json").unlink()
    told = read(bad).declared
    if original.name.endswith(NO_ROOM):
        assert told == (), "nothing but rows fits into this format"
    elif original.is_dir() and not (original / "state.json").exists() and not (original / "dataset_dict.json").exists():
        assert len(told) == 1 and "images say themselves" in told[0]
    else:
        assert told[0] == SAYS_ITSELF


def test_a_few_marked_pictures_in_another_folder(tmp_path):
    bad = attacked(folder_of(tmp_path), tmp_path / "out")
    other = tmp_path / "other" / "cat"
    other.mkdir(parents=True)
    rng = np.random.default_rng(0)
    from PIL import Image

    for i in range(20):
        Image.fromarray(rng.integers(0, 256, (8, 8, 3), np.uint8)).save(other / f"{i}.png")
    assert read(other.parent).declared == ()
    fresh = sorted({p.name for p in bad.rglob("*.png")} & {p.name for p in (tmp_path / "photos").rglob("*.png")})
    raws = {p.name: p.read_bytes() for p in bad.rglob("*.png")}
    marked = [n for n in fresh if b"bezoar-poison" in raws[n]]
    shutil.copyfile(next(p for p in bad.rglob(marked[0])), other / "stray.png")
    assert read(other.parent).declared == ("1 image says itself that an attack planted it",)


@pytest.mark.parametrize(("suffix", "says"), [("png", True), ("jpg", True), ("bmp", False)])
def test_relabelled_pictures_say_so_where_their_format_has_room_and_keep_their_pixels(suffix, says, tmp_path):
    from PIL import Image

    rng = np.random.default_rng(0)
    for i in range(40):
        place = tmp_path / "in" / ("cat", "dog")[i % 2]
        place.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (8, 8, 3), np.uint8)).save(place / f"{i}.{suffix}")
    clean = read(tmp_path / "in")
    done = planting.attack("label-flip", tmp_path / "in", tmp_path / "out", seed=3, rate=0.1)
    moved = tmp_path / "other" / "bird"
    moved.mkdir(parents=True)
    for name in done.truth["poisoned"]:
        shutil.copyfile(done.out / name, moved / Path(name).name)
    alone = read(moved.parent)
    assert alone.declared == ((f"{len(alone)} images say themselves that an attack planted them",) if says else ())
    before = {Path(n).name: p.tobytes() for n, p in zip(clean.ids, clean.inputs.dense(), strict=True)}
    assert all(before[Path(n).name] == p.tobytes() for n, p in zip(alone.ids, alone.inputs.dense(), strict=True))


def test_pictures_in_arrow_carry_the_mark_each(tmp_path):
    bad = attacked(hf_folder(tmp_path, pictures=True), tmp_path / "out")
    (tmp_path / "out" / "truth.json").unlink()
    told = read(bad).declared
    assert told[0] == SAYS_ITSELF and "images say themselves that an attack planted them" in told[1]


def test_the_mark_outlives_a_subset_and_keeps_other_metadata(tmp_path):
    import pyarrow.parquet as pq

    bad = attacked(parquet_file(tmp_path), tmp_path / "out")
    metadata = pq.read_schema(bad).metadata
    assert metadata[b"made"] == b"by us" and b"bezoar-poison" in metadata
    source, data = api.source_of(bad), read(bad)
    source.write(bad, data, np.arange(10), tmp_path / "part" / "t.parquet", Reading())
    assert read(tmp_path / "part" / "t.parquet").declared == (SAYS_ITSELF,)


def test_a_subset_of_a_marked_npz_is_marked_and_numpy_reads_it(tmp_path):
    bad = attacked(MAKERS["npz-grey"](tmp_path), tmp_path / "out")
    source, data = api.source_of(bad), read(bad)
    source.write(bad, data, np.arange(10), tmp_path / "part" / "p.npz", Reading())
    assert read(tmp_path / "part" / "p.npz").declared == (SAYS_ITSELF,)
    with np.load(tmp_path / "part" / "p.npz", allow_pickle=False) as kept:
        assert len(kept["x"]) == 10
    clean = read(next(tmp_path.glob("*.npz")))
    source.write(next(tmp_path.glob("*.npz")), clean, np.arange(10), tmp_path / "clean" / "p.npz", Reading())
    assert read(tmp_path / "clean" / "p.npz").declared == ()


def test_a_scan_says_so(tmp_path):
    bad = attacked(folder_of(tmp_path), tmp_path / "out")
    (tmp_path / "out" / "truth.json").unlink()
    report = api.scan(bad, detectors=["integrity"])
    assert any("images say themselves that an attack planted them" in note for note in report.notes)
