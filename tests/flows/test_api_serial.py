"""Conflicting writes about one contact: answers and end are those of some order of the requests."""

import asyncio
import os
import random
import signal
import time
import uuid

import httpx
import pytest

from tests.flows.serial import Sent, State, serial_order
from tests.flows.stack import wait_until
from tests.flows.test_api_concurrency import every_contact

CLIENTS = 6
REQUESTS = 6  #: of each client
#: How many people the clients write about, one after the other.
ROUNDS = int(os.environ.get("FLOW_ROUNDS", "12"))
PHONE = "+6281234567890"


class Writer:
    """A client that sends one request after the other, and notes each."""

    def __init__(self, number, http, contact, rng, sent):
        self.number, self.http, self.contact, self.rng, self.sent = number, http, contact, rng, sent
        self.url, self.etag = f"/v1/contacts/{contact['id']}", None
        self.phone = contact["phone_number"]

    async def run(self, turn):
        kinds = ["patch", "patch", "match", "upsert", "upsert", "tag", "untag", "consent"] + ["delete"] * (
            turn % 3 == 2
        )
        for count in range(REQUESTS):
            await getattr(self, self.rng.choice(kinds))(f"{self.number}-{count}")

    async def patch(self, mark):
        body = {"name": f"Name {mark}"} if self.rng.random() < 0.5 else {"custom_fields": {"a": mark}}
        await self.send("patch", body, "PATCH", self.url, json=body)

    async def match(self, mark):
        if self.etag is None:
            return await self.patch(mark)
        body, headers = {"name": f"Match {mark}"}, {"If-Match": self.etag}
        return await self.send("patch", {**body, "if_match": self.etag}, "PATCH", self.url, json=body, headers=headers)

    async def upsert(self, mark):
        shared = self.rng.random() < 0.3
        body = {"custom_fields": {self.rng.choice("ab"): "shared" if shared else mark}}
        headers = {"Idempotency-Key": f"{self.contact['id']}"} if shared else {}
        if shared:
            body = {"custom_fields": {"a": "shared"}}
        given = {**body, "key": headers.get("Idempotency-Key")}
        await self.send(
            "upsert", given, "POST", "/v1/contacts", json={"phone_number": self.phone, **body}, headers=headers
        )

    async def tag(self, mark):
        tags = self.rng.sample(["x", "y", "z"], 2)
        await self.send("tag", {"tags": tags}, "POST", f"{self.url}/tags", json={"tags": tags})

    async def untag(self, mark):
        tag = self.rng.choice("xyz")
        await self.send("untag", {"tag": tag}, "DELETE", f"{self.url}/tags/{tag}")

    async def consent(self, mark):
        body = {"status": self.rng.choice(["opted_in", "opted_out"])}
        await self.send("consent", body, "PUT", f"{self.url}/consent/whatsapp", json=body)

    async def delete(self, mark):
        await self.send("delete", {}, "DELETE", self.url)

    async def send(self, kind, given, method, url, **request):
        began = time.perf_counter()
        answer = await self.http.request(method, url, **request)
        ended = time.perf_counter()
        assert answer.status_code in (200, 201, 204, 404, 412), answer.text
        shown = answer.json()["data"] if answer.status_code in (200, 201) else None
        self.etag = answer.headers.get("etag", self.etag)
        self.sent.append(
            Sent(self.number, began, ended, kind, given, answer.status_code, shown, answer.headers.get("etag"))
        )


@pytest.fixture
def client(stack):
    with stack.client(f"serial-{uuid.uuid4().hex[:8]}") as client:
        yield client


def test_conflicting_writes_come_to_what_some_order_of_them_comes_to(client):
    async def story(contact, etag, turn):
        rng, sent = random.Random(turn), []
        async with httpx.AsyncClient(
            base_url=client.base_url, headers={"X-Api-Key": client.headers["x-api-key"]}, timeout=60, trust_env=False
        ) as http:
            writers = [Writer(n, http, contact, random.Random(rng.random()), sent) for n in range(CLIENTS)]
            writers[0].etag = etag
            await asyncio.gather(*(writer.run(turn) for writer in writers))
        return sent

    for turn in range(ROUNDS):
        created = client.post("/v1/contacts", json={"phone_number": f"+62812{turn:08}", "name": "First"})
        contact, etag = created.json()["data"], created.headers["etag"]

        sent = asyncio.run(story(contact, etag, turn))

        shown = client.get(f"/v1/contacts/{contact['id']}")
        last = shown.json()["data"] if shown.status_code == 200 else None
        first = State(name="First", etags=frozenset({etag}))
        order = serial_order(sent, first, last)
        assert order is not None, f"no order explains round {turn}: {sent}, {last}"
        consents = [one.given["status"] for one in order if one.kind == "consent" and one.status == 200]
        if last is not None and consents:
            (now,) = client.get(f"/v1/contacts/{contact['id']}/consents").json()["data"]
            assert now["status"] in consents


def test_what_was_acknowledged_is_there_after_the_process_was_killed(stack, client):
    acknowledged = set()

    async def write(http, numbers):
        for number in numbers:
            body = {"email": f"{number}@example.com", "name": f"{number}"}
            try:
                answer = await http.post("/v1/contacts", json=body)
            except httpx.HTTPError:
                return  # The process is gone.
            assert answer.status_code == 201, answer.text
            acknowledged.add(answer.json()["data"]["id"])
            if len(acknowledged) == 60:
                os.kill(web, signal.SIGKILL)

    async def story():
        headers = {"X-Api-Key": client.headers["x-api-key"]}
        async with httpx.AsyncClient(base_url=client.base_url, headers=headers, timeout=60, trust_env=False) as http:
            numbers = iter(range(10_000))
            await asyncio.gather(*(write(http, numbers) for _ in range(16)))

    web = stack.web()
    asyncio.run(story())
    wait_until(lambda: answers(client), 60)

    assert stack.web() != web
    assert len(acknowledged) >= 60
    assert acknowledged <= {contact["id"] for contact in every_contact(client)}


def answers(client):
    try:
        return client.get("/v1/health").status_code == 200
    except httpx.HTTPError:
        return False


def answered(kind, given, status, shown=None, *, client=0, at=0, etag=None):
    return Sent(client, at, at + 1.5, kind, given, status, shown, etag)


def contact(name, **fields):
    return {"name": name, "custom_fields": fields, "tags": []}


def test_the_checker_finds_an_order_and_sees_a_lost_write():
    first = State(name="First")
    one = answered("patch", {"name": "A"}, 200, contact("A"), etag="1")
    two = answered("patch", {"custom_fields": {"b": 1}}, 200, contact("A", b=1), client=1, etag="2")

    assert serial_order([two, one], first, contact("A", b=1)) == [one, two]
    assert serial_order([two, one], first, contact("A")) is None
    late = two._replace(began=-2.0, ended=-1.0)  # its answer came before the other was sent, and shows it
    assert serial_order([late, one], first, contact("A", b=1)) is None


def test_the_checker_sees_an_etag_that_counted_twice():
    first = State(name="First", etags=frozenset({"0"}))
    one = answered("patch", {"name": "A", "if_match": "0"}, 200, contact("A"), etag="1")
    two = answered("patch", {"name": "B", "if_match": "0"}, 200, contact("B"), client=1, etag="2")

    assert serial_order([one, two], first, contact("B")) is None
    refused = two._replace(status=412, shown=None)
    assert serial_order([one, refused], first, contact("A")) == [one, refused]
