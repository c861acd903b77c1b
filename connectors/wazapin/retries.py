"""When the client repeats a request, and after which pause.

It repeats a request after an error that may pass by itself: 429, 5xx, or a failed connection. The pause is the
server's ``Retry-After``; without it 0.5 s, doubling up to 30 s, plus up to a second by chance.
"""

import re
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Protocol

import httpx
import stamina

from connectors.wazapin.errors import TryLaterError

LONGEST_PAUSE = timedelta(seconds=60)  #: if the server asks for a longer pause, the caller gets the error at once

_SECONDS = re.compile(r"\d{1,9}", re.ASCII)


def pause(error: Exception) -> float | bool:
    """Return the seconds to wait after this error; True: our own pause, False: the request is not repeated."""
    if not isinstance(error, TryLaterError):
        return False
    after = error.retry_after
    if not after:  # overwhelmed servers send "Retry-After: 0", too
        return True
    return after.total_seconds() if after <= LONGEST_PAUSE else False


class Tries(Protocol):
    """The attempts at one call, for ``for`` and ``async for``; each is a context manager, which catches its error."""

    def __iter__(self) -> Iterator[stamina.Attempt]: ...

    def __aiter__(self) -> AsyncIterator[stamina.Attempt]: ...


def tries(attempts: int) -> Tries:
    """Yield up to ``attempts`` attempts, with pauses between them; the last error passes."""
    # timeout=None, because the number of attempts and the longest pause limit the time already.
    return stamina.retry_context(pause, attempts, timeout=None, wait_initial=0.5, wait_max=30.0, wait_jitter=1.0)


def retry_after(headers: httpx.Headers) -> timedelta | None:
    """Read ``Retry-After``, in seconds or as a date; None if it is missing or malformed.

    A date is compared with the server's own clock, if it sends ``Date``, because ours may differ.
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
