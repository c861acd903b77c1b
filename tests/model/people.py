"""People: who is who (section 5, rules 3 to 8), from the records and the decisions about them.

Groups are found in three steps: decisions, then identifiers, then the passengers, who sit in a group and join none.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

from tests.model.decisions import Decided, Decision, decide
from tests.model.history import API, Ident, Ref, is_edit, is_guest
from tests.model.names import disagree
from tests.model.records import TYPES, UNKNOWN_CREATION, Record, is_customer_of_a_source, list_of

MACHINES = ("noreply", "no-reply", "donotreply", "mailer-daemon")
PLACEHOLDERS = ("0", "null", "none")


class Limits(NamedTuple):
    """A value claimed by more records of one source than ``crowd`` identifies nobody; ``component`` is rule 7's."""

    crowd: int = 10
    component: int = 200


class Claim(NamedTuple):
    """Claims sort by strength, the strongest first (rule 6)."""

    is_of_guest: bool
    is_inherited: bool  #: from a record that was merged away
    is_unverified: bool
    created: int
    is_api: bool  #: of those whose creation is as old, or unknown, who was created through the API comes last
    ref: Ref  #: the customer or guest that it counts for


def is_blocked(ident: Ident) -> bool:
    """Whether a value is a placeholder (rule 5)."""
    kind, key = ident
    if kind == "email":
        return key.partition("@")[0] in MACHINES
    return key in PLACEHOLDERS


@dataclass
class People:
    """Who is who."""

    records: dict[Ref, Record]
    decided: Decided
    survivors: dict[Ref, Ref]  #: of the records that were merged away
    customers: set[Ref]  #: those who live and are shown: they join
    guests: set[Ref]  #: those who live
    homes: dict[Ref, Ref]  #: the record that each edit sits with
    claims: dict[Ident, list[Claim]]  #: the strongest first
    nobody: set[Ident]  #: blocked and crowded values, which join nothing and own nothing
    crowd: int

    def group(self, ref: Ref) -> frozenset[Ref]:
        return self.decided.groups.of[ref]

    def contacts(self) -> list[frozenset[Ref]]:
        """Return the groups in which somebody lives. Records that are only mentioned, or removed, make no contact."""
        return sorted((group for group in self.decided.groups.all() if group & (self.customers | self.guests)), key=min)

    def owner(self, ident: Ident) -> frozenset[Ref] | None:
        """Return the group that an identifier belongs to: that of its strongest claim."""
        claims = self.claims.get(ident)
        return self.group(claims[0].ref) if claims and ident not in self.nobody else None

    def contested(self) -> set[Ident]:
        """Return the identifiers that records of two contacts claim."""
        return {
            ident
            for ident, claims in self.claims.items()
            if ident not in self.nobody and len({self.group(claim.ref) for claim in claims}) > 1
        }

    def held_by(self, group: frozenset[Ref]) -> set[Ident]:
        """Return every identifier that the customers and guests of a group claim, owned or not, and what edits gave."""
        edits = {edit for edit, home in self.homes.items() if home in group & self.guests}
        claimed = {ident for ident, claims in self.claims.items() if any(claim.ref in group for claim in claims)}
        return claimed | {ident for edit in edits for ident in self.records[edit].claims()}

    def is_idle(self, edit: Ref) -> bool:
        """Whether an edit was made of nobody who lives: it claims nothing."""
        home = self.homes.get(edit, edit)
        is_live = self.records[home].lives()
        return not is_live or self.survivors.get(home, home) not in self.customers | self.guests

    def given_by(self, guest: Ref) -> set[Ident]:
        """Return what a guest gave beside its key, and what edits gave for it."""
        edits = {edit for edit, home in self.homes.items() if home == guest}
        given = self.records[guest].evidence().union(*(self.records[edit].claims() for edit in edits))
        return given - {self.records[guest].key()}

    def evidence_of(self, group: frozenset[Ref]) -> dict[Ident, bool]:
        """Return what the guests of a group gave beside their keys, and whether it resolves to the group.

        It does while nobody claims it, every guest who gave it is in this group, and those are no crowd.
        """
        return {
            ident: ident not in self.claims
            and ident not in self.nobody
            and not is_blocked(ident)
            and all(guest in group for guest in self.guests if ident in self.given_by(guest))
            and self._givers(ident) <= self.crowd
            for ref in group & self.guests
            for ident in self.given_by(ref)
        }

    def _givers(self, ident: Ident) -> int:
        edits = [edit for edit, home in self.homes.items() if home in self.guests]
        by_guests = sum(ident in self.records[guest].evidence() for guest in self.guests)
        return by_guests + sum(ident in self.records[edit].claims() for edit in edits)

    def resolve(self, ident: Ident) -> frozenset[Ref] | None:
        """Return the contact that an identifier leads to."""
        if (owner := self.owner(ident)) is not None:
            return owner
        return next((group for group in self.contacts() if self.evidence_of(group).get(ident)), None)

    def speaks_for(self, ref: Ref) -> Ref:
        """Return the record that a write with this pair is aimed at: the survivor of a merged-away customer."""
        return self.survivors.get(ref, ref)


def people_of(records: dict[Ref, Record], decisions: Iterable[Decision], limits: Limits) -> People:
    """Work out who is who."""
    decided = decide(records, decisions)
    survivors = decided.merged_away({ref for ref, record in records.items() if record.seen})
    live = {ref for ref, record in records.items() if record.lives() and ref not in survivors and not is_edit(ref)}
    people = People(
        records=records,
        decided=decided,
        survivors=survivors,
        customers={ref for ref in live if not is_guest(ref)},
        guests={ref for ref in live if is_guest(ref)},
        homes={},
        claims={},
        nobody=set(),
        crowd=limits.crowd,
    )
    people.homes = _homes(people)
    people.claims = _claims(people)
    people.nobody = {ident for ident in people.claims if is_blocked(ident) or _is_crowded(people, ident, limits.crowd)}
    _join_by_identifiers(people, limits.component)
    _seat_guests(people)
    _seat_removed(people)
    for edit, home in people.homes.items():
        decided.groups.join(edit, home)
    return people


def _homes(people: People) -> dict[Ref, Ref]:
    """Return where each edit sits: with the first of its list who lives and was not merged away, else with the first.

    No value of an edit moves a record, so this is known before the groups are.
    """
    homes = {}
    for ref, record in people.records.items():
        if is_edit(ref) and (frozen := list_of(record)):
            live = [member for member in frozen if member in people.customers | people.guests]
            merged = [one for one in frozen if one in people.survivors and people.records[one].lives()]
            homes[ref] = (live or merged or frozen)[0]
    return homes


def _claims(people: People) -> dict[Ident, list[Claim]]:
    """Return who claims each identifier.

    The claims of a record that was merged away count as its survivor's, after those of all customers themselves. An
    identifier in an edit is a claim of the record that the edit sits with; if that one does not live, of nobody. Who is
    a guest claims nothing but its key, so there an edit gives evidence.
    """
    claims = defaultdict(list)

    def add(speaker: Ref, idents: dict[Ident, bool]) -> None:
        ref = people.survivors.get(speaker, speaker)
        if people.records[speaker].lives() and ref in people.customers | people.guests:
            for ident, is_verified in idents.items():
                created = people.records[ref].created()
                claims[ident].append(Claim(is_guest(ref), ref != speaker, not is_verified, created, ref[0] == API, ref))

    for ref, record in people.records.items():
        home = people.homes.get(ref, ref)
        if home == ref or home not in people.guests:
            add(home, record.claims())
    return {ident: sorted(set(found)) for ident, found in claims.items()}


def _is_crowded(people: People, ident: Ident, crowd: int) -> bool:
    """Whether more than ``crowd`` records of one source claim a value, and none has proof of it (rule 5).

    Guests count only where no customer claims the value. Of one source only one guest can have a value as its key, so
    they never are a crowd.
    """
    claims = people.claims[ident]
    count = Counter(ref[0] for ref in {claim.ref for claim in claims if not claim.is_of_guest})
    return any(number > crowd for number in count.values()) and all(claim.is_unverified for claim in claims)


def _join_by_identifiers(people: People, limit: int) -> None:
    """Join groups by the identifiers that their customers claim, in the order of rule 6."""
    oversize = _oversize(people, limit)
    by_ident = {
        ident: [claim for claim in claims if not claim.is_of_guest]
        for ident, claims in people.claims.items()
        if ident not in people.nobody
    }
    order = sorted(
        (TYPES.index(ident[0]), claims[0], ident) for ident, claims in by_ident.items() if claims
    )  # e-mails, then numbers; then by their strongest claim
    for *_, ident in order:
        claims = by_ident[ident]
        for i, claim in enumerate(claims):
            for stronger in claims[:i]:
                a, b = people.group(stronger.ref), people.group(claim.ref)
                if a == b:
                    break
                if claim.ref not in oversize and _may_join(people, a, b, ident):
                    people.decided.groups.join(stronger.ref, claim.ref)
                    break


def _may_join(people: People, a: frozenset[Ref], b: frozenset[Ref], ident: Ident) -> bool:
    if people.decided.must_stay_apart(a, b):
        return False
    sources = [{ref[0] for ref in group & people.customers if is_customer_of_a_source(ref)} for group in (a, b)]
    if sources[0] & sources[1]:
        return False  # rule 4: the source knows them as two people
    return not _names_forbid(people, speakers(people, a), speakers(people, b), ident)


def speakers(people: People, group: frozenset[Ref]) -> frozenset[Ref]:
    """Return the records of a group whose names count: its customers; of guests alone, the guests."""
    return group & people.customers or group & people.guests


def _names_forbid(people: People, some: Iterable[Ref], others: Iterable[Ref], ident: Ident) -> bool:
    """Whether a shared number joins nobody here, because two records disagree about the name (rule 3).

    The rule excepts pairs that share an e-mail. These need no exception: the e-mail, whose turn came first, has joined
    them, or rule 2 or 4 forbade it and forbids it still.
    """
    if ident[0] == "email":
        return False
    return any(disagree(people.records[a].names(), people.records[b].names()) for a in some for b in others)


def _oversize(people: People, limit: int) -> set[Ref]:
    """Return the customers of components above the limit, in which identifiers join nobody (rule 7)."""
    components = [set(group) for group in people.decided.groups.all()]
    ties = [
        {claim.ref for claim in claims if not claim.is_of_guest}
        for ident, claims in people.claims.items()
        if ident not in people.nobody
    ]
    for tie in ties:
        touched = [component for component in components if component & tie]
        if len(touched) > 1:
            components = [one for one in components if one not in touched] + [set().union(*touched)]
    found = (component & people.customers for component in components)
    return {ref for component in found if len(component) > limit for ref in component}


def _by_rank(people: People, refs: Iterable[Ref]) -> list[Ref]:
    return sorted(refs, key=lambda ref: people.records[ref].rank())


def _seat_guests(people: People) -> None:
    """Seat each guest with the group that owns its key; guests alone are one person by the same key only.

    A number as the key seats nobody whose name disagrees. Records that a decision put together sit together.
    """

    def has_customer(ref: Ref) -> bool:
        return bool(people.group(ref) & people.customers)

    seated = {guest for guest in people.guests if has_customer(guest)}
    waiting = _by_rank(people, people.guests - seated)
    for guest in waiting:
        key = people.records[guest].key()
        owners = [claim.ref for claim in people.claims[key] if not claim.is_of_guest or claim.ref in seated]
        if key not in people.nobody and owners and not has_customer(guest) and _may_sit(people, guest, owners[0], key):
            people.decided.groups.join(guest, owners[0])
    alone = [guest for guest in waiting if not has_customer(guest)]
    for i, guest in enumerate(alone):
        key = people.records[guest].key()
        for stronger in alone[:i]:
            is_same = people.records[stronger].key() == key and key not in people.nobody
            if is_same and _may_sit(people, guest, stronger, key):
                people.decided.groups.join(guest, stronger)
                break


def _may_sit(people: People, passenger: Ref, seat: Ref, ident: Ident) -> bool:
    a, b = people.group(passenger), people.group(seat)
    if a == b:
        return True
    return not people.decided.must_stay_apart(a, b) and not _names_forbid(
        people, speakers(people, a) or (passenger,), speakers(people, b), ident
    )


def _seat_removed(people: People) -> None:
    """Seat the removed records, value by value of those that they claimed last, e-mail first.

    A removed record sits with the first claimant that rules 2 to 4 allow. If nobody claims the value now, it sits with
    the live record that claimed it last. What its source merged away sits with its survivor.
    """
    removed = {ref for ref, record in people.records.items() if record.seen and not record.lives()}
    for ref in _by_rank(people, removed - people.survivors.keys()):
        if is_edit(ref) or people.group(ref) & (people.customers | people.guests):
            continue
        for ident in people.records[ref].claimed_at(None):
            seat = None if ident in people.nobody or is_blocked(ident) else _seat(people, ref, ident)
            if seat is not None:
                people.decided.groups.join(ref, seat)
                break


def _seat(people: People, ref: Ref, ident: Ident) -> Ref | None:
    candidates = [claim.ref for claim in people.claims.get(ident, ())]
    if not candidates:
        shown = people.customers | people.guests
        live = {one for one, record in people.records.items() if record.lives()}
        live = {one for one in live if people.survivors.get(one, one) in shown}
        former = {one: claimed[ident][1] for one in live if ident in (claimed := people.records[one].claimed())}
        candidates = [max(former, key=lambda one: former[one])] if former else []
    allowed = (seat for seat in candidates if _may_sit(people, ref, seat, ident) and not _is_second(people, ref, seat))
    return next(allowed, None)


def _is_second(people: People, removed: Ref, seat: Ref) -> bool:
    """Whether the group has another customer of the source, who was there before the removal (rule 4)."""
    since = people.records[removed].removed_at().time
    others = people.group(seat) & people.customers
    return is_customer_of_a_source(removed) and any(
        other[0] == removed[0] and not since < people.records[other].created() < UNKNOWN_CREATION for other in others
    )
