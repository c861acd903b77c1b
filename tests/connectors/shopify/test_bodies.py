"""Which body belongs to which topic of Shopify: the topic is not signed."""

import pytest

from connectors import shopify
from connectors.contract import (
    Account,
    ConnectionRevoked,
    ErasureRequested,
    MalformedPayloadError,
    ProfileRemoved,
    ProfileSeen,
    ProfilesMerged,
)
from connectors.shopify import topics
from tests.connectors.recorded import an_envelope, requests

RECORDED = {
    request.path.stem: (request.content["topic"], request.content["body"])
    for request in requests()
    if request.connector is shopify and not request.content["topic"].startswith("read/")
}
DESTRUCTIVE = (ConnectionRevoked, ErasureRequested, ProfileRemoved, ProfilesMerged)
ORDERS = {topic for topic in topics.TRANSLATIONS if topic.startswith("orders/")}
#: topics whose bodies say the same under each of them
ALIKE = (
    ORDERS,
    {"checkouts/create", "checkouts/update"},
    {f"customers/{word}" for word in ("create", "update", "enable", "disable")},
    {"customers_email_marketing_consent/update", "customers/email_marketing_consent_update"},
    {"customers_marketing_consent/update", "customers/marketing_consent_update"},
    {"customer.tags_added", "customer.tags_removed"},
    {"customer.joined_segment", "customer.left_segment"},
)
CUSTOMER = {"id": 5, "updated_at": "2026-09-14T18:42:07Z", "email": "ines@example.org", "phone": "+351210000515"}
ACCOUNT = Account(source="shopify", options={"shop_domain": "lantern-row.myshopify.com"})


def said(topic, body, account=ACCOUNT, **headers):
    """Return the events; None for a body that is refused."""
    try:
        return list(shopify.parse(an_envelope(topic, body, headers=headers), account))
    except MalformedPayloadError:
        return None


@pytest.mark.parametrize("name", RECORDED)
def test_a_body_says_nothing_under_a_topic_that_it_does_not_belong_to(name):
    own, body = RECORDED[name]
    own = f"Customer/{body['action']}" if own == "Customer" else own
    others = [other for other in topics.TRANSLATIONS if other != own]
    for other in (one for one in others if not any({own, one} <= alike for alike in ALIKE)):
        assert not said(other, body), f"{own} under {other}"


@pytest.mark.parametrize("name", RECORDED)
def test_no_body_destroys_anything_under_another_topic(name):
    own, body = RECORDED[name]
    for other in topics.TRANSLATIONS:
        events = said(other, body) or []
        is_own = own in (other, "Customer")
        assert is_own or not any(isinstance(event, DESTRUCTIVE) for event in events), f"{own} under {other}"


@pytest.mark.parametrize("body", [{"id": 5}, {"id": 5, "admin_graphql_api_id": "gid://shopify/Product/5"}, CUSTOMER])
def test_a_deletion_needs_the_documented_body(body):
    assert said("customers/delete", body) is None


def test_a_deletion_of_an_earlier_version_is_one_as_long_as_it_is_empty():
    body = {"id": 5, "admin_graphql_api_id": "gid://shopify/Customer/5", "tax_exemptions": [], "phone": None}

    assert said("customers/delete", body) == [ProfileRemoved(external_id="5", occurred_at=None)]
    assert said("customers/delete", {**body, "phone": "+351210000515"}) is None
    assert said("customers/delete", {**body, "sms_marketing_consent": {"state": "subscribed"}}) is None


def test_a_deletion_under_a_topic_of_changes_neither_clears_nor_revives():
    body = {"id": 5, "admin_graphql_api_id": "gid://shopify/Customer/5", "tax_exemptions": []}

    assert said("customers/update", body) is None
    assert said("customers/update", {"id": 5}) == [ProfileSeen(external_id="5", occurred_at=None, exists=False)]


@pytest.mark.parametrize("topic", ["shop/redact", "customers/redact", "customers/data_request"])
def test_a_request_of_the_law_must_be_about_the_shop_of_the_connection(topic):
    body = next(body for own, body in RECORDED.values() if own == topic)

    assert said(topic, body)
    assert said(topic, {**body, "shop_domain": "another.myshopify.com"}) is None
    assert said(topic, {**body, "shop_domain": None}) is None


def test_an_uninstalled_app_must_be_that_of_the_shop():
    body = next(body for own, body in RECORDED.values() if own == "app/uninstalled")

    assert said("app/uninstalled", {**body, "myshopify_domain": "Lantern-Row.myshopify.com"})
    assert said("app/uninstalled", {**body, "myshopify_domain": "another.myshopify.com"}) is None


@pytest.mark.parametrize("header", ["x-shopify-shop-domain", "shopify-shop-domain"])
def test_the_header_must_name_the_shop_of_the_connection(header):
    assert said("customers/update", CUSTOMER, **{header: "lantern-row.myshopify.com"})
    assert said("customers/update", CUSTOMER, **{header: "another.myshopify.com"}) is None


def test_an_event_must_repeat_topic_and_action():
    body = {"topic": "Customer", "action": "update", "query_variables": {"customerId": "gid://shopify/Customer/5"}}

    assert said("Customer/delete", body) is None
    assert said("Customer/delete", {**body, "action": "delete"})
    assert said("Customer/update", {**body, "topic": "Product"}) is None


@pytest.mark.parametrize(
    "domain",
    [
        *("evil.example/.myshopify.com", "evil.example#.myshopify.com", "evil.example?.myshopify.com", "a b"),
        *("a.b.myshopify.com", ".myshopify.com", "-a.myshopify.com", "a.myshopify.com:8443", "a.myshopify.com."),
        *("shop.myshopify.com.evil.example", "http://shop.myshopify.com", "a@b.myshopify.com", "ñ.myshopify.com"),
    ],
)
def test_a_shop_domain_is_matched_whole(domain):
    with pytest.raises(ValueError, match="shop-domain"):
        shopify.settle({"shop_domain": domain})
    with pytest.raises(Exception, match="shop_domain"):
        shopify.api_url({"shop_domain": domain})
