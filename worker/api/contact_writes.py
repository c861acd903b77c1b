"""Contacts written: create or update, edit, delete. Each is an event about a record, like a source's."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Header, Query, Response

from connectors.contract import ErasureRequested, Event, Identifier, ProfileRemoved, ProfileSeen, TagsAdded
from worker import ids
from worker.api import operation, schemas
from worker.api.auth import WriteKey
from worker.api.errors import ApiError, Detail, contact_not_found, not_valid
from worker.api.json_route import JsonRoute
from worker.api.operation import Answer, Held, IdempotentRequest, RepeatableRequest
from worker.api.request_bodies import ContactIn, ContactPatch, Profile
from worker.domain import identifiers
from worker.domain.api_writes import Write
from worker.domain.changeset import Changeset
from worker.domain.golden import field_register, is_custom
from worker.domain.rows import ContactRow, RecordRow
from worker.domain.terms import API_SOURCE, GUEST, IDENTIFIER, Ident, Ref
from worker.pipeline.apply import Applied
from worker.store import contacts, records
from worker.store.api_keys import Key
from worker.store.db import Tx

router = APIRouter(prefix="/v1/contacts", tags=["contacts"], route_class=JsonRoute)

CONFLICT = "contact identifiers resolve to different contacts"


@router.post(
    "",
    response_model=schemas.ContactAnswer,
    status_code=201,
    responses={200: {"model": schemas.ContactAnswer, "description": "Updated"}},
    response_description="Created",
    summary="Create or update a contact",
)
async def upsert_contact(key: WriteKey, asked: IdempotentRequest, contact: ContactIn) -> Response:
    """Create a contact, or update the one that an identifier leads to.

    Matched by external_source with external_id, then phone_number, then email. With an external pair the request
    speaks for that customer of that source, as a webhook would; without, it edits the contact.
    """
    return await operation.perform(key, asked, _Upsert(key, contact))


@router.patch("/{contact_id}", response_model=schemas.ContactAnswer)
async def update_contact(
    key: WriteKey,
    asked: RepeatableRequest,
    contact_id: str,
    contact: ContactPatch,
    if_match: Annotated[
        str | None, Header(max_length=1000, description="`ETag` of the state that the edit is based on")
    ] = None,
) -> Response:
    """Edit a contact. An edit goes before what sources say; ``null`` takes it back, and their value shows again."""
    return await operation.perform(key, asked, _Patch(key, contact_id, contact, if_match))


@router.delete("/{contact_id}", status_code=204, response_class=Response)
async def delete_contact(
    key: WriteKey,
    asked: RepeatableRequest,
    contact_id: str,
    erase: Annotated[bool, Query(description="Also ask for the person's data to be erased everywhere")] = False,  # noqa: FBT002 - a flag of the query
) -> Response:
    """Delete a contact, which a newer statement of a source makes again; suppressions stay with their addresses."""
    return await operation.perform(key, asked, _Delete(key, contact_id, erase=erase))


@dataclass(slots=True)
class _Upsert:
    key: Key
    contact: ContactIn
    target: Ref = ("", "")
    is_new: bool = False
    minted: str = field(default_factory=lambda: ids.new().hex)
    named: dict[str, Ident] = field(default_factory=dict)  #: identifiers by the field that gave them

    def plan(self, tx: Tx, now: datetime) -> tuple[Write, datetime]:
        asked = self.contact
        profile, self.named = read_profile(asked, self.key.region)
        links: tuple[tuple[Ref, Ref], ...] = ()
        if asked.pair is not None:
            self.target = asked.pair
            known = records.by_refs(tx, [self.target])
        else:
            held = self._matched(tx)
            if held is None:
                self.target, known = self._place(tx)
            else:
                self.target, links = held.edits(tx)
                known = held.records + held.others
        source, external_id = self.target
        profile["fields"].update(_cleared(asked, known, self.target))
        events: list[tuple[str, Event]] = [(source, ProfileSeen(external_id=external_id, occurred_at=None, **profile))]
        if asked.tags:
            events.append((source, TagsAdded(external_id=external_id, tags=tuple(asked.tags), occurred_at=None)))
        return Write(events=tuple(events), links=links), operation.after(now, known)

    def _matched(self, tx: Tx) -> Held | None:
        """The one contact that the number and the address lead to."""
        lookups = {name: (kind, "", value) for name, (kind, value) in self.named.items()}
        owners = contacts.owners(tx, set(lookups.values()))
        led = {name: owners[lookup] for name, lookup in lookups.items() if lookup in owners}
        if len(set(led.values())) > 1:
            raise conflict(self.named, led)
        for id_ in led.values():
            return operation.hold(tx, ids.show(ids.CONTACT, id_))
        return None

    def _place(self, tx: Tx) -> tuple[Ref, list[RecordRow]]:
        """The record of somebody nobody knows: named like a guest of a shop, by the number, else by the address.

        So requests that say the same at the same time speak of one record, and who was deleted comes back as before.
        A record whose identifier was edited since is another person's by now.
        """
        ident = next(iter(self.named.values()))
        ref = (API_SOURCE, f"{GUEST}{ident[0]}:{ident[1]}")
        known = records.by_refs(tx, [ref])
        if all(not row.record.is_live or ident in row.record.claims() for row in known):
            return ref, known
        return (API_SOURCE, self.minted), []

    def judge(self, _: Tx, people: Changeset) -> None:
        """Refuse what would leave the identifiers with several contacts; where rules make them one, they are."""
        owner_of = _owners(people)
        led = {
            name: people.snapshot.rows[ref].contact_id
            for name, ident in self.named.items()
            if (ref := owner_of.get(ident))
        }
        refs = {owner_of[ident] for ident in self.named.values() if ident in owner_of}
        if self.contact.pair is not None:
            led["external_id"] = people.snapshot.rows[self.target].contact_id
            refs.add(self.target)
        matched = {name: id_ for name, id_ in led.items() if id_ is not None}
        self.is_new = not matched
        group_of = {ref: number for number, group in enumerate(people.resolution.groups) for ref in group}
        if self.target not in group_of:
            raise ApiError(409, "the source of this customer says that it is no more")
        stay_apart = len({group_of.get(ref) for ref in refs}) > 1
        if len(set(matched.values())) > 1 and (stay_apart or self.contact.pair is None):
            raise conflict(self.named, matched)

    def answer(self, tx: Tx, applied: Applied) -> Answer:
        id_ = applied.contact_of[self.target]
        assert id_ is not None  # noqa: S101 - judge has seen that it stands
        return _show(_read(tx, id_), 201 if self.is_new else 200)


@dataclass(slots=True)
class _Patch:
    key: Key
    contact_id: str
    contact: ContactPatch
    if_match: str | None
    held: Held | None = None
    named: dict[str, Ident] = field(default_factory=dict)

    def plan(self, tx: Tx, now: datetime) -> tuple[Write, datetime]:
        self.held = held = operation.hold(tx, self.contact_id)
        self._check_state(held.contact)
        profile, self.named = read_profile(self.contact, self.key.region)
        target, links = held.edits(tx)
        profile["fields"].update(_cleared(self.contact, held.records, target))
        events: list[tuple[str, Event]] = []
        if any(profile.values()):
            events.append((target[0], ProfileSeen(external_id=target[1], occurred_at=None, **profile)))
            events += _freed(held, target, profile["identifiers"])
        else:
            links = ()
        pair = self.contact.pair
        if pair is not None and all(row.ref != pair for row in held.records):
            events.append((pair[0], ProfileSeen(external_id=pair[1], occurred_at=None)))
            links += ((held.anchor, pair),)
        return Write(events=tuple(events), links=links), held.after(now)

    def judge(self, tx: Tx, people: Changeset) -> None:
        """Under the locks: the state is still the one the edit is based on, and nobody else has the identifiers."""
        assert self.held is not None  # noqa: S101 - plan came first
        now = [people.snapshot.rows[row.ref].contact_id for row in self.held.records if row.ref in people.snapshot.rows]
        mine = next((id_ for id_ in now if id_ is not None), self.held.contact.id)
        self._check_state(_read(tx, mine))
        owner_of = _owners(people)
        led = {
            name: people.snapshot.rows[owner_of[ident]].contact_id
            for name, ident in self.named.items()
            if ident in owner_of
        }
        pair = self.contact.pair
        if pair is not None and pair in people.snapshot.rows:
            led["external_id"] = people.snapshot.rows[pair].contact_id
            self._check_customer(self.held, pair, people)
        others = {name: id_ for name, id_ in led.items() if id_ not in (None, mine)}
        if others:
            raise conflict(self.named, {name: id_ for name, id_ in others.items() if id_ is not None})

    def _check_customer(self, held: Held, pair: Ref, people: Changeset) -> None:
        """A source knows its customers: two of them are two people, unless the source or an operator says otherwise."""
        others = [
            row.ref
            for row in held.records
            if row.record.kind == "customer" and row.record.is_live and row.ref[0] == pair[0] and row.ref != pair
        ]
        together = any({pair, held.anchor} <= set(group) for group in people.resolution.groups)
        if others or not together:
            detail = {"field": "external_id", "reason": "the contact is another customer of this source"}
            raise ApiError(409, CONFLICT, details=[detail])

    def _check_state(self, row: ContactRow) -> None:
        if self.if_match is not None and self.if_match.strip() != "*":
            wanted = {tag.strip() for tag in self.if_match.split(",")}
            if schemas.etag(row) not in wanted:
                raise ApiError(412, "the contact has changed since; get it again")

    def answer(self, tx: Tx, _: Applied) -> Answer:
        return _show(operation.hold(tx, self.contact_id).contact, 200)


@dataclass(slots=True)
class _Delete:
    key: Key
    contact_id: str
    erase: bool = field(kw_only=True)

    def plan(self, tx: Tx, now: datetime) -> tuple[Write, datetime]:
        held = operation.hold(tx, self.contact_id)
        events: list[tuple[str, Event]] = [
            (source, ProfileRemoved(external_id=external_id, occurred_at=None))
            for source, external_id in sorted(row.ref for row in held.records if row.record.is_live)
        ]
        if self.erase:
            events.append((API_SOURCE, _erasure(held)))
        return Write(events=tuple(events)), held.after(now)

    def judge(self, tx: Tx, people: Changeset) -> None:
        """Whoever joined the contact meanwhile was not there when it was deleted, and stays."""

    def answer(self, _: Tx, __: Applied) -> Answer:
        return Answer(204)


def _cleared(asked: Profile, known: Iterable[RecordRow], target: Ref) -> dict[str, None]:
    """Every custom field of a record, if all are to go."""
    if asked.custom_fields is not None or "custom_fields" not in asked.model_fields_set:
        return {}
    registers = [name for row in known if row.ref == target for name in row.record.registers]
    return {name: None for name in registers if is_custom(name)}


def _freed(held: Held, target: Ref, slots: Mapping[str, Any]) -> list[tuple[str, Event]]:
    """Let go of the same identifiers in other records of edits, which a merge may have brought here."""
    freed: list[tuple[str, Event]] = []
    for row in held.records:
        mine: dict[str, Identifier | None] = {slot: None for slot in slots if IDENTIFIER + slot in row.record.registers}
        if row.record.source == API_SOURCE and row.ref != target and mine:
            freed.append((API_SOURCE, ProfileSeen(external_id=row.ref[1], occurred_at=None, identifiers=mine)))
    return freed


def _erasure(held: Held) -> ErasureRequested:
    """Name all that the contact consists of now: what comes later is not meant."""
    claimed = {claim for row in held.records for claim in row.record.claims().values()}
    return ErasureRequested(
        subject="contact",
        external_id=None,
        identifiers=tuple(
            Identifier(type=claim.type, value=claim.key)  # type: ignore[arg-type]
            for claim in sorted(claimed)
        ),
        occurred_at=None,
        customers=tuple(sorted(row.ref for row in held.records)),
    )


def read_profile(asked: Profile, region: str | None) -> tuple[dict[str, Any], dict[str, Ident]]:
    """Turn what is asked into the parts of an event, and name the identifiers by their field.

    Raises ApiError for a number that cannot be one.
    """
    given = asked.model_fields_set
    fields: dict[str, Any] = {}
    slots: dict[str, Identifier | None] = {}
    named: dict[str, Ident] = {}
    if "name" in given:
        fields["name"] = asked.name
    for name, value in (asked.custom_fields or {}).items():
        fields[field_register(name)] = value
    if "phone_number" in given:
        slots["phone"] = None
        if asked.phone_number is not None:
            phone = identifiers.given_phone(asked.phone_number, region)
            if phone is None:
                raise not_valid("phone_number", "not a phone number in international form")
            slots["phone"] = Identifier(type="phone", value=phone.value)
            named["phone_number"] = ("phone", phone.key)
    if "email" in given:
        slots["email"] = None
        if asked.email is not None and (email := identifiers.email(asked.email)):
            slots["email"] = Identifier(type="email", value=email.value)
            named["email"] = ("email", email.key)
    return {"fields": fields, "identifiers": slots}, named


def conflict(named: Mapping[str, Ident], led: Mapping[str, UUID]) -> ApiError:
    """Name each contact that was found, and the field that led to it."""
    details: list[Detail] = [
        {
            "field": name,
            "reason": "belongs to this contact",
            "type": named[name][0] if name in named else "external_id",
            "contact_id": ids.show(ids.CONTACT, id_),
        }
        for name, id_ in sorted(led.items())
    ]
    return ApiError(409, CONFLICT, details=details)


def _owners(people: Changeset) -> dict[Ident, Ref]:
    """Whose each identifier was before this request, among the records concerned."""
    refs = {row.id: ref for ref, row in people.snapshot.rows.items()}
    return {
        ident: refs[claim.record_id]
        for ident, claims in people.snapshot.claimed.items()
        for claim in _owning(claims)
        if claim.record_id in refs
    }


def _owning(claims: Iterable[Any]) -> list[Any]:
    return [claim for claim in claims if claim.is_owner]


def _read(tx: Tx, id_: UUID) -> ContactRow:
    row = contacts.by_ids(tx, [id_]).get(id_)
    if row is None:
        raise contact_not_found()
    return row


def _show(row: ContactRow, status: int) -> Answer:
    shown = schemas.Contact.of(row)
    headers = {"ETag": schemas.etag(row)}
    if status == 201:
        headers["Location"] = f"/v1/contacts/{shown.id}"
    return Answer(status, schemas.ContactAnswer(data=shown), headers)
