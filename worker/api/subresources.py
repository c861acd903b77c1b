"""What hangs on a contact: identities, tags, notes, and everything that ever changed."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query, Response

from connectors.contract import Event, NoteAdded, TagsAdded, TagsRemoved
from worker import ids
from worker.api import operation, paging, schemas, timeline
from worker.api.auth import ReadKey, WriteKey
from worker.api.errors import ApiError, contact_not_found
from worker.api.json_route import JsonRoute
from worker.api.operation import Answer, IdempotentRequest, RepeatableRequest
from worker.api.paging import Paging
from worker.api.request_bodies import NoteIn, TagsIn
from worker.domain.api_writes import Write
from worker.domain.changeset import Changeset
from worker.domain.rows import ContactRow
from worker.domain.terms import Ref
from worker.pipeline import contact_view
from worker.pipeline.apply import Applied
from worker.pipeline.contact_view import ContactView
from worker.store import changes, contact_terms, contacts, db, notes, records
from worker.store.api_keys import Key
from worker.store.db import Tx

router = APIRouter(prefix="/v1/contacts/{contact_id}", tags=["contacts"], route_class=JsonRoute)

Page = Annotated[Paging, Query()]


@router.get("/identities")
def list_identities(key: ReadKey, contact_id: str) -> schemas.IdentityList:
    """List the identifiers that lead to a contact."""
    with db.tenant_snapshot(key.organization_id) as tx:
        one = look(tx, contact_id)
    return schemas.IdentityList(data=[schemas.Identity.of(row, one.contact.id) for row in one.identities])


@router.get("/tags")
def list_tags(key: ReadKey, contact_id: str) -> schemas.TagList:
    """List the tags of a contact."""
    with db.tenant_snapshot(key.organization_id) as tx:
        one = look(tx, contact_id)
    return schemas.TagList(data=[schemas.Tag.of(tag) for tag in one.tags])


@router.post(
    "/tags",
    response_model=schemas.TagAnswer,
    status_code=201,
    responses={200: {"model": schemas.TagAnswer, "description": "The contact had them already"}},
)
async def assign_tags(key: WriteKey, asked: IdempotentRequest, contact_id: str, tags: TagsIn) -> Response:
    """Assign a tag by name or id, or several by name. A name that is new makes a new tag."""
    return await operation.perform(key, asked, _Assign(key, contact_id, tags))


@router.delete("/tags/{tag:path}", status_code=204, response_class=Response)
async def remove_tag(key: WriteKey, asked: RepeatableRequest, contact_id: str, tag: str) -> Response:
    """Take a tag, given by its name or id, off a contact, whoever put it there."""
    return await operation.perform(key, asked, _Unassign(key, contact_id, tag))


@router.get("/notes")
def list_notes(key: ReadKey, contact_id: str, query: Page) -> timeline.NoteList:
    """List the notes about a contact, newest first."""
    with db.tenant_snapshot(key.organization_id) as tx:
        contact, ids_ = _with_records(tx, contact_id)
        rows = notes.page(tx, ids_, query.before, query.limit + 1)
    shown = rows[: query.limit]
    return timeline.NoteList(
        data=[timeline.Note.of(row, contact.id) for row in shown],
        meta=schemas.Meta(next_cursor=paging.write(shown[-1].id) if len(rows) > query.limit else None),
    )


@router.post("/notes", response_model=timeline.NoteAnswer, status_code=201)
async def create_note(key: WriteKey, asked: IdempotentRequest, contact_id: str, note: NoteIn) -> Response:
    """Write something down about a contact."""
    return await operation.perform(key, asked, _Note(key, contact_id, note))


@router.get("/timeline")
def list_timeline(key: ReadKey, contact_id: str, query: Page) -> timeline.Timeline:
    """List every change of a contact with its cause, newest first; also those under ids that were merged into it."""
    with db.tenant_snapshot(key.organization_id) as tx:
        _, ids_ = _with_records(tx, contact_id)
        rows = changes.page(tx, ids_, query.before, query.limit + 1)
    shown = rows[: query.limit]
    return timeline.Timeline(
        data=[timeline.Change.of(row) for row in shown],
        meta=schemas.Meta(next_cursor=paging.write(shown[-1].id) if len(rows) > query.limit else None),
    )


def find(tx: Tx, contact_id: str) -> ContactRow:
    """Read the contact that a path names; raises ApiError if there is none."""
    id_ = ids.parse(ids.CONTACT, contact_id)
    row = None if id_ is None else contacts.by_any_id(tx, id_)
    if row is None:
        raise contact_not_found()
    return row


def look(tx: Tx, contact_id: str) -> ContactView:
    """Read all that is known of the contact that a path names."""
    (one,) = contact_view.load(tx, [find(tx, contact_id)])
    return one


def _with_records(tx: Tx, contact_id: str) -> tuple[ContactRow, list[UUID]]:
    """The contact, and the birth ids of its records: all ids that the person has had."""
    contact = find(tx, contact_id)
    return contact, [row.id for row in records.of_contacts(tx, [contact.id])]


@dataclass(slots=True)
class _Assign:
    key: Key
    contact_id: str
    asked: TagsIn
    names: list[str] = field(default_factory=list)
    is_new: bool = False

    def plan(self, tx: Tx, now: datetime) -> tuple[Write, datetime]:
        held = operation.hold(tx, self.contact_id)
        self.names = self._names(tx)
        has = {tag.casefold() for tag in held.contact.tags}
        missing = tuple(name for name in self.names if name.casefold() not in has)
        self.is_new = bool(missing)
        if not missing:
            return Write(), now
        ref, links = held.edits(tx)
        event: Event = TagsAdded(external_id=ref[1], tags=missing, occurred_at=None)
        return Write(events=(operation.seen(ref), (ref[0], event)), links=links), held.after(now)

    def _names(self, tx: Tx) -> list[str]:
        if self.asked.tags is not None:
            return self.asked.tags
        if self.asked.name is not None:
            return [self.asked.name]
        known = schemas.tag_key(self.asked.tag_id or "")
        if known is None or not contact_terms.is_used(tx, contact_terms.tag_term(known)):
            raise ApiError(404, "tag not found")
        return [known]

    def judge(self, tx: Tx, people: Changeset) -> None:
        """Tags can be put on whoever the contact has become."""

    def answer(self, tx: Tx, _: Applied) -> Answer:
        one = look(tx, self.contact_id)
        keys = {name.casefold() for name in self.names}
        shown = [schemas.Tag.of(tag) for tag in one.tags if tag.key in keys]
        body = schemas.TagAnswer(data=shown if self.asked.tags is not None else shown[0])
        return Answer(201 if self.is_new else 200, body)


@dataclass(slots=True)
class _Unassign:
    key: Key
    contact_id: str
    tag: str

    def plan(self, tx: Tx, now: datetime) -> tuple[Write, datetime]:
        held = operation.hold(tx, self.contact_id)
        names = {self.tag.strip().casefold(), schemas.tag_key(self.tag)}
        key = next((tag.casefold() for tag in held.contact.tags if tag.casefold() in names), None)
        if key is None:
            raise ApiError(404, "tag not found")
        having: list[Ref] = sorted(row.ref for row in held.records if key in row.record.effective_tags())
        events: list[tuple[str, Event]] = [
            (source, TagsRemoved(external_id=external_id, tags=(key,), occurred_at=None))
            for source, external_id in having
        ]
        return Write(events=tuple(events)), held.after(now)

    def judge(self, tx: Tx, people: Changeset) -> None:
        """Whoever put the tag on meanwhile did so after this."""

    def answer(self, _: Tx, __: Applied) -> Answer:
        return Answer(204)


@dataclass(slots=True)
class _Note:
    key: Key
    contact_id: str
    asked: NoteIn

    def plan(self, tx: Tx, now: datetime) -> tuple[Write, datetime]:
        held = operation.hold(tx, self.contact_id)
        ref, links = held.edits(tx)
        event: Event = NoteAdded(
            external_id=ref[1],
            body=self.asked.body or self.asked.content or "",
            occurred_at=None,
            author_id=ids.show(ids.KEY, self.key.id),
            author_name=self.asked.author_name,
        )
        return Write(events=(operation.seen(ref), (ref[0], event)), links=links), held.after(now)

    def judge(self, tx: Tx, people: Changeset) -> None:
        """A note goes with whoever the contact has become."""

    def answer(self, tx: Tx, applied: Applied) -> Answer:
        contact = find(tx, self.contact_id)
        (row,) = notes.of_envelopes(tx, applied.envelope_ids)
        return Answer(201, timeline.NoteAnswer(data=timeline.Note.of(row, contact.id)))
