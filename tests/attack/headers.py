"""One captured body and its signature, sent again under every topic, with headers of an attacker's choice.

Whoever reads a log of requests has bodies and signatures. Topic, sending time, shop and delivery id are headers, which
nobody signs.
"""

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from uuid import uuid4

from connectors import shopify, woocommerce
from connectors.shopify import topics as shopify_topics
from connectors.shopify.simulator.shop import signed
from connectors.simulation.deliveries import Delivery
from connectors.woocommerce.simulator.shop import Shop
from connectors.woocommerce.simulator.shop import signed as signed_by_woo
from connectors.woocommerce.simulator.site import Running, Site
from tests.attack.finding import Finding
from tests.flows.stack import RunningStack, send, wait_until

DOMAIN, SECRET = "lantern-row.myshopify.com", "an invented secret"
GID = "gid://shopify/Customer/5150"
AT = "2026-09-14T18:42:07Z"
CUSTOMER = {"id": 5150, "created_at": AT, "updated_at": AT, "first_name": "Ines", "last_name": "Abara"}
CUSTOMER |= {"email": "ines@example.org", "phone": "+351210000515", "verified_email": True, "tax_exemptions": []}
CUSTOMER |= {"admin_graphql_api_id": GID}
EMAIL = {"state": "subscribed", "opt_in_level": "single_opt_in", "consent_updated_at": AT}
BUYER = {"first_name": "Ines", "last_name": "Abara", "phone": "555"}
ORDER = {"id": 5150, "created_at": AT, "updated_at": AT, "email": "gift@example.net", "line_items": [], "token": "t"}
ORDER |= {"customer": CUSTOMER, "billing_address": BUYER, "order_number": 7, "financial_status": "paid"}
SHOP = {"id": 5150, "name": "Lantern Row", "email": "desk@example.org", "shop_owner": "Budi", "plan_name": "basic"}
SHOP |= {"myshopify_domain": DOMAIN, "phone": None, "created_at": AT, "updated_at": AT, "domain": None}
#: what the shop says, and what its other webhooks say, which the attacker has captured as well
SAID = [
    ("customers/create", {**CUSTOMER, "updated_at": "2026-09-01T00:00:00Z", "last_name": "Old"}),
    ("customers/update", CUSTOMER),
    ("customers_email_marketing_consent/update", {"customer_id": 5150, "email_address": CUSTOMER["email"]}
     | {"email_marketing_consent": EMAIL}),
    ("customers_marketing_consent/update", {"id": 5150, "phone": CUSTOMER["phone"]}
     | {"sms_marketing_consent": {"state": "subscribed", "opt_in_level": None, "consent_updated_at": AT}}),
    ("customer.tags_added", {"customerId": GID, "tags": ["vip"], "occurredAt": AT}),
    ("customers/purchasing_summary", {"customerId": GID, "numberOfOrders": 1, "amountSpent": None, "lastOrderId": None,
                                      "occurredAt": AT}),
    ("orders/create", ORDER),
]  # fmt: skip
OTHERS = [
    ("products/delete", {"id": 5150}),
    ("orders/delete", {"id": 5150}),
    ("shop/update", SHOP),
    ("customers/data_request", {"shop_id": 1, "shop_domain": DOMAIN, "orders_requested": []}
     | {"customer": {"id": 5150, "email": CUSTOMER["email"]}, "data_request": {"id": 9}}),
]  # fmt: skip
#: topics that share a body, so that nothing can tell them apart (ADR 24)
SHARED = {("customer.tags_added", "customer.tags_removed"), ("shop/update", "app/uninstalled")}
INTERNAL = ("read/customer", "read/gone", "read/order", "file/row", "file/undone", "POST /v1/contacts")
MARKS = {"Actor": "key_0000000000000000000000000000000a", "Read-Not-Before": "2026-11-28T00:00:00+00:00"}
MARKS |= {"File-Mapping": '{"external_id": "id", "email": "email"}', "Authorization": "Bearer x", "Cookie": "a=b"}

CONSEQUENCES = (
    "SELECT count(*) FROM privacy_requests WHERE organization_id = :organization_id AND kind <> 'export'",
    "SELECT count(*) FROM connections WHERE organization_id = :organization_id AND revoked_at IS NOT NULL",
)

#: envelopes from outside that count as ours, or that have a header that is a proof or a mark
MARKED = """
    SELECT count(*) FROM envelopes WHERE organization_id = :organization_id AND (marks IS NOT NULL OR headers::text ~*
           'actor|hmac|signature|cookie|authorization|read-not-before|file-mapping')
"""


def attack(stack: RunningStack, *, full: bool) -> Iterator[Finding]:
    """Yield what became of the requests."""
    yield from _shopify(stack, full=full)
    yield from _woocommerce(stack, full=full)
    yield from _still_there(stack)


def _shopify(stack: RunningStack, *, full: bool) -> Iterator[Finding]:
    organization = f"headers-{uuid4().hex[:8]}"
    url = stack.connect(DOMAIN, secret=SECRET, source="shop", organization=organization)
    said = [_by_shopify(topic, body) for topic, body in SAID]
    send((url, delivery) for delivery in (*said, *(_by_shopify(topic, body) for topic, body in OTHERS)))
    stack.settled(organization)
    before = stack.export(organization)

    now = datetime.now(UTC)
    times = [now, now - timedelta(days=90), now + timedelta(days=400)] if full else [now]
    families = ("", "X-") if full else ("X-",)
    others = [*shopify_topics.TRANSLATIONS, *INTERNAL, *shopify.SKIPPED_TOPICS]
    forged = [
        _with(_by_shopify(was, body, webhook_id=f"{start}{uuid4().hex}"), family, topic, at)
        for was, body in (*SAID, *OTHERS)
        for topic in others
        if (was, topic) not in SHARED
        for at in times
        for family in families
        for start in (("", "read:", "api:") if full else ("read:",))
    ]
    yield _judged(stack, organization, url, forged, before, "Shopify: every captured body under every topic")

    redact = {"shop_id": 1, "shop_domain": "another.myshopify.com"}
    bodies = {"shop/redact": redact, "customers/redact": {**redact, "customer": {"id": 5150}, "orders_to_redact": []}}
    foreign = [_by_shopify(topic, body) for topic, body in bodies.items()]
    foreign += [signed(CUSTOMER, SECRET, topic="customers/update", domain="another.myshopify.com", webhook_id="9")]
    yield _judged(stack, organization, url, foreign, before, "Shopify: bodies and headers of another shop of the app")


def _woocommerce(stack: RunningStack, *, full: bool) -> Iterator[Finding]:
    organization = f"headers-{uuid4().hex[:8]}"
    shop = Shop(7, 20)
    url = stack.cli(*("connections", "add", "woocommerce", "--webhook-secret", SECRET, "--organization", organization))[
        "webhook_url"
    ]
    users = [number for number in shop.users(0, shop.live) if shop.role(number) == "customer"][: None if full else 4]
    bodies = [("customer.updated", shop.user(number)) for number in users]
    bodies += [("order.created", {**(shop.order(number) or {}), "id": users[0]}) for number in range(1, 4)]
    said = [signed_by_woo(body, SECRET, topic=topic) for topic, body in bodies if body is not None]
    send((url, delivery) for delivery in said)
    stack.settled(organization)
    before = stack.export(organization)

    everything = [*said, signed_by_woo({"id": 9, "sku": "x", "permalink": "y", "date_modified_gmt": AT}, SECRET)]
    topics = ["customer.created", "customer.updated", "customer.deleted", "order.created", "order.updated"]
    forged = [
        Delivery(topic=topic, body=delivery.body, headers={**delivery.headers, **MARKS, "X-WC-Webhook-Topic": topic}
                 | {"X-WC-Webhook-Delivery-ID": uuid4().hex})
        for delivery in everything
        for topic in (*topics, *INTERNAL, *woocommerce.SKIPPED_TOPICS)
    ]  # fmt: skip
    yield _judged(stack, organization, url, forged, before, "WooCommerce: every captured body under every topic")


def _still_there(stack: RunningStack) -> Iterator[Finding]:
    """Send the deletion of an order as the deletion of a customer: both have the same body.

    The shop can be read, and it still has the customer. So the customer has to stay.
    """
    organization = f"headers-{uuid4().hex[:8]}"
    shop, key = Shop(11, 20, secret=SECRET), ("ck_invented", "cs_invented")
    with Running(Site(shop, *key)) as site:
        url = stack.cli(
            *("connections", "add", "woocommerce", "--webhook-secret", SECRET, "--api-url", site.url),
            *("--consumer-key", key[0], "--consumer-secret", key[1], "--organization", organization),
        )["webhook_url"]
        customers = [number for number in shop.users(0, shop.live) if shop.role(number) == "customer"]
        present, gone = customers[:3], customers[3]
        send((url, shop.deliver("customer.updated", number)) for number in (*present, gone))
        stack.settled(organization)
        shop.delete([gone])

        deleted = [signed_by_woo({"id": number}, SECRET, topic="customer.deleted") for number in (*present, gone)]
        send((url, delivery) for delivery in deleted)

        stack.settled(organization)
        waiting = "SELECT count(*) FROM wanted WHERE organization_id = :organization_id"
        wait_until(lambda: stack.rows(waiting, organization)[0][0] == 0, 60)
        stack.settled(organization)
    held = {json.loads(line)["external_id"] for line in stack.export(organization).splitlines() if b'"email"' in line}
    still = {str(number) for number in present} <= held and str(gone) not in held
    measured = f"{len(held & {str(n) for n in present})} of 3 kept, {'gone' if str(gone) not in held else 'kept'}"
    yield Finding("WooCommerce: deletions of orders, sent as customers'", "who is in the shop stays", measured, still)


def _judged(
    stack: RunningStack, organization: str, url: str, forged: Iterable[Delivery], before: bytes, attack: str
) -> Finding:
    answers = send((url, delivery) for delivery in forged)
    after = stack.settled(organization, timeout=120)
    outcomes = Counter({name: after["inbox"][name] for name in ("settled", "ignored", "parked")})
    done = sum(stack.rows(statement, organization)[0][0] for statement in CONSEQUENCES)
    kept = stack.rows(MARKED, organization)[0][0]
    is_same = stack.export(organization) == before
    measured = f"{answers.total()} sent; {', '.join(f'{n} {name}' for name, n in outcomes.items())}; "
    measured += (
        f"{'no contact changed' if is_same else 'contacts CHANGED'}, {done} erased or revoked, {kept} marks kept"
    )
    held = is_same and done == 0 and kept == 0 and set(answers) == {200}
    return Finding(attack, "no contact changes, nobody is deleted, revoked, erased", measured, held)


def _by_shopify(topic: str, body: Mapping[str, object], webhook_id: str = "") -> Delivery:
    return signed(body, SECRET, topic=topic, domain=DOMAIN, webhook_id=webhook_id)


def _with(delivery: Delivery, family: str, topic: str, at: datetime) -> Delivery:
    """Return a delivery with the headers of an attacker; the body and its signature stay."""
    headers = {name.removeprefix("X-") if not family else name: value for name, value in delivery.headers.items()}
    headers |= {f"{family}Shopify-Topic": topic, f"{family}Shopify-Triggered-At": at.isoformat(), **MARKS}
    if topic.startswith("Customer/"):
        headers |= {f"{family}Shopify-Topic": "Customer", "Shopify-Action": topic.partition("/")[2]}
    return Delivery(topic=topic, headers=headers, body=delivery.body)
