"""Changeset: what a batch will write about people, and why.

Pure: a snapshot goes in, rows come out. Contacts and identities are computed from the records of each group, and
only what changed is written. What it comes to does not depend on the order of the statements, nor on how they are
batched.
"""

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple
from uuid import UUID

from worker.domain.changes import Change, EncodedDetails, StoredDetail, only_cause
from worker.domain.claim_rows import claim_changes, claim_row
from worker.domain.contact_ids import ContactIds, contact_ids
from worker.domain.difference import difference
from worker.domain.erasures import forgotten
from worker.domain.golden import Golden, foreign_to, golden
from worker.domain.grouping import Resolution
from worker.domain.record import Record
from worker.domain.resolve import resolve
from worker.domain.rows import (
    ClaimRow,
    ContactRow,
    EncodedContact,
    Placement,
    RecordRow,
    RecordWrite,
    TermsChange,
)
from worker.domain.snapshot import NewDecision, Snapshot
from worker.domain.terms import EVIDENCE, Ident, Ref


class Encoder(NamedTuple):
    """How the store takes rows; handed in, because the rules do not know it.

    New contacts are encoded as soon as they are known, because the objects that they are made from are ten times
    as large (ADR 11).
    """

    record: Callable[[Record], bytes]
    contact: Callable[[UUID, Golden, UUID], EncodedContact]
    terms: Callable[[str | None, Iterable[str]], str]
    details: Callable[[Mapping[str, StoredDetail]], bytes]


class Lead(NamedTuple):
    """What a contact leads with: the identifiers in its fields."""

    email: str | None
    phone_number: str | None
    customer: Ref

    @classmethod
    def of(cls, contact: ContactRow | Golden) -> "Lead":
        """Return what a contact leads with."""
        return cls(contact.email, contact.phone_number, (contact.external_source, contact.external_id))


#: a contact whose id is new: id, records, what it leads with, and the envelopes behind it
Newcomer = tuple[UUID, Sequence[Ref], Lead, Collection[UUID]]


@dataclass(slots=True)
class Changeset:
    """Rows to write. New rows are those that nothing stored can conflict with."""

    snapshot: Snapshot
    resolution: Resolution
    ids: ContactIds
    placements: dict[Ref, Placement] = field(default_factory=dict)  #: of the snapshot's records

    new_records: list[RecordWrite] = field(default_factory=list)
    updated_records: list[RecordWrite] = field(default_factory=list)
    new_claims: list[ClaimRow] = field(default_factory=list)
    claims: list[ClaimRow] = field(default_factory=list)  #: new or changed ones, of records that are stored
    disowned_claims: list[ClaimRow] = field(default_factory=list)  #: another record's claim is the strongest now
    deleted_claims: list[ClaimRow] = field(default_factory=list)
    new_contacts: list[EncodedContact] = field(default_factory=list)
    updated_contacts: list[EncodedContact] = field(default_factory=list)
    deleted_contacts: list[UUID] = field(default_factory=list)
    new_terms: list[tuple[UUID, str]] = field(default_factory=list)  #: encoded, of contacts whose ids are new
    terms: list[TermsChange] = field(default_factory=list)
    decisions: list[NewDecision] = field(default_factory=list)
    links: list[tuple[UUID, UUID]] = field(default_factory=list)  #: (envelope, record) that it is about
    changes: dict[UUID, Change] = field(default_factory=dict)  #: by contact
    #: what contacts may show otherwise beside their fields, and the envelopes that led to it
    shifted: dict[UUID, set[UUID]] = field(default_factory=dict)
    touched: set[UUID] = field(default_factory=set)  #: contacts with a claim that is shown otherwise than before
    leads: dict[UUID, Lead] = field(default_factory=dict)  #: of contacts that lead with something else now
    newcomers: list[Newcomer] = field(default_factory=list)
    #: contacts that showed a record that is erased: what was logged and answered about them is to be forgotten
    forgotten: set[UUID] = field(default_factory=set)

    def contact_of(self) -> dict[Ref, UUID | None]:
        """Return the contact of every record that was loaded, as it will be."""
        placements = self.placements
        return {
            ref: placements[ref].contact_id if ref in placements else row.contact_id
            for ref, row in self.snapshot.record_rows().items()
        }


def changeset(snapshot: Snapshot, encoder: Encoder) -> Changeset:
    """Work out what the batch of a snapshot writes.

    A batch that says nothing new writes nothing but the links of its envelopes, and newer times.
    """
    resolution = resolve(
        snapshot.records(), snapshot.all_decisions(), snapshot.limits, snapshot.crowded, snapshot.given_by_many
    )
    ids = contact_ids(snapshot, resolution.groups, resolution.lost)
    changes = Changeset(
        snapshot, resolution, ids, _placements(snapshot, resolution, ids), decisions=snapshot.new_decisions()
    )
    folded = snapshot.folded
    if any(stated.erased for stated in snapshot.stated):
        changes.forgotten = forgotten(snapshot)
    changes.links = [
        (stated.envelope_id, folded.rows[ref].id)
        for stated in snapshot.stated
        if stated.is_linked
        for ref in stated.records
    ]
    _People(changes, encoder).write()
    return changes


def _placements(snapshot: Snapshot, resolution: Resolution, ids: ContactIds) -> dict[Ref, Placement]:
    """Give each record its contact."""
    rows, lost, oversize = snapshot.rows, resolution.lost, resolution.oversize
    were_gone = snapshot.folded.were_gone
    placements: dict[Ref, Placement] = {}
    moved: UUID | None = None
    for contact_id, group in zip(ids.of_group, resolution.groups, strict=True):
        for ref in group:
            row = rows[ref]
            joined = row.joined
            is_back = ref in were_gone and row.record.is_live
            if row.version > 0 and (row.contact_id != contact_id or is_back):
                joined = moved = moved or snapshot.new_id()
            placements[ref] = Placement(contact_id, lost.get(ref), ref in oversize, joined)
    for ref in rows.keys() - placements.keys():
        placements[ref] = Placement(None, lost.get(ref), ref in oversize, rows[ref].joined)
    return placements


class _People:
    """Fills a changeset, all about a person at once, while it is in the processor's cache."""

    def __init__(self, changes: Changeset, encoder: Encoder) -> None:
        self.changes = changes
        self.encoder = encoder
        snapshot = changes.snapshot
        self.rows = snapshot.rows
        self.priorities = snapshot.priorities
        self.resolution = changes.resolution
        self.lost = changes.resolution.lost
        self.causes = _causes(snapshot)
        #: records to be stored: new ones, those whose state changed, and those that were put somewhere else
        self.written = {
            ref
            for ref, row in self.rows.items()
            if row.version == 0
            or (ref in snapshot.folded.changed and ref in snapshot.folded.ties_before)
            or changes.placements[ref] != (row.contact_id, row.merged, row.is_oversize, row.joined)
        }

    def write(self) -> None:
        """Add every row."""
        affected = self._affected()
        known = self.changes.snapshot.contacts
        touching = self._causes_by_contact() if affected else {}
        ids = self.changes.ids
        for contact_id, is_fresh, group in zip(ids.of_group, ids.is_fresh, self.resolution.groups, strict=True):
            if is_fresh:  # it cannot be there yet
                self._add_newcomer(contact_id, group)
            elif contact_id in affected:
                affected.remove(contact_id)
                self._add_contact(contact_id, group, known.get(contact_id), touching.get(contact_id, set()))
            else:
                continue
            self._add_records([ref for ref in group if ref in self.written])
        self._add_records(ref for ref in self.written if self.placement(ref).contact_id is None)
        self._add_repeating()
        if gone := affected & known.keys():
            self._remove_contacts(gone, touching)
        self._add_claims()

    def _affected(self) -> set[UUID]:
        """Return the contacts that written records are in, or were in. New contacts are left out."""
        affected: set[UUID] = set()
        ids = self.changes.ids
        fresh = {id(contact_id) for contact_id, is_fresh in zip(ids.of_group, ids.is_fresh, strict=True) if is_fresh}
        for ref in self.rows if self.changes.snapshot.is_regrouped else self.written:
            row, contact_id = self.rows[ref], self.placement(ref).contact_id
            if row.contact_id is not None:
                affected.add(row.contact_id)
            # Most new records found a contact of their own. Ids hash slowly, and it takes none to see that.
            if contact_id is not None and (row.version > 0 or contact_id is not row.id) and id(contact_id) not in fresh:
                affected.add(contact_id)
                if row.version == 0:
                    self._shift(contact_id, self.causes.get(ref, ()))
                    self.changes.touched.add(contact_id)
            if row.version > 0:
                self._note_shift(ref, row)
        # What a guest gave beside its key shows only while it leads there, and somebody may have claimed it just now.
        affected.update(
            row.contact_id
            for ref, row in self.rows.items()
            if row.contact_id is not None and self.placement(ref).contact_id is not None and _gave_more(row.record)
        )
        return affected

    def _note_shift(self, ref: Ref, row: RecordRow) -> None:
        """Note the contacts that may show other consents, suppressions or identifiers because of a record."""
        before = self.changes.snapshot.folded.ties_before.get(ref)
        placement = self.placement(ref)
        is_moved = placement != (row.contact_id, row.merged, row.is_oversize, row.joined)
        is_changed = before is not None and before != row.record.ties()
        snapshot = self.changes.snapshot
        # What was said about what it gained may decide now.
        if (is_moved or is_changed) and not snapshot.is_regrouped:
            self.changes.touched.update(id_ for id_ in (row.contact_id, placement.contact_id) if id_ is not None)
        has_past = before is not None and bool(row.record.claimed)
        is_read_anew = snapshot.is_regrouped or snapshot.withdrawn is not None
        if is_moved or is_changed or has_past or is_read_anew:
            self._shift(row.contact_id, self.causes.get(ref, ()))
            self._shift(placement.contact_id, self.causes.get(ref, ()))

    def _shift(self, contact_id: UUID | None, causes: Iterable[UUID]) -> None:
        if contact_id is not None:
            self.changes.shifted.setdefault(contact_id, set()).update(causes)

    def placement(self, ref: Ref) -> Placement:
        """Where a record goes."""
        return self.changes.placements[ref]

    def _golden(self, group: Iterable[Ref]) -> Golden:
        records = [self.rows[ref].record for ref in group]
        # A group begins with its living records, and guests come first only where there is nobody else.
        foreign = foreign_to(records, self._is_owner) if records[0].kind == "guest" else ()
        return golden(records, self.lost, self.priorities, foreign)

    def _is_owner(self, ident: Ident, ref: Ref) -> bool:
        return self.resolution.owners.get(ident) == ref

    def _add_newcomer(self, contact_id: UUID, group: Sequence[Ref]) -> None:
        shown = self._golden(group)
        about: set[UUID] = self.causes.get(group[0]) or set()
        if len(group) > 1:
            about = about.union(*(self.causes.get(ref, ()) for ref in group[1:]))
        if not about:  # somebody else's envelope has parted it from its contact
            about = self._causes_of_former(group)
        encoded = EncodedDetails.of(difference(None, shown, only_cause(about)), self.encoder.details)
        changes = self.changes
        causes = tuple(about) if len(about) == 1 else tuple(sorted(about))
        changes.changes[contact_id] = Change(contact_id, "created", {}, causes, encoded)
        changes.newcomers.append((contact_id, group, Lead.of(shown), about))
        changes.new_contacts.append(self.encoder.contact(contact_id, shown, contact_id))
        changes.new_terms.append((contact_id, self.encoder.terms(shown.name, shown.tags)))

    def _add_contact(
        self, contact_id: UUID, group: Sequence[Ref], old: ContactRow | None, about: Collection[UUID]
    ) -> None:
        shown = self._golden(group)
        first_id = contact_id if old is None else old.first_id
        # What was logged before is forgotten, so the log begins anew.
        is_forgotten = contact_id in self.changes.forgotten
        details = difference(None if is_forgotten else old, shown, only_cause(about))
        changes = self.changes
        if old is None or Lead.of(old) != Lead.of(shown):
            changes.leads[contact_id] = Lead.of(shown)
            self._shift(contact_id, about)
        if old is not None and not details:
            return
        row = self.encoder.contact(contact_id, shown, first_id)
        (changes.new_contacts if old is None else changes.updated_contacts).append(row)
        before = None if old is None else (old.name, old.tags)
        changes.terms.append(TermsChange(contact_id, before, (shown.name, shown.tags)))
        if details:
            kind = "created" if old is None else "changed"
            changes.changes[contact_id] = Change(contact_id, kind, details, tuple(sorted(about)))

    def _causes_of_former(self, group: Sequence[Ref]) -> set[UUID]:
        """Return the envelopes about those who were in one contact with records."""
        contact_ids = {self.rows[ref].contact_id for ref in group} - {None}
        return {
            cause for ref, causes in self.causes.items() if self.rows[ref].contact_id in contact_ids for cause in causes
        }

    def _remove_contacts(self, gone: Iterable[UUID], touching: Mapping[UUID, Collection[UUID]]) -> None:
        successors = self._successors()
        for contact_id in gone:
            into = successors.get(contact_id)
            kind = "removed" if into is None else "merged"
            details: dict[str, StoredDetail] = {} if into is None else {"merged_into": (None, into.hex, None)}
            about = tuple(sorted(touching.get(contact_id, ())))
            old = self.changes.snapshot.contacts[contact_id]
            self.changes.changes[contact_id] = Change(contact_id, kind, details, about)
            self.changes.terms.append(TermsChange(contact_id, (old.name, old.tags), None))
            self.changes.deleted_contacts.append(contact_id)

    def _successors(self) -> dict[UUID, UUID]:
        """Return who takes over from each contact that ends: the contact of whoever carries its id."""
        by_id = {row.id: ref for ref, row in self.rows.items()}
        found: dict[UUID, UUID] = {}
        # Of a contact with nobody else left, it is the contact of those whom a merged-away record became.
        for ref, row in sorted(self.rows.items(), key=lambda item: (item[0] in self.lost, item[1].since)):
            old, new = row.contact_id, self.placement(ref).contact_id
            if old is None or new is None or new == old or old in found:
                continue
            if (row.record.is_live or ref in self.lost) and row.record.kind != "edit":
                carrier = by_id.get(self.changes.ids.aliases.get(old, old), ref)
                found[old] = self.placement(carrier).contact_id or new
        return found

    def _causes_by_contact(self) -> dict[UUID, set[UUID]]:
        touching: dict[UUID, set[UUID]] = defaultdict(set)
        for ref, envelope_ids in self.causes.items():
            for contact_id in (self.placement(ref).contact_id, self.rows[ref].contact_id):
                if contact_id is not None:
                    touching[contact_id].update(envelope_ids)
        return touching

    def _add_records(self, refs: Iterable[Ref]) -> None:
        """Add records, and the claims of new ones."""
        changes = self.changes
        for ref in refs:
            row = self.rows[ref]
            write = RecordWrite(row, self.encoder.record(row.record), self.placement(ref))
            if row.version == 0:
                changes.new_records.append(write)
                changes.new_claims += [
                    claim_row(row, ident, tie, self.resolution) for ident, tie in row.record.ties().items()
                ]
            else:
                changes.updated_records.append(write)

    def _add_repeating(self) -> None:
        """Add records that repeat themselves at a later time; they stay where they are."""
        folded = self.changes.snapshot.folded
        for ref in (folded.repeating & folded.changed) - self.written:
            row = folded.rows[ref]
            self.changes.updated_records.append(RecordWrite(row, self.encoder.record(row.record), row.placement))

    def _add_claims(self) -> None:
        found = claim_changes(self.changes.snapshot, self.resolution)
        changes = self.changes
        changes.claims, changes.disowned_claims, changes.deleted_claims = found.written, found.disowned, found.deleted
        if found.shown:
            self._touch_holders(found.shown)

    def _touch_holders(self, claims: Iterable[ClaimRow]) -> None:
        """Note the contacts whose identifiers are shown in another way now, even if nothing else has changed."""
        changes = self.changes
        causes = {cause for about in self.causes.values() for cause in about}
        by_id = {row.id: ref for ref, row in self.rows.items()}
        for claim in claims:
            ref = by_id[claim.record_id]
            contact_id = self.placement(ref).contact_id
            if contact_id is not None:
                changes.touched.add(contact_id)
                own = self.causes.get(ref)
                self._shift(contact_id, own or (causes if contact_id not in changes.shifted else ()))


def _gave_more(record: Record) -> bool:
    """Whether a guest gave more than its key."""
    return record.kind == "guest" and any(tie.role == EVIDENCE for tie in record.ties().values())


def _causes(snapshot: Snapshot) -> dict[Ref, set[UUID]]:
    """Map each record to the envelopes that are about it."""
    causes: dict[Ref, set[UUID]] = defaultdict(set)
    for stated in snapshot.stated:
        for ref in stated.records:
            if ref in snapshot.rows:
                causes[ref].add(stated.envelope_id)
    for ref, envelope_id in snapshot.hidden.items():
        causes[ref].add(envelope_id)
    return causes
