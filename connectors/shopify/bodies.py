"""Which body belongs to which topic. The topic is a header, and Shopify signs the body only.

Whoever has one signed body can send it again under any topic. So a body is read only under a topic for which Shopify
documents it: it has what the topic needs, and nothing that only other bodies have. Not the whole shape is checked,
because every version adds fields and a subscription can choose fewer (``include_fields``).

Payload reference: https://shopify.dev/docs/api/webhooks/2026-07

Quirk: one app secret signs for all shops of an app. So a body that names a shop must name the connection's.
Quirk: topics that share a body cannot be told apart: ``customer.tags_added`` and ``customer.tags_removed``,
``customer.joined_segment`` and ``customer.left_segment``, ``app/uninstalled`` and ``shop/update``.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from connectors import json_values
from connectors.contract import Account, Event, MalformedPayloadError
from connectors.json_values import Payload
from connectors.shopify import gid

Translate = Callable[[Payload, Account], Iterator[Event]]

#: keys that only these bodies have at their top
_OF_CUSTOMER = frozenset({"first_name", "verified_email", "multipass_identifier", "tax_exemptions", "default_address"})
_OF_SALE = frozenset({"customer", "line_items", "billing_address", "shipping_address", "total_price", "token"})
_OF_ORDER = frozenset({"order_number", "financial_status", "fulfillment_status", "confirmed"})
_OF_CHECKOUT = frozenset({"abandoned_checkout_url", "reservation_token"})
_OF_DRAFT = frozenset({"invoice_url", "invoice_sent_at"})
_OF_SHOP = frozenset({"myshopify_domain", "shop_owner", "plan_name", "iana_timezone"})
_OF_PRIVACY = frozenset({"shop_domain", "orders_to_redact", "orders_requested", "data_request"})
_OF_EVENT = frozenset({"query_variables", "fields_changed"})
_OF_CONSENT = frozenset({"customer_id", "email_address", "phone_number"})
_OF_SUMMARY = frozenset({"customerId"})
_CONSENTS = frozenset({"email_marketing_consent", "sms_marketing_consent", "whats_app_marketing_consent"})
_ELSEWHERE = _OF_SHOP | _OF_PRIVACY | _OF_EVENT | _OF_SUMMARY

#: what ``customers/delete`` has had in any version; all but the ids are empty
_OF_DELETION = frozenset(
    {"id", "admin_graphql_api_id", "tax_exemptions", "addresses", "phone", "email_marketing_consent"}
    | {"sms_marketing_consent"}
)
_IDS = frozenset({"id", "admin_graphql_api_id"})


@dataclass(frozen=True, slots=True)
class Shape:
    """What tells a topic's body from others."""

    needs: tuple[str, ...]  #: keys that it has, whatever their values
    never: frozenset[str]  #: keys that it does not have

    def check(self, body: Payload) -> None:
        """Raise MalformedPayloadError if the body is another topic's."""
        for key in self.needs:
            if key not in body:
                raise MalformedPayloadError(f"{key}: expected in a body of this topic, got nothing")
        if not self.never.isdisjoint(body):
            key = min(self.never & body.keys())
            raise MalformedPayloadError(f"{key}: does not belong to a body of this topic")


CUSTOMER = Shape(("id", "updated_at"), _ELSEWHERE | _OF_SALE | _OF_ORDER | _OF_CHECKOUT | _OF_DRAFT | _OF_CONSENT)
_SALE_NEVER = _ELSEWHERE | _OF_CUSTOMER | _OF_DRAFT | _CONSENTS | {"email_address", "phone_number", "order_id"}
ORDER = Shape((), _SALE_NEVER | _OF_CHECKOUT)
CHECKOUT = Shape((), _SALE_NEVER | _OF_ORDER)
_CONSENT_NEVER = _ELSEWHERE | _OF_SALE | _OF_CUSTOMER | {"created_at"}
CONSENT = Shape((), _CONSENT_NEVER | {"segment_id"})
SMS_CONSENT = Shape(("id", "phone"), _CONSENT_NEVER | _OF_CONSENT)
TAGS = Shape(("customerId",), _OF_EVENT | {"numberOfOrders"})
SUMMARY = Shape(("customerId", "numberOfOrders"), _OF_EVENT | {"tags"})
SEGMENT = Shape(("customer_id", "segment_id"), _OF_PRIVACY)
UNINSTALLED = Shape(("id", "shop_owner", "plan_name", "myshopify_domain"), _OF_CUSTOMER | _OF_SALE | _OF_PRIVACY)
DATA_REQUEST = Shape(("shop_id", "shop_domain", "customer", "data_request"), frozenset({"orders_to_redact"}))
_OTHER_PRIVACY = frozenset({"orders_requested", "data_request"})
CUSTOMER_REDACT = Shape(("shop_id", "shop_domain", "customer", "orders_to_redact"), _OTHER_PRIVACY)
_NEXT_GEN_NEVER = _OF_SHOP | _OF_PRIVACY | _OF_SALE


def checked(shape: Shape, translate: Translate) -> Translate:
    """Return the translation, with the shape of the body checked first."""

    def translated(body: Payload, account: Account) -> Iterator[Event]:
        shape.check(body)
        return translate(body, account)

    return translated


def is_stub(body: Payload) -> bool:
    """Whether a body shrank to its ids, because it was too large for its channel."""
    return body.keys() <= _IDS


def customer(translate: Translate) -> Translate:
    """Return the translation of a customer; a body that shrank to its ids is one, too."""

    def translated(body: Payload, account: Account) -> Iterator[Event]:
        if not is_stub(body):
            CUSTOMER.check(body)
        return translate(body, account)

    return translated


def sale(shape: Shape, translate: Translate) -> Translate:
    """Return the translation of an order or a checkout; a body that shrank to its ids says nothing."""

    def translated(body: Payload, account: Account) -> Iterator[Event]:
        if is_stub(body):
            return iter(())
        shape.check(body)
        return translate(body, account)

    return translated


def deletion(body: Payload) -> None:
    """Check ``customers/delete``; raises MalformedPayloadError for anything else, a customer or the stub of one too."""
    json_values.required(
        gid.number_id(body, "admin_graphql_api_id", kind="Customer"), "the gid of a Customer", "admin_graphql_api_id"
    )
    if not body.keys() <= _OF_DELETION:
        raise MalformedPayloadError("expected the body of a deletion, which has ids only; got more")
    for key in _OF_DELETION - _IDS:
        if body.get(key):
            raise MalformedPayloadError(f"{key}: expected nothing in the body of a deletion")
    if "tax_exemptions" not in body:
        raise json_values.unexpected("an empty list", None, "tax_exemptions")


def shop_redact(body: Payload) -> None:
    """Check ``shop/redact``, which names the shop and nothing else."""
    if body.keys() != {"shop_id", "shop_domain"}:
        raise MalformedPayloadError("expected shop_id and shop_domain and nothing else")


def next_gen(action: str, translate: Translate) -> Translate:
    """Return the translation of an Event. Its body repeats topic and action, and there they are signed."""

    def translated(body: Payload, account: Account) -> Iterator[Event]:
        signed = (json_values.text(body, "topic"), json_values.word(body, "action"))
        if signed != ("Customer", action):
            raise MalformedPayloadError(f"topic, action: expected Customer and {action}, as in the headers")
        if not _NEXT_GEN_NEVER.isdisjoint(body):
            raise MalformedPayloadError("expected an Event about a customer, got another body")
        return translate(body, account)

    return translated


def own_shop(named: str | None, account: Account, key: str) -> None:
    """Check the shop that a request or a body names; raises MalformedPayloadError if it is another one."""
    own = account.options.get("shop_domain")
    if named is not None and own and named != own and named.strip().lower() != own.strip().lower():
        raise MalformedPayloadError(f"{key}: expected the shop of this connection, got another one")


def names_own_shop(body: Payload, account: Account) -> None:
    """Check the shop that a compliance topic is about."""
    domain = json_values.required(json_values.text(body, "shop_domain"), "the name of a shop", "shop_domain")
    own_shop(domain, account, "shop_domain")


def header_of_own_shop(headers: Mapping[str, str], account: Account) -> None:
    """Check the header that names the shop; it is missing only in requests of tests and tools."""
    named = headers.get("x-shopify-shop-domain") or headers.get("shopify-shop-domain")
    if named:
        own_shop(named, account, "X-Shopify-Shop-Domain")
