"""Answers of the Contacts API. The order of the fields is the order in the JSON.

The shapes that exports show too stand in ``pipeline/contact_json.py``.
"""

from base64 import urlsafe_b64decode, urlsafe_b64encode
from datetime import datetime

from pydantic import BaseModel

from worker import ids
from worker.domain.rows import ContactRow
from worker.domain.terms import envelope_of
from worker.domain.times import microseconds, moment
from worker.pipeline import contact_view
from worker.pipeline.contact_json import Consent, Contact, Identity, Suppression

#: beside what is defined here
__all__ = ["Consent", "Contact", "Identity", "Suppression"]


class Tag(BaseModel):
    """A tag of the contact, and where it came from."""

    id: str
    name: str
    color: str | None
    assigned_at: datetime | None
    assigned_by: str | None
    source: str | None
    external_id: str | None
    envelope_id: str | None

    @classmethod
    def of(cls, tag: contact_view.Tag) -> "Tag":
        """Return the answer for a tag. The tag has the same id on every contact."""
        origin = tag.origin
        return cls(
            id=tag_id(tag.key),
            name=tag.name,
            color=None,
            assigned_at=None if origin is None else moment(origin.stamp.occurred),
            assigned_by=None,
            source=None if origin is None else origin.source,
            external_id=None if origin is None else origin.external_id,
            envelope_id=None if origin is None else ids.show(ids.ENVELOPE, envelope_of(origin.stamp)),
        )


class Sendability(BaseModel):
    """Whether a message may be sent, and what decided."""

    contact_id: str
    channel: str
    purpose: str
    sendable: bool
    reason: str
    address: str | None
    consent: Consent | None
    suppression: Suppression | None


class Meta(BaseModel):
    """Where the list goes on."""

    next_cursor: str | None = None  #: None on the last page


class ContactAnswer(BaseModel):
    """One contact."""

    data: Contact


class TagAnswer(BaseModel):
    """The tag that was asked for, or the list of those."""

    data: Tag | list[Tag]


class ConsentAnswer(BaseModel):
    """One consent row."""

    data: Consent


class SuppressionAnswer(BaseModel):
    """One suppression."""

    data: Suppression


class SendabilityAnswer(BaseModel):
    """A verdict."""

    data: Sendability


class ContactList(BaseModel):
    """A page of contacts, newest first; with ``updated_after`` the oldest change first."""

    data: list[Contact]
    meta: Meta


class IdentityList(BaseModel):
    """All identities of a contact, the primary ones first."""

    data: list[Identity]
    meta: Meta = Meta()


class TagList(BaseModel):
    """All tags of a contact."""

    data: list[Tag]
    meta: Meta = Meta()


class ConsentList(BaseModel):
    """One row per channel and purpose."""

    data: list[Consent]
    meta: Meta = Meta()


class SuppressionList(BaseModel):
    """All suppressions of a contact's addresses."""

    data: list[Suppression]
    meta: Meta = Meta()


class Detail(BaseModel):
    """One thing that is wrong; of a conflict also the contact that the identifier leads to."""

    field: str
    reason: str
    type: str | None = None
    contact_id: str | None = None


class Problem(BaseModel):
    """Body of every error."""

    title: str
    status: int
    detail: str
    error: str
    code: str
    request_id: str
    details: list[Detail] | None = None


def tag_id(key: str) -> str:
    """Return the id of a tag with this case-folded name."""
    return "tag_" + urlsafe_b64encode(key.encode()).decode().rstrip("=")


def tag_key(shown: str) -> str | None:
    """Return the case-folded name in the id of a tag; None if the text is no such id."""
    prefix, _, packed = shown.partition("_")
    try:
        key = urlsafe_b64decode(packed + "=" * (-len(packed) % 4)).decode() if prefix == "tag" else ""
    except ValueError:
        return None
    return key if key and "\x00" not in key and tag_id(key) == shown else None


def etag(row: ContactRow) -> str:
    """Return the ETag of a contact's state. It changes whenever the contact does."""
    assert row.updated_at is not None  # noqa: S101 - it is stored
    return f'"{row.id.hex}-{microseconds(row.updated_at):x}"'
