"""The endpoints, one function each: the request, and how its answer is read.

Reference: https://docsx.wazapin.com/api/reference-contacts. ``timeline``, ``sendability``, removing a tag, the batches,
``erase``, ``If-Match`` and ``Idempotency-Key`` are contactsync's own; the hosted API does not document them.
"""
# ruff: noqa: D103 - the docstrings are those of the clients' methods of the same names

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Literal, TypedDict
from uuid import uuid4

from connectors.contract import Channel, ConsentStatus, Scope, SuppressionReason
from connectors.wazapin import wire
from connectors.wazapin.batches import Outcome, outcomes
from connectors.wazapin.identifiers import Identifier
from connectors.wazapin.models import (
    Change,
    Consent,
    Contact,
    Identity,
    Note,
    Page,
    ProfileLookup,
    Sendability,
    Suppression,
    Tag,
)
from connectors.wazapin.wire import Call

Purpose = Literal["marketing", "transactional", "conversational"]


class ContactChanges(TypedDict, total=False):
    """Fields of a contact: an omitted field stays as it is, None clears it."""

    phone_number: str | None  #: international form
    name: str | None
    email: str | None
    external_source: str | None  #: together with external_id
    external_id: str | None
    custom_fields: Mapping[str, Any]  #: merged key by key; None removes a key


class ContactFields(ContactChanges, total=False):
    """Fields of a contact to create or update; at least a number, an address or the external pair."""

    tags: list[str]


class Filters(TypedDict, total=False):
    """Which contacts are listed; None is no filter."""

    limit: int | None  #: contacts a page, 1 to 100
    search: str | None
    phone_number: str | None
    email: str | None
    external_source: str | None  #: together with external_id
    external_id: str | None
    tag: str | None
    updated_after: datetime | None  #: aware; lists the oldest change first, for following changes
    created_after: datetime | None  #: aware
    include: Literal["removed"] | None  #: with updated_after and no filter: contacts that are gone too, see ``Contact``


class ConsentDetails(TypedDict, total=False):
    """How and when the person gave the consent."""

    purpose: Purpose  #: marketing if left out
    source: str  #: where the person gave it: ``shopify``, ``import`` …
    method: str  #: form, checkout, keyword, preference_page, api, import, double_opt_in, provider_signal
    occurred_at: datetime  #: aware; when the person decided, now if left out; if a newer one is stored, nothing changes
    evidence: Mapping[str, str]  #: text, url, ip, user_agent, message_id, signup_id
    legal_basis: str
    expires_at: datetime | None


class SuppressionDetails(TypedDict, total=False):
    """What a suppression covers, and why."""

    scope: Scope  #: all if left out
    address: str  #: the contact's primary one for the channel if left out
    source: str
    note: str
    occurred_at: datetime  #: aware
    expires_at: datetime | None  #: None: it never does; required for soft_bounce
    active: bool  #: False lifts it


def upsert(fields: ContactFields, idempotency_key: str | None) -> Call[Contact]:
    return Call(
        method="POST",
        path=wire.path("contacts"),
        body=wire.body(fields),
        headers=_once(idempotency_key),
        read=wire.contact,
    )


def upsert_many(contacts: Sequence[ContactFields], idempotency_key: str | None) -> Call[tuple[Outcome, ...]]:
    return Call(
        method="POST",
        path=wire.path("contacts", "batch"),
        body=wire.body({"contacts": contacts}),
        headers=_once(idempotency_key),
        read=outcomes,
    )


def resolve_many(contacts: Sequence[Sequence[Identifier]]) -> Call[tuple[Outcome, ...]]:
    rows = [{"identifiers": [_identifier(identifier) for identifier in identifiers]} for identifiers in contacts]
    return Call(
        method="POST",
        path=wire.path("contacts", "resolve", "batch"),
        body=wire.body({"contacts": rows}),
        read=outcomes,
    )


def contacts(filters: Filters, cursor: str | None = None) -> Call[Page[Contact]]:
    return Call(
        method="GET",
        path=wire.path("contacts"),
        query=wire.query({**filters, "cursor": cursor}),
        read=wire.page(Contact),
    )


def get(contact_id: str) -> Call[Contact]:
    return Call(method="GET", path=_of(contact_id), read=wire.contact)


def patch(contact_id: str, changes: ContactChanges, if_match: str | None) -> Call[Contact]:
    headers = {} if if_match is None else {"If-Match": wire.header(if_match, "if_match")}
    return Call(method="PATCH", path=_of(contact_id), body=wire.body(changes), headers=headers, read=wire.contact)


def delete(contact_id: str, *, erase: bool) -> Call[None]:
    query = wire.query({"erase": erase or None})
    return Call(method="DELETE", path=_of(contact_id), query=query, read=wire.nothing)


def by_phone(phone: str) -> Call[Contact]:
    return Call(method="GET", path=wire.path("contacts", "phone", phone), read=wire.contact)


def resolve(identifiers: tuple[Identifier, ...]) -> Call[Contact]:
    body = {"identifiers": [_identifier(identifier) for identifier in identifiers]}
    return Call(method="POST", path=wire.path("contacts", "resolve"), body=wire.body(body), read=wire.contact)


def identities(contact_id: str) -> Call[Page[Identity]]:
    return Call(method="GET", path=_of(contact_id, "identities"), read=wire.page(Identity))


def notes(contact_id: str) -> Call[Page[Note]]:
    return Call(method="GET", path=_of(contact_id, "notes"), read=wire.page(Note))


def add_note(contact_id: str, text: str, author_name: str | None, idempotency_key: str | None) -> Call[Note]:
    note = {"body": text} if author_name is None else {"body": text, "author_name": author_name}
    return Call(
        method="POST",
        path=_of(contact_id, "notes"),
        body=wire.body(note),
        headers=_once(idempotency_key),
        read=wire.one(Note),
    )


def tags(contact_id: str) -> Call[Page[Tag]]:
    return Call(method="GET", path=_of(contact_id, "tags"), read=wire.page(Tag))


def add_tags(contact_id: str, names: tuple[str, ...], idempotency_key: str | None) -> Call[Page[Tag]]:
    return Call(
        method="POST",
        path=_of(contact_id, "tags"),
        body=wire.body({"tags": names}),
        headers=_once(idempotency_key),
        read=wire.page(Tag),
    )


def remove_tag(contact_id: str, tag: str) -> Call[None]:
    return Call(method="DELETE", path=_of(contact_id, "tags", tag), read=wire.nothing)


def put_consent(contact_id: str, channel: Channel, status: ConsentStatus, details: ConsentDetails) -> Call[Consent]:
    return Call(
        method="PUT",
        path=_of(contact_id, "consent", channel),
        body=wire.body({"status": status, **details}),
        read=wire.one(Consent),
    )


def consents(contact_id: str) -> Call[Page[Consent]]:
    return Call(method="GET", path=_of(contact_id, "consents"), read=wire.page(Consent))


def suppressions(contact_id: str, *, include_lifted: bool) -> Call[Page[Suppression]]:
    query = wire.query({"include": "lifted" if include_lifted else None})
    return Call(method="GET", path=_of(contact_id, "suppressions"), query=query, read=wire.page(Suppression))


def suppress(
    contact_id: str,
    channel: Channel | Literal["all"],
    reason: SuppressionReason,
    details: SuppressionDetails,
    idempotency_key: str | None,
) -> Call[Suppression]:
    return Call(
        method="POST",
        path=_of(contact_id, "suppressions"),
        body=wire.body({"channel": channel, "reason": reason, **details}),
        headers=_once(idempotency_key),
        read=wire.one(Suppression),
    )


def timeline(contact_id: str, limit: int | None) -> Call[Page[Change]]:
    query = wire.query({"limit": limit})
    return Call(method="GET", path=_of(contact_id, "timeline"), query=query, read=wire.page(Change))


def sendability(contact_id: str, channel: Channel, purpose: Purpose) -> Call[Sendability]:
    query = wire.query({"channel": channel, "purpose": purpose})
    return Call(method="GET", path=_of(contact_id, "sendability"), query=query, read=wire.one(Sendability))


def lookup_profile(channel_id: str, person: Identifier, *, refresh: bool) -> Call[ProfileLookup]:
    body: dict[str, object] = dict(_identifier(person))
    if person.type == "contact_id":
        body = {"contact_id": person.value}
    if refresh:
        body["refresh"] = True
    return Call(
        method="POST",
        path=wire.path("channels", channel_id, "contacts", "lookup"),
        body=wire.body(body),
        read=wire.one(ProfileLookup),
    )


def _of(contact_id: str, *segments: str) -> str:
    return wire.path("contacts", contact_id, *segments)


def _identifier(identifier: Identifier) -> dict[str, str]:
    known = {"type": identifier.type, "value": identifier.value}
    return known if identifier.source is None else {**known, "source": identifier.source}


def _once(idempotency_key: str | None) -> dict[str, str]:
    """Return the header that lets the server do this write once, even if it arrives twice."""
    return {"Idempotency-Key": wire.header(idempotency_key or uuid4().hex, "idempotency_key")}
