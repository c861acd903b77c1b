"""Concerned: the contacts about which a batch may change more than their fields.

A "no" about an address is seen on every contact that holds it, and an identifier that one contact gains another may
lose. So a contact may be concerned by an envelope about somebody else.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple
from uuid import UUID

from worker.domain.changeset import Changeset, Lead
from worker.domain.identifiers import of_address, phone_key
from worker.domain.permission import Holder, holder_of
from worker.domain.statements import SuppressionStatement
from worker.domain.terms import EVIDENCE, Ident, Ref


class Holding(NamedTuple):
    """A contact concerned."""

    holder: Holder
    identities: dict[str, str]  #: how its identifiers stand, by the names of the change log
    causes: set[UUID]  #: envelopes


@dataclass(slots=True)
class Concerned:
    """The contacts concerned, and what has to be looked up in the ledgers about them."""

    holders: dict[UUID, Holding] = field(default_factory=dict)
    addresses: set[str] = field(default_factory=set)
    refs: set[Ref] = field(default_factory=set)
    #: what the batch says about suppressed addresses, with the envelopes
    suppressions: Sequence[tuple[SuppressionStatement, UUID]] = ()


def concerned(people: Changeset) -> Concerned:
    """Find the contacts that a batch concerns."""
    snapshot = people.snapshot
    found = Concerned(suppressions=[(one, s.envelope_id) for s in snapshot.stated for one in s.suppressions])
    causes: dict[UUID, set[UUID]] = {id_: set(about) for id_, about in people.shifted.items()}
    if snapshot.news or found.suppressions or snapshot.withdrawn is not None:
        _add_those_addressed(people, found, causes)
    if not causes:
        return found
    groups = dict(zip(people.ids.of_group, people.resolution.groups, strict=True))
    for contact_id, about in causes.items():
        group = groups.get(contact_id)
        if group is None:  # it is gone
            continue
        holding = _holding(people, contact_id, group, about)
        found.holders[contact_id] = holding
        found.addresses.update(key for _, key in holding.holder.held)
        found.refs.update(ref for ref in group if snapshot.rows[ref].version > 0)
    return found


def _add_those_addressed(people: Changeset, found: Concerned, causes: dict[UUID, set[UUID]]) -> None:
    """Add the contacts that hold the addresses in new statements, and those whose records made them."""
    snapshot = people.snapshot
    about: dict[Ident, set[UUID]] = defaultdict(set)
    for one in snapshot.news:
        consent = one.consent
        if consent.address is not None:
            about[of_address(consent.channel, consent.address)].add(one.envelope_id)
            found.addresses.add(consent.address)
        else:
            found.refs.add(consent.ref)
        placement = people.placements.get(consent.ref)
        if placement is not None and placement.contact_id is not None:
            causes.setdefault(placement.contact_id, set()).add(one.envelope_id)
    for suppression, envelope_id in found.suppressions:
        about[of_address(suppression.channel, suppression.address)].add(envelope_id)
        found.addresses.add(suppression.address)
    if snapshot.withdrawn is not None:
        for ident in snapshot.withdrawn.addresses:
            about[ident].update(snapshot.withdrawn.envelope_ids)
    for ref, row in snapshot.rows.items():
        contact_id = people.placements[ref].contact_id
        if contact_id is not None:
            for ident in row.record.ties().keys() & about.keys():
                causes.setdefault(contact_id, set()).update(about[ident])


def _holding(people: Changeset, contact_id: UUID, group: Sequence[Ref], about: set[UUID]) -> Holding:
    snapshot, owners = people.snapshot, people.resolution.owners
    own = set(group)
    lead = people.leads.get(contact_id) or Lead.of(snapshot.contacts[contact_id])
    shown = shown_identifiers(lead.email, lead.phone_number)
    records = [snapshot.rows[ref].record for ref in group]
    holder = holder_of(
        records,
        {ref: people.resolution.lost[ref] for ref in group if ref in people.resolution.lost},
        lambda ident, ref: owners.get(ident) == ref,
        lambda ident: owners.get(ident) in own,
        shown,
    )
    identities: dict[str, str] = {}
    for record in records:
        for ident, tie in record.ties().items():
            if tie.role > EVIDENCE:
                continue
            # Whether somebody else owns it is not shown: of a value that many gave, not all who gave it are loaded.
            state = "owned" if owners.get(ident) in own else "unowned"
            if state == "owned" and ident in people.resolution.contested:
                state = "contested"
            if state != "owned" or ident not in shown:
                identities[f"identity:{ident[0]}:{ident[1]}"] = state
    for record in records:
        is_known = record.is_live or record.ref in people.resolution.lost
        if record.kind == "customer" and record.ref != lead.customer and is_known:
            identities[f"identity:external_id:{record.source}:{record.external_id}"] = "owned"
    return Holding(holder, identities, about)


def shown_identifiers(email: str | None, phone: str | None) -> set[Ident]:
    """Return the identifiers that a contact's fields show."""
    shown: set[Ident] = set()
    if email is not None:
        shown.add(("email", email.lower()))
    if phone is not None:
        shown.add(("phone", phone_key(phone)))
    return shown
