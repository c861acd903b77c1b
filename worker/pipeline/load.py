"""Load: everything that the outcome of a batch depends on, a few statements for the whole batch.

From the batch's records outwards, a round trip a step: who else claims their identifiers (before and after),
what those claim, whom decisions tie to them. The common batch ends after the first step.
"""

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Sequence
from uuid import UUID

from worker.domain import identifiers
from worker.domain.folded import Withdrawn, fold_batch
from worker.domain.ledger import Ledgers
from worker.domain.grouping import Limits, is_crowd
from worker.domain.rows import RecordRow
from worker.domain.snapshot import Snapshot
from worker.domain.statements import ConsentStatement, EnvelopeStatements
from worker.domain.terms import Ident, Ref
from worker.domain.union_find import UnionFind
from worker.store import (
    claims,
    connections,
    consents,
    contacts,
    decisions,
    envelopes,
    notes,
    privacy_requests,
    records,
    suppressions,
)
from worker.store.db import Tx


def load(
    tx: Tx,
    statements: Sequence[EnvelopeStatements],
    limits: Limits,
    new_id: Callable[[], UUID],
    withdrawn: Withdrawn | None = None,
) -> Snapshot:
    """Load the records that statements are about, fold them, and load the components that they are in.

    Which identifiers matter is known only after folding. ``new_id`` gives new records their ids, ``withdrawn`` is
    what a replay took back before. Nothing is locked here; see ``is_current``.
    """
    stored = [] if withdrawn is None else list(withdrawn.records)
    refs = {ref for stated in statements for ref in stated.records} - {row.ref for row in stored}
    stored += records.by_refs(tx, refs)
    folded = fold_batch(stored, statements, new_id, withdrawn)
    snapshot = Snapshot(folded, limits, rows=folded.active, stated=statements)
    _Components(tx, snapshot).load()
    # What was loaded as a neighbour may be one of the batch's own that repeats itself; its new times are to be kept.
    snapshot.rows.update({ref: folded.rows[ref] for ref in folded.repeating & snapshot.rows.keys()})
    contact_ids = {row.contact_id for row in snapshot.rows.values() if row.contact_id is not None}
    snapshot.contacts = contacts.by_ids(tx, contact_ids) if contact_ids else {}
    snapshot.priorities = connections.priorities(tx)
    return snapshot


def is_current(tx: Tx, snapshot: Snapshot) -> bool:
    """Return whether nothing of a snapshot has changed since it was loaded. Call it under the locks.

    Contacts are not compared, because whoever writes a contact also writes one of its records.
    """
    rows = snapshot.record_rows()
    stored = {row.id: row.version for row in rows.values() if row.version > 0}
    if records.versions(tx, rows.keys()) != stored:
        return False
    if decisions.by_refs(tx, snapshot.rows.keys()) != snapshot.decisions:
        return False
    present = claims.claimants(tx, snapshot.claimed.keys(), _most_claimants(snapshot))
    return present == {ident: found for ident, found in snapshot.claimed.items() if found}


def load_ledgers(tx: Tx, statements: Sequence[EnvelopeStatements]) -> Ledgers:
    """Load what the ledgers say about the addresses and records of these statements.

    Ledgers have no versions that tell whether they have changed, so this is called under the locks.
    """
    consented = [consent for one in statements for consent in one.consents]
    suppressed = {suppression.address for one in statements for suppression in one.suppressions}
    noting = [one.envelope_id for one in statements if one.notes]
    return Ledgers(
        consents=consents.prior(tx, *_addresses(consented)) if consented else (),
        suppressions=suppressions.by_addresses(tx, suppressed) if suppressed else (),
        noted=frozenset(note.id for note in notes.by_envelopes(tx, noting)) if noting else frozenset(),
    )


def withdraw(tx: Tx, envelope_ids: Sequence[UUID]) -> Withdrawn:
    """Take back what envelopes stated beside records, for a replay; return the records that they were about.

    ``fold_batch`` takes back what they stated about the records themselves. Call it under the lock of the whole
    organization.
    """
    record_ids = envelopes.linked_records(tx, envelope_ids)
    for ledger in (consents, suppressions, notes, privacy_requests):
        ledger.withdraw(tx, envelope_ids)
    decided = decisions.withdraw(tx, envelope_ids)
    envelopes.delete_links(tx, envelope_ids)
    rows = {row.ref: row for row in records.by_ids(tx, record_ids)}
    rows.update({row.ref: row for row in records.by_refs(tx, decided)})
    known = [row.id for row in rows.values()]
    return Withdrawn(envelope_ids, list(rows.values()), set(known) - envelopes.still_linked(tx, known))


def _addresses(stated: Iterable[ConsentStatement]) -> tuple[set[str], set[Ref]]:
    """Return the addresses of consents, and the records of those without one."""
    addresses: set[str] = set()
    refs: set[Ref] = set()
    for consent in stated:
        if consent.address is None:
            refs.add(consent.ref)
        else:
            addresses.add(consent.address)
    return addresses, refs


def _most_claimants(snapshot: Snapshot) -> int:
    """Return how many claims of an identifier tell a crowd from its absence, even if the whole batch lets go of it."""
    return snapshot.limits.component + 1 + len(snapshot.folded.claims_before)


class _Components:
    """Follows identifiers and decisions from a batch's active records to all that they connect.

    Work is bounded by the batch: crowded identifiers lead nowhere, and records known to be in an oversize component
    are followed only as far as it takes to see that it still is one.
    """

    def __init__(self, tx: Tx, snapshot: Snapshot) -> None:
        self._tx = tx
        self._snapshot = snapshot
        self._active = snapshot.folded.active
        self._active_ids = {row.id for row in self._active.values()}
        #: (source, is a customer) of the active records that claim an identifier now
        self._claiming: dict[Ident, list[tuple[str, bool]]] = defaultdict(list)
        for ref, row in self._active.items():
            claimant = (ref[0], row.record.kind == "customer")
            for ident in row.record.claims():
                self._claiming[ident].append(claimant)

    def load(self) -> None:
        """Add every record of the components, with the claims and decisions that connect them."""
        snapshot = self._snapshot
        seen: set[Ident] = set()
        idents = {ident for known in snapshot.folded.claims_before.values() for ident in known}.union(self._claiming)
        refs: set[Ref] = set(self._active)
        deferred: dict[Ref, RecordRow] = {}
        while idents or refs:
            # Records that a decision ties to others are followed in any case: their group changes with it.
            new = linked = self._linked(refs)
            claimants = self._claimants(idents - seen)
            seen |= idents
            if claimants:
                claimants -= {row.id for row in snapshot.rows.values()} | {row.id for row in new}
            if claimants:
                new = linked + records.by_ids(self._tx, claimants)
            snapshot.rows.update({row.ref: row for row in new if row.ref not in self._active})
            later = {row.ref: row for row in new[len(linked) :] if row.is_oversize}
            deferred.update(later)
            refs = {row.ref for row in new}
            idents = {ident for row in new if row.ref not in later for ident in row.record.claims()} - seen
            if not idents and not refs and deferred:
                idents = self._still_needed(deferred) - seen

    def _linked(self, refs: Collection[Ref]) -> list[RecordRow]:
        """Follow decisions: they tie records whatever their identifiers."""
        if not refs:
            return []
        found = decisions.by_refs(self._tx, refs)
        self._snapshot.decisions |= found
        others = {ref for decision in found for ref in (decision.a, decision.b)} - set(self._snapshot.rows)
        return records.by_refs(self._tx, others) if others else []

    def _claimants(self, idents: Iterable[Ident]) -> set[UUID]:
        """Return the ids of the records that claim identifiers; note the crowded ones, which lead nowhere."""
        snapshot, limits = self._snapshot, self._snapshot.limits
        nobodys = {ident for ident in idents if identifiers.identifies_nobody(*ident)}
        snapshot.crowded |= nobodys
        shared = set(idents) - nobodys
        found = claims.claimants(self._tx, shared, _most_claimants(snapshot))
        record_ids: set[UUID] = set()
        for ident in shared:
            rows = found.get(ident, [])
            now = self._claiming.get(ident, ())
            snapshot.claimed[ident] = rows
            if len(rows) + len(now) <= limits.crowd:  # no crowd before, none now; mostly nobody else has it
                snapshot.expanded.add(ident)
                if rows:
                    record_ids.update(row.record_id for row in rows)
                continue
            others = [(row.source, row.is_customer) for row in rows if row.record_id not in self._active_ids]
            was_crowd = is_crowd([(row.source, row.is_customer) for row in rows], limits)
            is_one = is_crowd([*others, *now], limits)
            (snapshot.crowded if is_one else snapshot.expanded).add(ident)
            if not (is_one and was_crowd):
                record_ids.update(row.record_id for row in rows)
        return record_ids

    def _still_needed(self, deferred: dict[Ref, RecordRow]) -> set[Ident]:
        """Return the identifiers of deferred records whose component does not look oversize any more."""
        snapshot = self._snapshot
        connected: UnionFind[object] = UnionFind()
        for ref, row in snapshot.rows.items():
            for ident in row.record.claims():
                if ident in snapshot.expanded:
                    connected.union(ident, ref)
        for decision in snapshot.all_decisions():
            connected.union(decision.b, decision.a)
        sizes = connected.sizes(snapshot.rows)
        small = [ref for ref in deferred if sizes[connected.find(ref)] <= snapshot.limits.component]
        return {ident for ref in small for ident in deferred.pop(ref).record.claims()}
