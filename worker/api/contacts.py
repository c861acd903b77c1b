"""Routes that show contacts, as Wazapin publishes them: the list, one contact, resolving identifiers.

The routes are plain functions, so FastAPI runs them in its thread pool, and a wait for Postgres does not block other
requests. A contact of another organization is answered as not found.
"""

from collections.abc import Sequence
from typing import Annotated, Literal

import orjson
from fastapi import APIRouter, Depends, Path, Query, Response

from worker import api_schemas
from worker.api import paging, replica, resolving
from worker.api.auth import ReadKey
from worker.api.contact_filters import Filters, given_once
from worker.api.errors import ApiError, Detail, contact_not_found, not_valid
from worker.api.explanation import Explanation, ResolveAnswer
from worker.api.json_route import JsonRoute
from worker.api.loaded_contact import load_contact
from worker.api.request_bodies import ResolveIn
from worker.api.resolving import IMPOSSIBLE, Wanted
from worker.domain import identifiers
from worker.domain.rows import ContactRow
from worker.pipeline import explain as explaining
from worker.store import contact_lists, contacts, db, former_contacts
from worker.store.api_keys import Key
from worker.store.contact_lists import ContactFilter
from worker.store.db import Tx
from worker.store.former_contacts import FormerContactRow

router = APIRouter(prefix="/v1/contacts", tags=["contacts"], route_class=JsonRoute)

#: why an identifier leads to no contact
_REASONS = {
    "not valid": IMPOSSIBLE,
    "identifies nobody": "so many have it that it identifies nobody",
    "evidence": "guests typed it, and it proves nothing",
    "no longer claimed": "nobody has it any more",
    "unknown": "nobody has it",
}
_ALL_BUT_POST = ["GET", "HEAD", "OPTIONS", "TRACE", "PUT", "PATCH", "DELETE"]


@router.get("", dependencies=[Depends(given_once)])
def list_contacts(key: ReadKey, query: Annotated[Filters, Query()], response: Response) -> api_schemas.ContactList:
    """List stored contacts, newest first; filters find every contact that claims the value.

    Without `updated_after` the list may come from a replica: then `Replica-Lag` says how many seconds it is behind at
    most. What must be up to date is found by an id or an identifier.

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
    rows, headers, position = replica.lists().read(
        key.organization_id,
        query.position,
        lambda tx: contact_lists.page(tx, contact_filter, query.before, query.limit + 1),
    )
    response.headers.update(headers)
    shown = paging.fitting(rows, query.limit, _size)
    next_cursor = paging.write(shown[-1].first_id, position) if len(rows) > len(shown) else None
    return api_schemas.ContactList(
        data=[api_schemas.Contact.of(row) for row in shown], meta=api_schemas.Meta(next_cursor=next_cursor)
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
    asked = resolving.wanted(body.identifiers, key.region)
    with db.tenant_snapshot(key.organization_id) as tx:
        (matches,) = resolving.load(tx, [asked])
        found = {row.id: row for row in matches if row is not None}
        explained = explaining.explain(tx, found) if explain and found else {}
        standings = _standings(tx, asked, matches) if explain else []
    unmatched = _unmatched(standings) if explain and not found else None
    row = resolving.the_one(body.identifiers, asked, matches, unmatched=unmatched, explained=explained)
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


def _standings(
    tx: Tx, asked: Sequence[Wanted], matches: Sequence[ContactRow | None]
) -> list[Literal["found", "not valid"] | explaining.Standing]:
    """Tell what each identifier leads to, in the order of the identifiers."""
    idents = [None if one.key is None or one.key[0] == "external_id" else (one.key[0], one.key[2]) for one in asked]
    known = explaining.standings(tx, {ident for ident in idents if ident is not None})
    standings: list[Literal["found", "not valid"] | explaining.Standing] = []
    for one, ident, row in zip(asked, idents, matches, strict=True):
        if row is not None:
            standings.append("found")
        elif ident is not None:
            standings.append(known[ident])
        else:
            standings.append("not valid" if one == (None, None) else "unknown")
    return standings


def _unmatched(standings: Sequence[str]) -> list[Detail]:
    return [
        {"field": f"identifiers[{position}].value", "reason": _REASONS[standing]}
        for position, standing in enumerate(standings)
    ]
