"""Many contacts in one request: upserts that take effect row by row, and look-ups.

Each row is answered as it would be alone, and rows about one person apply in their order. Under an ``Idempotency-Key``
each row has a key that is made of it. So a request that was cut off goes on where it ended, and the answer about
somebody who was erased since is not given again.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import orjson
from anyio import to_thread
from fastapi import APIRouter, Request, Response
from pydantic import ValidationError

from worker import api_schemas
from worker.api import lines, resolving
from worker.api.auth import ReadKey, WriteKey, charge
from worker.api.contact_writes import UpsertContact
from worker.api.errors import ApiError, invalid, problem_of
from worker.api.json_route import JsonRoute
from worker.api.operation import IdempotentRequest, Member, RequestInfo
from worker.api.operation_group import REPLAYED, refuse_another
from worker.api.request_bodies import ContactIn, ContactsIn, ResolveIn, ResolvesIn
from worker.store import db, idempotency_keys
from worker.store.api_keys import Key
from worker.store.db import Tx
from worker.store.idempotency_keys import StoredAnswer

router = APIRouter(prefix="/v1/contacts", tags=["contacts"], route_class=JsonRoute)

_ALL_BUT_POST = ["GET", "HEAD", "OPTIONS", "TRACE", "PUT", "PATCH", "DELETE"]
#: The status under the key of a request that is not finished.
_UNFINISHED = 102
#: No key of a client has this character, so no row has the key of another request.
_ROW = "\n"

Json = Mapping[str, Any]


@router.post("/batch", response_model=api_schemas.BatchAnswer, summary="Create or update many contacts")
async def upsert_contacts(key: WriteKey, request: IdempotentRequest, body: ContactsIn, http: Request) -> Response:
    """Create or update up to 1,000 contacts. Each row takes effect as in ``POST /v1/contacts``.

    A row that is refused has an ``error`` in place of its ``contact``, and the others take effect. Rows about one
    person apply in their order. Each row counts as a request against the limit of the key: if fewer are left, the
    answer is 429, and no row takes effect. An ``Idempotency-Key`` is for the request as a whole.
    """
    charge(http, key, len(body.contacts) - 1)
    refused, is_replayed = await _begin(key, request)
    shown: dict[int, Json] = {}
    members: dict[int, Member] = {}
    for index, row in enumerate(body.contacts):
        if index in refused:
            shown[index] = refused[index]
            continue
        try:
            contact = ContactIn.model_validate(row)
        except ValidationError as error:
            shown[index] = _error(http, index, invalid(error))
        else:
            members[index] = Member(key, _of_row(request, index), UpsertContact(key, contact))
    if members:
        await lines.perform_all(list(members.values()))
    passing = set()
    for index, member in members.items():
        try:
            answered = member.result()
            shown[index] = {"index": index, "status": answered.status_code, "contact": _data(bytes(answered.body))}
        except Exception as error:  # noqa: BLE001 - the other rows have taken effect
            shown[index] = _error(http, index, error)
            if shown[index]["status"] >= 500:
                passing.add(index)
    rows = [shown[index] for index in range(len(body.contacts))]
    if request.idempotency_key is not None and not is_replayed:
        await to_thread.run_sync(_end, key, request, [row for row in rows if row["index"] not in passing])
    return Response(
        orjson.dumps({"data": rows}), headers={REPLAYED: "true"} if is_replayed else {}, media_type="application/json"
    )


@router.post("/resolve/batch", response_model=api_schemas.BatchAnswer, summary="Resolve many contacts")
def resolve_contacts(key: ReadKey, body: ResolvesIn, http: Request) -> Response:
    """Find up to 1,000 contacts. Each row is answered as ``POST /v1/contacts/resolve`` answers it.

    Each row counts as a request against the limit of the key; if fewer are left, the answer is 429.
    """
    charge(http, key, len(body.contacts) - 1)
    given: dict[int, ResolveIn] = {}
    shown: dict[int, Json] = {}
    for index, row in enumerate(body.contacts):
        try:
            given[index] = ResolveIn.model_validate(row)
        except ValidationError as error:
            shown[index] = _error(http, index, invalid(error))
    asked = {index: resolving.wanted(row.identifiers, key.region) for index, row in given.items()}
    with db.tenant_snapshot(key.organization_id) as tx:
        matches = resolving.load(tx, asked.values())
    for (index, wanted), found_by_each in zip(asked.items(), matches, strict=True):
        try:
            found = resolving.the_one(given[index].identifiers, wanted, found_by_each)
            contact = api_schemas.Contact.of(found).model_dump(mode="json")
            shown[index] = {"index": index, "status": 200, "contact": contact}
        except ApiError as error:
            shown[index] = _error(http, index, error)
    rows = [shown[index] for index in range(len(body.contacts))]
    return Response(orjson.dumps({"data": rows}), media_type="application/json")


@router.api_route("/batch", methods=_ALL_BUT_POST, include_in_schema=False)
@router.api_route("/resolve/batch", methods=_ALL_BUT_POST, include_in_schema=False)
def refuse_other_methods_of_batches() -> None:
    """Answer 405 here, because other routes would take the word for a contact's id and answer 404."""
    raise ApiError(405, "Method Not Allowed", headers={"Allow": "POST"})


def _of_row(request: RequestInfo, index: int) -> RequestInfo:
    key = None if request.idempotency_key is None else f"{request.idempotency_key}{_ROW}{index}"
    return RequestInfo(request.topic, key, request.digest)


def _data(body: bytes) -> Any:
    return orjson.loads(body)["data"]


def _error(http: Request, index: int, error: Exception) -> Json:
    shown = problem_of(str(http.state.request_id), error)
    return {"index": index, "status": shown["status"], "error": shown}


async def _begin(key: Key, request: RequestInfo) -> tuple[dict[int, Json], bool]:
    """Return the rows that are known to be refused, and whether the request was answered before under its key.

    Raises ApiError (409) if the key was used for another request.
    """
    if request.idempotency_key is None:
        return {}, False
    return await to_thread.run_sync(_begin_under_key, key, request, request.idempotency_key)


def _begin_under_key(key: Key, request: RequestInfo, name: str) -> tuple[dict[int, Json], bool]:
    with db.tenant_engine().begin() as conn:
        tx = Tx(conn, key.organization_id)
        db.enter(tx)
        stored = idempotency_keys.reserve(tx, [(key.id, name, request.digest)]).get((key.id, name))
        if stored is None:
            idempotency_keys.answer(tx, [StoredAnswer(key.id, name, _UNFINISHED, {}, b"[]", None)])
            return {}, False
    refuse_another(stored, request)
    return {row["index"]: row for row in orjson.loads(stored.body)}, stored.status != _UNFINISHED


def _end(key: Key, request: RequestInfo, rows: Sequence[Json]) -> None:
    """Store which rows were refused, so that they are refused again. The others have keys of their own."""
    body = orjson.dumps([row for row in rows if "error" in row])
    with db.tenant_engine().begin() as conn:
        tx = Tx(conn, key.organization_id)
        db.enter(tx)
        idempotency_keys.answer(tx, [StoredAnswer(key.id, request.idempotency_key or "", 200, {}, body, None)])
