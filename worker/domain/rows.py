"""Rows: records, claims and contacts as they are stored, and as they are to be stored."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from worker.domain.fold import Record
from worker.domain.terms import Ident, Ref


@dataclass(slots=True)
class RecordRow:
    """A record as stored; ``version`` is 0 for one that is not stored yet."""

    id: UUID
    record: Record
    version: int = 0
    contact_id: UUID | None = None
    is_lost: bool = False
    is_oversize: bool = False

    @property
    def ref(self) -> Ref:
        """The customer at its source."""
        return (self.record.source, self.record.external_id)

    @property
    def placement(self) -> "Placement":
        """Where it was put when it was stored."""
        return Placement(self.contact_id, self.is_lost, self.is_oversize)


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
    first_id: UUID  #: the first of its records' ids to be minted; the place in lists, whatever id it answers to
    created_at: datetime | None = None
    updated_at: datetime | None = None


#: the values of a contact, as its insert takes them
EncodedContact = tuple[UUID, str | None, str | None, str | None, str, str, bytes, str, UUID]


class Placement(NamedTuple):
    """Where resolve puts a record."""

    contact_id: UUID | None
    is_lost: bool  #: its source merged it away
    is_oversize: bool  #: its component is too large for its identifiers to join it


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
