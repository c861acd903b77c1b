"""The suppression ledger: statements that an address must not be used, or may be again."""

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
      FROM unnest(CAST(:addresses AS text[])) AS wanted
     CROSS JOIN LATERAL (
        SELECT * FROM suppressions WHERE organization_id = :organization_id AND address = wanted OFFSET 0) AS s
""")

_WITHDRAW = sql("""
    DELETE FROM suppressions WHERE organization_id = :organization_id AND envelope_id = ANY(:envelope_ids)
""")


def key_of(said: SuppressionStatement) -> bytes:
    """Key a statement by everything it says: said twice, it is one row."""
    parts: tuple[object, ...] = (
        said.channel,
        said.address,
        said.scope,
        said.reason,
        said.is_lift,
        said.occurred,
        said.expires_at,
        said.ref,
    )
    if said.origin or said.note:  # appended, so that statements without keep the key they have always had
        parts += (said.origin, said.note)
    return blake2b(orjson.dumps(parts), digest_size=16).digest()


def append(tx: Tx, stated: Iterable[tuple[SuppressionStatement, UUID]]) -> None:
    """Add statements, each key once."""
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
    if not values:
        return
    parameters = columns_of(values, *names, "source", "external_id", "origin", "note", "envelope_id")
    tx.run(_INSERT, parameters)


def by_addresses(tx: Tx, addresses: Collection[str]) -> list[SuppressionEntry]:
    """Read every statement about these addresses."""
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


def withdraw(tx: Tx, envelope_ids: Collection[UUID]) -> None:
    """Remove what these envelopes stated, before they are read anew."""
    tx.run(_WITHDRAW, {"envelope_ids": list(envelope_ids)})
