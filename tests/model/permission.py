"""Permission: what was said about consent and suppressions, and what it means for one address (sections 4 and 6).

A "yes" opens its address for the person whose record said it. A "no" closes its address for everybody who holds it,
and every address of the person whose record said it.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace

from tests.model.decisions import Decided
from tests.model.history import (
    NO,
    PENDING,
    TYPE_OF_CHANNEL,
    UNKNOWN,
    YES,
    ApiConsent,
    Consent,
    Envelope,
    Ref,
    Suppression,
    edit_of,
    is_guest,
)
from tests.model.records import Record

#: reasons that a newer opt-in lifts
LIFTED_BY_YES = {"unsubscribed", "stop_keyword"}


@dataclass(frozen=True)
class Said:
    """A statement of consent. ``ref`` has an empty id if it came with no customer: it is nobody's."""

    ref: Ref
    channel: str
    purpose: str
    address: str | None
    status: str
    time: int
    has_time: bool = True  #: of its own
    is_api: bool = False
    covers: frozenset[str] = frozenset()  #: the addresses that it is about

    @property
    def is_of_guest(self) -> bool:
        return is_guest(self.ref)

    @property
    def order(self) -> tuple[object, ...]:
        """Sort by time; of one time the more restrictive last."""
        return (self.time, (UNKNOWN, YES, PENDING, NO).index(self.status), self.ref, self.address or "")


def said_in(envelopes: Mapping[str, Envelope]) -> set[Said]:
    """Return what was stated, each at its time.

    A "yes" without a time, or with a time that the ceiling had to move, is a baseline: a wrong clock opens nothing.
    Everything else counts from the sending time if it has none of its own.
    """
    found = set()
    for envelope in envelopes.values():
        for saying in envelope.says:
            if isinstance(saying, Consent):
                is_baseline = saying.status == YES and (saying.t is None or envelope.is_clamped(saying.t))
                found.add(
                    Said(
                        ref=(saying.source, saying.who or ""),
                        channel=saying.channel,
                        purpose=saying.purpose,
                        address=saying.address,
                        status=saying.status,
                        time=0 if is_baseline else envelope.time_of(saying.t),
                        has_time=saying.t is not None,
                    )
                )
            elif isinstance(saying, ApiConsent):
                ref, time = edit_of(saying.records), envelope.time_of(saying.t)
                found.add(Said(ref, saying.channel, saying.purpose, saying.address, saying.status, time, is_api=True))
    return found


def counting(said: Iterable[Said]) -> list[Said]:
    """Let what only repeats count from when it was first said.

    A record that repeats its last status (yes, no or pending) about an address states nothing new. A "no" with a time
    of its own was said then, and so was whatever came through the API.
    """
    by_subject: dict[tuple[object, ...], list[Said]] = defaultdict(list)
    counted = []
    for one in said:
        if one.is_api:
            counted.append(one)
        else:
            by_subject[one.ref, one.channel, one.purpose, one.address].append(one)
    for statements in by_subject.values():
        first: Said | None = None
        for one in sorted(statements, key=lambda one: (one.order, not one.has_time)):
            if one.status == UNKNOWN:
                counted.append(one)
            elif first is None or one.status != first.status:
                first = one
                counted.append(one)
            elif one.status == YES or (one.status == NO and not one.has_time):
                counted.append(replace(one, time=first.time))
            else:
                counted.append(one)
    return counted


def addressed(one: Said, record: Record | None) -> Said:
    """Say which addresses a statement is about.

    A "yes" without an address is for those that its record had claimed by then, or, if none, for the first that it
    claims; one through the API is for the address that was shown, and for none if none was shown. A guest's "no"
    without an address is for all that the guest gave. Other statements without an address are about the record.
    """
    if one.address is not None:
        return replace(one, covers=frozenset((one.address,)))
    kind = TYPE_OF_CHANNEL[one.channel]
    if record is None or one.is_api:
        return one
    if one.status == NO and one.is_of_guest:
        given = {value for _, value in record.said[kind] if value}
        return replace(one, covers=frozenset(given | {key for type_, key in record.claimed() if type_ == kind}))
    if one.status == YES:
        claimed = {key: first for (type_, key), (first, _) in record.claimed().items() if type_ == kind}
        by_then = {key for key, first in claimed.items() if first.time <= one.time}
        return replace(one, covers=frozenset(by_then or sorted(claimed, key=lambda key: (claimed[key], key))[:1]))
    return one


class Ledger:
    """All that was said about consent and suppressions, ready to be asked about one person's address."""

    def __init__(
        self,
        envelopes: Mapping[str, Envelope],
        records: Mapping[Ref, Record],
        decided: Decided,
        survivors: Mapping[Ref, Ref],
    ) -> None:
        counted = [addressed(one, records.get(one.ref)) for one in counting(said_in(envelopes))]
        # Of a record that its source merged away, a "yes" counts up to the merge, a "no" always.
        self.said = [
            one
            for one in counted
            if one.status != YES or one.ref not in survivors or one.time <= decided.merged_at(one.ref)
        ]
        self.suppressions = {
            (envelope.time_of(saying.t), saying)
            for envelope in envelopes.values()
            for saying in envelope.says
            if isinstance(saying, Suppression)
        }

    def about(self, channel: str, purpose: str, status: str) -> list[Said]:
        return [one for one in self.said if (one.channel, one.purpose, one.status) == (channel, purpose, status)]

    def yes(self, own: AbstractSet[Ref], channel: str, purpose: str, address: str) -> list[Said]:
        """Return what opens an address for a person: each "yes" to it by one of the person's own records.

        A record's own newer ``pending`` about the address, or about none, replaces its "yes".
        """
        pending = self.about(channel, purpose, PENDING)
        return [
            one
            for one in self.about(channel, purpose, YES)
            if one.ref in own
            and address in one.covers
            and not any(
                other.ref == one.ref and other.address in (None, address) and other.time >= one.time
                for other in pending
            )
        ]

    def no(self, own: AbstractSet[Ref], channel: str, purpose: str, address: str) -> list[Said]:
        """Return each "no" that concerns an address of a person.

        Those are all about the address, by anybody, and those about any address or none, by the person's own records;
        but a guest's "no" is for its own address only.
        """
        return [
            one
            for one in self.about(channel, purpose, NO)
            if address in one.covers or (one.ref in own and not one.is_of_guest)
        ]

    def unanswered(self, own: AbstractSet[Ref], channel: str, purpose: str, address: str) -> list[Said]:
        """Return each "no" that concerns the address and that no newer "yes" to it has answered.

        On equal times the "no" counts. A guest's "yes" answers only what guests said.
        """
        yes = self.yes(own, channel, purpose, address)
        return [
            no
            for no in self.no(own, channel, purpose, address)
            if not any(one.time > no.time and (no.is_of_guest or not one.is_of_guest) for one in yes)
        ]

    def is_open(self, own: AbstractSet[Ref], channel: str, purpose: str, address: str) -> bool:
        """Whether a person may be written to at an address: for marketing only after a "yes"."""
        has_yes = purpose != "marketing" or bool(self.yes(own, channel, purpose, address))
        return has_yes and not self.unanswered(own, channel, purpose, address)

    def suppressions_of(self, channel: str, address: str) -> dict[tuple[str, str], list[tuple[int, int | None]]]:
        """Return the suppressions of an address that nobody lifted: (time, expiry), by scope and reason.

        A suppression of the same time as a lift stays.
        """
        lifted: dict[tuple[str, str], int] = defaultdict(lambda: -1)
        found = defaultdict(list)
        about = [one for one in self.suppressions if (one[1].channel, one[1].address) == (channel, address)]
        for time, one in about:
            if one.lift:
                lifted[one.scope, one.reason] = max(lifted[one.scope, one.reason], time)
        for time, one in about:
            if not one.lift and time >= lifted[one.scope, one.reason]:
                found[one.scope, one.reason].append((time, one.expires))
        return dict(found)

    def suppressed_until(self, own: AbstractSet[Ref], channel: str, purpose: str, address: str) -> int | None:
        """Return until when an address is suppressed for a person and purpose; 0 if it is not, None for ever.

        A newer "yes" of the person to the address, for this purpose or for marketing, lifts ``unsubscribed`` and
        ``stop_keyword``; a guest's does not. Of several the longest counts, also if it is over by now.
        """
        yes = [
            one.time
            for wanted in {purpose, "marketing"}
            for one in self.yes(own, channel, wanted, address)
            if not one.is_of_guest
        ]
        expiries = [
            expires
            for (scope, reason), entries in self.suppressions_of(channel, address).items()
            if scope in ("all", purpose)
            for time, expires in entries
            if not (reason in LIFTED_BY_YES and any(opted_in > time for opted_in in yes))
        ]
        return None if None in expiries else max(expiries, default=0)
