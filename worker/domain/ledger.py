"""Ledger: what a batch adds to the ledgers of consents and suppressions, to notes, and what the change log says of it.

Pure. Each statement is a row of its own, keyed by everything it says, so that the same statement twice is one row.
"""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import NamedTuple
from uuid import UUID

import orjson

from worker.domain.changes import Change
from worker.domain.consent import SuppressionEntry, rank, suppressions
from worker.domain.statements import (
    ConsentStatement,
    EnvelopeStatements,
    Note,
    PrivacyRequest,
    SuppressionStatement,
)
from worker.domain.terms import Ref
from worker.domain.times import EPOCH


class KeyedConsent(NamedTuple):
    """A consent on its way into the ledger."""

    key: bytes  #: the same statement twice has the same key
    consent: ConsentStatement
    envelope_id: UUID


class PriorConsent(NamedTuple):
    """What counted for an address, or for a record that has none, before a batch."""

    channel: str
    purpose: str
    subject: str | Ref
    status: str
    occurred: int
    key: bytes  #: as in KeyedConsent


class NewNote(NamedTuple):
    """A note that is not stored yet."""

    id: UUID
    record_id: UUID
    note: Note
    envelope_id: UUID


@dataclass(slots=True)
class Ledgers:
    """What the ledgers say about the addresses and records of a batch."""

    consents: Sequence[PriorConsent] = ()
    suppressions: Sequence[SuppressionEntry] = ()
    noted: Collection[UUID] = ()  #: ids of notes of the batch that are stored already


@dataclass(slots=True)
class LedgerChanges:
    """Rows to add beside profiles. A row that is new is one that nothing stored can conflict with."""

    new_consents: list[KeyedConsent] = field(default_factory=list)
    consents: list[KeyedConsent] = field(default_factory=list)  #: they may be stored already
    suppressions: list[tuple[SuppressionStatement, UUID]] = field(default_factory=list)  #: with their envelopes
    notes: list[NewNote] = field(default_factory=list)
    privacy_requests: list[tuple[PrivacyRequest, UUID, UUID, str]] = field(default_factory=list)
    revocations: list[tuple[UUID, int]] = field(default_factory=list)  #: (connection, microseconds)
    touched: list[UUID] = field(default_factory=list)  #: contacts about which nothing but this changed
    log: list[Change] = field(default_factory=list)  #: every entry of the batch


def keyed_consents(statements: Iterable[EnvelopeStatements]) -> list[KeyedConsent]:
    """Key the consents of a batch. It takes a while, and needs no lock."""
    return [keyed(consent, stated.envelope_id) for stated in statements for consent in stated.consents]


def keyed(consent: ConsentStatement, envelope_id: UUID) -> KeyedConsent:
    """Key a consent by everything it says."""
    parts: tuple[object, ...] = (
        consent.channel,
        consent.purpose,
        consent.address,
        consent.status,
        consent.occurred,
        consent.ref,
        consent.method,
        sorted(consent.evidence.items()),
    )
    rest = (consent.origin, consent.legal_basis, consent.expires_at, consent.is_repeat)
    if any(rest):  # appended, so that statements without these keep the key they have always had
        parts += rest
    return KeyedConsent(blake2b(orjson.dumps(parts), digest_size=16).digest(), consent, envelope_id)


def ledger_changes(
    statements: Sequence[EnvelopeStatements],
    consents: Sequence[KeyedConsent],
    ledgers: Ledgers,
    *,
    contact_of: Mapping[Ref, UUID | None],
    record_ids: Mapping[Ref, UUID],
    connection_of: Mapping[UUID, UUID],
    changes: Mapping[UUID, Change],
    name_note: Callable[[UUID, int], tuple[UUID, str]],
) -> LedgerChanges:
    """Work out what a batch adds beside profiles, and every entry of its change log.

    ``consents`` are those of ``statements``, keyed; ``ledgers`` is what stands about their addresses and records.
    ``contact_of`` and ``record_ids`` are by record, ``connection_of`` by envelope. ``changes`` are the entries about
    people; what happens beside such a contact's profile joins its entry. ``name_note`` gives the id of a note, and how
    it is shown, by envelope and position.
    """
    log = _Log(changes)
    result = LedgerChanges()
    if consents:
        result.new_consents, result.consents = split_first(consents, ledgers.consents)
        _log_consents(log, ledgers.consents, [*result.new_consents, *result.consents], contact_of)
    result.suppressions = [(one, stated.envelope_id) for stated in statements for one in stated.suppressions]
    if result.suppressions:
        _log_suppressions(log, ledgers.suppressions, result.suppressions, contact_of)
    for stated in statements:
        for note in stated.notes:
            id_, shown = name_note(stated.envelope_id, note.position)
            if id_ not in ledgers.noted:
                result.notes.append(NewNote(id_, record_ids[note.ref], note, stated.envelope_id))
                log.add(contact_of.get(note.ref), "note", None, shown, stated.envelope_id)
        result.privacy_requests += [
            (request, connection_of[stated.envelope_id], stated.envelope_id, stated.source)
            for request in stated.privacy_requests
        ]
        if stated.revoked is not None:
            result.revocations.append((connection_of[stated.envelope_id], stated.revoked))
    result.touched = [contact_id for contact_id in log.entries if contact_id not in changes]
    result.log = list(log.entries.values())
    return result


def split_first(
    consents: Iterable[KeyedConsent], prior: Collection[PriorConsent]
) -> tuple[list[KeyedConsent], list[KeyedConsent]]:
    """Part the first consents about an address from those that may be stored; what counts already is left out.

    Where ``prior`` says nothing about an address, nothing was stated about it.
    """
    by_key = {one.key: one for one in consents}
    for before in prior:  # most repeated statements are those that count
        by_key.pop(before.key, None)
    known = {(before.channel, before.purpose, before.subject) for before in prior}
    first: list[KeyedConsent] = []
    others: list[KeyedConsent] = []
    for one in by_key.values():
        consent = one.consent
        is_first = consent.address is not None and (consent.channel, consent.purpose, consent.address) not in known
        (first if is_first else others).append(one)
    return first, others


class _Log:
    """Entries of the change log, by contact."""

    def __init__(self, changes: Mapping[UUID, Change]) -> None:
        self.entries = dict(changes)
        self._own: set[UUID] = set()

    def add(self, contact_id: UUID | None, name: str, before: str | None, after: str | None, envelope_id: UUID) -> None:
        """Add to a contact's entry what ``name`` was and is now; without a contact, nothing happens."""
        if contact_id is None:
            return
        entry = self.entries.get(contact_id)
        if contact_id not in self._own:
            self._own.add(contact_id)
            if entry is None:
                entry = Change(contact_id, "changed", {}, (envelope_id,))
            else:
                entry = Change(entry.contact_id, entry.kind, dict(entry.details), entry.causes, entry.encoded)
            self.entries[contact_id] = entry
        assert entry is not None  # noqa: S101 - added above
        is_only = entry.causes == (envelope_id,)
        entry.details[name] = (before, after) if is_only else (before, after, envelope_id.hex)


def _log_consents(
    log: _Log,
    prior: Collection[PriorConsent],
    added: Iterable[KeyedConsent],
    contact_of: Mapping[Ref, UUID | None],
) -> None:
    """Log the consents that change what counts for their address.

    One that is stored already changes nothing: what counted before ranks no lower.
    """
    counted = {(before.channel, before.purpose, before.subject): before for before in prior}
    counting: dict[tuple[str, str, str | Ref], KeyedConsent] = {}
    for one in added:
        consent = one.consent
        subject = (consent.channel, consent.purpose, consent.address or consent.ref)
        best = counting.get(subject)
        if best is None or _rank(consent) > _rank(best.consent):
            counting[subject] = one
    for subject, best in counting.items():
        consent = best.consent
        before = counted.get(subject)
        if before is not None and _rank(before) >= _rank(consent):
            continue
        status = None if before is None else before.status
        if status != consent.status:
            name = f"consent:{subject[0]}:{subject[1]}"
            log.add(contact_of.get(consent.ref), name, status, consent.status, best.envelope_id)


def _log_suppressions(
    log: _Log,
    stored: Sequence[SuppressionEntry],
    added: Sequence[tuple[SuppressionStatement, UUID]],
    contact_of: Mapping[Ref, UUID | None],
) -> None:
    """Log the suppressions that begin or end."""
    before = _states(stored)
    after = _states([*stored, *(_entry(suppression, envelope_id) for suppression, envelope_id in added)])
    for suppression, envelope_id in added:
        key = (suppression.channel, suppression.address, suppression.scope, suppression.reason)
        if before.get(key) != after.get(key):
            name = f"suppression:{suppression.channel}:{suppression.reason}:{suppression.scope}"
            log.add(contact_of.get(suppression.ref), name, before.get(key), after.get(key), envelope_id)


def _entry(suppression: SuppressionStatement, envelope_id: UUID) -> SuppressionEntry:
    """Return a statement as the ledger will hold it; id and time are not those it will have."""
    return SuppressionEntry(
        id=envelope_id,
        channel=suppression.channel,
        address=suppression.address,
        scope=suppression.scope,
        reason=suppression.reason,
        is_lift=suppression.is_lift,
        occurred=suppression.occurred,
        expires_at=suppression.expires_at,
        ref=suppression.ref,
        envelope_id=envelope_id,
        created_at=EPOCH,
        origin=suppression.origin,
        note=suppression.note,
    )


def _states(entries: Iterable[SuppressionEntry]) -> dict[tuple[str, str, str, str], str]:
    return {
        (found.channel, found.address, found.scope, found.reason): "active" if found.lifted is None else "lifted"
        for found in suppressions(entries)
    }


def _rank(consent: ConsentStatement | PriorConsent) -> tuple[bool, int, int]:
    return rank(consent.status, consent.occurred)
