"""Runs: each reads a provider or a file from a cursor to the end, with counts that account for every row."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import Connection

from worker import ids
from worker.store import reading_leases
from worker.store.batch_writer import columns_of, rows_of
from worker.store.db import Tx, json, run, sql


@dataclass(slots=True)
class RunRow:
    """A run as stored."""

    organization_id: UUID
    id: UUID
    connection_id: UUID
    kind: str  #: full, increment, reconcile, import
    state: str  #: running, done, failed, cancelled
    phase: str  #: reading, repairing (what reconciling found), draining (all rows are kept, not all worked off)
    is_dry: bool
    is_confirmed: bool  #: may remove more customers than the threshold allows
    since: datetime | None
    cursor: dict[str, Any] | None
    seen: int  #: rows that the provider gave, repeats included
    read: int  #: different rows: each is an envelope, or is compared
    changed: int
    unchanged: int
    parked: int
    expected: int | None
    waited_s: float
    failures: int  #: since the last page
    watermark: datetime | None
    report: dict[str, Any]
    error: str | None
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None

    @property
    def left(self) -> int:
        """The number of rows that are kept and not worked off."""
        return self.read - self.changed - self.unchanged - self.parked


_COLUMNS = ", ".join(RunRow.__dataclass_fields__)
_IS_DUE = "state = 'running' AND phase <> 'draining' AND kind <> 'import' AND next_run_at <= clock_timestamp()"
_ADDED_UP = "read = changed + unchanged + parked"

_START = sql("""
    INSERT INTO runs (organization_id, id, connection_id, kind, is_dry, is_confirmed, since, report)
    VALUES (:organization_id, :id, :connection_id, :kind, :is_dry, :is_confirmed, :since, '{}')
        ON CONFLICT (organization_id, connection_id, kind)
     WHERE state = 'running' AND NOT is_dry AND kind <> 'import' DO NOTHING
""")
_BY_ID = sql(f"SELECT {_COLUMNS} FROM runs WHERE organization_id = :organization_id AND id = :id")
_RUNNING = sql(f"""
    SELECT {_COLUMNS} FROM runs
     WHERE organization_id = :organization_id AND connection_id = :connection_id AND kind = :kind
       AND state = 'running' AND NOT is_dry
""")
_LIST = sql(f"""
    SELECT {_COLUMNS} FROM runs
     WHERE organization_id = :organization_id
       AND (CAST(:connection_id AS uuid) IS NULL OR connection_id = :connection_id)
     ORDER BY id DESC LIMIT :limit
""")
_WATERMARK = sql("""
    SELECT watermark FROM runs
     WHERE organization_id = :organization_id AND connection_id = :connection_id AND state = 'done' AND NOT is_dry
       AND watermark IS NOT NULL
     ORDER BY watermark DESC LIMIT 1
""")
# With its connection, so that one process at a time reads a connection. A lapsed lease means that its holder died: it
# counts as a failure, because a run that kills its readers would go on for ever. Each lease moves the run behind the
# others that are due, so that it cannot keep them waiting either, and so does a read of its connection, however many
# runs that has. Customers who have waited longer come before it.
_LEASE = sql(f"""
    WITH picked AS (
        SELECT organization_id, id, connection_id FROM runs r
         WHERE {_IS_DUE} AND (lease_until IS NULL OR lease_until < clock_timestamp())
           AND {reading_leases.is_free_sql("r")}
           AND NOT EXISTS (SELECT FROM wanted w WHERE w.next_run_at <= clock_timestamp()
                              AND {reading_leases.is_free_sql("w")}
                              AND {reading_leases.since_sql("w")} < {reading_leases.since_sql("r")})
         ORDER BY {reading_leases.since_sql("r")}, id LIMIT 1 FOR UPDATE SKIP LOCKED
    ), held AS ({reading_leases.take_sql("picked")})
    UPDATE runs r
       SET failures = r.failures + (r.lease_until IS NOT NULL)::integer, next_run_at = clock_timestamp(),
           lease_until = clock_timestamp() + :lease, lease_token = :token, started_at = coalesce(started_at, now())
      FROM picked JOIN held ON true WHERE r.organization_id = picked.organization_id AND r.id = picked.id
    RETURNING {", ".join("r." + name for name in RunRow.__dataclass_fields__)}
""")
_DUE_FOR = sql(f"""
    SELECT extract(epoch FROM now() - least(
        (SELECT min(greatest({reading_leases.since_sql("r")}, r.lease_until)) FROM runs r
          WHERE {_IS_DUE} AND (lease_until IS NULL OR lease_until < now()) AND {reading_leases.is_free_sql("r")}),
        (SELECT min({reading_leases.since_sql("w")}) FROM wanted w
          WHERE w.next_run_at <= now() AND {reading_leases.is_free_sql("w")})))::float
""")
_RENEW = sql("""
    UPDATE runs SET lease_until = clock_timestamp() + :lease
     WHERE organization_id = :organization_id AND id = :id AND lease_token = :token AND state = 'running'
""")
_RELEASE = sql("""
    UPDATE runs
       SET lease_until = NULL, lease_token = NULL, next_run_at = clock_timestamp() + :after,
           cursor = coalesce(CAST(:cursor AS jsonb), cursor), waited_s = waited_s + :waited_s,
           failures = CASE WHEN :failed THEN failures + 1 ELSE failures END, error = :error
     WHERE organization_id = :organization_id AND id = :id AND lease_token = :token AND state = 'running'
""")
_ADVANCE = sql(f"""
    UPDATE runs
       SET cursor = CAST(:cursor AS jsonb), seen = seen + :seen, read = read + :read, changed = changed + :changed,
           unchanged = unchanged + :unchanged, parked = parked + :parked,
           expected = coalesce(:expected, expected), watermark = greatest(watermark, :watermark), failures = 0,
           error = NULL, lease_until = clock_timestamp() + :lease
     WHERE organization_id = :organization_id AND id = :id AND lease_token = :token AND state = 'running'
    RETURNING {_COLUMNS}
""")
_SET_PHASE = sql("""
    UPDATE runs
       SET phase = :phase, cursor = NULL, unchanged = unchanged + :unchanged, report = report || CAST(:report AS jsonb)
     WHERE organization_id = :organization_id AND id = :id AND lease_token = :token AND state = 'running'
""")
_FINISH_READING = sql(f"""
    UPDATE runs
       SET phase = 'draining', cursor = NULL, lease_until = NULL, lease_token = NULL, error = NULL,
           report = report || CAST(:report AS jsonb),
           state = CASE WHEN {_ADDED_UP} THEN 'done' ELSE state END,
           finished_at = CASE WHEN {_ADDED_UP} THEN clock_timestamp() END
     WHERE organization_id = :organization_id AND id = :id AND lease_token = :token AND state = 'running'
""")
_END = sql("""
    UPDATE runs
       SET state = :state, error = :error, finished_at = clock_timestamp(), lease_until = NULL, lease_token = NULL
     WHERE organization_id = :organization_id AND id = :id AND state = 'running'
       AND (CAST(:token AS uuid) IS NULL OR lease_token = :token)
""")
# A drain counts in the transaction of its work. The drain that completes the sum ends the run.
_ADD_COUNTS = sql(f"""
    UPDATE runs r
       SET changed = r.changed + new.changed, unchanged = r.unchanged + new.unchanged,
           parked = r.parked + new.parked
      FROM {rows_of(id="uuid", changed="bigint", unchanged="bigint", parked="bigint")}
     WHERE r.organization_id = :organization_id AND r.id = new.id
""")
_COMPLETE = sql(f"""
    UPDATE runs SET state = 'done', finished_at = clock_timestamp()
     WHERE organization_id = :organization_id AND id = ANY(:ids) AND state = 'running' AND phase = 'draining'
       AND {_ADDED_UP}
""")
_GIVE_UP_IMPORTS = sql("""
    UPDATE runs SET state = 'cancelled', error = 'another import of the source began', finished_at = now()
     WHERE organization_id = :organization_id AND connection_id = :connection_id AND kind = 'import'
       AND state = 'running' AND phase = 'reading'
""")
_START_IMPORT = sql(f"""
    INSERT INTO runs (organization_id, id, connection_id, kind, started_at, report)
    VALUES (:organization_id, :id, :connection_id, 'import', now(), jsonb_build_object())
    RETURNING {_COLUMNS}
""")
_ADVANCE_IMPORT = sql(f"""
    UPDATE runs SET seen = seen + :read, read = read + :read, unchanged = unchanged + :unchanged
     WHERE organization_id = :organization_id AND id = :id
    RETURNING {_COLUMNS}
""")
_END_IMPORT = sql(f"""
    UPDATE runs
       SET phase = 'draining', expected = read, state = CASE WHEN {_ADDED_UP} THEN 'done' ELSE state END,
           finished_at = CASE WHEN {_ADDED_UP} THEN clock_timestamp() END
     WHERE organization_id = :organization_id AND id = :id AND state = 'running'
""")
_ADD_TO_REPORT = sql("""
    UPDATE runs SET report = report || CAST(:report AS jsonb) WHERE organization_id = :organization_id AND id = :id
""")
_DELETE_COMPARED = sql("DELETE FROM run_rows WHERE organization_id = :organization_id AND run_id = :id")


def start(
    tx: Tx,
    connection_id: UUID,
    kind: str,
    *,
    since: datetime | None = None,
    is_dry: bool = False,
    is_confirmed: bool = False,
) -> UUID | None:
    """Add a run and return its id; None if a run of the kind is under way for the connection."""
    id_ = ids.new()
    started = tx.run(
        _START,
        {
            "id": id_,
            "connection_id": connection_id,
            "kind": kind,
            "since": since,
            "is_dry": is_dry,
            "is_confirmed": is_confirmed,
        },
    )
    return id_ if started.rowcount else None


def start_import(tx: Tx, connection_id: UUID, token: UUID) -> RunRow:
    """Add a run whose rows come from a file; cancel an earlier import of the source that was not read to its end."""
    parameters = {"connection_id": connection_id, "id": ids.new(), "token": token}
    tx.run(_GIVE_UP_IMPORTS, parameters)
    return RunRow(*tx.run(_START_IMPORT, parameters).one())


def advance_import(conn: Connection, row: RunRow, *, read: int, unchanged: int) -> RunRow:
    """Count rows of a file, in the transaction that keeps them; rows that were kept before are unchanged."""
    key = {"organization_id": row.organization_id, "id": row.id}
    return RunRow(*run(conn, _ADVANCE_IMPORT, {**key, "read": read, "unchanged": unchanged}).one())


def end_import(conn: Connection, row: RunRow) -> None:
    """Note that the file was read to its end."""
    run(conn, _END_IMPORT, {"organization_id": row.organization_id, "id": row.id})


def by_id(tx: Tx, id_: UUID) -> RunRow | None:
    """Load a run."""
    row = tx.run(_BY_ID, {"id": id_}).first()
    return None if row is None else RunRow(*row)


def running(tx: Tx, connection_id: UUID, kind: str) -> RunRow | None:
    """Load the run of a kind that is under way for a connection."""
    row = tx.run(_RUNNING, {"connection_id": connection_id, "kind": kind}).first()
    return None if row is None else RunRow(*row)


def latest(tx: Tx, connection_id: UUID | None, limit: int) -> list[RunRow]:
    """Load the newest runs, of a connection or of all."""
    return [RunRow(*row) for row in tx.run(_LIST, {"connection_id": connection_id, "limit": limit})]


def watermark(tx: Tx, connection_id: UUID) -> datetime | None:
    """Return the time, by the provider's clock, up to which all changes have been read."""
    return tx.run(_WATERMARK, {"connection_id": connection_id}).scalar_one_or_none()


def due_for_s(conn: Connection) -> float | None:
    """Return for how many seconds a run or a refetch has been due whose connection nobody reads; None without any."""
    return run(conn, _DUE_FOR).scalar_one()  # type: ignore[no-any-return]


def lease(conn: Connection, *, lease: timedelta, token: UUID) -> RunRow | None:
    """Lease the run that has been due longest, and its connection.

    None if no run is due, or another process was faster.
    """
    row = run(conn, _LEASE, {"lease": lease, "reading": lease, "token": token}).first()
    return None if row is None else RunRow(*row)


def renew(conn: Connection, row: RunRow, *, lease: timedelta, token: UUID) -> bool:
    """Extend the lease; return False if the run has ended or another worker has leased it."""
    return run(conn, _RENEW, {**_key(row, token), "lease": lease}).rowcount == 1


def release(
    conn: Connection,
    row: RunRow,
    *,
    token: UUID,
    after: timedelta = timedelta(0),
    cursor: Mapping[str, Any] | None = None,
    waited_s: float = 0.0,
    error: str | None = None,
) -> None:
    """Give the run back, due again after ``after``; ``error`` counts as a failure."""
    run(
        conn,
        _RELEASE,
        {
            **_key(row, token),
            "after": after,
            "cursor": None if cursor is None else json(dict(cursor)),
            "waited_s": waited_s,
            "failed": error is not None,
            "error": error,
        },
    )


def advance(
    conn: Connection,
    row: RunRow,
    *,
    token: UUID,
    lease: timedelta,
    cursor: Mapping[str, Any],
    seen: int = 0,
    read: int = 0,
    changed: int = 0,
    unchanged: int = 0,
    parked: int = 0,
    expected: int | None = None,
    watermark: datetime | None = None,
) -> RunRow | None:
    """Note a page, in the transaction that keeps its rows.

    Returns None if the run has ended or another worker has leased it.
    """
    advanced = run(
        conn,
        _ADVANCE,
        {
            **_key(row, token),
            "lease": lease,
            "cursor": json(dict(cursor)),
            "seen": seen,
            "read": read,
            "changed": changed,
            "unchanged": unchanged,
            "parked": parked,
            "expected": expected,
            "watermark": watermark,
        },
    ).first()
    return None if advanced is None else RunRow(*advanced)


def set_phase(
    conn: Connection, row: RunRow, phase: str, *, token: UUID, unchanged: int, report: Mapping[str, Any]
) -> bool:
    """Move a run to another phase; ``unchanged`` rows need no more work."""
    parameters = {**_key(row, token), "phase": phase, "unchanged": unchanged, "report": json(dict(report))}
    return run(conn, _SET_PHASE, parameters).rowcount == 1


def finish_reading(conn: Connection, row: RunRow, *, token: UUID, report: Mapping[str, Any]) -> None:
    """Note that all rows are kept; the run is done once all of them are worked off."""
    run(conn, _FINISH_READING, {**_key(row, token), "report": json(dict(report))})


def end(conn: Connection, row: RunRow, state: str, error: str | None, *, token: UUID | None = None) -> bool:
    """End a run that cannot or must not go on; rows that are kept are still worked off."""
    parameters = {"organization_id": row.organization_id, "id": row.id, "token": token, "state": state, "error": error}
    ended = run(conn, _END, parameters).rowcount == 1
    delete_compared(conn, row)
    return ended


def add_counts(tx: Tx, counts: Mapping[UUID, Collection[int]]) -> None:
    """Add to the (changed, unchanged, parked) of runs, in the transaction that works the rows off."""
    if counts:
        rows = [(id_, *counts[id_]) for id_ in sorted(counts)]
        tx.run(_ADD_COUNTS, columns_of(rows, "id", "changed", "unchanged", "parked"))
        tx.run(_COMPLETE, {"ids": sorted(counts)})


def add_to_report(conn: Connection, row: RunRow, entries: Mapping[str, Any]) -> None:
    """Add entries to the report of a run."""
    run(conn, _ADD_TO_REPORT, {"organization_id": row.organization_id, "id": row.id, "report": json(dict(entries))})


def delete_compared(conn: Connection, row: RunRow) -> None:
    """Delete the customers that a run has compared (``run_rows``)."""
    run(conn, _DELETE_COMPARED, {"organization_id": row.organization_id, "id": row.id})


def _key(row: RunRow, token: UUID) -> dict[str, Any]:
    return {"organization_id": row.organization_id, "id": row.id, "token": token}
