"""The second mind: what the store must be, worked out anew from the list of envelopes, after the design alone.

It shares no code with the product. Nothing is fast, nothing is remembered between two calls, and neither the order nor
the number of deliveries can matter, because the envelopes are made a set first.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from tests.model.decisions import Decision, decisions_of
from tests.model.history import (
    NO,
    PENDING,
    PURPOSES,
    TYPE_OF_CHANNEL,
    UNKNOWN,
    YES,
    Envelope,
    Ident,
    Ref,
    is_edit,
)
from tests.model.people import Limits, People, people_of
from tests.model.permission import Ledger, Said
from tests.model.records import Record, records_of


@dataclass(frozen=True)
class Answer:
    """May this person be written to, on one channel for one purpose? The consent shown is what decided there."""

    address: str | None
    status: str | None
    decided_by: Said | None
    is_open: bool
    is_suppressed: bool

    @property
    def sendable(self) -> bool:
        return self.is_open and not self.is_suppressed


@dataclass(frozen=True)
class Shown:
    """All that a contact shows. Two equal ones need no row in the feed."""

    name: str | None
    email: str | None
    phone: str | None
    tags: tuple[str, ...]
    identifiers: tuple[tuple[Ident, bool], ...]  #: that its records claim, and whether the contact owns each
    evidence: tuple[tuple[Ident, bool], ...]  #: that its guests gave, and whether it resolves to the contact
    consents: tuple[tuple[str, str, Answer], ...]  #: (channel, purpose, answer)
    suppressions: tuple[tuple[str, str, str, str, int | None], ...]  #: (channel, address, scope, reason, expiry)

    def answer(self, channel: str, purpose: str = "marketing") -> Answer:
        return next(answer for *of, answer in self.consents if of == [channel, purpose])


class World:
    """The state of the store after some envelopes, at a time."""

    def __init__(
        self,
        envelopes: Iterable[Envelope],
        *,
        now: int | None = None,
        limits: Limits = Limits(),  # noqa: B008 - a tuple
        priority: dict[str, int] | None = None,  #: by source, the lowest first
    ) -> None:
        by_key = {envelope.key: envelope for envelope in envelopes}
        self.now = max((one.arrived for one in by_key.values()), default=0) if now is None else now
        self.priority = priority or {}
        self.records: dict[Ref, Record] = records_of(by_key)
        self.decisions: set[Decision] = decisions_of(by_key)
        self.people: People = people_of(self.records, self.decisions, limits)
        self.ledger = Ledger(by_key, self.records, self.people.decided, self.people.survivors)
        self.contacts: dict[frozenset[Ref], Shown] = {group: self._show(group) for group in self.people.contacts()}

    def contact(self, ref: Ref) -> frozenset[Ref] | None:
        """Return the contact that a record is in; None if it is in none."""
        group = self.people.decided.groups.of.get(ref)
        return group if group in self.contacts else None

    def show(self, ref: Ref) -> Shown:
        return self.contacts[self.people.group(ref)]

    def best(self, group: frozenset[Ref]) -> list[Ref]:
        """Return the records that give a contact its values, best first: its customers, or, if none, its guests."""
        givers = group & self.people.customers or group & self.people.guests
        return sorted(givers, key=lambda ref: (self.priority.get(ref[0], 0), *self.records[ref].rank()))

    def golden(self, group: frozenset[Ref], field: str) -> str | None:
        """Return the value that a contact shows: that of the newest edit, or of the best record if the edit clears it.

        An e-mail or a number of an edit shows only while it is a claim. What guests alone gave beside their keys shows
        only while it resolves to them.
        """
        held = self.people.held_by(group)
        edits = [ref for ref in group if is_edit(ref) and (field == "name" or not self.people.is_idle(ref))]
        said = [newest for ref in edits if (newest := self.records[ref].newest(field))]
        _, edited = max(said, key=lambda newest: newest[0], default=(None, None))
        if edited and (field == "name" or (field, edited) in held):
            return edited
        evidence = self.people.evidence_of(group)
        for ref in self.best(group):
            value = self.records[ref].value(field)
            if value and (field == "name" or (field, value) in held or evidence.get((field, value))):
                return value
        return None

    def addresses(self, group: frozenset[Ref], channel: str) -> list[str]:
        """Return where a person may be reached: the address shown, others that lead here, then the rest; by key.

        What guests gave beside their keys counts while it leads here.
        """
        kind = TYPE_OF_CHANNEL[channel]
        shown = self.golden(group, kind)
        evidence = {ident for ident, leads_here in self.people.evidence_of(group).items() if leads_here}
        held = {ident for ident in self.people.held_by(group) | evidence if ident[0] == kind}
        order = sorted(held, key=lambda ident: (ident[1] != shown, self.people.resolve(ident) != group, ident))
        return [ident[1] for ident in order]

    def answer(self, group: frozenset[Ref], channel: str, purpose: str, now: int | None = None) -> Answer:
        """Choose the address, and say what decided there.

        The first address that is open and not suppressed; else the first that is open; else the first about which
        something was said; else the first. Without ``now``, a contact shows what it would if nothing were over yet.
        """
        ledger = self.ledger
        addresses = self.addresses(group, channel)
        if not addresses:
            return self._answer_without_address(group, channel, purpose)

        def is_suppressed(address: str) -> bool:
            until = ledger.suppressed_until(group, channel, purpose, address)
            return until is None or until > (0 if now is None else now)

        is_open = [one for one in addresses if ledger.is_open(group, channel, purpose, one)]
        free = [one for one in is_open if not is_suppressed(one)]
        spoken_of = [one for one in addresses if self._decided_by(group, channel, purpose, one)]
        address = [*free, *is_open, *spoken_of, *addresses][0]
        decided_by = self._decided_by(group, channel, purpose, address)
        status = None if decided_by is None else decided_by.status
        return Answer(address, status, decided_by, address in is_open, is_suppressed(address))

    def _decided_by(self, group: frozenset[Ref], channel: str, purpose: str, address: str) -> Said | None:
        """Return the newest unanswered "no", else the newest "yes", else what own records left open."""
        of_own = [one for one in self.ledger.said if (one.channel, one.purpose) == (channel, purpose)]
        of_own = [one for one in of_own if one.ref in group and one.address in (None, address)]
        return (
            _newest(self.ledger.unanswered(group, channel, purpose, address))
            or _newest(self.ledger.yes(group, channel, purpose, address))
            or _newest(one for one in of_own if one.status == PENDING)
            or _newest(one for one in of_own if one.status == UNKNOWN)
        )

    def _answer_without_address(self, group: frozenset[Ref], channel: str, purpose: str) -> Answer:
        """Answer for a person without an address on the channel. What the own records said decides."""
        said = [one for one in self.ledger.said if (one.channel, one.purpose) == (channel, purpose)]
        said = [one for one in said if one.ref in group]
        without = {s: [one for one in said if one.status == s and one.address is None] for s in (YES, PENDING, UNKNOWN)}
        yes = [
            one
            for one in without[YES]
            if not any(other.ref == one.ref and other.time >= one.time for other in without[PENDING])
        ]
        no = [one for one in said if one.status == NO and not one.is_of_guest]
        standing = [one for one in no if not any(y.time > one.time and not y.is_of_guest for y in yes)]
        found = (_newest(some) for some in (standing, yes, without[PENDING], without[UNKNOWN]))
        decided_by = next((one for one in found if one), None)
        return Answer(None, None if decided_by is None else decided_by.status, decided_by, False, False)

    def _show(self, group: frozenset[Ref]) -> Shown:
        people = self.people
        givers = [*self.best(group), *(ref for ref in group if is_edit(ref))]
        held = people.held_by(group)
        return Shown(
            name=self.golden(group, "name"),
            email=self.golden(group, "email"),
            phone=self.golden(group, "phone"),
            tags=tuple(sorted({tag for ref in givers for tag in self.records[ref].tags()})),
            identifiers=tuple(sorted((ident, people.resolve(ident) == group) for ident in held)),
            evidence=tuple(sorted(people.evidence_of(group).items())),
            consents=tuple(
                (channel, purpose, self.answer(group, channel, purpose))
                for channel in TYPE_OF_CHANNEL
                for purpose in PURPOSES
            ),
            suppressions=tuple(self._suppressions(group)),
        )

    def _suppressions(self, group: frozenset[Ref]) -> Iterable[tuple[str, str, str, str, int | None]]:
        """List the suppressions of a contact's addresses that nobody lifted, each with its longest expiry."""
        for channel in TYPE_OF_CHANNEL:
            for address in self.addresses(group, channel):
                for (scope, reason), entries in sorted(self.ledger.suppressions_of(group, channel, address).items()):
                    expiries = [expires for _, expires in entries]
                    yield channel, address, scope, reason, None if None in expiries else max(expiries)


def _newest(said: Iterable[Said]) -> Said | None:
    return max(said, key=lambda one: one.order, default=None)
