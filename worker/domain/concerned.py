"""Concerned: the contacts about which a batch may change more than their fields.

A "no" about an address is seen on every contact that holds it, and an identifier that one contact gains another may
lose. So a contact may be concerned by an envelope about somebody else.
"""

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple
from uuid import UUID

from worker.domain.changeset import Changeset, Lead
from worker.domain.identifiers import of_address, phone_key
from worker.domain.keyed_consents import KeyedConsent
from worker.domain.permission import Holder, holder_of
from worker.domain.record import Record, idle_records
from worker.domain.statements import SuppressionStatement
from worker.domain.terms import EVIDENCE, Ident, Ref


class Holding(NamedTuple):
    """A contact concerned."""

    contact_id: UUID
    is_new: bool  #: its id was minted in this batch
    records: Sequence[Record]
    merged: Mapping[Ref, int]  #: when which of them was merged away, microseconds
    lead: Lead
    causes: Collection[UUID]  #: envelopes


@dataclass(slots=True)
class Concerned:
    """The contacts concerned, and what has to be looked up in the ledgers about them."""

    people: Changeset
    contacts: list[Holding] = field(default_factory=list)
    addresses: set[str] = field(default_factory=set)
    refs: set[Ref] = field(default_factory=set)
    #: what the batch says about suppressed addresses, with the envelopes
    suppressions: Sequence[tuple[SuppressionStatement, UUID]] = ()

    def holder(self, holding: Holding) -> Holder:
        """Return a contact as its permissions are worked out."""
        owners, own = self.people.resolution.owners, {record.ref for record in holding.records}
        return holder_of(
            holding.records,
            holding.merged,
            lambda ident, ref: owners.get(ident) == ref,
            lambda ident: owners.get(ident) in own,
            shown_identifiers(holding.lead.email, holding.lead.phone_number),
        )

    def is_plain(self, holding: Holding) -> bool:
        """Whether ``identities`` has nothing to tell: the contact has one record, which owns what its fields show."""
        if len(holding.records) > 1:
            return False
        (record,) = holding.records
        resolution, lead, ref = self.people.resolution, holding.lead, record.ref
        for ident in record.ties():
            kind, key = ident
            if resolution.owners.get(ident) != ref or ident in resolution.contested:
                return False
            if kind == "email":
                if lead.email is None or lead.email.lower() != key:
                    return False
            elif kind != "phone" or lead.phone_number is None or phone_key(lead.phone_number) != key:
                return False
        return ref == lead.customer or record.kind != "customer"

    def identities(self, holding: Holding) -> dict[str, str]:
        """Return how a contact's identifiers stand, by the names of the change log.

        Those that its fields show, and that are its own undisputed, are left out.
        """
        resolution = self.people.resolution
        own = {record.ref for record in holding.records}
        shown = shown_identifiers(holding.lead.email, holding.lead.phone_number)
        found: dict[str, str] = {}
        idle = idle_records(holding.records, holding.merged)
        for record in holding.records:
            for ident, tie in record.ties().items():
                if tie.role > EVIDENCE or record.ref in idle:
                    continue
                state = "owned" if resolution.owners.get(ident) in own else "unowned"
                if state == "owned" and ident in resolution.contested:
                    state = "contested"
                if state == "unowned" and tie.role == EVIDENCE:
                    continue  # it proves nothing
                if state != "owned" or ident not in shown:
                    found[f"identity:{ident[0]}:{ident[1]}"] = state
            is_known = record.is_live or record.ref in holding.merged
            if record.kind == "customer" and record.ref != holding.lead.customer and is_known:
                found[f"identity:external_id:{record.source}:{record.external_id}"] = "owned"
        return found


def concerned(people: Changeset) -> Concerned:
    """Find the contacts that a batch concerns."""
    snapshot = people.snapshot
    found = Concerned(people, suppressions=[(one, s.envelope_id) for s in snapshot.stated for one in s.suppressions])
    for contact_id, group, lead, about in people.newcomers:
        found.contacts.append(_holding(people, found, contact_id, group, lead, about, is_new=True))
    causes: dict[UUID, set[UUID]] = {id_: set(about) for id_, about in people.shifted.items()}
    if snapshot.news or found.suppressions or snapshot.withdrawn is not None:
        _add_those_addressed(people, found, causes)
    if causes:
        for contact_id, is_fresh, group in zip(
            people.ids.of_group, people.ids.is_fresh, people.resolution.groups, strict=True
        ):
            if not is_fresh and contact_id in causes:
                lead = people.leads.get(contact_id) or Lead.of(snapshot.contacts[contact_id])
                found.contacts.append(
                    _holding(people, found, contact_id, group, lead, causes[contact_id], is_new=False)
                )
    return found


def _holding(
    people: Changeset,
    found: Concerned,
    contact_id: UUID,
    group: Sequence[Ref],
    lead: Lead,
    about: Collection[UUID],
    *,
    is_new: bool,
) -> Holding:
    """Return a contact, and add what has to be looked up about it."""
    rows, lost = people.snapshot.rows, people.resolution.lost
    records = []
    for ref in group:
        row = rows[ref]
        records.append(row.record)
        found.addresses.update([key for _, key in row.record.ties()])
        if row.version > 0:
            found.refs.add(ref)
    merged = {ref: lost[ref] for ref in group if ref in lost} if lost else {}
    return Holding(contact_id, is_new, records, merged, lead, about)


def _add_those_addressed(people: Changeset, found: Concerned, causes: dict[UUID, set[UUID]]) -> None:
    """Add the contacts that hold the addresses in new statements, and those whose records made them."""
    snapshot = people.snapshot
    about: dict[Ident, set[UUID]] = defaultdict(set)
    for one in snapshot.news:
        _note(one, people, found, causes, about)
    for suppression, envelope_id in found.suppressions:
        about[of_address(suppression.channel, suppression.address)].add(envelope_id)
        found.addresses.add(suppression.address)
    if snapshot.withdrawn is not None:
        for ident in snapshot.withdrawn.addresses:
            about[ident].update(snapshot.withdrawn.envelope_ids)
    if not about:
        return
    for ref, row in snapshot.rows.items():
        contact_id = people.placements[ref].contact_id
        for ident in row.record.ties().keys() & about.keys() if contact_id is not None else ():
            causes.setdefault(contact_id, set()).update(about[ident])  # type: ignore[arg-type]  # it is not None


def _note(
    one: KeyedConsent,
    people: Changeset,
    found: Concerned,
    causes: dict[UUID, set[UUID]],
    about: dict[Ident, set[UUID]],
) -> None:
    """Note whose contact a new consent concerns, and which address."""
    consent, resolution = one.consent, people.resolution
    placement = people.placements.get(consent.ref)
    contact_id = None if placement is None else placement.contact_id
    row = people.snapshot.rows.get(consent.ref)
    # A new record in a contact of its own: the contact is new, and has been added.
    is_newcomer = row is not None and contact_id is row.id and row.version == 0
    if contact_id is not None and not is_newcomer:
        causes.setdefault(contact_id, set()).add(one.envelope_id)
    if consent.address is None:
        found.refs.add(consent.ref)
        return
    ident = of_address(consent.channel, consent.address)
    is_alone = is_newcomer and resolution.owners.get(ident) == consent.ref and ident not in resolution.contested
    if not is_alone:  # otherwise nobody else holds it
        about[ident].add(one.envelope_id)
        found.addresses.add(consent.address)


def shown_identifiers(email: str | None, phone: str | None) -> set[Ident]:
    """Return the identifiers that a contact's fields show."""
    shown: set[Ident] = set()
    if email is not None:
        shown.add(("email", email.lower()))
    if phone is not None:
        shown.add(("phone", phone_key(phone)))
    return shown
