"""Two writers of one new customer, one between two queries of the other: both writes are kept."""

import pytest
from sqlalchemy import event

from tests.worker.api.conftest import EMAIL, PHONE, Client, a_profile
from worker.store import db

PAIR = {"external_source": "shop", "external_id": "1"}
#: What an attempt without locks loads after it has found no such record: decisions, and claims.
READS = {"decisions": "FROM decisions WHERE", "claims": "FROM claims WHERE"}


@pytest.fixture
def client(app, a_key):
    """A caller who may write. Its first request is made here, because it creates the connection `api` of all writes."""
    client = Client(app, {"X-Api-Key": a_key("contacts:read", "contacts:write")})
    answer = client.post("/v1/contacts", json={"email": "before@example.com"})
    assert client.request("DELETE", answer.headers["location"]).status_code == 204
    return client


@pytest.fixture
def before(engine):
    """Act once, before the engine's next SQL statement that contains this part."""
    listening = []

    def before(on, part, act):
        waiting = [act]

        def step_in(_conn, _cursor, statement, _parameters, _context, _many):
            if waiting and part in statement:
                waiting.pop()()

        event.listen(on, "before_cursor_execute", step_in)
        listening.append((on, step_in))
        return waiting

    yield before
    for on, step_in in listening:
        event.remove(on, "before_cursor_execute", step_in)


@pytest.mark.parametrize("part", READS)
@pytest.mark.parametrize("other", ["request", "webhook"])
def test_a_request_loses_nothing_to_a_writer_in_its_midst(client, say, before, part, other):
    def act():
        if other == "request":
            first = {**PAIR, "email": EMAIL, "custom_fields": {"first": 1}}
            assert client.post("/v1/contacts", json=first).status_code == 201
        else:
            say("shop", a_profile("1", email=EMAIL, first=1))

    waiting = before(db.tenant_engine(), READS[part], act)

    body = {**PAIR, "email": EMAIL, "phone_number": PHONE, "custom_fields": {"second": 2}}
    answer = client.post("/v1/contacts", json=body)

    assert waiting == []
    (contact,) = client.get("/v1/contacts").json()["data"]
    assert answer.json()["data"] == contact
    assert contact["custom_fields"] == {"first": 1, "second": 2}
    assert (contact["email"], contact["phone_number"]) == (EMAIL, PHONE)


@pytest.mark.parametrize("part", READS)
def test_a_webhook_loses_nothing_to_a_request_in_its_midst(client, engine, say, before, part):
    first = {**PAIR, "email": EMAIL, "custom_fields": {"first": 1}}
    waiting = before(engine, READS[part], lambda: client.post("/v1/contacts", json=first))

    say("shop", a_profile("1", email=EMAIL, phone=PHONE, second=2))

    assert waiting == []
    (contact,) = client.get("/v1/contacts").json()["data"]
    assert contact["custom_fields"] == {"first": 1, "second": 2}
    assert (contact["email"], contact["phone_number"]) == (EMAIL, PHONE)
