"""Ids: UUIDv7 in the store; outside, an opaque text with a prefix (``cnt_…``, ``con_…``, ``env_…``)."""

from datetime import datetime
from hashlib import blake2b
from uuid import UUID, SafeUUID

from uuid_utils import uuid7

CONTACT, CONNECTION, ENVELOPE, KEY = "cnt", "con", "env", "key"
CHANNEL = "chn"
NOTE, CONSENT, SUPPRESSION, CHANGE, PRIVACY_REQUEST = "nte", "cst", "sup", "chg", "prv"
RUN = "run"

# A UUID has two slots, and its class forbids setting them as attributes.
_set_int, _set_is_safe = (vars(UUID)[slot].__set__ for slot in ("int", "is_safe"))
_IS_SAFE = SafeUUID.unknown  # the attribute of an enum class is a call each time


def new() -> UUID:
    """Return a new id (UUIDv7); ids of one process sort by the time of their creation."""
    id_ = object.__new__(UUID)
    _set_int(
        id_, uuid7().int
    )  # the constructor costs four times as much, for checks we do not need; a customer takes five ids
    _set_is_safe(id_, _IS_SAFE)
    return id_


def first_at(moment: datetime) -> UUID:
    """Return the lowest id of a time: ids that were made earlier are lower."""
    milliseconds = int(moment.timestamp() * 1000)
    return UUID(int=(milliseconds << 80) | (7 << 76) | (2 << 62))


def within(parent: UUID, position: int) -> UUID:
    """Return the id of a part of ``parent``: always the same for the same position, with the parent's time."""
    digest = blake2b(parent.bytes + position.to_bytes(8, "big"), digest_size=8).digest()
    low = int.from_bytes(digest, "big") & ((1 << 62) - 1)
    return UUID(int=(parent.int >> 62 << 62) | low)


def show(prefix: str, value: UUID) -> str:
    """Return an id as text for the outside."""
    return f"{prefix}_{value.hex}"


def parse(prefix: str, text: str) -> UUID | None:
    """Parse an id from outside; None for any text that ``show`` did not return for this prefix."""
    start, _, rest = text.partition("_")
    if start != prefix or len(rest) != 32 or not rest.isalnum() or not rest.isascii():
        return None
    try:
        return UUID(hex=rest)
    except ValueError:
        return None
