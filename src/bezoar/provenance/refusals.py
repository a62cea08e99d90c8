"""What provenance refuses. `NotTrusted` is the attacker's fault (exit 1, a finding); wrong use stays `UsageError` (exit 2)."""

from __future__ import annotations

from bezoar.core.errors import BezoarError, ExitCode


class NotTrusted(BezoarError):
    """A proof failed: something is not what was signed, or may not be trusted any more. `reason` is a stable short name.

    >>> NotTrusted("expired", "statement 3 of 'signs' expired").reason
    'expired'
    """

    exit_code = ExitCode.FINDINGS

    def __init__(self, reason: str, message: str, *, advice: str = "") -> None:
        self.reason = reason
        super().__init__(message, advice=advice)
