"""Look-ups on the event loop: a read of one organization's data without a thread.

A thread waits for the interpreter after each round trip, so on a busy process it takes longer than the statement.
"""

import asyncio
from collections.abc import Callable
from typing import TypeVar
from uuid import UUID
from weakref import WeakKeyDictionary

from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine

from worker.settings import settings
from worker.store import db
from worker.store.db import Tx

T = TypeVar("T")

#: an event loop's own: a connection cannot be used on another
_engines: WeakKeyDictionary[asyncio.AbstractEventLoop, AsyncEngine] = WeakKeyDictionary()


async def look_up(organization_id: UUID, load: Callable[[Tx], T]) -> T:
    """Return what ``load`` finds in a read-only transaction that sees one state of one organization's data.

    ``load`` is an ordinary function of the store; what waits in it lets the event loop go on. It may run again.
    """
    engine = _engine()
    try:
        return await _look_up(engine, organization_id, load)
    except DBAPIError as error:
        if not error.connection_invalidated:
            raise
        return await _look_up(engine, organization_id, load)  # Postgres has restarted; nothing was written


async def _look_up(engine: AsyncEngine, organization_id: UUID, load: Callable[[Tx], T]) -> T:
    def within(conn: Connection) -> T:
        with db.scoped_snapshot(conn, organization_id) as tx:
            return load(tx)

    async with engine.connect() as conn:
        return await conn.run_sync(within)


def _engine() -> AsyncEngine:
    loop = asyncio.get_running_loop()
    if loop not in _engines:
        _engines[loop] = db.make_look_up_engine(settings().database_url)
    return _engines[loop]


async def close() -> None:
    """Close the connections of this event loop."""
    engine = _engines.pop(asyncio.get_running_loop(), None)
    if engine is not None:
        await engine.dispose()
