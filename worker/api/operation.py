"""An operation: a request that changes contacts, on the write path of webhooks.

The request is stored as an envelope of events about records, and takes effect at once. Requests that arrive together
share a transaction (``operation_group``). The answer is made before the commit; under an ``Idempotency-Key`` it is
stored too. If anything raises, nothing of the request is stored.
"""

from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from hashlib import sha256
from typing import Annotated, ClassVar, NamedTuple, Protocol
from uuid import UUID

from fastapi import Depends, Header, Request, Response
from pydantic import BaseModel

from connectors.contract import Event, ProfileSeen
from worker.api.needs import Seen, Steps
from worker.domain.api_writes import ApiWrite
from worker.domain.changeset import Changeset
from worker.domain.snapshot import Snapshot
from worker.domain.terms import EVIDENCE, Ident, Ref
from worker.domain.times import EPOCH
from worker.store.api_keys import Key


@dataclass(frozen=True, slots=True)
class RequestInfo:
    """The parts of an HTTP request that every operation needs."""

    topic: str  #: method and route, like ``POST /v1/contacts``
    idempotency_key: str | None
    digest: bytes  #: SHA-256 of method, path and body; empty if the method takes no ``Idempotency-Key``
    size: int = 0  #: bytes of the body


@dataclass(slots=True)
class Answer:
    """The answer to a request."""

    status: int
    body: BaseModel | None = None
    headers: dict[str, str] = field(default_factory=dict)
    contact_id: UUID | None = None  #: whom it tells of: it goes when that person is erased


class Done(NamedTuple):
    """What the group of an operation has written, as its answer needs it."""

    contact_of: Mapping[Ref, UUID | None]  #: the contact of each record concerned
    envelope_id: UUID  #: of the request; nobody's if it stated nothing


class Outcome:
    """What a group is about to write, for its operations to judge. No two of them are about the same people."""

    def __init__(self, people: Changeset) -> None:
        self.people = people

    @cached_property
    def group_of(self) -> dict[Ref, int]:
        """The number of the group that each record will be in; records of nobody are left out."""
        return {ref: number for number, group in enumerate(self.people.resolution.groups) for ref in group}

    @cached_property
    def owner_of(self) -> dict[Ident, Ref]:
        """The record that owned each identifier before, of the records in the snapshot.

        A guest's evidence is no owner. A stranger may have typed it at a checkout.
        """
        snapshot = self.people.snapshot
        refs = {row.id: ref for ref, row in snapshot.rows.items()}
        return {
            ident: refs[claim.record_id]
            for ident, known in snapshot.claimed.items()
            for claim in known
            if claim.is_owner and claim.role != EVIDENCE and claim.record_id in refs
        }


class Operation(Protocol):
    """One kind of write. Its methods run in the transaction, and run again if the transaction is tried again."""

    #: It shares its transaction with nobody.
    is_alone: ClassVar[bool]

    @property
    def is_of_records(self) -> bool:
        """Whether ``compose`` depends on records only. The row of a contact may be touched although none changes."""

    @property
    def about(self) -> tuple[Hashable, ...]:
        """Whom it names, as in the request. What names the same waits; all else is found when it is loaded."""

    def compose(self, now: datetime) -> Steps[tuple[ApiWrite, datetime]]:
        """Return what to state, and the time of the statements; no events if nothing has to change.

        It runs a second time under the locks, and has to come to the same. Raises ApiError to refuse the request.
        """

    def judge(self, outcome: Outcome) -> None:
        """Look at the outcome under the locks; raise ApiError to refuse it."""

    def answer(self, done: Done) -> Steps[Answer]:
        """Load what the request has come to."""


#: The envelope of a request that states nothing.
NOBODYS = UUID(int=0)


@dataclass(slots=True, eq=False)
class Member:
    """A request in a group: its operation, and what has become of it so far."""

    key: Key
    request: RequestInfo
    operation: Operation
    is_alone: bool = False  #: it shares its transaction with nobody
    is_late: bool = False  #: it has met another request, and belongs to a later group
    stated_at: datetime = EPOCH
    write: ApiWrite = field(default_factory=ApiWrite)
    envelope_id: UUID = NOBODYS
    seen: Seen = field(default_factory=Seen)  #: what it was composed of
    response: Response | None = None
    refusal: Exception | None = None

    def forget(self) -> None:
        """Begin anew, because the transaction does. A request that was refused, or is late, stays so."""
        self.write, self.response, self.envelope_id = ApiWrite(), None, NOBODYS

    @property
    def is_open(self) -> bool:
        """Whether the group still has to answer it."""
        return self.response is None and self.refusal is None and not self.is_late

    def is_unchanged(self, snapshot: Snapshot) -> bool:
        """Return whether composing it again would give the same: the snapshot still shows all that it saw."""
        return self.operation.is_of_records and self.seen.holds_in(snapshot)

    def result(self) -> Response:
        """Return the answer; raises the error that the request is refused with."""
        if self.refusal is not None:
            raise self.refusal
        assert self.response is not None  # noqa: S101 - its group has ended
        return self.response


async def _with_idempotency_key(
    request: Request,
    idempotency_key: Annotated[
        str | None,
        Header(min_length=1, max_length=255, description="Asked again under the same key, a request answers the same"),
    ] = None,
) -> RequestInfo:
    body = await request.body()
    topic = f"{request.method} {request.scope['route'].path_format}"
    return RequestInfo(topic, idempotency_key, digest_of(request.method, str(request.url.path), body), len(body))


async def _without_idempotency_key(request: Request) -> RequestInfo:
    topic = f"{request.method} {request.scope['route'].path_format}"
    return RequestInfo(topic, None, b"", len(await request.body()))


def digest_of(method: str, path: str, body: bytes) -> bytes:
    """Return what tells requests under one ``Idempotency-Key`` apart."""
    return sha256(b"\x00".join([method.encode(), path.encode(), body])).digest()


#: Of a POST: a client can send it again under the same ``Idempotency-Key``.
IdempotentRequest = Annotated[RequestInfo, Depends(_with_idempotency_key)]
#: Of the other methods: a client can send them again as they are.
RepeatableRequest = Annotated[RequestInfo, Depends(_without_idempotency_key)]


def respond(status: int, body: bytes, headers: Mapping[str, str]) -> Response:
    """Return the HTTP answer with a body of JSON."""
    return Response(body, status, headers, media_type="application/json" if body else None)


def existence(ref: Ref) -> tuple[str, Event]:
    """State that a record exists. Without it, a statement about a removed record would not show."""
    return ref[0], ProfileSeen(external_id=ref[1], occurred_at=None)
