"""The stories of the simulated shop could be real, and the same seed gives the same story."""

import json
import random
from collections import Counter, defaultdict
from collections.abc import Iterable
from itertools import pairwise

import phonenumbers
import pytest

from connectors import shopify
from connectors.contract import Account, ConsentStated, Envelope, Event, ProfileRemoved, ProfileSeen, ProfilesMerged
from connectors.shopify.simulator.shop import Shop, signed, two_shops
from connectors.simulation.deliveries import Delivery, disturbed
from connectors.simulation.people import people

SECRET = "an invented secret"
MAY_SAY_NOTHING = {
    "customers/merge",  # failed
    "customers_marketing_consent/update",  # of a customer without a number
    "customers_whats_app_marketing_consent/update",
    "customers_email_marketing_consent/update",
    "orders/create",  # of a guest without e-mail and number
    "checkouts/create",
    "checkouts/update",
    "products/update",
}


@pytest.fixture(scope="module")
def shop() -> Shop:
    return Shop(7, "lantern-row.myshopify.com", SECRET, people(7, 120))


@pytest.fixture(scope="module")
def history(shop: Shop) -> list[Delivery]:
    return shop.history(2000)


def lowered(delivery: Delivery) -> dict[str, str]:
    return {name.lower(): value for name, value in delivery.headers.items()}


def read(delivery: Delivery) -> tuple[Envelope, list[Event]]:
    headers = lowered(delivery)
    receipt = shopify.receive(headers, delivery.body)
    envelope = Envelope(
        topic=receipt.topic,
        delivery_id=receipt.delivery_id,
        sent_at=receipt.sent_at,
        headers=headers,
        body=delivery.body,
    )
    return envelope, list(shopify.parse(envelope, Account(source="shopify")))


def of(kind: type[Event], deliveries: Iterable[Delivery]) -> list[tuple[Envelope, Event]]:
    read_ones = [read(delivery) for delivery in deliveries]
    return [(envelope, event) for envelope, events in read_ones for event in events if isinstance(event, kind)]


def test_same_seed_tells_the_same_story(history: list[Delivery]) -> None:
    again = Shop(7, "lantern-row.myshopify.com", SECRET, people(7, 120))

    assert again.history(2000) == history
    assert again.history(500) == history[:500]
    assert Shop(8, again.domain, SECRET, people(7, 120)).history(5) != history[:5]


def test_every_delivery_is_signed_dated_and_read(history: list[Delivery]) -> None:
    for delivery in history:
        shopify.verify(lowered(delivery), delivery.body, [SECRET])
        envelope, events = read(delivery)

        assert envelope.topic == delivery.topic
        assert envelope.sent_at is not None
        assert events or delivery.topic in MAY_SAY_NOTHING


def test_every_topic_that_is_followed_for_its_customers_occurs(history: list[Delivery]) -> None:
    topics = Counter(delivery.topic for delivery in history)

    assert topics.keys() == {
        "customers/create",
        "customers/update",
        "customers/enable",
        "customers/disable",
        "customers/delete",
        "customers/merge",
        "customers/purchasing_summary",
        "customer.tags_added",
        "customer.tags_removed",
        "customer.joined_segment",
        "customer.left_segment",
        "customers_email_marketing_consent/update",
        "customers_marketing_consent/update",
        "customers_whats_app_marketing_consent/update",
        "orders/create",
        "orders/updated",
        "checkouts/create",
        "checkouts/update",
        "Customer/update",
        "products/update",
    }
    assert min(topics.values()) >= 3


def test_deliveries_are_told_apart_and_sent_in_order(history: list[Delivery]) -> None:
    envelopes = [read(delivery)[0] for delivery in history]

    assert len({envelope.delivery_id for envelope in envelopes}) == len(history)
    assert [e.sent_at for e in envelopes] == sorted(e.sent_at for e in envelopes if e.sent_at)
    assert len({lowered(d).get("x-shopify-event-id") for d in history}) < len(history)


def test_nobody_in_it_exists(shop: Shop, history: list[Delivery]) -> None:
    for person in shop.people:
        number = phonenumbers.parse(person.phone)

        assert phonenumbers.is_valid_number(number)
        assert phonenumbers.parse(person.national, person.country) == number
    for _, event in of(ProfileSeen, history):
        email = event.identifiers.get("email")
        assert email is None or email.value.lower().endswith(("@example.com", "@example.org"))


def test_stale_opt_ins_and_ties_occur(history: list[Delivery]) -> None:
    by_address = defaultdict(list)
    for _, event in of(ConsentStated, history):
        if event.occurred_at is not None:
            by_address[event.channel, event.external_id].append(event)
    stale, ties = 0, 0
    for statements in by_address.values():
        for before, after in pairwise(statements):
            if before.status == "opted_out" and after.status == "opted_in":
                stale += after.occurred_at < before.occurred_at
                ties += after.occurred_at == before.occurred_at
    assert stale > 5
    assert ties > 0

    times = Counter((event.external_id, event.occurred_at) for _, event in of(ProfileSeen, history))
    assert sum(n > 1 for n in times.values()) > 20


def test_late_updates_follow_deletes_and_merges(history: list[Delivery]) -> None:
    gone = {e.external_id: envelope.sent_at for envelope, e in of(ProfileRemoved, history)}
    late = [
        e
        for envelope, e in of(ProfileSeen, history)
        if e.external_id in gone and envelope.sent_at > gone[e.external_id]
    ]
    lost = {e.lost_external_id for _, e in of(ProfilesMerged, history)}

    assert len(gone) >= 3
    assert {e.external_id for e in late} == gone.keys()
    assert all(e.occurred_at < gone[e.external_id] for e in late)
    assert lost


def test_an_address_moves_from_one_customer_to_another(history: list[Delivery]) -> None:
    holders = defaultdict(set)
    for _, event in of(ProfileSeen, history):
        email = event.identifiers.get("email")
        if email is not None and event.external_id is not None:
            holders[email.value].add(event.external_id)

    assert sum(len(ids) > 1 for ids in holders.values()) > 3


def test_bodies_of_both_ages_and_bodies_that_are_only_an_id_occur(history: list[Delivery]) -> None:
    bodies = [json.loads(delivery.body) for delivery in history if delivery.topic == "customers/update"]

    assert any("tags" in body and "email_marketing_consent" in body for body in bodies)
    assert any("tags" not in body and "email" in body for body in bodies)
    assert any(body.keys() == {"id"} for body in bodies)


def test_two_shops_share_a_third_of_numbers_and_of_addresses() -> None:
    sent = two_shops(3, 960)
    first, second = sorted({shop.domain: shop for shop, _ in sent}.values(), key=lambda s: s.domain, reverse=True)

    shared = [({p.email for p in s.people}, {p.phone for p in s.people}) for s in (first, second)]
    emails, phones = (len(a & b) for a, b in zip(*shared, strict=True))

    assert len(sent) == 960
    assert len(first.people) == len(second.people) == 60
    assert (emails, phones) == (20, 20)
    for shop in (first, second):
        own = [delivery for teller, delivery in sent if teller == shop]
        assert own == shop.history(len(own))
        assert {lowered(d)["x-shopify-shop-domain"] for d in own if "X-Shopify-Topic" in d.headers} == {shop.domain}


def test_disturbed_keeps_every_delivery_and_repeats_it_untouched(history: list[Delivery]) -> None:
    counts = Counter(id(delivery) for delivery in disturbed(history, random.Random(1), most=4))

    assert counts.keys() == {id(delivery) for delivery in history}
    assert set(counts.values()) == {1, 2, 3, 4}
    assert disturbed(history, random.Random(1)) == disturbed(history, random.Random(1)) != history


def test_signed_takes_bytes_as_they_are() -> None:
    delivery = signed(b'{"id": 1}', SECRET, topic="customers/create")

    shopify.verify(lowered(delivery), b'{"id": 1}', [SECRET])
    assert delivery.body == b'{"id": 1}'
    assert delivery == signed(b'{"id": 1}', SECRET, topic="customers/create")
