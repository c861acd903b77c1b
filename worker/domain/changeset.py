"""Changeset: what a batch will write about people, and why.

Pure: a snapshot goes in, rows come out. Contacts and identities are computed from the records of each group, and
only what changed is written. What it comes to does not depend on the order of the statements, nor on how they are
batched.
"""

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple
from uuid import UUID

from worker.domain import registers
from worker.domain.changes import Change, EncodedDetails, StoredDetail, only_cause
from worker.domain.fold import Record
from worker.domain.golden import Golden, golden
from worker.domain.resolve import Resolution, resolve
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
from worker.domain.terms import Claim, Ident, Ref


class Encoder(NamedTuple):
    """How the store takes rows; handed in, because the rules do not know it.

    New contacts are encoded as soon as they are known, because the objects that they are made from are ten times
    as large (ADR 11).
    """

    record: Callable[[Record], bytes]
    contact: Callable[[UUID, Golden, UUID], EncodedContact]
    terms: Callable[[str | None, Iterable[str]], str]
    details: Callable[[Mapping[str, StoredDetail]], bytes]


@dataclass(slots=True)
class Changeset:
    """Rows to write. New rows are those that nothing stored can conflict with."""

    snapshot: Snapshot
    resolution: Resolution
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
    resolution = resolve(snapshot.members(), snapshot.all_decisions(), snapshot.limits, snapshot.crowded)
    changes = Changeset(
        snapshot, resolution, _placements(snapshot.rows, resolution), decisions=snapshot.new_decisions()
    )
    folded = snapshot.folded
    changes.links = [(stated.envelope_id, folded.rows[ref].id) for stated in snapshot.stated for ref in stated.records]
    _People(changes, encoder).write()
    return changes


def _placements(rows: Mapping[Ref, RecordRow], resolution: Resolution) -> dict[Ref, Placement]:
    """Give each record its contact: a group answers to the id of its oldest record."""
    lost, oversize = resolution.lost, resolution.oversize
    placements: dict[Ref, Placement] = {}
    for group in resolution.groups:
        contact_id = rows[group[0]].id
        for ref in group:
            placements[ref] = Placement(contact_id, ref in lost, ref in oversize)
    for ref in rows.keys() - placements.keys():
        placements[ref] = Placement(None, ref in lost, ref in oversize)
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
            or ref in snapshot.folded.changed
            or changes.placements[ref] != (row.contact_id, row.is_lost, row.is_oversize)
        }

    def write(self) -> None:
        """Add every row."""
        affected = self._affected()
        known = self.changes.snapshot.contacts
        touching = self._causes_by_contact() if affected else {}
        for group in self.resolution.groups:
            first = self.rows[group[0]]
            if first.version == 0:  # a contact has the id of its first record: it cannot be there yet
                self._add_newcomer(first.id, group)
            elif first.id in affected:
                affected.remove(first.id)
                self._add_contact(first.id, group, known.get(first.id), touching.get(first.id, set()))
            else:
                continue
            self._add_records(self.written.intersection(group))
        self._add_records(ref for ref in self.written if self.placement(ref).contact_id is None)
        self._add_repeating()
        self._remove_contacts(affected & known.keys(), touching)
        self._add_claims()

    def _affected(self) -> set[UUID]:
        """Return the contacts that written records are in, or were in. New contacts of new records are left out."""
        affected: set[UUID] = set()
        for ref in self.written:
            row, contact_id = self.rows[ref], self.placement(ref).contact_id
            if row.contact_id is not None:
                affected.add(row.contact_id)
            # Most new records found a contact of their own. Ids hash slowly, and it takes none to see that.
            if contact_id is not None and (row.version > 0 or contact_id is not row.id):
                affected.add(contact_id)
        return affected

    def placement(self, ref: Ref) -> Placement:
        """Where a record goes."""
        return self.changes.placements[ref]

    def _golden(self, group: Iterable[Ref]) -> Golden:
        return golden([self.rows[ref].record for ref in group], self.lost, self.priorities)

    def _add_newcomer(self, contact_id: UUID, group: Sequence[Ref]) -> None:
        shown = self._golden(group)
        about = self.causes[group[0]]
        if len(group) > 1:
            about = about.union(*(self.causes.get(ref, ()) for ref in group[1:]))
        encoded = EncodedDetails.of(_difference(None, shown, only_cause(about)), self.encoder.details)
        changes = self.changes
        changes.changes[contact_id] = Change(contact_id, "created", {}, tuple(sorted(about)), encoded)
        changes.new_contacts.append(self.encoder.contact(contact_id, shown, self._first_id(group)))
        changes.new_terms.append((contact_id, self.encoder.terms(shown.name, shown.tags)))

    def _add_contact(
        self, contact_id: UUID, group: Sequence[Ref], old: ContactRow | None, about: Collection[UUID]
    ) -> None:
        shown = self._golden(group)
        first_id = self._first_id(group)
        details = _difference(old, shown, only_cause(about))
        if old is not None and not details and old.first_id == first_id:
            return
        changes = self.changes
        row = self.encoder.contact(contact_id, shown, first_id)
        (changes.new_contacts if old is None else changes.updated_contacts).append(row)
        before = None if old is None else (old.name, old.tags)
        changes.terms.append(TermsChange(contact_id, before, (shown.name, shown.tags)))
        if details:
            kind = "created" if old is None else "changed"
            changes.changes[contact_id] = Change(contact_id, kind, details, tuple(sorted(about)))

    def _first_id(self, group: Sequence[Ref]) -> UUID:
        return self.rows[group[0]].id if len(group) == 1 else min(self.rows[ref].id for ref in group)

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
        """Return who takes over from each contact that ends: the contact of the record that gave it its id."""
        found: dict[UUID, UUID] = {}
        for ref, row in sorted(self.rows.items()):
            old, new = row.contact_id, self.placement(ref).contact_id
            if old is not None and new is not None and new != old and (row.id == old or old not in found):
                found[old] = new
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
                    _claim_row(row, claim, self.resolution) for claim in row.record.claims().values()
                ]
            else:
                changes.updated_records.append(write)

    def _add_repeating(self) -> None:
        """Add records that repeat themselves at a later time; they stay where they are."""
        folded = self.changes.snapshot.folded
        for ref in (folded.repeating & folded.changed) - self.rows.keys():
            row = folded.rows[ref]
            self.changes.updated_records.append(RecordWrite(row, self.encoder.record(row.record), row.placement))

    def _add_claims(self) -> None:
        """Add the claims of stored records: what they claim now, and whose each identifier is."""
        rows, resolution, changes = self.rows, self.resolution, self.changes
        before = changes.snapshot.folded.claims_before
        stored = {(row.ident, row.record_id): row for found in changes.snapshot.claimed.values() for row in found}
        after: dict[tuple[Ident, UUID], ClaimRow] = {}
        for ref in before:
            row = rows[ref]
            if row.version > 0:
                claims = [_claim_row(row, claim, resolution) for claim in row.record.claims().values()]
                after |= {(claim.ident, row.id): claim for claim in claims}
        if stored:  # what neighbours claim stays, but may be another's now
            neighbours = {row.id: row for ref, row in rows.items() if ref not in before}
            for (ident, record_id), known in stored.items():
                if record_id in neighbours:
                    owns = resolution.owners.get(ident) == neighbours[record_id].ref
                    is_contested = ident in resolution.contested
                    after[ident, record_id] = known._replace(is_owner=owns, is_contested=is_contested)
        changes.deleted_claims = [
            _claim_row(rows[ref], claim, resolution)
            for ref, claims_before in before.items()
            for ident, claim in claims_before.items()
            if (ident, rows[ref].id) not in after
        ]
        changes.disowned_claims = [
            known for key, known in stored.items() if known.is_owner and key in after and not after[key].is_owner
        ]
        changes.claims = [claim for key, claim in after.items() if stored.get(key) != claim]


def _causes(snapshot: Snapshot) -> dict[Ref, set[UUID]]:
    """Map each record to the envelopes that are about it."""
    causes: dict[Ref, set[UUID]] = defaultdict(set)
    for stated in snapshot.stated:
        for ref in stated.records:
            if ref in snapshot.rows:
                causes[ref].add(stated.envelope_id)
    return causes


def _claim_row(row: RecordRow, claim: Claim, resolution: Resolution) -> ClaimRow:
    record, ident = row.record, (claim.type, claim.key)
    return ClaimRow(
        *ident,
        row.id,
        record.source,
        record.kind == "customer",
        claim.value,
        claim.is_verified,
        is_owner=resolution.owners.get(ident) == (record.source, record.external_id),
        is_contested=ident in resolution.contested,
    )


def _difference(old: ContactRow | None, shown: Golden, only: str | None) -> dict[str, StoredDetail]:
    """Return each field that changed: before, after, and the envelope that said the new value."""
    origins = shown.origins
    details: dict[str, StoredDetail] = {}
    last_origin, cause = None, None
    for name, before, after in _changed_fields(old, shown):
        origin = origins.get(name)
        if origin is not last_origin:  # most fields have the same
            last_origin, cause = origin, None if origin is None else origin.stamp.envelope_id
        details[name] = (before, after) if cause == only and cause is not None else (before, after, cause)
    old_tags = [] if old is None else old.tags
    if old_tags != shown.tags:
        details["tags"] = (old_tags, shown.tags, None)
    return details


def _changed_fields(old: ContactRow | None, shown: Golden) -> list[tuple[str, Any, Any]]:
    after = _fields(shown)
    if old is None:
        return [(name, None, value) for name, value in after.items() if value is not None]
    before = _fields(old)
    names = {**before, **after}
    return [(name, before.get(name), after.get(name)) for name in names if before.get(name) != after.get(name)]


def _fields(contact: ContactRow | Golden) -> dict[str, Any]:
    """Return what the change log tells of, but for tags, by the names that origins go by."""
    found = {
        "name": contact.name,
        "email": contact.email,
        "phone_number": contact.phone_number,
        "external_source": contact.external_source,
        "external_id": contact.external_id,
    }
    for name, value in contact.custom_fields.items():
        found[registers.of_field(name)] = value
    return found
