"""Former contacts: ids whose contact was removed, merged or erased, for those who follow the feed of changes.

A row has no data of a person. It is kept as long as the change log: whatever deletes entries of the log has to delete
the rows of that age here. Today nothing deletes any.
"""

from collections.abc import Collection, Iterable
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from worker.store.batch_writer import columns_of, keys_of, rows_of
from worker.store.db import Tx, sql


class FormerContactRow(NamedTuple):
    """A contact that is gone."""

    id: UUID
    updated_at: datetime  #: when it went, by the clock that contacts get their time from
    merged_into: UUID | None  #: the contact that took over then; it may be gone as well by now


_ENSURE = sql(f"""
    INSERT INTO former_contacts (organization_id, id, merged_into)
    SELECT :organization_id, id, merged_into FROM {rows_of(id="uuid", merged_into="uuid")}
        ON CONFLICT (organization_id, id)
        DO UPDATE SET updated_at = clock_timestamp(), merged_into = EXCLUDED.merged_into
""")

_DELETE = sql(f"""
    DELETE FROM former_contacts f USING {keys_of(id="uuid")}
     WHERE f.organization_id = new.organization_id AND f.id = new.id
""")

_CHANGED = sql("""
    SELECT id, updated_at, merged_into FROM former_contacts
     WHERE organization_id = :organization_id AND updated_at > :since AND updated_at < :until
     ORDER BY updated_at, id LIMIT :limit
""")

_CHANGED_ON = sql("""
    SELECT id, updated_at, merged_into FROM former_contacts
     WHERE organization_id = :organization_id AND updated_at >= :since AND updated_at < :until
       AND (updated_at, id) > (:since, :after_id)
     ORDER BY updated_at, id LIMIT :limit
""")


def ensure(tx: Tx, rows: Iterable[tuple[UUID, UUID | None]]) -> None:
    """Note which contacts are gone now, each with the contact that takes over, if any.

    A contact that is noted already gets the new time.
    """
    values = sorted(rows, key=lambda row: row[0].int)
    if values:
        tx.run(_ENSURE, columns_of(values, "id", "merged_into"))


def delete(tx: Tx, ids: Collection[UUID]) -> None:
    """Forget ids that are contacts again; other ids change nothing."""
    if ids:
        tx.run(_DELETE, {"id": sorted(ids)})


def changed(tx: Tx, since: datetime, after_id: UUID | None, until: datetime, limit: int) -> list[FormerContactRow]:
    """Load contacts by the time when they went, oldest first; the bounds are those of ``contact_lists.changed``."""
    place = {"since": since, "until": until, "limit": limit}
    rows = tx.run(_CHANGED, place) if after_id is None else tx.run(_CHANGED_ON, {**place, "after_id": after_id})
    return [FormerContactRow(*values) for values in rows]
