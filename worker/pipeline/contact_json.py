"""Contact JSON: a contact, and what is listed of it, field by field in this order; for the API and for exports."""

from datetime import datetime
from hashlib import blake2b
from typing import Any
from uuid import UUID

from pydantic import BaseModel

from worker import ids
from worker.domain import consent as consent_rules
from worker.domain.rows import ContactRow
from worker.domain.terms import API_SOURCE, GUEST
from worker.domain.times import moment
from worker.pipeline import contact_view


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
        """Show a stored contact."""
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
        """Show what counts for a contact's channel and purpose."""
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
        """Show a suppression of one of a contact's addresses."""
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
    """Name what has no row of its own: the same thing always has the same id."""
    digest = blake2b("\x00".join(parts).encode(), digest_size=16, key=within.bytes)
    return f"{prefix}_{digest.hexdigest()}"
