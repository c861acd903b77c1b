"""The Contacts API as Wazapin publishes it: reading contacts, resolving identifiers.

Endpoints are plain functions: FastAPI runs them in its thread pool, where waiting for Postgres holds up
nobody. What belongs to another organization is not found.
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Annotated, Literal
from uuid import UUID

from fastapi import APIRouter, Query
from sqlalchemy import Connection

from worker import identifiers, ids, view
from worker.api import paging, schemas
from worker.api.auth import Reader
from worker.api.errors import ApiError, Detail, contact_not_found
from worker.api.schemas import Filters, IdentifierIn, ResolveIn
from worker.store import contacts, db
from worker.store.api_keys import Key
from worker.store.contacts import ContactRow
from worker.view import View

router = APIRouter(
    prefix="/v1/contacts",
    tags=["contacts"],
    responses={status: {"model": schemas.Problem} for status in (400, 401, 403, 404, 413, 422, 500, 503)},
)

_NOT_READABLE = "not a value of its type, so it leads to nobody"
_Lookup = tuple[str, str, str]


@router.get("")
def list_contacts(key: Reader, query: Annotated[Filters, Query()]) -> schemas.ContactList:
    """List stored contacts, newest first; filters find every contact that claims the value."""
    wanted = query.keys()
    with db.reading(key.organization_id) as conn:
        if wanted:
            rows = contacts.page_holding(conn, key.organization_id, wanted, query.before, query.limit + 1)
        else:
            rows = contacts.page(conn, key.organization_id, query.before, query.limit + 1)
    more = len(rows) > query.limit
    shown = rows[: query.limit]
    return schemas.ContactList(
        data=[schemas.Contact.of(row) for row in shown],
        meta=schemas.Meta(next_cursor=paging.write(shown[-1].id) if more else None),
    )


@router.get("/phone/{phone}")
def contact_by_phone(key: Reader, phone: str) -> schemas.ContactAnswer:
    """Get the contact that a number belongs to; the plus may be left out."""
    address = schemas.read_phone(phone)
    if address is None:
        detail = {"field": "phone", "reason": "not a phone number in international form"}
        raise ApiError(422, "the request is not valid", details=[detail])
    lookup = ("phone", "", address.key)
    with db.reading(key.organization_id) as conn:
        owner = contacts.owners(conn, key.organization_id, [lookup]).get(lookup)
        return _answer(conn, key, owner)


@router.post("/lookup", responses={409: {"model": schemas.Problem}}, summary="Same as resolve")
@router.post("/resolve", responses={409: {"model": schemas.Problem}})
def resolve_contact(key: Reader, asked: ResolveIn) -> schemas.ContactAnswer:
    """Find the one contact that these identifiers belong to; those that nobody has are ignored."""
    with db.reading(key.organization_id) as conn:
        led = _matches(conn, key.organization_id, asked.identifiers)
        found = {id_ for id_ in led if id_ is not None}
        if not found:
            raise contact_not_found(_unreadable(asked.identifiers))
        if len(found) > 1:
            raise ApiError(
                409, "contact identifiers resolve to different contacts", details=_conflict(asked.identifiers, led)
            )
        return _answer(conn, key, found.pop())


@router.get("/{contact_id}")
def get_contact(key: Reader, contact_id: str) -> schemas.ContactAnswer:
    """Get one contact; the id of a contact that was merged answers with the one it became."""
    with db.reading(key.organization_id) as conn:
        return schemas.ContactAnswer(data=schemas.Contact.of(_find(conn, key, contact_id)))


@router.get("/{contact_id}/identities")
def list_identities(key: Reader, contact_id: str) -> schemas.IdentityList:
    """List the identifiers that lead to a contact."""
    one = _view(key, contact_id)
    return schemas.IdentityList(data=[schemas.Identity.of(row, one.contact.id) for row in one.identities])


@router.get("/{contact_id}/tags")
def list_tags(key: Reader, contact_id: str) -> schemas.TagList:
    """List the tags of a contact."""
    one = _view(key, contact_id)
    return schemas.TagList(data=[schemas.Tag.of(tag, key.organization_id) for tag in one.tags])


@router.get("/{contact_id}/consents")
def list_consents(key: Reader, contact_id: str) -> schemas.ConsentList:
    """List what counts per channel and purpose."""
    one = _view(key, contact_id)
    return schemas.ConsentList(data=[schemas.Consent.of(row, one.contact.id) for row in one.consents])


@router.get("/{contact_id}/suppressions")
def list_suppressions(
    key: Reader, contact_id: str, include: Annotated[Literal["lifted"] | None, Query()] = None
) -> schemas.SuppressionList:
    """List the suppressions of a contact's addresses; those lifted or expired only if asked for."""
    now = datetime.now(UTC)
    one = _view(key, contact_id)
    rows = [schemas.Suppression.of(row, one.contact.id, now) for row in one.suppressions]
    return schemas.SuppressionList(data=[row for row in rows if row.active or include == "lifted"])


def _find(conn: Connection, key: Key, contact_id: str) -> ContactRow:
    id_ = ids.read(ids.CONTACT, contact_id)
    row = None if id_ is None else contacts.by_any_id(conn, key.organization_id, id_)
    if row is None:
        raise contact_not_found()
    return row


def _view(key: Key, contact_id: str) -> View:
    with db.reading(key.organization_id) as conn:
        (one,) = view.load(conn, key.organization_id, [_find(conn, key, contact_id)])
    return one


def _answer(conn: Connection, key: Key, id_: UUID | None) -> schemas.ContactAnswer:
    row = None if id_ is None else contacts.by_ids(conn, key.organization_id, [id_]).get(id_)
    if row is None:
        raise contact_not_found()
    return schemas.ContactAnswer(data=schemas.Contact.of(row))


def _matches(conn: Connection, organization_id: UUID, asked: Sequence[IdentifierIn]) -> list[UUID | None]:
    """The contact that each identifier leads to, in their order."""
    births = [ids.read(ids.CONTACT, one.value) if one.type == "contact_id" else None for one in asked]
    lookups = [_lookup(one) for one in asked]
    present = contacts.present_ids(conn, organization_id, {id_ for id_ in births if id_ is not None})
    owners = contacts.owners(conn, organization_id, {lookup for lookup in lookups if lookup is not None})
    return [
        present.get(birth) if birth is not None else owners.get(lookup) if lookup is not None else None
        for birth, lookup in zip(births, lookups, strict=True)
    ]


def _lookup(asked: IdentifierIn) -> _Lookup | None:
    """Where an identifier is stored, as (type, source, key); None if the value cannot be one."""
    kind, value = asked.type, asked.value
    if kind == "external_id":
        return ("external_id", asked.source or "", value)
    if kind == "phone":
        phone = schemas.read_phone(value)
        return None if phone is None else ("phone", "", phone.key)
    if kind in ("whatsapp", "wa_id"):
        return _whatsapp(value)
    if kind == "contact_id":
        return None
    address = identifiers.read(kind, value, None)
    return None if address is None else (kind, "", address.key)


def _whatsapp(value: str) -> _Lookup | None:
    """WhatsApp writes a number as digits without plus; what is no number is a business-scoped user id."""
    text = value.strip()
    phone = identifiers.phone("+" + text.removeprefix("+"), None) if text.removeprefix("+").isdigit() else None
    if phone is not None:
        return ("phone", "", phone.key)
    address = identifiers.read("whatsapp_bsuid", text, None)
    return None if address is None else ("whatsapp_bsuid", "", address.key)


def _unreadable(asked: Sequence[IdentifierIn]) -> list[Detail]:
    """Name the values that cannot be identifiers: a caller may think that the contact is not there."""
    return [
        {"field": f"identifiers[{position}].value", "reason": _NOT_READABLE}
        for position, one in enumerate(asked)
        if (ids.read(ids.CONTACT, one.value) if one.type == "contact_id" else _lookup(one)) is None
    ]


def _conflict(asked: Sequence[IdentifierIn], led: Sequence[UUID | None]) -> list[Detail]:
    return [
        {
            "field": f"identifiers[{position}]",
            "reason": "belongs to this contact",
            "type": one.type,
            "contact_id": ids.show(ids.CONTACT, id_),
        }
        for position, (one, id_) in enumerate(zip(asked, led, strict=True))
        if id_ is not None
    ]
