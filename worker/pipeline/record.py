"""Record: consent and suppression statements into their ledgers, notes beside them, changes into the log."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from functools import partial
from uuid import UUID

from worker import ids
from worker.domain import consent as consent_rules
from worker.domain.statements import ConsentStatement, EnvelopeStatements, Note, SuppressionStatement
from worker.domain.terms import Ref
from worker.store import changes, connections, consents, contacts, decisions, notes, privacy_requests, suppressions
from worker.store.changes import Change
from worker.store.db import Last, Tx
from worker.store.records import RecordRow


def record(
    tx: Tx,
    readings: Sequence[EnvelopeStatements],
    entries: Sequence[consents.KeyedConsent],
    rows: Mapping[Ref, RecordRow],
    made: Mapping[UUID, Change],
    connection_of: Mapping[UUID, UUID],
    last: Last,
) -> list[Change]:
    """Write what a batch stated beside profiles; return the entries of the change log.

    ``entries`` are what the readings add to the consent ledger, ``rows`` the records they spoke of, ``made`` the
    changes to contacts, ``connection_of`` names the connection each envelope came through; what is new altogether is
    left to ``last``. Said twice, a statement is one row, and the log says nothing. What the log says of a contact in
    ``made`` joins its change.
    """
    contact_of = {ref: row.contact_id for ref, row in rows.items()}
    log = dict(made)
    if entries:
        said = _addresses(entry.consent for entry in entries)
        earlier = consents.prior(tx, *said)
        first, others = consents.split_first(entries, earlier)
        last.append(partial(consents.insert_new, tx, first))
        added = consents.append(tx, others)
        _log_consents(log, earlier, [*first, *(entry for entry in others if entry.key in added)], contact_of)
    suppressed = [(s, r.envelope_id) for r in readings for s in r.suppressions]
    if suppressed:
        _suppress(tx, suppressed, contact_of, log)
    written = [(rows[note.ref].id, note, r.envelope_id) for r in readings for note in r.notes]
    if written:
        _log_notes(log, notes.append(tx, written), rows)
    privacy_requests.ensure(
        tx,
        [(p, connection_of[r.envelope_id], r.envelope_id, r.source) for r in readings for p in r.privacy_requests],
    )
    for reading in readings:
        if reading.revoked is not None:
            connections.revoke(tx, connection_of[reading.envelope_id], reading.revoked)
    contacts.touch(tx, log.keys() - made.keys())
    logged = list(log.values())
    last.append(partial(changes.append, tx, logged))
    return logged


def entries_of(readings: Iterable[EnvelopeStatements]) -> list[consents.KeyedConsent]:
    """What readings add to the consent ledger: can be worked out before the locks are taken."""
    return [consents.keyed(consent, reading.envelope_id) for reading in readings for consent in reading.consents]


def decide(tx: Tx, readings: Iterable[EnvelopeStatements]) -> None:
    """Write the decisions that sources made, before records are resolved under them."""
    decisions.ensure(
        tx,
        [(decision, r.source, r.envelope_id) for r in readings for decision in r.decisions],
    )


def withdraw(tx: Tx, envelope_ids: Collection[UUID]) -> set[Ref]:
    """Take back what envelopes stated beside profiles; return records whose decisions fell."""
    consents.withdraw(tx, envelope_ids)
    suppressions.withdraw(tx, envelope_ids)
    notes.withdraw(tx, envelope_ids)
    privacy_requests.withdraw(tx, envelope_ids)
    return decisions.withdraw(tx, envelope_ids)


def _addresses(said: Iterable[ConsentStatement]) -> tuple[set[str], set[Ref]]:
    addresses: set[str] = set()
    refs: set[Ref] = set()
    for consent in said:
        if consent.address is None:
            refs.add(consent.ref)
        else:
            addresses.add(consent.address)
    return addresses, refs


def _log_consents(
    log: dict[UUID, Change],
    earlier: Collection[consents.PriorConsent],
    fresh: Collection[consents.KeyedConsent],
    contact_of: Mapping[Ref, UUID | None],
) -> None:
    """Log the statements that changed what counts for their address."""
    held = {(before.channel, before.purpose, before.subject): before for before in earlier}
    counting: dict[tuple[str, str, str | Ref], consents.KeyedConsent] = {}
    for entry in fresh:
        said = entry.consent
        subject = (said.channel, said.purpose, said.address or said.ref)
        best = counting.get(subject)
        if best is None or _rank(said) > _rank(best.consent):
            counting[subject] = entry
    for subject, best in counting.items():
        said = best.consent
        before = held.get(subject)
        if before is not None and _rank(before) >= _rank(said):
            continue
        contact_id = contact_of.get(said.ref)
        status = None if before is None else before.status
        if contact_id is not None and status != said.status:
            _log(log, contact_id, f"consent:{subject[0]}:{subject[1]}", status, said.status, best.envelope_id)


def _suppress(
    tx: Tx,
    stated: Sequence[tuple[SuppressionStatement, UUID]],
    contact_of: Mapping[Ref, UUID | None],
    log: dict[UUID, Change],
) -> None:
    """Add to the ledger of suppressions, and log those that began or ended by it."""
    addresses = {said.address for said, _ in stated}
    before = _standing(suppressions.of(tx, addresses))
    suppressions.append(tx, stated)
    after = _standing(suppressions.of(tx, addresses))
    for said, envelope_id in stated:
        key = (said.channel, said.address, said.scope, said.reason)
        contact_id = contact_of.get(said.ref)
        if contact_id is not None and before.get(key) != after.get(key):
            name = f"suppression:{said.channel}:{said.reason}:{said.scope}"
            _log(log, contact_id, name, before.get(key), after.get(key), envelope_id)


def _standing(statements: Iterable[consent_rules.SuppressionEntry]) -> dict[tuple[str, str, str, str], str]:
    return {
        (s.channel, s.address, s.scope, s.reason): "active" if s.lifted is None else "lifted"
        for s in consent_rules.suppressions(statements)
    }


def _log_notes(
    log: dict[UUID, Change], added: Iterable[tuple[Note, UUID, UUID]], rows: Mapping[Ref, RecordRow]
) -> None:
    """Log that a note was written; what it says stays in the note."""
    for note, note_id, envelope_id in added:
        contact_id = rows[note.ref].contact_id
        if contact_id is not None:
            _log(log, contact_id, "note", None, ids.show(ids.NOTE, note_id), envelope_id)


def _log(
    log: dict[UUID, Change], contact_id: UUID, name: str, before: str | None, after: str | None, envelope_id: UUID
) -> None:
    entry = log.get(contact_id)
    if entry is None:
        entry = log[contact_id] = Change(contact_id, "changed", {}, (envelope_id,))
    is_only = entry.causes == (envelope_id,)
    entry.details[name] = (before, after) if is_only else (before, after, envelope_id.hex)


def _rank(said: ConsentStatement | consents.PriorConsent) -> tuple[bool, int, int]:
    return (said.status != "unknown", said.occurred, consent_rules.RESTRICTIVENESS[said.status])
