"""The change log: what happened to each contact, with the envelopes that caused it."""

from collections.abc import Collection, Iterable, Sequence
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from worker import ids
from worker.domain.changes import Change
from worker.domain.terms import API_SOURCE
from worker.store.batch_writer import columns_of, document, json_bytes, keys_of, rows_of
from worker.store.db import Tx, sql

#: the mark of a request's envelope that names the API key
ACTOR = "actor"


class Detail(NamedTuple):
    """The change of one field."""

    before: Any
    after: Any
    cause: str | None  #: the envelope that stated the new value, in hex; None if no single envelope did


# Arrays in an array must have one length, so the causes of an entry travel as one text.
_INSERT = sql(f"""
    INSERT INTO changes (organization_id, id, contact_id, kind, details, causes)
    SELECT :organization_id, id, contact_id, kind, {document("details")}, CAST(causes AS uuid[])
      FROM {rows_of(id="uuid", contact_id="uuid", kind="text", details="json", causes="text")}
""")


class CauseRow(NamedTuple):
    """An envelope that led to a change."""

    envelope_id: UUID
    source: str
    topic: str
    actor: str | None
    sent_at: datetime | None
    received_at: datetime


class ChangeRow(NamedTuple):
    """An entry as stored, with its causes."""

    id: UUID
    contact_id: UUID
    kind: str
    details: dict[str, Detail]
    changed_at: datetime
    causes: list[CauseRow]


# The history of a contact is the history of every id that the contact has had.
_PAGE = sql("""
    SELECT h.id, h.contact_id, h.kind, h.details, h.changed_at, h.causes
      FROM unnest(CAST(:contact_ids AS uuid[])) AS given_id
     CROSS JOIN LATERAL (
        SELECT * FROM changes WHERE organization_id = :organization_id AND contact_id = given_id
           AND (CAST(:before AS uuid) IS NULL OR id < :before)
         ORDER BY id DESC LIMIT :limit) AS h
     ORDER BY h.id DESC LIMIT :limit
""")

# A mark counts in an envelope of ours only. Earlier releases kept it among the headers, which nobody else can write for
# the connection of the API.
_MARKS = f"coalesce(e.marks, CASE WHEN c.connector = '{API_SOURCE}' THEN e.headers END)"

_CAUSES = sql(f"""
    SELECT e.id, c.source, e.topic, e.sent_at, e.received_at, {_MARKS} AS marks
      FROM unnest(CAST(:ids AS uuid[])) AS given_id
     CROSS JOIN LATERAL (
        SELECT * FROM envelopes WHERE organization_id = :organization_id AND id = given_id LIMIT 1) AS e
      JOIN connections c ON c.organization_id = e.organization_id AND c.id = e.connection_id
""")

_FORGET = sql(f"""
    UPDATE changes c SET details = '{{}}' FROM {keys_of(contact_id="uuid")}
     WHERE c.organization_id = new.organization_id AND c.contact_id = new.contact_id
""")


def page(tx: Tx, contact_ids: Sequence[UUID], before: UUID | None, limit: int) -> list[ChangeRow]:
    """Load the entries under these ids of a contact, newest first, from below ``before``."""
    rows = list(tx.run(_PAGE, {"contact_ids": list(contact_ids), "before": before, "limit": limit}))
    envelope_ids = {cause for row in rows for cause in row.causes}
    causes = {row.id: _cause(row) for row in tx.run(_CAUSES, {"ids": list(envelope_ids)})}
    return [
        ChangeRow(
            row.id,
            row.contact_id,
            row.kind,
            {name: _detail(stored, row.causes) for name, stored in row.details.items()},
            row.changed_at,
            [causes[id_] for id_ in row.causes if id_ in causes],
        )
        for row in rows
    ]


def _cause(row: Any) -> CauseRow:
    actor = next((value for name, value in row.marks or () if name == ACTOR), None)
    return CauseRow(row.id, row.source, row.topic, actor, row.sent_at, row.received_at)


def forget(tx: Tx, contact_ids: Collection[UUID]) -> None:
    """Empty the entries of contacts of whom somebody is to be forgotten. That something happened stays."""
    if contact_ids:
        tx.run(_FORGET, {"contact_id": sorted(contact_ids)})


def append(tx: Tx, entries: Iterable[Change]) -> None:
    """Add entries to the log."""
    values = [
        (ids.new(), e.contact_id, e.kind, _document(e), f"{{{','.join([cause.hex for cause in e.causes])}}}")
        for e in entries
    ]
    if values:
        tx.run(_INSERT, columns_of(values, "id", "contact_id", "kind", "details", "causes"))


def _document(entry: Change) -> bytes:
    """Return all details of an entry as JSON."""
    if entry.encoded is None:
        return json_bytes(entry.details)
    written = entry.encoded.json
    if not entry.details:
        return written
    return written[:-1] + b"," + json_bytes(entry.details)[1:]  # never empty: every contact has a source


def _detail(stored: Any, causes: Sequence[UUID]) -> Detail:
    if isinstance(stored, dict):  # the form of early releases
        return Detail(stored["before"], stored["after"], stored["cause"])
    return Detail(stored[0], stored[1], stored[2] if len(stored) > 2 else causes[0].hex)
