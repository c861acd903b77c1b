"""Next Gen Events about customers: GraphQL's shape, with the fields of the subscription's query.

Payload reference: https://shopify.dev/docs/api/events/latest/customer

Quirk: only a subscription with a query has ``data``. Its keys are GraphQL's, and a
field that the app may not see is null. Without ``data``, or if a large body shrank to
a stub with ``payload_url``, only ``query_variables`` name the customer.
Quirk: ``fields_changed`` was a list and is an object since 2026-09-16. It is not read:
``data`` has the values, and derived fields change without being named in it.
https://shopify.dev/changelog/updates-to-events-payloads-and-subscription-configuration
Quirk: a tag may change without moving ``updatedAt``. A set of tags is dated by it all the same, and the sending time
tells two sets of one time apart: a sending time is a header, with which old tags could be sent again as new ones.
"""

from collections.abc import Iterator
from datetime import datetime

from connectors import json_values
from connectors.contract import Account, Event, ProfileRemoved, ProfileSeen, TagsSnapshot
from connectors.json_values import Payload
from connectors.shopify import consent, customers, gid, summaries, tags

_AT = "data.customer"

_TEXTS: customers.TextTable = (("first_name", "firstName"), ("last_name", "lastName"), ("locale", "locale"))

_FIELDS: customers.FieldTable = (
    ("state", "state", json_values.word),
    ("note", "note", customers.note),
    ("tax_exempt", "taxExempt", json_values.boolean),
    ("number_of_orders", "numberOfOrders", json_values.count),
)

_ADDRESS = (
    ("company", "company"),
    ("address1", "address1"),
    ("address2", "address2"),
    ("city", "city"),
    ("province_code", "provinceCode"),
    ("country_code", "countryCodeV2"),
    ("zip", "zip"),
    ("phone", "phone"),
)

#: slot, the object that has its value under which key, and the deprecated field
_CONTACTS: tuple[tuple[customers.Slot, str, str, str], ...] = (
    ("email", "defaultEmailAddress", "emailAddress", "email"),
    ("phone", "defaultPhoneNumber", "phoneNumber", "phone"),
)

_EMAIL = consent.Layout(
    channel="email", state="marketingState", opt_in_level="marketingOptInLevel", updated_at="marketingUpdatedAt"
)
_SMS = consent.Layout(
    channel="sms",
    state="marketingState",
    opt_in_level="marketingOptInLevel",
    updated_at="marketingUpdatedAt",
    collected_from="marketingCollectedFrom",
)
_OLD_EMAIL = consent.Layout(
    channel="email", state="marketingState", opt_in_level="marketingOptInLevel", updated_at="consentUpdatedAt"
)
_OLD_SMS = consent.Layout(
    channel="sms",
    state="marketingState",
    opt_in_level="marketingOptInLevel",
    updated_at="consentUpdatedAt",
    collected_from="consentCollectedFrom",
)
_WHATSAPP = consent.Layout(
    channel="whatsapp", opt_in_level="optInLevel", updated_at="updatedAt", collected_from="collectedFrom"
)


def changed(body: Payload, account: Account) -> Iterator[Event]:
    """``Customer/create`` and ``Customer/update``."""
    named = _named(body)
    data = json_values.nested(body, "data") or {}
    if "customer" not in data:
        # Without data there is no time either: it must not bring back a removed customer, who is read back instead.
        yield ProfileSeen(external_id=_required(named), occurred_at=None, exists=False)
        return
    customer = json_values.nested(data, "customer", "data")
    # Null: the customer was deleted before the query ran, or is hidden from us. Neither proves that they exist.
    if customer is not None:
        external_id = gid.number_id(customer, "id", _AT, kind="Customer") or named
        yield from shown(customer, _required(external_id), account, at=_AT)


def removed(body: Payload, _account: Account) -> Iterator[Event]:
    """``Customer/delete``; there is no ``data``, so only the variables name the customer."""
    yield ProfileRemoved(external_id=_required(_named(body)), occurred_at=None)


def _named(body: Payload) -> str | None:
    variables = json_values.nested(body, "query_variables") or {}
    return gid.number_id(variables, "customerId", "query_variables", kind="Customer")


def _required(external_id: str | None) -> str:
    return json_values.required(external_id, "the gid of a Customer", "query_variables.customerId")


def shown(
    customer: Payload, external_id: str, account: Account, *, at: str = "", tags_at: datetime | None = None
) -> list[Event]:
    """Return the events in a customer of GraphQL's shape.

    ``tags_at`` is when the set of tags was read. In a webhook it is unknown; then the customer's own time counts,
    because it is signed and the sending time is not.
    """
    hidden = customers.PROTECTED_FIELDS - account.approved_fields
    fields = customers.fields_of(customer, _TEXTS, _FIELDS, hidden, at)
    fields.update(summaries.amount_spent(customer, at))
    if "lastOrder" in customer:
        last_order = json_values.nested(customer, "lastOrder", at)
        if last_order is None:
            fields["last_order_id"] = None
        elif "id" in last_order:
            fields["last_order_id"] = gid.number_id(
                last_order, "id", json_values.path_of("lastOrder", at), kind="Order"
            )
    region = None
    if "defaultAddress" in customer:
        address, region = customers.address_of(customer, "defaultAddress", _ADDRESS, at)
        if address is not None or "address" not in hidden:
            fields["address"] = address
    contacts, unusable = customers.contacts_of(_contacts_of(customer, at))
    is_verified = json_values.boolean(customer, "verifiedEmail", at) is True
    seen = ProfileSeen(
        external_id=external_id,
        occurred_at=json_values.moment(customer, "updatedAt", at),
        created_at=json_values.moment(customer, "createdAt", at),
        fields=fields,
        identifiers=customers.identifiers_of(contacts, hidden, is_verified=is_verified),
        region=region,
    )
    events: list[Event] = [seen]
    names = tags.read_dispensable(customer, "tags", at)
    if names is not None:
        events.append(TagsSnapshot(external_id=external_id, tags=names, occurred_at=tags_at or seen.occurred_at))
    for slot, key, found, layout in _consents_of(customer, at):
        events += consent.stated(
            found,
            layout,
            external_id=external_id,
            address=contacts.get(slot),
            region=region,
            at=json_values.path_of(key, at),
            may_open=slot not in unusable,
        )
    return events


def _contacts_of(customer: Payload, at: str) -> Iterator[customers.Place]:
    """Yield where e-mail and number are: in their present objects, else in the deprecated fields."""
    for slot, key, inner, old in _CONTACTS:
        if key in customer:
            holder = json_values.nested(customer, key, at)
            if holder is None or inner in holder:
                yield slot, holder or {}, inner, json_values.path_of(key, at)
        elif old in customer:
            yield slot, customer, old, at


def _consents_of(customer: Payload, at: str) -> Iterator[tuple[customers.Slot, str, Payload, consent.Layout]]:
    """Yield the consent objects of the query: the present ones, else the deprecated ones with the same content."""
    email = json_values.nested(customer, "defaultEmailAddress", at) or {}
    phone = json_values.nested(customer, "defaultPhoneNumber", at) or {}
    if "marketingState" in email:
        yield "email", "defaultEmailAddress", email, _EMAIL
    elif old := json_values.nested(customer, "emailMarketingConsent", at):
        yield "email", "emailMarketingConsent", old, _OLD_EMAIL
    if "marketingState" in phone:
        yield "phone", "defaultPhoneNumber", phone, _SMS
    elif old := json_values.nested(customer, "smsMarketingConsent", at):
        yield "phone", "smsMarketingConsent", old, _OLD_SMS
    if whatsapp := json_values.nested(phone, "whatsAppMarketingConsent", json_values.path_of("defaultPhoneNumber", at)):
        yield "phone", "defaultPhoneNumber.whatsAppMarketingConsent", whatsapp, _WHATSAPP
