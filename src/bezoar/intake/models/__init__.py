"""Opening models that others made: their weights are read as data, in a child process with limits; nothing in them is run.

    read_weights(path)  arrays, kind, verdict, reasons       safe | refused | inconclusive, never an error of the file
    open_weights(path)  the same, or one clear error where the verdict is not safe
    inspect(path)       the static scan alone: what the file is, what it would run, what cannot be said
"""

from bezoar.intake.models.opening import inspect, open_weights, opened, read_weights
from bezoar.intake.models.verdicts import INCONCLUSIVE, REFUSED, SAFE, Inspection, Weights

__all__ = ["INCONCLUSIVE", "REFUSED", "SAFE", "Inspection", "Weights", "inspect", "open_weights", "opened", "read_weights"]
