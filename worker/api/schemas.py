"""Shapes of the Contacts API: what is asked, what is answered, field by field in this order."""

from datetime import datetime
from hashlib import blake2b
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationInfo,
    field_validator,
    model_validator,
)

from worker import identifiers, ids, standing, view
from worker.api.paging import Paging
from worker.fold import envelope_of, moment
from worker.identifiers import Address
from worker.store.contacts import ContactRow

IdentifierType = Literal[
    "contact_id",
    "phone",
    "whatsapp",
    "wa_id",
    "email",
    "external_id",
    "whatsapp_bsuid",
    "telegram",
    "messenger",
    "instagram",
    "line",
    "viber",
]
MAX_IDENTIFIERS = 20


def _without_nul(text: str) -> str:
    if "\x00" in text:
        raise ValueError("must not contain NUL")
    return text


#: a value that may name something in the store
Value = Annotated[str, StringConstraints(min_length=1, max_length=512), AfterValidator(_without_nul)]


def read_phone(text: str) -> Address | None:
    """Read a number with or without its plus; None if it is none."""
    text = text.strip()
    found = identifiers.phone(text, None)
    if found is None and text[:1].isdigit():
        found = identifiers.phone("+" + text, None)
    return found


class Filters(Paging):
    """Query of the list of contacts; what is not listed here is refused rather than ignored."""

    model_config = ConfigDict(extra="forbid")

    phone_number: Value | None = None
    email: Value | None = None
    external_source: Value | None = None
    external_id: Value | None = None

    @field_validator("phone_number")
    @classmethod
    def _is_phone(cls, value: str | None) -> str | None:
        if value is not None and read_phone(value) is None:
            raise ValueError("not a phone number in international form")
        return value

    @field_validator("email")
    @classmethod
    def _is_email(cls, value: str | None) -> str | None:
        if value is not None and identifiers.email(value) is None:
            raise ValueError("not an e-mail address")
        return value

    @model_validator(mode="after")
    def _has_pair(self) -> "Filters":
        if (self.external_source is None) != (self.external_id is None):
            raise ValueError("external_source and external_id go together")
        return self

    def keys(self) -> list[tuple[str, str, str]]:
        """What the contacts must hold, as (type, source, key)."""
        keys = []
        if self.phone_number is not None and (phone := read_phone(self.phone_number)):
            keys.append(("phone", "", phone.key))
        if self.email is not None and (email := identifiers.email(self.email)):
            keys.append(("email", "", email.key))
        if self.external_source is not None and self.external_id is not None:
            keys.append(("external_id", self.external_source, self.external_id))
        return keys


class IdentifierIn(BaseModel):
    """Something that a caller knows of a contact."""

    type: IdentifierType
    value: Value
    source: Value | None = Field(None, description="Required for `external_id`", validate_default=True)

    @field_validator("source")
    @classmethod
    def _is_complete(cls, source: str | None, info: ValidationInfo) -> str | None:
        if source is None and info.data.get("type") == "external_id":
            raise ValueError("required for external_id")
        return source


class ResolveIn(BaseModel):
    """Identifiers of one contact; those that nobody has are ignored."""

    identifiers: list[IdentifierIn] = Field(min_length=1, max_length=MAX_IDENTIFIERS)


class Contact(BaseModel):
    """A contact."""

    id: str
    phone_number: str | None
    name: str | None
    email: str | None
    external_source: str
    external_id: str
    custom_fields: dict[str, Any]
    tags: list[str]
    created_at: datetime | None
    updated_at: datetime | None

    @classmethod
    def of(cls, row: ContactRow) -> "Contact":
        """Show a stored contact."""
        return cls(
            id=ids.show(ids.CONTACT, row.id),
            phone_number=row.phone_number,
            name=row.name,
            email=row.email,
            external_source=row.external_source,
            external_id=row.external_id,
            custom_fields=row.custom_fields,
            tags=row.tags,
            created_at=row.created_at,
            updated_at=row.updated_at,
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
    def of(cls, identity: view.Identity, contact_id: UUID) -> "Identity":
        """Show an identity of a contact."""
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
    def of(cls, tag: view.Tag, organization_id: UUID) -> "Tag":
        """Show a tag; its id is the same on every contact of the organization."""
        origin = tag.origin
        return cls(
            id=_id("tag", organization_id, tag.key),
            name=tag.name,
            color=None,
            assigned_at=None if origin is None else moment(origin.stamp.occurred),
            assigned_by=None,
            source=None if origin is None else origin.source,
            external_id=None if origin is None else origin.external_id,
            envelope_id=None if origin is None else ids.show(ids.ENVELOPE, envelope_of(origin.stamp)),
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
    def of(cls, consent: view.Consent, contact_id: UUID) -> "Consent":
        """Show what counts for a contact's channel and purpose."""
        said = consent.statement
        return cls(
            id=_id(ids.CONSENT, contact_id, said.channel, said.purpose),
            contact_id=ids.show(ids.CONTACT, contact_id),
            channel=said.channel,
            purpose=said.purpose,
            status=said.status,
            source=said.ref[0],
            method=said.method,
            occurred_at=moment(said.occurred),
            evidence=dict(said.evidence),
            legal_basis=None,
            expires_at=None,
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
    def of(cls, suppression: standing.Suppression, contact_id: UUID, now: datetime) -> "Suppression":
        """Show a suppression of one of a contact's addresses."""
        expires_at = suppression.expires_at
        return cls(
            id=ids.show(ids.SUPPRESSION, suppression.id),
            contact_id=ids.show(ids.CONTACT, contact_id),
            channel=suppression.channel,
            reason=suppression.reason,
            scope=suppression.scope,
            address=suppression.address,
            source=suppression.source,
            note=None,
            active=suppression.lifted is None and (expires_at is None or expires_at > now),
            expires_at=expires_at,
            first_seen_at=moment(suppression.first_seen),
            last_seen_at=moment(suppression.last_seen),
            lifted_at=moment(suppression.lifted or 0),
            event_count=suppression.count,
            created_at=suppression.created_at,
            updated_at=suppression.updated_at,
            envelope_ids=[ids.show(ids.ENVELOPE, id_) for id_ in suppression.envelope_ids],
        )


class Meta(BaseModel):
    """Where the list goes on."""

    next_cursor: str | None = None  #: None on the last page


class ContactAnswer(BaseModel):
    """One contact."""

    data: Contact


class ContactList(BaseModel):
    """A page of contacts, newest first."""

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


def _id(prefix: str, within: UUID, *parts: str) -> str:
    """Name what has no row of its own: the same thing always has the same id."""
    digest = blake2b("\x00".join(parts).encode(), digest_size=16, key=within.bytes)
    return f"{prefix}_{digest.hexdigest()}"
