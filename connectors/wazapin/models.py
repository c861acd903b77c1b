"""The API's answers as frozen dataclasses.

A server may send more or fewer fields than are listed here: a field that it leaves out has its default, and ``raw``
has all that it sent. Times are aware and in UTC. A value of an undocumented type counts as absent.
"""

from collections.abc import Callable, Mapping
from dataclasses import MISSING, dataclass, field, fields
from datetime import UTC, datetime
from typing import Any, Generic, TypeVar

T = TypeVar("T")
R = TypeVar("R", bound="Row")
Json = Mapping[str, Any]


@dataclass(frozen=True, kw_only=True, slots=True)
class Row:
    """An object of an answer."""

    raw: Json = field(default_factory=dict, repr=False, compare=False)  #: as answered


@dataclass(frozen=True, kw_only=True, slots=True)
class Contact(Row):
    """A person; an answer to ``resolve`` of the hosted API shows the first four fields only."""

    id: str
    phone_number: str | None = None  #: E.164
    name: str | None = None
    email: str | None = None
    external_source: str | None = None
    external_id: str | None = None
    custom_fields: Json = field(default_factory=dict)
    tags: tuple[str, ...] = ()
    created_at: datetime | None = None
    updated_at: datetime | None = None
    etag: str | None = None  #: for ``patch(if_match=…)``; contacts of a list have none
    #: the contact is gone, and only ``id``, ``updated_at`` and ``merged_into`` are answered; see ``Filters.include``
    removed: bool = False
    merged_into: str | None = None  #: id of the contact that took over; it may be gone as well, and then comes later


@dataclass(frozen=True, kw_only=True, slots=True)
class Identity(Row):
    """An identifier that leads to the contact."""

    id: str | None = None
    type: str | None = None
    value: str | None = None
    source: str | None = None
    channel_id: str | None = None
    is_primary: bool = False
    verified: bool = False
    contested: bool = False  #: records of another contact claim it too
    first_seen_at: datetime | None = None
    last_seen_at: datetime | None = None
    created_at: datetime | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Author(Row):
    """Who wrote a note."""

    type: str | None = None
    id: str | None = None
    name: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Note(Row):
    """A remark about the contact."""

    id: str | None = None
    contact_id: str | None = None
    body: str | None = None
    author: Author | None = None
    created_at: datetime | None = None
    updated_at: datetime | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Tag(Row):
    """A tag of the contact, and where it came from."""

    id: str | None = None
    name: str | None = None
    color: str | None = None
    source: str | None = None
    assigned_by: str | None = None
    assigned_at: datetime | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Consent(Row):
    """The consent that counts for one channel and purpose."""

    id: str | None = None
    contact_id: str | None = None
    channel: str | None = None
    purpose: str | None = None
    status: str | None = None  #: opted_in, opted_out, pending, unknown
    source: str | None = None
    method: str | None = None
    address: str | None = None  #: the address that it is for; None: it is for the contact's record at its source
    evidence: Json = field(default_factory=dict)
    legal_basis: str | None = None
    occurred_at: datetime | None = None  #: when the person decided
    expires_at: datetime | None = None
    created_at: datetime | None = None
    updated_at: datetime | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Suppression(Row):
    """An address of the contact that must not be used, or was not to be used until ``lifted_at``."""

    id: str | None = None
    contact_id: str | None = None
    channel: str | None = None
    reason: str | None = None
    scope: str | None = None  #: all, marketing, transactional
    address: str | None = None
    source: str | None = None
    note: str | None = None
    active: bool = True  #: also if the server leaves it out: a suppression counts until it is lifted
    expires_at: datetime | None = None
    first_seen_at: datetime | None = None
    last_seen_at: datetime | None = None
    lifted_at: datetime | None = None
    event_count: int | None = None
    created_at: datetime | None = None
    updated_at: datetime | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Sendability(Row):
    """Whether a contact may be written to on a channel, for a purpose."""

    contact_id: str | None = None
    channel: str | None = None
    purpose: str | None = None
    sendable: bool = False  #: also if the server leaves it out
    reason: str | None = None  #: a word for what decided
    address: str | None = None  #: the address that a message would go to
    consent: Consent | None = None
    suppression: Suppression | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class FieldChange(Row):
    """The change of one field; ``before`` and ``after`` are of any type."""

    field: str | None = None  #: ``name``, a custom field, ``tags``, ``consent:email:marketing``, ``merged_into`` …
    before: Any = None
    after: Any = None
    envelope_id: str | None = None  #: the envelope with the new value


@dataclass(frozen=True, kw_only=True, slots=True)
class Cause(Row):
    """The cause of a change."""

    envelope_id: str | None = None
    source: str | None = None
    topic: str | None = None
    actor: str | None = None  #: the API key, of a request
    sent_at: datetime | None = None
    received_at: datetime | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Change(Row):
    """One entry of a contact's timeline."""

    id: str | None = None
    contact_id: str | None = None
    kind: str | None = None  #: created, changed, merged, removed …
    changed_at: datetime | None = None
    fields: tuple[FieldChange, ...] = ()
    causes: tuple[Cause, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Profile(Row):
    """A person's profile as the provider shows it."""

    id: str | None = None
    name: str | None = None
    first_name: str | None = None
    last_name: str | None = None
    username: str | None = None
    avatar_url: str | None = None  #: a URL of the provider, which expires: do not store it
    avatar_expires_at: datetime | None = None
    locale: str | None = None
    country: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class ProfileLookup(Row):
    """The answer of a look-up at a channel's provider."""

    channel_id: str | None = None
    platform: str | None = None
    identity: Identity | None = None
    profile: Profile | None = None
    contact_id: str | None = None  #: the stored contact with this identity
    cached: bool = False
    fetched_at: datetime | None = None  #: when the provider answered


@dataclass(frozen=True, kw_only=True, slots=True)
class Page(Generic[T]):
    """A part of a list."""

    items: tuple[T, ...]
    next_cursor: str | None = None  #: of the next page; None on the last page


def read(kind: type[R], row: object) -> R:
    """Return an instance of ``kind`` with the fields in ``row``.

    Raises ValueError if ``row`` is not an object, or lacks a field without a default.
    """
    if not isinstance(row, dict):
        raise ValueError(f"{kind.__name__} is not an object")  # noqa: TRY004 - the body is wrong, not our code
    values: dict[str, Any] = {"raw": row}
    for slot in fields(kind):
        value = None if slot.name == "raw" else _CONVERTERS[slot.type](row.get(slot.name))
        if value is not None:
            values[slot.name] = value
        elif slot.default is MISSING and slot.default_factory is MISSING:
            raise ValueError(f"{kind.__name__} has no {slot.name}")
    return kind(**values)


def _text(value: object) -> str | None:
    if type(value) is int:  # some servers have numbers for ids
        return str(value)
    return value if isinstance(value, str) else None


def _time(value: object) -> datetime | None:
    if not isinstance(value, str):
        return None
    try:
        time = datetime.fromisoformat(value)
        time = time.astimezone(UTC) if time.tzinfo else time.replace(tzinfo=UTC)
    except (ValueError, OverflowError):
        return None
    return None if time.year == 1 else time  # Go writes a time that was never set so


def _texts(value: object) -> tuple[str, ...] | None:
    return tuple(item for item in value if isinstance(item, str)) if isinstance(value, list) else None


def _many(kind: type[R]) -> Callable[[object], tuple[R, ...] | None]:
    return lambda rows: (
        tuple(read(kind, row) for row in rows if isinstance(row, dict)) if isinstance(rows, list) else None
    )


def _one(kind: type[R]) -> Callable[[object], R | None]:
    return lambda value: read(kind, value) if isinstance(value, dict) else None


#: of each type of field above, the function that reads it; None from it means absent, or of another type
_CONVERTERS: dict[object, Callable[[object], object]] = {
    str: _text,
    str | None: _text,
    bool: lambda value: value if isinstance(value, bool) else None,
    int | None: lambda value: value if type(value) is int else None,
    datetime | None: _time,
    tuple[str, ...]: _texts,
    Json: lambda value: value if isinstance(value, dict) else None,
    Any: lambda value: value,
    Author | None: _one(Author),
    Consent | None: _one(Consent),
    Identity | None: _one(Identity),
    Profile | None: _one(Profile),
    Suppression | None: _one(Suppression),
    tuple[Cause, ...]: _many(Cause),
    tuple[FieldChange, ...]: _many(FieldChange),
}
