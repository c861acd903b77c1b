"""Retries: how long an envelope waits before it is tried again."""

from datetime import timedelta

#: after a fault of the system (lost connection, full disk), which counts against no envelope
AFTER_SYSTEM_FAULT = timedelta(seconds=1)

_FIRST = timedelta(seconds=1)


def after_failure(attempts: int) -> timedelta:
    """Return how long an envelope waits on which our code has failed ``attempts`` times; doubled with each attempt."""
    return _FIRST * (1 << attempts)
