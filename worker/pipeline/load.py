"""Components: the records whose grouping a batch can change, loaded whole.

From the touched records outwards, a round trip a step: who else claims their identifiers (before and
after), what those claim, whom decisions tie to them. The common batch ends after the first step.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from uuid import UUID

from worker.domain import identifiers
from worker.domain.resolve import Limits, Member, is_crowd
from worker.domain.terms import Claim, Decision, Ident, Ref
from worker.store import claims, decisions, records
from worker.store.claims import ClaimRow
from worker.store.db import Tx
from worker.store.records import RecordRow


@dataclass(slots=True)
class Component:
    """Everything that resolving a batch needs (one or many components)."""

    rows: dict[Ref, RecordRow] = field(default_factory=dict)
    #: claims that stood before this batch, by identifier; whole for those in ``expanded``
    claimed: dict[Ident, list[ClaimRow]] = field(default_factory=dict)
    expanded: set[Ident] = field(default_factory=set)
    crowded: set[Ident] = field(default_factory=set)
    decisions: set[Decision] = field(default_factory=set)

    def members(self) -> list[Member]:
        """The records as resolve sees them."""
        return [member(row) for row in self.rows.values()]


def lock_keys(refs: Iterable[Ref], idents: Iterable[Ident]) -> set[str]:
    """Name the records and identifiers that an outcome depends on, for locking."""
    return {f"record:{source}:{id_}" for source, id_ in refs} | {f"{kind}:{key}" for kind, key in idents}


def member(row: RecordRow) -> Member:
    """Reduce a record to what resolve needs."""
    record = row.record
    return Member(
        row.ref,
        is_customer=record.kind == "customer",
        is_live=record.is_live,
        created=record.created(),
        claims=tuple((ident, claim.is_verified) for ident, claim in record.claims().items()),
    )


def load(
    tx: Tx,
    touched: dict[Ref, RecordRow],
    before: dict[Ref, dict[Ident, Claim]],
    limits: Limits,
) -> Component:
    """Load the components of records that a batch has folded already.

    ``before`` holds the claims that each touched record made until now. Work is bounded by the batch:
    crowded identifiers lead nowhere, and records known to be in an oversize component are followed
    only as far as it takes to see that it still is one.
    """
    component = Component(rows=dict(touched))
    touched_ids = {row.id for row in touched.values()}
    now: dict[Ident, list[tuple[str, bool]]] = defaultdict(list)
    for ref, row in touched.items():
        claimant = (ref[0], row.record.kind == "customer")
        for ident in row.record.claims():
            now[ident].append(claimant)
    seen: set[Ident] = set()
    idents = {ident for claims_before in before.values() for ident in claims_before}.union(now)
    refs: set[Ref] = set(touched)
    deferred: dict[Ref, RecordRow] = {}
    while idents or refs:
        # Those that a decision ties to a record are followed in any case: their group changes with it.
        new = linked = _linked(tx, component, refs)
        wanted = _claiming(tx, component, idents - seen, touched_ids, now, limits)
        seen |= idents
        if wanted:
            wanted -= {row.id for row in component.rows.values()} | {row.id for row in new}
        if wanted:
            new = linked + records.by_ids(tx, wanted)
        component.rows.update({row.ref: row for row in new if row.ref not in touched})
        later = {row.ref: row for row in new[len(linked) :] if row.is_oversize}
        deferred.update(later)
        refs = {row.ref for row in new}
        idents = {ident for row in new if row.ref not in later for ident in row.record.claims()} - seen
        if not idents and not refs and deferred:
            idents = _still_needed(component, deferred, limits) - seen
    return component


def _linked(tx: Tx, component: Component, refs: Collection[Ref]) -> list[RecordRow]:
    """Follow decisions: they tie records whatever their identifiers."""
    if not refs:
        return []
    found = decisions.touching(tx, refs)
    component.decisions |= found
    others = {ref for decision in found for ref in (decision.a, decision.b)} - set(component.rows)
    return records.by_refs(tx, others) if others else []


def _claiming(
    tx: Tx,
    component: Component,
    idents: Iterable[Ident],
    touched_ids: set[UUID],
    now: dict[Ident, list[tuple[str, bool]]],
    limits: Limits,
) -> set[UUID]:
    """Follow identifiers to the records that claim them; note the crowded ones, which lead nowhere."""
    asked = set()
    for ident in idents:
        if identifiers.identifies_nobody(*ident):
            component.crowded.add(ident)
        else:
            asked.add(ident)
    # Enough to tell a crowd from its absence even if the whole batch lets go of the value.
    most = limits.component + 1 + len(touched_ids)
    found = claims.claimants(tx, asked, most)
    wanted: set[UUID] = set()
    for ident in asked:
        rows = found.get(ident, [])
        component.claimed[ident] = rows
        if not rows and len(now.get(ident, ())) <= limits.crowd:  # as most are: nobody else has it
            component.expanded.add(ident)
            continue
        if len(rows) + len(now.get(ident, ())) <= limits.crowd:  # no crowd before, none now
            component.expanded.add(ident)
            wanted.update(row.record_id for row in rows)
            continue
        others = [(row.source, row.is_customer) for row in rows if row.record_id not in touched_ids]
        was_crowd = is_crowd([(row.source, row.is_customer) for row in rows], limits)
        is_one = is_crowd(others + now.get(ident, []), limits)
        if is_one:
            component.crowded.add(ident)
        else:
            component.expanded.add(ident)
        if not (is_one and was_crowd):
            wanted.update(row.record_id for row in rows)
    return wanted


def _still_needed(component: Component, deferred: dict[Ref, RecordRow], limits: Limits) -> set[Ident]:
    """Identifiers of deferred records whose component does not look oversize any more."""
    parent: dict[object, object] = {}

    def find(node: object) -> object:
        while parent.setdefault(node, node) != node:
            node = parent[node]
        return node

    for ref, row in component.rows.items():
        for ident in row.record.claims():
            if ident in component.expanded:
                parent[find(ref)] = find(ident)
    for decision in component.decisions:
        parent[find(decision.a)] = find(decision.b)
    sizes: dict[object, int] = defaultdict(int)
    for ref in component.rows:
        sizes[find(ref)] += 1
    small = [ref for ref in deferred if sizes[find(ref)] <= limits.component]
    return {ident for ref in small for ident in deferred.pop(ref).record.claims()}
