"""Shopify: webhooks (classic ones and Next Gen Events, of any API version), and customers through the Admin API.

Payload reference: https://shopify.dev/docs/api/webhooks/2026-07 and
https://shopify.dev/docs/api/events/2026-10

Quirk: in April 2026 the API version header was wrong for days, so nothing here looks at
a version: a body is read by the fields that it has.
https://community.shopify.dev/t/webhooks-sometimes-sent-with-wrong-api-version-payload/33251
Quirk: since 2025-01 a customer in a webhook carries no tags, no consent and no order
totals; these have topics of their own. Older bodies carry them, and are still read,
because they can be replayed.
https://shopify.dev/changelog/new-customer-s-webhook-and-changes-to-existing-customer-s-webhooks-payload
Quirk: some topics have a dot in place of the slash, and it is ``customers/update`` and
``checkouts/update`` but ``orders/updated``.
Quirk: only the body is signed. The topic is a header, so each topic reads only the body that
belongs to it (``bodies``).
Quirk: a webhook that was made by hand in the shop's admin is signed with another key
than the app's. Add that key to the secrets of the connection.
https://trigger.dev/docs/webhooks/providers/shopify
"""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime

from connectors import json_values, signing
from connectors.contract import Account, Envelope, Event, Receipt
from connectors.reader import read_from
from connectors.shopify import admin, bodies, customers, reads, subscriptions, topics

name = "shopify"

PROTECTED_FIELDS = customers.PROTECTED_FIELDS

#: what ``connections add shopify`` asks for, with an example
OPTIONS: Mapping[str, str] = {"shop_domain": "example.myshopify.com"}
#: the headers that are kept: what ``receive`` and ``parse`` look at, and what helps a person
HEADERS = frozenset(
    f"{x}shopify-{name}"
    for x in ("x-", "")
    for name in ("topic", "action", "webhook-id", "event-id", "triggered-at", "shop-domain", "api-version", "name")
)
# The names of Reader and Subscriber (connectors/reader.py).
DOWNLOAD_HOSTS = admin.DOWNLOAD_HOSTS
CREDENTIALS = admin.CREDENTIALS
api_url = admin.api_url
authorize = admin.authorize
renewal = admin.renewal
renewed = admin.renewed
read = admin.read
read_some = admin.read_some
gone = reads.gone
wanted = reads.wanted
subscribe = subscriptions.subscribe

SKIPPED_TOPICS = topics.SKIPPED_TOPICS

_MAX_HEADER = 128  #: characters; ids are UUIDs, the longest topic has 44


def settle(options: Mapping[str, str]) -> dict[str, str]:
    """Check the options of a connection; raises ValueError with the option and what was expected."""
    domain = admin.domain_of(options)
    if domain is None:
        raise ValueError("shop-domain: expected a name like example.myshopify.com")
    return {**options, "shop_domain": domain}


def receive(headers: Mapping[str, str], body: bytes) -> Receipt:
    """Read topic, delivery id and sending time; a digest replaces an odd or missing id.

    The delivery id is ``X-Shopify-Webhook-Id``. The event id would drop deliveries: all
    deliveries about one action of the merchant share it, in every topic.
    https://shopify.dev/docs/apps/build/webhooks/delivery-structure
    """
    topic = _short(_header(headers, "topic"))
    action = _short(headers.get("shopify-action", ""))
    if topic and action and "/" not in topic:  # Next Gen Events: ``Customer`` and ``update``
        topic = f"{topic}/{action.lower()}"
    delivery_id = _short(_header(headers, "webhook-id"))
    if not delivery_id:
        delivery_id = "sha256:" + hashlib.sha256(topic.encode() + b"\0" + body).hexdigest()
    return Receipt(topic=topic, delivery_id=delivery_id, sent_at=_time(_header(headers, "triggered-at")))


def verify(headers: Mapping[str, str], body: bytes, secrets: Sequence[str]) -> None:
    """Check the signature against every secret; raises BadSignatureError if no secret fits.

    After a rotation Shopify signs with the oldest secret that is not revoked, so all are tried.
    https://shopify.dev/docs/apps/build/authentication-authorization/client-secrets/rotate-revoke-client-credentials
    """
    signing.check_hmac_sha256_base64(body, _header(headers, "hmac-sha256"), secrets)


def parse(envelope: Envelope, account: Account) -> Iterable[Event]:
    """Return what the envelope says; nothing for a topic that is not followed.

    All or nothing: raises MalformedPayloadError before the first event if any
    part of the body is not what Shopify documents.
    """
    with json_values.malformed(name):
        body = None
        topic = envelope.topic
        if topic == "Customer":  # an Event that lost its action header; the body repeats the action
            body = json_values.load_json(envelope.body)
            topic = f"Customer/{json_values.required(json_values.word(body, 'action'), 'text', 'action')}"
        if topic in (reads.CUSTOMER, reads.GONE):
            read_at = read_from(envelope)
            return reads.translated(topic, json_values.load_own(envelope.body), account, read_at)
        translate = topics.TRANSLATIONS.get(topic)
        if translate is None:
            return []
        bodies.header_of_own_shop(envelope.headers, account)
        return list(translate(json_values.load_json(envelope.body) if body is None else body, account))


def _header(headers: Mapping[str, str], suffix: str) -> str:
    """Read a header with or without ``X-``: Next Gen Events drop it, and some senders send both."""
    return headers.get(f"shopify-{suffix}") or headers.get(f"x-shopify-{suffix}") or ""


def _short(header: str) -> str:
    """Return the header if it is printable ASCII of at most ``_MAX_HEADER`` characters; else empty text."""
    header = header.strip()
    return header if len(header) <= _MAX_HEADER and header.isascii() and header.isprintable() else ""


def _time(header: str) -> datetime | None:
    try:
        return json_values.as_utc(header.strip())
    except ValueError:
        return None
