"""Kinship: the records that have to be looked at together, because what becomes of one may depend on the others.

Two records are kin if they hold, or held, the same identifier, if a decision or a contact has them together, or if
both are kin of a third. Values that a crowd shares, and identifiers of components that are too large to follow, make
nobody kin. Everybody in a family has the same family, so it is enough to look at it once: when the walk over all
records comes to its first one.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from uuid import UUID

from worker.domain import identifiers
from worker.domain.consent import ConsentEntry, SuppressionEntry
from worker.domain.registers import is_identifier
from worker.domain.rows import RecordRow
from worker.domain.terms import Ident, Ref
from worker.domain.union_find import UnionFind
from worker.store import claims, consents, records, suppressions, upgrades
from worker.store.claims import HeldRow
from worker.store.db import Tx
from worker.store.upgrades import StoredDecision

#: A batch follows kinship to this many times as many records as it has of its own. Real families are small; a longer
#: chain is cut there, and the next batches come to the rest.
_FARTHEST = 20


@dataclass(slots=True)
class Kin:
    """A batch's own records and all their kin, with what is stored about them."""

    rows: dict[Ref, RecordRow] = field(default_factory=dict)
    decisions: dict[UUID, StoredDecision] = field(default_factory=dict)
    held: dict[UUID, list[HeldRow]] = field(default_factory=dict)  #: claims by record
    consents: list[ConsentEntry] = field(default_factory=list)  #: about their addresses, and by them
    suppressions: list[SuppressionEntry] = field(default_factory=list)  #: about their addresses


def kin(tx: Tx, own: list[UUID], after: UUID, most: int) -> Kin:
    """Load the families of these records, without the families that have a record up to ``after``: those are done.

    A value with more than ``most`` holders makes nobody kin.
    """
    search = _Search(tx, most)
    search.run(own)
    found = search.families(own, after)
    if found.rows:
        for one in claims.by_records(tx, [row.id for row in found.rows.values()]):
            found.held.setdefault(one.claim.record_id, []).append(one)
        addresses = {one.claim.key for held in found.held.values() for one in held}
        found.consents = consents.by_addresses(tx, addresses, found.rows.keys())
        found.suppressions = suppressions.by_addresses(tx, addresses)
    return found


class _Search:
    def __init__(self, tx: Tx, most: int) -> None:
        self.tx = tx
        self.most = most
        self.rows: dict[UUID, RecordRow] = {}
        self.decisions: dict[UUID, StoredDecision] = {}
        self.connected: UnionFind[object] = UnionFind()
        self.idents: set[Ident] = set()  #: that were looked up
        self.nobodys: set[Ident] = set()  #: those of them that make nobody kin

    def run(self, own: list[UUID]) -> None:
        farthest = _FARTHEST * max(len(own), self.most)
        found: set[UUID] = set(own)
        while found and len(self.rows) < farthest:
            new = records.by_ids(self.tx, found)
            self.rows.update({row.id: row for row in new})
            found = (self._decided(new) | self._mates(new) | self._holders(new)) - self.rows.keys()

    def _decided(self, new: list[RecordRow]) -> set[UUID]:
        """Return the records that decisions tie to new ones."""
        by_ref = {row.ref: row.id for row in self.rows.values()}
        found = upgrades.decided(self.tx, [row.ref for row in new])
        refs: set[Ref] = set()
        for stored in found:
            self.decisions[stored.id] = stored
            self.connected.union(("ref", stored.decision.a), ("ref", stored.decision.b))
            refs |= {stored.decision.a, stored.decision.b}
        for row in new:
            self.connected.union(("ref", row.ref), row.id)
        unknown = refs - by_ref.keys()
        return {row.id for row in records.by_refs(self.tx, unknown)} if unknown else set()

    def _mates(self, new: list[RecordRow]) -> set[UUID]:
        """Return the records in the contacts of new ones."""
        for row in new:
            if row.contact_id is not None:
                self.connected.union(("contact", row.contact_id), row.id)
        return upgrades.of_contacts(self.tx, {row.contact_id for row in new if row.contact_id is not None})

    def _holders(self, new: list[RecordRow]) -> set[UUID]:
        """Return the records that hold the identifiers of new ones, or held them."""
        held: dict[Ident, list[UUID]] = {}
        for row in new:
            if not row.is_oversize:
                for ident in _held(row):
                    held.setdefault(ident, []).append(row.id)
        unknown = held.keys() - self.idents
        self.nobodys |= {ident for ident in unknown if identifiers.identifies_nobody(*ident)}
        found: dict[Ident, set[UUID]] = {}
        for ident, record_id in upgrades.tied(self.tx, unknown - self.nobodys, self.most + 1):
            found.setdefault(ident, set()).add(record_id)
        self.nobodys |= {ident for ident, record_ids in found.items() if len(record_ids) > self.most}
        self.idents |= unknown
        for ident in held.keys() - self.nobodys:
            for record_id in held[ident]:
                self.connected.union(("held", ident), record_id)
        return {record_id for ident in found.keys() - self.nobodys for record_id in found[ident]}

    def families(self, own: Iterable[UUID], after: UUID) -> Kin:
        """Return the families of ``own``, without those that are done."""
        done = {self.connected.find(id_) for id_ in self.rows if id_ <= after}
        due = {self.connected.find(id_) for id_ in own} - done
        rows = [row for row in self.rows.values() if self.connected.find(row.id) in due]
        refs = {row.ref for row in rows}
        decisions = {
            id_: stored
            for id_, stored in self.decisions.items()
            if stored.decision.a in refs or stored.decision.b in refs
        }
        return Kin({row.ref: row for row in rows}, decisions)


def _held(row: RecordRow) -> Iterable[Ident]:
    for name, (_, value) in row.record.registers.items():
        if value is not None and is_identifier(name):
            yield (value[0], value[1])
