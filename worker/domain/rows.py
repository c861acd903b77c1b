"""Rows: records, claims and contacts as they are stored, and as they are to be stored."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from worker.domain.record import Record
from worker.domain.terms import CLAIM, Ident, Ref


@dataclass(slots=True)
class RecordRow:
    """A record as stored; ``version`` is 0 for one that is not stored yet."""

    id: UUID
    record: Record
    version: int = 0
    contact_id: UUID | None = None
    merged: int | None = None
    is_oversize: bool = False
    joined: UUID | None = None

    @property
    def ref(self) -> Ref:
        """The customer at its source."""
        return (self.record.source, self.record.external_id)

    @property
    def placement(self) -> "Placement":
        """Where it was put when it was stored."""
        return Placement(self.contact_id, self.merged, self.is_oversize, self.joined)

    @property
    def since(self) -> UUID:
        """Sort records by how long they have been in their contact; ids are minted in the order of time."""
        return self.joined or self.id


class ClaimRow(NamedTuple):
    """A claim as stored."""

    type: str
    key: str
    record_id: UUID
    source: str
    is_customer: bool
    value: str
    is_verified: bool
    is_owner: bool
    is_contested: bool
    role: int = CLAIM  #: how it ties the record to others; see ``terms.Tie``

    @property
    def ident(self) -> Ident:
        """What is claimed."""
        return (self.type, self.key)


@dataclass(slots=True)
class ContactRow:
    """A contact as stored; times are None until it is."""

    id: UUID
    name: str | None
    email: str | None
    phone_number: str | None
    external_source: str
    external_id: str
    custom_fields: dict[str, Any]
    tags: list[str]
    first_id: UUID  #: the place in lists
    #: what it shows beside its fields, by the names of the change log: consents, suppressions, further identifiers
    shown: dict[str, str] = field(default_factory=dict)
    created_at: datetime | None = None
    updated_at: datetime | None = None


#: the values of a contact, as its insert takes them
EncodedContact = tuple[UUID, str | None, str | None, str | None, str, str, bytes, str, UUID]


class Placement(NamedTuple):
    """Where resolve puts a record."""

    contact_id: UUID | None
    merged: int | None  #: when its source merged it away, microseconds; None: it did not
    is_oversize: bool  #: its component is too large for its identifiers to join it
    joined: UUID | None  #: minted when it came to its contact; None: it has been there since its own id was minted


class RecordWrite(NamedTuple):
    """A record to be stored."""

    row: RecordRow
    state: bytes  #: as ``fold.encode`` has it, in JSON
    placement: Placement


class TermsChange(NamedTuple):
    """A contact whose search terms may change: its name and tags before and after; None: it is not there."""

    contact_id: UUID
    before: tuple[str | None, list[str]] | None
    after: tuple[str | None, list[str]] | None
