"""The consent ledger: every statement about being contacted, by address. Statements are only added."""

from collections.abc import Collection, Iterable, Mapping
from operator import attrgetter
from uuid import UUID

from worker import ids
from worker.domain.consent import ConsentEntry
from worker.domain.keyed_consents import KeyedConsent
from worker.domain.terms import Ref
from worker.domain.times import microseconds
from worker.store.batch_writer import columns_of, json_bytes, rows_of
from worker.store.db import Tx, sql

_ALWAYS = {
    "id": "uuid",
    "statement_key": "bytea",
    "channel": "text",
    "purpose": "text",
    "address": "text",
    "status": "text",
    "occurred_at": "timestamptz",
    "source": "text",
    "external_id": "text",
    "method": "text",
    "evidence": "json",
    "envelope_id": "uuid",
}
#: columns that sources seldom fill; an insert leaves them out if no statement of the batch fills any
_SELDOM = {
    "origin": "text",
    "legal_basis": "text",
    "expires_at": "timestamptz",
    "is_repeat": "boolean",
    "is_undated": "boolean",
}


def _new(columns: Mapping[str, str]) -> str:
    given = ", ".join("evidence::jsonb" if name == "evidence" else name for name in columns)
    return f"""
    INSERT INTO consents (organization_id, {", ".join(columns)})
    SELECT :organization_id, {given} FROM {rows_of(**columns)}
"""


#: by whether the seldom columns are among them
_INSERT_NEW = {False: sql(_new(_ALWAYS)), True: sql(_new(_ALWAYS | _SELDOM))}

_COLUMNS = """s.id, s.statement_key, s.channel, s.purpose, s.address, s.status, s.occurred_at, s.source, s.external_id,
              s.method, s.evidence, s.envelope_id, s.created_at, s.origin, s.legal_basis, s.expires_at, s.is_repeat,
              s.is_undated"""

# LATERAL with OFFSET 0, because a plain join may hash the whole ledger for a few hundred addresses.
_ABOUT = f"""(
    SELECT s.* FROM unnest(CAST(:addresses AS text[])) AS given_address
     CROSS JOIN LATERAL (
        SELECT * FROM consents WHERE organization_id = :organization_id AND address = given_address OFFSET 0) AS s
     UNION ALL
    SELECT s.* FROM {rows_of(source="text", external_id="text")}
     CROSS JOIN LATERAL (
        SELECT * FROM consents WHERE organization_id = :organization_id AND (address IS NULL OR status = 'opted_out')
           AND source = new.source AND external_id = new.external_id OFFSET 0) AS s
) AS s"""

_BY_ADDRESSES = sql(f"SELECT {_COLUMNS} FROM {_ABOUT}")

_STORED = sql("""
    SELECT statement_key FROM consents
     WHERE organization_id = :organization_id AND statement_key = ANY(CAST(:keys AS bytea[]))
""")

_WITHDRAW = sql("""
    DELETE FROM consents WHERE organization_id = :organization_id AND envelope_id = ANY(:envelope_ids)
    RETURNING channel, address
""")


def insert_new(tx: Tx, entries: Iterable[KeyedConsent]) -> None:
    """Add statements.

    There is no conflict clause, which would cost as much as the row; a statement that is stored already raises.
    """
    ordered = sorted(entries, key=_key)
    if not ordered:
        return
    values = [
        (
            ids.new(),
            key,
            c.channel,
            c.purpose,
            c.address,
            c.status,
            c.occurred or None,
            *c.ref,
            c.method,
            json_bytes(dict(c.evidence)),
            envelope_id,
        )
        for key, c, envelope_id in ordered
    ]
    parameters = columns_of(values, *_ALWAYS)
    seldom = [
        (c.origin, c.legal_basis, c.expires_at, c.is_repeat, c.is_undated) for c in (one.consent for one in ordered)
    ]
    if has_seldom := any(map(any, seldom)):
        parameters |= columns_of(seldom, *_SELDOM)
    tx.run(_INSERT_NEW[has_seldom], parameters)


_key = attrgetter("key")


def by_addresses(tx: Tx, addresses: Collection[str], refs: Collection[Ref] = ()) -> list[ConsentEntry]:
    """Load all statements about these addresses, and those of these records that name no address or refuse one.

    If a record refuses another address, what it said of that comes too: only so it shows which refusal repeats another.
    """
    found = _load(tx, addresses, refs)
    own = set(refs)
    further = {e.address for e in found if e.address is not None and e.ref in own} - set(addresses)
    if further:
        found += [entry for entry in _load(tx, further, ()) if entry.ref in own]
    return list({entry.id: entry for entry in found}.values())


def _load(tx: Tx, addresses: Collection[str], refs: Collection[Ref]) -> list[ConsentEntry]:
    keys = columns_of(list(refs), "source", "external_id")
    return [
        ConsentEntry(
            id=row[0],
            key=bytes(row[1]),
            channel=row[2],
            purpose=row[3],
            address=row[4],
            status=row[5],
            occurred=microseconds(row[6]),
            ref=(row[7], row[8]),
            method=row[9],
            evidence=row[10],
            envelope_id=row[11],
            created_at=row[12],
            origin=row[13],
            legal_basis=row[14],
            expires_at=row[15],
            is_repeat=row[16],
            is_undated=row[17],
        )
        for row in tx.run(_BY_ADDRESSES, {"addresses": list(addresses), **keys})
    ]


def stored(tx: Tx, keys: Collection[bytes]) -> set[bytes]:
    """Return which of these statements are stored, by their keys."""
    return {bytes(row[0]) for row in tx.run(_STORED, {"keys": list(keys)})} if keys else set()


def withdraw(tx: Tx, envelope_ids: Collection[UUID]) -> set[tuple[str, str]]:
    """Delete the statements of these envelopes, before a replay states them anew; return what they were about.

    That is (channel, address).
    """
    rows = tx.run(_WITHDRAW, {"envelope_ids": list(envelope_ids)})
    return {(channel, address) for channel, address in rows if address is not None}
