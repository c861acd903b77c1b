"""Statements: what one envelope says, in normal form."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from worker.domain.terms import Decision, Kind, Ref, Stamp


@dataclass(slots=True)
class ProfileStatement:
    """Registers to set: profile fields by name, ``@slot`` for identifiers (a Claim or None)."""

    stamp: Stamp
    registers: Mapping[str, Any]
    exists: bool = True


@dataclass(slots=True)
class RemovalStatement:
    """The source deleted the customer."""

    stamp: Stamp


@dataclass(slots=True)
class TagsStatement:
    """Tags put on (``present``) or taken off; names by their case-folded key."""

    stamp: Stamp
    tags: Mapping[str, str]
    present: bool


@dataclass(slots=True)
class TagSnapshotStatement:
    """The customer's tags, all of them."""

    stamp: Stamp
    tags: Mapping[str, str]


RecordStatement = ProfileStatement | RemovalStatement | TagsStatement | TagSnapshotStatement


class ConsentStatement(NamedTuple):
    """A row of the consent ledger to be."""

    channel: str
    purpose: str
    address: str | None  #: normalised; None: it belongs to the record
    status: str
    occurred: int  #: microseconds, 0 for a baseline
    ref: Ref
    method: str | None
    evidence: Mapping[str, str]
    origin: str | None = None
    legal_basis: str | None = None
    expires_at: datetime | None = None
    is_repeat: bool = False


class SuppressionStatement(NamedTuple):
    """A row of the suppression ledger to be."""

    channel: str
    address: str
    scope: str
    reason: str
    is_lift: bool
    occurred: int
    expires_at: datetime | None
    ref: Ref
    origin: str | None = None
    note: str | None = None


class Note(NamedTuple):
    """A note to be."""

    ref: Ref  #: the record it stays with
    position: int  #: in its envelope
    body: str
    written: int
    author_type: str
    author_id: str | None
    author_name: str | None


class PrivacyRequest(NamedTuple):
    """A person's or shop's request that a source passed on."""

    kind: str  #: export, erase_customer, erase_shop, erase_contact
    external_id: str | None
    occurred: int
    #: what a contact held when it was to be erased: ``records`` [[source, external_id]], ``identifiers`` [[type, key]]
    subjects: Mapping[str, Any] | None = None


@dataclass(slots=True)
class EnvelopeStatements:
    """What one envelope says, in normal form."""

    envelope_id: UUID
    source: str
    #: statements by record; a record that is only mentioned has an empty list
    records: dict[Ref, list[RecordStatement]] = field(default_factory=dict)
    kinds: dict[Ref, Kind] = field(default_factory=dict)
    #: identifiers the envelope states, wherever they end up; what a writer locks
    idents: set[tuple[str, str]] = field(default_factory=set)
    consents: list[ConsentStatement] = field(default_factory=list)
    suppressions: list[SuppressionStatement] = field(default_factory=list)
    decisions: list[Decision] = field(default_factory=list)
    privacy_requests: list[PrivacyRequest] = field(default_factory=list)
    notes: list[Note] = field(default_factory=list)
    revoked: int | None = None  #: microseconds

    @property
    def is_empty(self) -> bool:
        """Whether the envelope says nothing that we follow."""
        return not (self.records or self.privacy_requests) and self.revoked is None
