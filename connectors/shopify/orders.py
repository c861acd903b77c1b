"""Buyers, in orders and in checkouts that may never become orders.

Payload reference: https://shopify.dev/docs/api/webhooks/2026-07#orders-create
and https://shopify.dev/docs/api/webhooks/2026-07#checkouts-update

Quirk: since 2025-01 the customer in an order has no times of its own, so the order's
``updated_at`` dates the customer.
Quirk: an order's ``updated_at`` moves with every edit of the merchant, years later, too.
So what a guest typed is dated by ``created_at``, and two states of one order are told
apart by their edits. A checkout is typed until it is completed or closed; until then
``updated_at`` is when somebody typed last.
Quirk: the order's e-mail may differ from its customer's (a gift, a typo). It is not
mixed into the customer; it is read only if the order has no customer.
Quirk: an order may have no customer: the key is missing, null, or an object without an
id. A later ``orders/updated`` may bring the customer.
https://github.com/webhookdb/webhookdb/pull/541
Quirk: ``buyer_accepts_marketing`` is a box at one purchase, and false may mean that
there was no box. It is never read as consent.
Quirk: since 2026-04 a checkout has no ``id``; nothing here needs it.
https://shopify.dev/changelog/removed-checkout-id-from-checkouts-and-orders-webhooks
Quirk: ``abandoned_checkout_url`` holds a secret key, so it is never read.
"""

from collections.abc import Callable, Iterator, Mapping
from datetime import datetime

from connectors import json_values, left_out
from connectors.contract import Account, Event, FieldValue, ProfileSeen
from connectors.json_values import Payload
from connectors.shopify import consent, customers

_ADDRESSES = ("billing_address", "shipping_address")


def order(body: Payload, account: Account) -> Iterator[Event]:
    """``orders/…``: the customer, else the guest with an e-mail or a number.

    Orders of the test gateway are read like any other, so that a shop that tries us out
    sees its test buyer arrive.
    """
    yield from _buyer(body, account, _order_contacts, json_values.moment(body, "created_at"))


def checkout(body: Payload, account: Account) -> Iterator[Event]:
    """``checkouts/…``: the customer, else the guest, once there is an e-mail or a number."""
    ended = (json_values.moment(body, key) for key in ("completed_at", "closed_at"))
    yield from _buyer(body, account, _checkout_contacts, min((at for at in ended if at is not None), default=None))


def _buyer(
    body: Payload,
    account: Account,
    contacts_of: Callable[[Payload], Mapping[customers.Slot, str]],
    typed_at: datetime | None,  # None: when the body changed last
) -> Iterator[Event]:
    updated_at = json_values.moment(body, "updated_at")
    customer = json_values.nested(body, "customer")
    if customer and (external_id := customers.id_of(customer, "customer")):
        yield from customers.shown(customer, external_id, account, at="customer", otherwise=updated_at)
    elif contacts := contacts_of(body):
        yield ProfileSeen(
            external_id=None,
            occurred_at=typed_at or updated_at,
            edited_at=updated_at if typed_at is not None else None,
            created_at=json_values.moment(body, "created_at"),
            fields=_name_of(body),
            identifiers=customers.identifiers_of(contacts, (), is_verified=False),
            region=_region_of(body),
        )
    else:  # a buyer whose only address cannot be read is not passed over
        for key in ("email", "contact_email", "phone"):
            json_values.text(body, key)


def _order_contacts(body: Payload) -> dict[customers.Slot, str]:
    contacts = _present(_email_of(body, "email", "contact_email"), json_values.dispensable_text(body, "phone"))
    if not contacts:
        # Free text, but the only identifier of this buyer, for example in a sale over the phone.
        billing = json_values.nested(body, "billing_address") or {}
        contacts = _present(None, json_values.dispensable_text(billing, "phone", "billing_address"))
    return contacts


def _checkout_contacts(body: Payload) -> dict[customers.Slot, str]:
    # sms_marketing_phone is not read: it was typed into the marketing box, and may be somebody else's number.
    return _present(_email_of(body, "email"), json_values.dispensable_text(body, "phone"))


def _email_of(body: Payload, *keys: str) -> str | None:
    """Read the first e-mail address; a text that cannot be used is left out, as long as the buyer has another."""
    for key in keys:
        with left_out.if_unusable:
            if (address := consent.email(body, key)) is not None:
                return address
    return None


def _present(email: str | None, phone: str | None) -> dict[customers.Slot, str]:
    contacts: dict[customers.Slot, str] = {}
    if email is not None:
        contacts["email"] = email
    if phone is not None:
        contacts["phone"] = phone
    return contacts


def _name_of(body: Payload) -> dict[str, FieldValue]:
    """Read the name in the first address that has one; names of two addresses are never mixed."""
    for key in _ADDRESSES:
        address = json_values.nested(body, key) or {}
        name: dict[str, FieldValue] = {}
        for part in ("first_name", "last_name"):
            value = json_values.dispensable_text(address, part, key)
            if value is not None:
                name[part] = value
        if name:
            return name
    return {}


def _region_of(body: Payload) -> str | None:
    for key in _ADDRESSES:
        address = json_values.nested(body, key) or {}
        if country := customers.country_of(json_values.dispensable_text(address, "country_code", key)):
            return country
    return None
