"""Texts that a body can do without are left out if they cannot be used, and everything else in it counts."""

import json

import pytest

from connectors import files, left_out, shopify, woocommerce
from connectors.contract import Account, ConsentStated, MalformedPayloadError, ProfileSeen, UnusableTextError
from tests.connectors.recorded import an_envelope

MARKS = "e" + "\u0301" * 600_000
HOSTILE = [MARKS, "x" * 1_001, "\u00e9" * 5_000, "\ufdfa" * 1_001]
NAMES = ["marks", "long", "long and composed", "ligatures"]


def read(connector, topic, body, headers=(), **options):
    """Return the events of a body, and the notes."""
    notes = left_out.collect()
    envelope = an_envelope(topic, body, headers=dict(headers))
    return list(connector.parse(envelope, Account(source="shop", options=options))), notes


def refusals(events):
    return [event for event in events if type(event) is ConsentStated and event.status == "opted_out"]


@pytest.mark.parametrize("text", HOSTILE, ids=NAMES)
@pytest.mark.parametrize("key", ["first_name", "locale", "tags", "email", "phone"])
def test_a_hostile_text_of_shopify_takes_no_refusal_with_it(key, text):
    body = {
        "id": 5150,
        "updated_at": "2026-09-14T18:42:07Z",
        "email": "ayu@example.com",
        "phone": "+6281234567890",
        "last_name": "Lestari",
        "email_marketing_consent": {"state": "unsubscribed", "consent_updated_at": "2026-09-14T18:42:07Z"},
        "sms_marketing_consent": {"state": "unsubscribed", "consent_updated_at": "2026-09-14T18:42:07Z"},
        key: text,
    }

    events, notes = read(shopify, "customers/update", body)

    assert {event.channel for event in refusals(events)} == {"email", "sms"}
    assert events[0].fields["last_name"] == "Lestari"
    assert key not in {*events[0].fields, *events[0].identifiers}
    assert [note.partition(":")[0] for note in notes] == [key]


def test_a_yes_for_an_address_that_cannot_be_used_is_for_no_other():
    consent = {"state": "subscribed", "consent_updated_at": "2026-09-14T18:42:07Z"}
    body = {"id": 5150, "updated_at": "2026-09-14T18:42:07Z", "phone": MARKS, "sms_marketing_consent": consent}

    events, notes = read(shopify, "customers/update", body)

    assert [type(event) for event in events] == [ProfileSeen]
    assert len(notes) == 1


@pytest.mark.parametrize("text", HOSTILE, ids=NAMES)
@pytest.mark.parametrize("key", ["first_name", "email"])
@pytest.mark.parametrize(("box", "expected"), [("0", 1), ("1", 0)])
def test_a_hostile_text_of_woocommerce_takes_no_refusal_with_it(key, text, box, expected):
    body = {
        "id": 7,
        "email": "ayu@example.com",
        "billing": {"email": "other@example.com", "address_1": text},
        "meta_data": [{"key": "newsletter", "value": box}],
        key: text,
    }

    events, notes = read(woocommerce, "customer.updated", body, consent_meta_key="newsletter")

    assert len(refusals(events)) == expected
    opened = [event.address for event in events if type(event) is ConsentStated and event.status == "opted_in"]
    assert opened == ([] if expected or key == "email" else ["ayu@example.com"])
    assert {note.partition(":")[0] for note in notes} == {key, "billing.address_1"}


@pytest.mark.parametrize("text", HOSTILE, ids=NAMES)
@pytest.mark.parametrize("ours", ["first_name", "field.colour", "city", "tags"])
def test_a_hostile_cell_takes_no_refusal_with_it(ours, text):
    text = text * 20 if ours == "field.colour" else "," + text if ours == "tags" else text
    mapping = {"external_id": "id", "email": "mail", "email_consent": "news", ours: "other"}
    row = {"id": "X1", "mail": "ayu@example.com", "news": "no", "other": text}
    headers = {files.MAPPING: json.dumps(mapping), files.AS_OF: "2026-09-14T18:42:07Z"}

    events, notes = read(files, files.TOPIC, row, headers)

    assert len(refusals(events)) == 1
    assert [note.partition(":")[0] for note in notes] == ["other"]


def test_a_guest_with_one_usable_address_is_known_by_it_and_one_with_none_is_parked():
    order = {"id": 1, "created_at": "2026-09-14T18:42:07Z", "email": MARKS, "phone": "+6281234567890"}

    events, notes = read(shopify, "orders/create", order)

    assert list(events[0].identifiers) == ["phone"]
    assert len(notes) == 1
    with pytest.raises(MalformedPayloadError, match="email: longer than 1,000"):
        read(shopify, "orders/create", {**order, "phone": None})
    with pytest.raises(MalformedPayloadError, match=r"billing\.email: longer than"):
        read(woocommerce, "order.created", {"id": 1, "customer_id": 0, "billing": {"email": MARKS}})


def test_a_refusal_whose_own_address_cannot_be_used_is_parked():
    body = {"customer_id": 1, "email_address": MARKS, "email_marketing_consent": {"state": "unsubscribed"}}

    with pytest.raises(UnusableTextError, match="email_address"):
        read(shopify, "customers_email_marketing_consent/update", body)


def test_what_is_left_out_is_told_to_nobody_who_has_not_asked():
    with left_out.if_unusable:
        raise UnusableTextError("name: longer than 1,000 characters")
    with pytest.raises(MalformedPayloadError), left_out.if_unusable:
        raise MalformedPayloadError("name: expected text")
