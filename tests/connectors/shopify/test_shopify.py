"""Shopify's quirks in webhooks."""

import json
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from connectors import left_out, shopify
from connectors.contract import (
    Account,
    BadSignatureError,
    ConnectionRevoked,
    ConsentStated,
    ErasureRequested,
    Event,
    Identifier,
    MalformedPayloadError,
    ProfileRemoved,
    ProfileSeen,
    ProfilesMerged,
    SuppressionStated,
    TagsAdded,
    TagsSnapshot,
)
from connectors.shopify.topics import TRANSLATIONS
from tests.connectors.recorded import PAYLOADS, an_envelope, requests

GID = "gid://shopify/Customer/5150"
EMAIL_CONSENT = "customers_email_marketing_consent/update"
SMS_CONSENT = "customers_marketing_consent/update"
WHATSAPP_CONSENT = "customers_whats_app_marketing_consent/update"
SAMPLES = Path(__file__).parents[4] / "shared/samples/shopify"


def parse(topic: str, body: object, *, approved: tuple[str, ...] = ()) -> list[Event]:
    account = Account(source="shopify", approved_fields=frozenset(approved))
    return list(shopify.parse(an_envelope(topic, body), account))


def seen_in(topic: str, body: object, *, approved: tuple[str, ...] = ()) -> ProfileSeen:
    event = parse(topic, body, approved=approved)[0]
    assert isinstance(event, ProfileSeen)
    return event


def reason_of(topic: str, body: object) -> str:
    with pytest.raises(MalformedPayloadError) as caught:
        parse(topic, body)
    return str(caught.value)


def a_customer(**changes: Any) -> dict[str, Any]:
    return {
        "id": 5150,
        "updated_at": "2026-09-14T18:42:07+02:00",
        "first_name": "Ines",
        "last_name": "Abara",
        "email": "ines@example.org",
        "phone": "+351210000515",
        "verified_email": True,
        **changes,
    }


def email_consent(state: object, **changes: Any) -> dict[str, Any]:
    return {
        "customer_id": 5150,
        "email_address": "ines@example.org",
        "email_marketing_consent": {"state": state, "opt_in_level": None, "consent_updated_at": "2026-09-14T18:42:07Z"},
        **changes,
    }


def an_order(**changes: Any) -> dict[str, Any]:
    return {"id": 1, "created_at": "2026-09-15T07:00:00Z", "updated_at": "2026-09-15T07:00:04Z", **changes}


# Absent is not empty.


def test_customer_without_tags_and_consent_says_nothing_about_them():
    assert [type(event) for event in parse("customers/update", a_customer())] == [ProfileSeen]


def test_null_tags_are_not_an_empty_set():
    assert len(parse("customers/update", a_customer(tags=None))) == 1


def test_empty_tags_of_an_old_body_are_an_empty_set():
    snapshot = parse("customers/update", a_customer(tags=""))[1]

    assert snapshot == TagsSnapshot(
        external_id="5150", tags=(), occurred_at=datetime(2026, 9, 14, 16, 42, 7, tzinfo=UTC)
    )


def test_accepts_marketing_alone_is_no_consent():
    body = a_customer(accepts_marketing=True, accepts_marketing_updated_at="2026-01-01T00:00:00Z")

    assert len(parse("customers/update", body)) == 1


@pytest.mark.parametrize("topic", ["orders/create", "checkouts/create"])
@pytest.mark.parametrize("ticked", [True, False])
def test_buyer_accepts_marketing_is_never_consent(topic: str, ticked: object):
    body = an_order(customer=a_customer(), buyer_accepts_marketing=ticked, buyer_accepts_sms_marketing=ticked)

    assert [type(event) for event in parse(topic, body)] == [ProfileSeen]


@pytest.mark.parametrize("topic", ["customers/create", "customers/update", "customers/enable", "customers/disable"])
def test_oversized_body_shows_the_customer_and_wipes_nothing(topic: str):
    approved = tuple(shopify.PROTECTED_FIELDS)

    assert parse(topic, {"id": 5150}, approved=approved) == [ProfileSeen(external_id="5150", occurred_at=None)]


def test_oversized_order_says_nothing():
    assert parse("orders/create", {"id": 1}) == []


# The delivery id.


def receipt_of(**headers: str):
    return shopify.receive({name.replace("_", "-"): value for name, value in headers.items()}, b"{}")


def test_webhook_id_is_the_delivery_and_event_id_is_not():
    one = receipt_of(x_shopify_topic="customers/update", x_shopify_webhook_id="one", x_shopify_event_id="action")
    two = receipt_of(x_shopify_topic="customer.tags_added", x_shopify_webhook_id="two", x_shopify_event_id="action")

    assert (one.delivery_id, two.delivery_id) == ("one", "two")


@pytest.mark.parametrize("webhook_id", ["", "   ", "x" * 129, "één", "a\nb", "\0"])
def test_odd_webhook_id_is_replaced_by_a_digest_of_topic_and_body(webhook_id: str):
    one = receipt_of(x_shopify_topic="customers/update", x_shopify_webhook_id=webhook_id)
    other = receipt_of(x_shopify_topic="customers/create", x_shopify_webhook_id=webhook_id)

    assert re.fullmatch("sha256:[0-9a-f]{64}", one.delivery_id)
    assert one.delivery_id != other.delivery_id


# Times in headers.


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("2025-03-11T20:54:30.516267807Z", datetime(2025, 3, 11, 20, 54, 30, 516267, tzinfo=UTC)),
        ("2025-07-10T16:15:47.000000Z", datetime(2025, 7, 10, 16, 15, 47, tzinfo=UTC)),
        ("2025-07-10T16:15:47", None),
        ("soon", None),
        ("", None),
    ],
)
def test_sending_time_is_read_or_none(header: str, expected: datetime | None):
    assert receipt_of(x_shopify_triggered_at=header).sent_at == expected


@pytest.mark.parametrize("topic", ["t\u00f6pic", "\0", "x" * 200, "a\nb"])
def test_odd_topic_is_empty(topic: str):
    assert receipt_of(x_shopify_topic=topic).topic == ""


# Three consent topics with three layouts and vocabularies.


def test_three_consent_topics_are_read_in_their_three_layouts():
    at, when = "2026-09-14T18:42:07Z", datetime(2026, 9, 14, 18, 42, 7, tzinfo=UTC)
    sms = {"state": "subscribed", "opt_in_level": None, "consent_updated_at": at, "consent_collected_from": "OTHER"}
    whatsapp = {"state": "SUBSCRIBED", "opt_in_level": None, "updated_at": at, "collected_from": "SHOPIFY"}

    found = [
        *parse(EMAIL_CONSENT, email_consent("subscribed")),
        *parse(SMS_CONSENT, {"id": 5150, "phone": "+351210000515", "sms_marketing_consent": sms}),
        *parse(
            WHATSAPP_CONSENT,
            {"customer_id": 5150, "phone_number": "+351210000515", "whats_app_marketing_consent": whatsapp},
        ),
    ]

    assert [(e.external_id, e.channel, e.status, e.address, e.occurred_at, e.evidence) for e in found] == [
        ("5150", "email", "opted_in", "ines@example.org", when, {}),
        ("5150", "sms", "opted_in", "+351210000515", when, {"collected_from": "other"}),
        ("5150", "whatsapp", "opted_in", "+351210000515", when, {"collected_from": "shopify"}),
    ]


@pytest.mark.parametrize("state", ["not_subscribed", "never_subscribed", "NEVER_SUBSCRIBED"])
def test_never_asked_is_unknown_and_suppresses_nothing(state: str):
    (stated,) = parse(EMAIL_CONSENT, email_consent(state))

    assert isinstance(stated, ConsentStated)
    assert stated.status == "unknown"


@pytest.mark.parametrize("state", [None, ""])
def test_null_state_says_nothing(state: object):
    assert parse(EMAIL_CONSENT, email_consent(state, email_address=None)) == []


def test_unknown_state_is_malformed_and_lists_the_known():
    assert reason_of(EMAIL_CONSENT, email_consent("ines agreed by phone")) == (
        "email_marketing_consent.state: expected subscribed, unsubscribed, pending, not_subscribed, "
        "never_subscribed, invalid, redacted, got another word"
    )


def test_missing_consent_object_is_malformed():
    assert (
        reason_of(SMS_CONSENT, {"id": 5150, "phone": None}) == "sms_marketing_consent: expected an object, got nothing"
    )


def test_opt_in_level_alone_is_no_consent():
    consent = {"state": "not_subscribed", "opt_in_level": "confirmed_opt_in", "consent_updated_at": None}

    (stated,) = parse(EMAIL_CONSENT, email_consent(None, email_marketing_consent=consent))

    assert (stated.status, stated.method, stated.evidence) == ("unknown", None, {"opt_in_level": "confirmed_opt_in"})


def test_invalid_address_suppresses_without_touching_the_will():
    (stated,) = parse(EMAIL_CONSENT, email_consent("invalid"))

    assert isinstance(stated, SuppressionStated)
    assert (stated.reason, stated.scope, stated.lifted) == ("invalid_address", "all", False)


def test_no_without_an_address_belongs_to_the_record():
    (stated,) = parse(EMAIL_CONSENT, email_consent("unsubscribed", email_address=None))

    assert isinstance(stated, ConsentStated)
    assert (stated.external_id, stated.address, stated.status) == ("5150", None, "opted_out")


# Gids, and numbers that JavaScript rounded.


def test_gid_wins_over_a_rounded_number():
    body = a_customer(id=706405506930370000, admin_graphql_api_id="gid://shopify/Customer/706405506930370084")

    assert seen_in("customers/update", body).external_id == "706405506930370084"


@pytest.mark.parametrize("number", [5150, "5150", GID, GID + "?from=search"])
def test_id_may_come_as_number_text_or_gid(number: object):
    assert seen_in("customers/update", a_customer(id=number)).external_id == "5150"


def test_fraction_is_no_id():
    assert reason_of("customers/update", a_customer(id=5150.0)) == (
        "id: expected a whole number above 0 or the gid of a Customer, got a number"
    )


def test_gid_of_an_order_is_no_customer():
    body = {"customerId": "gid://shopify/Order/5150", "tags": ["a"], "occurredAt": "2026-09-14T18:42:07Z"}

    assert "customerId: " in reason_of("customer.tags_added", body)


# Merges.


def test_completed_merge_is_a_merge_and_has_no_time_of_its_own():
    body = {
        "admin_graphql_api_customer_kept_id": GID,
        "admin_graphql_api_customer_deleted_id": "gid://shopify/Customer/5151",
        "status": "COMPLETED",
    }

    assert parse("customers/merge", body) == [
        ProfilesMerged(kept_external_id="5150", lost_external_id="5151", occurred_at=None)
    ]


@pytest.mark.parametrize("status", ["failed", "requested", "IN_PROGRESS"])
def test_merge_that_is_not_completed_changes_nothing(status: str):
    assert parse("customers/merge", {"status": status}) == []


@pytest.mark.parametrize(
    ("status", "got"), [("done", "another word"), (None, "nothing"), ("", "nothing"), (1, "a number")]
)
def test_merge_with_an_unknown_status_is_malformed(status: object, got: str):
    expected = "text" if status == 1 else "completed, failed, requested, in_progress"

    assert reason_of("customers/merge", {"status": status}) == f"status: expected {expected}, got {got}"


def test_merge_of_a_customer_with_itself_is_malformed():
    body = {
        "admin_graphql_api_customer_kept_id": GID,
        "admin_graphql_api_customer_deleted_id": GID,
        "status": "completed",
    }

    assert "expected another customer" in reason_of("customers/merge", body)


# Signatures, and the headers of Next Gen Events.


@pytest.mark.parametrize("name", ["x-shopify-hmac-sha256", "shopify-hmac-sha256"])
def test_oldest_secret_may_have_signed_in_either_header(name: str):
    vector = json.loads((PAYLOADS / "shopify/signature_vector.json").read_text("utf-8"))
    (signature,) = vector["headers"].values()

    shopify.verify({name: signature}, vector["body"].encode(), ["newest", *vector["secrets"]])


def test_header_without_x_is_preferred():
    vector = json.loads((PAYLOADS / "shopify/signature_vector.json").read_text("utf-8"))
    headers = {**vector["headers"], "shopify-hmac-sha256": "A" * 43 + "="}

    with pytest.raises(BadSignatureError):
        shopify.verify(headers, vector["body"].encode(), vector["secrets"])
    assert receipt_of(shopify_webhook_id="new", x_shopify_webhook_id="old").delivery_id == "new"


@pytest.mark.parametrize(
    ("headers", "topic"),
    [
        ({"shopify_topic": "Customer", "shopify_action": "update"}, "Customer/update"),
        ({"shopify_topic": "Customer", "x_shopify_topic": "Customer", "shopify_action": "DELETE"}, "Customer/delete"),
        ({"shopify_topic": "Customer"}, "Customer"),
        ({"x_shopify_topic": "customers/update", "shopify_action": "update"}, "customers/update"),
        ({}, ""),
    ],
)
def test_topic_of_an_event_carries_its_action(headers: Mapping[str, str], topic: str):
    assert receipt_of(**headers).topic == topic


@pytest.mark.parametrize("fields_changed", [[f"customer[id: '{GID}'].tags"], {"added": [], "updated": []}, None, 5])
def test_fields_changed_may_have_any_form(fields_changed: object):
    body = {
        "action": "update",
        "fields_changed": fields_changed,
        "data": {"customer": {"id": GID, "firstName": "Ines"}},
    }

    assert parse("Customer", body) == [ProfileSeen(external_id="5150", occurred_at=None, fields={"first_name": "Ines"})]


def test_tags_of_an_event_count_from_the_sending_time():
    customer = {"id": GID, "updatedAt": "2026-09-14T18:42:07Z", "tags": ["VIP"]}

    snapshot = parse("Customer/update", {"data": {"customer": customer}})[1]

    assert snapshot == TagsSnapshot(external_id="5150", tags=("VIP",), occurred_at=None)


def test_stub_of_an_event_names_the_customer_or_is_malformed():
    stub = {"payload_url": "https://storage.example/signed", "payload_size_bytes": 1200345}

    assert parse("Customer/update", {**stub, "query_variables": {"customerId": GID}}) == [
        ProfileSeen(external_id="5150", occurred_at=None)
    ]
    assert (
        reason_of("Customer/update", stub) == "query_variables.customerId: expected the gid of a Customer, got nothing"
    )


def test_event_without_action_is_malformed():
    assert reason_of("Customer", {"query_variables": {"customerId": GID}}) == "action: expected text, got nothing"


def test_event_of_a_removal_needs_only_the_variables():
    assert parse("Customer/delete", {"query_variables": {"customerId": GID}}) == [
        ProfileRemoved(external_id="5150", occurred_at=None)
    ]


def test_parts_that_the_query_did_not_ask_for_stay_absent():
    customer = {"id": GID, "defaultEmailAddress": {"marketingState": None}, "lastOrder": {}, "amountSpent": {}}

    seen = seen_in("Customer/update", {"data": {"customer": customer}}, approved=tuple(shopify.PROTECTED_FIELDS))

    assert seen == ProfileSeen(external_id="5150", occurred_at=None)


# Checkouts without an id.


def test_checkout_needs_no_id_and_waits_for_a_contact_point():
    nobody = {"token": "t", "email": None, "sms_marketing_phone": "+351210000515", "billing_address": {"phone": "1"}}

    assert parse("checkouts/update", nobody) == []
    assert seen_in("checkouts/update", {**nobody, "email": "ines@example.org"}).identifiers == {
        "email": Identifier(type="email", value="ines@example.org")
    }


# Fields that are hidden from the app.


@pytest.mark.parametrize("empty", [None, "", "  "])
def test_empty_protected_field_is_absent_until_approved(empty: object):
    body = a_customer(first_name=empty, email=empty, note=empty, default_address=None)

    hidden = seen_in("customers/update", body)
    partly = seen_in("customers/update", body, approved=("email",))
    shown = seen_in("customers/update", body, approved=tuple(shopify.PROTECTED_FIELDS))

    assert hidden.fields == {"last_name": "Abara", "note": None}
    assert hidden.identifiers.keys() == {"phone"}
    assert partly.fields == hidden.fields
    assert partly.identifiers["email"] is None
    assert shown.fields == {"first_name": None, "last_name": "Abara", "note": None, "address": None}
    assert shown.identifiers["email"] is None


def test_missing_field_is_absent_even_if_approved():
    seen = seen_in("customers/update", {"id": 5150}, approved=tuple(shopify.PROTECTED_FIELDS))

    assert seen.fields == {}
    assert seen.identifiers == {}


# The customer.


def test_phone_of_the_address_is_no_identifier():
    seen = seen_in(
        "customers/update", a_customer(phone=None, default_address={"phone": "555-5555", "country_code": "pt"})
    )

    assert seen.identifiers.keys() == {"email"}
    assert seen.fields["address"] == {"country_code": "pt", "phone": "555-5555"}
    assert seen.region == "PT"


@pytest.mark.parametrize("code", ["PTR", "P", "1A", "ÅL", None])
def test_country_that_is_no_code_gives_no_region(code: str | None):
    assert seen_in("customers/update", a_customer(default_address={"country_code": code})).region is None


def test_white_space_inside_an_email_is_removed_and_its_case_kept():
    seen = seen_in("customers/update", a_customer(email=" Ines.Abara @example.org\n"))

    assert seen.identifiers["email"] == Identifier(type="email", value="Ines.Abara@example.org", verified=True)


@pytest.mark.parametrize("flag", [False, None])
def test_email_is_verified_only_if_shopify_says_so(flag: object):
    seen = seen_in("customers/update", a_customer(verified_email=flag))

    assert seen.identifiers["email"] == Identifier(type="email", value="ines@example.org", verified=False)
    assert seen.identifiers["phone"] == Identifier(type="phone", value="+351210000515", verified=False)


def test_long_note_is_kept_and_an_endless_one_is_left_out():
    assert seen_in("customers/update", a_customer(note="x" * 20_000)).fields["note"] == "x" * 20_000
    notes = left_out.collect()
    assert "note" not in seen_in("customers/update", a_customer(note="x" * 20_001)).fields
    assert notes == ["note: longer than 20,000 characters"]


def test_broken_part_keeps_the_whole_envelope_back():
    assert reason_of("customers/update", a_customer(tags=[1])) == "tags: expected a list of text, got a number in it"


# Tags.


def test_tags_are_split_at_commas_trimmed_and_named_once():
    body = {"customerId": GID, "tags": ["VIP", "vip ", "a, b", " ", ",", "B"], "occurredAt": "2026-09-14T18:42:07Z"}

    assert parse("customer.tags_added", body) == [
        TagsAdded(external_id="5150", tags=("VIP", "a", "b"), occurred_at=datetime(2026, 9, 14, 18, 42, 7, tzinfo=UTC))
    ]


@pytest.mark.parametrize(
    ("tags", "reason"),
    [
        ([str(n) for n in range(251)], "tags: more than 250 tags"),
        (["x" * 256], "tags: a tag is longer than 255 characters"),
        (["a", 5], "tags: expected a list of text, got a number in it"),
        ({"a": 1}, "tags: expected a list of text, got an object"),
        (None, "tags: expected a list of text, got nothing"),
    ],
)
def test_tags_that_shopify_cannot_have_sent_are_malformed(tags: object, reason: str):
    assert reason_of("customer.tags_removed", {"customerId": GID, "tags": tags}) == reason


def test_as_many_tags_as_shopify_allows_are_read():
    tags = ["x" * 252 + f"{n:03}" for n in range(250)]

    assert parse("customer.tags_added", {"customerId": GID, "tags": tags})[0].tags == tuple(tags)
    assert parse("customer.tags_added", {"customerId": GID, "tags": []}) == []


# Orders.


def test_email_of_the_order_is_not_mixed_into_its_customer():
    body = an_order(email="gift@example.net", phone="+351210000999", customer=a_customer(updated_at=None))

    seen = seen_in("orders/create", body)

    assert seen.external_id == "5150"
    assert seen.occurred_at == datetime(2026, 9, 15, 7, 0, 4, tzinfo=UTC)
    assert seen.created_at is None
    assert {i.value for i in seen.identifiers.values() if i} == {"ines@example.org", "+351210000515"}


def test_customer_in_an_order_keeps_its_own_time():
    seen = seen_in("orders/create", an_order(customer=a_customer()))

    assert seen.occurred_at == datetime(2026, 9, 14, 16, 42, 7, tzinfo=UTC)


@pytest.mark.parametrize("customer", [None, {}, {"id": None, "email": "ghost@example.org"}])
def test_order_without_a_customer_is_a_guest(customer: object):
    seen = seen_in("orders/updated", an_order(email="ines@example.org", customer=customer))

    assert seen.external_id is None
    assert seen.identifiers == {"email": Identifier(type="email", value="ines@example.org")}


@pytest.mark.parametrize(
    ("contacts", "expected"),
    [
        ({"email": "a@example.org", "contact_email": "b@example.org"}, {"email": "a@example.org"}),
        ({"email": None, "contact_email": "b@example.org"}, {"email": "b@example.org"}),
        ({"email": "a@example.org", "phone": "+1"}, {"email": "a@example.org", "phone": "+1"}),
        ({"phone": "+1", "billing_address": {"phone": "555"}}, {"phone": "+1"}),
        ({"email": "a@example.org", "billing_address": {"phone": "555"}}, {"email": "a@example.org"}),
        ({"billing_address": {"phone": "555"}, "shipping_address": {"phone": "556"}}, {"phone": "555"}),
    ],
)
def test_guest_is_known_by_the_best_contact_point(contacts: dict[str, Any], expected: dict[str, str]):
    seen = seen_in("orders/create", an_order(**contacts))

    assert {slot: found.value for slot, found in seen.identifiers.items() if found} == expected


@pytest.mark.parametrize("rest", [{}, {"shipping_address": {"phone": "556"}}, {"email": "", "phone": " "}])
def test_order_that_names_nobody_says_nothing(rest: dict[str, Any]):
    assert parse("orders/create", an_order(**rest)) == []


def test_name_of_a_guest_is_never_mixed_from_two_addresses():
    body = an_order(
        email="ines@example.org",
        billing_address={"first_name": None, "last_name": "Abara", "country_code": "Portugal"},
        shipping_address={"first_name": "Joana", "last_name": "Reis", "country_code": "PT"},
    )

    seen = seen_in("orders/create", body)

    assert seen.fields == {"last_name": "Abara"}
    assert seen.region == "PT"


def test_order_of_the_test_gateway_is_read_like_any_other():
    assert seen_in("orders/create", an_order(test=True, email="ines@example.org")).external_id is None


def test_what_a_guest_typed_is_as_old_as_the_order_and_edits_tell_its_states_apart():
    seen = seen_in("orders/updated", an_order(email="ines@example.org", updated_at="2026-11-01T00:00:00Z"))

    assert seen.occurred_at == seen.created_at == datetime(2026, 9, 15, 7, tzinfo=UTC)
    assert seen.edited_at == datetime(2026, 11, 1, tzinfo=UTC)


def test_an_order_without_a_date_of_its_own_is_as_old_as_its_last_edit():
    seen = seen_in("orders/updated", an_order(email="ines@example.org", created_at=None))

    assert (seen.occurred_at, seen.edited_at) == (datetime(2026, 9, 15, 7, 0, 4, tzinfo=UTC), None)


@pytest.mark.parametrize(
    ("ended", "minute"),
    [
        ({}, 30),
        ({"completed_at": None, "closed_at": None}, 30),
        ({"completed_at": "2026-09-15T07:10:00Z"}, 10),
        ({"closed_at": "2026-09-15T07:20:00Z"}, 20),
        ({"completed_at": "2026-09-15T07:10:00Z", "closed_at": "2026-09-15T07:20:00Z"}, 10),
    ],
)
def test_a_checkout_is_typed_until_it_is_completed_or_closed(ended: dict[str, Any], minute: int):
    body = an_order(email="ines@example.org", updated_at="2026-09-15T07:30:00Z", **ended)

    assert seen_in("checkouts/update", body).occurred_at == datetime(2026, 9, 15, 7, minute, tzinfo=UTC)


# Compliance topics.


def test_redact_by_email_alone_is_an_erasure():
    assert parse("customers/redact", {"customer": {"email": "ines@example.org"}}) == [
        ErasureRequested(
            subject="customer",
            external_id=None,
            identifiers=(Identifier(type="email", value="ines@example.org"),),
            occurred_at=None,
        )
    ]


@pytest.mark.parametrize("topic", ["customers/redact", "customers/data_request"])
@pytest.mark.parametrize("customer", [None, {}, {"id": None, "email": "", "phone": None}])
def test_request_of_the_law_that_names_nobody_is_parked_and_not_passed_over(topic: str, customer: object):
    assert reason_of(topic, {"shop_id": 1, "customer": customer}).startswith("customer: expected an ")


def test_uninstalled_app_needs_nothing_from_the_body():
    assert parse("app/uninstalled", {"domain": None}) == [ConnectionRevoked(occurred_at=None)]


# The tables.


def test_every_followed_topic_has_a_recorded_request():
    recorded = {request.content["topic"] for request in requests() if request.connector is shopify}

    assert TRANSLATIONS.keys() <= recorded


def test_no_topic_is_both_followed_and_skipped():
    assert not TRANSLATIONS.keys() & shopify.SKIPPED_TOPICS.keys()


@pytest.mark.skipif(not SAMPLES.is_dir(), reason="the samples are not in the repository")
def test_published_samples_give_events_nothing_or_a_readable_reason():
    topics = {re.sub(r"[/.]", "_", topic): topic for topic in [*TRANSLATIONS, *shopify.SKIPPED_TOPICS]}
    # The misspelled topics have the same file names as the real topics, which are recorded.
    topics |= {re.sub(r"[/.]", "_", topic): topic for topic in (EMAIL_CONSENT, SMS_CONSENT)}
    topics |= {
        "events_customer_update": "Customer",
        "events_product_update": "Product/update",
        "webhook_oversize_stub": "customers/update",
    }
    events: list[Event] = []
    reasons: list[str] = []

    for path in sorted(SAMPLES.glob("*.json")):
        topic = topics.get(path.name.split(".")[0])
        if topic is None:
            continue  # pages of the Admin API, headers and vectors are not bodies of webhooks
        try:
            events += parse(topic, path.read_bytes())
        except MalformedPayloadError as error:
            reasons.append(str(error))

    assert len(events) > 20
    assert [reason for reason in reasons if not re.fullmatch(r"[A-Za-z_.]+: .+", reason)] == []
