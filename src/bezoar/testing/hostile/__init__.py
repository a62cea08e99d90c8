"""Hostile and broken inputs, one function each: for our tests, and for authors of sources.

Every function in `CASES` writes one case below the folder it is given and returns a `Case`: what to open, and what has to
happen. Nothing here is dangerous to have: the pickles only ever try to make a folder whose absence a test can assert.
"""

from bezoar.testing.hostile import archives, pictures, tables
from bezoar.testing.hostile.kit import (
    CASES,
    LIMIT,
    LISTED,
    READ,
    REFUSED,
    UNREADABLE,
    Case,
    marker,
    pickle_bytes,
    picture_folder,
    png,
    png_bomb,
)

__all__ = [
    "CASES",
    "LIMIT",
    "LISTED",
    "READ",
    "REFUSED",
    "UNREADABLE",
    "Case",
    "archives",
    "marker",
    "pickle_bytes",
    "picture_folder",
    "pictures",
    "png",
    "png_bomb",
    "tables",
]
