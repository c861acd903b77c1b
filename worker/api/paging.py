"""Pages of lists: keyset behind a cursor that callers treat as opaque.

Most lists go by the id, newest first: ids are minted in order of time. The feed of changes goes by the time of
the last change, oldest first.
"""

from base64 import urlsafe_b64decode, urlsafe_b64encode
from binascii import Error
from contextlib import suppress
from datetime import datetime
from typing import Annotated, ClassVar, NamedTuple
from uuid import UUID

from pydantic import BaseModel, Field, WithJsonSchema, field_validator

from worker.domain.times import EPOCH, microseconds, moment

DEFAULT_LIMIT = 50
MAX_LIMIT = 100
#: leads every cursor, so that each order can tell its own
_BELOW_ID, _AFTER_CHANGE = b"\x01", b"\x02"
_NOT_OURS = "not a cursor of this list"


Cursor = Annotated[str, Field(max_length=100), WithJsonSchema({"type": "string", "format": "cursor"})]


class Change(NamedTuple):
    """A place in the feed of changes."""

    updated_at: datetime
    id: UUID


class Paging(BaseModel):
    """Which page of a list is wanted."""

    limit: int = Field(DEFAULT_LIMIT, ge=1, le=MAX_LIMIT)
    cursor: Cursor | None = Field(None, description="`meta.next_cursor` of the page before")

    #: the orders that the list can go in
    _orders: ClassVar[tuple[type[UUID | Change], ...]] = (UUID,)

    @field_validator("cursor")
    @classmethod
    def _is_ours(cls, cursor: str | None) -> str | None:
        if cursor is not None and not isinstance(_read(cursor), cls._orders):
            raise ValueError(_NOT_OURS)
        return cursor

    @property
    def before(self) -> UUID | None:
        """The id that the page stays below; None for the first page, or for a cursor of another order."""
        place = None if self.cursor is None else _read(self.cursor)
        return place if isinstance(place, UUID) else None

    @property
    def after(self) -> Change | None:
        """The change that the page comes after; None as above."""
        place = None if self.cursor is None else _read(self.cursor)
        return place if isinstance(place, Change) else None


def write(last: UUID | Change) -> str:
    """Write the cursor of the page behind a place."""
    if isinstance(last, UUID):
        packed = _BELOW_ID + last.bytes
    else:
        packed = _AFTER_CHANGE + microseconds(last.updated_at).to_bytes(8, "big") + last.id.bytes
    return urlsafe_b64encode(packed).decode().rstrip("=")


def _read(cursor: str) -> UUID | Change:
    """Read a cursor; raises ValueError for what we did not write."""
    try:
        packed = urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4))
    except (Error, ValueError):
        packed = b""
    place: UUID | Change | None = None
    if len(packed) == 17 and packed[:1] == _BELOW_ID:
        place = UUID(bytes=packed[1:])
    elif len(packed) == 25 and packed[:1] == _AFTER_CHANGE:
        with suppress(OverflowError):
            place = Change(moment(int.from_bytes(packed[1:9], "big")) or EPOCH, UUID(bytes=packed[9:]))
    if place is None or write(place) != cursor:  # the decoder skips what is no letter of its own
        raise ValueError(_NOT_OURS)
    return place
