"""Answers about a contact's past: notes, and every change with its cause."""

from datetime import datetime
from typing import Any
from uuid import UUID

from pydantic import BaseModel

from worker import ids
from worker.api_schemas import Meta
from worker.store.changes import ChangeRow
from worker.store.notes import NoteRow


class Author(BaseModel):
    """Who wrote a note."""

    type: str
    id: str | None
    name: str | None


class Note(BaseModel):
    """Something that was written down about the contact."""

    id: str
    contact_id: str
    body: str
    author: Author
    created_at: datetime
    updated_at: datetime
    envelope_id: str

    @classmethod
    def of(cls, note: NoteRow, contact_id: UUID) -> "Note":
        """Return the answer for a note. Notes never change, so it was updated when it was created."""
        return cls(
            id=ids.show(ids.NOTE, note.id),
            contact_id=ids.show(ids.CONTACT, contact_id),
            body=note.body,
            author=Author(type=note.author_type, id=note.author_id, name=note.author_name),
            created_at=note.created_at,
            updated_at=note.created_at,
            envelope_id=ids.show(ids.ENVELOPE, note.envelope_id),
        )


class FieldChange(BaseModel):
    """What became of one field."""

    field: str  #: ``name``, a custom field, ``tags``, ``consent:email:marketing``, ``note``, ``merged_into`` …
    before: Any
    after: Any
    envelope_id: str | None  #: of the statement with the new value


class Cause(BaseModel):
    """An envelope that led to a change."""

    envelope_id: str
    source: str
    topic: str
    actor: str | None  #: the id of the API key, if the cause is a request
    sent_at: datetime | None
    received_at: datetime


class Change(BaseModel):
    """An entry of a contact's history."""

    id: str
    contact_id: str  #: the id that the contact had then
    kind: str  #: created, changed, merged, removed
    changed_at: datetime
    fields: list[FieldChange]
    causes: list[Cause]

    @classmethod
    def of(cls, change: ChangeRow) -> "Change":
        """Return the answer for an entry of the change log."""
        return cls(
            id=ids.show(ids.CHANGE, change.id),
            contact_id=ids.show(ids.CONTACT, change.contact_id),
            kind=change.kind,
            changed_at=change.changed_at,
            fields=[
                FieldChange(
                    field=name,
                    before=_shown(name, detail.before),
                    after=_shown(name, detail.after),
                    envelope_id=detail.cause and ids.show(ids.ENVELOPE, UUID(detail.cause)),
                )
                for name, detail in sorted(change.details.items())
            ],
            causes=[
                Cause(
                    envelope_id=ids.show(ids.ENVELOPE, cause.envelope_id),
                    source=cause.source,
                    topic=cause.topic,
                    actor=cause.actor,
                    sent_at=cause.sent_at,
                    received_at=cause.received_at,
                )
                for cause in change.causes
            ],
        )


class NoteAnswer(BaseModel):
    """One note."""

    data: Note


class NoteList(BaseModel):
    """A page of notes, newest first."""

    data: list[Note]
    meta: Meta


class Timeline(BaseModel):
    """A page of changes, newest first."""

    data: list[Change]
    meta: Meta


def _shown(name: str, value: Any) -> Any:
    return ids.show(ids.CONTACT, UUID(value)) if name == "merged_into" and value else value
