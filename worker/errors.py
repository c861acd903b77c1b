"""Errors, grouped by what happens next.

SyncError
├── TransientError   postpone, and try the same again
├── PermanentError   park with the reason, for a person to see
└── ConfigError      the operator must act
"""

from datetime import timedelta


class SyncError(Exception):
    """Base of the errors that we raise on purpose; any other exception is a bug."""


class TransientError(SyncError):
    """Nothing is wrong with the data: postpone, and try the same again.

    ``after`` is how long to wait, if known. Such a wait does not count as a failed attempt.
    """

    def __init__(self, message: str, after: timedelta | None = None) -> None:
        super().__init__(message)
        self.after = after


class PermanentError(SyncError):
    """It cannot succeed as it is: park it with the reason, for a person to see."""


class ConfigError(SyncError):
    """The operator must act; the message says how."""


def sqlstate_behind(error: BaseException) -> str | None:
    """Return the SQLSTATE of a database error, or of the one that an error comes from; None where there is none."""
    seen: BaseException | None = error
    for _ in range(10):
        if seen is None:
            return None
        state = getattr(seen, "sqlstate", None) or getattr(getattr(seen, "orig", None), "sqlstate", None)
        if isinstance(state, str):
            return state
        seen = seen.__cause__ or seen.__context__
    return None
