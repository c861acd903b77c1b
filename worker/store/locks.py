"""Advisory locks on identifiers. Every writer about a person takes them, drains and API requests alike."""

from collections.abc import Collection
from uuid import UUID

from sqlalchemy import Connection

from worker.store.db import Tx, run, sql

# Locks are taken in the order of their numbers, so that two sessions never wait for each other in a circle. OFFSET 0
# keeps the planner from calling the functions before the sort. Buckets bound the shared memory that a batch can take.
# Bucket -1 stands for the whole organization: it is shared by sessions that lock some identifiers, and exclusive for
# a session that locks all.
_TAKE = sql("""
    SELECT count(CASE WHEN bucket < 0 THEN pg_advisory_xact_lock_shared(CAST(:space AS integer), bucket)
                      ELSE pg_advisory_xact_lock(CAST(:space AS integer), bucket) END)
      FROM (SELECT -1 AS bucket
             UNION
            SELECT (hashtextextended(key, 0) & (:buckets - 1))::integer FROM unnest(CAST(:keys AS text[])) AS key
             ORDER BY 1 OFFSET 0) AS sorted
""")

_TAKE_ALL = sql("SELECT pg_advisory_xact_lock(CAST(:space AS integer), -1)")
_TAKE_NAMED = sql("SELECT pg_advisory_xact_lock(hashtextextended(:name, 0))")


def take(tx: Tx, keys: Collection[str], buckets: int) -> None:
    """Lock identifiers until the transaction ends; ``buckets`` is a power of two, equal in all processes."""
    tx.run(_TAKE, {"space": _space(tx.organization_id), "keys": list(keys), "buckets": buckets})


def take_all(tx: Tx) -> None:
    """Lock all identifiers of an organization until the transaction ends. Take it before any other lock."""
    tx.run(_TAKE_ALL, {"space": _space(tx.organization_id)})


def take_named(conn: Connection, name: str) -> None:
    """Lock a name until the transaction ends, for things that are no identifiers."""
    run(conn, _TAKE_NAMED, {"name": name})


def _space(organization_id: UUID) -> int:
    return int.from_bytes(organization_id.bytes[-4:], "big", signed=True)
