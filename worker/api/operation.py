"""An operation: a request that changes contacts, carried out in one transaction on the write path of webhooks.

The request is stored as an envelope of events about records, and ``apply`` puts them into effect. The answer is made
before the commit; under an ``Idempotency-Key`` it is stored too. If anything raises, nothing is stored.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import lru_cache
from hashlib import sha256
from typing import Annotated, Protocol
from uuid import UUID

import orjson
from anyio import CapacityLimiter, to_thread
from fastapi import Depends, Header, Request, Response
from pydantic import BaseModel

from connectors.contract import Event, ProfileSeen
from worker import ids
from worker.api.errors import ApiError, not_valid
from worker.domain import api_writes
from worker.domain.api_writes import ApiWrite
from worker.domain.changeset import Changeset
from worker.domain.limits import MAX_BYTES, MAX_FIELDS, MAX_TAGS
from worker.domain.normalise import ceiling_of, normalise_api_write
from worker.domain.rows import RecordRow
from worker.domain.statements import ProfileStatement, RecordStatement, RemovalStatement, TagsStatement
from worker.domain.terms import Ref
from worker.domain.times import EPOCH
from worker.pipeline.apply import Applied, Batch, OutdatedError, apply
from worker.store import connections, db, envelopes, idempotency_keys
from worker.store.api_keys import Key
from worker.store.changes import ACTOR
from worker.store.db import Tx
from worker.store.envelopes import Incoming

_REPLAYED = "Idempotent-Replayed"
#: Operations at the same time in one process. The other half of the connections is for requests that only load.
MAX_CONCURRENT_OPERATIONS = db.OPERATION_CONNECTIONS


@dataclass(frozen=True, slots=True)
class RequestInfo:
    """The parts of an HTTP request that every operation needs."""

    topic: str  #: method and route, like ``POST /v1/contacts``
    idempotency_key: str | None
    digest: bytes  #: SHA-256 of method, path and body; empty if the method takes no ``Idempotency-Key``


@dataclass(slots=True)
class Answer:
    """The answer to a request."""

    status: int
    body: BaseModel | None = None
    headers: dict[str, str] = field(default_factory=dict)
    contact_id: UUID | None = None  #: whom it tells of: it goes when that person is erased


class Operation(Protocol):
    """One kind of write. Its methods run in the transaction, and run again if the transaction is tried again."""

    def compose(self, tx: Tx, now: datetime) -> tuple[ApiWrite, datetime]:
        """Return what to state, and the time of the statements; no events if nothing has to change."""

    def judge(self, tx: Tx, people: Changeset) -> None:
        """Look at the outcome under the locks; raise ApiError to refuse it."""

    def answer(self, tx: Tx, applied: Applied) -> Answer:
        """Load what the request has come to."""


async def _with_idempotency_key(
    request: Request,
    idempotency_key: Annotated[
        str | None,
        Header(min_length=1, max_length=255, description="Asked again under the same key, a request answers the same"),
    ] = None,
) -> RequestInfo:
    route = request.scope["route"].path_format
    content = b"\x00".join([request.method.encode(), str(request.url.path).encode(), await request.body()])
    return RequestInfo(f"{request.method} {route}", idempotency_key, sha256(content).digest())


async def _without_idempotency_key(request: Request) -> RequestInfo:
    return RequestInfo(f"{request.method} {request.scope['route'].path_format}", None, b"")


#: Of a POST: a client can send it again under the same ``Idempotency-Key``.
IdempotentRequest = Annotated[RequestInfo, Depends(_with_idempotency_key)]
#: Of the other methods: a client can send them again as they are.
RepeatableRequest = Annotated[RequestInfo, Depends(_without_idempotency_key)]


async def perform(key: Key, request: RequestInfo, operation: Operation) -> Response:
    """Carry out an operation and return its answer.

    Repeated under the same ``Idempotency-Key``, the same request gets the stored answer and changes nothing.
    Raises ApiError: 409 if the key was used for another request, and what the operation raises to refuse it.

    Operations have their own limit on threads, so that operations that wait for each other's locks do not hold up
    requests that only load.
    """
    return await to_thread.run_sync(_perform, key, request, operation, limiter=_operation_limiter())


@lru_cache
def _operation_limiter() -> CapacityLimiter:
    return CapacityLimiter(MAX_CONCURRENT_OPERATIONS)


def _perform(key: Key, request: RequestInfo, operation: Operation) -> Response:
    batch = _OperationBatch(key=key, request=request, operation=operation)
    apply(db.tenant_engine(), key.organization_id, batch)
    assert batch.response is not None  # noqa: S101 - finish has set it
    return batch.response


@dataclass(slots=True, kw_only=True)
class _OperationBatch(Batch):
    """An operation as a batch: the request is kept as an envelope, takes effect, and is answered."""

    key: Key
    request: RequestInfo
    operation: Operation
    now: datetime = EPOCH
    stated_at: datetime = EPOCH
    write: ApiWrite = field(default_factory=ApiWrite)
    response: Response | None = None

    def begin(self, tx: Tx, now: datetime) -> None:
        self.statements, self.connection_of, self.response, self.now = (), {}, None, now
        if self.request.idempotency_key is not None:
            self.response = self._stored(tx, self.request.idempotency_key)
        if self.response is None:
            self.write, self.stated_at = self.operation.compose(tx, now)
            if self.write.events or self.write.links:
                self._keep(tx, self.write, self.stated_at)

    def _stored(self, tx: Tx, idempotency_key: str) -> Response | None:
        stored = idempotency_keys.reserve(tx, self.key.id, idempotency_key, self.request.digest)
        if stored is None:
            return None
        if stored.is_forgotten:
            raise ApiError(409, "the answer under this Idempotency-Key was erased with its contact; take another key")
        if stored.request_sha256 != self.request.digest:
            raise ApiError(409, "this Idempotency-Key was used for another request")
        return _response(stored.status, stored.body, {**stored.headers, _REPLAYED: "true"})

    def _keep(self, tx: Tx, write: ApiWrite, stated_at: datetime) -> None:
        envelope_id = ids.new()
        connection_id = connections.of_api(tx)
        body = api_writes.encode(write)
        received_at = envelopes.keep_settled(
            tx.conn,
            Incoming(
                organization_id=self.key.organization_id,
                id=envelope_id,
                connection_id=connection_id,
                topic=self.request.topic,
                delivery_id=api_writes.delivery_id(envelope_id),
                sent_at=stated_at,
                headers="[]",
                body=body,
                body_sha256=sha256(body).digest(),
                marks=orjson.dumps([(ACTOR, ids.show(ids.KEY, self.key.id))]).decode(),
            ),
        )
        # The statements come from the kept body, so that a replay cannot find other ones in it.
        kept = api_writes.decode(body)
        delivery_id = api_writes.delivery_id(envelope_id)
        self.statements = [
            normalise_api_write(
                envelope_id,
                kept.events,
                kept.links,
                dict(kept.about),
                kept.deletion,
                sent_at=stated_at,
                delivery_id=delivery_id,
                ceiling=ceiling_of(received_at),
            )
        ]
        self.connection_of = {envelope_id: connection_id}

    def judge(self, tx: Tx, people: Changeset) -> None:
        if not self.statements:
            return
        # The write was composed before the locks were held. Composed again under them, it has to be the same.
        again, stated_at = self.operation.compose(tx, self.now)
        is_same = again.events == self.write.events and again.about == self.write.about
        is_same = is_same and again.deletion == self.write.deletion and set(again.links) <= set(self.write.links)
        # Another time means that somebody stated something newer: ours comes later, and has to be stamped after it.
        if not is_same or stated_at != self.stated_at:
            raise OutdatedError
        for ref, about in self.statements[0].records.items():
            if ref in people.snapshot.rows and not all(map(_takes_away, about)):
                _check_size(people.snapshot.rows[ref])
        self.operation.judge(tx, people)

    def finish(self, tx: Tx, applied: Applied) -> None:
        if self.response is not None:
            return
        answer = self.operation.answer(tx, applied)
        body = b"" if answer.body is None else answer.body.model_dump_json().encode()
        self.response = _response(answer.status, body, answer.headers)
        if self.request.idempotency_key is not None:
            idempotency_keys.answer(
                tx,
                self.key.id,
                self.request.idempotency_key,
                answer.status,
                answer.headers,
                body,
                answer.contact_id,
            )


def _check_size(row: RecordRow) -> None:
    """Refuse what would push something out of a record that is full. What takes something away is never refused."""
    pushed_out = row.record.pushed_out
    if "tags" in pushed_out:
        raise not_valid("tags", f"the contact would have had more than {MAX_TAGS} tags")
    if "custom_fields" in pushed_out:
        raise not_valid("custom_fields", f"the contact would hold more than {MAX_FIELDS} fields or {MAX_BYTES} bytes")


def _takes_away(statement: RecordStatement) -> bool:
    """Return whether a statement adds nothing to a record."""
    if isinstance(statement, ProfileStatement):
        return all(value is None for value in statement.registers.values())
    return isinstance(statement, RemovalStatement) or (isinstance(statement, TagsStatement) and not statement.present)


def _response(status: int, body: bytes, headers: Mapping[str, str]) -> Response:
    return Response(body, status, headers, media_type="application/json" if body else None)


def existence(ref: Ref) -> tuple[str, Event]:
    """State that a record exists. Without it, a statement about a removed record would not show."""
    return ref[0], ProfileSeen(external_id=ref[1], occurred_at=None)
