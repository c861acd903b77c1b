"""Bodies of requests: read within a limit, and together never more than the process has room for."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from starlette.types import Receive


class TooLargeError(Exception):
    """The body is larger than its limit."""


class EndedEarlyError(Exception):
    """The sender hung up before the end of the body."""


class CrowdedError(Exception):
    """There is no room for the body now; the sender may try again."""


@dataclass(slots=True, eq=False)
class _Reading:
    """A body that is being read; it is given up by its time-out."""

    patience: asyncio.Timeout
    size: int = 0


class Bodies:
    """The bodies that a process holds at once: at most ``most_bytes``.

    Above it the body that began first is given up: senders who mean it need milliseconds, so bodies that never end are
    always the oldest.
    """

    def __init__(self, most_bytes: int) -> None:
        self._most_bytes = most_bytes
        self._reading: dict[_Reading, None] = {}
        self._reading_bytes = 0
        self._held_bytes = 0

    async def read(self, receive: Receive, limit: int) -> bytes:
        """Read a body; raises TooLargeError, EndedEarlyError or CrowdedError."""
        if self._held_bytes > self._most_bytes:
            raise CrowdedError
        piece, more = await _next(receive)
        if not more:  # nearly always
            if len(piece) > limit:
                raise TooLargeError
            return piece
        reading = _Reading(asyncio.timeout(None))
        self._reading[reading] = None
        try:
            async with reading.patience:
                return await self._rest(reading, piece, receive, limit)
        except TimeoutError:
            if reading.patience.expired():
                raise CrowdedError from None
            raise
        finally:
            self._forget(reading)

    @contextmanager
    def held(self, size: int) -> Iterator[None]:
        """Count a body that was read for as long as the request needs it."""
        self._held_bytes += size
        try:
            yield
        finally:
            self._held_bytes -= size

    async def _rest(self, reading: _Reading, piece: bytes, receive: Receive, limit: int) -> bytes:
        body, more = bytearray(), True  # A list of pieces would cost much more than their bytes, if they are small.
        while True:
            reading.size += len(piece)
            self._reading_bytes += len(piece)
            if reading.size > limit:
                raise TooLargeError
            body += piece
            if not more:
                return bytes(body)
            self._make_room()
            piece, more = await _next(receive)
            if reading not in self._reading:
                raise CrowdedError

    def _make_room(self) -> None:
        while self._reading and self._reading_bytes + self._held_bytes > self._most_bytes:
            oldest = next(iter(self._reading))
            self._forget(oldest)
            oldest.patience.reschedule(0)

    def _forget(self, reading: _Reading) -> None:
        if reading in self._reading:
            del self._reading[reading]
            self._reading_bytes -= reading.size


async def _next(receive: Receive) -> tuple[bytes, bool]:
    message = await receive()
    if message["type"] == "http.disconnect":
        raise EndedEarlyError
    return message.get("body", b""), message.get("more_body", False)
