"""Customers from Shopify's Admin API: the fields we query, the rows made of them, and the events in a row.

https://shopify.dev/docs/api/admin-graphql/latest/objects/Customer
Quirk: Shopify does not document whether a change of tags moves ``updatedAt``. So a set of tags is dated by the time
at which it was read.
"""

import json
from collections.abc import Collection, Mapping
from datetime import datetime

import orjson

from connectors import json_values
from connectors.contract import Account, Event, MalformedPayloadError, ProfileRemoved
from connectors.json_values import Payload
from connectors.reader import Row
from connectors.shopify import gid, next_gen_events
from connectors.shopify.graphql import HiddenPath

CUSTOMER = "read/customer"
GONE = "read/gone"

_CONSENT = "marketingState marketingOptInLevel marketingUpdatedAt"
#: the fields of a customer that we query, by name; none is deprecated, and ``parse`` reads all of them
_FIELDS: Mapping[str, str] = {
    name: f"{name}{parts}"
    for name, parts in {
        "id": "",
        "firstName": "",
        "lastName": "",
        "locale": "",
        "state": "",
        "verifiedEmail": "",
        "taxExempt": "",
        "tags": "",
        "note": "",
        "createdAt": "",
        "updatedAt": "",
        "numberOfOrders": "",
        "amountSpent": "{amount currencyCode}",
        "lastOrder": "{id}",
        "defaultEmailAddress": f"{{emailAddress {_CONSENT}}}",
        "defaultPhoneNumber": f"{{phoneNumber {_CONSENT} marketingCollectedFrom"
        " whatsAppMarketingConsent{state optInLevel updatedAt collectedFrom}}",
        "defaultAddress": "{company address1 address2 city provinceCode countryCodeV2 zip phone}",
    }.items()
}
#: classic topics whose bodies shrink to an id if they are too large
#: https://shopify.dev/changelog/amazon-eventbridge-webhook-payload-size-limit-increased-to-1-mb
_SHRINKING = frozenset({"customers/update", "customers/enable", "customers/disable"})


def fields(hidden: Collection[HiddenPath] = ()) -> str:
    """Return the GraphQL selection of a customer's fields, without the hidden ones."""
    return " ".join(field for name, field in _FIELDS.items() if (name,) not in hidden)


def parsed(line: bytes) -> object:
    """Read one line of JSON; raises ValueError if it is not JSON."""
    try:
        return orjson.loads(line)
    except orjson.JSONDecodeError:
        pass
    try:
        return json.loads(line)  # accepts more than orjson, such as half a surrogate pair, which parse replaces
    except RecursionError:
        raise ValueError("nested too deep") from None


def row(customer: object, body: bytes | None, not_before: datetime, not_after: datetime, *, is_bare: bool) -> Row:
    """Return the row of a customer. Anything else becomes a row that ``parse`` refuses.

    ``body`` holds the bytes as received, or None if ``customer`` was changed after that. With ``is_bare`` the row
    has only id and time.
    """
    external_id, updated_at = "", None
    if type(customer) is dict:
        try:
            external_id = gid.number_id(customer, "id", kind="Customer") or ""
            updated_at = json_values.moment(customer, "updatedAt")
        except MalformedPayloadError:
            pass  # the row keeps the parts that could be read; parse will give the reason
    if is_bare and external_id:
        return Row(external_id=external_id, updated_at=updated_at, not_before=not_before, not_after=not_after)
    try:
        # Written again, so that a customer has the same bytes from a file, from a page and from a query by id.
        body = orjson.dumps(customer) if type(customer) is dict or body is None else body
    except TypeError:  # half a surrogate pair, a number of more than 64 bits
        body = json.dumps(customer).encode() if body is None else body
    return Row(
        external_id=external_id,
        updated_at=updated_at,
        topic=CUSTOMER,
        body=body,
        not_before=not_before,
        not_after=not_after,
    )


def gone(external_id: str, at: datetime) -> Row:
    """Return a row that says that the shop no longer has the customer."""
    body = orjson.dumps({"id": external_id})
    return Row(external_id=external_id, updated_at=None, topic=GONE, body=body, not_before=at, not_after=at)


def translated(topic: str, body: Payload, account: Account, read_at: datetime | None) -> list[Event]:
    """Return the events in a row that was read at ``read_at`` or later."""
    external_id = json_values.required(gid.number_id(body, "id", kind="Customer"), "the id of a Customer", "id")
    if topic == GONE:
        return [ProfileRemoved(external_id=external_id, occurred_at=read_at)]
    return next_gen_events.shown(body, external_id, account, tags_at=read_at)


def wanted(topic: str, body: bytes) -> str | None:
    """Return the id of the customer to read back after an incomplete webhook, else None; never raises.

    Quirk: a customer can be created with tags and consent. Shopify does not document whether these have webhooks of
    their own, so every created customer is read back.
    Quirk: a merge changes the values and tags of the customer who is kept, and its webhook has none of them. So the
    kept customer is read back.
    """
    try:
        if topic == "customers/merge":
            return _kept(json_values.load_json(body))
        if topic == "customers/create":
            return _id_of(json_values.load_json(body))
        if topic in _SHRINKING:
            payload = json_values.load_json(body)
            return _id_of(payload) if payload.keys() <= {"id", "admin_graphql_api_id"} else None
        if topic in ("Customer", "Customer/create", "Customer/update"):
            return _id_of_event(json_values.load_json(body))
    except MalformedPayloadError:
        pass
    return None


def _kept(payload: Payload) -> str | None:
    if json_values.word(payload, "status") != "completed":
        return None
    return gid.number_id(payload, "admin_graphql_api_customer_kept_id", kind="Customer")


def _id_of(payload: Payload) -> str | None:
    from_gid = gid.number_id(payload, "admin_graphql_api_id", kind="Customer")
    return from_gid or gid.number_id(payload, "id", kind="Customer")


def _id_of_event(payload: Payload) -> str | None:
    if json_values.word(payload, "action") == "delete":
        return None
    data = json_values.nested(payload, "data") or {}
    if data.get("customer") is not None:
        return None
    variables = json_values.nested(payload, "query_variables") or {}
    return gid.number_id(variables, "customerId", kind="Customer")
