"""The webhook route and the public task, over real HTTP and a real broker."""

import base64
import json
import os
import signal
import uuid
from pathlib import Path

import httpx
import psycopg
import pytest
from celery import Celery

from connectors.shopify.simulator.shop import signed
from tests.flows.stack import POOLER, wait_until
from worker.store import urls

SAMPLES = Path(__file__).parents[3] / "shared" / "samples" / "shopify"
CUSTOMER = {
    "id": 71,
    "created_at": "2026-10-01T00:00:00Z",
    "updated_at": "2026-10-01T00:00:00Z",
    "first_name": "Ayu",
    "email": "ayu.lestari@example.com",
    "phone": "+6281273509142",
}


@pytest.fixture
def organization():
    return f"org-{uuid.uuid4().hex[:8]}"


@pytest.fixture
def url(stack, organization):
    added = ["--source", "shopify", "--shop-domain", "s.myshopify.com", "--organization", organization]
    secrets = ["--webhook-secret", "new-secret", "--webhook-secret", "old-secret"]
    return stack.cli("connections", "add", "shopify", *added, *secrets)["webhook_url"]


def post(url, delivery, **headers):
    return httpx.post(url, content=delivery.body, headers={**delivery.headers, **headers}, trust_env=False)


def a_delivery(body=CUSTOMER, secret="new-secret", topic="customers/update", **more):
    return signed(body, secret, topic=topic, domain="s.myshopify.com", webhook_id=str(uuid.uuid4()), **more)


def test_a_delivery_is_kept_once_under_either_secret_and_header_family(stack, url, organization):
    delivery = a_delivery()
    old = a_delivery({**CUSTOMER, "id": 72, "email": "b@example.com", "phone": None}, secret="old-secret")
    bare = {name.removeprefix("X-").lower(): value for name, value in old.headers.items()}

    first, again = post(url, delivery), post(url, delivery)
    other = httpx.post(f"{url}/", content=old.body, headers=bare, trust_env=False)  # as some people copy it

    assert first.status_code == again.status_code == other.status_code == 200
    assert first.json() == {"envelope_id": again.json()["envelope_id"], "duplicate": False}
    assert again.json()["duplicate"] is True
    assert first.json()["envelope_id"].startswith("env_")
    found = stack.settled(organization)
    assert found["inbox"]["settled"] == 2
    assert found["contacts"] == 2


def test_invalid_requests_are_refused_and_not_stored(stack, url, organization):
    good = a_delivery()

    forged = post(url, a_delivery(secret="guess"))
    unsigned = httpx.post(url, content=good.body, trust_env=False)
    garbled = post(url, good, **{"X-Shopify-Hmac-Sha256": "ü".encode()})
    unknown = post(url[:-4] + "0000", good)
    large = httpx.post(url, content=b"x" * (5 * 1024 * 1024 + 1), headers=good.headers, trust_env=False)
    streamed = httpx.post(url, content=iter([b"x" * 1024 * 1024] * 6), headers=good.headers, trust_env=False)

    assert [r.status_code for r in (forged, unsigned, garbled, unknown, large, streamed)] == [
        401,
        401,
        401,
        404,
        413,
        413,
    ]
    assert stack.status(organization)["inbox"]["settled"] == 0
    wait_until(lambda: stack.status(organization)["connections"][0]["refused_signatures"] == 3, 5)


def test_a_removed_connection_is_unknown_and_a_paused_one_waits(stack, url, organization):
    id_ = url.rsplit("/", 1)[1]
    at = ["--organization", organization]

    stack.cli("connections", "pause", id_, *at)
    assert post(url, a_delivery()).status_code == 200
    wait_until(lambda: stack.status(organization)["inbox"]["postponed"] == 1, 10)
    stack.cli("connections", "resume", id_, *at)
    assert stack.settled(organization)["inbox"]["settled"] == 1

    stack.cli("connections", "remove", id_, *at)
    wait_until(lambda: post(url, a_delivery()).status_code == 404, 5)


def test_a_body_that_cannot_be_read_is_kept_and_parked(stack, url, organization):
    bodies = [b"", b"\xff\xfe", b"[1]", b'{"id": 1, "id": 2}', b"[" * 50_000, b'{"id": "x"}', b'{"id": 1e400}']

    answers = [post(url, a_delivery(body)).status_code for body in bodies]

    assert answers == [200] * len(bodies)
    assert stack.settled(organization)["inbox"]["parked"] == len(bodies)
    rows = stack.cli("parked", "--organization", organization)
    assert all(row["reason"] and row["topic"] == "customers/update" for row in rows)
    assert stack.cli("replay", rows[0]["id"], "--organization", organization) == {"replayed": 1}
    assert stack.settled(organization)["inbox"]["parked"] == len(bodies)


def test_odd_values_do_not_affect_other_envelopes(stack, url, organization):
    odd = [
        {"first_name": "nul \x00 and \ud800 surrogate"},
        {"first_name": "x" * 50_000},
        {"id": 9007199254740993},
        {"updated_at": "2090-01-01T00:00:00Z"},
        {"updated_at": "2026-10-01T00:00:00"},
        {"email": "A y u@Example.COM", "phone": "555-625-1199"},
        {"phone": "00000000", "email": ""},
        {"first_name": ["x"]},
        {"admin_graphql_api_id": "gid://shopify/Customer/75?model_name=x", "id": 75},
    ]
    bodies = [
        json.dumps({**CUSTOMER, "id": 80 + n, "email": None, "phone": None, **more}).encode()
        for n, more in enumerate(odd)
    ]

    assert {post(url, a_delivery(body)).status_code for body in bodies} == {200}
    inbox = stack.settled(organization)["inbox"]

    assert inbox["settled"] == 7  # the long name is left out
    assert inbox["parked"] == 2  # the date without a zone, the list
    lines = [json.loads(line) for line in stack.export(organization).splitlines()]
    assert {line["external_id"] for line in lines} == {"75", "80", "81", "9007199254740993", "83", "85", "86"}
    by_id = {line["external_id"]: line for line in lines}
    assert by_id["85"]["email"] == "Ayu@example.com"
    assert by_id["85"]["phone_number"] is None
    assert by_id["85"]["custom_fields"]["phone_as_given"] == "555-625-1199"


@pytest.mark.skipif(not SAMPLES.exists(), reason="the published samples are not beside this checkout")
def test_every_published_sample_ends_settled_ignored_or_parked_with_a_reason(stack, url, organization):
    topics = {
        path: path.name.split(".")[0]
        for path in sorted(SAMPLES.glob("*.json"))
        if not path.name.startswith(("graphql_", "rest_", "hmac_", "webhook_headers"))
    }

    for path, name in topics.items():
        # The samples of the compliance topics have a placeholder where the name of the shop is.
        delivery = a_delivery(path.read_bytes().replace(b"{shop}", b"s"), topic=_topic(name))
        assert post(url, delivery).status_code == 200, path.name
    inbox = stack.settled(organization)["inbox"]

    assert inbox["settled"] + inbox["ignored"] + inbox["parked"] == len(topics)
    for row in stack.cli("parked", "--organization", organization):
        assert len(row["reason"]) > 10
    kinds = [r["kind"] for r in stack.status(organization)["privacy_requests"]]
    assert sorted(kinds) == ["erase_customer", "erase_shop", "export"]


def _topic(name):
    for start, topic in (
        ("events_customer", "Customer"),
        ("events_product", "Product"),
        ("webhook_oversize", "customers/update"),
        ("customer_account_settings_update", "customer_account_settings/update"),
        ("customer_tags_", name.replace("customer_", "customer.", 1)),
        ("customer_joined", "customer.joined_segment"),
        ("customer_left", "customer.left_segment"),
        ("customers_email_marketing", "customers_email_marketing_consent/update"),
        ("customers_marketing", "customers_marketing_consent/update"),
        ("customers_whats_app", "customers_whats_app_marketing_consent/update"),
        ("bulk_operations", "bulk_operations/finish"),
    ):
        if name.startswith(start):
            return topic
    return name.replace("_", "/", 1)


def test_the_public_task_does_what_the_route_does(stack, url, organization):
    producer = Celery(broker=stack.state()["redis_url"])
    producer.conf.broker_transport_options = {"global_keyprefix": "csync:"}
    delivery, forged = a_delivery(), a_delivery(secret="guess")
    id_ = url.rsplit("/", 1)[1]

    for sent in (delivery, delivery, forged):
        arguments = [id_, sent.headers, base64.b64encode(sent.body).decode()]
        producer.send_task("worker.tasks.ingest", arguments, queue="ingest")

    wait_until(lambda: stack.status(organization)["inbox"]["settled"] == 1, 20)
    wait_until(lambda: stack.status(organization)["connections"][0]["refused_signatures"] == 1, 20)
    assert post(url, delivery).json()["duplicate"] is True


@pytest.mark.skipif(POOLER is not None, reason="nobody restarts a Postgres behind a pooler")
@pytest.mark.skipif("TEST_DATABASE_URL" in os.environ, reason="it kills Postgres, and only the stack's own comes back")
def test_while_postgres_is_away_the_sender_is_answered_503(stack, url, organization):
    with psycopg.connect(urls.conninfo(stack.state()["database_url"])) as conn:
        data_directory = conn.execute("SHOW data_directory").fetchone()[0]
    postmaster = int(Path(data_directory, "postmaster.pid").read_text().split()[0])
    delivery = a_delivery()
    post(url, a_delivery({**CUSTOMER, "id": 73}))

    os.kill(postmaster, signal.SIGSTOP)
    try:
        away = post(url, delivery)
    finally:
        os.kill(postmaster, signal.SIGCONT)
    os.kill(postmaster, signal.SIGKILL)
    seen = {away.status_code}

    def back():
        answer = httpx.post(url, content=delivery.body, headers=delivery.headers, trust_env=False, timeout=20)
        seen.add(answer.status_code)
        if answer.status_code == 503:
            assert int(answer.headers["Retry-After"]) > 0
        return answer.status_code == 200

    wait_until(back, 40)
    assert seen <= {200, 503}
    assert 503 in seen
    wait_until(lambda: stack.settled(organization)["inbox"]["settled"] == 2, 60)
