"""Shares of the threads: one organization with slow requests leaves some for the others."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from uuid import UUID

from worker.api.errors import ApiError

#: How long a request waits while its organization uses its whole share, and how many requests wait so.
_PATIENCE_S = 5.0
_MAX_WAITING = 200


@dataclass(slots=True)
class _Share:
    free: asyncio.Semaphore
    waiting: int = 0
    users: int = field(default=0)  #: requests that wait or run


class Shares:
    """How many requests of each organization may run at once. A request waits here before it takes a thread."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._shares: dict[UUID, _Share] = {}

    @asynccontextmanager
    async def one_of(self, organization_id: UUID) -> AsyncIterator[None]:
        """Run the block as one of the organization's requests; raises ApiError (429) if it would wait too long."""
        share = self._shares.get(organization_id)
        if share is None:
            share = self._shares[organization_id] = _Share(asyncio.Semaphore(self._most))
        share.users += 1
        try:
            await _take(share)
            try:
                yield
            finally:
                share.free.release()
        finally:
            share.users -= 1
            if share.users == 0:
                del self._shares[organization_id]


async def _take(share: _Share) -> None:
    if not share.free.locked():
        await share.free.acquire()  # at once
        return
    if share.waiting >= _MAX_WAITING:
        raise _too_many()
    share.waiting += 1
    try:
        async with asyncio.timeout(_PATIENCE_S):
            await share.free.acquire()
    except TimeoutError:
        raise _too_many() from None
    finally:
        share.waiting -= 1


def _too_many() -> ApiError:
    return ApiError(429, "too many requests of this organization at once", headers={"Retry-After": "5"})
