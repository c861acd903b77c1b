"""Slices: read a provider page by page, keep each row as an envelope, and account for every row.

A run is worked on in slices of some seconds, by any worker that is free. It commits in steps: first the lease of the
run, then each page together with the cursor behind it. A run that is killed anywhere goes on from its last page. The
rows are drained like webhooks; each drain counts in its own transaction what became of them, and the run is done when
the counts add up.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID, uuid4

import structlog
from celery.exceptions import SoftTimeLimitExceeded
from sqlalchemy import Connection, Engine
from sqlalchemy.exc import DBAPIError

import connectors
from connectors.contract import MalformedPayloadError
from connectors.reader import Cursor, Kind, NotYetError, Page, ReadingError, Row, TryAgainError
from worker import stopping
from worker.backfill import reconcile
from worker.backfill.reading_lease import LEASE, LeaseLostError, ReadingLease
from worker.backfill.refetch import envelope_of_row, refetch
from worker.errors import ConfigError
from worker.inbox import drain, dry_run
from worker.inbox.nudge import nudger
from worker.providers.client import REQUEST_S
from worker.providers.session import job_of, provider_session
from worker.store import connections, db, envelopes, run_rows, runs
from worker.store.connections import ConnectionRow
from worker.store.db import Tx
from worker.store.envelopes import Incoming
from worker.store.lanes import lane_of
from worker.store.runs import RunRow

log = structlog.get_logger()

#: rows of a run that may wait to be drained; beyond, the slice drains before it reads on, so that webhooks come through
_BACKLOG = 2_000
#: rows of a run that may wait while other drains hold all of them; beyond, the slice waits, because the other drains
#: may have been killed
_MOST_HELD = 20_000
#: an increment reads this much of the one before again: clocks differ, and a provider's search lags behind its writes
_OVERLAP = timedelta(minutes=10)
#: failures in a row; with the growing pauses between them they take about two hours
_MOST_FAILURES = 30
_LONGEST_PAUSE = timedelta(minutes=5)


def start(
    conn: Connection,
    connection: ConnectionRow,
    kind: str,
    *,
    since: datetime | None = None,
    is_dry: bool = False,
    is_confirmed: bool = False,
) -> UUID | None:
    """Start a run; return None if a run of this connection and kind is under way.

    Without ``since``, an increment goes on where the last run ended. Raises ConfigError if the connection cannot be
    read: removed, revoked, or without credentials.
    """
    if connection.state == "removed" or connection.revoked_at is not None:
        raise ConfigError("the connection was removed, or its access taken back; `connections authorize` gives new")
    if not connection.can_be_read:
        raise ConfigError("the connection has no credentials to read with; `connections authorize` gives them")
    if kind == "increment" and since is None:
        known = runs.watermark(Tx(conn, connection.organization_id), connection.id)
        since = connection.created_at - timedelta(days=1) if known is None else known - _OVERLAP
    return runs.start(
        Tx(conn, connection.organization_id),
        connection.id,
        kind,
        since=since,
        is_dry=is_dry,
        is_confirmed=is_confirmed,
    )


def work(engine: Engine, *, budget_s: float) -> bool:
    """Work for a while on the run that is due, else refetch customers; return False if nothing was due.

    The budget counts for the whole: a request that is under way at its end is given up ``REQUEST_S`` later.
    """
    token = uuid4()
    with engine.begin() as conn:
        row = runs.lease(conn, lease=LEASE, token=token)
        connection = None if row is None else connections.by_id(conn, row.connection_id)
    if row is None or connection is None:
        return refetch(engine)
    lease = ReadingLease(engine, connection, token, lambda conn: runs.renew(conn, row, lease=LEASE, token=token))
    with lease.held():
        _Slice(engine, row, connection, token, time.monotonic() + budget_s, lease).work()
    return True


@dataclass(slots=True)
class _Slice:
    """Some seconds of work on a run that we hold under a lease."""

    engine: Engine
    row: RunRow
    connection: ConnectionRow
    token: UUID
    until: float
    lease: ReadingLease
    waited_s: float = 0.0

    def work(self) -> None:
        """Go on with the run; afterwards any worker can go on."""
        if reason := self._must_end():
            self._end("failed" if self.connection.state != "removed" else "cancelled", reason)
            return
        if self.connection.state == "paused":
            self._release(after=timedelta(seconds=30))
            return
        try:
            self._read_pages()
        except NotYetError as error:
            self._release(after=error.after, cursor=error.cursor)
        except TryAgainError as error:
            self._try_later(str(error), error.after)
        except (ReadingError, MalformedPayloadError, ConfigError) as error:
            self._end("failed", str(error))
        except LeaseLostError:
            log.info("run_given_up", run_id=str(self.row.id))
        except (DBAPIError, SoftTimeLimitExceeded):
            raise  # the system is at fault, not the run: its lease lapses
        except Exception as error:  # the message of an unknown error may quote a person
            log.error("run_failed", run_id=str(self.row.id), exc_info=error)
            self._try_later(f"our code failed on it: {type(error).__name__}; see the log for run_failed", None)

    def _must_end(self) -> str | None:
        if self.connection.state == "removed":
            return "the connection was removed"
        if self.connection.revoked_at is not None:
            return "the access was taken back by the shop; `connections authorize` gives new"
        if self.row.failures > _MOST_FAILURES:
            return f"its reading ended {self.row.failures} times without a page"
        return None

    def _read_pages(self) -> None:
        reader = connectors.reader_of(self.connection.connector)
        kind: Kind = "ids" if self.row.kind == "reconcile" else "increment" if self.row.kind == "increment" else "full"
        with provider_session(
            self.engine,
            self.connection,
            until=self.until + REQUEST_S,
            on_wait=self._waited,
            before=self.lease.check,
        ) as fetch:
            job = job_of(self.connection, kind, self.row.since)
            if self.row.phase == "reading":
                for page in reader.read(job, self.row.cursor, fetch):
                    self._keep(page)
                    if self._drain_backlog():
                        return
                if not self._finish_reading():
                    return
            for repair in reconcile.repairs(self.engine, self.row, reader, job, fetch):
                self._keep_repair(repair)
                if self._drain_backlog():
                    return
            with self.engine.begin() as conn:
                removed = (self.row.cursor or {}).get("removed", 0)
                runs.finish_reading(conn, self.row, token=self.token, report={"removed": removed})
                runs.delete_compared(conn, self.row)

    def _keep(self, page: Page) -> None:
        """Keep a page and move the cursor behind it, in one transaction."""
        if self.row.is_dry and self.row.kind != "reconcile":
            counts, report = dry_run.try_rows(self.engine, self.row, self.connection, self._envelopes(page.rows))
        with self.engine.begin() as conn:
            db.enter(Tx(conn, self.row.organization_id))
            if self.row.kind == "reconcile":
                listed = [(row.external_id, row.updated_at) for row in page.rows]
                counts, report = {"read": run_rows.ensure(conn, self.row, listed) if listed else 0}, {}
            elif not self.row.is_dry:
                kept = envelopes.keep(conn, self._envelopes(page.rows), self.row.id) if page.rows else []
                counts, report = {"read": sum(1 for envelope in kept if not envelope.is_duplicate)}, {}
            self._advance(conn, page.cursor, len(page.rows), counts, page.expected, page.watermark)
            if report:
                runs.add_to_report(conn, self.row, report)
                self.row.report |= report
        self._nudge()

    def _keep_repair(self, repair: reconcile.Repair) -> None:
        """Keep rows that repair customers.

        Customers judged gone count as read here, because the source did not list them.
        """
        with self.engine.begin() as conn:
            db.enter(Tx(conn, self.row.organization_id))
            kept = envelopes.keep(conn, self._envelopes(repair.rows), self.row.id) if repair.rows else []
            duplicates = sum(1 for envelope in kept if envelope.is_duplicate)
            counts = {"read": repair.found_gone, "unchanged": repair.vanished + duplicates}
            self._advance(conn, repair.cursor, 0, counts, None, None)
        self._nudge()

    def _advance(
        self,
        conn: Connection,
        cursor: Cursor,
        seen: int,
        counts: dict[str, int],
        expected: int | None,
        watermark: datetime | None,
    ) -> None:
        row = runs.advance(
            conn,
            self.row,
            token=self.token,
            lease=LEASE,
            cursor=cursor,
            seen=seen,
            expected=expected,
            watermark=watermark,
            **counts,
        )
        if row is None:
            raise LeaseLostError
        self.row = row

    def _finish_reading(self) -> bool:
        """Note the end of the pages; return True if there is something to repair."""
        row = self.row
        if row.expected is not None and row.seen < row.expected:
            self._end("failed", f"incomplete: {row.seen:,} of {row.expected:,} customers could be read")
            return False
        if row.kind == "reconcile":
            self.row = reconcile.compare(self.engine, row, self.connection, token=self.token)
            if self.row.phase == "repairing":
                return True
        with self.engine.begin() as conn:
            runs.finish_reading(conn, self.row, token=self.token, report={})
            runs.delete_compared(conn, self.row)
        return False

    def _drain_backlog(self) -> bool:
        """Drain while too many rows of the run wait; return True if the slice is over."""
        if time.monotonic() > self.until or stopping.is_told():
            self._release()
            return True
        lane = lane_of(self.connection.id)
        while self._has_rows_to_drain() and self.row.left > _BACKLOG:
            if drain.drain_batch(self.engine, lane).leased == 0:
                if self.row.left < _MOST_HELD:
                    break  # other drains hold all the rows, perhaps until their leases end: read on meanwhile
                time.sleep(0.05)
            with self.engine.connect() as conn:
                row = runs.by_id(Tx(conn, self.row.organization_id), self.row.id)
            if row is None or row.state != "running":
                raise LeaseLostError
            self.row = row
            if time.monotonic() > self.until or stopping.is_told():
                self._release()
                return True
        return False

    def _has_rows_to_drain(self) -> bool:
        """Return whether the rows are kept as envelopes; a dry run only tries them, a comparison only lists them."""
        is_comparing = self.row.kind == "reconcile" and self.row.phase == "reading"
        return not (self.row.is_dry or is_comparing)

    def _envelopes(self, rows: Sequence[Row]) -> list[Incoming]:
        return [envelope_of_row(self.connection, row, self.row.id) for row in rows]

    def _nudge(self) -> None:
        if not self.row.is_dry:
            nudger.nudge({lane_of(self.connection.id)})

    def _waited(self, seconds: float) -> None:
        self.waited_s += seconds

    def _release(self, *, after: timedelta = timedelta(0), cursor: Cursor | None = None) -> None:
        with self.engine.begin() as conn:
            waited_s = self.waited_s + after.total_seconds()
            runs.release(conn, self.row, token=self.token, after=after, cursor=cursor, waited_s=waited_s)

    def _try_later(self, reason: str, after: timedelta | None) -> None:
        if self.row.failures >= _MOST_FAILURES:
            self._end("failed", reason)
            return
        pause = min(_LONGEST_PAUSE, timedelta(seconds=0.5 * 2 ** min(self.row.failures, 12)))
        pause = pause if after is None else max(after, timedelta(0))
        with self.engine.begin() as conn:
            waited_s = self.waited_s + pause.total_seconds()
            runs.release(conn, self.row, token=self.token, after=pause, waited_s=waited_s, error=reason)

    def _end(self, state: str, reason: str) -> None:
        log.warning("run_ended", run_id=str(self.row.id), state=state, reason=reason)
        with self.engine.begin() as conn:
            runs.end(conn, self.row, state, reason, token=self.token)
