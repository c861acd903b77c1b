"""Reading leases: which process reads a connection at the moment.

All reads of a connection use up the same limits of its provider, and a provider that is slow would take as many
processes as it had runs. So a run is leased together with its connection, in one statement, and so are customers to
be read back.
"""

from datetime import timedelta
from uuid import UUID

from sqlalchemy import Connection

from worker.store.db import run, sql

_RENEW = sql("""
    UPDATE reading_leases SET lease_until = clock_timestamp() + :lease
     WHERE organization_id = :organization_id AND connection_id = :connection_id AND token = :token
""")
# The row stays: it tells since when nobody reads the connection.
_RELEASE = sql("""
    UPDATE reading_leases SET lease_until = clock_timestamp()
     WHERE organization_id = :organization_id AND connection_id = :connection_id AND token = :token
""")


def take_sql(source: str) -> str:
    """Return the SQL that leases the connections of a query for ``:reading``, and returns those that it got."""
    return f"""
        INSERT INTO reading_leases (organization_id, connection_id, token, lease_until)
        SELECT organization_id, connection_id, CAST(:token AS uuid), clock_timestamp() + CAST(:reading AS interval)
          FROM {source}
            ON CONFLICT (organization_id, connection_id) DO UPDATE
           SET token = excluded.token, lease_until = excluded.lease_until
         WHERE reading_leases.lease_until <= clock_timestamp()
        RETURNING organization_id, connection_id
    """


def until_sql(table: str) -> str:
    """Return the SQL for the time until which a row's connection is being read; null if it never was."""
    return f"""
        (SELECT l.lease_until FROM reading_leases l
          WHERE l.organization_id = {table}.organization_id AND l.connection_id = {table}.connection_id)
    """


def since_sql(table: str) -> str:
    """Return the SQL for since when a row waits: since it is due, or since its connection was read last."""
    return f"greatest({table}.next_run_at, {until_sql(table)})"


def is_free_sql(table: str) -> str:
    """Return the SQL for whether nobody reads a row's connection."""
    return f"coalesce({until_sql(table)} <= clock_timestamp(), true)"


def renew(conn: Connection, organization_id: UUID, connection_id: UUID, *, lease: timedelta, token: UUID) -> bool:
    """Extend the lease; return False if another process has taken it."""
    key = {"organization_id": organization_id, "connection_id": connection_id, "token": token}
    return run(conn, _RENEW, {**key, "lease": lease}).rowcount == 1


def release(conn: Connection, organization_id: UUID, connection_id: UUID, *, token: UUID) -> None:
    """Let another process read the connection."""
    run(conn, _RELEASE, {"organization_id": organization_id, "connection_id": connection_id, "token": token})
