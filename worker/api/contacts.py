"""The Contacts API as Wazapin publishes it: reading contacts, resolving identifiers.

Endpoints are plain functions: FastAPI runs them in its thread pool, where waiting for Postgres holds up
nobody. What belongs to another organization is not found.
"""

from collections.abc import Sequence
from typing import Annotated

from fastapi import APIRouter, Depends, Path, Query, Response

from worker import ids
from worker.api import paging, schemas
from worker.api.auth import ReadKey
from worker.api.contact_filters import Filters, given_once
from worker.api.contact_writes import CONFLICT
from worker.api.errors import ApiError, Detail, contact_not_found, not_valid
from worker.api.json_route import JsonRoute
from worker.api.request_bodies import IdentifierIn, ResolveIn
from worker.api.subresources import find
from worker.domain import identifiers
from worker.domain.rows import ContactRow
from worker.store import contact_lists, contacts, db
from worker.store.api_keys import Key
from worker.store.contact_lists import ContactFilter
from worker.store.db import Tx

router = APIRouter(prefix="/v1/contacts", tags=["contacts"], route_class=JsonRoute)

_NOT_READABLE = "not a value of its type, so it leads to nobody"
_ALL_BUT_POST = ["GET", "HEAD", "OPTIONS", "TRACE", "PUT", "PATCH", "DELETE"]


@router.get("", dependencies=[Depends(given_once)])
def list_contacts(key: ReadKey, query: Annotated[Filters, Query()]) -> schemas.ContactList:
    """List stored contacts, newest first; filters find every contact that claims the value.

    With ``updated_after`` the oldest change comes first, and a change shows up once all that came before it can:
    followed from cursor to cursor, the feed misses none.
    """
    wanted = ContactFilter(
        keys=query.keys(key.region), tag=query.tag, search=query.search, created_after=query.created_after
    )
    if query.updated_after is not None or query.after is not None:
        return _changed(key, query, wanted)
    with db.tenant_snapshot(key.organization_id) as tx:
        rows = contact_lists.page(tx, wanted, query.before, query.limit + 1)
    shown = rows[: query.limit]
    return schemas.ContactList(
        data=[schemas.Contact.of(row) for row in shown],
        meta=schemas.Meta(next_cursor=paging.write(shown[-1].first_id) if len(rows) > query.limit else None),
    )


def _changed(key: Key, query: Filters, wanted: ContactFilter) -> schemas.ContactList:
    """A page of the feed. Its last page has a cursor too, unless it is empty: more changes will come."""
    since, after_id = query.after or (query.updated_after, None)
    if since is None or query.before is not None:
        raise not_valid("cursor", "not a cursor of this list")
    with db.tenant_engine().connect() as tx:
        until = contact_lists.horizon(tx)
    with db.tenant_snapshot(key.organization_id) as tx:
        rows = contact_lists.changed(tx, wanted, since, after_id, until, query.limit)
    place = None
    if rows and rows[-1].updated_at is not None:
        place = paging.write(paging.Change(rows[-1].updated_at, rows[-1].id))
    return schemas.ContactList(data=[schemas.Contact.of(row) for row in rows], meta=schemas.Meta(next_cursor=place))


@router.get("/phone/{phone}", summary="Get a contact by phone number")
def contact_by_phone(
    key: ReadKey, phone: Annotated[str, Path(json_schema_extra={"format": "phone"})], response: Response
) -> schemas.ContactAnswer:
    """Get the contact that a number belongs to; the plus may be left out."""
    address = None if "\x00" in phone else identifiers.given_phone(phone, key.region)
    if address is None:
        raise not_valid("phone", "not a phone number in international form")
    lookup = ("phone", "", address.key)
    with db.tenant_snapshot(key.organization_id) as tx:
        row = contacts.owned(tx, [lookup]).get(lookup)
    if row is None:
        raise contact_not_found()
    return _answer(row, response)


@router.post("/lookup", operation_id="lookup_contact", summary="Resolve a contact (other name)")
@router.post("/resolve", summary="Resolve a contact by what is known of it")
def resolve_contact(key: ReadKey, asked: ResolveIn, response: Response) -> schemas.ContactAnswer:
    """Find the one contact that these identifiers belong to; those that nobody has are ignored."""
    with db.tenant_snapshot(key.organization_id) as tx:
        led = _matches(tx, key, asked.identifiers)
    found = {row.id: row for row in led if row is not None}
    if not found:
        raise contact_not_found(_unreadable(asked.identifiers, key.region))
    if len(found) > 1:
        raise ApiError(409, CONFLICT, details=_conflict(asked.identifiers, led))
    (row,) = found.values()
    return _answer(row, response)


@router.api_route("/lookup", methods=_ALL_BUT_POST, include_in_schema=False)
@router.api_route("/resolve", methods=_ALL_BUT_POST, include_in_schema=False)
def refuse_other_methods() -> None:
    """Answer before these words are taken for the id of a contact, which would be "not found"."""
    raise ApiError(405, "Method Not Allowed", headers={"Allow": "POST"})


@router.get("/{contact_id}")
def get_contact(key: ReadKey, contact_id: str, response: Response) -> schemas.ContactAnswer:
    """Get one contact; the id of a contact that was merged answers with the one it became."""
    with db.tenant_snapshot(key.organization_id) as tx:
        row = find(tx, contact_id)
    return _answer(row, response)


def _answer(row: ContactRow, response: Response) -> schemas.ContactAnswer:
    response.headers["ETag"] = schemas.etag(row)
    return schemas.ContactAnswer(data=schemas.Contact.of(row))


def _matches(tx: Tx, key: Key, asked: Sequence[IdentifierIn]) -> list[ContactRow | None]:
    """The contact that each identifier leads to, in their order."""
    births = [ids.parse(ids.CONTACT, one.value) if one.type == "contact_id" else None for one in asked]
    lookups = [_lookup(one, key.region) for one in asked]
    by_id = contacts.by_any_ids(tx, {id_ for id_ in births if id_ is not None})
    owned = contacts.owned(tx, {lookup for lookup in lookups if lookup is not None})
    return [
        by_id.get(birth) if birth is not None else owned.get(lookup) if lookup is not None else None
        for birth, lookup in zip(births, lookups, strict=True)
    ]


def _lookup(asked: IdentifierIn, region: str | None) -> contacts.Key | None:
    """Where an identifier is stored, as (type, source, key); None if the value cannot be one."""
    kind, value = asked.type, asked.value
    if kind == "external_id":
        return ("external_id", asked.source or "", value)
    if kind == "phone":
        phone = identifiers.given_phone(value, region)
        return None if phone is None else ("phone", "", phone.key)
    if kind in ("whatsapp", "wa_id"):
        return _whatsapp(value, region)
    if kind == "contact_id":
        return None
    address = identifiers.normal_form(kind, value, None)
    return None if address is None else (kind, "", address.key)


def _whatsapp(value: str, region: str | None) -> contacts.Key | None:
    """WhatsApp writes a number as digits without plus; what is no number is a business-scoped user id."""
    text = value.strip()
    phone = identifiers.given_phone(text, region) if any(map(str.isdigit, text[:2])) else None
    if phone is not None:
        return ("phone", "", phone.key)
    address = identifiers.normal_form("whatsapp_bsuid", text, None)
    return None if address is None else ("whatsapp_bsuid", "", address.key)


def _unreadable(asked: Sequence[IdentifierIn], region: str | None) -> list[Detail]:
    """Name the values that cannot be identifiers: a caller may think that the contact is not there."""
    return [
        {"field": f"identifiers[{position}].value", "reason": _NOT_READABLE}
        for position, one in enumerate(asked)
        if (ids.parse(ids.CONTACT, one.value) if one.type == "contact_id" else _lookup(one, region)) is None
    ]


def _conflict(asked: Sequence[IdentifierIn], led: Sequence[ContactRow | None]) -> list[Detail]:
    return [
        {
            "field": f"identifiers[{position}]",
            "reason": "belongs to this contact",
            "type": one.type,
            "contact_id": ids.show(ids.CONTACT, row.id),
        }
        for position, (one, row) in enumerate(zip(asked, led, strict=True))
        if row is not None
    ]
