"""Schedules: how often each connection is read.

Any number of beats may look for due schedules; each due schedule starts one run.
"""

from datetime import datetime, timedelta
from typing import NamedTuple
from uuid import UUID

from sqlalchemy import Connection

from worker.store.db import Tx, run, sql


class ScheduleRow(NamedTuple):
    """A schedule as stored."""

    organization_id: UUID
    connection_id: UUID
    kind: str
    every: timedelta
    next_run_at: datetime
    is_paused: bool
    last_run_id: UUID | None


#: the schedules of a new connection that can be read, unless the operator chooses others
DEFAULTS = {"full": timedelta(days=7), "increment": timedelta(hours=1), "reconcile": timedelta(days=1)}

_COLUMNS = ", ".join(ScheduleRow._fields)
_ENSURE = sql("""
    INSERT INTO schedules (organization_id, connection_id, kind, every, next_run_at)
    VALUES (:organization_id, :connection_id, :kind, :every, coalesce(:first, now() + :every))
        ON CONFLICT (organization_id, connection_id, kind) DO UPDATE
       SET every = excluded.every, next_run_at = excluded.next_run_at, is_paused = false
""")
_PAUSE = sql("""
    UPDATE schedules
       SET is_paused = :is_paused, next_run_at = CASE WHEN :is_paused THEN next_run_at
                                                      ELSE greatest(next_run_at, now()) END
     WHERE organization_id = :organization_id AND connection_id = :connection_id
       AND (CAST(:kind AS text) IS NULL OR kind = :kind)
""")
_LIST = sql(f"""
    SELECT {_COLUMNS} FROM schedules WHERE organization_id = :organization_id ORDER BY connection_id, kind
""")
# The same statement finds a due schedule and sets its next time, so that another beat does not find it. After an outage
# a schedule starts one run, not one for each time that it missed. Removed, paused and revoked connections are left out.
_TAKE_DUE = sql(f"""
    WITH due AS (
        SELECT s.organization_id, s.connection_id, s.kind FROM schedules s
          JOIN connections c ON c.organization_id = s.organization_id AND c.id = s.connection_id
         WHERE NOT s.is_paused AND s.next_run_at <= now() AND c.state = 'active' AND c.revoked_at IS NULL
         ORDER BY s.next_run_at LIMIT 100 FOR UPDATE OF s SKIP LOCKED
    )
    UPDATE schedules s SET next_run_at = greatest(s.next_run_at + s.every, now() + s.every / 2)
      FROM due WHERE s.organization_id = due.organization_id AND s.connection_id = due.connection_id
       AND s.kind = due.kind
    RETURNING {", ".join("s." + name for name in ScheduleRow._fields)}
""")
_SET_LAST_RUN = sql("""
    UPDATE schedules SET last_run_id = :run_id
     WHERE organization_id = :organization_id AND connection_id = :connection_id AND kind = :kind
""")


def ensure(
    tx: Tx,
    connection_id: UUID,
    kind: str,
    every: timedelta,
    first: datetime | None = None,
) -> None:
    """Have a connection read every so often, first at ``first``; without it, one period from now."""
    tx.run(_ENSURE, {"connection_id": connection_id, "kind": kind, "every": every, "first": first})


def pause(tx: Tx, connection_id: UUID, kind: str | None, *, is_paused: bool = True) -> int:
    """Pause or resume the schedule of a kind, or all schedules of a connection; return their number."""
    return tx.run(_PAUSE, {"connection_id": connection_id, "kind": kind, "is_paused": is_paused}).rowcount


def of_organization(tx: Tx) -> list[ScheduleRow]:
    """Load all schedules of an organization."""
    return [ScheduleRow(*row) for row in tx.run(_LIST)]


def take_due(conn: Connection) -> list[ScheduleRow]:
    """Return the schedules that are due and set their next time; the caller starts their runs in this transaction."""
    return [ScheduleRow(*row) for row in run(conn, _TAKE_DUE)]


def set_last_run(conn: Connection, row: ScheduleRow, run_id: UUID) -> None:
    """Note the run that a schedule started."""
    key = {"organization_id": row.organization_id, "connection_id": row.connection_id, "kind": row.kind}
    run(conn, _SET_LAST_RUN, {**key, "run_id": run_id})
