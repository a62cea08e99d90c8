"""The one tree of errors; every one carries a cause (the message) and a cure (``advice``).

    BezoarError
    |-- UsageError            the call is wrong: a parameter, a column, a combination      exit 2
    |-- UnreadableInput       the data cannot be read as what it claims to be              exit 2
    |   `-- Refused           opening it could run code, or leave the folder it lives in   exit 2
    |-- LimitExceeded         a stated limit was hit before an answer was reached          exit 3
    |-- Unavailable           a view that this subject cannot supply ("labels")            a Skipped line
    `-- AbilityFailed         an ability raised something foreign; the cause is kept       a Failed line
"""

from __future__ import annotations

from enum import IntEnum


class ExitCode(IntEnum):
    """What a pipeline reads. Findings win over gaps; gaps win over zero."""

    NOTHING = 0
    FINDINGS = 1
    WRONG_USE = 2
    INCOMPLETE = 3


class BezoarError(Exception):
    """Base of all errors that bezoar raises on purpose.

    >>> str(UsageError("no column 'lable'", advice="columns are: label, text"))
    "no column 'lable' (columns are: label, text)"
    """

    exit_code = ExitCode.WRONG_USE

    def __init__(self, message: str, *, advice: str = "") -> None:
        message = " ".join(message.splitlines())
        self.message = message
        self.advice = advice
        super().__init__(f"{message} ({advice})" if advice else message)


class UsageError(BezoarError):
    """The call itself is wrong."""


class UnreadableInput(BezoarError):
    """The input is missing, damaged, or not what it claims to be."""


class Refused(UnreadableInput):
    """The input may be readable, but reading it is not safe."""


class LimitExceeded(BezoarError):
    """A limit of `Limits` was hit."""

    exit_code = ExitCode.INCOMPLETE


class Unavailable(BezoarError):
    """A view that the subject or the modality cannot supply; becomes a Skipped outcome."""

    exit_code = ExitCode.INCOMPLETE

    def __init__(self, need: str, *, advice: str = "") -> None:
        self.need = need
        super().__init__(f"needs {need}", advice=advice)


class AbilityFailed(BezoarError):
    """An ability raised something that is not ours; `__cause__` holds it."""

    exit_code = ExitCode.INCOMPLETE
