"""Upsert: groups of records become contacts and identities, set-wise, only where something changed."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any
from uuid import UUID

from worker.domain.fold import Record
from worker.domain.golden import Golden, field_register, golden
from worker.domain.resolve import Resolution
from worker.domain.terms import Claim, Ident, Ref
from worker.errors import TransientError
from worker.pipeline.load import Component
from worker.store import claims, contact_terms, contacts, records
from worker.store.changes import Change, EncodedDetails, StoredDetail, only_cause
from worker.store.claims import ClaimRow
from worker.store.contacts import ContactRow
from worker.store.db import Last, Tx
from worker.store.records import RecordRow


@dataclass(slots=True)
class Newcomer:
    """A contact that will be new, as it will be stored: what it was made of is many times as large."""

    contact: contacts.Stored
    terms: str
    change: Change


@dataclass(slots=True)
class Outlook:
    """What can be worked out before the locks are taken; void if what was read proves outdated under them."""

    priorities: Mapping[str, int]
    newcomers: Mapping[UUID, Newcomer]  #: by contact
    goldens: Mapping[Ref, Golden]  #: of other groups with a record whose state changed, by their first record
    states: Mapping[Ref, bytes]  #: of those records, as they are stored
    claims: Sequence[ClaimRow]  #: of records that are new themselves
    aside: Collection[RecordRow]  #: records of which only the times changed, that are in no component


def look_ahead(
    component: Component,
    resolution: Resolution,
    folded: Collection[Ref],
    aside: Collection[RecordRow],
    priorities: Mapping[str, int],
    causes: Mapping[Ref, Collection[UUID]],
) -> Outlook:
    """Do before the locks what they need not be held for: two drains of one organization wait for each other's.

    ``causes`` are the envelopes that spoke of each record.
    """
    rows = component.rows
    changed = {ref for ref, row in rows.items() if ref in folded or row.version == 0}
    newcomers: dict[UUID, Newcomer] = {}
    goldens: dict[Ref, Golden] = {}
    states: dict[Ref, bytes] = {}
    claimed: list[ClaimRow] = []
    for group in resolution.groups:  # all about a person at once, while it is in the processor's cache
        if changed.isdisjoint(group):
            continue
        first = group[0]
        shown = golden(_records(rows, group), resolution.lost, priorities)
        if rows[first].version == 0:  # a contact has the id of its first record: it cannot be there yet
            newcomers[rows[first].id] = _newcomer(rows, group, shown, causes)
        else:
            goldens[first] = shown
        _write_out(rows, changed.intersection(group), resolution, states, claimed)
    _write_out(rows, changed - states.keys(), resolution, states, claimed)  # of nobody's group
    states.update({row.ref: records.state_of(row) for row in aside})
    return Outlook(priorities, newcomers, goldens, states, claimed, aside)


def _write_out(
    rows: Mapping[Ref, RecordRow],
    refs: Iterable[Ref],
    resolution: Resolution,
    states: dict[Ref, bytes],
    claimed: list[ClaimRow],
) -> None:
    """Add the states of records, and what those claim that are new."""
    for ref in refs:
        row = rows[ref]
        states[ref] = records.state_of(row)
        if row.version == 0:
            claimed += [_claim_row(row, claim, resolution) for claim in row.record.claims().values()]


def _newcomer(
    rows: Mapping[Ref, RecordRow], group: Sequence[Ref], shown: Golden, causes: Mapping[Ref, Collection[UUID]]
) -> Newcomer:
    id_ = first_id = rows[group[0]].id
    about = set(causes[group[0]])
    for ref in group[1:]:
        first_id = min(first_id, rows[ref].id)
        about.update(causes.get(ref, ()))
    written = EncodedDetails.of(_difference(None, shown, only_cause(about)))
    change = Change(id_, "created", {}, tuple(sorted(about)), written)
    return Newcomer(contacts.stored(id_, shown, first_id), contact_terms.stored(shown.name, shown.tags), change)


def upsert(
    tx: Tx,
    component: Component,
    resolution: Resolution,
    folded: Collection[Ref],
    before: Mapping[Ref, Mapping[Ident, Claim]],
    outlook: Outlook,
    causes: Mapping[Ref, Collection[UUID]],
    last: Last,
) -> dict[UUID, Change]:
    """Write records, claims and contacts of resolved components; return what changed, by contact.

    ``folded`` are the records whose state changed, ``causes`` the envelopes that spoke of each record; what is new
    altogether is left to ``last``. A batch that says nothing new writes nothing.
    """
    rows = component.rows
    was = {ref: row.contact_id for ref, row in rows.items()}
    moved = _assign(rows, resolution)
    changed = [rows[ref] for ref in rows if ref in folded or ref in moved or rows[ref].version == 0]

    affected = {row.contact_id for row in changed} | {was[row.ref] for row in changed}
    affected.discard(None)
    newcomers = outlook.newcomers
    affected -= newcomers.keys()
    groups = {cid: group for group in resolution.groups if (cid := rows[group[0]].id) in affected}
    goldens = {
        cid: outlook.goldens.get(group[0]) or golden(_records(rows, group), resolution.lost, outlook.priorities)
        for cid, group in groups.items()
    }
    firsts = {cid: min(rows[ref].id for ref in group) for cid, group in groups.items()}
    known = contacts.by_ids(tx, [cid for cid in affected if cid is not None])
    touching = _causes_by_contact(rows, was, causes)
    changes, created = _write_contacts(tx, goldens, firsts, known, touching, _successors(rows, was))
    changes |= {cid: newcomer.change for cid, newcomer in newcomers.items()}
    created += [newcomer.contact for newcomer in newcomers.values()]
    stored = [*(row for row in changed if row.version > 0), *outlook.aside]
    if records.update(tx, stored, outlook.states) != len(stored):
        raise TransientError("a record changed under its lock")
    _write_claims(tx, component, resolution, before)

    new_records = [row for row in changed if row.version == 0]
    terms = [(cid, newcomer.terms) for cid, newcomer in newcomers.items()]
    last.append(partial(records.insert_new, tx, new_records, outlook.states))
    last.append(partial(claims.insert_new, tx, outlook.claims))
    last.append(partial(contacts.insert_new, tx, created))
    last.append(partial(contact_terms.insert_new, tx, terms))
    return changes


def _records(rows: Mapping[Ref, RecordRow], group: Iterable[Ref]) -> list[Record]:
    return [rows[ref].record for ref in group]


def _assign(rows: Mapping[Ref, RecordRow], resolution: Resolution) -> set[Ref]:
    """Give each record its contact: a group answers to the id of its oldest record."""
    contact_of = {ref: rows[group[0]].id for group in resolution.groups for ref in group}
    moved = set()
    for ref, row in rows.items():
        standing = (contact_of.get(ref), ref in resolution.lost, ref in resolution.oversize)
        if standing != (row.contact_id, row.is_lost, row.is_oversize):
            row.contact_id, row.is_lost, row.is_oversize = standing
            moved.add(ref)
    return moved


def _successors(rows: Mapping[Ref, RecordRow], was: Mapping[Ref, UUID | None]) -> dict[UUID, UUID]:
    """Where the records of a contact that is no more went: the contact of its own birth record, if any."""
    found: dict[UUID, UUID] = {}
    for ref, row in sorted(rows.items()):
        old = was[ref]
        new = row.contact_id
        if old is not None and new is not None and new != old and (row.id == old or old not in found):
            found[old] = new
    return found


def _causes_by_contact(
    rows: Mapping[Ref, RecordRow], was: Mapping[Ref, UUID | None], causes: Mapping[Ref, Collection[UUID]]
) -> dict[UUID, set[UUID]]:
    touching: dict[UUID, set[UUID]] = defaultdict(set)
    for ref, envelope_ids in causes.items():
        for contact_id in (rows[ref].contact_id, was[ref]):
            if contact_id is not None:
                touching[contact_id].update(envelope_ids)
    return touching


def _write_contacts(
    tx: Tx,
    goldens: Mapping[UUID, Golden],
    firsts: Mapping[UUID, UUID],
    known: Mapping[UUID, ContactRow],
    touching: Mapping[UUID, set[UUID]],
    successors: Mapping[UUID, UUID],
) -> tuple[dict[UUID, Change], list[contacts.Stored]]:
    """Write what contacts show now; return an entry of the change log for each that changed, and those to insert."""
    changes: dict[UUID, Change] = {}
    created: list[contacts.Stored] = []
    updated: list[contacts.Stored] = []
    shows: dict[UUID, Golden] = {}
    for cid, shown in goldens.items():
        old = known.get(cid)
        about = touching.get(cid, set())
        details = _difference(old, shown, only_cause(about))
        if old is not None and not details and old.first_id == firsts[cid]:
            continue
        shows[cid] = shown
        (created if old is None else updated).append(contacts.stored(cid, shown, firsts[cid]))
        if details:
            kind = "created" if old is None else "changed"
            changes[cid] = Change(cid, kind, details, tuple(sorted(about)))
    gone = [cid for cid in known if cid not in goldens]
    for cid in gone:
        into = successors.get(cid)
        kind = "removed" if into is None else "merged"
        details = {} if into is None else {"merged_into": (None, into.hex, None)}
        changes[cid] = Change(cid, kind, details, tuple(sorted(touching.get(cid, ()))))
    _write_terms(tx, known, gone, shows)
    contacts.delete(tx, gone)
    contacts.update(tx, updated)
    return changes, created


def _write_terms(
    tx: Tx,
    known: Mapping[UUID, ContactRow],
    gone: Collection[UUID],
    shows: Mapping[UUID, Golden],
) -> None:
    """Bring in line what lists are filtered by, of contacts whose ids are not new."""
    terms = contact_terms.terms_of
    before = {(term, cid) for cid, row in known.items() for term in terms(row.name, row.tags)}
    standing = {(term, cid) for term, cid in before if cid not in gone}
    after = {(term, cid) for cid, shown in shows.items() for term in terms(shown.name, shown.tags)}
    dropped = (before - standing) | {(term, cid) for term, cid in standing - after if cid in shows}
    contact_terms.delete(tx, dropped)
    contact_terms.ensure(tx, after - standing)


def _difference(old: ContactRow | None, shown: Golden, only: str | None) -> dict[str, StoredDetail]:
    """Each field that changed: before, after, and the envelope that said the new value; see ``Told``."""
    origins = shown.origins
    details: dict[str, StoredDetail] = {}
    said, cause = None, None
    for name, was, value in _changed(old, shown):
        origin = origins.get(name)
        if origin is not said:  # most have the same
            said, cause = origin, None if origin is None else origin.stamp.envelope_id
        details[name] = (was, value) if cause == only and cause is not None else (was, value, cause)
    old_tags = [] if old is None else old.tags
    if old_tags != shown.tags:
        details["tags"] = (old_tags, shown.tags, None)
    return details


def _changed(old: ContactRow | None, shown: Golden) -> list[tuple[str, Any, Any]]:
    after = _shown(shown)
    if old is None:
        return [(name, None, value) for name, value in after.items() if value is not None]
    before = _shown(old)
    asked = {**before, **after}
    return [(name, before.get(name), after.get(name)) for name in asked if before.get(name) != after.get(name)]


def _shown(contact: ContactRow | Golden) -> dict[str, Any]:
    """What the change log speaks of, but for tags, by the names that origins go by."""
    told = {
        "name": contact.name,
        "email": contact.email,
        "phone_number": contact.phone_number,
        "external_source": contact.external_source,
        "external_id": contact.external_id,
    }
    for name, value in contact.custom_fields.items():
        told[field_register(name)] = value
    return told


def _write_claims(
    tx: Tx,
    component: Component,
    resolution: Resolution,
    before: Mapping[Ref, Mapping[Ident, Claim]],
) -> None:
    """Bring claims in line, but for those of new records: what records say now, and whose each identifier is."""
    rows = component.rows
    stored = {(row.ident, row.record_id): row for found in component.claimed.values() for row in found}
    wanted: dict[tuple[Ident, UUID], ClaimRow] = {}
    for ref in before:
        row = rows[ref]
        if row.version > 0:
            said = [_claim_row(row, claim, resolution) for claim in row.record.claims().values()]
            wanted |= {(claim.ident, row.id): claim for claim in said}
    if stored:  # what their neighbours claim stands, but may be another's now
        neighbours = {row.id: row for ref, row in rows.items() if ref not in before}
        for (ident, record_id), known in stored.items():
            if record_id in neighbours:
                owns = resolution.owners.get(ident) == neighbours[record_id].ref
                is_contested = ident in resolution.contested
                wanted[ident, record_id] = known._replace(is_owner=owns, is_contested=is_contested)
    removed = [
        _claim_row(rows[ref], claim, resolution)
        for ref, claims_before in before.items()
        for ident, claim in claims_before.items()
        if (ident, rows[ref].id) not in wanted
    ]
    disowned = [known for key, known in stored.items() if known.is_owner and key in wanted and not wanted[key].is_owner]
    written = [claim for key, claim in wanted.items() if stored.get(key) != claim]
    claims.delete(tx, removed)
    claims.disown(tx, disowned)
    claims.ensure(tx, written)


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
