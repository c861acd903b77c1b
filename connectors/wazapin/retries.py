"""When a request is sent again, and after how long.

Only what may pass by itself is tried again: 429, 5xx and a connection that failed. The server's ``Retry-After``
beats our own pauses of 0.5 s, doubling up to 30 s, plus up to a second by chance.
"""

import re
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Protocol

import httpx
import stamina

from connectors.wazapin.errors import TryLaterError

LONGEST_PAUSE = timedelta(seconds=60)  #: asked to wait longer, the caller is told instead of kept

_SECONDS = re.compile(r"\d{1,9}", re.ASCII)


def pause(error: Exception) -> float | bool:
    """How long to wait after this error, in seconds; True: as long as we think fit, False: not to be tried again."""
    if not isinstance(error, TryLaterError):
        return False
    after = error.retry_after
    if not after:  # "at once" is asked for by servers that are overwhelmed, too
        return True
    return after.total_seconds() if after <= LONGEST_PAUSE else False


class Tries(Protocol):
    """The attempts at one call, for ``for`` and ``async for`` alike; each is a context that hears of failure."""

    def __iter__(self) -> Iterator[stamina.Attempt]: ...

    def __aiter__(self) -> AsyncIterator[stamina.Attempt]: ...


def tries(attempts: int) -> Tries:
    """Yield up to so many attempts, with pauses between them; the last error is let through."""
    # No limit on the time of all together: the attempts and the longest pause bound it.
    return stamina.retry_context(pause, attempts, timeout=None, wait_initial=0.5, wait_max=30.0, wait_jitter=1.0)


def retry_after(headers: httpx.Headers) -> timedelta | None:
    """Read ``Retry-After``, in seconds or as a date; None if there is none that makes sense.

    A date is compared with the server's own clock if it tells the time, because ours may differ.
    """
    value = headers.get("retry-after", "").strip()
    if _SECONDS.fullmatch(value):
        return timedelta(seconds=int(value))
    until = _date(value)
    if until is None:
        return None
    now = _date(headers.get("date", "")) or datetime.now(UTC)
    return max(until - now, timedelta(0))


def _date(text: str) -> datetime | None:
    try:
        date = parsedate_to_datetime(text)
    except (ValueError, OverflowError):
        return None
    return date if date.tzinfo else date.replace(tzinfo=UTC)  # "-0000" is UTC from a clock of unknown place
