"""Idempotency keys: the answer to a request, stored in its transaction, for a client that repeats the request."""

from collections.abc import Collection
from datetime import timedelta
from typing import NamedTuple
from uuid import UUID

from sqlalchemy import Connection

from worker.store.batch_writer import columns_of, json_bytes, keys_of, rows_of
from worker.store.db import Tx, run, sql

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


class StoredAnswer(NamedTuple):
    """The answer to a request, to be stored under its key."""

    api_key_id: UUID
    key: str
    status: int
    headers: dict[str, str]
    body: bytes
    contact_id: UUID | None  #: the contact that it tells of


# Waits for a request with the same key that is still at work. Then this request is the first, or it sees the answer.
# Keys are taken in one order, so that two groups of requests do not wait for each other.
_RESERVE = sql(f"""
    INSERT INTO idempotency_keys (organization_id, api_key_id, key, request_sha256)
    SELECT :organization_id, api_key_id, key, request_sha256
      FROM {rows_of(api_key_id="uuid", key="text", request_sha256="bytea")}
        ON CONFLICT DO NOTHING
    RETURNING api_key_id, key
""")
_FIND = sql(f"""
    SELECT k.api_key_id, k.key, k.request_sha256, k.status, k.headers, k.body
      FROM {rows_of(api_key_id="uuid", key="text")}
      JOIN idempotency_keys k ON k.organization_id = :organization_id AND k.api_key_id = new.api_key_id
                             AND k.key = new.key
""")
_ANSWER = sql(f"""
    UPDATE idempotency_keys k
       SET status = new.status, headers = new.headers::jsonb, body = new.body, contact_id = new.contact_id
      FROM {rows_of(api_key_id="uuid", key="text", status="smallint", headers="json", body="bytea", contact_id="uuid")}
     WHERE k.organization_id = :organization_id AND k.api_key_id = new.api_key_id AND k.key = new.key
""")
_RELEASE = sql(f"""
    DELETE FROM idempotency_keys k USING {rows_of(api_key_id="uuid", key="text")}
     WHERE k.organization_id = :organization_id AND k.api_key_id = new.api_key_id AND k.key = new.key
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


def reserve(tx: Tx, requests: Collection[tuple[UUID, str, bytes]]) -> dict[tuple[UUID, str], Stored]:
    """Reserve keys for requests, given as (API key, key, digest); return what is stored under those in use."""
    given = {(api_key_id, key): digest for api_key_id, key, digest in requests}
    found: dict[tuple[UUID, str], Stored] = {}
    while given:
        rows = [(*key, digest) for key, digest in sorted(given.items())]
        reserved = {
            (row[0], row[1]) for row in tx.run(_RESERVE, columns_of(rows, "api_key_id", "key", "request_sha256"))
        }
        given = {key: digest for key, digest in given.items() if key not in reserved}
        if given:
            rows_found = tx.run(_FIND, columns_of(list(given), "api_key_id", "key")).all()
            found |= {(row[0], row[1]): Stored(bytes(row[2]), row[3], row[4], bytes(row[5])) for row in rows_found}
        # One that is neither reserved nor found was a day old, and has just been deleted: it is free now.
        given = {key: digest for key, digest in given.items() if key not in found}
    return found


def answer(tx: Tx, answers: Collection[StoredAnswer]) -> None:
    """Store answers under reserved keys; they become visible when the requests take effect."""
    if answers:
        rows = [(*one[:3], json_bytes(one.headers), *one[4:]) for one in answers]
        tx.run(_ANSWER, columns_of(rows, *StoredAnswer._fields))


def release(tx: Tx, keys: Collection[tuple[UUID, str]]) -> None:
    """Give back reserved keys, as (API key, key), of requests that took no effect."""
    if keys:
        tx.run(_RELEASE, columns_of(list(keys), "api_key_id", "key"))


def forget(tx: Tx, contact_ids: Collection[UUID]) -> None:
    """Delete the answers that tell of these contacts. Their keys stay in use as long as all keys."""
    if contact_ids:
        tx.run(_FORGET, {"contact_id": sorted(contact_ids)})


def delete_expired(conn: Connection) -> None:
    """Delete up to a thousand keys that are older than ``KEPT``."""
    run(conn, _DELETE_EXPIRED, {"kept": KEPT})
