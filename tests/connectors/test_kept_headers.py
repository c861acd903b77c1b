"""Kept headers: what a replay needs, and never a proof."""

import pytest

from connectors import CONNECTORS, kept_headers
from connectors.kept_headers import MOST_CHARACTERS, MOST_HEADERS, kept


@pytest.mark.parametrize(
    "name",
    [
        *("x-shopify-hmac-sha256", "x-wc-webhook-signature", "webhook-signature", "x-hub-signature-256"),
        *("authorization", "proxy-authorization", "cookie", "x-api-key", "x-shopify-access-token"),
        *("x-twilio-email-event-webhook-signature", "actor", "read-not-before", "file-mapping", "file-run"),
    ],
)
@pytest.mark.parametrize("connector", ["shopify", "woocommerce", "another"])
def test_neither_a_proof_nor_a_mark_is_kept(name, connector):
    assert kept(CONNECTORS.get(connector, object()), {name: "x"}) == []


def test_a_connector_keeps_the_headers_that_it_names_and_no_other():
    headers = {
        "x-shopify-topic": "customers/update",
        "x-shopify-shop-domain": "s.myshopify.com",
        "host": "h",
        "x-y": "z",
    }

    assert dict(kept(CONNECTORS["shopify"], headers)) == dict(list(headers.items())[:2])


def test_without_names_everything_else_is_kept():
    assert kept(object(), {"topic": "seen", "x-y": "z"}) == [("topic", "seen"), ("x-y", "z")]


def test_number_and_length_are_bounded():
    many = kept(object(), {f"x-{number}": "" for number in range(1_000)})
    long = kept(object(), {f"x-{number}": "y" * 1_000 for number in range(100)})

    assert len(many) == MOST_HEADERS
    assert len(long) >= 14
    assert sum(len(name) + len(value) for name, value in long) <= MOST_CHARACTERS


def test_our_own_names_are_known():
    assert all(map(kept_headers.is_ours, ("actor", "read-not-before", "file-mapping")))
    assert not any(map(kept_headers.is_ours, ("x-actor", "reader", "profile-id")))
