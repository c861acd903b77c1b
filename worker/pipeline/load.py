"""Load: everything that the outcome of a batch depends on, a few statements for the whole batch.

From the batch's records outwards, a round trip a step: who else claims their identifiers (before and after),
what those claim, whom decisions tie to them. The common batch ends after the first step.
"""

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Sequence
from uuid import UUID

from worker import vault
from worker.domain import identifiers
from worker.domain.concerned import Concerned
from worker.domain.deletions import Deletion, hide
from worker.domain.erasures import newest, spread, void_edits
from worker.domain.folded import Folded, Regrouped, Withdrawn, fold_batch
from worker.domain.grouping import Limits, counts, is_crowd
from worker.domain.identifiers import of_address
from worker.domain.keyed_consents import KeyedConsent, keyed_consents
from worker.domain.ledger import Ledgers
from worker.domain.rows import ClaimRow, RecordRow
from worker.domain.snapshot import Snapshot
from worker.domain.statements import EnvelopeStatements
from worker.domain.terms import API_SOURCE, CLAIM, EVIDENCE, LAST, Ident, Ref
from worker.domain.union_find import UnionFind
from worker.store import (
    claims,
    connections,
    consents,
    contact_aliases,
    contacts,
    decisions,
    deletions,
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
    regrouped: Regrouped | None = None,
) -> Snapshot:
    """Load the records that statements are about, fold them, and load the components that they are in.

    Which identifiers matter is known only after folding. ``new_id`` gives new records their ids, ``withdrawn`` is
    what a replay took back before. With ``regrouped`` there are no statements. Nothing is locked here; see
    ``is_current``.
    """
    priorities, has_deletions, erased = connections.priorities_and_removals(tx)
    if erased or any(stated.shop_erased is not None for stated in statements):
        spread(statements, newest(erased, statements))
    stored = [] if withdrawn is None else list(withdrawn.records)
    refs = {ref for stated in statements for ref in stated.records} - {row.ref for row in stored}
    stored += records.by_refs(tx, refs)
    folded = fold_batch(stored, statements, new_id, withdrawn) if regrouped is None else Folded.of(regrouped)
    snapshot = Snapshot(folded, limits, new_id, rows=folded.active, stated=statements, withdrawn=withdrawn)
    snapshot.is_regrouped = regrouped is not None
    snapshot.priorities = priorities
    if has_deletions or any(stated.deletion is not None for stated in statements):
        snapshot.deletions = _deletions(tx, snapshot)
        hide(folded, snapshot.rows.values(), snapshot.deletions)
    snapshot.news = _news(tx, statements, folded)
    _Components(tx, snapshot).load()
    # What was loaded as a neighbour may be one of the batch's own that repeats itself; its new times are to be kept.
    snapshot.rows.update({ref: folded.rows[ref] for ref in folded.repeating & snapshot.rows.keys()})
    if snapshot.deletions:
        snapshot.hidden = hide(folded, snapshot.rows.values(), snapshot.deletions)
    snapshot.hidden |= void_edits(folded, snapshot.rows)
    known = [row for row in snapshot.rows.values() if row.version > 0]
    ids = {row.id for row in known if row.contact_id != row.id}
    contact_ids = {row.contact_id for row in known if row.contact_id is not None}
    snapshot.contacts = contacts.by_ids(tx, contact_ids | ids) if contact_ids | ids else {}
    if ids or len(known) > len(contact_ids):  # otherwise everybody is alone, and has been
        snapshot.aliases = contact_aliases.of_records(tx, [row.id for row in known])
    return snapshot


def _deletions(tx: Tx, snapshot: Snapshot) -> dict[Ident, list[Deletion]]:
    """Return the deletions of those who held an identifier that the batch's records have ever claimed, or have now.

    Records that an envelope deletes have claimed them too, and lead to others who do. So it does not matter whether a
    record, the deletion, or the record that was deleted comes last.
    """
    folded = snapshot.folded
    refs = {ref for stated in snapshot.stated if stated.deletion is not None for ref in stated.records}
    idents = {ident for ref in refs | folded.ties_before.keys() for ident in folded.rows[ref].record.history()}
    digests_of = vault.digests(tx.organization_id)
    ident_of = {digest: ident for ident in idents for digest in digests_of(ident)}
    found: dict[Ident, list[Deletion]] = defaultdict(list)
    for digest, stored in deletions.by_digests(tx, ident_of.keys()).items():
        found[ident_of[digest]] += stored
    for stated in snapshot.stated:
        if stated.deletion is not None:
            new = Deletion(stated.envelope_id, stated.deletion.occurred, stated.deletion.spared)
            for digest in ident_of.keys() & stated.deletion.digests:
                found[ident_of[digest]].append(new)
    return found


def _news(tx: Tx, statements: Sequence[EnvelopeStatements], folded: Folded) -> list[KeyedConsent]:
    """Return the consents that are not stored yet, each once. A new record has said nothing before.

    Who takes statements back also writes the records that they are about, so ``is_current`` sees it.
    """
    by_key = {one.key: one for one in reversed(keyed_consents(statements))}
    new = {ref for ref, row in folded.rows.items() if row.version == 0}
    stored = consents.stored(tx, [key for key, one in by_key.items() if one.consent.ref not in new])
    return [one for key, one in by_key.items() if key not in stored] if stored else list(by_key.values())


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


def load_ledgers(tx: Tx, statements: Sequence[EnvelopeStatements], concerned: Concerned) -> Ledgers:
    """Load what the ledgers say about the addresses and records of the contacts concerned.

    Ledgers have no versions that tell whether they have changed, so this is called under the locks.
    """
    noting = [one.envelope_id for one in statements if one.notes]
    is_asked = bool(concerned.addresses or concerned.refs)
    return Ledgers(
        consents=consents.by_addresses(tx, concerned.addresses, concerned.refs) if is_asked else (),
        suppressions=suppressions.by_addresses(tx, concerned.addresses) if concerned.addresses else (),
        noted=frozenset(note.id for note in notes.by_envelopes(tx, noting)) if noting else frozenset(),
    )


def withdraw(tx: Tx, envelope_ids: Sequence[UUID]) -> Withdrawn:
    """Take back what envelopes stated beside records, for a replay; return the records that they were about.

    ``fold_batch`` takes back what they stated about the records themselves. Call it under the lock of the whole
    organization.
    """
    record_ids = envelopes.linked_records(tx, envelope_ids)
    addresses = consents.withdraw(tx, envelope_ids) | suppressions.withdraw(tx, envelope_ids)
    for ledger in (notes, privacy_requests, deletions):
        ledger.withdraw(tx, envelope_ids)
    decided = decisions.withdraw(tx, envelope_ids)
    envelopes.delete_links(tx, envelope_ids)
    rows = {row.ref: row for row in records.by_ids(tx, record_ids)}
    rows.update({row.ref: row for row in records.by_refs(tx, decided)})
    known = [row.id for row in rows.values()]
    unspoken = set(known) - envelopes.still_linked(tx, known)
    return Withdrawn(envelope_ids, list(rows.values()), unspoken, {of_address(*about) for about in addresses})


def _most_claimants(snapshot: Snapshot) -> int:
    """Return how many claims of an identifier tell a crowd from its absence, even if the whole batch lets go of it."""
    return snapshot.limits.component + 1 + len(snapshot.folded.ties_before)


class _Components:
    """Follows identifiers and decisions from a batch's active records to all that may be placed beside them.

    Work is bounded by the batch: crowded identifiers lead nowhere, and records known to be in an oversize component
    are followed only as far as it takes to see that it still is one.
    """

    def __init__(self, tx: Tx, snapshot: Snapshot) -> None:
        self._tx = tx
        self._snapshot = snapshot
        self._active = snapshot.folded.active
        self._active_ids = {row.id for row in self._active.values()}
        self._about: set[Ident] = set()  #: the addresses of new statements in the ledgers
        #: (source, is no guest) of the active records that claim an identifier now
        self._claiming: dict[Ident, list[tuple[str, bool]]] = defaultdict(list)
        for row in self._active.values():
            if row.record.kind == "edit":
                continue
            claimant = (row.record.source, row.record.kind in ("customer", "person"))
            for ident, tie in row.record.ties().items():
                if tie.role == CLAIM:
                    self._claiming[ident].append(claimant)

    def load(self) -> None:
        """Add every record of the components, with the claims and decisions that connect them."""
        snapshot = self._snapshot
        seen: set[Ident] = set()
        self._about = self._addressed()
        idents = {ident for known in snapshot.folded.ties_before.values() for ident in known}.union(self._about)
        idents |= {ident for row in self._active.values() for ident in row.record.ties()}
        idents |= snapshot.deletions.keys()
        refs: set[Ref] = {one.consent.ref for one in snapshot.news if one.consent.ref[1]}.union(self._active)
        for ref in refs - self._active.keys():  # they say nothing new of themselves, but something beside
            snapshot.rows[ref] = snapshot.folded.rows[ref]
            idents.update(snapshot.rows[ref].record.ties())
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
            idents = {ident for row in new if row.ref not in later for ident in row.record.ties()} - seen
            if not idents and not refs and deferred:
                idents = self._still_needed(deferred) - seen

    def _addressed(self) -> set[Ident]:
        """Return the addresses of new statements in the ledgers: whoever holds one may show something else now."""
        snapshot = self._snapshot
        about = {
            of_address(one.consent.channel, one.consent.address)
            for one in snapshot.news
            if one.consent.address is not None
        }
        about |= {of_address(s.channel, s.address) for stated in snapshot.stated for s in stated.suppressions}
        return about if snapshot.withdrawn is None else about.union(snapshot.withdrawn.addresses)

    def _linked(self, refs: Collection[Ref]) -> list[RecordRow]:
        """Follow decisions, and edits to whom they are about: they tie records whatever their identifiers."""
        if not refs:
            return []
        snapshot = self._snapshot
        found = decisions.by_refs(self._tx, refs)
        snapshot.decisions |= found
        others = {ref for decision in found for ref in (decision.a, decision.b)}
        for ref in refs:
            if ref in snapshot.rows and snapshot.rows[ref].record.kind == "edit":
                others.update(snapshot.rows[ref].record.about())
        others -= snapshot.rows.keys()
        return records.by_refs(self._tx, others) if others else []

    def _claimants(self, idents: Iterable[Ident]) -> set[UUID]:
        """Return the ids of the records that claim identifiers; note the crowded ones, which lead nowhere."""
        snapshot, limits = self._snapshot, self._snapshot.limits
        nobodys = {ident for ident in idents if identifiers.identifies_nobody(*ident)}
        snapshot.crowded |= nobodys
        shared = set(idents) - nobodys
        found = claims.claimants(self._tx, shared, _most_claimants(snapshot))
        record_ids: set[UUID] = set()
        crowded: set[Ident] = set()
        for ident in shared:
            rows = found.get(ident, [])
            now = self._claiming.get(ident, ())
            snapshot.claimed[ident] = rows
            if len(rows) + len(now) <= limits.crowd:  # no crowd before, none now; mostly nobody else has it
                snapshot.expanded.add(ident)
                if rows:
                    record_ids.update(row.record_id for row in rows)
                continue
            claiming = [row for row in rows if row.role == CLAIM and (row.is_customer or row.source != API_SOURCE)]
            others = [(row.source, row.is_customer) for row in claiming if row.record_id not in self._active_ids]
            was_crowd = is_crowd([(row.source, row.is_customer) for row in claiming], limits)
            is_one = is_crowd([*others, *now], limits)
            (snapshot.crowded if is_one else snapshot.expanded).add(ident)
            if is_one:
                crowded.add(ident)
            if not (is_one and was_crowd) or ident in self._about:
                is_claimed = bool(others or now)
                record_ids.update(row.record_id for row in self._that_matter(ident, rows, is_claimed=is_claimed))
        # Proof stands against a crowd, and so do those whom it joins.
        proven = [row for ident in crowded for row in found.get(ident, ()) if row.is_verified]
        owning = claims.owning(self._tx, crowded)
        snapshot.proven += owning
        proven += owning
        record_ids.update(row.record_id for row in proven)
        for ident in {row.ident for row in proven} | self._proving(crowded):  # and those who sit with its owner
            record_ids.update(row.record_id for row in found[ident] if row.role == LAST or not row.is_customer)
        return record_ids

    def _proving(self, crowded: Collection[Ident]) -> set[Ident]:
        """Return which of these identifiers active records have, or had, proof of."""
        if not crowded:
            return set()
        ties = [*self._snapshot.folded.ties_before.values(), *(row.record.ties() for row in self._active.values())]
        return {ident for held in ties for ident in held.keys() & crowded if held[ident].is_verified}

    def _that_matter(self, ident: Ident, rows: Sequence[ClaimRow], *, is_claimed: bool) -> Sequence[ClaimRow]:
        """Return the claims of an identifier that many have, whose records have to be looked at.

        What guests gave beside their keys counts for nothing where somebody claims it, and where many gave it.
        """
        snapshot = self._snapshot
        given = sum(row.role == EVIDENCE for row in rows)
        if not is_claimed:
            if given <= snapshot.limits.crowd:
                return rows
            snapshot.given_by_many.add(ident)
        return [row for row in rows if row.role != EVIDENCE or row.is_owner]

    def _still_needed(self, deferred: dict[Ref, RecordRow]) -> set[Ident]:
        """Return the identifiers of deferred records whose component does not look oversize any more."""
        snapshot = self._snapshot
        connected: UnionFind[object] = UnionFind()
        for ref, row in snapshot.rows.items():
            for ident, tie in row.record.ties().items():
                if ident in snapshot.expanded and tie.role == CLAIM:
                    connected.union(ident, ref)
        for decision in snapshot.all_decisions():
            connected.union(decision.b, decision.a)
        sizes = connected.sizes(ref for ref, row in snapshot.rows.items() if counts(row.record))
        small = [ref for ref in deferred if sizes[connected.find(ref)] <= snapshot.limits.component]
        return {ident for ref in small for ident in deferred.pop(ref).record.ties()}
