"""A provider without a sending time, which tries new webhooks unsigned: WooCommerce, through ingest."""

import asyncio
import itertools
import random
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import orjson
import pytest

from connectors import connector
from connectors.contract import Account, BadSignatureError, Envelope
from connectors.woocommerce.simulator.shop import Shop, ping, signed
from worker.api import webhooks
from worker.domain.fold import fold
from worker.domain.normalise import ceiling_of, normalise
from worker.domain.record import Record
from worker.domain.record_state import encode
from worker.inbox.ingest import Source, accept, is_ping

SECRET = "invented"
SOURCE = Source(uuid4(), uuid4(), "woocommerce", (SECRET,))


def taken(delivery):
    return accept(SOURCE, list(delivery.headers.items()), delivery.body)


def reading_of(incoming):
    headers = {name.lower(): value for name, value in orjson.loads(incoming.headers)}
    kept = {"topic": incoming.topic, "delivery_id": incoming.delivery_id, "sent_at": incoming.sent_at}
    envelope = Envelope(**kept, headers=headers, body=incoming.body)
    account = Account(source="woo")
    return normalise(incoming.id, envelope, connector("woocommerce"), account, ceiling=ceiling_of(datetime.now(UTC)))


def folded(envelopes):
    record = Record("woo", "5", "customer")
    for incoming in envelopes:
        fold(record, reading_of(incoming).records.get(("woo", "5"), []))
    return record


def test_a_deletion_counts_from_its_arrival_and_nothing_else_does():
    shop = Shop(7, 10)
    before = datetime.now(UTC)
    changed, deleted = (taken(shop.deliver(topic, 5)) for topic in ("customer.updated", "customer.deleted"))

    assert changed.sent_at is None
    assert before <= deleted.sent_at <= datetime.now(UTC)


def test_a_deletion_is_not_lost_and_old_captures_revive_nobody():
    shop = Shop(7, 10)
    old = shop.deliver("customer.updated", 5)
    changed = shop.change([5], {"last_name": "Aune"})[0]
    deleted = shop.delete([5])[0]

    record = folded([taken(delivery) for delivery in (old, changed, deleted, old, changed)])

    assert not record.is_live


def test_an_old_capture_overwrites_nothing():
    shop = Shop(7, 10)
    old = shop.deliver("customer.updated", 5)
    new = shop.change([5], {"last_name": "Aune"})[0]

    record = folded([taken(new), taken(old)])

    assert record.registers["last_name"][1] == "Aune"


def test_the_same_envelopes_make_the_same_record_in_any_order():
    shop = Shop(7, 10, clock=lambda: datetime(2026, 9, 1, 12, tzinfo=UTC))
    deliveries = [shop.deliver("customer.created", 5), *shop.change([5], {"last_name": "Aune"})]
    deliveries += [*shop.change([5], {"last_name": "Moe"}), *shop.delete([5])]  # both in one second
    envelopes = [taken(delivery) for delivery in deliveries]

    def state(order):
        record = folded(order)
        return record.registers, record.seen, record.removed, record.is_live

    orders = [state(order) for order in itertools.permutations(envelopes)]

    assert all(order == orders[0] for order in orders)


def test_requests_with_dates_make_the_same_record_whenever_they_arrive():
    shop = Shop(7, 10, clock=lambda: datetime(2026, 9, 1, 12, tzinfo=UTC) + next(hours))
    hours = (timedelta(hours=n) for n in itertools.count())
    deliveries = [delivery for name in ("A", "B", "C") for delivery in shop.change([5], {"last_name": name})]

    states = set()
    for seed in range(6):
        order = random.Random(seed).sample(deliveries, len(deliveries))
        record = folded([taken(delivery)._replace(id=uuid4()) for delivery in order])
        states.add((record.registers["last_name"][1], record.registers["last_name"][0][:4]))

    assert len(states) == 1
    assert states.pop()[0] == "C"
    assert encode(record)


# The ping.


@pytest.fixture
def inbox(monkeypatch):
    """The webhook route, with a source that is known and nothing behind it."""
    refused = []

    class Inbox:
        async def keep(self, incoming):
            raise AssertionError("a ping is not kept")

        def refuse(self, connection_id):
            refused.append(connection_id)

    class Sources:
        async def find(self, shown_id):
            return SOURCE

    monkeypatch.setattr(webhooks, "inbox", Inbox())
    monkeypatch.setattr(webhooks, "sources", Sources())
    return refused


def post(delivery):
    sent = []

    async def receive():
        return {"type": "http.request", "body": delivery.body}

    async def send(message):
        sent.append(message)

    headers = [(name.lower().encode(), value.encode()) for name, value in delivery.headers.items()]
    scope = {"type": "http", "method": "POST", "path": "/webhooks/con_x", "headers": headers}
    asyncio.run(webhooks.receive(scope, receive, send))
    return sent[0]["status"], orjson.loads(sent[1]["body"])


def test_a_ping_is_answered_and_does_nothing(inbox):
    assert post(ping(12)) == (200, {"ping": True})
    assert inbox == []


def test_every_other_unsigned_request_is_refused(inbox):
    unsigned = signed({"id": 5}, "another secret", topic="customer.deleted")
    more = ping(12)
    more = type(more)(topic="", headers=more.headers, body=b"webhook_id=12&topic=customer.deleted")

    assert post(unsigned)[0] == post(more)[0] == 401
    assert len(inbox) == 2


def test_a_ping_of_woocommerce_is_none_of_shopifys():
    headers = list(ping(1).headers.items())

    assert is_ping(SOURCE, headers, ping(1).body)
    assert not is_ping(SOURCE._replace(connector="shopify"), headers, ping(1).body)
    with pytest.raises(BadSignatureError):
        accept(SOURCE, headers, ping(1).body)


# What is kept of the headers.


def test_neither_the_signature_nor_a_mark_is_kept():
    delivery = Shop(7, 10).deliver("customer.updated", 5)
    source = SOURCE._replace(secrets=(Shop(7, 10).secret,))
    more = [("Actor", "key_1"), ("read-not-before", "2026-10-01T12:00:00+00:00"), ("Cookie", "a=b"), ("X-Y", "z" * 9)]

    kept = accept(source, [*delivery.headers.items(), *more], delivery.body)

    names = {name for name, _ in orjson.loads(kept.headers)}
    assert kept.marks is None
    assert names == {f"x-wc-webhook-{name}" for name in ("topic", "source", "resource", "event", "id", "delivery-id")}


@pytest.mark.parametrize("prefix", ["read:", "api:", "file:"])
def test_a_delivery_id_cannot_be_one_of_ours(plain, prefix):
    kept = accept(SOURCE._replace(connector="plain"), [("id", f"{prefix}1"), ("topic", "seen")], b"{}")

    assert kept.delivery_id.startswith("sha256:")
