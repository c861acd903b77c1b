"""Contact ids: which id each person answers to. They are remembered, not computed.

A contact keeps its id for as long as one of its live customers lives in it (without one, any live record): the one that
has been in it longest carries the id, and one that comes back after its removal has not been in it. When contacts
meet, the older id stays and the other becomes an alias, carried by the same record. Who leaves takes along the ids it
carries. A new person with whom only removed records sit gets their id.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from uuid import UUID

from worker.domain.rows import RecordRow
from worker.domain.snapshot import Snapshot
from worker.domain.terms import Ref


@dataclass(slots=True)
class ContactIds:
    """The ids of groups."""

    of_group: list[UUID] = field(default_factory=list)
    is_fresh: list[bool] = field(default_factory=list)  #: of each group: whether its id was minted in this batch
    #: ids that are no contact's, and the id of the record that carries each, where the record's own id does not tell
    aliases: dict[UUID, UUID] = field(default_factory=dict)
    moved: UUID | None = None  #: minted for whoever comes to a contact in this batch


def contact_ids(snapshot: Snapshot, groups: Sequence[Sequence[Ref]], lost: Mapping[Ref, object]) -> ContactIds:
    """Give each group its id."""
    rows = snapshot.rows
    result = ContactIds()
    if all(len(group) == 1 and _is_settled(rows[group[0]]) for group in groups) and len(groups) == len(rows):
        for group in groups:  # nearly all batches: everybody is alone, and was
            row = rows[group[0]]
            result.of_group.append(row.contact_id or row.id)
            result.is_fresh.append(row.version == 0)
        if len(set(result.of_group)) == len(groups):
            return result
        result = ContactIds()
    _Assignment(snapshot, groups, lost, result).run()
    return result


def _is_settled(row: RecordRow) -> bool:
    return row.version == 0 or row.contact_id == row.id


class _Assignment:
    def __init__(
        self, snapshot: Snapshot, groups: Sequence[Sequence[Ref]], lost: Mapping[Ref, object], result: ContactIds
    ) -> None:
        self.rows = snapshot.rows
        self.by_id = {row.id: row for row in self.rows.values()}
        self.snapshot = snapshot
        self.groups = groups
        self.lost = lost
        self.result = result
        self.group_of = {ref: number for number, group in enumerate(groups) for ref in group}
        self.carried: dict[UUID, list[UUID]] = defaultdict(list)  #: aliases by the record that carries them
        for alias, record_id in snapshot.aliases.items():
            self.carried[record_id].append(alias)
        self.carriers: dict[UUID, RecordRow | None] = {}  #: by the contact that they were in
        self.members: dict[UUID, list[RecordRow]] = defaultdict(list)  #: by the contact that they were in
        for row in self.rows.values():
            if row.contact_id is not None:
                self.members[row.contact_id].append(row)

    def run(self) -> None:
        carriers = {contact_id: self._carrier(rows) for contact_id, rows in self.members.items()}
        self.carriers |= carriers
        staying: dict[int, list[UUID]] = defaultdict(list)
        for contact_id, carrier in carriers.items():
            if carrier is not None:
                staying[self.group_of[carrier.ref]].append(contact_id)
            elif (last := self._last(contact_id)).id != contact_id:
                self.carried[last.id].append(contact_id)
        taken = {contact_id for contact_ids in staying.values() for contact_id in contact_ids}
        taken |= self.snapshot.contacts.keys() - self.members.keys()
        for number, group in enumerate(self.groups):
            ids, is_fresh = staying.get(number), False
            if not ids:
                own, is_fresh = self._own_id(group, taken)
                ids = [own]
            contact_id = min(ids)
            taken.add(contact_id)
            self.result.of_group.append(contact_id)
            self.result.is_fresh.append(is_fresh)
            for other in ids:
                carrier = carriers.get(other)
                if other != contact_id and carrier is not None and carrier.id != other:
                    self.result.aliases[other] = carrier.id
        for contact_id, carrier in carriers.items():
            self._pass_on(contact_id, carrier)
            self._hand_over(contact_id, carrier)

    def _carrier(self, rows: Iterable[RecordRow]) -> RecordRow | None:
        """Return the record that carries the id of the contact that these were in.

        If their source has merged away everybody who is left, the contact meets that of the survivor.
        """
        placed = [row for row in rows if row.ref in self.group_of and row.record.is_live and row.record.kind != "edit"]
        live = [row for row in placed if row.ref not in self.lost] or placed
        were_gone = self.snapshot.folded.were_gone

        def order(row: RecordRow) -> tuple[bool, bool, UUID]:
            is_back = row.ref in were_gone or row.merged is not None
            return (is_back, row.record.kind == "guest", row.since)

        return min(live, key=order, default=None)

    def _is_somebody(self, row: RecordRow) -> bool:
        return row.record.is_live and row.record.kind != "edit" and row.ref not in self.lost

    def _own_id(self, group: Sequence[Ref], taken: set[UUID]) -> tuple[UUID, bool]:
        """Return the id that a group came with: the oldest that one of its records carries, else a new one.

        And whether it was minted in this batch. Records that are somebody go first, of them those who leave a contact,
        and those that are removed before those that are new.
        """

        def order(row: RecordRow) -> tuple[bool, bool, bool, UUID, UUID]:
            is_nobody = not self._is_somebody(row) or row.version == 0
            return (is_nobody, row.contact_id is None, row.record.kind == "guest", row.since, row.id)

        for row in sorted((self.rows[ref] for ref in group), key=order):
            if row.record.seen is None or row.record.kind == "edit" or row.ref in self.lost:
                continue
            is_left = row.contact_id is not None and self.carriers.get(row.contact_id) is not None
            if is_left and not self._is_somebody(row):
                continue  # those who were with it keep its ids
            own = [alias for alias in self.carried[row.id] if alias not in taken]
            if not own and row.id not in taken and not self._is_carried_by_another(row):
                own.append(row.id)
            if own:
                return min(own), row.version == 0
        return self.snapshot.new_id(), True

    def _is_carried_by_another(self, row: RecordRow) -> bool:
        """Whether the id of a record is carried by another one who is somebody."""
        carrier_id = self.snapshot.aliases.get(row.id, row.id)
        carrier = self.by_id.get(carrier_id)
        return carrier_id != row.id and (carrier is None or self._is_somebody(carrier))

    def _last(self, contact_id: UUID) -> RecordRow:
        """Return the record with which the id of a contact ends; nobody is left who lives."""
        ranks = {"edit": 2, "guest": 1}
        return min(self.members[contact_id], key=lambda row: (ranks.get(row.record.kind, 0), row.since))

    def _hand_over(self, contact_id: UUID, carrier: RecordRow | None) -> None:
        """Let the id of a contact stay with who stays in it, when the record that it came from is elsewhere."""
        holder = self.snapshot.aliases.get(contact_id, contact_id)
        if carrier is None or carrier.id == holder:
            return
        left = self.by_id.get(holder)
        if left is not None and self.group_of.get(left.ref) != self.group_of[carrier.ref]:
            self.result.aliases[contact_id] = carrier.id

    def _pass_on(self, contact_id: UUID, carrier: RecordRow | None) -> None:
        """Let the ids that a record carried stay with the person when the record is gone."""
        if carrier is None:
            last = self._last(contact_id)
            if last.id != contact_id and contact_id not in self.result.of_group:
                self.result.aliases[contact_id] = last.id
            return
        for row in self.members[contact_id]:
            if row is carrier or self._is_somebody(row) or row.ref in self.lost:
                continue
            # Those who came along with it were one person with it before.
            mates = [one for one in self.members[contact_id] if one.since == row.since and self._is_somebody(one)]
            heir = min(mates, key=lambda one: (one.record.kind == "guest", one.id), default=carrier)
            carries = self.carried[row.id]
            if row.record.kind != "edit" and row.id != contact_id and row.id not in self.snapshot.aliases:
                carries = [*carries, row.id]
            for alias in carries:
                if alias not in self.snapshot.contacts and alias not in self.result.of_group:
                    self.result.aliases[alias] = heir.id
