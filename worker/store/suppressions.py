"""The suppression ledger: statements that an address must not be used, or may be used again."""

from collections.abc import Collection, Iterable
from hashlib import blake2b
from uuid import UUID

import orjson

from worker import ids
from worker.domain.consent import SuppressionEntry
from worker.domain.statements import SuppressionStatement
from worker.domain.times import microseconds, moment
from worker.store.batch_writer import columns_of, rows_of
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

_BY_ADDRESSES = sql("""
    SELECT s.id, s.channel, s.address, s.scope, s.reason, s.is_lift, s.occurred_at, s.expires_at, s.source,
           s.external_id, s.envelope_id, s.created_at, s.origin, s.note
      FROM unnest(CAST(:addresses AS text[])) AS given_address
     CROSS JOIN LATERAL (
        SELECT * FROM suppressions WHERE organization_id = :organization_id AND address = given_address OFFSET 0) AS s
""")

_WITHDRAW = sql("""
    DELETE FROM suppressions WHERE organization_id = :organization_id AND envelope_id = ANY(:envelope_ids)
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
    return [
        SuppressionEntry(
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
        for row in tx.run(_BY_ADDRESSES, {"addresses": list(addresses)})
    ]


def withdraw(tx: Tx, envelope_ids: Collection[UUID]) -> set[tuple[str, str]]:
    """Delete the statements of these envelopes, before a replay states them anew; return what they were about.

    That is (channel, address).
    """
    rows = tx.run(_WITHDRAW, {"envelope_ids": list(envelope_ids)})
    return {(channel, address) for channel, address in rows if address is not None}
