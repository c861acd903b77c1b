"""Ledger: what a batch adds to the ledgers of consents and suppressions, to notes, and what the change log says of it.

Pure. Each statement is a row of its own, keyed by everything it says, so that the same statement twice is one row.
"""

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple
from uuid import UUID

from worker.domain.changes import Change, StoredDetail
from worker.domain.changeset import Changeset
from worker.domain.concerned import Concerned, Holding
from worker.domain.consent import RESTRICTIVENESS, ConsentEntry, SuppressionEntry
from worker.domain.identifiers import of_address
from worker.domain.keyed_consents import KeyedConsent
from worker.domain.permission import Holder, permissions, types_of
from worker.domain.statements import ConsentStatement, Note, PrivacyRequest, SuppressionStatement
from worker.domain.terms import Ident, Ref
from worker.domain.times import EPOCH

Said = ConsentEntry | ConsentStatement
#: no record has this name
_SEVERAL: Ref = ("", "")


class NewNote(NamedTuple):
    """A note that is not stored yet."""

    id: UUID
    record_id: UUID
    note: Note
    envelope_id: UUID


@dataclass(slots=True)
class Ledgers:
    """What the ledgers say about some addresses and records."""

    consents: Sequence[ConsentEntry] = ()
    suppressions: Sequence[SuppressionEntry] = ()
    noted: frozenset[UUID] | set[UUID] = frozenset()  #: ids of notes that are stored already


@dataclass(slots=True)
class LedgerChanges:
    """Rows to add beside profiles. A row that is new is one that nothing stored can conflict with."""

    new_consents: list[KeyedConsent] = field(default_factory=list)
    suppressions: list[tuple[SuppressionStatement, UUID]] = field(default_factory=list)  #: with their envelopes
    notes: list[NewNote] = field(default_factory=list)
    privacy_requests: list[tuple[PrivacyRequest, UUID, UUID, str]] = field(default_factory=list)
    revocations: list[tuple[UUID, int]] = field(default_factory=list)  #: (connection, microseconds)
    #: what contacts show beside their fields, of those that are written and show something else now
    shown: dict[UUID, dict[str, str]] = field(default_factory=dict)
    #: the same of contacts whose fields are as they were
    shown_only: dict[UUID, dict[str, str]] = field(default_factory=dict)
    touched: set[UUID] = field(default_factory=set)  #: contacts about which nothing but this changed
    log: list[Change] = field(default_factory=list)  #: every entry of the batch


def ledger_changes(
    people: Changeset,
    concerned: Concerned,
    ledgers: Ledgers,
    *,
    contact_of: Mapping[Ref, UUID | None],
    connection_of: Mapping[UUID, UUID],
    name_note: Callable[[UUID, int], tuple[UUID, str]],
) -> LedgerChanges:
    """Work out what a batch adds beside profiles, and every entry of its change log.

    ``concerned`` are the contacts that it may concern, ``ledgers`` is what stands about their addresses and records.
    ``contact_of`` is by record, ``connection_of`` by envelope. What happens beside a contact's profile joins its entry.
    ``name_note`` gives the id of a note, and how it is shown, by envelope and position.
    """
    log = _Log(people.changes)
    result = LedgerChanges()
    stored = {entry.key for entry in ledgers.consents}
    result.new_consents = [one for one in people.snapshot.news if one.key not in stored]
    said = {_content(entry) for entry in ledgers.suppressions}
    result.suppressions = [one for one in concerned.suppressions if _content(one[0]) not in said]
    _show(people, concerned, ledgers, result, log)
    record_ids = {ref: row.id for ref, row in people.snapshot.folded.rows.items()}
    for stated in people.snapshot.stated:
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
    result.touched |= people.touched
    result.touched |= log.entries.keys() if len(log.entries) > len(people.changes) else set()
    result.touched -= people.changes.keys() | result.shown_only.keys() if result.touched else set()
    result.log = list(log.entries.values())
    return result


def _show(people: Changeset, concerned: Concerned, ledgers: Ledgers, result: LedgerChanges, log: "_Log") -> None:
    """Work out what the contacts concerned show beside their fields, and log what is otherwise than before."""
    said = _Said(ledgers, result)
    in_batch = {stated.envelope_id for stated in people.snapshot.stated}
    for holding in concerned.contacts:
        contact_id = holding.contact_id
        if (plain := said.plainly(holding)) is not None:
            states, causes = plain
        else:
            states, causes = said.shown_of(concerned.holder(holding))
        if not concerned.is_plain(holding):
            states = concerned.identities(holding) | states
        before = None if holding.is_new else people.snapshot.contacts.get(contact_id)
        was = {} if before is None else before.shown
        if was != states:
            is_written = holding.is_new or contact_id in people.changes
            (result.shown if is_written else result.shown_only)[contact_id] = states
        if contact_id in people.forgotten:
            was = {}
        if was != states:
            log.add_all(contact_id, was, states, causes, in_batch, holding.causes)
        if not holding.is_new and contact_id not in people.changes and said.is_new_about(holding):
            result.touched.add(contact_id)


class _Said:
    """What the ledgers say after a batch, by what it is about."""

    def __init__(self, ledgers: Ledgers, result: LedgerChanges) -> None:
        self._new_by: dict[Ref, list[KeyedConsent]] = defaultdict(list)
        self._new_about: dict[str, list[KeyedConsent]] = defaultdict(list)
        #: who said something about an address, in the ledgers too; nobody's name if several did
        self._speaker: dict[str, Ref] = {}
        for one in result.new_consents:
            ref, address = one.consent.ref, one.consent.address
            self._new_by[ref].append(one)
            if address is not None:
                self._new_about[address].append(one)
                self._note_speaker(address, ref)
        for entry in ledgers.consents:
            if entry.address is not None:
                self._note_speaker(entry.address, entry.ref)
        self._stored = _by_subject(ledgers.consents)
        self._suppressed = _by_address([*ledgers.suppressions, *(as_suppression(*one) for one in result.suppressions)])
        self._speaker.update(dict.fromkeys(self._suppressed, _SEVERAL))
        self._newly_suppressed = {one.address for one, _ in result.suppressions}

    def _note_speaker(self, address: str, ref: Ref) -> None:
        if self._speaker.setdefault(address, ref) != ref:
            self._speaker[address] = _SEVERAL

    def plainly(self, holding: Holding) -> tuple[dict[str, str], dict[str, UUID | None]] | None:
        """Return the same as ``shown_of``, but only in the simple case, which is that of nearly all people.

        It is if the contact has one record, a customer's, which has one address on each channel, said everything about
        it, and nobody else said anything. Then the newest statement decides. None if it takes more to see what counts:
        what waits for a confirmation answers no refusal.
        """
        if len(holding.records) > 1 or holding.records[0].kind != "customer":
            return None
        (record,) = holding.records
        if record.erased is not None:
            return None
        ref, ties = record.ref, record.ties()
        said = self._said_alone(ref, ties)
        if said is None or (len(said) > 1 and {"pending", "opted_out"} <= {consent.status for consent, _ in said}):
            return None
        said.sort(key=_order_of)
        states: dict[str, str] = {}
        causes: dict[str, UUID | None] = {}
        for consent, envelope_id in said:
            kinds = types_of(consent.channel)
            if [key for kind, key in ties if kind in kinds] != [consent.address]:
                return None
            name = f"consent:{consent.channel}:{consent.purpose}"
            if consent.status != "unknown" or name not in states:
                states[name], causes[name] = consent.status, envelope_id
        return states, causes

    def _said_alone(self, ref: Ref, ties: Iterable[Ident]) -> list[tuple[Said, UUID | None]] | None:
        """Return the statements of a record with their envelopes; None if others spoke about its addresses, too."""
        for _, key in ties:
            if self._speaker.get(key, ref) != ref:
                return None
        said: list[tuple[Said, UUID | None]] = []
        if ref in self._stored:
            said += [(entry, entry.envelope_id) for entry in self._stored[ref]]
        if ref in self._new_by:
            said += [(one.consent, one.envelope_id) for one in self._new_by[ref]]
        return said

    def shown_of(self, holder: Holder) -> tuple[dict[str, str], dict[str, UUID | None]]:
        """Return the states of consents and suppressions by the names of the change log, and who said so."""
        held = [key for _, key in holder.held]
        stated = {e.key: e for key in held for e in self._stored.get(key, ()) if _concerns(e, holder)}
        stated |= {e.key: e for ref in holder.voices for e in self._stored.get(ref, ())}
        new = [one for key in held for one in self._new_about.get(key, ())]
        new += [one for ref in holder.voices for one in self._new_by.get(ref, ())]
        for one in new:
            if one.key not in stated and _concerns(entry := as_entry(one), holder):
                stated[one.key] = entry
        blocked = [e for key in held for e in self._suppressed.get(key, ()) if _is_held(e.channel, key, holder.held)]
        if not stated and not blocked:
            return {}, {}
        return shown_of(holder, list(stated.values()), blocked)

    def is_new_about(self, holding: Holding) -> bool:
        """Whether the batch says anything new by a contact's records or about its addresses."""
        return any(
            record.ref in self._new_by
            or any(key in self._new_about or key in self._newly_suppressed for _, key in record.ties())
            for record in holding.records
        )


def _order_of(said: tuple[Said, object]) -> tuple[int, int]:
    return said[0].occurred, RESTRICTIVENESS[said[0].status]


def _concerns(entry: ConsentEntry, holder: Holder) -> bool:
    return entry.ref in holder.voices or _is_held(entry.channel, entry.address, holder.held)


def shown_of(
    holder: Holder, consents: Sequence[ConsentEntry], suppressed: Sequence[SuppressionEntry]
) -> tuple[dict[str, str], dict[str, UUID | None]]:
    """Return the states of consents and suppressions by the names of the change log, and the envelopes that said so."""
    shown: dict[str, str] = {}
    causes: dict[str, UUID | None] = {}
    found = permissions(holder, consents, suppressed)
    for key in found.rulings:
        statement = found.shown(key, None).statement
        if statement is not None:
            name = f"consent:{key[0]}:{key[1]}"
            shown[name], causes[name] = statement.status, statement.envelope_id
    for one in found.suppressions:
        name = f"suppression:{one.channel}:{one.reason}:{one.scope}"
        if one.lifted is None or name not in shown:
            shown[name] = "active" if one.lifted is None else "lifted"
            causes[name] = one.envelope_ids[-1] if one.envelope_ids else None
    return shown, causes


def _by_subject(entries: Iterable[ConsentEntry]) -> dict[str | Ref, list[ConsentEntry]]:
    found: dict[str | Ref, list[ConsentEntry]] = defaultdict(list)
    for entry in entries:
        found[entry.ref].append(entry)
        if entry.address is not None:
            found[entry.address].append(entry)
    return found


def _by_address(entries: Iterable[SuppressionEntry]) -> dict[str, list[SuppressionEntry]]:
    found: dict[str, list[SuppressionEntry]] = defaultdict(list)
    for entry in entries:
        found[entry.address].append(entry)
    return found


def _is_held(channel: str, address: str | None, held: Collection[Ident]) -> bool:
    """Whether a row of a ledger is about one of these identifiers, and not about the same text of another type."""
    return address is not None and (of_address(channel, address) in held or (channel, address) in held)


class _Log:
    """Entries of the change log, by contact."""

    def __init__(self, changes: Mapping[UUID, Change]) -> None:
        self.entries = dict(changes)
        self._own: set[UUID] = set()

    def add_all(
        self,
        contact_id: UUID,
        was: Mapping[str, str],
        now: Mapping[str, str],
        causes: Mapping[str, UUID | None],
        in_batch: Collection[UUID],
        about: Collection[UUID],
    ) -> None:
        """Add to a contact's entry what it shows otherwise.

        ``causes`` are the envelopes that decided, by name; of those that are not ``in_batch``, and where nobody
        decided, one of the envelopes ``about`` the contact stands.
        """
        entry = self.entries.get(contact_id)
        some = next(iter(about)) if len(about) == 1 else min(about, default=None)
        if entry is None:
            entry = Change(contact_id, "changed", {}, () if some is None else (some,))
        details = dict(entry.details)
        for name in sorted(was.keys() | now.keys()) if was else sorted(now):
            before, after = was.get(name), now.get(name)
            if before != after:
                cause = causes.get(name)
                if cause is not some and cause not in in_batch:
                    cause = some
                details[name] = _detail(entry, before, after, cause)
        self.entries[contact_id] = Change(contact_id, entry.kind, details, entry.causes, entry.encoded)
        self._own.add(contact_id)

    def add(
        self, contact_id: UUID | None, name: str, before: str | None, after: str | None, envelope_id: UUID | None
    ) -> None:
        """Add to a contact's entry what ``name`` was and is now; without a contact, nothing happens."""
        if contact_id is None:
            return
        entry = self.entries.get(contact_id)
        if contact_id not in self._own:
            self._own.add(contact_id)
            if entry is None:
                entry = Change(contact_id, "changed", {}, () if envelope_id is None else (envelope_id,))
            else:
                entry = Change(entry.contact_id, entry.kind, dict(entry.details), entry.causes, entry.encoded)
            self.entries[contact_id] = entry
        assert entry is not None  # noqa: S101 - added above
        entry.details[name] = _detail(entry, before, after, envelope_id)


def _detail(entry: Change, before: str | None, after: str | None, cause: UUID | None) -> StoredDetail:
    """Return a detail as it is stored: without its cause, if that is the only one of its entry."""
    causes = entry.causes
    is_only = cause is not None and len(causes) == 1 and (causes[0] is cause or causes[0] == cause)
    return (before, after) if is_only else (before, after, None if cause is None else cause.hex)


def as_entry(one: KeyedConsent) -> ConsentEntry:
    """Return a consent as the ledger will hold it; id and time are not those it will have."""
    consent = one.consent
    return ConsentEntry(
        id=UUID(bytes=one.key),
        key=one.key,
        channel=consent.channel,
        purpose=consent.purpose,
        address=consent.address,
        status=consent.status,
        occurred=consent.occurred,
        ref=consent.ref,
        method=consent.method,
        evidence=consent.evidence,
        envelope_id=one.envelope_id,
        created_at=EPOCH,
        origin=consent.origin,
        legal_basis=consent.legal_basis,
        expires_at=consent.expires_at,
        is_repeat=consent.is_repeat,
        is_undated=consent.is_undated,
    )


def _content(said: SuppressionStatement | SuppressionEntry) -> tuple[object, ...]:
    return (
        said.channel,
        said.address,
        said.scope,
        said.reason,
        said.is_lift,
        said.occurred,
        said.expires_at,
        said.ref,
        said.origin or None,
        said.note or None,
    )


def as_suppression(suppression: SuppressionStatement, envelope_id: UUID) -> SuppressionEntry:
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
