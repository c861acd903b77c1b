"""Refetches: customers to be read from their provider, because a webhook did not say everything of them, or is doubted.

The table keeps its first name, ``wanted``: tables do not change with our words.
"""

from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple
from uuid import UUID

from sqlalchemy import Connection

from worker import ids
from worker.store import reading_leases
from worker.store.batch_writer import columns_of, keys_of, rows_of
from worker.store.db import Tx, run, sql


class Refetch(NamedTuple):
    """A customer to be read, under a lease of ours."""

    organization_id: UUID
    connection_id: UUID
    external_id: str
    token: UUID  #: of the request to read the customer; a newer request has another token
    attempts: int
    envelope_id: UUID | None = None  #: the deletion or revocation that the reading confirms
    deleted_at: datetime | None = None  #: when that takes effect if the provider never answers


_ENSURE = sql(f"""
    INSERT INTO wanted (organization_id, connection_id, external_id, token)
    SELECT :organization_id, connection_id, external_id, :token FROM {rows_of(connection_id="uuid", external_id="text")}
        ON CONFLICT (organization_id, connection_id, external_id) DO UPDATE
       SET token = excluded.token, attempts = 0, next_run_at = now()
""")
_ENSURE_DOUBTS = sql(f"""
    INSERT INTO wanted (organization_id, connection_id, external_id, token, envelope_id, deleted_at)
    SELECT DISTINCT ON (connection_id, external_id)
           :organization_id, connection_id, external_id, CAST(:token AS uuid), envelope_id, deleted_at
      FROM {rows_of(envelope_id="uuid", connection_id="uuid", external_id="text", deleted_at="timestamptz")}
     ORDER BY connection_id, external_id, deleted_at DESC
        ON CONFLICT (organization_id, connection_id, external_id) DO UPDATE
       SET token = excluded.token, envelope_id = excluded.envelope_id,
           deleted_at = greatest(wanted.deleted_at, excluded.deleted_at)
""")
# Customers of one connection, so that one request to its provider reads them all. The connection is leased too, so that
# nobody else reads it meanwhile. The customers' lease is the time at which they are due again.
_LEASE = sql(f"""
    WITH first AS (
        SELECT organization_id, connection_id FROM wanted w
         WHERE next_run_at <= now() AND {reading_leases.is_free_sql("w")}
         ORDER BY {reading_leases.since_sql("w")} LIMIT 1
    ), held AS ({reading_leases.take_sql("first")}), picked AS (
        SELECT w.organization_id, w.connection_id, w.external_id FROM wanted w
          JOIN held f ON f.organization_id = w.organization_id AND f.connection_id = w.connection_id
         WHERE w.next_run_at <= now() ORDER BY w.external_id LIMIT :most FOR UPDATE OF w SKIP LOCKED
    )
    UPDATE wanted w
       SET next_run_at = now() + CAST(:lease AS interval) * (1 << least(w.attempts, 10)), attempts = w.attempts + 1
      FROM picked WHERE w.organization_id = picked.organization_id AND w.connection_id = picked.connection_id
       AND w.external_id = picked.external_id
    RETURNING w.organization_id, w.connection_id, w.external_id, w.token, w.attempts, w.envelope_id, w.deleted_at
""")
_KEY = {"token": "uuid", "external_id": "text"}
_DELETE = sql(f"""
    DELETE FROM wanted w USING {keys_of(**_KEY)}
     WHERE w.organization_id = new.organization_id AND w.connection_id = :connection_id
       AND w.external_id = new.external_id AND w.token = new.token
""")


def ensure(tx: Tx, customers: Collection[tuple[UUID, str]]) -> None:
    """Have customers read: (connection, external id). A customer who waits already is due at once, without attempts."""
    if customers:
        columns = columns_of(sorted(set(customers)), "connection_id", "external_id")
        tx.run(_ENSURE, {"token": ids.new(), **columns})


def ensure_doubts(tx: Tx, doubts: Sequence[tuple[UUID, UUID, str, datetime]]) -> None:
    """Have the provider asked about deletions and revocations: (envelope, connection, external id, since when).

    A customer who waits already keeps the attempts, so that requests sent again and again put nothing off.
    """
    if doubts:
        columns = columns_of(doubts, "envelope_id", "connection_id", "external_id", "deleted_at")
        tx.run(_ENSURE_DOUBTS, {"token": ids.new(), **columns})


def lease(conn: Connection, *, most: int, lease: timedelta, reading: timedelta, token: UUID) -> list[Refetch]:
    """Lease customers of one connection; they are due again after the lease, which doubles with each attempt.

    ``reading`` and ``token`` are of the lease of the connection.
    """
    parameters = {"most": most, "lease": lease, "reading": reading, "token": token}
    return [Refetch(*row) for row in run(conn, _LEASE, parameters)]


def delete(conn: Connection, rows: Collection[Refetch]) -> None:
    """Delete customers who were read, or never will be; a customer for whom a newer request came stays."""
    if rows:
        first = next(iter(rows))
        columns = columns_of([(row.external_id, row.token) for row in rows], "external_id", "token")
        key = {"organization_id": first.organization_id, "connection_id": first.connection_id}
        run(conn, _DELETE, {**key, **columns})
