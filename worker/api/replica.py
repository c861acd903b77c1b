"""Lists of contacts from a replica, while it keeps up; else from the primary (``docs/adr/0030``).

Only lists: the feed of changes, look-ups by an identifier or id, and whatever answers a write stay on the primary. A
thread looks at both servers once a second, so no request waits to learn how far the replica is. A replica that hangs
holds nobody up for long: the thread breaks its connections off, and who waited there asks the primary.
"""

import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Generic, NamedTuple, TypeVar
from uuid import UUID

import structlog
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from worker.errors import ConfigError
from worker.settings import settings
from worker.stack.breaker import Breaker
from worker.store import db, replica
from worker.store.db import Tx
from worker.store.sqlstates import sqlstate

log = structlog.get_logger()

HEADER = "Replica-Lag"

_EVERY_S = 1.0  #: between two looks
_LONGEST_S = 2.0  #: a look takes milliseconds; after this long the replica hangs
#: A replica that is healthy is some milliseconds behind, so a look asks again before it says that it is further.
_PAUSES_S = (0.0, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2)
_TIMED_OUT = "57014"

Rows = TypeVar("Rows")


class Read(NamedTuple, Generic[Rows]):
    """What was loaded, and what to tell with it."""

    rows: Rows
    headers: Mapping[str, str]
    position: int | None  #: for the cursor: the next page must not come from a replica that is not as far


@dataclass(frozen=True, slots=True)
class _Seen:
    """A look at the replica: it has all that was written up to a moment of our clock."""

    position: int
    complete_at: float


class Lists:
    """Reads lists. ``url`` is the replica's; without one everything comes from the primary and costs nothing more."""

    def __init__(self, url: str, most_s: float) -> None:
        self._most_s = most_s
        self._engine = db.make_tenant_engine(url) if url else None
        self._breaker = None if self._engine is None else Breaker(self._engine)
        self._asked: deque[tuple[float, int]] = deque(maxlen=1000)
        self._seen: _Seen | None = None
        self._trouble: str | None = "not seen yet"
        self._is_over = threading.Event()

    def read(self, organization_id: UUID, at_least: int | None, load: Callable[[Tx], Rows]) -> Read[Rows]:
        """Load rows in a snapshot of the replica if it is near enough, and at ``at_least``; else of the primary."""
        if self._engine is None:
            with db.tenant_snapshot(organization_id) as tx:
                return Read(load(tx), {}, None)
        lag_s = self.lag_s(at_least)
        if lag_s is not None:
            try:
                with db.tenant_snapshot(organization_id, self._engine) as tx:
                    return Read(load(tx), {HEADER: f"{lag_s:.3f}"}, at_least)
            except (DBAPIError, PoolTimeoutError, ConfigError) as error:
                # What takes too long there takes too long here. Anything else is the replica's own: it went away, or
                # replaying had to remove what the statement was reading.
                if sqlstate(error) == _TIMED_OUT:
                    raise
                if sqlstate(error) is None:
                    self._leave("away")
        with db.tenant_snapshot(organization_id) as tx:
            rows = load(tx)
            return Read(rows, {}, replica.position(tx.conn) if at_least is None else at_least)

    def lag_s(self, at_least: int | None = None) -> float | None:
        """Return how many seconds the replica is behind at most; None if it is not to be asked."""
        seen = self._seen
        if self._trouble is not None or seen is None or (at_least is not None and seen.position < at_least):
            return None
        lag_s = time.monotonic() - seen.complete_at
        return lag_s if lag_s <= self._most_s else None

    def watch(self) -> None:
        """Look at the replica again and again in a thread, until ``close``."""
        if self._engine is not None:
            threading.Thread(target=self._watch, name="replica", daemon=True).start()

    def close(self) -> None:
        """Stop looking, and close the connections to the replica."""
        self._is_over.set()
        if self._engine is not None:
            self._engine.dispose()

    def _watch(self) -> None:
        while True:
            try:
                self.look()
            except Exception as error:  # nothing may end the thread
                log.error("replica_look_failed", exc_info=error)
            if self._is_over.wait(_EVERY_S):
                return

    def look(self) -> None:
        """Look how far the replica is, and decide whether it is asked until the next look."""
        if self._engine is None or self._breaker is None:
            return
        asked_at = time.monotonic()
        try:
            with db.engine().connect() as conn:
                written = replica.written(conn)
        except (DBAPIError, PoolTimeoutError):
            return  # what is known of the replica grows old by itself
        self._asked.append((asked_at, written.position))
        try:
            with self._breaker.after(_LONGEST_S), self._engine.connect() as conn:
                for pause_s in _PAUSES_S:
                    time.sleep(pause_s)
                    replayed = replica.replayed(conn)
                    if replayed.position is None or replayed.position >= written.position:
                        break
        except (DBAPIError, PoolTimeoutError):
            self._leave("away")
        except ConfigError as error:
            self._leave(str(error))
        else:
            self._judge(written, replayed)

    def _judge(self, written: replica.Written, replayed: replica.Replayed) -> None:
        if replayed.position is None:
            self._leave("no replica")
        elif replayed.cluster != written.cluster:
            self._leave("a replica of another primary")
        else:
            # Of the positions that it has reached, the newest counts.
            while len(self._asked) > 1 and self._asked[1][1] <= replayed.position:
                self._asked.popleft()
            asked_at, position = self._asked[0]
            if position > replayed.position:
                self._leave("lags")  # since before the first look
                return
            self._seen = _Seen(replayed.position, asked_at)
            lag_s = time.monotonic() - asked_at
            if lag_s > self._most_s:
                self._leave("lags")
            elif self._trouble is not None and lag_s <= self._most_s / 2:  # so that it does not come and go
                self._trouble = None
                log.info("replica_used", lag_s=round(lag_s, 3))

    def _leave(self, trouble: str) -> None:
        """Ask the primary from now on; say so once."""
        if self._trouble != trouble:
            self._trouble = trouble
            log.warning("replica_left", reason=trouble, effect="lists come from the primary")


@lru_cache
def lists() -> Lists:
    """Return the reader of lists of this process."""
    return Lists(settings().replica_database_url, settings().replica_max_lag_s)


class Lag(Collector):
    """How far the replica is behind, as this process sees it; nothing without a replica."""

    def collect(self) -> Iterator[Metric]:
        """Yield whether lists come from the replica, and its lag if they do."""
        if not settings().replica_database_url:
            return
        lag_s = lists().lag_s()
        used = GaugeMetricFamily("contactsync_replica_used", "1 while lists of contacts come from the replica, else 0")
        used.add_metric([], lag_s is not None)
        yield used
        if lag_s is not None:
            behind = GaugeMetricFamily("contactsync_replica_lag_seconds", "Seconds that the replica is behind at most")
            behind.add_metric([], lag_s)
            yield behind
