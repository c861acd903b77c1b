"""Ids: UUIDv7 inside, an opaque prefixed text outside (``cnt_…``, ``con_…``, ``env_…``)."""

from hashlib import blake2b
from uuid import UUID, SafeUUID

from uuid_utils import uuid7

CONTACT, CONNECTION, ENVELOPE, KEY = "cnt", "con", "env", "key"
CHANNEL = "chn"
NOTE, CONSENT, SUPPRESSION, CHANGE, PRIVACY_REQUEST = "nte", "cst", "sup", "chg", "prv"
RUN = "run"

# A UUID is made of two slots, and refuses to have them set in the usual way.
_set_int, _set_is_safe = (vars(UUID)[slot].__set__ for slot in ("int", "is_safe"))
_IS_SAFE = SafeUUID.unknown  # looking it up is a call


def new() -> UUID:
    """Mint an id; ids of one process sort by time of birth."""
    id_ = object.__new__(UUID)
    _set_int(id_, uuid7().int)  # five a customer: the constructor would check what is right, at four times the cost
    _set_is_safe(id_, _IS_SAFE)
    return id_


def within(parent: UUID, position: int) -> UUID:
    """Name a part of something: the same part always has the same id, born when the whole was."""
    digest = blake2b(parent.bytes + position.to_bytes(8, "big"), digest_size=8).digest()
    low = int.from_bytes(digest, "big") & ((1 << 62) - 1)
    return UUID(int=(parent.int >> 62 << 62) | low)


def show(prefix: str, value: UUID) -> str:
    """Write an id for the outside."""
    return f"{prefix}_{value.hex}"


def parse(prefix: str, text: str) -> UUID | None:
    """Read an id from the outside; None for anything that we did not write."""
    start, _, rest = text.partition("_")
    if start != prefix or len(rest) != 32 or not rest.isalnum() or not rest.isascii():
        return None
    try:
        return UUID(hex=rest)
    except ValueError:
        return None
