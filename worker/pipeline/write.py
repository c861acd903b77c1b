"""Write: the rows of a batch go into their tables, one statement a table."""

from collections.abc import Iterator
from uuid import UUID

from worker.domain.changeset import Changeset, Encoder
from worker.domain.ledger import LedgerChanges
from worker.errors import TransientError
from worker.store import (
    batch_writer,
    changes,
    claims,
    connections,
    consents,
    contact_aliases,
    contact_terms,
    contacts,
    decisions,
    deletions,
    envelopes,
    former_contacts,
    idempotency_keys,
    notes,
    privacy_requests,
    records,
    shop_erasures,
    suppressions,
)
from worker.store.db import Tx

ENCODER = Encoder(
    record=records.encode, contact=contacts.encode, terms=contact_terms.encode, details=batch_writer.json_bytes
)


def write(tx: Tx, people: Changeset, ledger: LedgerChanges, *, are_links_new: bool) -> None:
    """Write everything that a batch comes to.

    ``are_links_new`` skips the look for links that are stored already; an insert that meets one raises. Raises
    TransientError if a record changed under its lock.
    """
    decisions.ensure(tx, people.decisions)
    contact_terms.update(tx, people.terms)
    contacts.delete(tx, people.deleted_contacts)
    # Before other contacts are written: in the feed an id goes before another contact shows what was its own.
    former_contacts.ensure(tx, _former_contacts(people))
    former_contacts.delete(tx, _returning(people))
    contacts.update(tx, people.updated_contacts, ledger.shown)
    if records.update(tx, people.updated_records) != len(people.updated_records):
        raise TransientError("a record changed under its lock")
    claims.delete(tx, people.deleted_claims)
    claims.disown(tx, people.disowned_claims)
    claims.ensure(tx, people.claims)
    contact_aliases.ensure(tx, people.ids.aliases)
    records.delete(tx, people.snapshot.folded.deleted)
    suppressions.append(tx, ledger.suppressions)
    notes.append(tx, ledger.notes)
    privacy_requests.ensure(tx, ledger.privacy_requests)
    deletions.ensure(tx, people.snapshot.stated)
    shop_erasures.ensure(tx, people.snapshot.stated)
    for connection_id, revoked_at in ledger.revocations:
        connections.revoke(tx, connection_id, revoked_at)
    contacts.show(tx, ledger.shown_only)
    contacts.touch(tx, ledger.touched)
    changes.forget(tx, people.forgotten)
    idempotency_keys.forget(tx, people.forgotten)
    with batch_writer.unawaited(tx.conn):
        records.insert_new(tx, people.new_records)
        claims.insert_new(tx, people.new_claims)
        contacts.insert_new(tx, people.new_contacts, ledger.shown)
        contact_terms.insert_new(tx, people.new_terms)
        (envelopes.insert_new_links if are_links_new else envelopes.ensure_links)(tx, people.links)
        consents.insert_new(tx, ledger.new_consents)
        changes.append(tx, ledger.log)


def _former_contacts(people: Changeset) -> Iterator[tuple[UUID, UUID | None]]:
    """Yield each contact that ends, and the contact that takes over, by its entry in the change log."""
    for contact_id in people.deleted_contacts:
        entry = people.changes[contact_id]
        yield contact_id, UUID(entry.details["merged_into"][1]) if entry.kind == "merged" else None


def _returning(people: Changeset) -> set[UUID]:
    """Return the new contacts that may have been there before; those of new records cannot."""
    return {change.contact_id for change in people.terms if change.before is None}
