"""Routes below a contact, and their operations: identities, tags, notes and the timeline."""

from collections.abc import Hashable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Annotated, ClassVar
from uuid import UUID

from fastapi import APIRouter, Query, Response

from connectors.contract import Event, NoteAdded, TagsAdded, TagsRemoved
from worker import api_schemas, ids
from worker.api import lines, needs, operation, paging, timeline
from worker.api.auth import ReadKey, WriteKey
from worker.api.errors import ApiError
from worker.api.json_route import JsonRoute
from worker.api.loaded_contact import contact_of, load_contact, load_view, view_of, with_records
from worker.api.needs import Steps
from worker.api.operation import Answer, Done, IdempotentRequest, Outcome, RepeatableRequest
from worker.api.paging import Paging
from worker.api.request_bodies import NoteIn, TagsIn
from worker.domain.api_writes import ApiWrite
from worker.domain.rows import ContactRow
from worker.domain.terms import Ref
from worker.store import changes, contact_aliases, contact_terms, db, notes, records
from worker.store.api_keys import Key
from worker.store.db import Tx

router = APIRouter(prefix="/v1/contacts/{contact_id}", tags=["contacts"], route_class=JsonRoute)

Page = Annotated[Paging, Query()]


@router.get("/identities")
def list_identities(key: ReadKey, contact_id: str) -> api_schemas.IdentityList:
    """List the identifiers that lead to a contact."""
    with db.tenant_snapshot(key.organization_id) as tx:
        view = load_view(tx, contact_id)
    return api_schemas.IdentityList(data=[api_schemas.Identity.of(row, view.contact.id) for row in view.identities])


@router.get("/tags")
def list_tags(key: ReadKey, contact_id: str) -> api_schemas.TagList:
    """List the tags of a contact."""
    with db.tenant_snapshot(key.organization_id) as tx:
        view = load_view(tx, contact_id)
    return api_schemas.TagList(data=[api_schemas.Tag.of(tag) for tag in view.tags])


@router.post(
    "/tags",
    response_model=api_schemas.TagAnswer,
    status_code=201,
    responses={200: {"model": api_schemas.TagAnswer, "description": "The contact had them already"}},
)
async def assign_tags(key: WriteKey, request: IdempotentRequest, contact_id: str, tags: TagsIn) -> Response:
    """Assign a tag by name or id, or several by name. A name that is new makes a new tag."""
    return await lines.perform(key, request, _AssignTags(key, contact_id, tags))


@router.delete("/tags/{tag:path}", status_code=204, response_class=Response)
async def remove_tag(key: WriteKey, request: RepeatableRequest, contact_id: str, tag: str) -> Response:
    """Take a tag, given by its name or id, off a contact, whoever put it there."""
    return await lines.perform(key, request, _RemoveTag(key, contact_id, tag))


@router.get("/notes")
def list_notes(key: ReadKey, contact_id: str, query: Page) -> timeline.NoteList:
    """List the notes about a contact, newest first."""
    with db.tenant_snapshot(key.organization_id) as tx:
        contact = load_contact(tx, contact_id)
        since = {row.id: row.record.void_until for row in records.by_contacts(tx, [contact.id])}
        rows = notes.page(tx, since, query.before, query.limit + 1)
    shown = paging.fitting(rows, query.limit, lambda row: len(row.body))
    return timeline.NoteList(
        data=[timeline.Note.of(row, contact.id) for row in shown],
        meta=api_schemas.Meta(next_cursor=paging.write(shown[-1].id) if len(rows) > len(shown) else None),
    )


@router.post("/notes", response_model=timeline.NoteAnswer, status_code=201)
async def create_note(key: WriteKey, request: IdempotentRequest, contact_id: str, note: NoteIn) -> Response:
    """Write something down about a contact."""
    return await lines.perform(key, request, _CreateNote(key, contact_id, note))


@router.get("/timeline")
def list_timeline(key: ReadKey, contact_id: str, query: Page) -> timeline.Timeline:
    """List every change of a contact with its cause, newest first; also those under ids that were merged into it."""
    with db.tenant_snapshot(key.organization_id) as tx:
        _, past_ids = _load_with_past_ids(tx, contact_id)
        rows = changes.page(tx, past_ids, query.before, query.limit + 1)
    shown = paging.fitting(rows, query.limit, lambda row: len(str(row.details)))
    return timeline.Timeline(
        data=[timeline.Change.of(row) for row in shown],
        meta=api_schemas.Meta(next_cursor=paging.write(shown[-1].id) if len(rows) > len(shown) else None),
    )


def _load_with_past_ids(tx: Tx, contact_id: str) -> tuple[ContactRow, list[UUID]]:
    """Load the contact and all ids that it answers to: its own, those of its records, and those that they carry."""
    contact = load_contact(tx, contact_id)
    rows = [row for row in records.by_contacts(tx, [contact.id]) if row.record.kind != "edit"]
    carried = contact_aliases.of_records(tx, [row.id for row in rows])
    own = {row.id for row in rows if (row.record.is_live or row.merged is not None) and row.id not in carried}
    carriers = {row.id for row in rows}
    return contact, sorted({contact.id, *own, *(id_ for id_, carrier in carried.items() if carrier in carriers)})


@dataclass(slots=True)
class _AssignTags:
    is_alone: ClassVar[bool] = False
    is_of_records: ClassVar[bool] = False
    key: Key
    contact_id: str
    request: TagsIn
    names: list[str] = field(default_factory=list)
    is_new: bool = False

    @property
    def about(self) -> tuple[Hashable, ...]:
        return (self.contact_id,)

    def compose(self, now: datetime) -> Steps[tuple[ApiWrite, datetime]]:
        loaded = yield from with_records(self.contact_id)
        self.names = yield from self._load_names()
        present = {tag.casefold() for tag in loaded.contact.tags}
        missing = tuple(name for name in self.names if name.casefold() not in present)
        self.is_new = bool(missing)
        if not missing:
            return ApiWrite(), now
        ref, about = yield from loaded.edit()
        event: Event = TagsAdded(external_id=ref[1], tags=missing, occurred_at=None)
        return ApiWrite(events=(operation.existence(ref), (ref[0], event)), about=about), loaded.time_after(now)

    def _load_names(self) -> Steps[list[str]]:
        """Return the names of the tags; raises ApiError (404) for an id whose tag no contact has."""
        if self.request.tags is not None:
            return self.request.tags
        if self.request.name is not None:
            return [self.request.name]
        key = api_schemas.tag_key(self.request.tag_id or "")
        if key is None or not (yield from needs.is_used(contact_terms.tag_term(key))):
            raise ApiError(404, "tag not found")
        return [key]

    def judge(self, outcome: Outcome) -> None:
        """Refuse nothing: if the contact was merged meanwhile, the tags go to the surviving contact."""

    def answer(self, _: Done) -> Steps[Answer]:
        view = yield from view_of(self.contact_id)
        keys = {name.casefold() for name in self.names}
        shown = [api_schemas.Tag.of(tag) for tag in view.tags if tag.key in keys]
        body = api_schemas.TagAnswer(data=shown if self.request.tags is not None else shown[0])
        return Answer(201 if self.is_new else 200, body, contact_id=view.contact.id)


@dataclass(slots=True)
class _RemoveTag:
    is_alone: ClassVar[bool] = False
    is_of_records: ClassVar[bool] = False
    key: Key
    contact_id: str
    tag: str

    @property
    def about(self) -> tuple[Hashable, ...]:
        return (self.contact_id,)

    def compose(self, now: datetime) -> Steps[tuple[ApiWrite, datetime]]:
        loaded = yield from with_records(self.contact_id)
        names = {self.tag.strip().casefold(), api_schemas.tag_key(self.tag)}
        key = next((tag.casefold() for tag in loaded.contact.tags if tag.casefold() in names), None)
        if key is None:
            raise ApiError(404, "tag not found")
        tagged: list[Ref] = sorted(row.ref for row in loaded.records if key in row.record.effective_tags())
        events: list[tuple[str, Event]] = [
            (source, TagsRemoved(external_id=external_id, tags=(key,), occurred_at=None))
            for source, external_id in tagged
        ]
        return ApiWrite(events=tuple(events)), loaded.time_after(now)

    def judge(self, outcome: Outcome) -> None:
        """Refuse nothing: a tag that was assigned meanwhile is newer than this removal, and stays."""

    def answer(self, _: Done) -> Steps[Answer]:
        return Answer(204)
        yield  # a generator like the others


@dataclass(slots=True)
class _CreateNote:
    is_alone: ClassVar[bool] = False
    is_of_records: ClassVar[bool] = False
    key: Key
    contact_id: str
    note: NoteIn

    @property
    def about(self) -> tuple[Hashable, ...]:
        return (self.contact_id,)

    def compose(self, now: datetime) -> Steps[tuple[ApiWrite, datetime]]:
        loaded = yield from with_records(self.contact_id)
        ref, about = yield from loaded.edit()
        event: Event = NoteAdded(
            external_id=ref[1],
            body=self.note.body or self.note.content or "",
            occurred_at=None,
            author_id=ids.show(ids.KEY, self.key.id),
            author_name=self.note.author_name,
        )
        return ApiWrite(events=(operation.existence(ref), (ref[0], event)), about=about), loaded.time_after(now)

    def judge(self, outcome: Outcome) -> None:
        """Refuse nothing: if the contact was merged meanwhile, the note goes to the surviving contact."""

    def answer(self, done: Done) -> Steps[Answer]:
        contact = yield from contact_of(self.contact_id)
        (row,) = yield from needs.notes_of(done.envelope_id)
        return Answer(201, timeline.NoteAnswer(data=timeline.Note.of(row, contact.id)), contact_id=contact.id)
