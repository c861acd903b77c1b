"""The events to sync: ``customers/update`` webhooks in the form of before 2025, with tags and consents in the body."""

from collections.abc import Iterator
from typing import Any
from uuid import UUID

import orjson

SECRET = "bench-webhook-secret"
DOMAIN = "bench.myshopify.com"
#: the share of events that are the first about a customer; the other events change one of these customers
_CREATES = 0.7
_FIRST_ID = 207_119_551_000


def events(n: int, *, start: int = 0) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield ``n`` (delivery id, body). Every customer from number ``start`` on comes once, then some come again."""
    people = max(1, int(n * _CREATES))
    for number in range(n):
        yield str(UUID(int=start + number + 1)), customer(start + number % people, number // people)


def body_bytes() -> int:
    """Return the size of one body."""
    return len(orjson.dumps(customer(0, 0)))


def customer(number: int, revision: int) -> dict[str, Any]:
    """Return the body about an invented customer at a revision."""
    id_ = _FIRST_ID + number
    consent = {"opt_in_level": "single_opt_in", "consent_updated_at": f"2026-09-1{revision}T11:57:11-04:00"}
    address = {
        "id": 9 * id_,
        "customer_id": id_,
        "first_name": None,
        "last_name": None,
        "company": None,
        "address1": "14 Lantern Row",
        "address2": "",
        "city": "Harbour",
        "province": "Kentucky",
        "country": "United States",
        "zip": "40202",
        "phone": "555-555-SHIP",
        "name": "",
        "province_code": "KY",
        "country_code": "US",
        "country_name": "United States",
        "default": True,
    }
    return {
        "id": id_,
        "admin_graphql_api_id": f"gid://shopify/Customer/{id_}",
        "created_at": "2026-09-01T10:00:00-04:00",
        "updated_at": f"2026-10-0{2 + revision}T10:00:{number % 60:02}-04:00",
        "first_name": "Emma",
        "last_name": f"Miller{number}",
        "email": f"emma.miller{number}@example.com",
        "phone": f"+62812{20_000_000 + number}",
        "state": "disabled",
        "note": None,
        "verified_email": True,
        "multipass_identifier": None,
        "tax_exempt": False,
        "tags": "Léon, Noël, vip",
        "currency": "USD",
        "addresses": [address],
        "default_address": address,
        "tax_exemptions": [],
        "email_marketing_consent": {"state": "subscribed", **consent},
        "sms_marketing_consent": {"state": "not_subscribed", "consent_collected_from": "OTHER", **consent},
    }
