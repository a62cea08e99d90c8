"""Folders of pictures: every mode, ids, labels, what is listed, change during the scan, metadata."""

import os
import time

import numpy as np
import pytest
from PIL import Image

from bezoar.core.ability import Reading
from bezoar.core.errors import LimitExceeded, UnreadableInput, UsageError
from bezoar.core.limits import Limits
from bezoar.sources import folder as module
from bezoar.sources.folder import Folder, listed
from bezoar.testing.hostile import picture_folder

GREY = np.arange(64, dtype=np.uint8).reshape(8, 8) * 3
RGB = np.stack([GREY, 255 - GREY, GREY // 2], axis=-1)


def put(root, name, image, **options):
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path, **options)


def test_every_mode_becomes_rgb(tmp_path):
    grey3 = np.repeat(GREY[..., None], 3, axis=-1)
    alpha = np.dstack([RGB, np.full((8, 8), 7, np.uint8)])
    palette = Image.fromarray(RGB).quantize(256, dither=Image.Dither.NONE)
    expected = {"grey.png": (Image.fromarray(GREY), grey3), "rgb.png": (Image.fromarray(RGB), RGB), "rgba.png": (Image.fromarray(alpha), RGB),
                "16.png": (Image.fromarray(GREY.astype(np.uint16) * 257), grey3), "1.png": (Image.fromarray(GREY > 90), None),
                "la.png": (Image.fromarray(alpha[..., 2:].copy(), "LA"), np.repeat(alpha[..., 2:3], 3, axis=-1)),
                "p.png": (palette, np.asarray(palette.convert("RGB"))), "x.bmp": (Image.fromarray(RGB), RGB),
                "x.webp": (Image.fromarray(RGB), RGB), "x.tiff": (Image.fromarray(RGB), RGB), "x.ppm": (Image.fromarray(RGB), RGB),
                "float.tif": (Image.fromarray((GREY / 255).astype(np.float32)), grey3), "x.gif": (palette, np.asarray(palette.convert("RGB"))),
                "cmyk.jpg": (Image.fromarray(RGB).convert("CMYK"), None), "x.jpeg": (Image.fromarray(RGB), None)}
    for name, (image, _) in expected.items():
        put(tmp_path / "d", f"c/{name}", image, **({"lossless": True} if name.endswith("webp") else {}))
    data = Folder().open(tmp_path / "d", Reading())
    assert not data.unreadable
    assert len(data) == len(expected)
    for name, pixels in zip(data.ids, data.inputs.read(np.arange(len(data))), strict=True):
        assert pixels.shape == (8, 8, 3)
        assert pixels.dtype == np.uint8
        wanted = expected[name[2:]][1]
        if wanted is not None:
            assert np.array_equal(pixels, wanted), name
    told = " ".join(data.notes)
    assert "2 images carry an alpha channel" in told
    assert "2 images have 16 bits" in told


def test_ids_labels_and_order(tmp_path):
    for name in ("dog/b.png", "cat/z.png", "cat/deep/er/a.png", "loose.png"):
        put(tmp_path / "d", name, Image.fromarray(RGB))
    data = Folder().open(tmp_path / "d", Reading())
    assert data.ids.tolist() == ["cat/deep/er/a.png", "cat/z.png", "dog/b.png", "loose.png"]
    assert data.labels.classes == ("cat", "dog")
    assert data.labels.codes.tolist() == [0, 0, 1, -1]
    assert "1 images lie in no class folder" in " ".join(data.notes)
    assert Folder().open(tmp_path / "d", Reading(label="-")).labels is None


def test_splits_are_not_classes(tmp_path):
    for name in ("train/cat/a.png", "test/cat/b.png", "train/dog/c.png"):
        put(tmp_path / "d", name, Image.fromarray(RGB))
    assert Folder().open(tmp_path / "d", Reading()).labels.classes == ("cat", "dog")


def test_a_flat_folder_has_no_labels(tmp_path):
    put(tmp_path / "d", "a.png", Image.fromarray(RGB))
    data = Folder().open(tmp_path / "d", Reading())
    assert data.labels is None
    assert len(data) == 1


def test_sizes_differ(tmp_path):
    put(tmp_path / "d", "c/a.png", Image.fromarray(RGB))
    put(tmp_path / "d", "c/b.png", Image.fromarray(RGB[:5, :3]))
    data = Folder().open(tmp_path / "d", Reading())
    assert data.inputs.sizes.tolist() == [[8, 8], [5, 3]]
    assert not data.inputs.uniform


def test_small_uniform_sets_are_one_array(tmp_path):
    data = Folder().open(picture_folder(tmp_path), Reading())
    assert data.inputs.dense().shape == (6, 8, 8, 3)


@pytest.mark.parametrize("held", [0, 1 << 30])
def test_what_does_not_fit_is_decoded_again_and_must_not_change(tmp_path, monkeypatch, held):
    monkeypatch.setattr(module, "KEEP_BYTES", held)
    root = picture_folder(tmp_path, 40)
    data = Folder().open(root, Reading())
    rows = np.array([3, 30, 3])
    first = data.inputs.read(rows)
    fresh = data.fingerprint
    (root / data.ids[3]).write_bytes((root / data.ids[4]).read_bytes())
    if held:
        assert np.array_equal(data.inputs.read(rows)[0], first[0])
    else:
        with pytest.raises(UnreadableInput, match="changed during the scan"):
            data.inputs.read(rows)
        (root / data.ids[4]).unlink()
        with pytest.raises(UnreadableInput, match="now cannot"):
            data.inputs.read(np.array([4]))
    monkeypatch.setattr(module, "KEEP_BYTES", 1 << 30)
    assert Folder().open(picture_folder(tmp_path / "again", 40), Reading()).fingerprint == fresh


def test_a_file_that_changes_between_listing_and_reading(tmp_path, monkeypatch):
    root = picture_folder(tmp_path)
    real = module.listed

    def then_changed(path, limits):
        found = real(path, limits)
        victim = root / "cat" / "1.png"
        victim.write_bytes((root / "cat" / "3.png").read_bytes())
        os.utime(victim, ns=(1, 1))
        (root / "dog" / "0.png").unlink()
        return found

    monkeypatch.setattr(module, "listed", then_changed)
    data = Folder().open(root, Reading())
    assert len(data) == 4
    assert dict(data.unreadable)["cat/1.png"] == "changed while it was being read"
    assert "No such file" in dict(data.unreadable)["dog/0.png"]


def test_a_link_put_in_place_of_a_file_after_listing_is_not_followed(tmp_path, monkeypatch):
    root = picture_folder(tmp_path)
    real = module.listed

    def then_swapped(path, limits):
        found = real(path, limits)
        os.rename(root / "cat" / "1.png", tmp_path / "elsewhere.png")
        (root / "cat" / "1.png").symlink_to(tmp_path / "elsewhere.png")
        return found

    monkeypatch.setattr(module, "listed", then_swapped)
    data = Folder().open(root, Reading())
    assert [who for who, _ in data.unreadable] == ["cat/1.png"]


def test_limits(tmp_path):
    root = picture_folder(tmp_path)
    put(root, "cat/wide.png", Image.fromarray(np.zeros((4, 100, 3), np.uint8)))
    data = Folder().open(root, Reading(limits=Limits(max_pixels=300)))
    assert data.unreadable == (("cat/wide.png", "an image of 100 x 4 pixels, the limit is 300"),)
    with pytest.raises(LimitExceeded, match="more than 3 files"):
        Folder().open(root, Reading(limits=Limits(max_rows=3)))
    with pytest.raises(LimitExceeded, match="2 class folders"):
        Folder().open(root, Reading(limits=Limits(max_classes=1)))
    with pytest.raises(UnreadableInput, match="none of the 7 image files"):
        Folder().open(root, Reading(limits=Limits(max_pixels=3)))


def test_order_does_not_depend_on_the_file_system(tmp_path, monkeypatch):
    root = picture_folder(tmp_path, 30)
    (root / "note.txt").write_text("x")
    straight = listed(root, Limits())
    real = os.scandir
    monkeypatch.setattr(os, "scandir", lambda p: reversed(list(real(p))))
    assert listed(root, Limits()) == straight
    assert straight[2] == {".txt": 1}


def test_metadata_gives_origin(tmp_path):
    root = picture_folder(tmp_path)
    (root / "metadata.csv").write_text("file_name,vendor,user,camera\ncat/1.png,v1,ann,c9\ndog/0.png,v2,bob,c9\n")
    data = Folder().open(root, Reading(keep_columns=("camera",)))
    at = {name: i for i, name in enumerate(data.ids)}
    assert data.origin["source"][at["cat/1.png"]] == "v1"
    assert data.origin["contributor"][at["dog/0.png"]] == "bob"
    assert data.origin["camera"][at["dog/0.png"]] == "c9"
    assert data.origin["source"][at["cat/3.png"]] == ""
    assert "4 images are not in metadata.csv" in " ".join(data.notes)
    assert Folder().open(root, Reading(source="camera")).origin["source"][at["cat/1.png"]] == "c9"
    with pytest.raises(UsageError, match="no column 'nope'.*vendor"):
        Folder().open(root, Reading(source="nope"))
    (root / "metadata.csv").unlink()
    with pytest.raises(UsageError, match=r"no metadata\.csv"):
        Folder().open(root, Reading(source="vendor"))


def test_relabelled_pictures_move_and_never_collide(tmp_path):
    root = tmp_path / "d"
    for name, pixels in (("cat/a.png", RGB), ("dog/a.png", RGB[::-1]), ("cat/b.jpg", RGB), ("cat/sub/c.png", RGB)):
        put(root, name, Image.fromarray(np.ascontiguousarray(pixels)))
    source = Folder()
    data = source.open(root, Reading())
    changed = np.array([i in ("cat/a.png", "cat/b.jpg", "cat/sub/c.png") for i in data.ids])
    codes = np.where(changed, 1, data.labels.codes)
    moved = data.with_changes(codes=codes)
    rows = np.arange(4)
    ids = source.written_ids(root, moved, rows, Reading(), changed).tolist()
    assert ids == ["dog/a-2.png", "dog/b.jpg", "dog/sub/c.png", "dog/a.png"]
    source.write(root, moved, rows, tmp_path / "out", Reading(), changed)
    with Image.open(tmp_path / "out" / "dog" / "b.jpg") as after, Image.open(root / "cat" / "b.jpg") as before:
        np.testing.assert_array_equal(np.asarray(after), np.asarray(before), "only the label changed")
    assert Folder().open(tmp_path / "out", Reading()).ids.tolist() == sorted(ids)


def test_speed(tmp_path):
    rng = np.random.default_rng(0)
    root = tmp_path / "d"
    root.mkdir()
    for k in range(2):
        (root / str(k)).mkdir()
    for i in range(600):
        Image.fromarray(rng.integers(0, 256, (32, 32, 3), np.uint8)).save(root / str(i % 2) / f"{i}.{'jpg' if i % 2 else 'png'}")
    started = time.process_time()
    assert len(Folder().open(root, Reading())) == 600
    assert time.process_time() - started < 600 * 4e-4 * 3, "10,000 in 4 s, with room for a slow machine"


def test_hidden_pictures_are_named_because_a_training_run_may_read_them(tmp_path):
    for name in ("cat/1.png", "dog/1.png", "..dog/2.png", "cat/.2.png", ".git/objects.png/x", ".cache/notes.txt"):
        if name.endswith(".png"):
            put(tmp_path, name, Image.fromarray(RGB))
        else:
            (tmp_path / name).parent.mkdir(parents=True)
            (tmp_path / name).write_text("x")
    (tmp_path / ".git" / "objects.png").rename(tmp_path / ".git" / "objects")
    entries, refused, _ = listed(tmp_path, Limits())
    assert [e.name for e in entries] == ["cat/1.png", "dog/1.png"]
    assert sorted(n for n, why in refused if why.startswith("hidden")) == ["..dog", "cat/.2.png"]
