"""Idempotency keys: the answer to a request, stored in its transaction, for a client that repeats the request."""

from collections.abc import Collection
from datetime import timedelta
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import Connection

from worker.store.batch_writer import keys_of
from worker.store.db import Tx, json, run, sql

#: a client that has not repeated a request within a day will not do so
KEPT = timedelta(days=1)


class Stored(NamedTuple):
    """The request and the answer stored under a key."""

    request_sha256: bytes
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def is_forgotten(self) -> bool:
        """Whether the answer is gone because it told of somebody who was erased."""
        return self.status == 0


# Waits for a request with the same key that is still at work. Then this request is the first, or it sees the answer.
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
    UPDATE idempotency_keys SET status = :status, headers = CAST(:headers AS jsonb), body = :body,
           contact_id = :contact_id
     WHERE organization_id = :organization_id AND api_key_id = :api_key_id AND key = :key
""")
# The key stays, so that a client that repeats the request does not bring back who was forgotten.
_FORGET = sql(f"""
    UPDATE idempotency_keys k
       SET status = 0, headers = '{{}}', body = '', request_sha256 = decode(repeat('00', 32), 'hex'), contact_id = NULL
      FROM {keys_of(contact_id="uuid")}
     WHERE k.organization_id = new.organization_id AND k.contact_id = new.contact_id
""")
_DELETE_EXPIRED = sql("""
    DELETE FROM idempotency_keys WHERE (organization_id, api_key_id, key) IN (
        SELECT organization_id, api_key_id, key FROM idempotency_keys
         WHERE created_at < now() - CAST(:kept AS interval) ORDER BY created_at LIMIT 1000 FOR UPDATE SKIP LOCKED)
""")


def reserve(tx: Tx, api_key_id: UUID, key: str, digest: bytes) -> Stored | None:
    """Reserve a key for a request and return None; if it is in use, return what is stored under it."""
    if tx.run(_RESERVE, {"api_key_id": api_key_id, "key": key, "request_sha256": digest}).first() is not None:
        return None
    row: Any = tx.run(_FIND, {"api_key_id": api_key_id, "key": key}).first()
    if row is None:  # the key was a day old and has just been deleted
        return reserve(tx, api_key_id, key, digest)
    return Stored(bytes(row.request_sha256), row.status, row.headers, bytes(row.body))


def answer(
    tx: Tx,
    api_key_id: UUID,
    key: str,
    status: int,
    headers: dict[str, str],
    body: bytes,
    contact_id: UUID | None = None,
) -> None:
    """Store the answer under a reserved key; it becomes visible when the request takes effect.

    ``contact_id`` is the contact that it tells of.
    """
    found = {"status": status, "headers": json(headers), "body": body, "contact_id": contact_id}
    tx.run(_ANSWER, {"api_key_id": api_key_id, "key": key, **found})


def forget(tx: Tx, contact_ids: Collection[UUID]) -> None:
    """Delete the answers that tell of these contacts. Their keys stay in use as long as all keys."""
    if contact_ids:
        tx.run(_FORGET, {"contact_id": sorted(contact_ids)})


def delete_expired(conn: Connection) -> None:
    """Delete up to a thousand keys that are older than ``KEPT``."""
    run(conn, _DELETE_EXPIRED, {"kept": KEPT})
