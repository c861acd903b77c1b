"""Normalise: an envelope becomes statements about records, rows of the ledgers, and decisions.

The connector, which is handed in, says what the envelope states. Here addresses, stamps and keys of guests get their
one normal form, the same for every source.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from itertools import repeat
from types import MappingProxyType
from typing import Any
from uuid import UUID

from connectors import left_out
from connectors.consent_terms import KNOWN, UNKNOWN, UNKNOWN_AT
from connectors.contract import (
    Account,
    ConnectionRevoked,
    Connector,
    ConsentStated,
    Envelope,
    ErasureRequested,
    Event,
    ExportRequested,
    MalformedPayloadError,
    NoteAdded,
    ProfileRemoved,
    ProfileSeen,
    ProfilesMerged,
    SuppressionStated,
    TagsAdded,
    TagsRemoved,
    TagsSnapshot,
)
from worker.domain import identifiers, readings
from worker.domain import registers as register_names
from worker.domain.api_writes import DeletedAddresses
from worker.domain.readings import Claimed
from worker.domain.statements import (
    ConsentStatement,
    DeletionStatement,
    EnvelopeStatements,
    Note,
    PrivacyRequest,
    ProfileStatement,
    RecordStatement,
    RemovalStatement,
    SuppressionStatement,
    TagSnapshotStatement,
    TagsStatement,
)
from worker.domain.terms import API_SOURCE, Decision, Ref, Stamp, kind_of
from worker.domain.times import microseconds

#: How far the clocks of others may be ahead of ours. Servers that ask a time server differ by less than a second; five
#: minutes is what Kerberos and most signed requests allow.
_TOLERANCE = timedelta(minutes=5)


def ceiling_of(received_at: datetime) -> datetime:
    """Return the latest time that an envelope can state, by the time at which it was accepted (ADR 13)."""
    return received_at + _TOLERANCE


def normalise(
    envelope_id: UUID, envelope: Envelope, connector: Connector, account: Account, *, ceiling: datetime
) -> EnvelopeStatements:
    """Return what an envelope states; the same envelope with the same ceiling always gives the same statements.

    No time in the statements is later than ``ceiling``, but for the end of a consent or a suppression.
    Raises MalformedPayloadError when the body is not what the provider documents.
    """
    result = EnvelopeStatements(envelope_id, account.source, left_out=left_out.collect())
    events = zip(repeat(account), connector.parse(envelope, account), strict=False)
    _add_events(result, events, envelope.sent_at, envelope.delivery_id, ceiling)
    return result


def normalise_api_write(
    envelope_id: UUID,
    events: Iterable[tuple[str, Event]],
    links: Iterable[tuple[Ref, Ref]] = (),
    about: Mapping[str, Sequence[Ref]] = MappingProxyType({}),
    deletion: DeletedAddresses | None = None,
    *,
    sent_at: datetime,
    delivery_id: str,
    ceiling: datetime,
) -> EnvelopeStatements:
    """Return what a request of the API states.

    ``events`` are pairs of a source and an event about it, ``links`` pairs of records that are one person. ``about``
    are the records of a contact when it was edited, by the external id of the edit, ``deletion`` the addresses of a
    contact when it was deleted. ``sent_at`` is our own time and is kept even if it is later than ``ceiling``: a request
    is dated after everything that it overrules.
    """
    result = EnvelopeStatements(envelope_id, API_SOURCE)
    stated = ((Account(source=source), event) for source, event in events)
    _add_events(result, stated, sent_at, delivery_id, max(ceiling, sent_at))
    made_of = {external_id: list(refs) for external_id, refs in about.items()}
    for a, b in links:
        if kind_of(b) == "edit":  # so early releases tied an edit to a person
            made_of.setdefault(b[1], [a])
            continue
        _add(result, a, None)
        _add(result, b, None)
        # The tie keeps a link that is said again after somebody kept the two apart.
        result.decisions.append(Decision("link", a, b, microseconds(sent_at), delivery_id))
    sent = microseconds(sent_at)
    if deletion is not None:
        digests = tuple(bytes.fromhex(digest) for digest in deletion.digests)
        result.deletion = DeletionStatement(digests, sent, frozenset(deletion.spared))
    for position, (external_id, refs) in enumerate(made_of.items()):
        stamp = Stamp(sent, sent, delivery_id, position, envelope_id.hex)
        edit = (API_SOURCE, external_id)
        _add(result, edit, ProfileStatement(stamp, {register_names.ABOUT: [list(ref) for ref in refs]}))
        result.decisions += [Decision("about", ref, edit, sent, delivery_id) for ref in refs]
    return result


def _add_events(
    result: EnvelopeStatements,
    events: Iterable[tuple[Account, Event]],
    sent_at: datetime | None,
    delivery_id: str,
    ceiling: datetime,
) -> None:
    """Add what the events of one envelope state, no time later than ``ceiling``.

    A statement has the time that the provider gives, at most the sending time. Without a time it has the sending time.
    """
    latest, envelope_id = microseconds(ceiling), result.envelope_id.hex
    sent = microseconds(sent_at)
    is_sent_ahead = sent > latest
    if is_sent_ahead:
        sent = latest
        result.clamped += 1
    for position, (account, event) in enumerate(events):
        occurred = microseconds(event.occurred_at)
        is_ahead = is_sent_ahead if occurred == 0 else occurred > latest
        if occurred > latest:
            occurred = latest
            result.clamped += 1
        if sent and (occurred == 0 or occurred > sent):
            occurred = sent
        if is_ahead and _opens(event):
            occurred = 0  # a wrong clock opens nothing: this answers no "no" that has a time
        if type(event) is ProfileSeen and event.created_at is not None and event.created_at > ceiling:
            event = replace(event, created_at=ceiling)  # noqa: PLW2901 - the event as it counts
            result.clamped += 1
        stamp = Stamp(occurred, sent or _edited(event, latest), delivery_id, position, envelope_id)
        _NORMALISERS[type(event)](result, account, event, stamp)


def _edited(event: Event, latest: int) -> int:
    """Return when somebody edited what an event shows, in microseconds; it stands in for an unknown sending time."""
    return min(microseconds(event.edited_at), latest) if type(event) is ProfileSeen else 0


def _opens(event: Event) -> bool:
    """Return whether an event can allow sending: an opt-in, or the lift of a suppression."""
    if type(event) is ConsentStated:
        return event.status == "opted_in"
    return type(event) is SuppressionStated and event.lifted


def _add(result: EnvelopeStatements, ref: Ref, statement: RecordStatement | None) -> None:
    statements = result.records.setdefault(ref, [])
    if statement is not None:
        statements.append(statement)


def _profile_seen(result: EnvelopeStatements, account: Account, event: ProfileSeen, stamp: Stamp) -> None:
    registers: dict[str, Any] = dict(event.fields)
    claims: dict[str, Claimed | None] = {}
    uncertain = None
    region = event.region or account.region
    for slot, identifier in event.identifiers.items():
        claim, as_given = readings.claim(identifier, region)
        if claim is not None and claim[0] == "phone" and readings.has_two_readings(identifier, account, event.region):
            registers[register_names.of_uncertain(slot)] = uncertain = claim
            claim = None
        claims[slot] = claim
        registers[register_names.of_slot(slot)] = claim
        registers[register_names.as_given(slot)] = as_given
        if as_given is not None:
            result.unread.append(register_names.as_given(slot))
        if claim is not None:
            result.idents.add(claim[:2])
    if event.created_at is not None:
        registers[register_names.CREATED] = microseconds(event.created_at)
    external_id = event.external_id
    if external_id is None:
        external_id = readings.guest_key(claims, uncertain)
        if external_id is None:
            given = [slot for slot, identifier in event.identifiers.items() if identifier is not None]
            if given and not any(claims.values()):
                raise readings.unread(f"the {' and the '.join(given)}, and a guest is known by nothing else")
            return
        result.guest = (account.source, external_id)
    _add(result, (account.source, external_id), ProfileStatement(stamp, registers, event.exists))


def _profile_removed(result: EnvelopeStatements, account: Account, event: ProfileRemoved, stamp: Stamp) -> None:
    _add(result, (account.source, event.external_id), RemovalStatement(stamp))


def _profiles_merged(result: EnvelopeStatements, account: Account, event: ProfilesMerged, stamp: Stamp) -> None:
    kept, lost = (account.source, event.kept_external_id), (account.source, event.lost_external_id)
    _add(result, kept, None)
    _add(result, lost, None)
    if kept != lost:
        tie = f"{stamp.sent}:{stamp.delivery_id}:{stamp.position}"
        result.decisions.append(Decision("source_merge", kept, lost, stamp.occurred, tie))


def _by_key(tags: Iterable[str]) -> dict[str, str]:
    """Return tags by their case-folded key; the first spelling counts."""
    found: dict[str, str] = {}
    for tag in tags:
        found.setdefault(tag.casefold(), tag)
    return found


def _tags_added(result: EnvelopeStatements, account: Account, event: TagsAdded, stamp: Stamp) -> None:
    _add(result, (account.source, event.external_id), TagsStatement(stamp, _by_key(event.tags), present=True))


def _tags_removed(result: EnvelopeStatements, account: Account, event: TagsRemoved, stamp: Stamp) -> None:
    _add(result, (account.source, event.external_id), TagsStatement(stamp, _by_key(event.tags), present=False))


def _tags_snapshot(result: EnvelopeStatements, account: Account, event: TagsSnapshot, stamp: Stamp) -> None:
    _add(result, (account.source, event.external_id), TagSnapshotStatement(stamp, _by_key(event.tags)))


def _speaker(result: EnvelopeStatements, account: Account, external_id: str | None) -> Ref:
    """Return the record that a statement is by: without a customer the guest of the envelope, else nobody."""
    if external_id is not None:
        return (account.source, external_id)
    return result.guest or (account.source, "")


def _consent_stated(result: EnvelopeStatements, account: Account, event: ConsentStated, stamp: Stamp) -> None:
    ref = _speaker(result, account, event.external_id)
    try:
        addresses = readings.addresses(event.channel, event.address, account.region, event.region)
    except MalformedPayloadError:
        if event.status != "unknown":
            raise
        return  # it says nothing, about nobody knows what
    if ref[1]:
        _add(result, ref, None)
    elif not addresses:
        return
    is_closing = event.status in ("opted_out", "pending")
    if len(addresses) > 1 and not is_closing:
        return  # a "yes" is for neither reading
    # What closes counts from the sending time, which its stamp has, if it has no time. All else is a baseline then.
    is_dated = event.occurred_at is not None
    occurred = stamp.occurred if is_dated or is_closing else 0
    if event.evidence and UNKNOWN in event.evidence:
        place = event.evidence.get(UNKNOWN_AT, event.channel)
        result.remark = f"{place}: an unknown word counts as no until somebody decides; known: {KNOWN}"
    for address in addresses or (None,):
        if address is not None:
            result.idents.add(identifiers.of_address(event.channel, address))
        consent = ConsentStatement(  # by position, because names take twice as long
            event.channel,
            event.purpose,
            address,
            event.status,
            occurred,
            ref,
            event.method,
            event.evidence,
            event.origin,
            event.legal_basis,
            event.expires_at,
            event.is_repeat,
            is_closing and not is_dated,
        )
        result.consents.append(consent)


def _suppression_stated(result: EnvelopeStatements, account: Account, event: SuppressionStated, stamp: Stamp) -> None:
    ref = _speaker(result, account, event.external_id)
    if ref[1]:
        _add(result, ref, None)
    addresses = readings.addresses(event.channel, event.address, account.region, event.region)
    if event.lifted and len(addresses) > 1:
        return  # a lift is for neither reading
    for address in addresses:
        result.idents.add(identifiers.of_address(event.channel, address))
        result.suppressions.append(
            SuppressionStatement(
                channel=event.channel,
                address=address,
                scope=event.scope,
                reason=event.reason,
                is_lift=event.lifted,
                occurred=stamp.occurred,
                expires_at=event.expires_at,
                ref=ref,
                origin=event.origin,
                note=event.note,
            )
        )


def _erasure_requested(result: EnvelopeStatements, _account: Account, event: ErasureRequested, stamp: Stamp) -> None:
    subjects = None
    if event.subject == "contact":
        claims = [
            (one.type, found.key)
            for one in event.identifiers
            if (found := identifiers.normal_form(one.type, one.value, None))
        ]
        subjects = {"records": sorted(event.customers), "identifiers": sorted(claims)}
    result.privacy_requests.append(
        PrivacyRequest(
            kind=f"erase_{event.subject}", external_id=event.external_id, occurred=stamp.occurred, subjects=subjects
        )
    )


def _note_added(result: EnvelopeStatements, account: Account, event: NoteAdded, stamp: Stamp) -> None:
    ref = (account.source, event.external_id)
    _add(result, ref, None)
    result.notes.append(
        Note(
            ref=ref,
            position=stamp.position,
            body=event.body,
            written=stamp.occurred,
            author_type=event.author_type,
            author_id=event.author_id,
            author_name=event.author_name,
        )
    )


def _export_requested(result: EnvelopeStatements, _account: Account, event: ExportRequested, stamp: Stamp) -> None:
    result.privacy_requests.append(
        PrivacyRequest(kind="export", external_id=event.external_id, occurred=stamp.occurred)
    )


def _connection_revoked(result: EnvelopeStatements, _account: Account, _event: ConnectionRevoked, stamp: Stamp) -> None:
    result.revoked = max(result.revoked or 0, stamp.occurred)


_NORMALISERS: dict[type[Any], Callable[[EnvelopeStatements, Account, Any, Stamp], None]] = {
    ProfileSeen: _profile_seen,
    ProfileRemoved: _profile_removed,
    ProfilesMerged: _profiles_merged,
    TagsAdded: _tags_added,
    TagsRemoved: _tags_removed,
    TagsSnapshot: _tags_snapshot,
    ConsentStated: _consent_stated,
    SuppressionStated: _suppression_stated,
    ErasureRequested: _erasure_requested,
    ExportRequested: _export_requested,
    NoteAdded: _note_added,
    ConnectionRevoked: _connection_revoked,
}
