"""Memory: the product's pure plan on a store in memory, read as the tests compare it."""

from collections import defaultdict
from collections.abc import Callable
from datetime import datetime
from uuid import UUID

from tests.model.follower import Step
from tests.model.history import Ref
from tests.model.states import Contact, State, Verdicts, held, of_product
from tests.worker.memory_store import MemoryStore
from worker.domain.changeset import Changeset
from worker.domain.concerned import shown_identifiers
from worker.domain.consent import ConsentEntry, SuppressionEntry
from worker.domain.identifiers import of_address
from worker.domain.ledger import LedgerChanges, as_entry, as_suppression
from worker.domain.permission import Holder, Permissions, holder_of, permissions
from worker.domain.terms import CLAIM, Ident


def state_of(store: MemoryStore, now: datetime) -> tuple[State, dict[frozenset[Ref], UUID], dict[UUID, frozenset[Ref]]]:
    """Return what a store shows; the id of each contact, and all its records by its id."""
    rows = {ref: store._row(ref) for ref in store.records}
    ref_of = {row.id: ref for ref, row in rows.items()}
    owner_of = {claim.ident: ref_of[claim.record_id] for claim in store.claims.values() if claim.is_owner}
    groups = defaultdict(list)
    for row in rows.values():
        if row.contact_id is not None:
            groups[row.contact_id].append(row)
    contacts: dict[frozenset[Ref], Contact] = {}
    verdicts: dict[frozenset[Ref], Verdicts] = {}
    group_of: dict[Ref, frozenset[Ref]] = {}
    id_of: dict[frozenset[Ref], UUID] = {}
    records_of: dict[UUID, frozenset[Ref]] = {}
    consents = [as_entry(one) for one in store.consents.values()]
    suppressions = [as_suppression(one, UUID(int=0)) for one in store.suppressions]
    for id_, members in groups.items():
        _, name, email, phone, _, _, _, tags, _ = store.contacts[id_]
        records = [row.record for row in members]
        own = {row.ref for row in members}
        group = frozenset(row.ref for row in members if row.record.seen is not None)
        group_of |= dict.fromkeys(own, group)
        id_of[group], records_of[id_] = id_, frozenset(own)
        merged = {row.ref: row.merged for row in members if row.merged is not None}
        holder = holder_of(
            records,
            merged,
            lambda ident, ref: owner_of.get(ident) == ref,
            lambda ident, own=own: owner_of.get(ident) in own,
            shown_identifiers(email, phone),
        )
        stated = [one for one in consents if one.ref in own or _is_held(one.channel, one.address, holder.held)]
        suppressed = [one for one in suppressions if _is_held(one.channel, one.address, holder.held)]
        contacts[group], verdicts[group] = of_product(
            name=name,
            email=email,
            phone=phone,
            tags=tags,
            identifiers=held(records, merged, owner_of.get, own),
            holder=holder,
            permissions=_asked(holder, stated, suppressed),
            now=now,
        )
    claimed = [claim for claim in store.claims.values() if claim.role == CLAIM]
    state = State(
        contacts=contacts,
        verdicts=verdicts,
        owners={ident: group_of[ref] for ident, ref in owner_of.items()},
        contested=frozenset(claim.ident for claim in claimed if claim.is_contested),
    )
    return state, id_of, records_of


def _asked(
    holder: Holder, stated: list[ConsentEntry], suppressed: list[SuppressionEntry]
) -> Callable[[datetime | None], Permissions]:
    return lambda at: permissions(holder, stated, suppressed, at)


def _is_held(channel: str, address: str | None, idents: list[Ident]) -> bool:
    return address is not None and (of_address(channel, address) in idents or (channel, address) in idents)


def step_of(store: MemoryStore, written: tuple[Changeset, LedgerChanges], now: datetime) -> Step:
    """Return what a store shows, and what it told, after a batch."""
    people, ledger = written
    state, id_of, records_of = state_of(store, now)
    told = {*people.changes, *ledger.shown, *ledger.shown_only, *ledger.touched, *people.deleted_contacts}
    fields = {}
    for id_, (_, name, email, phone, source, external_id, _, tags, _) in store.contacts.items():
        row = {
            "name": name,
            "email": email,
            "phone_number": phone,
            "external_source": source,
            "external_id": external_id,
            "tags": tags,
        }
        fields[id_] = {field: value for field, value in row.items() if value} | store.shown[id_]
    return Step(state, id_of, _aliases(store), told, ledger.log, fields, records_of)


def _aliases(store: MemoryStore) -> dict[UUID, UUID]:
    """Map each former id to the contact that it leads to, as ``worker.store.contacts`` looks it up."""
    is_somebody = {
        id_: placement.merged is not None or store._row(ref).record.is_live
        for ref, (id_, _, _, _, placement) in store.records.items()
    }
    contact_of = {id_: placement.contact_id for id_, _, _, _, placement in store.records.values() if is_somebody[id_]}
    found = {id_: contact_of.get(id_) for id_, kind, *_ in store.records.values() if kind != "edit"}
    found |= {alias: contact_of.get(record_id) for alias, record_id in store.aliases.items()}
    return {id_: at for id_, at in found.items() if at is not None and id_ not in store.contacts}
