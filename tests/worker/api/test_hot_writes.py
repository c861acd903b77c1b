"""The short way of a write answers as the framework's way does; the framework's way is what is documented."""

import pytest
from fastapi import FastAPI

from tests.worker.api.conftest import PHONE, Client
from worker.api import hot_writes

BODY = {"phone_number": PHONE, "name": "Ujang", "tags": ["vip"], "custom_fields": {"a": 1}}


@pytest.fixture
def client(app, a_key):
    return Client(app, {"X-Api-Key": a_key("contacts:read", "contacts:write")})


@pytest.fixture
def framework(monkeypatch):
    """Note the requests that the framework sees."""
    seen = []
    call = FastAPI.build_middleware_stack

    def build(self):
        short = self.user_middleware

        class Noting(hot_writes.HotWrites):
            async def __call__(self, scope, receive, send):
                app = self._app

                async def noting(*given):
                    seen.append(scope["path"])
                    await app(*given)

                self._app = noting
                try:
                    await super().__call__(scope, receive, send)
                finally:
                    self._app = app

        for one in short:
            if one.cls is hot_writes.HotWrites:
                one.cls = Noting
        return call(self)

    monkeypatch.setattr(FastAPI, "build_middleware_stack", build)
    return seen


def test_a_plain_write_does_not_see_the_framework(client, framework):
    answer = client.post("/v1/contacts", json=BODY)

    assert answer.status_code == 201
    assert framework == []
    assert answer.headers["location"] == f"/v1/contacts/{answer.json()['data']['id']}"
    assert answer.headers["etag"]
    assert answer.headers["x-request-id"]
    assert answer.headers["cache-control"] == "no-store"


PLAIN, OTHERWISE = {"content-type": "application/json"}, {"content-type": "application/json; charset=utf-8"}


@pytest.mark.parametrize(
    "content",
    [
        b'{"phone_number": "+6281234567890", "name": "Jose\xcc\x81"}',
        b'{"phone_number": "+6281234567890", "name": "Jose\\u0301"}',
        b'{"email": "a@example.com", "name": "\\ud800"}',
        b'{"phone_number": "no number"}',
        b'{"name": "Nobody"}',
        b'{"phone_number": 7}',
        b"[]",
        b"NaN",
        b"",
        b'{"phone_number": "+6281234567890", "external_id": "1"}',
    ],
)
def test_both_ways_answer_the_same(client, content):
    quick = client.post("/v1/contacts", content=content, headers=PLAIN)
    slow = client.post("/v1/contacts", content=content, headers=OTHERWISE)

    assert comparable(quick) == comparable(slow)


def comparable(answer):
    body = answer.json()
    body.pop("request_id", None)
    if "data" in body:
        return body["data"]["name"]
    return answer.status_code, body


def test_a_key_that_may_not_write_is_refused(app, a_key):
    answer = Client(app, {"X-Api-Key": a_key("contacts:read")}).post("/v1/contacts", json=BODY)

    assert (answer.status_code, answer.json()["error"]) == (403, "the API key lacks the scope contacts:write")


def test_both_ways_know_the_same_idempotency_keys(client):
    once = {"Idempotency-Key": "once"}
    content = b'{"phone_number": "+6281234567890"}'

    first = client.post("/v1/contacts", content=content, headers={**PLAIN, **once})
    second = client.post("/v1/contacts", content=content, headers={**OTHERWISE, **once})

    assert (second.status_code, second.content) == (201, first.content)
    assert second.headers["idempotent-replayed"] == "true"
    too_long = client.post("/v1/contacts", content=content, headers={**PLAIN, "Idempotency-Key": "k" * 256})
    assert too_long.status_code == 422


def test_a_refusal_has_the_usual_body(client):
    for body in ({"phone_number": PHONE}, {"email": "a@example.com"}):
        client.post("/v1/contacts", json=body)

    answer = client.post("/v1/contacts", json={"phone_number": PHONE, "email": "a@example.com"})

    assert answer.status_code == 409
    assert {detail["field"] for detail in answer.json()["details"]} == {"phone_number", "email"}
