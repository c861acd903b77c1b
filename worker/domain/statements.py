"""Statements: what one envelope says, in normal form."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from worker.domain.terms import Decision, Ref, Stamp

#: how remarks begin that ask for no decision
LEFT_OUT, CLOCK_AHEAD = "left out: ", "clock ahead: "
_MOST_LEFT_OUT = 5  #: remarks about one envelope; the others are of the same kind


@dataclass(slots=True)
class ProfileStatement:
    """What a source says about a customer's profile: only the fields that it named."""

    stamp: Stamp
    registers: Mapping[str, Any]  #: profile fields by name, identifiers by ``@slot`` (a Claim or None)
    exists: bool = True  #: False for a side fact, which does not revive a removed customer


@dataclass(slots=True)
class RemovalStatement:
    """The source deleted the customer."""

    stamp: Stamp


@dataclass(slots=True)
class TagsStatement:
    """A change of a customer's tags."""

    stamp: Stamp
    tags: Mapping[str, str]  #: spelling by case-folded key
    present: bool  #: True: put on; False: taken off


@dataclass(slots=True)
class TagSnapshotStatement:
    """The whole set of a customer's tags."""

    stamp: Stamp
    tags: Mapping[str, str]  #: as in TagsStatement


RecordStatement = ProfileStatement | RemovalStatement | TagsStatement | TagSnapshotStatement


class ConsentStatement(NamedTuple):
    """What a source says about consent: one row of the consent ledger."""

    channel: str
    purpose: str
    address: str | None  #: in its normal form; None: the consent is the record's, whatever its address
    status: str
    occurred: int  #: microseconds, 0 for a baseline
    ref: Ref
    method: str | None
    evidence: Mapping[str, str]
    origin: str | None = None  #: where it was given, if not at the source itself
    legal_basis: str | None = None
    expires_at: datetime | None = None
    is_repeat: bool = False  #: it repeats the status that counted already
    is_undated: bool = False  #: what closes and whose own time is unknown: ``occurred`` is when it was sent


class SuppressionStatement(NamedTuple):
    """What a source says about an address that must not be used: one row of the suppression ledger."""

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
    """A note that somebody wrote about a person."""

    ref: Ref  #: the record that it stays with
    position: int  #: in its envelope
    body: str
    written: int  #: microseconds
    author_type: str
    author_id: str | None
    author_name: str | None


class PrivacyRequest(NamedTuple):
    """A request to see or to erase data, which a source passed on."""

    kind: str  #: export, erase_customer, erase_shop, erase_contact
    external_id: str | None
    occurred: int
    #: what the contact held when its erasure was asked for: ``records`` [[source, external_id]], ``identifiers``
    #: [[type, key]]
    subjects: Mapping[str, Any] | None = None


class DeletionStatement(NamedTuple):
    """A person was deleted through the API.

    Records of the same addresses stay removed until they state something newer.
    """

    digests: tuple[bytes, ...]  #: keyed hashes of the addresses that the person held
    occurred: int
    spared: frozenset[Ref]  #: records that claimed one of them then, and were other people's


@dataclass(slots=True)
class EnvelopeStatements:
    """What one envelope says, in normal form."""

    envelope_id: UUID
    source: str
    #: statements by record; a record that is only mentioned has an empty list
    records: dict[Ref, list[RecordStatement]] = field(default_factory=dict)
    #: every identifier that the envelope names; a writer locks them
    idents: set[tuple[str, str]] = field(default_factory=set)
    consents: list[ConsentStatement] = field(default_factory=list)
    suppressions: list[SuppressionStatement] = field(default_factory=list)
    decisions: list[Decision] = field(default_factory=list)
    deletion: DeletionStatement | None = None
    privacy_requests: list[PrivacyRequest] = field(default_factory=list)
    notes: list[Note] = field(default_factory=list)
    revoked: int | None = None  #: microseconds
    guest: Ref | None = None  #: the buyer without a customer that it tells of; what it says of nobody else is theirs
    #: registers of values that cannot be read, as ``email_as_given``
    unread: list[str] = field(default_factory=list)
    remark: str | None = None  #: what an operator has to decide about it, without values
    left_out: list[str] = field(default_factory=list)  #: texts that are too long or hostile: which, and why
    clamped: int = 0  #: times later than the envelope's ceiling: the source's clock is wrong

    @property
    def remarks(self) -> str | None:
        """Return what an operator should know of an envelope that counts, without values; None if there is nothing."""
        found = [] if self.remark is None else [self.remark]
        found += [LEFT_OUT + one for one in self.left_out[:_MOST_LEFT_OUT]]
        if self.clamped:
            found.append(f"{CLOCK_AHEAD}a time later than the arrival counts as the time of arrival")
        return "; ".join(found) or None

    @property
    def is_empty(self) -> bool:
        """Return whether the envelope names no record, makes no request and revokes nothing."""
        return not (self.records or self.privacy_requests) and self.revoked is None
