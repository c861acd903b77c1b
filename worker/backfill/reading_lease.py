"""Reading lease: while it is held, no other process reads the connection.

It commits in steps: each renewal is a transaction of its own, and so is the release.
"""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from uuid import UUID

import structlog
from sqlalchemy import Connection, Engine
from sqlalchemy.exc import DBAPIError

from worker.store import reading_leases
from worker.store.connections import ConnectionRow

log = structlog.get_logger()

#: renewed while its holder is at work; what it held waits for so long after a kill
LEASE = timedelta(seconds=5)


class LeaseLostError(Exception):
    """Another process reads the connection now, or may do so."""


class ReadingLease:
    """A lease that is renewed in a thread, however long the provider takes.

    The thread dies with the process, so that another takes over soon after a kill. ``also`` renews what is leased
    together with the connection; it returns False if that is lost.
    """

    def __init__(
        self, engine: Engine, connection: ConnectionRow, token: UUID, also: Callable[[Connection], bool]
    ) -> None:
        self._engine = engine
        self._connection = connection
        self._token = token
        self._also = also
        self._until = time.monotonic() + LEASE.total_seconds()
        self._is_over = threading.Event()

    def check(self) -> None:
        """Raise LeaseLostError if the lease has run out: this process was frozen, or the database is away."""
        if time.monotonic() > self._until:
            raise LeaseLostError

    @contextmanager
    def held(self) -> Iterator[None]:
        """Renew until the block ends, then let others read the connection."""
        thread = threading.Thread(target=self._renew_often, name="reading-lease", daemon=True)
        thread.start()
        try:
            yield
        finally:
            self._is_over.set()
            thread.join(5)
            try:
                with self._engine.begin() as conn:
                    reading_leases.release(conn, *self._key, token=self._token)
            except DBAPIError as error:  # it runs out
                log.warning("lease_not_released", error=error)

    @property
    def _key(self) -> tuple[UUID, UUID]:
        return self._connection.organization_id, self._connection.id

    def _renew_often(self) -> None:
        while not self._is_over.wait(LEASE.total_seconds() / 3):
            began = time.monotonic()
            try:
                with self._engine.begin() as conn:
                    is_ours = reading_leases.renew(conn, *self._key, lease=LEASE, token=self._token)
                    if not (is_ours and self._also(conn)):
                        self._until = 0.0
                        return
            except DBAPIError as error:
                log.warning("lease_not_renewed", error=error)
            else:
                self._until = began + LEASE.total_seconds()
