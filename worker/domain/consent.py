"""Consent: what the ledgers add up to, and whether a message may be sent.

For each address the newest statement counts; of two with the same time, the more restrictive one. A contact shows, for
each (channel, purpose), the most restrictive consent of its addresses and its own records. ``unknown`` replaces
nothing. A record that its source merged away can still say no, but not yes.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from worker.domain.terms import Ref

#: the higher, the more restrictive
RESTRICTIVENESS = {"unknown": 0, "opted_in": 1, "pending": 2, "opted_out": 3}
#: reasons that a newer opt-in of the address lifts. A bounce or a complaint is no wish of the person, and stays
LIFTED_BY_OPT_IN = frozenset({"unsubscribed", "stop_keyword"})

Key = tuple[str, str]  #: (channel, purpose)


def rank(status: str, occurred: int) -> tuple[bool, int, int]:
    """Rank the statements about one address: ``unknown`` last, then by time, then by how restrictive they are."""
    return (status != "unknown", occurred, RESTRICTIVENESS[status])


@dataclass(frozen=True, slots=True, kw_only=True)
class ConsentEntry:
    """A row of the consent ledger."""

    id: UUID
    channel: str
    purpose: str
    address: str | None
    status: str
    occurred: int  #: microseconds, 0 for a baseline
    ref: Ref
    method: str | None
    evidence: Mapping[str, str]
    envelope_id: UUID | None
    created_at: datetime
    is_lost: bool  #: its record was merged away by its source
    origin: str | None = None  #: where it was given, if not at the source itself
    legal_basis: str | None = None
    expires_at: datetime | None = None
    is_repeat: bool = False  #: it repeats the status that counted already

    @property
    def strength(self) -> tuple[bool, int, int, int, Ref, str, list[tuple[str, str]], tuple[str, str, str]]:
        """Rank the statements about one address; two that differ never rank equal."""
        occurred = 0 if self.is_lost and self.status != "opted_out" else self.occurred
        return (
            *rank(self.status, occurred),
            self.occurred,
            self.ref,
            self.method or "",
            sorted(self.evidence.items()),
            (self.origin or "", self.legal_basis or "", str(self.expires_at)),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class SuppressionEntry:
    """A row of the suppression ledger."""

    id: UUID
    channel: str
    address: str
    scope: str
    reason: str
    is_lift: bool
    occurred: int
    expires_at: datetime | None
    ref: Ref
    envelope_id: UUID | None
    created_at: datetime
    origin: str | None = None  #: as in :class:`Statement`
    note: str | None = None


@dataclass(slots=True)
class Suppression:
    """An address that must not be used, or that must not have been used for a while."""

    id: UUID
    channel: str
    address: str
    scope: str
    reason: str
    source: str
    first_seen: int
    last_seen: int
    lifted: int | None  #: when it was lifted, microseconds; None while it counts
    expires_at: datetime | None
    count: int
    created_at: datetime
    updated_at: datetime
    envelope_ids: list[UUID] = field(default_factory=list)
    note: str | None = None

    def is_active(self, now: datetime) -> bool:
        """Whether it counts at a moment."""
        return self.lifted is None and (self.expires_at is None or self.expires_at > now)


def counting_by_address(statements: Iterable[ConsentEntry]) -> dict[tuple[str, str, str | Ref], ConsentEntry]:
    """Return the statement that counts, by (channel, purpose, address); by record, where there is no address."""
    winners: dict[tuple[str, str, str | Ref], ConsentEntry] = {}
    for statement in statements:
        key = (statement.channel, statement.purpose, statement.address or statement.ref)
        known = winners.get(key)
        if known is None or statement.strength > known.strength:
            winners[key] = statement
    return winners


def first_statement(counting: ConsentEntry, statements: Iterable[ConsentEntry]) -> ConsentEntry:
    """Return the first statement with this content.

    A later statement that repeats it is shown with the first one's time and method.
    """
    if not counting.is_repeat:
        return counting
    about = (counting.channel, counting.purpose, counting.address or counting.ref, counting.status)
    same = [s for s in statements if (s.channel, s.purpose, s.address or s.ref, s.status) == about and not s.is_repeat]
    return max(same, key=lambda s: s.strength, default=counting)


def shown_by_contact(statements: Iterable[ConsentEntry]) -> dict[Key, ConsentEntry]:
    """Return what a contact shows, by (channel, purpose), from every statement about its addresses and records."""
    shown: dict[Key, ConsentEntry] = {}
    for (channel, purpose, _), statement in counting_by_address(statements).items():
        known = shown.get((channel, purpose))
        if known is None or _restriction(statement) > _restriction(known):
            shown[channel, purpose] = statement
    return shown


def suppressions(statements: Iterable[SuppressionEntry], consents: Iterable[ConsentEntry] = ()) -> list[Suppression]:
    """Add up the suppressions of some addresses; ``consents`` are the statements about the same addresses."""
    opted_in: dict[tuple[str, str, str], int] = defaultdict(int)  # by (channel, address, purpose)
    for consent in consents:
        if consent.status == "opted_in" and consent.address and not consent.is_lost:
            key = (consent.channel, consent.address, consent.purpose)
            opted_in[key] = max(opted_in[key], consent.occurred)
    grouped: dict[tuple[str, str, str, str], list[SuppressionEntry]] = defaultdict(list)
    for statement in statements:
        grouped[statement.channel, statement.address, statement.scope, statement.reason].append(statement)
    found = []
    for (channel, address, scope, reason), group in sorted(grouped.items()):
        begun = sorted((s for s in group if not s.is_lift), key=_by_time)
        if not begun:
            continue
        lift = max((s.occurred for s in group if s.is_lift), default=0)
        if reason in LIFTED_BY_OPT_IN:
            lift = max(lift, opted_in[channel, address, "transactional" if scope == "transactional" else "marketing"])
        first, last = begun[0], begun[-1]
        found.append(
            Suppression(
                id=first.id,
                channel=channel,
                address=address,
                scope=scope,
                reason=reason,
                source=last.origin or last.ref[0],
                first_seen=first.occurred,
                last_seen=last.occurred,
                lifted=lift if lift > last.occurred else None,
                expires_at=last.expires_at,
                count=len(begun),
                created_at=min(s.created_at for s in begun),
                updated_at=max(s.created_at for s in group),
                envelope_ids=[s.envelope_id for s in begun if s.envelope_id is not None],
                note=last.note,
            )
        )
    return found


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether a message may be sent, and what decided it."""

    sendable: bool
    reason: (
        str  #: no_address, suppressed, no_consent, consent_expired, opted_out, pending, unknown, opted_in, not_refused
    )
    consent: ConsentEntry | None = None
    suppression: Suppression | None = None


def verdict(
    channel: str,
    purpose: str,
    address: str | None,
    consent: ConsentEntry | None,
    suppressed: Iterable[Suppression],
    now: datetime,
) -> Verdict:
    """Decide whether an address may be written to on a channel for a purpose.

    A suppression beats every consent. Marketing needs an opt-in that has not expired; for other purposes it is enough
    that the person has not refused.
    """
    if address is None:
        return Verdict(False, "no_address", consent)
    active = (s for s in suppressed if s.address == address and s.channel in (channel, "all") and s.is_active(now))
    for suppression in active:
        if suppression.scope == "all" or (suppression.scope == "marketing") == (purpose == "marketing"):
            return Verdict(False, "suppressed", consent, suppression)
    status = "no_consent" if consent is None else consent.status
    if consent is not None and consent.expires_at is not None and consent.expires_at <= now:
        status = "consent_expired" if status == "opted_in" else status
    if purpose != "marketing" and status != "opted_out":
        return Verdict(True, "not_refused", consent)
    return Verdict(status == "opted_in", status, consent)


def _by_time(s: SuppressionEntry) -> tuple[object, ...]:
    return (s.occurred, s.ref, str(s.expires_at), s.origin or "", s.note or "")


def _restriction(statement: ConsentEntry) -> tuple[int, tuple[object, ...], str]:
    return (RESTRICTIVENESS[statement.status], statement.strength, statement.address or "")
