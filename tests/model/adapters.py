"""Adapters: the model's history in the product's words. Only this file has to follow when the product moves.

Everything goes through the connectors' events and the product's own normal forms, as a webhook's body would. Minutes
count from ``T0``. The model's values are in normal form already, so both write identifiers alike.
"""

from collections.abc import Iterable
from datetime import datetime, timedelta
from functools import singledispatch
from uuid import UUID, uuid5

from connectors import contract
from connectors.contract import (
    Account,
    ConsentStated,
    Event,
    Identifier,
    ProfileRemoved,
    ProfileSeen,
    ProfilesMerged,
    SuppressionStated,
    TagsAdded,
    TagsRemoved,
    TagsSnapshot,
)
from tests.model.history import (
    ABSENT,
    API,
    Apart,
    ApiConsent,
    ApiDelete,
    ApiEdit,
    Consent,
    Envelope,
    GuestOrder,
    Link,
    Merged,
    Removed,
    Saying,
    Seen,
    Suppression,
    TagsChanged,
    TagsRead,
    edit_of,
)
from worker.domain.normalise import normalise, normalise_api_write
from worker.domain.statements import EnvelopeStatements
from worker.domain.terms import Decision
from worker.domain.times import EPOCH, microseconds

T0 = datetime.fromisoformat("2026-10-01T00:00:00Z")
NAMESPACE = UUID("6a6c1f0e-53a5-4d0a-9d61-0d6f6f0c7a11")

#: a source and what it says
Said = tuple[str, Event]


def time_of(minute: int | None) -> datetime | None:
    """Return a minute of the model as a time; 0 is 1970, the product's baseline."""
    if minute is None:
        return None
    return T0 + timedelta(minutes=minute) if minute else EPOCH


def minute_of(at: datetime | int | None) -> int | None:
    """Return a time of the product (or its microseconds) as a minute of the model."""
    if at is None:
        return None
    since = at if isinstance(at, int) else microseconds(at)
    return 0 if since == 0 else (since - microseconds(T0)) // 60_000_000


class _Invented:
    """A connector whose envelopes say what a history says."""

    def __init__(self, events: Iterable[Said]) -> None:
        self.events = [event for _, event in events]

    def parse(self, _envelope: contract.Envelope, _account: Account) -> Iterable[Event]:
        return self.events


def statements_of(envelope: Envelope) -> EnvelopeStatements:
    """Return what an envelope says, as ``worker.domain`` takes it."""
    envelope_id, source = uuid5(NAMESPACE, envelope.key), source_of(envelope)
    events = [said for saying in envelope.says for said in events_of(saying, envelope.sent)]
    sent_at, ceiling = time_of(envelope.sent), time_of(envelope.ceiling)
    if source != API:
        received = contract.Envelope(topic="", delivery_id=envelope.key, sent_at=sent_at, headers={}, body=b"")
        return normalise(envelope_id, received, _Invented(events), Account(source=source), ceiling=ceiling)
    statements = normalise_api_write(
        envelope_id,
        events,
        [(saying.a, saying.b) for saying in envelope.says if isinstance(saying, Link)],
        _about(envelope),
        sent_at=sent_at,
        delivery_id=envelope.key,
        ceiling=ceiling,
    )
    _keep_apart(statements, envelope)
    return statements


def source_of(envelope: Envelope) -> str:
    """Return the source of an envelope: the connection that it came through, or ``api``."""
    sources = {getattr(saying, "source", API) for saying in envelope.says}
    return sources.pop() if len(sources) == 1 else API


def _about(envelope: Envelope) -> dict[str, tuple[tuple[str, str], ...]]:
    """Return the records that an edit is about, by the external id of the edit."""
    frozen = [saying.records for saying in envelope.says if isinstance(saying, ApiEdit | ApiConsent)]
    return {edit_of(records)[1]: records for records in frozen}


def _keep_apart(statements: EnvelopeStatements, envelope: Envelope) -> None:
    """State an operator's *keep apart*; the product's API has no request for it yet, only links."""
    for saying in envelope.says:
        if isinstance(saying, Apart):
            for ref in (saying.a, saying.b):
                statements.records.setdefault(ref, [])
            at = microseconds(time_of(envelope.sent))
            statements.decisions.append(Decision("apart", saying.a, saying.b, at, envelope.key))


@singledispatch
def events_of(saying: Saying, _sent: int | None) -> Iterable[Said]:
    """Return the events that a connector, or the API, reads from a saying of an envelope sent at some minute."""
    assert isinstance(saying, Link | Apart), saying  # they are decisions, not events
    return []


def _identifiers(*, verified: bool = False, **values: str | None) -> dict[str, Identifier | None]:
    return {
        slot: None if value is None else Identifier(type=slot, value=value, verified=verified and slot == "email")
        for slot, value in values.items()
        if value != ABSENT
    }


@events_of.register
def _(saying: Seen, _sent: int | None) -> Iterable[Said]:
    yield (
        saying.source,
        ProfileSeen(
            external_id=saying.id,
            occurred_at=time_of(saying.t),
            created_at=time_of(saying.created),
            fields={} if saying.name == ABSENT else {"name": saying.name},
            identifiers=_identifiers(email=saying.email, phone=saying.phone, verified=saying.verified),
        ),
    )


@events_of.register
def _(saying: GuestOrder, _sent: int | None) -> Iterable[Said]:
    yield (
        saying.source,
        ProfileSeen(
            external_id=None,
            occurred_at=time_of(saying.t),
            created_at=time_of(saying.t),
            fields={"name": saying.name} if saying.name else {},
            identifiers=_identifiers(email=saying.email or ABSENT, phone=saying.phone or ABSENT),
        ),
    )


@events_of.register
def _(saying: Removed, _sent: int | None) -> Iterable[Said]:
    yield saying.source, ProfileRemoved(external_id=saying.id, occurred_at=time_of(saying.t))


@events_of.register
def _(saying: Merged, _sent: int | None) -> Iterable[Said]:
    yield (
        saying.source,
        ProfilesMerged(kept_external_id=saying.kept, lost_external_id=saying.lost, occurred_at=time_of(saying.t)),
    )


@events_of.register
def _(saying: Consent, _sent: int | None) -> Iterable[Said]:
    yield (
        saying.source,
        ConsentStated(
            external_id=saying.who,
            channel=saying.channel,
            status=saying.status,
            address=saying.address,
            occurred_at=time_of(saying.t),
            purpose=saying.purpose,
        ),
    )


@events_of.register
def _(saying: Suppression, _sent: int | None) -> Iterable[Said]:
    yield (
        saying.source,
        SuppressionStated(
            external_id=None,
            channel=saying.channel,
            address=saying.address,
            reason=saying.reason,
            occurred_at=time_of(saying.t),
            scope=saying.scope,
            lifted=saying.lift,
            expires_at=time_of(saying.expires),
        ),
    )


@events_of.register
def _(saying: TagsChanged, _sent: int | None) -> Iterable[Said]:
    event = TagsAdded if saying.present else TagsRemoved
    yield saying.source, event(external_id=saying.id, tags=saying.tags, occurred_at=time_of(saying.t))


@events_of.register
def _(saying: TagsRead, _sent: int | None) -> Iterable[Said]:
    yield saying.source, TagsSnapshot(external_id=saying.id, tags=saying.tags, occurred_at=time_of(saying.t))


@events_of.register
def _(saying: ApiEdit, _sent: int | None) -> Iterable[Said]:
    source, external_id = edit_of(saying.records)
    yield (
        source,
        ProfileSeen(
            external_id=external_id,
            occurred_at=None,
            fields={} if saying.name == ABSENT else {"name": saying.name},
            identifiers=_identifiers(email=saying.email, phone=saying.phone),
        ),
    )
    if saying.tags:
        yield source, TagsAdded(external_id=external_id, tags=saying.tags, occurred_at=None)


@events_of.register
def _(saying: ApiConsent, sent: int | None) -> Iterable[Said]:
    """A consent through the API is said by the record of edits; without a time it counts from the request.

    An opt-out is stated for every address on the channel and for none, another status for the first address.
    """
    source, external_id = edit_of(saying.records)
    yield source, ProfileSeen(external_id=external_id, occurred_at=None)
    for address in saying.subjects:
        yield (
            source,
            ConsentStated(
                external_id=external_id,
                channel=saying.channel,
                status=saying.status,
                address=address,
                occurred_at=time_of(sent if saying.t is None else saying.t),
                purpose=saying.purpose,
                origin=API,
            ),
        )


@events_of.register
def _(saying: ApiDelete, _sent: int | None) -> Iterable[Said]:
    """A delete removes the records of the contact."""
    for source, external_id in sorted(saying.records):
        yield source, ProfileRemoved(external_id=external_id, occurred_at=None)
