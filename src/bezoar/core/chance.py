"""Where random numbers come from: one stream per name and seed, nobody's global state."""

from __future__ import annotations

import zlib

import numpy as np


def generator(seed: int, name: str) -> np.random.Generator:
    """A stream of its own for each ability: adding one ability never changes another's numbers.

    >>> float(generator(0, "spectra").random()) == float(generator(0, "spectra").random()) != float(generator(0, "labels").random())
    True
    """
    return np.random.default_rng(np.random.SeedSequence([seed, zlib.crc32(name.encode())]))
