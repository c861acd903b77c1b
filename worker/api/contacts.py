"""Routes that show contacts, as Wazapin publishes them: the list, one contact, resolving identifiers.

The routes are plain functions, so FastAPI runs them in its thread pool, and a wait for Postgres does not block other
requests. A contact of another organization is answered as not found.
"""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Annotated, Literal
from uuid import UUID

import orjson
from fastapi import APIRouter, Depends, Path, Query, Response

from worker import api_schemas, ids
from worker.api import paging
from worker.api.auth import ReadKey
from worker.api.contact_filters import Filters, given_once
from worker.api.contact_writes import CONFLICT
from worker.api.errors import ApiError, Detail, contact_not_found, not_valid
from worker.api.explanation import Explanation, ResolveAnswer, why_apart
from worker.api.json_route import JsonRoute
from worker.api.loaded_contact import load_contact
from worker.api.request_bodies import IdentifierIn, ResolveIn
from worker.domain import identifiers
from worker.domain.rows import ContactRow
from worker.pipeline import explain as explaining
from worker.store import contact_lists, contacts, db, former_contacts
from worker.store.api_keys import Key
from worker.store.contact_lists import ContactFilter
from worker.store.db import Tx
from worker.store.former_contacts import FormerContactRow

router = APIRouter(prefix="/v1/contacts", tags=["contacts"], route_class=JsonRoute)

_IMPOSSIBLE = "not a value of its type, so it leads to nobody"
_ITS_CONTACT = "belongs to this contact"
#: why an identifier leads to no contact
_REASONS = {
    "not valid": _IMPOSSIBLE,
    "identifies nobody": "so many have it that it identifies nobody",
    "evidence": "guests typed it, and it proves nothing",
    "no longer claimed": "nobody has it any more",
    "unknown": "nobody has it",
}
_ALL_BUT_POST = ["GET", "HEAD", "OPTIONS", "TRACE", "PUT", "PATCH", "DELETE"]


@router.get("", dependencies=[Depends(given_once)])
def list_contacts(key: ReadKey, query: Annotated[Filters, Query()]) -> api_schemas.ContactList:
    """List stored contacts, newest first; filters find every contact that claims the value.

    With ``updated_after`` the oldest change comes first, and a change shows up once all that came before it can:
    followed from cursor to cursor, the feed misses none. With ``include=removed`` it has rows of another form among the
    others, for contacts that are gone: who keeps a copy drops those.
    """
    includes_removed = query.includes_removed()
    contact_filter = ContactFilter(
        keys=query.keys(key.region), tag=query.tag, search=query.search, created_after=query.created_after
    )
    if query.updated_after is not None or query.after is not None:
        return _feed_page(key, query, contact_filter, includes_removed=includes_removed)
    with db.tenant_snapshot(key.organization_id) as tx:
        rows = contact_lists.page(tx, contact_filter, query.before, query.limit + 1)
    shown = paging.fitting(rows, query.limit, _size)
    return api_schemas.ContactList(
        data=[api_schemas.Contact.of(row) for row in shown],
        meta=api_schemas.Meta(next_cursor=paging.write(shown[-1].first_id) if len(rows) > len(shown) else None),
    )


def _feed_page(
    key: Key, query: Filters, contact_filter: ContactFilter, *, includes_removed: bool
) -> api_schemas.ContactList:
    """Load a page of the feed. The last page has a cursor too, unless it is empty, because more changes will come."""
    since, after_id = query.after or (query.updated_after, None)
    if since is None or query.before is not None:
        raise not_valid("cursor", "not a cursor of this list")
    with db.tenant_engine().connect() as conn:
        until = contact_lists.horizon(conn)
    with db.tenant_snapshot(key.organization_id) as tx:
        rows: list[ContactRow | FormerContactRow] = []
        rows += contact_lists.changed(tx, contact_filter, since, after_id, until, query.limit)
        if includes_removed:
            rows += former_contacts.changed(tx, since, after_id, until, query.limit)
            rows = sorted(rows, key=_place)
    rows = list(paging.fitting(rows, query.limit, _size))
    return api_schemas.ContactList(
        data=[_shown(row) for row in rows],
        meta=api_schemas.Meta(next_cursor=paging.write(_place(rows[-1])) if rows else None),
    )


def _size(row: ContactRow | FormerContactRow) -> int:
    """Return how many bytes a row of a list has, without what is small in every contact."""
    return 0 if isinstance(row, FormerContactRow) else len(orjson.dumps([row.custom_fields, row.tags]))


def _place(row: ContactRow | FormerContactRow) -> paging.Change:
    assert row.updated_at is not None  # noqa: S101 - it is stored
    return paging.Change(row.updated_at, row.id)


def _shown(row: ContactRow | FormerContactRow) -> api_schemas.Contact | api_schemas.RemovedContact:
    if isinstance(row, FormerContactRow):
        return api_schemas.RemovedContact.of(row)
    return api_schemas.Contact.of(row)


@router.get("/phone/{phone}", summary="Get a contact by phone number")
def contact_by_phone(
    key: ReadKey, phone: Annotated[str, Path(json_schema_extra={"format": "phone"})], response: Response
) -> api_schemas.ContactAnswer:
    """Get the contact that a number belongs to; the plus may be left out."""
    address = None if "\x00" in phone else identifiers.given_phone(phone, key.region)
    if address is None:
        raise not_valid("phone", "not a phone number in international form")
    stored_key = ("phone", "", address.key)
    with db.tenant_snapshot(key.organization_id) as tx:
        row = contacts.by_keys(tx, [stored_key]).get(stored_key)
    if row is None:
        raise contact_not_found()
    return _answer(row, response)


@router.post(
    "/lookup",
    operation_id="lookup_contact",
    response_model_exclude_unset=True,
    summary="Resolve a contact (other name)",
)
@router.post("/resolve", response_model_exclude_unset=True, summary="Resolve a contact by what is known of it")
def resolve_contact(key: ReadKey, body: ResolveIn, response: Response, *, explain: bool = False) -> ResolveAnswer:
    """Find the one contact that these identifiers belong to; those that nobody has are ignored.

    With ``explain=true`` the answer says why this is one person, and why others who share something with it are not.
    """
    with db.tenant_snapshot(key.organization_id) as tx:
        matches = load_matches(tx, key, body.identifiers)
        contacts_by_id = {row.id: row for row in matches if row is not None}
        explained = explaining.explain(tx, contacts_by_id) if explain and contacts_by_id else {}
        standings = _standings(tx, key, body.identifiers, matches) if explain else []
    if not contacts_by_id and explain:
        raise contact_not_found(_unmatched(standings))
    row = the_one(body.identifiers, matches, key.region, explained)
    answer = ResolveAnswer(data=_answer(row, response).data)
    if explain:
        answer.explanation = Explanation.of(explained[row.id], standings)
    return answer


@router.api_route("/lookup", methods=_ALL_BUT_POST, include_in_schema=False)
@router.api_route("/resolve", methods=_ALL_BUT_POST, include_in_schema=False)
def refuse_other_methods() -> None:
    """Answer 405 here, because the route below would take the word for a contact's id and answer 404."""
    raise ApiError(405, "Method Not Allowed", headers={"Allow": "POST"})


@router.get("/{contact_id}")
def get_contact(key: ReadKey, contact_id: str, response: Response) -> api_schemas.ContactAnswer:
    """Get one contact; the id of a contact that was merged answers with the one it became."""
    with db.tenant_snapshot(key.organization_id) as tx:
        row = load_contact(tx, contact_id)
    return _answer(row, response)


def _answer(row: ContactRow, response: Response) -> api_schemas.ContactAnswer:
    response.headers["ETag"] = api_schemas.etag(row)
    return api_schemas.ContactAnswer(data=api_schemas.Contact.of(row))


def the_one(
    given: Sequence[IdentifierIn],
    matches: Sequence[ContactRow | None],
    region: str | None,
    explained: Mapping[UUID, explaining.Explanation] = MappingProxyType({}),
) -> ContactRow:
    """Return the one contact that identifiers lead to; raises ApiError: 404 if they lead to nobody, 409 to several."""
    found = {row.id: row for row in matches if row is not None}
    if not found:
        raise contact_not_found(_impossible_values(given, region))
    if len(found) > 1:
        raise ApiError(409, CONFLICT, details=_conflicting(given, matches, explained))
    return next(iter(found.values()))


def load_matches(tx: Tx, key: Key, given: Sequence[IdentifierIn]) -> list[ContactRow | None]:
    """Load the contact that each identifier leads to, in the order of the identifiers; None if it leads to nobody."""
    contact_ids = [_contact_id(identifier) for identifier in given]
    stored_keys = [_stored_key(identifier, key.region) for identifier in given]
    by_id = contacts.by_any_ids(tx, {id_ for id_ in contact_ids if id_ is not None})
    by_key = contacts.by_keys(tx, {stored_key for stored_key in stored_keys if stored_key is not None})
    return [
        by_id.get(id_) if id_ is not None else by_key.get(stored_key) if stored_key is not None else None
        for id_, stored_key in zip(contact_ids, stored_keys, strict=True)
    ]


def _contact_id(identifier: IdentifierIn) -> UUID | None:
    return ids.parse(ids.CONTACT, identifier.value) if identifier.type == "contact_id" else None


def _stored_key(identifier: IdentifierIn, region: str | None) -> contacts.Key | None:
    """Return the (type, source, key) that an identifier is stored under; None if the value is not of the type."""
    kind, value = identifier.type, identifier.value
    if kind == "external_id":
        return ("external_id", identifier.source or "", value)
    if kind == "phone":
        phone = identifiers.given_phone(value, region)
        return None if phone is None else ("phone", "", phone.key)
    if kind in ("whatsapp", "wa_id"):
        return _stored_key_of_whatsapp(value, region)
    if kind == "contact_id":
        return None
    address = identifiers.given_email(value) if kind == "email" else identifiers.normal_form(kind, value, None)
    return None if address is None else (kind, "", address.key)


def _stored_key_of_whatsapp(value: str, region: str | None) -> contacts.Key | None:
    """Take a value for a phone number, which WhatsApp writes without the plus, else for a business-scoped user id."""
    text = value.strip()
    phone = identifiers.given_phone(text, region) if any(map(str.isdigit, text[:2])) else None
    if phone is not None:
        return ("phone", "", phone.key)
    address = identifiers.normal_form("whatsapp_bsuid", text, None)
    return None if address is None else ("whatsapp_bsuid", "", address.key)


def _impossible_values(given: Sequence[IdentifierIn], region: str | None) -> list[Detail]:
    """Name the values that are not of their type, so that the caller does not conclude that the contact is missing."""
    return [
        {"field": f"identifiers[{position}].value", "reason": _IMPOSSIBLE}
        for position, identifier in enumerate(given)
        if _contact_id(identifier) is None and _stored_key(identifier, region) is None
    ]


def _standings(
    tx: Tx, key: Key, given: Sequence[IdentifierIn], matches: Sequence[ContactRow | None]
) -> list[Literal["found", "not valid"] | explaining.Standing]:
    """Tell what each identifier leads to, in the order of the identifiers."""
    stored = [_stored_key(identifier, key.region) for identifier in given]
    idents = [None if one is None or one[0] == "external_id" else (one[0], one[2]) for one in stored]
    known = explaining.standings(tx, {ident for ident in idents if ident is not None})
    standings: list[Literal["found", "not valid"] | explaining.Standing] = []
    for identifier, stored_key, ident, row in zip(given, stored, idents, matches, strict=True):
        if row is not None:
            standings.append("found")
        elif ident is not None:
            standings.append(known[ident])
        else:
            is_valid = stored_key is not None or _contact_id(identifier) is not None
            standings.append("unknown" if is_valid else "not valid")
    return standings


def _unmatched(standings: Sequence[str]) -> list[Detail]:
    return [
        {"field": f"identifiers[{position}].value", "reason": _REASONS[standing]}
        for position, standing in enumerate(standings)
    ]


def _conflicting(
    given: Sequence[IdentifierIn],
    matches: Sequence[ContactRow | None],
    explained: Mapping[UUID, explaining.Explanation],
) -> list[Detail]:
    return [
        {
            "field": f"identifiers[{position}]",
            "reason": _ITS_CONTACT + (f" ({why_apart(explained, row.id)})" if explained else ""),
            "type": identifier.type,
            "contact_id": ids.show(ids.CONTACT, row.id),
        }
        for position, (identifier, row) in enumerate(zip(given, matches, strict=True))
        if row is not None
    ]
