"""Pages of lists: keyset on the id, newest first, behind a cursor that callers treat as opaque."""

from base64 import urlsafe_b64decode, urlsafe_b64encode
from binascii import Error
from uuid import UUID

from pydantic import BaseModel, Field, field_validator

DEFAULT_LIMIT = 50
MAX_LIMIT = 100
#: leads every cursor, so that a later order can tell its own from these
_BELOW_ID = b"\x01"


class Paging(BaseModel):
    """Which page of a list is wanted."""

    limit: int = Field(DEFAULT_LIMIT, ge=1, le=MAX_LIMIT)
    cursor: str | None = Field(None, max_length=100, description="`meta.next_cursor` of the page before")

    @field_validator("cursor")
    @classmethod
    def _is_ours(cls, cursor: str | None) -> str | None:
        if cursor is not None:
            read(cursor)
        return cursor

    @property
    def before(self) -> UUID | None:
        """The id that the page stays below; None for the first page."""
        return None if self.cursor is None else read(self.cursor)


def write(last: UUID) -> str:
    """Write the cursor of the page below an id."""
    return urlsafe_b64encode(_BELOW_ID + last.bytes).decode().rstrip("=")


def read(cursor: str) -> UUID:
    """Read a cursor; raises ValueError for what we did not write."""
    try:
        packed = urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4))
    except (Error, ValueError):
        packed = b""
    if len(packed) != 17 or packed[:1] != _BELOW_ID:
        raise ValueError("not a cursor of this list")
    return UUID(bytes=packed[1:])
