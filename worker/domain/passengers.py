"""Passengers: records that sit in a group and join none, placed after the groups stand. Nothing flows back.

A guest sits with the group that owns what it is keyed by. A removed record sits with the first claimant of what it
claimed last. A merged-away record sits with its survivor, an edit with the first live record of those it was made of.
"""

from collections import defaultdict
from collections.abc import Collection

from worker.domain import identifiers
from worker.domain.grouping import ORDER_OF_TYPES, Claimant, Grouping, Reason, Refusal, seniority
from worker.domain.record import Record
from worker.domain.terms import CLAIM, EVIDENCE, FORMER, LAST, Ident, Ref


def place(grouping: Grouping, given_by_many: Collection[Ident]) -> None:
    """Give passengers their places, then fill in who owns what and the groups of the grouping's result.

    ``given_by_many`` are identifiers that are known to be evidence of too many guests.
    """
    _Places(grouping, given_by_many).fill()


class _Places:
    def __init__(self, grouping: Grouping, given_by_many: Collection[Ident]) -> None:
        self.grouping = grouping
        self.given_by_many = given_by_many
        self.records = grouping.records
        self.groups = grouping.groups
        self.living = grouping.living
        records = self.by_seniority = sorted(self.records.values(), key=seniority)
        self.people: set[Ref] = set()  #: what stands for each group of which somebody lives
        self.unit_seats: dict[Ref, Ref] = {}  #: the group of those who are gone and whom a decision made one
        self.guests = [r for r in records if r.kind == "guest" and r.is_live and r.ref not in grouping.survivors]
        #: guests by what they are keyed by, the oldest first
        self.keyed: dict[Ident, list[Ref]] = defaultdict(list)
        #: live records that claimed an identifier once
        self.former: dict[Ident, list[Record]] = defaultdict(list)
        for record in records:
            for ident, tie in record.ties().items():
                if tie.role == FORMER and grouping.survivors.get(record.ref, record.ref) in self.living:
                    self.former[ident].append(record)
        self.seats: dict[Ref, Ref] = {}  #: the group of each passenger that has one

    def fill(self) -> None:
        survivors = self.grouping.survivors
        for guest in self.guests:
            if (key := _key_of(guest)) is not None:
                self.keyed[key].append(guest.ref)
        seated = {guest.ref for guest in self.guests if self.groups.living.get(self.groups.find(guest.ref))}
        for guest in self.guests:
            # A mate whom a decision put beside it may have found a seat for both.
            is_seated = bool(self.groups.living.get(self.groups.find(guest.ref)))
            if not is_seated and (key := _key_of(guest)) is not None:
                self._place_guest(guest, key, seated)
        self.people = {self.groups.find(ref) for ref in self.living} | {self.groups.find(g.ref) for g in self.guests}
        self._place_removed()
        for ref, record in self.records.items():
            if (ref in survivors or record.seen is None) and record.kind != "edit":
                self._sit(ref, survivors.get(ref, ref))
        for ref, record in self.records.items():
            if record.kind == "edit":
                self._sit(ref, self.grouping.hosts.get(ref) or next(iter(record.about()), ref))
        self._list_groups()
        self._find_owners()

    def _sit(self, ref: Ref, host: Ref) -> None:
        """Seat a record where another is, or sits."""
        root = self.groups.find(host)
        seat = root if root in self.people else self.unit_seats.get(root)
        if seat is not None:
            self.seats[ref] = seat

    def _place_removed(self) -> None:
        """Seat removed records. Those that a decision made one sit together, at the first seat that one finds."""
        units: dict[Ref, list[Record]] = defaultdict(list)
        for record in self.by_seniority:
            is_removed = not record.is_live and record.seen is not None
            if is_removed and record.ref not in self.grouping.survivors and record.kind != "edit":
                units[self.groups.find(record.ref)].append(record)
        for root, unit in units.items():
            if root not in self.people:
                seat = next((found for record in unit if (found := self._seat_of_removed(record)) is not None), None)
                if seat is not None:
                    self.unit_seats[root] = seat
            for record in unit:
                self._sit(record.ref, record.ref)

    def _place_guest(self, guest: Record, key: Ident, seated: Collection[Ref]) -> None:
        """Seat a guest with the customers who own its key, else with a guest whom a decision has seated.

        Who finds no seat there is one person with other guests of the key.
        """
        ref = guest.ref
        claims = self.grouping.claimants.get(key, ())
        if key in self.grouping.nobodys and not claims:
            return
        mates = self.keyed[key]
        hosts = [claims[0].ref] if claims else [mate for mate in mates if mate in seated][:1]
        older = mates[: mates.index(ref)]
        for host in hosts + [mate for mate in older if not self.groups.living.get(self.groups.find(mate))]:
            reason: Reason | None = "kept apart" if self.groups.are_apart(host, ref) else None
            if reason is None and key[0] == "phone" and self._disagree(guest, host):
                reason = "names disagree"
            if reason is None:
                self.groups.union(host, ref)
                return
            self.grouping.result.refusals.append(Refusal(key, ref, host, reason))

    def _disagree(self, record: Record, host: Ref) -> bool:
        """Whether a passenger and a group disagree about the name. Guests' names count where all are guests."""
        ours = self._guests_at(record.ref) or [record.ref]
        theirs = self.groups.living.get(self.groups.find(host)) or self._guests_at(host)
        return any(self.groups.disagree(one, other) for one in ours for other in theirs)

    def _guests_at(self, ref: Ref) -> list[Ref]:
        root = self.groups.find(ref)
        return [guest.ref for guest in self.guests if self.groups.find(guest.ref) == root]

    def _seat_of_removed(self, record: Record) -> Ref | None:
        last = [ident for ident, tie in record.ties().items() if tie.role == LAST]
        self.groups.emails[record.ref] |= {ident for ident in last if ident[0] == "email"}
        for ident in sorted(last, key=lambda i: (ORDER_OF_TYPES.get(i[0], 2), i)):
            if identifiers.identifies_nobody(*ident):
                continue
            claims: list[Claimant] = self.grouping.claimants.get(ident, [])
            if ident in self.grouping.nobodys and not claims:
                continue
            claiming = [claim.ref for claim in claims] + self.keyed.get(ident, [])
            if not claiming and ident in self.former:
                claiming = [max(self.former[ident], key=lambda r: (r.former_claims()[ident], r.ref)).ref]
            for host in claiming:
                if self.groups.find(host) in self.people and self._may_sit(record, host, ident):
                    return self.groups.find(host)
        return None

    def _may_sit(self, record: Record, host: Ref, ident: Ident) -> bool:
        """Whether rules 2, 3 and 4 would let a removed record join a group if it lived.

        A customer whom its source created after the removal is no second person.
        """
        root = self.groups.find(host)
        if any(root in (self.groups.find(other), self.seats.get(other)) for other in self.groups.kept_from(record.ref)):
            return False
        people = self.groups.living.get(root, ())
        if record.kind == "customer" and any(self._is_another(self.records[one], record) for one in people):
            return False
        return not (ident[0] == "phone" and self._disagree(record, host))

    @staticmethod
    def _is_another(other: Record, record: Record) -> bool:
        if other.kind != "customer" or other.source != record.source:
            return False
        created = other.created()
        return created is None or created <= record.gone_at

    def _list_groups(self) -> None:
        seated: dict[Ref, list[Record]] = defaultdict(list)
        for ref in self.living:
            seated[self.groups.find(ref)].append(self.records[ref])
        riding: dict[Ref, list[Ref]] = defaultdict(list)
        for guest in self.guests:
            root = self.groups.find(guest.ref)
            (riding[root].append(guest.ref) if self.groups.living.get(root) else seated[root].append(guest))
        for ref, root in self.seats.items():
            riding[root].append(ref)
        for root in self.people:
            living = sorted(seated[root], key=seniority)
            self.grouping.result.groups.append((*(record.ref for record in living), *sorted(riding[root])))

    def _find_owners(self) -> None:
        """Find the strongest claim on each identifier, and those that several people claim."""
        result, find = self.grouping.result, self.groups.find
        for ident, claims in self.grouping.claimants.items():
            if not claims:
                continue
            result.owners[ident] = claims[0].holder
            roots = {find(claim.ref) for claim in claims} | {find(ref) for ref in self.keyed.get(ident, ())}
            if len(roots) > 1:
                result.contested.add(ident)
        for ident, refs in self.keyed.items():
            if refs and not self._is_spoken_for(ident):
                result.owners[ident] = refs[0]
                if len({find(ref) for ref in refs}) > 1:
                    result.contested.add(ident)
        for ident, holders in self._evidence().items():
            is_free = not identifiers.identifies_nobody(*ident) and not self._is_spoken_for(ident)
            is_free = is_free and ident not in self.given_by_many and len(holders) <= self.grouping.limits.crowd
            if is_free and ident not in self.keyed and len({find(host) for _, host in holders}) == 1:
                result.owners[ident] = holders[0][0]

    def _evidence(self) -> dict[Ident, list[tuple[Ref, Ref]]]:
        """Return the identifiers that prove nothing, each with the record that has it and the record that it is about.

        These are what guests gave beside their keys, edits for guests, and numbers that have two readings.
        """
        found: dict[Ident, list[tuple[Ref, Ref]]] = defaultdict(list)
        for ref in [*sorted(self.living), *(guest.ref for guest in self.guests)]:
            for ident, tie in self.records[ref].ties().items():
                if tie.role == EVIDENCE:
                    found[ident].append((ref, ref))
        for edit, host in sorted(self.grouping.hosts.items()):
            if self.records[host].kind == "guest":
                for ident in self.records[edit].ties():
                    found[ident].append((edit, host))
        return found

    def _is_spoken_for(self, ident: Ident) -> bool:
        return ident in self.grouping.claimants or ident in self.grouping.nobodys


def _key_of(guest: Record) -> Ident | None:
    """Return what a guest is keyed by; None if it identifies nobody."""
    key = next((ident for ident, tie in guest.ties().items() if tie.role == CLAIM), None)
    return None if key is None or identifiers.identifies_nobody(*key) else key
