"""Idempotency keys: the answer to a request, kept in its transaction, for the client that asks again."""

from datetime import timedelta
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import Connection

from worker.store.db import Tx, json, run, sql

#: a client that has not asked again within a day will not
KEPT = timedelta(days=1)


class Stored(NamedTuple):
    """What was asked and answered under a key."""

    request_sha256: bytes
    status: int
    headers: dict[str, str]
    body: bytes


# Waits for a request under the same key that is still at work; then it is either the first, or sees its answer.
_RESERVE = sql("""
    INSERT INTO idempotency_keys (organization_id, api_key_id, key, request_sha256)
    VALUES (:organization_id, :api_key_id, :key, :request_sha256)
        ON CONFLICT DO NOTHING
    RETURNING key
""")
_FIND = sql("""
    SELECT request_sha256, status, headers, body FROM idempotency_keys
     WHERE organization_id = :organization_id AND api_key_id = :api_key_id AND key = :key
""")
_ANSWER = sql("""
    UPDATE idempotency_keys SET status = :status, headers = CAST(:headers AS jsonb), body = :body
     WHERE organization_id = :organization_id AND api_key_id = :api_key_id AND key = :key
""")
_DELETE_EXPIRED = sql("""
    DELETE FROM idempotency_keys WHERE (organization_id, api_key_id, key) IN (
        SELECT organization_id, api_key_id, key FROM idempotency_keys
         WHERE created_at < now() - CAST(:kept AS interval) ORDER BY created_at LIMIT 1000 FOR UPDATE SKIP LOCKED)
""")


def reserve(tx: Tx, api_key_id: UUID, key: str, digest: bytes) -> Stored | None:
    """Take a key for a request, or return what is stored under it."""
    named = {"api_key_id": api_key_id, "key": key}
    if tx.run(_RESERVE, {**named, "request_sha256": digest}).first() is not None:
        return None
    row: Any = tx.run(_FIND, named).first()
    if row is None:  # it was a day old, and went this moment
        return reserve(tx, api_key_id, key, digest)
    return Stored(bytes(row.request_sha256), row.status, row.headers, bytes(row.body))


def answer(
    tx: Tx,
    api_key_id: UUID,
    key: str,
    status: int,
    headers: dict[str, str],
    body: bytes,
) -> None:
    """Keep the answer; it is seen once the request took effect."""
    named = {"api_key_id": api_key_id, "key": key}
    tx.run(_ANSWER, {**named, "status": status, "headers": json(headers), "body": body})


def delete_expired(conn: Connection) -> None:
    """Forget some keys that are older than a day."""
    run(conn, _DELETE_EXPIRED, {"kept": KEPT})
