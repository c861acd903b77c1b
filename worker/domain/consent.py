"""Consent: rows of the two ledgers, and what the statements about suppressed addresses add up to."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from worker.domain.terms import API_SOURCE, Ref

#: the higher, the more restrictive
RESTRICTIVENESS = {"unknown": 0, "opted_in": 1, "pending": 2, "opted_out": 3}
#: reasons that a newer opt-in of the address lifts. A bounce or a complaint is no wish of the person, and stays
LIFTED_BY_OPT_IN = frozenset({"unsubscribed", "stop_keyword"})


class ConsentEntry(NamedTuple):
    """A row of the consent ledger."""

    id: UUID
    key: bytes  #: the same statement twice has the same key
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
    origin: str | None = None  #: where it was given, if not at the source itself
    legal_basis: str | None = None
    expires_at: datetime | None = None
    is_repeat: bool = False  #: it repeats the status that counted already
    is_undated: bool = False  #: what closes and whose own time is unknown: ``occurred`` is when it was sent

    @property
    def strength(self) -> tuple[object, ...]:
        """Sort statements by time, then by how restrictive they are; two that differ never rank equal."""
        return (
            self.occurred,
            RESTRICTIVENESS[self.status],
            self.ref,
            self.address or "",
            self.method or "",
            sorted(self.evidence.items()),
            (self.origin or "", self.legal_basis or "", str(self.expires_at), self.is_repeat, self.is_undated),
        )

    @property
    def is_fresh(self) -> bool:
        """Whether it was said to us directly: then it is new, even if it repeats what was said before."""
        return self.ref[0] == API_SOURCE or self.origin is not None


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


def suppressions(
    statements: Iterable[SuppressionEntry], opted_in: Mapping[tuple[str, str, str], int] | None = None
) -> list[Suppression]:
    """Add up the suppressions of some addresses.

    ``opted_in`` is when the person opted in last, by (channel, purpose, address): that lifts what the person wished
    before. Of several suppressions without a lift between them the longest counts.
    """
    grouped: dict[tuple[str, str, str, str], list[SuppressionEntry]] = defaultdict(list)
    for statement in statements:
        grouped[statement.channel, statement.address, statement.scope, statement.reason].append(statement)
    found = []
    for (channel, address, scope, reason), group in sorted(grouped.items()):
        begun = sorted((s for s in group if not s.is_lift), key=_by_time)
        if not begun:
            continue
        lift = max((s.occurred for s in group if s.is_lift), default=0)
        if reason in LIFTED_BY_OPT_IN and opted_in:
            purpose = "transactional" if scope == "transactional" else "marketing"
            lift = max(lift, opted_in.get((channel, purpose, address), 0))
        first, last = begun[0], begun[-1]
        standing = [s.expires_at for s in begun if s.occurred >= lift]
        ends = [at for at in standing if at is not None]
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
                lifted=None if standing else lift,
                expires_at=(max(ends) if len(ends) == len(standing) else None) if standing else last.expires_at,
                count=len(begun),
                created_at=min(s.created_at for s in begun),
                updated_at=max(s.created_at for s in group),
                envelope_ids=[s.envelope_id for s in begun if s.envelope_id is not None],
                note=last.note,
            )
        )
    return found


def _by_time(s: SuppressionEntry) -> tuple[object, ...]:
    return (s.occurred, s.ref, str(s.expires_at), s.origin or "", s.note or "")
