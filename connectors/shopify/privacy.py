"""The compliance topics (requests for data and erasure), and the end of our access.

Payload reference: https://shopify.dev/docs/apps/build/compliance/privacy-law-compliance
and https://shopify.dev/docs/api/webhooks/2026-07#app-uninstalled

Quirk: none of these bodies has a time, so the sending time counts.
Quirk: ``customer`` may hold an e-mail only, and may name an id that a merge has
removed since.
Quirk: the body of ``app/uninstalled`` is a shop whose domains can be null. One that is
not null must be the connection's.
"""

from collections.abc import Iterator

from connectors import json_values
from connectors.contract import (
    Account,
    ConnectionRevoked,
    ErasureRequested,
    Event,
    ExportRequested,
    Identifier,
    MalformedPayloadError,
)
from connectors.json_values import Payload
from connectors.shopify import bodies, consent, gid


def uninstalled(body: Payload, account: Account) -> Iterator[Event]:
    """``app/uninstalled``."""
    bodies.own_shop(json_values.text(body, "myshopify_domain"), account, "myshopify_domain")
    yield ConnectionRevoked(occurred_at=None)


def data_request(body: Payload, account: Account) -> Iterator[Event]:
    """``customers/data_request``."""
    bodies.names_own_shop(body, account)
    external_id, identifiers = _subject(body)
    yield ExportRequested(external_id=external_id, identifiers=identifiers, occurred_at=None)


def customer_redact(body: Payload, account: Account) -> Iterator[Event]:
    """``customers/redact``."""
    bodies.names_own_shop(body, account)
    external_id, identifiers = _subject(body)
    yield ErasureRequested(subject="customer", external_id=external_id, identifiers=identifiers, occurred_at=None)


def shop_redact(body: Payload, account: Account) -> Iterator[Event]:
    """``shop/redact``, 48 hours after the app was removed; the worker checks that it was not installed again."""
    bodies.shop_redact(body)
    bodies.names_own_shop(body, account)
    yield ErasureRequested(subject="shop", external_id=None, identifiers=(), occurred_at=None)


def _subject(body: Payload) -> tuple[str | None, tuple[Identifier, ...]]:
    customer = json_values.required(json_values.nested(body, "customer"), "an object", "customer")
    external_id = gid.number_id(customer, "id", "customer", kind="Customer")
    identifiers = []
    if email := consent.email(customer, "email", "customer"):
        identifiers.append(Identifier(type="email", value=email))
    if phone := json_values.text(customer, "phone", "customer"):
        identifiers.append(Identifier(type="phone", value=phone))
    if external_id is None and not identifiers:
        # An error, so that a person sees it: the law sets a term for such a request.
        raise MalformedPayloadError("customer: expected an id, an e-mail or a number, got none of them")
    return external_id, tuple(identifiers)
