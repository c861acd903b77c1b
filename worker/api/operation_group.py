"""A group of operations: requests of one organization that are applied in one transaction.

No two of them are about the same people, so each comes to what it would come to alone, whatever the order. A request
that is refused is taken out and answered by itself, and so is one that meets another; the rest goes on. If the database
refuses the group, each half is tried (ADR 31).
"""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from hashlib import sha256
from uuid import UUID

import orjson
from sqlalchemy import Engine

from worker import ids
from worker.api import needs
from worker.api.errors import ApiError, not_valid
from worker.api.needs import Seen
from worker.api.operation import Done, Member, Outcome, RequestInfo, respond
from worker.domain import api_writes
from worker.domain.changeset import Changeset
from worker.domain.limits import MAX_BYTES, MAX_FIELDS, MAX_TAGS
from worker.domain.meetings import meetings
from worker.domain.normalise import ceiling_of, normalise_api_write
from worker.domain.statements import (
    EnvelopeStatements,
    ProfileStatement,
    RecordStatement,
    RemovalStatement,
    TagsStatement,
)
from worker.domain.times import EPOCH
from worker.errors import TransientError
from worker.pipeline.apply import Applied, Batch, OutdatedError, apply
from worker.store import envelopes, idempotency_keys, sqlstates
from worker.store.changes import ACTOR
from worker.store.db import Tx
from worker.store.envelopes import ApiEnvelope
from worker.store.idempotency_keys import Stored, StoredAnswer

#: The header of an answer that was stored under an ``Idempotency-Key``.
REPLAYED = "Idempotent-Replayed"


def carry_out(engine: Engine, organization_id: UUID, members: Sequence[Member]) -> None:
    """Apply requests in one transaction; afterwards each is answered, refused, or late for a group to come.

    A request that fails alone is refused with the error.
    """
    try:
        apply(engine, organization_id, _Group(members=members))
    except Exception as error:  # noqa: BLE001 - each request has to be answered
        _part(engine, organization_id, members, error)


def _part(engine: Engine, organization_id: UUID, members: Sequence[Member], error: Exception) -> None:
    """Deal with a group that failed: nothing of it is stored."""
    failed = [member for member in members if member.refusal is None and not member.is_late]
    for member in failed:
        member.forget()
    if len(failed) <= 1 or sqlstates.is_system_fault(error):
        for member in failed:
            member.refusal = error
    elif isinstance(error, TransientError) or sqlstates.is_timeout(error):
        # Somebody holds up one of them. Halves would wait one after the other, so each waits by itself.
        for member in failed:
            member.is_alone = member.is_late = True
    else:
        half = len(failed) // 2
        carry_out(engine, organization_id, failed[:half])
        carry_out(engine, organization_id, failed[half:])


@dataclass(slots=True, kw_only=True)
class _Group(Batch):
    """Operations as a batch: each request is kept as an envelope, takes effect, and is answered."""

    members: Sequence[Member]
    now: datetime = EPOCH
    reserved: list[Member] = field(default_factory=list)  #: those whose ``Idempotency-Key`` is theirs

    def begin(self, tx: Tx, now: datetime) -> None:
        self.statements, self.connection_of, self.now, self.reserved = (), {}, now, []
        for member in self.members:
            member.forget()
        self._reserve(tx)
        composed = self._composed(tx)
        if composed:
            self._keep(tx, composed)

    def _open(self) -> list[Member]:
        return [member for member in self.members if member.is_open]

    def _reserve(self, tx: Tx) -> None:
        """Reserve the keys of requests; answer those that were answered before."""
        keyed = {
            (member.key.id, member.request.idempotency_key): member
            for member in reversed(self._open())  # of two with one key the first is tried
            if member.request.idempotency_key is not None
        }
        for member in self._open():
            if member.request.idempotency_key is not None:
                member.is_late = keyed[member.key.id, member.request.idempotency_key] is not member
        if not keyed:
            return
        stored = idempotency_keys.reserve(
            tx, [(*key, member.request.digest) for key, member in keyed.items() if key[1] is not None]
        )
        for key, member in keyed.items():
            if key in stored:
                _answer_again(member, stored[key])
            else:
                self.reserved.append(member)

    def _composed(self, tx: Tx) -> list[Member]:
        """Compose the requests; return those that state something. Late ones are those that meet an earlier one."""
        composing = self._open()
        for member in composing:
            member.seen = Seen()
        writes = needs.together(
            tx, [member.operation.compose(self.now) for member in composing], [member.seen for member in composing]
        )
        people: set[Hashable] = set()
        stating = []
        for member, write in zip(composing, writes, strict=True):
            if isinstance(write, ApiError):
                member.refusal = write
                continue
            member.write, member.stated_at = write
            if people.isdisjoint(member.seen.touched):
                if member.write.events or member.write.links:
                    stating.append(member)
            else:
                member.is_late = True
            people |= member.seen.touched
        return stating

    def _keep(self, tx: Tx, composed: Sequence[Member]) -> None:
        bodies = [api_writes.encode(member.write) for member in composed]
        for member in composed:
            member.envelope_id = ids.new()
        kept = [_envelope(member, body) for member, body in zip(composed, bodies, strict=True)]
        received_at, connection_id = envelopes.keep_settled(tx, kept)
        # The statements come from the kept bodies, so that a replay cannot find other ones in them.
        self.statements = [
            _statements(member, body, received_at) for member, body in zip(composed, bodies, strict=True)
        ]
        self.connection_of = dict.fromkeys((member.envelope_id for member in composed), connection_id)

    def judge(self, tx: Tx, people: Changeset) -> None:
        late = meetings(people.snapshot) if len(self.statements) > 1 else set()
        if late:
            for member in self._open():
                member.is_late = member.envelope_id in late
            raise OutdatedError
        statements = {one.envelope_id: one for one in self.statements}
        judged = [member for member in self._open() if member.envelope_id in statements]
        # The snapshot is as the store is, under the locks. Most requests saw what it has, and would compose the same.
        self._compose_again(tx, [member for member in judged if not member.is_unchanged(people.snapshot)])
        outcome = Outcome(people)
        for member in judged:
            if member.refusal is None:
                try:
                    _check_sizes(statements[member.envelope_id], people)
                    member.operation.judge(outcome)
                except ApiError as refusal:
                    member.refusal = refusal
        if not all(member.is_open for member in judged):
            raise OutdatedError  # without those who were refused

    def _compose_again(self, tx: Tx, members: Sequence[Member]) -> None:
        """Compose under the locks what was composed before they were held; it has to be the same."""
        writes = needs.together(tx, [member.operation.compose(self.now) for member in members])
        for member, composed in zip(members, writes, strict=True):
            if isinstance(composed, ApiError):
                member.refusal = composed
                continue
            again, stated_at = composed
            write = member.write
            is_same = again.events == write.events and again.about == write.about and again.deletion == write.deletion
            # Another time means that somebody stated something newer: ours comes later, and has to be stamped after it.
            if not is_same or not set(again.links) <= set(write.links) or stated_at != member.stated_at:
                raise OutdatedError

    def finish(self, tx: Tx, applied: Applied) -> None:
        answering = self._open()
        answers = needs.together(
            tx, [member.operation.answer(Done(applied.contact_of, member.envelope_id)) for member in answering]
        )
        stored: list[StoredAnswer] = []
        for member, answer in zip(answering, answers, strict=True):
            if isinstance(answer, ApiError):
                raise answer  # what was just written cannot be shown
            body = b"" if answer.body is None else answer.body.model_dump_json().encode()
            member.response = respond(answer.status, body, answer.headers)
            if member.request.idempotency_key is not None:
                key = (member.key.id, member.request.idempotency_key)
                stored.append(StoredAnswer(*key, answer.status, answer.headers, body, answer.contact_id))
        idempotency_keys.answer(tx, stored)
        unused = [member for member in self.reserved if member.response is None]
        idempotency_keys.release(tx, [(m.key.id, m.request.idempotency_key or "") for m in unused])


def _envelope(member: Member, body: bytes) -> ApiEnvelope:
    return ApiEnvelope(
        id=member.envelope_id,
        topic=member.request.topic,
        delivery_id=api_writes.delivery_id(member.envelope_id),
        sent_at=member.stated_at,
        body=body,
        body_sha256=sha256(body).digest(),
        marks=orjson.dumps([(ACTOR, ids.show(ids.KEY, member.key.id))]).decode(),
    )


def _statements(member: Member, body: bytes, received_at: datetime) -> EnvelopeStatements:
    kept = api_writes.decode(body)
    return normalise_api_write(
        member.envelope_id,
        kept.events,
        kept.links,
        dict(kept.about),
        kept.deletion,
        sent_at=member.stated_at,
        delivery_id=api_writes.delivery_id(member.envelope_id),
        ceiling=ceiling_of(received_at),
    )


def refuse_another(stored: Stored, request: RequestInfo) -> None:
    """Raise ApiError (409) if what is stored under an ``Idempotency-Key`` answers another request, or is forgotten."""
    if stored.is_forgotten:
        raise ApiError(409, "the answer under this Idempotency-Key was erased with its contact; take another key")
    if stored.request_sha256 != request.digest:
        raise ApiError(409, "this Idempotency-Key was used for another request")


def _answer_again(member: Member, stored: Stored) -> None:
    """Answer as the first request under the key was answered."""
    try:
        refuse_another(stored, member.request)
    except ApiError as refusal:
        member.refusal = refusal
    else:
        member.response = respond(stored.status, stored.body, {**stored.headers, REPLAYED: "true"})


def _check_sizes(stated: EnvelopeStatements, people: Changeset) -> None:
    """Refuse what would push something out of a record that is full. What takes something away is never refused."""
    for ref, about in stated.records.items():
        row = people.snapshot.rows.get(ref)
        if row is None or all(map(_takes_away, about)):
            continue
        pushed_out = row.record.pushed_out
        if "tags" in pushed_out:
            raise not_valid("tags", f"the contact would have had more than {MAX_TAGS} tags")
        if "custom_fields" in pushed_out:
            raise not_valid(
                "custom_fields", f"the contact would hold more than {MAX_FIELDS} fields or {MAX_BYTES} bytes"
            )


def _takes_away(statement: RecordStatement) -> bool:
    """Return whether a statement adds nothing to a record."""
    if isinstance(statement, ProfileStatement):
        return all(value is None for value in statement.registers.values())
    return isinstance(statement, RemovalStatement) or (isinstance(statement, TagsStatement) and not statement.present)
