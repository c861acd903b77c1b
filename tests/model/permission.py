"""Permission: what was said about consent and suppressions, and what it means for one address (sections 4 and 6).

A "yes" opens its address for the person whose record said it. A "no" closes its address for everybody who holds it,
and every address of the person whose record said it.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass

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
    is_edit,
    is_guest,
)
from tests.model.records import Record, Stamp, list_of

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

    @property
    def is_of_guest(self) -> bool:
        return is_guest(self.ref)

    @property
    def order(self) -> tuple[object, ...]:
        """Sort by time; of one time the more restrictive last."""
        return (self.time, (UNKNOWN, YES, PENDING, NO).index(self.status), self.ref, self.address or "")


def said_in(envelopes: Mapping[str, Envelope]) -> set[Said]:
    """Return what was stated, each at its time.

    A "yes" without a time, or with a time that the ceiling had to move, is a baseline: a wrong clock opens nothing. So
    is ``unknown`` without a time. Everything else counts from the sending time if it has none of its own.
    """
    found = set()
    for envelope in envelopes.values():
        for saying in envelope.says:
            if isinstance(saying, Consent):
                is_undated = saying.t is None and saying.status in (YES, UNKNOWN)
                is_baseline = is_undated or (saying.status == YES and envelope.is_clamped(saying.t))
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
                for address in saying.subjects:
                    found.add(Said(ref, saying.channel, saying.purpose, address, saying.status, time, is_api=True))
    return found


def counting(said: Iterable[Said]) -> list[Said]:
    """Leave out what only repeats: a "no" or ``pending`` without a time, if that was the record's last status already.

    A "yes" or "no" with a time was said then, and so was whatever came through the API; ``unknown`` is no status.
    """
    last: dict[tuple[object, ...], str] = {}
    counted = []
    for one in sorted(said, key=lambda one: (one.order, one.has_time)):
        subject = (one.ref, one.channel, one.purpose, one.address)
        if one.status not in (NO, PENDING) or one.has_time or one.is_api or last.get(subject) != one.status:
            counted.append(one)
        if one.status != UNKNOWN:
            last[subject] = one.status
    return counted


class Ledger:
    """All that was said about consent and suppressions, ready to be asked about one person's address."""

    def __init__(
        self,
        envelopes: Mapping[str, Envelope],
        records: Mapping[Ref, Record],
        decided: Decided,
        survivors: Mapping[Ref, Ref],
    ) -> None:
        self.records = records
        # Of a record that its source merged away, a "no" counts always, and all else up to the merge.
        self.said = [
            one
            for one in counting(said_in(envelopes))
            if one.status == NO or one.ref not in survivors or one.time <= decided.merged_at(one.ref)
        ]
        self.suppressions = {
            (envelope.time_of(saying.t), saying)
            for envelope in envelopes.values()
            for saying in envelope.says
            if isinstance(saying, Suppression)
        }

    def about(self, channel: str, purpose: str, status: str) -> list[Said]:
        return [one for one in self.said if (one.channel, one.purpose, one.status) == (channel, purpose, status)]

    def covers(self, one: Said, own: AbstractSet[Ref], address: str) -> bool:
        """Whether a statement by one of a person's own records is about an address.

        A "yes" without an address is for those that its record had claimed by then, or, if none, for the first that
        it claims. One through the API had no address to name, and means the records of its list that are the
        person's still. A guest's "no" without an address is for all addresses that the guest gave.
        """
        if one.address is not None:
            return one.address == address
        kind = TYPE_OF_CHANNEL[one.channel]
        record = self.records[one.ref]
        if one.status == NO:
            return not one.is_of_guest or (kind, address) in record.claimed() or _gave(record, kind, address)
        speakers = [record] if not is_edit(one.ref) else [self.records[ref] for ref in list_of(record) if ref in own]
        since: dict[str, Stamp] = {}
        for speaker in speakers:
            for (type_, key), (first, _) in speaker.claimed().items():
                if type_ == kind:
                    since[key] = min(first, since.get(key, first))
        by_then = {key for key, first in since.items() if first.time <= one.time}
        return address in (by_then or sorted(since, key=lambda key: (since[key], key))[:1])

    def yes(self, own: AbstractSet[Ref], channel: str, purpose: str, address: str) -> list[Said]:
        """Return what opens an address for a person: each "yes" to it by one of the person's own records.

        A record's own newer ``pending`` about the address, or about none, replaces its "yes".
        """
        pending = self.about(channel, purpose, PENDING)
        return [
            one
            for one in self.opt_ins(own, channel, purpose, address)
            if not any(
                other.ref == one.ref and other.address in (None, address) and other.time >= one.time
                for other in pending
            )
        ]

    def opt_ins(self, own: AbstractSet[Ref], channel: str, purpose: str, address: str) -> list[Said]:
        """Return each "yes" to an address by one of the person's own records, also what a ``pending`` replaced."""
        said = self.about(channel, purpose, YES)
        return [one for one in said if one.ref in own and self.covers(one, own, address)]

    def no(self, own: AbstractSet[Ref], channel: str, purpose: str, address: str) -> list[Said]:
        """Return each "no" that concerns an address of a person.

        Those are all about the address, by anybody, and those about any address or none, by the person's own records;
        but a guest's "no" is for its own address only.
        """
        return [
            one
            for one in self.about(channel, purpose, NO)
            if one.address == address or (one.ref in own and (not one.is_of_guest or self.covers(one, own, address)))
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

    def suppressions_of(
        self, own: AbstractSet[Ref], channel: str, address: str
    ) -> dict[tuple[str, str], list[tuple[int, int | None]]]:
        """Return what suppresses a person's address and was not lifted: (time, expiry), by scope and reason.

        A newer "yes" of the person to the address lifts ``unsubscribed`` and ``stop_keyword``; a guest's does not. A
        suppression of the same time as a lift stays.
        """
        lifted: dict[tuple[str, str], int] = defaultdict(lambda: -1)
        found = defaultdict(list)
        about = [one for one in self.suppressions if (one[1].channel, one[1].address) == (channel, address)]
        for time, one in about:
            if one.lift:
                lifted[one.scope, one.reason] = max(lifted[one.scope, one.reason], time)
        for time, one in about:
            since = lifted[one.scope, one.reason]
            if one.reason in LIFTED_BY_YES:
                purpose = "transactional" if one.scope == "transactional" else "marketing"
                yes = [
                    opted_in.time
                    for opted_in in self.opt_ins(own, channel, purpose, address)
                    if not opted_in.is_of_guest
                ]
                since = max([since, *yes])
            if not one.lift and time >= since:
                found[one.scope, one.reason].append((time, one.expires))
        return dict(found)

    def suppressed_until(self, own: AbstractSet[Ref], channel: str, purpose: str, address: str) -> int | None:
        """Return until when an address is suppressed for a person and purpose; 0 if it is not, None for ever.

        Of several the longest counts, also if it is over by now.
        """
        expiries = [
            expires
            for (scope, _), entries in self.suppressions_of(own, channel, address).items()
            if scope in ("all", purpose)
            for _, expires in entries
        ]
        return None if None in expiries else max(expiries, default=0)


def _gave(record: Record, kind: str, address: str) -> bool:
    return any(value == address for _, value in record.said[kind])
