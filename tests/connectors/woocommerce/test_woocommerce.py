"""WooCommerce's quirks in webhooks."""

import base64
import hmac
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from connectors import woocommerce
from connectors.contract import (
    Account,
    BadSignatureError,
    ConsentStated,
    Event,
    MalformedPayloadError,
    ProfileRemoved,
    ProfileSeen,
)
from connectors.woocommerce.simulator.shop import META_KEY, Shop, ping, signed
from tests.connectors.recorded import an_envelope

CREATED, MODIFIED = datetime(2026, 2, 3, 8, 15, tzinfo=UTC), datetime(2026, 9, 14, 16, 42, 7, tzinfo=UTC)
CUSTOMER_TOPICS = ["customer.created", "customer.updated", "read/customer"]
SECRET = "an invented secret"


def parse(topic: str, body: object, **options: str) -> list[Event]:
    return list(woocommerce.parse(an_envelope(topic, body), Account(source="woocommerce", options=options)))


def seen_in(topic: str, body: object, **options: str) -> ProfileSeen:
    event = parse(topic, body, **options)[0]
    assert isinstance(event, ProfileSeen)
    return event


def reason_of(topic: str, body: object) -> str:
    with pytest.raises(MalformedPayloadError) as caught:
        parse(topic, body)
    return str(caught.value)


def a_customer(**changes: Any) -> dict[str, Any]:
    return {
        "id": 417,
        "date_created": "2026-02-03T15:15:00",
        "date_created_gmt": "2026-02-03T08:15:00",
        "date_modified": "2026-09-14T23:42:07",
        "date_modified_gmt": "2026-09-14T16:42:07",
        "email": "marit@example.org",
        "first_name": "Marit",
        "last_name": "Solvang",
        "role": "customer",
        "billing": {"first_name": "Rolf", "last_name": "Aune", "country": "NO", "email": "", "phone": "400 00 417"},
        "shipping": {},
        **changes,
    }


def an_order(**changes: Any) -> dict[str, Any]:
    billing = {"first_name": "Tobias", "last_name": "Lindqvist", "country": "SE", "email": "t@example.org", "phone": ""}
    dates = {"date_created_gmt": "2026-09-15T05:00:00", "date_modified_gmt": "2026-09-15T05:00:04"}
    return {"id": 9041, "customer_id": 0, **dates, "billing": billing, **changes}


def receipt_of(delivery: Any) -> Any:
    return woocommerce.receive({name.lower(): value for name, value in delivery.headers.items()}, delivery.body)


# The delivery id is a hash of the webhook and the second.


def test_a_bulk_edit_shares_the_header_and_no_delivery_id():
    shop = Shop(7, 400, clock=lambda: MODIFIED)

    edited = shop.change(range(2, 60), {"last_name": "Edited"})

    assert len({delivery.headers["X-WC-Webhook-Delivery-ID"] for delivery in edited}) == 1
    assert len({receipt_of(delivery).delivery_id for delivery in edited}) == len(edited)


def test_the_same_state_again_is_another_delivery_and_the_same_request_is_not():
    first, again = (signed(a_customer(), SECRET, at=MODIFIED + timedelta(seconds=s)) for s in (0, 5))

    assert receipt_of(first).delivery_id == receipt_of(first).delivery_id
    assert receipt_of(first).delivery_id != receipt_of(again).delivery_id


def test_a_topic_is_part_of_the_delivery_id():
    both = [signed({"id": 5}, SECRET, topic=topic, at=MODIFIED) for topic in ("order.deleted", "customer.deleted")]

    assert len({receipt_of(delivery).delivery_id for delivery in both}) == 2


@pytest.mark.parametrize("odd", ["\udcff", "é" * 500, "\0", " "])
def test_odd_headers_are_no_obstacle(odd: str):
    headers = {"x-wc-webhook-topic": odd, "x-wc-webhook-delivery-id": odd}

    assert woocommerce.receive(headers, b"{}").delivery_id.startswith("sha256:")
    assert woocommerce.receive(headers, b"{}").topic == ""


def test_only_a_deletion_counts_from_its_arrival():
    receipts = [receipt_of(signed({"id": 1}, SECRET, topic=topic)) for topic in woocommerce.SKIPPED_TOPICS]
    receipts += [
        receipt_of(signed(a_customer(), SECRET, topic=topic)) for topic in ("customer.updated", "order.created")
    ]

    assert not any(receipt.arrival_counts for receipt in receipts)
    assert receipt_of(signed({"id": 1}, SECRET, topic="customer.deleted")).arrival_counts
    assert parse("customer.deleted", {"id": 417}) == [ProfileRemoved(external_id="417", occurred_at=None)]


# WooCommerce tries a new webhook with an unsigned form.


def lowered(delivery: Any) -> dict[str, str]:
    return {name.lower(): value for name, value in delivery.headers.items()}


def test_a_ping_is_known_by_what_it_is():
    assert woocommerce.is_ping(lowered(ping(12)), ping(12).body)
    assert woocommerce.is_ping({"content-type": "application/x-www-form-urlencoded; charset=UTF-8"}, b"webhook_id=1\n")


@pytest.mark.parametrize(
    ("headers", "body"),
    [
        ({"content-type": "application/json"}, b"webhook_id=12"),
        ({}, b"webhook_id=12"),
        ({"x-wc-webhook-topic": "customer.deleted"}, b"webhook_id=12"),
        ({"x-wc-webhook-signature": "x"}, b"webhook_id=12"),
        ({}, b'{"id": 12}'),
        ({"content-type": "application/x-www-form-urlencoded"}, b"webhook_id=12&id=5"),
        ({"content-type": "application/x-www-form-urlencoded"}, b"webhook_id="),
        ({"content-type": "application/x-www-form-urlencoded"}, b""),
    ],
)
def test_anything_else_is_no_ping(headers: dict[str, str], body: bytes):
    form = {} if headers.get("content-type") or not headers else {"content-type": "application/x-www-form-urlencoded"}

    assert not woocommerce.is_ping({**form, **headers}, body)


# WordPress decodes the secret before it signs.


@pytest.mark.parametrize(
    ("secret", "key"),
    [
        ("plain ~!@#$%^*()", "plain ~!@#$%^*()"),
        ("a&amp;b", "a&b"),
        ("a&b", "a&b"),
        ("&lt;&gt;&quot;&#039;&#39;&#x27;", "<>\"'''"),
        ("&#0038;&#x26;&#X0026;", "&&&"),
        ("&amp;lt;", "&lt;"),  # once
        ("&nbsp;&copy;&AMP;", "&nbsp;&copy;&AMP;"),  # no more than WordPress does
    ],
)
def test_a_secret_signs_in_its_decoded_form(secret: str, key: str):
    body = json.dumps(a_customer()).encode()
    header = base64.b64encode(hmac.digest(key.encode(), body, "sha256")).decode()

    woocommerce.verify({"x-wc-webhook-signature": header}, body, [secret])
    if secret != key:
        escaped = base64.b64encode(hmac.digest(secret.encode(), body, "sha256")).decode()
        with pytest.raises(BadSignatureError):
            woocommerce.verify({"x-wc-webhook-signature": escaped}, body, [secret])


# A delivery has the state of the moment when it leaves the shop.


@pytest.mark.parametrize("topic", ["customer.created", "customer.updated", "order.created", "order.updated"])
def test_an_error_in_place_of_a_resource_is_parked_with_its_reason(topic: str):
    gone = {"code": "woocommerce_rest_invalid_id", "message": "Invalid ID 8817.", "data": {"status": 404}}
    hidden = {"code": "woocommerce_rest_cannot_view", "message": "Sorry 8817.", "data": {"status": 401}}

    assert "gone from the shop" in reason_of(topic, gone)
    assert "owns the webhook" in reason_of(topic, hidden)
    assert "8817" not in reason_of(topic, gone) + reason_of(topic, hidden)
    assert woocommerce.wanted(topic, json.dumps(gone).encode()) is None


def test_the_shop_delivers_such_an_error_signed():
    shop = Shop(7, 50, secret="a&amp;b")
    shop.delete([20])

    late = shop.deliver("customer.updated", 20)

    woocommerce.verify(lowered(late), late.body, ["a&amp;b"])
    assert "gone from the shop" in reason_of(late.topic, late.body)


# Not every user is a customer.


@pytest.mark.parametrize("topic", CUSTOMER_TOPICS)
@pytest.mark.parametrize("role", ["administrator", "editor", "shop_manager", "author", "contributor", "wholesaler"])
def test_the_shops_own_people_are_no_contacts(topic: str, role: str):
    assert parse(topic, a_customer(role=role)) == []


@pytest.mark.parametrize("role", ["customer", "subscriber", "Customer", "", None])
def test_customers_subscribers_and_users_without_a_role_are(role: object):
    assert seen_in("customer.updated", a_customer(role=role)).external_id == "417"


def test_a_shop_may_have_more_roles_of_customers():
    body = a_customer(role="wholesaler")

    assert seen_in("customer.updated", body, customer_roles="customer, Wholesaler").external_id == "417"
    assert parse("customer.updated", a_customer(role="subscriber"), customer_roles="customer") == []


# Dates.


def test_dates_are_of_the_gmt_fields():
    seen = seen_in("customer.updated", a_customer())

    assert (seen.occurred_at, seen.created_at) == (MODIFIED, CREATED)


def test_whoever_was_never_touched_is_dated_by_their_registration():
    assert seen_in("customer.updated", a_customer(date_modified_gmt=None)).occurred_at == CREATED
    assert seen_in("order.created", an_order(date_modified_gmt=None)).occurred_at == datetime(
        2026, 9, 15, 5, tzinfo=UTC
    )


@pytest.mark.parametrize("unset", ["0000-00-00T00:00:00", "-0001-11-30T00:00:00", "", None])
def test_an_unset_date_is_none(unset: object):
    seen = seen_in("customer.updated", a_customer(date_created_gmt=unset))

    assert (seen.occurred_at, seen.created_at) == (MODIFIED, None)


@pytest.mark.parametrize("odd", ["2026-09-14", "yesterday", "2026-13-01T00:00:00", "2026-09-14T16:42:07+02:00"])
def test_any_other_date_is_malformed(odd: str):
    assert reason_of("customer.updated", a_customer(date_modified_gmt=odd)).startswith("date_modified_gmt: expected")


# Empty text means that a field was never set.


def test_empty_text_clears_nothing():
    empty = {"first_name": "", "last_name": " ", "email": "", "billing": {"email": "", "phone": "", "city": ""}}

    seen = seen_in("customer.updated", a_customer(**empty))

    assert (seen.fields, seen.identifiers, seen.region) == ({}, {}, None)


def test_the_billing_address_is_second():
    billing = {"email": "office@example.org", "phone": "400 00 417", "country": "no"}

    seen = seen_in("customer.updated", a_customer(billing=billing))

    assert {slot: one and one.value for slot, one in seen.identifiers.items()} == {
        "email": "marit@example.org",
        "email_billing": "office@example.org",
        "phone": "400 00 417",
    }
    assert min(seen.identifiers) == "email", "slots are shown in this order"
    assert seen.region == "NO"


def test_a_number_is_read_in_the_country_of_its_address():
    shipping = {"phone": "040 0000417", "country": "FI"}

    seen = seen_in("customer.updated", a_customer(billing={"country": "NO", "phone": ""}, shipping=shipping))

    assert seen.identifiers["phone"].value == "040 0000417"
    assert seen.region == "FI"


def test_a_name_is_never_half_of_one_and_half_of_another():
    assert seen_in("customer.updated", a_customer(first_name="")).fields == {
        "last_name": "Solvang",
        "address": {"country_code": "NO"},
    }
    both = seen_in("customer.updated", a_customer(first_name="", last_name="")).fields
    assert (both["first_name"], both["last_name"]) == ("Rolf", "Aune")


# Orders.


@pytest.mark.parametrize("topic", ["order.created", "order.updated", "read/order"])
def test_an_order_of_a_customer_says_nothing_about_the_customer(topic: str):
    assert parse(topic, an_order(customer_id=417)) == []


def test_a_guest_is_who_pays_and_not_who_gets_the_parcel():
    seen = seen_in("order.created", an_order(shipping={"first_name": "Aino", "phone": "040 0000417", "country": "FI"}))

    assert seen.external_id is None
    assert seen.fields == {"first_name": "Tobias", "last_name": "Lindqvist"}
    assert list(seen.identifiers) == ["email"]
    assert seen.region == "SE"


def test_what_a_guest_typed_is_as_old_as_the_order_and_edits_tell_its_states_apart():
    seen = seen_in(
        "order.updated", an_order(date_created_gmt="2026-09-15T05:00:00", date_modified_gmt="2026-11-01T00:00:00")
    )

    assert seen.occurred_at == seen.created_at == datetime(2026, 9, 15, 5, tzinfo=UTC)
    assert seen.edited_at == datetime(2026, 11, 1, tzinfo=UTC)


def test_an_order_that_does_not_say_whose_it_is_is_no_guests():
    order = an_order()
    del order["customer_id"]

    assert reason_of("order.created", order).startswith("customer_id: expected")


@pytest.mark.parametrize(
    "topic", ["order.deleted", "order.restored", "action.woocommerce_add_to_cart", "product.updated"]
)
def test_other_topics_say_nothing(topic: str):
    assert parse(topic, b"no JSON") == []


@pytest.mark.parametrize(
    ("topic", "body", "external_id"),
    [
        ("order.created", an_order(customer_id=417), "417"),
        ("order.updated", an_order(customer_id=417), "417"),
        ("order.created", an_order(), None),
        ("order.deleted", {"id": 9041}, None),
        ("customer.updated", {"id": 417}, "417"),
        ("customer.updated", a_customer(), None),
        ("customer.updated", a_customer(role="editor"), None),
        ("customer.deleted", {"id": 417}, None),
        ("product.updated", {"id": 417}, None),
        ("customer.updated", [], None),
        ("order.created", {"customer_id": "many"}, None),
    ],
)
def test_read_back_is_who_a_webhook_only_points_at(topic: str, body: object, external_id: str | None):
    assert woocommerce.wanted(topic, json.dumps(body).encode()) == external_id
    assert woocommerce.wanted(topic, b"\xff") is None


# Consent comes from a plugin.


def consent_in(*values: object, key: str = META_KEY, option: str = META_KEY, **options: str) -> ConsentStated | None:
    body = a_customer(meta_data=[{"id": n, "key": key, "value": value} for n, value in enumerate(values)])
    events = parse("customer.updated", body, **({"consent_meta_key": option} if option else {}), **options)[1:]
    assert len(events) < 2
    return next((event for event in events if isinstance(event, ConsentStated)), None)


@pytest.mark.parametrize("value", ["yes", "YES ", "1", 1, True, "true", "on"])
def test_a_ticked_box_is_a_yes_of_unknown_age(value: object):
    stated = consent_in(value)

    assert stated is not None
    assert (stated.status, stated.channel, stated.address) == ("opted_in", "email", "marit@example.org")
    assert stated.occurred_at == CREATED, "a change of address says the tick again; it is not a newer yes"


@pytest.mark.parametrize(
    "value",
    ["no", "0", 0, False, "false", "off", "", "unsubscribed", "Unsubscribed ", "opt-out", "cleaned", "archived"],
)
def test_an_empty_box_is_a_no_of_the_customers_time(value: object):
    stated = consent_in(value)

    assert stated is not None
    assert (stated.status, stated.occurred_at) == ("opted_out", MODIFIED)


def test_a_box_that_waits_for_a_confirmation_is_pending():
    assert consent_in("pending").status == "pending"


@pytest.mark.parametrize("value", [None, "not_subscribed", "unknown", "none"])
def test_a_word_for_nothing_says_nothing(value: object):
    assert consent_in(value) is None


@pytest.mark.parametrize("value", [2, "maybe", ["yes"], {"yes": "yes"}, 1.0, "  "])
def test_a_word_that_nobody_knows_is_a_no_until_somebody_decides(value: object):
    stated = consent_in(value)

    assert stated is not None
    assert stated.status == "opted_out"
    assert stated.evidence["unknown_word_at"] == "meta_data.newsletter_box"
    assert stated.evidence["unknown_word"]


@pytest.mark.parametrize(("words", "status"), [("maybe=yes", "opted_in"), ("other=no, Maybe = pending", "pending")])
def test_an_operator_decides_what_a_word_means(words: str, status: str):
    stated = consent_in("maybe", consent_words=words)

    assert (stated.status, stated.evidence) == (status, {})


def test_a_box_is_read_only_if_the_connection_names_it():
    assert consent_in("yes", option="") is None
    assert consent_in("yes", key="_other_box") is None


def test_of_two_boxes_the_empty_one_counts():
    for values in (("yes", "no"), ("no", "yes")):
        stated = consent_in(*values)
        assert stated is not None
        assert stated.status == "opted_out"


@pytest.mark.parametrize("odd", ["none", {"key": META_KEY}, 5])
def test_meta_data_that_is_no_list_is_malformed_only_where_it_is_read(odd: object):
    assert parse("customer.updated", a_customer(meta_data=odd))
    with pytest.raises(MalformedPayloadError, match="meta_data: expected a list"):
        parse("customer.updated", a_customer(meta_data=odd), consent_meta_key=META_KEY)


# The topic is not signed.


PRODUCT = {"id": 417, "name": "Lamp oil", "sku": "lamp", "permalink": "https://shop.example/lamp"}


@pytest.mark.parametrize("topic", ["customer.created", "customer.updated"])
@pytest.mark.parametrize("other", ["order", "product"])
def test_an_order_or_a_product_is_no_customer(topic: str, other: str):
    order = {"id": 417, "customer_id": 0, "billing": {"email": "gift@example.net"}, "line_items": []}

    with pytest.raises(MalformedPayloadError, match="something else"):
        parse(topic, order if other == "order" else PRODUCT)


def test_a_customer_is_no_order_and_no_deletion():
    customer = {"id": 417, "role": "customer", "email": "ines@example.org", "customer_id": 5}

    for topic in ("order.created", "order.updated", "customer.deleted"):
        with pytest.raises(MalformedPayloadError):
            parse(topic, customer)


def test_a_body_of_an_id_alone_makes_and_revives_nobody():
    assert parse("customer.updated", {"id": 417}) == [ProfileSeen(external_id="417", occurred_at=None, exists=False)]
