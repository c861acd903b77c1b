"""Frequent reads without the framework: one contact by its id or number, resolving, sendability.

A caller asks one of these for every message that it handles. They run on the event loop, and those that arrive together
share a statement (``gathered.py``). The routes of the framework say what each request and answer is; here the plain
case is answered, the same byte for byte, and every request that is not plain is left to them: another parameter, a
value to be refused, a scope that is missing.
"""

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, get_args
from urllib.parse import parse_qsl
from uuid import UUID

import orjson
from pydantic import ValidationError
from starlette.types import ASGIApp, Receive, Scope, Send

from connectors.contract import Channel, Purpose
from worker import api_schemas, ids
from worker.api import consent, resolving
from worker.api.errors import ApiError, answer_to, contact_not_found, is_passing, unavailable
from worker.api.gathered import Gathered
from worker.api.request_bodies import ResolveIn
from worker.api.resolving import Wanted
from worker.domain import identifiers
from worker.domain.rows import ContactRow
from worker.pipeline import contact_view
from worker.pipeline.contact_view import ContactView
from worker.store import contacts
from worker.store.api_keys import Key
from worker.store.db import Tx
from worker.store.look_ups import look_up

_SCOPES = {"contacts:read", "admin"}
_CONTACTS = "/v1/contacts/"
_RESOLVE = {"/v1/contacts/resolve", "/v1/contacts/lookup"}
_ID = re.compile(r"cnt_[0-9a-f]{32}")
_SENDABILITY = re.compile(r"(cnt_[0-9a-f]{32})/sendability")
_PHONE = re.compile(r"phone/(\+?[0-9]{5,20})")
_CHANNELS, _PURPOSES = frozenset(get_args(Channel)), frozenset(get_args(Purpose))
#: Look-ups of one organization that run at once: together three quarters of the connections, so that others have some.
#: While Postgres works on one, the process works on the other.
_CONTACTS_AT_ONCE, _VIEWS_AT_ONCE = 2, 1
_LARGEST = 16 * 1024  #: bytes of a body that is read here: it holds up the event loop


class Reads:
    """What comes behind the gate: it answers the frequent reads, and passes on all other requests."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._contacts: Gathered[Sequence[Wanted], list[ContactRow | None]] = Gathered(
            _load_contacts, at_once=_CONTACTS_AT_ONCE
        )
        self._views: Gathered[UUID, ContactView | None] = Gathered(_load_views, at_once=_VIEWS_AT_ONCE)

    async def answer(self, scope: Scope, body: bytes, receive: Receive, send: Send) -> None:
        """Answer a request whose key is known and whose body is read; ``receive`` gives the body again."""
        key: Key = scope["state"]["key"]
        try:
            answered = await self._answer(key, scope, body)
        except ApiError as error:
            await answer_to(scope, error)(scope, receive, send)
        except Exception as error:
            if not is_passing(error):
                raise
            await answer_to(scope, unavailable(error))(scope, receive, send)
        else:
            if answered is None:
                await self._app(scope, receive, send)
            else:
                await _send(send, *answered)

    async def _answer(self, key: Key, scope: Scope, body: bytes) -> "tuple[bytes, str | None] | None":
        """Return the body and the ETag of an answer; None if the request is one for the framework."""
        path, method, query = scope["path"], scope["method"], scope["query_string"]
        if not path.startswith(_CONTACTS) or key.scopes.isdisjoint(_SCOPES):
            return None
        if method == "POST":
            return await self._resolved(key, scope, body) if path in _RESOLVE and not query else None
        named = path[len(_CONTACTS) :]
        if method == "GET" and not query:
            wanted = _named(named, key.region)
            return None if wanted is None else await self._found(key, wanted)
        match = _SENDABILITY.fullmatch(named)
        return await self._sendability(key, match[1], query) if match and method == "GET" else None

    async def _found(self, key: Key, wanted: Wanted) -> tuple[bytes, str]:
        (row,) = await self._contacts.find(key.organization_id, [wanted])
        if row is None:
            raise contact_not_found()
        return _contact(row)

    async def _resolved(self, key: Key, scope: Scope, body: bytes) -> tuple[bytes, str] | None:
        if len(body) > _LARGEST or not body.isascii() or b"\\u" in body or not _is_json(scope["headers"]):
            return None
        try:
            given = ResolveIn.model_validate(orjson.loads(body)).identifiers
        except (orjson.JSONDecodeError, ValidationError):
            return None
        wanted = resolving.wanted(given, key.region)
        matches = await self._contacts.find(key.organization_id, wanted)
        return _contact(resolving.the_one(given, wanted, matches))

    async def _sendability(self, key: Key, shown_id: str, query: bytes) -> tuple[bytes, None] | None:
        asked = _asked(query)
        id_ = ids.parse(ids.CONTACT, shown_id)
        if asked is None or id_ is None:
            return None
        view = await self._views.find(key.organization_id, id_)
        if view is None:
            raise contact_not_found()
        answer = consent.sendability_of(view, *asked, datetime.now(UTC))
        return answer.model_dump_json().encode(), None


def _named(named: str, region: str | None) -> Wanted | None:
    """Return which contact a path names by its id or its number, if it does so plainly."""
    if _ID.fullmatch(named):
        return Wanted(ids.parse(ids.CONTACT, named), None)
    match = _PHONE.fullmatch(named)
    phone = identifiers.given_phone(match[1], region) if match else None
    return None if phone is None else Wanted(None, ("phone", "", phone.key))


def _asked(query: bytes) -> tuple[Any, Any] | None:
    """Return channel and purpose of a plain query; None for any other."""
    given = parse_qsl(query.decode("latin-1"), keep_blank_values=True)
    parameters: Mapping[str, str] = dict(given)
    channel, purpose = parameters.get("channel"), parameters.get("purpose", "marketing")
    is_plain = len(parameters) == len(given) and parameters.keys() <= {"channel", "purpose"}
    return (channel, purpose) if is_plain and channel in _CHANNELS and purpose in _PURPOSES else None


def _is_json(headers: Sequence[tuple[bytes, bytes]]) -> bool:
    return any(name == b"content-type" and value == b"application/json" for name, value in headers)


def _contact(row: ContactRow) -> tuple[bytes, str]:
    return b'{"data":' + api_schemas.Contact.of(row).model_dump_json().encode() + b"}", api_schemas.etag(row)


async def _load_contacts(organization_id: UUID, asked: list[Sequence[Wanted]]) -> list[list[ContactRow | None]]:
    return await look_up(organization_id, lambda tx: resolving.load(tx, asked))


async def _load_views(organization_id: UUID, asked: list[UUID]) -> list[ContactView | None]:
    def load(tx: Tx) -> list[ContactView | None]:
        rows = contacts.by_any_ids(tx, set(asked))
        people = {row.id: row for row in rows.values()}
        views = {view.contact.id: view for view in contact_view.load(tx, list(people.values()))} if people else {}
        return [views[rows[id_].id] if id_ in rows else None for id_ in asked]

    return await look_up(organization_id, load)


async def _send(send: Send, body: bytes, etag: str | None) -> None:
    headers = [(b"content-length", b"%d" % len(body)), (b"content-type", b"application/json")]
    if etag is not None:
        headers.append((b"etag", etag.encode()))
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})
