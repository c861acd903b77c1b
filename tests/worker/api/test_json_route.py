"""Text of a request is NFC, wherever in the request it is: two spellings of "Léon" are one."""

import json
import unicodedata
from urllib.parse import quote

import pytest
from sqlalchemy import text

from connectors.contract import TagsAdded
from tests.worker.api.conftest import T0, Client, a_profile
from worker.api.json_route import _composed

ONE, TWO = "L\u00e9on", "Le\u0301on"  # é as one character, and as two


@pytest.fixture
def client(app, a_key):
    """A caller who may write."""
    return Client(app, {"X-Api-Key": a_key("contacts:read", "contacts:write")})


@pytest.fixture
def leon(client):
    """The path of a contact whose every text was written with two characters."""
    body = {
        "external_source": TWO,
        "external_id": TWO,
        "name": TWO,
        "tags": [TWO],
        "custom_fields": {TWO: {TWO: [TWO, {TWO: 1}]}},
    }
    return "/v1/contacts/" + client.post("/v1/contacts", json=body).json()["data"]["id"]


def test_every_text_of_a_body_is_stored_in_one_spelling(client, leon, engine):
    contact = client.get(leon).json()["data"]

    assert (contact["external_source"], contact["external_id"], contact["name"]) == (ONE, ONE, ONE)
    assert contact["tags"] == [ONE]
    assert contact["custom_fields"] == {ONE: {ONE: [ONE, {ONE: 1}]}}
    with engine.connect() as conn:
        (kept,) = conn.execute(text("SELECT convert_from(body, 'UTF8') FROM envelopes")).scalars()
    assert unicodedata.is_normalized("NFC", json.dumps(json.loads(kept), ensure_ascii=False))


@pytest.mark.parametrize("spelling", [ONE, TWO])
def test_a_customer_is_one_in_both_spellings(client, leon, spelling):
    pair = {"external_source": spelling, "external_id": spelling}
    identifier = {"type": "external_id", "source": spelling, "value": spelling}

    again = client.post("/v1/contacts", json={**pair, "tags": [spelling], "custom_fields": {spelling: 2}})
    resolved = client.post("/v1/contacts/resolve", json={"identifiers": [identifier]})
    (listed,) = client.get("/v1/contacts", params=pair).json()["data"]

    assert again.status_code == 200
    assert again.json()["data"]["id"] == resolved.json()["data"]["id"] == listed["id"] == leon.rpartition("/")[2]
    assert again.json()["data"]["tags"] == [ONE]
    assert again.json()["data"]["custom_fields"] == {ONE: 2}


@pytest.mark.parametrize("spelling", [ONE, TWO])
def test_a_customer_of_a_webhook_is_the_customer_of_a_request(client, say, spelling):
    say("shop", a_profile(ONE), TagsAdded(external_id=ONE, tags=(ONE,), occurred_at=T0))

    answer = client.post("/v1/contacts", json={"external_source": "shop", "external_id": spelling, "tags": [spelling]})

    assert answer.status_code == 200
    assert answer.json()["data"]["tags"] == [ONE]


@pytest.mark.parametrize("spelling", [ONE, TWO, TWO.upper()])
def test_lists_are_filtered_by_both_spellings(client, leon, spelling):
    for query in ({"tag": spelling}, {"search": spelling}):
        assert len(client.get("/v1/contacts", params=query).json()["data"]) == 1


@pytest.mark.parametrize("spelling", [ONE, TWO])
def test_a_tag_is_assigned_once_and_taken_off_in_both_spellings(client, leon, spelling):
    assert client.post(f"{leon}/tags", json={"name": spelling}).status_code == 200
    assert client.post(f"{leon}/tags", json={"tags": [ONE, TWO]}).status_code == 200
    assert len(client.get(f"{leon}/tags").json()["data"]) == 1

    assert client.request("DELETE", f"{leon}/tags/{quote(spelling)}").status_code == 204
    assert client.get(f"{leon}/tags").json()["data"] == []


def test_notes_and_evidence_are_stored_in_one_spelling(client, leon):
    consent = {"status": "opted_in", "source": TWO, "method": TWO, "evidence": {TWO: TWO}}
    suppression = {"channel": "email", "reason": "manual", "address": "ayu@example.com", "source": TWO, "note": TWO}
    answers = [
        client.post(f"{leon}/notes", json={"body": TWO, "author_name": TWO}),
        client.request("PUT", f"{leon}/consent/email", json=consent),
        client.post(f"{leon}/suppressions", json=suppression),
        client.get(f"{leon}/notes"),
        client.get(f"{leon}/consents"),
        client.get(f"{leon}/timeline"),
    ]

    for answer in answers:
        assert answer.status_code in (200, 201)
        written = json.dumps(answer.json(), ensure_ascii=False)
        assert ONE in written
        assert unicodedata.is_normalized("NFC", written)


def test_a_text_may_be_escaped(client):
    body = json.dumps({"external_source": "crm", "external_id": TWO}, ensure_ascii=True)

    answer = client.post("/v1/contacts", content=body, headers={"Content-Type": "application/json"})

    assert answer.json()["data"]["external_id"] == ONE


def test_a_length_is_counted_in_one_spelling(client):
    body = {"external_source": "crm", "external_id": "1", "tags": ["e\u0301" * 255]}

    assert client.post("/v1/contacts", json=body).status_code == 201
    body["tags"] = ["e\u0301" * 256]
    assert client.post("/v1/contacts", json=body).status_code == 422


def test_of_two_names_that_become_the_same_the_last_counts(client):
    fields = f'{{"{ONE}":1,"{TWO}":2}}'
    body = f'{{"external_source":"crm","external_id":"1","custom_fields":{fields}}}'

    answer = client.post("/v1/contacts", content=body.encode(), headers={"Content-Type": "application/json"})

    assert answer.json()["data"]["custom_fields"] == {ONE: 2}


def test_a_cursor_is_left_as_it_is(client, leon):
    client.post("/v1/contacts", json={"external_source": "crm", "external_id": "2"})
    first = client.get("/v1/contacts", params={"limit": 1}).json()

    second = client.get("/v1/contacts", params={"limit": 1, "cursor": first["meta"]["next_cursor"]})

    assert [contact["external_id"] for contact in second.json()["data"]] == [ONE]


def test_a_body_that_is_nested_deeply_is_read():
    deep = TWO
    for _ in range(1_000):
        deep = [deep]

    read = _composed({TWO: deep})[ONE]

    while isinstance(read, list):
        (read,) = read
    assert read == ONE
    assert _composed(TWO) == ONE
