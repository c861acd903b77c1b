"""Pages of lists: a cursor, opaque to callers, holds the key of the last row.

Most lists are in the order of their ids, newest first, because ids are made in the order of time. The feed of changes
is in the order of the last change, oldest first.
"""

from base64 import urlsafe_b64decode, urlsafe_b64encode
from binascii import Error
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import datetime
from typing import Annotated, ClassVar, NamedTuple, TypeVar
from uuid import UUID

from pydantic import BaseModel, Field, WithJsonSchema, field_validator

from worker.domain.times import EPOCH, microseconds, moment

DEFAULT_LIMIT = 50
MAX_LIMIT = 100
#: An answer has no more rows once it has so many bytes; the next page goes on.
MAX_BYTES = 4 * 1024 * 1024
#: First byte of a cursor: the order of the list that the cursor belongs to.
_BELOW_ID, _AFTER_CHANGE, _BELOW_ID_AT = b"\x01", b"\x02", b"\x03"
_NOT_OURS = "not a cursor of this list"

Row = TypeVar("Row")


Cursor = Annotated[str, Field(max_length=100), WithJsonSchema({"type": "string", "format": "cursor"})]


class Change(NamedTuple):
    """A key in the feed of changes: when a contact changed last, and its id."""

    updated_at: datetime
    id: UUID


class Place(NamedTuple):
    """A key in a list by id, and how far a replica has to be for the next page (``worker/api/replica.py``)."""

    id: UUID
    position: int | None = None


class Paging(BaseModel):
    """Which page of a list to answer."""

    limit: int = Field(DEFAULT_LIMIT, ge=1, le=MAX_LIMIT)
    cursor: Cursor | None = Field(None, description="`meta.next_cursor` of the page before")

    #: The orders of the list: by id, by last change, or both.
    _orders: ClassVar[tuple[type[Place | Change], ...]] = (Place,)

    @field_validator("cursor")
    @classmethod
    def _is_ours(cls, cursor: str | None) -> str | None:
        if cursor is not None and not isinstance(_parse(cursor), cls._orders):
            raise ValueError(_NOT_OURS)
        return cursor

    @property
    def before(self) -> UUID | None:
        """The page holds smaller ids than this; None for the first page, and for a cursor of the feed."""
        key = None if self.cursor is None else _parse(self.cursor)
        return key.id if isinstance(key, Place) else None

    @property
    def position(self) -> int | None:
        """How far a replica has to be to show the page; None if that does not matter."""
        key = None if self.cursor is None else _parse(self.cursor)
        return key.position if isinstance(key, Place) else None

    @property
    def after(self) -> Change | None:
        """The page holds later changes than this; None for the first page, and for a cursor of a list by id."""
        key = None if self.cursor is None else _parse(self.cursor)
        return key if isinstance(key, Change) else None


def fitting(rows: Sequence[Row], limit: int, size_of: Callable[[Row], int]) -> Sequence[Row]:
    """Return the first rows, at least one if there is one: at most ``limit``, and as many as fit into an answer."""
    size = 0
    for n, row in enumerate(rows[:limit]):
        size += size_of(row)
        if size > MAX_BYTES:
            return rows[: max(1, n)]
    return rows[:limit]


def write(last: UUID | Change, position: int | None = None) -> str:
    """Return the cursor of the page that follows the row with this key; a replica has to be at the position for it."""
    if isinstance(last, UUID):
        packed = _BELOW_ID + last.bytes if position is None else _BELOW_ID_AT + last.bytes + position.to_bytes(8, "big")
    else:
        packed = _AFTER_CHANGE + microseconds(last.updated_at).to_bytes(8, "big") + last.id.bytes
    return urlsafe_b64encode(packed).decode().rstrip("=")


def _parse(cursor: str) -> Place | Change:
    """Return the key in a cursor; raises ValueError if ``write`` did not make the cursor."""
    try:
        packed = urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4))
    except (Error, ValueError):
        packed = b""
    key: Place | Change | None = None
    if len(packed) == 17 and packed[:1] == _BELOW_ID:
        key = Place(UUID(bytes=packed[1:]))
    elif len(packed) == 25 and packed[:1] == _BELOW_ID_AT:
        key = Place(UUID(bytes=packed[1:17]), int.from_bytes(packed[17:], "big"))
    elif len(packed) == 25 and packed[:1] == _AFTER_CHANGE:
        with suppress(OverflowError):
            key = Change(moment(int.from_bytes(packed[1:9], "big")) or EPOCH, UUID(bytes=packed[9:]))
    if key is None or _written(key) != cursor:  # The decoder skips characters outside its alphabet.
        raise ValueError(_NOT_OURS)
    return key


def _written(key: Place | Change) -> str:
    return write(key) if isinstance(key, Change) else write(key.id, key.position)
