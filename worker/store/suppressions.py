"""The suppression ledger: statements that an address must not be used, or may be used again."""

from collections.abc import Collection, Iterable, Sequence
from hashlib import blake2b
from typing import Any
from uuid import UUID

import orjson

from worker import ids
from worker.domain.consent import SuppressionEntry
from worker.domain.statements import SuppressionStatement
from worker.domain.times import microseconds, moment
from worker.store.batch_writer import columns_of, keys_of, rows_of
from worker.store.db import Tx, sql

_INSERT = sql(f"""
    INSERT INTO suppressions (organization_id, id, statement_key, channel, address, scope, reason, is_lift, occurred_at,
                              expires_at, source, external_id, origin, note, envelope_id)
    SELECT :organization_id, id, statement_key, channel, address, scope, reason, is_lift, occurred_at, expires_at,
           source, external_id, origin, note, envelope_id
      FROM {
    rows_of(
        id="uuid",
        statement_key="bytea",
        channel="text",
        address="text",
        scope="text",
        reason="text",
        is_lift="boolean",
        occurred_at="timestamptz",
        expires_at="timestamptz",
        source="text",
        external_id="text",
        origin="text",
        note="text",
        envelope_id="uuid",
    )
}
        ON CONFLICT (organization_id, statement_key) DO NOTHING
""")

_COLUMNS = """s.id, s.channel, s.address, s.scope, s.reason, s.is_lift, s.occurred_at, s.expires_at, s.source,
              s.external_id, s.envelope_id, s.created_at, s.origin, s.note"""

_BY_ADDRESSES = sql(f"""
    SELECT {_COLUMNS} FROM unnest(CAST(:addresses AS text[])) AS given_address
     CROSS JOIN LATERAL (
        SELECT * FROM suppressions WHERE organization_id = :organization_id AND address = given_address OFFSET 0) AS s
""")

_PAGE = sql(f"""
    SELECT {_COLUMNS}, s.statement_key FROM suppressions s
     WHERE s.organization_id = :organization_id AND s.statement_key > :after ORDER BY s.statement_key LIMIT :limit
""")

_STORED = sql(f"""
    SELECT s.statement_key FROM {keys_of(statement_key="bytea")}
      JOIN suppressions s ON s.organization_id = new.organization_id AND s.statement_key = new.statement_key
""")

# By address, because no index has the id.
_DELETE = sql(f"""
    DELETE FROM suppressions s USING {keys_of(id="uuid", address="text")}
     WHERE s.organization_id = new.organization_id AND s.address = new.address AND s.id = new.id
""")

_CORRECT = sql(f"""
    UPDATE suppressions s
       SET statement_key = new.statement_key, occurred_at = new.occurred_at, external_id = new.external_id,
           origin = new.origin, note = new.note
      FROM {
    keys_of(
        id="uuid",
        address="text",
        statement_key="bytea",
        occurred_at="timestamptz",
        external_id="text",
        origin="text",
        note="text",
    )
}
     WHERE s.organization_id = new.organization_id AND s.address = new.address AND s.id = new.id
""")

_WITHDRAW = sql(f"""
    DELETE FROM suppressions s USING {keys_of(envelope_id="uuid")}
     WHERE s.organization_id = new.organization_id AND s.envelope_id = new.envelope_id
    RETURNING channel, address
""")


def key_of(statement: SuppressionStatement) -> bytes:
    """Return the key of a statement, made of all its content: the same statement twice is one row."""
    parts: tuple[object, ...] = (
        statement.channel,
        statement.address,
        statement.scope,
        statement.reason,
        statement.is_lift,
        statement.occurred,
        statement.expires_at,
        statement.ref,
    )
    if statement.origin or statement.note:  # left out if empty, so that older statements keep their keys
        parts += (statement.origin, statement.note)
    return blake2b(orjson.dumps(parts), digest_size=16).digest()


def append(tx: Tx, stated: Iterable[tuple[SuppressionStatement, UUID]]) -> None:
    """Add statements; a statement whose key is stored already changes nothing."""
    values = [
        (
            ids.new(),
            key,
            s.channel,
            s.address,
            s.scope,
            s.reason,
            s.is_lift,
            moment(s.occurred),
            s.expires_at,
            *s.ref,
            s.origin,
            s.note,
            envelope_id,
        )
        for key, (s, envelope_id) in sorted({key_of(s): (s, e) for s, e in stated}.items())
    ]
    names = ("id", "statement_key", "channel", "address", "scope", "reason", "is_lift", "occurred_at", "expires_at")
    if values:
        tx.run(_INSERT, columns_of(values, *names, "source", "external_id", "origin", "note", "envelope_id"))


def by_addresses(tx: Tx, addresses: Collection[str]) -> list[SuppressionEntry]:
    """Load all statements about these addresses."""
    return [_entry(row) for row in tx.run(_BY_ADDRESSES, {"addresses": list(addresses)})]


def page(tx: Tx, after: bytes, limit: int) -> list[tuple[bytes, SuppressionEntry]]:
    """Load all statements in the order of their keys, from behind ``after``, each with its key."""
    return [(bytes(row[-1]), _entry(row)) for row in tx.run(_PAGE, {"after": after, "limit": limit})]


def correct(tx: Tx, said: Iterable[tuple[SuppressionEntry, SuppressionStatement]]) -> None:
    """Let stored statements say something else, as ``consents.correct``."""
    corrected = [(entry, key_of(statement), statement) for entry, statement in said]
    if not corrected:
        return
    rows = tx.run(_STORED, {"statement_key": [key for _, key, _ in corrected]})
    taken = {bytes(row[0]) for row in rows}
    kept, gone = [], []
    for entry, key, s in sorted(corrected, key=lambda one: one[0].id):
        if key in taken:
            gone.append((entry.address, entry.id))
        else:
            taken.add(key)
            kept.append((entry.address, entry.id, key, moment(s.occurred), s.ref[1], s.origin, s.note))
    if gone:
        tx.run(_DELETE, columns_of(gone, "address", "id"))
    if kept:
        names = ("address", "id", "statement_key", "occurred_at", "external_id", "origin", "note")
        tx.run(_CORRECT, columns_of(kept, *names))


def _entry(row: Sequence[Any]) -> SuppressionEntry:
    return SuppressionEntry(
        id=row[0],
        channel=row[1],
        address=row[2],
        scope=row[3],
        reason=row[4],
        is_lift=row[5],
        occurred=microseconds(row[6]),
        expires_at=row[7],
        ref=(row[8], row[9]),
        envelope_id=row[10],
        created_at=row[11],
        origin=row[12],
        note=row[13],
    )


def withdraw(tx: Tx, envelope_ids: Collection[UUID]) -> set[tuple[str, str]]:
    """Delete the statements of these envelopes, before a replay states them anew; return what they were about.

    That is (channel, address).
    """
    rows = tx.run(_WITHDRAW, {"envelope_id": list(envelope_ids)})
    return {(channel, address) for channel, address in rows if address is not None}
