"""Claims: which records claim an identifier, and which of them owns it (the view ``identities``)."""

from collections import defaultdict
from collections.abc import Collection, Iterable
from typing import NamedTuple
from uuid import UUID

from sqlalchemy import TextClause

from worker.domain.rows import ClaimRow
from worker.domain.terms import EVIDENCE, Ident, Ref
from worker.store.batch_writer import columns_of, keys_of, rows_of
from worker.store.db import Tx, sql


class HeldRow(NamedTuple):
    """A claim, and the record that owns the identifier (None: it identifies nobody)."""

    claim: ClaimRow
    owner: Ref | None


_CLAIMANTS = sql(f"""
    SELECT c.* FROM {keys_of(type="text", key="text")}
     CROSS JOIN LATERAL (
        SELECT {", ".join(ClaimRow._fields)}
          FROM claims WHERE organization_id = new.organization_id AND type = new.type AND key = new.key
         ORDER BY record_id LIMIT :most) AS c
""")

# What guests gave beside their keys may be so much that nothing else fits in the limit.
_BUT_EVIDENCE = sql(f"""
    SELECT c.* FROM {keys_of(type="text", key="text")}
     CROSS JOIN LATERAL (
        SELECT {", ".join(ClaimRow._fields)} FROM claims
         WHERE organization_id = new.organization_id AND type = new.type AND key = new.key AND role <> {EVIDENCE}
         ORDER BY record_id LIMIT :most) AS c
""")

_BY_RECORDS = sql(f"""
    SELECT {", ".join("c." + name for name in ClaimRow._fields)}, r.source, r.external_id
      FROM {keys_of(record_id="uuid")}
      JOIN claims c ON c.organization_id = new.organization_id AND c.record_id = new.record_id
      LEFT JOIN LATERAL (
        SELECT record_id FROM claims
         WHERE organization_id = new.organization_id AND type = c.type AND key = c.key AND is_owner
         LIMIT 1) AS o ON true
      LEFT JOIN LATERAL (
        SELECT source, external_id FROM records
         WHERE organization_id = new.organization_id AND id = o.record_id LIMIT 1) AS r ON true
""")

_DELETE = sql(f"""
    DELETE FROM claims c USING {keys_of(record_id="uuid", type="text", key="text")}
     WHERE c.organization_id = new.organization_id AND c.type = new.type AND c.key = new.key
       AND c.record_id = new.record_id
""")

_DISOWN = sql(f"""
    UPDATE claims c SET is_owner = false FROM {keys_of(record_id="uuid", type="text", key="text")}
     WHERE c.organization_id = new.organization_id AND c.type = new.type AND c.key = new.key
       AND c.record_id = new.record_id
""")

_NAMES = ClaimRow._fields
_NEW = f"""
    INSERT INTO claims (organization_id, {", ".join(_NAMES)})
    SELECT :organization_id, {", ".join(_NAMES)}
      FROM {
    rows_of(
        type="text",
        key="text",
        record_id="uuid",
        source="text",
        is_customer="boolean",
        value="text",
        is_verified="boolean",
        is_owner="boolean",
        is_contested="boolean",
        role="smallint",
    )
}
"""
_INSERT_NEW = sql(_NEW)
_ENSURE = sql(f"""{_NEW}
        ON CONFLICT (organization_id, type, key, record_id) DO UPDATE
       SET value = excluded.value, is_verified = excluded.is_verified, is_owner = excluded.is_owner,
           is_contested = excluded.is_contested, role = excluded.role
""")
_OWNING = sql(f"""
    SELECT {", ".join("k." + name for name in ClaimRow._fields)} FROM {keys_of(type="text", key="text")}
     CROSS JOIN LATERAL (
        SELECT * FROM claims
         WHERE organization_id = new.organization_id AND type = new.type AND key = new.key AND is_owner LIMIT 1) AS k
""")


def claimants(tx: Tx, idents: Collection[Ident], most: int) -> dict[Ident, list[ClaimRow]]:
    """Load the claims of these identifiers, at most ``most`` for each, and as many of guests' evidence."""
    found = _load(tx, _CLAIMANTS, idents, most)
    crammed = [
        ident for ident, rows in found.items() if len(rows) == most and any(row.role == EVIDENCE for row in rows)
    ]
    for ident, rows in _load(tx, _BUT_EVIDENCE, crammed, most).items():
        found[ident] = sorted({*found[ident], *rows})
    return found


def _load(tx: Tx, statement: TextClause, idents: Collection[Ident], most: int) -> dict[Ident, list[ClaimRow]]:
    found: dict[Ident, list[ClaimRow]] = defaultdict(list)
    if idents:
        for values in tx.run(statement, {"most": most, **columns_of(list(idents), "type", "key")}).all():
            row = ClaimRow(*values)
            found[row.ident].append(row)
        for rows in found.values():
            rows.sort()
    return found


def owning(tx: Tx, idents: Collection[Ident]) -> list[ClaimRow]:
    """Load the claims that own these identifiers."""
    if not idents:
        return []
    return [ClaimRow(*values) for values in tx.run(_OWNING, columns_of(list(idents), "type", "key")).all()]


def by_records(tx: Tx, record_ids: Collection[UUID]) -> list[HeldRow]:
    """Load all claims of these records, each with the owner of its identifier."""
    found = tx.run(_BY_RECORDS, {"record_id": list(record_ids)})
    size = len(ClaimRow._fields)
    return [HeldRow(ClaimRow(*row[:size]), None if row[size] is None else (row[size], row[size + 1])) for row in found]


def delete(tx: Tx, rows: Iterable[ClaimRow]) -> None:
    """Remove claims that their records no longer make."""
    _by_key(tx, rows, _DELETE)


def disown(tx: Tx, rows: Iterable[ClaimRow]) -> None:
    """Take identifiers from their owners, before other records get them: an identifier never has two owners."""
    _by_key(tx, rows, _DISOWN)


def insert_new(tx: Tx, rows: Iterable[ClaimRow]) -> None:
    """Add claims of new records. There is no conflict clause, which would cost as much as the row."""
    _write(tx, rows, _INSERT_NEW)


def ensure(tx: Tx, rows: Iterable[ClaimRow]) -> None:
    """Add or update claims."""
    _write(tx, rows, _ENSURE)


def _write(tx: Tx, rows: Iterable[ClaimRow], statement: TextClause) -> None:
    values = sorted(rows, key=lambda row: (row.type, row.key, row.record_id.int))
    if values:
        tx.run(statement, columns_of(values, *_NAMES))


def _by_key(tx: Tx, rows: Iterable[ClaimRow], statement: TextClause) -> None:
    values = sorted(row[:3] for row in rows)
    if values:
        tx.run(statement, columns_of(values, "type", "key", "record_id"))
