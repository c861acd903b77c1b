"""Advisory locks on identifiers: who writes about a person has them, webhooks and API alike."""

from collections.abc import Collection
from uuid import UUID

from sqlalchemy import Connection

from worker.store.db import run, sql

# Sorted by the integer, not by the text, so that two sessions never wait for each other in a circle;
# OFFSET 0 keeps the sort below the call. Buckets bound the shared memory that a batch can take.
_LOCK = sql("""
    SELECT count(pg_advisory_xact_lock(CAST(:space AS integer), bucket))
      FROM (SELECT DISTINCT (hashtextextended(key, 0) & (:buckets - 1))::integer AS bucket
              FROM unnest(CAST(:keys AS text[])) AS key ORDER BY 1 OFFSET 0) AS sorted
""")


def take(conn: Connection, organization_id: UUID, keys: Collection[str], buckets: int) -> None:
    """Lock identifiers until the transaction ends; ``buckets`` is a power of two, the same everywhere."""
    space = int.from_bytes(organization_id.bytes[-4:], "big", signed=True)
    run(conn, _LOCK, {"space": space, "keys": list(keys), "buckets": buckets})
