"""Hostile and broken model files, one function each, none larger than 1 MB.

Every function in `MODEL_CASES` writes one file (or folder) below the folder it is given and returns a `ModelCase`. None may ever be
opened as safe. What would run, were it run, makes the folder `marker(folder)`: its absence is the proof.
"""

from bezoar.testing.hostile.models import calls, containers, exports, forests, formats, scripts, streams
from bezoar.testing.hostile.models.kit import ACTIVE, MODEL_CASES, ModelCase

__all__ = ["ACTIVE", "MODEL_CASES", "ModelCase", "calls", "containers", "exports", "forests", "formats", "scripts", "streams"]
