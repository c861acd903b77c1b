"""The consent ledger: every statement about being contacted, by address. Statements are only added."""

from collections.abc import Collection, Iterable, Mapping
from operator import attrgetter
from uuid import UUID

from sqlalchemy import TextClause

from worker import ids
from worker.domain.consent import RESTRICTIVENESS, ConsentEntry
from worker.domain.ledger import KeyedConsent, PriorConsent
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
_SELDOM = {"origin": "text", "legal_basis": "text", "expires_at": "timestamptz", "is_repeat": "boolean"}


def _new(columns: Mapping[str, str]) -> str:
    given = ", ".join("evidence::jsonb" if name == "evidence" else name for name in columns)
    return f"""
    INSERT INTO consents (organization_id, {", ".join(columns)})
    SELECT :organization_id, {given} FROM {rows_of(**columns)}
"""


_ONCE = """
        ON CONFLICT (organization_id, statement_key) DO NOTHING
"""
#: by whether the seldom columns are among them
_INSERT_NEW = {False: sql(_new(_ALWAYS)), True: sql(_new(_ALWAYS | _SELDOM))}
_INSERT = {False: sql(_new(_ALWAYS) + _ONCE), True: sql(_new(_ALWAYS | _SELDOM) + _ONCE)}

_COLUMNS = """s.id, s.channel, s.purpose, s.address, s.status, s.occurred_at, s.source, s.external_id, s.method,
              s.evidence, s.envelope_id, s.created_at, coalesce(r.is_lost, false), s.origin, s.legal_basis,
              s.expires_at, s.is_repeat"""
_OF_RECORD = """LEFT JOIN records r ON r.organization_id = s.organization_id AND r.source = s.source
                                   AND r.external_id = s.external_id"""

# LATERAL with OFFSET 0, because a plain join may hash the whole ledger for a few hundred addresses.
_ABOUT = f"""(
    SELECT s.* FROM unnest(CAST(:addresses AS text[])) AS given_address
     CROSS JOIN LATERAL (
        SELECT * FROM consents WHERE organization_id = :organization_id AND address = given_address OFFSET 0) AS s
     UNION ALL
    SELECT s.* FROM {rows_of(source="text", external_id="text")}
     CROSS JOIN LATERAL (
        SELECT * FROM consents WHERE organization_id = :organization_id AND address IS NULL
           AND source = new.source AND external_id = new.external_id OFFSET 0) AS s
) AS s"""

_BY_ADDRESSES = sql(f"""
    SELECT {_COLUMNS} FROM {_ABOUT} {_OF_RECORD}
""")

#: statuses in the order of ``domain.consent.rank``
_BY_RESTRICTIVENESS = ", ".join(
    f"'{status}'" for status in sorted(RESTRICTIVENESS, key=lambda status: -RESTRICTIVENESS[status])
)
# Sorted by the columns that differ most first, so that most comparisons of rows end early.
_NEWEST = sql(f"""
    SELECT DISTINCT ON (coalesce(s.address, s.source || ' ' || s.external_id), s.channel, s.purpose)
           s.channel, s.purpose, s.address, s.source, s.external_id, s.status, s.occurred_at, s.statement_key
      FROM {_ABOUT}
     ORDER BY coalesce(s.address, s.source || ' ' || s.external_id), s.channel, s.purpose,
              (s.status <> 'unknown') DESC, s.occurred_at DESC NULLS LAST,
              array_position(ARRAY[{_BY_RESTRICTIVENESS}], s.status)
""")

_WITHDRAW = sql("DELETE FROM consents WHERE organization_id = :organization_id AND envelope_id = ANY(:envelope_ids)")


def insert_new(tx: Tx, entries: Iterable[KeyedConsent]) -> None:
    """Add the first statements about their addresses.

    There is no conflict clause, which would cost as much as the row; a statement that is stored already raises.
    """
    _write(tx, entries, _INSERT_NEW)


def append(tx: Tx, entries: Iterable[KeyedConsent]) -> None:
    """Add statements; a statement whose key is stored already changes nothing."""
    _write(tx, entries, _INSERT)


def _write(tx: Tx, entries: Iterable[KeyedConsent], statements: Mapping[bool, TextClause]) -> None:
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
    seldom = [(e.consent.origin, e.consent.legal_basis, e.consent.expires_at, e.consent.is_repeat) for e in ordered]
    if has_seldom := any(map(any, seldom)):
        parameters |= columns_of(seldom, *_SELDOM)
    tx.run(statements[has_seldom], parameters)


_key = attrgetter("key")


def by_addresses(tx: Tx, addresses: Collection[str], refs: Collection[Ref] = ()) -> list[ConsentEntry]:
    """Load all statements about these addresses, and all statements of these records that name no address."""
    keys = columns_of(list(refs), "source", "external_id")
    return [
        ConsentEntry(
            id=row[0],
            channel=row[1],
            purpose=row[2],
            address=row[3],
            status=row[4],
            occurred=microseconds(row[5]),
            ref=(row[6], row[7]),
            method=row[8],
            evidence=row[9],
            envelope_id=row[10],
            created_at=row[11],
            is_lost=row[12],
            origin=row[13],
            legal_basis=row[14],
            expires_at=row[15],
            is_repeat=row[16],
        )
        for row in tx.run(_BY_ADDRESSES, {"addresses": list(addresses), **keys})
    ]


def prior(tx: Tx, addresses: Collection[str], refs: Collection[Ref]) -> list[PriorConsent]:
    """Load the newest statement about each address or record: the value "before" in the change log."""
    keys = columns_of(list(refs), "source", "external_id")
    rows = tx.run(_NEWEST, {"addresses": list(addresses), **keys})
    return [PriorConsent(r[0], r[1], r[2] or (r[3], r[4]), r[5], microseconds(r[6]), bytes(r[7])) for r in rows]


def withdraw(tx: Tx, envelope_ids: Collection[UUID]) -> None:
    """Delete the statements of these envelopes, before a replay states them anew."""
    tx.run(_WITHDRAW, {"envelope_ids": list(envelope_ids)})
