"""Notes: texts that people wrote about a contact. A note belongs to a record, so it follows merges and splits."""

from collections.abc import Collection, Iterable, Mapping
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from worker.domain.ledger import NewNote
from worker.domain.times import moment
from worker.store.batch_writer import columns_of, keys_of, rows_of
from worker.store.db import Tx, sql


class NoteRow(NamedTuple):
    """A note as stored."""

    id: UUID
    body: str
    author_type: str
    author_id: str | None
    author_name: str | None
    created_at: datetime
    envelope_id: UUID


_COLUMNS = ", ".join("n." + name for name in NoteRow._fields)

_INSERT = sql(f"""
    INSERT INTO notes (organization_id, id, record_id, body, author_type, author_id, author_name, envelope_id,
                       position, created_at)
    SELECT :organization_id, id, record_id, body, author_type, author_id, author_name, envelope_id, position,
           coalesce(created_at, now())
      FROM {
    rows_of(
        id="uuid",
        record_id="uuid",
        body="text",
        author_type="text",
        author_id="text",
        author_name="text",
        envelope_id="uuid",
        position="smallint",
        created_at="timestamptz",
    )
}
        ON CONFLICT (organization_id, envelope_id, position) DO NOTHING
""")

_PAGE = sql(f"""
    SELECT {_COLUMNS} FROM unnest(CAST(:record_ids AS uuid[]), CAST(:since AS timestamptz[])) AS given (given_id, since)
     CROSS JOIN LATERAL (
        SELECT * FROM notes WHERE organization_id = :organization_id AND record_id = given_id
           AND (CAST(:before AS uuid) IS NULL OR id < :before) AND (since IS NULL OR created_at > since)
         ORDER BY id DESC LIMIT :limit) AS n
     ORDER BY n.id DESC LIMIT :limit
""")

_BY_ENVELOPES = sql(f"""
    SELECT {_COLUMNS} FROM {keys_of(envelope_id="uuid")}
      JOIN notes n ON n.organization_id = new.organization_id AND n.envelope_id = new.envelope_id
     ORDER BY n.envelope_id, n.position
""")

_WITHDRAW = sql(f"""
    DELETE FROM notes n USING {keys_of(envelope_id="uuid")}
     WHERE n.organization_id = new.organization_id AND n.envelope_id = new.envelope_id
""")


def append(tx: Tx, rows: Iterable[NewNote]) -> None:
    """Add notes; a note that is stored already changes nothing."""
    values = [
        (
            row.id,
            row.record_id,
            row.note.body,
            row.note.author_type,
            row.note.author_id,
            row.note.author_name,
            row.envelope_id,
            row.note.position,
            moment(row.note.written),
        )
        for row in rows
    ]
    names = ("id", "record_id", "body", "author_type", "author_id", "author_name", "envelope_id", "position")
    if values:
        tx.run(_INSERT, columns_of(values, *names, "created_at"))


def page(tx: Tx, since: Mapping[UUID, int | None], before: UUID | None, limit: int) -> list[NoteRow]:
    """Load the notes of records, newest first, from below ``before``.

    ``since`` has the ids of the records. Of a record that was erased only notes count that are newer (microseconds).
    """
    times = [None if at is None else moment(at) for at in since.values()]
    rows = tx.run(_PAGE, {"record_ids": list(since), "since": times, "before": before, "limit": limit})
    return [NoteRow(*row) for row in rows]


def by_envelopes(tx: Tx, envelope_ids: Collection[UUID]) -> list[NoteRow]:
    """Load the notes of these envelopes."""
    return [NoteRow(*row) for row in tx.run(_BY_ENVELOPES, {"envelope_id": list(envelope_ids)})]


def withdraw(tx: Tx, envelope_ids: Collection[UUID]) -> None:
    """Delete the notes of these envelopes, before a replay adds them anew."""
    tx.run(_WITHDRAW, {"envelope_id": list(envelope_ids)})
