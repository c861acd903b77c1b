"""Writing: a request that changes contacts is one transaction, through the one write path.

The request is kept as an envelope aimed at records, takes effect through ``apply``, and its answer is read,
and stored for an ``Idempotency-Key``, before the commit. Whatever raises leaves nothing behind.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import lru_cache
from hashlib import sha256
from typing import Annotated, Protocol

import orjson
from anyio import CapacityLimiter, to_thread
from fastapi import Depends, Header, Request, Response
from pydantic import BaseModel

from connectors.contract import Event, ProfileSeen
from worker import ids
from worker.api.errors import ApiError, contact_not_found, not_valid
from worker.domain import api_writes
from worker.domain.api_writes import Write
from worker.domain.changeset import Changeset
from worker.domain.fold import encode
from worker.domain.normalise import normalise_api_write
from worker.domain.rows import ContactRow, RecordRow
from worker.domain.terms import API_SOURCE, Ref
from worker.domain.times import EPOCH, microseconds, moment
from worker.pipeline.apply import Applied, Batch, OutdatedError, apply
from worker.store import connections, contacts, db, decisions, envelopes, idempotency_keys, records
from worker.store.api_keys import Key
from worker.store.changes import ACTOR
from worker.store.db import Tx
from worker.store.envelopes import Incoming

#: a source's clock may be ahead of ours by so much; what is asked now still comes after what it said
_SKEW = timedelta(hours=1)
_MICROSECOND = timedelta(microseconds=1)
_REPLAYED = "Idempotent-Replayed"
#: writes at work in one process; the other connections are for those who read
WRITERS = db.TENANT_CONNECTIONS // 2
#: what one record may hold, those since removed included
MAX_HELD_FIELDS, MAX_HELD_TAGS, MAX_HELD_BYTES = 1000, 1000, 256 * 1024


@dataclass(frozen=True, slots=True)
class RequestInfo:
    """A request as far as every write needs it."""

    topic: str  #: ``POST /v1/contacts``
    idempotency_key: str | None
    digest: bytes  #: of everything it asks


@dataclass(slots=True)
class Answer:
    """What is answered."""

    status: int
    body: BaseModel | None = None
    headers: dict[str, str] = field(default_factory=dict)


class Operation(Protocol):
    """One kind of write. All of it runs in the transaction, and may run again when that does."""

    def plan(self, tx: Tx, now: datetime) -> tuple[Write, datetime]:
        """Work out what to state, and when it counts as said; no events where nothing has to change."""

    def judge(self, tx: Tx, people: Changeset) -> None:
        """Look at the outcome under the locks; raise ApiError to refuse it."""

    def answer(self, tx: Tx, applied: Applied) -> Answer:
        """Read what is so now."""


async def _asked(
    request: Request,
    idempotency_key: Annotated[
        str | None,
        Header(min_length=1, max_length=255, description="Asked again under the same key, a request answers the same"),
    ] = None,
) -> RequestInfo:
    route = request.scope["route"].path_format
    said = b"\x00".join([request.method.encode(), str(request.url.path).encode(), await request.body()])
    return RequestInfo(f"{request.method} {route}", idempotency_key, sha256(said).digest())


async def _asked_plainly(request: Request) -> RequestInfo:
    return RequestInfo(f"{request.method} {request.scope['route'].path_format}", None, b"")


#: of a POST, which may be repeated under an ``Idempotency-Key``
IdempotentRequest = Annotated[RequestInfo, Depends(_asked)]
#: of the other methods, which may be repeated as they are
RepeatableRequest = Annotated[RequestInfo, Depends(_asked_plainly)]


async def perform(key: Key, asked: RequestInfo, task: Operation) -> Response:
    """Carry a write out and answer it.

    Writes have threads of their own: where many wait for each other's locks, those who only read do not.
    """
    return await to_thread.run_sync(_perform, key, asked, task, limiter=_writers())


@lru_cache
def _writers() -> CapacityLimiter:
    return CapacityLimiter(WRITERS)


def _perform(key: Key, asked: RequestInfo, task: Operation) -> Response:
    writing = _OperationBatch(key=key, asked=asked, task=task)
    apply(db.tenant_engine(), key.organization_id, writing)
    assert writing.response is not None  # noqa: S101 - finish made it
    return writing.response


@dataclass(slots=True, kw_only=True)
class _OperationBatch(Batch):
    key: Key
    asked: RequestInfo
    task: Operation
    now: datetime = EPOCH
    said_at: datetime = EPOCH
    write: Write = field(default_factory=Write)
    response: Response | None = None

    def begin(self, tx: Tx, now: datetime) -> None:
        self.statements, self.connection_of, self.response, self.now = (), {}, None, now
        if self.asked.idempotency_key is not None:
            self.response = self._stored(tx, self.asked.idempotency_key)
        if self.response is None:
            self.write, self.said_at = self.task.plan(tx, now)
            if self.write.events or self.write.links:
                self._keep(tx, self.write, self.said_at)

    def _stored(self, tx: Tx, idempotency_key: str) -> Response | None:
        stored = idempotency_keys.reserve(tx, self.key.id, idempotency_key, self.asked.digest)
        if stored is None:
            return None
        if stored.request_sha256 != self.asked.digest:
            raise ApiError(409, "this Idempotency-Key was used for another request")
        return _response(stored.status, stored.body, {**stored.headers, _REPLAYED: "true"})

    def _keep(self, tx: Tx, write: Write, said_at: datetime) -> None:
        envelope_id = ids.new()
        connection_id = connections.of_api(tx)
        body = api_writes.encode(write)
        envelopes.keep_settled(
            tx.conn,
            Incoming(
                organization_id=self.key.organization_id,
                id=envelope_id,
                connection_id=connection_id,
                topic=self.asked.topic,
                delivery_id=api_writes.delivery_id(envelope_id),
                sent_at=said_at,
                headers=orjson.dumps([(ACTOR, ids.show(ids.KEY, self.key.id))]).decode(),
                body=body,
                body_sha256=sha256(body).digest(),
            ),
        )
        # Read from what was kept, so that a replay cannot read it differently.
        kept = api_writes.decode(body)
        delivery_id = api_writes.delivery_id(envelope_id)
        self.statements = [
            normalise_api_write(envelope_id, kept.events, kept.links, sent_at=said_at, delivery_id=delivery_id)
        ]
        self.connection_of = {envelope_id: connection_id}

    def judge(self, tx: Tx, people: Changeset) -> None:
        if not self.statements:
            return
        # What it was planned on was read without locks. Now they are held: the plan has to be the same.
        again, said_at = self.task.plan(tx, self.now)
        # Its own links are there by now, and are not made again.
        is_same = again.events == self.write.events and set(again.links) <= set(self.write.links)
        if not is_same or said_at != self.said_at:  # another's later word would go before ours, who come later
            raise OutdatedError
        for ref in self.statements[0].records:
            if ref in people.snapshot.rows:
                _check_size(people.snapshot.rows[ref])
        self.task.judge(tx, people)

    def finish(self, tx: Tx, applied: Applied) -> None:
        if self.response is not None:
            return
        answer = self.task.answer(tx, applied)
        body = b"" if answer.body is None else answer.body.model_dump_json().encode()
        self.response = _response(answer.status, body, answer.headers)
        if self.asked.idempotency_key is not None:
            idempotency_keys.answer(
                tx,
                self.key.id,
                self.asked.idempotency_key,
                answer.status,
                answer.headers,
                body,
            )


def _check_size(row: RecordRow) -> None:
    """A contact cannot grow without end: it is read whole with every page that it is on."""
    record = row.record
    if len(record.tags) > MAX_HELD_TAGS:
        raise not_valid("tags", f"the contact would have had more than {MAX_HELD_TAGS} tags")
    if len(record.registers) > MAX_HELD_FIELDS or len(orjson.dumps(encode(record))) > MAX_HELD_BYTES:
        raise not_valid("custom_fields", f"the contact would hold more than {MAX_HELD_BYTES} bytes")


def _response(status: int, body: bytes, headers: Mapping[str, str]) -> Response:
    return Response(body, status, headers, media_type="application/json" if body else None)


@dataclass(slots=True)
class Held:
    """A contact that a request is about, with its records as they stand."""

    contact: ContactRow
    records: list[RecordRow]
    others: list[RecordRow] = field(default_factory=list)  #: not of the contact now, but about to be written

    @property
    def anchor(self) -> Ref:
        """The record that the contact is named after: what is said of the person stays with it."""
        return next(row.ref for row in self.records if row.id == self.contact.id)

    def edits(self, tx: Tx) -> tuple[Ref, tuple[tuple[Ref, Ref], ...]]:
        """The record that holds edits of this contact, and what ties it to the contact if nothing does yet.

        Identifiers tie it only until they are edited. One tie is enough: two would hold together records that
        nothing but an identifier had joined.
        """
        mine = {row.ref for row in self.records}
        known = sorted(ref for ref in mine if ref[0] == API_SOURCE)
        ref = known[0] if known else (API_SOURCE, ids.show(ids.CONTACT, self.contact.id))
        if not known:  # it may be there all the same, removed with the contact that came back since
            self.others = records.by_refs(tx, [ref])
        if ref == self.anchor:
            return ref, ()
        ties = decisions.touching(tx, [ref])
        is_tied = any(tie.kind == "link" and {tie.a, tie.b} - {ref} <= mine for tie in ties)
        return ref, () if is_tied else ((self.anchor, ref),)

    def after(self, now: datetime) -> datetime:
        """A time that comes after all that its records say, unless a clock is quite wrong."""
        return after(now, self.records + self.others)


def hold(tx: Tx, contact_id: str) -> Held:
    """Read the contact that a request names; raises ApiError if there is none."""
    id_ = ids.parse(ids.CONTACT, contact_id)
    row = None if id_ is None else contacts.by_any_id(tx, id_)
    if row is None:
        raise contact_not_found()
    return held(row, records.of_contacts(tx, [row.id]))


def held(contact: ContactRow, rows: list[RecordRow]) -> Held:
    """Put a contact and its records together; raises OutdatedError if it moved on between the two look-ups."""
    if all(row.id != contact.id for row in rows):
        raise OutdatedError
    return Held(contact, rows)


def seen(ref: Ref) -> tuple[str, Event]:
    """Say that a record is there: what is stated of one that was removed would not show."""
    return ref[0], ProfileSeen(external_id=ref[1], occurred_at=None)


def after(now: datetime, rows: list[RecordRow], *stated: int) -> datetime:
    """A time after all that these records say, and that was stated beside them (microseconds).

    A source's clock may be ahead, and what is asked now is newer.
    """
    newest = max([*stated, *(stamp for row in rows for stamp in _stamps(row))], default=0)
    ahead = moment(newest)
    if ahead is None or microseconds(now) > newest or ahead > now + _SKEW:
        return now
    return ahead + _MICROSECOND


def _stamps(row: RecordRow) -> list[int]:
    record = row.record
    stamps = [stamp for stamp, _ in record.registers.values()]
    stamps += [stamp for stamp, _, _ in record.tags.values()]
    stamps += [stamp for stamp in (record.seen, record.removed) if stamp is not None]
    if record.snapshot is not None:
        stamps.append(record.snapshot[0])
    return [stamp.occurred for stamp in stamps]
