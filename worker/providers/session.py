"""Session: a client for one connection, with the credentials that the store holds for it.

It commits in steps: renewed credentials are stored at once, whatever becomes of the request.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime

from sqlalchemy import Engine

import connectors
from connectors.reader import Credentials, Job, Kind, Reader
from worker.providers.client import ProviderClient
from worker.store import connections, locks
from worker.store.connections import ConnectionRow
from worker.store.db import Tx

#: for all requests of a session, unless its opener says otherwise
_SESSION_S = 120.0


@contextmanager
def provider_session(
    engine: Engine,
    connection: ConnectionRow,
    *,
    until: float | None = None,
    on_wait: Callable[[float], None] = lambda _: None,
    before: Callable[[], None] = lambda: None,
) -> Iterator[ProviderClient]:
    """Open a client for a connection's provider, and close it when the block ends.

    Its requests are over at ``until`` (of ``time.monotonic``), after two minutes if none is given. ``on_wait`` is
    called with the seconds before each wait that the provider demands, ``before`` before each attempt.
    """
    reader: Reader = connectors.reader_of(connection.connector)
    api_url = connection.options.get("api_url") or reader.api_url(connection.options)
    client = ProviderClient(
        reader,
        api_url,
        _StoredCredentials(engine, connection),
        until=time.monotonic() + _SESSION_S if until is None else until,
        on_wait=on_wait,
        before=before,
    )
    try:
        yield client
    finally:
        client.close()


def job_of(connection: ConnectionRow, kind: Kind, since: datetime | None = None) -> Job:
    """Describe to a reader what to read: the kind of run, the account, and from when on."""
    return Job(kind=kind, account=connection.account(), credentials=connection.credentials(), since=since)


class _StoredCredentials:
    """The credentials of a connection, as they are in the store."""

    def __init__(self, engine: Engine, connection: ConnectionRow) -> None:
        self._engine = engine
        self._connection = connection
        self._known: Credentials = connection.credentials()

    def load(self, *, fresh: bool = False) -> Credentials:
        """Return the credentials; with ``fresh``, load them from the store again."""
        if fresh:
            with self._engine.connect() as conn:
                row = connections.by_id(conn, self._connection.id)
            self._known = {} if row is None else row.credentials()
        return self._known

    @contextmanager
    def exclusive(self) -> Iterator[None]:
        """Hold a lock that lets one process renew at a time, because some refresh tokens work only once."""
        with self._engine.begin() as conn:
            locks.take_named(conn, f"credentials:{self._connection.id}")
            yield

    def save(self, credentials: Credentials) -> None:
        """Store renewed credentials, in a transaction of their own."""
        with self._engine.begin() as conn:
            connections.set_credentials(Tx(conn, self._connection.organization_id), self._connection.id, credentials)
        self._known = credentials
