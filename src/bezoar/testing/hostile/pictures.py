"""Picture folders with something in them that should not be there."""

from __future__ import annotations

import os
import zlib
from pathlib import Path

import numpy as np

from bezoar.testing.hostile.kit import (
    LISTED,
    READ,
    UNREADABLE,
    Case,
    case,
    picture_folder,
    png,
    png_bomb,
    png_chunk,
    put,
)


@case
def missing_path(folder: Path) -> Case:
    return Case(folder / "nowhere", UNREADABLE, "nowhere")


@case
def empty_folder(folder: Path) -> Case:
    (folder / "empty").mkdir(parents=True)
    return Case(folder / "empty", UNREADABLE, "no image files")


@case
def folder_of_other_files(folder: Path) -> Case:
    put(folder / "docs", "a.docx", b"x")
    return Case(folder / "docs", UNREADABLE, ".docx")


@case
def picture_bomb(folder: Path) -> Case:
    root = picture_folder(folder)
    put(root / "cat", "bomb.png", png_bomb())
    return Case(root, LISTED, "pixels")


@case
def picture_truncated(folder: Path) -> Case:
    root = picture_folder(folder)
    whole = png(np.random.default_rng(1).integers(0, 256, (64, 64, 3), np.uint8))
    put(root / "cat", "cut.png", whole[:len(whole) // 2])
    return Case(root, LISTED, "damaged")


@case
def picture_empty(folder: Path) -> Case:
    root = picture_folder(folder)
    put(root / "cat", "none.jpg", b"")
    return Case(root, LISTED, "not an image")


@case
def picture_that_is_html(folder: Path) -> Case:
    root = picture_folder(folder)
    put(root / "cat", "page.jpg", b"<html><script>alert(1)</script></html>")
    return Case(root, LISTED, "not an image")


@case
def picture_that_is_postscript(folder: Path) -> Case:
    """Pillow would hand PostScript to an interpreter; that format is not on our list."""
    root = picture_folder(folder)
    put(root / "cat", "run.png", b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n(/tmp/x) (w) file\nshowpage\n")
    return Case(root, LISTED, "not an image")


@case
def picture_with_text_bomb(folder: Path) -> Case:
    root = picture_folder(folder)
    whole = png(np.zeros((8, 8, 3), np.uint8))
    text = png_chunk(b"zTXt", b"k\0\0" + zlib.compress(bytes(100_000_000), 9))
    put(root / "cat", "text.png", whole[:33] + text + whole[33:])
    return Case(root, LISTED, "text.png")


@case
def symlink_out_of_the_folder(folder: Path) -> Case:
    root = picture_folder(folder)
    put(folder, "secret.png", png(np.zeros((8, 8, 3), np.uint8)))
    (root / "cat" / "link.png").symlink_to(folder / "secret.png")
    return Case(root, LISTED, "symbolic link")


@case
def symlinked_folder_loop(folder: Path) -> Case:
    root = picture_folder(folder)
    (root / "cat" / "again").symlink_to(root)
    return Case(root, LISTED, "symbolic link")


@case
def fifo_in_the_folder(folder: Path) -> Case:
    root = picture_folder(folder)
    os.mkfifo(root / "cat" / "pipe.png")
    return Case(root, LISTED, "not a regular file")


@case
def folder_too_deep(folder: Path) -> Case:
    root = picture_folder(folder)
    deep = root.joinpath("cat", *["d"] * 12)
    deep.mkdir(parents=True)
    (deep / "x.png").write_bytes(png(np.zeros((8, 8, 3), np.uint8)))
    return Case(root, LISTED, "deeper than")


@case
def names_with_control_characters(folder: Path) -> Case:
    root = picture_folder(folder)
    for name in ("new\nline.png", "\x1b[31mred.png", "‮gnp.exe.png", "<img src=x>.png", "=cmd.png"):
        put(root / "cat", name, png(np.zeros((8, 8, 3), np.uint8)))
    return Case(root, READ)
