"""Permission: what counts for each address of a contact, and whether a message may be sent to it.

A "yes" opens its address for the person whose record said it. A "no" closes its address for everybody who holds it, and
every address of the person whose record said it. An address is open if one of the contact's records said yes to it
later than every "no" that concerns it. What a contact shows is the statement that decided about the address that a
message would go to, so that the two never disagree.
"""

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import lru_cache
from typing import NamedTuple

from worker.domain import identifiers
from worker.domain.consent import ConsentEntry, Suppression, SuppressionEntry, suppressions
from worker.domain.record import Record, idle_records
from worker.domain.terms import CLAIM, EVIDENCE, Ident, Ref, Stamp, key_of_guest, kind_of

Key = tuple[str, str]  #: (channel, purpose)


class Voice(NamedTuple):
    """A record of the contact, as far as its statements need it."""

    is_guest: bool
    merged: int | None  #: when its source merged it away, microseconds: from then on its yes does not count
    records: Sequence[Record]  #: whose claims it means: its own; of an edit, those of the records that it is about
    #: until when the person took back all that it had said, by asking to be forgotten; microseconds
    void_until: int | None = None

    def meant_by(self, channel: str, occurred: int) -> set[str]:
        """Return the addresses that a yes without an address is for.

        They are those that the record had claimed by then, or, if it had none, the first that it claims. A guest
        claims nothing but its key.
        """
        kinds = types_of(channel)
        since: dict[str, Stamp] = {}
        for record in self.records:
            for (kind, key), (first, _) in record.history().items():
                is_meant = record.kind != "guest" or (kind, key) == key_of_guest(record.ref)
                if kind in kinds and is_meant:
                    since[key] = min(first, since.get(key, first))
        by_then = {key for key, first in since.items() if first.occurred <= occurred}
        if by_then or not since:
            return by_then
        return {min(since, key=lambda key: (since[key], key))}

    def gave(self, channel: str) -> set[str]:
        """Return every address that the record ever gave."""
        kinds = types_of(channel)
        return {key for record in self.records for kind, key in record.history() if kind in kinds}


@dataclass(slots=True)
class Holder:
    """Whose permission is asked for: a contact's records, and the addresses that it holds, the best first."""

    voices: Mapping[Ref, Voice]
    held: Sequence[Ident]

    def addresses(self, channel: str) -> list[str]:
        """Return the contact's addresses on a channel, the best first."""
        kinds = types_of(channel)
        return [key for kind in kinds for type_, key in self.held if type_ == kind]


class Ruling(NamedTuple):
    """What counts for an address."""

    address: str | None
    is_refused: bool  #: a "no" stands that no later yes has answered
    statement: ConsentEntry | None  #: what decided; None: nobody said anything

    @property
    def status(self) -> str | None:
        """The status of the statement that decided."""
        return None if self.statement is None else self.statement.status


@dataclass(slots=True)
class Permissions:
    """What counts for a contact."""

    rulings: dict[Key, list[Ruling]] = field(default_factory=dict)  #: one for each address, the best first
    suppressions: list[Suppression] = field(default_factory=list)  #: of all addresses of the contact
    #: when the person opted in last, by (channel, purpose, address), microseconds
    opted_in: dict[tuple[str, str, str], int] = field(default_factory=dict)

    def shown(self, key: Key, now: datetime | None, addresses: Sequence[str] = ()) -> Ruling:
        """Return the ruling on the address that a message would go to; ``addresses`` are those it may go to.

        Without ``now`` nothing has expired yet, so that the answer changes only when something is said.
        """
        asked: Sequence[str | None] = addresses or [None]
        unsaid = [Ruling(address, is_refused=False, statement=None) for address in asked]
        candidates = self.rulings.get(key, unsaid)
        return min(candidates, key=lambda ruling: self._obstacle(key, ruling, now))

    def _obstacle(self, key: Key, ruling: Ruling, now: datetime | None) -> int:
        if not is_allowed(ruling, key[1]):
            return 3 if ruling.statement is not None else 4
        if self.blocking(key, ruling.address, now) is not None:
            return 2
        return 1 if key[1] == "marketing" and _is_over(ruling.statement, now) else 0

    def blocking(self, key: Key, address: str | None, now: datetime | None) -> Suppression | None:
        """Return a suppression that keeps messages from an address."""
        channel, purpose = key
        for one in self.suppressions:
            is_meant = one.scope == "all" or (one.scope == "marketing") == (purpose == "marketing")
            if one.address == address and one.channel in (channel, "all") and is_meant and _is_active(one, now):
                return one
        return None


@lru_cache
def types_of(channel: str) -> tuple[str, ...]:
    """Return the types of identifiers that are addresses on a channel, the best first."""
    return ("phone", "whatsapp_bsuid") if channel == "whatsapp" else (identifiers.type_of_address(channel, ""),)


def holder_of(
    records: Iterable[Record],
    merged: Mapping[Ref, int],
    owned: Callable[[Ident, Ref], bool],
    own_idents: Callable[[Ident], bool],
    shown: Collection[Ident],
) -> Holder:
    """Return the holder that the records of a contact make.

    ``merged`` tells when which of them was merged away, ``owned`` whether a record has the strongest claim on an
    identifier, ``own_idents`` whether the contact has; ``shown`` are the identifiers in the contact's fields.
    """
    by_ref = {record.ref: record for record in records}
    voices = {}
    held: set[Ident] = set()
    idle = idle_records(by_ref.values(), merged) if len(by_ref) > 1 else ()
    for ref, record in by_ref.items():
        about = [record] if record.kind != "edit" else [by_ref[one] for one in record.about() if one in by_ref]
        voices[ref] = Voice(record.kind == "guest", merged.get(ref), about, record.void_until)
        for ident, tie in record.ties().items():
            if (tie.role == CLAIM and ref not in idle) or (tie.role == EVIDENCE and owned(ident, ref)):
                held.add(ident)
    if len(held) < 2:
        return Holder(voices, list(held))
    return Holder(voices, sorted(held, key=lambda ident: (ident not in shown, not own_idents(ident), ident)))


def standing(holder: Holder, consents: Iterable[ConsentEntry]) -> list[ConsentEntry]:
    """Leave out what a person had said before asking to be forgotten. A refusal stands."""
    void = {ref: voice.void_until for ref, voice in holder.voices.items() if voice.void_until is not None}
    if not void:
        return list(consents)
    return [one for one in consents if one.status == "opted_out" or one.occurred > void.get(one.ref, -1)]


def permissions(
    holder: Holder,
    consents: Iterable[ConsentEntry],
    suppressed: Iterable[SuppressionEntry],
    now: datetime | None = None,
) -> Permissions:
    """Work out what counts for a contact.

    ``consents`` are all statements about its addresses and by its records, ``suppressed`` all about its addresses.
    """
    by_key: dict[Key, list[ConsentEntry]] = defaultdict(list)
    for entry in standing(holder, consents):
        by_key[entry.channel, entry.purpose].append(entry)
    found = Permissions()
    for key, entries in by_key.items():
        said = _Said(holder, key[0], _news(entries))
        if rulings := said.rulings(now):
            found.rulings[key] = rulings
        for address, yes in said.yes.items():
            times = [entry.occurred for entry in yes if not holder.voices[entry.ref].is_guest]
            found.opted_in[(*key, address)] = max(times, default=0)
    found.suppressions = suppressions(suppressed, found.opted_in)
    return found


def _news(entries: Sequence[ConsentEntry]) -> list[ConsentEntry]:
    """Leave out a "no" or "pending" that has no time of its own and that its record only repeats.

    Sources state the present status with every change of a customer. What has a time of its own is new at that time,
    and so is what was said to us directly; ``unknown`` is no status.
    """
    if len(entries) == 1:
        return list(entries)
    last: dict[tuple[Ref, str | None], str] = {}
    news = []
    for entry in sorted(entries, key=lambda e: e.strength):
        subject = (entry.ref, entry.address)
        is_repeated = entry.is_undated and not entry.is_fresh and last.get(subject) == entry.status
        if not is_repeated:
            news.append(entry)
        if entry.status != "unknown":
            last[subject] = entry.status
    return news


class _Said:
    """What was said on a channel for a purpose."""

    def __init__(self, holder: Holder, channel: str, entries: Iterable[ConsentEntry]) -> None:
        self.voices = holder.voices
        self.addresses = holder.addresses(channel)
        self.yes: dict[str, list[ConsentEntry]] = defaultdict(list)  #: of the contact's records, by address
        self.no: list[ConsentEntry] = []  #: of the contact's customers, about whatever address
        self.no_about: dict[str, list[ConsentEntry]] = defaultdict(list)  #: of others, by address
        self.unplaced: list[ConsentEntry] = []  #: every yes that named no address
        self.rest: list[ConsentEntry] = []  #: what opens and closes nothing, of the contact's records
        for entry in entries:
            voice = self.voices.get(entry.ref)
            if voice is None:
                if entry.status == "opted_out" and entry.address is not None:
                    self.no_about[entry.address].append(entry)
            elif entry.status == "opted_out":
                self._refuse(entry, voice, channel)
            elif voice.merged is None or entry.occurred <= voice.merged:
                if entry.status != "opted_in":
                    self.rest.append(entry)
                elif entry.address is not None:
                    self.yes[entry.address].append(entry)
                else:
                    self.unplaced.append(entry)
                    for address in voice.meant_by(channel, entry.occurred):
                        self.yes[address].append(entry)

    def _refuse(self, entry: ConsentEntry, voice: Voice, channel: str) -> None:
        if not voice.is_guest:
            self.no.append(entry)
        elif entry.address is not None:
            self.no_about[entry.address].append(entry)
        else:
            for key in voice.gave(channel):
                self.no_about[key].append(entry)

    def rulings(self, now: datetime | None) -> list[Ruling]:
        """Return what counts for each address; for none, if the contact has none; nothing if nobody said anything."""
        asked: Sequence[str | None] = self.addresses or [None]
        found = [self._rule(address, now) for address in asked]
        return found if any(ruling.statement is not None for ruling in found) else []

    def _rule(self, address: str | None, now: datetime | None) -> Ruling:
        refusing = self.no + (self.no_about.get(address, []) if address is not None else [])
        others = [entry for entry in self.rest if entry.address in (None, address)]
        pending = [entry for entry in others if entry.status == "pending"]
        # A record that waits for a confirmation takes back the yes that it gave before.
        yes = [
            entry
            for entry in (self.unplaced if address is None else self.yes.get(address, ()))
            if not any(later.ref == entry.ref and later.occurred >= entry.occurred for later in pending)
        ]
        standing = self._unanswered(refusing, yes)
        if standing:
            return Ruling(address, is_refused=True, statement=_newest(standing))
        lasting = [entry for entry in yes if not _is_over(entry, now)]
        if lasting and not self._unanswered(refusing, lasting):
            yes = lasting
        return Ruling(address, is_refused=False, statement=_newest(yes or pending or others))

    def _unanswered(self, refusing: Iterable[ConsentEntry], yes: Iterable[ConsentEntry]) -> list[ConsentEntry]:
        """Return the refusals that no later yes has answered. A guest's yes answers only guests."""
        of_customers = max((e.occurred for e in yes if not _is_of_guest(e)), default=-1)
        of_anybody = max((e.occurred for e in yes), default=-1)
        return [e for e in refusing if e.occurred >= (of_anybody if _is_of_guest(e) else of_customers)]


def _is_of_guest(entry: ConsentEntry) -> bool:
    return kind_of(entry.ref) == "guest"


def _newest(entries: Sequence[ConsentEntry]) -> ConsentEntry | None:
    return max(entries, key=lambda entry: entry.strength, default=None)


def first_statement(counting: ConsentEntry, statements: Iterable[ConsentEntry]) -> ConsentEntry:
    """Return the first statement with this content.

    A later statement that repeats it is shown with the first one's time and method.
    """
    if not counting.is_repeat:
        return counting
    about = (counting.channel, counting.purpose, counting.address or counting.ref, counting.status)
    same = [s for s in statements if (s.channel, s.purpose, s.address or s.ref, s.status) == about and not s.is_repeat]
    return max(same, key=lambda s: s.strength, default=counting)


def is_allowed(ruling: Ruling, purpose: str) -> bool:
    """Whether what was said lets a message go to an address: marketing needs a yes, other purposes only no "no"."""
    return not ruling.is_refused and (purpose != "marketing" or ruling.status == "opted_in")


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether a message may be sent, to which address, and what decided it."""

    sendable: bool
    reason: (
        str  #: no_address, suppressed, no_consent, consent_expired, opted_out, pending, unknown, opted_in, not_refused
    )
    address: str | None = None
    consent: ConsentEntry | None = None
    suppression: Suppression | None = None


def verdict(holder: Holder, found: Permissions, key: Key, now: datetime) -> Verdict:
    """Decide whether a contact may be written to on a channel for a purpose.

    A suppression beats every consent. Marketing needs an opt-in that has not expired; for other purposes it is enough
    that the person has not refused.
    """
    ruling = found.shown(key, now, holder.addresses(key[0]))
    said = ruling.statement
    if ruling.address is None:
        return Verdict(False, "no_address", None, said)
    if blocking := found.blocking(key, ruling.address, now):
        return Verdict(False, "suppressed", ruling.address, said, blocking)
    if key[1] != "marketing" and not ruling.is_refused:
        return Verdict(True, "not_refused", ruling.address, said)
    status = "no_consent" if said is None else said.status
    if status == "opted_in" and _is_over(said, now):
        status = "consent_expired"
    return Verdict(status == "opted_in", status, ruling.address, said)


def _is_over(statement: ConsentEntry | None, now: datetime | None) -> bool:
    return (
        now is not None and statement is not None and statement.expires_at is not None and statement.expires_at <= now
    )


def _is_active(suppression: Suppression, now: datetime | None) -> bool:
    return suppression.lifted is None if now is None else suppression.is_active(now)
