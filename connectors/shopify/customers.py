"""The customer of Shopify's webhooks: alone, and inside orders and checkouts.

Payload reference: https://shopify.dev/docs/api/webhooks/2026-07#customers-update

Quirk: a field that the app is not approved for is null or missing. So its null
means "not shown", until the connection lists the field in ``approved_fields``.
https://shopify.dev/docs/apps/launch/protected-customer-data
Quirk: a body that is too large for its channel shrinks to ``{"id": …}``. It
mentions the customer, clears nothing, and brings nobody back.
https://shopify.dev/changelog/amazon-eventbridge-webhook-payload-size-limit-increased-to-1-mb
Quirk: ids exceed 2^53, and a sender that passes a body through JavaScript rounds
``id``. So the gid wins if the two disagree.
Quirk: ``default_address.phone`` is free text ("555-SHOP"), not the customer's number.
Quirk: ``customers/merge`` has no time, and is sent for merges that failed, too.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from datetime import datetime
from typing import Literal

from connectors import json_values, left_out
from connectors.contract import (
    Account,
    Event,
    FieldValue,
    Identifier,
    MalformedPayloadError,
    ProfileRemoved,
    ProfileSeen,
    ProfilesMerged,
    TagsSnapshot,
    UnusableTextError,
)
from connectors.countries import code_of
from connectors.json_values import Payload
from connectors.shopify import bodies, consent, gid, tags

PROTECTED_FIELDS = frozenset({"email", "phone", "first_name", "last_name", "address"})

#: characters, four times Shopify's own limit, so that a raised limit does not park customers
_MAX_NOTE = 20_000

Slot = Literal["email", "phone"]
#: a slot, and where its value is: object, key, path of the object
Place = tuple[Slot, Payload, str, str]
#: our name and theirs
TextTable = tuple[tuple[str, str], ...]
#: our name, theirs, and the function that reads it; it reads null as None
FieldTable = tuple[tuple[str, str, Callable[[Payload, str, str], FieldValue]], ...]


def note(payload: Payload, key: str, at: str = "") -> str | None:
    """Read a merchant's note."""
    return json_values.text(payload, key, at, limit=_MAX_NOTE)


_TEXTS: TextTable = tuple((name, name) for name in ("first_name", "last_name", "currency", "locale"))

_FIELDS: FieldTable = (
    ("state", "state", json_values.word),
    ("note", "note", note),
    ("tax_exempt", "tax_exempt", json_values.boolean),
    # Only in bodies of before 2025-01; now customers/purchasing_summary brings them.
    ("number_of_orders", "orders_count", json_values.count),
    ("amount_spent", "total_spent", json_values.amount),
    ("last_order_id", "last_order_id", json_values.number_id),
)

_ADDRESS = tuple(
    (name, name)
    for name in ("company", "address1", "address2", "city", "province_code", "country_code", "zip", "phone")
)

_READERS: Mapping[Slot, Callable[[Payload, str, str], str | None]] = {"email": consent.email, "phone": json_values.text}

_CONSENTS: tuple[tuple[Slot, str, consent.Layout], ...] = (
    ("email", "email_marketing_consent", consent.EMAIL),
    ("phone", "sms_marketing_consent", consent.SMS),
)

# GraphQL has requested and in_progress too. In a webhook they would mean that the merge has not ended yet.
_MERGE_STATES = ("completed", "failed", "requested", "in_progress")


def changed(body: Payload, account: Account) -> Iterator[Event]:
    """``customers/create``, ``update``, ``enable``, ``disable``."""
    external_id = json_values.required(id_of(body), "the id of a customer", "id")
    if bodies.is_stub(body):
        # It has no time, so it must not bring back a removed customer: the customer is read back instead.
        yield ProfileSeen(external_id=external_id, occurred_at=None, exists=False)
    else:
        yield from shown(body, external_id, account)


def removed(body: Payload, _account: Account) -> Iterator[Event]:
    """``customers/delete``; the body has no time, so the sending time counts."""
    bodies.deletion(body)
    yield ProfileRemoved(external_id=json_values.required(id_of(body), "the id of a customer", "id"), occurred_at=None)


def merged(body: Payload, _account: Account) -> Iterator[Event]:
    """``customers/merge``, if it succeeded."""
    status = json_values.choice(body, "status", _MERGE_STATES)
    if json_values.required(status, ", ".join(_MERGE_STATES), "status") != "completed":
        return
    kept, lost = (
        json_values.required(gid.number_id(body, key, kind="Customer"), "the gid of a Customer", key)
        for key in ("admin_graphql_api_customer_kept_id", "admin_graphql_api_customer_deleted_id")
    )
    if kept == lost:
        raise MalformedPayloadError(
            "admin_graphql_api_customer_deleted_id: expected another customer, got the kept one"
        )
    yield ProfilesMerged(kept_external_id=kept, lost_external_id=lost, occurred_at=None)


def id_of(customer: Payload, at: str = "") -> str | None:
    """Return the customer's id as decimal text; that of the gid, if the two disagree."""
    number = gid.number_id(customer, "id", at, kind="Customer")
    return gid.number_id(customer, "admin_graphql_api_id", at, kind="Customer") or number


def shown(
    customer: Payload, external_id: str, account: Account, *, at: str = "", otherwise: datetime | None = None
) -> Iterator[Event]:
    """Yield the events in a customer object: the profile, and in bodies of before 2025-01 tags and consent.

    ``otherwise`` is when the body around the customer changed. It dates a customer
    without a time of its own, such as the customer in an order since 2025-01.
    """
    hidden = PROTECTED_FIELDS - account.approved_fields
    occurred_at = json_values.moment(customer, "updated_at", at) or otherwise
    fields = fields_of(customer, _TEXTS, _FIELDS, hidden, at)
    region = None
    if "default_address" in customer:
        address, region = address_of(customer, "default_address", _ADDRESS, at)
        if address is not None or "address" not in hidden:
            fields["address"] = address
    contacts, unusable = contacts_of((slot, customer, slot, at) for slot in _READERS if slot in customer)
    is_verified = json_values.boolean(customer, "verified_email", at) is True
    yield ProfileSeen(
        external_id=external_id,
        occurred_at=occurred_at,
        created_at=json_values.moment(customer, "created_at", at),
        fields=fields,
        identifiers=identifiers_of(contacts, hidden, is_verified=is_verified),
        region=region,
    )
    names = tags.read_dispensable(customer, "tags", at)
    if names is not None:
        yield TagsSnapshot(external_id=external_id, tags=names, occurred_at=occurred_at)
    # Even older bodies have accepts_marketing. It is not read: its false means both "no longer" and "never asked",
    # and the consent object beside it also has the level and the time.
    for slot, key, layout in _CONSENTS:
        if stated := json_values.nested(customer, key, at):
            yield from consent.stated(
                stated,
                layout,
                external_id=external_id,
                address=contacts.get(slot),
                region=region,
                at=json_values.path_of(key, at),
                may_open=slot not in unusable,
            )


def fields_of(
    payload: Payload, texts: TextTable, others: FieldTable, hidden: Collection[str], at: str
) -> dict[str, FieldValue]:
    """Read the fields that the payload has. An empty field is cleared, or left out if it may be hidden from us.

    A field whose text cannot be used is left out.
    """
    fields: dict[str, FieldValue] = {**json_values.texts_of(payload, texts, at)}
    for name, key, read in others:
        if key in payload:
            try:
                fields[name] = None if payload[key] is None else read(payload, key, at)
            except UnusableTextError as error:
                left_out.note(error)
    for name in hidden:
        if name in fields and fields[name] is None:
            del fields[name]
    return fields


def contacts_of(places: Iterable[Place]) -> tuple[dict[Slot, str | None], Collection[Slot]]:
    """Read e-mail and number by slot; return them, and the slots that are left out because their text is unusable."""
    contacts: dict[Slot, str | None] = {}
    slots = []
    for slot, holder, key, at in places:
        slots.append(slot)
        try:
            contacts[slot] = _READERS[slot](holder, key, at)
        except UnusableTextError as error:
            left_out.note(error)
    return contacts, [slot for slot in slots if slot not in contacts]


def address_of(
    payload: Payload, key: str, table: Iterable[tuple[str, str]], at: str
) -> tuple[dict[str, str] | None, str | None]:
    """Read the parts of an address that have a value, and its country."""
    address = json_values.nested(payload, key, at)
    if not address:
        return None, None
    at = json_values.path_of(key, at)
    parts = {name: value for name, value in json_values.texts_of(address, table, at).items() if value is not None}
    # An address whose parts are all blank may be hidden from us, so it counts as no address.
    return parts or None, country_of(parts.get("country_code"))


def country_of(value: str | None) -> str | None:
    """Return ``value`` as an ISO 3166-1 alpha-2 code; None if it names no country."""
    return None if value is None else code_of(value)


def identifiers_of(
    contacts: Mapping[Slot, str | None], hidden: Collection[str], *, is_verified: bool
) -> dict[str, Identifier | None]:
    """Make identifiers of an e-mail and a number; ``is_verified`` is about the e-mail. None clears a slot.

    An empty slot that may be hidden from us is left out.
    """
    identifiers: dict[str, Identifier | None] = {}
    for slot, value in contacts.items():
        if value is not None:
            identifiers[slot] = Identifier(type=slot, value=value, verified=is_verified and slot == "email")
        elif slot not in hidden:
            identifiers[slot] = None
    return identifiers
