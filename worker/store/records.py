"""Source records: what one source says about one customer, and the contact it belongs to."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from worker.domain.fold import Record, decode, encode
from worker.domain.terms import Ref
from worker.store.db import Tx, columns_of, json_bytes, rows_of, sql
from worker.store.json_columns import document


@dataclass(slots=True)
class RecordRow:
    """A record as stored; ``version`` is 0 for one that is not stored yet."""

    id: UUID
    record: Record
    version: int = 0
    contact_id: UUID | None = None
    is_lost: bool = False
    is_oversize: bool = False

    @property
    def ref(self) -> Ref:
        """The customer at its source."""
        return (self.record.source, self.record.external_id)


_COLUMNS = "r.id, r.source, r.external_id, r.kind, r.state, r.version, r.contact_id, r.is_lost, r.is_oversize"

# Look-ups by LATERAL … LIMIT 1: a plain join may hash the whole organization for a few hundred rows.
_OF_REFS = f"""
      FROM {rows_of(source="text", external_id="text")}
     CROSS JOIN LATERAL (
        SELECT * FROM records r WHERE r.organization_id = :organization_id
           AND r.source = new.source AND r.external_id = new.external_id LIMIT 1) AS r
"""
_BY_REFS = sql(f"SELECT {_COLUMNS} {_OF_REFS}")

_BY_IDS = sql(f"""
    SELECT {_COLUMNS} FROM unnest(CAST(:ids AS uuid[])) AS wanted
     CROSS JOIN LATERAL (
        SELECT * FROM records r WHERE r.organization_id = :organization_id AND r.id = wanted LIMIT 1) AS r
""")

_OF_CONTACTS = sql(f"""
    SELECT {_COLUMNS} FROM records r WHERE r.organization_id = :organization_id AND r.contact_id = ANY(:ids)
""")

_VERSIONS = sql(f"SELECT r.id, r.version {_OF_REFS}")

_INSERT = sql(f"""
    INSERT INTO records (organization_id, id, source, external_id, kind, state, is_live, is_lost, is_oversize,
                         contact_id)
    SELECT :organization_id, id, source, external_id, kind, {document("state")}, is_live, is_lost, is_oversize,
           contact_id
      FROM {
    rows_of(
        id="uuid",
        source="text",
        external_id="text",
        kind="text",
        state="json",
        is_live="boolean",
        is_lost="boolean",
        is_oversize="boolean",
        contact_id="uuid",
    )
}
""")

# Named once more by ANY, as wherever rows are joined to be changed: the join alone may hash the whole organization.
_UPDATE = sql(f"""
    UPDATE records r
       SET state = {document("new.state")}, is_live = new.is_live, is_lost = new.is_lost, is_oversize = new.is_oversize,
           contact_id = new.contact_id, version = r.version + 1, updated_at = now()
      FROM {
    rows_of(
        id="uuid",
        version="integer",
        state="json",
        is_live="boolean",
        is_lost="boolean",
        is_oversize="boolean",
        contact_id="uuid",
    )
}
     WHERE r.organization_id = :organization_id AND r.id = new.id AND r.version = new.version
       AND r.id = ANY(CAST(:id AS uuid[]))
""")


_DELETE = sql("DELETE FROM records WHERE organization_id = :organization_id AND id = ANY(:ids)")


def by_refs(tx: Tx, refs: Collection[Ref]) -> list[RecordRow]:
    """Read the records of these customers; unknown ones are left out."""
    found = tx.run(_BY_REFS, _of_refs(tx.organization_id, refs))
    return [_row(values) for values in found.all()]


def by_ids(tx: Tx, ids: Collection[UUID]) -> list[RecordRow]:
    """Read records by their birth ids."""
    found = tx.run(_BY_IDS, {"ids": list(ids)})
    return [_row(values) for values in found.all()]


def of_contacts(tx: Tx, contact_ids: Collection[UUID]) -> list[RecordRow]:
    """Read all records of these contacts."""
    found = tx.run(_OF_CONTACTS, {"ids": list(contact_ids)})
    return [_row(values) for values in found.all()]


def versions(tx: Tx, refs: Collection[Ref]) -> dict[UUID, int]:
    """Read how often each of these records has been written."""
    return {row[0]: row[1] for row in tx.run(_VERSIONS, _of_refs(tx.organization_id, refs)).all()}


def state_of(row: RecordRow) -> bytes:
    """Return a record's state as it is stored."""
    return json_bytes(encode(row.record))


def insert_new(tx: Tx, rows: Iterable[RecordRow], states: Mapping[Ref, bytes]) -> None:
    """Write new records, with those of their states that are at hand.

    A conflict means that the locks are broken, and surfaces.
    """
    values = [
        (row.id, *row.ref, row.record.kind, states.get(row.ref) or state_of(row), *_standing(row))
        for row in sorted(rows, key=_id)
    ]
    names = ("id", "source", "external_id", "kind", "state", "is_live", "is_lost", "is_oversize", "contact_id")
    if values:
        tx.run(_INSERT, columns_of(values, *names))


def update(tx: Tx, rows: Iterable[RecordRow], states: Mapping[Ref, bytes]) -> int:
    """Write changed records; return how many were still at the version that was read."""
    values = [
        (row.id, row.version, states.get(row.ref) or state_of(row), *_standing(row)) for row in sorted(rows, key=_id)
    ]
    names = ("id", "version", "state", "is_live", "is_lost", "is_oversize", "contact_id")
    if not values:
        return 0
    return tx.run(_UPDATE, columns_of(values, *names)).rowcount


def delete(tx: Tx, ids_: Collection[UUID]) -> None:
    """Remove records that nothing speaks of any more; they make no claims."""
    if ids_:
        tx.run(_DELETE, {"ids": sorted(ids_)})


def _id(row: RecordRow) -> int:
    return row.id.int  # compares ten times as fast


def _standing(row: RecordRow) -> tuple[bool, bool, bool, UUID | None]:
    return (row.record.is_live, row.is_lost, row.is_oversize, row.contact_id)


def _of_refs(organization_id: UUID, refs: Collection[Ref]) -> dict[str, Any]:
    return {"organization_id": organization_id, **columns_of(list(refs), "source", "external_id")}


def _row(values: Sequence[Any]) -> RecordRow:
    id_, source, external_id, kind, state, version, contact_id, is_lost, is_oversize = values
    return RecordRow(id_, decode(source, external_id, kind, state), version, contact_id, is_lost, is_oversize)
