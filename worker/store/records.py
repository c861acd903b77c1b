"""Source records: what one source says about one customer, and the contact it belongs to."""

from collections.abc import Collection, Iterable, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from worker.domain import record_state
from worker.domain.record import Record
from worker.domain.rows import RecordRow, RecordWrite
from worker.domain.terms import Ref, kind_of
from worker.domain.times import microseconds, moment
from worker.store.batch_writer import columns_of, document, json_bytes, keys_of, rows_of
from worker.store.db import Tx, sql

_COLUMNS = (
    "r.id, r.source, r.external_id, r.kind, r.state, r.version, r.contact_id, r.is_lost, r.merged_at, r.is_oversize, "
    "r.joined_id"
)

# LATERAL … LIMIT 1, because a plain join may hash the whole organization for a few hundred rows.
_OF_REFS = f"""
      FROM {rows_of(source="text", external_id="text")}
     CROSS JOIN LATERAL (
        SELECT * FROM records r WHERE r.organization_id = :organization_id
           AND r.source = new.source AND r.external_id = new.external_id LIMIT 1) AS r
"""
_BY_REFS = sql(f"SELECT {_COLUMNS} {_OF_REFS}")

_BY_IDS = sql(f"""
    SELECT {_COLUMNS} FROM unnest(CAST(:ids AS uuid[])) AS given_id
     CROSS JOIN LATERAL (
        SELECT * FROM records r WHERE r.organization_id = :organization_id AND r.id = given_id LIMIT 1) AS r
""")

_BY_CONTACTS = sql(f"""
    SELECT {_COLUMNS} FROM {keys_of(contact_id="uuid")}
      JOIN records r ON r.organization_id = new.organization_id AND r.contact_id = new.contact_id
""")

_VERSIONS = sql(f"SELECT r.id, r.version {_OF_REFS}")

_INSERT = sql(f"""
    INSERT INTO records (organization_id, id, source, external_id, kind, state, is_live, is_lost, merged_at,
                         is_oversize, contact_id)
    SELECT :organization_id, id, source, external_id, kind, {
    document("state")
}, is_live, is_lost, merged_at, is_oversize,
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
        merged_at="timestamptz",
        is_oversize="boolean",
        contact_id="uuid",
    )
}
""")

_UPDATE = sql(f"""
    UPDATE records r
       SET state = {document("new.state")}, kind = new.kind, is_live = new.is_live, is_lost = new.is_lost,
           merged_at = new.merged_at, is_oversize = new.is_oversize, contact_id = new.contact_id,
           joined_id = new.joined_id, version = r.version + 1, updated_at = now()
      FROM {
    keys_of(
        id="uuid",
        version="integer",
        kind="text",
        state="json",
        is_live="boolean",
        is_lost="boolean",
        merged_at="timestamptz",
        is_oversize="boolean",
        contact_id="uuid",
        joined_id="uuid",
    )
}
     WHERE r.organization_id = new.organization_id AND r.id = new.id AND r.version = new.version
""")


_DELETE = sql(f"""
    DELETE FROM records r USING {keys_of(id="uuid")} WHERE r.organization_id = new.organization_id AND r.id = new.id
""")


def by_refs(tx: Tx, refs: Collection[Ref]) -> list[RecordRow]:
    """Load the records of these customers; unknown customers are left out."""
    return [_row(values) for values in tx.run(_BY_REFS, columns_of(list(refs), "source", "external_id")).all()]


def by_ids(tx: Tx, ids: Collection[UUID]) -> list[RecordRow]:
    """Load records by their ids."""
    return [_row(values) for values in tx.run(_BY_IDS, {"ids": list(ids)}).all()]


def by_contacts(tx: Tx, contact_ids: Collection[UUID]) -> list[RecordRow]:
    """Load all records of these contacts."""
    return [_row(values) for values in tx.run(_BY_CONTACTS, {"contact_id": list(contact_ids)}).all()]


def versions(tx: Tx, refs: Collection[Ref]) -> dict[UUID, int]:
    """Load the version of each of these records, which counts its updates."""
    rows = tx.run(_VERSIONS, columns_of(list(refs), "source", "external_id"))
    return {row[0]: row[1] for row in rows.all()}


def encode(record: Record) -> bytes:
    """Return a record's state as ``insert_new`` and ``update`` take it."""
    return json_bytes(record_state.encode(record))


def insert_new(tx: Tx, writes: Iterable[RecordWrite]) -> None:
    """Add new records. A conflict means that the locks are broken, and raises."""
    values = [
        (write.row.id, *write.row.ref, write.row.record.kind, write.state, *_placed(write))
        for write in sorted(writes, key=_id)
    ]
    names = ("id", "source", "external_id", "kind", "state", "is_live", "is_lost", "merged_at", "is_oversize")
    if values:
        tx.run(_INSERT, columns_of(values, *names, "contact_id"))


def update(tx: Tx, writes: Iterable[RecordWrite]) -> int:
    """Update changed records; return the number of those still at the version that was loaded."""
    values = [
        (write.row.id, write.row.version, write.row.record.kind, write.state, *_placed(write), write.placement.joined)
        for write in sorted(writes, key=_id)
    ]
    names = ("id", "version", "kind", "state", "is_live", "is_lost", "merged_at", "is_oversize", "contact_id")
    if not values:
        return 0
    return tx.run(_UPDATE, columns_of(values, *names, "joined_id")).rowcount


def delete(tx: Tx, ids_: Collection[UUID]) -> None:
    """Delete records that no envelope is linked to any more; their claims are deleted before."""
    if ids_:
        tx.run(_DELETE, {"id": sorted(ids_)})


def _id(write: RecordWrite) -> int:
    return write.row.id.int  # integers compare ten times as fast as UUIDs


def _placed(write: RecordWrite) -> tuple[bool, bool, datetime | None, bool, UUID | None]:
    contact_id, merged, is_oversize, _ = write.placement
    return (write.row.record.is_live, merged is not None, moment(merged or 0), is_oversize, contact_id)


def _row(values: Sequence[Any]) -> RecordRow:
    id_, source, external_id, _, state, version, contact_id, is_lost, merged_at, is_oversize, joined = values
    record = record_state.decode(source, external_id, kind_of((source, external_id)), state)
    merged = microseconds(merged_at) if is_lost else None
    return RecordRow(id_, record, version, contact_id, merged, is_oversize, joined)
