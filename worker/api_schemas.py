"""Schemas: the JSON of the Contacts API, which exports write, too. The order of the fields is the order in the JSON."""

from base64 import urlsafe_b64decode, urlsafe_b64encode
from datetime import datetime
from hashlib import blake2b
from typing import Any, Literal
from uuid import UUID

from pydantic import BaseModel

from worker import ids
from worker.domain import consent as consent_rules
from worker.domain.rows import ContactRow
from worker.domain.terms import API_SOURCE, GUEST, envelope_of
from worker.domain.times import microseconds, moment
from worker.pipeline import contact_view
from worker.store.former_contacts import FormerContactRow


class Contact(BaseModel):
    """A contact."""

    id: str
    phone_number: str | None
    name: str | None
    email: str | None
    external_source: str | None  #: null for somebody whom no source has given a customer number
    external_id: str | None
    custom_fields: dict[str, Any]
    tags: list[str]
    created_at: datetime
    updated_at: datetime

    @classmethod
    def of(cls, row: ContactRow) -> "Contact":
        """Return the JSON of a stored contact."""
        has_number = row.external_source != API_SOURCE and not row.external_id.startswith(GUEST)
        assert row.updated_at is not None  # noqa: S101 - it is stored
        return cls(
            id=ids.show(ids.CONTACT, row.id),
            phone_number=row.phone_number,
            name=row.name,
            email=row.email,
            external_source=row.external_source if has_number else None,
            external_id=row.external_id if has_number else None,
            custom_fields=row.custom_fields,
            tags=row.tags,
            created_at=contact_view.born(row.first_id),
            updated_at=row.updated_at,
        )


class RemovedContact(BaseModel):
    """A contact that was removed, merged or erased."""

    id: str
    updated_at: datetime
    removed: Literal[True]
    merged_into: str | None  #: the contact that took over; it may be gone as well, and then has a later row

    @classmethod
    def of(cls, row: FormerContactRow) -> "RemovedContact":
        """Return the JSON of a contact that is gone."""
        into = row.merged_into
        return cls(
            id=ids.show(ids.CONTACT, row.id),
            updated_at=row.updated_at,
            removed=True,
            merged_into=None if into is None else ids.show(ids.CONTACT, into),
        )


class Identity(BaseModel):
    """An identifier that leads to the contact."""

    id: str
    type: str
    value: str
    source: str | None
    channel_id: str | None
    is_primary: bool
    verified: bool
    contested: bool  #: records of another contact claim it too
    first_seen_at: datetime | None  #: of the statements that stand, by the sources' clocks
    last_seen_at: datetime | None
    created_at: datetime

    @classmethod
    def of(cls, identity: contact_view.Identity, contact_id: UUID) -> "Identity":
        """Return the JSON of an identity of a contact."""
        return cls(
            id=_id("idn", contact_id, identity.type, identity.source, identity.key),
            type=identity.type,
            value=identity.value,
            source=identity.source or None,
            channel_id=None,
            is_primary=identity.is_primary,
            verified=identity.is_verified,
            contested=identity.is_contested,
            first_seen_at=identity.first_seen_at,
            last_seen_at=identity.last_seen_at,
            created_at=identity.created_at,
        )


class Consent(BaseModel):
    """What counts for a channel and purpose, and the statement that decided it."""

    id: str
    contact_id: str
    channel: str
    purpose: str
    status: str
    source: str
    method: str | None
    occurred_at: datetime | None
    evidence: dict[str, str]
    legal_basis: str | None
    expires_at: datetime | None
    created_at: datetime
    updated_at: datetime
    address: str | None
    external_id: str
    envelope_id: str | None

    @classmethod
    def of(cls, consent: contact_view.CountingConsent, contact_id: UUID) -> "Consent":
        """Return the JSON of the consent that counts for a channel and purpose."""
        said = consent.statement
        return cls(
            id=_id(ids.CONSENT, contact_id, said.channel, said.purpose),
            contact_id=ids.show(ids.CONTACT, contact_id),
            channel=said.channel,
            purpose=said.purpose,
            status=said.status,
            source=said.origin or said.ref[0],
            method=said.method,
            occurred_at=moment(said.occurred),
            evidence=dict(said.evidence),
            legal_basis=said.legal_basis,
            expires_at=said.expires_at,
            created_at=consent.created_at,
            updated_at=said.created_at,
            address=said.address,
            external_id=said.ref[1],
            envelope_id=None if said.envelope_id is None else ids.show(ids.ENVELOPE, said.envelope_id),
        )


class Suppression(BaseModel):
    """An address of the contact that must not be used, or had not to be."""

    id: str
    contact_id: str
    channel: str
    reason: str
    scope: str
    address: str
    source: str
    note: str | None
    active: bool
    expires_at: datetime | None
    first_seen_at: datetime | None
    last_seen_at: datetime | None
    lifted_at: datetime | None
    event_count: int
    created_at: datetime
    updated_at: datetime
    envelope_ids: list[str]

    @classmethod
    def of(cls, suppression: consent_rules.Suppression, contact_id: UUID, now: datetime) -> "Suppression":
        """Return the JSON of a suppression of one of a contact's addresses."""
        return cls(
            id=ids.show(ids.SUPPRESSION, suppression.id),
            contact_id=ids.show(ids.CONTACT, contact_id),
            channel=suppression.channel,
            reason=suppression.reason,
            scope=suppression.scope,
            address=suppression.address,
            source=suppression.source,
            note=suppression.note,
            active=suppression.is_active(now),
            expires_at=suppression.expires_at,
            first_seen_at=moment(suppression.first_seen),
            last_seen_at=moment(suppression.last_seen),
            lifted_at=moment(suppression.lifted or 0),
            event_count=suppression.count,
            created_at=suppression.created_at,
            updated_at=suppression.updated_at,
            envelope_ids=[ids.show(ids.ENVELOPE, id_) for id_ in suppression.envelope_ids],
        )


def _id(prefix: str, within: UUID, *parts: str) -> str:
    """Return the id of something that has no row of its own; the same thing always has the same id."""
    digest = blake2b("\x00".join(parts).encode(), digest_size=16, key=within.bytes)
    return f"{prefix}_{digest.hexdigest()}"


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
        """Return the JSON of a tag. The tag has the same id on every contact."""
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

    data: list[Contact | RemovedContact]  #: contacts only, unless the others are asked for
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
    sqlstate: str | None = None
    details: list[Detail] | None = None


class BatchRow(BaseModel):
    """The answer to one row: its contact, or the error that it would have been answered with alone."""

    index: int  #: of the row in the request, from 0
    status: int  #: as of a request about this row alone
    contact: Contact | None = None
    error: Problem | None = None


class BatchAnswer(BaseModel):
    """The answers to all rows, in their order."""

    data: list[BatchRow]


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
