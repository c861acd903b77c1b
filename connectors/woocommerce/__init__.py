"""WooCommerce: webhooks, and the customers and guests of a shop through REST v3.

Payload reference: https://woocommerce.github.io/woocommerce-rest-api-docs/#customer-properties
The quirks are read from the plugin's code, ``class-wc-webhook.php`` in https://github.com/woocommerce/woocommerce

Quirk: the delivery id is a hash of the webhook's id and the current second, so the deliveries of a bulk edit share
it. As the key against duplicates it would drop real events.
Quirk: neither headers nor signature hold a time, and the topic is not signed. So anybody who captured a request can
send it again at any time, under any topic. The date in the body makes the first harmless, and each topic reads only the
body that belongs to it. A deletion has no date (see ``receive``), and has the body of an order's or product's deletion.
So the worker confirms it by reading, if it can.
Quirk: WordPress decodes the secret with ``wp_specialchars_decode`` before it signs, so the secret ``a&amp;b`` signs
as ``a&b``.
Quirk: WooCommerce tries a new webhook with a form body, without headers of its own and without a signature. The
webhook stays pending until the answer is 200.
Quirk: WooCommerce builds the body when the delivery leaves the shop. If the resource is gone by then, or hidden from
the webhook's owner, the body is an error of the REST API, and is signed like any other.
"""

import hashlib
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

from connectors import json_values, signing
from connectors.contract import Account, Envelope, Event, MalformedPayloadError, ProfileRemoved, Receipt
from connectors.json_values import Payload
from connectors.reader import read_from
from connectors.woocommerce import customers, orders
from connectors.woocommerce.rest_api import (
    CREDENTIALS,
    DOWNLOAD_HOSTS,
    READ_CUSTOMER,
    READ_GONE,
    READ_ORDER,
    api_url,
    authorize,
    gone,
    read,
    read_some,
    renewal,
    renewed,
)

__all__ = [
    "CREDENTIALS",
    "DOWNLOAD_HOSTS",
    "HEADERS",
    "OPTIONS",
    "PROTECTED_FIELDS",
    "SKIPPED_TOPICS",
    "api_url",
    "authorize",
    "gone",
    "is_ping",
    "name",
    "parse",
    "read",
    "read_some",
    "receive",
    "renewal",
    "renewed",
    "settle",
    "signing_key",
    "verify",
    "wanted",
]

name = "woocommerce"

PROTECTED_FIELDS: frozenset[str] = frozenset()
#: the headers that are kept: what ``receive`` looks at, and what helps a person
HEADERS = frozenset(f"x-wc-webhook-{name}" for name in ("topic", "delivery-id", "id", "source", "resource", "event"))
#: what ``connections add woocommerce`` asks for beside the address and the key, with an example
OPTIONS: Mapping[str, str] = {
    "consent_meta_key": "of customers' meta_data: an opt-in to e-mail, as a plugin keeps it",
    "consent_words": "of that box, if `status` lists one as unknown: on hold=no, gladly=yes",
}


def settle(options: Mapping[str, str]) -> dict[str, str]:
    """Reduce ``api_url``, as somebody copied it, to the address of the shop's WordPress."""
    return {**options, "api_url": api_url(options)} if options.get("api_url") else dict(options)


_GOODS = "is about goods"
_COUPON = "is about a discount"
SKIPPED_TOPICS: Mapping[str, str] = {
    "coupon.created": _COUPON,
    "coupon.deleted": _COUPON,
    "coupon.restored": _COUPON,
    "coupon.updated": _COUPON,
    "customer.restored": "can be chosen, but is never sent: WordPress has no bin for users",
    "order.deleted": "that an order is gone changes nobody who bought",
    "order.restored": "an order out of the bin says the same as before",
    "product.created": _GOODS,
    "product.deleted": _GOODS,
    "product.restored": _GOODS,
    "product.updated": _GOODS,
}

_MAX_HEADER = 128  #: characters; the longest topic of WooCommerce's own has 16
_PING = re.compile(rb"webhook_id=\d{1,20}")
_FORM = "application/x-www-form-urlencoded"
_HTML = {"quot": '"', "34": '"', "x22": '"', "39": "'", "x27": "'", "lt": "<", "60": "<", "gt": ">", "62": ">"}
_HTML |= {"amp": "&", "38": "&", "x26": "&"}
#: what https://developer.wordpress.org/reference/functions/wp_specialchars_decode/ decodes with ENT_QUOTES
_ESCAPED = re.compile(r"&(?:(quot|lt|gt|amp)|#0*(34|38|39|60|62)|#[xX]0*(22|26|27));")


def receive(headers: Mapping[str, str], body: bytes) -> Receipt:
    """Read the topic. The delivery id is a digest of the request, because WooCommerce's own id is not unique.

    No header has a time. The body of a deletion has none either, so the time of its arrival counts; any other body
    has a date.
    """
    topic = _short(headers.get("x-wc-webhook-topic", ""))
    head = f"{topic}\0{headers.get('x-wc-webhook-delivery-id', '')}\0".encode(errors="backslashreplace")
    delivery_id = "sha256:" + hashlib.sha256(head + body).hexdigest()
    return Receipt(topic=topic, delivery_id=delivery_id, sent_at=None, arrival_counts=topic == "customer.deleted")


def is_ping(headers: Mapping[str, str], body: bytes) -> bool:
    """Whether this is the unsigned request with which WooCommerce tries a new webhook; never raises."""
    is_form = headers.get("content-type", "").partition(";")[0].strip().lower() == _FORM
    is_bare = not any(header.startswith("x-wc-") for header in headers)
    return is_form and is_bare and _PING.fullmatch(body.strip()) is not None


def verify(headers: Mapping[str, str], body: bytes, secrets: Sequence[str]) -> None:
    """Check the signature against every secret; raises BadSignatureError if no secret fits."""
    keys = [signing_key(secret) for secret in secrets]
    signing.check_hmac_sha256_base64(body, headers.get("x-wc-webhook-signature"), keys)


def signing_key(secret: str) -> str:
    """Return the key that WordPress signs with: the secret with its HTML escapes decoded."""
    return _ESCAPED.sub(
        lambda found: _HTML[found[1] or found[2] or f"x{found[3]}"],
        secret,
    )


def parse(envelope: Envelope, account: Account) -> Iterable[Event]:
    """Return what the envelope says; nothing for a topic that is not followed.

    All or nothing: raises MalformedPayloadError before the first event if any part of the body is not what
    WooCommerce documents.
    """
    with json_values.malformed(name):
        if envelope.topic == READ_GONE:
            return [ProfileRemoved(external_id=_gone(envelope), occurred_at=read_from(envelope))]
        translate = _TRANSLATIONS.get(envelope.topic)
        if translate is None:
            return []
        body = json_values.load_json(envelope.body)
        _refuse_error(body)
        return list(translate(body, account))


def wanted(topic: str, body: bytes) -> str | None:
    """Return the id of the customer to read back, else None; never raises.

    A customer is read back if a filter of the shop reduced the body to the id, and after each of their orders: the
    order shows that the customer may have changed, and WooCommerce never repeats a customer's webhook that failed.
    """
    key = _POINTERS.get(topic)
    if key is None:
        return None
    try:
        payload = json_values.load_json(body)
        if key == "id" and payload.keys() & {"email", "role", "billing", "code"}:
            return None
        return json_values.number_id(payload, key)
    except MalformedPayloadError:  # also a guest's order, whose customer is 0
        return None


def _short(header: str) -> str:
    """Return the header if it is printable ASCII of at most ``_MAX_HEADER`` characters; else empty text."""
    header = header.strip()
    return header if len(header) <= _MAX_HEADER and header.isascii() and header.isprintable() else ""


def _gone(envelope: Envelope) -> str:
    return json_values.required(
        json_values.number_id(json_values.load_json(envelope.body), "id"), "the id of a customer", "id"
    )


def _refuse_error(body: Payload) -> None:
    """Raise MalformedPayloadError if the body is an error of the REST API in place of a resource.

    The error's message is not quoted.
    """
    if "id" in body or "code" not in body or not isinstance(data := body.get("data"), dict):
        return
    if data.get("status") in (401, 403):
        raise MalformedPayloadError(
            "the body is an error: the user who owns the webhook may not read this; let an administrator own it"
        )
    raise MalformedPayloadError("the body is an error: it was gone from the shop before the delivery was made")


def _removed(body: Payload, _account: Account) -> Iterator[Event]:
    """``customer.deleted``: the body is ``{"id": N}``, so the sending time counts."""
    if body.keys() != {"id"}:
        raise MalformedPayloadError("expected the body of a deletion, which has the id only; got more")
    external_id = json_values.required(json_values.number_id(body, "id"), "the id of a customer", "id")
    yield ProfileRemoved(external_id=external_id, occurred_at=None)


#: the member of a body that names the customer to read back
_POINTERS: Mapping[str, str] = {
    "customer.created": "id",
    "customer.updated": "id",
    "order.created": "customer_id",
    "order.updated": "customer_id",
}

_TRANSLATIONS: Mapping[str, Callable[[Payload, Account], Iterator[Event]]] = {
    "customer.created": customers.changed,
    "customer.updated": customers.changed,
    "customer.deleted": _removed,
    "order.created": orders.order,
    "order.updated": orders.order,
    READ_CUSTOMER: customers.changed,
    READ_ORDER: orders.order,
}
