"""The change log: what happened to each contact, with the envelope that caused it."""

from collections.abc import Iterable
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import Connection

from worker import ids
from worker.store.db import columns_of, json, rows_of, run, sql


class Change(NamedTuple):
    """One entry: ``details`` maps a field to ``{"before", "after", "cause"}``."""

    contact_id: UUID
    kind: str  #: created, changed, merged, removed
    details: dict[str, Any]
    causes: tuple[UUID, ...]  #: envelopes


# An array of arrays must be rectangular, so the causes of an entry travel as one text.
_INSERT = sql(f"""
    INSERT INTO changes (organization_id, id, contact_id, kind, details, causes)
    SELECT :organization_id, id, contact_id, kind, details::jsonb, string_to_array(causes, ',')::uuid[]
      FROM {rows_of(id="uuid", contact_id="uuid", kind="text", details="json", causes="text")}
""")


def append(conn: Connection, organization_id: UUID, entries: Iterable[Change]) -> None:
    """Add entries to the log."""
    values = [
        (ids.new(), e.contact_id, e.kind, json(e.details), ",".join(cause.hex for cause in e.causes)) for e in entries
    ]
    if values:
        parameters = columns_of(values, "id", "contact_id", "kind", "details", "causes")
        run(conn, _INSERT, {"organization_id": organization_id, **parameters})
