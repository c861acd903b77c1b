"""Errors, grouped by what happens next.

SyncError
├── TransientError   postpone and try the same thing again
├── PermanentError   park it with the reason, for a person to see
└── ConfigError      the operator must act
"""

from datetime import timedelta


class SyncError(Exception):
    """Base of what we raise on purpose; a bug is anything else."""


class TransientError(SyncError):
    """Nothing is wrong with the data: postpone and try the same thing again.

    ``after`` is how long to wait; such a wait is not counted as a failed attempt.
    """

    def __init__(self, message: str, after: timedelta | None = None) -> None:
        super().__init__(message)
        self.after = after


class PermanentError(SyncError):
    """It can never succeed as it is: park it with the reason, for a person to see."""


class ConfigError(SyncError):
    """The operator must act; the message says how."""
