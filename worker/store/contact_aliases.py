"""Aliases: ids that contacts once had, and the record that carries each, where it is not the one it began as."""

from collections.abc import Collection, Mapping
from uuid import UUID

from worker.store.batch_writer import columns_of, keys_of, rows_of
from worker.store.db import Tx, sql

_OF_RECORDS = sql(f"""
    SELECT a.id, a.record_id FROM {keys_of(id="uuid")}
      JOIN contact_aliases a ON a.organization_id = new.organization_id AND a.record_id = new.id
     UNION ALL
    SELECT a.id, a.record_id FROM {keys_of(id="uuid")}
      JOIN contact_aliases a ON a.organization_id = new.organization_id AND a.id = new.id
""")

_ENSURE = sql(f"""
    INSERT INTO contact_aliases (organization_id, id, record_id)
    SELECT :organization_id, id, record_id FROM {rows_of(id="uuid", record_id="uuid")}
        ON CONFLICT (organization_id, id) DO UPDATE SET record_id = excluded.record_id
""")


def of_records(tx: Tx, record_ids: Collection[UUID]) -> dict[UUID, UUID]:
    """Return the ids that these records carry, and what became of their own; by alias."""
    return {row[0]: row[1] for row in tx.run(_OF_RECORDS, {"id": list(record_ids)})} if record_ids else {}


def ensure(tx: Tx, carriers: Mapping[UUID, UUID]) -> None:
    """Let records, the values, carry ids, the keys."""
    if carriers:
        tx.run(_ENSURE, columns_of(sorted(carriers.items()), "id", "record_id"))
