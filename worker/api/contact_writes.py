"""Operations that write contacts: create or update, edit, delete. They state events about records, as sources do."""

from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Annotated, Any, ClassVar
from uuid import UUID

import structlog
from fastapi import APIRouter, Header, Query, Response

from connectors.contract import (
    Event,
    Identifier,
    ProfileSeen,
    TagsAdded,
)
from worker import api_schemas, ids
from worker.api import lines, needs
from worker.api.auth import WriteKey
from worker.api.contact_deletion import DeleteContact
from worker.api.errors import ApiError, Detail, contact_not_found, not_valid
from worker.api.json_route import JsonRoute
from worker.api.loaded_contact import (
    About,
    LoadedContact,
    contact_of,
    survivor_of,
    time_after,
    with_records,
)
from worker.api.needs import Steps
from worker.api.operation import Answer, Done, IdempotentRequest, Outcome, RepeatableRequest
from worker.api.request_bodies import ContactIn, ContactPatch, Profile
from worker.domain import identifiers
from worker.domain import registers as register_names
from worker.domain.api_writes import ApiWrite
from worker.domain.rows import ContactRow, RecordRow
from worker.domain.terms import API_SOURCE, GUEST, Claim, Ident, Ref, Stamp
from worker.store.api_keys import Key

log = structlog.get_logger()
router = APIRouter(prefix="/v1/contacts", tags=["contacts"], route_class=JsonRoute)

CONFLICT = "contact identifiers resolve to different contacts"


@router.post(
    "",
    response_model=api_schemas.ContactAnswer,
    status_code=201,
    responses={200: {"model": api_schemas.ContactAnswer, "description": "Updated"}},
    response_description="Created",
    summary="Create or update a contact",
)
async def upsert_contact(key: WriteKey, request: IdempotentRequest, contact: ContactIn) -> Response:
    """Create a contact, or update the one that an identifier leads to.

    Matched by external_source with external_id, then phone_number, then email. With an external pair the request
    speaks for that customer of that source, as a webhook would; without, it edits the contact.
    """
    return await lines.perform(key, request, UpsertContact(key, contact))


@router.patch("/{contact_id}", response_model=api_schemas.ContactAnswer)
async def update_contact(
    key: WriteKey,
    request: RepeatableRequest,
    contact_id: str,
    contact: ContactPatch,
    if_match: Annotated[
        str | None, Header(max_length=1000, description="`ETag` of the state that the edit is based on")
    ] = None,
) -> Response:
    """Edit a contact. An edit goes before what sources say; ``null`` takes it back, and their value shows again."""
    return await lines.perform(key, request, _UpdateContact(key, contact_id, contact, if_match))


@router.delete("/{contact_id}", status_code=204, response_class=Response)
async def delete_contact(
    key: WriteKey,
    request: RepeatableRequest,
    contact_id: str,
    erase: Annotated[bool, Query(description="Also ask for the person's data to be erased everywhere")] = False,  # noqa: FBT002 - a flag of the query
) -> Response:
    """Delete a contact. It stays deleted until a source states something newer about it or one of its addresses.

    Suppressions stay with their addresses. Who is erased starts anew then, and the addresses are suppressed.
    """
    return await lines.perform(key, request, DeleteContact(key, contact_id, erase=erase))


@dataclass(slots=True)
class UpsertContact:
    """Create a contact, or update the one that an identifier leads to."""

    is_alone: ClassVar[bool] = False
    is_of_records: ClassVar[bool] = True
    key: Key
    contact: ContactIn
    target: Ref = ("", "")  #: the record that is written
    is_new: bool = False
    #: made once, because `plan` runs twice and must name the same record
    new_id: str = field(default_factory=lambda: ids.new().hex)
    idents: dict[str, Ident] = field(default_factory=dict)  #: by the field that gives the identifier

    @property
    def about(self) -> tuple[Hashable, ...]:
        """The pair, number and address that it names."""
        given = self.contact
        return tuple(one for one in (given.pair, given.phone_number, given.email) if one is not None)

    def compose(self, now: datetime) -> Steps[tuple[ApiWrite, datetime]]:
        """State the profile and the tags about a customer, about an edit of a contact, or about a new person."""
        contact = self.contact
        profile, self.idents = profile_of(contact, self.key.region)
        about: About = ()
        if contact.pair is not None:
            self.target, rows = yield from survivor_of(contact.pair)
        else:
            loaded = yield from self._load_match()
            if loaded is None:
                self.target, rows = yield from self._record_of_new_person()
            else:
                self.target, about = yield from loaded.edit()
                rows = loaded.records + loaded.others
        source, external_id = self.target
        profile["fields"].update(_cleared_custom_fields(contact, rows, self.target))
        events: list[tuple[str, Event]] = [(source, ProfileSeen(external_id=external_id, occurred_at=None, **profile))]
        if contact.pair is None:
            events += _releases(rows, self.target, profile)
        if contact.tags:
            events.append((source, TagsAdded(external_id=external_id, tags=tuple(contact.tags), occurred_at=None)))
        return ApiWrite(events=tuple(events), about=about), time_after(now, rows)

    def _load_match(self) -> Steps[LoadedContact | None]:
        """Load the contact that the phone number and the e-mail address lead to; None if they lead to nobody.

        Raises ApiError (409) if they lead to different contacts.
        """
        keys = {name: (kind, "", value) for name, (kind, value) in self.idents.items()}
        owners = yield from needs.owners(set(keys.values()))
        contact_ids = {name: owners[key] for name, key in keys.items() if key in owners}
        if len(set(contact_ids.values())) > 1:
            raise conflict(self.idents, contact_ids)
        for id_ in contact_ids.values():
            return (yield from with_records(ids.show(ids.CONTACT, id_)))
        return None

    def _record_of_new_person(self) -> Steps[tuple[Ref, list[RecordRow]]]:
        """Name the record of a person whom nobody knows, and load its row if there is one.

        The record is named like a guest of a shop, after the phone number, else after the e-mail address. So equal
        requests at the same time are about one record, and a deleted person comes back under the same record. If
        the record's identifier was edited since, the record is another person's, and a new one is named.
        """
        ident = next(iter(self.idents.values()))
        ref = (API_SOURCE, f"{GUEST}{ident[0]}:{ident[1]}")
        rows = yield from needs.records_of([ref])
        if all(not row.record.is_live or ident in row.record.claims() for row in rows):
            return ref, rows
        return (API_SOURCE, self.new_id), []

    def judge(self, outcome: Outcome) -> None:
        """Refuse if the identifiers lead to several contacts, unless a pair is given and the rules merge them."""
        people, owner_of, group_of = outcome.people, outcome.owner_of, outcome.group_of
        contact_ids = {
            name: people.snapshot.rows[ref].contact_id
            for name, ident in self.idents.items()
            if (ref := owner_of.get(ident))
        }
        refs = {owner_of[ident] for ident in self.idents.values() if ident in owner_of}
        if self.contact.pair is not None:
            contact_ids["external_id"] = people.snapshot.rows[self.target].contact_id
            refs.add(self.target)
        matched = {name: id_ for name, id_ in contact_ids.items() if id_ is not None}
        self.is_new = not matched
        if self.target not in group_of:
            raise ApiError(409, "the source of this customer says that it is no more")
        stay_apart = len({group_of.get(ref) for ref in refs}) > 1
        if len(set(matched.values())) > 1 and (stay_apart or self.contact.pair is None):
            raise conflict(self.idents, matched)

    def answer(self, done: Done) -> Steps[Answer]:
        """Show the contact."""
        id_ = done.contact_of[self.target]
        assert id_ is not None  # noqa: S101 - judge has checked it
        row = yield from needs.present_contact(id_)
        if row is None:
            raise contact_not_found()
        return _show(row, 201 if self.is_new else 200)


@dataclass(slots=True)
class _UpdateContact:
    is_alone: ClassVar[bool] = False
    key: Key
    contact_id: str
    contact: ContactPatch
    if_match: str | None
    loaded: LoadedContact | None = None
    idents: dict[str, Ident] = field(default_factory=dict)  #: by the field that gives the identifier

    @property
    def is_of_records(self) -> bool:
        return self.if_match is None

    @property
    def about(self) -> tuple[Hashable, ...]:
        return (self.contact_id,)

    def compose(self, now: datetime) -> Steps[tuple[ApiWrite, datetime]]:
        self.loaded = loaded = yield from with_records(self.contact_id)
        self._check_if_match(loaded.contact)
        profile, self.idents = profile_of(self.contact, self.key.region)
        target, about = yield from loaded.edit()
        links: tuple[tuple[Ref, Ref], ...] = ()
        profile["fields"].update(_cleared_custom_fields(self.contact, loaded.records, target))
        events: list[tuple[str, Event]] = []
        if any(profile.values()):
            events.append((target[0], ProfileSeen(external_id=target[1], occurred_at=None, **profile)))
            events += _releases(loaded.records, target, profile)
        else:
            about = ()
        pair = self.contact.pair
        if pair is not None and all(row.ref != pair for row in loaded.records):
            events.append((pair[0], ProfileSeen(external_id=pair[1], occurred_at=None)))
            links = ((loaded.anchor, pair),)
        return ApiWrite(events=tuple(events), links=links, about=about), loaded.time_after(now)

    def judge(self, outcome: Outcome) -> None:
        """Refuse if another contact has an identifier. ``compose`` has compared ``If-Match``, again under the locks."""
        assert self.loaded is not None  # noqa: S101 - compose came first
        people, owner_of = outcome.people, outcome.owner_of
        own_ids = [
            people.snapshot.rows[row.ref].contact_id for row in self.loaded.records if row.ref in people.snapshot.rows
        ]
        own_id = next((id_ for id_ in own_ids if id_ is not None), self.loaded.contact.id)
        contact_ids = {
            name: people.snapshot.rows[owner_of[ident]].contact_id
            for name, ident in self.idents.items()
            if ident in owner_of
        }
        pair = self.contact.pair
        if pair is not None and pair in people.snapshot.rows:
            contact_ids["external_id"] = people.snapshot.rows[pair].contact_id
            self._check_customer(self.loaded, pair, outcome)
        others = {name: id_ for name, id_ in contact_ids.items() if id_ not in (None, own_id)}
        if others:
            raise conflict(self.idents, {name: id_ for name, id_ in others.items() if id_ is not None})

    def _check_customer(self, loaded: LoadedContact, pair: Ref, outcome: Outcome) -> None:
        """Refuse to join two customers of one source, which keeps them apart because it knows them as two people.

        Only the source itself or an operator can say otherwise.
        """
        others = [
            row.ref
            for row in loaded.records
            if row.record.kind == "customer" and row.record.is_live and row.ref[0] == pair[0] and row.ref != pair
        ]
        group = outcome.group_of.get(pair)
        together = group is not None and group == outcome.group_of.get(loaded.anchor)
        if others or not together:
            detail = {"field": "external_id", "reason": "the contact is another customer of this source"}
            raise ApiError(409, CONFLICT, details=[detail])

    def _check_if_match(self, row: ContactRow) -> None:
        if self.if_match is not None and self.if_match.strip() != "*":
            etags = {tag.strip() for tag in self.if_match.split(",")}
            if api_schemas.etag(row) not in etags:
                raise ApiError(412, "the contact has changed since; get it again")

    def answer(self, _: Done) -> Steps[Answer]:
        return _show((yield from contact_of(self.contact_id)), 200)


def _cleared_custom_fields(profile: Profile, rows: Iterable[RecordRow], target: Ref) -> dict[str, None]:
    """Clear every custom field that the API set if the request has ``"custom_fields": null``."""
    if profile.custom_fields is not None or "custom_fields" not in profile.model_fields_set:
        return {}
    own = [row for row in rows if row.ref == target or row.ref[0] == API_SOURCE]
    return {name: None for row in own for name in row.record.registers if register_names.is_field(name)}


def _releases(rows: Iterable[RecordRow], target: Ref, profile: Mapping[str, Any]) -> list[tuple[str, Event]]:
    """Take what a request replaces or clears off the other records of the API.

    They are the person that the API created, and edits that a merge brought here. An identifier that was replaced
    would still lead to the contact, and a value that was cleared would show again.
    """
    events: list[tuple[str, Event]] = []
    for row in rows:
        if row.ref == target or row.ref[0] != API_SOURCE:
            continue
        held = row.record.effective()
        slots: dict[str, Identifier | None] = {
            slot: None for slot, new in profile["identifiers"].items() if _is_replaced(slot, new, held)
        }
        cleared = {name: None for name, value in profile["fields"].items() if value is None and name in held}
        if slots or cleared:
            seen = ProfileSeen(external_id=row.ref[1], occurred_at=None, fields=cleared, identifiers=slots)
            events.append((API_SOURCE, seen))
    return events


def _is_replaced(slot: str, new: Identifier | None, held: Mapping[str, tuple[Stamp, Any]]) -> bool:
    _, claim = held.get(register_names.of_slot(slot), (None, None))
    return claim is not None and (new is None or Claim(*claim).value != new.value)


def profile_of(profile: Profile, region: str | None) -> tuple[dict[str, Any], dict[str, Ident]]:
    """Return the fields and identifiers for a ProfileSeen, and each identifier by the field that gives it.

    Raises ApiError (422) if the phone number is not a number in the region.
    """
    given = profile.model_fields_set
    fields: dict[str, Any] = {}
    slots: dict[str, Identifier | None] = {}
    idents: dict[str, Ident] = {}
    if "name" in given:
        fields["name"] = profile.name
    for name, value in (profile.custom_fields or {}).items():
        fields[register_names.of_field(name)] = value
    if "phone_number" in given:
        slots["phone"] = None
        if profile.phone_number is not None:
            phone = identifiers.given_phone(profile.phone_number, region)
            if phone is None:
                raise not_valid("phone_number", "not a phone number in international form")
            slots["phone"] = Identifier(type="phone", value=phone.value)
            idents["phone_number"] = ("phone", phone.key)
    if "email" in given:
        slots["email"] = None
        if profile.email is not None and (email := identifiers.given_email(profile.email)):
            slots["email"] = Identifier(type="email", value=email.value)
            idents["email"] = ("email", email.key)
    return {"fields": fields, "identifiers": slots}, idents


def conflict(idents: Mapping[str, Ident], contact_ids: Mapping[str, UUID]) -> ApiError:
    """Return the error for fields that lead to different contacts; both mappings are keyed by field."""
    details: list[Detail] = [
        {
            "field": name,
            "reason": "belongs to this contact",
            "type": idents[name][0] if name in idents else "external_id",
            "contact_id": ids.show(ids.CONTACT, id_),
        }
        for name, id_ in sorted(contact_ids.items())
    ]
    return ApiError(409, CONFLICT, details=details)


def _show(row: ContactRow, status: int) -> Answer:
    shown = api_schemas.Contact.of(row)
    headers = {"ETag": api_schemas.etag(row)}
    if status == 201:
        headers["Location"] = f"/v1/contacts/{shown.id}"
    return Answer(status, api_schemas.ContactAnswer(data=shown), headers, row.id)
